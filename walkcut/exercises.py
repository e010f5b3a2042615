"""Check your own `fiedler`, `ncut` and `recurse`, written for chapters 3 and 4, and hear in words what is wrong.

Each check calls your function on tiny graphs whose answer is known on paper and on random ones, and compares with the
right answer and with the usual wrong ones. It returns one sentence; `print` it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from scipy.linalg import eigh

from walkcut.graph import Graph
from walkcut.tree import partition

RIGHT = "Right"  # how the sentence begins where nothing is wrong
THRESHOLDS = (0.3, 0.31, 0.5, 0.87)  # for `recurse`: away from the prices of the cuts, so that rounding decides nothing


def toy(bridge: float = 1.0, twist: float = 0.0) -> np.ndarray:
    """The book's toy: two triangles and a bridge, float64 (6, 6); a twist makes walkers circle each triangle."""
    W = np.kron(np.eye(2), np.ones((3, 3)) - np.eye(3))
    for i, j in ((0, 1), (1, 2), (2, 0), (3, 4), (4, 5), (5, 3)):
        W[i, j], W[j, i] = 1 + twist, 1 - twist
    W[2, 3] = W[3, 2] = bridge
    return W


def triangles(edge: float = 1.5, wind: float = 0.0) -> np.ndarray:
    """The toy and a third triangle, closed to a ring, float64 (9, 9); a wind blows over the bridges, one way round.

    Inside a triangle the wind takes the edge from door to door, so that the degrees stay what they are.
    """
    W = np.kron(np.diag([1, 1, edge]), np.ones((3, 3)) - np.eye(3))
    for i in (0, 3, 6):
        j, k = i + 2, (i + 3) % 9
        W[i, j], W[j, i] = W[i, j] + wind, W[j, i] - wind
        W[j, k], W[k, j] = 1 + wind, 1 - wind
    return W


def _random(seed: int, groups: int, loops: bool) -> np.ndarray:
    """Groups of four nodes with faint ties between them; every weight its own, with or without loops."""
    W = (np.kron(np.eye(groups), np.ones((4, 4))) + 0.15) * np.random.default_rng(seed).random((4 * groups,) * 2)
    W = W + W.T
    return W if loops else W - np.diag(W.diagonal())


def _call(function: Callable[..., Any], W: np.ndarray, *rest: Any) -> tuple[Any, str]:
    """The answer and "", or None and a sentence on how the call failed."""
    name, given = getattr(function, "__name__", "your function"), W.copy()
    try:
        answer = function(given, *rest)
    except Exception as error:  # whatever a student's function may raise is told, never hidden
        return None, f"{name} stopped with {type(error).__name__} on {len(W)} nodes: {error}"
    if not np.array_equal(given, W):
        return None, f"{name} changes the W that it is given: work on a copy, W.copy()."
    return (answer, "") if answer is not None else (None, f"{name} returns nothing: is a `return` missing?")


def _numbers(answer: Any, shape: tuple[int, ...]) -> tuple[np.ndarray, str]:
    """The answer as float64 of this shape, or a sentence on why it is none; a column or a row counts as a vector."""
    none, wanted = np.zeros(shape), f"an array of shape {shape}" if shape else "one number"
    if isinstance(answer, tuple):
        return none, f"A tuple of {len(answer)} things came back: return {wanted} alone."
    try:
        values = np.asarray(answer)
        real = np.asarray(values.real, float)
    except (TypeError, ValueError):
        return none, f"A {type(answer).__name__} came back where {wanted} is asked for."
    if np.iscomplexobj(values) and not np.allclose(values.imag, 0):
        return none, "Complex numbers came back: for a symmetric W use eigh, which keeps them real."
    if real.size != none.size or sum(side > 1 for side in real.shape) > 1:
        return none, f"An array of shape {real.shape} came back where {wanted} is asked for."
    if not np.isfinite(real).all():
        return none, "NaN or infinity came back: something was divided by zero."
    return real.reshape(shape), ""


def _judge(
    function: Callable[..., Any],
    questions: Sequence[tuple[np.ndarray, ...]],
    known: Callable[..., dict[str, Any]],
    same: Callable[[np.ndarray, np.ndarray], bool],
) -> str:
    """The first sentence of `known`, right ("") or a mistake, that explains all answers; the first answer if none."""
    answers = []
    for question in questions:
        expected = {sentence: np.asarray(value, float) for sentence, value in known(*question).items()}
        answer, fault = _call(function, *question)
        value, fault = (answer, fault) if fault else _numbers(answer, expected[""].shape)
        if fault:
            return fault
        answers.append((value, expected))
    for sentence in answers[0][1]:
        if all(same(value, expected[sentence]) for value, expected in answers):
            return sentence or f"{RIGHT}, on {len(answers)} questions."
    right, mine = (np.round(value, 3).tolist() for value in (answers[0][1][""], answers[0][0]))
    return f"Two triangles and a bridge, nodes 0 to 2 on one side, ask for {right}; you have {mine}."


def _vectors(W: np.ndarray) -> dict[str, np.ndarray]:
    """The relaxed problem's second eigenvector under "", and what else may come back, each under what is wrong."""
    d, n = W.sum(1), len(W)
    y, root, plain = eigh(np.diag(d) - W, np.diag(d))[1], np.sqrt(d), eigh(np.diag(d) - W)[1]
    return {
        "": y[:, 1] / y[0, 1],
        "Your vector has the right direction, but D^-1/2 was not applied: that is x, and y = D^-1/2 x.": root * y[:, 1],
        "D^-1/2 was applied once too often: y = D^-1/2 x is enough.": y[:, 1] / root,
        "This is the constant vector, for lambda_1 = 0: take the next eigenvalue, the second smallest.": np.ones(n),
        "This is D^1/2 1, for lambda_1 = 0: take the next one, and apply D^-1/2 to it.": root,
        "The wrong end of the spectrum was taken: lambda_2 is the second *smallest*.": y[:, -1],
        "The wrong end of the spectrum was taken, and D^-1/2 was not applied.": root * y[:, -1],
        "This is the eigenvector of lambda_3: count from lambda_1 = 0.": y[:, 2],
        "You solved L y = lambda y: the relaxed problem is L y = lambda D y, with D on the right.": plain[:, 1],
        "These are eigenvectors of W itself: take D - W, and D on the right.": eigh(W)[1][:, -2],
        "Only the signs came back: return y itself, which the sweep sorts.": np.sign(y[:, 1]),
    }


def _prices(W: np.ndarray, S: np.ndarray) -> dict[str, float]:
    """NCut of the nodes S by its definition under "", and other numbers, each under what is wrong."""
    cut, inside = W[S][:, ~S].sum(), [W[side][:, side].sum() for side in (S, ~S)]
    one, two = (held + cut for held in inside)
    bare = [volume - W.diagonal()[side].sum() for volume, side in ((one, S), (two, ~S))]
    return {
        "": cut / one + cut / two,
        "Your NCut divides by sizes, not volumes: add up the degrees of each side.": cut / S.sum() + cut / (~S).sum(),
        "This is the weight of the cut alone: divide it by the volume of each side.": cut,
        "This is the escape from S alone: add that of the other side.": cut / one,
        "This is the escape from the other side alone: add that of S.": cut / two,
        "This is the conductance, the larger of the two escapes: add them.": cut / min(one, two),
        "Your NCut counts every severed edge twice: count i in S and j outside, once.": 2 * (cut / one + cut / two),
        "Your NCut divides by the weight inside each side: a volume holds severed edges, too.": sum(
            cut / held for held in inside
        ),
        "cut / (vol(S) vol(S')) is NCut only where all degrees sum to 1: here they do not.": cut / (one * two),
        "This is 2 - NCut, what stays inside: the escapes are asked for.": 2 - cut / one - cut / two,
        "Your volumes leave out the diagonal of W: it counts once in a degree.": cut / bare[0] + cut / bare[1],
    }


def _parallel(a: np.ndarray, b: np.ndarray) -> bool:
    """Equal up to a factor, which may be negative."""
    return abs(a @ b) > (1 - 1e-6) * np.linalg.norm(a) * np.linalg.norm(b) > 0


def check_fiedler(fiedler: Callable[[np.ndarray], Any]) -> str:
    """What is wrong with `fiedler(W)`; see equation `eq-ncut-relaxed` of the book.

    Parameters
    ----------
    fiedler : function of W, float64 (n, n), symmetric, with positive degrees
        To return y (n,) with L y = lambda_2 D y; its sign and length are free.

    Returns
    -------
    str
        One sentence; it begins with "Right" where nothing was found.
    """
    graphs = toy(), np.eye(6, k=1) + np.eye(6, k=-1), _random(0, 2, False), _random(1, 3, True)
    return _judge(fiedler, [(W,) for W in graphs], _vectors, _parallel)


def check_ncut(ncut: Callable[[np.ndarray, np.ndarray], Any]) -> str:
    """What is wrong with `ncut(W, S)`; see equation `eq-ncut-definition` of the book.

    Parameters
    ----------
    ncut : function of W, float64 (n, n), symmetric, and of S, bool (n,), with nodes on both sides
        To return one number.

    Returns
    -------
    str
        One sentence; it begins with "Right" where nothing was found.
    """
    graphs = toy(), toy(3), _random(2, 2, False), _random(3, 3, True)
    sides = (lambda n: n < 3, lambda n: n < 2, lambda n: n % 2 > 0)
    return _judge(ncut, [(W, side(np.arange(len(W)))) for W in graphs for side in sides], _prices, np.allclose)


def _labels(answer: Any, n: int) -> tuple[np.ndarray, str]:
    """Segments as int (n,), numbered by first appearance, from labels or from a list of arrays of nodes."""
    if isinstance(answer, list | tuple) and len(answer) and np.ndim(answer[0]) > 0:
        parts = [np.asarray(part).ravel().tolist() for part in answer]
        if sorted(node for part in parts for node in part) != list(range(n)):
            return np.zeros(n, int), "Your segments do not hold each node once."
        answer = [next(i for i, part in enumerate(parts) if node in part) for node in range(n)]
    values, fault = _numbers(answer, (n,))
    _, first, inverse = np.unique(values, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse], fault


def _told(mine: np.ndarray, right: np.ndarray) -> str:
    """In which way these segments (n,) differ from the right ones."""
    pairs, count, wanted = len(set(zip(mine, right, strict=True))), mine.max() + 1, right.max() + 1
    if pairs == wanted:
        cure = "are both sides of each cut cut again?" if count > 1 else "cuts that cost up to the threshold are taken."
        return f"{count} segments, too few; {cure}"
    if pairs == count:
        return (
            f"{count} segments, too many; a cut may cost no more than the threshold, priced with its region's own "
            "degrees, and waits for the cuts above it."
        )
    return "a cut lies elsewhere; is each region a graph of its own, sorted by its own y and swept?"


def check_recurse(recurse: Callable[[np.ndarray, float], Any]) -> str:
    """What is wrong with `recurse(W, threshold)`; see equation `eq-tree-pruning` of the book.

    Parameters
    ----------
    recurse : function of W, float64 (n, n), symmetric, and of a threshold
        To cut W, and its parts as graphs of their own, while the best cut found costs at most the threshold. To return
        a number for each node, (n,), or a list of arrays of nodes; the order of segments is free.

    Returns
    -------
    str
        One sentence; it begins with "Right" where nothing was found.
    """
    for W in (triangles(), _random(4, 3, False), _random(5, 4, True)):
        tree = partition(Graph(torch.from_numpy(W)), (1, len(W)), smallest=1, max_ncut=2)
        for theta in THRESHOLDS:
            answer, fault = _call(recurse, W, theta)
            mine, fault = (answer, fault) if fault else _labels(answer, len(W))
            right = _labels(tree.labels(theta).ravel(), len(W))[0]
            if fault or not np.array_equal(mine, right):
                return fault or f"At {theta} on {len(W)} nodes, {right.max() + 1} wanted: {_told(mine, right)}"
    return f"{RIGHT}, at the thresholds {', '.join(map(str, THRESHOLDS))} on three graphs."

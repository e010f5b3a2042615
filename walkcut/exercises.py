"""Check a function of your own, written for a chapter of the book, and hear in words what is wrong.

Each check calls your function on tiny cases that are known on paper, on random ones and on some that are nearly
degenerate, and compares what comes back with the right answer and with the usual wrong ones, numbers in
`exercises.json`. It returns one sentence; `print` it.
"""

import json
from collections.abc import Callable
from contextlib import ExitStack
from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from scipy.sparse import csr_array

from walkcut.backbone import Backbone
from walkcut.capture import attention_layers, queries_and_keys
from walkcut.graph import Graph
from walkcut.tree import partition

Function = Callable[..., Any]
TABLE = Path(__file__).with_name("exercises.json")  # of `tests/exercise_table.py`
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


def _as_it_is(answer: Any) -> Any:
    return answer


def _call(function: Function, *question: Any, read: Function = _as_it_is) -> tuple[Any, str]:
    """What is read of the answer and "", or None and a sentence on how the call failed."""
    name, arrays = getattr(function, "__name__", "your function"), (np.ndarray, torch.Tensor)
    given = [deepcopy(one) if isinstance(one, arrays) else one for one in question]
    try:
        answer = function(*given)
        found = None if answer is None else read(answer)
    except Exception as error:  # whatever a student's function may raise is told, never hidden
        return None, f"{name} stopped with {type(error).__name__}: {error}"
    pairs = zip(question, given, strict=True)
    if any(isinstance(one, arrays) and not np.array_equal(one, mine, equal_nan=True) for one, mine in pairs):
        return None, f"{name} changes an array that it is given: work on a copy, as W.copy() is one of W."
    return (found, "") if answer is not None else (None, f"{name} returns nothing: is a `return` missing?")


def _numbers(answer: Any, shape: tuple[int, ...]) -> tuple[np.ndarray, str]:
    """The answer as float64 of this shape, or a sentence on why it is none; a column or a row counts as a vector."""
    none, wanted = np.zeros(shape), f"an array of shape {shape}" if shape else "one number"
    if isinstance(answer, tuple) and len(answer) != (*shape, 0)[0]:
        return none, f"a tuple of {len(answer)} things came back: return {wanted} alone."
    try:
        values = np.asarray(answer)
        real = np.asarray(values.real, float)
    except (TypeError, ValueError):
        return none, f"a {type(answer).__name__} came back where {wanted} is asked for."
    if np.iscomplexobj(values) and not np.allclose(values.imag, 0):
        return none, "complex numbers came back: for a symmetric W use eigh, which keeps them real."
    if real.squeeze().shape != none.squeeze().shape:
        return none, f"an array of shape {real.shape} came back where {wanted} is asked for."
    if not np.isfinite(real).all():
        return none, "NaN or infinity came back: a zero was divided by or put into ln, or the exp of much overflowed."
    return real.reshape(shape), ""


def _close(a: np.ndarray, b: np.ndarray) -> bool:
    return np.allclose(a, b, rtol=1e-4, atol=1e-9 + 1e-6 * np.abs(b).max())


def _parallel(a: np.ndarray, b: np.ndarray) -> bool:
    """Equal up to a factor, which may be negative."""
    return abs(a @ b) > (1 - 1e-6) * np.linalg.norm(a) * np.linalg.norm(b) > 0


def _judge(
    name: str,
    function: Function,
    made: Callable[..., tuple[Any, ...]] = lambda *given: given,
    same: Callable[[np.ndarray, np.ndarray], bool] = _close,
    read: Function = _as_it_is,
) -> str:
    """The first sentence, right ("") or a mistake, that explains the answers to all cases; the first case if none.

    `made` turns what the table holds of a case into what the function is given, `read` its answer into one array.
    """
    table, answers = json.loads(TABLE.read_text(encoding="utf-8"))[name], []
    known = {said: [np.array(one) for one in found] for said, found in table["answers"].items()}
    for (case, given), right in zip(table["cases"].items(), known[""], strict=True):
        arrays = (tuple(one) if np.asarray(one).dtype.kind == "i" else np.array(one)[()] for one in given)  # or a grid
        answer, fault = _call(function, *made(*arrays), read=read)
        mine, fault = (answer, fault) if fault else _numbers(answer, right.shape)
        if fault:
            return f"On {case}: {fault}"
        answers.append((case, mine, right))
    for said, found in known.items():
        if all(same(mine, one) for (_, mine, _), one in zip(answers, found, strict=True)):
            return said or f"{RIGHT}, on {len(answers)} questions."
    case, mine, right = next(answer for answer in answers if not same(*answer[1:]))
    factor = (mine * right).sum() / ((right**2).sum() or 1)
    if factor and all(same(one, factor * wanted) for _, one, wanted in answers):
        return f"Your answers are {factor:.4g} times the right ones: is a factor missing, or a division by a sum?"
    if right.size > 9:
        at = np.unravel_index(np.abs(mine - right).argmax(), right.shape)
        return f"On {case}: entry {tuple(map(int, at))} is to be {right[at]:.4g}; you have {mine[at]:.4g}."
    return f"On {case}: {right.round(3).tolist()} is asked for; you have {mine.round(3).tolist()}."


def _torch(*given: np.ndarray) -> tuple[torch.Tensor, ...]:
    return tuple(map(torch.from_numpy, given))


def _layer(Q: np.ndarray, K: np.ndarray, hidden: np.ndarray) -> tuple[Any, torch.Tensor]:
    """A layer whose heads ask in two numbers each, and what enters it."""
    to_q, to_k, entering = _torch(Q, K, hidden[None])
    layer = SimpleNamespace(heads=Q.shape[1] // 2, to_q=lambda x: x @ to_q, to_k=lambda x: x @ to_k)
    return layer, entering


def check_heads_of(heads_of: Function) -> str:
    """What is wrong with `heads_of(layer, hidden)`; see equation `eq-att-softmax` of the book.

    Parameters
    ----------
    heads_of : function of a layer, with `heads`, `to_q` and `to_k`, and of what enters it, Tensor (1, N, channels)
        To return A of every head, (heads, N, N).

    Returns
    -------
    str
        One sentence; it begins with "Right" where nothing was found.
    """
    return _judge("heads_of", heads_of, _layer)


def check_capture(capture: Function, backbone: Backbone) -> str:
    """What is wrong with `capture(backbone, noisy, t)`, which listens to an eye under noise.

    Parameters
    ----------
    capture : function of an eye, of a latent, Tensor (1, channels, h, w), and of a timestep
        To return {name: A of all heads, (heads, N, N)} for every layer of `attention_layers`, and leave no hook behind.
    backbone : Backbone
        The eye that it is tried on.

    Returns
    -------
    str
        One sentence; it begins with "Right" where nothing was found.
    """
    layers, told = attention_layers(backbone), {}
    noisy = backbone.encode(np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8), grid=12)
    with ExitStack() as hooks:
        for layer in layers.values():
            hook = layer.register_forward_pre_hook(lambda one, came: told.update({one: came[0]}))
            hooks.callback(hook.remove)
        backbone.denoise(noisy, 10)
    found, fault = _call(capture, backbone, noisy, 10)
    wanted = f"A dict by the names of all {len(layers)} layers is asked for, {next(iter(layers))} is the first."
    if fault or not isinstance(found, dict) or set(found) != set(layers):
        return fault or wanted
    for name, layer in layers.items():
        Q, K = queries_and_keys(backbone, layer, told[layer])
        right = torch.softmax(Q[0] @ K[0].mT, 2)
        mine, fault = _numbers(found[name], tuple(right.shape))
        if fault or not np.allclose(mine, right, atol=1e-5):
            return f"At {name}: {fault or 'this is not A of what enters the layer, head by head.'}"
        if layer._forward_pre_hooks or layer._forward_hooks:
            return f"A hook of yours is still at {name}: remove it when the pass is over."
    return f"{RIGHT}, on {len(layers)} layers."


def check_held(held: Function) -> str:
    """What is wrong with `held(A, inside)`; see equation `eq-att-hold` of the book.

    Parameters
    ----------
    held : function of A, Tensor (N, N), whose rows sum to one, and of who is inside, bool Tensor (N,)
        To return kappa, one number.

    Returns
    -------
    str
        One sentence; it begins with "Right" where nothing was found.
    """
    return _judge("held", held, _torch)


def check_looked_at(looked_at: Function) -> str:
    """What is wrong with `looked_at(A)`; see equation `eq-att-evenness` of the book.

    Parameters
    ----------
    looked_at : function of A, Tensor (N, N), whose rows sum to one; a zero in it adds nothing
        To return the mean of eta, one number.

    Returns
    -------
    str
        One sentence; it begins with "Right" where nothing was found.
    """
    return _judge("looked_at", looked_at, _torch)


def check_stationary(stationary: Function) -> str:
    """What is wrong with `stationary(P)`; see equation `eq-walk-stationary` of the book.

    Parameters
    ----------
    stationary : function of P, float64 (n, n), whose rows sum to one
        To return the stationary law, (n,).

    Returns
    -------
    str
        One sentence; it begins with "Right" where nothing was found.
    """
    return _judge("stationary", stationary)


def check_unpaid(unpaid: Function) -> str:
    """What is wrong with `unpaid(P)`, the share of the flow that is not paid back.

    Parameters
    ----------
    unpaid : function of P, float64 (n, n), whose rows sum to one
        To return J, one number.

    Returns
    -------
    str
        One sentence; it begins with "Right" where nothing was found.
    """
    return _judge("unpaid", unpaid)


def check_three_steps(three_steps: Function) -> str:
    """What is wrong with `three_steps(P, grid, sigma)`; see equations `eq-walk-agree` and `eq-walk-prior` of the book.

    Parameters
    ----------
    three_steps : function of P, float64 (n, n), whose rows sum to one, of the grid (h, w), and of the prior's width
        To return the walk without rests, that of two who agree, and that with the prior, each (n, n).

    Returns
    -------
    str
        One sentence; it begins with "Right" where nothing was found.
    """
    return _judge("three_steps", three_steps)


def check_fiedler(fiedler: Function) -> str:
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
    return _judge("fiedler", fiedler, same=_parallel)


def check_ncut(ncut: Function) -> str:
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
    return _judge("ncut", ncut)


def check_sweep(sweep: Function) -> str:
    """What is wrong with `sweep(W)`; see equation `eq-ncut-sweep` of the book.

    Parameters
    ----------
    sweep : function of W, float64 (n, n), symmetric, with positive degrees
        To return NCut of all prefixes of the sorted y, (n - 1,), from either end.

    Returns
    -------
    str
        One sentence; it begins with "Right" where nothing was found.
    """
    return _judge("sweep", sweep, same=lambda a, b: _close(a, b) or _close(a[::-1], b))


def _labels(answer: Any, n: int) -> tuple[np.ndarray, str]:
    """Segments as int (n,), numbered by first appearance, from labels or from a list of arrays of nodes."""
    if isinstance(answer, list | tuple) and len(answer) and np.ndim(answer[0]) > 0:
        parts = [np.asarray(part).ravel().tolist() for part in answer]
        if sorted(node for part in parts for node in part) != list(range(n)):
            return np.zeros(n, int), "your segments do not hold each node once."
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


def check_recurse(recurse: Function) -> str:
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
                return f"At {theta} on {len(W)} nodes, {right.max() + 1} wanted: {fault or _told(mine, right)}"
    return f"{RIGHT}, at the thresholds {', '.join(map(str, THRESHOLDS))} on three graphs."


def check_null(null: Function) -> str:
    """What is wrong with `null(flow, grid)`; see equation `eq-stop-flow` of the book.

    Parameters
    ----------
    null : function of a flow, float64 (n, n), symmetric, whose sum is 1, and of the grid (h, w)
        To return the spatial null, (n, n), rescaled until its law is the flow's.

    Returns
    -------
    str
        One sentence; it begins with "Right" where nothing was found.
    """
    return _judge("null", null)


def _priced(left: np.ndarray, right: np.ndarray, worth: np.ndarray) -> tuple[Any, Function]:
    """A tree of nodes with two sides or none, and what each is worth."""
    ncut = np.where(left < 0, np.inf, 0.5)
    return SimpleNamespace(left=left.astype(int), right=right.astype(int), ncut=ncut), lambda node: worth[node]


def check_best(best: Function) -> str:
    """What is wrong with `best(tree, worth)`; see equation `eq-stop-best` of the book.

    Parameters
    ----------
    best : function of a tree, with `left`, `right` (-1 at leaves) and `ncut` (infinite there), and of each node's worth
        To return the largest worth of a pruning, one number.

    Returns
    -------
    str
        One sentence; it begins with "Right" where nothing was found.
    """
    return _judge("best", best, _priced)


def _pictures(pairs: tuple[Any, ...], classes: float, fair: bool) -> tuple[Any, ...]:
    return [tuple(map(np.array, pair)) for pair in pairs], int(classes), fair


def check_reversible(reversible: Function) -> str:
    """What is wrong with `reversible(P, T)`; see equation `eq-graphs-reversible` of the book.

    Parameters
    ----------
    reversible : function of P and of another walk T with the same law, both float64 (n, n)
        To return the reversible form of T, (n, n); its entries sum to 1.

    Returns
    -------
    str
        One sentence; it begins with "Right" where nothing was found.
    """
    return _judge("reversible", reversible)


def check_lowrank_sweep(sweep: Function) -> str:
    """What is wrong with `sweep(F, order)`; see equation `eq-graphs-sweep` of the book.

    Parameters
    ----------
    sweep : function of features, float64 (n, r), none negative, and of an order of the nodes, int (n,)
        To return NCut of all prefixes of the order for W = F F^T, (n - 1,).

    Returns
    -------
    str
        One sentence; it begins with "Right" where nothing was found.
    """
    return _judge("lowrank_sweep", sweep, lambda F, order: (F, np.array(order)))


def check_divergence(divergence: Function) -> str:
    """What is wrong with `divergence(P, p)`; see equation `eq-graphs-js` of the book.

    Parameters
    ----------
    divergence : function of laws, float64 (n, m), a row each, and of one law, (m,); a zero in them adds nothing
        To return the Jensen-Shannon divergence of each row from the law, (n,), in nats.

    Returns
    -------
    str
        One sentence; it begins with "Right" where nothing was found.
    """
    return _judge("divergence", divergence)


def check_ends_at(ends_at: Function) -> str:
    """What is wrong with `ends_at(P, seeds)`; see equation `eq-pixels-dirichlet` of the book.

    Parameters
    ----------
    ends_at : function of P, float64 (n, n), whose rows sum to one, and of seeds (n,), NaN where there is none
        To return the mean value of the seed that a walker meets first, (n,).

    Returns
    -------
    str
        One sentence; it begins with "Right" where nothing was found.
    """
    return _judge("ends_at", ends_at, lambda P, seeds: (P, np.where(seeds < 0, np.nan, seeds)))


def check_first_met(first_met: Function) -> str:
    """What is wrong with `first_met(W, seeds)`; see equation `eq-pixels-dirichlet` of the book.

    Parameters
    ----------
    first_met : function of W, sparse (n, n), symmetric, and of the segments of seeds, int (n,), -1 where there is none
        To return the chance of each node to meet each segment's seeds first, (n, C).

    Returns
    -------
    str
        One sentence; it begins with "Right" where nothing was found.
    """
    return _judge("first_met", first_met, lambda W, seeds: (csr_array(W), np.array(seeds)))


def check_miou(miou_and_accuracy: Function) -> str:
    """What is wrong with `miou_and_accuracy(pictures, classes, fair)`; see equation `eq-bench-class` of the book.

    Parameters
    ----------
    miou_and_accuracy : function of pairs (classes, clusters), int (h, w) each, of how many classes, and of fair or not
        To return mIoU and accuracy of all pictures together, by `linear_sum_assignment` of the padded table; a class of
        -1 is none, and the fair matching drops pairs that share no pixel.

    Returns
    -------
    str
        One sentence; it begins with "Right" where nothing was found.
    """
    return _judge("miou", miou_and_accuracy, _pictures)


def check_cheapest(cheapest: Function) -> str:
    """What is wrong with `cheapest(W)`; see equation `eq-ncut-sweep` of the book.

    Parameters
    ----------
    cheapest : function of W, float64 (n, n), symmetric, with positive degrees
        To return lambda_2, the best price of a prefix of the sorted y, and its side, bool (n,).

    Returns
    -------
    str
        One sentence; it begins with "Right" where nothing was found.
    """

    def flat(found: tuple[float, float, np.ndarray]) -> np.ndarray:
        value, price, S = found
        return np.r_[value, price, S[0] != S]

    return _judge("cheapest", cheapest, read=flat)


def check_end(end: Function) -> str:
    """What is wrong with `end(seconds, workers, room)`; see equation `eq-scale-recursion` of the book.

    Parameters
    ----------
    end : function of seconds (n, m) of n pictures in m stages, of the stages' workers, and of the places between two
        To return when the last picture has left the last stage.

    Returns
    -------
    str
        One sentence; it begins with "Right" where nothing was found.
    """
    return _judge("end", end, lambda seconds, workers, room: (seconds, workers, int(room)))


def check_sums(sums: Function) -> str:
    """What is wrong with `sums(W, labels)`; see equation `eq-kway-bound` of the book.

    Parameters
    ----------
    sums : function of W, float64 (n, n), symmetric, and of the nodes' segments, int (n,), from 0 on
        To return all retentions, added, all Perron roots, added, and the sum of as many first eigenvalues rho.

    Returns
    -------
    str
        One sentence; it begins with "Right" where nothing was found.
    """
    return _judge("sums", sums, lambda W, labels: (W, np.array(labels)))


def check_memberships(memberships: Function) -> str:
    """What is wrong with `memberships(Y)`; see equation `eq-kway-simplex` of the book.

    Parameters
    ----------
    memberships : function of the first C eigenvectors, float64 (n, C), a column each
        To return memberships, (n, C), with the corners of "Four ways to round"; the order of columns is free.

    Returns
    -------
    str
        One sentence; it begins with "Right" where nothing was found.
    """

    def same(a: np.ndarray, b: np.ndarray) -> bool:
        return _close(a[:, [np.abs(a.T - one).sum(1).argmin() for one in b.T]], b)

    return _judge("memberships", memberships, same=same)


def check_hitting(hitting: Function) -> str:
    """What is wrong with `hitting(W)`; see equation `eq-times-fundamental` of the book.

    Parameters
    ----------
    hitting : function of W, float64 (n, n), symmetric, with positive degrees
        To return the expected steps from i until j is first met, (n, n); of a tuple the first.

    Returns
    -------
    str
        One sentence; it begins with "Right" where nothing was found.
    """
    return _judge("hitting", hitting, read=lambda found: found[0] if isinstance(found, tuple) else found)


def check_far(far: Function) -> str:
    """What is wrong with `far(W, k)`; see equation `eq-times-diffusion` of the book.

    Parameters
    ----------
    far : function of W, float64 (n, n), symmetric, with positive degrees, and of a number of steps
        To return the diffusion distance of all pairs after k steps, (n, n).

    Returns
    -------
    str
        One sentence; it begins with "Right" where nothing was found.
    """
    return _judge("far", far, lambda W, k: (W, int(k)))


def check_nystrom(nystrom: Function) -> str:
    """What is wrong with `nystrom(columns, sample, d)`; see equation `eq-times-nystrom` of the book.

    Parameters
    ----------
    nystrom : function of some columns (n, m) of a table, of their numbers, int (m,), and of all degrees (n,)
        To return y (n,) of the table that they complete; its sign and length are free.

    Returns
    -------
    str
        One sentence; it begins with "Right" where nothing was found.
    """
    return _judge("nystrom", nystrom, lambda columns, sample, d: (columns, np.array(sample), d), _parallel)


def check_forms(forms: Function) -> str:
    """What is wrong with `forms(P)`; see equation `eq-circle-adjoint` of the book.

    Parameters
    ----------
    forms : function of P, float64 (n, n), whose rows sum to one
        To return its law (n,), the film backwards, the additive and the multiplicative form, each (n, n).

    Returns
    -------
    str
        One sentence; it begins with "Right" where nothing was found.
    """
    return _judge("forms", forms, read=np.vstack)


def check_wcut(wcut: Function) -> str:
    """What is wrong with `wcut(P, mu, S)`; see equation `eq-circle-wcut` of the book.

    Parameters
    ----------
    wcut : function of P, float64 (n, n), of a law mu (n,), and of S, bool (n,)
        To return the price of S for walkers dropped by mu, one number.

    Returns
    -------
    str
        One sentence; it begins with "Right" where nothing was found.
    """
    return _judge("wcut", wcut)


def check_by_qr(by_qr: Function) -> str:
    """What is wrong with `by_qr(Y)`.

    Parameters
    ----------
    by_qr : function of the first C eigenvectors, float64 (n, C), a column each
        To return the number of each node's segment, (n,), by pivoted QR; the order of segments is free.

    Returns
    -------
    str
        One sentence; it begins with "Right" where nothing was found.
    """

    def same(a: np.ndarray, b: np.ndarray) -> bool:
        return np.array_equal(_labels(a, a.size)[0], _labels(b, b.size)[0])

    return _judge("by_qr", by_qr, same=same)


def check_relaxed(relaxed: Function) -> str:
    """What is wrong with `relaxed(P, mu)`; see equation `eq-circle-drift` of the book.

    Parameters
    ----------
    relaxed : function of P, float64 (n, n), whose rows sum to one, and of a law mu (n,)
        To return the smallest R_mu(y) of all y with mean 0 under mu, and this y; its sign and length are free.

    Returns
    -------
    str
        One sentence; it begins with "Right" where nothing was found.
    """

    def flat(found: tuple[float, np.ndarray]) -> np.ndarray:
        floor, y = found
        return np.r_[floor, y / y[np.abs(y).argmax()]]

    return _judge("relaxed", relaxed, read=flat)

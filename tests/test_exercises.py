"""A student's function is checked, and told in words what is wrong with it."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.linalg import eigh

from walkcut import exercises
from walkcut.exercises import RIGHT, check_fiedler, check_ncut, check_recurse
from walkcut.graph import Graph
from walkcut.ncut import best_cut, second_eigenvector
from walkcut.ncut import ncut as module_ncut


def problem(W: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.diag(W.sum(1)) - W, np.diag(W.sum(1))


def symmetric(W: np.ndarray, which: int) -> np.ndarray:
    """Eigenvector x of D^-1/2 L D^-1/2."""
    root = np.sqrt(W.sum(1))
    return eigh((np.diag(W.sum(1)) - W) / np.outer(root, root))[1][:, which]


def through_p(W: np.ndarray) -> np.ndarray:
    """By the walk's own matrix, which is not symmetric: complex numbers whose imaginary parts are zero."""
    values, vectors = np.linalg.eig(W / W.sum(1, keepdims=True))
    return vectors[:, np.argsort(-values.real)[1]].astype(complex)


def test_the_reference_agrees_with_paper() -> None:
    vectors = exercises._vectors(exercises.toy())[""]
    third = 1 - 2 * (11 - 73**0.5) / 12
    np.testing.assert_allclose(vectors, [1, 1, third, -third, -1, -1], atol=1e-12)
    path = exercises._vectors(np.eye(6, k=1) + np.eye(6, k=-1))[""]
    np.testing.assert_allclose(path, np.cos(np.pi * np.arange(6) / 5), atol=1e-12)
    assert exercises._prices(exercises.toy(), np.arange(6) < 3)[""] == pytest.approx(2 / 7)
    assert exercises._prices(exercises.toy(3), np.arange(6) < 3)[""] == pytest.approx(2 / 3)


RIGHT_VECTORS: dict[str, Callable] = {
    "generalised": lambda W: eigh(*problem(W))[1][:, 1],
    "other sign and length": lambda W: -7 * eigh(*problem(W))[1][:, 1],
    "by x": lambda W: symmetric(W, 1) / np.sqrt(W.sum(1)),
    "by P, complex": through_p,
    "a column": lambda W: eigh(*problem(W))[1][:, [1]],
    "a list": lambda W: eigh(*problem(W))[1][:, 1].tolist(),
    "the module's, torch": lambda W: second_eigenvector(Graph(W)).y,
}
WRONG_VECTORS: dict[str, tuple[Callable, str]] = {
    "x": (lambda W: symmetric(W, 1), "D^-1/2 was not applied"),
    "twice": (lambda W: symmetric(W, 1) / W.sum(1), "once too often"),
    "constant": (lambda W: eigh(*problem(W))[1][:, 0], "constant vector"),
    "first x": (lambda W: symmetric(W, 0), "D^1/2 1"),
    "wrong end": (lambda W: eigh(*problem(W))[1][:, -1], "second *smallest*"),
    "wrong end, x": (lambda W: symmetric(W, -1), "wrong end of the spectrum was taken, and D^-1/2"),
    "third": (lambda W: eigh(*problem(W))[1][:, 2], "lambda_3"),
    "no D": (lambda W: eigh(problem(W)[0])[1][:, 1], "with D on the right"),
    "of W": (lambda W: eigh(W)[1][:, -2], "W itself"),
    "signs": (lambda W: np.sign(eigh(*problem(W))[1][:, 1]), "Only the signs"),
    "the order": (lambda W: np.argsort(eigh(*problem(W))[1][:, 1]), "ask for [1.0, 1.0, 0.591"),
    "all vectors": (lambda W: eigh(*problem(W))[1], "shape (6, 6) came back where an array of shape (6,)"),
    "pair": (lambda W: (0.2, W[0]), "A tuple of 2 things"),
    "text": (lambda W: "y", "A str came back"),
    "complex": (lambda W: 1j * np.arange(len(W)), "Complex numbers"),
    "nan": (lambda W: np.full(len(W), np.nan), "NaN or infinity"),
    "nothing": (lambda W: None, "returns nothing"),
    "error": (lambda W: W[99], "stopped with IndexError on 6 nodes"),
    "in place": (lambda W: np.fill_diagonal(W, 1), "changes the W"),
}


@pytest.mark.parametrize("name", RIGHT_VECTORS)
def test_a_right_eigenvector_is_right_in_any_style(name: str) -> None:
    assert check_fiedler(RIGHT_VECTORS[name]).startswith(RIGHT)


@pytest.mark.parametrize("name", WRONG_VECTORS)
def test_a_wrong_eigenvector_is_explained(name: str) -> None:
    function, words = WRONG_VECTORS[name]
    assert words in check_fiedler(function)


def price(W: np.ndarray, S: np.ndarray) -> float:
    return sum(W[a][:, ~a].sum() / W[a].sum() for a in (S, ~S))


def severed(W: np.ndarray, S: np.ndarray) -> float:
    return W[S][:, ~S].sum()


RIGHT_PRICES: dict[str, Callable] = {
    "by the definition": price,
    "by the other side": lambda W, S: price(W, ~S),
    "by loops": lambda W, S: sum(
        sum(W[i, j] for i in np.flatnonzero(a) for j in np.flatnonzero(~a)) / sum(W[i].sum() for i in np.flatnonzero(a))
        for a in (S, ~S)
    ),
    "as a product": lambda W, S: severed(W, S) * W.sum() / (W[S].sum() * W[~S].sum()),
    "the module's": lambda W, S: module_ncut(Graph(W), S),
    "torch": lambda W, S: torch.tensor(price(W, S)),
    "an array of one": lambda W, S: np.array([price(W, S)]),
}
WRONG_PRICES: dict[str, tuple[Callable, str]] = {
    "sizes": (lambda W, S: severed(W, S) * (1 / S.sum() + 1 / (~S).sum()), "divides by sizes, not volumes"),
    "cut": (severed, "weight of the cut alone"),
    "one side": (lambda W, S: severed(W, S) / W[S].sum(), "escape from S alone"),
    "other side": (lambda W, S: severed(W, S) / W[~S].sum(), "escape from the other side alone"),
    "conductance": (lambda W, S: severed(W, S) / min(W[S].sum(), W[~S].sum()), "conductance"),
    "twice": (lambda W, S: 2 * price(W, S), "twice"),
    "inside": (
        lambda W, S: severed(W, S) / W[S][:, S].sum() + severed(W, S) / W[~S][:, ~S].sum(),
        "weight inside each side",
    ),
    "product": (lambda W, S: severed(W, S) / (W[S].sum() * W[~S].sum()), "only where all degrees sum to 1"),
    "association": (lambda W, S: 2 - price(W, S), "what stays inside"),
    "no loops": (lambda W, S: price(W - np.diag(W.diagonal()), S), "leave out the diagonal"),
    "both escapes": (lambda W, S: (0.1, 0.2), "A tuple of 2 things"),
    "a vector": (lambda W, S: W[0], "one number"),
    "nonsense": (lambda W, S: 0.5, "ask for 0.286; you have 0.5"),
    "error": (lambda W, S: W[S] / 0 @ W[0, 1:], "stopped with"),
}


@pytest.mark.parametrize("name", RIGHT_PRICES)
def test_a_right_ncut_is_right_in_any_style(name: str) -> None:
    assert check_ncut(RIGHT_PRICES[name]).startswith(RIGHT)


@pytest.mark.parametrize("name", WRONG_PRICES)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_wrong_ncut_is_explained(name: str) -> None:
    function, words = WRONG_PRICES[name]
    assert words in check_ncut(function)


def parts(W: np.ndarray, theta: float, nodes: np.ndarray | None = None, whole: bool = False) -> list[np.ndarray]:
    """A plain recursion; `whole` makes the mistake to price a region with the degrees of the whole graph."""
    nodes = np.arange(len(W)) if nodes is None else nodes
    if len(nodes) < 2:
        return [nodes]
    region = W[np.ix_(nodes, nodes)]
    cut = best_cut(Graph(region))
    S = np.isin(np.arange(len(nodes)), cut.order[: cut.size])
    cost = sum(severed(region, S) / W[nodes[a]].sum() for a in (S, ~S)) if whole else price(region, S)
    return parts(W, theta, nodes[S], whole) + parts(W, theta, nodes[~S], whole) if cost <= theta else [nodes]


def numbered(found: list[np.ndarray], n: int) -> np.ndarray:
    labels = np.zeros(n)
    for number, part in enumerate(found):
        labels[part] = number
    return labels


def once(W: np.ndarray, theta: float) -> np.ndarray:
    cut = best_cut(Graph(W))
    return np.isin(np.arange(len(W)), cut.order[: cut.size]) if cut.ncut <= theta else np.zeros(len(W))


RIGHT_RECURSIONS: dict[str, Callable] = {
    "lists of nodes": parts,
    "tensors of nodes": lambda W, theta: [torch.from_numpy(part) for part in parts(W, theta)[::-1]],
    "labels": lambda W, theta: numbered(parts(W, theta), len(W)),
    "labels, other numbers": lambda W, theta: [int(7 - 3 * x) for x in numbered(parts(W, theta), len(W))],
}
WRONG_RECURSIONS: dict[str, tuple[Callable, str]] = {
    "never": (lambda W, theta: np.zeros(len(W)), "1 segments, too few; cuts that cost up to"),
    "once": (once, "2 segments, too few; are both sides"),
    "crumbs": (lambda W, theta: np.arange(len(W)), "too many"),
    "no threshold": (lambda W, theta: parts(W, 1.0), "too many"),
    "prices of the whole": (lambda W, theta: parts(W, theta, whole=True), "too many; a cut may cost no more"),
    "elsewhere": (lambda W, theta: np.arange(len(W)) % 3 if theta > 0.3 else 0 * W[0], "a cut lies elsewhere"),
    "a node is lost": (lambda W, theta: [np.arange(len(W) - 1)], "do not hold each node once"),
    "labels and prices": (lambda W, theta: (0 * W[0], [0.3]), "do not hold each node once"),
    "half": (lambda W, theta: W[0, :2], "shape (2,) came back"),
    "error": (lambda W, theta: W[0] @ W[0, 1:], "stopped with ValueError on 9 nodes"),
}


@pytest.mark.parametrize("name", RIGHT_RECURSIONS)
def test_a_right_recursion_is_right_in_any_style(name: str) -> None:
    assert check_recurse(RIGHT_RECURSIONS[name]).startswith(RIGHT)


@pytest.mark.parametrize("name", WRONG_RECURSIONS)
def test_a_wrong_recursion_is_explained(name: str) -> None:
    function, words = WRONG_RECURSIONS[name]
    assert words in check_recurse(function)


def test_the_toys_are_those_of_the_chapters() -> None:
    """The thresholds part what chapter 4 parts, and lie away from every price."""
    assert [len(parts(exercises.triangles(), theta)) for theta in (0.3, 0.31)] == [1, 3]
    for W in (exercises.triangles(), exercises._random(4, 3, False), exercises._random(5, 4, True)):
        for theta in exercises.THRESHOLDS:
            assert len({len(parts(W, theta + shift)) for shift in (-1e-3, 0, 1e-3)}) == 1


def test_twist_and_wind_change_no_degree() -> None:
    """They circle: what leaves a node still comes back, and the mean of both directions is the graph without them."""
    for calm, circling in (
        (exercises.toy(), exercises.toy(twist=0.5)),
        (exercises.triangles(), exercises.triangles(wind=0.5)),
    ):
        np.testing.assert_allclose(circling.sum(0), calm.sum(0))
        np.testing.assert_allclose((circling + circling.T) / 2, calm)
        assert not np.allclose(circling, calm)

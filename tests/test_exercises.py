"""A student's function is checked, and told in words what is wrong with it."""

import ast
import json
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import exercise_later
import exercise_table
import numpy as np
import pytest
import torch
from scipy.linalg import eigh

from walkcut import exercises
from walkcut.backbone import Backbone
from walkcut.capture import attention_layers
from walkcut.exercises import RIGHT, check_fiedler, check_ncut, check_recurse
from walkcut.graph import Graph
from walkcut.ncut import best_cut, second_eigenvector
from walkcut.ncut import ncut as module_ncut
from walkcut.walk import Walk

BOOK = Path(__file__).resolve().parent.parent / "book"


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


def test_the_table_holds_what_its_functions_say() -> None:
    """A change of a case or of a mistake is written anew: python tests/exercise_table.py."""
    held, made = json.loads(exercise_table.TABLE.read_text(encoding="utf-8")), exercise_table.table()
    assert list(held) == list(made)
    for name in made:
        assert held[name]["cases"] == made[name]["cases"]
        assert list(held[name]["answers"]) == list(made[name]["answers"])
        for said, answers in made[name]["answers"].items():
            for one, other in zip(held[name]["answers"][said], answers, strict=True):
                np.testing.assert_allclose(np.abs(one), np.abs(other), rtol=1e-5, atol=1e-9)  # a sign may turn


def test_the_table_agrees_with_paper() -> None:
    table = exercise_table.table()
    found = {name: dict(zip(one["cases"], one["answers"][""], strict=True)) for name, one in table.items()}
    third, vectors = 1 - 2 * (11 - 73**0.5) / 12, found["fiedler"]
    toy = np.array(vectors["two triangles and a bridge"])
    np.testing.assert_allclose(toy / toy[0], [1, 1, third, -third, -1, -1], atol=1e-6)
    path = np.array(vectors["a path"])
    np.testing.assert_allclose(path / path[0], np.cos(np.pi * np.arange(6) / 5), atol=1e-6)
    by_hand = {
        "two triangles and a bridge, nodes 0 to 2 on one side": 2 / 7,
        "two triangles and a stout bridge, nodes 0 to 2 on one side": 2 / 3,
    }
    assert {case: found["ncut"][case] for case in by_hand} == pytest.approx(by_hand)
    swept = found["sweep"]["two triangles and a bridge"]
    np.testing.assert_allclose(swept, [7 / 6, 7 / 10, 2 / 7, 7 / 10, 7 / 6], atol=1e-6)
    np.testing.assert_allclose(found["stationary"]["the twisted toy"], np.array([2, 2, 3, 3, 2, 2]) / 14, atol=1e-6)
    assert found["unpaid"]["the twisted toy"] == pytest.approx(6 / 14)
    row = np.array(found["three_steps"]["the toy in a row"])[:2, 2]
    np.testing.assert_allclose(row, [np.array([2, 2, 0, 1, 0, 0]) / 5, np.array([4, 4, 0, 1, 0, 0]) / 9], atol=1e-6)
    corridor = (np.eye(5, k=1) + np.eye(5, k=-1)) / 8  # is its own null
    np.testing.assert_allclose(found["null"]["a corridor"], corridor, atol=1e-6)
    assert found["best"]["a tree of five leaves"] == 10
    assert found["looked_at"]["an even look"] == pytest.approx(1)
    assert found["held"]["patches that see only themselves"] == pytest.approx(1)


ASKED: dict[str, Callable[..., Callable]] = {  # what a check asks of a function, answered by one of the table
    "heads_of": lambda known: (
        lambda layer, hidden: known(
            *(part(torch.eye(3).double()).numpy() for part in (layer.to_q, layer.to_k)), hidden[0].numpy()
        )
    ),
    "held": lambda known: lambda A, inside: known(A.numpy(), inside.numpy()),
    "looked_at": lambda known: lambda A: known(A.numpy()),
    "best": lambda known: lambda tree, worth: known(tree.left, tree.right, np.array([worth(i) for i in range(9)])),
} | exercise_later.ASKED
ALL = [(name, said) for name, answers in exercise_table.ANSWERS.items() for said in answers]


@pytest.mark.parametrize(("name", "said"), ALL)
def test_an_answer_is_known(name: str, said: str) -> None:
    """Each usual mistake is told from the right answer and from all others."""
    function = ASKED.get(name, lambda known: known)(exercise_table.ANSWERS[name][said])
    found = getattr(exercises, f"check_{name}")(function)
    assert found == said if said else found.startswith(RIGHT)


def book(chapter: str) -> dict[str, Any]:
    """The functions of a chapter and what they import, its cells not run."""
    (path,), names = BOOK.glob(f"{chapter}*.ipynb"), {}
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] == "code":
            parts = ast.parse("".join(cell["source"])).body
            kept = [part for part in parts if isinstance(part, ast.Import | ast.ImportFrom | ast.FunctionDef)]
            exec(compile(ast.Module(kept, []), str(path), "exec"), names)
    return names


FROM_SCRATCH: dict[str, Callable[[], str]] = {
    "1, heads_of": lambda: exercises.check_heads_of(book("01")["heads_of"]),
    "1, held": lambda: exercises.check_held(book("01")["held"]),
    "1, looked_at": lambda: exercises.check_looked_at(book("01")["looked_at"]),
    "2, escapes": lambda: check_ncut(book("02")["escapes"]),
    "2, three_steps": lambda: exercises.check_three_steps(book("02")["three_steps"]),
    "2, stationary": lambda: exercises.check_stationary(book("02")["stationary"]),
    "2, unpaid": lambda: exercises.check_unpaid(book("02")["unpaid"]),
    "3, y of cut_in_two": lambda: check_fiedler(lambda W: book("03")["cut_in_two"](W)[1]),
    "3, escapes of cut_in_two": lambda: exercises.check_sweep(lambda W: sum(book("03")["cut_in_two"](W)[3:])),
    "4, price": lambda: check_ncut(book("04")["price"]),
    "4, grow and prune": lambda: check_recurse(grown_and_pruned),
    "5, slow_null": lambda: exercises.check_null(book("05")["slow_null"]),
    "5, best": lambda: exercises.check_best(lambda tree, worth: book("05")["best"](tree, worth)[0]),
}


def grown_and_pruned(W: np.ndarray, threshold: float) -> list[np.ndarray]:
    names = book("04")
    return names["prune"](names["grow"](W, np.arange(len(W)), 1, 2.0), threshold)


def test_the_reversible_form_of_chapter_4_is_the_module_s() -> None:
    P = np.random.default_rng(0).dirichlet(np.ones(9), 9)
    np.testing.assert_allclose(book("04")["reversible"](P), Walk(P, (3, 3)).reversible().W, atol=1e-8)


@pytest.mark.parametrize("name", FROM_SCRATCH)
def test_what_the_book_builds_from_scratch_is_right(name: str) -> None:
    assert FROM_SCRATCH[name]().startswith(RIGHT)


def heard(backbone: Backbone, noisy: torch.Tensor, t: int, leave: bool = False) -> dict[str, torch.Tensor]:
    """The chapter's capture; it may leave its hooks behind."""
    names = book("01")
    if leave:
        names["ExitStack"] = lambda: nullcontext(SimpleNamespace(callback=lambda removed: removed))
    return names["capture"](backbone, noisy, t)


WRONG_CAPTURES: dict[str, tuple[Callable, str]] = {
    "hooks stay": (lambda *given: heard(*given, leave=True), "remove it when the pass is over"),
    "a list": (lambda *given: list(heard(*given).values()), "A dict by the names"),
    "a layer is missing": (lambda *given: dict(list(heard(*given).items())[1:]), "A dict by the names"),
    "heads averaged": (lambda *given: {name: A.mean(0) for name, A in heard(*given).items()}, "came back where"),
    "columns": (lambda *given: {name: A.mT for name, A in heard(*given).items()}, "this is not A of what enters"),
    "error": (lambda *given: heard(*given)["up"], "stopped with KeyError"),
}


def test_a_capture_that_listens_is_right(tiny: Backbone) -> None:
    assert exercises.check_capture(heard, tiny).startswith(RIGHT)


@pytest.mark.parametrize("name", WRONG_CAPTURES)
def test_a_wrong_capture_is_explained(name: str, tiny: Backbone) -> None:
    function, words = WRONG_CAPTURES[name]
    try:
        assert words in exercises.check_capture(function, tiny)
    finally:
        for layer in attention_layers(tiny).values():
            layer._forward_pre_hooks.clear()


WRONG_IN_GENERAL: dict[str, tuple[Callable[[], str], str]] = {  # no sentence of their own
    "a factor": (lambda: exercises.check_unpaid(lambda P: 3 * book("02")["unpaid"](P)), "are 3 times the right ones"),
    "one entry": (lambda: exercises.check_null(shifted), "On a corridor: entry (0, 1) is to be 0.125; you have 0.225."),
    "a later case": (
        lambda: exercises.check_stationary(lambda P: book("02")["stationary"](P) if len(P) > 2 else P[0] * 0 + 0.5),
        "On two nodes that swap nearly always: [0.486, 0.514] is asked for; you have [0.5, 0.5].",
    ),
    "a tensor is changed": (lambda: exercises.check_looked_at(lambda A: A.mul_(2).sum()), "changes an array"),
    "ln of zero": (lambda: exercises.check_looked_at(lambda A: (-(A * A.log()).sum(1)).exp().mean()), "put into ln"),
    "exp of much": (lambda: exercises.check_heads_of(overflowing), "three heads with huge scores: NaN"),
    "two of three steps": (
        lambda: exercises.check_three_steps(lambda *given: book("02")["three_steps"](*given)[:2]),
        "a tuple of 2 things came back",
    ),
    "all prefixes": (lambda: exercises.check_sweep(lambda W: W.sum(1)), "where an array of shape (5,) is asked for"),
}


def shifted(flow: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    found = book("05")["slow_null"](flow, grid)
    found[0, 1] += 0.1
    return found


def overflowing(layer: Any, hidden: torch.Tensor) -> torch.Tensor:
    q, k = (part(hidden)[0].unflatten(1, (layer.heads, -1)).transpose(0, 1) for part in (layer.to_q, layer.to_k))
    e = (q @ k.mT / 2**0.5).exp()
    return e / e.sum(2, keepdim=True)


@pytest.mark.parametrize("name", WRONG_IN_GENERAL)
def test_what_has_no_sentence_is_told_by_its_case(name: str) -> None:
    found, words = WRONG_IN_GENERAL[name]
    assert words in found()


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
    "the order": (lambda W: np.argsort(eigh(*problem(W))[1][:, 1]), "bridge: [1.0, 1.0, 0.591"),
    "all vectors": (lambda W: eigh(*problem(W))[1], "shape (6, 6) came back where an array of shape (6,)"),
    "pair": (lambda W: (0.2, W[0]), "a tuple of 2 things"),
    "text": (lambda W: "y", "a str came back"),
    "complex": (lambda W: 1j * np.arange(len(W)), "complex numbers"),
    "nan": (lambda W: np.full(len(W), np.nan), "NaN or infinity"),
    "nothing": (lambda W: None, "returns nothing"),
    "error": (lambda W: W[99], "On two triangles and a bridge: <lambda> stopped with IndexError"),
    "in place": (lambda W: np.fill_diagonal(W, 1), "changes an array"),
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
    "both escapes": (lambda W, S: (0.1, 0.2), "a tuple of 2 things"),
    "a vector": (lambda W, S: W[0], "one number"),
    "nonsense": (lambda W, S: 0.5, "0.286 is asked for; you have 0.5"),
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
    "error": (lambda W, theta: W[0] @ W[0, 1:], "stopped with ValueError"),
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

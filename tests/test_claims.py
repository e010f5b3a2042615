"""Claims of the book that outran what is true or measured once: computed anew, and looked for in its words.

A claim that rests on a result file is compared with the file, one of mathematics with numbers: so neither the words nor
the files can change alone.
"""

import functools
import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from walkcut.bench import RESULTS
from walkcut.exercises import toy
from walkcut.lab.directed import direct
from walkcut.lab.markov import lazy, mixing_time, relaxation_time
from walkcut.ncut import ncut
from walkcut.walk import Walk

BOOK = Path(__file__).resolve().parent.parent / "book"
seeds = st.integers(0, 2**32 - 1)


@functools.cache
def prose(page: str) -> str:
    """The words of a page, or of the text cells of a notebook, with single spaces between them."""
    text = (BOOK / page).read_text(encoding="utf-8")
    if page.endswith(".ipynb"):
        cells = json.loads(text)["cells"]
        text = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    return " ".join(text.split())


def result(name: str) -> dict:
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


# ---------------------------------------------------------------------------------------------------------------------
# Walks that circle


def head(seed: int, n: int = 8, sharpness: float = 1.0) -> np.ndarray:
    """Softmax attention of random queries and keys: every entry is positive."""
    Q, K = np.random.default_rng(seed).normal(size=(2, n, 4))
    A = np.exp(sharpness * Q @ K.T)
    return A / A.sum(1, keepdims=True)


def second(T: np.ndarray, size: Callable = np.abs) -> float:
    """The second largest modulus of an eigenvalue, or real part."""
    return float(np.sort(size(np.linalg.eigvals(T)))[-2])


def two_forms(P: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The walks of the additive reversible form, and of Fill's multiplicative one: forth, then the film reversed."""
    walk = Walk(torch.from_numpy(P), (1, len(P)))
    law = walk.stationary().law.numpy()
    backwards = P.T * law / law[:, None]
    form = walk.reversible()
    return (form.W / form.degrees[:, None]).numpy(), P @ backwards


def test_a_lazy_ring_is_slower_than_its_reversible_form() -> None:
    ring = lazy(Walk(torch.roll(torch.eye(12, dtype=torch.float64), 1, 1), (1, 12)))
    additive, multiplicative = two_forms(ring.P.numpy())
    np.testing.assert_allclose(additive, multiplicative, atol=1e-12)
    form = Walk(torch.from_numpy(additive), (1, 12))
    assert (mixing_time(ring), mixing_time(form)) == (28, 14)
    text = prose("03-ncut.ipynb")
    assert f"is {second(ring.P.numpy()):.3f}, against {second(additive):.3f} for its reversible form" in text
    assert f"are {relaxation_time(ring):.1f} and {relaxation_time(form):.1f} steps" in text
    assert "is never slower *in continuous time*" in text


def test_some_heads_are_slower_in_steps_than_their_reversible_form() -> None:
    slower = [second(head(seed)) > second(two_forms(head(seed))[0]) + 1e-9 for seed in range(300)]
    assert 0 < sum(slower) < 150


@given(seed=seeds, n=st.integers(3, 12), sharpness=st.floats(0.1, 2))
@settings(max_examples=60, deadline=None)
def test_what_bounds_time_and_what_bounds_steps(seed: int, n: int, sharpness: float) -> None:
    """Equation eq-ncut-directed, and Fill's bound."""
    P = head(seed, n, sharpness)
    additive, multiplicative = two_forms(P)
    assert second(P, np.real) <= second(additive, np.real) + 1e-9
    assert second(P) ** 2 <= second(multiplicative) + 1e-9


@given(seed=seeds, n=st.integers(2, 20))
@settings(max_examples=60, deadline=None)
def test_the_price_by_the_walk_itself_is_a_rayleigh_quotient(seed: int, n: int) -> None:
    """But of no Laplacian, and no right eigenvector minimises it."""
    rng = np.random.default_rng(seed)
    P, S = rng.dirichlet(np.ones(n), n), rng.permutation(n) < rng.integers(1, n)
    y = np.where(S, np.sqrt((~S).sum() / S.sum()), -np.sqrt(S.sum() / (~S).sum()))
    assert abs(y.sum()) < 1e-9
    matrix = np.eye(n) - (P + P.T) / 2
    assert ncut(direct(Walk(P, (1, n))), S) == pytest.approx(y @ matrix @ y / (y @ y), abs=1e-12)


def test_a_right_eigenvector_does_not_minimise_that_quotient() -> None:
    P = np.random.default_rng(0).dirichlet(np.ones(8), 8)
    matrix, apart = np.eye(8) - (P + P.T) / 2, np.eye(8) - 1 / 8
    assert np.abs(matrix.sum(1)).max() > 0.1  # no Laplacian
    least = np.linalg.eigvalsh(apart @ matrix @ apart + 9 * np.ones((8, 8)) / 8)[0]  # among y with a sum of zero
    values, vectors = np.linalg.eig(P)
    y = apart @ vectors[:, np.argsort(-values.real)[1]].real
    assert y @ matrix @ y / (y @ y) > least + 0.01
    assert "a right eigenvector of $P$ does not minimise it" in prose("06-graphs.ipynb")


# ---------------------------------------------------------------------------------------------------------------------
# Exercises of chapter 2


@pytest.mark.parametrize("rho", [0.99, -0.99])
def test_two_bridges_have_a_relaxation_time_of_a_hundred_steps(rho: float) -> None:
    b = 2 * (1 - rho) * (1 + 2 * rho) / ((2 * rho - 1) * (1 + rho))
    weights = toy(bridge=b)
    walk = Walk(weights / weights.sum(1, keepdims=True), (2, 3))
    assert relaxation_time(walk) == pytest.approx(100)
    assert min(abs(np.linalg.eigvals(walk.P.numpy()) - rho)) < 1e-9
    assert f"$b \\approx {b:.4f}$" in prose("02-walk.ipynb") or f"$b \\approx {b:.2f}$" in prose("02-walk.ipynb")
    assert "two $b$" in prose("02-walk.ipynb")


def test_a_power_is_a_temperature_for_one_head_only() -> None:
    once, twice = ([head(seed, sharpness=s) for seed in (0, 1)] for s in (1.0, 2.0))
    squared = [Walk(A, (1, 8)).inflated(2).P.numpy() for A in (once[0], np.mean(once, axis=0))]
    np.testing.assert_allclose(squared[0], twice[0], atol=1e-12)
    assert np.abs(squared[1] - np.mean(twice, axis=0)).max() > 0.01


# ---------------------------------------------------------------------------------------------------------------------
# What others did

EIGENGAP = ("05-threshold.ipynb", "08-benchmark.ipynb")


@pytest.mark.parametrize("page", EIGENGAP)
def test_whoever_names_autosc_says_what_it_chooses_and_what_diffcut_chose_by_it(page: str) -> None:
    for found in re.finditer("fan2022simple", prose(page)):
        around = prose(page)[max(found.start() - 300, 0) : found.end() + 200]
        assert "affinity" in around
        assert "section 4.3" in around

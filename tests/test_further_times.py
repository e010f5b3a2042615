"""The page "How long a walker takes": its propositions on random chains, and every number in its words."""

import ast
import functools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pages import page_of
from test_core import times

from walkcut.exercises import toy
from walkcut.lab.markov import mixing_time
from walkcut.walk import Walk

PAGE = page_of("further-times")
TEXT, PROSE, CODE = PAGE.text, PAGE.prose, PAGE.code
several = settings(max_examples=25)
seeds, sizes = st.integers(0, 2**32 - 1), st.integers(3, 14)


@functools.cache
def page() -> dict:
    """What the page defines: its first cell, and then functions only."""
    return PAGE.defined(CODE[0])


@functools.cache
def measured(grid: int, which: int) -> tuple[float, float, float]:
    """How far commutes are from two degrees: half of the pairs, nine in ten, and half of the bounds."""
    W = page()["graphs_over"](grid)[which].W.double().numpy()
    ratio, bound = off_degrees(W)
    return *np.quantile(abs(ratio - 1), (0.5, 0.9)), np.median(bound)


def off_degrees(W: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Resistance over what two degrees say, and the bound of the proposition, for all pairs."""
    hit, d, pairs = page()["hitting"](W)[0], W.sum(1), np.triu_indices(len(W), 1)
    ratio = (hit + hit.T) / d.sum() / (1 / d + 1 / d[:, None])
    back = ((W / d[:, None]) @ (W / d[:, None])).diagonal()
    b = np.maximum(back, back[:, None])
    return ratio[pairs], (b**0.5 + b / spectrum(W)[0][1])[pairs]


def spectrum(W: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues of the relaxed problem and y in columns, y^T D y = 1 for a volume of 1."""
    root = np.sqrt(W.sum(1) / W.sum())
    values, x = np.linalg.eigh(np.eye(len(W)) - W / W.sum() / np.outer(root, root))
    return values, x / root[:, None]


def graph(seed: int, n: int) -> np.ndarray:
    """Symmetric weights, some of them tiny, of any volume."""
    half = np.triu(np.random.default_rng(seed).gamma(0.3, size=(n, n)) + 1e-3)
    return half + half.T


def circling(seed: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    """A walk that is not reversible, and its law."""
    P = np.random.default_rng(seed).dirichlet(np.ones(n), n)
    return P, Walk(P, (1, n)).stationary().law.numpy()


# ---------------------------------------------------------------------------------------------------------------------
# The page as a page


def test_the_page_keeps_the_limits_of_a_chapter() -> None:
    lines = [line.strip() for source in CODE for line in source.splitlines()]
    assert times.counted(TEXT)["words"] <= 3000
    assert len([line for line in lines if line and not line.startswith(("#", '"""'))]) <= 170
    assert 'sample("fig")' in CODE[0]
    assert TEXT.count("```{exercise}") == TEXT.count("```{solution-start}") == TEXT.count("```{solution-end}") == 3


def test_what_is_written_from_scratch_is_short() -> None:
    for name in ("hitting", "far", "nystrom"):
        (found,) = [
            node
            for source in CODE
            for node in ast.parse(source).body
            if isinstance(node, ast.FunctionDef) and node.name == name
        ]
        assert found.end_lineno - found.lineno < 25


# ---------------------------------------------------------------------------------------------------------------------
# Times, resistances and Kemeny's constant


@given(seed=seeds, n=sizes)
@several
def test_a_commute_is_volume_times_resistance(seed: int, n: int) -> None:
    """prop-times-commute, 3, and the voltage and the escape of Dirichlet's problem."""
    W = graph(seed, n)
    hit, d = page()["hitting"](W)[0], W.sum(1)
    between = W - np.diag(W.diagonal())
    pseudo = np.linalg.inv(np.diag(between.sum(1)) - between + 1 / n)  # but for a constant
    omega = pseudo.diagonal() + pseudo.diagonal()[:, None] - 2 * pseudo
    np.testing.assert_allclose(hit + hit.T, d.sum() * omega, rtol=1e-6, atol=1e-6 * d.sum() * omega.max())
    assert (np.triu(W, 1) * omega).sum() == pytest.approx(n - 1)  # Foster
    free, P = np.arange(1, n - 1), W / d[:, None]
    voltage = np.r_[1, np.linalg.solve(np.eye(n - 2) - P[1:-1, 1:-1], P[1:-1, 0]), 0]  # meets 0 before n - 1
    v = pseudo[:, 0] - pseudo[:, -1]
    np.testing.assert_allclose(voltage[free], ((v - v[-1]) / omega[0, -1])[free], atol=1e-6)
    assert P[0] @ (1 - voltage) == pytest.approx(1 / (d[0] * omega[0, -1]))  # eq-times-escape


@given(seed=seeds, n=sizes)
@several
def test_kemenys_constant_does_not_ask_where_you_start(seed: int, n: int) -> None:
    """prop-times-commute, 1 and 2, for walks that circle; and N - 1 steps back over a step of the flow."""
    P, law = circling(seed, n)
    gamma = np.linalg.inv(np.eye(n) - P + law)
    hit = (gamma.diagonal() - gamma) / law
    np.testing.assert_allclose(1 + P @ hit - np.diag(1 / law), hit, atol=1e-7 * hit.max())
    others = sorted(np.linalg.eigvals(P), key=lambda rho: abs(1 - rho))[1:]
    np.testing.assert_allclose(hit @ law, gamma.trace() - 1)
    assert gamma.trace() - 1 == pytest.approx(sum(1 / (1 - rho) for rho in others).real)
    assert (law[:, None] * P * hit.T).sum() == pytest.approx(n - 1)


@given(seed=seeds, n=sizes)
@several
def test_two_degrees_say_the_commute_up_to_the_return(seed: int, n: int) -> None:
    """prop-times-lost."""
    ratio, bound = off_degrees(graph(seed, n))
    assert (abs(ratio - 1) <= bound + 1e-6).all()


def test_a_ring_never_gets_lost() -> None:
    for n in (20, 80):
        ring = np.roll(np.eye(n), 1, axis=1)
        hit = page()["hitting"](ring + ring.T)[0]
        assert (hit[0, n // 2] + hit[n // 2, 0]) / (2 * n) == pytest.approx(n / 4)  # two degrees say 1
    assert "A *narrow* graph, a road or a ring, never gets lost" in PROSE


def test_the_toy_by_hand() -> None:
    hit, gamma = page()["hitting"](toy())
    both = hit + hit.T
    np.testing.assert_allclose([both[0, 5], both[2, 3], both[0, 1]], [98 / 3, 14, 28 / 3])
    np.testing.assert_allclose(hit[0, 5], hit[5, 0])
    assert gamma.trace() - 1 == pytest.approx(323 / 42) == pytest.approx(11 / 2 + 4 / 3 + 6 / 7)
    roots = (11 - 73**0.5) / 12, (11 + 73**0.5) / 12
    np.testing.assert_allclose(spectrum(toy())[0], [0, roots[0], 7 / 6, 3 / 2, 3 / 2, roots[1]], atol=1e-12)
    assert all(words in PROSE for words in (r"\tfrac{98}{3} \approx 32.7", r"\tfrac{28}{3} \approx 9.3"))
    assert r"\frac{323}{42} \approx 7.69" in TEXT


@pytest.mark.parametrize("q", [0.3, 1, 4])
def test_the_exercise_on_the_bridge(q: float) -> None:
    hit = page()["hitting"](toy(bridge=q))[0]
    assert hit[0, 5] + hit[5, 0] == pytest.approx(18 + 12 / q + 8 * q / 3)
    assert hit[0, 1] + hit[1, 0] == pytest.approx(8 + 4 * q / 3)
    assert pytest.approx(18 + 8 * 2**0.5) == 18 + 12 / (3 / 2**0.5) + 8 * (3 / 2**0.5) / 3
    assert rf"\approx {3 / 2**0.5:.2f}" in PROSE
    assert rf"\approx {18 + 8 * 2**0.5:.2f}" in PROSE


# ---------------------------------------------------------------------------------------------------------------------
# Diffusion distance


@given(seed=seeds, n=sizes, k=st.integers(1, 6))
@several
def test_diffusion_distance_is_that_of_rows(seed: int, n: int, k: int) -> None:
    """prop-times-diffusion: the rows, the eigenvectors, two walks end to end, and the sum over all steps."""
    W = graph(seed, n)
    d, (values, y) = W.sum(1) / W.sum(), spectrum(W)
    walked = np.linalg.matrix_power(W / W.sum(1, keepdims=True), k)
    by_rows = ((walked[:, None] - walked) ** 2 / d).sum(2) ** 0.5
    points = y * (1 - values) ** k
    by_vectors = ((points[:, None] - points) ** 2).sum(2) ** 0.5
    largest = 1 / d.min() ** 0.5
    np.testing.assert_allclose(page()["far"](W, k), by_rows, atol=1e-7 * largest)
    np.testing.assert_allclose(by_vectors, by_rows, atol=1e-6 * largest)
    twice = np.linalg.matrix_power(W / W.sum(1, keepdims=True), 2 * k)
    np.testing.assert_allclose(walked / d @ walked.T, twice / d, atol=1e-8 / d.min())
    hit, over = page()["hitting"](W)[0], y[:, 1:] / values[1:] ** 0.5
    commutes = ((over[:, None] - over) ** 2).sum(2)  # each 1 / lambda is a geometric series
    np.testing.assert_allclose(hit + hit.T, commutes, rtol=1e-5, atol=1e-6 * commutes.max())


# ---------------------------------------------------------------------------------------------------------------------
# Nystrom


@given(seed=seeds, n=sizes, rank=st.integers(1, 6))
@several
def test_nystroms_method_projects(seed: int, n: int, rank: int) -> None:
    """prop-times-nystrom: exact in the sample, a projection elsewhere, exact where the sample spans."""
    rng = np.random.default_rng(seed)
    F, U = rng.normal(size=(n, rank)), rng.permutation(n)[: rng.integers(1, n)]
    W = F @ F.T
    guess = W[:, U] @ np.linalg.pinv(W[np.ix_(U, U)], hermitian=True) @ W[U]
    onto = np.linalg.pinv(F[U]) @ F[U]
    np.testing.assert_allclose(guess, F @ onto @ F.T, atol=1e-5)
    np.testing.assert_allclose(guess[U], W[U], atol=1e-5)
    if np.linalg.matrix_rank(F[U]) == np.linalg.matrix_rank(F):
        np.testing.assert_allclose(guess, W, atol=1e-5)


def test_all_columns_give_the_exact_vector() -> None:
    y = page()["nystrom"](toy(), np.arange(6), toy().sum(1))
    np.testing.assert_allclose(abs(y / y[0]), abs(spectrum(toy())[1][:, 1] / spectrum(toy())[1][0, 1]))


@given(seed=seeds, n=sizes)
@several
def test_two_steps_are_positive_semidefinite_and_keep_the_vectors(seed: int, n: int) -> None:
    W = graph(seed, n)
    (values, y), two = spectrum(W), W / W.sum(1) @ W
    assert np.linalg.eigvalsh(two)[0] > -1e-9 * two.max()
    np.testing.assert_allclose(two @ y, W.sum(1)[:, None] * y * (1 - values) ** 2, atol=1e-6 * W.sum())


def test_words_on_the_sample() -> None:
    """A walk that is smooth, one that is not, and two steps of it: medians of the page's own five samples."""
    names = page()
    own, agreed = graphs = names["graphs_over"](48)
    names["exact"] = {one: names["best_cut"](one) for one in graphs}
    assert names["median"](own, False, 16)[0] < 1.05
    assert "Sixteen columns of 1,536 price the cut within a twentieth" in PROSE
    assert len(own) == 1536
    assert min(names["median"](agreed, False, m)[0] for m in (8, 16, 32, 64, 128, 256)) > 2
    assert "Its own columns mislead at every $m$" in PROSE
    assert names["median"](agreed, True, 256)[0] < 1.05
    assert names["exact"][agreed].eigenpair.products == pytest.approx(40, abs=6)
    assert "the exact eigenvector took about 40" in PROSE
    even = np.arange(1536).reshape(32, 48)[1::8, 1::8].ravel()
    assert len(even) == 24
    assert names["beside"](agreed, True, even)[0] < 1.1
    assert names["beside"](agreed, False, even)[0] > 10
    assert "24 even patches come within a tenth of the price" in PROSE
    lowest = [1 - spectrum(one.W.double().numpy())[0][-1] for one in graphs]
    assert lowest[0] > -0.05 > -0.4 > lowest[1]  # nearly positive semidefinite, and not


# ---------------------------------------------------------------------------------------------------------------------
# On the photograph


def test_times_of_the_photograph() -> None:
    names = page()
    W, hit, d = names["W"], names["hit"], names["d"]
    assert len(W) == 384
    steps = mixing_time(Walk(W / W.sum(1, keepdims=True), (16, 24)))
    assert f"has forgotten its start after {steps} steps" in PROSE
    assert f"To *find* a patch it needs {hit[0] @ d:.0f}." in PROSE
    at = names["at"]
    share = (1 / d + 1 / d[at]).sum() / names["com"][at].sum()
    assert f"of the commutes from our patch of the bowl it is {share:.0%}" in PROSE


def test_the_commute_loses_its_way() -> None:
    (first, *_), (last, _, bound) = measured(12, 0), measured(48, 0)
    assert f"come from within {first:.3f}".replace("0.", ".") in PROSE
    assert f"to within {last:.3f}".replace("0.", ".") in PROSE
    assert bound < 0.2 < measured(12, 0)[2]
    many = measured(48, 1)
    assert many[1] > 0.7
    assert "one pair in ten is still off by more than .7" in PROSE
    assert many[2] > 1  # the bound is idle
    for which in (0, 1):
        assert all(now < before for now, before in zip(measured(48, which), measured(12, which), strict=True))

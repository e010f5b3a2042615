"""The page "Walks that circle": its propositions on random chains, and every number in its words."""

import functools
import re
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pages import page_of
from scipy.linalg import expm
from test_core import times

from walkcut.exercises import toy
from walkcut.lab.directed import direct
from walkcut.lab.markov import mixing_time, relaxation_time
from walkcut.ncut import best_cut, ncut
from walkcut.walk import Walk

PAGE = page_of("further-circling")
TEXT, PROSE, CODE = PAGE.text, PAGE.prose, PAGE.code
several = settings(max_examples=25)
seeds, sizes = st.integers(0, 2**32 - 1), st.integers(3, 10)


@functools.cache
def page() -> dict:
    """What the page defines: its first cell without the drawing, and then functions only."""
    return PAGE.defined(CODE[0].partition("\n_, axes")[0])


@functools.cache
def photograph() -> dict:
    """What the cells named `scratch` and `photo` leave behind."""
    names = dict(page())
    for cell in PAGE.cells:
        if cell["id"] in ("scratch", "photo", "photo-figure"):
            exec("".join(cell["source"]), names)
    return names


def circling(seed: int, n: int, rest: float = 0.0) -> np.ndarray:
    """A walk that is not reversible; some of its steps are hardly ever taken."""
    rng = np.random.default_rng(seed)
    return rest * np.eye(n) + (1 - rest) * rng.dirichlet(np.full(n, 0.5) + 0.1, n)


def walk_of(P: np.ndarray) -> Walk:
    return Walk(P, (1, len(P)))


def size(v: np.ndarray, law: np.ndarray) -> float:
    return float(np.sqrt((law * abs(v) ** 2).sum()))


# ---------------------------------------------------------------------------------------------------------------------
# The page as a page


def test_the_page_keeps_the_limits_of_a_chapter() -> None:
    lines = [line.strip() for source in CODE for line in source.splitlines()]
    assert times.counted(TEXT)["words"] <= 3000
    assert len([line for line in lines if line and not line.startswith(("#", '"""'))]) <= 170
    assert 'sample("fig")' in "\n".join(CODE)
    assert TEXT.count("```{exercise}") == TEXT.count("```{solution-start}") == TEXT.count("```{solution-end}") == 3


def test_each_decimal_in_the_words_is_held_below() -> None:
    words = re.sub(r"\$\$.*?\$\$|`[^`]*`", " ", re.sub("```+", " ", PROSE))
    found = set(re.findall(r"(?<![\w.-])\d*\.\d+(?!\w)", words))
    assert found == {"0.795", "0.775", "0.927", "0.966", "0.933", "29.3", "14.9", ".0045", ".056"}


# ---------------------------------------------------------------------------------------------------------------------
# Two clocks


@given(seed=seeds, n=sizes, k=st.integers(1, 12), rest=st.sampled_from([0, 0.2, 0.5]))
@several
def test_what_a_walk_forgets_by_either_clock(seed: int, n: int, k: int, rest: float) -> None:
    """prop-circle-speed, and eq-circle-start."""
    P = circling(seed, n, rest)
    law, backwards, additive, both = page()["forms"](P)
    np.testing.assert_allclose(law @ P, law)
    np.testing.assert_allclose(backwards @ P, both)
    slow, root = 1 - page()["second"](additive, law), page()["second"](both, law)
    v = np.random.default_rng(seed).normal(size=n)
    v -= law @ v
    assert size(expm(-k / 2 * (np.eye(n) - P)) @ v, law) <= np.exp(-slow * k / 2) * size(v, law) + 1e-9
    assert size(np.linalg.matrix_power(P, k) @ v, law) <= root ** (k / 2) * size(v, law) + 1e-9
    assert root <= 1 - 2 * P.diagonal().min() * slow + 1e-9
    delta = abs(np.linalg.matrix_power(P, k) - law).sum(1).max() / 2
    assert delta <= root ** (k / 2) * np.sqrt(1 / law.min() - 1) / 2 + 1e-9
    assert page()["speeds"](P)[1] == pytest.approx(slow)
    if rest == 0.5:
        assert relaxation_time(walk_of(P)) <= 2 * relaxation_time(walk_of(additive)) + 1e-6


def test_the_toy_by_hand() -> None:
    plain, half, whole = (toy(twist=twist) / toy(twist=twist).sum(1, keepdims=True) for twist in (0, 0.5, 1))
    for P in (half, whole):
        assert page()["forms"](P)[2] == pytest.approx(plain)
    slow = max(np.roots([3, 1, 0, -2]).real)
    assert f"and $\\rho \\approx {slow:.3f}$" in PROSE
    assert f"of modulus $\\sqrt{{\\tfrac23 / 0.775}} \\approx {1 - 1 / relaxation_time(walk_of(whole)):.3f}$" in PROSE
    assert f"\\rho_2 = 1 - \\lambda_2 \\approx {1 - 1 / relaxation_time(walk_of(plain)):.3f}" in PROSE
    assert relaxation_time(walk_of(half)) < relaxation_time(walk_of(plain))
    assert mixing_time(walk_of(half)) == mixing_time(walk_of(plain)) + 1
    assert "the toy mixes a step *later*" in PROSE
    left = np.arange(6) < 3
    for P in (plain, half):
        assert ncut(direct(walk_of(P)), left) == pytest.approx(2 / 9)
        assert ncut(walk_of(P).reversible(), left) == pytest.approx(2 / 7)


def test_rings_are_normal_and_never_faster() -> None:
    for q, twist in product((0.1, 0.5), (0, 0.4, 1)):
        P = page()["ring"](15, (1 - q) * (1 + twist) / 2, (1 - q) * (1 - twist) / 2)
        law, backwards, additive, both = page()["forms"](P)
        np.testing.assert_allclose(P @ backwards, both, atol=1e-12)
        assert page()["second"](both, law) == pytest.approx((1 - 1 / relaxation_time(walk_of(P))) ** 2)
        assert relaxation_time(walk_of(P)) >= relaxation_time(walk_of(additive)) - 1e-9


def test_inertia_is_fast_and_its_bound_idle() -> None:
    times = {n: relaxation_time(walk_of(page()["inertia"](n))) for n in (25, 51, 101)}
    forms = {n: relaxation_time(walk_of(page()["forms"](page()["inertia"](n))[2])) for n in times}
    for n in times:
        assert times[n] == pytest.approx(n, abs=1)
        assert forms[n] == pytest.approx(2 * n**2 / np.pi**2, rel=0.1)
        law, _, additive, both = page()["forms"](page()["inertia"](n))
        assert page()["second"](both, law) == pytest.approx(1)
        assert 1 / (1 - page()["second"](additive, law)) == pytest.approx(forms[n] / 4, rel=0.01)  # no sign is turned
    lazy = (np.eye(202) + page()["inertia"](101)) / 2
    steps = [relaxation_time(walk_of(P)) for P in (lazy, page()["forms"](lazy)[2])]
    assert "the walker is faster, too: {:.0f} steps against {:,.0f}.".format(*steps) in PAGE.prose
    law, _, additive, _ = page()["forms"](page()["inertia"](101))
    plain = 1 / (1 - page()["second"](additive, law))
    assert f"On 101 places its form needs {forms[101]:,.0f} steps" in PAGE.prose
    assert f"; {plain:.0f} but for that" in PAGE.prose


# ---------------------------------------------------------------------------------------------------------------------
# Cheeger


@given(seed=seeds, n=sizes)
@several
def test_cheegers_inequality_and_the_steps_of_its_proof(seed: int, n: int) -> None:
    """prop-circle-cheeger: median, halves, layers, and a prefix that keeps the bound."""
    P = circling(seed, n)
    law = page()["forms"](P)[0]
    W = (law[:, None] * P + (law[:, None] * P).T) / 2
    root = np.sqrt(law)
    values, x = np.linalg.eigh(np.eye(n) - W / np.outer(root, root))
    slow, y = values[1], x[:, 1] / root
    order = np.argsort(y)
    middle = y[order][np.searchsorted(law[order].cumsum(), 0.5)]
    z, other = np.maximum(y - middle, 0), np.maximum(middle - y, 0)
    assert law[z > 0].sum() <= 0.5 + 1e-9
    assert law[other > 0].sum() <= 0.5 + 1e-9
    laplacian = np.diag(law) - W
    halves = [(one @ laplacian @ one, (law * one**2).sum(), one) for one in (z, other)]
    assert sum(energy for energy, _, _ in halves) <= slow * sum(mass for _, mass, _ in halves) + 1e-9
    energy, mass, one = min((half for half in halves if half[1] > 0), key=lambda half: half[0] / half[1])
    assert energy <= slow * mass + 1e-9
    layers = (W * abs(one[:, None] ** 2 - one**2)).sum() / 2
    assert layers <= np.sqrt(energy * (2 * mass - energy)) + 1e-9 <= np.sqrt(2 * slow) * mass + 2e-9
    heights = [one**2 > height for height in np.unique(one**2)[:-1]]
    assert min(W[S][:, ~S].sum() / law[S].sum() for S in heights) <= np.sqrt(2 * slow) + 1e-9
    assert page()["extremes"](P)[0] == pytest.approx(slow, abs=1e-5)


def test_every_cut_is_tried_once() -> None:
    sides = page()["every_cut"](4).astype(int)
    assert sides.shape == (7, 4)
    assert len({frozenset((tuple(side), tuple(1 - side))) for side in sides}) == 7


# ---------------------------------------------------------------------------------------------------------------------
# Weighted cuts


@given(seed=seeds, n=sizes)
@several
def test_the_weighted_cut_is_a_rayleigh_quotient(seed: int, n: int) -> None:
    """prop-circle-wcut."""
    P, rng = circling(seed, n), np.random.default_rng(seed)
    mu, S = rng.dirichlet(np.ones(n) + 0.1), rng.permutation(n) < rng.integers(1, n)
    y = np.where(S, np.sqrt(mu[~S].sum() / mu[S].sum()), -np.sqrt(mu[S].sum() / mu[~S].sum()))
    price, matrix = page()["wcut"](P, mu, S), np.diag(mu) @ (np.eye(n) - P)
    assert mu @ y == pytest.approx(0, abs=1e-9)
    assert y @ matrix @ y / (y @ (mu * y)) == pytest.approx(price)
    v, after = rng.normal(size=n), P.T @ mu
    energy = (mu[:, None] * P * (v[:, None] - v) ** 2).sum() / 2
    assert v @ matrix @ v == pytest.approx(energy + ((mu - after) * v**2).sum() / 2)
    np.testing.assert_allclose((matrix + matrix.T).sum(1) / 2, (mu - after) / 2, atol=1e-12)
    floor, least = page()["relaxed"](P, mu)
    assert floor <= price + 1e-9
    assert mu @ least == pytest.approx(0, abs=1e-7)
    assert least @ matrix @ least / (least @ (mu * least)) == pytest.approx(floor, abs=1e-9)


# ---------------------------------------------------------------------------------------------------------------------
# On the photograph


def test_words_on_the_photograph() -> None:
    names = photograph()
    own, near = names["walks"].values()
    for walk in (own, near):
        P = walk.P.double().numpy()
        law, _, additive, _ = names["forms"](P)
        flow = law[:, None] * P
        assert abs(flow - flow.T).sum() / 2 == pytest.approx(0.1, abs=0.005)
        rate, slow, modulus, _ = names["speeds"](P)
        assert rate > slow
        assert modulus < 1 - 1 / relaxation_time(Walk(additive, walk.grid))
    assert "a tenth of the flow is not paid back" in PROSE
    assert "forget *faster* than their reversible forms, by either clock" in PROSE
    found, form = best_cut(near.reversible()), near.reversible()
    S, even = found.side.numpy(), np.full(len(near), 1 / len(near))
    prices = ncut(form, S), names["wcut"](near.P.double().numpy(), even, S)
    assert f"costs {prices[0]:.4f} by the law and {prices[1]:.3f} for".replace("0.", ".") in PROSE
    assert prices[1] / prices[0] == pytest.approx(12, abs=0.5)
    chapter = page_of("03-ncut").cells
    assert any("the photograph's cut costs twelve times as much" in "".join(cell["source"]) for cell in chapter)
    T, cut = own.P.double().numpy(), best_cut(own.reversible())
    assert names["wcut"](T, even, cut.side.numpy()) / cut.ncut == pytest.approx(2, abs=0.1)
    for side in (S, ~S):
        worst = np.flatnonzero(side)[np.argsort(-names["leak"][side])[: side.sum() // 10]]
        assert names["leak"][worst].sum() / names["leak"][side].sum() == pytest.approx(0.85, abs=0.02)
        assert names["law"][worst].sum() / names["law"][side].sum() < 0.012
    visits = len(near) * names["law"]
    assert (visits.min(), visits.max()) == (pytest.approx(0.001, abs=5e-4), pytest.approx(14, abs=0.5))
    floors = [names["relaxed"](one.P.double().numpy(), even)[0] for one in (own, near)]
    assert floors[0] > 0 > floors[1]
    assert "and its floor is negative" in PROSE

"""The page on many sides at once: its propositions on random walks, and what its words say of numbers and of files."""

import functools
import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import eigh
from sklearn.cluster import SpectralClustering
from sklearn.metrics import adjusted_rand_score
from test_core import times

from walkcut import load_backbone, sample
from walkcut.bench import RESULTS
from walkcut.exercises import toy
from walkcut.recipe import resolve
from walkcut.segmentation import extract_walks

HERE = Path(__file__).resolve().parent
PAGE = HERE.parent / "book" / "further-kway.ipynb"
CELLS = json.loads(PAGE.read_text(encoding="utf-8"))["cells"]
MARKDOWN, CODE = (["".join(c["source"]) for c in CELLS if c["cell_type"] == kind] for kind in ("markdown", "code"))
PROSE = " ".join(" ".join(MARKDOWN).split())
seeds = st.integers(0, 2**32 - 1)
few = settings(max_examples=40)


@functools.cache
def page() -> dict:
    """What the cell of the page that is written from scratch defines, and the one of the sums."""
    names = {"np": np, "eigh": eigh, "toy": toy, "print": lambda *_: None}
    for source in CODE:
        if "def pivots" in source or "def sums" in source:
            exec(source, names)
    return names


def random_graph(seed: int, n: int = 12, loops: bool = True) -> np.ndarray:
    """Weights that differ by orders of magnitude."""
    W = np.random.default_rng(seed).random((n, n)) ** 4
    W = W + W.T
    return W if loops else W - np.diag(W.diagonal())


def lumpable(seed: int, blocks: int = 3, size: int = 4) -> np.ndarray:
    """Patches of a block step alike into each block; what is random within a pair of blocks has rows of sum zero."""
    rng = np.random.default_rng(seed)
    between = rng.uniform(0.05, 0.3, (blocks, blocks))
    means = np.triu(between, 1) + np.triu(between, 1).T + np.diag(rng.uniform(2, 4, blocks))
    centred = np.kron(np.eye(blocks), np.eye(size) - 1 / size)
    noise = centred @ rng.uniform(-1, 1, (blocks * size,) * 2) @ centred
    spread = np.kron(means, np.ones((size, size)))
    return spread + 0.5 * min(means.min() / abs(noise).max(), 1) * (noise + noise.T) / 2


def file(name: str) -> dict:
    return json.loads((RESULTS / f"tree/{name}.json").read_text(encoding="utf-8"))


def test_the_page_is_as_short_as_a_chapter() -> None:
    assert times.counted("\n".join(MARKDOWN))["words"] <= 3000
    lines = [line.strip() for source in CODE for line in source.splitlines()]
    assert len([line for line in lines if line and not line.startswith(("#", '"""'))]) <= 170
    (scratch,) = [source for source in CODE if "def pivots" in source]
    kept = [line for line in scratch.splitlines() if line.strip() and '"""' not in line]
    assert len(kept) <= 25


@given(seed=seeds, count=st.integers(2, 5), loops=st.booleans())
@few
def test_retentions_perron_roots_and_eigenvalues_are_in_order(seed: int, count: int, loops: bool) -> None:
    labels = np.random.default_rng(seed).permutation(np.arange(12) % count)
    W = random_graph(seed, loops=loops)
    kept, roots, most = page()["sums"](W, labels)
    assert kept <= roots + 1e-9
    assert roots <= most + 1e-9
    rho, Y = page()["solved"](W)
    indicators = np.eye(count)[labels] * W.sum(1)[:, None] ** 0.5
    shares = ((indicators / np.linalg.norm(indicators, axis=0)).T @ (Y * W.sum(1)[:, None] ** 0.5)) ** 2
    shares = shares.sum(0)[:count]
    assert shares @ rho[:count] + rho[-1] * (1 - shares).sum() <= kept + 1e-9  # Huisinga and Schmidt, from below


@given(seed=seeds)
@few
def test_a_lumpable_walk_loses_nothing_and_every_rounding_finds_its_segments(seed: int) -> None:
    W, labels = lumpable(seed), np.repeat(range(3), 4)
    assert W.min() >= 0
    kept, roots, most = page()["sums"](W, labels)
    np.testing.assert_allclose([kept, roots], most, atol=1e-9)
    rho, Y = page()["solved"](W)
    d, Z, Y = W.sum(1), np.eye(3)[labels], Y[:, :3]
    coarse = (Z.T @ W @ Z) / (d @ Z)[:, None]
    np.testing.assert_allclose(np.sort(np.linalg.eigvals(coarse).real)[::-1], rho[:3], atol=1e-9)
    rows = Y[[0, 4, 8]]
    np.testing.assert_allclose(Y, rows[labels], atol=1e-7)
    np.testing.assert_allclose(rows @ rows.T, np.diag(1 / (d @ Z)), atol=1e-7)
    assert adjusted_rand_score(page()["by_qr"](Y), labels) == 1
    np.testing.assert_allclose(np.sort(page()["memberships"](Y), axis=1), [[0, 0, 1]] * 12, atol=1e-6)


@given(seed=seeds)
@few
def test_memberships_lump_exactly_and_reach_the_ceiling(seed: int) -> None:
    W = random_graph(seed)
    rho, Y = page()["solved"](W)
    m = page()["memberships"](Y[:, :3])
    at = page()["corners"](Y[:, :3])
    coarse = Y[at, :3] @ np.diag(rho[:3]) @ np.linalg.inv(Y[at, :3])
    np.testing.assert_allclose(W @ m / W.sum(1)[:, None], m @ coarse, atol=1e-6)
    assert np.trace(coarse) == pytest.approx(rho[:3].sum())
    np.testing.assert_allclose(m.sum(1), 1, atol=1e-7)


@given(seed=seeds, size=st.integers(2, 8))
@few
def test_bounds_on_the_stay_in_a_region(seed: int, size: int) -> None:
    W = random_graph(seed)
    part, d = W[:size, :size], W.sum(1)[:size]
    values, V = eigh(part, np.diag(d))
    root, v = values[-1], abs(V[:, -1])
    law = d * v / (d @ v)
    np.testing.assert_allclose(law @ (part / d[:, None]), root * law, atol=1e-9)  # quasi-stationary
    retention, kappa = part.sum() / d.sum(), part.sum(1) / d
    assert retention <= root + 1e-9
    assert root <= kappa.max() + 1e-9
    stay = d @ np.linalg.solve(np.diag(d) - part, d) / d.sum()
    assert 1 / (1 - retention) <= stay * (1 + 1e-9)
    assert stay <= (1 + 1e-9) / (1 - root)
    doob = part * np.outer(v, v) / (d * v * v * root)[:, None]
    np.testing.assert_allclose(doob.sum(1), 1, atol=1e-9)


@given(seed=seeds, size=st.integers(1, 8))
@few
def test_the_root_of_a_circling_walk_is_no_larger_than_that_of_its_reversible_form(seed: int, size: int) -> None:
    P = np.random.default_rng(seed).random((9, 9)) ** 6
    P = P / P.sum(1, keepdims=True)
    law = np.linalg.solve(np.vstack([(np.eye(9) - P.T)[:-1], np.ones(9)]), np.eye(9)[-1])
    form = (law[:, None] * P + P.T * law) / 2
    root = abs(np.linalg.eigvals(P[:size, :size])).max()
    assert root <= eigh(form[:size, :size], np.diag(law[:size]), eigvals_only=True)[-1] + 1e-9


def test_numbers_by_hand() -> None:
    kept, roots, most = page()["sums"](toy(), np.repeat([0, 1], 3))
    for value, words in (
        (kept, r"add to $\tfrac{12}7 \approx 1.714$"),
        (most, r"$\rho_1 + \rho_2 \approx 1.795$"),
        (roots, "Twice that is 1.758"),
        (roots / 2, r"$\rho = (3 + \sqrt{57})/12 \approx 0.879$"),
        (kept / 2, r"more than $\tfrac67 \approx 0.857$"),
    ):
        assert words in PROSE
        assert re.findall(r"\d\.\d{3}", words) == [f"{value:.3f}"]
    assert roots / 2 == pytest.approx((3 + 57**0.5) / 12)


def test_the_ties_of_the_exercise() -> None:
    for t in (0.5, 1.5, 3.0):
        W = toy(bridge=t)
        W[[0, 1, 4, 5], [4, 5, 0, 1]] = t
        expected = np.sort([2 + t, 2 - t, t - 1, t - 1, -1 - t, -1 - t]) / (2 + t)
        np.testing.assert_allclose(page()["solved"](W)[0][::-1], expected, atol=1e-9)


def test_what_two_roundings_share_on_the_photograph() -> None:
    """k-means and QR agree least where rho is small, not where the gap is; three segments keep almost everything."""
    assert "agree least (adjusted Rand index; 1 is the same) at the largest $C$" in PROSE
    backbone = load_backbone(device="cpu")
    (record,) = extract_walks([sample("fig")], backbone, resolve("walkcut", backbone.eye, {"grid": 32}))
    W = record.walk.reversible().W.double().numpy()
    assert W.diagonal().max() == 0  # scikit-learn leaves the diagonal out
    rho, Y = page()["solved"](W)
    assert rho[:3].sum() > 2.98
    assert 1 - rho[3] > 10 * (1 - rho[2])
    way = {"affinity": "precomputed", "random_state": 0}
    alike = [
        adjusted_rand_score(page()["by_qr"](Y[:, :C]), SpectralClustering(C, **way).fit_predict(W)) for C in range(2, 8)
    ]
    assert max(alike[-2:]) < min(alike[:-2])
    gaps = -np.diff(rho[1:8])
    assert gaps[-2:].min() > gaps.min()


def survivors() -> ModuleType:
    spec = importlib.util.spec_from_file_location("survivors", HERE / "perf" / "survivors.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_survivors_of_a_part_are_those_of_a_part_of_the_survivors() -> None:
    whole = survivors().Survivors(torch.from_numpy(random_graph(3, loops=False)))
    some, inner = torch.arange(8), torch.arange(5)
    one, two = (graph.W / graph.W.sum() for graph in (whole.subgraph(inner), whole.subgraph(some).subgraph(inner)))
    torch.testing.assert_close(one, two)


def test_three_sub_walks_are_told_as_measured() -> None:
    result = file("survivors")
    assert result["pictures"] == 200
    held, kept = (result["covering"][way] for way in ("held", "survivors"))
    assert held["low"] < 0 < held["high"]
    assert "The held walk is level with the restricted graph." in PROSE
    assert kept["high"] < 0
    loss = f"{-kept['difference']:.3f}".removeprefix("0")
    assert f"The survivors cover {loss} less, and their interval excludes zero" in PROSE
    assert "of the three sub-walks none covered more than the restricted graph" in PROSE


def test_the_recursion_is_ahead_of_all_three_roundings() -> None:
    scenes = file("kway")["sets"]["scenes-seeds"]
    assert scenes["pictures"] == 200
    for way in ("k-means", "discretisation", "pivoted QR"):
        assert scenes["ncut"][way]["low"] > 0
        assert scenes["covering"][way]["high"] < 0
    assert "is ahead of all three roundings, and every interval excludes zero" in PROSE
    assert "On 200 scenes the recursion beat three roundings in price and in covering" in PROSE

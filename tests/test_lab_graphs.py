"""Graphs from rows, features and divergences, against loops and by hand."""

import math
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon
from toy_graphs import random_weights

from walkcut.errors import InputError
from walkcut.graph import Graph
from walkcut.lab.graphs import MOST, LowRank, averaged, from_divergence, from_features, from_rows, jensen_shannon
from walkcut.lab.recorders import Features
from walkcut.ncut import best_cut, best_split
from walkcut.registry import GRAPHS, RECORDERS
from walkcut.walk import Walk

seeds = st.integers(0, 2**32 - 1)


def random_walk(n: int, seed: int = 0) -> Walk:
    P = np.random.default_rng(seed).gamma(0.5, size=(n, n)) + 1e-6
    return Walk(torch.tensor(P / P.sum(1, keepdims=True)), (1, n))


def two_kinds(n: int = 8) -> Walk:
    """Patches 0, 2, ... look at the first half of the picture, 1, 3, ... at the second."""
    P = torch.full((n, n), 0.01, dtype=torch.float64)
    P[0::2, : n // 2] = 1
    P[1::2, n // 2 :] = 1
    return Walk(P / P.sum(1, keepdim=True), (1, n))


# ---------------------------------------------------------------------------------------------------------------------
# Graphs that are never written down


@pytest.mark.parametrize(("n", "d"), [(9, 3), (150, 7)])  # more rows than are summed up together
def test_a_low_rank_graph_answers_as_its_table(n: int, d: int) -> None:
    F, order = random_weights(max(n, d), 3)[:n, :d], torch.randperm(n, generator=torch.Generator().manual_seed(3))
    graph, W = LowRank(F), F @ F.T
    expected = torch.stack([W[order[:m]][:, order[:m]].sum() for m in range(1, n + 1)])
    torch.testing.assert_close(graph.association_gains(order).cumsum(0), expected)
    torch.testing.assert_close(graph.degrees, W.sum(1))
    for v in (F[:, 0], F):
        torch.testing.assert_close(graph.matvec(v), W @ v)
    part = graph.subgraph(order[:5])
    torch.testing.assert_close(part.matvec(torch.ones(5)), W[order[:5]][:, order[:5]].sum(1))
    assert len(part) == 5


@pytest.mark.parametrize(("n", "d"), [(9, 3), (300, 5)])
def test_a_low_rank_graph_is_cut_as_if_written_down(n: int, d: int) -> None:
    F = torch.rand(n, d, generator=torch.Generator().manual_seed(1), dtype=torch.float64) ** 4
    low, dense = LowRank(F), Graph(F @ F.T)
    torch.testing.assert_close(low.degrees, dense.degrees)
    order = torch.randperm(n, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(low.association_gains(order).cumsum(0), dense.association_gains(order).cumsum(0))
    one, other = best_cut(low, 1e-10), best_cut(dense, 1e-10)
    assert one.ncut == pytest.approx(other.ncut, abs=1e-9)
    assert one.eigenpair.value == pytest.approx(other.eigenpair.value, abs=1e-8)


@given(seed=seeds, n=st.integers(2, 80), small=st.sampled_from([1e-5, 1e-3, 1.0]), single=st.booleans())
@settings(max_examples=30)
def test_an_order_and_its_reverse_cost_the_same(seed: int, n: int, small: float, single: bool) -> None:
    F = torch.rand(n, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    F[-1] *= small
    graph, values = LowRank(F.float() if single else F), torch.arange(n)
    forwards, backwards = best_split(graph, values).curve, best_split(graph, -values).curve
    torch.testing.assert_close(forwards, backwards.flip(0), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("F", "words"),
    [
        (torch.zeros(3), "a table of patches by features, not \\(3,\\)"),
        (torch.zeros(0, 2), "a table of patches by features"),
        (torch.tensor([[1.0, -2.0]]), "must not be negative, they hold -2"),
        (torch.tensor([[1.0, float("nan")]]), "must be finite"),
        (torch.tensor([[1.0, float("inf")]]), "must be finite"),
    ],
)
def test_what_is_no_table_of_features_is_refused(F: torch.Tensor, words: str) -> None:
    with pytest.raises(InputError, match=words):
        LowRank(F)


def test_a_low_rank_graph_survives_pickling() -> None:
    graph = LowRank(random_weights(20, 0)[:, :3])
    again = pickle.loads(pickle.dumps(graph))
    assert type(again) is LowRank
    assert torch.equal(again.F, graph.F)
    assert torch.equal(again.degrees, graph.degrees)
    assert b"torch" not in pickle.dumps(graph)
    assert len({graph, again, graph}) == 2


# ---------------------------------------------------------------------------------------------------------------------
# Rows


@pytest.mark.parametrize("measure", ["dot", "cosine"])
def test_rows_against_the_table_multiplied_out(measure: str) -> None:
    walk = random_walk(9, 1)
    P = walk.P.numpy()
    table = P @ P.T
    if measure == "cosine":
        length = np.sqrt((P**2).sum(1))
        table /= np.outer(length, length)
    graph = from_rows(walk, measure)
    np.testing.assert_allclose(graph.matvec(torch.eye(9)).numpy(), table)
    np.testing.assert_allclose(graph.degrees.numpy(), table.sum(1))


def test_walkers_that_meet() -> None:
    """From 0 and 1 both walkers go to 0 or 1 alike: they meet with probability 1/2."""
    walk = Walk(torch.tensor([[0.5, 0.5, 0.0], [0.5, 0.5, 0.0], [0.0, 0.0, 1.0]]), (1, 3))
    assert from_rows(walk, "dot").matvec(torch.eye(3)).tolist() == [[0.5, 0.5, 0], [0.5, 0.5, 0], [0, 0, 1]]
    cosine = from_rows(walk, "cosine").matvec(torch.eye(3))
    torch.testing.assert_close(cosine, torch.tensor([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0]]))


@pytest.mark.parametrize("make", [from_rows, from_divergence])
def test_patches_that_look_at_the_same_places_belong_together(make) -> None:
    split = best_cut(make(two_kinds()))
    assert set(split.order[: split.size].tolist()) in ({0, 2, 4, 6}, {1, 3, 5, 7})


def test_a_measure_that_is_none_is_refused() -> None:
    with pytest.raises(InputError, match="no measure 'euclid' of rows: choose from dot, cosine"):
        from_rows(random_walk(3), "euclid")


# ---------------------------------------------------------------------------------------------------------------------
# Features


def test_cosines_by_hand() -> None:
    values = torch.tensor([[1.0, 0.0], [2.0, 2.0], [-3.0, 0.0], [0.0, 0.0]])
    half = math.sqrt(0.5)
    expected = [[1, half, 0, 0], [half, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    torch.testing.assert_close(from_features(values, 1).W, torch.tensor(expected))
    for alpha in (2, 3, 10, 0.5):  # an even power would make opposites alike, an odd one negative, a root NaN
        torch.testing.assert_close(from_features(Features(values, (2, 2)), alpha).W, torch.tensor(expected) ** alpha)


@given(seed=seeds, n=st.integers(1, 9), d=st.integers(1, 5), alpha=st.floats(0.1, 20))
@settings(max_examples=30)
def test_a_graph_of_features_is_a_graph(seed: int, n: int, d: int, alpha: float) -> None:
    W = from_features(torch.randn(n, d, generator=torch.Generator().manual_seed(seed)), alpha).W
    assert len(Graph(W)) == n  # symmetric, finite, not negative
    assert W.max() == 1


@pytest.mark.parametrize("alpha", [0, -1, float("nan"), float("inf")])
def test_the_power_is_positive(alpha: float) -> None:
    with pytest.raises(InputError, match="alpha is a positive, finite number"):
        from_features(torch.ones(2, 2), alpha)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (torch.ones(3), r"patches by features, not \(3,\)"),
        (torch.ones(0, 3), r"patches by features, not \(0, 3\)"),
        (torch.tensor([[1.0], [float("nan")]]), "must be finite"),
    ],
)
def test_what_are_no_features_is_refused(values: torch.Tensor, words: str) -> None:
    with pytest.raises(InputError, match=words):
        from_features(values)


# ---------------------------------------------------------------------------------------------------------------------
# Divergences


def test_divergences_against_scipy() -> None:
    walk = random_walk(7, 2)
    P = walk.P.numpy()
    expected = [[jensenshannon(p, q) ** 2 for q in P] for p in P]  # SciPy gives the root
    np.testing.assert_allclose(jensen_shannon(walk).numpy(), expected, atol=1e-12)


def test_rows_that_share_nothing_diverge_by_log_2() -> None:
    walk = Walk(torch.eye(3), (1, 3))
    torch.testing.assert_close(jensen_shannon(walk), math.log(2) * (1 - torch.eye(3)))
    torch.testing.assert_close(from_divergence(walk).W, torch.eye(3) + (1 - torch.eye(3)) / math.e)


def test_the_median_is_the_scale() -> None:
    walk = random_walk(6, 3)
    JS = jensen_shannon(walk).numpy()
    scale = np.sort(JS[np.triu_indices(6, 1)])[7]  # of 15
    np.testing.assert_allclose(from_divergence(walk).W.numpy(), np.exp(-JS / scale))


def test_rows_that_are_all_alike() -> None:
    W = from_divergence(Walk(torch.full((30, 30), 1 / 30), (5, 6))).W
    torch.testing.assert_close(W, torch.ones(30, 30), atol=0.5, rtol=0)
    assert from_divergence(Walk(torch.ones(1, 1), (1, 1))).W.tolist() == [[1]]


def test_too_many_patches_for_divergences() -> None:
    walk = Walk(torch.eye(MOST + 1), (1, MOST + 1))
    with pytest.raises(InputError, match="1025 patches take too long: use a smaller grid, at most 1024"):
        from_divergence(walk)


# ---------------------------------------------------------------------------------------------------------------------
# By name


def test_graphs_by_name_are_the_same() -> None:
    walk = random_walk(8, 4)
    everything, values = torch.eye(8).double(), Features(torch.rand(8, 3), (1, 8))
    for name, graph in {
        "reversible": walk.reversible(),
        "average": averaged(walk),
        "rows-dot": from_rows(walk, "dot"),
        "rows-cosine": from_rows(walk),
        "divergence": from_divergence(walk),
        "features": from_features(values),
    }.items():
        found = GRAPHS[name](walk, *[values] * (name in RECORDERS))
        assert type(found) is type(graph)
        torch.testing.assert_close(found.matvec(everything), graph.matvec(everything), rtol=0, atol=1e-5)


def test_features_come_to_the_grid_of_the_walk() -> None:
    walk = Walk(torch.full((16, 16), 1 / 16), (4, 4))
    values = Features(torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0]]), (2, 2))
    graph = GRAPHS["features"](walk, values)
    assert len(graph) == 16
    left = (torch.arange(16) % 4) < 2
    assert graph.W[left][:, ~left].max() < graph.W[left][:, left].min()
    with pytest.raises(InputError, match="needs features of a layer"):
        GRAPHS["features"](walk)

"""Where to stop: a number, or one of the criteria; each against its definition and against all prunings."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from trees import handmade, planted, prunings, scattered, small_tree

import walkcut.lab  # so that its criteria are known by their names
from walkcut.criteria import _blank_ncut, best_pruning, blank_ncut, prune
from walkcut.errors import InputError
from walkcut.graph import Graph
from walkcut.ncut import best_cut, ncut
from walkcut.recipe import check_threshold
from walkcut.registry import AUTO, CRITERIA
from walkcut.tree import PartitionTree, partition
from walkcut.walk import Walk

assert walkcut.lab


def modularity(W: np.ndarray, labels: np.ndarray) -> float:
    """Slow reference: sum over segments of w(S, S) / vol - (vol(S) / vol)^2."""
    parts = [np.flatnonzero(labels.ravel() == label) for label in range(labels.max() + 1)]
    return sum(W[np.ix_(part, part)].sum() / W.sum() - (W[part].sum() / W.sum()) ** 2 for part in parts)


# ---------------------------------------------------------------------------------------------------------------------
# The interface


@pytest.mark.parametrize("value", ["auto", *CRITERIA, 1e-9, 0.5, 1, 2, np.float32(0.25)])
def test_good_thresholds_pass(value: float | str) -> None:
    assert check_threshold("threshold", value) == (AUTO if value == "auto" else value)


@pytest.mark.parametrize("value", [0, -0.5, 2.0001, float("nan"), float("inf"), "automatic", "", None, "constant"])
def test_bad_thresholds_are_refused(value: object) -> None:
    words = r"'auto' or a number above 0 and at most 2.*criterion: stability, gap, half-life, eigengap"
    with pytest.raises(InputError, match=words):
        check_threshold("threshold", value)


def test_auto_is_one_of_the_criteria() -> None:
    _, tree = small_tree(0)
    assert AUTO in CRITERIA
    assert prune(tree).criterion == AUTO
    np.testing.assert_array_equal(prune(tree).leaves, prune(tree, AUTO).leaves)


def test_a_number_is_a_constant_threshold_without_a_ceiling() -> None:
    _, tree = small_tree(0)
    found = prune(tree, 0.9, max_ncut=0.01)
    assert (found.criterion, found.threshold, found.score) == ("constant", 0.9, None)
    np.testing.assert_array_equal(found.leaves, tree.leaves(0.9))
    assert len(found) > 1


@pytest.mark.parametrize("name", CRITERIA)
@pytest.mark.parametrize("seed", range(3))
def test_every_criterion_prunes_the_tree_below_its_ceiling(name: str, seed: int) -> None:
    graph = scattered((5, 8), seed)
    tree = partition(graph, (5, 8), smallest=2)
    for max_ncut in (1.0, float(np.median(tree.ncut[tree.left >= 0])), 1e-9):
        found = prune(tree, name, graph, max_ncut)
        labels = tree.labels(leaves=found.leaves)  # refuses what is no pruning
        assert labels.max() + 1 == len(found)
        assert found.criterion == name
        needed = tree.split_height()
        parents = needed[np.flatnonzero(np.isin(tree.left, found.leaves) | np.isin(tree.right, found.leaves))]
        assert (parents < max_ncut).all()
        if found.threshold is not None:
            np.testing.assert_array_equal(labels, tree.labels(found.threshold))
    assert len(found) == 1


@pytest.mark.parametrize("name", ["half-life", "stability", "map-equation", "region-map"])
@pytest.mark.parametrize("sizes", [(10, 10), (9, 7, 8), (4, 8, 6, 7)])
def test_planted_segments_are_found(name: str, sizes: tuple[int, ...]) -> None:
    tree = partition(planted(*sizes, between=0.02), (1, sum(sizes)), smallest=1)
    labels = tree.labels(leaves=prune(tree, name).leaves).ravel()
    assert labels.max() + 1 == len(sizes)
    assert all(len(np.unique(part)) == 1 for part in np.split(labels, np.cumsum(sizes)[:-1]))


@pytest.mark.parametrize("name", ["half-life", "stability", "map-equation", "region-map"])
def test_a_walk_without_memory_is_one_segment(name: str) -> None:
    pi = torch.tensor([0.1, 0.2, 0.3, 0.15, 0.15, 0.1], dtype=torch.float64)
    tree = partition(Graph(pi[:, None] * pi), (2, 3), smallest=1)
    assert prune(tree, name).leaves.tolist() == [0]


@pytest.mark.parametrize("name", CRITERIA)
def test_a_tree_of_one_node(name: str) -> None:
    graph = Graph(torch.ones(1, 1))
    assert prune(partition(graph, (1, 1)), name, graph).leaves.tolist() == [0]


@pytest.mark.parametrize("name", ["half-life", "stability", "map-equation", "region-map"])
def test_components_are_told_apart(name: str) -> None:
    tree = partition(planted(6, 6, between=0.0), (3, 4), smallest=1)
    assert len(prune(tree, name)) == 2


# ---------------------------------------------------------------------------------------------------------------------
# The best of all prunings


def random_tree(seed: int) -> PartitionTree:
    rng = np.random.default_rng(seed)
    W = rng.uniform(size=(9, 9)) * (rng.uniform(size=(9, 9)) < 0.4)
    return partition(Graph(torch.from_numpy(W + W.T)), (3, 3), smallest=1)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([1.0, 0.6, 0.3]))
def test_the_best_pruning_is_the_best_of_all(seed: int, max_ncut: float) -> None:
    tree = random_tree(seed)
    rng = np.random.default_rng(seed)
    segment, split = rng.normal(size=(2, len(tree)))
    leaves, score = best_pruning(tree, segment, split, max_ncut)
    scores = [segment[a].sum() + split[kept].sum() for a, kept in prunings(tree, 0, max_ncut)]
    assert score == pytest.approx(max(scores))
    tree.labels(leaves=leaves)


def test_ties_go_to_fewer_segments() -> None:
    _, tree = small_tree(0)
    leaves, score = best_pruning(tree, np.zeros(len(tree)), np.zeros(len(tree)))
    assert (leaves.tolist(), score) == ([0], 0.0)


@pytest.mark.parametrize("seed", range(4))
def test_stability_is_modularity_and_the_best_of_all(seed: int) -> None:
    graph, tree = small_tree(seed)
    W = graph.W.numpy()
    found = prune(tree, "stability")
    best = max(modularity(W, tree.labels(leaves=a)) for a, _ in prunings(tree))
    assert found.score == pytest.approx(best)
    assert modularity(W, tree.labels(leaves=found.leaves)) == pytest.approx(best)
    assert len(list(prunings(tree))) > 10


@pytest.mark.parametrize(
    ("ncut", "max_ncut", "segments", "gap"),
    [
        ((0.1, 0.2, 0.6, 0.7), 0.8, 3, 0.4),
        ((0.6, 0.2, 0.65), 0.9, 4, 0.25),  # a cheap split under a dear one comes with it
        ((0.3, 0.5, 0.7), 0.9, 2, 0.2),  # equal gaps: the lowest
        ((0.3, 0.5), 0.3, 1, 0.0),
        ((0.0, 0.5), 0.9, 2, 0.5),
    ],
)
def test_the_largest_gap(ncut: tuple[float, ...], max_ncut: float, segments: int, gap: float) -> None:
    found = prune(handmade(*ncut), "gap", max_ncut=max_ncut)
    assert len(found) == segments
    assert found.score == pytest.approx(gap)


# ---------------------------------------------------------------------------------------------------------------------
# The blank walk, and the largest NCut of a split


@pytest.mark.parametrize("grid", [(6, 9), (9, 4), (2, 12)])
def test_a_blank_walk_is_cut_across_its_longer_side(grid: tuple[int, int]) -> None:
    n = grid[0] * grid[1]
    blank = Walk(torch.full((n, n), 1 / n, dtype=torch.float64), grid).spatial_prior(0.5)
    assert blank_ncut(grid, 0.5) == pytest.approx(best_cut(blank.reversible()).ncut, abs=1e-6)


def test_of_a_square_both_sides_are_cut_at_the_same_cost() -> None:
    """The second eigenvalue is double there, so the relaxed cut may run askew and cost more, never less."""
    blank = Walk(torch.full((64, 64), 1 / 64, dtype=torch.float64), (8, 8)).spatial_prior(0.5).reversible()
    left = (torch.arange(8) < 4).expand(8, 8)
    halves = [ncut(blank, side.flatten()) for side in (left, left.T)]
    assert halves == pytest.approx([blank_ncut((8, 8), 0.5)] * 2)
    assert best_cut(blank).ncut >= halves[0] - 1e-9


@pytest.mark.parametrize("sigma", [0.1, 0.35, 2.0])
def test_the_blank_walk_is_the_one_that_weighs_nothing_but_distance(sigma: float) -> None:
    """Its prior is symmetric, so that it is the walk's own reversible form."""
    side = Walk(torch.full((9, 9), 1 / 9, dtype=torch.float64), (1, 9)).spatial_prior(sigma)
    assert blank_ncut((4, 9), sigma) == pytest.approx(best_cut(side.reversible()).ncut, abs=1e-12)


def test_the_blank_walk_is_cut_once_for_all_pictures_of_a_size() -> None:
    _blank_ncut.cache_clear()
    assert len({blank_ncut(grid, 0.35) for grid in ((40, 64), (64, 64), (64, 3))}) == 1
    assert _blank_ncut.cache_info().misses == 1
    with pytest.raises(InputError, match="sigma is a positive, finite number, not 0"):
        blank_ncut((3, 4), 0)


def test_a_grid_of_one_patch_is_never_cut() -> None:
    assert blank_ncut((1, 1), 0.35) == 1


def test_prunings_compare_as_things() -> None:
    """They hold arrays: `==` of two of them was an error, or an array."""
    _, tree = small_tree(0)
    found = prune(tree)
    assert found == found
    assert found != prune(tree)
    assert len({found, found}) == 1


def test_a_blank_walk_without_a_prior_has_no_memory() -> None:
    assert blank_ncut((6, 9), None) == 1


@pytest.mark.parametrize("name", ["gap", "stability", "map-equation", "region-map"])
def test_a_split_at_the_ceiling_is_not_taken(name: str) -> None:
    tree = partition(planted(10, 10, between=0.02), (1, 20), smallest=1)
    root = tree.ncut[0]
    assert len(prune(tree, name, max_ncut=root * 1.001)) == 2
    assert len(prune(tree, name, max_ncut=root)) == 1

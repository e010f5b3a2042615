"""Where to stop: a number, or the walk's own proposal."""

import numpy as np
import pytest
import torch

from walkcut.errors import InputError
from walkcut.graph import Graph
from walkcut.ncut import best_cut, ncut
from walkcut.threshold import automatic, blank_ncut, check_threshold, stability
from walkcut.tree import PartitionTree, partition
from walkcut.walk import Walk


def scattered(grid: tuple[int, int], seed: int) -> Graph:
    n = grid[0] * grid[1]
    points = np.random.default_rng(seed).uniform(size=(n, 2)) * [4, 1]
    return Graph(torch.from_numpy(np.exp(-((points[:, None] - points) ** 2).sum(-1) / 0.05)))


def planted(*sizes: int, between: float) -> Graph:
    W = torch.block_diag(*(torch.ones(n, n, dtype=torch.float64) for n in sizes))
    return Graph(W + between)


def direct(graph: Graph, labels: np.ndarray) -> float:
    """Slow reference: r = sum over segments of w(S, S) / vol - (vol(S) / vol)^2."""
    W = graph.W.double().numpy()
    parts = [np.flatnonzero(labels.ravel() == label) for label in range(labels.max() + 1)]
    return sum(W[np.ix_(part, part)].sum() / W.sum() - (W[part].sum() / W.sum()) ** 2 for part in parts)


@pytest.mark.parametrize("value", ["auto", 1e-9, 0.5, 1, 2, np.float32(0.25)])
def test_good_thresholds_pass(value: float | str) -> None:
    assert check_threshold(value) == value


@pytest.mark.parametrize("value", [0, -0.5, 2.0001, float("nan"), float("inf"), "automatic", "", None])
def test_bad_thresholds_are_refused(value: object) -> None:
    with pytest.raises(InputError, match="'auto' or a number above 0 and at most 2"):
        check_threshold(value)


@pytest.mark.parametrize("seed", range(5))
def test_stability_against_the_definition_at_every_threshold(seed: int) -> None:
    graph = scattered((6, 9), seed)
    tree = partition(graph, (6, 9), smallest=2)
    thresholds, r = stability(tree)
    assert thresholds[0] == 0
    assert (np.diff(thresholds) > 0).all()
    assert r == pytest.approx([direct(graph, tree.labels(threshold)) for threshold in thresholds], abs=1e-12)
    # nothing lies between them: each is a place where the segmentation changes
    counts = [len(tree.leaves(threshold)) for threshold in thresholds]
    assert counts == sorted(set(counts))
    assert counts[-1] == (tree.left < 0).sum()


@pytest.mark.parametrize("seed", range(5))
def test_automatic_is_the_most_stable_of_all(seed: int) -> None:
    graph = scattered((6, 9), seed)
    tree = partition(graph, (6, 9), smallest=2)
    chosen = automatic(tree)
    best = max(direct(graph, tree.labels(threshold)) for threshold in np.linspace(0, 2, 401))
    assert direct(graph, tree.labels(chosen)) >= best - 1e-12


@pytest.mark.parametrize("sizes", [(10, 10), (9, 7, 8), (4, 8, 6, 7)])
def test_automatic_finds_planted_segments(sizes: tuple[int, ...]) -> None:
    tree = partition(planted(*sizes, between=0.02), (1, sum(sizes)), smallest=1)
    labels = tree.labels(automatic(tree)).ravel()
    assert labels.max() + 1 == len(sizes)
    assert all(len(np.unique(part)) == 1 for part in np.split(labels, np.cumsum(sizes)[:-1]))


@pytest.mark.parametrize("grid", [(6, 9), (9, 4), (2, 12)])
def test_a_blank_walk_is_cut_across_its_longer_side(grid: tuple[int, int]) -> None:
    n = grid[0] * grid[1]
    blank = Walk(torch.full((n, n), 1 / n, dtype=torch.float64), grid).local(0.5)
    assert blank_ncut(grid, 0.5) == pytest.approx(best_cut(blank.reversible()).ncut, abs=1e-6)


def test_of_a_square_both_sides_are_cut_at_the_same_cost() -> None:
    """The second eigenvalue is double there, so the relaxed cut may run askew and cost more, never less."""
    blank = Walk(torch.full((64, 64), 1 / 64, dtype=torch.float64), (8, 8)).local(0.5).reversible()
    left = (torch.arange(8) < 4).expand(8, 8)
    halves = [ncut(blank, side.flatten()) for side in (left, left.T)]
    assert halves == pytest.approx([blank_ncut((8, 8), 0.5)] * 2)
    assert best_cut(blank).ncut >= halves[0] - 1e-9


def test_a_blank_walk_without_a_prior_has_no_memory() -> None:
    assert blank_ncut((6, 9), None) == 1


def test_automatic_stays_below_the_ceiling() -> None:
    tree = partition(planted(10, 10, between=0.02), (1, 20), smallest=1)
    root = tree.ncut[0]
    assert automatic(tree, root * 1.001) == pytest.approx(root)
    assert automatic(tree, root) == 0


def test_components_alone_are_found_at_threshold_0() -> None:
    """Two complete graphs that never meet: r = 1 - 1/4 - 1/4, and cutting further only loses."""
    tree = partition(planted(6, 6, between=0.0), (3, 4), smallest=1)
    thresholds, r = stability(tree)
    assert thresholds[0] == pytest.approx(0, abs=1e-9)
    assert r.max() == pytest.approx(0.5)
    assert len(tree.leaves(automatic(tree))) == 2


def test_a_walk_without_memory_is_one_segment() -> None:
    pi = torch.tensor([0.1, 0.2, 0.3, 0.15, 0.15, 0.1], dtype=torch.float64)
    tree = partition(Graph(pi[:, None] * pi), (2, 3), smallest=1)
    assert automatic(tree) == 0
    assert tree.labels(automatic(tree)).max() == 0


def test_a_tree_of_one_node() -> None:
    tree = partition(Graph(torch.ones(1, 1)), (1, 1))
    thresholds, r = stability(tree)
    assert thresholds.tolist() == [0]
    assert r == pytest.approx([0])
    assert automatic(tree) == 0


def test_ties_go_to_fewer_segments() -> None:
    """A tree made by hand: its second split neither gains nor loses."""
    tree = PartitionTree(
        grid=(1, 4),
        order=np.arange(4),
        start=np.array([0, 0, 2, 0, 1]),
        stop=np.array([4, 2, 4, 1, 2]),
        left=np.array([1, 3, -1, -1, -1]),
        right=np.array([2, 4, -1, -1, -1]),
        ncut=np.array([0.25, 0.5, np.inf, np.inf, np.inf]),
        volume=np.array([1, 0.5, 0.5, 0.25, 0.25]),
        inside=np.array([1, 0.4, 0.4, 0.1375, 0.1375]),
    )
    thresholds, r = stability(tree)
    assert thresholds.tolist() == [0, 0.25, 0.5]
    assert r == pytest.approx([0, 0.3, 0.3])
    assert automatic(tree) == 0.25


def test_splits_that_come_together_count_together() -> None:
    """The child's split is cheaper than its parent's: both are taken at the parent's NCut."""
    tree = PartitionTree(
        grid=(1, 4),
        order=np.arange(4),
        start=np.array([0, 0, 2, 0, 1]),
        stop=np.array([4, 2, 4, 1, 2]),
        left=np.array([1, 3, -1, -1, -1]),
        right=np.array([2, 4, -1, -1, -1]),
        ncut=np.array([0.5, 0.25, np.inf, np.inf, np.inf]),
        volume=np.array([1, 0.5, 0.5, 0.25, 0.25]),
        inside=np.array([1, 0.4, 0.4, 0.2, 0.2]),
    )
    thresholds, r = stability(tree)
    assert thresholds.tolist() == [0, 0.5]
    assert r == pytest.approx([0, 0.4 - 0.25 + 2 * (0.2 - 0.0625)])

"""Where to stop: a number, or one of the criteria; each against its definition and against all prunings."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from trees import handmade, planted, priced, prunings, scattered, small_tree

import walkcut.lab  # so that its criteria are known by their names
from walkcut.criteria import SHARE, prune
from walkcut.errors import InputError
from walkcut.graph import Graph
from walkcut.lab.criteria import best_pruning
from walkcut.null import SplitPrices
from walkcut.recipe import check_threshold
from walkcut.registry import AUTO, CRITERIA
from walkcut.tree import PartitionTree, partition

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
    words = r"'auto' or a number above 0 and at most 2.*criterion: spatial-null, stability, gap, half-life"
    with pytest.raises(InputError, match=words):
        check_threshold("threshold", value)


def test_auto_is_one_of_the_criteria() -> None:
    graph, tree = small_tree(0)
    prices = priced(graph, tree)
    assert AUTO in CRITERIA
    assert prune(tree, prices=prices).criterion == AUTO
    np.testing.assert_array_equal(prune(tree, prices=prices).leaves, prune(tree, AUTO, graph, prices).leaves)


@pytest.mark.parametrize("name", [AUTO, "auto", "half-life"])
def test_without_prices_a_criterion_that_goes_by_them_is_refused(name: str) -> None:
    _, tree = small_tree(0)
    with pytest.raises(InputError, match=r"needs the prices of the splits: give walkcut\.null") as caught:
        prune(tree, name)
    assert str(caught.value).count(". ") == 0
    assert str(caught.value).endswith(".")


def test_a_number_is_a_constant_threshold() -> None:
    _, tree = small_tree(0)
    found = prune(tree, 0.9)
    assert (found.criterion, found.threshold, found.score) == ("constant", 0.9, None)
    np.testing.assert_array_equal(found.leaves, tree.leaves(0.9))
    assert len(found) > 1


@pytest.mark.parametrize("name", CRITERIA)
@pytest.mark.parametrize("seed", range(3))
def test_every_criterion_prunes_the_tree(name: str, seed: int) -> None:
    graph = scattered((5, 8), seed)
    tree = partition(graph, (5, 8), smallest=2)
    found = prune(tree, name, graph, priced(graph, tree))
    labels = tree.labels(leaves=found.leaves)  # refuses what is no pruning
    assert labels.max() + 1 == len(found)
    assert found.criterion == name
    if found.threshold is not None:
        np.testing.assert_array_equal(labels, tree.labels(found.threshold))


@pytest.mark.parametrize("name", ["half-life", "stability", "map-equation", "region-map"])
@pytest.mark.parametrize("sizes", [(10, 10), (9, 7, 8), (4, 8, 6, 7)])
def test_planted_segments_are_found(name: str, sizes: tuple[int, ...]) -> None:
    graph = planted(*sizes, between=0.02)
    tree = partition(graph, (1, sum(sizes)), smallest=1)
    labels = tree.labels(leaves=prune(tree, name, graph, priced(graph, tree)).leaves).ravel()
    assert labels.max() + 1 == len(sizes)
    assert all(len(np.unique(part)) == 1 for part in np.split(labels, np.cumsum(sizes)[:-1]))


@pytest.mark.parametrize("name", [name for name in CRITERIA if name not in ("eigengap", "gap")])
def test_a_walk_without_memory_is_one_segment(name: str) -> None:
    pi = torch.tensor([0.1, 0.2, 0.3, 0.15, 0.15, 0.1], dtype=torch.float64)
    graph = Graph(pi[:, None] * pi)
    tree = partition(graph, (2, 3), smallest=1, max_ncut=2)
    assert len(tree) > 1
    assert prune(tree, name, graph, priced(graph, tree)).leaves.tolist() == [0]


@pytest.mark.parametrize("name", CRITERIA)
def test_a_tree_of_one_node(name: str) -> None:
    graph = Graph(torch.ones(1, 1))
    tree = partition(graph, (1, 1))
    assert prune(tree, name, graph, priced(graph, tree)).leaves.tolist() == [0]


@pytest.mark.parametrize("name", [name for name in CRITERIA if name not in ("eigengap", "gap")])
def test_components_are_told_apart(name: str) -> None:
    graph = planted(6, 6, between=0.0)
    tree = partition(graph, (3, 4), smallest=1)
    assert len(prune(tree, name, graph, priced(graph, tree))) == 2


# ---------------------------------------------------------------------------------------------------------------------
# The best of all prunings


def random_tree(seed: int) -> PartitionTree:
    rng = np.random.default_rng(seed)
    W = rng.uniform(size=(9, 9)) * (rng.uniform(size=(9, 9)) < 0.4)
    return partition(Graph(torch.from_numpy(W + W.T)), (3, 3), smallest=1)


@settings(max_examples=30)
@given(st.integers(0, 10**6))
def test_the_best_pruning_is_the_best_of_all(seed: int) -> None:
    tree = random_tree(seed)
    rng = np.random.default_rng(seed)
    segment, split = rng.normal(size=(2, len(tree)))
    leaves, score = best_pruning(tree, segment, split)
    scores = [segment[a].sum() + split[kept].sum() for a, kept in prunings(tree)]
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
    ("ncut", "segments", "gap"),
    [
        ((0.1, 0.2, 0.6, 0.7), 3, 0.4),
        ((0.6, 0.2, 0.65), 4, 0.35),  # a cheap split under a dear one comes with it
        ((0.25, 0.5, 0.75), 2, 0.25),  # equal gaps: the lowest
        ((0.3, 0.5), 3, 0.5),  # up to 1, beyond which no split is looked at
        ((1.0, 1.5), 1, 0.0),
        ((0.0, 0.6), 2, 0.6),
    ],
)
def test_the_largest_gap(ncut: tuple[float, ...], segments: int, gap: float) -> None:
    found = prune(handmade(*ncut), "gap")
    assert len(found) == segments
    assert found.score == pytest.approx(gap)


# ---------------------------------------------------------------------------------------------------------------------
# The spatial null; its prices are those of test_null.py


def test_a_split_costs_less_than_three_quarters_of_what_the_null_says() -> None:
    tree = handmade(0.1, 0.1, 0.1)
    for shares, segments in (((0.74, 0.2, 0.2), 4), ((0.76, 0.2, 0.2), 1), ((0.2, 0.76, 0.2), 2), ((0.2, 0.2, 0.9), 3)):
        null = np.full(len(tree), np.inf)
        walk = null.copy()
        split = np.flatnonzero(tree.left >= 0)
        null[split], walk[split] = 0.8, np.array(shares) * 0.8
        found = prune(tree, prices=SplitPrices(walk, null))
        assert (len(found), found.threshold, found.score) == (segments, None, None)
    free = np.where(tree.left >= 0, 0.0, np.inf)  # as of a walk that only rests
    assert len(prune(tree, prices=SplitPrices(free, free))) == 1
    assert SHARE == 0.75


@pytest.mark.parametrize("seed", range(3))
def test_the_rule_goes_by_prices_alone(seed: int) -> None:
    """From the root down: a split is kept where all above it are. What the cut walk's tree says of it is no matter."""
    graph, tree = small_tree(seed)
    rng = np.random.default_rng(seed)
    prices = SplitPrices(*rng.uniform(0.2, 1, (2, len(tree))))
    kept = prices.walk <= 0.75 * prices.null

    def segments(node: int) -> list[int]:
        if tree.left[node] < 0 or not kept[node]:
            return [node]
        return segments(tree.left[node]) + segments(tree.right[node])

    assert prune(tree, AUTO, graph, prices).leaves.tolist() == sorted(segments(0))


def test_prunings_compare_as_things() -> None:
    """They hold arrays: `==` of two of them was an error, or an array."""
    _, tree = small_tree(0)
    found = prune(tree, "gap")
    assert found == found
    assert found != prune(tree, "gap")
    assert len({found, found}) == 1

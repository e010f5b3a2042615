"""Where to stop: a number, or one of the criteria; each against its definition and against all prunings."""

import itertools
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from walkcut import threshold
from walkcut.errors import InputError
from walkcut.graph import Graph
from walkcut.ncut import best_cut, ncut
from walkcut.threshold import AUTO, CRITERIA, best_pruning, blank_ncut, check_threshold, prune
from walkcut.tree import PartitionTree, partition
from walkcut.walk import Walk


def scattered(grid: tuple[int, int], seed: int) -> Graph:
    n = grid[0] * grid[1]
    points = np.random.default_rng(seed).uniform(size=(n, 2)) * [4, 1]
    return Graph(torch.from_numpy(np.exp(-((points[:, None] - points) ** 2).sum(-1) / 0.05)))


def planted(*sizes: int, between: float) -> Graph:
    W = torch.block_diag(*(torch.ones(n, n, dtype=torch.float64) for n in sizes))
    return Graph(W + between)


def walk_of(graph: Graph) -> Walk:
    return Walk(graph.W / graph.degrees[:, None], (1, len(graph)))


def random_walk(n: int, seed: int) -> Walk:
    """Not reversible, with two halves that are left rarely."""
    P = np.random.default_rng(seed).uniform(size=(n, n)) ** 3
    P[: n // 2, n // 2 :] *= 0.1
    P[n // 2 :, : n // 2] *= 0.2
    return Walk(torch.from_numpy(P / P.sum(1, keepdims=True)), (1, n))


def small_tree(seed: int, size: int = 20) -> tuple[Graph, PartitionTree]:
    """At most nine segments, so that all prunings can be listed."""
    graph = scattered((1, size), seed)
    return graph, partition(graph, (1, size), smallest=2)


def prunings(tree: PartitionTree, node: int = 0, ceiling: float = 1.0) -> Iterator[tuple[list[int], list[int]]]:
    """Slow reference: segments and kept splits of every pruning of the tree below a node."""
    yield [node], []
    if tree.ncut[node] < ceiling:
        sides = [list(prunings(tree, side, ceiling)) for side in (tree.left[node], tree.right[node])]
        for (a, kept_a), (b, kept_b) in itertools.product(*sides):
            yield a + b, [node, *kept_a, *kept_b]


def modularity(W: np.ndarray, labels: np.ndarray) -> float:
    """Slow reference: sum over segments of w(S, S) / vol - (vol(S) / vol)^2."""
    parts = [np.flatnonzero(labels.ravel() == label) for label in range(labels.max() + 1)]
    return sum(W[np.ix_(part, part)].sum() / W.sum() - (W[part].sum() / W.sum()) ** 2 for part in parts)


def entropy(rates: list[float] | np.ndarray) -> float:
    """Slow reference: total rate times the entropy of the rates' shares, in bits."""
    rates = np.array([rate for rate in rates if rate > 0])
    return float(-(rates * np.log2(rates / rates.sum())).sum()) if len(rates) else 0.0


def code_length(W: np.ndarray, tree: PartitionTree, segments: list[int], kept: list[int]) -> float:
    """Slow reference: bits a step with a codebook for every segment and every kept split, from the definition."""
    flow, law = W / W.sum(), W.sum(1) / W.sum()

    def patches(node: int) -> np.ndarray:
        return tree.order[tree.start[node] : tree.stop[node]]

    def leave(node: int) -> float:
        inside = np.isin(np.arange(len(W)), patches(node))
        return flow[inside][:, ~inside].sum()

    index = sum(entropy([leave(node), leave(tree.left[node]), leave(tree.right[node])]) for node in kept)
    return index + sum(entropy([leave(node), *law[patches(node)]]) for node in segments)


# ---------------------------------------------------------------------------------------------------------------------
# The interface


@pytest.mark.parametrize("value", ["auto", *CRITERIA, 1e-9, 0.5, 1, 2, np.float32(0.25)])
def test_good_thresholds_pass(value: float | str) -> None:
    assert check_threshold(value) == value


@pytest.mark.parametrize("value", [0, -0.5, 2.0001, float("nan"), float("inf"), "automatic", "", None, "constant"])
def test_bad_thresholds_are_refused(value: object) -> None:
    with pytest.raises(InputError, match=r"'auto' or a number above 0 and at most 2.*half-life, gap, eigengap"):
        check_threshold(value)


def test_auto_is_one_of_the_criteria() -> None:
    _, tree = small_tree(0)
    assert AUTO in CRITERIA
    assert prune(tree).criterion == AUTO
    np.testing.assert_array_equal(prune(tree).leaves, prune(tree, AUTO).leaves)


def test_a_number_is_a_constant_threshold_without_a_ceiling() -> None:
    _, tree = small_tree(0)
    found = prune(tree, 0.9, ceiling=0.01)
    assert (found.criterion, found.threshold, found.score) == ("constant", 0.9, None)
    np.testing.assert_array_equal(found.leaves, tree.leaves(0.9))
    assert len(found) > 1


@pytest.mark.parametrize("name", CRITERIA)
@pytest.mark.parametrize("seed", range(3))
def test_every_criterion_prunes_the_tree_below_its_ceiling(name: str, seed: int) -> None:
    graph = scattered((5, 8), seed)
    tree = partition(graph, (5, 8), smallest=2)
    for ceiling in (1.0, float(np.median(tree.ncut[tree.left >= 0])), 1e-9):
        found = prune(tree, name, Walk(walk_of(graph).P, (5, 8)), ceiling)
        labels = tree.labels(leaves=found.leaves)  # refuses what is no pruning
        assert labels.max() + 1 == len(found)
        assert found.criterion == name
        needed = tree.needed()
        parents = needed[np.flatnonzero(np.isin(tree.left, found.leaves) | np.isin(tree.right, found.leaves))]
        assert (parents < ceiling).all()
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
    assert prune(partition(graph, (1, 1)), name, walk_of(graph)).leaves.tolist() == [0]


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
def test_the_best_pruning_is_the_best_of_all(seed: int, ceiling: float) -> None:
    tree = random_tree(seed)
    rng = np.random.default_rng(seed)
    segment, split = rng.normal(size=(2, len(tree)))
    leaves, score = best_pruning(tree, segment, split, ceiling)
    scores = [segment[a].sum() + split[kept].sum() for a, kept in prunings(tree, 0, ceiling)]
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


@pytest.mark.parametrize("seed", range(4))
def test_the_map_equation_is_the_shortest_code_of_all(seed: int) -> None:
    graph, tree = small_tree(seed)
    W = graph.W.numpy()
    found = prune(tree, "map-equation")
    lengths = [code_length(W, tree, *one) for one in prunings(tree)]
    assert lengths[0] - found.score == pytest.approx(min(lengths))  # the first is one codebook for all
    assert code_length(W, tree, *next(p for p in prunings(tree) if sorted(p[0]) == found.leaves.tolist())) == (
        pytest.approx(min(lengths))
    )


@pytest.mark.parametrize("seed", range(4))
def test_region_map_is_the_map_equation_of_each_regions_own_chain(seed: int) -> None:
    graph, tree = small_tree(seed)
    saved = np.zeros(len(tree))
    for node in np.flatnonzero(tree.left >= 0):
        patches = np.sort(tree.order[tree.start[node] : tree.stop[node]])
        W = graph.W.numpy()[np.ix_(patches, patches)]
        a = np.isin(patches, tree.order[tree.start[tree.left[node]] : tree.stop[tree.left[node]]])
        flow, law = W / W.sum(), W.sum(1) / W.sum()
        f = flow[a][:, ~a].sum()
        two = entropy([f, f]) + entropy([f, *law[a]]) + entropy([f, *law[~a]])
        saved[node] = (entropy(law) - two) * tree.inside[node]
    best = max(saved[kept].sum() for _, kept in prunings(tree))
    assert prune(tree, "region-map").score == pytest.approx(best)


def test_a_region_of_two_equal_sides_saves_bits_below_an_ncut_of_041() -> None:
    noise = torch.from_numpy(np.random.default_rng(0).uniform(0, 1e-5, (16, 16)))
    for between, expected in ((0.255, 2), (0.262, 1)):  # NCut = 2 between / (1 + between)
        graph = planted(8, 8, between=0.0)
        graph = Graph(graph.W + between * (graph.W == 0) + noise + noise.T)
        tree = partition(graph, (1, 16), smallest=1)
        assert tree.ncut[0] == pytest.approx(2 * between / (1 + between), abs=1e-4)
        assert len(prune(tree, "region-map")) == expected


# ---------------------------------------------------------------------------------------------------------------------
# Several steps


@pytest.mark.parametrize("time", [1, 2, 3, 7])
def test_stability_at_a_time_against_powers_of_p(time: int) -> None:
    walk = random_walk(14, 3)
    tree = partition(walk.reversible(), walk.grid, smallest=2)
    law, power = walk.stationary().law.numpy(), np.linalg.matrix_power(walk.P.numpy(), time)
    flow = law[:, None] * power
    for node, value in enumerate(threshold.stay(tree, walk, time)):
        patches = tree.order[tree.start[node] : tree.stop[node]]
        assert value == pytest.approx(flow[np.ix_(patches, patches)].sum())
    scores = [
        sum(flow[np.ix_(part, part)].sum() - law[part].sum() ** 2 for part in parts)
        for parts in ([tree.order[tree.start[i] : tree.stop[i]] for i in a] for a, _ in prunings(tree))
    ]
    assert threshold.stability(tree, walk=walk, time=time).score == pytest.approx(max(scores), abs=1e-9)


def test_a_stationary_walker_stays_for_one_step_as_the_tree_says() -> None:
    walk = random_walk(14, 4)
    tree = partition(walk.reversible(), walk.grid, smallest=2)
    np.testing.assert_allclose(threshold.stay(tree, walk, 1), tree.inside, atol=1e-9)


def test_criteria_that_need_the_walk_say_so() -> None:
    _, tree = small_tree(0)
    with pytest.raises(InputError, match="give prune its walk"):
        prune(tree, "eigengap")
    with pytest.raises(InputError, match="give its walk"):
        threshold.stability(tree, time=2)


# ---------------------------------------------------------------------------------------------------------------------
# Half-life, gap, eigengap


def test_half_life_is_where_the_memory_of_a_split_halves_in_one_step() -> None:
    """Two equal blocks: P^n tells of a walker's side what (1 - NCut)^n says."""
    for between, expected in ((0.32, 2), (0.34, 1)):
        graph = planted(4, 4, between=0.0)
        graph = Graph(graph.W + between * (graph.W == 0))
        tree = partition(graph, (1, 8), smallest=1)
        side = np.repeat([1.0, -1.0], 4)
        remembered = [side @ walk_of(graph).expect(torch.from_numpy(side), n).numpy() / 8 for n in (1, 2, 3)]
        assert remembered == pytest.approx([(1 - tree.ncut[0]) ** n for n in (1, 2, 3)])
        assert (remembered[0] >= 0.5) == (expected == 2)
        found = prune(tree, "half-life")
        assert (len(found), found.threshold) == (expected, 0.5)


@pytest.mark.parametrize("ceiling", [0.1, 0.6, 0.7])
def test_half_life_is_twice_that_of_a_blank_picture(ceiling: float) -> None:
    allowed = prune(handmade(0.01), "half-life", ceiling=ceiling).threshold
    steps = [np.log(0.5) / np.log(1 - value) for value in (allowed, ceiling)]
    assert steps[0] == pytest.approx(2 * steps[1])
    assert allowed < min(ceiling, 0.5)


@pytest.mark.parametrize("ceiling", [0.8, 1.0])
def test_half_life_is_never_less_than_a_step(ceiling: float) -> None:
    assert prune(handmade(0.01), "half-life", ceiling=ceiling).threshold == 0.5


def handmade(*ncut: float) -> PartitionTree:
    """A comb: each split cuts off the first patch of what is left."""
    n = len(ncut) + 1
    start, stop, left, right, cuts = [0], [n], [-1], [-1], [np.inf]
    node = 0
    for i, value in enumerate(ncut):
        left[node], right[node], cuts[node] = len(start), len(start) + 1, value
        start += [i, i + 1]
        stop += [i + 1, n]
        left, right, cuts = [*left, -1, -1], [*right, -1, -1], [*cuts, np.inf, np.inf]
        node = len(start) - 1
    share = (np.array(stop) - start) / n
    return PartitionTree((1, n), np.arange(n), *map(np.array, (start, stop, left, right, cuts)), share, share**2)


@pytest.mark.parametrize(
    ("ncut", "ceiling", "segments", "gap"),
    [
        ((0.1, 0.2, 0.6, 0.7), 0.8, 3, 0.4),
        ((0.6, 0.2, 0.65), 0.9, 4, 0.25),  # a cheap split under a dear one comes with it
        ((0.3, 0.5, 0.7), 0.9, 2, 0.2),  # equal gaps: the lowest
        ((0.3, 0.5), 0.3, 1, 0.0),
        ((0.0, 0.5), 0.9, 2, 0.5),
    ],
)
def test_the_largest_gap(ncut: tuple[float, ...], ceiling: float, segments: int, gap: float) -> None:
    found = prune(handmade(*ncut), "gap", ceiling=ceiling)
    assert len(found) == segments
    assert found.score == pytest.approx(gap)


@pytest.mark.parametrize("sizes", [(80, 80, 90), (60, 70, 50, 65), (12, 9, 10)])
def test_the_eigengap_counts_planted_segments(sizes: tuple[int, ...]) -> None:
    """lambda = 0 once, then nearly 0 as often as there are further blocks, then nearly 1."""
    noise = np.random.default_rng(0).uniform(0, 1e-3, (sum(sizes),) * 2)
    graph = Graph(planted(*sizes, between=0.002).W + torch.from_numpy(noise + noise.T))
    tree = partition(graph, (1, sum(sizes)), smallest=4)
    found = prune(tree, "eigengap", walk_of(graph))
    assert len(found) == len(sizes)
    values = np.linalg.eigvalsh(np.eye(len(graph)) - graph.W.numpy() / np.sqrt(np.outer(graph.degrees, graph.degrees)))
    k = len(sizes)
    assert found.score == pytest.approx((values[k] - values[:k].mean()) / (values[:k].mean() + 1e-6), rel=1e-3)


@pytest.mark.parametrize("n", [3, 40, 300])
def test_the_smallest_eigenvalues(n: int) -> None:
    graph = scattered((1, n), 0)
    expected = np.linalg.eigvalsh(np.eye(n) - graph.W.numpy() / np.sqrt(np.outer(graph.degrees, graph.degrees)))
    np.testing.assert_allclose(threshold.smallest_eigenvalues(graph, 12), expected[:12].clip(0), atol=1e-6)


# ---------------------------------------------------------------------------------------------------------------------
# The ceiling


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


@pytest.mark.parametrize("name", ["gap", "stability", "map-equation", "region-map"])
def test_a_split_at_the_ceiling_is_not_taken(name: str) -> None:
    tree = partition(planted(10, 10, between=0.02), (1, 20), smallest=1)
    root = tree.ncut[0]
    assert len(prune(tree, name, ceiling=root * 1.001)) == 2
    assert len(prune(tree, name, ceiling=root)) == 1

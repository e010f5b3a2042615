"""What distance alone explains, pair by pair, and the price of every split under both walks, against the definition."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pages import page_of
from trees import priced, scattered

from walkcut.capture import Grid
from walkcut.criteria import prune
from walkcut.graph import Graph
from walkcut.ncut import ncut
from walkcut.null import SpatialNull, SplitPrices, displacements, node_sums, split_ncut
from walkcut.pixels import leaf_membership, leaf_of
from walkcut.tree import PartitionTree, partition
from walkcut.walk import Walk

GRIDS = [(1, 1), (1, 5), (6, 1), (2, 2), (3, 4), (5, 3), (4, 6), (7, 7)]


def random_walk(grid: Grid, seed: int = 0) -> Walk:
    """Not reversible; every step is possible, some are far likelier than others."""
    n = grid[0] * grid[1]
    P = np.random.default_rng(seed).random((n, n)) ** 4 + 1e-4
    return Walk(torch.from_numpy(P / P.sum(1, keepdims=True)), grid)


def everywhere_alike(grid: Grid, rests: float, beside: float) -> Walk:
    """Around a torus: shares of steps that rest, and that go to the left or the right; else anywhere."""
    (h, w), (y, x) = grid, (part.ravel() for part in np.indices(grid))
    kernel = np.full(grid, (1 - rests - beside) / (h * w))
    kernel[0, 0] += rests
    kernel[0, [1, -1]] += beside / 2
    return Walk(torch.from_numpy(kernel[(y - y[:, None]) % h, (x - x[:, None]) % w]), grid)


def near(grid: Grid, reach: float) -> Walk:
    """Led by distance alone, on a picture that has an end."""
    y, x = (part.ravel() for part in np.indices(grid))
    W = np.exp(-((y - y[:, None]) ** 2 + (x - x[:, None]) ** 2) / (2 * reach**2))
    return Walk(torch.from_numpy(W / W.sum(1, keepdims=True)), grid)


def tree_of(walk: Walk, smallest: int = 1) -> PartitionTree:
    """All the way down, whatever a split costs."""
    return partition(walk.reversible(), walk.grid, smallest, max_ncut=2)


def flow_of(walk: Walk) -> np.ndarray:
    """Chance of each step in the long run."""
    return walk.stationary().law.numpy()[:, None] * walk.P.double().numpy()


def slow_displacements(walk: Walk) -> np.ndarray:
    (h, w), flow = walk.grid, flow_of(walk)
    found = np.zeros((2 * h - 1, 2 * w - 1))
    for i in range(h * w):
        for j in range(h * w):
            found[j // w - i // w + h - 1, j % w - i % w + w - 1] += flow[i, j]
    return found


def slow_null(flow: np.ndarray, grid: Grid) -> np.ndarray:
    """The null of a symmetric flow (n, n), pair by pair."""
    n, law = len(flow), flow.sum(1)
    places = [divmod(i, grid[1]) for i in range(n)]
    pairs: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for i in range(n):
        for j in range(n):
            pairs.setdefault((places[j][0] - places[i][0], places[j][1] - places[i][1]), []).append((i, j))
    null = np.zeros((n, n))
    for same in pairs.values():
        seen, expected = (sum(m[pair] for pair in same) for m in (flow, np.outer(law, law)))
        for i, j in same:
            null[i, j] = law[i] * law[j] * seen / expected
    for _ in range(500):
        scale = np.sqrt(law / null.sum(1))
        null *= np.outer(scale, scale)
    return null


# ---------------------------------------------------------------------------------------------------------------------
# The spatial null


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("grid", GRIDS)
def test_displacements_are_those_of_all_pairs(grid: Grid, dtype: torch.dtype) -> None:
    walk = random_walk(grid)
    found = displacements(walk.P.to(dtype), walk.stationary().law, grid).numpy()
    np.testing.assert_allclose(found, slow_displacements(walk), rtol=1e-12 if dtype == torch.float64 else 1e-5)
    assert found.dtype == np.float64
    assert found.sum() == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("grid", GRIDS)
def test_the_null_is_that_of_the_slow_way(grid: Grid) -> None:
    walk = random_walk(grid)
    null = SpatialNull.of(walk).matrix().numpy()
    flow = flow_of(walk)
    np.testing.assert_allclose(null, slow_null((flow + flow.T) / 2, grid), atol=1e-9)
    np.testing.assert_allclose(null, null.T, atol=1e-15)
    assert null.min() >= 0


@settings(max_examples=15)
@example(seed=1806, grid=(2, 2))
@given(seed=st.integers(0, 10**6), grid=st.sampled_from(GRIDS))
def test_nobody_is_under_the_null_where_the_law_does_not_say(seed: int, grid: Grid) -> None:
    walk = random_walk(grid, seed)
    off = SpatialNull.of(walk).matrix().sum(1) - walk.stationary().law
    assert float(off.abs().sum()) < 1e-6


@pytest.mark.parametrize("grid", GRIDS)
def test_what_is_reached_and_what_flows_are_sums_over_the_matrix(grid: Grid) -> None:
    null, rng = SpatialNull.of(random_walk(grid)), np.random.default_rng(0)
    full, u, n = null.matrix().numpy(), null.u.flatten().numpy(), grid[0] * grid[1]
    x = rng.random((2, *grid))
    reached = null.reached(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(reached.reshape(2, -1), x.reshape(2, -1) @ (full / np.outer(u, u)), rtol=1e-9)
    for m in {1, min(3, n), n}:
        owner = rng.permutation(np.arange(n) % m)
        member = owner[:, None] == np.arange(m)
        np.testing.assert_allclose(null.flows(owner), member.T @ full @ member, atol=1e-14)


def test_flows_of_more_sets_than_are_looked_at_together() -> None:
    null = SpatialNull.of(random_walk((10, 9)))
    np.testing.assert_allclose(null.flows(np.arange(90)), null.matrix(), atol=1e-15)


def test_the_null_of_three_patches_by_hand() -> None:
    """In a row, 1 - 2 are fond of one another; the null cannot tell 1 - 2 from 2 - 3 but by the law."""
    flow = torch.tensor([[2.0, 3, 1], [3, 2, 1], [1, 1, 2]], dtype=torch.float64) / 16
    law = flow.sum(1)
    null = SpatialNull.of(Walk(flow / law[:, None], (1, 3))).matrix()
    raised = null / torch.outer(law, law)
    assert float(raised[0, 1] * raised[1, 2] / (raised[0, 2] * raised[1, 1])) == pytest.approx(
        (4 / (6 * 6 + 6 * 4)) ** 2 / (1 / (6 * 4)) / (6 / (36 + 36 + 16)), rel=1e-6
    )  # what no scaling of rows and columns changes
    assert null[0, 1] < flow[0, 1]
    assert null[1, 2] > flow[1, 2]


@settings(max_examples=20)
@given(st.integers(0, 10**6), st.sampled_from(GRIDS), st.sampled_from([(0,), (1,), (0, 1)]))
def test_a_mirror_turns_the_null_with_it(seed: int, grid: Grid, sides: tuple[int, ...]) -> None:
    walk = random_walk(grid, seed)
    turned = np.flip(np.arange(len(walk)).reshape(grid), sides).ravel().copy()
    null = SpatialNull.of(walk).matrix()[turned][:, turned]
    mirrored = SpatialNull.of(Walk(walk.P[turned][:, turned], grid)).matrix()
    torch.testing.assert_close(mirrored, null, rtol=1e-6, atol=1e-9)


# ---------------------------------------------------------------------------------------------------------------------
# Prices


def by_hand(tree: PartitionTree, flow: np.ndarray) -> np.ndarray:
    """Slow reference: NCut of each split inside its node's own graph."""
    graph = Graph((flow + flow.T) / 2)
    prices = np.full(len(tree), np.inf)
    for node in np.flatnonzero(tree.left >= 0):
        region = np.sort(tree.order[tree.start[node] : tree.stop[node]])
        left = tree.left[node]
        side = np.isin(region, tree.order[tree.start[left] : tree.stop[left]])
        prices[node] = ncut(graph.subgraph(torch.from_numpy(region)), torch.from_numpy(side))
    return prices


@pytest.mark.parametrize("grid", [(1, 6), (3, 4), (5, 3), (6, 6)])
@pytest.mark.parametrize("smallest", [1, 4])
def test_prices_are_those_of_the_definition(grid: Grid, smallest: int) -> None:
    """Of another walk's tree; and the same where somebody knows already how walkers reach the leaves."""
    walk, tree = random_walk(grid, 1), tree_of(random_walk(grid, 2), smallest)
    prices = SplitPrices.of(tree, walk)
    np.testing.assert_allclose(prices.walk, by_hand(tree, flow_of(walk)), rtol=1e-8)
    np.testing.assert_allclose(prices.null, by_hand(tree, SpatialNull.of(walk).matrix().numpy()), rtol=1e-6)
    again = SplitPrices.of(tree, walk, leaf_membership(walk, tree))
    np.testing.assert_array_equal(again.walk, prices.walk)
    np.testing.assert_array_equal(again.null, prices.null)
    assert np.isposinf(prices.walk[tree.left < 0]).all()
    assert np.isposinf(prices.null[tree.left < 0]).all()


@pytest.mark.parametrize("seed", range(3))
def test_sums_of_nodes_are_sums_by_hand(seed: int) -> None:
    tree = tree_of(random_walk((4, 5), seed), smallest=3)
    owner = leaf_of(tree)
    flow = np.random.default_rng(seed).random((owner.max() + 1,) * 2)
    inside = node_sums(tree, flow)
    for node, found in enumerate(inside):
        leaves = np.unique(owner[tree.order[tree.start[node] : tree.stop[node]]])
        assert found == pytest.approx(flow[np.ix_(leaves, leaves)].sum())
    prices = split_ncut(tree, inside)
    for node in np.flatnonzero(tree.left >= 0):
        a, b = inside[tree.left[node]], inside[tree.right[node]]
        cut = (inside[node] - a - b) / 2
        assert prices[node] == pytest.approx(cut / (a + cut) + cut / (b + cut))


@pytest.mark.parametrize("seed", range(3))
def test_of_the_walk_that_was_cut_the_prices_are_the_trees(seed: int) -> None:
    graph = scattered((4, 6), seed)
    tree = partition(graph, (4, 6), smallest=1)
    split = tree.left >= 0
    np.testing.assert_allclose(priced(graph, tree).walk[split], tree.ncut[split], rtol=1e-6)


def test_a_tree_of_one_leaf_has_nothing_to_price() -> None:
    for grid in ((1, 1), (3, 4)):
        walk = random_walk(grid)
        tree = partition(walk.reversible(), grid, smallest=len(walk))
        prices = SplitPrices.of(tree, walk)
        assert (prices.walk.tolist(), prices.null.tolist()) == ([np.inf], [np.inf])
        assert prune(tree, prices=prices).leaves.tolist() == [0]


def test_float32_gives_the_prices_of_float64() -> None:
    walk, tree = random_walk((8, 9), 1), tree_of(random_walk((8, 9), 2), smallest=2)
    single = SplitPrices.of(tree, Walk(walk.P.float(), walk.grid))
    double = SplitPrices.of(tree, walk)
    np.testing.assert_allclose(single.walk, double.walk, rtol=1e-4)
    np.testing.assert_allclose(single.null, double.null, rtol=1e-4)


@pytest.mark.gpu
def test_prices_of_a_walk_on_a_gpu() -> None:
    walk, tree = random_walk((8, 9), 1), tree_of(random_walk((8, 9), 2), smallest=2)
    there = SplitPrices.of(tree, Walk(walk.P.float().cuda(), walk.grid))
    here = SplitPrices.of(tree, Walk(walk.P.float(), walk.grid))
    np.testing.assert_allclose(there.walk, here.walk, rtol=1e-4)
    np.testing.assert_allclose(there.null, here.null, rtol=1e-4)


# ---------------------------------------------------------------------------------------------------------------------
# What the rule keeps


@pytest.mark.parametrize(("rests", "beside"), [(0, 0), (0.6, 0), (0, 0.9), (0.3, 0.6)])
@pytest.mark.parametrize("grid", [(1, 12), (4, 5), (6, 6)])
def test_a_walk_that_is_the_same_everywhere_is_its_own_null(rests: float, beside: float, grid: Grid) -> None:
    """Around a ring or a torus; however little its splits cost, distance explains all of it."""
    walk = everywhere_alike(grid, rests, beside)
    tree = tree_of(random_walk(grid))
    np.testing.assert_allclose(SpatialNull.of(walk).matrix(), flow_of(walk), atol=1e-10)
    prices = SplitPrices.of(tree, walk)
    np.testing.assert_allclose(prices.walk, prices.null, rtol=1e-6)
    assert prune(tree, prices=prices).leaves.tolist() == [0]


@pytest.mark.parametrize("grid", [(1, 48), (3, 20), (12, 12)])
@pytest.mark.parametrize("reach", [1.0, 1.5])
def test_a_walk_without_regions_stays_whole_though_it_remembers(grid: Grid, reach: float) -> None:
    """A strip is cut for next to nothing by a walk that is led by distance alone; by a constant, into many."""
    walk = near(grid, reach)
    tree = partition(walk.reversible(), grid, smallest=2)
    prices = SplitPrices.of(tree, walk)
    assert prices.walk[0] < 0.25
    assert len(tree.leaves(0.5)) > 2
    assert prices.walk[0] / prices.null[0] == pytest.approx(1, abs=0.1)
    assert len(prune(tree, prices=prices)) == 1


@pytest.mark.parametrize("between", [0.02, 0.1, 0.3])
@pytest.mark.parametrize("where", ["halves", "anywhere"])
def test_planted_regions_are_kept(between: float, where: str) -> None:
    """Two blocks of 50 patches, NCut 2 b / (1 + b): side by side, or strewn over the picture, where the null is 1."""
    kind = np.repeat([0, 1], 50)
    if where == "anywhere":
        kind = np.random.default_rng(0).permutation(kind)
    W = np.where(kind[:, None] == kind, 1.0, between)
    graph = Graph(torch.from_numpy(W))
    tree = partition(graph, (10, 10), smallest=4)
    prices = priced(graph, tree)
    assert prices.walk[0] == pytest.approx(2 * between / (1 + between))
    assert prices.null[0] == pytest.approx(1, abs=0.1) if where == "anywhere" else prices.null[0] < 0.95
    kept = prices.walk[0] <= 0.75 * prices.null[0]
    assert kept or where == "halves"
    assert between == 0.3 or kept
    labels = tree.labels(leaves=prune(tree, prices=prices).leaves).ravel()
    assert labels.max() == int(kept)
    if kept:
        assert len(set(zip(labels, kind, strict=True))) == 2


def test_a_region_that_distance_does_not_explain_is_kept_in_one_that_it_does() -> None:
    """A disc seen by a walk that is led by distance, but seldom over the disc's rim."""
    grid = (14, 14)
    y, x = (part.ravel() for part in np.indices(grid))
    disc = (y - 6.5) ** 2 + (x - 6.5) ** 2 < 16
    W = near(grid, 3.0).P.numpy() * np.where(disc[:, None] == disc, 1, 0.05)
    walk = Walk(torch.from_numpy(W / W.sum(1, keepdims=True)), grid)
    tree = partition(walk.reversible(), grid, smallest=4)
    labels = tree.labels(leaves=prune(tree, prices=SplitPrices.of(tree, walk)).leaves).ravel()
    assert len(set(zip(labels, disc, strict=True))) == labels.max() + 1 == 2


@settings(max_examples=15)
@given(st.integers(0, 10**6), st.floats(0.01, 0.9), st.sampled_from([(1, 12), (3, 4), (5, 5)]))
def test_rests_lower_both_prices_of_the_first_split(seed: int, q: float, grid: Grid) -> None:
    """The walk's exactly; the null's nearly, for it does not know who rests: u has to be found anew."""
    P = np.random.default_rng(seed).random((grid[0] * grid[1],) * 2) + 0.2
    walk = Walk(torch.from_numpy(P / P.sum(1, keepdims=True)), grid)
    lazy = Walk((1 - q) * walk.P + q * torch.eye(len(walk), dtype=torch.float64), grid)
    tree = tree_of(random_walk(grid, seed + 1), smallest=len(walk) // 2)
    before, after = SplitPrices.of(tree, walk), SplitPrices.of(tree, lazy)
    assert after.walk[0] == pytest.approx((1 - q) * before.walk[0], rel=1e-9)
    assert after.null[0] == pytest.approx((1 - q) * before.null[0], rel=0.2)


# ---------------------------------------------------------------------------------------------------------------------
# A walk whose nodes have no places


def planted(leak: float, block: np.ndarray, rng: np.random.Generator) -> Walk:
    """Chapter 4's own walk."""
    code = next(source for source in page_of("04-recursion").code if "def planted" in source)
    exec(code.partition("\n\n\nfor leak")[0], {"np": np}, names := {})
    return Walk(torch.from_numpy(names["planted"](leak, block, rng)), (1, len(block)))


def three_quarters(walk: Walk) -> np.ndarray:
    """Segments where the null knows no distance: chapter 5 says that the rule is then NCut < 3/4."""
    return tree_of(walk).labels(0.75).ravel()


def test_without_distances_the_null_prices_every_split_at_one() -> None:
    walk = random_walk((3, 4))
    tree, law = tree_of(walk), walk.stationary().law.numpy()
    inside = np.array([law[tree.order[a:b]].sum() ** 2 for a, b in zip(tree.start, tree.stop, strict=True)])
    assert split_ncut(tree, inside)[tree.left >= 0] == pytest.approx(1)


@pytest.mark.parametrize("leak", [0.05, 0.15, 0.3, 0.55, 0.6])
def test_planted_blocks_come_out_up_to_nine_sixteenths(leak: float) -> None:
    """The first cut costs 4/3 of the leak."""
    for rng in map(np.random.default_rng, range(5)):
        block = rng.permutation(np.repeat(range(4), 50))
        walk = planted(leak, block, rng)
        found = three_quarters(walk)
        assert partition(walk.reversible(), walk.grid).ncut[0] == pytest.approx(4 / 3 * leak, abs=0.005)
        assert found.max() + 1 == len({*zip(found, block, strict=True)}) == 4 if leak < 9 / 16 else found.max() == 0


def test_without_distances_a_corridor_is_cut() -> None:
    corridor = np.eye(12, k=1) + np.eye(12, k=-1)
    walk = Walk(torch.from_numpy(corridor / corridor.sum(1, keepdims=True)), (1, 12))
    tree = tree_of(walk)
    assert len(prune(tree, "auto", prices=SplitPrices.of(tree, walk))) == 1
    assert three_quarters(walk).max() > 0


def test_a_grid_of_one_row_takes_numbers_for_places() -> None:
    """Blocks in order are as long as the row, and their null takes a part of them for distance."""
    walk = planted(0.3, np.repeat(range(4), 50), np.random.default_rng(3))
    tree = partition(walk.reversible(), walk.grid)
    assert len(prune(tree, "auto", prices=SplitPrices.of(tree, walk))) < 4
    assert tree.labels(0.75).max() + 1 == 4

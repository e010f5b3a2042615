"""The tree: one recursion, every threshold a pruning of it."""

import itertools
import pickle
import weakref

import numpy as np
import pytest
import torch
from devices import there
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score
from toy_graphs import blocks, same_partition
from trees import scattered

from walkcut.errors import InputError
from walkcut.graph import Graph
from walkcut.lab.directed import Directed
from walkcut.lab.graphs import LowRank
from walkcut.ncut import Split, best_cut
from walkcut.tree import ARRAYS, PartitionTree, partition

GRID = (8, 10)
THRESHOLDS = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0, 2.0)


def cut_again(graph: Graph, index: np.ndarray, threshold: float, smallest: int) -> list[np.ndarray]:
    """Slow reference: the recursion run anew for one threshold."""
    if len(index) < 2 * smallest:
        return [index]
    split = best_cut(graph.subgraph(torch.from_numpy(index)))
    if split.ncut >= 1 or split.ncut > threshold:
        return [index]
    parts = split.order[: split.size].numpy(), split.order[split.size :].numpy()
    return [leaf for part in parts for leaf in cut_again(graph, np.sort(index[part]), threshold, smallest)]


@pytest.fixture(scope="module")
def tree() -> PartitionTree:
    return partition(scattered(GRID, 0), GRID, smallest=2)


@pytest.mark.parametrize("threshold", THRESHOLDS)
@pytest.mark.parametrize("seed", [0, 1])
def test_labels_are_those_of_a_recursion_run_anew(seed: int, threshold: float) -> None:
    graph = scattered(GRID, seed)
    found = partition(graph, GRID, smallest=2).labels(threshold)
    expected = np.empty(found.size, int)
    for label, leaf in enumerate(cut_again(graph, np.arange(found.size), threshold, 2)):
        expected[leaf] = label
    assert same_partition(found, expected)


def test_the_order_is_a_permutation_and_children_share_their_parents_slice(tree: PartitionTree) -> None:
    np.testing.assert_array_equal(np.sort(tree.order), np.arange(80))
    assert (tree.start[0], tree.stop[0]) == (0, 80)
    split = np.flatnonzero(tree.left >= 0)
    assert len(split) > 5
    assert len(tree) == 2 * len(split) + 1
    np.testing.assert_array_equal(tree.start[tree.left[split]], tree.start[split])
    np.testing.assert_array_equal(tree.stop[tree.left[split]], tree.start[tree.right[split]])
    np.testing.assert_array_equal(tree.stop[tree.right[split]], tree.stop[split])
    assert (tree.left[split] > split).all()  # parents come before their children
    assert (tree.right[split] > split).all()
    np.testing.assert_array_equal(np.isinf(tree.ncut), tree.left < 0)


def test_volume_and_association_of_every_node(tree: PartitionTree) -> None:
    W = scattered(GRID, 0).W.numpy()
    for node in range(len(tree)):
        patches = tree.order[tree.start[node] : tree.stop[node]]
        assert tree.volume[node] == pytest.approx(W[patches].sum() / W.sum())
        assert tree.association[node] == pytest.approx(W[np.ix_(patches, patches)].sum() / W.sum())


def test_larger_thresholds_only_split(tree: PartitionTree) -> None:
    finer = [tree.labels(threshold) for threshold in THRESHOLDS]
    for coarse, fine in itertools.pairwise(finer):
        pairs = np.unique(np.stack([fine.ravel(), coarse.ravel()]), axis=1)
        assert pairs.shape[1] == fine.max() + 1  # each fine segment lies in one coarse segment
    counts = [labels.max() + 1 for labels in finer]
    assert counts == sorted(counts)
    assert counts[0] == 1
    assert counts[-1] == (tree.left < 0).sum()


@pytest.mark.parametrize("threshold", THRESHOLDS)
def test_labels_have_no_gaps_and_go_by_size(tree: PartitionTree, threshold: float) -> None:
    labels = tree.labels(threshold)
    assert (labels.shape, labels.dtype) == (GRID, np.int32)
    sizes = np.bincount(labels.ravel())
    assert sizes.min() > 0
    assert (np.diff(sizes) <= 0).all()


def test_a_node_is_split_from_the_largest_ncut_on_its_path_on(tree: PartitionTree) -> None:
    height = tree.split_height()
    assert height[0] == tree.ncut[0]
    for node in np.flatnonzero(tree.left >= 0):
        for child in (tree.left[node], tree.right[node]):
            assert height[child] == max(tree.ncut[child], height[node])
    for node in np.flatnonzero(np.isfinite(height)):
        just_below = np.nextafter(height[node], 0)
        assert node not in tree.leaves(height[node])
        assert len(tree.leaves(just_below)) < len(tree.leaves(height[node]))


def same_tree(one: PartitionTree, other: PartitionTree) -> None:
    assert one.grid == other.grid
    for name in ("order", *ARRAYS):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
        assert getattr(one, name).dtype == getattr(other, name).dtype


def test_a_tree_survives_pickling_and_is_equal_to_itself_alone(tree: PartitionTree) -> None:
    again = pickle.loads(pickle.dumps(tree))
    same_tree(again, tree)
    np.testing.assert_array_equal(again.labels(0.5), tree.labels(0.5))
    assert again != tree
    assert len({again, tree, again}) == 2


# ---------------------------------------------------------------------------------------------------------------------
# The first k, chosen nodes, stacks


def test_the_first_k_nest_and_agree_with_thresholds(tree: PartitionTree) -> None:
    most = int((tree.left < 0).sum())
    before = np.zeros(GRID, int)
    for k in range(1, most + 1):
        labels = tree.labels(k=k)
        assert (labels.shape, labels.dtype) == (GRID, np.int32)
        np.testing.assert_array_equal(np.unique(labels), np.arange(k))
        pairs = np.unique(np.stack([labels.ravel(), before.ravel()]), axis=1)
        assert pairs.shape[1] == k  # each segment lies in one of the k - 1
        before = labels
    for threshold in THRESHOLDS:
        labels = tree.labels(threshold)
        np.testing.assert_array_equal(tree.labels(k=int(labels.max()) + 1), labels)


def test_equal_splits_come_parents_first() -> None:
    """Four components: three splits that all cost nothing."""
    tree = partition(blocks(3, 3, 3, 3), (3, 4), smallest=1)
    counts = [int(tree.labels(k=k).max()) + 1 for k in range(1, 5)]
    assert counts == [1, 2, 3, 4]


@pytest.mark.parametrize("k", [0, -1, 10**6, 1.5, True, "2"])
def test_a_tree_that_cannot_give_k_segments_says_so(tree: PartitionTree, k: object) -> None:
    with pytest.raises(InputError, match=rf"is a whole number from 1 to {(tree.left < 0).sum()}, not {k!r}"):
        tree.labels(k=k)


def test_labels_of_chosen_nodes(tree: PartitionTree) -> None:
    chosen = tree.leaves(0.5)
    np.testing.assert_array_equal(tree.labels(leaves=chosen[::-1]), tree.labels(0.5))
    with pytest.raises(InputError, match="do not hold each patch once"):
        tree.labels(leaves=chosen[1:])
    with pytest.raises(InputError, match="do not hold each patch once"):
        tree.labels(leaves=[0, *chosen])


@pytest.mark.parametrize("arguments", [{}, {"threshold": 0.5, "k": 2}, {"k": 2, "leaves": [0]}])
def test_labels_take_one_of_three(tree: PartitionTree, arguments: dict) -> None:
    with pytest.raises(InputError, match="one of three"):
        tree.labels(**arguments)


def test_a_stack_holds_the_labels_of_each_threshold(tree: PartitionTree) -> None:
    stack = tree.stack(THRESHOLDS)
    assert (stack.shape, stack.dtype) == ((len(THRESHOLDS), *GRID), np.int32)
    for labels, threshold in zip(stack, THRESHOLDS, strict=True):
        np.testing.assert_array_equal(labels, tree.labels(threshold))


@pytest.mark.parametrize("threshold", [-0.1, 2.1, float("nan"), float("inf")])
def test_thresholds_out_of_range_are_refused(tree: PartitionTree, threshold: float) -> None:
    with pytest.raises(InputError, match=f"threshold is a number from 0 to 2, not {threshold}"):
        tree.labels(threshold)


def test_a_grid_must_fit_its_graph() -> None:
    with pytest.raises(InputError, match="8x10 patches needs 80 nodes, not 4"):
        partition(blocks(4), GRID)


# ---------------------------------------------------------------------------------------------------------------------
# Graphs whose tree is known


@pytest.mark.parametrize("between", [0.0, 1e-3])
def test_cliques_come_out_one_by_one(between: float) -> None:
    labels = partition(blocks(6, 5, 4, between=between), (3, 5), smallest=2).labels(0.5)
    np.testing.assert_array_equal(labels.ravel(), [0] * 6 + [1] * 5 + [2] * 4)


def test_cliques_in_cliques_nest() -> None:
    """Two pairs of cliques, the partners of a pair tied more closely: pairs at a low threshold, cliques at a higher."""
    pair = blocks(4, 4, between=0.1).W
    W = torch.block_diag(pair, pair) + 1e-3
    tree = partition(Graph(W), (4, 4), smallest=2)
    low, high = (np.unique(tree.ncut[np.isfinite(tree.ncut)].round(9))[i] for i in (0, 1))
    assert same_partition(tree.labels(low + 1e-6), np.repeat([0, 1], 8))
    assert same_partition(tree.labels(high + 1e-6), np.repeat([0, 1, 2, 3], 4))


def test_several_components_cost_nothing() -> None:
    tree = partition(blocks(3, 5, 4), (3, 4), smallest=2)
    assert tree.ncut[0] == pytest.approx(0, abs=1e-9)
    assert same_partition(tree.labels(1e-6), np.repeat([0, 1, 2], [3, 5, 4]))


def test_isolated_patches_are_cut_off_at_no_cost() -> None:
    W = blocks(7).W
    W[[2, 4]] = 0
    W[:, [2, 4]] = 0
    tree = partition(Graph(W), (1, 7), smallest=2)
    labels = tree.labels(0.0).ravel()
    assert set(labels[[0, 1, 3, 5, 6]]) == {0}
    assert 0 not in labels[[2, 4]]
    finest = partition(Graph(W), (1, 7), smallest=1).labels(0.0).ravel()
    assert finest[2] != finest[4]


def test_a_graph_without_edges() -> None:
    tree = partition(Graph(torch.zeros(6, 6)), (2, 3), smallest=1)
    assert tree.labels(0.0).max() + 1 == 6
    assert (tree.volume == 0).all()


def test_a_memoryless_walk_stays_whole() -> None:
    pi = torch.tensor([0.1, 0.2, 0.3, 0.15, 0.15, 0.1], dtype=torch.float64)
    tree = partition(Graph(pi[:, None] * pi), (2, 3), smallest=1)
    assert tree.labels(0.9999).max() == 0


def test_one_patch_is_a_tree() -> None:
    tree = partition(Graph(torch.ones(1, 1)), (1, 1))
    assert len(tree) == 1
    assert tree.labels(2.0).tolist() == [[0]]


def test_small_regions_are_left_whole() -> None:
    tree = partition(scattered(GRID, 0), GRID, smallest=10)
    size = tree.stop - tree.start
    assert (size[tree.left >= 0] >= 20).all()


@given(seed=st.integers(0, 2**32 - 1), h=st.integers(1, 5), w=st.integers(1, 5), data=st.data())
@settings(max_examples=40)
def test_any_graph_gives_a_sound_tree(seed: int, h: int, w: int, data: st.DataObject) -> None:
    """Sparse graphs of any shape: with isolated nodes, components, loops."""
    rng = np.random.default_rng(seed)
    tied = rng.uniform(size=(h * w, h * w)) < data.draw(st.sampled_from([0.03, 0.2, 1]))
    W = rng.uniform(size=(h * w, h * w)) * tied
    tree = partition(Graph(torch.from_numpy(W + W.T)), (h, w), smallest=1)
    assert tree.volume[0] == pytest.approx(1 if W.any() else 0)
    split = tree.left >= 0
    assert (tree.ncut[split] >= 0).all()
    assert (tree.ncut[split] < 1).all()
    np.testing.assert_allclose(tree.volume[tree.left[split]] + tree.volume[tree.right[split]], tree.volume[split])
    assert (tree.association <= tree.volume + 1e-12).all()
    labels = tree.labels(data.draw(st.floats(0, 2)))
    np.testing.assert_array_equal(np.unique(labels), np.arange(labels.max() + 1))


def one_by_one(graph: Graph, grid: tuple[int, int], smallest: int) -> PartitionTree:
    """Slow reference: regions are cut alone, in the order in which they come up."""

    def cut_alone(regions: list[Graph], tolerance: float, _: list[torch.Tensor]) -> list[Split]:
        return [best_cut(region, tolerance, twins=False) for region in regions]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("walkcut.tree.best_cuts", cut_alone)
        patch.setattr("walkcut.tree._alike", lambda waiting: (waiting[-1:], waiting[:-1]))
        return partition(graph, grid, smallest)


@given(seed=st.integers(0, 2**32 - 1), tied=st.sampled_from([0.3, 1]), single=st.booleans())
@settings(max_examples=40)
def test_regions_that_are_cut_together_are_cut_as_alone(seed: int, tied: float, single: bool) -> None:
    """Whole or with gaps, in either precision."""
    rng, W = np.random.default_rng(seed), scattered((6, 9), seed).W
    ties = torch.from_numpy(rng.uniform(size=W.shape) < tied)
    W = torch.where(ties | ties.T, W, 0.0)
    graph = Graph(W.float() if single else W)
    found, expected = partition(graph, (6, 9), smallest=1), one_by_one(graph, (6, 9), smallest=1)
    np.testing.assert_allclose(found.split_height().max(), expected.split_height().max(), atol=1e-5)
    for threshold in (0.0, 0.1, 0.4, 0.8):
        if not (np.abs(expected.split_height() - threshold) < 1e-5).any():
            assert adjusted_rand_score(found.labels(threshold).ravel(), expected.labels(threshold).ravel()) > 0.999


@pytest.mark.parametrize("grid", [(12, 18), (30, 40)])  # regions of all sizes, by either way to an eigenvector
def test_the_tree_is_that_of_regions_cut_one_by_one(grid: tuple[int, int]) -> None:
    graph = Graph(scattered(grid, 3).W.float())
    found, expected = partition(graph, grid), one_by_one(graph, grid, max(2, len(graph) // 256))
    for name in ("order", "start", "stop", "left", "right"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    np.testing.assert_allclose(found.ncut, expected.ncut, atol=1e-5)
    np.testing.assert_allclose(found.association, expected.association, atol=1e-6)


def test_a_device_is_asked_for_all_regions_of_like_size(elsewhere: list[int]) -> None:
    """On a GPU nothing is silently fetched: of a table only splits leave it."""
    grid = (24, 32)
    graph = Graph(scattered(grid, 0).W.float())
    expected = partition(graph, grid)
    assert elsewhere == []
    found = partition(Graph._trusted(there(graph.W)), grid)
    np.testing.assert_array_equal(found.order, expected.order)
    np.testing.assert_allclose(found.ncut, expected.ncut, atol=1e-5)
    assert sum(elsewhere) < graph.W.nbytes / 4
    assert max(elsewhere) < graph.W.nbytes / 16
    cuts = int((found.left >= 0).sum())
    assert cuts > 150
    assert len(elsewhere) < 5 * cuts


@pytest.mark.parametrize("kind", ["directed", "low rank"])
def test_other_graphs_make_trees_as_well(kind: str) -> None:
    W = blocks(6, 5, 4, between=1e-3).W
    F = torch.block_diag(torch.ones(6, 1), torch.ones(5, 1), torch.ones(4, 1)).double() + 1e-4
    tree = partition(Directed(W) if kind == "directed" else LowRank(F), (3, 5), smallest=2)
    np.testing.assert_array_equal(tree.labels(0.5).ravel(), [0] * 6 + [1] * 5 + [2] * 4)


def test_a_largest_ncut_only_leaves_out_what_costs_more() -> None:
    graph = scattered(GRID, 0)
    whole, low = partition(graph, GRID, smallest=2), partition(graph, GRID, smallest=2, max_ncut=0.3)
    for threshold in (0.0, 0.1, 0.29):
        np.testing.assert_array_equal(low.labels(threshold), whole.labels(threshold))
    assert low.labels(2).max() < whole.labels(2).max()
    assert low.ncut[np.isfinite(low.ncut)].max() < 0.3


@pytest.mark.parametrize("max_ncut", [-1.0, 2.5, float("nan")])
def test_a_largest_ncut_out_of_range(max_ncut: float) -> None:
    with pytest.raises(InputError, match=f"max_ncut is a number from 0 to 2, not {max_ncut}"):
        partition(scattered(GRID, 0), GRID, max_ncut=max_ncut)


def test_many_isolated_nodes_fall_apart_by_halves() -> None:
    """300 nodes without edges beside a clique: no chain of 300 cuts."""
    W = torch.zeros(324, 324)
    W[:24, :24] = 1
    tree = partition(Graph(W), (18, 18), smallest=2)
    depth = np.zeros(len(tree), int)
    for node in np.flatnonzero(tree.left >= 0):
        depth[[tree.left[node], tree.right[node]]] = depth[node] + 1
    assert depth.max() <= 10
    assert len(np.unique(tree.labels(0.0)[np.arange(324).reshape(18, 18) < 24])) == 1


@pytest.mark.parametrize("seed", range(2))
def test_regions_by_lanczos_are_cut_as_by_all_eigenvectors(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the tolerance of trees, single precision and all, no threshold tells the two apart."""
    grid = (20, 30)
    graph = Graph(scattered(grid, seed).W.float())
    few = partition(graph, grid)
    monkeypatch.setattr("walkcut.ncut.DENSE", 10**6)
    whole = partition(graph, grid)
    np.testing.assert_array_equal(few.ncut.round(5), whole.ncut.round(5))
    for threshold in (*THRESHOLDS, *whole.ncut[np.isfinite(whole.ncut)] + 1e-6):
        np.testing.assert_array_equal(few.labels(threshold), whole.labels(threshold))


def test_memory_of_a_tree(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside the table that is cut there are parts of it, and no more of them than a table and a half at a time."""
    grid, sizes, most = (24, 32), {}, 0
    trusted = Graph._trusted.__func__

    def counted(cls: type[Graph], W: torch.Tensor) -> Graph:
        nonlocal most
        graph = trusted(cls, W)
        sizes[id(graph)] = len(W) ** 2
        weakref.finalize(graph, sizes.pop, id(graph))
        most = max(most, sum(sizes.values()))
        return graph

    graph = scattered(grid, 0)
    monkeypatch.setattr(Graph, "_trusted", classmethod(counted))
    partition(graph, grid)
    assert most <= 1.5 * len(graph) ** 2

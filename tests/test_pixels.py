"""From patches to pixels, against matrix powers and the up-sampling of everything at once."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from walkcut.errors import InputError
from walkcut.pixels import connected_parts, leaf_membership, leaf_of, pixel_labels, pruned_membership, soft_membership
from walkcut.tree import PartitionTree, partition
from walkcut.walk import Walk


def random_walk(grid: tuple[int, int], seed: int = 0) -> Walk:
    n = grid[0] * grid[1]
    P = torch.rand(n, n, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return Walk(P / P.sum(1, keepdim=True), grid)


@pytest.mark.parametrize("stay", [0.0, 0.5, 1.0])
def test_membership_against_the_matrix_of_the_lazy_walk(stay: float) -> None:
    walk = random_walk((2, 3))
    labels = np.array([[0, 2, 1], [1, 1, 2]], np.int32)
    found = soft_membership(walk, labels, stay)
    lazy = stay * np.eye(6) + (1 - stay) * walk.P.numpy()
    np.testing.assert_allclose(found, lazy @ np.eye(3)[labels.ravel()])
    np.testing.assert_allclose(found.sum(1), 1)


def test_at_one_half_a_patch_belongs_to_its_own_segment_first() -> None:
    walk = random_walk((4, 5), seed=3)
    labels = np.arange(20).reshape(4, 5) % 7
    assert (soft_membership(walk, labels, 0.5).argmax(1).numpy() == labels.ravel()).all()


def test_one_segment_has_every_walker() -> None:
    found = soft_membership(random_walk((2, 2)), np.zeros((2, 2), np.int32))
    torch.testing.assert_close(found, torch.ones(4, 1, dtype=torch.float64))


def test_labels_must_fit_the_walk() -> None:
    with pytest.raises(InputError, match=r"\(3, 2\) do not fit a walk on 2x3 patches"):
        soft_membership(random_walk((2, 3)), np.zeros((3, 2), np.int32))


@pytest.mark.parametrize("stay", [-0.1, 1.5])
def test_the_probability_to_stay_is_one(stay: float) -> None:
    with pytest.raises(InputError, match=f"stay is a number from 0 to 1, not {stay}"):
        soft_membership(random_walk((2, 2)), np.zeros((2, 2), np.int32), stay)


# ---------------------------------------------------------------------------------------------------------------------
# Any pruning from a small table


def cut(grid: tuple[int, int], seed: int, dtype: torch.dtype = torch.float64) -> tuple[Walk, PartitionTree]:
    """A walk with a prior on distance, so that it falls into regions, and its tree."""
    walk = random_walk(grid, seed).spatial_prior(0.2)
    walk = Walk(walk.P.to(dtype), grid)
    return walk, partition(walk.reversible(), grid, smallest=2)


def test_the_leaf_of_each_patch() -> None:
    _, tree = cut((5, 7), 1)
    owner = leaf_of(tree)
    leaves = [node for node in np.argsort(tree.start, kind="stable") if tree.left[node] < 0]
    assert len(leaves) > 5
    for number, node in enumerate(leaves):
        assert set(np.flatnonzero(owner == number)) == set(tree.order[tree.start[node] : tree.stop[node]])


@pytest.mark.parametrize(("dtype", "close"), [(torch.float64, 1e-14), (torch.float32, 1e-6)])
@pytest.mark.parametrize("stay", [0.0, 0.5, 1.0])
def test_every_pruning_from_the_leaves_is_the_product_itself(dtype: torch.dtype, close: float, stay: float) -> None:
    walk, tree = cut((6, 9), 2, dtype)
    seen = leaf_membership(walk, tree)
    leaves = int((tree.left < 0).sum())
    assert seen.shape == (54, leaves)
    assert seen.dtype == dtype
    hot = np.eye(leaves)[leaf_of(tree)]
    np.testing.assert_allclose(seen.double().numpy(), walk.P.double().numpy() @ hot, atol=close)
    for labels in (*tree.stack([0.0, 0.3, 0.6, 0.8, 1.0]), tree.labels(k=1), tree.labels(k=leaves)):
        found, expected = pruned_membership(seen, tree, labels, stay), soft_membership(walk, labels, stay)
        torch.testing.assert_close(found, expected, rtol=0, atol=2 * close)


def test_a_tree_of_one_leaf_has_a_table_of_one_column() -> None:
    walk = random_walk((1, 3))
    tree = partition(walk.reversible(), (1, 3), smallest=5)
    seen = leaf_membership(walk, tree)
    torch.testing.assert_close(seen, torch.ones(3, 1, dtype=torch.float64))
    labels = np.zeros((1, 3), np.int32)
    torch.testing.assert_close(pruned_membership(seen, tree, labels), torch.ones(3, 1, dtype=torch.float64))


def test_segments_that_are_no_pruning_are_refused() -> None:
    walk, tree = cut((4, 5), 3)
    seen = leaf_membership(walk, tree)
    with pytest.raises(InputError, match="split a leaf of the tree"):
        pruned_membership(seen, tree, np.arange(20).reshape(4, 5))
    with pytest.raises(InputError, match="stay is a number from 0 to 1, not 2"):
        pruned_membership(seen, tree, tree.labels(k=2), 2)


@pytest.mark.gpu
def test_a_gpu_sums_the_same_table() -> None:
    walk, tree = cut((6, 9), 2, torch.float32)
    there = leaf_membership(Walk(walk.P.cuda(), walk.grid), tree)
    torch.testing.assert_close(there.cpu(), leaf_membership(walk, tree), rtol=0, atol=1e-6)
    labels = tree.labels(k=3)
    torch.testing.assert_close(pruned_membership(there, tree, labels).cpu(), soft_membership(walk, labels))


# ---------------------------------------------------------------------------------------------------------------------
# Pixels


def test_two_patches_meet_in_the_middle() -> None:
    """Between the patches' centres the memberships are 3/4 to 1/4, then 1/4 to 3/4."""
    found = pixel_labels(torch.eye(2), (1, 2), (1, 4))
    assert found.dtype == np.int32
    assert found.tolist() == [[0, 0, 1, 1]]


def test_a_stronger_segment_reaches_further() -> None:
    found = pixel_labels(torch.tensor([[1.0, 0.0], [0.4, 0.6]]), (1, 2), (1, 4))
    assert found.tolist() == [[0, 0, 0, 1]]


def reference(membership: torch.Tensor, grid: tuple[int, int], shape: tuple[int, int]) -> torch.Tensor:
    """(m, H, W): all memberships up-sampled at once."""
    return functional.interpolate(membership.T.reshape(1, -1, *grid), size=shape, mode="bilinear")[0]


@pytest.mark.parametrize(
    ("grid", "shape", "m"),
    [((4, 6), (32, 48), 5), ((3, 5), (17, 41), 7), ((6, 4), (3, 2), 3), ((1, 3), (20, 1), 4), ((4, 4), (4, 4), 2)],
)
def test_against_the_whole_stack(grid: tuple[int, int], shape: tuple[int, int], m: int) -> None:
    """One segment after another or all at once: the winner is the reference's, or within rounding of it."""
    membership = torch.rand(grid[0] * grid[1], m, generator=torch.Generator().manual_seed(m))
    found = pixel_labels(membership, grid, shape)
    assert found.shape == shape
    stack = reference(membership, grid, shape)
    won = stack.gather(0, torch.from_numpy(found.astype(np.int64))[None])[0]
    torch.testing.assert_close(won, stack.max(0).values, rtol=0, atol=1e-6)


def test_of_equal_memberships_the_first_segment_wins() -> None:
    membership = torch.tensor([[0.2, 0.4, 0.4], [0.2, 0.4, 0.4]])
    assert pixel_labels(membership, (1, 2), (2, 4)).tolist() == [[1] * 4] * 2


def test_one_segment_owns_every_pixel() -> None:
    found = pixel_labels(torch.ones(6, 1), (2, 3), (9, 11))
    assert found.shape == (9, 11)
    assert not found.any()


def test_segments_shrink_only_at_their_borders() -> None:
    """Hard memberships: each pixel nearest to a patch's centre keeps that patch's segment."""
    labels = np.random.default_rng(0).integers(0, 3, (4, 5))
    membership = functional.one_hot(torch.from_numpy(labels.ravel()))
    found = pixel_labels(membership, (4, 5), (12, 15))
    np.testing.assert_array_equal(found[1::3, 1::3], labels)


def test_pieces_apart_are_parts_and_specks_join_the_nearest() -> None:
    labels = np.zeros((6, 9), np.int32)
    labels[:, 4] = 1
    labels[0, 0] = 1
    assert connected_parts(labels, 1).max() + 1 == 4
    parts = connected_parts(labels, 2)
    assert np.array_equal(parts, np.repeat([[0] * 4 + [1] + [2] * 4], 6, axis=0))


def test_parts_of_specks_alone_stay() -> None:
    labels = np.arange(6).reshape(2, 3)
    assert np.array_equal(connected_parts(labels, 100), labels)

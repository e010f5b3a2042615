"""From patches to pixels."""

import numpy as np
import torch
from torch.nn import functional

from walkcut.capture import Grid
from walkcut.errors import InputError
from walkcut.recipe import between, checked, sides, whole
from walkcut.tree import PartitionTree
from walkcut.walk import Walk


def soft_membership(walk: Walk, labels: np.ndarray, stay: float = 0.5) -> torch.Tensor:
    """In which segment is a walker after its next step, if it stays where it is with probability `stay`?

    Equation `eq-pixels-soft` of the book.

    Parameters
    ----------
    walk : Walk on a grid (h, w)
    labels : int (h, w), 0..m-1
    stay : float in [0, 1]
        0 is the plain walk; attention is broad, so its walkers are drawn to large segments. At 1/2 or more, a patch
        belongs to its own segment first, and the walk decides between patches.

    Returns
    -------
    Tensor (h*w, m)
        Rows sum to 1; column s is stay 1_s + (1 - stay) P 1_s.
    """
    labels = np.asarray(labels)
    if labels.shape != walk.grid:
        raise InputError(f"Labels of shape {labels.shape} do not fit a walk on {walk.grid[0]}x{walk.grid[1]} patches.")
    return _half_at_home(walk.expect(_indicators(labels)), labels, stay)


def leaf_membership(walk: Walk, tree: PartitionTree) -> torch.Tensor:
    """P times the indicators of a tree's finest segments: Tensor (n, leaves), all that `pruned_membership` needs of P.

    A few hundred numbers a patch, where P has as many as there are patches. Column l is the leaf of which `leaf_of`
    says l.
    """
    owner = leaf_of(tree)
    if walk.P.is_cuda:  # which adds up scattered numbers in any order
        return walk.expect(_indicators(owner))
    sums = walk.P.new_zeros(len(walk), owner.max() + 1)
    return sums.scatter_add_(1, torch.from_numpy(owner).expand(walk.P.shape), walk.P)  # quicker than the product


def pruned_membership(seen: torch.Tensor, tree: PartitionTree, labels: np.ndarray, stay: float = 0.5) -> torch.Tensor:
    """`soft_membership` for the segments of any pruning of a tree: sums of columns of its `leaf_membership`.

    Parameters
    ----------
    seen : Tensor (n, leaves)
        From `leaf_membership`.
    tree : PartitionTree
    labels : int (h, w), 0..m-1
        From `PartitionTree.labels`.
    stay : float in [0, 1]
    """
    owner, segment = leaf_of(tree), np.zeros(seen.shape[1], np.int64)
    segment[owner] = np.ravel(labels)
    if (segment[owner] != np.ravel(labels)).any():
        raise InputError("These labels split a leaf of the tree: give those of one of its prunings.")
    return _half_at_home(seen @ _indicators(segment).to(seen), labels, stay)


def leaf_of(tree: PartitionTree) -> np.ndarray:
    """int64 (n,): in which of a tree's leaves, counted along its order, each patch is."""
    owner = np.empty(len(tree.order), np.int64)
    starts = np.sort(tree.start[tree.left < 0])
    owner[tree.order] = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(owner)))
    return owner


def _indicators(labels: np.ndarray) -> torch.Tensor:
    """int64 (n, m): for each of n labels a row with a one at its place."""
    return functional.one_hot(torch.from_numpy(np.ravel(labels).astype(np.int64)))


@checked(stay=between(0, 1))
def _half_at_home(seen: torch.Tensor, labels: np.ndarray, stay: float) -> torch.Tensor:
    return stay * _indicators(labels).to(seen) + (1 - stay) * seen


@checked(grid=sides, shape=sides)
def pixel_labels(membership: torch.Tensor, grid: Grid, shape: tuple[int, int]) -> np.ndarray:
    """Up-sample memberships bilinearly and give each pixel to the segment it belongs to most.

    Equation `eq-pixels-up` of the book.

    Parameters
    ----------
    membership : Tensor (h*w, m)
    grid : (h, w)
    shape : (H, W) of the picture

    Returns
    -------
    int32 (H, W), 0..m-1
    """
    top = membership.new_full(shape, -1.0, dtype=torch.float32)
    labels = torch.zeros_like(top, dtype=torch.int32)
    # one segment at a time: the winner so far is all that is kept of (m, H, W) numbers
    for segment, mask in enumerate(membership.float().T.reshape(-1, 1, 1, *grid)):
        here = functional.interpolate(mask, size=shape, mode="bilinear")[0, 0]
        labels.masked_fill_(here > top, segment)
        torch.maximum(top, here, out=top)
    return labels.cpu().numpy()


@checked(smallest=whole(0))
def connected_parts(labels: np.ndarray, smallest: int) -> np.ndarray:
    """Split segments into connected pieces: things apart are told apart, also where they are of one material.

    Parameters
    ----------
    labels : int (H, W)
    smallest : int
        Pieces of fewer pixels (4-neighbours connected) go to the nearest piece that is large enough.

    Returns
    -------
    int32 (H, W), 0..m-1 without gaps
    """
    from scipy.ndimage import distance_transform_edt  # here, as it takes long
    from skimage.measure import label as connected_components

    pieces = connected_components(np.asarray(labels), connectivity=1, background=-1)
    small = np.bincount(pieces.ravel())[pieces] < smallest
    if small.any() and not small.all():
        nearest = distance_transform_edt(small, return_distances=False, return_indices=True)
        pieces = pieces[tuple(nearest)]
    return without_gaps(pieces)


@checked(shape=sides)
def nearest(labels: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Labels (h, w) at another size (H, W): each pixel takes the label under its centre."""
    rows, columns = ((2 * np.arange(new) + 1) * old // (2 * new) for old, new in zip(labels.shape, shape, strict=True))
    return labels[rows[:, None], columns]


def without_gaps(labels: np.ndarray) -> np.ndarray:
    """The same segments, numbered 0..m-1 in the order of their labels; int32, same shape."""
    return np.unique(labels, return_inverse=True)[1].reshape(labels.shape).astype(np.int32)

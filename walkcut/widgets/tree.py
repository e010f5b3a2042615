"""Prune a tree with one slider, and see the segments that are left."""

from __future__ import annotations

import numpy as np
from matplotlib import colormaps

from walkcut.capture import Grid
from walkcut.errors import InputError
from walkcut.tree import PartitionTree
from walkcut.walk import Walk
from walkcut.widgets.encode import LEVELS, octets, photo, stretched, viridis, words
from walkcut.widgets.inline import Figure, inline_module


def tree_explorer(
    image: np.ndarray,
    tree: PartitionTree,
    threshold: float,
    highest: float = 1.0,
    width: int = 480,
    truth: np.ndarray | None = None,
) -> Figure:
    """A tree as blocks beside the picture: one slider prunes it, and a branch lights up its region.

    Parameters
    ----------
    image : uint8 (H, W, 3)
    tree : PartitionTree
    threshold : float in [0, highest]
        Where the slider stands at first.
    highest : float in (0, 2]
        Splits that need a larger threshold are left out.
    width : int
        Of the picture in the page, in pixels.
    truth : int (H, W) or (h, w), optional
        True regions: their borders can be shown, and the covering of them by the patches' segments. Of pixels, those at
        the centres of patches are taken.
    """
    state = _state(image, tree, threshold, highest, width)
    if truth is not None:
        state["truth"] = words(_at_patches(truth, tree.grid))
    return inline_module("tree", state, "This figure needs JavaScript: prune the tree, and see the segments.")


def method_explorer(
    image: np.ndarray,
    tree: PartitionTree,
    threshold: float,
    walk: Walk,
    y: np.ndarray,
    patch: tuple[int, int],
    highest: float = 1.0,
    width: int = 320,
) -> Figure:
    """The whole method in one figure: photograph, walk, cut, tree, and the segments that one slider gives.

    Parameters
    ----------
    image, tree, threshold, highest, width
        As for `tree_explorer`.
    walk : Walk
        A patch can be chosen, by mouse, touch or keyboard, and its row is shown.
    y : array (N,)
        Second eigenvector of the walk's graph.
    patch : (row, column)
        Chosen at first.
    """
    y = np.asarray(y, float).ravel()
    if walk.grid != tree.grid or len(y) != len(walk):
        raise InputError(f"Walk and eigenvector must be those of the tree's grid, {tree.grid[0]} by {tree.grid[1]}.")
    steps, _ = stretched(walk.P.cpu().numpy())
    hues = colormaps["RdBu_r"](0.5 + y / (2 * max(abs(y).max(), 1e-300)))[:, :3]
    shown = {"walk": steps, "colours": viridis(), "hues": octets(255 * hues), "patch": list(patch)}
    state = _state(image, tree, threshold, highest, width) | shown
    return inline_module("tree", state, "This figure needs JavaScript: the method on one photograph.")


def _state(image: np.ndarray, tree: PartitionTree, threshold: float, highest: float, width: int) -> dict[str, object]:
    """The picture, and the tree down to the highest threshold, in numbers of two bytes."""
    check_tree(tree, highest)
    if not 0 <= threshold <= highest:
        raise InputError(f"The first threshold must lie between 0 and the highest, {highest}, not {threshold}.")
    needed = tree.split_height()
    kept = np.flatnonzero(_reached(tree, needed, highest))
    place = np.full(len(tree) + 1, LEVELS)  # LEVELS: no child
    place[kept] = np.arange(len(kept))
    split = needed[kept] <= highest
    return {
        "grid": tree.grid,
        **photo(image, width),
        "order": words(tree.order),
        "start": words(tree.start[kept]),
        "stop": words(tree.stop[kept]),
        "left": words(np.where(split, place[tree.left[kept]], LEVELS)),
        "right": words(np.where(split, place[tree.right[kept]], LEVELS)),
        "ncut": words(np.where(split, tree.ncut[kept], 0) * LEVELS / 2),
        "highest": float(highest),
        "threshold": float(threshold),
        "walk": None,
        "truth": None,
    }


def _at_patches(truth: np.ndarray, grid: Grid) -> np.ndarray:
    """True regions of patches, numbered from 0: those at the patches' centres."""
    if np.ndim(truth) != 2 or min(np.shape(truth)) < 1:
        raise InputError(f"A truth has one number for each pixel or patch, (H, W), not the shape {np.shape(truth)}.")
    rows, columns = (((np.arange(n) + 0.5) * side / n).astype(int) for n, side in zip(grid, truth.shape, strict=True))
    return np.unique(np.asarray(truth)[np.ix_(rows, columns)], return_inverse=True)[1].ravel()


def check_tree(tree: PartitionTree, highest: float) -> None:
    """Raise an InputError unless a figure can number the patches and 0 < highest <= 2."""
    if not 0 < highest <= 2:
        raise InputError(f"The highest threshold must lie above 0 and be at most 2, not {highest}.")
    if len(tree.order) > LEVELS:
        raise InputError(f"This figure numbers at most {LEVELS} patches, not {len(tree.order)}: choose a coarser grid.")


def _reached(tree: PartitionTree, needed: np.ndarray, highest: float) -> np.ndarray:
    """(nodes,) bool: the root, and the children of every split that needs at most `highest`."""
    reached = np.zeros(len(tree), bool)
    reached[0] = True
    split = (tree.left >= 0) & (needed <= highest)
    reached[tree.left[split]] = reached[tree.right[split]] = True
    return reached

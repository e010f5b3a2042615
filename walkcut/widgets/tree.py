"""Prune a tree with one slider, and see the segments that are left."""

from __future__ import annotations

import numpy as np
from IPython.display import HTML

from walkcut.errors import InputError
from walkcut.tree import PartitionTree
from walkcut.widgets.encode import LEVELS, photo, words
from walkcut.widgets.inline import inline_module


def tree_explorer(
    image: np.ndarray, tree: PartitionTree, threshold: float, highest: float = 1.0, width: int = 480
) -> HTML:
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
    """
    check_tree(tree, highest)
    if not 0 <= threshold <= highest:
        raise InputError(f"The first threshold must lie between 0 and the highest, {highest}, not {threshold}.")
    needed = tree.needed()
    kept = np.flatnonzero(_reached(tree, needed, highest))
    place = np.full(len(tree) + 1, LEVELS)  # LEVELS: no child
    place[kept] = np.arange(len(kept))
    split = needed[kept] <= highest
    state = {
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
    }
    return inline_module("tree", state, "This figure needs JavaScript: prune the tree, and see the segments.")


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

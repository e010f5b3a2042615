"""Prune a tree with one slider, and see the segments that are left."""

from __future__ import annotations

import numpy as np
from matplotlib import colormaps

from walkcut.errors import InputError
from walkcut.ncut import second_eigenvector
from walkcut.pixels import nearest, without_gaps
from walkcut.segmentation import Segmentation
from walkcut.tree import PartitionTree
from walkcut.widgets.encode import LEVELS, octets, photo, stretched, viridis, words
from walkcut.widgets.inline import Figure, inline_module


def tree_explorer(
    image: np.ndarray, tree: PartitionTree, threshold: float, highest: float = 1.0, truth: np.ndarray | None = None
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
    truth : int (H, W) or (h, w), optional
        True regions: their borders can be shown, and the covering of them by the patches' segments. Of pixels, those at
        the centres of patches are taken.
    """
    state = _state(image, tree, threshold, highest, width=480)
    if truth is not None:
        state["truth"] = words(without_gaps(nearest(truth, tree.grid)))
    return inline_module("tree", state, "This figure needs JavaScript: prune the tree, and see the segments.")


def method_explorer(found: Segmentation, threshold: float, patch: tuple[int, int], highest: float = 1.0) -> Figure:
    """The whole method in one figure: photograph, walk, cut, tree, and the segments that one slider gives.

    Parameters
    ----------
    found : Segmentation
        With its walk, `segment(..., keep_walk=True)`.
    threshold, highest : float
        As for `tree_explorer`.
    patch : (row, column)
        Chosen at first; another can be chosen by mouse, touch or keyboard, and its row of the walk is shown.
    """
    steps, _ = stretched(found.walk.P.cpu().numpy())
    y = second_eigenvector(found.graph).y.numpy()
    hues = colormaps["RdBu_r"](0.5 + y / (2 * abs(y).max()))[:, :3]
    shown = {"walk": steps, "colours": viridis(), "hues": octets(255 * hues), "patch": list(patch)}
    state = _state(found.image, found.tree, threshold, highest, width=320) | shown
    return inline_module("tree", state, "This figure needs JavaScript: the method on one photograph.")


def _state(image: np.ndarray, tree: PartitionTree, threshold: float, highest: float, width: int) -> dict[str, object]:
    """The picture, and the tree down to the highest threshold, in numbers of two bytes."""
    check_highest(highest)
    if not 0 <= threshold <= highest:
        raise InputError(f"The first threshold must lie between 0 and the highest, {highest}, not {threshold}.")
    split = tree.split_height() <= highest
    kept = np.unique(np.r_[0, tree.left[split], tree.right[split]])
    place = np.full(len(tree) + 1, LEVELS)  # LEVELS: no child, or none that is kept
    place[kept] = np.arange(len(kept))
    return {
        "grid": tree.grid,
        **photo(image, width),
        "order": words(tree.order),
        "start": words(tree.start[kept]),
        "stop": words(tree.stop[kept]),
        "left": words(place[tree.left[kept]]),
        "right": words(place[tree.right[kept]]),
        "ncut": words(np.where(split, tree.ncut, 0)[kept] * LEVELS / 2),
        "highest": float(highest),
        "threshold": float(threshold),
        "walk": None,
        "truth": None,
    }


def check_highest(highest: float) -> None:
    """Raise an InputError unless 0 < highest <= 2."""
    if not 0 < highest <= 2:
        raise InputError(f"The highest threshold must lie above 0 and be at most 2, not {highest}.")

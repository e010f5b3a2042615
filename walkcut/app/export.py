"""A tree for others: as a SciPy linkage, and as JSON."""

from __future__ import annotations

import operator

import numpy as np

from walkcut.errors import InputError
from walkcut.tree import ARRAYS, PartitionTree


def to_linkage(tree: PartitionTree) -> np.ndarray:
    """The tree as a SciPy linkage, float64 (h*w - 1, 4), over the patches as its leaves.

    Equation `eq-tree-height` of the book.

    A split becomes a merge at height 2 - (the largest NCut on its path from the root), which never falls towards
    the root; patches that were never parted merge at height 0. So `fcluster(linkage, height, "distance")` at a
    height just below 2 - threshold gives the segments of `labels(threshold)`, and, where no two splits are equal,
    `fcluster(linkage, k, "maxclust")` those of `labels(k=k)`.
    """
    from scipy.cluster.hierarchy import linkage  # here, as it takes long
    from scipy.spatial.distance import squareform

    n, height = len(tree.order), tree.split_height()
    if n == 1:
        return np.zeros((0, 4))
    merged = np.zeros((n, n))  # at which height two patches meet
    for node in np.flatnonzero(tree.left >= 0):
        one, other = (tree.order[tree.start[side] : tree.stop[side]] for side in (tree.left[node], tree.right[node]))
        merged[np.ix_(one, other)] = merged[np.ix_(other, one)] = 2 - height[node]
    return linkage(squareform(merged), "single")  # an ultrametric's single linkage is its tree


def tree_to_dict(tree: PartitionTree) -> dict:
    """Plain numbers and lists, for JSON; a leaf's NCut is None."""
    record = {name: getattr(tree, name).tolist() for name in ("order", *ARRAYS)}
    return {"grid": list(tree.grid), **record, "ncut": [None if np.isinf(one) else one for one in record["ncut"]]}


def tree_from_dict(record: dict) -> PartitionTree:
    """The inverse of `tree_to_dict`.

    Raises
    ------
    InputError
        If the record is not a whole tree.
    """
    try:
        h, w = (operator.index(side) for side in record["grid"])
        integers = {
            name: np.array([operator.index(value) for value in record[name]], np.int64)
            for name in ("order", "start", "stop", "left", "right")
        }
        ncut = np.array([np.inf if value is None else value for value in record["ncut"]], np.float64)
        shares = {name: np.array(record[name], np.float64) for name in ("volume", "association")}
        return PartitionTree((h, w), ncut=ncut, **integers, **shares)
    except InputError:
        raise
    except (KeyError, TypeError, ValueError, IndexError, OverflowError) as error:
        raise InputError(f"This is no record of a tree ({error}): write it anew with tree_to_dict().") from error

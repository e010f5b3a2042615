"""A tree for others: as a SciPy linkage, and as JSON."""

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
    n = len(tree.order)
    rows: list[tuple[int, int, float, int]] = []
    cluster = np.empty(len(tree), np.int64)  # that stands for a node; n + i is made by row i

    def merge(a: int, b: int, height: float, size: int) -> int:
        rows.append((min(a, b), max(a, b), height, size))
        return n + len(rows) - 1

    for node in np.flatnonzero(tree.left < 0):
        patches = tree.order[tree.start[node] : tree.stop[node]]
        cluster[node] = patches[0]
        for size, patch in enumerate(patches[1:], 2):
            cluster[node] = merge(cluster[node], patch, 0.0, size)
    height = tree.split_height()
    last_first = np.argsort(height, kind="stable")[::-1]  # children before their parents
    for node in last_first[tree.left[last_first] >= 0]:
        size = tree.stop[node] - tree.start[node]
        cluster[node] = merge(cluster[tree.left[node]], cluster[tree.right[node]], 2 - height[node], size)
    return np.array(rows, np.float64).reshape(-1, 4)


def tree_to_dict(tree: PartitionTree) -> dict:
    """Plain numbers and lists, for JSON; a leaf's NCut is None."""
    record = {name: getattr(tree, name).tolist() for name in ("order", *ARRAYS)}
    return {"grid": list(tree.grid), **record, "ncut": [None if np.isinf(one) else one for one in record["ncut"]]}


def _checked(tree: PartitionTree) -> PartitionTree:
    """The tree, if its arrays belong together; else an InputError says in which way they do not."""
    n, nodes = tree.grid[0] * tree.grid[1], len(tree.start)
    if not np.array_equal(np.sort(tree.order), np.arange(n)):
        raise InputError(f"The order of a tree over {n} patches must name each patch once.")
    lengths = {len(getattr(tree, name)) for name in ARRAYS}
    if lengths != {nodes} or not nodes:
        raise InputError(f"A tree needs as many entries in each of its arrays, not {sorted(lengths | {nodes})}.")
    split, leaf = np.flatnonzero(tree.left >= 0), tree.left < 0
    left, right = tree.left[split], tree.right[split]
    once = np.array_equal(np.sort(np.r_[left, right]), np.arange(1, nodes))
    if not once or (np.minimum(left, right) <= split).any():
        raise InputError("Every node but the first must be the child of one earlier node: this tree is damaged.")
    bounds = np.array([tree.start[split], tree.start[left], tree.stop[left], tree.stop[right]])
    same = np.array([tree.start[left], tree.start[left], tree.start[right], tree.stop[split]])
    shared = np.array_equal(bounds, same) and (np.diff(bounds[1:], axis=0) > 0).all()
    if not shared or (tree.start[0], tree.stop[0]) != (0, n):
        raise InputError("The children of a node must share out its slice: this tree is damaged.")
    if not np.isposinf(tree.ncut[leaf]).all() or not ((tree.ncut >= 0) & (tree.ncut <= 2))[~leaf].all():
        raise InputError("A split needs an NCut between 0 and 2, and a leaf has none: this tree is damaged.")
    if not np.isfinite([tree.volume, tree.association]).all():
        raise InputError("The shares of a tree's nodes must be finite: this tree is damaged.")
    return tree


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
        return _checked(PartitionTree((h, w), ncut=ncut, **integers, **shares))
    except InputError:
        raise
    except (KeyError, TypeError, ValueError, IndexError, OverflowError) as error:
        raise InputError(f"This is no record of a tree ({error}): write it anew with tree_to_dict().") from error

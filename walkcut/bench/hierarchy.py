"""Score a whole tree of segments against truth that is nested, or told by several humans.

No threshold is chosen: the tree says at which height any two pixels part (`PartitionTree.split_height` of the last node
that holds both; infinity if none parts them), which is an ultrametric contour map read as a distance (Arbelaez,
"Boundary extraction in natural images using ultrametric contour maps", POCV 2006; Arbelaez et al., TPAMI 2011, section
4). The truth says by how many of several segmentations they are parted: of the humans, or of the materials and, inside
them, the instances of a dead-leaves scene (0: one instance; 1: two of one material; 2: two materials).

All numbers are exact sums over pixels, pairs or triples of pixels, from counts of regions in the tree's leaves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from math import comb
from typing import TYPE_CHECKING

import numpy as np

from walkcut.bench.metrics import compact
from walkcut.errors import InputError
from walkcut.pixels import leaf_of, pruned_membership
from walkcut.refine import refined_labels
from walkcut.tree import PartitionTree

if TYPE_CHECKING:
    from walkcut.segmentation import Segmentation


def leaf_pixels(segmentation: Segmentation) -> np.ndarray:
    """The leaf of the whole tree that each pixel belongs to, as its node's number; int (H, W).

    Pixels are made once, at the finest pruning, so that every node's pixels are those of the leaves under it.
    """
    tree = segmentation.tree
    leaves = np.flatnonzero(tree.left < 0)
    leaves = leaves[np.argsort(tree.start[leaves])]
    membership = pruned_membership(segmentation.membership, tree, leaf_of(tree).reshape(tree.grid))
    return leaves[refined_labels(membership, tree.grid, segmentation.image, segmentation.recipe.pixels)]


def node_table(tree: PartitionTree, pixels: np.ndarray, regions: np.ndarray) -> np.ndarray:
    """Count the pixels of each region in each node of a tree.

    Parameters
    ----------
    tree : PartitionTree
    pixels : int (H, W)
        Leaf of each pixel, see `leaf_pixels`.
    regions : non-negative int (H, W)

    Returns
    -------
    int64 (nodes, regions)
        Regions in the order of their labels; a node that lost every pixel is a row of zeros.
    """
    if np.shape(pixels) != np.shape(regions):
        raise InputError(f"The leaves are {np.shape(pixels)} and the truth {np.shape(regions)}: sizes must agree.")
    columns = compact(regions)
    width, nodes = int(columns.max()) + 1, len(tree)
    table = np.bincount(np.ravel(pixels) * width + columns, minlength=nodes * width).reshape(nodes, width)
    for node in np.flatnonzero(tree.left >= 0)[::-1]:  # parents come first, so children are complete
        table[node] = table[tree.left[node]] + table[tree.right[node]]
    return table


def best_node_covering(tree: PartitionTree, pixels: np.ndarray, truths: Sequence[np.ndarray]) -> float:
    """Covering of the truth when each region may choose among *all* nodes of the tree, in (0, 1].

    Equation `eq-bench-node` of the book.

    1/N sum_i |R_i| max over nodes of IoU(R_i, node), over all regions of all truths: what Arbelaez et al. 2011, section
    3.1.3 and table 2, call "best". No pruning need hold all chosen nodes, so it bounds every pruning's covering.
    """
    covered = area = 0.0
    for truth in truths:
        table = node_table(tree, pixels, truth)
        sizes = table[0]  # the root holds all
        iou = table / (table.sum(1, keepdims=True) + sizes - table)
        covered += float(sizes @ iou.max(0))
        area += float(sizes.sum())
    return covered / area


def parted_pairs(tree: PartitionTree, pixels: np.ndarray, truths: Sequence[np.ndarray]) -> np.ndarray:
    """Count pairs of pixels by the height at which the tree parts them and by how many truths part them.

    Pairs that a set of truths keeps together are sums of squares of counts; from these, the pairs that exactly j truths
    keep together follow by inclusion and exclusion.

    Parameters
    ----------
    tree : PartitionTree
    pixels : int (H, W)
    truths : m label maps (H, W)

    Returns
    -------
    int64 (heights, m + 1)
        Rows by rising height, one per distinct value of `split_height`, the last for pairs that are never parted;
        columns by the number of truths that part the pair. The sum is that of all pairs of two pixels.
    """
    m = len(truths)
    if not m:
        raise InputError("Pairs of pixels can be ordered only by one or several true maps.")
    regions = np.stack([compact(truth) for truth in truths])
    cells = regions[0]  # in each of which all truths have one region
    for region in regions[1:]:
        cells = compact(cells * (region.max() + 1) + region)
    names = regions[:, np.unique(cells, return_index=True)[1]]
    table = node_table(tree, pixels, cells.reshape(np.shape(pixels)))
    together = np.zeros((len(tree), m + 1), np.int64)  # [node, j]: summed over sets of j truths, ordered pairs
    for size in range(m + 1):
        for chosen in combinations(range(m), size):
            together[:, size] += squares(table, names[list(chosen)])
    exactly = np.zeros_like(together)
    for j in range(m + 1):
        for i in range(j, m + 1):
            exactly[:, j] += (-1) ** (i - j) * comb(i, j) * together[:, i]
    split = tree.left >= 0
    exactly[split] -= exactly[tree.left[split]] + exactly[tree.right[split]]  # what parts here
    exactly[~split, m] -= table[~split].sum(1)  # a pixel with itself
    heights, rows = np.unique(np.where(split, tree.split_height(), np.inf), return_inverse=True)
    pairs = np.zeros((len(heights), m + 1), np.int64)
    np.add.at(pairs, rows, exactly // 2)
    return pairs[:, ::-1]


def squares(table: np.ndarray, names: np.ndarray) -> np.ndarray:
    """(nodes,) int64: squared pixel counts, summed over groups of cells with equal `names` (truths, cells)."""
    if not len(names):
        return table.sum(1) ** 2
    order = np.lexsort(names)
    ordered = names[:, order]
    starts = np.flatnonzero(np.append(True, (ordered[:, 1:] != ordered[:, :-1]).any(0)))
    return (np.add.reduceat(table[:, order], starts, axis=1) ** 2).sum(1)


def concordance(pairs: np.ndarray) -> float:
    """Share of comparable pairs of pairs that the tree orders as the truth does, ties of the tree half; in [0, 1].

    Equation `eq-bench-concordance` of the book.

    Comparable are two pairs of pixels of which more truths part the one than the other; ordered right, if the tree
    parts that one at a smaller height. 1: the order of cuts follows the nesting throughout; 1/2: chance, or no cut at
    all. This is (1 + d) / 2 with Somers' d of the height given the truth (Somers, Am. Sociological Review 1962; the
    gamma of Goodman & Kruskal, JASA 1954, leaves the tree's ties out), and the area under the ROC curve where the truth
    has two levels. Pairs weigh alike, so that large regions count most.

    Parameters
    ----------
    pairs : int (heights, levels)
        See `parted_pairs`. Where nothing can be compared, 1/2.
    """
    weight = pairs.astype(float)
    later = weight.sum(0) - np.cumsum(weight, 0)  # pairs of each level that part at a larger height
    right = weight.T @ (later + weight / 2)  # [a, b]: a of level a parts before one of level b
    total = np.outer(weight.sum(0), weight.sum(0))
    more = np.tril_indices(pairs.shape[1], -1)  # level a above level b
    return float(right[more].sum() / total[more].sum()) if total[more].any() else 0.5


def first_parted(
    tree: PartitionTree, pixels: np.ndarray, instances: np.ndarray, materials: np.ndarray
) -> tuple[float, float] | None:
    """How often a material is parted into its instances before it is parted from other materials, and the reverse.

    Over all triples of pixels (p, q, r), q in another instance of p's material and r in another material: the share in
    which p parts from q at a smaller height than from r, and the share in which it parts from r first. What is left to
    1 parts at one height, or never.

    Returns
    -------
    (instances first, materials first), or None if the scene has no such triple
    """
    parts = node_table(tree, pixels, instances)
    own, made = compact(instances), compact(materials)
    owner = np.zeros(parts.shape[1], np.int64)
    owner[own] = made
    if (owner[own] != made).any():
        raise InputError("An instance lies in several materials: instances must be nested in materials.")
    whole = np.zeros((len(tree), int(owner.max()) + 1), np.int64)
    np.add.at(whole.T, owner, parts.T)
    same = (whole[:, owner] - parts).astype(float)  # [node, i]: pixels of other instances of i's material
    other = (whole.sum(1, keepdims=True) - whole[:, owner]).astype(float)  # of other materials
    triples = float(parts[0] @ (same[0] * other[0]))
    if not triples:
        return None
    height = tree.split_height()
    parent = np.full(len(tree), -1)
    split = np.flatnonzero(tree.left >= 0)
    parent[tree.left[split]] = parent[tree.right[split]] = split
    early = late = 0.0
    for leaf in np.flatnonzero((tree.left < 0) & parts.any(1)):
        path = [leaf]
        while parent[path[-1]] >= 0:
            path.append(parent[path[-1]])
        mine = np.flatnonzero(parts[leaf])
        kept = np.array(path[::-1])  # from the root down
        q, r = same[np.ix_(kept, mine)], other[np.ix_(kept, mine)]
        first = np.unique(height[kept[:-1]], return_index=True)[1]  # heights never fall on the way down
        last = np.append(first, len(kept) - 1)[1:]
        weight = parts[leaf, mine]
        q_left, r_left = q[last], r[last]  # after the cuts at each height
        early += float((weight * (q[first] - q_left) * r_left).sum())
        late += float((weight * (r[first] - r_left) * q_left).sum())
    return early / triples, late / triples


def hierarchy_scores(
    segmentation: Segmentation, item_truths: Mapping[str, Sequence[np.ndarray]]
) -> dict[tuple[str, str], float]:
    """Measures of the whole tree of a segmentation, by (kind of truth, measure).

    Parameters
    ----------
    segmentation : Segmentation
    item_truths : mapping
        `Item.truths`: "human", or "instances" and "materials". Classes with names have no nesting: nothing is scored.

    Returns
    -------
    dict
        "best-node covering" for each kind; "concordance" for humans, and for instances inside materials; there also
        "instances first" and "materials first" (`first_parted`), absent if the scene cannot show either.
    """
    kinds = [kind for kind in ("human", "instances", "materials") if kind in item_truths]
    if not kinds:
        return {}
    tree, pixels = segmentation.tree, leaf_pixels(segmentation)
    found = {(kind, "best-node covering"): best_node_covering(tree, pixels, item_truths[kind]) for kind in kinds}
    if "human" in kinds:
        found["human", "concordance"] = concordance(parted_pairs(tree, pixels, item_truths["human"]))
    if {"instances", "materials"} <= set(kinds):
        instances, materials = item_truths["instances"][0], item_truths["materials"][0]
        found["instances", "concordance"] = concordance(parted_pairs(tree, pixels, [instances, materials]))
        order = first_parted(tree, pixels, instances, materials)
        if order is not None:
            found["instances", "instances first"], found["instances", "materials first"] = order
    return found

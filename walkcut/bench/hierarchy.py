"""Score a whole tree of segments against truth that is nested, or told by several humans.

No threshold is chosen: the tree says at which height any two pixels part (`PartitionTree.split_height` of the last node
that holds both; infinity if none parts them), which is an ultrametric contour map read as a distance (Arbelaez,
"Boundary extraction in natural images using ultrametric contour maps", POCV 2006; Arbelaez et al., TPAMI 2011, section
4). The truth says by how many of several segmentations they are parted: of the humans, or of the materials and, inside
them, the instances of a dead-leaves scene (0: one instance; 1: two of one material; 2: two materials).

All numbers are exact sums over pixels, pairs or triples of pixels, from counts of regions in the tree's leaves.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from walkcut.bench.metrics import compact, contingency
from walkcut.pixels import leaf_of, pruned_membership
from walkcut.refine import refined_labels
from walkcut.segmentation import Segmentation
from walkcut.tree import PartitionTree


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
    of_leaves = contingency(pixels, regions)
    table = np.zeros((len(tree), of_leaves.shape[1]), np.int64)
    table[np.unique(pixels)] = of_leaves
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

    All pixels of a cell, in which each truth has one region, are parted from those of another cell by the same truths.

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
    names, cells = np.unique(np.stack([compact(truth) for truth in truths]), axis=1, return_inverse=True)
    apart = sum(region[:, None] != region for region in names)  # (cells, cells): how many truths part two of them
    table = node_table(tree, pixels, cells.reshape(np.shape(pixels)))
    counts = table.astype(float)  # whole numbers, whose sums of products are exact up to 2^53
    inside = [((counts @ (apart == level)) * counts).sum(1) for level in range(len(truths) + 1)]
    exactly = np.stack(inside, 1).astype(np.int64)  # [node, level]: ordered pairs of pixels in it
    split = tree.left >= 0
    exactly[split] -= exactly[tree.left[split]] + exactly[tree.right[split]]  # what parts here
    exactly[~split, 0] -= table[~split].sum(1)  # a pixel with itself
    heights, rows = np.unique(tree.split_height(), return_inverse=True)  # a leaf's is infinite
    pairs = np.zeros((len(heights), len(truths) + 1), np.int64)
    np.add.at(pairs, rows, exactly // 2)
    return pairs


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
    parts, whole = node_table(tree, pixels, instances), node_table(tree, pixels, materials)
    owner = np.zeros(parts.shape[1], np.int64)  # the material of each instance
    owner[compact(instances)] = compact(materials)
    same = (whole[:, owner] - parts).astype(float)  # [node, i]: pixels of other instances of i's material
    other = (whole.sum(1, keepdims=True) - whole[:, owner]).astype(float)  # of other materials
    triples = float(parts[0] @ (same[0] * other[0]))
    if not triples:
        return None
    height, parent, top = tree.split_height(), np.zeros(len(tree), np.int64), np.arange(len(tree))
    split = np.flatnonzero(tree.left >= 0)
    parent[tree.left[split]] = parent[tree.right[split]] = split
    for node in np.flatnonzero(height == height[parent])[1:]:  # but for the root: split together with its parent
        top[node] = top[parent[node]]
    after = np.flatnonzero(height > height[parent])  # what is left when all cuts of one height are made
    before = top[parent[after]]  # and what it was part of
    same_left, other_left = same[after], other[after]
    early = (parts[after] * (same[before] - same_left) * other_left).sum()
    late = (parts[after] * (other[before] - other_left) * same_left).sum()
    return float(early / triples), float(late / triples)


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

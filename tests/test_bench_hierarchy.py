"""Trees against nested truth: known answers, and every pair and triple of pixels counted one by one."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from walkcut.bench import hierarchy
from walkcut.bench.metrics import contingency, covering
from walkcut.errors import InputError
from walkcut.pixels import leaf_membership
from walkcut.recipe import Recipe
from walkcut.tree import PartitionTree
from walkcut.walk import Walk

Nested = tuple | list | int


def tree_of(nested: Nested, size: int) -> PartitionTree:
    """A tree over one row of `size` patches from (ncut, left, right), a leaf being a list of patches."""
    rows: list[list[float]] = []
    order: list[int] = []

    def add(part: Nested) -> int:
        number = len(rows)
        rows.append([len(order), 0, -1, -1, np.inf])
        if isinstance(part, list):
            order.extend(part)
        else:
            rows[number][4] = part[0]
            rows[number][2] = add(part[1])
            rows[number][3] = add(part[2])
        rows[number][1] = len(order)
        return number

    add(nested)
    start, stop, left, right = np.array([row[:4] for row in rows], np.int64).T
    zeros = np.zeros(len(rows))
    ncut = np.array([row[4] for row in rows])
    return PartitionTree((1, size), np.array(order), start, stop, left, right, ncut, zeros, zeros)


def random_tree(rng: np.random.Generator, size: int) -> PartitionTree:
    def grow(patches: list[int]) -> Nested:
        if len(patches) == 1 or rng.uniform() < 0.25:
            return patches
        at = int(rng.integers(1, len(patches)))
        return (float(rng.integers(1, 8)) / 8, grow(patches[:at]), grow(patches[at:]))

    return tree_of(grow(rng.permutation(size).tolist()), size)


def pixels_of(tree: PartitionTree) -> np.ndarray:
    """Leaf of each patch, a pixel being a patch."""
    pixels = np.empty(tree.grid, np.int64)
    for leaf in np.flatnonzero(tree.left < 0):
        pixels.ravel()[tree.order[tree.start[leaf] : tree.stop[leaf]]] = leaf
    return pixels


# ---------------------------------------------------------------------------------------------------------------------
# Slow references


def slow_height(tree: PartitionTree, p: int, q: int) -> float:
    """Largest NCut from the root to the node that parts two patches; infinity if none does."""
    place = np.argsort(tree.order)
    node, height = 0, 0.0
    while tree.left[node] >= 0:
        height = max(height, tree.ncut[node])
        sides = [place[x] < tree.stop[tree.left[node]] for x in (p, q)]
        if sides[0] != sides[1]:
            return height
        node = tree.left[node] if sides[0] else tree.right[node]
    return np.inf


def slow_concordance(tree: PartitionTree, truths: list[np.ndarray]) -> float:
    pairs = []
    for p, q in itertools.combinations(range(truths[0].size), 2):
        pairs.append((sum(t.flat[p] != t.flat[q] for t in truths), slow_height(tree, p, q)))
    right = total = 0.0
    for (a, first), (b, second) in itertools.combinations(pairs, 2):
        if a != b:
            high, low = (first, second) if a > b else (second, first)
            right += 1.0 if high < low else 0.5 if high == low else 0.0
            total += 1
    return right / total if total else 0.5


def slow_first_parted(tree: PartitionTree, instances: np.ndarray, materials: np.ndarray) -> tuple[float, float] | None:
    i, m = instances.ravel(), materials.ravel()
    early = late = total = 0
    for p, q, r in itertools.product(range(len(i)), repeat=3):
        if m[p] == m[q] != m[r] and i[p] != i[q]:
            instance, material = slow_height(tree, p, q), slow_height(tree, p, r)
            early, late, total = early + (instance < material), late + (material < instance), total + 1
    return (early / total, late / total) if total else None


# ---------------------------------------------------------------------------------------------------------------------
# Known answers: two materials of two instances each, two pixels in every instance

INSTANCES = np.array([[0, 0, 1, 1, 2, 2, 3, 3]])
MATERIALS = INSTANCES // 2
PERFECT = (0.1, (0.2, [0, 1], [2, 3]), (0.3, [4, 5], [6, 7]))
REVERSED = (0.1, (0.2, [0, 1], [4, 5]), (0.2, [2, 3], [6, 7]))  # first an instance of each, then materials


def test_a_perfect_tree_scores_one() -> None:
    tree = tree_of(PERFECT, 8)
    pixels = pixels_of(tree)
    pairs = hierarchy.parted_pairs(tree, pixels, [INSTANCES, MATERIALS])
    # heights .1, .2, .3, never; same instance, same material, neither
    assert pairs.tolist() == [[0, 0, 16], [0, 4, 0], [0, 4, 0], [4, 0, 0]]
    assert hierarchy.concordance(pairs) == 1
    assert hierarchy.first_parted(tree, pixels, INSTANCES, MATERIALS) == (0, 1)
    for truth in (INSTANCES, MATERIALS):
        assert hierarchy.best_node_covering(tree, pixels, [truth]) == 1


def test_a_tree_that_parts_instances_first_is_told() -> None:
    tree = tree_of(REVERSED, 8)
    pixels = pixels_of(tree)
    pairs = hierarchy.parted_pairs(tree, pixels, [INSTANCES, MATERIALS])
    assert pairs.tolist() == [[0, 8, 8], [0, 0, 8], [4, 0, 0]]
    # materials against instances: half tied, half wrong; either against one instance: right
    assert hierarchy.concordance(pairs) == pytest.approx((8 * 8 / 2 + 16 * 4 + 8 * 4) / (16 * 8 + 16 * 4 + 8 * 4))
    # p parts from q at the root; of the four pixels of the other material, two part there too and two later
    assert hierarchy.first_parted(tree, pixels, INSTANCES, MATERIALS) == (0.5, 0)
    assert hierarchy.best_node_covering(tree, pixels, [INSTANCES]) == 1
    assert hierarchy.best_node_covering(tree, pixels, [MATERIALS]) == pytest.approx(1 / 2)  # the root, or an instance


def test_a_tree_without_cuts_scores_a_half() -> None:
    tree = tree_of(list(range(8)), 8)
    pixels = pixels_of(tree)
    assert hierarchy.concordance(hierarchy.parted_pairs(tree, pixels, [INSTANCES, MATERIALS])) == 0.5
    assert hierarchy.first_parted(tree, pixels, INSTANCES, MATERIALS) == (0, 0)
    assert hierarchy.best_node_covering(tree, pixels, [INSTANCES]) == pytest.approx(1 / 4)


def test_a_cut_below_a_later_one_counts_from_where_it_is_reached() -> None:
    # the root needs .5, so the cut of .1 below it is taken at .5 as well: a tie, not an early cut
    tree = tree_of((0.5, (0.1, [0, 1], [2, 3]), [4, 5, 6, 7]), 8)
    pairs = hierarchy.parted_pairs(tree, pixels_of(tree), [INSTANCES, MATERIALS])
    assert pairs.tolist() == [[0, 4, 16], [4, 4, 0]]
    early, late = hierarchy.first_parted(tree, pixels_of(tree), INSTANCES, MATERIALS)
    assert (early, late) == (0, 0.5)  # the second material is never parted into its instances


def test_a_truth_with_nothing_to_order() -> None:
    tree = tree_of(PERFECT, 8)
    one = np.zeros((1, 8), int)
    assert hierarchy.concordance(hierarchy.parted_pairs(tree, pixels_of(tree), [one])) == 0.5
    assert hierarchy.first_parted(tree, pixels_of(tree), INSTANCES, one) is None
    assert hierarchy.first_parted(tree, pixels_of(tree), MATERIALS, MATERIALS) is None


def test_humans_who_part_more_weigh_as_levels() -> None:
    humans = [MATERIALS, INSTANCES, np.zeros((1, 8), int)]  # the same nesting, and one who saw nothing
    tree = tree_of(PERFECT, 8)
    pairs = hierarchy.parted_pairs(tree, pixels_of(tree), humans)
    assert pairs.sum(0).tolist() == [4, 8, 16, 0]
    assert hierarchy.concordance(pairs) == 1


@pytest.mark.parametrize("seed", range(12))
def test_random_trees_agree_with_counting_one_by_one(seed: int) -> None:
    rng = np.random.default_rng([2, seed])
    tree = random_tree(rng, 11)
    pixels = pixels_of(tree)
    instances = rng.integers(0, 5, (1, 11)) * 2
    materials = rng.integers(0, 3, 10)[instances]
    for truths in ([instances, materials], [instances], [rng.integers(0, 3, (1, 11)) for _ in range(4)]):
        pairs = hierarchy.parted_pairs(tree, pixels, truths)
        assert pairs.sum() == 11 * 10 / 2
        assert (pairs >= 0).all()
        assert hierarchy.concordance(pairs) == pytest.approx(slow_concordance(tree, truths))
    slow = slow_first_parted(tree, instances, materials)
    assert hierarchy.first_parted(tree, pixels, instances, materials) == (slow and pytest.approx(slow))


def test_trees_that_know_nothing_are_at_chance() -> None:
    rng = np.random.default_rng(0)
    instances = rng.integers(0, 12, (1, 120))
    found = []
    for _ in range(60):
        tree = random_tree(rng, 120)
        found.append(hierarchy.concordance(hierarchy.parted_pairs(tree, pixels_of(tree), [instances, instances // 4])))
    assert np.mean(found) == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("seed", range(5))
def test_best_nodes_cover_at_least_as_much_as_any_pruning(seed: int) -> None:
    rng = np.random.default_rng([3, seed])
    tree = random_tree(rng, 40)
    truths = [rng.integers(0, 4, (1, 40)) for _ in range(2)]
    best = hierarchy.best_node_covering(tree, pixels_of(tree), truths)
    for k in range(1, int((tree.left < 0).sum()) + 1):
        assert best >= np.mean([covering(contingency(truth, tree.labels(k=k))) for truth in truths]) - 1e-12


def test_nodes_that_lose_every_pixel_do_no_harm() -> None:
    tree = tree_of(PERFECT, 8)
    pixels = np.full((2, 3), np.flatnonzero(tree.left < 0)[0])
    truth = np.array([[0, 0, 0], [4, 4, 4]])
    assert hierarchy.best_node_covering(tree, pixels, [truth]) == pytest.approx(0.5)
    assert hierarchy.concordance(hierarchy.parted_pairs(tree, pixels, [truth])) == 0.5


def test_what_does_not_fit_is_refused() -> None:
    tree = tree_of(PERFECT, 8)
    with pytest.raises(InputError):
        hierarchy.node_table(tree, pixels_of(tree), np.zeros((2, 4), int))


def test_scores_of_a_segmentation_by_kind_of_truth() -> None:
    tree = tree_of(PERFECT, 8)
    membership = leaf_membership(Walk(torch.full((8, 8), 1 / 8), (1, 8)), tree)
    found = SimpleNamespace(tree=tree, membership=membership, image=np.zeros((1, 8, 3), np.uint8), recipe=Recipe())
    assert hierarchy.leaf_pixels(found).tolist() == pixels_of(tree).tolist()
    scene = hierarchy.hierarchy_scores(found, {"instances": (INSTANCES,), "materials": (MATERIALS,)})
    assert scene == {
        ("instances", "best-node covering"): 1,
        ("materials", "best-node covering"): 1,
        ("instances", "concordance"): 1,
        ("instances", "instances first"): 0,
        ("instances", "materials first"): 1,
    }
    human = hierarchy.hierarchy_scores(found, {"human": (INSTANCES, np.zeros((1, 8), int))})
    assert human == {("human", "best-node covering"): 1, ("human", "concordance"): 1}
    assert hierarchy.hierarchy_scores(found, {"classes": (MATERIALS - 1,)}) == {}

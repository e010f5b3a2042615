"""A tree for others: JSON and back, damaged records, SciPy's linkages."""

import json
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.cluster.hierarchy import fcluster, is_valid_linkage
from toy_graphs import blocks, same_partition
from trees import handmade, scattered

from walkcut.app.export import to_linkage, tree_from_dict, tree_to_dict
from walkcut.errors import InputError
from walkcut.graph import Graph
from walkcut.tree import ARRAYS, PartitionTree, partition

GRID = (8, 10)
THRESHOLDS = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0, 2.0)


@pytest.fixture(scope="module")
def tree() -> PartitionTree:
    return partition(scattered(GRID, 0), GRID, smallest=2)


def test_a_tree_survives_json(tree: PartitionTree) -> None:
    assert set(tree_to_dict(tree)) == {"grid", "order", *ARRAYS}
    text = json.dumps(tree_to_dict(tree), allow_nan=False)
    again = tree_from_dict(json.loads(text))
    assert again.grid == tree.grid
    for name in ("order", *ARRAYS):
        np.testing.assert_array_equal(getattr(again, name), getattr(tree, name))
        assert getattr(again, name).dtype == getattr(tree, name).dtype


@pytest.mark.parametrize(
    ("name", "damage", "words"),
    [
        ("order", lambda x: [0, *x[1:-1], 0], "each patch once"),
        ("order", lambda x: x[:-1], "each patch once"),
        ("order", lambda x: [*x[:-1], 1.5], "no record of a tree"),
        ("stop", lambda x: [x[0], *(stop - 1 for stop in x[1:])], "share out its slice"),
        ("start", lambda x: [1, *x[1:]], "share out its slice"),
        ("start", lambda x: x[:-1], "as many entries"),
        ("left", lambda x: [10**6, *x[1:]], "one earlier node"),
        ("left", lambda x: [0, *x[1:]], "one earlier node"),
        ("right", lambda x: [-1, *x[1:]], "one earlier node"),
        ("right", lambda x: [10**30, *x[1:]], "no record of a tree"),
        ("ncut", lambda x: [None, *x[1:]], "a leaf has none"),
        ("ncut", lambda x: [float("nan"), *x[1:]], "a leaf has none"),
        ("ncut", lambda x: [2.5, *x[1:]], "a leaf has none"),
        ("ncut", lambda x: ["low", *x[1:]], "no record of a tree"),
        ("volume", lambda x: [float("nan"), *x[1:]], "finite"),
        ("association", lambda x: None, "no record of a tree"),
        ("grid", lambda x: [8], "no record of a tree"),
        ("grid", lambda x: ["8", "10"], "no record of a tree"),
    ],
)
def test_a_damaged_tree_is_refused(
    tree: PartitionTree, name: str, damage: Callable[[list], object], words: str
) -> None:
    record = tree_to_dict(tree)
    with pytest.raises(InputError, match=words):
        tree_from_dict(record | {name: damage(record[name])})


def test_what_is_no_tree_is_refused(tree: PartitionTree) -> None:
    for record in ({}, [], None, {key: value for key, value in tree_to_dict(tree).items() if key != "left"}):
        with pytest.raises(InputError, match="no record of a tree"):
            tree_from_dict(record)


# ---------------------------------------------------------------------------------------------------------------------
# Linkages


def test_a_linkage_gives_the_same_segments(tree: PartitionTree) -> None:
    linkage = to_linkage(tree)
    assert linkage.shape == (79, 4)
    assert is_valid_linkage(linkage, throw=True)
    assert (np.diff(linkage[:, 2]) >= 0).all()
    assert linkage[-1, 3] == 80
    for threshold in (*THRESHOLDS, *tree.ncut[np.isfinite(tree.ncut)]):
        flat = fcluster(linkage, np.nextafter(2 - threshold, 0), "distance")
        assert same_partition(flat, tree.labels(threshold).ravel())
    for k in range(1, 12):
        assert same_partition(fcluster(linkage, k, "maxclust"), tree.labels(k=k).ravel())


def test_linkages_of_small_and_broken_trees() -> None:
    assert to_linkage(partition(Graph(torch.ones(1, 1)), (1, 1))).shape == (0, 4)
    whole = to_linkage(partition(Graph(torch.ones(6, 6)), (2, 3)))
    assert is_valid_linkage(whole, throw=True)
    assert (whole[:, 2] == 0).all()
    tree = partition(blocks(3, 5, 4), (3, 4), smallest=2)
    assert is_valid_linkage(to_linkage(tree), throw=True)
    assert same_partition(fcluster(to_linkage(tree), 1.5, "distance"), np.repeat([0, 1, 2], [3, 5, 4]))


def test_a_linkage_of_a_comb_by_hand() -> None:
    """Patch 0 leaves at .2 and patch 1 at .6: the merge at the root is the highest, and none falls below."""
    linkage = to_linkage(handmade(0.2, 0.6))
    assert linkage.tolist() == [[1, 2, pytest.approx(1.4), 2], [0, 3, pytest.approx(1.8), 3]]
    assert to_linkage(handmade(0.6, 0.2))[:, 2].tolist() == pytest.approx([1.4, 1.4])

"""The explorer of criteria holds the prunings and the curves that it was given."""

import numpy as np
import pytest
from explorers import four_pairs, four_stops, same, state, words

from walkcut.criteria import prune
from walkcut.errors import InputError
from walkcut.tree import PartitionTree
from walkcut.widgets.explorers import criteria_explorer, levels, scores_along

IMAGE = np.zeros((40, 80, 3), np.uint8)


@pytest.fixture
def tree() -> PartitionTree:
    return four_pairs()


def labels(found: dict, leaves: list) -> np.ndarray:
    """As the figure fills in its patches."""
    order, marks = words(found["order"]), np.full(8, -1)
    for leaf in leaves:
        start, stop, *_ = found["nodes"][str(leaf)]
        marks[order[start:stop]] = leaf
    return marks


def test_criteria_and_constants_give_the_segments(tree: PartitionTree) -> None:
    stops = four_stops() | {"everything": prune(tree, 2.0)}  # nodes beyond the slider's end
    found = state(criteria_explorer(IMAGE, tree, stops, highest=0.3))
    assert [item["name"] for item in found["criteria"]] == list(stops)
    for item, pruning in zip(found["criteria"], stops.values(), strict=True):
        assert same(labels(found, item["leaves"]), tree.labels(leaves=pruning.leaves))
        assert item["threshold"] == (None if pruning.threshold is None else pytest.approx(pruning.threshold, abs=1e-5))
    for threshold in (0.0, 0.1, 0.2, 0.3):
        leaves = [key for key, (*_, since, until) in found["nodes"].items() if since <= threshold < until]
        assert same(labels(found, leaves), tree.labels(threshold))


def test_neighbours_differ_in_colour_and_the_larger_part_keeps_its_own(tree: PartitionTree) -> None:
    nodes = state(criteria_explorer(IMAGE, tree, {"all": prune(tree, 2.0)}, highest=2.0))["nodes"]
    for node in np.flatnonzero(tree.left >= 0):
        sides = [nodes[str(side)] for side in (tree.left[node], tree.right[node])]
        large = max(sides, key=lambda side: side[1] - side[0])
        assert sides[0][2] != sides[1][2]
        assert nodes[str(node)][2] == large[2]


def test_curves_are_stretched_between_their_ends(tree: PartitionTree) -> None:
    found = state(criteria_explorer(IMAGE, tree, {"gap": prune(tree, "gap")}, 0.3))
    np.testing.assert_allclose(found["levels"], levels(tree, 0.3), atol=1e-5)
    for curve, (name, scores) in zip(found["curves"], scores_along(tree, 0.3).items(), strict=True):
        assert (curve["name"], min(curve["values"]), max(curve["values"])) == (name, 0, 1)
        np.testing.assert_allclose(curve["values"], (scores - np.min(scores)) / np.ptp(scores), atol=1e-4)
    flat = state(criteria_explorer(IMAGE, tree, {"gap": prune(tree, "gap")}, 1e-9))  # below every split: one value each
    assert [curve["values"] for curve in flat["curves"]] == [[0.0]] * 3


@pytest.mark.parametrize(("stops", "highest", "says"), [(True, 3.0, "highest"), (False, 1.0, "one pruning")])
def test_what_does_not_fit_is_refused(tree: PartitionTree, stops: bool, highest: float, says: str) -> None:
    with pytest.raises(InputError, match=says):
        criteria_explorer(IMAGE, tree, {"gap": prune(tree, "gap")} if stops else {}, highest)


def test_the_same_input_gives_the_same_bytes(tree: PartitionTree) -> None:
    first, second = (criteria_explorer(IMAGE, tree, {"gap": prune(tree, "gap")}, 0.3).data for _ in range(2))
    assert first == second


def test_scores_along_the_levels(tree: PartitionTree) -> None:
    steps, curves = levels(tree, 0.6), scores_along(tree, 0.6)
    assert all(len(curve) == len(steps) + 1 for curve in curves.values())
    assert curves["stability"][0] == pytest.approx(0, abs=1e-9)  # the whole picture keeps everybody, as chance does
    assert curves["width of the gap above"][-1] == pytest.approx(0.6 - steps[-1])
    assert curves["map equation: bits saved"][0] == pytest.approx(0, abs=1e-9)

"""The explorer of trees holds the tree that it was given, down to its highest threshold."""

import base64
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from explorers import four_pairs, same, state, words

from walkcut.errors import InputError
from walkcut.graph import Graph
from walkcut.ncut import second_eigenvector
from walkcut.tree import PartitionTree
from walkcut.walk import Walk
from walkcut.widgets.explorers import method_explorer, tree_explorer
from walkcut.widgets.inline import Figure, by_eye

IMAGE = np.zeros((40, 80, 3), np.uint8)
NONE = 65535


@pytest.fixture
def tree() -> PartitionTree:
    return four_pairs()


def stored(figure: Figure) -> dict:
    """The state with its words read."""
    found = state(figure)
    return found | {name: words(found[name]) for name in ("order", "start", "stop", "left", "right", "ncut")}


def labels(found: dict, threshold: float) -> np.ndarray:
    """Walk down the stored tree as the figure does."""
    marks, waiting, count = np.empty(8, int), [0], 0
    while waiting:
        node = waiting.pop()
        if found["left"][node] != NONE and found["ncut"][node] * 2 / 65535 <= threshold:
            waiting += [found["left"][node], found["right"][node]]
        else:
            marks[found["order"][found["start"][node] : found["stop"][node]]] = count
            count += 1
    return marks


@pytest.mark.parametrize("threshold", [0.01, 0.1, 0.15, 0.5])
def test_the_stored_tree_gives_the_segments(tree: PartitionTree, threshold: float) -> None:
    found = stored(tree_explorer(IMAGE, tree, threshold, highest=0.6))
    assert (found["grid"], found["size"], found["threshold"]) == ([2, 4], [240, 480], threshold)
    assert same(labels(found, threshold), tree.labels(threshold))


def test_splits_beyond_the_highest_threshold_are_left_out(tree: PartitionTree) -> None:
    second = np.sort(tree.split_height())[1]
    found = stored(tree_explorer(IMAGE, tree, 0.0, highest=(np.sort(tree.split_height())[0] + second) / 2))
    assert len(found["start"]) == 3
    assert found["left"].tolist() == [1, NONE, NONE]
    np.testing.assert_allclose(found["ncut"][0] * 2 / 65535, tree.ncut[0], atol=2e-5)


@pytest.mark.parametrize(
    ("threshold", "highest", "says"), [(0.5, 3.0, "highest threshold"), (0.9, 0.5, "first threshold"), (-1, 1, "first")]
)
def test_what_does_not_fit_is_refused(tree: PartitionTree, threshold: float, highest: float, says: str) -> None:
    with pytest.raises(InputError, match=says):
        tree_explorer(IMAGE, tree, threshold, highest)


def test_truth_is_taken_at_the_centres_of_patches(tree: PartitionTree) -> None:
    truth = np.kron([[7, 7, 3, 3], [7, 7, 9, 9]], np.ones((10, 20), int))  # pixels (20, 80)
    found = state(tree_explorer(IMAGE, tree, 0.1, truth=truth))
    assert words(found["truth"]).tolist() == [1, 1, 0, 0, 1, 1, 2, 2]
    assert state(tree_explorer(IMAGE, tree, 0.1))["truth"] is None


def test_the_method_has_its_walk_beside_the_tree(tree: PartitionTree) -> None:
    W = torch.ones(8, 8) + torch.block_diag(*[torch.ones(4, 4)] * 2)
    walk = Walk(W / 12, (2, 4))
    found = state(method_explorer(SimpleNamespace(image=IMAGE, tree=tree, walk=walk, graph=Graph(W)), 0.1, (1, 2)))
    np.testing.assert_allclose(found["walk"]["low"], 1 / 12, rtol=1e-5)
    assert found["patch"] == [1, 2]
    hues = np.frombuffer(base64.b64decode(found["hues"]), np.uint8).reshape(8, 3).astype(int)
    y = second_eigenvector(Graph(W)).y
    assert (hues[y < 0, 2] > hues[y < 0, 0]).all()  # blue below zero, red above
    assert (hues[y > 0, 0] > hues[y > 0, 2]).all()


def test_several_eyes_are_one_figure_with_the_state_of_each(tree: PartitionTree) -> None:
    eyes = {name: tree_explorer(IMAGE, tree, threshold) for name, threshold in (("one", 0.1), ("other", 0.5))}
    assert state(by_eye(eyes))["eyes"] == [[name, figure.state] for name, figure in eyes.items()]


def test_eyes_share_the_room_of_one_figure(monkeypatch: pytest.MonkeyPatch, tree: PartitionTree) -> None:
    figure = tree_explorer(IMAGE, tree, 0.1)
    monkeypatch.setattr("walkcut.widgets.inline.MOST", len(figure.data))
    with pytest.raises(InputError, match="coarser grid"):
        by_eye(dict.fromkeys(map(str, range(20)), figure))


def test_more_patches_than_two_bytes_can_number_are_refused() -> None:
    n = 256 * 257
    one, none = np.ones(1), np.array([-1])
    tree = PartitionTree((256, 257), np.arange(n), np.array([0]), np.array([n]), none, none, one * np.inf, one, one)
    with pytest.raises(InputError, match="coarser grid"):
        tree_explorer(IMAGE, tree, 0.5)


def test_the_same_input_gives_the_same_bytes(tree: PartitionTree) -> None:
    first, second = (tree_explorer(IMAGE, tree, 0.1).data for _ in range(2))
    assert first == second

"""Both kinds of sub-walk are measured on the same walk, with the same rulers."""

import numpy as np
import pytest
import torch

from walkcut.bench import subwalks
from walkcut.bench.metrics import contingency, covering
from walkcut.segmentation import Segmentation
from walkcut.tree import PartitionTree
from walkcut.walk import Walk

GRID = (4, 4)


def blank(P: np.ndarray) -> Segmentation:
    """A walk that nobody has cut yet."""
    walk = Walk(torch.from_numpy(P / P.sum(1, keepdims=True)), GRID)
    one = np.ones(1)
    tree = PartitionTree(GRID, np.arange(16), np.array([0]), np.array([16]), -np.ones(1, int), -np.ones(1, int),
                         np.full(1, np.inf), one, one)  # fmt: skip
    zeros = np.zeros((16, 16), np.int32)
    return Segmentation(np.zeros((16, 16, 3), np.uint8), zeros, np.zeros(GRID, np.int32), tree, walk, 0.0, {})


def quarters(wind: float) -> np.ndarray:
    """Four quarters of the grid, the left two and the right two closer; `wind` weighs steps one way round them."""
    row, column = np.divmod(np.arange(16), 4)
    group = np.array([[0, 1], [3, 2]])[row // 2, column // 2]  # clockwise
    ties = np.array([[1, 0.02, 0, 0.3], [0.02, 1, 0.3, 0], [0, 0.3, 1, 0.02], [0.3, 0, 0.02, 1]])
    ties += wind * np.roll(np.eye(4), 1, axis=1)
    return ties[np.ix_(group, group)]


@pytest.mark.parametrize(("wind", "alike"), [(0.0, True), (0.1, False)])
def test_the_two_agree_on_a_reversible_walk_and_not_on_another(wind: float, alike: bool) -> None:
    trees = {name: found.tree for name, found, _ in subwalks.both_ways(blank(quarters(wind)))}
    assert list(trees) == ["restricted", "held"]
    assert trees["restricted"].ncut[0] == pytest.approx(trees["held"].ncut[0])  # the whole picture is one graph
    inner = [np.sort(tree.ncut)[1:3] for tree in trees.values()]  # two halves, each cut once more
    same = np.allclose(*inner, atol=1e-6)
    assert same == alike


def test_coverings_are_those_of_each_pruning() -> None:
    _, found, _ = next(subwalks.both_ways(blank(quarters(0.0))))
    truth = np.repeat([[0] * 8 + [1] * 8], 16, axis=0)
    auto, *others = subwalks.coverings(found, truth)
    assert auto == covering(contingency(truth, found.labels))
    assert others == [covering(contingency(truth, found.at(t).labels)) for t in subwalks.THRESHOLDS]
    assert max(others) == 1.0

"""The explorer of cuts holds the sweep that it was given."""

import numpy as np
import pytest
import torch
from explorers import state, words

from walkcut.errors import InputError
from walkcut.graph import Graph
from walkcut.ncut import best_split, second_eigenvector
from walkcut.widgets.explorers import cut_explorer, sweeps

GRID = (2, 3)
IMAGE = np.zeros((40, 60, 3), np.uint8)
GRAPH = Graph(np.ones((6, 6)) + np.diag([3.0, 1], -4) + np.diag([3.0, 1], 4) + np.diag([5.0], -5) + np.diag([5.0], 5))


def test_the_sweeps_come_back_to_two_bytes() -> None:
    found = state(cut_explorer(IMAGE, GRID, GRAPH))
    assert (found["grid"], found["size"]) == ([2, 3], [320, 480])
    for shown, y, leaving, entering in zip(found["vectors"], *sweeps(GRAPH), strict=True):
        order, span = words(shown["order"]), np.ptp(y)
        np.testing.assert_array_equal(order, np.argsort(y, kind="stable"))
        np.testing.assert_allclose(words(shown["y"]) / 65535 * span + y.min(), y[order], atol=1e-4)
        assert shown["zero"] == pytest.approx(-y.min() / span, abs=1e-4)
        np.testing.assert_allclose(words(shown["leaving"]) / 65535, leaving, atol=1e-5)
        np.testing.assert_allclose(words(shown["entering"]) / 65535, entering, atol=1e-5)
        assert (shown["best"], shown["sign"]) == (np.argmin(leaving + entering) + 1, (y < 0).sum())


def test_ties_keep_the_order_of_the_patches() -> None:
    (found, *_) = state(cut_explorer(IMAGE, GRID, Graph(np.kron(np.eye(2) + 0.1, np.ones((3, 3))))))["vectors"]
    order = words(found["order"])
    assert [sorted(order[:3]), sorted(order[3:])] in ([[0, 1, 2], [3, 4, 5]], [[3, 4, 5], [0, 1, 2]])
    assert found["sign"] == 3


def test_sweeps_are_those_of_the_module() -> None:
    rng = np.random.default_rng(0)
    W = rng.gamma(0.5, size=(30, 30))
    graph = Graph(torch.from_numpy(W + W.T))
    y, leaving, entering = sweeps(graph, 3)
    pair = second_eigenvector(graph)
    np.testing.assert_allclose(y[0] / np.linalg.norm(y[0]), pair.y / np.linalg.norm(pair.y), atol=1e-3)
    for vector, out, back in zip(y, leaving, entering, strict=True):
        split = best_split(graph, torch.from_numpy(vector))
        np.testing.assert_allclose(out + back, split.curve, atol=1e-9)
        first = np.isin(np.arange(30), split.order[:7])
        np.testing.assert_allclose(out[6], (W + W.T)[first][:, ~first].sum() / (W + W.T)[first].sum())
    weighed = y * np.sqrt(graph.degrees.numpy())
    weighed /= np.linalg.norm(weighed, axis=1, keepdims=True)
    np.testing.assert_allclose(weighed @ weighed.T, np.eye(3), atol=1e-9)  # D-orthogonal: three different ones


def test_a_node_without_an_edge_is_refused_and_no_more_vectors_are_given_than_there_are() -> None:
    W = torch.zeros(4, 4)
    W[0, 1] = W[1, 0] = W[2, 1] = W[1, 2] = 1
    with pytest.raises(InputError, match="without an edge"):
        sweeps(Graph(W), 2)
    assert len(sweeps(Graph(W[:3, :3]))[0]) == 2


def test_the_same_input_gives_the_same_bytes() -> None:
    first, second = (cut_explorer(IMAGE, GRID, GRAPH).data for _ in range(2))
    assert first == second

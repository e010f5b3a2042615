"""The explorer of cuts holds the sweep that it was given."""

import numpy as np
import pytest
import torch
from explorers import state, words

from walkcut.errors import InputError
from walkcut.graph import Graph
from walkcut.ncut import best_split, second_eigenvector
from walkcut.widgets.cut import cut_explorer, sweeps

GRID = (2, 3)
IMAGE = np.zeros((40, 60, 3), np.uint8)
Y = np.array([0.5, -1.0, 3.0, -0.5, 0.0, 1.0])
LEAVING, ENTERING = np.array([1, 0.5, 0.1, 0.2, 0.3]), np.array([0.1, 0.2, 0.15, 0.6, 1])


def test_the_sweep_comes_back_to_two_bytes() -> None:
    found = state(cut_explorer(IMAGE, GRID, Y, LEAVING, ENTERING, width=60))
    assert (found["grid"], found["size"]) == ([2, 3], [40, 60])
    (found,) = found["vectors"]
    order = words(found["order"])
    np.testing.assert_array_equal(order, [1, 3, 4, 0, 5, 2])
    np.testing.assert_allclose(words(found["y"]) / 65535 * 4 - 1, Y[order], atol=1e-4)
    assert found["zero"] == 0.25  # zero lies a quarter of the way from -1 to 3
    np.testing.assert_allclose(words(found["leaving"]) / 65535, LEAVING, atol=1e-5)
    np.testing.assert_allclose(words(found["entering"]) / 65535, ENTERING, atol=1e-5)
    assert (found["best"], found["sign"]) == (3, 2)


def test_ties_keep_the_order_of_the_patches() -> None:
    (found,) = state(cut_explorer(IMAGE, GRID, np.zeros(6), LEAVING, ENTERING))["vectors"]
    np.testing.assert_array_equal(words(found["order"]), np.arange(6))
    assert found["sign"] == 1  # a side must not be empty


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
    assert len(state(cut_explorer(np.zeros((50, 60, 3), np.uint8), (5, 6), y, leaving, entering))["vectors"]) == 3


def test_what_has_no_eigenvectors_is_refused() -> None:
    W = torch.zeros(4, 4)
    W[0, 1] = W[1, 0] = W[2, 1] = W[1, 2] = 1
    with pytest.raises(InputError, match="1 to 3 eigenvectors"):
        sweeps(Graph(W), 4)
    with pytest.raises(InputError, match="without an edge"):
        sweeps(Graph(W), 2)


def test_every_eigenvector_needs_its_escapes() -> None:
    with pytest.raises(InputError, match="as many rows"):
        cut_explorer(IMAGE, GRID, np.stack([Y, Y]), LEAVING, ENTERING)


@pytest.mark.parametrize(
    ("y", "leaving", "says"),
    [
        (Y[:5], LEAVING, "6 patches need 6 finite numbers in y"),
        (Y * np.nan, LEAVING, "finite numbers in y"),
        (Y, LEAVING[:4], "6 patches need 5 finite numbers in leaving"),
        (Y, LEAVING + 1, "lies in 0..1"),
    ],
)
def test_what_does_not_fit_is_refused(y: np.ndarray, leaving: np.ndarray, says: str) -> None:
    with pytest.raises(InputError, match=says):
        cut_explorer(IMAGE, GRID, y, leaving, ENTERING)


def test_more_patches_than_two_bytes_can_number_are_refused() -> None:
    n = 256 * 257
    with pytest.raises(InputError, match="coarser grid"):
        cut_explorer(IMAGE, (256, 257), np.arange(n), np.zeros(n - 1), np.zeros(n - 1))


def test_the_same_input_gives_the_same_bytes() -> None:
    first, second = (cut_explorer(IMAGE, GRID, Y, LEAVING, ENTERING).data for _ in range(2))
    assert first == second

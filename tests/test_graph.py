"""Graphs: what is refused, degrees, products, parts."""

import pytest
import torch

from walkcut.errors import InputError
from walkcut.graph import Graph

TRIANGLE = [[2.0, 1.0, 0.5], [1.0, 0.0, 0.0], [0.5, 0.0, 0.0]]


def test_degrees_count_the_diagonal_once() -> None:
    degrees = Graph(torch.tensor(TRIANGLE)).degrees
    assert degrees.dtype == torch.float64
    assert degrees.tolist() == [3.5, 1.0, 0.5]


def test_degrees_of_a_float32_graph_are_summed_in_float64() -> None:
    n = 3
    W = torch.full((n, n), 1.0)
    W[0, 1] = W[1, 0] = 2.0**-30  # lost beside 1 in float32
    assert Graph(W).degrees[0].item() == 2 + 2.0**-30


def test_lists_and_integers_are_taken() -> None:
    graph = Graph([[0, 1], [1, 0]])
    assert graph.W.dtype == torch.float64
    assert len(graph) == 2


@pytest.mark.parametrize("shape", [(3,), (3, 2)])
def test_matvec(shape: tuple[int, ...]) -> None:
    v = torch.arange(1.0, 1 + torch.Size(shape).numel(), dtype=torch.float64).reshape(shape)
    product = Graph(torch.tensor(TRIANGLE)).matvec(v)
    expected = sum(torch.tensor(TRIANGLE)[:, j].reshape(-1, *[1] * (v.ndim - 1)) * v[j] for j in range(3))
    torch.testing.assert_close(product, expected.float())


def test_subgraph_keeps_the_order_that_was_asked_for() -> None:
    part = Graph(torch.tensor(TRIANGLE)).subgraph(torch.tensor([2, 0]))
    assert part.W.tolist() == [[0.0, 0.5], [0.5, 2.0]]
    assert part.degrees.tolist() == [0.5, 2.5]


def test_isolated_nodes_and_components_are_legal() -> None:
    assert Graph(torch.zeros(3, 3)).degrees.tolist() == [0, 0, 0]
    assert len(Graph(torch.eye(4))) == 4


@pytest.mark.parametrize(
    ("W", "words"),
    [
        ([1.0, 2.0], "must be square"),
        ([[1.0, 2.0]], r"must be square, not \(1, 2\)"),
        (torch.zeros(0, 0), "must be square"),
        ([[0.0, -0.25], [-0.25, 0.0]], "must not be negative.*-0.25"),
        ([[0.0, 1.0], [0.5, 0.0]], "must be symmetric"),
        ([[0.0, float("nan")], [float("nan"), 0.0]], "must be finite"),
        ([[0.0, float("inf")], [float("inf"), 0.0]], "must be finite"),
    ],
)
def test_what_is_no_affinity_is_refused(W: list | torch.Tensor, words: str) -> None:
    with pytest.raises(InputError, match=words):
        Graph(torch.as_tensor(W))


def test_rounding_is_no_asymmetry() -> None:
    W = torch.tensor(TRIANGLE)
    W[0, 1] += 1e-6
    assert len(Graph(W)) == 3

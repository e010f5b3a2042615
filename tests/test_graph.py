"""Graphs: what is refused, degrees, products, parts."""

import pytest
import torch

from walkcut.errors import InputError
from walkcut.graph import Directed, Graph, LowRank, row_sums

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


@pytest.mark.parametrize("columns", [1, 63, 64, 65, 1000])
def test_row_sums_in_chunks(columns: int) -> None:
    A = torch.rand(5, columns, generator=torch.Generator().manual_seed(0))
    found = row_sums(A)
    assert found.dtype == torch.float64
    torch.testing.assert_close(found, A.double().sum(1), rtol=1e-6, atol=0)
    torch.testing.assert_close(row_sums(A.double()), A.double().sum(1), rtol=1e-13, atol=0)


@pytest.mark.parametrize("kind", ["dense", "directed", "low rank"])
def test_weight_inside_every_prefix(kind: str) -> None:
    n, rng = 150, torch.Generator().manual_seed(3)
    A = torch.rand(n, n, generator=rng, dtype=torch.float64)
    F = A[:, :7]
    graph = {"dense": Graph(A + A.T), "directed": Directed(A), "low rank": LowRank(F)}[kind]
    W = F @ F.T if kind == "low rank" else graph.W
    order = torch.randperm(n, generator=rng)
    expected = torch.stack([W[order[:m]][:, order[:m]].sum() for m in range(1, n + 1)])
    torch.testing.assert_close(graph.inside(order), expected)
    torch.testing.assert_close(graph.degrees, W.sum(1))
    torch.testing.assert_close(graph.indegrees, W.sum(0))
    part = graph.subgraph(order[:20])
    torch.testing.assert_close(part.matvec(torch.ones(20)), W[order[:20]][:, order[:20]].sum(1))
    assert len(part) == 20


@pytest.mark.parametrize(
    ("F", "words"),
    [
        (torch.zeros(3), "a table of patches by features, not \\(3,\\)"),
        (torch.zeros(0, 2), "a table of patches by features"),
        (torch.tensor([[1.0, -2.0]]), "must not be negative, they hold -2"),
        (torch.tensor([[1.0, float("nan")]]), "must be finite"),
        (torch.tensor([[1.0, float("inf")]]), "must be finite"),
    ],
)
def test_what_is_no_table_of_features_is_refused(F: torch.Tensor, words: str) -> None:
    with pytest.raises(InputError, match=words):
        LowRank(F)


def test_a_directed_graph_need_not_be_symmetric_but_all_else() -> None:
    assert Directed([[0.0, 1.0], [0.5, 0.0]]).indegrees.tolist() == [0.5, 1.0]
    with pytest.raises(InputError, match="negative"):
        Directed([[0.0, -1.0], [0.5, 0.0]])
    with pytest.raises(InputError, match="square"):
        Directed([[0.0, 1.0]])

"""Graphs: what is refused, degrees, products, parts, and what arrives in another process."""

import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_graphs import random_weights

from walkcut.errors import InputError
from walkcut.graph import BLOCK, Graph, row_sums

TRIANGLE = [[2.0, 1.0, 0.5], [1.0, 0.0, 0.0], [0.5, 0.0, 0.0]]


def symmetric(n: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Graph:
    A = random_weights(n, seed, dtype)
    return Graph(A + A.T)


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


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("n", [1, 2, 63, 200])
def test_a_product_that_reads_one_half_is_the_whole_product(n: int, dtype: torch.dtype) -> None:
    graph = symmetric(n, n, dtype)
    table = random_weights(n, 7)
    for v in (table[0], table[:, 0], table[:, 0].float(), torch.ones(n, dtype=torch.int64)):  # as they lie in memory
        product = graph.matvec(v)
        assert (product.shape, product.dtype) == ((n,), dtype)
        torch.testing.assert_close(product, graph.W @ v.to(dtype))


def test_a_table_that_lies_across_memory_is_taken_as_it_reads() -> None:
    W = random_weights(6, 0)
    W = (W + W.T).repeat_interleave(2, 1)[:, ::2]
    graph = Graph(W)
    torch.testing.assert_close(graph.matvec(torch.arange(6.0)), W @ torch.arange(6, dtype=torch.float64))
    torch.testing.assert_close(graph.subgraph(torch.tensor([4, 1])).W, W[[4, 1]][:, [4, 1]])


def test_what_is_no_plain_table_is_made_one() -> None:
    """Half precision, which linear algebra does not have, and tensors that someone differentiates."""
    W = torch.tensor(TRIANGLE)
    for table in (W.half(), W.bfloat16(), W.clone().requires_grad_(), W.numpy()):
        graph = Graph(table)
        assert graph.matvec(torch.ones(3)).tolist() == graph.degrees.tolist() == [3.5, 1.0, 0.5]


@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 40), block=st.sampled_from([1, 7, 64]))
@settings(max_examples=30)
def test_blocks_of_any_size_give_the_same(seed: int, n: int, block: int) -> None:
    graph, order = symmetric(n, seed % 997), torch.from_numpy(np.random.default_rng(seed).permutation(n))
    whole = graph.association_gains(order)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("walkcut.graph.BLOCK", block)
        torch.testing.assert_close(graph.association_gains(order), whole, rtol=1e-14, atol=0)


def test_subgraph_keeps_the_order_that_was_asked_for() -> None:
    part = Graph(torch.tensor(TRIANGLE)).subgraph(torch.tensor([2, 0]))
    assert part.W.tolist() == [[0.0, 0.5], [0.5, 2.0]]
    assert part.degrees.tolist() == [0.5, 2.5]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_part_of_any_size_holds_the_same_numbers(dtype: torch.dtype) -> None:
    """A large part is gathered some rows at a time."""
    n = 1164
    graph = symmetric(n, 1, dtype)
    shuffled = torch.randperm(n, generator=torch.Generator().manual_seed(2))
    for size in (1, BLOCK // n, BLOCK // n + 1, n):
        index = shuffled[:size]
        part = graph.subgraph(index)
        assert part.W.dtype == dtype
        assert part.W.is_contiguous()
        assert torch.equal(part.W, graph.W[index][:, index])
    assert n % (BLOCK // n)  # the last rows are fewer than the others


def test_a_part_is_a_table_of_its_own() -> None:
    graph = Graph(torch.tensor(TRIANGLE))
    graph.subgraph(torch.arange(3)).W[0, 0] = 9
    assert graph.W[0, 0] == 2


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
        (torch.full((2, 2), 3e38), "up to 3e\\+38 have sums beyond all numbers: divide them"),
        (torch.full((2, 2), 1.5e308, dtype=torch.float64), "have sums beyond all numbers"),
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


@pytest.mark.parametrize("n", [1, 2, 150, 700])  # the last is more than one block of rows
def test_weight_inside_every_prefix(n: int) -> None:
    graph = symmetric(n, 3)
    order = torch.randperm(n, generator=torch.Generator().manual_seed(4))
    among = graph.W[order][:, order]
    expected = among.cumsum(0).cumsum(1).diagonal()
    found = graph.association_gains(order).cumsum(0)
    assert found.dtype == torch.float64
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(graph.degrees, graph.W.sum(1))
    part = graph.subgraph(order[:20])
    torch.testing.assert_close(part.matvec(torch.ones(len(part))), among[:20, :20].sum(1))
    assert len(part) == min(n, 20)


def test_weight_inside_is_summed_in_float64() -> None:
    """Float32 weights of very different size: the small ones are not lost behind the large ones."""
    n = 300
    W = torch.ones(n, n)
    W[-1], W[:, -1] = 2.0**-30, 2.0**-30
    inside = Graph(W).association_gains(torch.arange(n)).cumsum(0)
    assert (inside[-1] - inside[-2]).item() == pytest.approx((2 * n - 1) * 2.0**-30, rel=1e-4)


# ---------------------------------------------------------------------------------------------------------------------
# Which graph it is, and what travels


def test_a_graph_is_equal_to_itself_alone() -> None:
    """Comparing n^2 numbers is nobody's wish when graphs are kept in a set or as keys."""
    one, other = Graph(torch.tensor(TRIANGLE)), Graph(torch.tensor(TRIANGLE))
    assert one != other
    assert len({one, other, one}) == 2
    assert {one: "one", other: "other"}[one] == "one"


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_graph_survives_pickling(dtype: torch.dtype) -> None:
    graph = symmetric(40, 5, dtype)
    graph.degrees  # noqa: B018 -- known here, and not sent along
    sent = pickle.dumps(graph)
    again = pickle.loads(sent)
    assert type(again) is Graph
    assert (again.W.dtype, again.W.device.type) == (dtype, "cpu")
    assert torch.equal(again.W, graph.W)
    assert torch.equal(again.degrees, graph.degrees)
    assert torch.equal(again.subgraph(torch.arange(9)).W, graph.W[:9, :9])
    assert len(sent) < graph.W.nbytes + 1000
    assert b"torch" not in sent  # arrays, whatever torch the other side has


def test_a_part_survives_pickling_and_takes_no_more_than_itself() -> None:
    part = symmetric(1034).subgraph(torch.arange(20))
    assert len(pickle.dumps(part)) < part.W.nbytes + 1000
    assert torch.equal(pickle.loads(pickle.dumps(part)).W, part.W)


@pytest.mark.gpu
def test_a_graph_on_a_gpu_arrives_in_main_memory() -> None:
    graph = symmetric(1034)
    there = Graph(graph.W.cuda())
    again = pickle.loads(pickle.dumps(there))
    assert again.W.device.type == "cpu"
    assert torch.equal(again.W, graph.W)
    part = there.subgraph(torch.arange(1024))
    assert part.W.is_cuda
    assert torch.equal(part.W.cpu(), graph.W[:1024, :1024])
    order = torch.arange(len(graph))
    torch.testing.assert_close(there.association_gains(order).cumsum(0).cpu(), graph.association_gains(order).cumsum(0))

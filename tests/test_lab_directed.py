"""Graphs with directions: eigenvectors that turn, cuts that differ by the side."""

import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_graphs import random_graph, random_weights

from walkcut.errors import InputError
from walkcut.lab.directed import Directed, direct
from walkcut.ncut import DENSE, best_cut, best_split, ncut, second_eigenvector
from walkcut.tree import partition
from walkcut.walk import Walk

seeds = st.integers(0, 2**32 - 1)


def test_a_directed_graph_need_not_be_symmetric_but_all_else() -> None:
    assert Directed([[0.0, 1.0], [0.5, 0.0]]).indegrees.tolist() == [0.5, 1.0]
    with pytest.raises(InputError, match="negative"):
        Directed([[0.0, -1.0], [0.5, 0.0]])
    with pytest.raises(InputError, match="square"):
        Directed([[0.0, 1.0]])


@pytest.mark.parametrize("n", [7, 150, 600])
def test_weight_inside_every_prefix(n: int) -> None:
    A, order = random_weights(n, 3), torch.randperm(n, generator=torch.Generator().manual_seed(4))
    graph = Directed(A)
    inside = A[order][:, order].cumsum(0).cumsum(1).diagonal()
    torch.testing.assert_close(graph.association_gains(order).cumsum(0), inside)
    torch.testing.assert_close(graph.degrees, A.sum(1))
    torch.testing.assert_close(graph.indegrees, A.sum(0))
    v = torch.rand(n, 2, dtype=torch.float64)
    torch.testing.assert_close(graph.matvec(v), A @ v)
    torch.testing.assert_close(graph.matvec(v[:, 0]), A @ v[:, 0])
    part = graph.subgraph(order[:5])
    assert type(part) is Directed
    torch.testing.assert_close(part.matvec(torch.ones(5)), A[order[:5]][:, order[:5]].sum(1))


@pytest.mark.parametrize("n", [5, 230])
def test_a_directed_ring_turns_by_a_complex_pair(n: int) -> None:
    """Eigenvalues exp(2 pi i j / n) of the walk that always goes on: any phase of the second will do."""
    P = torch.roll(torch.eye(n, dtype=torch.float64), 1, dims=1)
    lazy = Directed((P + torch.eye(n, dtype=torch.float64)) / 2)
    pair = second_eigenvector(lazy, 1e-8)
    assert pair.value == pytest.approx((1 - np.cos(2 * np.pi / n)) / 2, abs=1e-6)
    assert pair.degenerate
    assert (pair.gap, pair.residual) == (0.0, pytest.approx(0, abs=1e-4))


@pytest.mark.parametrize("n", [30, 230])
def test_a_symmetric_graph_may_be_called_directed(n: int) -> None:
    graph = random_graph(n, 2)
    plain, directed = second_eigenvector(graph, 1e-10), second_eigenvector(Directed(graph.W), 1e-10)
    assert directed.value == pytest.approx(plain.value, abs=1e-7)
    for mine, theirs in zip(best_cut(graph, 1e-10).curve, best_cut(Directed(graph.W), 1e-10).curve, strict=True):
        assert float(mine) == pytest.approx(float(theirs), abs=1e-4)


@pytest.mark.parametrize("n", [2, 3, 9, 60, 130])
def test_the_second_eigenvector_against_numpy(n: int) -> None:
    """Of D^-1 W, by all its eigenvalues; where the second is complex, the real part of one phase of its vector."""
    for seed in range(4):
        W = random_weights(n, seed) ** 3
        W[: n // 2, n // 2 :] *= 0.1  # two halves that are left rarely, so that the second value is real and alone
        W[n // 2 :, : n // 2] *= 0.2
        P = (W / W.sum(1, keepdim=True)).numpy()
        values, vectors = np.linalg.eig(P)
        first, second = np.argsort(-values.real)[:2]
        pair = second_eigenvector(Directed(W), 1e-10)
        assert values[first] == pytest.approx(1)
        assert pair.value == pytest.approx(1 - values[second].real, abs=1e-7)
        assert pair.products == 0 if n <= DENSE else pair.products > 0
        assert pair.residual < 1e-6
        assert (W.sum(1) @ pair.y).item() == pytest.approx(0, abs=1e-6)  # the constant vector has no part in it
        if values[second].imag == 0:
            expected = vectors[:, second].real
            expected = expected - W.sum(1).numpy() @ expected / W.sum().item()
            largest = np.abs(expected).argmax()
            np.testing.assert_allclose(pair.y / pair.y[largest], expected / expected[largest], atol=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_ncut_of_a_directed_graph_against_its_definition(seed: int) -> None:
    n = 9
    P = torch.rand(n, n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    graph, values = Directed(P), torch.rand(n, generator=torch.Generator().manual_seed(9))
    split = best_split(graph, values)
    for size in range(1, n):
        side, rest = split.order[:size], split.order[size:]
        expected = P[side][:, rest].sum() / P[side].sum() + P[rest][:, side].sum() / P[rest].sum()
        assert float(split.curve[size - 1]) == pytest.approx(float(expected))
        mask = torch.zeros(n, dtype=torch.bool)
        mask[side] = True
        assert ncut(graph, mask) == pytest.approx(float(expected))


@given(seed=seeds, n=st.integers(2, 80), small=st.sampled_from([1e-5, 1e-3, 1.0]))
@settings(max_examples=30)
def test_an_order_and_its_reverse_cost_the_same(seed: int, n: int, small: float) -> None:
    A = random_weights(n, seed % 997, torch.float32)
    A[-1] *= small
    A[:, -1] *= small
    graph, values = Directed(A), torch.arange(n)
    forwards, backwards = best_split(graph, values).curve, best_split(graph, -values).curve
    torch.testing.assert_close(forwards, backwards.flip(0), rtol=0, atol=1e-6)


def test_two_nodes_that_rather_change_places() -> None:
    """Their second eigenvalue, -1/2, lies below the 0 at which a constant vector could be mistaken for its own."""
    pair = second_eigenvector(Directed([[0.25, 0.75], [0.75, 0.25]]))
    assert pair.value == pytest.approx(1.5)
    assert pair.y[0] == pytest.approx(-float(pair.y[1]))
    assert best_cut(Directed([[0.25, 0.75], [0.75, 0.25]])).ncut == pytest.approx(1.5)


def test_the_walk_itself() -> None:
    P = random_weights(12, 1)
    walk = Walk(P / P.sum(1, keepdim=True), (3, 4))
    assert type(direct(walk)) is Directed
    assert direct(walk).W is walk.P
    tree = partition(direct(walk), walk.grid, smallest=1, max_ncut=2)
    assert len(tree) > 1


def test_a_directed_graph_travels_as_an_array() -> None:
    graph = Directed(random_weights(4, 2))
    again = pickle.loads(pickle.dumps(graph))
    assert type(again) is Directed
    assert torch.equal(again.W, graph.W)
    assert torch.equal(again.indegrees, graph.indegrees)
    assert best_cut(again).curve.tolist() == best_cut(graph).curve.tolist()
    assert b"torch" not in pickle.dumps(graph)
    assert len({graph, again, graph}) == 2

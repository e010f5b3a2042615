"""Normalised Cut: graphs whose cuts are known by heart, and slow references."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.linalg import eigh

from walkcut.errors import InputError
from walkcut.graph import Directed, Graph, LowRank
from walkcut.ncut import DENSE, Split, agreement, best_cut, best_split, ncut, plain_split, second_eigenvector

seeds = st.integers(0, 2**32 - 1)
SMALL, LARGE = 40, DENSE + 60  # one on either side of the change of solver


def clique(n: int) -> torch.Tensor:
    return (1 - torch.eye(n)).double()


def path(n: int) -> Graph:
    line = torch.diag(torch.ones(n - 1), 1).double()
    return Graph(line + line.T)


def ring(n: int) -> Graph:
    turn = torch.roll(torch.eye(n), 1, 1).double()
    return Graph(turn + turn.T)


def barbell(n: int, bridge: float = 1.0) -> Graph:
    """Two cliques of n nodes, one edge between them."""
    W = torch.block_diag(clique(n), clique(n))
    W[n - 1, n] = W[n, n - 1] = bridge
    return Graph(W)


def random_graph(n: int, seed: int) -> Graph:
    """Points in a square, near ones tied: no two eigenvalues coincide."""
    points = np.random.default_rng(seed).uniform(size=(n, 2)) * [3, 1]
    squared = ((points[:, None] - points) ** 2).sum(-1)
    return Graph(torch.from_numpy(np.exp(-squared / 0.1)))


def first(n: int, size: int) -> torch.Tensor:
    return torch.arange(n) < size


# ---------------------------------------------------------------------------------------------------------------------
# NCut of a given set


def test_two_cliques_and_a_bridge() -> None:
    """One edge is cut; each clique of 4 has volume 4 * 3 + 1."""
    assert ncut(barbell(4), first(8, 4)) == pytest.approx(2 / 13)


def test_a_path_and_a_ring() -> None:
    assert ncut(path(4), first(4, 2)) == pytest.approx(2 / 3)
    assert ncut(path(4), first(4, 1)) == pytest.approx(1 + 1 / 5)
    assert ncut(ring(8), first(8, 4)) == pytest.approx(2 / 8 + 2 / 8)


def test_sides_may_be_swapped() -> None:
    graph, mask = random_graph(9, 0), first(9, 3)
    assert ncut(graph, mask) == pytest.approx(ncut(graph, ~mask))


def test_loops_hold_a_walker_back() -> None:
    """A loop counts once in the volume and is never cut."""
    graph = Graph([[3.0, 1.0], [1.0, 1.0]])
    assert ncut(graph, [True, False]) == pytest.approx(1 / 4 + 1 / 2)


def test_bipartite_sides_are_the_worst_cut() -> None:
    assert ncut(path(2), first(2, 1)) == 2


def test_a_side_without_volume_costs_nothing() -> None:
    W = torch.zeros(3, 3)
    W[1, 2] = W[2, 1] = 1
    assert ncut(Graph(W), first(3, 1)) == 0
    assert ncut(Graph(torch.zeros(2, 2)), first(2, 1)) == 0


@pytest.mark.parametrize(
    ("mask", "words"),
    [([True] * 4, "both sides"), ([False] * 4, "both sides"), ([True, False], r"as many entries, not \(2,\)")],
)
def test_a_cut_has_two_sides(mask: list[bool], words: str) -> None:
    with pytest.raises(InputError, match=words):
        ncut(path(4), mask)


# ---------------------------------------------------------------------------------------------------------------------
# The second eigenvector


@pytest.mark.parametrize("n", [2, 5, SMALL, LARGE])
def test_a_path_swings_as_a_cosine(n: int) -> None:
    """Chung, Spectral Graph Theory, example 1.4: lambda = 1 - cos(pi / (n - 1)), y_i = cos(pi i / (n - 1))."""
    value, y = second_eigenvector(path(n), 1e-10)[:2]
    angle = torch.pi * torch.arange(n, dtype=torch.float64) / (n - 1)
    assert value == pytest.approx(1 - np.cos(np.pi / (n - 1)), abs=1e-8)
    torch.testing.assert_close(y / y.abs().max(), torch.cos(angle), rtol=0, atol=1e-4)  # the first end is positive


@pytest.mark.parametrize("n", [2, 5, SMALL, LARGE])
def test_a_clique_has_eigenvalue_n_over_n_minus_1(n: int) -> None:
    assert second_eigenvector(Graph(clique(n)))[0] == pytest.approx(n / (n - 1), rel=1e-3)


@pytest.mark.parametrize("n", [SMALL, LARGE])
def test_two_components_have_eigenvalue_0(n: int) -> None:
    W = torch.block_diag(clique(n // 2), clique(n - n // 2))
    value, y = second_eigenvector(Graph(W), 1e-8)[:2]
    assert value == pytest.approx(0, abs=1e-6)
    assert y[: n // 2].std() < 1e-5 * y.abs().max()
    assert y[0] * y[-1] < 0
    assert (y @ Graph(W).degrees).item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("n", [5, 30, DENSE, DENSE + 1, 320])
def test_against_the_dense_generalised_problem(n: int) -> None:
    graph = random_graph(n, n)
    W = graph.W.numpy()
    D = np.diag(W.sum(1))
    values, vectors = eigh(D - W, D)
    value, y = second_eigenvector(graph, 1e-10)[:2]
    assert value == pytest.approx(values[1], abs=1e-8)
    assert (y @ graph.degrees).item() == pytest.approx(0, abs=1e-8)  # the constant vector has no part in it
    expected = vectors[:, 1] * np.sign(vectors[np.abs(vectors[:, 1]).argmax(), 1])
    np.testing.assert_allclose(y / y.abs().max(), expected / np.abs(expected).max(), atol=1e-5)


def test_the_default_tolerance_is_kept_in_float32() -> None:
    graph = random_graph(320, 5)
    exact = second_eigenvector(graph, 1e-12)[0]
    found = second_eigenvector(Graph(graph.W.float()))[0]
    assert found == pytest.approx(exact, abs=2e-4)


@pytest.mark.parametrize("n", [SMALL, LARGE])
def test_the_entry_of_largest_magnitude_is_positive(n: int) -> None:
    for seed in range(4):
        y = second_eigenvector(random_graph(n, seed))[1]
        assert y.dtype == torch.float64
        assert y[y.abs().argmax()] > 0


@pytest.mark.parametrize("n", [SMALL, LARGE])
def test_the_same_graph_gives_the_same_vector(n: int) -> None:
    first_time, again = (second_eigenvector(random_graph(n, 1)) for _ in range(2))
    assert first_time[0] == again[0]
    assert torch.equal(first_time[1], again[1])


def test_what_cannot_be_cut_is_refused() -> None:
    with pytest.raises(InputError, match="1 node cannot be cut"):
        second_eigenvector(Graph(torch.ones(1, 1)))
    with pytest.raises(InputError, match="isolated nodes"):
        second_eigenvector(Graph(torch.block_diag(clique(3), torch.zeros(1, 1))))


@given(seed=seeds, n=st.integers(2, 8))
@settings(max_examples=25, deadline=None)
def test_no_cut_is_cheaper_than_the_eigenvalue(seed: int, n: int) -> None:
    graph = random_graph(n, seed)
    bits = (torch.tensor(bits) for bits in itertools.product([True, False], repeat=n) if 0 < sum(bits) < n)
    assert min(ncut(graph, mask) for mask in bits) >= second_eigenvector(graph)[0] - 1e-9


# ---------------------------------------------------------------------------------------------------------------------
# The best split


@given(seed=seeds, n=st.integers(2, 30), sparse=st.booleans())
@example(seed=35, n=7, sparse=True)  # rounding leaves a cut of 1e-15 around a side of no volume
@settings(max_examples=40, deadline=None)
def test_the_best_split_against_every_prefix(seed: int, n: int, sparse: bool) -> None:
    rng = np.random.default_rng(seed)
    W = rng.uniform(size=(n, n)) * (rng.uniform(size=(n, n)) < (0.15 if sparse else 1))
    graph = Graph(torch.from_numpy(W + W.T))
    values = rng.integers(0, 5, n) if sparse else rng.normal(size=n)  # with ties, and without
    split = best_split(graph, torch.from_numpy(values))
    np.testing.assert_array_equal(split.order, np.argsort(values, kind="stable"))
    for size in range(1, n):
        mask = torch.zeros(n, dtype=torch.bool)
        mask[split.order[:size]] = True
        assert split.curve[size - 1].item() == pytest.approx(ncut(graph, mask), abs=1e-9)
    assert split.ncut == split.curve.min()
    assert split.ncut == split.curve[split.size - 1]
    assert sorted(split.order[: split.size].tolist()) == torch.nonzero(split.side).ravel().tolist()


def test_a_graph_larger_than_one_block_of_rows() -> None:
    """Rows are looked at 64 at a time, sums are float32 only within 64 numbers: 4100 rows cross many borders."""
    n = 4100
    W = torch.zeros(n, n)
    W.diagonal(1)[:] = W.diagonal(-1)[:] = torch.rand(n - 1, generator=torch.Generator().manual_seed(0))
    split = best_split(Graph._trusted(W), torch.arange(n))
    bridge = W.diagonal(1).double()
    volume = torch.cumsum(W.sum(1, dtype=torch.float64), 0)
    expected = bridge / volume[:-1] + bridge / (volume[-1] - volume[:-1])
    torch.testing.assert_close(split.curve, expected, rtol=0, atol=1e-5)


@given(seed=seeds, n=st.integers(2, DENSE), single=st.booleans())
@settings(max_examples=40, deadline=None)
def test_a_few_nodes_are_cut_as_many_are(seed: int, n: int, single: bool) -> None:
    """The short way for small regions against the two steps it stands for."""
    graph = random_graph(n, seed)
    graph = Graph(graph.W.float()) if single else graph
    split, pair = best_cut(graph), second_eigenvector(graph)
    slow = best_split(graph, pair.y)
    close = 1e-5 if single else 1e-9
    assert split.ncut == pytest.approx(slow.ncut, abs=close)
    assert split.eigenpair.value == pytest.approx(pair.value, abs=close)
    assert split.eigenpair.gap == pytest.approx(pair.gap, abs=close)
    assert split.eigenpair.residual < close
    if not single and pair.gap > 1e-3:
        torch.testing.assert_close(split.eigenpair.y, pair.y, rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(split.curve, best_split(graph, split.eigenpair.y).curve)


def test_weights_of_very_different_size() -> None:
    """The volume of the far side is lost in rounding: no division by zero, and the heavy pair stays whole."""
    W = torch.zeros(4, 4).double()
    W[0, 1] = W[1, 0] = 1e20
    W[2, 3] = W[3, 2] = 1e-5
    split = best_cut(Graph(W))
    assert split.ncut == pytest.approx(0, abs=1e-9)
    assert torch.isfinite(split.curve).all()


@pytest.mark.parametrize("n", [4, SMALL, LARGE])
def test_a_barbell_is_cut_at_its_bridge(n: int) -> None:
    split = best_cut(barbell(n))
    assert split.size == n
    assert set(split.order[:n].tolist()) in (set(range(n)), set(range(n, 2 * n)))
    assert split.ncut == pytest.approx(2 / (n * (n - 1) + 1))


@pytest.mark.parametrize("n", [SMALL, LARGE])
def test_a_ring_is_cut_in_two_arcs_although_its_eigenvalue_is_double(n: int) -> None:
    """Any mixture of the two eigenvectors is a wave around the ring: half of it is above the middle."""
    cuts = [best_cut(ring(n)) for _ in range(2)]
    assert cuts[0].ncut == pytest.approx(4 / n)
    assert torch.equal(cuts[0].order, cuts[1].order)
    assert cuts[0].size == cuts[1].size == n // 2


@pytest.mark.parametrize("n", [12, LARGE // 3 + 1])
def test_three_cliques_that_are_equally_near_are_cut_between_them(n: int) -> None:
    """The second and third eigenvalue coincide: which clique goes is open, that none is torn is not."""
    W = torch.block_diag(clique(n), clique(n), clique(n)) + 1e-4
    W.fill_diagonal_(0)
    split = best_cut(Graph(W))
    side = torch.zeros(3 * n, dtype=torch.bool)
    side[split.order[: split.size]] = True
    assert sorted(side.view(3, n).sum(1).tolist()) in ([0, 0, n], [0, n, n])
    assert split.ncut == pytest.approx(ncut(Graph(W), side))


@given(seed=seeds, n=st.integers(2, 40))
@settings(max_examples=25, deadline=None)
def test_cheeger(seed: int, n: int) -> None:
    """lambda <= NCut of the sweep, and its conductance h <= sqrt(2 lambda), so that NCut <= 2 sqrt(2 lambda)."""
    graph = random_graph(n, seed)
    value, y = second_eigenvector(graph)[:2]
    split = best_split(graph, y)
    assert value - 1e-9 <= split.ncut <= 2 * np.sqrt(2 * value) + 1e-9


def test_isolated_nodes_go_first_and_at_no_cost() -> None:
    W = torch.block_diag(torch.zeros(1, 1), clique(3), torch.zeros(1, 1))
    split = best_cut(Graph(W))
    assert (split.size, split.ncut) == (2, 0)
    assert set(split.order[:2].tolist()) == {0, 4}


def test_nothing_but_isolated_nodes() -> None:
    split = best_cut(Graph(torch.zeros(3, 3)))
    assert split.ncut == 0
    assert 1 <= split.size <= 2
    assert sorted(split.order.tolist()) == [0, 1, 2]


@pytest.mark.parametrize("n", [SMALL, LARGE])
def test_components_come_apart_at_no_cost(n: int) -> None:
    W = torch.block_diag(clique(n // 4), clique(n - n // 4))
    shuffled = torch.from_numpy(np.random.default_rng(0).permutation(n))
    split = best_cut(Graph(W[shuffled][:, shuffled]))
    sides = shuffled[split.order[: split.size]] < n // 4
    assert split.ncut == pytest.approx(0, abs=1e-9)
    assert sides.all() or not sides.any()
    assert split.size in (n // 4, n - n // 4)


@pytest.mark.gpu
def test_a_gpu_cuts_alike() -> None:
    for graph in (random_graph(SMALL, 2), random_graph(LARGE, 2)):
        here, there = best_cut(graph), best_cut(Graph(graph.W.cuda()))
        assert there.ncut == pytest.approx(here.ncut, abs=1e-6)
        assert set(there.order[: there.size].tolist()) == set(here.order[: here.size].tolist())


@pytest.mark.parametrize("n", [2, 3, 24, DENSE, LARGE])
def test_a_clique_in_single_precision(n: int) -> None:
    """All eigenvalues but the first coincide up to rounding: lambda_2 = 1, and every cut costs 1."""
    pair = second_eigenvector(Graph(torch.ones(n, n)))
    assert pair.value == pytest.approx(1, abs=1e-5)
    assert best_cut(Graph(torch.ones(n, n))).ncut == pytest.approx(1, abs=1e-5)
    assert pair.degenerate or n == 2


@pytest.mark.parametrize("n", [12, 60, 240, 301])
def test_a_ring_has_twins_and_says_so(n: int) -> None:
    """cos and sin along the ring share lambda_2 = 1 - cos(2 pi / n): the split is valid, repeatable and one of many."""
    pair = second_eigenvector(ring(n), 1e-8)
    assert pair.value == pytest.approx(1 - np.cos(2 * np.pi / n), abs=1e-6)
    assert pair.gap == pytest.approx(0, abs=1e-6)
    assert pair.degenerate
    assert not second_eigenvector(path(n), 1e-8).degenerate
    cuts = [best_cut(ring(n)) for _ in range(2)]
    assert torch.equal(cuts[0].order, cuts[1].order)
    assert cuts[0].ncut == pytest.approx(4 / n, abs=1e-3)  # two edges of n / 2 nodes of degree 2, on either side


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


@pytest.mark.parametrize(("n", "d"), [(9, 3), (300, 5)])
def test_a_low_rank_graph_is_cut_as_if_written_down(n: int, d: int) -> None:
    F = torch.rand(n, d, generator=torch.Generator().manual_seed(1), dtype=torch.float64) ** 4
    low, dense = LowRank(F), Graph(F @ F.T)
    torch.testing.assert_close(low.degrees, dense.degrees)
    order = torch.randperm(n, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(low.inside(order), dense.inside(order))
    one, other = best_cut(low, 1e-10), best_cut(dense, 1e-10)
    assert one.ncut == pytest.approx(other.ncut, abs=1e-9)
    assert one.eigenpair.value == pytest.approx(other.eigenpair.value, abs=1e-8)


def test_sign_and_median_splits() -> None:
    graph = path(7)
    y = second_eigenvector(graph).y
    best = best_split(graph, y)
    assert plain_split(graph, y, "median").size == 3
    assert plain_split(graph, y, "sign").size in (3, 4)  # the middle of the path is zero up to rounding
    for rule in ("sign", "median"):
        assert plain_split(graph, y, rule).ncut >= best.ncut
    with pytest.raises(InputError, match="no rule 'mean'"):
        plain_split(graph, y, "mean")


@given(seed=seeds, n=st.integers(2, 11))
@settings(max_examples=40, deadline=None)
def test_cheeger_over_all_cuts(seed: int, n: int) -> None:
    """lambda_2 <= min NCut <= 2 h, and lambda_2 / 2 <= h <= sqrt(2 lambda_2), with h over all cuts."""
    graph = random_graph(n, seed)
    W, degrees = graph.W.numpy(), graph.degrees.numpy()
    ncuts, conductances = [], []
    for number in range(1, 2 ** (n - 1)):  # the last node is always on the far side
        side = (number >> np.arange(n)) % 2 == 1
        cut, volumes = W[side][:, ~side].sum(), (degrees[side].sum(), degrees[~side].sum())
        ncuts.append(cut / volumes[0] + cut / volumes[1])
        conductances.append(cut / min(volumes))
    value, h = second_eigenvector(graph).value, min(conductances)
    assert value <= min(ncuts) + 1e-9
    assert min(ncuts) <= 2 * h + 1e-9
    assert value / 2 <= h + 1e-9
    assert h <= np.sqrt(2 * value) + 1e-9
    assert best_cut(graph).ncut >= min(ncuts) - 1e-9


@given(seed=seeds, n=st.integers(3, 60), factor=st.sampled_from([1e-6, 0.3, 1e5]))
@settings(max_examples=30, deadline=None)
def test_order_and_unit_of_the_weights_do_not_matter(seed: int, n: int, factor: float) -> None:
    graph = random_graph(n, seed)
    shuffle = torch.from_numpy(np.random.default_rng(seed).permutation(n))
    other = Graph(factor * graph.W[shuffle][:, shuffle])
    one, two = best_cut(graph), best_cut(other)
    assert two.eigenpair.value == pytest.approx(one.eigenpair.value, abs=1e-9)
    if one.eigenpair.gap > 1e-6:
        assert two.ncut == pytest.approx(one.ncut, rel=1e-6)


def test_agreement_does_not_ask_which_side_is_the_first() -> None:
    one, same, other = (
        Split(torch.tensor(order), 2, 0.0, torch.zeros(3)) for order in ([0, 1, 2, 3], [3, 2, 1, 0], [0, 2, 1, 3])
    )
    assert [agreement(one, cut) for cut in (one, same, other)] == [1, 1, 0.5]

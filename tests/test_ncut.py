"""Normalised Cut: graphs whose cuts are known by heart, and slow references."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.linalg import eigh
from toy_graphs import barbell, clique, path, random_graph, random_weights, ring

from walkcut.errors import InputError
from walkcut.graph import Graph
from walkcut.ncut import DENSE, PRODUCTS, Eigenpair, _lanczos, best_cut, best_cuts, best_split, ncut, second_eigenvector

seeds = st.integers(0, 2**32 - 1)
SMALL, LARGE = 40, DENSE + 60  # one on either side of the change of solver


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
    pair = second_eigenvector(path(n), 1e-10)
    value, y = pair.value, pair.y
    angle = torch.pi * torch.arange(n, dtype=torch.float64) / (n - 1)
    assert value == pytest.approx(1 - np.cos(np.pi / (n - 1)), abs=1e-8)
    torch.testing.assert_close(y / y.abs().max(), torch.cos(angle), rtol=0, atol=1e-4)  # the first end is positive


@pytest.mark.parametrize("n", [2, 5, SMALL, LARGE])
def test_a_clique_has_eigenvalue_n_over_n_minus_1(n: int) -> None:
    assert second_eigenvector(Graph(clique(n))).value == pytest.approx(n / (n - 1), rel=1e-3)


@pytest.mark.parametrize("n", [SMALL, LARGE])
def test_two_components_have_eigenvalue_0(n: int) -> None:
    W = torch.block_diag(clique(n // 2), clique(n - n // 2))
    pair = second_eigenvector(Graph(W), 1e-8)
    value, y = pair.value, pair.y
    assert value == pytest.approx(0, abs=1e-6)
    assert y[: n // 2].std() < 1e-5 * y.abs().max()
    assert y[0] * y[-1] < 0
    assert (y @ Graph(W).degrees).item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("n", [5, 30, DENSE, DENSE + 1, 201, 320])
def test_against_the_dense_generalised_problem(n: int) -> None:
    graph = random_graph(n, n)
    W = graph.W.numpy()
    D = np.diag(W.sum(1))
    values, vectors = eigh(D - W, D)
    pair = second_eigenvector(graph, 1e-10)
    value, y = pair.value, pair.y
    assert value == pytest.approx(values[1], abs=1e-8)
    assert (y @ graph.degrees).item() == pytest.approx(0, abs=1e-8)  # the constant vector has no part in it
    expected = vectors[:, 1] * np.sign(vectors[np.abs(vectors[:, 1]).argmax(), 1])
    np.testing.assert_allclose(y / y.abs().max(), expected / np.abs(expected).max(), atol=1e-5)


def test_the_default_tolerance_is_kept_in_float32() -> None:
    graph = random_graph(320, 5)
    exact = second_eigenvector(graph, 1e-12).value
    found = second_eigenvector(Graph(graph.W.float())).value
    assert found == pytest.approx(exact, abs=2e-4)


@pytest.mark.parametrize("n", [SMALL, LARGE])
def test_the_entry_of_largest_magnitude_is_positive(n: int) -> None:
    for seed in range(4):
        y = second_eigenvector(random_graph(n, seed)).y
        assert y.dtype == torch.float64
        assert y[y.abs().argmax()] > 0


@pytest.mark.parametrize("n", [SMALL, LARGE])
def test_the_same_graph_gives_the_same_vector(n: int) -> None:
    first_time, again = (second_eigenvector(random_graph(n, 1)) for _ in range(2))
    assert first_time.value == again.value
    assert torch.equal(first_time.y, again.y)


def test_what_cannot_be_cut_is_refused() -> None:
    with pytest.raises(InputError, match="1 node cannot be cut"):
        second_eigenvector(Graph(torch.ones(1, 1)))
    with pytest.raises(InputError, match="isolated nodes"):
        second_eigenvector(Graph(torch.block_diag(clique(3), torch.zeros(1, 1))))


@given(seed=seeds, n=st.integers(2, 8))
@settings(max_examples=25)
def test_no_cut_is_cheaper_than_the_eigenvalue(seed: int, n: int) -> None:
    graph = random_graph(n, seed)
    bits = (torch.tensor(bits) for bits in itertools.product([True, False], repeat=n) if 0 < sum(bits) < n)
    assert min(ncut(graph, mask) for mask in bits) >= second_eigenvector(graph).value - 1e-9


def reference(graph: Graph) -> tuple[np.ndarray, np.ndarray]:
    """Slow: all eigenvalues of the relaxed problem, ascending, and its vectors as columns."""
    W = graph.W.double().numpy()
    values, vectors = np.linalg.eigh(np.eye(len(W)) - W / np.sqrt(np.outer(W.sum(1), W.sum(1))))
    return values, vectors / np.sqrt(W.sum(1))[:, None]


@given(seed=seeds, n=st.sampled_from([3, 30, DENSE, DENSE + 1, 180]), single=st.booleans())
@example(seed=41, n=3, single=False)  # a node almost without edges: the second eigenvalue is 0 as well
@settings(max_examples=25)
def test_the_eigenpair_against_numpy(seed: int, n: int, single: bool) -> None:
    """Value, gap and residual are what they say they are; y is as near the true one as the residual over the gap."""
    graph = random_graph(n, seed)
    graph = Graph(graph.W.float()) if single else graph
    tolerance = 1e-4 if single else 1e-9
    values, vectors = reference(graph)
    pair = second_eigenvector(graph, tolerance)
    assert pair.value == pytest.approx(values[1], abs=1e-6 if single else 1e-9)
    assert pair.gap == pytest.approx(values[2] - values[1], abs=1e-4)
    assert pair.products == 0 if n <= DENSE else 0 < pair.products <= 2 * PRODUCTS
    W, root = graph.W.double(), graph.degrees.sqrt()
    x = root * pair.y / torch.linalg.vector_norm(root * pair.y)
    left = torch.linalg.vector_norm(W @ (x / root) / root - (1 - pair.value) * x)
    assert left == pytest.approx(pair.residual, abs=1e-6 if single else 1e-8)
    assert pair.residual <= tolerance + 1e-6
    if min(pair.gap, pair.value) > 1e-2:  # else NumPy's is a mixture, with the third or with the constant vector
        largest, expected = pair.y.abs().argmax(), torch.from_numpy(vectors[:, 1])
        off = expected / expected[largest] - pair.y / pair.y[largest]
        assert off.abs().max() < 10 * (tolerance + 1e-6) / pair.gap * (root.max() / root.min()) * np.sqrt(n)


@pytest.mark.parametrize("n", [SMALL, LARGE])
@pytest.mark.parametrize("apart", [1e-4, 1e-7, 1e-11, 0.0])
def test_three_cliques_whose_second_eigenvalue_is_nearly_double(n: int, apart: float) -> None:
    """Whatever mixture is returned, it is one of the two vectors' and constant on each clique; if told, it is told."""
    third = n // 3
    W = torch.block_diag(*[torch.ones(third, third, dtype=torch.float64)] * 3) + 1e-3
    W[: 2 * third, 2 * third :] += apart
    W[2 * third :, : 2 * third] += apart
    graph = Graph(W)
    values = reference(graph)[0]
    pair = second_eigenvector(graph, 1e-9)
    assert values[1] - 1e-9 <= pair.value <= values[2] + 1e-9
    assert pair.residual <= 1e-8
    assert pair.y.view(3, third).std(1).max() < 1e-6 * pair.y.abs().max()
    assert abs(pair.y @ graph.degrees) < 1e-6 * graph.degrees.sum()
    if apart == 1e-4:
        assert not pair.degenerate
        assert pair.gap == pytest.approx(values[2] - values[1], rel=1e-3)
    if apart <= 1e-11:
        assert pair.degenerate
    split = best_split(graph, pair.y)
    assert split.size % third == 0
    assert split.ncut <= 2 * np.sqrt(2 * pair.value)


@given(seed=seeds, n=st.integers(2, 40), known=st.integers(1, 3), twins=st.booleans(), beside=st.integers(1, 3))
@settings(max_examples=50)
def test_lanczos_against_all_eigenvectors(seed: int, n: int, known: int, twins: bool, beside: int) -> None:
    """Any symmetric matrix; eigenvectors that are known are kept out, and a twofold eigenvalue does no harm."""
    rng, known = np.random.default_rng(seed), min(known, n - 1)
    basis = np.linalg.qr(rng.normal(size=(n, n)))[0]
    exact = np.sort(rng.uniform(-1, 1, n))
    exact[-1 - known :] = exact[-1 - known]  # what is known coincides with what is looked for
    if twins and n > known + 1:
        exact[-2 - known] = exact[-1 - known]
    A = basis @ np.diag(exact) @ basis.T
    matrix, kept = torch.from_numpy(A), torch.from_numpy(basis.T[n - known :].copy())
    start = torch.from_numpy(rng.normal(size=(beside, n)))  # the same matrix several times, from elsewhere each time
    values, vectors, products = _lanczos(lambda v: v @ matrix, kept.expand(beside, -1, -1), 1e-9, start)
    np.testing.assert_allclose(values[:, 1], exact[-1 - known], atol=1e-9)
    for vector in vectors[:, 1].numpy():
        assert np.linalg.norm(A @ vector - exact[-1 - known] * vector) < 1e-8
        assert np.linalg.norm(vector) == pytest.approx(1)
        assert np.abs(basis.T[n - known :] @ vector).max(initial=0) < 1e-9
    assert products <= n - known


def test_lanczos_says_how_far_it_came(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = random_graph(LARGE, 3)
    pair = second_eigenvector(graph, 1e-6)
    monkeypatch.setattr("walkcut.ncut.PRODUCTS", 8)
    short = second_eigenvector(graph, 1e-6, twins=False)
    assert short.products == 8
    assert short.residual > 1e-4
    assert short.value >= pair.value - 1e-9  # a Ritz value is no larger than the eigenvalue that it stands for


def test_a_graph_may_bring_its_own_eigenvector_and_indegrees() -> None:
    class Other(Graph):
        def second_eigenvector(self, tolerance: float, seed: int, twins: bool) -> Eigenpair:
            return Eigenpair(0.5, torch.arange(len(self)).double(), tolerance, float(seed), int(twins))

        @property
        def indegrees(self) -> torch.Tensor:
            return torch.tensor([1.5, 2.0, 2.5])

    split = best_cut(Other(clique(3)), tolerance=0.25)
    pair = split.eigenpair
    assert (pair.value, pair.gap, pair.residual, pair.products) == (0.5, 0.25, 0.0, 1)
    assert split.order.tolist() == [0, 1, 2]
    assert split.curve.tolist() == [2 / 2 + 1.5 / 4, 2 / 4 + 1.5 / 2]


def test_nodes_that_are_alike_are_equal() -> None:
    """Up to rounding they would stand in an order of their own on each machine."""
    for n in (SMALL, LARGE):
        y = second_eigenvector(barbell(n), 1e-9).y
        for side in (y[: n - 1], y[n + 1 :]):
            assert (side == side[0]).all()


def test_one_run_without_twins_is_the_same_vector() -> None:
    """The second run only looks for the gap."""
    graph = random_graph(LARGE, 4)
    one, both = second_eigenvector(graph, 1e-9, twins=False), second_eigenvector(graph, 1e-9)
    assert torch.equal(one.y, both.y)
    assert one.value == both.value
    assert one.products < both.products
    assert second_eigenvector(ring(LARGE), 1e-9, twins=False).gap > 1e-6  # it sees one direction of a twofold value


def test_another_start_leads_to_the_same_vector() -> None:
    graph = random_graph(LARGE, 4)
    for seed in (1, 2):
        torch.testing.assert_close(
            second_eigenvector(graph, 1e-10, seed).y, second_eigenvector(graph, 1e-10).y, rtol=0, atol=1e-6
        )


@pytest.mark.parametrize("tolerance", [0, -1e-4, float("nan")])
def test_a_tolerance_is_positive(tolerance: float) -> None:
    with pytest.raises(InputError, match=f"tolerance is a positive, finite number, not {tolerance}"):
        second_eigenvector(path(4), tolerance)


# ---------------------------------------------------------------------------------------------------------------------
# The best split


@given(seed=seeds, n=st.integers(2, 30), sparse=st.booleans())
@example(seed=35, n=7, sparse=True)  # rounding leaves a cut of 1e-15 around a side of no volume
@settings(max_examples=40)
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


def sweep(W: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Slow: NCut of every prefix from a table in the order, in float64, each sum anew."""
    W = W[np.ix_(order, order)].astype(np.float64)
    curve = []
    for size in range(1, len(W)):
        cut = W[:size, size:].sum()
        curve.append(cut / W[:size].sum() + cut / W[size:].sum())
    return np.array(curve)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("n", [2, 9, 257, 600])
def test_the_sweep_against_numpy(n: int, dtype: torch.dtype) -> None:
    W, values = random_weights(n, n, dtype), random_weights(n, 1)[0]
    graph = Graph(W + W.T)
    split = best_split(graph, values)
    expected = sweep(graph.W.numpy(), np.argsort(values.numpy()))
    np.testing.assert_allclose(split.curve, expected, rtol=0, atol=1e-6 if dtype == torch.float32 else 1e-11)
    assert split.size == expected.argmin() + 1
    assert split.side.sum() == split.size
    assert split.eigenpair is None


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("small", [1.0, 1e-3, 1e-5])
def test_a_small_side_is_not_lost_at_either_end_of_the_order(small: float, dtype: torch.dtype) -> None:
    """One node of 600 has a volume of 1e-3 or 1e-5 beside 300, and NCut .0099; summed from the far end it had 0."""
    n, leaves = 600, 0.0099
    W = random_weights(n, 0)
    W = (W + W.T) / 2
    W[0] = W[:, 0] = small * leaves / (n - 1)
    W[0, 0] = small * (1 - leaves)
    graph, values = Graph(W.to(dtype)), random_weights(n, 1)[0]
    values[0] = -1
    forwards, backwards = best_split(graph, values), best_split(graph, -values)
    assert (forwards.size, backwards.size) == (1, n - 1)
    assert forwards.ncut == pytest.approx(leaves, abs=1e-6)
    assert backwards.ncut == pytest.approx(forwards.ncut, abs=1e-6)
    torch.testing.assert_close(backwards.curve.flip(0), forwards.curve, rtol=0, atol=1e-6)
    np.testing.assert_allclose(forwards.curve, sweep(W.to(dtype).numpy(), np.argsort(values)), rtol=0, atol=1e-6)
    split = best_cut(graph)
    assert {split.order[0].item(), split.order[-1].item()} >= {0}
    assert split.size in (1, n - 1)


@given(seed=seeds, n=st.integers(2, 90), single=st.booleans())
@settings(max_examples=30)
def test_an_order_and_its_reverse_cost_the_same(seed: int, n: int, single: bool) -> None:
    """Nodes whose volumes span eight powers of ten."""
    rng = np.random.default_rng(seed)
    size = 10.0 ** rng.uniform(-4, 0, n)
    W = torch.from_numpy(np.outer(size, size) * rng.uniform(size=(n, n)))
    W = W + W.T
    graph, values = Graph(W.float() if single else W), torch.from_numpy(rng.permutation(n))
    forwards, backwards = best_split(graph, values), best_split(graph, -values)
    torch.testing.assert_close(backwards.curve.flip(0), forwards.curve, rtol=0, atol=1e-6)
    assert backwards.ncut == pytest.approx(forwards.ncut, abs=1e-6)


@pytest.mark.parametrize("values", [[3, 1, 2, 0], np.array([3.0, 1.0, 2.0, 0.0]), torch.tensor([3, 1, 2, 0])])
def test_values_to_sort_by_may_be_of_any_kind(values: object) -> None:
    assert best_split(path(4), values).order.tolist() == [3, 1, 2, 0]


def test_equal_values_keep_their_order() -> None:
    assert best_split(path(6), torch.tensor([1, 0, 1, 0, 1, 0])).order.tolist() == [1, 3, 5, 0, 2, 4]


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
@settings(max_examples=40)
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
@settings(max_examples=25)
def test_cheeger(seed: int, n: int) -> None:
    """lambda <= NCut of the sweep, and its conductance h <= sqrt(2 lambda), so that NCut <= 2 sqrt(2 lambda)."""
    graph = random_graph(n, seed)
    pair = second_eigenvector(graph)
    value, y = pair.value, pair.y
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


@pytest.mark.parametrize("graph", [random_graph(LARGE, 2), Graph(torch.block_diag(*[clique(LARGE // 4)] * 4) + 0.1)])
@pytest.mark.parametrize("which", ["nothing", "first", "second", "third", "last", "one node", "short"])
def test_no_guess_leads_astray(graph: Graph, which: str) -> None:
    """Not even at another eigenvector, exactly, from which products alone never lead away; nor where three coincide."""
    root, n = graph.degrees.sqrt().numpy(), len(graph)
    x = np.linalg.eigh(graph.W.numpy() / np.outer(root, root))[1]
    guesses = {"nothing": 0 * root, "one node": np.eye(n)[3], "short": x[: n // 2, -2]}
    guesses |= dict(zip(["last", "third", "second", "first"], x.T[[0, -3, -2, -1]], strict=True))
    tolerance = 1e-8
    found, expected = best_cuts([graph], tolerance, [torch.from_numpy(guesses[which])])[0], best_cut(graph, tolerance)
    assert found.ncut == pytest.approx(expected.ncut, abs=1e-5)
    together = best_cuts([graph, random_graph(LARGE - 20, 5)], tolerance, [torch.from_numpy(guesses[which])])
    assert together[0].ncut == pytest.approx(expected.ncut, abs=1e-5)
    assert together[1].ncut == pytest.approx(best_cut(random_graph(LARGE - 20, 5), tolerance).ncut, abs=1e-5)


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


@given(seed=seeds, n=st.integers(2, 11))
@settings(max_examples=40)
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


@given(seed=seeds, n=st.integers(3, 60), factor=st.sampled_from([1e-6, 0.3, 1e5]))
@settings(max_examples=30)
def test_order_and_unit_of_the_weights_do_not_matter(seed: int, n: int, factor: float) -> None:
    graph = random_graph(n, seed)
    shuffle = torch.from_numpy(np.random.default_rng(seed).permutation(n))
    other = Graph(factor * graph.W[shuffle][:, shuffle])
    one, two = best_cut(graph), best_cut(other)
    assert two.eigenpair.value == pytest.approx(one.eigenpair.value, abs=1e-9)
    if one.eigenpair.gap > 1e-6:
        assert two.ncut == pytest.approx(one.ncut, rel=1e-6)


@pytest.mark.parametrize("seed", range(8))
def test_a_ring_has_a_twofold_second_eigenvalue_whatever_the_start(seed: int) -> None:
    """However exactly the first run ended, the second must not take its own error for a gap."""
    n = 240
    W, i = torch.zeros(n, n, dtype=torch.float64), torch.arange(n)
    W[i, (i + 1) % n] = W[(i + 1) % n, i] = 1
    assert second_eigenvector(Graph(W), seed=seed).degenerate

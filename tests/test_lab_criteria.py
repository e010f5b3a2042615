"""The criteria of the lab, each against its definition and against all prunings."""

import numpy as np
import pytest
import torch
from trees import planted, priced, prunings, scattered, small_tree, two_halves, walk_of

from walkcut.criteria import prune
from walkcut.errors import InputError
from walkcut.graph import Graph
from walkcut.lab.criteria import persistence, smallest_eigenvalues, stability_at
from walkcut.lab.directed import Directed
from walkcut.null import SplitPrices
from walkcut.tree import PartitionTree, partition
from walkcut.walk import Walk


def entropy(rates: list[float] | np.ndarray) -> float:
    """Slow reference: total rate times the entropy of the rates' shares, in bits."""
    rates = np.array([rate for rate in rates if rate > 0])
    return float(-(rates * np.log2(rates / rates.sum())).sum()) if len(rates) else 0.0


def code_length(W: np.ndarray, tree: PartitionTree, segments: list[int], kept: list[int]) -> float:
    """Slow reference: bits a step with a codebook for every segment and every kept split, from the definition."""
    flow, law = W / W.sum(), W.sum(1) / W.sum()

    def patches(node: int) -> np.ndarray:
        return tree.order[tree.start[node] : tree.stop[node]]

    def leave(node: int) -> float:
        inside = np.isin(np.arange(len(W)), patches(node))
        return flow[inside][:, ~inside].sum()

    index = sum(entropy([leave(node), leave(tree.left[node]), leave(tree.right[node])]) for node in kept)
    return index + sum(entropy([leave(node), *law[patches(node)]]) for node in segments)


@pytest.mark.parametrize("seed", range(4))
def test_the_map_equation_is_the_shortest_code_of_all(seed: int) -> None:
    graph, tree = small_tree(seed)
    W = graph.W.numpy()
    found = prune(tree, "map-equation")
    lengths = [code_length(W, tree, *one) for one in prunings(tree)]
    assert lengths[0] - found.score == pytest.approx(min(lengths))  # the first is one codebook for all
    assert code_length(W, tree, *next(p for p in prunings(tree) if sorted(p[0]) == found.leaves.tolist())) == (
        pytest.approx(min(lengths))
    )


@pytest.mark.parametrize("seed", range(4))
def test_region_map_is_the_map_equation_of_each_regions_own_chain(seed: int) -> None:
    graph, tree = small_tree(seed)
    saved = np.zeros(len(tree))
    for node in np.flatnonzero(tree.left >= 0):
        patches = np.sort(tree.order[tree.start[node] : tree.stop[node]])
        W = graph.W.numpy()[np.ix_(patches, patches)]
        a = np.isin(patches, tree.order[tree.start[tree.left[node]] : tree.stop[tree.left[node]]])
        flow, law = W / W.sum(), W.sum(1) / W.sum()
        f = flow[a][:, ~a].sum()
        two = entropy([f, f]) + entropy([f, *law[a]]) + entropy([f, *law[~a]])
        saved[node] = (entropy(law) - two) * tree.association[node]
    best = max(saved[kept].sum() for _, kept in prunings(tree))
    assert prune(tree, "region-map").score == pytest.approx(best)


def test_a_region_of_two_equal_sides_saves_bits_below_an_ncut_of_041() -> None:
    noise = torch.from_numpy(np.random.default_rng(0).uniform(0, 1e-5, (16, 16)))
    for between, expected in ((0.255, 2), (0.262, 1)):  # NCut = 2 between / (1 + between)
        graph = planted(8, 8, between=0.0)
        graph = Graph(graph.W + between * (graph.W == 0) + noise + noise.T)
        tree = partition(graph, (1, 16), smallest=1)
        assert tree.ncut[0] == pytest.approx(2 * between / (1 + between), abs=1e-4)
        assert len(prune(tree, "region-map")) == expected


# ---------------------------------------------------------------------------------------------------------------------
# Several steps


@pytest.mark.parametrize("time", [1, 2, 3, 7])
def test_stability_at_a_time_against_powers_of_p(time: int) -> None:
    walk = two_halves(14, 3)
    tree = partition(walk.reversible(), walk.grid, smallest=2)
    law, power = walk.stationary().law.numpy(), np.linalg.matrix_power(walk.P.numpy(), time)
    flow = law[:, None] * power
    for node, value in enumerate(persistence(tree, walk, time)):
        patches = tree.order[tree.start[node] : tree.stop[node]]
        assert value == pytest.approx(flow[np.ix_(patches, patches)].sum())
    scores = [
        sum(flow[np.ix_(part, part)].sum() - law[part].sum() ** 2 for part in parts)
        for parts in ([tree.order[tree.start[i] : tree.stop[i]] for i in a] for a, _ in prunings(tree))
    ]
    assert stability_at(tree, walk, time).score == pytest.approx(max(scores), abs=1e-9)


def test_a_stationary_walker_stays_for_one_step_as_the_tree_says() -> None:
    walk = two_halves(14, 4)
    tree = partition(walk.reversible(), walk.grid, smallest=2)
    np.testing.assert_allclose(persistence(tree, walk, 1), tree.association, atol=1e-9)


def test_stability_after_one_step_is_the_one_of_the_tree() -> None:
    walk = two_halves(14, 5)
    tree = partition(walk.reversible(), walk.grid, smallest=2)
    one, other = stability_at(tree, walk, 1), prune(tree, "stability")
    np.testing.assert_array_equal(one.leaves, other.leaves)
    assert one.score == pytest.approx(other.score)


def test_later_means_coarser() -> None:
    walk = two_halves(30, 6)
    tree = partition(walk.reversible(), walk.grid, smallest=2)
    counts = [len(stability_at(tree, walk, time)) for time in (1, 2, 50)]
    assert counts == sorted(counts, reverse=True)


# ---------------------------------------------------------------------------------------------------------------------
# Half-life, gap, eigengap


def test_half_life_is_where_the_memory_of_a_split_halves_in_one_step() -> None:
    """Two equal blocks: P^n tells of a walker's side what (1 - NCut)^n says."""
    for between, expected in ((0.32, 2), (0.34, 1)):
        graph = planted(4, 4, between=0.0)
        graph = Graph(graph.W + between * (graph.W == 0))
        tree = partition(graph, (1, 8), smallest=1)
        side = np.repeat([1.0, -1.0], 4)
        remembered = [side @ walk_of(graph).expect(torch.from_numpy(side), n).numpy() / 8 for n in (1, 2, 3)]
        assert remembered == pytest.approx([(1 - tree.ncut[0]) ** n for n in (1, 2, 3)])
        assert (remembered[0] >= 0.5) == (expected == 2)
        assert len(prune(tree, "half-life", prices=priced(graph, tree))) == expected


def test_half_life_is_that_of_attentions_own_walk() -> None:
    """Whatever was cut: one that rests half of the time remembers twice as long."""
    graph = planted(4, 4, between=0.6)
    walk, tree = walk_of(graph), partition(graph, (1, 8), smallest=4)
    assert tree.ncut[0] == pytest.approx(1.2 / 2.2)
    lazy = Walk((walk.P + torch.eye(8)) / 2, walk.grid)
    for own, expected in ((walk, 1), (lazy, 2)):
        assert len(prune(tree, "half-life", graph, SplitPrices.of(tree, own))) == expected


@pytest.mark.parametrize("sizes", [(80, 80, 90), (60, 70, 50, 65), (12, 9, 10)])
def test_the_eigengap_counts_planted_segments(sizes: tuple[int, ...]) -> None:
    """lambda = 0 once, then nearly 0 as often as there are further blocks, then nearly 1."""
    noise = np.random.default_rng(0).uniform(0, 1e-3, (sum(sizes),) * 2)
    graph = Graph(planted(*sizes, between=0.002).W + torch.from_numpy(noise + noise.T))
    tree = partition(graph, (1, sum(sizes)), smallest=4)
    found = prune(tree, "eigengap", graph)
    assert len(found) == len(sizes)
    values = np.linalg.eigvalsh(np.eye(len(graph)) - graph.W.numpy() / np.sqrt(np.outer(graph.degrees, graph.degrees)))
    k = len(sizes)
    assert found.score == pytest.approx((values[k] - values[:k].mean()) / (values[:k].mean() + 1e-6), rel=1e-3)


def test_the_eigengap_needs_the_graph() -> None:
    _, tree = small_tree(0)
    with pytest.raises(InputError, match="give it to prune"):
        prune(tree, "eigengap")


def relative_eigengap(values: np.ndarray) -> tuple[int, float]:
    """Slow reference: k and the gap, from ascending eigenvalues of the normalised Laplacian."""
    gaps = {k: (values[k] - values[:k].mean()) / (values[:k].mean() + 1e-6) for k in range(2, min(len(values), 30))}
    best = max(gaps, key=gaps.get)
    return best, gaps[best]


@pytest.mark.parametrize("n", [60, 260])
def test_the_eigengap_looks_at_the_graph_that_was_cut(n: int) -> None:
    """Rows of a walk may be alike where the walk itself does not stay: it looked at the walk's own form, whatever."""
    rng = np.random.default_rng(0)
    kinds = np.arange(n) % 3
    P = torch.from_numpy(np.where((kinds[:, None] + 1) % 3 == kinds, 1.0, 0.02) + rng.uniform(0, 0.01, (n, n)))
    walk = Walk(P / P.sum(1, keepdim=True), (1, n))  # from each kind of patch to the next
    unit = torch.nn.functional.normalize(walk.P, dim=1)
    alike = Graph(unit @ unit.T)
    for graph in (alike, walk.reversible()):
        root = np.sqrt(graph.degrees.numpy())
        values = np.linalg.eigvalsh(np.eye(n) - graph.W.numpy() / np.outer(root, root)).clip(0)
        k, gap = relative_eigengap(values[:30])
        found = prune(partition(graph, (1, n), smallest=2, max_ncut=2.0), "eigengap", graph)
        assert (len(found), found.score) == (k, pytest.approx(gap, rel=1e-3))
        assert (k == 3) is (graph is alike)


@pytest.mark.parametrize("n", [3, 40, 300])
def test_the_eigenvalues_of_a_graph_with_directions_are_those_of_its_walk(n: int) -> None:
    """Their real parts: an eigenvalue of a walk lies in the unit disc, so these lie in [0, 2]."""
    P = two_halves(n, 2).P
    expected = np.sort(1 - np.linalg.eigvals(P.numpy()).real)[:12].clip(0)
    found = smallest_eigenvalues(Directed(P), 12)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert found[-1] <= 2


def test_a_symmetric_graph_has_the_same_eigenvalues_with_directions() -> None:
    graph = scattered((1, 40), 1)
    np.testing.assert_allclose(smallest_eigenvalues(Directed(graph.W), 40), smallest_eigenvalues(graph, 40), atol=1e-9)


@pytest.mark.parametrize("n", [3, 40, 300])
def test_the_smallest_eigenvalues(n: int) -> None:
    graph = scattered((1, n), 0)
    expected = np.linalg.eigvalsh(np.eye(n) - graph.W.numpy() / np.sqrt(np.outer(graph.degrees, graph.degrees)))
    np.testing.assert_allclose(smallest_eigenvalues(graph, 12), expected[:12].clip(0), atol=1e-6)

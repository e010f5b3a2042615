"""The walk: steps in both directions, its long run, its reversible form, and how resolutions are brought together."""

import itertools
import pickle
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from chains import leaking, random_walk
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from walkcut import walk as walks
from walkcut.capture import AttentionMaps
from walkcut.errors import InputError
from walkcut.lab.graphs import averaged
from walkcut.lab.markov import lazy, relaxation_time
from walkcut.ncut import ncut
from walkcut.recipe import Recipe
from walkcut.registry import GRAPHS
from walkcut.walk import DIRECT, RESTART, Walk, aggregate, arnoldi_law, lift, prepare

seeds = st.integers(0, 2**32 - 1)


def random_stochastic(n: int, seed: int) -> torch.Tensor:
    matrix = torch.rand(n, n, generator=torch.Generator().manual_seed(seed))
    return matrix / matrix.sum(1, keepdim=True)


PATH = Walk(torch.tensor([[0.0, 1.0, 0.0], [0.5, 0.0, 0.5], [0.0, 1.0, 0.0]], dtype=torch.float64), (1, 3))


# ---------------------------------------------------------------------------------------------------------------------
# Validation


@pytest.mark.parametrize(
    ("P", "grid", "words"),
    [
        (torch.ones(2, 3) / 3, (1, 2), r"over 1x2 patches needs a square P of 2 rows, not \(2, 3\)"),
        (torch.eye(4), (2, 3), r"2x3 patches needs a square P of 6 rows, not \(4, 4\)"),
        (torch.ones(4), (2, 2), r"2x2 patches needs a square P of 4 rows, not \(4,\)"),
        (torch.tensor([[0.5, 0.5], [float("nan"), 1.0]]), (1, 2), "must be finite"),
        (torch.tensor([[0.5, 0.5], [float("inf"), 1.0]]), (1, 2), "must be finite"),
        (torch.tensor([[1.5, -0.5], [0.5, 0.5]]), (1, 2), "must not be negative.*-0.5"),
        (torch.tensor([[0.5, 0.4], [0.5, 0.5]]), (1, 2), "must sum to 1; one is off by 0.1"),
        (torch.tensor([[float("inf"), -float("inf")], [0.5, 0.5]]), (1, 2), "must be finite"),
    ],
)
def test_what_is_no_walk_is_refused(P: torch.Tensor, grid: tuple[int, int], words: str) -> None:
    with pytest.raises(InputError, match=words):
        Walk(P, grid)


def test_integers_become_probabilities() -> None:
    walk = Walk(torch.eye(2, dtype=torch.int64), (2, 1))
    assert walk.P.dtype == torch.float64
    assert len(walk) == 2


def test_walks_compare_and_hash_as_things_not_as_numbers() -> None:
    """Two tables of numbers have no one truth value: `==` raised, and so did a walk in a set."""
    walk, twin = (Walk(torch.full((2, 2), 0.5), (1, 2)) for _ in range(2))
    assert walk == walk
    assert walk != twin
    assert len({walk, twin, walk}) == 2
    assert walk.stationary() != twin.stationary()


@pytest.mark.parametrize("known", [False, True])
def test_a_walk_travels_as_arrays(known: bool) -> None:
    walk = random_walk(7, 1, dtype=torch.float32)
    if known:
        walk.stationary()
    parts: list[pickle.PickleBuffer] = []
    data = pickle.dumps(walk, protocol=5, buffer_callback=parts.append)
    assert b"torch" not in data
    assert sum(part.raw().nbytes for part in parts) == 4 * 49 + 8 * 7 * known
    back = pickle.loads(data, buffers=[bytearray(part.raw()) for part in parts])
    assert torch.equal(back.P, walk.P)
    assert back.grid == walk.grid
    assert (back.settled is None) is not known
    assert torch.equal(back.stationary().law, walk.stationary().law)
    assert (back.settled.residual, back.settled.error) == (walk.settled.residual, walk.settled.error)


@pytest.mark.gpu
def test_a_walk_on_a_gpu_travels_through_main_memory() -> None:
    walk = random_walk(7, 1, dtype=torch.float32)
    walk.stationary()
    moved = Walk(walk.P.cuda(), walk.grid, replace(walk.settled, law=walk.settled.law.cuda()))
    back = pickle.loads(pickle.dumps(moved))
    assert back.P.device.type == back.settled.law.device.type == "cpu"
    assert torch.equal(back.P, walk.P)


# ---------------------------------------------------------------------------------------------------------------------
# Steps


def test_the_two_directions_differ_on_a_path() -> None:
    left = torch.tensor([1.0, 0.0, 0.0])
    assert PATH.expect(left).tolist() == [0, 0.5, 0]  # only a walker from the middle may see the left end next
    assert PATH.propagate(left).tolist() == [0, 1, 0]  # a walker from the left end is in the middle next
    assert PATH.propagate(left, 2).tolist() == [0.5, 0, 0.5]


@pytest.mark.parametrize("k", [1, 2, 5])
def test_steps_against_matrix_powers(k: int) -> None:
    walk = random_walk(7, 1)
    v = torch.rand(7, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    power = torch.eye(7, dtype=torch.float64)
    for _ in range(k):
        power = power @ walk.P
    torch.testing.assert_close(walk.expect(v, k), power @ v)
    torch.testing.assert_close(walk.propagate(v, k), power.T @ v)
    torch.testing.assert_close(walk.power(np.int64(k)).P, power)


@given(seed=seeds, n=st.integers(2, 8), k=st.integers(1, 4))
@settings(max_examples=25)
def test_the_directions_are_adjoint(seed: int, n: int, k: int) -> None:
    """What walkers that start as mu see of v after k steps can be told from either end."""
    walk = random_walk(n, seed)
    mu, v = torch.rand(2, n, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    torch.testing.assert_close(mu @ walk.expect(v, k), walk.propagate(mu, k) @ v)


def test_steps_keep_constants_and_mass() -> None:
    walk = random_walk(6, 3)
    torch.testing.assert_close(walk.expect(torch.ones(6), 4), torch.ones(6, dtype=torch.float64))
    assert walk.propagate(torch.full((6,), 1 / 6), 4).sum().item() == pytest.approx(1)


def test_one_step_at_once_is_the_walk_itself() -> None:
    assert PATH.power(1) is PATH


@pytest.mark.parametrize("k", [0, -1, 1.5, True, float("nan"), float("inf"), None, "two"])
@pytest.mark.parametrize("method", ["expect", "propagate"])
def test_steps_are_whole_and_positive(k: object, method: str) -> None:
    with pytest.raises(InputError, match=rf"k is a whole number from 1 to \d+, not {k!r}"):
        getattr(PATH, method)(torch.ones(3), k)
    with pytest.raises(InputError, match=rf"k is a whole number from 1 to \d+, not {k!r}"):
        PATH.power(k)


def test_local_against_a_loop() -> None:
    h, w, sigma = 3, 4, 0.4
    P = random_walk(h * w, 5).P
    expected = P.clone()
    for (i, (y, x)), (j, (v, u)) in itertools.product(enumerate(np.ndindex(h, w)), repeat=2):
        squared = ((y - v) ** 2 + (x - u) ** 2) / w**2  # in units of the longer side
        expected[i, j] *= np.exp(-squared / (2 * sigma**2))
    expected /= expected.sum(1, keepdim=True)
    torch.testing.assert_close(Walk(P, (h, w)).spatial_prior(sigma).P, expected)


def test_a_wide_prior_changes_nothing() -> None:
    walk = random_walk(12, 6)
    torch.testing.assert_close(Walk(walk.P, (3, 4)).spatial_prior(1e6).P, walk.P)


def test_jumps_against_a_loop_and_a_patch_that_is_never_left() -> None:
    P = random_walk(5, 9).P
    P[3] = torch.eye(5)[3]
    jumps = Walk(P, (1, 5)).jump_chain().P
    for i, j in itertools.product(range(5), repeat=2):
        expected = float(i == j) if i == 3 else (i != j) * P[i, j] / (1 - P[i, i])
        assert jumps[i, j] == pytest.approx(float(expected))


def test_a_rest_changes_no_jump() -> None:
    walk = random_walk(8, 10)
    torch.testing.assert_close(lazy(walk).jump_chain().P, walk.jump_chain().P)


def test_walkers_who_agree_by_counting_every_pair() -> None:
    """Two walkers leave each patch; of all pairs of steps only those that end together count."""
    P = random_walk(6, 7).P
    expected = torch.zeros_like(P)
    for i, j, other in itertools.product(range(6), repeat=3):
        if j == other:
            expected[i, j] += P[i, j] * P[i, other]
    expected /= expected.sum(1, keepdim=True)
    torch.testing.assert_close(Walk(P, (1, 6)).inflated(2).P, expected)


def test_one_walker_agrees_with_himself_and_inflations_multiply() -> None:
    walk = random_walk(12, 8)
    assert walk.inflated(1) is walk
    torch.testing.assert_close(walk.inflated(2).inflated(1.5).P, walk.inflated(3).P)


def test_walkers_who_agree_leave_a_room_less_often() -> None:
    """Two rooms of three patches, a door of probability e: two walkers agree on it with about 3 e^2 / (1 - e)^2."""
    e = 0.06
    room = torch.full((3, 3), (1 - e) / 3, dtype=torch.float64)
    door = torch.full((3, 3), e / 3, dtype=torch.float64)
    walk = Walk(torch.cat([torch.cat([room, door], 1), torch.cat([door, room], 1)]), (1, 6))
    assert walk.inflated(2).P[0, 3:].sum().item() == pytest.approx(e**2 / (e**2 + (1 - e) ** 2))


@pytest.mark.filterwarnings("error")
def test_many_walkers_agree_on_the_likeliest_step_without_underflow() -> None:
    P = torch.full((4, 4), 1e-30)
    P[:, 1] = 1
    many = Walk(P, (2, 2)).inflated(50).P
    torch.testing.assert_close(many, torch.eye(4)[[1] * 4])


@pytest.mark.parametrize("walkers", [0, -2.0, float("nan"), float("inf"), True, "two"])
def test_walkers_who_agree_are_some_number(walkers: object) -> None:
    with pytest.raises(InputError, match="exponent is a positive, finite number"):
        PATH.inflated(walkers)


@pytest.mark.parametrize("sigma", [0, -1.0, float("nan")])
def test_the_prior_has_a_width(sigma: float) -> None:
    with pytest.raises(InputError, match="sigma is a positive, finite number"):
        PATH.spatial_prior(sigma)


# ---------------------------------------------------------------------------------------------------------------------
# The long run


@given(a=st.floats(1e-3, 1), b=st.floats(1e-3, 1))
@settings(max_examples=50)
def test_two_states(a: float, b: float) -> None:
    found = Walk(torch.tensor([[1 - a, a], [b, 1 - b]], dtype=torch.float64), (1, 2)).stationary()
    torch.testing.assert_close(found.law, torch.tensor([b, a], dtype=torch.float64) / (a + b))
    assert not found.restarted
    assert found.residual < 1e-9


def test_a_random_walk_on_a_graph_rests_in_proportion_to_degrees() -> None:
    assert PATH.stationary().law.tolist() == pytest.approx([0.25, 0.5, 0.25])


def test_one_patch() -> None:
    assert Walk(torch.ones(1, 1), (1, 1)).stationary().law.tolist() == [1]


@pytest.mark.parametrize("n", [2, 5, DIRECT + 1])
def test_a_periodic_ring(n: int) -> None:
    found = Walk(torch.roll(torch.eye(n), 1, 1), (1, n)).stationary()
    torch.testing.assert_close(found.law, torch.full((n,), 1 / n, dtype=torch.float64))
    assert not found.restarted


@pytest.mark.parametrize("n", [5, DIRECT + 88])
def test_a_periodic_star(n: int) -> None:
    """Every second step is at the hub, from wherever: plain power iteration would swing for ever."""
    P = torch.zeros(n, n)
    P[0, 1:], P[1:, 0] = 1 / (n - 1), 1
    found = Walk(P, (1, n)).stationary()
    expected = torch.full((n,), 0.5 / (n - 1), dtype=torch.float64)
    expected[0] = 0.5
    torch.testing.assert_close(found.law, expected, rtol=1e-5, atol=1e-8)
    assert not found.restarted


def test_an_absorbing_patch_ends_the_walk() -> None:
    found = Walk(torch.tensor([[0.5, 0.5, 0.0], [0.0, 0.5, 0.5], [0.0, 0.0, 1.0]]), (1, 3)).stationary()
    torch.testing.assert_close(found.law, torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64))
    assert not found.restarted  # reducible, yet its stationary law is unique


@pytest.mark.parametrize(("m", "n"), [(2, 3), (DIRECT // 2, DIRECT)])
def test_two_closed_classes_are_said_to_be_so(m: int, n: int) -> None:
    """Two walks that never meet: restarting anywhere shares the time out by the number of patches."""
    P = torch.block_diag(torch.full((m, m), 1 / m), torch.full((n, n), 1 / n))
    found = Walk(P, (1, m + n)).stationary()
    assert found.restarted
    torch.testing.assert_close(found.law, torch.full((m + n,), 1 / (m + n), dtype=torch.float64))
    assert found.residual < RESTART


def test_large_and_small_walks_are_solved_alike() -> None:
    """Above DIRECT nodes the law is iterated: compared with a linear solver."""
    n = DIRECT + 40
    walk = random_walk(n, 9, dtype=torch.float32)
    found = walk.stationary()
    P = walk.P.double().numpy()
    system = np.vstack([np.eye(n) - P.T, np.ones(n)])
    expected = np.linalg.lstsq(system, np.r_[np.zeros(n), 1.0], rcond=None)[0]
    np.testing.assert_allclose(found.law.numpy(), expected, rtol=1e-4, atol=1e-9)
    assert found.residual < 1e-8


def solved(walk: Walk) -> torch.Tensor:
    """The law from its linear equations, in float64, rows made to sum to 1: float64 (n,)."""
    return walks._solved(walks.normalised(walk.P.to(torch.float64, copy=True)), False).law


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_slow_leak_decides_the_long_run(dtype: torch.dtype) -> None:
    """A step changes the law by 1e-9 an entry while half of it lies in the wrong place: no reason to stop."""
    found = leaking(DIRECT, 1e-6, 3e-6, dtype).stationary()
    assert found.law[:DIRECT].sum().item() == pytest.approx(0.75, abs=0.02 if dtype == torch.float32 else 1e-6)
    assert found.residual < 1e-9
    graph = leaking(DIRECT, 1e-6, 3e-6).reversible()
    halves = torch.arange(2 * DIRECT) < DIRECT
    assert ncut(graph, halves) == pytest.approx(4e-6, rel=1e-3)


@pytest.mark.parametrize("leak", [0.5, 0.1, 0.05])
def test_the_error_of_an_iterated_law_is_not_understated(leak: float) -> None:
    walk = leaking(DIRECT, leak / 3, leak)
    found = walk.stationary()
    assert found.error <= 1e-6
    assert (found.law - solved(walk)).abs().sum().item() <= 2 * found.error + 1e-12


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("leak", [0.3, 1e-2, 1e-3, 1e-4, 1e-5, 1e-7, 1e-9])
def test_no_leak_is_too_slow(leak: float, dtype: torch.dtype) -> None:
    """Three times as long on the first half as on the second, however rarely a walker changes sides."""
    walk = leaking(300, leak / 3, leak, dtype)
    found = walk.stationary()
    exact = solved(walk)
    assert (found.law - exact).abs().sum().item() <= 2 * found.error + 2e-7 / leak * (leak < 1e-6) + 1e-9
    assert found.law[:300].sum().item() == pytest.approx(0.75, abs=1e-3 if dtype == torch.float32 else 1e-6)


def several_rooms(seed: int, dtype: torch.dtype) -> Walk:
    """Six rooms of 100 patches; from each pair of rooms to the other some of 1e-5 to 1e-1 leads, unlike back."""
    rng = np.random.default_rng(seed)
    between = 10 ** rng.uniform(-5, -1, (6, 6))
    np.fill_diagonal(between, 1)
    P = rng.gamma(0.3, size=(600, 600)) * np.kron(between, np.ones((100, 100)))
    return Walk(torch.tensor(P / P.sum(1, keepdims=True), dtype=dtype), (20, 30))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("seed", range(6))
def test_many_rooms_and_slow_doors(seed: int, dtype: torch.dtype) -> None:
    walk = several_rooms(seed, dtype)
    found = walk.stationary()
    exact = solved(walk)
    assert found.error <= 1e-6
    assert (found.law - exact).abs().sum().item() <= 2 * found.error + 1e-12
    assert found.residual == pytest.approx((walk.P.double().T @ found.law - found.law).abs().max().item(), abs=1e-7)


def test_what_float32_cannot_tell_is_corrected_in_float64() -> None:
    """Products in float32 alone leave a slow walk's law wrong by more than is promised."""
    walk = several_rooms(3, torch.float32)
    exact = solved(walk)
    alone, gap = arnoldi_law(lambda mu: walk.P.T @ mu, torch.ones(600), 60)
    assert (alone - exact).abs().sum() > 1e-6
    assert (walk.stationary().law - exact).abs().sum() < 1e-6
    values = np.sort(np.abs(1 - np.linalg.eigvals(walk.P.double().numpy())))
    assert gap == pytest.approx(values[1], rel=1e-2)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_large_walk_without_memory_spans_nothing_further(dtype: torch.dtype) -> None:
    """P^T mu is the law, whatever mu: after one step there is no new direction left."""
    law = torch.rand(DIRECT + 50, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    law /= law.sum()
    walk = Walk(law.expand(len(law), -1).to(dtype), (1, len(law)))
    found = walk.stationary()
    torch.testing.assert_close(found.law, law, rtol=1e-5, atol=1e-9)
    assert not found.restarted
    assert found.error < 1e-6
    again, gap = arnoldi_law(lambda mu: walk.P.T @ mu, torch.ones_like(law).to(dtype))
    torch.testing.assert_close(again, law, rtol=1e-5, atol=1e-9)
    assert gap == pytest.approx(1, abs=1e-3)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("leak", [1.0, 1e-6, 1e-9])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_law_that_is_uniform_is_found_at_once(leak: float, dtype: torch.dtype) -> None:
    """A symmetric walk, however rarely its halves are left: the start is the law, and nothing is missing."""
    W = torch.full((600, 600), leak, dtype=torch.float64)
    W[:300, :300] = W[300:, 300:] = 1.0
    found = Walk((W / W.sum(1, keepdim=True)).to(dtype), (20, 30)).stationary()
    torch.testing.assert_close(found.law, torch.full((600,), 1 / 600, dtype=torch.float64), rtol=1e-4, atol=0)
    assert not found.restarted


@given(seed=seeds, n=st.integers(2, 12), density=st.sampled_from([0.3, 1.0]))
@settings(max_examples=40)
def test_float32_tells_what_float64_tells(seed: int, n: int, density: float) -> None:
    exact = random_walk(n, seed, density)
    rounded = Walk(exact.P.float(), exact.grid)
    slow = min(1 / relaxation_time(exact), 1.0)
    assume(slow > 1e-3)
    torch.testing.assert_close(rounded.stationary().law, exact.stationary().law, rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(rounded.reversible().W.double(), exact.reversible().W, rtol=1e-3, atol=1e-5)


# ---------------------------------------------------------------------------------------------------------------------
# How fast a walk forgets


def test_the_law_is_looked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    walk = Walk(torch.tensor([[0.5, 0.5], [0.25, 0.75]], dtype=torch.float64), (1, 2))
    found = walk.stationary()
    monkeypatch.setattr("walkcut.walk.stationary_law", lambda P: pytest.fail("looked for again"))
    assert walk.stationary() is found
    assert Walk(walk.P, walk.grid, found).reversible().degrees.tolist() == pytest.approx([1 / 3, 2 / 3])


def test_few_steps_of_many_columns_and_many_of_few_agree() -> None:
    walk = random_walk(40, 4)
    v = torch.rand(40, 100, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(walk.expect(v, 37)[:, :1], walk.expect(v[:, :1].contiguous(), 37))
    one_by_one = v[:, 0]
    for _ in range(37):
        one_by_one = walk.P.T @ one_by_one
    torch.testing.assert_close(walk.propagate(v, 37)[:, 0], one_by_one)


# ---------------------------------------------------------------------------------------------------------------------
# Graphs of a walk


@given(seed=seeds, n=st.integers(2, 9), density=st.sampled_from([0.2, 0.6, 1.0]))
@settings(max_examples=40)
def test_the_law_is_a_law_and_stays(seed: int, n: int, density: float) -> None:
    walk = random_walk(n, seed, density)
    found = walk.stationary()
    assert found.law.min() >= 0
    assert found.law.sum().item() == pytest.approx(1)
    torch.testing.assert_close(walk.propagate(found.law), found.law)


# ---------------------------------------------------------------------------------------------------------------------
# The reversible form


@given(seed=seeds, n=st.integers(2, 9), density=st.sampled_from([0.2, 1.0]), k=st.integers(1, 3), data=st.data())
@settings(max_examples=60)
def test_ncut_of_the_reversible_form_is_the_walks_own_escape(
    seed: int, n: int, density: float, k: int, data: st.DataObject
) -> None:
    """NCut_W(S) = Pr(leave S | in S) + Pr(leave S' | in S') of the walk as it is, however far from symmetric."""
    mask = torch.tensor(data.draw(st.lists(st.booleans(), min_size=n, max_size=n)))
    assume(0 < mask.sum() < n)
    walk = random_walk(n, seed, density).power(k)
    found = walk.stationary()
    pi = found.law
    sides = [side for side in (mask, ~mask) if pi[side].sum() > 0]
    leave = sum((pi[side] @ walk.P[side][:, ~side].sum(1) / pi[side].sum()).item() for side in sides)
    share = min(pi[side].sum().item() for side in sides)
    # the law of a walk in several pieces is that of one that restarts now and then: stationary up to that
    assert ncut(walk.reversible(), mask) == pytest.approx(leave, abs=2 * RESTART / share if found.restarted else 1e-9)


@given(seed=seeds, n=st.integers(1, 9))
@settings(max_examples=25)
def test_degrees_of_the_reversible_form_are_the_long_run(seed: int, n: int) -> None:
    walk = random_walk(n, seed)
    graph = walk.reversible()
    torch.testing.assert_close(graph.degrees, walk.stationary().law)
    torch.testing.assert_close(graph.W, graph.W.T, rtol=0, atol=0)


def test_a_reversible_walk_gets_its_own_graph_back() -> None:
    W = torch.rand(6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    W = W + W.T
    graph = Walk(W / W.sum(1, keepdim=True), (2, 3)).reversible()
    torch.testing.assert_close(graph.W, W / W.sum())


def test_a_memoryless_walk_has_ncut_1_for_every_cut() -> None:
    pi = torch.tensor([0.05, 0.1, 0.15, 0.2, 0.22, 0.28], dtype=torch.float64)
    graph = Walk(pi.expand(6, 6), (2, 3)).reversible()
    cuts = [ncut(graph, torch.tensor(bits)) for bits in itertools.product([True, False], repeat=6) if 0 < sum(bits) < 6]
    assert cuts == pytest.approx([1.0] * 62)


def test_the_average_is_the_reversible_form_where_the_long_run_is_uniform() -> None:
    ring = 0.7 * torch.roll(torch.eye(5), 1, 1) + 0.3 * torch.eye(5)
    walk = Walk(ring.double(), (1, 5))
    torch.testing.assert_close(averaged(walk).W / 5, walk.reversible().W)
    uneven = random_walk(5, 4)
    assert not torch.allclose(averaged(uneven).W / 5, uneven.reversible().W, atol=1e-3)


# ---------------------------------------------------------------------------------------------------------------------
# Resolutions


def interpolated(values: np.ndarray, size: int) -> np.ndarray:
    """Bilinear along the last axis; sample centres at half pixels, edges repeated."""
    n = values.shape[-1]
    at = (np.arange(size) + 0.5) * n / size - 0.5
    return np.apply_along_axis(lambda row: np.interp(at, np.arange(n), row), -1, values)


@pytest.mark.parametrize(("coarse", "fine"), [((2, 3), (4, 6)), ((1, 1), (3, 2)), ((2, 2), (8, 8)), ((2, 3), (5, 7))])
def test_lift_against_a_loop(coarse: tuple[int, int], fine: tuple[int, int]) -> None:
    (hc, wc), (h, w) = coarse, fine
    matrix = random_stochastic(hc * wc, 3)
    expected = np.empty((h * w, h * w))
    for row, (y, x) in enumerate(np.ndindex(h, w)):
        looks = matrix[(y * hc // h) * wc + x * wc // w].numpy().reshape(hc, wc).astype(float)
        spread = interpolated(interpolated(looks, w).T, h).T
        expected[row] = (spread / spread.sum()).ravel()
    np.testing.assert_allclose(lift(matrix, coarse, fine).numpy(), expected, atol=1e-6)


def test_aggregate_weighs_resolutions_by_their_patches() -> None:
    coarse, fine = random_stochastic(2, 0), random_stochastic(8, 1)
    walk = aggregate(AttentionMaps({(1, 2): coarse, (2, 4): fine}))
    assert walk.grid == (2, 4)
    torch.testing.assert_close(walk.P, 0.8 * fine + 0.2 * lift(coarse, (1, 2), (2, 4)))


def test_aggregate_with_weights_of_ones_own() -> None:
    maps = AttentionMaps({(1, 2): random_stochastic(2, 0), (2, 4): random_stochastic(8, 1)})
    torch.testing.assert_close(aggregate(maps, {(2, 4): 3.0}).P, maps.maps[2, 4])
    torch.testing.assert_close(aggregate(maps, {(1, 2): 1.0, (2, 4): 0.0}).P, lift(maps.maps[1, 2], (1, 2), (2, 4)))


def test_aggregate_leaves_the_maps_alone() -> None:
    maps = {(1, 2): random_stochastic(2, 0), (2, 4): random_stochastic(8, 1)}
    before = {grid: matrix.clone() for grid, matrix in maps.items()}
    walk = aggregate(AttentionMaps(maps), {(2, 4): 1.0})
    walk.P.zero_()
    for grid, matrix in maps.items():
        assert torch.equal(matrix, before[grid])


# ---------------------------------------------------------------------------------------------------------------------
# The walk that is cut


def composed(
    attention: AttentionMaps, jump_chain: bool, inflation: float, spatial_prior: float | None, steps: int
) -> Walk:
    """One setting after another, each in a walk of its own."""
    walk = aggregate(attention)
    walk = walk.jump_chain() if jump_chain else walk
    walk = walk.inflated(inflation)
    return (walk if spatial_prior is None else walk.spatial_prior(spatial_prior)).power(steps)


def by_hand(
    attention: AttentionMaps, jump_chain: bool, inflation: float, sigma: float | None, steps: int
) -> np.ndarray:
    """Slow reference, from the formulas and in float64."""
    h, w = attention.finest
    weights = {grid: grid[0] * grid[1] for grid in attention.maps}
    parts = [lift(A.double(), grid, (h, w)).numpy() * weights[grid] for grid, A in attention.maps.items()]
    P = sum(parts) / sum(weights.values())
    for i, row in enumerate(P):
        if jump_chain and row.sum() > row[i]:
            row[i] = 0
        row /= row.sum()
        row **= inflation
        for j in range(h * w):
            apart = ((i // w - j // w) ** 2 + (i % w - j % w) ** 2) / max(h, w) ** 2
            row[j] *= 1 if sigma is None else np.exp(-apart / (2 * sigma**2))
        row /= row.sum()
    return np.linalg.matrix_power(P, steps)


@given(
    seed=seeds,
    coarse=st.sampled_from([None, (2, 3), (1, 2)]),
    jump_chain=st.booleans(),
    inflation=st.sampled_from([1.0, 1.0001, 2.0, 0.5, 3.7]),
    sigma=st.sampled_from([None, 0.2, 0.6]),
    steps=st.integers(1, 3),
    block=st.sampled_from([1, 50, 2**19]),
)
@settings(max_examples=60)
def test_the_walk_that_is_cut_is_the_composition_of_its_settings(
    seed: int,
    coarse: tuple[int, int] | None,
    jump_chain: bool,
    inflation: float,
    sigma: float | None,
    steps: int,
    block: int,
) -> None:
    """In place, some rows at a time: the same as methods one after another, and as the formulas."""
    maps = {(4, 6): random_stochastic(24, seed)}
    maps |= {coarse: random_stochastic(coarse[0] * coarse[1], seed + 1)} if coarse else {}
    before = {grid: matrix.clone() for grid, matrix in maps.items()}
    attention = AttentionMaps(maps)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(walks, "BLOCK", block)
        recipe = Recipe(jump_chain=jump_chain, inflation=inflation, spatial_prior=sigma, steps=steps)
        found = prepare(attention, recipe)
        one_by_one = composed(attention, jump_chain, inflation, sigma, steps)
    assert found.grid == (4, 6)
    assert torch.equal(found.P, one_by_one.P)  # to the last bit
    expected = by_hand(attention, jump_chain, inflation, sigma, steps)
    np.testing.assert_allclose(found.P.numpy(), expected, rtol=5e-6, atol=2e-7)
    Walk(found.P, found.grid)  # would refuse what is no walk
    for grid, matrix in maps.items():
        assert torch.equal(matrix, before[grid])


def test_a_walk_is_looked_over_once_on_its_way_to_the_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four times, when each setting made a walk of its own: a third of all its time."""
    looks: list[int] = []
    check = Walk.__post_init__
    monkeypatch.setattr(Walk, "__post_init__", lambda walk: (looks.append(1), check(walk)))
    maps = AttentionMaps({(2, 3): random_stochastic(6, 0)})
    prepare(maps, Recipe(jump_chain=True, inflation=2.0, spatial_prior=0.5, steps=2)).reversible()
    assert len(looks) == 1


def test_a_walk_that_lies_across_in_memory_is_made_ready_as_any_other() -> None:
    walk = random_walk(6, 3)
    across = Walk(walk.P.T.contiguous().T, (2, 3))
    for change in (lambda w: w.jump_chain(), lambda w: w.inflated(2), lambda w: w.spatial_prior(0.4)):
        torch.testing.assert_close(change(across).P, change(Walk(walk.P, (2, 3))).P)
    flat = Walk(torch.tensor([0.2, 0.3, 0.5]).expand(3, 3), (1, 3))  # one row of memory, three times
    assert flat.inflated(1.5).P.shape == flat.jump_chain().P.shape == (3, 3)
    assert flat.P[0].tolist() == pytest.approx([0.2, 0.3, 0.5])


def test_a_patch_that_is_never_left_keeps_its_rest_on_its_way_to_the_cut() -> None:
    matrix = random_stochastic(6, 1)
    matrix[2] = torch.eye(6)[2]
    recipe = Recipe(jump_chain=True, inflation=2.0, spatial_prior=0.5)
    found = prepare(AttentionMaps({(2, 3): matrix}), recipe)
    assert found.P[2].tolist() == [0, 0, 1, 0, 0, 0]
    assert found.P.diagonal().sum() == 1


def test_attention_that_is_no_walk_is_refused_before_a_square_hides_it() -> None:
    matrix = torch.tensor([[1.5, -0.5], [0.5, 0.5]])
    with pytest.raises(InputError, match=r"must not be negative; P holds -0\.5"):
        prepare(AttentionMaps({(1, 2): matrix}), Recipe(jump_chain=True, inflation=2.0))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda walk: walk.inflated(0.0), r"exponent is a positive, finite number, not 0\.0"),
        (lambda walk: walk.inflated(True), "exponent is a positive, finite number, not True"),
        (lambda walk: walk.spatial_prior(-1.0), r"sigma is a positive, finite number, not -1\.0"),
        (lambda walk: walk.jump_chain().spatial_prior(1e-3), r"width 0\.001 leaves a patch with nowhere to go"),
        (lambda walk: walk.power(0), "k is a whole number from 1 to .*, not 0"),
        (lambda walk: walk.power(1.5), "k is a whole number from 1 to .*, not 1.5"),
    ],
)
def test_settings_out_of_range_are_refused(change: Callable[[Walk], Walk], words: str) -> None:
    with pytest.raises(InputError, match=words):
        change(random_walk(6, 0))


@pytest.mark.parametrize("block", [1, 40, 2**18])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_reversible_form_some_rows_at_a_time(
    block: int, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(walks, "BLOCK", block)
    P, law = random_walk(13, 5, dtype=dtype).P, torch.arange(1.0, 14.0, dtype=torch.float64)
    flow = law.to(dtype)[:, None] * P
    found = walks.reversible_form(P, law)
    assert torch.equal(found, (flow + flow.T) / 2)
    assert torch.equal(found, found.T)


def test_the_reversible_form_is_built_by_its_name() -> None:
    walk = random_walk(6, 3)
    assert torch.equal(GRAPHS["reversible"](walk).W, walk.reversible().W)


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ({(3, 3): 1.0}, r"no attention on the grid \(3, 3\)"),
        ({(1, 2): 0.0}, "not all 0"),
        ({(1, 2): -1.0, (2, 4): 2.0}, "at least 0"),
        ({}, "not all 0"),
    ],
)
def test_bad_weights_are_refused(weights: dict, words: str) -> None:
    maps = AttentionMaps({(1, 2): random_stochastic(2, 0), (2, 4): random_stochastic(8, 1)})
    with pytest.raises(InputError, match=words):
        aggregate(maps, weights)


def test_a_prior_so_narrow_that_no_step_is_left_is_refused() -> None:
    swap = Walk(torch.eye(2, dtype=torch.float64).flip(0), (1, 2))
    with pytest.raises(InputError, match=r"width 0\.001 leaves a patch with nowhere to go"):
        swap.spatial_prior(0.001)

"""The walk: steps in both directions, its long run, its reversible form, and how resolutions are brought together."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from walkcut.attention import AttentionMaps
from walkcut.errors import InputError
from walkcut.graph import Directed
from walkcut.ncut import ncut
from walkcut.tree import partition
from walkcut.walk import DIRECT, TELEPORT, Walk, _solve, aggregate, arnoldi_law, lift

seeds = st.integers(0, 2**32 - 1)


def random_walk(n: int, seed: int = 0, density: float = 1.0, dtype: torch.dtype = torch.float64) -> Walk:
    """A walk without symmetry; where it is sparse, a directed ring keeps it in one piece."""
    rng = np.random.default_rng(seed)
    P = rng.gamma(0.5, size=(n, n)) * (rng.uniform(size=(n, n)) < density)
    P[np.arange(n), (np.arange(n) + 1) % n] += 0.1
    return Walk(torch.tensor(P / P.sum(1, keepdims=True), dtype=dtype), (1, n))


def random_stochastic(n: int, seed: int) -> torch.Tensor:
    matrix = torch.rand(n, n, generator=torch.Generator().manual_seed(seed))
    return matrix / matrix.sum(1, keepdim=True)


PATH = Walk(torch.tensor([[0.0, 1.0, 0.0], [0.5, 0.0, 0.5], [0.0, 1.0, 0.0]], dtype=torch.float64), (1, 3))


# ---------------------------------------------------------------------------------------------------------------------
# Validation


@pytest.mark.parametrize(
    ("P", "grid", "words"),
    [
        (torch.ones(2, 3) / 3, (1, 2), r"must be square, not \(2, 3\)"),
        (torch.eye(4), (2, 3), "2x3 patches needs 6 rows in P, not 4"),
        (torch.tensor([[0.5, 0.5], [float("nan"), 1.0]]), (1, 2), "must be finite"),
        (torch.tensor([[0.5, 0.5], [float("inf"), 1.0]]), (1, 2), "must be finite"),
        (torch.tensor([[1.5, -0.5], [0.5, 0.5]]), (1, 2), "must not be negative.*-0.5"),
        (torch.tensor([[0.5, 0.4], [0.5, 0.5]]), (1, 2), "must sum to 1; one is off by 0.1"),
    ],
)
def test_what_is_no_walk_is_refused(P: torch.Tensor, grid: tuple[int, int], words: str) -> None:
    with pytest.raises(InputError, match=words):
        Walk(P, grid)


def test_integers_become_probabilities() -> None:
    walk = Walk(torch.eye(2, dtype=torch.int64), (2, 1))
    assert walk.P.dtype == torch.float64
    assert len(walk) == 2


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
@settings(max_examples=25, deadline=None)
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
    with pytest.raises(InputError, match=f"at least 1, not {k}"):
        getattr(PATH, method)(torch.ones(3), k)
    with pytest.raises(InputError, match=f"at least 1, not {k}"):
        PATH.power(k)


def test_a_lazy_walk_stays_and_keeps_its_long_run() -> None:
    walk = random_walk(5, 2)
    lazy = walk.lazy(0.25)
    torch.testing.assert_close(lazy.P, 0.75 * walk.P + 0.25 * torch.eye(5, dtype=torch.float64))
    torch.testing.assert_close(lazy.stationary().law, walk.stationary().law)


@pytest.mark.parametrize("stay", [-0.1, 1.0, float("nan")])
def test_a_walk_must_move_now_and_then(stay: float) -> None:
    with pytest.raises(InputError, match=r"must lie in \[0, 1\)"):
        PATH.lazy(stay)


def test_local_against_a_loop() -> None:
    h, w, sigma = 3, 4, 0.4
    P = random_walk(h * w, 5).P
    expected = P.clone()
    for (i, (y, x)), (j, (v, u)) in itertools.product(enumerate(np.ndindex(h, w)), repeat=2):
        squared = ((y - v) ** 2 + (x - u) ** 2) / w**2  # in units of the longer side
        expected[i, j] *= np.exp(-squared / (2 * sigma**2))
    expected /= expected.sum(1, keepdim=True)
    torch.testing.assert_close(Walk(P, (h, w)).local(sigma).P, expected)


def test_a_wide_prior_changes_nothing() -> None:
    walk = random_walk(12, 6)
    torch.testing.assert_close(Walk(walk.P, (3, 4)).local(1e6).P, walk.P)


def test_jumps_against_a_loop_and_a_patch_that_is_never_left() -> None:
    P = random_walk(5, 9).P
    P[3] = torch.eye(5)[3]
    jumps = Walk(P, (1, 5)).jumps().P
    for i, j in itertools.product(range(5), repeat=2):
        expected = float(i == j) if i == 3 else (i != j) * P[i, j] / (1 - P[i, i])
        assert jumps[i, j] == pytest.approx(float(expected))


def test_a_rest_changes_no_jump() -> None:
    walk = random_walk(8, 10)
    torch.testing.assert_close(walk.lazy(0.7).jumps().P, walk.jumps().P)


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
    with pytest.raises(InputError, match="walkers who agree must be positive and finite"):
        PATH.inflated(walkers)


@pytest.mark.parametrize("sigma", [0, -1.0, float("nan")])
def test_the_prior_has_a_width(sigma: float) -> None:
    with pytest.raises(InputError, match="must be positive"):
        PATH.local(sigma)


# ---------------------------------------------------------------------------------------------------------------------
# The long run


@given(a=st.floats(1e-3, 1), b=st.floats(1e-3, 1))
@settings(max_examples=50, deadline=None)
def test_two_states(a: float, b: float) -> None:
    found = Walk(torch.tensor([[1 - a, a], [b, 1 - b]], dtype=torch.float64), (1, 2)).stationary()
    torch.testing.assert_close(found.law, torch.tensor([b, a], dtype=torch.float64) / (a + b))
    assert not found.teleport
    assert found.residual < 1e-9


def test_a_random_walk_on_a_graph_rests_in_proportion_to_degrees() -> None:
    assert PATH.stationary().law.tolist() == pytest.approx([0.25, 0.5, 0.25])


def test_one_patch() -> None:
    assert Walk(torch.ones(1, 1), (1, 1)).stationary().law.tolist() == [1]


@pytest.mark.parametrize("n", [2, 5, DIRECT + 1])
def test_a_periodic_ring(n: int) -> None:
    found = Walk(torch.roll(torch.eye(n), 1, 1), (1, n)).stationary()
    torch.testing.assert_close(found.law, torch.full((n,), 1 / n, dtype=torch.float64))
    assert not found.teleport


@pytest.mark.parametrize("n", [5, DIRECT + 88])
def test_a_periodic_star(n: int) -> None:
    """Every second step is at the hub, from wherever: plain power iteration would swing for ever."""
    P = torch.zeros(n, n)
    P[0, 1:], P[1:, 0] = 1 / (n - 1), 1
    found = Walk(P, (1, n)).stationary()
    expected = torch.full((n,), 0.5 / (n - 1), dtype=torch.float64)
    expected[0] = 0.5
    torch.testing.assert_close(found.law, expected, rtol=1e-5, atol=1e-8)
    assert not found.teleport


def test_an_absorbing_patch_ends_the_walk() -> None:
    found = Walk(torch.tensor([[0.5, 0.5, 0.0], [0.0, 0.5, 0.5], [0.0, 0.0, 1.0]]), (1, 3)).stationary()
    torch.testing.assert_close(found.law, torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64))
    assert not found.teleport  # reducible, yet its stationary law is unique


@pytest.mark.parametrize(("m", "n"), [(2, 3), (DIRECT // 2, DIRECT)])
def test_two_closed_classes_are_said_to_be_so(m: int, n: int) -> None:
    """Two walks that never meet: restarting anywhere shares the time out by the number of patches."""
    P = torch.block_diag(torch.full((m, m), 1 / m), torch.full((n, n), 1 / n))
    found = Walk(P, (1, m + n)).stationary()
    assert found.teleport
    torch.testing.assert_close(found.law, torch.full((m + n,), 1 / (m + n), dtype=torch.float64))
    assert found.residual < TELEPORT


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


def leaking(n: int, a: float, b: float, dtype: torch.dtype = torch.float64) -> Walk:
    """Two halves of random steps; a walker leaves the first with probability a, the second with b."""
    rng = np.random.default_rng(0)
    halves = rng.gamma(0.5, size=(2, 2, n, n))
    (first, out), (back, second) = halves / halves.sum(-1, keepdims=True)
    return Walk(torch.tensor(np.block([[(1 - a) * first, a * out], [b * back, (1 - b) * second]]), dtype=dtype), (2, n))


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
    assert found.error <= 1e-5
    assert (found.law - _solve(walk.P, 0.0)).abs().sum().item() <= 2 * found.error + 1e-12


@given(seed=seeds, n=st.integers(2, 12), density=st.sampled_from([0.3, 1.0]))
@settings(max_examples=40, deadline=None)
def test_float32_tells_what_float64_tells(seed: int, n: int, density: float) -> None:
    exact = random_walk(n, seed, density)
    rounded = Walk(exact.P.float(), exact.grid)
    slow = min(1 / exact.relaxation_time(), 1.0)
    assume(slow > 1e-3)
    torch.testing.assert_close(rounded.stationary().law, exact.stationary().law, rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(rounded.reversible().W.double(), exact.reversible().W, rtol=1e-3, atol=1e-5)


def test_token_rank_is_the_long_run_on_the_grid() -> None:
    walk = Walk(random_walk(6, 2).P, (2, 3))
    assert torch.equal(walk.token_rank().ravel(), walk.stationary().law)
    assert walk.token_rank().shape == (2, 3)


# ---------------------------------------------------------------------------------------------------------------------
# How fast a walk forgets


def test_the_law_is_looked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    walk = Walk(torch.tensor([[0.5, 0.5], [0.25, 0.75]], dtype=torch.float64), (1, 2))
    found = walk.stationary()
    monkeypatch.setattr("walkcut.walk.stationary_law", lambda P: pytest.fail("looked for again"))
    assert walk.stationary() is found
    assert Walk(walk.P, walk.grid, found).reversible().degrees.tolist() == pytest.approx([1 / 3, 2 / 3])


@given(a=st.floats(0.01, 0.9), b=st.floats(0.01, 0.9))
@settings(max_examples=40, deadline=None)
def test_two_states_forget_at_the_rate_of_their_eigenvalue(a: float, b: float) -> None:
    walk = Walk(torch.tensor([[1 - a, a], [b, 1 - b]], dtype=torch.float64), (1, 2))
    rate = abs(1 - a - b)
    assert walk.relaxation_time() == pytest.approx(1 / (1 - rate))
    assert walk.kemeny() == pytest.approx(1 / (a + b))
    # the distance after t steps from the worst start is max(a, b) / (a + b) rate^t
    expected = next(t for t in range(1, 10**4) if max(a, b) / (a + b) * rate**t <= 0.25 + 1e-12)
    assume(abs(max(a, b) / (a + b) * rate**expected - 0.25) > 1e-9)
    assert walk.mixing_time() == expected


@pytest.mark.parametrize("distance", [0.4, 0.25, 0.01, 1e-6])
def test_mixing_time_against_one_step_after_another(distance: float) -> None:
    walk = leaking(5, 0.1, 0.05)
    law, power, steps = walk.stationary().law, walk.P, 1
    while (power - law).abs().sum(1).max() / 2 > distance:
        power, steps = power @ walk.P, steps + 1
    assert walk.mixing_time(distance) == steps


@given(seed=seeds, n=st.integers(2, 8))
@settings(max_examples=20, deadline=None)
def test_kemenys_constant_is_the_same_from_every_start(seed: int, n: int) -> None:
    """Against expected hitting times: h_i = 1 + sum_j p_ij h_j for i != target, 0 at the target."""
    walk = random_walk(n, seed)
    law, hits = walk.stationary().law.numpy(), np.zeros((n, n))
    for target in range(n):
        rest = np.arange(n) != target
        inner = walk.P.numpy()[np.ix_(rest, rest)]
        hits[rest, target] = np.linalg.solve(np.eye(n - 1) - inner, np.ones(n - 1))
    np.testing.assert_allclose(hits @ law, walk.kemeny(), rtol=1e-8)


def test_a_walk_without_memory_relaxes_at_once() -> None:
    walk = Walk(torch.full((5, 5), 0.2), (1, 5))
    assert walk.relaxation_time() == pytest.approx(1.0)
    assert walk.mixing_time() == 1
    assert walk.kemeny() == pytest.approx(4)


def test_one_patch_has_nothing_to_forget() -> None:
    walk = Walk(torch.ones(1, 1), (1, 1))
    assert (walk.relaxation_time(), walk.mixing_time()) == (1, 1)
    assert walk.kemeny() == pytest.approx(0)


@pytest.mark.parametrize("P", [torch.eye(3), torch.eye(2).flip(0), torch.block_diag(*[torch.full((2, 2), 0.5)] * 2)])
def test_periodic_and_parted_walks_never_mix(P: torch.Tensor) -> None:
    walk = Walk(P, (1, len(P)))
    assert walk.relaxation_time() == walk.mixing_time() == np.inf
    assert walk.lazy().kemeny() == (pytest.approx(1) if len(P) == 2 else np.inf)


def test_large_walks_relax_like_small_ones() -> None:
    """Above DIRECT nodes by Arnoldi: the halves' exchange is the slowest pattern, with eigenvalue 1 - a - b."""
    assert leaking(DIRECT, 0.02, 0.06).relaxation_time() == pytest.approx(1 / 0.08, rel=1e-3)
    ring = Walk(torch.roll(torch.eye(DIRECT + 1), 1, 1), (1, DIRECT + 1))
    assert ring.relaxation_time() == np.inf


def test_bad_questions_about_speed() -> None:
    with pytest.raises(InputError, match=r"between 0 and 1, not 1\.5"):
        PATH.mixing_time(1.5)
    with pytest.raises(InputError, match="4000 patches takes too long: choose at most 2048"):
        Walk(torch.eye(4000), (40, 100)).kemeny()


def test_few_steps_of_many_columns_and_many_of_few_agree() -> None:
    """Squaring is chosen for the second."""
    walk = random_walk(40, 4)
    v = torch.rand(40, 100, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(walk.expect(v, 37)[:, :1], walk.expect(v[:, :1].contiguous(), 37))
    one_by_one = v[:, 0]
    for _ in range(37):
        one_by_one = walk.P.T @ one_by_one
    torch.testing.assert_close(walk.propagate(v, 37)[:, 0], one_by_one)


# ---------------------------------------------------------------------------------------------------------------------
# Graphs of a walk


def test_the_walk_itself_as_a_graph() -> None:
    walk = random_walk(7, 3)
    graph = walk.direct()
    assert isinstance(graph, Directed)
    torch.testing.assert_close(graph.degrees, torch.ones(7, dtype=torch.float64))
    mask = torch.arange(7) < 3
    leave = walk.P[mask][:, ~mask].sum() / 3 + walk.P[~mask][:, mask].sum() / 4  # a walker anywhere alike
    assert ncut(graph, mask) == pytest.approx(leave.item())


def test_a_region_that_holds_its_walkers() -> None:
    """The region's graph is the reversible form of the walk held inside, as large as the flow that stayed inside."""
    walk = random_walk(9, 8)
    graph, index = walk.held(), torch.tensor([7, 1, 4, 2])
    torch.testing.assert_close(graph.W, walk.reversible().W)
    P = walk.P[index][:, index]
    alone = Walk(P / P.sum(1, keepdim=True), (1, 4))
    flow = (walk.stationary().law[index] @ P.sum(1)).item()
    part = graph.subgraph(index)
    torch.testing.assert_close(part.W, flow * alone.reversible().W)
    torch.testing.assert_close(part.P, alone.P)
    inner = part.subgraph(torch.tensor([0, 3]))  # nodes 7 and 2
    straight = graph.subgraph(torch.tensor([7, 2]))
    torch.testing.assert_close(inner.W, straight.W)
    torch.testing.assert_close(inner.stays, straight.stays)
    assert straight.degrees.sum().item() == pytest.approx(walk.reversible().subgraph(torch.tensor([7, 2])).W.sum())


def test_a_walker_with_nowhere_to_go_inside_stays() -> None:
    P = torch.tensor([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]], dtype=torch.float64)
    part = Walk(P, (1, 3)).held().subgraph(torch.tensor([0, 1]))
    assert part.P.tolist() == [[0, 1], [0, 1]]
    assert torch.isfinite(part.W).all()


def test_the_recursion_runs_on_regions_that_hold_their_walkers() -> None:
    P = torch.full((12, 12), 0.01, dtype=torch.float64)
    for block in (slice(0, 3), slice(3, 7), slice(7, 12)):
        P[block, block] = 1.0
    tree = partition(Walk(P / P.sum(1, keepdim=True), (3, 4)).held(), (3, 4), smallest=1)
    assert tree.labels(k=3).ravel().tolist() == [2] * 3 + [1] * 4 + [0] * 5


@given(seed=seeds, n=st.integers(2, 9), density=st.sampled_from([0.2, 0.6, 1.0]))
@settings(max_examples=40, deadline=None)
def test_the_law_is_a_law_and_stays(seed: int, n: int, density: float) -> None:
    walk = random_walk(n, seed, density)
    found = walk.stationary()
    assert found.law.min() >= 0
    assert found.law.sum().item() == pytest.approx(1)
    torch.testing.assert_close(walk.propagate(found.law), found.law)


# ---------------------------------------------------------------------------------------------------------------------
# The reversible form


@given(seed=seeds, n=st.integers(2, 9), density=st.sampled_from([0.2, 1.0]), k=st.integers(1, 3), data=st.data())
@settings(max_examples=60, deadline=None)
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
    assert ncut(walk.reversible(), mask) == pytest.approx(leave, abs=2 * TELEPORT / share if found.teleport else 1e-9)


@given(seed=seeds, n=st.integers(1, 9))
@settings(max_examples=25, deadline=None)
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
    torch.testing.assert_close(walk.averaged().W / 5, walk.reversible().W)
    uneven = random_walk(5, 4)
    assert not torch.allclose(uneven.averaged().W / 5, uneven.reversible().W, atol=1e-3)


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
        swap.local(0.001)


def test_a_second_run_by_arnoldi_begins_where_the_first_one_ended() -> None:
    """A metastable walk in float32, then in float64: fewer products than from nothing, and the same law."""
    rng = np.random.default_rng(0)
    n = 800
    P = rng.uniform(size=(n, n)) * np.where(np.arange(n)[:, None] // 200 == np.arange(n) // 200, 1, 1e-3)
    P = torch.from_numpy(P / P.sum(1, keepdims=True))
    counts: list[int] = []

    def found(P: torch.Tensor, start: np.ndarray | None = None) -> tuple:
        counts.append(0)

        def propagate(mu: torch.Tensor) -> torch.Tensor:
            counts[-1] += 1
            return P.T @ mu.to(P)

        return arnoldi_law(propagate, n, basis=8, start=start)

    *_, start = found(P.float())
    law, residual, error, _ = found(P, start)
    alone, *_ = found(P)
    assert counts[1] < counts[2]
    assert residual < 1e-8
    assert error < 1e-5
    torch.testing.assert_close(law, alone, rtol=0, atol=1e-7)

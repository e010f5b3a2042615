"""How fast walks forget, against one step after another and eigenvalues on paper."""

import numpy as np
import pytest
import torch
from chains import leaking, random_walk
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from walkcut.lab.markov import lazy, mixing_time, relaxation_time
from walkcut.walk import DIRECT, Walk


def test_a_lazy_walk_stays_and_keeps_its_long_run() -> None:
    walk = random_walk(5, 2)
    slow = lazy(walk)
    torch.testing.assert_close(slow.P, 0.5 * walk.P + 0.5 * torch.eye(5, dtype=torch.float64))
    torch.testing.assert_close(slow.stationary().law, walk.stationary().law)


@given(a=st.floats(0.01, 0.9), b=st.floats(0.01, 0.9))
@settings(max_examples=40)
def test_two_states_forget_at_the_rate_of_their_eigenvalue(a: float, b: float) -> None:
    walk = Walk(torch.tensor([[1 - a, a], [b, 1 - b]], dtype=torch.float64), (1, 2))
    rate = abs(1 - a - b)
    assert relaxation_time(walk) == pytest.approx(1 / (1 - rate))
    # the distance after t steps from the worst start is max(a, b) / (a + b) rate^t
    expected = next(t for t in range(1, 10**4) if max(a, b) / (a + b) * rate**t <= 0.25 + 1e-12)
    assume(abs(max(a, b) / (a + b) * rate**expected - 0.25) > 1e-9)
    assert mixing_time(walk) == expected


@pytest.mark.parametrize("leak", [0.1, 0.01, 1e-3])
def test_mixing_time_against_one_step_after_another(leak: float) -> None:
    walk = leaking(5, leak, leak / 2)
    law, power, steps = walk.stationary().law, walk.P, 1
    while (power - law).abs().sum(1).max() / 2 > 0.25:
        power, steps = power @ walk.P, steps + 1
    assert mixing_time(walk) == steps


def test_a_walk_without_memory_relaxes_at_once() -> None:
    walk = Walk(torch.full((5, 5), 0.2), (1, 5))
    assert relaxation_time(walk) == pytest.approx(1.0)
    assert mixing_time(walk) == 1


def test_one_patch_has_nothing_to_forget() -> None:
    walk = Walk(torch.ones(1, 1), (1, 1))
    assert (relaxation_time(walk), mixing_time(walk)) == (1, 1)


@pytest.mark.parametrize("P", [torch.eye(3), torch.eye(2).flip(0), torch.block_diag(*[torch.full((2, 2), 0.5)] * 2)])
def test_periodic_and_parted_walks_never_mix(P: torch.Tensor) -> None:
    walk = Walk(P, (1, len(P)))
    assert relaxation_time(walk) == mixing_time(walk) == np.inf


def test_large_walks_relax_like_small_ones() -> None:
    """The halves' exchange is the slowest pattern, with eigenvalue 1 - a - b."""
    assert relaxation_time(leaking(DIRECT, 0.02, 0.06)) == pytest.approx(1 / 0.08, rel=1e-3)
    ring = Walk(torch.roll(torch.eye(DIRECT + 1), 1, 1), (1, DIRECT + 1))
    assert relaxation_time(ring) == np.inf

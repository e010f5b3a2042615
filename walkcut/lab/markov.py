"""How fast a walk forgets, and where it spends its time: quantities of Markov chains that no cut needs."""

import math
from bisect import bisect_left

import torch

from walkcut.walk import Walk, normalised

NEAR = 0.25  # in total variation, to the stationary law of a walk that has mixed
DOUBLINGS = 40  # of steps; a walk that has not mixed by then never will, as far as float64 can tell


def lazy(walk: Walk) -> Walk:
    """The walk that stays where it is with probability 1/2: cures periods, keeps the stationary law."""
    return Walk((walk.P + torch.eye(len(walk)).to(walk.P)) / 2, walk.grid)


def relaxation_time(walk: Walk) -> float:
    """1 / (1 - |lambda|) steps, lambda the largest eigenvalue of P in modulus but for one 1; infinity if that is 1.

    Equation `eq-walk-relaxation` of the book.

    So many steps shrink what a walker remembers by a factor e in the long run (Levin & Peres 2017, section 12.2;
    for a walk that is not reversible, only in the long run).
    """
    P = normalised(walk.P.to(torch.float64, copy=True))
    slowest = torch.linalg.eigvals(P - 1 / len(P)).abs().max().item()  # which moves one 1 to 0, and no other
    return 1 / (1 - slowest) if slowest < 1 - 1e-9 else math.inf


def mixing_time(walk: Walk) -> float:
    """Steps until a walker, wherever it started, is within 1/4 in total variation of the stationary law.

    Equation `eq-walk-tv` of the book.

    Exact: the distance never grows, so the number of steps is found by doubling, then by bisection (Levin & Peres
    2017, section 4.5).
    Infinity for a walk that never mixes, periodic or with several closed classes.
    """
    P, found = normalised(walk.P.to(torch.float64, copy=True)), walk.stationary()

    def mixed(steps: int) -> bool:
        later = normalised(torch.linalg.matrix_power(P, steps))
        return (later - found.law).abs().sum(1).max().item() / 2 <= NEAR

    most = next((2**k for k in range(DOUBLINGS) if mixed(2**k)), 0)
    return 1 + bisect_left(range(1, most), True, key=mixed) if most and not found.restarted else math.inf

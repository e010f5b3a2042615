"""How fast a walk forgets, and where it spends its time: quantities of Markov chains that no cut needs."""

from __future__ import annotations

import math
from bisect import bisect_left

import torch

from walkcut.errors import InputError
from walkcut.walk import Walk, normalised

FOREVER = 2**40  # steps; a walk that has not mixed by then never will, as far as float64 can tell


def lazy(walk: Walk, stay: float = 0.5) -> Walk:
    """The walk that stays where it is with probability `stay`: cures periods, keeps the stationary law."""
    if not 0 <= stay < 1:
        raise InputError(f"The probability to stay must lie in [0, 1), not {stay}.")
    return Walk((1 - stay) * walk.P + stay * torch.eye(len(walk)).to(walk.P), walk.grid)


def relaxation_time(walk: Walk) -> float:
    """1 / (1 - |lambda|) steps, lambda the largest eigenvalue of P in modulus but for one 1; infinity if that is 1.

    Equation `eq-walk-relaxation` of the book.

    So many steps shrink what a walker remembers by a factor e in the long run (Levin & Peres 2017, section 12.2;
    for a walk that is not reversible, only in the long run).
    """
    P = normalised(walk.P.to(torch.float64, copy=True))
    slowest = torch.linalg.eigvals(P - 1 / len(P)).abs().max().item()  # which moves one 1 to 0, and no other
    return 1 / (1 - slowest) if slowest < 1 - 1e-9 else math.inf


def mixing_time(walk: Walk, distance: float = 0.25) -> float:
    """Steps until a walker, wherever it started, is within `distance` in total variation of the stationary law.

    Equation `eq-walk-tv` of the book.

    Exact: the distance never grows, so the number of steps is found by bisection (Levin & Peres 2017, section 4.5).
    Infinity for a walk that never mixes, periodic or with several closed classes.

    Parameters
    ----------
    walk : Walk
    distance : float in (0, 1)
    """
    if not 0 < distance < 1:
        raise InputError(f"A distance in total variation lies between 0 and 1, not {distance}.")
    P, found = normalised(walk.P.to(torch.float64, copy=True)), walk.stationary()

    def mixed(steps: int) -> bool:
        later = normalised(torch.linalg.matrix_power(P, steps))
        return (later - found.law).abs().sum(1).max().item() / 2 <= distance

    steps = 1 + bisect_left(range(1, FOREVER), True, key=mixed)
    return math.inf if found.restarted or steps == FOREVER else steps

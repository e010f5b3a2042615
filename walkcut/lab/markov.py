"""How fast a walk forgets, and where it spends its time: quantities of Markov chains that no cut needs."""

from __future__ import annotations

import math
from contextlib import suppress

import numpy as np
import torch

from walkcut.errors import InputError
from walkcut.walk import DIRECT, Walk, normalised

SMALL = 2048  # up to this many nodes Kemeny's constant is worth an inverse
FOREVER = 2**40  # steps; a walk that has not mixed by then never will, as far as float64 can tell


def lazy(walk: Walk, stay: float = 0.5) -> Walk:
    """The walk that stays where it is with probability `stay`: cures periods, keeps the stationary law."""
    if not 0 <= stay < 1:
        raise InputError(f"The probability to stay must lie in [0, 1), not {stay}.")
    return Walk((1 - stay) * walk.P + stay * torch.eye(len(walk)).to(walk.P), walk.grid)


def token_rank(walk: Walk) -> torch.Tensor:
    """TokenRank, float64 (h, w): the stationary law, as an importance of patches (Erel et al. 2025)."""
    return walk.stationary().law.view(walk.grid)


def relaxation_time(walk: Walk) -> float:
    """1 / (1 - |lambda|) steps, lambda the largest eigenvalue of P in modulus but for one 1; infinity if that is 1.

    Equation `eq-walk-relaxation` of the book.

    So many steps shrink what a walker remembers by a factor e in the long run (Levin & Peres 2017, section 12.2;
    for a walk that is not reversible, only in the long run).
    """
    if len(walk) == 1:
        return 1.0
    slowest = _slowest(walk.P)
    return 1 / (1 - slowest) if slowest < 1 - 1e-9 else math.inf


def mixing_time(walk: Walk, distance: float = 0.25) -> float:
    """Steps until a walker, wherever it started, is within `distance` in total variation of the stationary law.

    Equation `eq-walk-tv` of the book.

    Exact: P is squared until the distance is small enough, then the number of steps is found by bisection (Levin &
    Peres 2017, section 4.5). Infinity for a walk that never mixes, periodic or with several closed classes.

    Parameters
    ----------
    walk : Walk
    distance : float in (0, 1)
    """
    if not 0 < distance < 1:
        raise InputError(f"A distance in total variation lies between 0 and 1, not {distance}.")
    P, found = normalised(walk.P.to(torch.float64, copy=True)), walk.stationary()
    if found.restarted:
        return math.inf
    law = found.law

    def far(power: torch.Tensor) -> bool:
        return (power - law).abs().sum(1).max().item() / 2 > distance

    powers = [P]  # P^1, P^2, P^4, ...
    while far(powers[-1]):
        if 2 ** len(powers) > FOREVER:
            return math.inf
        powers.append(normalised(powers[-1] @ powers[-1]))
    if len(powers) == 1:
        return 1
    steps, power = 2 ** (len(powers) - 2), powers[-2]  # the most that is known to be too few
    for bit in range(len(powers) - 3, -1, -1):
        further = normalised(power @ powers[bit])
        if far(further):
            steps, power = steps + 2**bit, further
    return steps + 1


def kemeny(walk: Walk) -> float:
    """Kemeny's constant: expected steps to a patch drawn from the stationary law; the same from every start.

    trace((I - P + 1 pi^T)^-1) - 1 (Kemeny & Snell 1960, chapter 4), with 0 steps to where the walker is.
    Infinity for a walk with several closed classes.

    Raises
    ------
    InputError
        For more than 2,048 patches, whose inverse would take long.
    """
    if len(walk) > SMALL:
        raise InputError(f"Kemeny's constant of {len(walk)} patches takes too long: choose at most {SMALL}.")
    found = walk.stationary()
    if found.restarted:
        return math.inf
    P = normalised(walk.P.to(torch.float64, copy=True))
    fundamental = torch.linalg.inv(torch.eye(len(P)).to(P) - P + found.law)
    return float(fundamental.trace()) - 1


def _slowest(P: torch.Tensor) -> float:
    """Largest modulus of P's eigenvalues but for one 1; P - 1 u^T with u uniform moves that to 0, and no other."""
    from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigs

    n = len(P)
    if n > DIRECT:

        def product(v: np.ndarray) -> np.ndarray:
            after = (P @ torch.from_numpy(v.ravel()).to(P)).double().cpu().numpy()
            return after - after.mean()

        start = np.random.default_rng(0).normal(size=n)
        operator = LinearOperator((n, n), matvec=product, dtype=np.float64)
        with suppress(ArpackNoConvergence):  # many eigenvalues of one modulus, as of a ring: then all are looked for
            values = eigs(operator, 2, v0=start, ncv=40, tol=1e-6, maxiter=50, return_eigenvectors=False)
            return float(np.abs(values).max())
    return torch.linalg.eigvals(normalised(P.to(torch.float64, copy=True)) - 1 / n).abs().max().item()

"""The random walk that attention takes over the picture.

Row i of P says where a walker on patch i goes next. Two directions, kept apart by name:

    expect(v, k)     = P^k v        what a walker who starts at i will see, on average, after k steps
    propagate(mu, k) = (P^T)^k mu   where walkers that start as mu are after k steps
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Real

import numpy as np
import torch
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from torch.nn import functional

from walkcut.attention import AttentionMaps, Grid
from walkcut.errors import InputError
from walkcut.graph import Graph

TELEPORT = 1e-6  # restart probability that makes the stationary law of a reducible walk unique
CLOSED = 1e-12  # a smaller probability does not connect patches
DIRECT = 512  # up to this many nodes the stationary law is solved for, not iterated


@dataclass(frozen=True)
class Stationary:
    """A stationary law and how it was found.

    Attributes
    ----------
    law : float64 Tensor (n,), non-negative, sums to 1
    residual : float
        Largest entry of |P^T law - law|.
    teleport : bool
        True if the walk has several closed classes, so that its law is not unique: this one belongs to the walk that
        restarts anywhere with probability 1e-6 a step.
    """

    law: torch.Tensor
    residual: float
    teleport: bool


@dataclass(frozen=True)
class Walk:
    """A random walk over the patches of a picture.

    Attributes
    ----------
    P : Tensor (n, n), float32 or float64
        Row-stochastic transition matrix; patches are numbered row by row.
    grid : (h, w), with h * w = n

    Raises
    ------
    InputError
        If P is not square, does not fit the grid, holds NaN or negatives, or a row does not sum to 1 within 1e-4.
    """

    P: torch.Tensor
    grid: Grid

    def __post_init__(self) -> None:
        P = torch.as_tensor(self.P)
        P = P if P.is_floating_point() else P.double()
        object.__setattr__(self, "P", P)
        h, w = self.grid
        if P.ndim != 2 or P.shape[0] != P.shape[1]:
            raise InputError(f"A transition matrix must be square, not {tuple(P.shape)}.")
        if h * w != len(P):
            raise InputError(f"A grid of {h}x{w} patches needs {h * w} rows in P, not {len(P)}.")
        if not torch.isfinite(P.sum()):
            raise InputError("A transition matrix must be finite; it holds NaN or infinity.")
        if P.min() < 0:
            raise InputError(f"Probabilities must not be negative; P holds {P.min().item():.3g}.")
        worst = (P.sum(1) - 1).abs().max().item()
        if worst > 1e-4:
            raise InputError(f"The rows of P must sum to 1; one is off by {worst:.2g}: divide each row by its sum.")

    def __len__(self) -> int:
        return len(self.P)

    def expect(self, v: torch.Tensor, k: int = 1) -> torch.Tensor:
        """P^k v: the mean of v seen after k steps, for each starting patch; v is (n,) or (n, c)."""
        v = torch.as_tensor(v).to(self.P)
        for _ in range(_steps(k)):
            v = self.P @ v
        return v

    def propagate(self, mu: torch.Tensor, k: int = 1) -> torch.Tensor:
        """(P^T)^k mu: the law of the walkers after k steps, from the law mu (n,) or (n, c)."""
        mu = torch.as_tensor(mu).to(self.P)
        for _ in range(_steps(k)):
            mu = self.P.T @ mu
        return mu

    def power(self, k: int) -> Walk:
        """The walk that takes k steps at once: P^k, by repeated squaring."""
        if _steps(k) == 1:
            return self
        return Walk(_normalised(torch.linalg.matrix_power(self.P, k)), self.grid)

    def lazy(self, stay: float = 0.5) -> Walk:
        """The walk that stays where it is with probability `stay`: cures periods, keeps the stationary law."""
        if not 0 <= stay < 1:
            raise InputError(f"The probability to stay must lie in [0, 1), not {stay}.")
        return Walk((1 - stay) * self.P + stay * torch.eye(len(self)).to(self.P), self.grid)

    def local(self, sigma: float) -> Walk:
        """The walk that prefers short steps: p_ij times exp(-r_ij^2 / (2 sigma^2)), rows renormalised.

        A prior, not something the model said (Shi & Malik 2000, section 4, weigh affinities alike).

        Parameters
        ----------
        sigma : float
            In units of the picture's longer side; distances r_ij are between patch centres.
        """
        if not sigma > 0:
            raise InputError(f"The width of the prior on distance must be positive, not {sigma}.")
        h, w = self.grid
        y, x = (torch.arange(side).to(self.P) / (sigma * max(h, w)) for side in (h, w))
        near_y, near_x = (torch.exp(-0.5 * (c[:, None] - c) ** 2) for c in (y, x))
        P = self.P.view(h, w, h, w) * near_y[:, None, :, None] * near_x[None, :, None, :]
        if (P.sum((2, 3)) == 0).any():
            raise InputError(f"A prior of width {sigma} leaves a patch with nowhere to go: choose a larger one.")
        return Walk(_normalised(P.view(h * w, h * w)), self.grid)

    def stationary(self, tolerance: float = 1e-9) -> Stationary:
        """The law pi with pi P = pi: the share of time spent on each patch in the long run.

        Small walks are solved directly, large ones by power iteration, lazy where plain iteration stalls (a periodic
        walk). A walk with several closed classes has many stationary laws; then the teleporting walk's is returned.
        """
        teleport = not _one_closed_class(self.P)
        if len(self) > DIRECT:
            # from a uniform start iteration leads where rare restarts would
            law, residual = _iterate(self.P, tolerance)
            if residual <= tolerance or self.P.min() > 0:
                return Stationary(law, residual, teleport)
        P = _normalised(self.P.to(torch.float64, copy=True))  # rows that sum to 1 in float32 do not in float64
        law = _solve(P, TELEPORT if teleport else 0.0)
        return Stationary(law, (P.T @ law - law).abs().max().item(), teleport)

    def reversible(self) -> Graph:
        """The graph whose walk flows alike: W = (diag(pi) P + P^T diag(pi)) / 2.

        Its degrees are pi, and its NCut of a set is exactly the escape probabilities of this walk at stationarity
        (Zhou, Huang & Schoelkopf 2005; Chung 2005).
        """
        flow = self.stationary().law.to(self.P)[:, None] * self.P
        return Graph._trusted((flow + flow.T).div_(2))

    def averaged(self) -> Graph:
        """The cheap cousin, (P + P^T) / 2: equal to the reversible form only where pi is uniform."""
        return Graph._trusted((self.P + self.P.T).div_(2))


def _steps(k: int) -> int:
    if isinstance(k, bool) or not isinstance(k, Real) or k % 1 or k < 1:
        raise InputError(f"A walk takes a whole number of steps, at least 1, not {k}.")
    return int(k)


def _normalised(P: torch.Tensor) -> torch.Tensor:
    return P.div_(P.sum(1, keepdim=True))


def _iterate(P: torch.Tensor, tolerance: float) -> tuple[torch.Tensor, float]:
    """Power iteration in float64 sums, 200 plain steps, then up to 2,000 lazy ones."""
    n = len(P)
    law = torch.full((n,), 1 / n, dtype=torch.float64, device=P.device)
    residual = float("inf")
    for step in range(2200):
        after = (P.T @ law.to(P)).double()
        after /= after.sum()
        residual = (after - law).abs().max().item()
        if residual <= tolerance:
            return after, residual
        law = after if step < 200 else (law + after) / 2
    return law, residual


def _one_closed_class(P: torch.Tensor) -> bool:
    """Whether the stationary law is unique: all walkers end in one set of patches that reach one another.

    Probabilities below 1e-12 count as none.
    """
    if P.amin(0).max() > CLOSED:
        return True  # one patch is seen from everywhere: the usual case, told without a search
    edges = coo_array(P.cpu().numpy() > CLOSED)
    count, label = connected_components(edges, connection="strong")
    source, target = label[edges.row], label[edges.col]
    return count - len(np.unique(source[source != target])) == 1


def _solve(P: torch.Tensor, teleport: float) -> torch.Tensor:
    """Solve law (I - P) = 0 with sum 1 for the walk that restarts anywhere with probability `teleport`."""
    n = len(P)
    system = torch.eye(n).to(P) - (1 - teleport) * P.T - teleport / n
    # the n equations sum to zero, so any one of them can give way to "the law sums to one"
    system[-1] = 1.0
    right = torch.zeros(n).to(P)
    right[-1] = 1.0
    law = torch.linalg.solve(system, right).clamp_min_(0)
    return law / law.sum()


def lift(matrix: torch.Tensor, coarse: Grid, fine: Grid) -> torch.Tensor:
    """Bring attention from a coarse grid to a fine one.

    Keys are up-sampled bilinearly and renormalised: a coarse patch's share spreads over the fine patches it covers.
    Queries are repeated: each fine patch looks where its coarse patch does (DiffSeg, Tian et al. 2024, section 3.2.1).

    Parameters
    ----------
    matrix : Tensor (hc*wc, hc*wc), row-stochastic
    coarse, fine : (hc, wc), (h, w)

    Returns
    -------
    Tensor (h*w, h*w), row-stochastic
    """
    if coarse == fine:
        return matrix
    (hc, wc), (h, w) = coarse, fine
    rows = functional.interpolate(matrix.view(-1, 1, hc, wc), size=fine, mode="bilinear").view(-1, h * w)
    rows = _normalised(rows)  # (hc*wc, h*w)
    y, x = torch.arange(h) * hc // h, torch.arange(w) * wc // w
    return rows[(y[:, None] * wc + x).flatten().to(rows.device)]


def aggregate(attention: AttentionMaps, weights: Mapping[Grid, float] | None = None) -> Walk:
    """One walk on the finest grid from attention at every resolution.

    Parameters
    ----------
    attention : AttentionMaps
    weights : mapping of grid to weight, optional
        Default: in proportion to the number of patches, DiffSeg's choice (equation 3 there).

    Returns
    -------
    Walk
        P = sum_r weight_r lift(A_r) / sum_r weight_r
    """
    fine = attention.finest
    if weights is None:
        weights = {grid: grid[0] * grid[1] for grid in attention.maps}
    unknown = [grid for grid in weights if grid not in attention.maps]
    if unknown:
        raise InputError(f"There is no attention on the grid {unknown[0]}: there is {list(attention.maps)}.")
    total = sum(weights.values())
    if min(weights.values(), default=0) < 0 or not total > 0:
        raise InputError(f"Weights of resolutions must be at least 0 and not all 0, not {dict(weights)}.")
    P = torch.zeros_like(attention.maps[fine])
    for grid, weight in weights.items():
        if weight > 0:
            P.add_(lift(attention.maps[grid], grid, fine), alpha=weight / total)
    return Walk(_normalised(P), fine)

"""Graphs from what else is known of patches: rows of a walk, features of a layer, divergences.

Two patches are alike if they look at the same places, whether or not they look at each other.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch

from walkcut.errors import InputError
from walkcut.graph import Graph, packed, real, unpacked
from walkcut.lab.recorders import Features
from walkcut.recipe import checked, positive
from walkcut.walk import Walk, reversible_form

MOST = 1024  # patches for Jensen-Shannon: n^3 / 2 logarithms, 5e8 for 1,024


@dataclass(frozen=True, eq=False)
class LowRank:
    """W = F F^T, never multiplied out: n patches with d features each, alike by their dot product.

    Attributes
    ----------
    F : Tensor (n, d), float32 or float64, non-negative
        So that no weight is negative.

    Raises
    ------
    InputError
        If F is not a table of finite, non-negative numbers.
    """

    F: torch.Tensor

    __reduce__ = packed

    def __post_init__(self) -> None:
        object.__setattr__(self, "F", _checked(self.F))
        if (low := self.F.min().item()) < 0:
            raise InputError(
                f"Features must not be negative, they hold {low:.3g}: "
                "a dot product could be, and an edge can't weigh less than nothing."
            )

    def __len__(self) -> int:
        return len(self.F)

    @cached_property
    def degrees(self) -> torch.Tensor:
        """(n,) float64: F (F^T 1)."""
        F = self.F.double()
        return F @ F.sum(0)

    def matvec(self, v: torch.Tensor) -> torch.Tensor:
        """F (F^T v), for v (n,) or (n, c)."""
        return self.F @ (self.F.T @ v.to(self.F))

    def subgraph(self, index: torch.Tensor) -> LowRank:
        """The graph among the nodes `index` (m,) alone."""
        return unpacked(LowRank, {"F": self.F.index_select(0, index.to(self.F.device))})

    def association_gains(self, order: torch.Tensor) -> torch.Tensor:
        """(2 s + f_i) . f_i with s the sum of features before i: O(n d). Equation `eq-graphs-sweep` of the book."""
        rows = self.F.index_select(0, order.to(self.F.device)).double()
        return ((2 * torch.cumsum(rows, 0) - rows) * rows).sum(1)


def _checked(features: Any) -> torch.Tensor:
    """Let through a table of patches by features, finite numbers; refuse anything else."""
    F = real("table of features", features)
    if F.ndim != 2 or 0 in F.shape:
        raise InputError(f"Features must be a table of patches by features, not {tuple(F.shape)}.")
    if not torch.isfinite(F).all():
        raise InputError("Features must be finite; they hold NaN or infinity.")
    return F


def from_rows(walk: Walk, measure: str = "cosine") -> LowRank:
    """Patches are alike if walkers from them go to the same places: W = F F^T, never multiplied out.

    Equations `eq-graphs-rows` and `eq-graphs-cosine` of the book.

    Parameters
    ----------
    walk : Walk
        Its rows are the features; for k steps give `walk.power(k)`.
    measure : str
        "dot": w_ij = sum_k p_ik p_jk, the probability that walkers from i and j meet at their next step. "cosine": the
        same divided by the lengths of both rows, so that a patch that looks sharply weighs no more than others.
    """
    rows = {"dot": lambda P: P, "cosine": lambda P: P / torch.linalg.vector_norm(P, dim=1, keepdim=True)}
    if measure not in rows:
        raise InputError(f"There is no measure {measure!r} of rows: choose from {', '.join(rows)}.")
    return LowRank(rows[measure](walk.P))


@checked(alpha=positive)
def from_features(features: Features | torch.Tensor, alpha: float = 10.0) -> Graph:
    """max(cosine, 0)^alpha of features, as DiffCut takes it (Couairon et al. 2024).

    Equation `eq-graphs-features` of the book.

    Features at more than a right angle count as unlike, weight 0, before the power is taken: no power, odd, even or
    fractional, then turns unlike into alike. A patch without features (length 0) is like none but itself.

    Parameters
    ----------
    features : Features, or Tensor (n, d)
    alpha : float, positive
        The larger, the fewer patches are alike; DiffCut's is 10.
    """
    values = _checked(features.values if isinstance(features, Features) else features)
    unit = torch.nn.functional.normalize(values, dim=1)
    W = (unit @ unit.T).clamp_(0, 1).pow_(alpha)
    return Graph._trusted(W.fill_diagonal_(1.0))


def jensen_shannon(walk: Walk) -> torch.Tensor:
    """Jensen-Shannon divergence between rows of P, (n, n), in nats, 0 to log 2 (Lin 1991).

    JS(p, q) = H((p + q) / 2) - (H(p) + H(q)) / 2, with H the entropy.

    Raises
    ------
    InputError
        For more than 1,024 patches: the logarithms grow as n^3.
    """
    n = len(walk)
    if n > MOST:
        raise InputError(
            f"Jensen-Shannon divergences of {n} patches take too long: use a smaller grid, at most {MOST} patches."
        )
    P = walk.P
    entropy = _entropy(P)
    JS = torch.zeros_like(P)
    for i in range(n):
        others = slice(i + 1, n)
        middle = _entropy((P[others] + P[i]) / 2)
        JS[i, others] = (middle - (entropy[others] + entropy[i]) / 2).clamp_(0, math.log(2))
    return JS + JS.T


def _entropy(rows: torch.Tensor) -> torch.Tensor:
    """-sum p log p of each row (m, n), nats; 0 log 0 = 0. Three times as fast as torch.special.entr."""
    return -(rows * rows.clamp_min(torch.finfo(rows.dtype).tiny).log_()).sum(1)


def from_divergence(walk: Walk) -> Graph:
    """exp(-JS / s) of rows of P, with s the median divergence of two different patches.

    Equation `eq-graphs-js` of the book.

    A divergence is 0 for patches that are alike, so it takes a kernel to make it a weight.
    """
    JS = jensen_shannon(walk)
    pairs = torch.triu_indices(len(JS), len(JS), offset=1)
    # rows that are all alike leave rounding errors of about 1e-7, which are no scale
    scale = max(float(JS[pairs[0], pairs[1]].median()), 1e-6) if len(JS) > 1 else 1.0
    return Graph._trusted(torch.exp(JS.div_(-scale)))


# ---------------------------------------------------------------------------------------------------------------------
# By name: what `walkcut.registry.GRAPHS` finds here, beside the above


def averaged(walk: Walk) -> Graph:
    """The graph "average", (P + P^T) / 2: equal to the reversible form only where pi is uniform.

    Equation `eq-graphs-average` of the book.
    """
    return Graph._trusted(reversible_form(walk.P, torch.ones_like(walk.P[0])))


def rows_dot(walk: Walk) -> LowRank:
    """The graph "rows-dot"."""
    return from_rows(walk, "dot")


def features(walk: Walk, features: Features | None = None) -> Graph:
    """The graph "features", of those of a layer, brought to the walk's grid."""
    if features is None:
        raise InputError("The graph 'features' needs features of a layer: record them while the model looks.")
    return from_features(features.resized(walk.grid))

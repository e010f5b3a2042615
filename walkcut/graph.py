"""Weighted undirected graphs over patches."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch

from walkcut.errors import InputError


@dataclass(frozen=True)
class Graph:
    """A symmetric, non-negative affinity between n nodes.

    Attributes
    ----------
    W : Tensor (n, n), float32 or float64
        `W[i, j]` is the weight of the edge between i and j; the diagonal counts once in a degree. Nodes without edges
        and several components are legal.

    Raises
    ------
    InputError
        If W is not square, not symmetric, negative, or not finite.
    """

    W: torch.Tensor

    def __post_init__(self) -> None:
        W = torch.as_tensor(self.W)
        object.__setattr__(self, "W", W if W.is_floating_point() else W.double())
        if W.ndim != 2 or W.shape[0] != W.shape[1] or W.shape[0] < 1:
            raise InputError(f"The affinity of a graph must be square, not {tuple(W.shape)}.")
        low, high = W.aminmax()
        if not (torch.isfinite(low) and torch.isfinite(high)):
            raise InputError("The affinity of a graph must be finite; it holds NaN or infinity.")
        if low < 0:
            raise InputError(f"The affinity of a graph must not be negative; it holds {low.item():.3g}.")
        if (W - W.T).abs().max() > 1e-5 * max(high.item(), 1e-300):
            raise InputError("The affinity of a graph must be symmetric: use (W + W.T) / 2, or a walk's reversible().")

    @classmethod
    def _trusted(cls, W: torch.Tensor) -> Graph:
        """A graph known to be valid, such as a part of a valid one: no second look at n^2 numbers."""
        graph = object.__new__(cls)
        object.__setattr__(graph, "W", W)
        return graph

    def __len__(self) -> int:
        return len(self.W)

    @cached_property
    def degrees(self) -> torch.Tensor:
        """(n,) float64: row sums of W."""
        return self.W.sum(1, dtype=torch.float64)

    def matvec(self, v: torch.Tensor) -> torch.Tensor:
        """W v, for v (n,) or (n, c)."""
        return self.W @ v.to(self.W)

    def subgraph(self, index: torch.Tensor) -> Graph:
        """The graph among the nodes `index` (m,) alone: what leads out of them is forgotten."""
        return Graph._trusted(self.W[index][:, index])

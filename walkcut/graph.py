"""Weighted graphs over patches, behind one face: what a cut asks of them, and no more."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import torch

from walkcut.errors import InputError

CHUNK = 64  # so many float32 numbers are summed as such, the sums of chunks as float64
ROWS = 64  # rows of a matrix looked at together, so that they stay in the processor's cache
BLOCK = 2**24  # numbers looked at together by a GPU, which is kept waiting by many small calls


class Affinity(Protocol):
    """What every graph answers: dense, low-rank or never written down.

    Weights w_ij >= 0; the diagonal counts once in a degree. Nodes without edges and several components are legal.
    """

    def __len__(self) -> int: ...

    @property
    def degrees(self) -> torch.Tensor:
        """(n,) float64: d_i = sum_j w_ij."""

    @property
    def indegrees(self) -> torch.Tensor:
        """(n,) float64: sum_j w_ji, the degrees unless the graph is directed."""

    def matvec(self, v: torch.Tensor) -> torch.Tensor:
        """W v, for v (n,) or (n, c)."""

    def subgraph(self, index: torch.Tensor) -> Affinity:
        """The graph among the nodes `index` (m,) alone: what leads out of them is forgotten."""

    def inside(self, order: torch.Tensor) -> torch.Tensor:
        """(n,) float64: the weight sum_ij w_ij inside the first 1, 2, ..., n nodes of `order`."""


@dataclass(frozen=True)
class Graph:
    """A symmetric, non-negative affinity between n nodes, written down.

    Attributes
    ----------
    W : Tensor (n, n), float32 or float64
        `W[i, j]` is the weight of the edge between i and j; the diagonal counts once in a degree.

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
        self._check_symmetry(high.item())

    def _check_symmetry(self, high: float) -> None:
        if (self.W - self.W.T).abs().max() > 1e-5 * max(high, 1e-300):
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
        return row_sums(self.W)

    @property
    def indegrees(self) -> torch.Tensor:
        """(n,) float64: column sums of W, here the degrees."""
        return self.degrees

    def matvec(self, v: torch.Tensor) -> torch.Tensor:
        """W v, for v (n,) or (n, c)."""
        return self.W @ v.to(self.W)

    def subgraph(self, index: torch.Tensor) -> Graph:
        """The graph among the nodes `index` (m,) alone: what leads out of them is forgotten.

        Equation `eq-tree-restrict` of the book.
        """
        return self._trusted(self.W.index_select(0, index).index_select(1, index))

    def inside(self, order: torch.Tensor) -> torch.Tensor:
        """Adding node i to S turns its edges to S from cut into inside: w_ii + 2 sum over j before i of w_ij.

        Equation `eq-ncut-sweep` of the book.
        """
        return torch.cumsum((self.W.diagonal().double() + 2 * self._before(order))[order], 0)

    def _before(self, order: torch.Tensor) -> torch.Tensor:
        """(n,) float64: for each node, the weight that ties it to the nodes before it in `order`."""
        place = torch.empty(len(self), dtype=torch.int32, device=order.device)
        place[order] = torch.arange(len(self), dtype=torch.int32, device=order.device)
        size = max(BLOCK // len(self), 1) if self.W.is_cuda else ROWS
        rows, places = self.W.split(size), place[:, None].split(size)
        return torch.cat([row_sums(w * (place < at)) for w, at in zip(rows, places, strict=True)])


@dataclass(frozen=True)
class Directed(Graph):
    """A graph whose edges may weigh more one way than the other; `W[i, j]` leads from i to j.

    With W = P this is the walk itself: the literal "NCut directly on the activations".
    """

    def _check_symmetry(self, high: float) -> None:
        """None is asked for."""

    @cached_property
    def indegrees(self) -> torch.Tensor:
        """(n,) float64: column sums of W."""
        return row_sums(self.W.T)

    def inside(self, order: torch.Tensor) -> torch.Tensor:
        """As for a graph without directions, with both ways looked at."""
        before = self._before(order) + Graph._trusted(self.W.T)._before(order)
        return torch.cumsum((self.W.diagonal().double() + before)[order], 0)


@dataclass(frozen=True)
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

    def __post_init__(self) -> None:
        F = torch.as_tensor(self.F)
        object.__setattr__(self, "F", F if F.is_floating_point() else F.double())
        if F.ndim != 2 or 0 in F.shape:
            raise InputError(f"Features must be a table of patches by features, not {tuple(F.shape)}.")
        low, high = F.aminmax()
        if not (torch.isfinite(low) and torch.isfinite(high)):
            raise InputError("Features must be finite; they hold NaN or infinity.")
        if low < 0:
            raise InputError(
                f"Features must not be negative, they hold {low.item():.3g}: "
                "a dot product could be, and an edge can't weigh less than nothing."
            )

    def __len__(self) -> int:
        return len(self.F)

    @cached_property
    def degrees(self) -> torch.Tensor:
        """(n,) float64: F (F^T 1)."""
        return (self.F @ self.F.sum(0)).double()

    @property
    def indegrees(self) -> torch.Tensor:
        """(n,) float64: the degrees."""
        return self.degrees

    def matvec(self, v: torch.Tensor) -> torch.Tensor:
        """F (F^T v), for v (n,) or (n, c)."""
        return self.F @ (self.F.T @ v.to(self.F))

    def subgraph(self, index: torch.Tensor) -> LowRank:
        """The graph among the nodes `index` (m,) alone."""
        return LowRank(self.F.index_select(0, index))

    def inside(self, order: torch.Tensor) -> torch.Tensor:
        """|s|^2 with s the running sum of features: O(n d). Equation `eq-graphs-sweep` of the book."""
        total = torch.zeros(self.F.shape[1], dtype=torch.float64, device=self.F.device)
        inside = []
        for rows in self.F.index_select(0, order).split(ROWS):
            running = total + torch.cumsum(rows.double(), 0)
            inside.append((running**2).sum(1))
            total = running[-1]
        return torch.cat(inside)


def row_sums(A: torch.Tensor) -> torch.Tensor:
    """Row sums of A (m, n) as float64 (m,): float32 within chunks of 64 numbers, float64 between them.

    As exact as summing float64 copies where it matters, and as fast as reading A.
    """
    whole = A.shape[1] // CHUNK * CHUNK
    if not whole:
        return A.sum(1, dtype=torch.float64)
    sums = A[:, :whole].unflatten(1, (-1, CHUNK)).sum(2).sum(1, dtype=torch.float64)
    return sums + A[:, whole:].sum(1, dtype=torch.float64)

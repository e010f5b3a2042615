"""Walking without the matrix: rows of P are made from queries and keys when they are needed, and forgotten again.

The walk of `walkcut.walk.aggregate` over n patches takes n^2 numbers; its heads take O(n d). Here P is never whole: a
block of rows is computed, multiplied, and dropped. A product with W costs one pass over P, as P v and P^T u share it.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch

from walkcut.capture import Grid
from walkcut.errors import InputError
from walkcut.graph import Affinity, Graph, row_sums
from walkcut.lab.recorders import Head
from walkcut.walk import Stationary, arnoldi_law, normalised, parents, prior, reversible_form, shares, spread, weigh

BLOCK = 2**20  # numbers of P held at once: 64 rows of 16,384, 4 MB, which stay in the processor's cache
PASSES = 16  # over P until the stationary law is taken as it is
WRITTEN = 4096  # a region of up to so many patches is written down, in 64 MB, and cut as a dense graph


@dataclass(frozen=True, eq=False)
class StreamedWalk:
    """A random walk over the patches of a picture, as queries and keys; steps and cuts as of `walkcut.walk.Walk`.

    Attributes
    ----------
    heads : tuple of Head
    grid : (h, w), the finest of the heads' grids
    shares : mapping of grid to weight, positive, summing to 1
    sigma : float or None
        Width of the prior on distance, see `spatial_prior`.
    """

    heads: tuple[Head, ...]
    grid: Grid
    shares: Mapping[Grid, float]
    sigma: float | None = None

    def __len__(self) -> int:
        return self.grid[0] * self.grid[1]

    def _fill(self, P: torch.Tensor, scores: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
        """Rows of P, written into P (m, n); scores (m, n) is scratch: fresh memory for each block would cost time."""
        P.zero_()
        for grid, share in self.shares.items():
            heads = [head for head in self.heads if head.grid == grid]
            total = sum(head.weight for head in heads)
            if grid == self.grid:
                for head in heads:
                    _add_attention(P, head, index, share * head.weight / total, scores)
                continue
            # fine patches of one coarse patch look alike: look once
            at, back = torch.unique(parents(grid, self.grid).to(index.device)[index], return_inverse=True)
            coarse = torch.zeros(2, len(at), grid[0] * grid[1], device=index.device)
            for head in heads:
                _add_attention(coarse[0], head, at, head.weight / total, coarse[1])
            torch.index_select(spread(coarse[0], grid, self.grid), 0, back, out=scores)
            P.add_(scores, alpha=share)
        if self.sigma is not None:
            weigh(P, index, self.grid, self.sigma)
        return normalised(P)

    def blocks(self, index: torch.Tensor) -> Iterator[tuple[slice, torch.Tensor]]:
        """Rows `index` (m,) of P, a block at a time, and their places among them; each is written over the last."""
        size = min(max(BLOCK // len(self), 1), len(index))
        P, scores = torch.empty(2, size, len(self), device=index.device)
        for start in range(0, len(index), size):
            part = index[start : start + size]
            yield slice(start, start + len(part)), self._fill(P[: len(part)], scores[: len(part)], part)

    @property
    def patches(self) -> torch.Tensor:
        """int64 (n,): all of them, where the heads are."""
        return torch.arange(len(self), device=self.heads[0].key.device)

    def expect(self, v: torch.Tensor) -> torch.Tensor:
        """P v, float64, for v (n,) or (n, c): one pass. Equation `eq-graphs-stream` of the book."""
        v = torch.as_tensor(v).to(self.patches.device, torch.float32)
        return torch.cat([P @ v for _, P in self.blocks(self.patches)]).double()

    def propagate(self, mu: torch.Tensor) -> torch.Tensor:
        """P^T mu, float64, for mu (n,) or (n, c): one pass."""
        mu = torch.as_tensor(mu).to(self.patches.device, torch.float64)
        after = torch.zeros_like(mu)
        for at, P in self.blocks(self.patches):
            after += P.T @ mu[at].float()
        return after

    def spatial_prior(self, sigma: float) -> StreamedWalk:
        """The walk that prefers short steps, see `walkcut.walk.Walk.spatial_prior`; priors multiply."""
        prior(self.grid, sigma)  # refuses a width that is none
        both = sigma if self.sigma is None else 1 / math.hypot(1 / sigma, 1 / self.sigma)
        return replace(self, sigma=both)

    def stationary(self) -> Stationary:
        """The law pi with pi P = pi, by Arnoldi, in 16 passes; `error` says how far to trust it.

        Softmax leaves no probability at 0, so that the law is unique, as far as float32 can tell.
        """
        law, gap = arnoldi_law(self.propagate, torch.ones_like(self.patches, dtype=torch.float64), PASSES - 2)
        law = self.propagate(law)  # one step shrinks what was left in quickly forgotten directions
        change = (self.propagate(law) - law).abs()
        return Stationary(law, change.max().item(), False, change.sum().item() / max(gap, 1e-16))

    def reversible(self) -> StreamedGraph:
        """W = (diag(pi) P + P^T diag(pi)) / 2, see `walkcut.walk.Walk.reversible`.

        Equation `eq-graphs-reversible` of the book.
        """
        found = self.stationary()
        if not found.error < 1e-3:
            warnings.warn(
                f"The stationary law may be off by {found.error:.1g}: this walk mixes slowly. Escape probabilities "
                "are then only nearly those of the walk; a smaller grid can be solved exactly.",
                stacklevel=2,
            )
        return StreamedGraph(self, self.patches, found.law)


@dataclass(frozen=True, eq=False)
class StreamedGraph:
    """W = (diag(law) P + P^T diag(law)) / 2 between some patches of a streamed walk: a `walkcut.graph.Affinity`.

    Attributes
    ----------
    walk : StreamedWalk
    index : int64 Tensor (m,)
        The graph's nodes, as patches of the walk.
    law : float64 Tensor (m,)
        The walk's stationary law at these patches.
    """

    walk: StreamedWalk
    index: torch.Tensor
    law: torch.Tensor

    def __len__(self) -> int:
        return len(self.index)

    def _flows(self) -> Iterator[tuple[slice, torch.Tensor]]:
        """Rows of diag(law) P among the nodes, a block at a time; their readers may write over them."""
        for at, P in self.walk.blocks(self.index):
            yield at, P.index_select(1, self.index).mul_(self.law[at, None])

    @cached_property
    def degrees(self) -> torch.Tensor:
        """(m,) float64: row sums of W."""
        return self.matvec(torch.ones_like(self.law))

    def matvec(self, v: torch.Tensor) -> torch.Tensor:
        """W v, float64, for v (m,) or (m, c): one pass."""
        v = torch.as_tensor(v).to(self.law)
        after, single = torch.zeros_like(v), v.float()
        for at, flow in self._flows():
            after[at] += flow @ single
            after += flow.T @ single[at]
        return after / 2

    def association_gains(self, order: torch.Tensor) -> torch.Tensor:
        """A flow from i to j is inside as soon as both are: it counts at the later of their places. One pass."""
        place = torch.empty(len(self), dtype=torch.int64, device=order.device)
        place[order] = torch.arange(len(self), device=order.device)
        gained = torch.zeros(len(self), dtype=torch.float64, device=order.device)  # by place
        for at, flow in self._flows():
            before = flow * (place <= place[at, None])
            gained[place[at]] += row_sums(before)
            gained[place] += flow.sub_(before).sum(0)
        return gained

    def subgraph(self, index: torch.Tensor) -> Affinity:
        """The graph among the nodes `index` (m,) alone; written down if it has at most 4,096."""
        part = replace(self, index=self.index[index], law=self.law[index])
        if len(part) > WRITTEN:
            return part
        flow = torch.cat([rows for _, rows in part._flows()])
        return Graph._trusted(reversible_form(flow, torch.ones_like(flow[0])))


def _add_attention(P: torch.Tensor, head: Head, at: torch.Tensor, weight: float, scores: torch.Tensor) -> None:
    """Add weight times rows `at` (m,) of a head's attention to P (m, n); scores (m, n) is scratch."""
    torch.mm(head.query[at], head.key.T, out=scores)
    scores.sub_(scores.amax(1, keepdim=True)).exp_()
    P.addcmul_(scores, weight / scores.sum(1, keepdim=True))


def stream(heads: Sequence[Head], weights: Mapping[Grid, float] | None = None) -> StreamedWalk:
    """One walk on the finest grid from heads at every resolution, as `walkcut.walk.aggregate` makes it.

    Parameters
    ----------
    heads : sequence of Head
        From `walkcut.lab.recorders.QueriesAndKeys`.
    weights : mapping of grid to weight, optional
        Default: in proportion to the number of patches.
    """
    if not heads:
        raise InputError("A walk needs at least one head.")
    grids = dict.fromkeys(head.grid for head in heads)
    fine = max(grids, key=lambda grid: grid[0] * grid[1])
    return StreamedWalk(tuple(heads), fine, shares(grids, weights))

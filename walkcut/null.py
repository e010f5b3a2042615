"""What distance alone explains: the spatial null of a walk, and the price of every split under both.

A walk that looks near by is seldom seen to cross a cut, even of a blank wall. Its spatial null goes as far, in each
direction, and does not know from where: what the null remembers of a split, distance explains.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.fft import next_fast_len
from torch.fft import irfft2, rfft2

from walkcut.capture import Grid
from walkcut.errors import brief
from walkcut.pixels import leaf_membership, leaf_of
from walkcut.tree import PartitionTree
from walkcut.walk import Walk

ROUNDS = 400  # of rescaling, of which ten are enough for most
CLOSE = 1e-9  # to the law, in total variation
TINY = 1e-300  # in place of a zero that something is divided by
TOGETHER = 32  # sets of patches whose flows are looked for at once


@dataclass(frozen=True, eq=False)
class SpatialNull:
    """The flow of a walk that knows how far this one goes, in each direction, and not from where.

    Equation `eq-stop-flow` of the book: the null model of Expert, Evans, Blondel & Lambiotte (2011), with displacements
    in the place of distances. A step from i to j has the chance u_i u_j f(j - i); its sums over j are the law pi_i.

    Attributes
    ----------
    u : float64 Tensor (h, w)
        The law, but for the rescaling that keeps it.
    f : float64 Tensor (2h-1, 2w-1)
        By displacement, from (1-h, 1-w) on: what was seen in all pairs of patches at one displacement, as a share of
        what the law expects. The same in opposite directions.
    """

    u: torch.Tensor
    f: torch.Tensor

    __repr__ = brief

    @classmethod
    def of(cls, walk: Walk) -> SpatialNull:
        """The null of a walk, in the long run, on its device."""
        law, (h, w) = walk.stationary().law, walk.grid
        pi, seen, shape = law.view(h, w), displacements(walk.P, law, walk.grid), _padded(walk.grid)
        around = irfft2(rfft2(pi, shape).abs() ** 2, shape)  # of two who are led by the law alone
        expected = around.roll((h - 1, w - 1), (0, 1))[: 2 * h - 1, : 2 * w - 1]
        null = cls(pi, (seen + seen.flip(0, 1)) / 2 / expected.clamp_min(TINY))
        for _ in range(ROUNDS):
            sums = null.u * null.reached(null.u)
            if (sums - pi).abs().sum() < CLOSE:
                break
            null = cls(null.u * (pi / sums.clamp_min(TINY)).sqrt(), null.f)
        return null

    def reached(self, x: torch.Tensor) -> torch.Tensor:
        """The sum over j of f(j - i) x_j for every patch i: float64 (..., h, w), as x; by Fourier transforms."""
        shape, (h, w) = _padded(self.u.shape), self.u.shape
        found = irfft2(rfft2(x, shape) * rfft2(self.f, shape), shape)
        return found[..., h - 1 : 2 * h - 1, w - 1 : 2 * w - 1].clamp_min(0)

    def flows(self, owner: np.ndarray) -> np.ndarray:
        """Chance of a step from one of m sets of patches to another: float64 (m, m), by whose set each patch is."""
        found, whose = [], torch.from_numpy(owner).to(self.u.device)
        for sets in torch.arange(int(owner.max()) + 1, device=whose.device).split(TOGETHER):
            within = (whose == sets[:, None]).view(-1, *self.u.shape)
            found.append(sums_by((self.u * self.reached(within * self.u)).flatten(1).T, owner).T)
        return torch.cat(found).cpu().numpy()

    def matrix(self) -> torch.Tensor:
        """All chances, float64 (h*w, h*w)."""
        h, w = self.u.shape
        y, x = (torch.from_numpy(part.ravel()) for part in np.indices((h, w)))
        u = self.u.flatten()
        return torch.outer(u, u) * self.f[y - y[:, None] + h - 1, x - x[:, None] + w - 1]


def _padded(grid: Sequence[int]) -> Grid:
    """Sides at which what wraps around meets nothing that is looked at."""
    h, w = (next_fast_len(2 * side - 1, True) for side in grid)
    return h, w


def displacements(P: torch.Tensor, law: torch.Tensor, grid: Grid) -> torch.Tensor:
    """Chance that a stationary walker's step has this displacement: float64 (2h-1, 2w-1), from (1-h, 1-w) on.

    Parameters
    ----------
    P : Tensor (h*w, h*w)
    law : Tensor (h*w,)
    grid : (h, w)
    """
    h, w = grid
    found = torch.zeros((2 * h - 1, 2 * w - 1), dtype=torch.float64, device=P.device)
    for y, (rows, pi) in enumerate(zip(P.view(h, w, h, w), law.to(P).view(h, w), strict=True)):
        # Padded to 2w and read with rows of 2w - 1, each row starts one place later: equal shifts share a column.
        shifted = torch.nn.functional.pad((rows * pi[:, None, None]).flip(0).transpose(0, 1), (0, w)).view(h, -1)
        found[h - 1 - y : 2 * h - 1 - y] += shifted[:, : w * (2 * w - 1)].view(h, w, -1).double().sum(1)
    return found


def sums_by(x: torch.Tensor, owner: np.ndarray) -> torch.Tensor:
    """Sums of the rows of x (n, m) float64 of each owner (n,), 0, 1, ..., on their device: (owners, m)."""
    order, sizes = torch.from_numpy(np.argsort(owner, kind="stable")), torch.from_numpy(np.bincount(owner))
    return torch.segment_reduce(x[order.to(x.device)], "sum", lengths=sizes.to(x.device))


@dataclass(frozen=True, eq=False)
class SplitPrices:
    """The NCut of every split of a tree under attention's own walk, whatever was cut, and under its spatial null.

    Attributes
    ----------
    walk, null : float64 (nodes,)
        Of a node's split inside the node; infinity for a leaf.
    """

    walk: np.ndarray
    null: np.ndarray

    __repr__ = brief

    @classmethod
    def of(cls, tree: PartitionTree, walk: Walk, membership: torch.Tensor | None = None) -> SplitPrices:
        """The prices of a tree's splits.

        Equation `eq-stop-price` of the book.

        Parameters
        ----------
        tree : PartitionTree
        walk : Walk
            Attention's own, on the tree's grid.
        membership : Tensor (n, leaves), optional
            The walk's `walkcut.pixels.leaf_membership`, where it is known.
        """
        seen = leaf_flows(tree, walk, leaf_membership(walk, tree) if membership is None else membership)
        expected = SpatialNull.of(walk).flows(leaf_of(tree))
        return cls(*(split_ncut(tree, node_sums(tree, flow)) for flow in (seen, expected)))


def leaf_flows(tree: PartitionTree, walk: Walk, seen: torch.Tensor) -> np.ndarray:
    """Chance of a step from one leaf of a tree to another, (leaves, leaves), by where patches `seen` (n, leaves) go."""
    flow = walk.stationary().law[:, None] * seen.double()
    return sums_by(flow, leaf_of(tree)).cpu().numpy()


def node_sums(tree: PartitionTree, flow: np.ndarray) -> np.ndarray:
    """What stays inside each node, float64 (nodes,), of flow (leaves, leaves) between the leaves of `leaf_of`."""
    sums = np.zeros((len(flow) + 1,) * 2)
    sums[1:, 1:] = flow.cumsum(0).cumsum(1)
    bounds = np.r_[np.sort(tree.start[tree.left < 0]), len(tree.order)]
    low, high = np.searchsorted(bounds, tree.start), np.searchsorted(bounds, tree.stop)
    return sums[high, high] - sums[low, high] - sums[high, low] + sums[low, low]


def split_ncut(tree: PartitionTree, inside: np.ndarray) -> np.ndarray:
    """NCut of each node's split inside the node, float64 (nodes,), from the flow that stays inside each node."""
    found, split = np.full(len(tree), np.inf), np.flatnonzero(tree.left >= 0)
    left, right = inside[tree.left[split]], inside[tree.right[split]]
    crossing = np.maximum(inside[split] - left - right, 0) / 2
    found[split] = sum(crossing / np.maximum(side + crossing, TINY) for side in (left, right))
    return found

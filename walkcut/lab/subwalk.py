"""Regions that are walks of their own: a walker who would leave is held inside."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from walkcut.graph import Graph, packed, row_sums
from walkcut.walk import Walk, reversible_form, stationary_law


@dataclass(frozen=True, eq=False)
class RenormalisedSubwalk(Graph):
    """A reversible form whose regions are walks of their own: "restrict and renormalise P".

    `Graph.subgraph` forgets what leads out of a region and keeps the law of the whole walk. Here a walker who would
    leave is held inside: P is restricted, its rows renormalised, and the region gets that walk's own stationary law
    and reversible form. A walker who has nowhere to go inside stays where it is.

    Attributes
    ----------
    W : Tensor (n, n)
        Sums to the share of the whole walk's flow that stays inside the region, so that regions can be compared.
    P : Tensor (n, n)
        Of the walk held inside.
    whole : float64 Tensor (n,)
        Stationary law of the whole walk, at these nodes.
    stays : float64 Tensor (n,)
        Probability that a step of the whole walk from a node ends in the region.
    """

    P: torch.Tensor
    whole: torch.Tensor
    stays: torch.Tensor

    __reduce__ = packed

    def __post_init__(self) -> None:
        """Made from a walk, so valid."""

    def subgraph(self, index: torch.Tensor) -> RenormalisedSubwalk:
        """The walk held inside the nodes `index` (m,). Equation `eq-tree-held` of the book."""
        P = self.P.index_select(0, index).index_select(1, index)
        rows = row_sums(P)
        stuck = rows <= 0
        P.diagonal()[stuck] = 1.0
        P.div_(torch.where(stuck, 1.0, rows).to(P)[:, None])
        whole, stays = self.whole[index], self.stays[index] * rows
        W = reversible_form(P, stationary_law(P).law)
        return RenormalisedSubwalk(W.mul_(float(whole @ stays)), P, whole, stays)


def renormalised(walk: Walk) -> RenormalisedSubwalk:
    """The reversible form of a walk, in which each region is a walk of its own."""
    law = walk.stationary().law
    return RenormalisedSubwalk(reversible_form(walk.P, law), walk.P, law, torch.ones_like(law))

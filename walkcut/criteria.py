"""Where to stop cutting: a number of your own, or a criterion that needs none.

Every criterion prunes one and the same tree: `prune(tree, criterion)`. Where its score is a sum over the nodes that
are kept, the best of all prunings is found exactly (`best_pruning`); the others choose a threshold.

    stability      walkers are found where they were more often than chance has it (Delvenne et al. 2010; the default)
    gap            stop at the widest gap between the NCut values of the tree

`walkcut.lab.criteria` holds more. Each takes a tree, the NCut that splits must stay below, and the graph that was cut.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from walkcut.capture import Grid
from walkcut.errors import brief
from walkcut.graph import Affinity, Graph
from walkcut.ncut import best_cut
from walkcut.recipe import between, check_threshold, checked, or_none, positive, sides
from walkcut.registry import CRITERIA
from walkcut.tree import MEMORYLESS, PartitionTree
from walkcut.walk import prior

TIE = 1e-12  # a split that gains no more is not taken


@dataclass(frozen=True, eq=False)
class Pruning:
    """Where a criterion stops.

    Attributes
    ----------
    criterion : str
        A name in `walkcut.registry.CRITERIA`, or "constant".
    leaves : int64 (m,)
        Nodes of the tree that are segments.
    threshold : float or None
        Of NCut, in [0, 2], that gives the same segments; None where splits are not chosen by their NCut alone.
    score : float or None
        What the criterion maximised.
    """

    criterion: str
    leaves: np.ndarray
    threshold: float | None = None
    score: float | None = None

    __repr__ = brief

    def __len__(self) -> int:
        return len(self.leaves)


@checked(max_ncut=between(0, 2))
def prune(
    tree: PartitionTree, threshold: float | str = "auto", graph: Affinity | None = None, max_ncut: float = MEMORYLESS
) -> Pruning:
    """The segments at which a criterion stops; ties go to fewer segments.

    Parameters
    ----------
    tree : PartitionTree
    threshold : "auto", a name in `walkcut.registry.CRITERIA`, or float in (0, 2]
        A number is a constant threshold and takes every split of NCut up to it.
    graph : Affinity, optional
        That was cut; the eigengap needs it.
    max_ncut : float
        Splits of this NCut or more are never taken, except by a constant threshold; see `blank_ncut`.

    Returns
    -------
    Pruning
    """
    stop = check_threshold("threshold", threshold)
    if isinstance(stop, str):
        return CRITERIA[stop](tree, max_ncut, graph)
    return Pruning("constant", tree.leaves(stop), stop)


def best_pruning(
    tree: PartitionTree, segment: np.ndarray, split: np.ndarray, max_ncut: float = MEMORYLESS
) -> tuple[np.ndarray, float]:
    """The pruning with the largest sum of `segment` over its segments plus `split` over its splits, exactly.

    Equation `eq-stop-best` of the book.

    From the leaves to the root, the best of a node is the better of two: to leave it whole, or to split it and take the
    best of its sides.

    Parameters
    ----------
    tree : PartitionTree
    segment, split : float64 (nodes,)
    max_ncut : float
        Splits of this NCut or more are never taken.

    Returns
    -------
    leaves : int64 (m,)
        Of several best prunings, one with the fewest segments.
    score : float
    """
    best = np.array(segment, np.float64)
    taken = np.zeros(len(tree), bool)
    for node in np.flatnonzero(tree.ncut < max_ncut)[::-1]:  # children before their parents
        value = split[node] + best[tree.left[node]] + best[tree.right[node]]
        if value > best[node] + TIE:
            best[node], taken[node] = value, True
    return tree.frontier(taken), float(best[0])


def stability(tree: PartitionTree, max_ncut: float = MEMORYLESS, graph: Affinity | None = None) -> Pruning:
    """Markov stability after one step, the best of all prunings.

    Equation `eq-stop-stability` of the book.

    A segmentation is good if a stationary walker is found in the same segment a step later more often than chance would
    have it:

        r = sum over segments of Pr(in S now and then) - Pr(in S)^2

    (Delvenne, Yaliraki & Barahona 2010, equation 2; at time 1 Newman's modularity of the graph.) The time is the
    resolution: later means coarser, see `walkcut.lab.criteria.stability_at`. Here it is one step of the walk that is
    cut: with a share q of rests left in, a first split would pay while (1 - q) NCut < 1.
    """
    leaves, score = best_pruning(tree, tree.association - tree.volume**2, np.zeros(len(tree)), max_ncut)
    return Pruning("stability", leaves, score=score)


def largest_gap(tree: PartitionTree, max_ncut: float = MEMORYLESS, graph: Affinity | None = None) -> Pruning:
    """Stop below the widest gap between neighbouring values of NCut, `max_ncut` included; the lowest of equal gaps.

    Equation `eq-stop-gap` of the book.

    At least one split is taken where any is below `max_ncut`, as with the eigengap; score: the width of the gap.
    """
    values = np.unique(tree.split_height())
    values = values[values < max_ncut]
    if not len(values):
        return Pruning("gap", np.array([0]), 0.0, 0.0)
    gaps = np.diff(values, append=max_ncut)
    place = int(np.argmax(gaps > gaps.max() - TIE))
    return Pruning("gap", tree.leaves(values[place]), float(values[place]), float(gaps[place]))


@checked(grid=sides, sigma=or_none(positive))
def blank_ncut(grid: Grid, sigma: float | None) -> float:
    """NCut of the best cut of a walk that knows nothing but the prior on distance: 1 without a prior.

    Equation `eq-walk-ceiling` of the book.

    Its transition matrix is a product of one walk along each side of the grid, so the best cut lies across the longer
    side, and the walk along that side has the same NCut. The prior is symmetric: it is that walk's reversible form.

    Parameters
    ----------
    grid : (h, w)
    sigma : float or None
        Width of the prior, see `walkcut.walk.Walk.spatial_prior`.
    """
    return MEMORYLESS if sigma is None or max(grid) < 2 else _blank_ncut(max(grid), sigma)


@lru_cache(maxsize=256)
def _blank_ncut(side: int, sigma: float) -> float:
    return best_cut(Graph(prior((1, side), sigma)[1])).ncut

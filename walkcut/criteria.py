"""Where to stop cutting: a number of your own, or a criterion that needs none.

Every criterion prunes one and the same tree: `prune(tree, criterion)`. Where its score is a sum over the nodes that
are kept, the best of all prunings is found exactly (`best_pruning`); the others choose a threshold.

    spatial-null   attention crosses a split less than three quarters as often as distance alone explains (the default)
    stability      walkers are found where they were more often than chance has it (Delvenne et al. 2010)
    gap            stop at the widest gap between the NCut values of the tree

`walkcut.lab.criteria` holds more. Each takes a tree, the graph that was cut, and the prices of its splits.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from walkcut.errors import InputError, brief
from walkcut.graph import Affinity
from walkcut.null import SplitPrices
from walkcut.recipe import check_threshold
from walkcut.registry import CRITERIA
from walkcut.tree import MEMORYLESS, PartitionTree

TIE = 1e-12  # a split that gains no more is not taken
# Of what the null says, the most that a split may cost: one number for every eye and picture, chosen on BSDS500 train
# and on scenes set aside (book/results/model-log.json).
SHARE = 0.75


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


def prune(
    tree: PartitionTree,
    threshold: float | str = "auto",
    graph: Affinity | None = None,
    prices: SplitPrices | None = None,
) -> Pruning:
    """The segments at which a criterion stops; ties go to fewer segments.

    Parameters
    ----------
    tree : PartitionTree
    threshold : "auto", a name in `walkcut.registry.CRITERIA`, or float in (0, 2]
        A number is a constant threshold and takes every split of NCut up to it.
    graph : Affinity, optional
        That was cut; the eigengap needs it.
    prices : SplitPrices, optional
        Of the tree's splits; the default criterion needs them.

    Returns
    -------
    Pruning
    """
    stop = check_threshold("threshold", threshold)
    if isinstance(stop, str):
        return CRITERIA[stop](tree, graph, prices)
    return Pruning("constant", tree.leaves(stop), stop)


def spatial_null(tree: PartitionTree, graph: Affinity | None = None, prices: SplitPrices | None = None) -> Pruning:
    """Keep a split that attention's own walk crosses less than three quarters as often as its spatial null does.

    Equation `eq-stop-null` of the book.

        NCut(S) / NCut_0(S) < 3/4,      with NCut_0 the same under `walkcut.null.SpatialNull`

    inside the region that is split, from the root down. Whatever was cut, the walk of the price is attention's own: no
    prior, no exponent, one step. 1 - NCut / NCut_0 is the share of the null's crossings that the picture prevents, and
    more than a quarter is asked for.
    """
    if prices is None:
        raise InputError("The spatial null needs the prices of the splits: give walkcut.null.SplitPrices.of to prune.")
    return Pruning("spatial-null", tree.frontier(prices.walk < SHARE * prices.null))


def best_pruning(tree: PartitionTree, segment: np.ndarray, split: np.ndarray) -> tuple[np.ndarray, float]:
    """The pruning with the largest sum of `segment` over its segments plus `split` over its splits, exactly.

    Equation `eq-stop-best` of the book.

    From the leaves to the root, the best of a node is the better of two: to leave it whole, or to split it and take the
    best of its sides.

    Parameters
    ----------
    tree : PartitionTree
    segment, split : float64 (nodes,)

    Returns
    -------
    leaves : int64 (m,)
        Of several best prunings, one with the fewest segments.
    score : float
    """
    best = np.array(segment, np.float64)
    taken = np.zeros(len(tree), bool)
    for node in np.flatnonzero(tree.ncut < MEMORYLESS)[::-1]:  # children before their parents
        value = split[node] + best[tree.left[node]] + best[tree.right[node]]
        if value > best[node] + TIE:
            best[node], taken[node] = value, True
    return tree.frontier(taken), float(best[0])


def stability(tree: PartitionTree, graph: Affinity | None = None, prices: SplitPrices | None = None) -> Pruning:
    """Markov stability after one step, the best of all prunings.

    Equation `eq-stop-stability` of the book.

    A segmentation is good if a stationary walker is found in the same segment a step later more often than chance would
    have it:

        r = sum over segments of Pr(in S now and then) - Pr(in S)^2

    (Delvenne, Yaliraki & Barahona 2010, equation 2; at time 1 Newman's modularity of the graph.) The time is the
    resolution: later means coarser, see `walkcut.lab.criteria.stability_at`. Here it is one step of the walk that is
    cut: with a share q of rests left in, a first split would pay while (1 - q) NCut < 1.
    """
    leaves, score = best_pruning(tree, tree.association - tree.volume**2, np.zeros(len(tree)))
    return Pruning("stability", leaves, score=score)


def largest_gap(tree: PartitionTree, graph: Affinity | None = None, prices: SplitPrices | None = None) -> Pruning:
    """Stop below the widest gap between neighbouring values of NCut below 1, and 1 itself; the lowest of equal gaps.

    Equation `eq-stop-gap` of the book.

    At least one split is taken where any costs less than 1, as with the eigengap; score: the width of the gap.
    """
    values = np.unique(tree.split_height())
    values = values[values < MEMORYLESS]
    if not len(values):
        return Pruning("gap", np.array([0]), 0.0, 0.0)
    gaps = np.diff(values, append=MEMORYLESS)
    place = int(np.argmax(gaps > gaps.max() - TIE))
    return Pruning("gap", tree.leaves(values[place]), float(values[place]), float(gaps[place]))

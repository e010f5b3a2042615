"""Where to stop cutting: a number of your own, or a criterion that needs none.

Every criterion prunes one and the same tree: `prune(tree, criterion)`. The default is the spatial null: attention has
to cross a split less than three quarters as often as distance alone explains. `walkcut.lab.criteria` holds others. Each
takes a tree, the graph that was cut, and the prices of its splits.
"""

from dataclasses import dataclass

import numpy as np

from walkcut.errors import InputError, brief
from walkcut.graph import Affinity
from walkcut.null import SplitPrices
from walkcut.recipe import check_threshold
from walkcut.registry import CRITERIA
from walkcut.tree import PartitionTree

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

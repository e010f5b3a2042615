"""Where to stop cutting: a number of your own, or one that the walk itself proposes."""

from __future__ import annotations

import numpy as np
import torch

from walkcut.attention import Grid
from walkcut.errors import InputError
from walkcut.ncut import best_cut
from walkcut.tree import MEMORYLESS, PartitionTree
from walkcut.walk import Walk


def check_threshold(threshold: float | str) -> float | str:
    """Let through "auto" or a number in (0, 2]; refuse anything else."""
    if threshold == "auto":
        return "auto"
    try:
        value = float(threshold)
    except (TypeError, ValueError):
        value = float("nan")
    if not 0 < value <= 2:
        raise InputError(f"A threshold on NCut must be 'auto' or a number above 0 and at most 2, not {threshold!r}.")
    return value


def stability(tree: PartitionTree) -> tuple[np.ndarray, np.ndarray]:
    """Markov stability of one step, for every pruning by a threshold.

    A segmentation is good if a stationary walker is found in the same segment one step later more often than chance
    would have it:

        r = sum over segments of Pr(in S now and next) - Pr(in S)^2

    (Delvenne, Yaliraki & Barahona 2010, equation 2 at t = 1; Newman's modularity of the graph.)

    Returns
    -------
    thresholds : float64 (m,), increasing; the first is 0: only splits that cost nothing
    r : float64 (m,)
    """
    score = tree.inside - tree.volume**2
    split = np.flatnonzero(tree.left >= 0)
    gain = score[tree.left[split]] + score[tree.right[split]] - score[split]
    needed = tree.needed()[split]
    order = np.argsort(needed, kind="stable")
    thresholds, last = np.unique(needed[order][::-1], return_index=True)
    total = (score[0] + np.cumsum(gain[order]))[len(order) - 1 - last]
    if len(thresholds) and thresholds[0] == 0:  # cuts that cost nothing are taken at every threshold
        return thresholds, total
    return np.r_[0.0, thresholds], np.r_[score[0], total]


def blank_ncut(grid: Grid, locality: float | None) -> float:
    """NCut of the best cut of a walk that knows nothing but the prior on distance: 1 without a prior.

    Its transition matrix is a product of one walk along each side of the grid, so the best cut lies across the longer
    side, and the walk along that side has the same NCut.
    """
    side = max(grid)
    if locality is None or side < 2:
        return MEMORYLESS
    uniform = Walk(torch.full((side, side), 1 / side, dtype=torch.float64), (1, side))
    return best_cut(uniform.local(locality).reversible()).ncut


def automatic(tree: PartitionTree, ceiling: float = MEMORYLESS) -> float:
    """The threshold whose segmentation is the most stable for one step of the walk; ties go to fewer segments.

    Parameters
    ----------
    tree : PartitionTree
    ceiling : float
        Cuts of this NCut or more are never taken, see `blank_ncut`.

    Returns
    -------
    float in [0, ceiling): 0 takes only splits that cost nothing, mostly none.
    """
    thresholds, r = stability(tree)
    allowed = thresholds < ceiling
    thresholds, r = thresholds[allowed], r[allowed]
    return float(thresholds[np.argmax(r > r.max() - 1e-12)])

"""Where to stop cutting: a number of your own, or one that the walk itself proposes."""

from __future__ import annotations

import numpy as np

from walkcut.errors import InputError
from walkcut.tree import MEMORYLESS, PartitionTree


def check_threshold(threshold: float | str) -> float | str:
    """"auto" or a number in (0, 2]; anything else is refused."""
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


def automatic(tree: PartitionTree, ceiling: float = MEMORYLESS) -> float:
    """The threshold whose segmentation is the most stable for one step of the walk; ties go to fewer segments.

    Parameters
    ----------
    tree : PartitionTree
    ceiling : float
        Cuts of this NCut or more are never taken. A walk without memory gives 1; a model's own value
        (`Backbone.ceiling`) is what it gives for white noise, where there is nothing to cut.

    Returns
    -------
    float in [0, ceiling): 0 takes only splits that cost nothing, mostly none.
    """
    thresholds, r = stability(tree)
    allowed = thresholds < ceiling
    thresholds, r = thresholds[allowed], r[allowed]
    return float(thresholds[np.argmax(r > r.max() - 1e-12)])

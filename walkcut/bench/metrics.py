"""Measures that compare a segmentation with a true one, and their aggregation over a data set.

Every measure of two segmentations of the same N pixels is read off their *contingency table*, n[i, j] = the number of
pixels that lie in true region i and in predicted segment j. Labels are names only: no measure depends on which numbers
are used, nor on whether a segment is connected.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.stats import entropy

from walkcut.errors import InputError

SAMPLES, SEED = 2000, 0  # of the bootstrap


def compact(labels: np.ndarray) -> np.ndarray:
    """Renumber non-negative integer labels to 0..n-1 without gaps, in increasing order, as a flat int64 array.

    Raises
    ------
    InputError
        If the labels are not integers, are negative, or there are none.
    """
    flat = np.asarray(labels).ravel()
    if flat.size == 0 or flat.dtype.kind not in "iu" or flat.min() < 0:
        raise InputError("A label map must hold non-negative integers, and at least one pixel.")
    if flat.max() >= 4 * flat.size + 65536:  # a look-up table would be larger than a sort is slow
        return np.unique(flat, return_inverse=True)[1].astype(np.int64)
    new = np.cumsum(np.bincount(flat) > 0) - 1
    return new[flat]


def contingency(truth: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Count the pixels in each pair of regions.

    Parameters
    ----------
    truth, labels : non-negative integer arrays of one shape
        Region of each pixel; numbers may have gaps.

    Returns
    -------
    int64 (n_truth, n_labels)
        No row and no column is all zero; the sum is the number of pixels.

    Raises
    ------
    InputError
        If the shapes differ or a map is not a label map.
    """
    if np.shape(truth) != np.shape(labels):
        raise InputError(f"The true map is {np.shape(truth)} and the labels are {np.shape(labels)}: sizes must agree.")
    rows, columns = compact(truth), compact(labels)
    shape = (int(rows.max()) + 1, int(columns.max()) + 1)
    return np.bincount(rows * shape[1] + columns, minlength=shape[0] * shape[1]).reshape(shape)


def overlaps(table: np.ndarray) -> np.ndarray:
    """Intersection over union of every true region with every segment, float64 (n_truth, n_labels) in [0, 1].

    Equation `eq-bench-iou` of the book.
    """
    return table / (table.sum(1, keepdims=True) + table.sum(0, keepdims=True) - table)


def covering(table: np.ndarray) -> float:
    """Covering of the truth by the segments, in (0, 1]; 1 for equal segmentations. Not symmetric.

    Equation `eq-bench-covering` of the book.

    C = 1/N sum_i |R_i| max_j IoU(R_i, S_j): each true region counts by its size, with the segment that overlaps it
    best; one segment may serve several regions (Arbelaez et al., TPAMI 2011, section 3.1.3, equation 8).
    """
    return float(table.sum(1) @ overlaps(table).max(1) / table.sum())


def matched_miou(table: np.ndarray) -> float:
    """Mean IoU of true regions under the best one-to-one matching with segments, in (0, 1]. Not symmetric.

    The matching maximises the sum of IoU (Hungarian method). The mean runs over *true regions*, each counting alike; a
    region left without a segment counts 0, a segment left without a region is not counted.
    """
    iou = overlaps(table)
    return float(iou[linear_sum_assignment(iou, maximize=True)].sum() / len(table))


def rand_index(table: np.ndarray) -> float:
    """Share of the pairs of pixels on which both segmentations agree (together or apart), in [0, 1]. Symmetric.

    Equation `eq-bench-rand` of the book.

    The mean over several human segmentations is the probabilistic Rand index (Unnikrishnan et al., TPAMI 2007;
    Arbelaez et al. 2011, equation 7). One pixel has no pairs and gives 1.
    """
    counts = table.astype(np.float64)
    pixels = counts.sum()
    if pixels < 2:
        return 1.0
    apart = 0.5 * ((counts.sum(1) ** 2).sum() + (counts.sum(0) ** 2).sum()) - (counts**2).sum()
    return float(1 - apart / (pixels * (pixels - 1) / 2))


def variation_of_information(table: np.ndarray) -> float:
    """H(truth | labels) + H(labels | truth) in bits, at least 0; 0 for equal segmentations. Symmetric, a metric.

    Equation `eq-bench-vi` of the book.

    Meila, "Comparing clusterings by the variation of information", COLT 2003; in bits as the BSDS benchmark has it.
    """
    joint, regions, segments = (entropy(counts, base=2) for counts in (table.ravel(), table.sum(1), table.sum(0)))
    return float(max(2 * joint - regions - segments, 0.0))


def score(truths: Sequence[np.ndarray], labels: np.ndarray) -> dict[str, float]:
    """Every measure of one segmentation against one or several true ones of the same picture.

    Returns
    -------
    dict
        `covering`, `miou`, `pri`, `vi`: means over the truths. As every truth covers all pixels, the mean covering is
        also (area covered) / (area) over all regions of all truths. `weight`: pixels times truths, what the BSDS
        benchmark weighs the picture's covering with. `regions`: mean number of regions of the truths, which says how
        much there is in the picture.
    """
    tables = [contingency(truth, labels) for truth in truths]
    measures = {"covering": covering, "miou": matched_miou, "pri": rand_index, "vi": variation_of_information}
    means = {name: float(np.mean([measure(table) for table in tables])) for name, measure in measures.items()}
    regions = float(np.mean([len(table) for table in tables]))
    return means | {"weight": float(sum(table.sum() for table in tables)), "regions": regions}


# ---------------------------------------------------------------------------------------------------------------------
# From pictures to a data set


@dataclass(frozen=True)
class Aggregate:
    """A measure over a data set.

    Attributes
    ----------
    ods : float
        With the one setting that is best for the whole data set ("optimal data set scale").
    setting : int
        The index of that setting; of several equal ones the first.
    ois : float
        With the best setting for each picture ("optimal image scale"); nan where that has no meaning.
    """

    ods: float
    setting: int
    ois: float = math.nan


def aggregate(values: np.ndarray, weights: np.ndarray, sign: int = 1) -> Aggregate:
    """ODS and OIS of one measure.

    Equation `eq-bench-ods` of the book.

    With weights w, ODS is the best over s of sum_p w_p v_ps / sum_p w_p, OIS = sum_p w_p (best of v_ps) / sum_p w_p.
    For covering with w = pixels x humans these are the BSDS benchmark's sums of covered area over sums of area, over
    all regions of all humans and pictures; for the Rand index and the variation of information that benchmark takes
    plain means over pictures, w = 1. The choice is made on the very pictures that are scored, as in that benchmark.

    Parameters
    ----------
    values : float (pictures, settings)
    weights : float (pictures,), positive
    sign : 1 or -1
        -1 if less is better.
    """
    ods, ois = drawn(values, weights, np.ones((1, len(values))), sign)[0]
    return Aggregate(float(ods), int(np.argmax(sign * (weights @ values))), float(ois))


def drawn(values: np.ndarray, weights: np.ndarray, draws: np.ndarray, sign: int = 1) -> np.ndarray:
    """ODS and OIS (m, 2) of `aggregate` where draws (m, pictures) say how often each picture is taken."""
    share = draws * weights
    share = share / share.sum(1, keepdims=True)
    signed = sign * values
    return sign * np.stack([(share @ signed).max(1), share @ signed.max(1)], 1)


def bootstrap(pictures: int, measure: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Numbers of a data set with 95% intervals, by drawing its pictures with replacement.

    Equation `eq-bench-paired` of the book, where the numbers are differences of two methods: the same pictures are then
    drawn for both. In each draw a method chooses its best setting anew, so that the interval includes the luck of that
    choice. Percentile interval, 2.5% to 97.5%.

    Parameters
    ----------
    pictures : int
    measure : callable
        From draws (m, pictures), how often each picture is taken, to the numbers (m, k) of each.

    Returns
    -------
    float64 (k, 3)
        Each number on all pictures, low, high.
    """
    draws = np.random.default_rng(SEED).multinomial(pictures, np.full(pictures, 1 / pictures), SAMPLES)
    found = measure(np.concatenate([np.ones((1, pictures)), draws]))
    return np.stack([found[0], *np.percentile(found[1:], [2.5, 97.5], axis=0)], 1)

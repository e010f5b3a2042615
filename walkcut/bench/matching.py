"""Clusters without names against classes with names: who is given which name, and what a wrong pixel costs.

All is read off *tables* class x cluster, one per picture (`class_table`): n[c, k] = labelled pixels of class c that lie
in cluster k. Two ways to give names, each a function from the tables to `Counts`:

- `field_matching`: as DiffSeg (Tian et al., CVPR 2024), DiffCut (Couairon et al., NeurIPS 2024) and others have it,
  with its two traps. For comparison with published numbers.
- `fair_matching`: one matching per picture in which no cluster is given a class that it does not touch.

Their numbers must not stand in one column; nor beside those of methods that cluster a whole data set and get one
matching for all of it, as a matching per picture lets a name change from picture to picture; nor beside those of a
matching for each row of pixels (`row_tables`), which lets it change from row to row.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy.optimize import linear_sum_assignment

from walkcut.errors import InputError
from walkcut.pixels import nearest


def class_table(truth: np.ndarray, labels: np.ndarray, classes: int, renumber: bool = True) -> np.ndarray:
    """Count the labelled pixels of each class in each cluster.

    Parameters
    ----------
    truth : int (H, W), -1..classes-1
        -1 = not labelled: not counted.
    labels : non-negative int (h, w)
        Clusters, at any size; read nearest at the truth's.
    classes : int
        Of the data set, C.
    renumber : bool
        Number the clusters 0..K-1 by falling size over *all* pixels, labelled or not, ties by first appearance. False
        keeps their numbers.

    Returns
    -------
    int64 (C, K)
        A cluster on unlabelled pixels alone is a column of zeros. It is kept: the field's protocol counts it among
        the clusters, and it shifts the numbers of smaller ones.

    Raises
    ------
    InputError
        If a map is no label map or the truth has a class out of range.
    """
    truth, clusters = numbered(truth, labels, classes, renumber)
    return _counted(truth, clusters, classes, int(clusters.max()) + 1)


def row_tables(truth: np.ndarray, labels: np.ndarray, classes: int, renumber: bool = True) -> Iterator[np.ndarray]:
    """Count as `class_table`, but each row of pixels as if it were a picture of its own.

    `field_matching` of these tables names every cluster anew in every row. Nobody describes such a protocol; by
    reading, the released script of Seg4Diff (Kim et al., NeurIPS 2025) follows it: `train_net.py` hands the map (H, W)
    of one picture to a function that expects many, (pictures, H, W), and matches along the first axis.

    The accuracy is never below that of one matching for the picture: that matching, restricted to a row, is among
    those that the row may choose from. The mIoU may be: a row with more clusters than classes invents false positives.

    Yields
    ------
    int64 (C, K)
        Of each row, from the top. Clusters have the numbers that `class_table` gives them in the whole picture.
    """
    truth, clusters = numbered(truth, labels, classes, renumber)
    width = max(classes, int(clusters.max()) + 1)
    return (_counted(*row, classes, width) for row in zip(truth, clusters, strict=True))


def _counted(truth: np.ndarray, clusters: np.ndarray, classes: int, width: int) -> np.ndarray:
    """The table of some pixels, int64 (classes, width)."""
    known = truth >= 0
    cells = truth[known].astype(np.int64) * width + clusters[known]
    return np.bincount(cells, minlength=classes * width).reshape(classes, width)


def numbered(
    truth: np.ndarray, labels: np.ndarray, classes: int, renumber: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """The truth, and the clusters at its size, numbered as `class_table` says; both checked."""
    truth, labels = np.asarray(truth), np.asarray(labels)
    for name, given, low in (("truth", truth, -1), ("labels", labels, 0)):
        if given.ndim != 2 or given.size == 0 or given.dtype.kind not in "iu" or given.min() < low:
            raise InputError(f"The {name} must be an integer map (H, W) of values from {low}, with at least one pixel.")
    if truth.max() >= classes:
        raise InputError(
            f"The truth holds class {truth.max()}, but there are only {classes} classes, 0..{classes - 1}."
        )
    clusters = nearest(labels, truth.shape)
    if renumber:
        small = clusters.astype(np.min_scalar_type(int(clusters.max())))  # which is sorted three times as fast
        _, first, inverse, size = np.unique(small, return_index=True, return_inverse=True, return_counts=True)
        clusters = np.argsort(np.lexsort((first, -size)))[inverse]  # the place of each in that order
    return truth, clusters.reshape(truth.shape).astype(np.int64)


@dataclass(frozen=True, eq=False)
class Counts:
    """What a matching makes of the pixels: sums over pictures give every score, so pictures can be drawn again.

    Attributes
    ----------
    hits, wrong, missed : int64 (pictures, C)
        True positives, false positives and false negatives of each class.
    void : int64 (pictures,)
        Labelled pixels in clusters without a class: false positives of no class. Each is also a false negative of its
        true class.
    """

    hits: np.ndarray
    wrong: np.ndarray
    missed: np.ndarray
    void: np.ndarray


@dataclass(frozen=True)
class Scores:
    """Of a data set.

    Attributes
    ----------
    miou : float in [0, 1]
        Mean of `iou` over the classes that have one.
    accuracy : float in [0, 1]
        Labelled pixels in a cluster of their own class.
    void : float in [0, 1]
        Labelled pixels in clusters without a class.
    iou : tuple of float or None
        Per class, true positives / (true + false positives + false negatives), each summed over pictures; None for a
        class with none of the three.
    """

    miou: float
    accuracy: float
    void: float
    iou: tuple[float | None, ...]


def scores(counts: Counts) -> Scores:
    """Sum over pictures, and score.

    Raises
    ------
    InputError
        If no pixel of any picture is labelled.
    """
    hits, wrong, missed = (part.sum(0) for part in (counts.hits, counts.wrong, counts.missed))
    labelled = int((hits + missed).sum())
    if not labelled:
        raise InputError("No pixel of these pictures is labelled: there is nothing to score.")
    iou = class_iou(hits, wrong, missed)
    each = tuple(None if np.isnan(value) else float(value) for value in iou)
    return Scores(float(np.nanmean(iou)), float(hits.sum() / labelled), float(counts.void.sum() / labelled), each)


def drawn(counts: Counts, draws: np.ndarray) -> np.ndarray:
    """mIoU and accuracy (m, 2), where draws (m, pictures) say how often each picture is taken.

    A draw's classes are those that occur in it. The matching, which is per picture, is not made again.
    """
    hits, wrong, missed = (draws @ part.astype(float) for part in (counts.hits, counts.wrong, counts.missed))
    iou = class_iou(hits, wrong, missed)
    some = np.isfinite(iou)
    miou = np.where(some, iou, 0).sum(1) / np.maximum(some.sum(1), 1)
    return np.stack([miou, hits.sum(1) / np.maximum((hits + missed).sum(1), 1)], 1)


def class_iou(hits: np.ndarray, wrong: np.ndarray, missed: np.ndarray) -> np.ndarray:
    """IoU of each class, the arrays' shape; nan where a class has neither hits nor misses of either kind.

    Equation `eq-bench-class` of the book.
    """
    union = hits + wrong + missed
    return np.divide(hits, union, out=np.full(np.shape(union), np.nan), where=union > 0)


def count(table: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> list[np.ndarray]:
    """Hits, wrong, missed (C,) and void, when class rows[i] is given cluster columns[i].

    Equation `eq-bench-counts` of the book.
    """
    hits, wrong = np.zeros((2, len(table)), np.int64)
    hits[rows] = own = table[rows, columns]
    wrong[rows] = (sizes := table.sum(0))[columns] - own
    return [hits, wrong, table.sum(1) - hits, sizes.sum() - sizes[columns].sum()]


def named(tables: Iterable[np.ndarray], pairs: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]) -> Counts:
    """What is counted when `pairs` says of each picture's table which classes are given which clusters."""
    found = [count(table, *pairs(table)) for table in tables]
    if len({len(hits) for hits, *_ in found}) != 1:
        raise InputError("Tables (classes, clusters) of one number of classes are needed, at least one.")
    return Counts(*(np.array(part) for part in zip(*found, strict=True)))


# ---------------------------------------------------------------------------------------------------------------------
# Two ways to give names


def field_matching(tables: Iterable[np.ndarray]) -> Counts:
    """The field's protocol: per picture, every class gets a cluster, for the largest overlap.

    Each table is padded with empty clusters to at least C columns and solved by SciPy's `linear_sum_assignment`. Two
    traps come with it; both are kept:

    - Below C clusters, *every* cluster is given to some class. Those that are left over when the overlap is made go
      to classes that the picture does not have, all equally good, and their pixels become false positives of
      whichever classes the solver's tie-break takes. So mIoU depends on how clusters are numbered (`numberings`);
      accuracy does not. A class that no picture has then counts as 0 in the mean.
    - Above C clusters, those without a class are in `void`: their false positives are charged to no class.

    Parameters
    ----------
    tables : int (C, K) each, K of each picture; or of each row, see `row_tables`
    """
    padded = (np.pad(t, ((0, 0), (0, len(t) - t.shape[1]))) if len(t) > t.shape[1] else t for t in tables)
    return named(padded, partial(linear_sum_assignment, maximize=True))


def numberings(tables: Sequence[np.ndarray], n: int = 20, seed: int = 0) -> tuple[float, float]:
    """Mean and standard deviation of the field's mIoU over n random numberings of every picture's clusters."""
    if n < 2:
        raise InputError(f"{n} numberings have no standard deviation: ask for at least 2.")
    rng, found = np.random.default_rng(seed), []
    for _ in range(n):
        shuffled = [table[:, rng.permutation(table.shape[1])] for table in tables]
        found.append(scores(field_matching(shuffled)).miou)
    return float(np.mean(found)), float(np.std(found, ddof=1))


def best_pairs(table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Classes and clusters of the one-to-one matching with the largest overlap; no pair without a common pixel.

    Equation `eq-bench-match` of the book.

    Of several such matchings, one with the largest sum of IoU; what is still equal is decided by what the clusters
    hold, never by their numbers. Pairs that share no pixel are dropped: they are arbitrary.
    """
    order = np.lexsort(table)  # columns by content: equal ones are interchangeable
    table = table[:, order]
    iou = table / np.maximum(table.sum(1, keepdims=True) + table.sum(0) - table, 1)
    rows, columns = linear_sum_assignment(table + iou / (min(table.shape) + 1), maximize=True)  # the sum stays below 1
    real = table[rows, columns] > 0
    return rows[real], order[columns[real]]


def fair_matching(tables: Iterable[np.ndarray]) -> Counts:
    """Per picture, the largest overlap; a wrong pixel counts once, and only against a class that has the cluster.

    Equation `eq-bench-once` of the book.

    A cluster is given to at most one class, and only to one of which it holds a pixel. The clusters that are left say
    nothing about any class, as a prediction "other" would: their pixels are missed by their true classes, and are
    false positives of `void`, of which the share is reported. So every labelled pixel is a hit, or else exactly one
    false negative and exactly one false positive: hits + missed = labelled, and wrong + void = missed, in sum.

    Example: classes a, b, c; clusters hold (a, b, c) = (6, 1, 0), (2, 0, 0), (0, 3, 0) pixels. The first is a's, the
    third is b's. a: 6 hits, 1 wrong, 2 missed, IoU 6/9; b: 3, 0, 1, IoU 3/4; void 2; c has none and gets no cluster.
    (The field's protocol gives the second cluster to c: 2 false positives of a class that is not there.)

    Total hits, and so the accuracy, are those of `field_matching`; where the largest overlap is unique, each class's
    IoU is at least the field's. Renumbering clusters changes nothing. Cutting a cluster that holds one class into two
    never raises the accuracy: one part at most can have the class, and the other nothing else.
    """
    return named(tables, best_pairs)

"""Boundary F-measure of the Berkeley benchmark, for segmentations into regions.

Boundaries of a label map are matched with those of each human, one pixel to one, within a distance
(Martin, Fowlkes & Malik, TPAMI 2004; Arbelaez, Maire, Fowlkes & Malik, TPAMI 2011, section 3.1.1). As in the code of
that benchmark (`seg2bdry`, `evaluation_bdry_image`, `collect_eval_bdry`):

- recall: boundary pixels of a human that are matched, summed over humans;
- precision: boundary pixels of the segmentation that are matched by *any* human;
- four counts per picture and setting, summed over pictures before F is taken.

Two things differ. That benchmark minimises the distance of pairs plus a cost of 100 times the largest distance per
unmatched pixel, which makes as many pairs as there can be unless a further one moved some hundred others. Here, near
pixels are paired first and the matching is then completed to as many pairs as there can be. So the counts of recall are
the same, but *which* pixels of the segmentation are paired may differ, and with it "matched by any human": by 0.3% at
most, 0.001 in F, over 20 photographs at three settings each. And no F is interpolated between two settings.
"""

from collections.abc import Sequence

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_flow
from skimage.morphology import thin

from walkcut.errors import InputError

DISTANCE = 0.0075  # of the picture's diagonal
Counts = tuple[int, int, int, int]  # matched and all boundary pixels for precision, matched and all for recall


def boundary_map(labels: np.ndarray) -> np.ndarray:
    """Pixels that differ from the one below, to the right, or below to the right; thinned to lines of one pixel.

    Parameters
    ----------
    labels : int (H, W)

    Returns
    -------
    bool (H, W)
        For the human segmentations of BSDS500, the boundaries that come with them, bit by bit.
    """
    around = np.pad(labels, ((0, 1), (0, 1)), mode="edge")
    here = around[:-1, :-1]
    return thin((here != around[1:, :-1]) | (here != around[:-1, 1:]) | (here != around[1:, 1:]))


class HumanBoundaries:
    """Boundaries of one picture's human segmentations, ready to be compared with many label maps.

    Parameters
    ----------
    truths : sequence of int (H, W)
        At least one, all of one size.
    distance : float
        Of two pixels that may be matched, at most, as a share of the diagonal.
    """

    def __init__(self, truths: Sequence[np.ndarray], distance: float = DISTANCE) -> None:
        self.shape = truths[0].shape
        longest = distance * np.hypot(*self.shape)
        self.margin = int(longest)
        reach = range(-self.margin, self.margin + 1)
        steps = [(y * y + x * x, y, x) for y in reach for x in reach if np.hypot(y, x) <= longest]
        self.width = self.shape[1] + 2 * self.margin
        self.steps = np.array([y * self.width + x for _, y, x in sorted(steps)])  # nearest first
        self.sizes, self.places = [], []
        for boundary in map(boundary_map, truths):
            place = np.full(self.shape, -1, np.int32)  # number of a boundary pixel
            place[boundary] = np.arange(boundary.sum())
            self.places.append(np.pad(place, self.margin, constant_values=-1).ravel())
            self.sizes.append(int(boundary.sum()))

    def counts(self, labels: np.ndarray) -> Counts:
        """Matched and all boundary pixels of a segmentation; matched and all of the humans, summed over them.

        Parameters
        ----------
        labels : int (H, W)

        Returns
        -------
        (matched by any human, boundary pixels of `labels`, matched pixels of humans, boundary pixels of humans)
        """
        if np.shape(labels) != self.shape:
            raise InputError(f"The true maps are {self.shape} and the labels {np.shape(labels)}: sizes must agree.")
        rows, columns = np.nonzero(boundary_map(labels))
        here = (rows + self.margin) * self.width + columns + self.margin
        near = here[:, None] + self.steps  # (boundary pixels, steps)
        by_any, pairs = np.zeros(len(here), bool), 0
        for place, size in zip(self.places, self.sizes, strict=True):
            matched = most_pairs(place[near], size)
            by_any |= matched
            pairs += int(matched.sum())
        return int(by_any.sum()), len(here), pairs, sum(self.sizes)


def nearest_pairs(found: np.ndarray, size: int) -> np.ndarray:
    """Pair pixels greedily, the nearest first.

    Parameters
    ----------
    found : int (n, steps)
        Number of the human's boundary pixel that lies at each step from each of ours, -1 for none.
    size : int
        Of the human's boundary.

    Returns
    -------
    int (n,)
        The partner of each of ours, -1 for none.
    """
    partner, left = np.full(len(found), -1), np.arange(len(found))
    free = np.append(np.ones(size, bool), False)  # the last stands for -1
    for step in range(found.shape[1]):  # one step leads no two pixels to the same place
        theirs = found[left, step]
        able = free[theirs]
        partner[left[able]] = theirs[able]
        free[theirs[able]] = False
        left = left[~able]
    return partner


def most_pairs(found: np.ndarray, size: int) -> np.ndarray:
    """Which of our boundary pixels are in a one-to-one matching with the human's that has the most pairs; bool (n,).

    `nearest_pairs` is completed: each unit that still flows from one of our single pixels, to and fro along pairs, to
    a single pixel of the human's is one pair more. No pixel loses its pair for another. (Hopcroft-Karp in SciPy 1.17
    takes minutes on some photographs; this flow does not.) Parameters as in `nearest_pairs`.
    """
    partner = nearest_pairs(found, size)
    matched = partner >= 0
    ours, step = np.nonzero(found >= 0)
    theirs = found[ours, step]
    paired = partner[ours] == theirs
    lone = np.setdiff1d(np.arange(size), partner)
    single = np.flatnonzero(~matched)
    source, sink = len(found) + size, len(found) + size + 1  # after ours and theirs
    theirs = theirs + len(found)
    tails = np.concatenate([np.where(paired, theirs, ours), np.full(len(single), source), lone + len(found)])
    heads = np.concatenate([np.where(paired, ours, theirs), single, np.full(len(lone), sink)])
    edges = np.ones(len(tails), np.int32), (tails.astype(np.int32), heads.astype(np.int32))
    flow = maximum_flow(csr_array(edges, shape=(sink + 1, sink + 1)), source, sink).flow
    first = slice(*flow.indptr[source : source + 2])  # what leaves the source
    matched[flow.indices[first][flow.data[first] > 0]] = True
    return matched


def f_measure(counts: np.ndarray) -> np.ndarray:
    """2 P R / (P + R) of counts (..., 4), in [0, 1]; P or R of no pixels is 0, and so is F of two zeros.

    Equation `eq-bench-f` of the book.
    """
    counts = np.asarray(counts, float)
    precision, recall = (counts[..., i] / np.maximum(counts[..., i + 1], 1) for i in (0, 2))
    return 2 * precision * recall / np.where(precision + recall > 0, precision + recall, 1)


def drawn(counts: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """F of a data set, summed before it is taken: with its one best setting (ODS), with each picture's best (OIS).

    Parameters
    ----------
    counts : int (pictures, settings, 4)
    draws : (m, pictures)
        How often each picture is taken.

    Returns
    -------
    float64 (m, 2)
    """
    pictures, settings, _ = counts.shape
    sums = (draws @ counts.reshape(pictures, -1)).reshape(-1, settings, 4)
    at_best = counts[np.arange(pictures), f_measure(counts).argmax(1)]  # of equal settings the first
    return np.stack([f_measure(sums).max(1), f_measure(draws @ at_best)], 1)

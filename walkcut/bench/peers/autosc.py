"""AutoSC as a baseline of DiffCut: the relative eigengap chooses the graph, and the number of segments, too."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from walkcut.bench.datasets import Item
from walkcut.bench.look import Looker
from walkcut.bench.method import Method, Result, in_range
from walkcut.bench.peers.common import (
    TOLERANCE,
    cluster_qr,
    rescaled_cosines,
    smallest_eigenvectors,
    unit,
)
from walkcut.bench.peers.diffcut import CLOSEST, assigned
from walkcut.errors import InputError
from walkcut.pixels import without_gaps

POWERS = (1.0, 5.0, 10.0, 15.0)
MOST = 30  # segments
ROUNDING = 1e-6  # the paper's epsilon: keeps the gap finite
GAPS = ("with the next", "before the next")


def relative_gaps(values: np.ndarray, which: str) -> np.ndarray:
    """Relative eigengap of k = 1, 2, ... from ascending eigenvalues (m,): float64 (m - 1,).

    "before the next" is the paper's (lambda_{k+1} - m_k) / (m_k + 1e-6) with m_k the mean of lambda_1 .. lambda_k,
    which is unbounded at k = 1: that is left out (-infinity). "with the next" takes lambda_{k+1} into the mean, as the
    authors of DiffCut do: the gap of k is then at most k, exactly 1 at k = 1, and one segment is a possible answer.
    """
    order = np.arange(1, len(values))
    if which == "with the next":
        means = np.cumsum(values)[1:] / (order + 1)
        return (values[1:] - means) / (means + ROUNDING)
    means = np.cumsum(values)[:-1] / order
    return np.where(order == 1, -np.inf, (values[1:] - means) / (means + ROUNDING))


def automatic_clusters(likeness: torch.Tensor, powers: tuple[float, ...], most: int) -> dict[str, np.ndarray]:
    """Clusters of the nodes under each reading of the gap, int64 (n,).

    Parameters
    ----------
    likeness : Tensor (n, n), in 0 to 1
        Its powers are the graphs to choose from.
    powers : tuple of float
    most : int
        Clusters.
    """
    spectra = [smallest_eigenvectors(likeness.pow(power).fill_diagonal_(1.0), most + 1) for power in powers]
    found = {}
    for which in GAPS:
        gaps = [relative_gaps(values, which) for values, _ in spectra]
        best = int(np.argmax([gap.max(initial=-np.inf) for gap in gaps]))
        count = int(np.argmax(gaps[best])) + 1 if len(likeness) > 2 else 1
        found[which] = cluster_qr(spectra[best][1][:, :count])
    return found


def autosc_method(looker: Looker, powers: tuple[float, ...] = POWERS, most: int = MOST) -> Method:
    """AutoSC (Fan, Tu, Zhang, Zhao & Zhang, NeurIPS 2022) on features, as work on diffusion features compares with it.

    The paper searches over ways to make a graph, and keeps the affinity matrix with the largest relative eigengap for
    the number of clusters it is given. To let the gap choose the number, too, is a baseline of DiffCut (Couairon et
    al., NeurIPS 2024, section 4.3). Our reading of that use: the graphs are powers of the rescaled cosine (the paper's
    own graphs, by regression and k nearest neighbours, are not tried); eigenvectors are those of the chosen graph;
    clusters by pivoted QR; then pixels as DiffCut assigns them. The gap is read in two ways, one setting each: see
    `relative_gaps`.

    Parameters
    ----------
    looker : Looker
    powers : tuple of float
    most : int
        Segments that the gap can choose.
    """
    powers = in_range("The powers of AutoSC", powers, 0, 1000)
    if most < 2:
        raise InputError(f"AutoSC must be allowed at least 2 segments, not {most}.")

    def run(item: Item) -> Iterator[Result]:
        seen = looker(item.image).features
        features = unit(seen)
        found = automatic_clusters(rescaled_cosines(features), powers, most)
        for which, clusters in found.items():
            labels = without_gaps(clusters.reshape(seen.grid))
            yield Result(f"gap {which}", assigned(features, labels, item.image.shape[:2]))

    settings = tuple(f"gap {which}" for which in GAPS)
    config = {"powers": powers, "most": most, "tolerance": TOLERANCE, "pixels": CLOSEST}
    return Method("AutoSC", settings, config, run, alone=settings, looker=looker)

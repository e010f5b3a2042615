"""AutoSC as a baseline of DiffCut: the relative eigengap chooses the graph, and the number of segments, too."""

from collections.abc import Iterator

import numpy as np
import torch

from walkcut.bench.datasets import Item
from walkcut.bench.look import Looker
from walkcut.bench.method import Method, Result
from walkcut.bench.peers.common import TOLERANCE, cluster_qr, rescaled_cosines, smallest_eigenvectors, unit
from walkcut.bench.peers.diffcut import CLOSEST, assigned
from walkcut.pixels import without_gaps

POWERS = (1.0, 5.0, 10.0, 15.0)
MOST = 30  # segments that the gap can choose
ROUNDING = 1e-6  # the paper's epsilon: keeps the gap finite
GAPS = ("gap with the next", "gap before the next")


def relative_gaps(values: np.ndarray) -> dict[str, np.ndarray]:
    """Relative eigengaps of k = 1, 2, ... from ascending eigenvalues (m,), by their names: float64 (m - 1,) each.

    "gap before the next" is the paper's (lambda_{k+1} - m_k) / (m_k + 1e-6) with m_k the mean of lambda_1 .. lambda_k,
    which is unbounded at k = 1: that is left out (-infinity). "gap with the next" takes lambda_{k+1} into the mean, as
    the authors of DiffCut do: the gap of k is then at most k, exactly 1 at k = 1, and one segment is a possible answer.
    """
    means = np.cumsum(values) / np.arange(1, len(values) + 1)
    with_next, before = ((values[1:] - mean) / (mean + ROUNDING) for mean in (means[1:], means[:-1]))
    before[:1] = -np.inf
    return {"gap with the next": with_next, "gap before the next": before}


def automatic_clusters(likeness: torch.Tensor) -> dict[str, np.ndarray]:
    """Clusters of the nodes under each reading of the gap, int64 (n,).

    The graphs to choose from are powers of `likeness` (n, n), which lies in 0 to 1.
    """
    spectra = [smallest_eigenvectors(likeness.pow(power).fill_diagonal_(1.0), MOST + 1) for power in POWERS]
    gaps, found = [relative_gaps(values) for values, _ in spectra], {}
    for name in GAPS:
        best = int(np.argmax([gap[name].max(initial=-np.inf) for gap in gaps]))
        count = int(np.argmax(gaps[best][name])) + 1 if len(likeness) > 2 else 1
        found[name] = cluster_qr(spectra[best][1][:, :count])
    return found


def autosc_method(looker: Looker) -> Method:
    """AutoSC (Fan, Tu, Zhang, Zhao & Zhang, NeurIPS 2022) on features, as work on diffusion features compares with it.

    The paper searches over ways to make a graph, and keeps the affinity matrix with the largest relative eigengap for
    the number of clusters it is given. To let the gap choose the number, too, is a baseline of DiffCut (Couairon et
    al., NeurIPS 2024, section 4.3). Our reading of that use: the graphs are powers of the rescaled cosine (the paper's
    own graphs, by regression and k nearest neighbours, are not tried); eigenvectors are those of the chosen graph;
    clusters by pivoted QR; then pixels as DiffCut assigns them. The gap is read in two ways, one setting each: see
    `relative_gaps`.
    """

    def run(item: Item) -> Iterator[Result]:
        seen = looker(item.image).features
        features = unit(seen)
        for name, clusters in automatic_clusters(rescaled_cosines(features)).items():
            labels = without_gaps(clusters.reshape(seen.grid))
            yield Result(name, assigned(features, labels, item.image.shape[:2]))

    config = {"powers": POWERS, "most": MOST, "tolerance": TOLERANCE, "pixels": CLOSEST}
    return Method("AutoSC", GAPS, config, run, alone=GAPS, looker=looker)

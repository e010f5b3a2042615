"""DiffCut: recursive NCut on features, then pixels by the concept they are closest to (Couairon et al. 2024)."""

from collections.abc import Iterator

import numpy as np
import torch
from scipy.ndimage import median_filter
from torch.nn import functional

from walkcut import refine
from walkcut.bench.datasets import Item
from walkcut.bench.look import Looker
from walkcut.bench.method import Method, Result
from walkcut.bench.peers.common import from_patches, indicators, rescaled_cosines, unit
from walkcut.graph import Graph
from walkcut.images import resize_image
from walkcut.pixels import pixel_labels, without_gaps
from walkcut.tree import partition

CLOSEST = "closest mean feature, bilinear"  # what `assigned` does, for a config
THRESHOLDS = {f"tau={tau:g}": tau for tau in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)}
PUBLISHED = ("tau=0.5", "tau=0.2")  # for SSD-1B, and for SD 1.4
ALPHA = 10.0  # power of the cosine
SIDE = 128  # pixels along the longer side on which PAMR works, as in the published evaluation


def assigned(unit_features: torch.Tensor, labels: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Each pixel to the segment whose mean feature is closest to the pixel's own, up-sampled: int32 (H, W).

    Closest by cosine; the length of a pixel's feature is the same for all segments, and up-sampling is linear: so
    likenesses are up-sampled, not features. Labels (h, w) are 0..m-1 without gaps.
    """
    means = functional.normalize(indicators(labels).T @ unit_features, dim=1)
    return without_gaps(pixel_labels(unit_features @ means.T, labels.shape, shape))


def polished(labels: np.ndarray, image: np.ndarray) -> np.ndarray:
    """PAMR and a 3x3 median at `SIDE` pixels along the longer side, as published; then up-sampled as patches are."""
    scale = min(1.0, SIDE / max(labels.shape))
    small = tuple(max(1, round(length * scale)) for length in labels.shape)
    members = indicators(labels).T.reshape(1, -1, *labels.shape)
    members = functional.interpolate(members, size=small, mode="area")[0]
    refined = refine.pamr(resize_image(image, small), members, refine.ITERATIONS, refine.DILATIONS).argmax(0)
    return from_patches(median_filter(refined.numpy(), 3), labels.shape)


def diffcut_method(looker: Looker, pamr: bool = False) -> Method:
    """DiffCut (Couairon, Shukor, Haugeard, Cord & Thome, NeurIPS 2024).

    The graph is the cosine of what the encoder's last self-attention passes on, to the power alpha; it is cut
    recursively while NCut is below tau; a pixel then goes to the segment whose mean feature is closest to its own.

    Ours: the features come from the shared look; the exact best split along the eigenvector where the authors try a
    hundred; and one recursion, pruned, for all tau. Cosines are rescaled to run from 0 to 1 before the power, as in the
    authors' released script, which made the published table.

    Parameters
    ----------
    looker : Looker
    pamr : bool
        Refine the segments by the picture's colours, then take a 3x3 median.
    """
    largest = max(THRESHOLDS.values())

    def run(item: Item) -> Iterator[Result]:
        seen = looker(item.image).features
        features, known = unit(seen), {}
        graph = Graph(rescaled_cosines(features).pow(ALPHA).fill_diagonal_(1.0))
        tree = partition(graph, seen.grid, smallest=1, max_ncut=largest)
        for setting, threshold in THRESHOLDS.items():
            labels = tree.labels(threshold)
            key = labels.tobytes()  # neighbouring thresholds often prune to the same patches
            if key not in known:
                found = assigned(features, labels, item.image.shape[:2])
                known[key] = polished(found, item.image) if pamr else found
            yield Result(setting, known[key])

    config: dict = {"alpha": ALPHA, "rescale": True, "max_ncut": largest, "pixels": CLOSEST}
    if pamr:
        config["pamr"] = {"side": SIDE, "iterations": refine.ITERATIONS, "dilations": refine.DILATIONS, "median": 3}
        config["pamr"]["sharpness"] = refine.SHARPNESS
    name, settings = "DiffCut" + ", PAMR" * pamr, tuple(THRESHOLDS)
    return Method(name, settings, config, run, alone=PUBLISHED, swept=settings, looker=looker)

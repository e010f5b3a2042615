"""DiffCut: recursive NCut on features, then pixels by the concept they are closest to (Couairon et al. 2024)."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from scipy.ndimage import median_filter
from torch.nn import functional

from walkcut import refine
from walkcut.bench.datasets import Item
from walkcut.bench.look import Looker
from walkcut.bench.method import Method, Result, in_range
from walkcut.bench.peers.common import from_patches, rescaled_cosines, unit
from walkcut.errors import InputError
from walkcut.graph import Graph
from walkcut.images import resize_image
from walkcut.pixels import pixel_labels, without_gaps
from walkcut.tree import PartitionTree, partition

CLOSEST = "closest mean feature, bilinear"  # what `assigned` does, for a config
THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)  # 0.5 for SSD-1B, 0.2 for SD 1.4


def feature_tree(
    unit_features: torch.Tensor, grid: tuple[int, int], alpha: float, max_ncut: float, rescale: bool = True
) -> PartitionTree:
    """The recursion, run once for all thresholds up to `max_ncut`, down to single patches.

    Parameters
    ----------
    unit_features : Tensor (h*w, d)
        Rows of length 1, or 0.
    grid : (h, w)
    alpha : float
        Power of the cosine.
    max_ncut : float in (0, 2]
    rescale : bool
        Whether cosines are made to run from 0 to 1 first; else negative ones count as 0.
    """
    if rescale:
        W = rescaled_cosines(unit_features)
    else:
        W = (unit_features @ unit_features.T).clamp(0, 1)
        W = (W + W.T) / 2
    return partition(Graph(W.pow(alpha).fill_diagonal_(1.0)), grid, smallest=1, max_ncut=max_ncut)


def concepts(unit_features: torch.Tensor, labels: np.ndarray) -> torch.Tensor:
    """How like each patch is to each segment's mean feature, (h*w, m); labels (h, w) are 0..m-1 without gaps."""
    members = functional.one_hot(torch.from_numpy(labels.ravel().astype(np.int64))).to(unit_features)
    means = functional.normalize(members.T @ unit_features, dim=1)
    return unit_features @ means.T


def assigned(unit_features: torch.Tensor, labels: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Each pixel to the segment whose mean feature is closest to the pixel's own, up-sampled: int32 (H, W).

    Closest by cosine; the length of a pixel's feature is the same for all segments, and up-sampling is linear: so
    likenesses are up-sampled, not features.
    """
    return without_gaps(pixel_labels(concepts(unit_features, labels), labels.shape, shape))


def polished(
    labels: np.ndarray, image: np.ndarray, side: int, iterations: int, dilations: tuple[int, ...]
) -> np.ndarray:
    """PAMR and a 3x3 median at `side` pixels along the longer side, as published; then up-sampled as patches are."""
    scale = min(1.0, side / max(labels.shape))
    small = tuple(max(1, round(length * scale)) for length in labels.shape)
    members = functional.one_hot(torch.from_numpy(labels.astype(np.int64))).permute(2, 0, 1).float()
    members = functional.interpolate(members[None], size=small, mode="area")[0]
    refined = refine.pamr(resize_image(image, small), members, iterations, dilations).argmax(0)
    return from_patches(median_filter(refined.numpy(), 3), labels.shape)


def diffcut_method(
    looker: Looker,
    thresholds: tuple[float, ...] = THRESHOLDS,
    published: tuple[float, ...] = (0.5, 0.2),
    alpha: float = 10.0,
    rescale: bool = True,
    pamr: bool = False,
    side: int = 128,
) -> Method:
    """DiffCut (Couairon, Shukor, Haugeard, Cord & Thome, NeurIPS 2024).

    The graph is the cosine of what the encoder's last self-attention passes on, to the power alpha; it is cut
    recursively while NCut is below tau; a pixel then goes to the segment whose mean feature is closest to its own.

    Ours: the features come from the shared look; the exact best split along the eigenvector where the authors try a
    hundred; and one recursion, pruned, for all tau. Cosines are rescaled to run from 0 to 1 before the power, as in the
    authors' released script, which made the published table.

    Parameters
    ----------
    looker : Looker
    thresholds : tuple of float in (0, 2]
    published : tuple of float
        Settings that stand for the paper's: 0.5 with SSD-1B, 0.2 with SD 1.4.
    alpha : float, positive
    rescale : bool
        Without it, negative cosines count as 0, and the others as they are.
    pamr : bool
        Refine the segments by the picture's colours, then take a 3x3 median.
    side : int
        Pixels along the longer side on which PAMR works; the published evaluation has 128.
    """
    thresholds = in_range("The thresholds of DiffCut", thresholds, 0, 2)
    if not 0 < alpha < np.inf or side < 1:
        raise InputError(f"DiffCut needs a positive power and at least one pixel, not {alpha} and {side}.")

    def pixels(features: torch.Tensor, labels: np.ndarray, image: np.ndarray) -> np.ndarray:
        found = assigned(features, labels, image.shape[:2])
        return polished(found, image, side, refine.ITERATIONS, refine.DILATIONS) if pamr else found

    def run(item: Item) -> Iterator[Result]:
        seen = looker(item.image).features
        features = unit(seen)
        tree = feature_tree(features, seen.grid, alpha, max(thresholds), rescale)
        yield from swept(tree, thresholds, lambda labels: pixels(features, labels, item.image))

    settings = tuple(f"tau={threshold:g}" for threshold in thresholds)
    usual = tuple(f"tau={tau:g}" for tau in published if tau in thresholds)
    config: dict = {"alpha": alpha, "rescale": rescale, "max_ncut": max(thresholds), "pixels": CLOSEST}
    if pamr:
        config["pamr"] = {"side": side, "iterations": refine.ITERATIONS, "dilations": refine.DILATIONS, "median": 3}
        config["pamr"]["sharpness"] = refine.SHARPNESS
    name = "DiffCut" + ", PAMR" * pamr
    return Method(name, settings, config, run, alone=usual, swept=settings, looker=looker)


def swept(
    tree: PartitionTree, thresholds: tuple[float, ...], pixels: Callable[[np.ndarray], np.ndarray]
) -> Iterator[Result]:
    """One result per threshold; neighbouring ones often prune to the same patches, whose pixels are found once."""
    known: dict[bytes, np.ndarray] = {}
    for threshold in thresholds:
        labels = without_gaps(tree.labels(threshold))
        key = labels.tobytes()
        if key not in known:
            known[key] = pixels(labels)
        yield Result(f"tau={threshold:g}", known[key])

"""MaskCut: cut off an object, mask it out, cut again (Wang et al. 2023)."""

from collections.abc import Iterator

import numpy as np
import torch
from scipy.ndimage import label as connected_components

from walkcut.bench.datasets import Item
from walkcut.bench.look import Looker
from walkcut.bench.method import Method, Result
from walkcut.bench.peers.common import PIXELS, from_patches, unit
from walkcut.graph import Graph
from walkcut.ncut import second_eigenvector

THRESHOLDS = (0.15, 0.4, 0.6, 0.8)  # of a cosine; 0.15 for DINO's features
COUNTS = (3, 5, 10)  # masks at most
PUBLISHED = ("tau=0.15, N=3", "tau=0.15, N=5")  # the paper's; that of DiffCut's table
WEAK = 1e-5  # weight of an edge below the threshold
SMALLEST = 0.01  # of the picture; a later mask that is no larger ends the search


def foreground(values: np.ndarray) -> np.ndarray:
    """The object in a map of the second eigenvector (h, w), bool.

    One side of the mean: the side with the largest deviation from zero, unless three or four of the picture's corners
    lie in it. Of that side, the connected piece around its largest value.
    """
    side = values > values.mean()
    peak = np.unravel_index(np.argmax(np.abs(values)), values.shape)
    corners = side[[0, 0, -1, -1], [0, -1, 0, -1]].sum()
    if corners >= 3 or not side[peak]:
        side, values = ~side, -values
    seed = np.unravel_index(np.argmax(values), values.shape)
    pieces, _ = connected_components(side)
    return side & (pieces == pieces[seed])


def masks(unit_features: torch.Tensor, grid: tuple[int, int], threshold: float, count: int) -> list[np.ndarray]:
    """At most `count` masks that do not overlap, bool (h, w), in the order in which they are found."""
    features, painted = unit_features.clone(), np.zeros(grid, bool)
    found: list[np.ndarray] = []
    while len(found) < count:
        W = torch.where(features @ features.T > threshold, 1.0, WEAK)
        y = second_eigenvector(Graph._trusted(torch.minimum(W, W.T)), twins=False).y
        mask = foreground(y.cpu().numpy().reshape(grid)) & ~painted
        if not mask.any() or (found and mask.mean() <= SMALLEST):
            break
        found.append(mask)
        painted |= mask
        features[torch.from_numpy(mask.ravel())] = 0
    return found


def maskcut_method(looker: Looker) -> Method:
    """MaskCut-like iteration (Wang, Girdhar, Yu & Misra, "Cut and Learn", CVPR 2023, section 3.2) on features.

    Patches are joined if their cosine is above tau; the second eigenvector of NCut gives an object; its features are
    set to zero, and the search goes on. Segments are the masks and the rest.

    Ours: features of the shared look instead of DINO's keys; a mask that covers nothing new ends the search; no
    conditional random field afterwards. Larger tau are tried besides, since these features are more alike than DINO's.
    """

    def run(item: Item) -> Iterator[Result]:
        seen = looker(item.image).features
        features = unit(seen)
        for threshold in THRESHOLDS:
            found = masks(features, seen.grid, threshold, max(COUNTS))
            for count in COUNTS:
                labels = np.zeros(seen.grid, np.int64)
                for number, mask in enumerate(found[:count], 1):
                    labels[mask] = number
                yield Result(f"tau={threshold:g}, N={count}", from_patches(labels, item.image.shape[:2]))

    settings = tuple(f"tau={threshold:g}, N={count}" for threshold in THRESHOLDS for count in COUNTS)
    config = {"weak": WEAK, "smallest": SMALLEST, "pixels": PIXELS}
    return Method("MaskCut", settings, config, run, alone=PUBLISHED, swept=settings, looker=looker)

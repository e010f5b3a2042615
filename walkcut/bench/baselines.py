"""Segmentations that look at the picture only: what a method must beat."""

from collections.abc import Iterator
from importlib.metadata import version

import numpy as np
import torch
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from skimage.color import rgb2lab
from skimage.graph import rag_mean_color
from skimage.segmentation import felzenszwalb, slic

from walkcut.bench.datasets import Item
from walkcut.bench.method import TRUE_K, Method, Result, library, true_counts
from walkcut.bench.peers.common import STARTS, kmeans
from walkcut.graph import Graph
from walkcut.images import resize_image
from walkcut.pixels import connected_parts, nearest, without_gaps
from walkcut.tree import partition

FELZENSZWALB_SCALES = {f"scale={s}": s for s in (10, 30, 60, 100, 200, 400, 700, 1000, 1500, 2000, 3000, 4000)}
KMEANS_COUNTS = {f"K={count}": count for count in (2, 4, 6, 8, 12, 16)}
FIT_PIXELS = 10_000
# SLIC + NCut
THRESHOLDS = (1e-5, 1e-4, 3e-4, 1e-3, 3e-3, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32)
SLIC_THRESHOLDS = {f"threshold={threshold:g}": threshold for threshold in THRESHOLDS}
SEGMENTS = 400  # super-pixels, about
COMPACTNESS = 30.0  # of super-pixels: weight of place against colour
# Mean shift
SPACES = (0.02, 0.04)  # h_s, in units of the longer side
RANGES = (4.0, 6.0, 8.0, 10.0, 12.0, 15.0)  # h_r, in units of CIELAB
BANDWIDTHS = {f"space={space:g}, colour={colour:g}": (space, colour) for space in SPACES for colour in RANGES}
SMALLEST = 3e-3  # region, as a share of the picture
SIDE = 240  # a picture with a longer side is shrunk to it first, and its labels are enlarged, nearest
LAB_STEPS = 1.3  # steps of a byte per unit of CIELAB: all colours fit


def colour_features(image: np.ndarray, position: float = 0.0) -> np.ndarray:
    """CIELAB colour of each pixel, float64 (H*W, 3), or (H*W, 5) with y and x.

    Position runs from 0 to `position` along the longer side, in units of CIELAB; 0 leaves it out.
    """
    lab = rgb2lab(image)
    height, width = lab.shape[:2]
    if position > 0:
        y, x = np.mgrid[:height, :width] * (position / max(height, width))
        lab = np.dstack([lab, y, x])
    return lab.reshape(height * width, -1)


def kmeans_labels(features: np.ndarray, count: int, seed: int = 0) -> np.ndarray:
    """Cluster pixels (N, d) into `count` groups, or as many as there are distinct pixels; int32 (N,).

    Beyond `FIT_PIXELS` pixels the centres are fitted to a random sample of that many.
    """
    few = len(features) <= FIT_PIXELS
    sample = features if few else np.random.default_rng(seed).choice(features, FIT_PIXELS, replace=False)
    return kmeans(sample, count, seed).predict(features)


def kmeans_method(position: float = 0.0, seed: int = 0) -> Method:
    """k-means on pixels, for a list of K, and as an oracle for the true number of regions of each kind of truth."""

    def run(item: Item) -> Iterator[Result]:
        features = colour_features(item.image, position)
        shape = item.image.shape[:2]
        for setting, count in KMEANS_COUNTS.items():
            yield Result(setting, kmeans_labels(features, count, seed).reshape(shape))
        for kind, count in true_counts(item).items():
            yield Result(TRUE_K, kmeans_labels(features, count, seed).reshape(shape), (kind,))

    config = {"features": "CIELAB", "position": position, "seed": seed, "starts": STARTS, "fit_pixels": FIT_PIXELS}
    config |= {"given": {TRUE_K: "K"}, **library("k-means", "scikit-learn", "sklearn")}
    name = "k-means, colour" + " and position" * (position > 0)
    return Method(name, (*KMEANS_COUNTS, TRUE_K), config, run, alone=(TRUE_K,))


def felzenszwalb_method(sigma: float = 0.8, min_size: int = 100) -> Method:
    """Graph-based segmentation (Felzenszwalb & Huttenlocher, IJCV 2004) over a list of scales."""

    def run(item: Item) -> Iterator[Result]:
        for setting, scale in FELZENSZWALB_SCALES.items():
            yield Result(setting, felzenszwalb(item.image, scale=scale, sigma=sigma, min_size=min_size))

    config = {"sigma": sigma, "min_size": min_size, "scikit-image": version("scikit-image")}
    return Method("Felzenszwalb", tuple(FELZENSZWALB_SCALES), config, run)


def slic_ncut_method() -> Method:
    """SLIC super-pixels (Achanta et al., TPAMI 2012), then recursive NCut (Shi & Malik 2000) on neighbouring regions.

    scikit-image's `slic` and `rag_mean_color`, whose weights are exp(-d^2 / 255) of mean colours, with the numbers of
    that library's example of a normalised cut. Its `cut_normalized` runs anew for every threshold, seconds each; here
    the recursion runs once, with exact splits, and is pruned. A node is tied to itself with weight 1, as there.
    """
    largest = max(SLIC_THRESHOLDS.values())

    def run(item: Item) -> Iterator[Result]:
        regions = without_gaps(slic(item.image, n_segments=SEGMENTS, compactness=COMPACTNESS, start_label=0))
        tree = partition(region_graph(item.image, regions), (1, regions.max() + 1), 1, max_ncut=largest)
        for setting, threshold in SLIC_THRESHOLDS.items():
            yield Result(setting, without_gaps(tree.labels(threshold)[0][regions]))

    settings, usual = tuple(SLIC_THRESHOLDS), ("threshold=0.001",)  # scikit-image's default
    config: dict = {"segments": SEGMENTS, "compactness": COMPACTNESS, "max_ncut": largest}
    config |= {"scikit-image": version("scikit-image")}
    return Method("SLIC + NCut", settings, config, run, alone=usual, swept=settings)


def region_graph(image: np.ndarray, regions: np.ndarray) -> Graph:
    """Neighbouring regions, tied by how like their mean colours are; `regions` (H, W) are 0..m-1 without gaps."""
    graph = rag_mean_color(image, regions, mode="similarity")
    W = torch.eye(len(graph), dtype=torch.float64)
    for a, b, weight in graph.edges(data="weight"):
        W[a, b] = W[b, a] = weight
    return Graph(W)


def fused(colours: np.ndarray, labels: np.ndarray, radius: float, passes: int = 10) -> np.ndarray:
    """Join neighbouring regions whose mean colours lie closer than `radius`, again and again; int32 (H, W).

    Parameters
    ----------
    colours : float (H, W, c)
    labels : int (H, W), 0..m-1
    radius : float
    passes : int
        At most; then regions are left as they are.
    """
    for _ in range(passes):
        count = int(labels.max()) + 1
        sizes = np.bincount(labels.ravel(), minlength=count)
        sums = [np.bincount(labels.ravel(), channel.ravel(), count) for channel in np.moveaxis(colours, -1, 0)]
        means = np.stack(sums, 1) / sizes[:, None]
        pairs = np.hstack([[labels[:-1].ravel(), labels[1:].ravel()], [labels[:, :-1].ravel(), labels[:, 1:].ravel()]])
        pairs = pairs[:, np.linalg.norm(means[pairs[0]] - means[pairs[1]], axis=1) < radius]
        graph = coo_array((np.ones(pairs.shape[1]), tuple(pairs)), shape=(count, count))
        joined, of_region = connected_components(graph, directed=False)
        labels = of_region[labels]
        if joined == count:
            break
    return labels.astype(np.int32)


def mean_shift_labels(image: np.ndarray, space: float, colour: float) -> np.ndarray:
    """Mean shift segmentation, int32 (H, W): filter, join pixels of one mode, fuse regions, drop the small.

    Parameters
    ----------
    image : uint8 (H, W, 3)
    space : float
        h_s, in units of the longer side.
    colour : float
        h_r, in units of CIELAB.
    """
    import cv2

    lab = rgb2lab(image) * LAB_STEPS + [0, 128, 128]
    radius = max(1.0, space * max(image.shape[:2]))
    whole = np.rint(lab).clip(0, 255).astype(np.uint8)
    colours = cv2.pyrMeanShiftFiltering(whole, radius, colour * LAB_STEPS, None, 0) / LAB_STEPS
    pixels = np.arange(image[..., 0].size).reshape(image.shape[:2])
    labels = fused(colours, fused(colours, pixels, 1.0, passes=1), colour / 2)
    return connected_parts(labels, round(SMALLEST * labels.size))


def mean_shift_method() -> Method:
    """Mean shift in space and colour (Comaniciu & Meer, TPAMI 2002, section 4.2), over bandwidths of both.

    OpenCV's filter moves each pixel to its mode; pixels of one mode are joined, then neighbouring regions closer than
    half the bandwidth of colour, as in the authors' own program (EDISON); small regions join the nearest one.
    """

    def run(item: Item) -> Iterator[Result]:
        height, width = item.image.shape[:2]
        scale = min(1.0, SIDE / max(height, width))
        small = resize_image(item.image, (max(1, round(height * scale)), max(1, round(width * scale))))
        for setting, bandwidths in BANDWIDTHS.items():
            yield Result(setting, nearest(mean_shift_labels(small, *bandwidths), (height, width)))

    config = {"smallest": SMALLEST, "side": SIDE} | library("Mean shift", "opencv-python-headless", "cv2")
    settings = tuple(BANDWIDTHS)
    return Method("mean shift", settings, config, run, swept=settings)

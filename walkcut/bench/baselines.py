"""Segmentations that look at the picture only: what a method must beat."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import version

import numpy as np
from skimage.color import rgb2lab
from skimage.segmentation import felzenszwalb

from walkcut.bench.datasets import Item
from walkcut.bench.method import Method, Result

TRUE_K = "true K"
FELZENSZWALB_SCALES = (10, 30, 60, 100, 200, 400, 700, 1000, 1500, 2000, 3000, 4000)
KMEANS_COUNTS = (2, 4, 6, 8, 12, 16)
FIT_PIXELS = 10_000


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

    Four k-means++ starts; beyond `FIT_PIXELS` pixels the centres are fitted to a random sample of that many.
    """
    from sklearn.cluster import KMeans

    rng = np.random.default_rng(seed)
    sample = features
    if len(features) > FIT_PIXELS:
        sample = features[rng.choice(len(features), FIT_PIXELS, replace=False)]
    count = min(count, len(np.unique(sample, axis=0)))
    return KMeans(count, n_init=4, random_state=seed).fit(sample).predict(features)


def kmeans_method(position: float = 0.0, counts: tuple[int, ...] = (), seed: int = 0) -> Method:
    """k-means on pixels; with no `counts`, K is the true number of regions of each kind of truth (an oracle)."""

    def run(item: Item) -> Iterator[Result]:
        features = colour_features(item.image, position)
        shape = item.image.shape[:2]
        for count in counts:
            yield Result(f"K={count}", kmeans_labels(features, count, seed).reshape(shape))
        if not counts:
            for kind, (truth, *_) in item.truths.items():
                labels = kmeans_labels(features, len(np.unique(truth)), seed)
                yield Result(TRUE_K, labels.reshape(shape), (kind,))

    config = {"features": "CIELAB", "position": position, "seed": seed, "starts": 4, "fit_pixels": FIT_PIXELS}
    return Method(
        "k-means, colour and position" if position > 0 else "k-means, colour",
        tuple(f"K={count}" for count in counts) or (TRUE_K,),
        config | {"scikit-learn": version("scikit-learn")},
        ("bench/baselines.py",),
        run,
    )


def felzenszwalb_method(
    scales: tuple[float, ...] = FELZENSZWALB_SCALES, sigma: float = 0.8, min_size: int = 100
) -> Method:
    """Graph-based segmentation (Felzenszwalb & Huttenlocher, IJCV 2004) over a list of scales."""

    def run(item: Item) -> Iterator[Result]:
        for scale in scales:
            yield Result(f"scale={scale:g}", felzenszwalb(item.image, scale=scale, sigma=sigma, min_size=min_size))

    config = {"sigma": sigma, "min_size": min_size, "scikit-image": version("scikit-image")}
    return Method("Felzenszwalb", tuple(f"scale={scale:g}" for scale in scales), config, ("bench/baselines.py",), run)

"""Clusters with a number that is given: k-means on features, scikit-learn's spectral clustering on the walk."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from walkcut.bench.datasets import Item
from walkcut.bench.look import Look, Looker
from walkcut.bench.method import TRUE_K, Method, Result, library, true_counts
from walkcut.bench.peers.common import PIXELS, cluster_qr, from_patches, unit
from walkcut.errors import InputError

CONSTANT = 6  # clusters, where the number is not the true one
STARTS = 4


def kmeans(features: np.ndarray, count: int, seed: int = 0) -> np.ndarray:
    """k-means of rows (n, d) into `count` clusters, or as many as there are rows distinct to six digits; int (n,)."""
    from sklearn.cluster import KMeans

    distinct = len(np.unique(features.round(6), axis=0))
    return KMeans(min(count, distinct), n_init=STARTS, random_state=seed).fit_predict(features)


def spectral_clusters(W: np.ndarray, seed: int = 0) -> Callable[[int], np.ndarray]:
    """scikit-learn's spectral clustering of an affinity (n, n): from K, at most n, to clusters, int (n,).

    What `SpectralClustering(K, affinity="precomputed", assign_labels="cluster_qr")` gives; the embedding, which takes
    all the time, is kept for a smaller K.
    """
    from sklearn.manifold import spectral_embedding

    kept = np.zeros((len(W), 0))

    def clusters(count: int) -> np.ndarray:
        nonlocal kept
        if count < 2 or count >= len(W):
            return np.zeros(len(W), np.int64) if count < 2 else np.arange(len(W))
        if kept.shape[1] < count:
            kept = spectral_embedding(W, n_components=count, random_state=seed, drop_first=False)
        return cluster_qr(kept[:, :count])

    return clusters


def counted(
    name: str,
    looker: Looker,
    start: Callable[[Look], tuple[Callable[[int], np.ndarray], tuple[int, int]]],
    config: dict,
    constant: int,
) -> Method:
    """A method with two settings: K the same for all pictures, and K true, an oracle.

    Parameters
    ----------
    name : str
    looker : Looker
    start : callable
        From a look to a function that clusters into K, and the grid (h, w) of what it returns, int (h*w,).
    config : dict
    constant : int
    """
    if constant < 1:
        raise InputError(f"{name} needs at least one cluster, not {constant}.")

    def run(item: Item) -> Iterator[Result]:
        clusters, grid = start(looker(item.image))
        counts = true_counts(item)
        shape = item.image.shape[:2]
        most_first = sorted({constant, *counts.values()}, reverse=True)
        known = {k: from_patches(clusters(k).reshape(grid), shape) for k in most_first}
        yield Result(f"K={constant}", known[constant])
        for kind, count in counts.items():
            yield Result(TRUE_K, known[count], (kind,))

    settings = (f"K={constant}", TRUE_K)
    config = {"given": {TRUE_K: "K"}, "pixels": PIXELS} | config
    return Method(name, settings, config, run, alone=settings, looker=looker)


def kmeans_features_method(looker: Looker, seed: int = 0, constant: int = CONSTANT) -> Method:
    """k-means on the features of patches, at length 1 so that distance is a matter of angle; K = 6, and K true.

    Both numbers are those of the k-means rows in DiffSeg's table (Tian et al. 2024), which clusters attention maps.
    """

    def start(look: Look) -> tuple[Callable[[int], np.ndarray], tuple[int, int]]:
        return partial(kmeans, unit(look.features).numpy(), seed=seed), look.features.grid

    config = {"seed": seed, "starts": STARTS, "features": "unit length"} | library("k-means", "scikit-learn")
    return counted("k-means, features", looker, start, config, constant)


def sklearn_spectral_method(looker: Looker, seed: int = 0, constant: int = CONSTANT) -> Method:
    """scikit-learn's `SpectralClustering` on the reversible form of our walk; K = 6, and K true.

    What a user of that library gets from the same graph as ours: one embedding by the K smallest eigenvectors of the
    normalised Laplacian, clusters by pivoted QR (`assign_labels="cluster_qr"`), no recursion and no threshold.
    """

    def start(look: Look) -> tuple[Callable[[int], np.ndarray], tuple[int, int]]:
        walk = look.walk
        W = walk.reversible().W.double().cpu().numpy()
        return spectral_clusters((W + W.T) / 2, seed), walk.grid

    config = {"seed": seed, "assign_labels": "cluster_qr"} | library("Spectral clustering", "scikit-learn")
    return counted("spectral clustering, scikit-learn", looker, start, config, constant)

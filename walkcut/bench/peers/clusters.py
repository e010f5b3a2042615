"""Clusters with a number that is given: k-means on features, scikit-learn's spectral clustering on the walk."""

from collections.abc import Callable, Collection, Iterator

import numpy as np

from walkcut.bench.datasets import Item
from walkcut.bench.look import Look, Looker
from walkcut.bench.method import TRUE_K, Method, Result, library, true_counts
from walkcut.bench.peers.common import PIXELS, STARTS, cluster_qr, from_patches, kmeans, unit

CONSTANT = 6  # clusters, where the number is not the true one
Clusters = dict[int, np.ndarray]  # by their number, which is in 0..number-1 for each patch, in the shape of the grid


def spectral_clusters(W: np.ndarray, counts: Collection[int], seed: int) -> Clusters:
    """scikit-learn's spectral clustering of an affinity (n, n), for several numbers of clusters; int (n,) each.

    What `SpectralClustering(K, affinity="precomputed", assign_labels="cluster_qr")` gives, with one embedding, which
    takes all the time, for all K.
    """
    from sklearn.manifold import spectral_embedding

    most = min(max(counts), len(W) - 1)
    vectors = spectral_embedding(W, n_components=most, random_state=seed, drop_first=False)
    return {count: cluster_qr(vectors[:, :count]) for count in counts}


def counted(name: str, looker: Looker, cluster: Callable[[Look, Collection[int]], Clusters], config: dict) -> Method:
    """A method with two settings: K the same for all pictures, and K true, an oracle."""

    def run(item: Item) -> Iterator[Result]:
        counts, shape = true_counts(item), item.image.shape[:2]
        clusters = cluster(looker(item.image), {CONSTANT, *counts.values()})
        found = {count: from_patches(labels, shape) for count, labels in clusters.items()}
        yield Result(f"K={CONSTANT}", found[CONSTANT])
        for kind, count in counts.items():
            yield Result(TRUE_K, found[count], (kind,))

    settings = (f"K={CONSTANT}", TRUE_K)
    config = {"given": {TRUE_K: "K"}, "pixels": PIXELS} | config
    return Method(name, settings, config, run, alone=settings, looker=looker)


def kmeans_features_method(looker: Looker, seed: int = 0) -> Method:
    """k-means on the features of patches, at length 1 so that distance is a matter of angle; K = 6, and K true.

    Both numbers are those of the k-means rows in DiffSeg's table (Tian et al. 2024), which clusters attention maps.
    """

    def cluster(look: Look, counts: Collection[int]) -> Clusters:
        features, grid = unit(look.features).numpy(), look.features.grid
        return {count: kmeans(features, count, seed).labels_.reshape(grid) for count in counts}

    config = {"seed": seed, "starts": STARTS, "features": "unit length"} | library("k-means", "scikit-learn", "sklearn")
    return counted("k-means, features", looker, cluster, config)


def sklearn_spectral_method(looker: Looker, seed: int = 0) -> Method:
    """scikit-learn's `SpectralClustering` on the reversible form of our walk; K = 6, and K true.

    What a user of that library gets from the same graph as ours: one embedding by the K smallest eigenvectors of the
    normalised Laplacian, clusters by pivoted QR (`assign_labels="cluster_qr"`), no recursion and no threshold.
    """

    def cluster(look: Look, counts: Collection[int]) -> Clusters:
        W, grid = look.walk.reversible().W.double().cpu().numpy(), look.walk.grid
        found = spectral_clusters((W + W.T) / 2, counts, seed)
        return {count: labels.reshape(grid) for count, labels in found.items()}

    config = {"seed": seed, "assign_labels": "cluster_qr"} | library("Spectral clustering", "scikit-learn", "sklearn")
    return counted("spectral clustering, scikit-learn", looker, cluster, config)

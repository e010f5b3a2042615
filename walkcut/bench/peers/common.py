"""What several peers share: likeness of features, a few eigenvectors, clusters, from patches to pixels."""

from contextlib import suppress
from typing import Any

import numpy as np
import torch
from scipy.linalg import eigh, qr, svd
from scipy.sparse.linalg import ArpackError, LinearOperator, eigsh
from torch.nn import functional

from walkcut.lab.recorders import Features
from walkcut.pixels import pixel_labels, without_gaps

PIXELS = "bilinear membership of patches, the largest wins"  # what `from_patches` does, for a config
TOLERANCE = 1e-4  # of eigenvalues, relative
STARTS = 4  # of k-means


def unit(features: Features) -> torch.Tensor:
    """Features (h*w, d) at length 1, on the CPU; a patch without features keeps length 0."""
    return functional.normalize(features.values.float().cpu(), dim=1)


def rescaled_cosines(unit_features: torch.Tensor) -> torch.Tensor:
    """Cosines (n, n), shifted and scaled to run from 0 to 1; all 1 where there is only one cosine."""
    cosines = unit_features @ unit_features.T
    cosines = (cosines + cosines.T) / 2  # a product of a matrix with itself is symmetric up to rounding
    low, high = cosines.aminmax()
    return torch.ones_like(cosines) if high - low < 1e-6 else (cosines - low) / (high - low)


def smallest_eigenvectors(W: torch.Tensor, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The smallest eigenvalues of 1 - D^-1/2 W D^-1/2, ascending, and D^-1/2 times their vectors.

    Parameters
    ----------
    W : Tensor (n, n), symmetric, non-negative, with positive row sums
    count : int
        At most n are returned.

    Returns
    -------
    values : float64 (count,)
    vectors : float64 (n, count)
    """
    n, root = len(W), W.sum(1).double().sqrt().numpy()
    normal = (W.numpy() / root[:, None] / root).astype(W.numpy().dtype)
    found = None
    if n > 4 * count:
        operator = LinearOperator((n, n), matvec=lambda x: normal @ x.astype(normal.dtype), dtype=np.float64)
        with suppress(ArpackError):  # what follows is slow and sure
            found = eigsh(operator, count, which="LA", v0=np.random.default_rng(0).normal(size=n), tol=TOLERANCE)
    values, vectors = eigh(normal.astype(np.float64)) if found is None else found
    first = np.argsort(-values, kind="stable")[:count]
    return np.maximum(1 - values[first], 0), vectors[:, first] / root[:, None]


def kmeans(points: np.ndarray, count: int, seed: int) -> Any:
    """scikit-learn's k-means, fitted to points (n, d), from four k-means++ starts.

    It has `count` clusters, or as many as there are points distinct to six digits.
    """
    from sklearn.cluster import KMeans

    distinct = len(np.unique(points.round(6), axis=0))
    return KMeans(min(count, distinct), n_init=STARTS, random_state=seed).fit(points)


def cluster_qr(vectors: np.ndarray) -> np.ndarray:
    """Clusters from spectral vectors (n, k), by pivoted QR: no start, no iteration; int64 (n,) in 0..k-1.

    k rows are chosen that point apart; every row goes to the one it points along (Damle, Minden & Ying, "Simple,
    direct and efficient multi-way spectral clustering", 2019, algorithm 1).
    """
    k = vectors.shape[1]
    _, _, pivots = qr(vectors.T, mode="economic", pivoting=True)
    left, _, right = svd(vectors[pivots[:k]].T)
    return np.abs(vectors @ (left @ right)).argmax(1)


def from_patches(labels: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Labels of patches (h, w) to labels of pixels (H, W): membership of 0 or 1 a patch, up-sampled as ours is."""
    return without_gaps(pixel_labels(indicators(without_gaps(labels)), labels.shape, shape))


def indicators(labels: np.ndarray) -> torch.Tensor:
    """float32 (n, m): for each of n labels, of 0..m-1, a row with a one at its place."""
    return functional.one_hot(torch.from_numpy(labels.ravel().astype(np.int64))).float()

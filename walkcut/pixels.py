"""From patches to pixels."""

from __future__ import annotations

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt
from skimage.measure import label as connected_components
from torch.nn import functional

from walkcut.errors import InputError
from walkcut.walk import Walk

STRIP = 2**20  # pixels times segments held at once


def soft_membership(walk: Walk, labels: np.ndarray, stay: float = 0.5) -> torch.Tensor:
    """In which segment is a walker after its next step, if it stays where it is with probability `stay`?

    Equation `eq-pixels-soft` of the book.

    Parameters
    ----------
    walk : Walk on a grid (h, w)
    labels : int (h, w), 0..m-1
    stay : float in [0, 1]
        0 is the plain walk; attention is broad, so its walkers are drawn to large segments. At 1/2 or more, a patch
        belongs to its own segment first, and the walk decides between patches.

    Returns
    -------
    Tensor (h*w, m), rows sum to 1: column s is stay 1_s + (1 - stay) P 1_s.
    """
    if not 0 <= stay <= 1:
        raise InputError(f"The probability to stay must lie in [0, 1], not {stay}.")
    labels = np.asarray(labels)
    if labels.shape != walk.grid:
        raise InputError(f"Labels of shape {labels.shape} do not fit a walk on {walk.grid[0]}x{walk.grid[1]} patches.")
    indicator = functional.one_hot(torch.from_numpy(labels.ravel().astype(np.int64)))  # (n, m)
    seen = walk.expect(indicator)
    return stay * indicator.to(seen) + (1 - stay) * seen


def _upsampler(size: int, patches: int) -> torch.Tensor:
    """(size, patches): bilinear interpolation along one side, as a matrix."""
    return functional.interpolate(torch.eye(patches)[None], size=size, mode="linear")[0].T


def pixel_labels(membership: torch.Tensor, grid: tuple[int, int], shape: tuple[int, int]) -> np.ndarray:
    """Up-sample memberships bilinearly and give each pixel to the segment it belongs to most.

    Equation `eq-pixels-up` of the book.

    Parameters
    ----------
    membership : Tensor (h*w, m)
    grid : (h, w)
    shape : (H, W) of the picture

    Returns
    -------
    int32 (H, W), 0..m-1
    """
    (h, w), (height, width) = grid, shape
    segments = membership.shape[1]
    down, across = _upsampler(height, h), _upsampler(width, w)
    wide = (across @ membership.float().cpu().reshape(h, w, segments)).flatten(1)  # (h, W * m)
    rows = max(1, STRIP // (segments * width))
    # segments last: the largest of neighbours in memory is found many times faster than across pictures
    strips = [(part @ wide).view(-1, width, segments).argmax(2) for part in down.split(rows)]
    return torch.cat(strips).to(torch.int32).numpy()


def connected_parts(labels: np.ndarray, smallest: int) -> np.ndarray:
    """Split segments into connected pieces: things apart are told apart, also where they are of one material.

    Parameters
    ----------
    labels : int (H, W)
    smallest : int
        Pieces of fewer pixels (4-neighbours connected) go to the nearest piece that is large enough.

    Returns
    -------
    int32 (H, W), 0..m-1 without gaps
    """
    pieces = connected_components(np.asarray(labels), connectivity=1, background=-1)
    small = np.bincount(pieces.ravel())[pieces] < smallest
    if small.any() and not small.all():
        nearest = distance_transform_edt(small, return_distances=False, return_indices=True)
        pieces = pieces[tuple(nearest)]
    return without_gaps(pieces)


def nearest(labels: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Labels (h, w) at another size (H, W): each pixel takes the label under its centre."""
    rows, columns = ((2 * np.arange(new) + 1) * old // (2 * new) for old, new in zip(labels.shape, shape, strict=True))
    return labels[rows[:, None], columns]


def without_gaps(labels: np.ndarray) -> np.ndarray:
    """The same segments, numbered 0..m-1 in the order of their labels; int32, same shape."""
    return np.unique(labels, return_inverse=True)[1].reshape(labels.shape).astype(np.int32)

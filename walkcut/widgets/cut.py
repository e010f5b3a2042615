"""Drag a cut along a sorted eigenvector, and see what it costs."""

from __future__ import annotations

import numpy as np
import torch
from scipy.linalg import eigh

from walkcut.capture import Grid
from walkcut.errors import InputError
from walkcut.graph import Affinity
from walkcut.ncut import crossing
from walkcut.threads import single_threaded
from walkcut.widgets.encode import LEVELS, photo, words
from walkcut.widgets.inline import Figure, inline_module


def cut_explorer(
    image: np.ndarray, grid: Grid, y: np.ndarray, leaving: np.ndarray, entering: np.ndarray, width: int = 480
) -> Figure:
    """A sorted eigenvector as a curve beside the picture: choose a split, by mouse, touch or keyboard.

    Parameters
    ----------
    image : uint8 (H, W, 3)
    grid : (h, w)
        Of patches, N = h*w.
    y : array (N,) or (m, N)
        One number for each patch; the sides of a split are the patches of smallest y, and the others. Of m
        eigenvectors, second, third and so on, one is shown at a time; `sweeps` gives them all.
    leaving, entering : array (N-1,) or (m, N-1), probabilities
        That a walker leaves the 1, 2, ..., N-1 patches of smallest y at the next step, and that one leaves the others.
        Their sum is the NCut of the split.
    width : int
        Of the picture in the page, in pixels.
    """
    given = [np.atleast_2d(array) for array in (y, leaving, entering)]
    n = grid[0] * grid[1]
    if len({len(array) for array in given}) > 1:
        raise InputError("Every eigenvector needs escapes of its own: give as many rows of leaving and of entering.")
    state = {
        "grid": grid,
        **photo(image, width),
        "vectors": [_vector(n, *rows) for rows in zip(*given, strict=True)],
    }
    return inline_module("cut", state, "This figure needs JavaScript: drag the split and see what the cut costs.")


def sweeps(graph: Affinity, count: int = 4) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The eigenvectors after the constant one, and both escapes of all their splits, for `cut_explorer`.

    Parameters
    ----------
    graph : Affinity
        Symmetric, on n nodes, each with an edge.
    count : int
        Of eigenvectors, 1 to n - 1: the second, third, and so on, of (D - W) y = lambda D y.

    Returns
    -------
    y (count, n), leaving (count, n-1), entering (count, n-1)
        The entry of largest magnitude of each y is positive.
    """
    if not 0 < count < len(graph):
        raise InputError(
            f"{len(graph)} nodes have 1 to {len(graph) - 1} eigenvectors after the constant one, not {count}."
        )
    degrees = graph.degrees.double().cpu().numpy()
    if not degrees.min() > 0:
        raise InputError("A node without an edge cannot be placed along an eigenvector: leave it out.")
    W = graph.matvec(torch.eye(len(graph))).double().cpu().numpy()
    with single_threaded():
        _, vectors = eigh(np.diag(degrees) - W, np.diag(degrees), subset_by_index=[1, count])
    y = vectors.T * np.sign(vectors[abs(vectors).argmax(0), range(count)])[:, None]
    leaving, entering = np.empty((2, count, len(graph) - 1))
    for row, order in enumerate(np.argsort(y, axis=1, kind="stable")):
        volume = degrees[order].cumsum()
        gains = graph.association_gains(torch.from_numpy(order).to(graph.degrees.device)).double().cpu().numpy()
        cut = crossing(degrees[order], gains)
        # in float32 a patch may seem to sever a little more than it has
        sides = volume[:-1], volume[-1] - volume[:-1]
        leaving[row], entering[row] = (np.minimum(cut / side, 1) for side in sides)
    return y, leaving, entering


def _vector(n: int, y: np.ndarray, leaving: np.ndarray, entering: np.ndarray) -> dict[str, object]:
    """One eigenvector, two bytes a number."""
    _check(n, y, leaving, entering)
    y, order = np.asarray(y, float), np.argsort(y, kind="stable")
    span = max(float(np.ptp(y)), 1e-300)
    return {
        "order": words(order),
        "y": words(LEVELS * (y[order] - y.min()) / span),  # stretched over the levels
        "zero": float(f"{-y.min() / span:.4g}"),  # where 0 lies between the ends
        "leaving": words(LEVELS * np.clip(leaving, 0, 1)),
        "entering": words(LEVELS * np.clip(entering, 0, 1)),
        "best": int(np.argmin(np.add(leaving, entering))) + 1,
        "sign": int(np.clip((y < 0).sum(), 1, n - 1)),
    }


def _check(n: int, y: np.ndarray, leaving: np.ndarray, entering: np.ndarray) -> None:
    """Raise an InputError unless the three fit n patches, and two of them are probabilities."""
    for name, array, length in (("y", y, n), ("leaving", leaving, n - 1), ("entering", entering, n - 1)):
        if np.shape(array) != (length,) or not np.isfinite(array).all():
            raise InputError(f"{n} patches need {length} finite numbers in {name}, not {np.shape(array)}.")
    if n > LEVELS + 1:
        raise InputError(f"This figure numbers at most {LEVELS + 1} patches, not {n}: choose a coarser grid.")
    probabilities = np.array([leaving, entering])
    if probabilities.min() < -1e-9 or probabilities.max() > 1 + 1e-9:
        low, high = probabilities.min(), probabilities.max()
        raise InputError(f"A probability to leave lies in 0..1; these reach from {low:.3g} to {high:.3g}.")

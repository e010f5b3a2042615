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


def cut_explorer(image: np.ndarray, grid: Grid, graph: Affinity) -> Figure:
    """A sorted eigenvector as a curve beside the picture: choose a split, by mouse, touch or keyboard.

    Parameters
    ----------
    image : uint8 (H, W, 3)
    grid : (h, w)
        Of patches.
    graph : Affinity
        Of h*w nodes, see `sweeps`. One of its eigenvectors is shown at a time; the sides of a split are the patches of
        smallest y, and the others.
    """
    vectors = [_vector(*rows) for rows in zip(*sweeps(graph), strict=True)]
    state = {"grid": grid, **photo(image, 480), "vectors": vectors}
    return inline_module("cut", state, "This figure needs JavaScript: drag the split and see what the cut costs.")


def sweeps(graph: Affinity, count: int = 4) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The eigenvectors after the constant one, and both escapes of all their splits.

    Parameters
    ----------
    graph : Affinity
        Symmetric, on n nodes, each with an edge.
    count : int
        Of eigenvectors, at most the n - 1 that there are: the second, third, and so on, of (D - W) y = lambda D y.

    Returns
    -------
    y (count, n), leaving (count, n-1), entering (count, n-1)
        The entry of largest magnitude of each y is positive. The others are the probabilities that a walker leaves the
        1, 2, ..., n - 1 nodes of smallest y at the next step, and that one leaves the others: in sum, the split's NCut.
    """
    count = min(count, len(graph) - 1)
    degrees = graph.degrees.cpu().numpy()
    if not degrees.min() > 0:
        raise InputError("A node without an edge cannot be placed along an eigenvector: leave it out.")
    W = graph.matvec(torch.eye(len(graph))).cpu().numpy()
    with single_threaded():
        _, vectors = eigh(np.diag(degrees) - W, np.diag(degrees), subset_by_index=[1, count])
    y = vectors.T * np.sign(vectors[abs(vectors).argmax(0), range(count)])[:, None]
    leaving, entering = np.empty((2, count, len(graph) - 1))
    for row, order in enumerate(np.argsort(y, axis=1, kind="stable")):
        volume = degrees[order].cumsum()
        gains = graph.association_gains(torch.from_numpy(order)).cpu().numpy()
        cut = crossing(degrees[order], gains)
        # in float32 a patch may seem to sever a little more than it has
        sides = volume[:-1], volume[-1] - volume[:-1]
        leaving[row], entering[row] = (np.minimum(cut / side, 1) for side in sides)
    return y, leaving, entering


def _vector(y: np.ndarray, leaving: np.ndarray, entering: np.ndarray) -> dict[str, object]:
    """One eigenvector, two bytes a number."""
    order = np.argsort(y, kind="stable")
    span = max(float(np.ptp(y)), 1e-300)
    return {
        "order": words(order),
        "y": words(LEVELS * (y[order] - y.min()) / span),  # stretched over the levels
        "zero": float(f"{-y.min() / span:.4g}"),  # where 0 lies between the ends
        "leaving": words(LEVELS * leaving),
        "entering": words(LEVELS * entering),
        "best": int(np.argmin(leaving + entering)) + 1,
        "sign": int((y < 0).sum()),
    }

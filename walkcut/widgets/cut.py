"""Drag a cut along the sorted second eigenvector, and see what it costs."""

from __future__ import annotations

import numpy as np
from IPython.display import HTML

from walkcut.attention import Grid
from walkcut.errors import InputError
from walkcut.widgets.encode import LEVELS, photo, words
from walkcut.widgets.inline import inline_module


def cut_explorer(
    image: np.ndarray, grid: Grid, y: np.ndarray, leaving: np.ndarray, entering: np.ndarray, width: int = 480
) -> HTML:
    """The sorted eigenvector as a curve beside the picture: choose a split, by mouse, touch or keyboard.

    Parameters
    ----------
    image : uint8 (H, W, 3)
    grid : (h, w)
        Of patches, N = h*w.
    y : array (N,)
        One number for each patch; the sides of a split are the patches of smallest y, and the others.
    leaving, entering : array (N-1,), probabilities
        That a walker leaves the 1, 2, ..., N-1 patches of smallest y at the next step, and that one leaves the others.
        Their sum is the NCut of the split.
    width : int
        Of the picture in the page, in pixels.
    """
    n = grid[0] * grid[1]
    _check(n, y, leaving, entering)
    y, order = np.asarray(y, float), np.argsort(y, kind="stable")
    span = max(float(np.ptp(y)), 1e-300)
    state = {
        "grid": grid,
        **photo(image, width),
        "order": words(order),
        "y": words(LEVELS * (y[order] - y.min()) / span),  # stretched over the levels
        "zero": float(f"{-y.min() / span:.4g}"),  # where 0 lies between the ends
        "leaving": words(LEVELS * np.clip(leaving, 0, 1)),
        "entering": words(LEVELS * np.clip(entering, 0, 1)),
        "best": int(np.argmin(np.add(leaving, entering))) + 1,
        "sign": int(np.clip((y < 0).sum(), 1, n - 1)),
    }
    return inline_module("cut", state, "This figure needs JavaScript: drag the split and see what the cut costs.")


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

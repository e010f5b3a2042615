"""Choose two patches of a picture and see where walkers from each of them go."""

from __future__ import annotations

import numpy as np
import torch

from walkcut.capture import AttentionMaps, Grid
from walkcut.walk import Walk
from walkcut.widgets.encode import LEVELS, photo, stretched, viridis, words
from walkcut.widgets.inline import Figure, inline_module


def attention_explorer(image: np.ndarray, attention: AttentionMaps) -> Figure:
    """Two patches, chosen by mouse, touch or keyboard, and where their walkers are after k steps, on each grid.

    The page takes the steps itself, 1 to 16 of them; "forever" is the stationary law. The picture is dimmed by the root
    of each patch's share of the largest, or in its place the shares themselves are shown in colours.

    Parameters
    ----------
    image : uint8 (H, W, 3)
    attention : AttentionMaps
        Each grid's matrix is a walk of its own. A grid of N patches puts 4/3 N^2 bytes into the page: keep the finest
        near 32 patches a side.
    """
    grids = sorted(attention.maps, key=lambda grid: -grid[0] * grid[1])
    state = {
        **photo(image, 400),
        "colours": viridis(),
        "grids": [_quantised(attention.maps[grid], grid) for grid in grids],
    }
    return inline_module("attention", state, "This figure needs JavaScript: see where walkers go from two patches.")


def _quantised(matrix: torch.Tensor, grid: Grid) -> dict:
    """One byte for every probability, the stationary law, and `errors`: see `walkcut.widgets.encode.stretched`."""
    stored, errors = stretched(matrix.cpu().numpy())
    law = Walk(matrix, grid).stationary().law.cpu().numpy()
    return {"shape": grid, **stored, "law": words(LEVELS * law / law.max()), "errors": errors}

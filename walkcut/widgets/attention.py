"""Point at a patch of a picture and see where it looks."""

from __future__ import annotations

import numpy as np
import torch
from IPython.display import HTML

from walkcut.attention import AttentionMaps, Grid
from walkcut.widgets.encode import octets, photo, viridis
from walkcut.widgets.inline import inline_module


def attention_explorer(image: np.ndarray, attention: AttentionMaps, width: int = 480) -> HTML:
    """A picture whose patches can be chosen by mouse, touch or keyboard, and where the chosen one looks on each grid.

    Parameters
    ----------
    image : uint8 (H, W, 3)
    attention : AttentionMaps
        Patches are chosen on the coarsest grid; a finer grid's rows are averaged over the patches that one covers.
        A grid of N patches puts N times N_coarse bytes into the page: keep the finest near 32 patches a side.
    width : int
        Of the picture in the page, in pixels.
    """
    coarse = min(attention.maps, key=lambda grid: grid[0] * grid[1])
    state = {
        "queries": coarse,
        **photo(image, width),
        "colours": viridis(),
        "grids": [_quantised(matrix, grid, coarse) for grid, matrix in attention.maps.items()],
    }
    return inline_module("attention", state, "This figure needs JavaScript: point at a patch and see where it looks.")


def _quantised(matrix: torch.Tensor, grid: Grid, coarse: Grid) -> dict:
    """One byte per query and key: each row stretched over 0 to 255; its ends in multiples of the even share."""
    (h, w), (hq, wq) = grid, coarse
    rows = matrix.cpu().double().view(hq, h // hq, wq, w // wq, h * w).mean((1, 3)).view(hq * wq, h * w)
    low, high = rows.amin(1, keepdim=True), rows.amax(1, keepdim=True)
    stretched = 255 * (rows - low) / (high - low).clamp_min(1e-30)
    ends = {name: [float(f"{e:.3g}") for e in (end * h * w).flatten()] for name, end in (("low", low), ("high", high))}
    return {"shape": grid, "peak": rows.argmax(1).tolist(), "rows": octets(stretched.numpy()), **ends}

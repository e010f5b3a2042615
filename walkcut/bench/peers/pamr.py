"""Pixel-adaptive mask refinement: masks flow between neighbours of like colour (Araslanov & Roth 2020)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch.nn import functional

from walkcut.errors import InputError

ITERATIONS = 10
DILATIONS = (1, 2, 4, 8)  # as DiffCut has it; up to 24 in the paper it comes from
SHARPNESS = 0.1  # of a difference, in units of the local standard deviation
CENTRE = (0, 0)
AROUND = tuple((y, x) for y in (-1, 0, 1) for x in (-1, 0, 1) if (y, x) != CENTRE)


def shifted(maps: torch.Tensor, dilation: int, steps: tuple[tuple[int, int], ...] = AROUND) -> Iterator[torch.Tensor]:
    """Maps (c, H, W) as seen by their neighbours `dilation` pixels away; the border is repeated outwards."""
    height, width = maps.shape[1:]
    padded = functional.pad(maps[None], [dilation] * 4, mode="replicate")[0]
    for y, x in steps:
        top, left = dilation * (1 + y), dilation * (1 + x)
        yield padded[:, top : top + height, left : left + width]


def weights(image: torch.Tensor, dilations: tuple[int, ...]) -> torch.Tensor:
    """How much each pixel listens to each neighbour, (8 len(dilations), H, W), summing to 1 over neighbours.

    The softmax of -|x_i - x_j| / (0.1 sigma_i), averaged over channels, where sigma_i is the standard deviation of the
    colours around pixel i (section 4.2 of the paper).
    """
    around = torch.stack([x for d in dilations for x in shifted(image, d, (*AROUND, CENTRE))])  # (9 len, c, H, W)
    sigma = around.std(0)
    far = [(image - x).abs() for d in dilations for x in shifted(image, d)]
    score = torch.stack([-(difference / (1e-8 + SHARPNESS * sigma)).mean(0) for difference in far])
    return torch.softmax(score, 0)


def refine(
    image: np.ndarray, masks: torch.Tensor, iterations: int = ITERATIONS, dilations: tuple[int, ...] = DILATIONS
) -> torch.Tensor:
    """Masks after a few steps towards the masks of neighbours that look alike.

    Araslanov & Roth, "Single-stage semantic segmentation from image labels", CVPR 2020, section 4.2. A step is a
    random walk's: a mask becomes its mean over neighbours, weighted by likeness.

    Parameters
    ----------
    image : uint8 (H, W, 3)
    masks : float32 Tensor (m, H, W)
    iterations : int
    dilations : tuple of int
        Distances of the eight neighbours.

    Returns
    -------
    float32 Tensor (m, H, W)
        If masks sum to 1 at each pixel, so do these.

    Raises
    ------
    InputError
        If image and masks differ in size, or there is nothing to do.
    """
    if image.shape[:2] != tuple(masks.shape[1:]):
        raise InputError(f"A picture of {image.shape[:2]} pixels cannot refine masks of {tuple(masks.shape[1:])}.")
    if iterations < 1 or not dilations or min(dilations) < 1:
        raise InputError(f"PAMR needs iterations and distances of at least 1, not {iterations} and {list(dilations)}.")
    listens = weights(torch.from_numpy(image.astype(np.float32) / 255).permute(2, 0, 1), dilations)
    for _ in range(iterations):
        seen = (x for d in dilations for x in shifted(masks, d))
        total = torch.zeros_like(masks)
        for weight, neighbour in zip(listens, seen, strict=True):
            total.addcmul_(weight, neighbour)
        masks = total
    return masks

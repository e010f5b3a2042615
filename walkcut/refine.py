"""Borders at the picture's own edges: segments of patches, refined by the colours of pixels.

A walk over pixels steps to neighbours of like colour: *PAMR* takes a few steps and asks which segments it has seen. The
*random walker* (`walkcut.lab.refine`) goes on until it meets a pixel that surely belongs to a segment.
"""

from collections.abc import Iterator

import numpy as np
import torch
from torch.nn import functional

from walkcut.capture import Grid
from walkcut.errors import InputError
from walkcut.images import resize_image
from walkcut.pixels import pixel_labels
from walkcut.recipe import LARGEST, checked, listed, whole
from walkcut.registry import PIXELS

PIXELS_PER_PATCH = 4  # along a side, at which segments are refined; more pixels cost time and change nothing
ITERATIONS = 10
DILATIONS = (1, 2, 4, 8)  # as DiffCut has it; up to 24 in the paper it comes from
SHARPNESS = 0.1  # of a difference, in units of the local standard deviation
AROUND = tuple((y, x) for y in (-1, 0, 1) for x in (-1, 0, 1) if (y, x) != (0, 0))
CHUNK = 2**19  # numbers of masks that take their steps together, so that they stay in the processor's cache


def refined_labels(membership: torch.Tensor, grid: Grid, image: np.ndarray, how: str) -> np.ndarray:
    """Segments of pixels from memberships of patches, their borders moved to the picture's edges.

    Parameters
    ----------
    membership : Tensor (h*w, m)
        See `walkcut.pixels.soft_membership`.
    grid : (h, w)
    image : uint8 (H, W, 3)
    how : str
        A name in `walkcut.registry.PIXELS`; "bilinear" does not look at the picture.

    Returns
    -------
    int32 (H, W), 0..m-1
    """
    refine = PIXELS[how]
    if refine is as_they_are:
        return pixel_labels(membership, grid, image.shape[:2])
    scale = min(1.0, PIXELS_PER_PATCH * max(grid) / max(image.shape[:2]))
    height, width = (max(1, round(scale * side)) for side in image.shape[:2])
    masks = membership.float().T.reshape(1, -1, *grid)  # (1, m, h, w)
    masks = functional.interpolate(masks, size=(height, width), mode="bilinear")[0]
    masks = refine(resize_image(image, (height, width)), masks)
    return pixel_labels(masks.flatten(1).T, (height, width), image.shape[:2])


def as_they_are(image: np.ndarray, masks: torch.Tensor) -> torch.Tensor:
    """The masks: segments are up-sampled, and the picture is not looked at."""
    return masks


def shifted(maps: torch.Tensor, dilations: tuple[int, ...]) -> Iterator[torch.Tensor]:
    """Maps (c, H, W) as seen by eight neighbours at each of some distances; the border is repeated outwards."""
    (height, width), far = maps.shape[1:], max(dilations)
    padded = functional.pad(maps[None], [far] * 4, mode="replicate")[0]
    for dilation in dilations:
        for y, x in AROUND:
            top, left = far + dilation * y, far + dilation * x
            yield padded[:, top : top + height, left : left + width]


def pamr_kernel(image: torch.Tensor, dilations: tuple[int, ...]) -> torch.Tensor:
    """How much each pixel listens to each neighbour, (8 len(dilations), H, W), summing to 1 over neighbours.

    Equation `eq-pixels-pamr` of the book.

    The softmax of -|x_i - x_j| / (0.1 sigma_i), averaged over channels, where sigma_i is the standard deviation of the
    colours around pixel i, itself among them at each distance (section 4.2 of the paper).

    Parameters
    ----------
    image : float32 Tensor (c, H, W)
    dilations : tuple of int
    """
    total, squares, count = torch.zeros_like(image), torch.zeros_like(image), 9 * len(dilations)
    for other in shifted(image, dilations):
        difference = other - image  # small numbers, whose squares cancel well
        total.add_(difference)
        squares.addcmul_(difference, difference)
    sigma = ((squares - total**2 / count).clamp_min_(0) / (count - 1)).sqrt_()
    unit = 1 / (len(image) * (1e-8 + SHARPNESS * sigma))
    return torch.stack([-((x - image).abs_().mul_(unit)).sum(0) for x in shifted(image, dilations)]).softmax(0)


DISTANCES = listed(whole(1), "The {name} are whole numbers of at least 1, in a list", range(1, LARGEST))


@checked(iterations=whole(1), dilations=DISTANCES)
def pamr(
    image: np.ndarray, masks: torch.Tensor, iterations: int = ITERATIONS, dilations: tuple[int, ...] = DILATIONS
) -> torch.Tensor:
    """Pixel-adaptive mask refinement: masks after a few steps towards those of neighbours that look alike.

    Equation `eq-pixels-steps` of the book.

    Araslanov & Roth, "Single-stage semantic segmentation from image labels", CVPR 2020, section 4.2. A step is a
    random walk's: a mask becomes its mean over neighbours, weighted by likeness.

    Parameters
    ----------
    image : uint8 (H, W, 3)
    masks : float32 Tensor (m, H, W)
        They stay on their device.
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
    check_sizes(image, masks)
    colours = torch.from_numpy(image.astype(np.float32) / 255).permute(2, 0, 1).contiguous()
    listens = pamr_kernel(colours.to(masks.device), dilations)

    refined = []
    for some in masks.split(max(1, CHUNK // masks[0].numel())):
        for _ in range(iterations):
            before, some = some, torch.zeros_like(some)
            for weight, seen in zip(listens, shifted(before, dilations), strict=True):
                some.addcmul_(weight, seen)
        refined.append(some)
    return torch.cat(refined)


def check_sizes(image: np.ndarray, masks: torch.Tensor) -> None:
    if image.shape[:2] != tuple(masks.shape[1:]):
        raise InputError(f"A picture of {image.shape[:2]} pixels cannot refine masks of {tuple(masks.shape[1:])}.")

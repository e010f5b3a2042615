"""Borders at the picture's own edges: segments of patches, refined by the colours of pixels.

Two walks over pixels, which step to neighbours of like colour. *PAMR* takes a few steps and asks which segments it has
seen; the *random walker* goes on until it meets a pixel that surely belongs to a segment, and asks which that was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from scipy.sparse import csr_array
from skimage.color import rgb2lab
from skimage.segmentation import random_walker
from torch.nn import functional

from walkcut.errors import InputError
from walkcut.images import resize_image
from walkcut.pixels import pixel_labels

PIXELS_PER_PATCH = 4  # along a side, at which segments are refined; more pixels cost time and change nothing
ITERATIONS = 10
DILATIONS = (1, 2, 4, 8)  # as DiffCut has it; up to 24 in the paper it comes from
SHARPNESS = 0.1  # of a difference, in units of the local standard deviation
BETA = 130.0  # of the random walker: how little it likes to cross an edge; scikit-image's units, and its default
CENTRE = (0, 0)
AROUND = tuple((y, x) for y in (-1, 0, 1) for x in (-1, 0, 1) if (y, x) != CENTRE)


def refined_labels(membership: torch.Tensor, grid: tuple[int, int], image: np.ndarray, how: str) -> np.ndarray:
    """Segments of pixels from memberships of patches, their borders moved to the picture's edges.

    Parameters
    ----------
    membership : Tensor (h*w, m)
        See `walkcut.pixels.soft_membership`.
    grid : (h, w)
    image : uint8 (H, W, 3)
    how : str
        One of `PIXELS`; "bilinear" does not look at the picture.

    Returns
    -------
    int32 (H, W), 0..m-1
    """
    if how == "bilinear":
        return pixel_labels(membership, grid, image.shape[:2])
    scale = min(1.0, PIXELS_PER_PATCH * max(grid) / max(image.shape[:2]))
    height, width = (max(1, round(scale * side)) for side in image.shape[:2])
    masks = membership.float().cpu().T.reshape(1, -1, *grid)  # (1, m, h, w)
    masks = functional.interpolate(masks, size=(height, width), mode="bilinear")[0]
    masks = REFINERS[how](resize_image(image, (height, width)), masks)
    return pixel_labels(masks.flatten(1).T, (height, width), image.shape[:2])


def shifted(maps: torch.Tensor, dilation: int, steps: tuple[tuple[int, int], ...] = AROUND) -> Iterator[torch.Tensor]:
    """Maps (c, H, W) as seen by their neighbours `dilation` pixels away; the border is repeated outwards."""
    height, width = maps.shape[1:]
    padded = functional.pad(maps[None], [dilation] * 4, mode="replicate")[0]
    for y, x in steps:
        top, left = dilation * (1 + y), dilation * (1 + x)
        yield padded[:, top : top + height, left : left + width]


def weights(image: torch.Tensor, dilations: tuple[int, ...]) -> torch.Tensor:
    """How much each pixel listens to each neighbour, (8 len(dilations), H, W), summing to 1 over neighbours.

    Equation `eq-pixels-pamr` of the book.

    The softmax of -|x_i - x_j| / (0.1 sigma_i), averaged over channels, where sigma_i is the standard deviation of the
    colours around pixel i (section 4.2 of the paper).
    """
    around = torch.stack([x for d in dilations for x in shifted(image, d, (*AROUND, CENTRE))])  # (9 len, c, H, W)
    sigma = around.std(0)
    far = [(image - x).abs() for d in dilations for x in shifted(image, d)]
    score = torch.stack([-(difference / (1e-8 + SHARPNESS * sigma)).mean(0) for difference in far])
    return torch.softmax(score, 0)


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
    _check_sizes(image, masks)
    if iterations < 1 or not dilations or min(dilations) < 1:
        raise InputError(f"PAMR needs iterations and distances of at least 1, not {iterations} and {list(dilations)}.")
    listens = weights(torch.from_numpy(image.astype(np.float32) / 255).permute(2, 0, 1), dilations)
    step = _pixel_walk(listens.flatten(1).T.numpy(), image.shape[:2], dilations)
    seen = masks.flatten(1).T.numpy()  # (H*W, m)
    for _ in range(iterations):
        seen = step @ seen
    return torch.from_numpy(seen).T.reshape(masks.shape)


def _pixel_walk(listens: np.ndarray, shape: tuple[int, int], dilations: tuple[int, ...]) -> csr_array:
    """The walk over pixels, (H*W, H*W), from its weights (H*W, 8 len(dilations)), row by row."""
    (height, width), n = shape, len(listens)
    y, x = np.divmod(np.arange(n, dtype=np.int32), width)
    ends = [
        np.clip(y + d * dy, 0, height - 1) * width + np.clip(x + d * dx, 0, width - 1)
        for d in dilations
        for dy, dx in AROUND
    ]
    starts = np.arange(n + 1, dtype=np.int32) * len(ends)
    return csr_array((listens.ravel(), np.stack(ends, 1).ravel(), starts), shape=(n, n))


def walked(image: np.ndarray, masks: torch.Tensor, beta: float = BETA) -> torch.Tensor:
    """Where a random walker over pixels first meets a pixel that is sure of its segment.

    Equations `eq-pixels-weights` and `eq-pixels-dirichlet` of the book.

    Grady, "Random walks for image segmentation", TPAMI 2006, by scikit-image. Sure are, of the pixels that a segment
    holds, the half that belong to it most: so every segment keeps a place of its own, though one in many pieces may
    lose some of them.

    Parameters
    ----------
    image : uint8 (H, W, 3)
    masks : float32 Tensor (m, H, W)
    beta : float, positive
        The walker crosses an edge of difference g in CIELAB with weight exp(-beta g^2), in scikit-image's units.

    Returns
    -------
    float32 Tensor (m, H, W)
        Probabilities; 0 everywhere for a mask that is nowhere the largest. The masks themselves where there is nothing
        to walk: one segment, or a picture of one colour.

    Raises
    ------
    InputError
        If image and masks differ in size, or beta is not positive.
    """
    _check_sizes(image, masks)
    if not 0 < beta < np.inf:
        raise InputError(f"The random walker needs a positive beta, not {beta}.")
    own, top = masks.argmax(0).numpy(), masks.amax(0).numpy()
    present, seeds = np.unique(own), np.zeros(own.shape, np.int32)
    for number, segment in enumerate(present, start=1):
        held = own == segment
        seeds[held & (top >= np.median(top[held]))] = number
    colours = rgb2lab(image)
    if len(present) == 1 or seeds.all() or not colours.std():  # nobody to meet, nowhere to go, or no edge to see
        return masks
    reached = random_walker(colours, seeds, beta, mode="bf", channel_axis=-1, return_full_prob=True)
    found = torch.zeros_like(masks)
    found[torch.from_numpy(present)] = torch.from_numpy(reached).float()
    return found


REFINERS: dict[str, Callable[[np.ndarray, torch.Tensor], torch.Tensor]] = {"pamr": pamr, "random-walker": walked}
PIXELS = ("bilinear", *REFINERS)  # how patches become pixels


def _check_sizes(image: np.ndarray, masks: torch.Tensor) -> None:
    if image.shape[:2] != tuple(masks.shape[1:]):
        raise InputError(f"A picture of {image.shape[:2]} pixels cannot refine masks of {tuple(masks.shape[1:])}.")

"""Grady's random walker over pixels: segments refined until the walker meets a pixel that is sure of its own."""

import numpy as np
import torch

from walkcut.recipe import checked, positive
from walkcut.refine import check_sizes

BETA = 130.0  # how little the walker likes to cross an edge; scikit-image's units, and its default


@checked(beta=positive)
def random_walk_labels(image: np.ndarray, masks: torch.Tensor, beta: float = BETA) -> torch.Tensor:
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
    from skimage.color import rgb2lab  # here, as it takes long
    from skimage.segmentation import random_walker

    check_sizes(image, masks)
    masks = masks.cpu()
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

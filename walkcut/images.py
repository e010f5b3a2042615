"""Check and resize one picture in memory.

Whatever comes in, an image inside walkcut is uint8 (H, W, 3), RGB, upright. Transparency is laid on white, deeper
pixels are scaled (never clipped) to 8 bits.
"""

from typing import Any

import numpy as np
from PIL import Image

from walkcut.errors import InputError, shown
from walkcut.recipe import checked, sides

MAX_PIXELS = 100_000_000  # of an array: each of its pixels gets a label
FAINT = 4  # levels of 255: what is left of one colour after a JPEG, or a scan


def too_large(what: object, most: int) -> InputError:
    return InputError(f"{what} has more than {most // 1_000_000} million pixels: reduce the picture first.")


def check_image(array: Any, most: int = MAX_PIXELS) -> np.ndarray:
    """Check a picture in memory and bring it to the one form used inside.

    Parameters
    ----------
    array : array (H, W), (H, W, 1), (H, W, 3) or (H, W, 4)
        Grey, RGB or RGB with alpha. uint8 in 0 to 255, uint16 in 0 to 65535, floats in 0 to 1, or bool. A tensor may
        lie on any device.
    most : int
        Pixels.

    Returns
    -------
    uint8 array (H, W, 3)
        The argument itself, not a copy, where it already has this form.

    Raises
    ------
    InputError
        For any other shape or type, for NaN, infinite, negative or too large values, and for masked ones.
    """
    if hasattr(array, "detach") and not array.is_meta:  # a tensor, with gradients, on a GPU or of a type of its own
        array = array.detach().cpu()
        array = (array.float() if array.is_floating_point() else array).numpy()
    try:
        hidden, array = np.ma.count_masked(array), np.asarray(array)
    except (TypeError, ValueError) as error:  # of rows of several lengths, or a tensor without values
        raise InputError(f"{shown(array)} is not a picture: pass an array of uint8, uint16, or floats.") from error
    if hidden:
        raise InputError(f"{hidden} values of the picture are masked: fill them first, as with array.filled(0).")
    if array.ndim == 3 and array.shape[0] in (1, 3, 4) and array.shape[2] not in (1, 3, 4):
        raise InputError(f"An array of shape {array.shape} has its channels first: move them last, as (1, 2, 0) would.")
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 3, 4)) or 0 in array.shape:
        raise InputError(
            f"An array of shape {array.shape} is not a picture: pass (height, width) or (height, width, 1, 3 or 4)."
        )
    if array.shape[0] * array.shape[1] > most:
        raise too_large(f"The array of shape {array.shape}", most)
    array = _quantise(array)
    if array.ndim == 2:
        array = array[:, :, None]
    if array.shape[2] == 1:
        array = np.repeat(array, 3, axis=2)
    if array.shape[2] == 4:
        alpha = array[:, :, 3:].astype(np.float32) / 255
        mixed = array[:, :, :3] * alpha  # laid on white, in place: the floats of a large picture fill memory
        mixed += 255 * (1 - alpha)
        array = np.rint(mixed, out=mixed).astype(np.uint8)
    return array


def _quantise(array: np.ndarray) -> np.ndarray:
    """uint8, uint16, floats in [0, 1] or bool to uint8, by scaling."""
    if array.dtype == np.uint8:
        return array
    if array.dtype == bool:
        return array.astype(np.uint8) * 255
    if array.dtype.newbyteorder("=") == np.uint16:  # in either order of its bytes
        return np.rint(array / np.float32(257)).astype(np.uint8)
    if not np.issubdtype(array.dtype, np.floating):
        raise InputError(f"A picture of type {array.dtype} is ambiguous: pass uint8, uint16, or floats in 0 to 1.")
    bad = ~((array >= 0) & (array <= 1))  # true for NaN as well
    if bad.any():
        position = np.unravel_index(np.argmax(bad), array.shape)
        place = ", ".join(str(int(i)) for i in position)
        raise InputError(
            f"The picture holds {array[position]} at ({place}), outside 0 to 1: "
            "floats must lie in 0 to 1 (divide by 255 where they are bytes)."
        )
    return np.rint(array.astype(np.float32) * 255).astype(np.uint8)


def is_blank(image: np.ndarray) -> bool:
    """Whether a picture uint8 (H, W, 3) shows nothing: no channel spans more than `FAINT` levels."""
    return bool((image.max(0).max(0) - image.min(0).min(0) <= FAINT).all())


@checked(size=sides)
def resize_image(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize with antialiasing (bicubic, its support stretched where the picture shrinks).

    Parameters
    ----------
    image : uint8 array (H, W, 3)
    size : (int, int)
        Height and width wanted, in pixels, at least 1.

    Returns
    -------
    uint8 array (height, width, 3)
    """
    height, width = size
    if image.shape[:2] == (height, width):
        return image
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC))

"""Pictures and numbers as text, for the state of a figure."""

import base64
import io
import math

import numpy as np
from matplotlib import colormaps
from PIL import Image

from walkcut.errors import InputError
from walkcut.images import resize_image

LEVELS = 65535  # the largest number of two bytes
LONGEST = 10  # times as long as wide, or as wide as long, is a picture in a page at most: else none could point at it


def photo(image: np.ndarray, width: int) -> dict[str, object]:
    """Of an image uint8 (H, W, 3): its `size` in the page, (height, width), and `photo`, a JPEG as a data URL."""
    aspect = min(max(image.shape[0] / image.shape[1], 1 / LONGEST), LONGEST)
    size = max(round(width * aspect), 1), width
    file = io.BytesIO()
    Image.fromarray(resize_image(image, size)).save(file, "JPEG", quality=80)
    return {"size": size, "photo": "data:image/jpeg;base64," + _base64(file.getvalue())}


def octets(array: np.ndarray) -> str:
    """Numbers 0 to 255, rounded, as bytes in base64."""
    return _base64(np.rint(array).astype(np.uint8).tobytes())


def words(array: np.ndarray) -> str:
    """Numbers 0 to 65535, rounded, as little-endian words of two bytes in base64; InputError where one is larger."""
    rounded = np.rint(array)
    if rounded.max() > LEVELS:
        raise InputError(f"This figure numbers at most {LEVELS + 1} patches and parts: choose a coarser grid.")
    return _base64(rounded.astype("<u2").tobytes())


def stretched(matrix: np.ndarray) -> tuple[dict[str, object], list[float]]:
    """Rows of probabilities (N, N), a byte each, and how far walks on what the page reads can stray from true ones.

    A byte is the cube root of where a probability lies between its row's lowest and highest, `low` and `high`, so that
    small ones stay apart; the page divides by the row's new sum. The numbers are the largest distances, over all
    starts, between where walkers are after 1, 2, 4, 8 and 16 steps and where the page has them: half the sum of
    absolute differences, the share of walkers that would have to move. For other k add them up: k = 5 is 4 and 1.
    """
    P = np.asarray(matrix, np.float32)
    low, high = P.min(1, keepdims=True), P.max(1, keepdims=True)
    stored = np.rint(255 * np.cbrt((P - low) / np.maximum(high - low, 1e-30))).clip(0, 255)
    read = low + (stored / 255) ** 3 * (high - low)
    read /= read.sum(1, keepdims=True)
    ends = {name: [float(f"{value:.7g}") for value in end.ravel()] for name, end in (("low", low), ("high", high))}
    errors = []
    for _ in range(5):
        worst = abs(read - P).sum(1).max() / 2
        errors.append(round(math.ceil(worst * 1e5) / 1e5 + 1e-5, 5))  # the page's arithmetic rounds, too
        read, P = read @ read, P @ P
    return {"rows": octets(stored), **ends}, errors


def viridis() -> str:
    """The 256 colours of the map, three bytes each, in base64."""
    return octets(255 * colormaps["viridis"](np.arange(256))[:, :3])


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()

"""Pictures and numbers as text, for the state of a figure."""

from __future__ import annotations

import base64
import io

import numpy as np
from matplotlib import colormaps
from PIL import Image

from walkcut.images import resize_image

LEVELS = 65535  # the largest number of two bytes


def photo(image: np.ndarray, width: int) -> dict[str, object]:
    """Of an image uint8 (H, W, 3): its `size` in the page, (height, width), and `photo`, a JPEG as a data URL."""
    size = round(width * image.shape[0] / image.shape[1]), width
    file = io.BytesIO()
    Image.fromarray(resize_image(image, size)).save(file, "JPEG", quality=80)
    return {"size": size, "photo": "data:image/jpeg;base64," + _base64(file.getvalue())}


def octets(array: np.ndarray) -> str:
    """Numbers 0 to 255, rounded, as bytes in base64."""
    return _base64(np.rint(array).astype(np.uint8).tobytes())


def words(array: np.ndarray) -> str:
    """Numbers 0 to 65535, rounded, as little-endian words of two bytes in base64."""
    return _base64(np.rint(array).astype("<u2").tobytes())


def viridis() -> str:
    """The 256 colours of the map, three bytes each, in base64."""
    return octets(255 * colormaps["viridis"](np.arange(256))[:, :3])


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()

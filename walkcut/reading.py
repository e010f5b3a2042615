"""Read one picture from a file: of any common format and colour mode, upright; of an animation the first frame."""

from __future__ import annotations

import stat
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from walkcut.errors import InputError
from walkcut.images import MAX_PIXELS, check_image, too_large

MAX_SIDE = 2048  # a larger picture is reduced while it is read: at most 64 to 128 patches see a side anyway
SUFFIXES = (".jpg", ".jpeg", ".png", ".gif", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm")
# Only decoders that live inside Pillow: no EPS, which would start another program.
_FORMATS = ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "PPM")
_DAMAGE = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error)  # what Pillow's decoders raise
_lock, _inside = Lock(), 0  # pictures that are being read
_caught: Any = None  # the filters of warnings from before


def read_image(path: str | Path, max_side: int = MAX_SIDE) -> np.ndarray:
    """Read a picture file of any common format and colour mode.

    Parameters
    ----------
    path : str or Path
        JPEG, PNG, GIF (first frame), BMP, TIFF, WebP or PPM. The content decides, not the name.
    max_side : int
        Pixels of the longer side at most; a larger picture is reduced, with antialiasing, in proportion.

    Returns
    -------
    uint8 array (H, W, 3)
        RGB, rotated as the EXIF orientation asks.

    Raises
    ------
    InputError
        If there is no such file, or it is not a readable picture, or it has more than 100 million pixels.
    """
    with _opened(path) as picture:
        picture.draft(picture.mode, (max_side, max_side))  # a large JPEG is decoded small from the start
        picture.load()
        upright = picture if _orientation(picture) == 1 else ImageOps.exif_transpose(picture)
        small = _to_8_bits(upright, path)
        small.thumbnail((max_side, max_side), Image.Resampling.BICUBIC)
    return check_image(np.asarray(small))


def image_size(path: str | Path) -> tuple[int, int]:
    """Height and width in pixels of the upright picture in a file, read from its header; errors as `read_image`."""
    with _opened(path) as picture:
        width, height = picture.size
        # of a TIFF, Pillow tells the size as it is once turned
        turned = picture.format != "TIFF" and _orientation(picture) in (5, 6, 7, 8)
    return (width, height) if turned else (height, width)


def _orientation(picture: Image.Image) -> int:
    """EXIF's number for how to turn a picture; 1, as it is, where the metadata are missing or damaged."""
    try:
        return picture.getexif().get(ExifTags.Base.Orientation, 1)
    except _DAMAGE:
        return 1


@contextmanager
def _without_remarks() -> Iterator[None]:
    """No warnings inside. All threads share one list of filters: the first to enter saves it, the last restores it."""
    global _inside, _caught
    with _lock:
        if not _inside:
            _caught = warnings.catch_warnings()
            _caught.__enter__()
            warnings.simplefilter("ignore")
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if not _inside:
                _caught.__exit__(None, None, None)


@contextmanager
def _opened(path: str | Path) -> Iterator[Image.Image]:
    """The picture, its header read and its size checked; what goes wrong in the block is told in a sentence, too."""
    path = Path(path)
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise InputError(f"{path} is a folder, not a picture: name a file inside it.")
        if not stat.S_ISREG(status.st_mode):
            raise InputError(f"{path} is not a regular file: name a picture.")
        if status.st_size == 0:
            raise InputError(f"{path} is empty (0 bytes): get a whole copy of the picture.")
        # of size we judge below; other remarks concern the metadata, and what spoils pixels raises
        with _without_remarks(), Image.open(path, formats=_FORMATS) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                raise too_large(f"{path} ({picture.width}x{picture.height})")
            yield picture
    except InputError:
        raise
    except Image.DecompressionBombError as error:
        raise too_large(path) from error
    except UnidentifiedImageError as error:
        raise InputError(f"{path} is not a picture: use a JPEG, PNG, GIF, BMP, TIFF, WebP or PPM file.") from error
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InputError(f"There is no file {path}: check its name and folder.") from error
    except PermissionError as error:
        raise InputError(f"{path} may not be read: change its permissions.") from error
    except _DAMAGE as error:
        raise InputError(f"{path} is damaged ({error}): get a whole copy of the picture.") from error


def _to_8_bits(picture: Image.Image, path: str | Path) -> Image.Image:
    """The same picture in mode RGB or RGBA, in which it can be reduced."""
    if picture.mode.startswith(("I", "F")):  # 16-bit greys, 32-bit integers, floats: Pillow would clip them at 255
        values = np.asarray(picture)
        if picture.mode.startswith("I"):
            if values.min() < 0 or values.max() > 65535:
                odd = values.min() if values.min() < 0 else values.max()
                raise InputError(f"{path} holds the value {odd}, outside 0 to 65535: save it with 8 or 16 bits.")
            values = values.astype(np.uint16)
        try:
            return Image.fromarray(check_image(values))
        except InputError as error:
            raise InputError(f"{path}: {error}") from error
    return picture.convert("RGBA" if picture.has_transparency_data else "RGB")

"""Read, check and resize one picture; the sample pictures.

Whatever comes in, an image inside walkcut is uint8 (H, W, 3), RGB, upright. Transparency is laid on white, deeper
pixels are scaled (never clipped) to 8 bits, of an animation the first frame counts.
"""

from __future__ import annotations

import json
import stat
import struct
import warnings
import zlib
from functools import cache
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from walkcut.errors import InputError

MAX_PIXELS = 100_000_000  # beyond this a file is taken for a decompression bomb
MAX_SIDE = 2048  # a larger picture is reduced while it is read: at most 64 to 128 patches see a side anyway
SUFFIXES = (".jpg", ".jpeg", ".png", ".gif", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm")
# Only decoders that live inside Pillow: no EPS, which would start another program.
_FORMATS = ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "PPM")
_DAMAGE = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error)  # what Pillow's decoders raise
_SAMPLES = Path(__file__).parent / "samples"


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
    with _open(path) as picture:
        try:
            picture.draft(picture.mode, (max_side, max_side))  # a large JPEG is decoded small from the start
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # remarks on metadata; what spoils pixels raises
                picture.load()
                upright = picture if _orientation(picture) == 1 else ImageOps.exif_transpose(picture)
                small = _to_8_bits(upright, path)
            small.thumbnail((max_side, max_side), Image.Resampling.BICUBIC)
        except InputError:
            raise
        except _DAMAGE as error:
            raise InputError(f"{path} is damaged ({error}): get a whole copy of the picture.") from error
    return check_image(np.asarray(small))


def image_size(path: str | Path) -> tuple[int, int]:
    """Height and width in pixels of the upright picture in a file, read from its header; errors as `read_image`."""
    with _open(path) as picture:
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


def _open(path: str | Path) -> Image.Image:
    """The picture with its header read and its size checked; the pixels are not decoded yet."""
    path = Path(path)
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise InputError(f"{path} is a folder, not a picture: name a file inside it.")
        if not stat.S_ISREG(status.st_mode):
            raise InputError(f"{path} is not a regular file: name a picture.")
        if status.st_size == 0:
            raise InputError(f"{path} is empty (0 bytes): get a whole copy of the picture.")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of size we judge below; other remarks concern the metadata
            picture = Image.open(path, formats=_FORMATS)
    except InputError:
        raise
    except Image.DecompressionBombError as error:
        raise _too_large(path) from error
    except UnidentifiedImageError as error:
        raise InputError(f"{path} is not a picture: use a JPEG, PNG, GIF, BMP, TIFF, WebP or PPM file.") from error
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InputError(f"There is no file {path}: check its name and folder.") from error
    except PermissionError as error:
        raise InputError(f"{path} may not be read: change its permissions.") from error
    except _DAMAGE as error:
        raise InputError(f"{path} is damaged ({error}): get a whole copy of the picture.") from error
    if picture.width * picture.height > MAX_PIXELS:
        picture.close()
        raise _too_large(f"{path} ({picture.width}x{picture.height})")
    return picture


def _too_large(what: object) -> InputError:
    return InputError(f"{what} has more than {MAX_PIXELS // 1_000_000} million pixels: reduce the picture first.")


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


def check_image(array: np.ndarray) -> np.ndarray:
    """Check a picture in memory and bring it to the one form used inside.

    Parameters
    ----------
    array : array (H, W), (H, W, 1), (H, W, 3) or (H, W, 4)
        Grey, RGB or RGB with alpha. uint8 in 0 to 255, uint16 in 0 to 65535, or floats in 0 to 1.

    Returns
    -------
    uint8 array (H, W, 3)
        The argument itself, not a copy, where it already has this form.

    Raises
    ------
    InputError
        For any other shape or type, and for NaN, infinite, negative or too large values.
    """
    array = np.asarray(array)
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 3, 4)) or 0 in array.shape:
        raise InputError(
            f"An array of shape {array.shape} is not a picture: pass (height, width) or (height, width, 1, 3 or 4)."
        )
    if array.shape[0] * array.shape[1] > MAX_PIXELS:
        raise _too_large(f"The array of shape {array.shape}")
    array = _quantise(array)
    if array.ndim == 2:
        array = array[:, :, None]
    if array.shape[2] == 1:
        array = np.repeat(array, 3, axis=2)
    if array.shape[2] == 4:
        alpha = array[:, :, 3:].astype(np.float32) / 255
        array = np.rint(array[:, :, :3] * alpha + 255 * (1 - alpha)).astype(np.uint8)  # laid on white
    return array


def _quantise(array: np.ndarray) -> np.ndarray:
    """uint8, uint16 or floats in [0, 1] to uint8, by scaling."""
    if array.dtype == np.uint8:
        return array
    if array.dtype == np.uint16:
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
    if height < 1 or width < 1:
        raise InputError(f"A picture cannot be resized to {height}x{width} pixels: choose at least 1x1.")
    if image.shape[:2] == (height, width):
        return image
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC))


@cache
def sample_credits() -> dict[str, dict[str, str]]:
    """For each sample picture its file, title, author, licence and source; see `walkcut/samples/credits.json`."""
    return json.loads((_SAMPLES / "credits.json").read_text(encoding="utf-8"))


def sample_names() -> tuple[str, ...]:
    """Names of the photographs that come with walkcut."""
    return tuple(sample_credits())


def sample_path(name: str) -> Path:
    """The file of a sample photograph; InputError for an unknown name."""
    if name not in sample_names():
        raise InputError(f"There is no sample {name!r}: choose one of {', '.join(sample_names())}.")
    return _SAMPLES / sample_credits()[name]["file"]


def sample(name: str) -> np.ndarray:
    """A photograph that comes with walkcut, uint8 (H, W, 3); InputError for an unknown name."""
    return read_image(sample_path(name))

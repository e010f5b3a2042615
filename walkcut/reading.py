"""Read one picture from a file: of any common format and colour mode, upright; of an animation the first frame."""

import os
import stat
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from threading import Lock
from typing import Any, BinaryIO

import numpy as np
from PIL import ExifTags, Image, ImageOps

from walkcut.errors import InputError
from walkcut.images import check_image, too_large

MAX_SIDE = 2048  # a larger picture is reduced while it is read: at most 64 to 128 patches see a side anyway
MAX_PIXELS = 250_000_000  # of a file: beyond this it is taken for a decompression bomb
MISSING = 0.05  # of a JPEG's rows, at most, where it ends early: a few rows of patches
KINDS = "JPEG, PNG, GIF, BMP, TIFF, WebP, AVIF, HEIC, JPEG 2000 or PPM"
SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".png", ".apng", ".gif", ".bmp", ".tif", ".tiff", ".webp"),
    *(".avif", ".heic", ".heif", ".hif", ".jp2", ".j2k", ".jpx", ".ppm", ".pgm", ".pbm", ".pnm"),
)
# Only decoders that live inside Pillow, beside that of HEIC: no EPS, which would start another program.
_FORMATS = ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "AVIF", "JPEG2000", "PPM")
_HEIC = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_JPEG_XL = (b"\xff\x0a", b"\0\0\0\x0cJXL ")
_DAMAGE = (OSError, SyntaxError, ValueError, EOFError, RuntimeError, struct.error, zlib.error)  # what decoders raise
Source = str | Path | BinaryIO
_lock, _inside = Lock(), 0  # pictures that are being read
_caught: Any = None  # the filters of warnings from before


def read_image(source: Source, max_side: int = MAX_SIDE) -> np.ndarray:
    """Read a picture file of any common format and colour mode.

    Parameters
    ----------
    source : str, Path or binary file
        JPEG, PNG, GIF, BMP, TIFF, WebP, AVIF, JPEG 2000 or PPM; HEIC, where the package pillow-heif is installed. Of
        several pictures the first. The content decides, not the name.
    max_side : int
        Pixels of the longer side at most; a larger picture is reduced, with antialiasing, in proportion.

    Returns
    -------
    uint8 array (H, W, 3)
        RGB, rotated as the EXIF orientation asks.

    Raises
    ------
    InputError
        If there is no such file, or it is not a readable picture, or it has more than 250 million pixels. A JPEG that
        ends early is read where at most 5% of its rows are missing: they become like the last that is there.
    """
    with _opened(source) as picture:
        picture.draft(picture.mode, (max_side, max_side))  # a large JPEG is decoded small from the start
        _load(picture, _name(source))
        small = from_pillow(picture, _name(source))
        small.thumbnail((max_side, max_side), Image.Resampling.BICUBIC)
    return check_image(np.asarray(small), MAX_PIXELS)


def _load(picture: Any, name: str) -> None:
    """Decode a picture. Where a JPEG ends early, its decoder is told that this is the end, as in viewers; Pillow's own
    switch for that is the whole process's.
    """
    enough: list[bool] = []  # at the end: whether the row from which on some may be missing was written

    def read(size: int) -> bytes:
        content = picture.fp.read(size)
        if content or enough:
            return content
        enough.append(bool(np.any(picture.im.getpixel((0, int((1 - MISSING) * picture.height))))))
        return b"\xff\xd9"

    if picture.format in ("JPEG", "MPO"):
        picture.load_read = read
    picture.load()
    if enough:  # what is missing is grey now
        width, height = picture.size
        edge = np.asarray(picture.crop((width - 1, 0, width, height)), float).reshape(height, -1)
        whole = int(np.flatnonzero((abs(edge - 127.5) > 1).any(1)).max(initial=-1)) + 1
        if (lost := 1 - whole / height) > MISSING and not enough[0]:
            raise InputError(f"{name} is damaged (its lowest {lost:.0%} are missing): get a whole copy of the picture.")
        for row in range(max(whole, int((1 - MISSING) * height)), height):
            picture.paste(picture.crop((0, row - 1, width, row)), (0, row))


def image_size(source: Source) -> tuple[int, int]:
    """Height and width in pixels of the upright picture in a file, read from its header; errors as `read_image`."""
    with _opened(source) as picture:
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
def _opened(source: Source) -> Iterator[Any]:
    """The picture, its header read and its size checked; what goes wrong in the block is told in a sentence, too."""
    name = _name(source)
    try:
        # of size we judge below; other remarks concern the metadata, and what spoils pixels raises
        with _file(source, name) as file, _without_remarks(), _parsed(file, name) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                raise too_large(f"{name} ({picture.width}x{picture.height})", MAX_PIXELS)
            yield picture
    except InputError:
        raise
    except Image.DecompressionBombError as error:  # of a format whose size Pillow itself asks about
        raise InputError(f"{name} is too large ({error}): reduce it first.") from error
    except MemoryError as error:
        raise InputError(f"{name} needs more memory than there is: reduce the picture first.") from error
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InputError(f"There is no file {name}: check its name and folder.") from error
    except PermissionError as error:
        raise InputError(f"{name} may not be read: change its permissions.") from error
    except _DAMAGE as error:
        reason = " ".join(str(error).split())  # HEIC's has several lines
        raise InputError(f"{name} is damaged ({reason}): get a whole copy of the picture.") from error


def _name(source: Source) -> str:
    return str(source if isinstance(source, str | os.PathLike) else getattr(source, "name", "The stream"))


def _file(source: Any, name: str) -> AbstractContextManager[BinaryIO]:
    """The file, open; one that was open already stays so."""
    if not isinstance(source, str | os.PathLike):
        return nullcontext(source)
    mode = Path(source).stat().st_mode
    if stat.S_ISDIR(mode):
        raise InputError(f"{name} is a folder, not a picture: name a file inside it.")
    if not stat.S_ISREG(mode):
        raise InputError(f"{name} is not a regular file: name a picture, or send it to `walkcut segment -`.")
    return Path(source).open("rb")


def _parsed(file: BinaryIO, name: str) -> Any:
    """A picture with its header read. Not by Image.open: how much that lets through is set for the whole process."""
    file.seek(0)
    if not (head := file.read(16)):
        raise InputError(f"{name} is empty (0 bytes): get a whole copy of the picture.")
    Image.init()
    decoders: Any = Image.OPEN
    told = "is not a picture"
    for kind in _FORMATS:
        factory, accept = decoders[kind]
        if accept(head) is True:  # else False, or in words that this Pillow was built without
            told = f"is damaged, or a kind of {kind} that is not read"
            file.seek(0)
            with suppress(SyntaxError, IndexError, TypeError, struct.error):
                picture = factory(file, "")
                if kind != "TIFF" or not picture.tag_v2.get(254, 0) & 1:
                    return picture
                raise InputError(f"{name} begins with a preview, as a camera's raw data do: save it as JPEG or TIFF.")
    if head[4:8] == b"ftyp" and head[8:12] in _HEIC:
        return _heic(file, name)
    if head.startswith(_JPEG_XL):
        raise InputError(f"{name} is a JPEG XL picture, which nothing here reads: save it as JPEG or PNG.")
    raise InputError(f"{name} {told}: use a common {KINDS} file.")


def _heic(file: BinaryIO, name: str) -> Any:
    """As Pillow's own pictures are, without entering the decoder for the whole process."""
    try:
        from pillow_heif import HeifImageFile
    except ImportError as error:
        need = "needs the package pillow-heif: pip install 'walkcut[heic]', or save it as JPEG"
        raise InputError(f"{name} is a HEIC picture, which {need}.") from error
    file.seek(0)
    return HeifImageFile(file)


def from_pillow(picture: Image.Image, name: str = "The picture") -> Image.Image:
    """The same picture upright, in mode RGB or RGBA, or L where it was deeper, in which it can be reduced."""
    if _orientation(picture) != 1:
        picture = ImageOps.exif_transpose(picture)
    if picture.mode.startswith(("I", "F")):  # 16-bit greys, 32-bit integers, floats: Pillow would clip them at 255
        values = np.asarray(picture)
        if picture.mode.startswith("I"):
            if values.min() < 0 or values.max() > 65535:
                odd = values.min() if values.min() < 0 else values.max()
                raise InputError(f"{name} holds the value {odd}, outside 0 to 65535: save it with 8 or 16 bits.")
            values = values.astype(np.uint16)
        try:
            return Image.fromarray(check_image(values, MAX_PIXELS))
        except InputError as error:
            raise InputError(f"{name}: {error}") from error
    mode = "RGBA" if picture.has_transparency_data else "RGB"
    return picture if picture.mode == mode else picture.convert(mode)

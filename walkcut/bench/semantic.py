"""Data sets with named classes: COCO-Stuff-27, Cityscapes-27, ADE20K-150; CamVid-11; a folder of one's own.

The first three are read as the zero-shot methods DiffSeg (Tian et al., CVPR 2024) and DiffCut (Couairon et al., NeurIPS
2024) read them: the pixels as they are stored (no turn by EXIF); the largest centred square is cut out first; then the
picture is resized to the side that the model sees, and the truth, by nearest neighbour, to the side at which it is
scored.

Differences from their loaders, so that they are known: pictures are resized by the bicubic antialiasing of
`walkcut.images`, theirs bilinearly without antialiasing; DiffCut's square is one pixel smaller, and it takes the truth
first to 1024 pixels, then each eighth pixel from the corner, where we take the centre of each of the 128x128 fields;
DiffCut scores the labels of ADE20K as they stand in the files, where 0 is "other", which here is not labelled.

CamVid and a folder are shown and scored whole, in their own size, as a viewer shows them.
"""

import hashlib
import json
import struct
import zlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from walkcut.bench.datasets import BSDS, NOT_LABELLED, UNKNOWN, Dataset, Entry, Item, Layout, check_sizes, whole
from walkcut.errors import InputError
from walkcut.images import resize_image
from walkcut.pixels import nearest
from walkcut.reading import SUFFIXES, read_image

# Side of the picture, side of the truth. Those of the walk's own paper were not at hand: DiffSeg's are taken.
PROTOCOLS = {"diffseg": (512, 512), "diffcut": (1024, 128), "walkcut": (512, 512)}
SEMANTIC = ("coco-stuff-27", "cityscapes-27", "ade20k-150", "camvid-11")
FOLDER = "folder"
FOLDER_WHERE = "Name the folder that holds images/ and labels/: for images/a.jpg the classes are in labels/a.png."
LABELS = Path(__file__).parent / "labels"
_DAMAGE = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, Image.DecompressionBombError)


@cache
def layout(name: str) -> Layout:
    """Files, classes and label values of one of `SEMANTIC`, read from `walkcut/bench/labels`."""
    told = json.loads((LABELS / f"{name}.json").read_text(encoding="utf-8"))
    table, values = np.full(256, UNKNOWN, np.int32), told.pop("values")
    table[: len(values)] = values
    table[told.pop("ignored")] = NOT_LABELLED
    names = LABELS / f"{name}.txt"
    listed = tuple(names.read_text(encoding="utf-8").split()) if names.is_file() else ()
    told.pop("about")
    facts: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in told.items()}
    return Layout(name, table=table, listed=listed, **facts)


LAYOUTS = BSDS | {name: layout(name) for name in SEMANTIC}


def layout_of(name: str, data: str | Path | None, classes: Sequence[str] = (), ignore: Sequence[int] = ()) -> Layout:
    """Where the files of a data set lie, in a folder that must be named; of BSDS500, too.

    Parameters
    ----------
    name : str
        Any but that of drawn scenes.
    data : path
        The folder. InputError, with where the files are obtained, if there is none.
    classes, ignore
        See `folder_layout`; only for "folder". If nothing is to be ignored, 255 is.
    """
    if data is None:
        where = FOLDER_WHERE if name == FOLDER else LAYOUTS[name].where
        raise InputError(f"{name} needs its files, with --data DIR. {where}")
    if name == FOLDER:
        return folder_layout(data, classes, ignore or (255,))
    if classes or ignore:
        raise InputError(f"{name} has classes of its own: leave out --classes and --ignore.")
    return LAYOUTS[name]


def folder_layout(root: str | Path, classes: Sequence[str] = (), ignored: Sequence[int] = (255,)) -> Layout:
    """A folder of one's own: `images/` with pictures, `labels/` with a PNG of the same stem for each.

    Parameters
    ----------
    root : path
    classes : sequence of str
        Names of the values 0, 1, ...; empty if every value that is found and not ignored is a class.
    ignored : sequence of int
        Values that stand for nothing labelled, 0 to 255.

    Raises
    ------
    InputError
        If there are more than 256 classes, or files are missing.
    """
    if len(classes) > 256:
        raise InputError(f"Labels of 8 bits tell 256 classes apart, not {len(classes)}: merge some.")
    title, ends = f"the pictures in {Path(root).resolve().name}", (SUFFIXES, ".png")
    kind = Layout(FOLDER, title, 0, ("images",), ("labels",), ends, FOLDER_WHERE, square=False)
    values, names = list(range(len(classes))), tuple(classes)
    if not classes:
        found: set[int] = set()
        for entry in whole(kind, root).values():
            with suppress(InputError):  # which is told when the picture's turn comes
                found.update(np.unique(read_values(entry.truth, kind)).tolist())
        values = sorted(found - set(ignored))
        names = tuple(map(str, values))
    table = np.full(256, UNKNOWN, np.int32)
    table[values] = np.arange(len(names))
    table[list(ignored)] = NOT_LABELLED
    return replace(kind, classes=names, table=table)


def _read(path: Path, mode: str | None, what: str) -> np.ndarray:
    """The pixels of a JPEG or PNG file as they are stored, or brought to a colour mode."""
    try:
        with Image.open(path, formats=("JPEG", "PNG")) as file:
            return np.asarray(file.convert(mode) if mode else file)
    except UnidentifiedImageError as error:
        raise InputError(f"{path} is not a {what}: unpack the archive again.") from error
    except _DAMAGE as error:
        why = getattr(error, "strerror", None) or error
        raise InputError(f"{path} cannot be read as a {what} ({why}): unpack the archive again.") from error


def read_values(path: Path, kind: Layout) -> np.ndarray:
    """The values in a label file, uint8 (H, W); InputError if it is damaged or no 8-bit map."""
    values = _read(path, None, "label map")
    if values.dtype != np.uint8 or values.ndim != 2:
        own = kind.name == FOLDER
        remedy = "save it as 8-bit grey, or with a palette" if own else "unpack the archive again"
        raise InputError(f"{path} is no map of 8-bit labels: {remedy}.")
    return values


def read_classes(entry: Entry, kind: Layout) -> tuple[np.ndarray, np.ndarray]:
    """A picture, uint8 (H, W, 3), and the values in its label file, uint8 (H, W).

    InputError if a file is damaged, of another size than the other, or holds a value that no label has.
    """
    values = read_values(entry.truth, kind)
    image = _read(entry.image, "RGB", "picture") if kind.square else read_image(entry.image)
    check_sizes(entry, image, values)
    found = np.flatnonzero(np.bincount(values.ravel(), minlength=256))
    if odd := [str(value) for value in found if kind.table[value] == UNKNOWN]:
        which = ", ".join(odd[:5]) + (f" and {len(odd) - 5} more" if len(odd) > 5 else "")
        remedy = "name it in --classes, or in --ignore" if kind.name == FOLDER else "unpack the original labels again"
        raise InputError(f"{entry.truth} holds {which}, which no label of {kind.title} is: {remedy}.")
    return image, values


# ---------------------------------------------------------------------------------------------------------------------
# Pictures


def square(array: np.ndarray) -> np.ndarray:
    """The largest centred square of an array (H, W, ...); of an odd rest the larger half is cut off below or right."""
    side = min(array.shape[:2])
    top, left = (array.shape[0] - side) // 2, (array.shape[1] - side) // 2
    return array[top : top + side, left : left + side]


def semantic(kind: Layout, root: str | Path, protocol: str | None = None, partial: bool = False) -> Dataset:
    """A data set with named classes, from its files: images uint8 (size, size, 3), truths int32 (side, side).

    Where the layout is not of squares, both are as in the files.

    A picture is refused with an InputError if a file of it is damaged, of another size than the other, or holds an
    unknown value.

    Parameters
    ----------
    kind : Layout
        Of one of `SEMANTIC`.
    root : path
        See `where` of the layout: the original folders, for COCO in either common arrangement.
    protocol : str, optional
        Of `PROTOCOLS`, which says at which sides squares are shown and scored; default: "diffseg".
    partial : bool
        Be content with the pictures that are there.

    Raises
    ------
    InputError
        If files are missing: which, how many, and where they are obtained.
    """
    if protocol and not kind.square:
        raise InputError(f"{kind.title} is scored whole, by no other paper's protocol: leave out {protocol!r}.")
    (size, score_size), known = PROTOCOLS[protocol or "diffseg"], whole(kind, root, partial)

    def load(name: str) -> Item:
        image, values = read_classes(known[name], kind)
        if not kind.square:
            return Item(name, image, {"classes": (kind.table[values],)})
        truth = kind.table[nearest(square(values), (score_size, score_size))]
        return Item(name, resize_image(square(image), (size, size)), {"classes": (truth,)})

    meaning = hashlib.sha256(repr((kind.classes, kind.table.tolist())).encode()).hexdigest()[:12]
    config: dict[str, Any] = {"size": size, "score_size": score_size} if kind.square else {}
    config |= {"labels": meaning}
    if kind.name == FOLDER:  # of which there are many
        config |= {"pictures": hashlib.sha256("\n".join(known).encode()).hexdigest()[:12]}
    found = Dataset(kind.name, kind.title, tuple(known), load, config, classes=kind.classes)
    return replace(found, files=lambda name: known[name][1:])

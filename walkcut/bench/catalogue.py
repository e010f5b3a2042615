"""Every data set of the benchmark, by its name.

Nothing is ever downloaded: an error says what is missing, where it is obtained and how it must lie.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from walkcut.bench.datasets import (
    BSDS_PICTURES,
    SCENE_SUITES,
    Dataset,
    Layout,
    bsds500,
    bsds_layout,
    held_out_scenes,
    thin,
)
from walkcut.bench.semantic import FOLDER, FOLDER_WHERE, SEMANTIC, folder_layout, layout, semantic
from walkcut.errors import InputError

LAYOUTS = {f"bsds500-{split}": bsds_layout(split) for split in BSDS_PICTURES}
LAYOUTS |= {name: layout(name) for name in SEMANTIC}
DATASETS = (*(f"scenes-{suite}" for suite in SCENE_SUITES), *LAYOUTS, FOLDER)


def open_dataset(
    name: str,
    data: str | Path | None = None,
    every: int = 1,
    protocol: str | None = None,
    partial: bool = False,
    classes: Sequence[str] = (),
    ignore: Sequence[int] = (),
) -> Dataset:
    """Open a data set by its name.

    Parameters
    ----------
    name : str
        One of `DATASETS`.
    data : path, optional
        The folder of its files; needed by all but the scenes.
    every : int
        Keep one picture of `every`, in the order of names.
    protocol, partial
        See `walkcut.bench.semantic.semantic`; only for data sets with named classes.
    classes, ignore
        See `walkcut.bench.semantic.folder_layout`; only for "folder". If nothing is to be ignored, 255 is.

    Raises
    ------
    InputError
        If the name is unknown, a folder is missing or not needed, an option does not suit, or files are missing: which,
        how many, and where they are obtained.
    """
    if name not in DATASETS:
        raise InputError(f"There is no data set {name!r}: choose from {', '.join(DATASETS)}.")
    if name.startswith("scenes"):
        if data is not None:
            raise InputError(f"{name} is drawn from seeds and has no files: leave out --data {data}.")
        _leave_out(name, protocol=protocol, partial=partial, classes=classes, ignore=ignore)
        return thin(held_out_scenes(name.removeprefix("scenes-")), every)
    kind = layout_of(name, data, classes, ignore)
    if kind.classes:
        return thin(semantic(kind, Path(data or ""), protocol, partial), every)
    _leave_out(name, protocol=protocol, partial=partial)
    return bsds500(Path(data or ""), name.removeprefix("bsds500-"), every)


def layout_of(
    name: str, data: str | Path | None, classes: Sequence[str] = (), ignore: Sequence[int] = ()
) -> Layout:
    """Where the files of a data set lie, in a folder that must be named."""
    if data is None:
        where = FOLDER_WHERE if name == FOLDER else LAYOUTS[name].where
        raise InputError(f"{name} needs its files, with --data DIR. {where}")
    if name == FOLDER:
        return folder_layout(data, classes, ignore or (255,))
    _leave_out(name, classes=classes, ignore=ignore)
    return LAYOUTS[name]


def _leave_out(name: str, **options: object) -> None:
    for option, value in options.items():
        if value:
            raise InputError(f"{name} has no option {option!r}: leave out --{option}.")

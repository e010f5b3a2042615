"""Every data set of the benchmark, by its name.

Nothing is ever downloaded: an error says what is missing, where it is obtained and how it must lie.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from walkcut.bench.datasets import BSDS_SPLITS, BSDS_WHERE, SCENE_SUITES, Dataset, bsds500, held_out_scenes, thin
from walkcut.bench.semantic import SEMANTIC, layout, semantic
from walkcut.errors import InputError


@dataclass(frozen=True)
class Source:
    """How a data set is opened.

    Attributes
    ----------
    open : callable
        `open(data, **options) -> Dataset`, or `open(**options)` where no files are needed.
    options : tuple of str
        The options that `open` takes.
    where : str
        Where the files are obtained and how they must lie; empty where none are needed.
    """

    open: Callable[..., Dataset] = field(repr=False)
    options: tuple[str, ...] = ()
    where: str = ""


DATASETS: dict[str, Source] = {
    **{f"scenes-{suite}": Source(partial(held_out_scenes, suite), ("count", "size")) for suite in SCENE_SUITES},
    **{f"bsds500-{split}": Source(partial(bsds500, split=split), where=BSDS_WHERE) for split in BSDS_SPLITS},
    **{
        name: Source(partial(semantic, name), ("protocol", "size", "score_size", "partial"), layout(name).where)
        for name in SEMANTIC
    },
}


def source(name: str, data: str | Path | None) -> Source:
    """The source of a data set; InputError if there is none, or it needs a folder and gets none, or the reverse."""
    if name not in DATASETS:
        raise InputError(f"There is no data set {name!r}: choose from {', '.join(DATASETS)}.")
    found = DATASETS[name]
    if found.where and data is None:
        raise InputError(f"{name} needs its files, with --data DIR. {found.where}")
    if data is not None and not found.where:
        raise InputError(f"{name} is drawn from seeds and has no files: leave out --data {data}.")
    return found


def open_dataset(name: str, data: str | Path | None = None, every: int = 1, **options: object) -> Dataset:
    """Open a data set by its name.

    Parameters
    ----------
    name : str
        One of `DATASETS`.
    data : path, optional
        The folder of its files; needed by all but the scenes.
    every : int
        Keep one picture of `every`, in the order of names.
    **options
        Of this data set, as `DATASETS[name].options` tells; None means the usual.

    Raises
    ------
    InputError
        If the name or an option is unknown, or files are missing: which, how many, and where they are obtained.
    """
    found = source(name, data)
    given = {key: value for key, value in options.items() if value is not None}
    for key in given:
        if key not in found.options:
            known = ", ".join(("every", *found.options))
            raise InputError(f"{name} has no option {key!r}: it has {known}.")
    return thin(found.open(data, **given) if found.where else found.open(**given), every)

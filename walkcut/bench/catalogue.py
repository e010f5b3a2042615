"""Every data set of the benchmark, by its name.

Nothing is ever downloaded: an error says what is missing, where it is obtained and how it must lie.
"""

from __future__ import annotations

from pathlib import Path

from walkcut.bench.datasets import BSDS_PICTURES, SCENE_SUITES, Dataset, bsds500, bsds_layout, held_out_scenes, thin
from walkcut.bench.semantic import SEMANTIC, layout, semantic
from walkcut.errors import InputError

LAYOUTS = {f"bsds500-{split}": bsds_layout(split) for split in BSDS_PICTURES}
LAYOUTS |= {name: layout(name) for name in SEMANTIC}
DATASETS = (*(f"scenes-{suite}" for suite in SCENE_SUITES), *LAYOUTS)


def open_dataset(
    name: str, data: str | Path | None = None, every: int = 1, protocol: str | None = None, partial: bool = False
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

    Raises
    ------
    InputError
        If the name is unknown, a folder is missing or not needed, an option does not suit, or files are missing: which,
        how many, and where they are obtained.
    """
    if name not in DATASETS:
        raise InputError(f"There is no data set {name!r}: choose from {', '.join(DATASETS)}.")
    if name in LAYOUTS and data is None:
        raise InputError(f"{name} needs its files, with --data DIR. {LAYOUTS[name].where}")
    if data is not None and name not in LAYOUTS:
        raise InputError(f"{name} is drawn from seeds and has no files: leave out --data {data}.")
    folder = Path(data or "")
    if name in SEMANTIC:
        return thin(semantic(LAYOUTS[name], folder, protocol or "diffseg", partial), every)
    if protocol or partial:
        raise InputError(f"{name} has no option {'protocol' if protocol else 'partial'!r}: it has every.")
    family, _, part = name.partition("-")
    return thin(held_out_scenes(part) if family == "scenes" else bsds500(folder, part), every)

"""`walkcut bench check`: are the files of a data set all there, whole, and what they should be?"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from walkcut.app.outputs import digest
from walkcut.app.progress import progress
from walkcut.bench.datasets import find, read_humans
from walkcut.bench.semantic import layout_of, read_classes
from walkcut.errors import InputError

SHOWN = 10  # problems told one by one


class Report(NamedTuple):
    """What was found: the text to print, all problems in sentences, and the checksum."""

    text: str
    problems: list[str]
    checksum: str


def check(name: str, data: str | Path, classes: Sequence[str] = (), ignore: Sequence[int] = ()) -> Report:
    """Check the files of a data set, without changing any: each picture and its truth are read as a run reads them.

    The checksum runs over the sorted lines "pictures/NAME.jpg", tabulator, SHA-256 of the content (likewise "truth/"),
    for the files that are there and count. It is the same on every machine and for every folder arrangement.

    Parameters
    ----------
    name : str
        A data set with files: "coco-stuff-27", "camvid-11", "bsds500-val", ..., or "folder".
    data : path
        Its folder.
    classes, ignore
        As of `walkcut.bench.semantic.layout_of`.

    Raises
    ------
    InputError
        If a whole folder of the data set is missing.
    """
    layout = layout_of(name, data, classes, ignore)
    entries = find(layout, data)
    total = layout.pictures or len(entries)
    images, truths = (sum(map(Path.is_file, paths)) for paths in zip(*(entry[1:] for entry in entries), strict=True))
    problems = [f"{images:,} pictures were found where {layout.title} has {total:,}."] * (images != total)
    digests: list[str] = []
    for entry in progress(entries, desc=layout.title, unit="picture"):
        files = {"pictures": entry.image, "truth": entry.truth}
        there = {folder: path for folder, path in files.items() if path.is_file()}
        digests += [f"{folder}/{entry.name}{path.suffix}\t{digest(path)}\n" for folder, path in there.items()]
        problems += [f"{path} is missing." for path in files.values() if path not in there.values()]
        try:
            if there == files and layout.classes:
                read_classes(entry, layout)
            elif there == files:
                read_humans(entry)
        except InputError as error:
            problems.append(str(error))
    checksum = hashlib.sha256("".join(sorted(digests)).encode()).hexdigest()
    lines = [
        f"{layout.title} in {data}",
        f"pictures  {images:,} of {total:,}",
        f"truths    {truths:,} of {total:,}",
        f"checksum  {checksum}",
    ]
    verdict = f"{len(problems):,} problem{'s' * (len(problems) > 1)}:" if problems else "No problem was found."
    lines += ["", verdict, *(f"- {problem}" for problem in problems[:SHOWN])]
    lines += [f"- and {len(problems) - SHOWN:,} more."] * (len(problems) > SHOWN) + [layout.where] * bool(problems)
    return Report("\n".join(lines), problems, checksum)

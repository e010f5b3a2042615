"""`walkcut bench check`: are the files of a data set all there, whole, and what they should be?"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from walkcut.app.outputs import digest
from walkcut.app.progress import progress
from walkcut.bench.catalogue import layout_of
from walkcut.bench.datasets import Entry, Layout, check_sizes, find, read_bsds_truth
from walkcut.bench.semantic import read_picture, read_values, unknown_values
from walkcut.errors import InputError
from walkcut.reading import read_image

SHOWN = 10  # problems told one by one


class Report(NamedTuple):
    """What was found: the text to print, all problems in sentences, and the checksum."""

    text: str
    problems: tuple[str, ...]
    checksum: str

    @property
    def code(self) -> int:
        """Exit code: 1 if there is any problem."""
        return int(bool(self.problems))


# One kind of data set each: what a good pair of files is, and what there is to tell about all truths.


class _Classes:
    """Data sets with named classes; counts the pixels of each over whole label maps, before any crop."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.counts = np.zeros(256, np.int64)  # of each value in the label files

    def problems(self, entry: Entry) -> Iterator[str]:
        values = read_values(entry.truth, self.layout)
        self.counts += np.bincount(values.ravel(), minlength=256)
        if odd := unknown_values(values, entry.truth, self.layout):
            yield odd
        check_sizes(entry, read_picture(entry.image), values)

    def lines(self) -> Iterator[str]:
        total = max(self.counts.sum(), 1)
        classes = [int(self.counts[self.layout.table == number].sum()) for number in range(len(self.layout.classes))]
        without = int(self.counts[self.layout.table < 0].sum())
        yield f"{'pixels':>15}  {'share':>8}  class"
        for name, count in (*zip(self.layout.classes, classes, strict=True), ("(not labelled)", without)):
            yield f"{count:>15,}  {count / total:>8.3%}  {name}"


class _Humans:
    """BSDS500: several human segmentations per picture."""

    def __init__(self) -> None:
        self.segments: list[list[int]] = []  # of each human, per picture

    def problems(self, entry: Entry) -> Iterator[str]:
        truths = read_bsds_truth(entry.truth)
        self.segments.append([int(truth.max()) + 1 for truth in truths])
        for number, truth in enumerate(truths, 1):
            empty = truth.max() + 1 - len(np.unique(truth))
            if empty:
                yield f"Human {number} in {entry.truth} leaves {empty} numbers of segments unused: get the file again."
        check_sizes(entry, read_image(entry.image), truths[0])

    def lines(self) -> Iterator[str]:
        humans = [len(picture) for picture in self.segments] or [0]
        counts = [count for picture in self.segments for count in picture] or [0]
        yield f"human segmentations   {sum(humans):,}, {min(humans)} to {max(humans)} per picture"
        yield f"segments in each      {min(counts):,} to {max(counts):,}, median {np.median(counts):g}"


def _read_all(kind: _Classes | _Humans, entries: list[Entry], title: str) -> tuple[list[str], str]:
    """Problems of the pairs that are there, and one SHA-256 over the sorted names and digests of all their files."""
    problems: list[str] = []
    digests: list[str] = []
    for entry in progress(entries, desc=title, unit="picture"):
        files = {"pictures": entry.image, "truth": entry.truth}
        there = {folder: path for folder, path in files.items() if path.is_file()}
        digests += [f"{folder}/{entry.name}{path.suffix}\t{digest(path)}\n" for folder, path in there.items()]
        try:
            problems.extend(kind.problems(entry) if there == files else ())  # what it told before it gave up is kept
        except InputError as error:
            problems.append(str(error))
    return problems, hashlib.sha256("".join(sorted(digests)).encode()).hexdigest()


def check(name: str, data: str | Path, classes: Sequence[str] = (), ignore: Sequence[int] = ()) -> Report:
    """Check the files of a data set, without changing any.

    The checksum runs over the sorted lines "pictures/NAME.jpg", tabulator, SHA-256 of the content (likewise "truth/"),
    for the files that are there and count. It is the same on every machine and for every folder arrangement.

    Parameters
    ----------
    name : str
        A data set with files: "coco-stuff-27", "camvid-11", "bsds500-val", ..., or "folder".
    data : path
        Its folder.
    classes, ignore
        As of `walkcut.bench.catalogue.open_dataset`.

    Raises
    ------
    InputError
        If a whole folder of the data set is missing.
    """
    layout = layout_of(name, data, classes, ignore)
    kind = _Classes(layout) if layout.classes else _Humans()
    entries = find(layout, data)
    pairs = [(entry.image, entry.truth) for entry in entries]
    images, truths = (sum(map(Path.is_file, paths)) for paths in zip(*pairs, strict=True))
    found, checksum = _read_all(kind, entries, layout.title)
    total = layout.pictures or len(entries)
    problems = [f"{images:,} pictures were found where {layout.title} has {total:,}."]
    problems = problems * (images != total)
    problems += [f"{path} is missing." for pair in pairs for path in pair if not path.is_file()] + found
    lines = [
        f"{layout.title} in {data}",
        f"pictures  {images:,} of {total:,}",
        f"truths    {truths:,} of {total:,}",
        f"checksum  {checksum}",
    ]
    lines += ["", *kind.lines(), "", *_verdict(problems)] + [layout.where] * bool(problems)
    return Report("\n".join(lines), tuple(problems), checksum)


def _verdict(problems: list[str]) -> Iterator[str]:
    yield f"{len(problems):,} problem{'s' * (len(problems) > 1)}:" if problems else "No problem was found."
    yield from (f"- {problem}" for problem in problems[:SHOWN])
    if len(problems) > SHOWN:
        yield f"- and {len(problems) - SHOWN:,} more."

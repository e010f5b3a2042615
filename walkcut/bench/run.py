"""Run methods over a data set, one row per (picture, method, setting).

Rows go to a JSONL file as soon as a picture and method are done; a run that was killed goes on where it stopped. Each
row carries a fingerprint of all that it depends on (settings, weights, the code of the method and of the measures), so
that a row made under other conditions is made again and never mixed in.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from walkcut.bench.boundaries import HumanBoundaries
from walkcut.bench.datasets import Dataset, Item
from walkcut.bench.matching import class_table
from walkcut.bench.method import Method
from walkcut.bench.metrics import score
from walkcut.bench.record import PACKAGE, write_atomically
from walkcut.engine import Function, Stage, stream
from walkcut.errors import InputError
from walkcut.many import BROKEN

MEASURING = (
    *("scenes.py", "pixels.py"),
    *(f"bench/{name}.py" for name in ("datasets", "semantic", "metrics", "matching", "boundaries")),
)


def fingerprint(dataset: Dataset, method: Method) -> str:
    """Twelve hexadecimal digits that change when the data, the method or the measures change."""
    sources = [PACKAGE / name for name in (*MEASURING, *method.sources)]
    code = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()
    parts = [dataset.config, dataset.borders, method.name, method.settings, method.config, code]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]


def read_rows(path: Path) -> list[dict]:
    """Rows of a JSONL file; a last line that was cut short is left out, and no file means no rows.

    Raises
    ------
    InputError
        If another line is damaged, or the file cannot be read.
    """
    try:
        lines = path.read_bytes().split(b"\n") if path.exists() else []
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}): choose another --out.") from error
    rows = []
    for number, line in enumerate(lines[:-1], 1):  # what follows the last newline is empty or cut short
        try:
            rows.append(json.loads(line))
        except ValueError as error:
            raise InputError(
                f"Line {number} of {path} is damaged: delete that line or choose another --out."
            ) from error
    return rows


def append_rows(path: Path, rows: Iterable[dict]) -> None:
    """Append rows and wait until they are on disk."""
    with path.open("a") as file:
        file.write("".join(json.dumps(row) + "\n" for row in rows))
        file.flush()
        os.fsync(file.fileno())


def sort_out(rows: Sequence[dict], dataset: Dataset, methods: Sequence[Method]) -> tuple[list[dict], int]:
    """Rows to keep, and the number of rows dropped as made under other conditions or left incomplete.

    Rows of methods that do not take part now are kept as they are.
    """
    prints = {method.name: fingerprint(dataset, method) for method in methods}
    settings = {method.name: list(method.settings) for method in methods}
    units: dict[tuple[str, str], list[dict]] = {}
    for row in rows:
        units.setdefault((row["picture"], row["method"]), []).append(row)
    kept = []
    for (_, name), unit in units.items():
        whole = name not in prints or (
            [row["setting"] for row in unit] == settings[name]
            and {row["fingerprint"] for row in unit} == {prints[name]}
        )
        kept += unit if whole else []
    return kept, len(rows) - len(kept)


class Scorer:
    """Scores of label maps of one picture; neighbouring settings often give one and the same map."""

    def __init__(self, dataset: Dataset, item: Item) -> None:
        self.item, self.classes = item, len(dataset.classes)
        self.humans = HumanBoundaries(item.truths["human"]) if dataset.borders and "human" in item.truths else None
        self.known: dict[tuple[str, bytes], dict] = {}

    def __call__(self, kind: str, labels: np.ndarray) -> dict:
        """What a row stores of one kind of truth: measures, or the table class x segment where classes have names."""
        key = kind, hashlib.sha256(np.ascontiguousarray(labels)).digest()
        if key not in self.known:
            self.known[key] = self._score(kind, labels)
        return dict(self.known[key])

    def _score(self, kind: str, labels: np.ndarray) -> dict:
        truths = self.item.truths[kind]
        if self.classes:
            table = class_table(truths[0], labels, self.classes)
            present = np.flatnonzero(table.any(1))
            shape = {"classes": table.shape[0], "clusters": table.shape[1]}
            return shape | {"present": present.tolist(), "counts": table[present].tolist()}
        found = {name: round(x, 6) for name, x in score(truths, labels).items()}
        if kind == "human" and self.humans is not None:
            found["boundary"] = [int(count) for count in self.humans.counts(labels)]
        return found


def score_picture(item: Item, method: Method, mark: str, scorer: Scorer) -> list[dict]:
    """One row per setting of `method` on one picture.

    `seconds` is the time to the first setting's labels, once the denoiser has looked; `look` the time of that look.
    """
    look = None
    if method.looker is not None:
        look = round(method.looker(item.image).taken(), 3)
    scores: dict[str, dict] = {setting: {} for setting in method.settings}
    segments: dict[str, int] = {}
    seconds, start = None, time.perf_counter()
    for setting, labels, kinds, notes in method.run(item):
        seconds = time.perf_counter() - start if seconds is None else seconds
        for kind in kinds or item.truths:
            scores[setting][kind] = scorer(kind, labels)
        for (kind, name), value in (notes or {}).items():
            scores[setting][kind][name] = round(float(value), 6)
        segments[setting] = len(np.unique(labels))
    common = {"picture": item.name, "method": method.name, "fingerprint": mark, "seconds": round(seconds or 0.0, 3)}
    common |= {} if look is None else {"look": look}
    return [
        common | {"setting": setting, "segments": segments[setting], "scores": scores[setting]}
        for setting in method.settings
    ]


def scorer(dataset: Dataset, methods: Sequence[Method]) -> Function:
    """From a picture's name and the names of methods to `score_methods`: what a worker of a run does."""
    marks = {method.name: fingerprint(dataset, method) for method in methods}
    known = {method.name: method for method in methods}
    return lambda item: score_methods(dataset, item[0], [known[name] for name in item[1]], marks)


def run(
    dataset: Dataset,
    methods: Sequence[Method],
    path: Path,
    fresh: bool = False,
    stage: Stage | None = None,
    engine: str = "local",
) -> tuple[list[dict], dict]:
    """Score all pictures with all methods, going on from the rows in `path`.

    Parameters
    ----------
    dataset : Dataset
    methods : sequence of Method
    path : Path
        The JSONL file; its folder is created.
    fresh : bool
        Forget the rows in `path` first.
    stage : Stage, optional
        Workers, each of which makes the function that `scorer` returns, for one picture at a time. Default: this
        process, which writes after each method.
    engine : str
        See `walkcut.engine.stream`.

    Returns
    -------
    rows : list of dict
    failed : dict of str
        Pictures that could not be read or segmented, with the reason; they are tried again by the next run.
    """
    rows, dropped = sort_out([] if fresh else read_rows(path), dataset, methods)
    write_atomically(path, "".join(json.dumps(row) + "\n" for row in rows))
    if dropped:
        tqdm.write(f"{path}: {dropped} rows were incomplete or made under other conditions, and are made again.")
    done = {(row["picture"], row["method"]) for row in rows}
    left = {name: [m.name for m in methods if (name, m.name) not in done] for name in dataset.names}
    todo = [(name, wanted) for name, wanted in left.items() if wanted]
    failed: dict[str, str] = {}
    before = len(dataset.names) - len(todo)
    results = stream(todo, [stage or Stage(lambda: scorer(dataset, methods))], engine)
    with tqdm(total=len(dataset.names), initial=before, desc=dataset.name, unit="picture") as bar:
        for (name, _), scored in zip(todo, results, strict=True):
            for new, reason in scored:
                append_rows(path, new)
                rows += new
                if reason:
                    failed[name] = reason
                    bar.write(f"{name}: {reason}")
            bar.update()
    return rows, failed


def score_methods(
    dataset: Dataset, name: str, methods: Sequence[Method], marks: dict[str, str]
) -> Iterable[tuple[list[dict], str]]:
    """Rows of each method on one picture, or none and the reason why there are none."""
    try:
        item = dataset.load(name)
        scorer = Scorer(dataset, item)
    except BROKEN as error:
        yield [], str(error)
        return
    for method in methods:
        try:
            yield score_picture(item, method, marks[method.name], scorer), ""
        except BROKEN as error:
            yield [], f"{method.name}: {error}"

"""Run methods over a data set, one row per (picture, method, setting).

Rows go to a JSONL file as soon as a picture and method are done; a run that was killed goes on where it stopped. The
file's name, and each row in it, carry a fingerprint of all that the rows depend on: settings, weights, the code of the
method and of the measures. Under other conditions there is another file: rows are never mixed, and none disappears.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from walkcut.app.batch import BROKEN
from walkcut.app.outputs import alone_in, cannot_write, write_whole
from walkcut.app.outputs import digest as content_digest
from walkcut.app.progress import progress
from walkcut.app.stages import Function, Stage, stream
from walkcut.bench.datasets import Dataset
from walkcut.bench.method import Method
from walkcut.bench.record import short_hash
from walkcut.bench.scorer import Scorer, score_picture
from walkcut.bench.sources import digest
from walkcut.errors import InputError, ModelError


def conditions(dataset: Dataset, method: Method) -> list:
    """All but the code that a method's rows on a data set depend on."""
    return [dataset.name, dataset.config, dataset.borders, method.name, method.settings, method.conditions]


def fingerprint(dataset: Dataset, method: Method) -> str:
    """Twelve hexadecimal digits that change when the data, the method, or the code of either or of measures change."""
    modules = {"walkcut.bench.scorer", dataset.load.__module__, method.run.__module__, *method.modules}
    modules |= {"walkcut.eyes", "walkcut.lab"} if method.looker else set()  # where names in a recipe are registered
    return short_hash([*conditions(dataset, method), digest(frozenset(modules))])


def rows_file(folder: Path, dataset: Dataset, method: Method) -> Path:
    """Where a method's rows on a data set lie."""
    name = re.sub(r"[^\w.]+", "-", method.name)
    return folder / "rows" / f"{dataset.name}.{name}.{fingerprint(dataset, method)}.jsonl"


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
            row = json.loads(line)
            rows.append(row | {name: row[name] for name in ("picture", "setting")})
        except (ValueError, TypeError, KeyError) as error:
            raise InputError(
                f"Line {number} of {path} is damaged: delete that line or choose another --out."
            ) from error
    return rows


def append_rows(path: Path, rows: Iterable[dict]) -> None:
    """Append rows and wait until they are on disk; another run may do the same."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with alone_in(path.parent), path.open("ab") as file:
            file.write("".join(json.dumps(row) + "\n" for row in rows).encode())
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise cannot_write(path, error) from error


def begun(path: Path, settings: Sequence[str], fresh: bool, made_from: Mapping[str, str]) -> list[dict]:
    """Rows of the pictures that are complete in a file, which afterwards holds just these; none if it is `fresh`.

    Those of a picture whose files, of which `made_from` has a digest, are others by now are left out. Where two runs
    wrote side by side, a row counts once.
    """
    with alone_in(path.parent):
        rows = [] if fresh else read_rows(path)
        there = path.read_bytes() if path.is_file() else None
    units: dict[str, dict[str, dict]] = {}
    for row in rows:
        if row.get("made_from") == made_from.get(row["picture"], row.get("made_from")):
            units.setdefault(row["picture"], {})[row["setting"]] = row
    kept = [row for unit in units.values() if list(unit) == list(settings) for row in unit.values()]
    text = "".join(json.dumps(row) + "\n" for row in kept).encode()
    if text != there:
        write_whole({path: text})
    return kept


def _digests(files: Iterable[Path]) -> str:
    """Twelve digits of what is in some files; nothing of none, or of some that cannot be read, which is told later."""
    with suppress(OSError):
        if found := [content_digest(file) for file in files]:
            return short_hash(found)
    return ""


def scorer(dataset: Dataset, methods: Sequence[Method]) -> Function:
    """What a worker of a run does: from a picture's name and the names of methods to rows of each.

    Of a method that fails there are none, but the reason why.
    """
    known = {method.name: (method, fingerprint(dataset, method)) for method in methods}

    def score(work: tuple[str, Sequence[str]]) -> Iterator[tuple[list[dict], str]]:
        picture, wanted = work
        try:
            item = dataset.load(picture)
            scorer = Scorer(dataset, item)
        except BROKEN as error:
            yield [], str(error)
            return
        for name in wanted:
            try:
                yield score_picture(item, *known[name], scorer), ""
            except ModelError:
                raise
            except BROKEN as error:
                yield [], f"{name}: {error}"

    return score


def run(
    dataset: Dataset,
    methods: Sequence[Method],
    folder: Path,
    fresh: bool = False,
    stage: Stage | None = None,
    engine: str = "local",
) -> tuple[list[dict], dict[str, str]]:
    """Score all pictures with all methods, going on from the rows in `folder`.

    Parameters
    ----------
    dataset : Dataset
    methods : sequence of Method
    folder : Path
        Where results lie; it is created.
    fresh : bool
        Begin the files of these very conditions anew.
    stage : Stage, optional
        Workers, each of which makes the function that `scorer` returns, for one picture at a time. Default: this
        process, which writes after each method.
    engine : str
        See `walkcut.app.stages.stream`.

    Returns
    -------
    rows : list of dict
    failed : dict of str
        Pictures that could not be read or segmented, with the reason; they are tried again by the next run.
    """
    files = {method.name: rows_file(folder, dataset, method) for method in methods}
    made_from = {name: found for name in dataset.names if (found := _digests(dataset.files(name)))}
    rows = [row for method in methods for row in begun(files[method.name], method.settings, fresh, made_from)]
    done = {(row["picture"], row["method"]) for row in rows}
    left = {name: [m.name for m in methods if (name, m.name) not in done] for name in dataset.names}
    todo = [(name, wanted) for name, wanted in left.items() if wanted]
    failed: dict[str, str] = {}
    before = len(dataset.names) - len(todo)
    results = stream(todo, [stage or Stage(lambda: scorer(dataset, methods))], engine)
    with progress(total=len(dataset.names), initial=before, desc=dataset.name, unit="picture") as bar:
        for (name, _), scored in zip(todo, results, strict=True):
            for new, reason in scored:
                if reason:
                    failed[name] = reason
                    bar.write(f"{name}: {reason}")
                else:
                    new = [row | {"made_from": made_from[name]} for row in new] if name in made_from else new
                    append_rows(files[new[0]["method"]], new)
                    rows += new
            bar.update()
    return rows, failed

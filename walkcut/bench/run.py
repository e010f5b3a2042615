"""Run methods over a data set, one row per (picture, method, setting).

Rows are written, whole or not at all, as soon as a picture and method are done; a run that was killed goes on where it
stopped. Their folder's name, and each row, carry a fingerprint of all that the rows depend on: settings, weights, the
code of the method and of the measures. Under other conditions there is another folder: rows are never mixed, and none
disappears.
"""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from walkcut.app.batch import BROKEN
from walkcut.app.outputs import digest, write_whole
from walkcut.app.progress import progress
from walkcut.app.stages import Function, Stage, stream
from walkcut.bench import sources
from walkcut.bench.datasets import Dataset
from walkcut.bench.method import Method
from walkcut.bench.record import short_hash
from walkcut.bench.scorer import Scorer, score_picture
from walkcut.errors import ModelError


def conditions(dataset: Dataset, method: Method) -> list:
    """All but the code that a method's rows on a data set depend on."""
    return [dataset.name, dataset.config, dataset.borders, method.name, method.settings, method.conditions]


def fingerprint(dataset: Dataset, method: Method) -> str:
    """Twelve hexadecimal digits that change when the data, the method, or the code of either or of measures change."""
    modules = {"walkcut.bench.scorer", dataset.load.__module__, method.run.__module__, *method.modules}
    modules |= {"walkcut.eyes", "walkcut.lab"} if method.looker else set()  # where names in a recipe are registered
    return short_hash([*conditions(dataset, method), sources.digest(frozenset(modules))])


def rows_folder(folder: Path, dataset: Dataset, method: Method) -> Path:
    """Where a method's rows on a data set lie, those of each picture in a file of its name."""
    name = re.sub(r"[^\w.]+", "-", method.name)
    return folder / "rows" / f"{dataset.name}.{name}.{fingerprint(dataset, method)}"


def read_rows(path: Path) -> list[dict]:
    """Rows of a method on one picture; none where there is no file of them, or one that cannot be read."""
    with suppress(OSError, ValueError):
        return json.loads(path.read_bytes())
    return []


def _digests(files: Iterable[Path]) -> str:
    """Twelve digits of what is in some files; nothing of none, or of some that cannot be read, which is told later."""
    with suppress(OSError):
        if found := [digest(file) for file in files]:
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
        Write the rows of these very conditions anew.
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
    folders = {method.name: rows_folder(folder, dataset, method) for method in methods}
    made_from = {name: _digests(dataset.files(name)) for name in dataset.names}
    rows: list[dict] = []
    left: dict[str, list[str]] = {name: [] for name in dataset.names}
    for name in dataset.names:
        for method in methods:
            kept = [] if fresh else read_rows(folders[method.name] / f"{name}.json")
            if kept and kept[0]["made_from"] == made_from[name]:
                rows += kept
            else:
                left[name].append(method.name)
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
                    new = [row | {"made_from": made_from[name]} for row in new]
                    write_whole({folders[new[0]["method"]] / f"{name}.json": json.dumps(new).encode()})
                    rows += new
            bar.update()
    return rows, failed

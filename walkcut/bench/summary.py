"""From rows to the committed result: a line per method, the best setting, intervals, differences."""

import json
from bisect import bisect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import binomtest

from walkcut.bench.config import RunConfig
from walkcut.bench.datasets import Dataset
from walkcut.bench.method import Method
from walkcut.bench.metrics import SAMPLES, SEED
from walkcut.bench.ours import OURS
from walkcut.bench.record import keep, model_record, provenance, short_hash
from walkcut.bench.run import conditions, fingerprint, run
from walkcut.bench.scores import Scores, scores_of
from walkcut.errors import InputError
from walkcut.registry import CRITERIA

Pairs = Callable[[Sequence["Line"]], list[tuple["Line", "Line"]]]
COMPLEXITY = (0, 5, 10, 20, 40)  # true regions: a bin begins at each


@dataclass(frozen=True)
class Line:
    """One line of the results table: a method with the settings among which the best is chosen.

    Attributes
    ----------
    label : str
    method : str
    settings : tuple of str
        A single one where nothing is chosen on the scored pictures.
    alone : bool
        Whether the setting was fixed before: a criterion, or the published default.
    scores : dict of Scores, by (truth, measure)
    rows : list of dict for each setting
        One for each picture.
    """

    label: str
    method: str
    settings: tuple[str, ...]
    alone: bool
    scores: dict[tuple[str, str], Scores]
    rows: Sequence[Sequence[dict]] = ()


def lines_of(rows: Sequence[dict], pictures: Sequence[str], methods: Sequence[Method]) -> list[Line]:
    """Each setting that stands alone, then the method with the settings that are swept."""
    index = {(row["picture"], row["method"], row["setting"]): row for row in rows}
    lines = []
    for method in methods:
        groups: dict[str, tuple[str, ...]] = {f"{method.name}, {setting}": (setting,) for setting in method.alone}
        groups |= {method.name: method.curve} if method.curve else {}
        for label, settings in groups.items():
            grid = [[index[picture, method.name, setting] for picture in pictures] for setting in settings]
            scores: dict[tuple[str, str], Scores] = {}
            for kind in grid[0][0]["scores"]:
                cells = [[row["scores"][kind] for row in picture] for picture in zip(*grid, strict=True)]
                scores |= {(kind, measure): found for measure, found in scores_of(cells, kind).items()}
            lines.append(Line(label, method.name, settings, label != method.name, scores, grid))
    return lines


def table_rows(lines: Sequence[Line]) -> list[dict]:
    """ODS, OIS with their intervals, the chosen setting and the whole curve of each line, truth and measure."""
    found = []
    for line in lines:
        for (kind, measure), scores in line.scores.items():
            best, interval = scores.best, scores.interval()
            row = {"method": line.label, "truth": kind, "measure": measure, "ods": round(best.ods, 4)}
            row |= {"ois": round(best.ois, 4)} if "ois" in interval else {}
            row |= {"interval": {name: [round(x, 4) for x in ends] for name, ends in interval.items()}}
            row |= {"setting": line.settings[best.setting]}
            row |= {"at_end_of_list": len(line.settings) > 1 and best.setting in (0, len(line.settings) - 1)}
            found.append(row | {"curve": [round(float(x), 4) for x in scores.along]} | scores.more)
    return found


def pairs_of(lines: Sequence[Line]) -> list[tuple[Line, Line]]:
    """Whom to compare: our default criterion, and a constant that was chosen elsewhere, with every other line; our
    constant thresholds with what others sweep.

    Then each of our criteria with our own best constant threshold, and the default one with constants from elsewhere.
    """
    ours = {name: [line for line in lines if line.method == name] for name in (OURS, f"{OURS}, parts")}
    found = []
    for own in ours.values():
        constant = [line for line in own if not line.alone]
        alone = [line for line in own if line.alone]
        automatic = alone[:1] + [line for line in alone[1:] if line.settings[0] not in CRITERIA]
        for other in lines:
            if other.method not in ours:
                found += [(line, other) for line in automatic + (constant if len(other.settings) > 1 else [])]
        found += [(line, constant[0]) for line in own if line.alone and constant]
        found += [(automatic[0], line) for line in automatic[1:]]
    return found


def differences(pairs: Sequence[tuple[Line, Line]]) -> list[dict]:
    """Paired bootstrap differences with 95% intervals; positive means better only where more is better."""
    found = []
    for line, other in pairs:
        for kind, measure in [key for key in line.scores if key in other.scores]:
            for choice, numbers in line.scores[kind, measure].difference(other.scores[kind, measure]).items():
                difference, low, high = (round(x, 4) for x in numbers)
                row = {"method": line.label, "baseline": other.label, "truth": kind, "measure": measure}
                found.append(row | {"choice": choice, "difference": difference, "low": low, "high": high})
    return found


def against_first(lines: Sequence[Line]) -> list[tuple[Line, Line]]:
    """Whom to compare where the first method is the usual one and all others are changes to it: like with like."""

    def like(line: Line) -> tuple[str, ...]:
        return line.settings if line.alone else ()

    usual = {like(line): line for line in lines if line.method == lines[0].method}
    return [(line, usual[like(line)]) for line in lines if line.method != lines[0].method and like(line) in usual]


def describe(dataset: Dataset, method: Method) -> dict:
    """What the result records of a method: also the fingerprint of its rows, which no other code shares."""
    marks: dict = {"alone": list(method.alone)} | ({"trained_on": method.trained_on} if method.trained_on else {})
    model = {"model": model_record(method.looker.backbone.eye)} if method.looker else {}
    marks |= model | {"fingerprint": fingerprint(dataset, method)}
    return {"settings": list(method.settings)} | marks | method.conditions


def segment_counts(lines: Sequence[Line]) -> dict[str, dict]:
    """Of each setting that stands alone: median number of segments, and pictures left in one segment."""
    counts = {line.label: [row["segments"] for row in line.rows[0]] for line in lines if line.alone}
    return {label: {"median": float(np.median(n)), "pictures_in_one": n.count(1)} for label, n in counts.items()}


def left_whole(lines: Sequence[Line]) -> dict[str, dict[str, list[float]]]:
    """Of each setting that stands alone: the share of pictures left in one segment, with its 95% interval.

    By kind of picture, with which its name begins; the interval is Wilson's (1927).
    """
    found: dict[str, dict[str, list[float]]] = {}
    for line in lines:
        if line.alone:
            kinds: dict[str, list[bool]] = {}
            for row in line.rows[0]:
                kinds.setdefault(row["picture"].rpartition("-")[0], []).append(row["segments"] == 1)
            found[line.label] = {kind: _share(whole) for kind, whole in kinds.items()}
    return found


def _share(true: Sequence[bool]) -> list[float]:
    interval = binomtest(sum(true), len(true)).proportion_ci(method="wilson")
    return [round(float(x), 4) for x in (np.mean(true), *interval)]


def like_constants(lines: Sequence[Line]) -> dict[str, list]:
    """Of each criterion, the constant threshold that it is most often the same as, and for which share of pictures.

    Two prunings of one tree with as many segments and the same scores are taken for one.
    """
    found = {}
    for line in lines:
        constants = next((other for other in lines if other.method == line.method and not other.alone), None)
        if line.alone and constants and line.settings[0] in CRITERIA:
            same = [float(np.mean(list(map(_alike, line.rows[0], rows)))) for rows in constants.rows]
            found[line.label] = [constants.settings[int(np.argmax(same))], round(max(same), 4)]
    return found


def _alike(row: dict, other: dict) -> bool:
    """Of one picture: as many segments, and the same in every measure that both have."""
    both = [(row["scores"][kind], scores) for kind, scores in other["scores"].items()]
    same = all(mine[name] == value for mine, theirs in both for name, value in theirs.items() if name in mine)
    return row["segments"] == other["segments"] and same


def seconds(lines: Sequence[Line]) -> dict[str, float]:
    """Median time per picture to a method's first setting; "look" is the denoiser's pass, which they share."""
    looks = [row["look"] for line in lines for rows in line.rows for row in rows if row.get("look")]
    times = {"look": looks} | {line.method: [row["seconds"] for row in line.rows[0]] for line in lines}
    return {name: round(float(np.median(each)), 3) for name, each in times.items() if each}


def complexity(lines: Sequence[Line]) -> dict[str, dict]:
    """Mean covering of lines against the number of true regions: by truth, by label, a list over the bins of
    `COMPLEXITY` of [pictures, mean covering], each line at its one best setting."""
    found: dict[str, dict] = {}
    for line in lines:
        for kind in [kind for kind, measure in line.scores if measure == "covering"]:
            bins: list[list[float]] = [[] for _ in COMPLEXITY]
            scores = line.scores[kind, "covering"]
            for row in line.rows[scores.best.setting]:
                cell = row["scores"][kind]
                bins[bisect(COMPLEXITY, cell["regions"]) - 1].append(cell["covering"])
            means = [[len(values), round(float(np.mean(values)), 4) if values else None] for values in bins]
            found.setdefault(kind, {})[line.label] = means
    return found


def bench(
    dataset: Dataset,
    methods: Sequence[Method],
    folder: Path,
    config: RunConfig,
    pairs: Pairs = pairs_of,
    more: Callable[[], dict] = dict,
    **crew: Any,
) -> dict:
    """Run, and write a summary into a folder, which is what a result of the book is.

    Parameters
    ----------
    dataset : Dataset
    methods : sequence of Method
    folder : Path
    config : RunConfig
        That asks for them.
    pairs : callable
        Says whom to compare.
    more : callable
        Gives further entries.
    **crew
        How to run, see `walkcut.bench.run.run`.

    Raises
    ------
    InputError
        If no picture was scored by every method.
    """
    rows, failed = run(dataset, methods, folder, **crew)
    done = {(row["picture"], row["method"]) for row in rows}
    pictures = [name for name in dataset.names if all((name, method.name) in done for method in methods)]
    if not pictures:
        raise InputError(f"No picture of {dataset.title} could be scored: see the reasons above.")
    lines = lines_of(rows, pictures, methods)
    summary = {
        "dataset": dataset.name,
        "title": dataset.title,
        "pictures": len(pictures),
        "failed": sorted(failed),
        "data": dataset.config,
        "methods": {method.name: describe(dataset, method) for method in methods},
        "conditions": short_hash([pictures, *(conditions(dataset, method) for method in methods)]),
        "bootstrap": {"samples": SAMPLES, "seed": SEED, "interval": 0.95, "over": "pictures, paired"},
        "segments": segment_counts(lines),
        "like_constants": like_constants(lines),
        "left_whole": left_whole(lines) if dataset.config.get("blank") else {},
        "seconds": seconds(lines),
        "complexity": complexity(lines),
        "table": table_rows(lines),
        "differences": differences(pairs(lines)),
    }
    return keep(folder / f"{config.name}.json", summary | provenance(config.command) | more(), "conditions")


def read_summary(path: Path) -> dict:
    """A summary written by `bench`.

    Raises
    ------
    InputError
        If the file is not one.
    """
    try:
        summary = json.loads(path.read_text())
        if {"title", "table", "differences"} <= summary.keys() and summary["table"]:
            return summary
        reason = "it has no table"
    except (OSError, ValueError, AttributeError) as error:
        reason = str(error)
    raise InputError(f"{path} is no result of walkcut bench ({reason}): name its summary, DATASET.json.")

"""One measure of one method over a data set, pictures by settings: its best setting, interval, and differences.

Three families: measures that are means over pictures; boundary F, from counts that are summed first; and IoU of classes
that have names, likewise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from walkcut.bench import boundaries, matching
from walkcut.bench.metrics import Aggregate, aggregate, bootstrap_difference

Interval = dict[str, tuple[float, float]]
Difference = dict[str, tuple[float, float, float]]

MEANS = {"covering": 1, "miou": 1, "pri": 1, "vi": -1}
# Of whole trees; a scene may lack one (it has one instance per material), and is left out of its mean.
TREES = {"best-node covering": 1, "concordance": 1, "instances first": -1, "materials first": 1}
CLASSES = ("miou", "miou, any numbering", "miou, no spare class", "accuracy")
SIGNS = MEANS | TREES | {"boundary": 1} | dict.fromkeys(CLASSES, 1)
TITLES = {name: name for name in SIGNS} | {
    "miou": "mIoU",
    "miou, any numbering": "mIoU, any numbering",
    "miou, no spare class": "mIoU, no spare class",
    "pri": "PRI",
    "vi": "VI",
    "boundary": "boundary F",
}


# By kind of truth, the measures that a result holds, the first the one to go by; those of whole trees come on top.
COLUMNS = {
    "human": ("covering", "pri", "vi", "boundary"),
    "instances": ("covering", "miou"),
    "materials": ("covering", "miou"),
    "classes": ("miou", "miou, any numbering", "miou, no spare class", "accuracy"),
}


class Scores(Protocol):
    """A measure over pictures and settings."""

    def best(self) -> Aggregate:
        """The best setting for the data set, and the best for each picture."""

    def along(self) -> np.ndarray:
        """Value for the data set at each setting."""

    def interval(self) -> Interval:
        """95% bootstrap intervals over pictures: "ods" and, where it has a meaning, "ois"."""

    def difference(self, other: Scores) -> Difference:
        """Self minus other, with 95% paired bootstrap intervals over the same pictures."""

    def more(self, setting: int) -> dict:
        """What else the result records of a setting."""


@dataclass(frozen=True)
class Mean:
    """A mean over pictures; `values` (pictures, settings), `weights` (pictures,), `sign` -1 where less is better."""

    values: np.ndarray
    weights: np.ndarray
    sign: int = 1

    def best(self) -> Aggregate:
        return aggregate(self.values, self.weights, self.sign)

    def along(self) -> np.ndarray:
        return self.weights @ self.values / self.weights.sum()

    def interval(self) -> Interval:
        nothing = np.zeros((len(self.values), 1))
        found = bootstrap_difference(self.values, nothing, self.weights, self.sign)
        return {choice: (low, high) for choice, (_, low, high) in found.items()}

    def difference(self, other: Mean) -> Difference:
        return bootstrap_difference(self.values, other.values, self.weights, self.sign)

    def more(self, setting: int) -> dict:
        return {}


@dataclass(frozen=True)
class Boundary:
    """Boundary F; `counts` (pictures, settings, 4) of `walkcut.bench.boundaries`."""

    counts: np.ndarray

    def best(self) -> Aggregate:
        return boundaries.aggregate_f(self.counts)

    def along(self) -> np.ndarray:
        return boundaries.f_measure(self.counts.sum(0))

    def interval(self) -> Interval:
        return boundaries.bootstrap_f(self.counts)

    def difference(self, other: Boundary) -> Difference:
        return boundaries.bootstrap_f_difference(self.counts, other.counts)

    def more(self, setting: int) -> dict:
        return {}


@dataclass(frozen=True)
class Classes:
    """IoU or accuracy of named classes; one `Counts` per setting. No best per picture: sums come first."""

    counts: tuple[matching.Counts, ...]
    measure: str

    def along(self) -> np.ndarray:
        return np.array([getattr(matching.scores(counts), self.measure) for counts in self.counts])

    def best(self) -> Aggregate:
        along = self.along()
        return Aggregate(float(along.max()), int(along.argmax()), float("nan"))

    def interval(self) -> Interval:
        _, low, high = matching.bootstrap(self.counts[self.best().setting])[self.measure]
        return {"ods": (low, high)}

    def difference(self, other: Classes) -> Difference:
        ours, theirs = self.counts[self.best().setting], other.counts[other.best().setting]
        return {"ods": matching.bootstrap(ours, theirs)[self.measure]}

    def more(self, setting: int) -> dict:
        if self.measure != "miou":
            return {}
        found = matching.scores(self.counts[setting])
        each = [None if iou is None else round(iou, 4) for iou in found.iou]
        return {"iou": each, "void": round(found.void, 4)}


@dataclass(frozen=True)
class Numbered:
    """The field's mIoU, mean over random numberings of the clusters, at the setting that is best by the field's."""

    value: float
    spread: float
    setting: int

    def along(self) -> np.ndarray:
        return np.array([self.value])

    def best(self) -> Aggregate:
        return Aggregate(self.value, self.setting, float("nan"))

    def interval(self) -> Interval:
        return {}

    def difference(self, other: Numbered) -> Difference:
        return {}

    def more(self, setting: int) -> dict:
        return {"spread": round(self.spread, 4)}


def class_scores(grid: Sequence[Sequence[dict]]) -> dict[str, Scores]:
    """By the field's protocol, by its mean over numberings, and by a matching that invents no false positive."""
    columns = [[whole_table(cell) for cell in cells] for cells in zip(*grid, strict=True)]  # per setting
    field = tuple(matching.field_matching(tables) for tables in columns)
    fair = tuple(matching.fair_matching(tables) for tables in columns)
    best = Classes(field, "miou").best().setting
    return {
        "miou": Classes(field, "miou"),
        "miou, any numbering": Numbered(*matching.numberings(columns[best]), best),
        "miou, no spare class": Classes(fair, "miou"),
        "accuracy": Classes(field, "accuracy"),
    }


def whole_table(cell: dict) -> np.ndarray:
    """The table class x cluster of a row, which stores only classes that occur."""
    table = np.zeros((cell["classes"], cell["clusters"]), np.int64)
    if cell["present"]:
        table[cell["present"]] = cell["counts"]
    return table


def scores_of(grid: Sequence[Sequence[dict]], kind: str) -> dict[str, Scores]:
    """Every measure of one kind of truth, by name; `grid` is pictures by settings.

    Covering is weighed with pixels times humans as in the BSDS benchmark, everything else alike.
    """
    first = grid[0][0]
    if "counts" in first:
        return class_scores(grid)
    alike = np.ones(len(grid))
    pixels = np.array([line[0]["weight"] for line in grid])
    found: dict[str, Scores] = {}
    for name in [name for name in COLUMNS[kind] if name in MEANS]:
        values = np.array([[cell[name] for cell in line] for line in grid])
        found[name] = Mean(values, pixels if name == "covering" else alike, MEANS[name])
    for name, sign in TREES.items() if len(grid[0]) == 1 else ():
        values = np.array([[line[0][name]] for line in grid if name in line[0]])
        if len(values):
            found[name] = Mean(values, np.ones(len(values)), sign)
    if "boundary" in first:
        found["boundary"] = Boundary(np.array([[cell["boundary"] for cell in line] for line in grid]))
    return found

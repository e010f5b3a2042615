"""One measure of one method over a data set, pictures by settings: its best setting, interval, and differences.

Three families: measures that are means over pictures; boundary F, from counts that are summed first; and IoU of classes
that have names, likewise.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from walkcut.bench import boundaries, matching, metrics
from walkcut.bench.metrics import Aggregate, bootstrap
from walkcut.errors import InputError

Interval = dict[str, tuple[float, float]]
Difference = dict[str, tuple[float, float, float]]
SAMPLES = 2000  # of a bootstrap

MEANS = {"covering": 1, "miou": 1, "pri": 1, "vi": -1}
# Of whole trees; a scene may lack one (it has one instance per material), and is left out of its mean.
TREES = {"best-node covering": 1, "concordance": 1, "instances first": -1, "materials first": 1}
CLASSES = ("miou", "miou, any numbering", "miou, no spare class", "accuracy")
SIGNS = MEANS | TREES | {"boundary": 1} | dict.fromkeys(CLASSES, 1)
TITLES = {name: name.replace("miou", "mIoU") for name in SIGNS} | {"pri": "PRI", "vi": "VI", "boundary": "boundary F"}

# By kind of truth, the measures that a result holds, the first the one to go by; those of whole trees come on top.
COLUMNS = {
    "human": ("covering", "pri", "vi", "boundary"),
    "instances": ("covering", "miou"),
    "materials": ("covering", "miou"),
    "classes": CLASSES,
}


class Scores(ABC):
    """A measure over pictures and settings.

    Attributes
    ----------
    choices : tuple of str
        Numbers that `drawn` gives: with the one setting that is best for the data set ("ods"), and with the best
        one for each picture ("ois") where that has a meaning.
    """

    choices: tuple[str, ...] = ("ods", "ois")

    @abstractmethod
    def __len__(self) -> int:
        """Number of pictures."""

    @abstractmethod
    def along(self) -> np.ndarray:
        """Value for the data set at each setting."""

    @abstractmethod
    def drawn(self, draws: np.ndarray) -> np.ndarray:
        """The numbers of `choices` (m, k), where draws (m, pictures) say how often each picture is taken."""

    def best(self) -> Aggregate:
        """The best setting for the data set, and the best for each picture; more is better."""
        along = self.along()
        each = self.drawn(np.ones((1, len(self))))[0, 1:]
        return Aggregate(float(along.max()), int(along.argmax()), *map(float, each))

    def interval(self) -> Interval:
        """95% bootstrap intervals over pictures, for each choice."""
        return {choice: (low, high) for choice, (_, low, high) in self._bootstrap(self.drawn).items()}

    def difference(self, other: Scores, samples: int = SAMPLES) -> Difference:
        """Self minus other, with 95% paired bootstrap intervals over the same pictures."""
        if len(self) != len(other):
            raise InputError(
                f"The methods were scored on {len(self)} and {len(other)} pictures: pairs need the same pictures."
            )
        return self._bootstrap(lambda draws: self.drawn(draws) - other.drawn(draws), samples)

    def _bootstrap(self, measure: Callable[[np.ndarray], np.ndarray], samples: int = SAMPLES) -> Difference:
        found = bootstrap(len(self), measure, samples).tolist() if self.choices else []
        return {choice: tuple(numbers) for choice, numbers in zip(self.choices, found, strict=True)}

    def more(self, setting: int) -> dict:
        """What else the result records of a setting."""
        return {}


@dataclass(frozen=True)
class Mean(Scores):
    """A mean over pictures; `values` (pictures, settings), `weights` (pictures,), `sign` -1 where less is better."""

    values: np.ndarray
    weights: np.ndarray
    sign: int = 1

    def __len__(self) -> int:
        return len(self.values)

    def along(self) -> np.ndarray:
        return self.weights @ self.values / self.weights.sum()

    def drawn(self, draws: np.ndarray) -> np.ndarray:
        return metrics.drawn(self.values, self.weights, draws, self.sign)

    def best(self) -> Aggregate:
        return metrics.aggregate(self.values, self.weights, self.sign)


@dataclass(frozen=True)
class Boundary(Scores):
    """Boundary F; `counts` (pictures, settings, 4) of `walkcut.bench.boundaries`."""

    counts: np.ndarray

    def __post_init__(self) -> None:
        if self.counts.ndim != 3 or self.counts.shape[2] != 4 or 0 in self.counts.shape:
            raise InputError(f"Counts of boundary pixels must be (pictures, settings, 4), not {self.counts.shape}.")

    def __len__(self) -> int:
        return len(self.counts)

    def along(self) -> np.ndarray:
        return boundaries.f_measure(self.counts.sum(0))

    def drawn(self, draws: np.ndarray) -> np.ndarray:
        return boundaries.drawn(self.counts, draws)


@dataclass(frozen=True)
class Classes(Scores):
    """IoU or accuracy of named classes; one `Counts` per setting. No best per picture: sums come first."""

    counts: tuple[matching.Counts, ...]
    measure: str
    choices = ("ods",)

    def __len__(self) -> int:
        return len(self.counts[0].hits)

    def along(self) -> np.ndarray:
        return np.array([getattr(matching.scores(counts), self.measure) for counts in self.counts])

    def drawn(self, draws: np.ndarray) -> np.ndarray:
        column = ("miou", "accuracy").index(self.measure)
        return matching.drawn(self.counts[int(self.along().argmax())], draws)[:, [column]]

    def more(self, setting: int) -> dict:
        if self.measure != "miou":
            return {}
        found = matching.scores(self.counts[setting])
        each = [None if iou is None else round(iou, 4) for iou in found.iou]
        return {"iou": each, "void": round(found.void, 4)}


@dataclass(frozen=True)
class Numbered(Scores):
    """The field's mIoU, mean over random numberings of the clusters, at the setting that is best by the field's.

    Pictures are not drawn again: each draw would have to be numbered anew.
    """

    value: float
    spread: float
    setting: int
    pictures: int
    choices = ()

    def __len__(self) -> int:
        return self.pictures

    def along(self) -> np.ndarray:
        return np.array([self.value])

    def drawn(self, draws: np.ndarray) -> np.ndarray:
        return np.zeros((len(draws), 0))

    def best(self) -> Aggregate:
        return Aggregate(self.value, self.setting)

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
        "miou, any numbering": Numbered(*matching.numberings(columns[best]), best, len(grid)),
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

"""One measure of one method over a data set, pictures by settings: its best setting, interval, and differences.

Three families: measures that are means over pictures; boundary F, from counts that are summed first; and IoU of classes
that have names, likewise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from walkcut.bench import boundaries, matching, metrics
from walkcut.bench.metrics import Aggregate, bootstrap
from walkcut.errors import InputError

Drawn = Callable[[np.ndarray], np.ndarray]

CHOICES = {"ods": "data set", "ois": "picture"}  # for which the best setting is taken
MEANS = {"covering": 1, "miou": 1, "pri": 1, "vi": -1}
# Of whole trees; a scene may lack one (it has one instance per material), and is left out of its mean.
TREES = {"best-node covering": 1, "concordance": 1, "instances first": -1, "materials first": 1}
CLASSES = (
    *("miou", "miou, any numbering", "miou, no spare class", "accuracy"),
    *("miou, row by row", "accuracy, row by row"),  # matched as no paper says: to show what it adds
)
SIGNS = MEANS | TREES | {"boundary": 1} | dict.fromkeys(CLASSES, 1)
TITLES = {name: name.replace("miou", "mIoU") for name in SIGNS} | {"pri": "PRI", "vi": "VI", "boundary": "boundary F"}

# By kind of truth, the measures that a result holds, the first the one to go by; those of whole trees come on top.
COLUMNS = {
    "human": ("covering", "pri", "vi", "boundary"),
    "instances": ("covering", "miou"),
    "materials": ("covering", "miou"),
    "classes": CLASSES,
}


@dataclass(frozen=True)
class Scores:
    """A measure over pictures and settings.

    Attributes
    ----------
    pictures : int
    along : float64 (settings,)
        Value for the data set at each setting.
    best : Aggregate
        The best setting for the data set, and the best for each picture.
    drawn : callable
        From draws (m, pictures), how often each picture is taken, to the numbers (m, k) of the first k of `CHOICES`;
        there is no best setting for each picture where sums over pictures come first.
    more : dict
        What else the result records of the best setting.
    """

    pictures: int
    along: np.ndarray
    best: Aggregate
    drawn: Drawn
    more: dict = field(default_factory=dict)

    def interval(self) -> dict[str, tuple[float, float]]:
        """95% bootstrap intervals over pictures, for each choice."""
        return {choice: (low, high) for choice, (_, low, high) in self._bootstrap(self.drawn).items()}

    def difference(self, other: Scores) -> dict[str, tuple[float, float, float]]:
        """Self minus other, with 95% paired bootstrap intervals over the same pictures."""
        if self.pictures != other.pictures:
            counts = f"{self.pictures} and {other.pictures}"
            raise InputError(f"The methods were scored on {counts} pictures: pairs need the same pictures.")
        return self._bootstrap(lambda draws: self.drawn(draws) - other.drawn(draws))

    def _bootstrap(self, measure: Drawn) -> dict[str, tuple]:
        found = bootstrap(self.pictures, measure).tolist()
        return {choice: tuple(numbers) for choice, numbers in zip(CHOICES, found, strict=False)}


def mean_scores(values: np.ndarray, weights: np.ndarray, sign: int = 1) -> Scores:
    """Of a mean over pictures; `values` (pictures, settings), `weights` (pictures,), `sign` -1 where less is better."""
    along = weights @ values / weights.sum()
    drawn = partial(metrics.drawn, values, weights, sign=sign)
    return Scores(len(values), along, metrics.aggregate(values, weights, sign), drawn)


def boundary_scores(counts: np.ndarray) -> Scores:
    """Of boundary F; `counts` (pictures, settings, 4) of `walkcut.bench.boundaries`."""
    along, drawn = boundaries.f_measure(counts.sum(0)), partial(boundaries.drawn, counts)
    ((ods, ois),) = drawn(np.ones((1, len(counts))))
    return Scores(len(counts), along, Aggregate(float(ods), int(along.argmax()), float(ois)), drawn)


def class_scores(counts: Sequence[matching.Counts], measure: str) -> Scores:
    """Of IoU or accuracy of named classes, one `Counts` per setting. No best per picture: sums come first."""
    found = [matching.scores(one) for one in counts]
    along = np.array([getattr(one, measure) for one in found])
    best = int(along.argmax())
    more: dict = {}
    if measure == "miou":
        each = [None if iou is None else round(iou, 4) for iou in found[best].iou]
        more = {"iou": each, "void": round(found[best].void, 4)}
    column = ("miou", "accuracy").index(measure)

    def drawn(draws: np.ndarray) -> np.ndarray:
        return matching.drawn(counts[best], draws)[:, [column]]

    return Scores(len(counts[0].hits), along, Aggregate(float(along[best]), best), drawn, more)


def scores_by_matching(grid: Sequence[Sequence[dict]]) -> dict[str, Scores]:
    """By the field's protocol, by its mean over numberings, by a matching that invents no false positive, and by rows.

    The mean over random numberings of the clusters is taken at the setting that is best by the field's protocol, and
    without an interval: each draw of pictures would have to be numbered anew.
    """
    columns = [[whole_table(cell) for cell in cells] for cells in zip(*grid, strict=True)]  # per setting
    usual, fair = ([way(tables) for tables in columns] for way in (matching.field_matching, matching.fair_matching))
    rows = [counts_by_row(cells) for cells in zip(*grid, strict=True)]
    miou = class_scores(usual, "miou")
    value, spread = matching.numberings(columns[miou.best.setting])
    best, more = Aggregate(value, miou.best.setting), {"spread": round(spread, 4)}
    return {
        "miou": miou,
        "miou, any numbering": Scores(len(grid), np.array([value]), best, lambda draws: draws[:, :0], more),
        "miou, no spare class": class_scores(fair, "miou"),
        "accuracy": class_scores(usual, "accuracy"),
        "miou, row by row": class_scores(rows, "miou"),
        "accuracy, row by row": class_scores(rows, "accuracy"),
    }


def counts_by_row(cells: Sequence[dict]) -> matching.Counts:
    """What the rows of each picture add up to, see `walkcut.bench.matching.row_tables`."""
    labelled = np.array([whole_table(cell).sum(1) for cell in cells])
    hits, wrong = np.moveaxis(np.array([cell["row_by_row"] for cell in cells]), 1, 0)
    missed = labelled - hits
    return matching.Counts(hits, wrong, missed, missed.sum(1) - wrong.sum(1))


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
        return scores_by_matching(grid)
    pixels = np.array([line[0]["weight"] for line in grid])
    found: dict[str, Scores] = {}
    for name in [name for name in COLUMNS[kind] if name in MEANS]:
        values = np.array([[cell[name] for cell in line] for line in grid])
        found[name] = mean_scores(values, pixels if name == "covering" else np.ones(len(grid)), MEANS[name])
    for name, sign in TREES.items() if len(grid[0]) == 1 else ():
        values = np.array([[line[0][name]] for line in grid if name in line[0]])
        if len(values):
            found[name] = mean_scores(values, np.ones(len(values)), sign)
    if "boundary" in first:
        found["boundary"] = boundary_scores(np.array([[cell["boundary"] for cell in line] for line in grid]))
    return found

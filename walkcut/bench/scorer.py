"""One picture under one method: its rows, as they are written."""

import time

import numpy as np

from walkcut.bench.boundaries import HumanBoundaries
from walkcut.bench.datasets import Dataset, Item
from walkcut.bench.matching import class_table, field_matching, numbered, row_tables
from walkcut.bench.method import Method
from walkcut.bench.metrics import score


class Scorer:
    """Scores of label maps of one picture; neighbouring settings often give one and the same map."""

    def __init__(self, dataset: Dataset, item: Item) -> None:
        self.item, self.classes = item, len(dataset.classes)
        self.humans = HumanBoundaries(item.truths["human"]) if dataset.borders and "human" in item.truths else None
        self.known: dict[tuple[str, bytes], dict] = {}

    def __call__(self, kind: str, labels: np.ndarray) -> dict:
        """What a row stores of one kind of truth: measures, or the table class x segment where classes have names."""
        key = kind, labels.tobytes()
        if key not in self.known:
            self.known[key] = self._score(kind, labels)
        return dict(self.known[key])

    def _score(self, kind: str, labels: np.ndarray) -> dict:
        truths = self.item.truths[kind]
        if self.classes:
            maps = numbered(truths[0], labels, self.classes)  # once for both
            table = class_table(*maps, self.classes, renumber=False)
            present = np.flatnonzero(table.any(1))
            shape = {"classes": table.shape[0], "clusters": table.shape[1]}
            rows = field_matching(row_tables(*maps, self.classes, renumber=False))
            shape |= {"row_by_row": [part.sum(0).tolist() for part in (rows.hits, rows.wrong)]}
            return shape | {"present": present.tolist(), "counts": table[present].tolist()}
        found: dict = {name: round(x, 6) for name, x in score(truths, labels).items()}
        if kind == "human" and self.humans is not None:
            found["boundary"] = [int(count) for count in self.humans.counts(labels)]
        return found


def score_picture(item: Item, method: Method, mark: str, scorer: Scorer) -> list[dict]:
    """One row per setting of `method` on one picture, each with the method's fingerprint.

    `seconds` is the time to the first setting's labels, once the denoiser has looked; `look` the time of that look.
    """
    look = {"look": round(method.looker(item.image).taken(), 3)} if method.looker else {}
    found: dict[str, dict] = {}
    seconds, start = 0.0, time.perf_counter()
    for setting, labels, kinds, notes in method.run(item):
        seconds = seconds or time.perf_counter() - start
        row = found.setdefault(setting, {"setting": setting, "segments": 0, "scores": {}})
        row["segments"] = len(np.unique(labels))
        row["scores"] |= {kind: scorer(kind, labels) for kind in kinds or item.truths}
        for (kind, name), value in (notes or {}).items():
            row["scores"][kind][name] = round(float(value), 6)
    common = {"picture": item.name, "method": method.name, "fingerprint": mark, "seconds": round(seconds, 3)} | look
    return [common | found[setting] for setting in method.settings]

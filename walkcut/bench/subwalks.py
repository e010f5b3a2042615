"""What is a region's own walk? Both answers, on dead leaves set aside for choosing: `python -m walkcut.bench.subwalks`.

Chapter 4 quotes the file that this writes, and takes its default from it.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from walkcut.bench.criteria import choosing_scenes
from walkcut.bench.metrics import aggregate, bootstrap_difference, contingency, covering
from walkcut.bench.ours import AGREED as THRESHOLDS
from walkcut.bench.record import commit, model_record, processor, write_atomically
from walkcut.segmentation import Segmentation, segment
from walkcut.tree import partition

AUTO = "auto"
CEILING = 0.55  # of the recursion: no threshold looks beyond it
NAMES = ("restricted", "held")


def both_ways(found: Segmentation) -> Iterator[tuple[str, Segmentation, float]]:
    """One walk, cut with either kind of sub-walk: name, segmentation, seconds of the recursion."""
    for name in NAMES:
        start = time.perf_counter()
        graph = found.walk.reversible() if name == "restricted" else found.walk.held()
        tree = partition(graph, found.walk.grid, ceiling=CEILING)
        seconds = time.perf_counter() - start
        yield name, replace(found, tree=tree).at(AUTO), seconds


def coverings(found: Segmentation, truth: np.ndarray) -> list[float]:
    """Covering of the truth at "auto", then at every threshold."""
    known: dict[bytes, float] = {}

    def score(labels: np.ndarray) -> float:
        return covering(contingency(truth, labels))

    scores = [score(found.labels)]
    for threshold in THRESHOLDS:
        key = found.tree.labels(threshold).tobytes()
        if key not in known:
            known[key] = score(found.at(threshold).labels)
        scores.append(known[key])
    return scores


def compare(grid: int, every: int) -> dict:
    """Coverings of both, with the paired difference held - restricted and its 95% interval."""
    dataset, model = choosing_scenes(every), "dead-leaves"
    scores: dict[str, list] = {name: [] for name in NAMES}
    seconds: dict[str, list] = {name: [] for name in NAMES}
    for picture in tqdm(dataset.names):
        item = dataset.load(picture)
        for name, found, took in both_ways(segment(item.image, model, grid=grid)):
            scores[name].append([coverings(found, truth[0]) for truth in item.truths.values()])
            seconds[name].append(took)
    tables = {name: np.array(rows) for name, rows in scores.items()}  # (pictures, truths, 1 + thresholds)
    alike = np.ones(len(dataset.names))
    lines = []
    for number, truth in enumerate(item.truths):
        for kind, part in (("best threshold", slice(1, None)), ("automatic", slice(0, 1))):
            held, restricted = (tables[name][:, number, part] for name in ("held", "restricted"))
            gap = bootstrap_difference(held, restricted, alike)["ods"]
            line = {"truth": truth, "setting": kind}
            line |= {name: round(aggregate(tables[name][:, number, part], alike).ods, 4) for name in NAMES}
            lines.append(line | dict(zip(("difference", "low", "high"), (round(x, 4) for x in gap), strict=True)))
    return {
        "title": dataset.title.replace("Criteria", "Two sub-walks"),
        "pictures": len(dataset.names),
        "grid": grid,
        "model": model_record(model),
        "thresholds": THRESHOLDS,
        "covering": lines,
        "seconds": {name: round(float(np.median(times)), 3) for name, times in seconds.items()},
    }


def main() -> None:
    """Measure, and write the result."""
    parser = argparse.ArgumentParser(prog="python -m walkcut.bench.subwalks", description=__doc__.split("\n")[0])
    parser.add_argument("--grid", type=int, default=64, help="patches along the longer side")
    parser.add_argument("--every", type=int, default=1, help="keep one scene of so many")
    parser.add_argument("--out", type=Path, default=Path("book/results/tree/subwalks.json"))
    chosen = parser.parse_args()
    command = f"{parser.prog} --grid {chosen.grid} --every {chosen.every}"
    made = {"command": command, "commit": commit(), "date": time.strftime("%Y-%m-%d"), "processor": processor()}
    result = made | compare(chosen.grid, chosen.every)
    write_atomically(chosen.out, json.dumps(result, indent=1) + "\n")
    print(json.dumps(result["covering"], indent=1), result["seconds"])


if __name__ == "__main__":
    main()

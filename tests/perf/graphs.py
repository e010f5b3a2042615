"""What each graph buys: one attention pass a picture, eleven graphs of it, and their trees against the truth.

    python tests/perf/graphs.py            writes book/results/graphs.json, in some 10 minutes on one core

The pictures are set aside for choosing: every second of the dead-leaves scenes of `walkcut.bench.criteria`, and every
tenth photograph of BSDS500 train. Each graph is scored at its own best constant threshold and at its own best number of
segments, both chosen on these very pictures for all of them at once. Pixels are given to segments by the same walk for
all graphs, so that only the cuts differ; every second pixel of every second row of a photograph is scored.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from walkcut.app.outputs import write_whole
from walkcut.bench.criteria import choosing_scenes
from walkcut.bench.datasets import Dataset, bsds500
from walkcut.bench.metrics import score
from walkcut.bench.record import commit, model_record, processor
from walkcut.bench.scores import mean_scores
from walkcut.capture import MeanAttention, capture
from walkcut.eyes.loading import load_backbone
from walkcut.eyes.models import find_eye
from walkcut.graph import Affinity, Graph
from walkcut.lab.directed import direct
from walkcut.lab.graphs import averaged, from_divergence, from_features, from_rows
from walkcut.lab.recorders import Features, LayerFeatures
from walkcut.pixels import pixel_labels, soft_membership
from walkcut.recipe import resolve
from walkcut.tree import partition
from walkcut.walk import Walk, prior
from walkcut.walk import aggregate as one_walk

ROOT = Path(__file__).resolve().parent.parent.parent
MODEL = "dead-leaves"
MOST = 24  # segments; a threshold that asks for more gets so many
THRESHOLDS = np.unique(np.r_[np.linspace(0.01, 1, 100), 1 - np.geomspace(1e-4, 0.01, 20)])
REFERENCE = "reversible walk"

Maker = Callable[[Walk, Features, float], Affinity]


def near(graph: Graph, walk: Walk, sigma: float) -> Graph:
    """A graph with the prior on distance that the walk has, too."""
    return Graph(graph.W * torch.kron(*(side.to(graph.W) for side in prior(walk.grid, sigma))))


GRAPHS: dict[str, Maker] = {
    REFERENCE: lambda walk, F, sigma: walk.reversible(),
    "plain average": lambda walk, F, sigma: averaged(walk),
    "P itself": lambda walk, F, sigma: direct(walk),
    "reversible walk, k = 2": lambda walk, F, sigma: walk.power(2).reversible(),
    "reversible walk, k = 4": lambda walk, F, sigma: walk.power(4).reversible(),
    "rows, dot product": lambda walk, F, sigma: from_rows(walk, "dot"),
    "rows, cosine": lambda walk, F, sigma: from_rows(walk, "cosine"),
    "rows of P^2, cosine": lambda walk, F, sigma: from_rows(walk.power(2), "cosine"),
    "rows, Jensen-Shannon": lambda walk, F, sigma: from_divergence(walk),
    "features, cosine^10": lambda walk, F, sigma: from_features(F, 10),
    "features, cosine^10, prior": lambda walk, F, sigma: near(from_features(F, 10), walk, sigma),
}


def coverings(graph: Affinity, walk: Walk, truths: tuple[np.ndarray, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Covering at every threshold, and with 1, 2, ... segments."""
    tree = partition(graph, walk.grid, smallest=max(2, len(walk) // 64))
    most = min(MOST, int((tree.left < 0).sum()))
    by_count = []
    for k in range(1, most + 1):
        labels = pixel_labels(soft_membership(walk, tree.labels(k=k)), walk.grid, truths[0].shape)
        by_count.append(score(truths, labels)["covering"])
    counts = [min(len(tree.leaves(min(t, 2.0))), most) for t in THRESHOLDS]
    return np.array(by_count)[np.array(counts) - 1], np.pad(by_count, (0, MOST - most), mode="edge")


def compare(dataset: Dataset, truth: str, grid: int, stride: int) -> dict:
    """Every graph on every picture: covering at its best settings, and the paired difference from the walk's."""
    backbone = load_backbone(MODEL, "cpu")
    scores: dict[str, list] = {name: [] for name in GRAPHS}
    seconds: dict[str, list] = {name: [] for name in GRAPHS}
    weights = []
    for number, picture in enumerate(dataset.names):
        item = dataset.load(picture)
        truths = tuple(t[::stride, ::stride] for t in item.truths[truth])
        weights.append(float(sum(t.size for t in truths)))
        recipe = resolve("walkcut", backbone.eye, {"grid": grid})
        ((attention, F),) = capture(backbone, [item.image], recipe, MeanAttention(), LayerFeatures())
        walk = one_walk(attention).spatial_prior(recipe.spatial_prior)
        F = F.resized(walk.grid)
        for name, make in GRAPHS.items():
            start = time.process_time()
            graph = make(walk, F, recipe.spatial_prior)
            seconds[name].append(time.process_time() - start)
            scores[name].append(coverings(graph, walk, truths))
        print(f"{dataset.name}: {number + 1} of {len(dataset.names)}", file=sys.stderr, flush=True)
    tables = {name: [np.array(column) for column in zip(*rows, strict=True)] for name, rows in scores.items()}
    lines = [line(name, tables, np.array(weights)) | {"graph_s": median(seconds[name])} for name in GRAPHS]
    made = {"title": dataset.title, "truth": truth, "pictures": len(dataset.names), "stride": stride}
    return made | dataset.config | {"graphs": lines}


def line(name: str, tables: dict[str, list[np.ndarray]], weights: np.ndarray) -> dict:
    """One graph's row of the table."""
    row: dict = {"graph": name}
    for part, (choice, settings) in enumerate((("threshold", THRESHOLDS), ("segments", range(1, MOST + 1)))):
        own, usual = (mean_scores(tables[which][part], weights) for which in (name, REFERENCE))
        found, gap = own.best, own.difference(usual)["ods"]
        row[choice] = {
            "covering": round(found.ods, 4),
            "setting": round(float(settings[found.setting]), 4),
            **dict(zip(("difference", "low", "high"), (round(x, 4) for x in gap), strict=True)),
        }
    return row


def median(seconds: list[float]) -> float:
    return round(float(np.median(seconds)), 3)


def main() -> None:
    """Measure, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--grid", type=int, default=32, help="patches along the longer side")
    parser.add_argument("--every", type=int, nargs=2, default=(2, 10), metavar=("SCENES", "PHOTOGRAPHS"))
    parser.add_argument("--bsds", type=Path, default=ROOT.parent / "shared" / "data" / "BSDS500")
    parser.add_argument("--out", type=Path, default=ROOT / "book" / "results" / "graphs.json")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    start, ran = time.process_time(), commit()
    sets = {
        "scenes": compare(choosing_scenes(chosen.every[0]), "materials", chosen.grid, 1),
        "photographs": compare(bsds500(chosen.bsds, "train", chosen.every[1]), "human", chosen.grid, 2),
    }
    record = {
        "title": "What each graph buys",
        "command": f"python tests/perf/graphs.py --grid {chosen.grid} --every {chosen.every[0]} {chosen.every[1]}",
        "commit": ran,
        "date": time.strftime("%Y-%m-%d"),
        "processor": processor(),
        "threads": 1,
        "grid": chosen.grid,
        "most_segments": MOST,
        "model": model_record(find_eye(MODEL)),
        "cpu_s": round(time.process_time() - start),
        "sets": sets,
    }
    write_whole({chosen.out: (json.dumps(record, indent=1) + "\n").encode()})


if __name__ == "__main__":
    main()

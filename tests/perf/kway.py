"""Two by two, or all at once: the recursion beside three ways to round as many eigenvectors, on one graph.

    python tests/perf/kway.py            writes book/results/tree/kway.json, in some 7 minutes on one core

Each scene's reversible form is cut into as many segments as the scene has materials, which no one would know: by the
recursion, and by scikit-learn's spectral clustering with k-means (the best of ten starts), with the discretisation of
Yu & Shi (2003), which begins with a random patch (the mean of three starts), and with the pivoted QR of Damle, Minden &
Ying (2019). Covering of the materials is scored on patches; NCut is the sum of the escapes from all segments. First the
six scenes of chapter 4, then dead leaves that no training has seen and by which nothing was chosen.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import torch
from sklearn.cluster import SpectralClustering

from walkcut.app.outputs import write_whole
from walkcut.bench.criteria import choosing_scenes
from walkcut.bench.datasets import Dataset, held_out_scenes, thin
from walkcut.bench.metrics import contingency, covering
from walkcut.bench.record import as_text, model_record, provenance
from walkcut.bench.scores import mean_scores
from walkcut.eyes.loading import load_backbone
from walkcut.graph import Graph
from walkcut.recipe import resolve
from walkcut.segmentation import extract_walks
from walkcut.tree import partition

OUT = Path(__file__).resolve().parent.parent.parent / "book" / "results" / "tree" / "kway.json"
RECURSION = "recursion"
ROUNDINGS = {"k-means": ("kmeans", 1), "discretisation": ("discretize", 3), "pivoted QR": ("cluster_qr", 1)}
CHAPTER = tuple(f"0-{number:02d}" for number in (0, 1, 2, 4, 5, 3))  # of the scenes to choose by
TIE = 1e-4  # the numbers have four digits


def price(W: np.ndarray, labels: np.ndarray) -> float:
    """The escape probabilities of all segments, added."""
    sides = [labels == label for label in np.unique(labels)]
    return float(sum(W[S][:, ~S].sum() / W[S].sum() for S in sides))


def segmented(graph: Graph, grid: tuple[int, int], count: int) -> dict[str, list[np.ndarray]]:
    """Labels (h, w) of every method, for each of its starts."""
    W, found = graph.W.double().numpy(), {RECURSION: [partition(graph, grid, max_ncut=0.8).labels(k=count)]}
    for name, (rule, starts) in ROUNDINGS.items():
        many = SpectralClustering(count, affinity="precomputed", assign_labels=rule)
        found[name] = [many.set_params(random_state=i).fit_predict(W).reshape(grid) for i in range(starts)]
    return found


def rows_of(dataset: Dataset) -> list[dict]:
    """One row for each scene: number of materials; covering and NCut of every method."""
    backbone, rows = load_backbone("dead-leaves", "cpu"), []
    recipe = resolve("walkcut", backbone.eye, {"grid": 32})
    for name in dataset.names:
        item = dataset.load(name)
        truth = item.truths["materials"][0][2::4, 2::4]  # a patch is 4 x 4 pixels
        (record,) = extract_walks([item.image], backbone, recipe)
        graph = record.walk.reversible()
        found = segmented(graph, record.walk.grid, int(truth.max()) + 1)
        W, row = graph.W.double().numpy(), {"scene": name, "materials": int(truth.max()) + 1}
        covers = {way: [covering(contingency(truth, one)) for one in labels] for way, labels in found.items()}
        prices = {way: [price(W, one.ravel()) for one in labels] for way, labels in found.items()}
        for kind, measured in {"covering": covers, "ncut": prices}.items():
            row[kind] = {way: round(float(np.mean(values)), 4) for way, values in measured.items()}
        rows.append(row)
        print(f"{dataset.name}: {len(rows)} of {len(dataset.names)}", file=sys.stderr, flush=True)
    return rows


def compared(rows: list[dict], kind: str) -> dict[str, dict]:
    """Mean of every method, its paired difference from the recursion, and how often it is lower, level and higher."""
    table = {way: np.array([[row[kind][way]] for row in rows]) for way in (RECURSION, *ROUNDINGS)}
    usual, lines = table[RECURSION], {}
    for way, values in table.items():
        own, other = (mean_scores(one, np.ones(len(rows))) for one in (values, usual))
        gap = dict(zip(("difference", "low", "high"), own.difference(other)["ods"], strict=True))
        ahead, level = int((values < usual - TIE).sum()), int((np.abs(values - usual) <= TIE).sum())
        counts = {"lower": ahead, "level": level, "higher": len(rows) - ahead - level}
        numbers = {"mean": float(values.mean()), **gap}
        lines[way] = {name: round(value, 4) for name, value in numbers.items()} | counts
    return lines


def main() -> None:
    """Measure, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--every", type=int, default=1, help="of the 200 scenes that no training has seen")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    start, made = time.process_time(), provenance(f"python tests/perf/kway.py --every {chosen.every}")
    aside, seen = choosing_scenes(), thin(held_out_scenes("seeds"), chosen.every)
    few = Dataset(aside.name, "The six scenes of chapter 4", CHAPTER, aside.load, aside.config)
    sets = {}
    for name, dataset in {"chapter": few, "scenes-seeds": seen}.items():
        rows = rows_of(dataset)
        measured = {kind: compared(rows, kind) for kind in ("covering", "ncut")}
        sets[name] = {"title": dataset.title, "pictures": len(rows)} | measured | {"rows": rows}
    record = {"title": "Two by two, or all at once"} | made | {"grid": 32, "threads": 1, "tie": TIE}
    record |= {"model": model_record(load_backbone("dead-leaves", "cpu").eye)}
    record |= {"cpu_s": round(time.process_time() - start), "sets": sets}
    write_whole({OUT: as_text(record).encode()})


if __name__ == "__main__":
    main()

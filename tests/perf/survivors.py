"""Three sub-walks: the recursion on restricted graphs, on held walks, and on the walks of those who never leave.

    python tests/perf/survivors.py --every 1         writes book/results/tree/survivors.json, in some 4 minutes

Each scene is cut into as many segments as it has materials, which no one would know. A region's survivors are walkers
on the reversible form who happen to stay in it for good: Doob's transform of the restricted graph, v_i W_ij v_j, with v
the eigenvector of the Perron root of P restricted to the region. Covering of the materials is scored on patches.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import torch
from scipy.sparse.linalg import eigsh

from walkcut.app.outputs import write_whole
from walkcut.bench.datasets import held_out_scenes, thin
from walkcut.bench.metrics import contingency, covering
from walkcut.bench.record import as_text, model_record, provenance
from walkcut.bench.scores import mean_scores
from walkcut.eyes.loading import load_backbone
from walkcut.graph import Graph
from walkcut.lab.subwalk import renormalised
from walkcut.recipe import resolve
from walkcut.segmentation import extract_walks
from walkcut.tree import partition

OUT = Path(__file__).resolve().parent.parent.parent / "book" / "results" / "tree" / "survivors.json"
WAYS = ("restricted", "held", "survivors")


class Survivors(Graph):
    """A graph each of whose regions is the walk of those who never leave it."""

    def subgraph(self, index: torch.Tensor) -> Survivors:
        """Doob's transform of the restricted graph; that of a part of it is the same as that of a part of the whole."""
        part, d = self.W[index][:, index], self.degrees[index].numpy() ** 0.5
        if len(index) > 2:
            x = np.abs(eigsh(part.double().numpy() / np.outer(d, d), k=1, which="LA", v0=d)[1][:, 0])
            v = torch.from_numpy(np.maximum(x / d / (x / d).max(), 1e-6)).to(part)
            part = part * torch.outer(v, v)
        return Survivors(part)


def main() -> None:
    """Measure, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--every", type=int, default=1, help="of the 200 scenes that no training has seen")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    made, start = provenance(f"python tests/perf/survivors.py --every {chosen.every}"), time.process_time()
    backbone, rows = load_backbone("dead-leaves", "cpu"), []
    recipe, dataset = resolve("walkcut", backbone.eye, {"grid": 32}), thin(held_out_scenes("seeds"), chosen.every)
    for name in dataset.names:
        item = dataset.load(name)
        truth = item.truths["materials"][0][2::4, 2::4]  # a patch is 4 x 4 pixels
        (walk,) = (record.walk for record in extract_walks([item.image], backbone, recipe))
        form, count = walk.reversible(), int(truth.max()) + 1
        for way, graph in zip(WAYS, (form, renormalised(walk), Survivors(form.W)), strict=True):
            labels = partition(graph, walk.grid).labels(k=count)
            rows.append((way, covering(contingency(truth, labels))))
        print(f"{len(rows) // len(WAYS)} of {len(dataset.names)}", file=sys.stderr, flush=True)
    table = {way: np.array([[value] for one, value in rows if one == way]) for way in WAYS}
    scores = {way: mean_scores(values, np.ones(len(values))) for way, values in table.items()}
    found = {}
    for way, values in table.items():
        gap = dict(zip(("difference", "low", "high"), scores[way].difference(scores[WAYS[0]])["ods"], strict=True))
        found[way] = {"mean": round(float(values.mean()), 4)} | {key: round(value, 4) for key, value in gap.items()}
    record = {"title": "Three sub-walks"} | made | {"set": dataset.title, "pictures": len(dataset.names), "grid": 32}
    record |= {"model": model_record(backbone.eye), "cpu_s": round(time.process_time() - start), "covering": found}
    write_whole({OUT: as_text(record).encode()})


if __name__ == "__main__":
    main()

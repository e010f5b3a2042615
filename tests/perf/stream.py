"""Time and memory of the first split against the number of patches: with the matrix of the walk, and without.

    python tests/perf/stream.py            writes book/results/stream.json
    python tests/perf/stream.py --one 64 streamed     one measurement, printed as JSON

Each measurement is a process of its own, for a peak of memory of its own, on one thread; `cpu_s` is the processor's
time, which other work on the machine disturbs less than the clock's.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
GRIDS = (128, 90, 64, 44, 32)  # of a square photograph
DENSE = 64  # the largest grid whose tables are made, too
PICTURE = "astronaut"


def first_split(grid: int, kind: str) -> dict:
    """Attention, walk, stationary law, eigenvector and sweep, timed apart."""
    import torch

    torch.set_num_threads(1)
    from walkcut.bench.record import peak_memory
    from walkcut.capture import MeanAttention, capture
    from walkcut.eyes.loading import load_backbone
    from walkcut.lab.recorders import QueriesAndKeys
    from walkcut.lab.stream import stream
    from walkcut.ncut import best_cut
    from walkcut.recipe import resolve
    from walkcut.samples import sample
    from walkcut.walk import aggregate

    backbone, image, marks = load_backbone("dead-leaves", "cpu"), sample(PICTURE), {}
    before = peak_memory() / 2**30

    def mark(stage: str, clock: tuple[float, float]) -> tuple[float, float]:
        now = time.perf_counter(), time.process_time()
        marks[stage] = {"wall_s": round(now[0] - clock[0], 3), "cpu_s": round(now[1] - clock[1], 3)}
        return now

    start = clock = time.perf_counter(), time.process_time()
    recipe, streamed = resolve("walkcut", backbone.eye, {"grid": grid}), kind == "streamed"
    ((seen,),) = capture(backbone, [image], recipe, QueriesAndKeys() if streamed else MeanAttention())
    walk = (stream if streamed else aggregate)(seen).spatial_prior(recipe.spatial_prior)
    clock = mark("attention", clock)
    graph = walk.reversible()
    clock = mark("stationary", clock)
    split = best_cut(graph, tolerance=1e-3)
    mark("cut", clock)
    mark("total", start)
    return {
        "kind": kind,
        "patches": len(walk),
        "grid": list(walk.grid),
        "ncut": split.ncut,
        "first_side": split.size,
        "products": split.eigenpair.products,
        "peak_gib": round(peak_memory() / 2**30, 3),
        "before_gib": round(before, 3),
        **marks,
    }


def measured(grid: int, kind: str) -> dict:
    """The same in a fresh process."""
    command = [sys.executable, str(Path(__file__)), "--one", str(grid), kind]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--one", nargs=2, metavar=("GRID", "KIND"), help="measure once and print; KIND dense or streamed"
    )
    parser.add_argument("--grids", type=int, nargs="+", default=GRIDS)
    parser.add_argument("--out", type=Path, default=ROOT / "book" / "results" / "stream.json")
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(first_split(int(arguments.one[0]), arguments.one[1])))
        return
    from walkcut.app.outputs import write_whole
    from walkcut.bench.record import commit, processor

    record = {
        "title": "The first split, with the matrix and without",
        "command": "python tests/perf/stream.py",
        "commit": commit(),
        "date": time.strftime("%Y-%m-%d"),
        "processor": processor(),
        "threads": 1,
        "picture": PICTURE,
        "versions": {"python": platform.python_version()} | {name: version(name) for name in ("torch", "scipy")},
        "measurements": [],
    }
    for grid in arguments.grids:
        for kind in ("dense", "streamed"):
            if kind == "streamed" or grid <= DENSE:
                record["measurements"].append(measured(grid, kind))
                print(json.dumps(record["measurements"][-1]), file=sys.stderr, flush=True)
                write_whole({arguments.out: (json.dumps(record, indent=1) + "\n").encode()})


if __name__ == "__main__":
    main()

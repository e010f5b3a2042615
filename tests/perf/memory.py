"""Memory and time of one picture against its grid, each in a process of its own: what `walkcut.memory.needed` goes by.

    python tests/perf/memory.py            writes book/results/memory.json, in some 3 minutes
    python tests/perf/memory.py --one 64 1     one measurement, printed as JSON: a grid, and pictures of one pass

The picture is square, so that a grid of g has g^2 patches, the most that it can have. On one thread.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
CASES = ((32, 1), (48, 1), (64, 1), (96, 1), (128, 1), (64, 2), (64, 4))  # grid, pictures of one pass
PICTURE = "astronaut"


def cost(grid: int, pictures: int) -> dict:
    """Bytes at the peak, of which so many before the picture came, and seconds."""
    import torch

    torch.set_num_threads(1)
    from walkcut.bench.record import peak_memory
    from walkcut.eyes.loading import load_backbone
    from walkcut.recipe import resolve
    from walkcut.samples import sample
    from walkcut.segmentation import cut, extract_walks

    backbone, images = load_backbone("dead-leaves", "cpu"), [sample(PICTURE)] * pictures
    recipe, before, start = resolve("walkcut", backbone.eye, {"grid": grid}), peak_memory(), time.perf_counter()
    for record in extract_walks(images, backbone, recipe):
        count = cut(record).count
    seconds = round(time.perf_counter() - start, 2)
    peak = {"before_bytes": before, "peak_bytes": peak_memory()}
    return {"grid": grid, "patches": grid**2, "pictures": pictures, **peak, "seconds": seconds, "segments": count}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--one", nargs=2, type=int, metavar=("GRID", "PICTURES"), help="measure once and print")
    parser.add_argument("--out", type=Path, default=ROOT / "book" / "results" / "memory.json")
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(cost(*arguments.one)))
        return
    from walkcut.app.outputs import write_whole
    from walkcut.bench.record import as_text, provenance

    record = {"title": "What a grid costs", **provenance("python tests/perf/memory.py")}
    record |= {"threads": 1, "picture": PICTURE, "measurements": []}
    for case in CASES:
        command = [sys.executable, str(Path(__file__)), "--one", *map(str, case)]
        record["measurements"].append(json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout))
        print(json.dumps(record["measurements"][-1]), file=sys.stderr, flush=True)
    write_whole({arguments.out: as_text(record).encode()})


if __name__ == "__main__":
    main()

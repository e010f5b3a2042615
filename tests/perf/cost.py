"""What a picture costs: the command from a cold start, a call in a warm process, a tree beside a busy processor.

    python tests/perf/cost.py                    writes book/results/cost.json, in some 4 minutes
    python tests/perf/cost.py --beside FOLDER    and the checkout of another version in FOLDER, in turn with this one

Every run is kept, so that the spread shows; a quiet machine is wanted. The picture is a sample at 481 x 321.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from unittest.mock import patch

ROOT = Path(__file__).resolve().parent.parent.parent
PICTURE, SIZE = "coffee", (481, 321)
TREE = "astronaut"  # a square: 64 x 64 patches
WARM = """
import json, sys, time
import walkcut
image, eye = walkcut.read_image(sys.argv[1]), walkcut.load_backbone(device="cpu")
for _ in range(8):
    start = time.perf_counter()
    result = walkcut.segment(image, eye)
    times = {"wall": time.perf_counter() - start} | result.timings
    print(json.dumps({f"{stage}_s": round(seconds, 3) for stage, seconds in times.items()}))
"""


def child(folder: Path, *arguments: str) -> tuple[dict, str]:
    """Seconds by the clock and by the processor, and GiB at the peak, and what was said, of one version."""
    environment = os.environ | {"PYTHONPATH": str(folder)}
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, *arguments], env=environment, cwd=folder, stdout=subprocess.PIPE, text=True
    )
    said = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    if status:
        raise SystemExit(f"{' '.join(arguments)} failed in {folder}")
    cpu, peak = usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 2**20
    return {"wall_s": round(wall, 2), "cpu_s": round(cpu, 2), "peak_gib": round(peak, 2)}, said


def command(folder: Path) -> tuple[str, str]:
    return "-m", "walkcut" if (folder / "walkcut" / "__main__.py").exists() else "walkcut.cli"


def picture_costs(folders: dict[str, Path], runs: int) -> dict:
    """Of each version: `--help`, `segment` of one file from a cold start, and warm calls; the versions in turn."""
    from PIL import Image

    from walkcut.samples import sample

    costs: dict = {name: {"help": [], "cold": [], "warm": []} for name in folders}
    with tempfile.TemporaryDirectory() as inside:
        photo = Path(inside, "photo.png")
        Image.fromarray(sample(PICTURE)).resize(SIZE, Image.Resampling.LANCZOS).save(photo)
        for run in range(runs):
            for name, folder in folders.items():
                out = ("--out", str(Path(inside, f"{name}-{run}")))
                costs[name]["help"].append(child(folder, *command(folder), "--help")[0])
                costs[name]["cold"].append(child(folder, *command(folder), "segment", str(photo), *out)[0])
        for name, folder in folders.items():
            said = child(folder, "-c", WARM, str(photo))[1]
            costs[name]["warm"] = [json.loads(line) for line in said.splitlines()][1:]
    return costs


@contextmanager
def busy(cores: int) -> Iterator[None]:
    """So many other processes that never rest."""
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(cores)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def tree_costs(runs: int) -> list[dict]:
    """Seconds of whole trees of 4,096 patches: by one thread, as the package cuts, and by all; quiet and not."""
    import torch

    import walkcut
    from walkcut.tree import partition

    graph = walkcut.segment(walkcut.sample(TREE), device="cpu", grid=64, keep_walk=True).graph
    costs = []
    for cores in (0, 1):
        for threads in ("one", "all"):
            free = [patch(f"walkcut.{module}.single_threaded", nullcontext) for module in ("tree", "ncut")]
            with (
                busy(cores),
                free[0] if threads == "all" else nullcontext(),
                free[1] if threads == "all" else nullcontext(),
            ):
                times = []
                for _ in range(runs):
                    start = time.perf_counter()
                    partition(graph, (64, 64))
                    times.append(round(time.perf_counter() - start, 3))
            number = 1 if threads == "one" else torch.get_num_threads()
            costs.append({"threads": number, "busy_cores": cores, "wall_s": times})
    return costs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--beside", type=Path, metavar="FOLDER", help="a checkout of another version")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--out", type=Path, default=ROOT / "book" / "results" / "cost.json")
    arguments = parser.parse_args()
    from walkcut.app.outputs import write_whole
    from walkcut.bench.record import commit, processor

    folders = {"now": ROOT} | ({"beside": arguments.beside.resolve()} if arguments.beside else {})
    record = {
        "title": "What a picture costs",
        "command": "python tests/perf/cost.py" + (" --beside FOLDER" if arguments.beside else ""),
        "commit": commit(),
        "beside": revision(arguments.beside) if arguments.beside else None,
        "date": time.strftime("%Y-%m-%d"),
        "processor": processor(),
        "cores": os.cpu_count(),
        "picture": f"{PICTURE}, {SIZE[0]} x {SIZE[1]} pixels",
        **picture_costs(folders, arguments.runs),  # first: a process begins with its parent's peak of memory
        "trees": tree_costs(arguments.runs),
    }
    write_whole({arguments.out: (json.dumps(record, indent=1) + "\n").encode()})


def revision(folder: Path) -> str:
    told = subprocess.run(
        ["git", "-C", str(folder), "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True
    )
    return told.stdout.strip()


if __name__ == "__main__":
    main()

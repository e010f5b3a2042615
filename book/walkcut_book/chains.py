"""Chains of stages for chapter 10: the engine with functions that only sleep, and pictures of which two are broken."""

import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from walkcut.app.stages import Stage, stream
from walkcut.samples import sample_path

STAGES = ("read", "look", "cut")
Busy = tuple[int, int, float, float]  # stage, picture, from when, to when


def played(seconds: Sequence[float], workers: Sequence[int], pictures: int) -> list[Busy]:
    """Who was busy with which picture when `engine.stream` has stages that only sleep, in seconds from the start."""
    busy: list[Busy] = []
    begin = time.perf_counter()

    def work(stage: int, picture: int) -> int:
        since = time.perf_counter() - begin
        time.sleep(seconds[stage])
        busy.append((stage, picture, since, time.perf_counter() - begin))
        return picture

    def made(stage: int) -> Callable[[], Callable[[int], int]]:
        return lambda: partial(work, stage)

    stages = [Stage(made(stage), count, threads=True) for stage, count in enumerate(workers)]
    for _ in stream(range(pictures), stages):
        pass
    return busy


def bars(busy: Sequence[Busy], workers: Sequence[int], scale: float = 1.0) -> list[tuple[str, int, float, float]]:
    """The same for `plots.gantt`: pictures go to the workers of a stage in turn, and times are multiplied."""
    return [(f"{STAGES[i]} {k % workers[i]}", k, scale * a, scale * z) for i, k, a, z in sorted(busy)]


def by_rule(start: np.ndarray, seconds: np.ndarray) -> list[Busy]:
    """The same from a timetable: `start` and `seconds` are (pictures, stages)."""
    return [(i, k, start[k, i], start[k, i] + seconds[k, i]) for k, i in np.ndindex(*start.shape)]


def photographs(folder: Path) -> None:
    """Seven of the book's photographs in a folder, and beside them a file that is torn and one that is empty."""
    for title in ("astronaut", "cat", "coffee", "drum", "fig", "hills", "pagoda"):
        shutil.copy(sample_path(title), folder)
    (folder / "torn.jpg").write_bytes(sample_path("rocket").read_bytes()[:9999])
    (folder / "empty.jpg").touch()


def folders(place: str | Path, *names: str) -> list[Path]:
    """New folders of these names in a place."""
    made = [Path(place) / name for name in names]
    for folder in made:
        folder.mkdir()
    return made


def killed(words: Sequence[str], out: Path, trees: int) -> int:
    """Start `walkcut` with these words, kill it as soon as so many trees lie in `out`; how it ended, -9 if by that."""
    command = [sys.executable, "-m", "walkcut.app.cli", *words]
    run = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while run.poll() is None and len(list(out.glob("*.tree.json"))) < trees:
        time.sleep(0.01)
    run.kill()
    return run.wait()

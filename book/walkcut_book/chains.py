"""What chapter 10 tries chains of stages with: functions that only sleep, and a command that is killed."""

import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from walkcut.app.stages import Stage, stream


def played(seconds: Sequence[float], workers: Sequence[int], pictures: int) -> np.ndarray:
    """When `walkcut.app.stages.stream` begins each picture in each stage, and is done, if stages only sleep.

    Returns
    -------
    float64 (2, pictures, stages)
        Seconds from the start.
    """
    times = np.zeros((2, pictures, len(workers)))
    begin = time.perf_counter()

    def work(stage: int, picture: int) -> int:
        times[0, picture, stage] = time.perf_counter() - begin
        time.sleep(seconds[stage])
        times[1, picture, stage] = time.perf_counter() - begin
        return picture

    def made(stage: int) -> Callable[[], Callable[[int], int]]:
        return lambda: partial(work, stage)

    for _ in stream(range(pictures), [Stage(made(i), count, threads=True) for i, count in enumerate(workers)]):
        pass
    return times


def killed(words: Sequence[str], out: Path, trees: int) -> int:
    """Start `walkcut` with these words, kill it as soon as so many trees lie in `out`; how it ended, -9 if by that."""
    command = [sys.executable, "-m", "walkcut.app.cli", *words]
    run = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while run.poll() is None and len(list(out.glob("*.tree.json"))) < trees:
        time.sleep(0.01)
    run.kill()
    return run.wait()

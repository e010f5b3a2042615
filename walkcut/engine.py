"""Many items through a chain of stages, each stage in this process, beside it, or on a cluster through Ray Data.

Stages work at the same time: while the last item is being cut, the next is looked at and the one after that is read.
Few items wait between two stages, and results come in the order of the items, whatever the engine.
"""

from __future__ import annotations

import logging
import os
import signal
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np

from walkcut.errors import InputError

ENGINES = ("local", "ray")
KILLED = (
    "A worker process was ended from outside, perhaps for want of memory: run the same command again, which goes on "
    "from what is finished, with fewer workers."
)
LARGE = 2**20  # bytes of an array that is worth a file of its own on its way to another process
Function = Callable[[Any], Any]


@dataclass(frozen=True)
class Stage:
    """One step that every item takes.

    Attributes
    ----------
    make : callable
        Called without arguments, once in each worker: loads what is needed and returns the function of an item. It,
        the items and the results must be picklable where workers are processes.
    workers : int
        How many work side by side; 0 is this process, while nobody waits for it.
    threads : bool
        Workers of the local engine are threads, for what mostly waits for a disk; else processes.
    gpus : float
        That each worker needs: only Ray asks.
    """

    make: Callable[[], Function]
    workers: int = 0
    threads: bool = False
    gpus: float = 0.0


def stream(items: Iterable[Any], stages: Sequence[Stage], engine: str = "local") -> Iterator[Any]:
    """Every item's result of the last stage, in the order of the items.

    Equation `eq-scale-recursion` of the book.

    Parameters
    ----------
    items : iterable
    stages : sequence of Stage
    engine : str
        One of `ENGINES`. Ray starts on this machine, or joins the cluster that its own settings name; there a worker
        that dies is replaced, and its items are done again.

    Raises
    ------
    InputError
        For an unknown engine, Ray where it is not installed, or a local worker process that was killed. An error that
        a stage raises ends the stream: what an item may do wrong, its stage must catch.
    """
    if engine not in ENGINES:
        raise InputError(f"There is no engine {engine!r}: choose from {', '.join(ENGINES)}.")
    return _by_ray(list(items), stages) if engine == "ray" else _here(items, stages)


# ---------------------------------------------------------------------------------------------------------------------
# On this machine


def _here(items: Iterable[Any], stages: Sequence[Stage]) -> Iterator[Any]:
    results = iter(items)
    for stage in stages:
        results = _side_by_side(stage, results) if stage.workers else _one_by_one(stage, results)
    return results


def _one_by_one(stage: Stage, items: Iterator[Any]) -> Iterator[Any]:
    function = None
    for item in items:  # made at the first item: where there is none, nothing is loaded
        function = function or stage.make()
        yield function(item)


def _side_by_side(stage: Stage, items: Iterator[Any]) -> Iterator[Any]:
    """Results in order, while workers are ahead of whoever takes them."""
    pool, call = _pool(stage)
    with ExitStack() as closing:
        if not stage.threads:
            closing.enter_context(_shelf())
        closing.callback(pool.shutdown, cancel_futures=True)
        waiting = deque()
        try:
            for item in items:
                waiting.append(pool.submit(call, item))
                if len(waiting) > stage.workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except (BrokenProcessPool, BrokenPipeError) as error:  # one that died at once has closed its pipe
            raise InputError(KILLED) from error


def _pool(stage: Stage) -> tuple[Executor, Function]:
    if stage.threads:
        return ThreadPoolExecutor(stage.workers), stage.make()
    # a fresh process for each: a fork of one that has threads, or a GPU, may hang
    return ProcessPoolExecutor(stage.workers, get_context("spawn"), _begin, (stage.make,)), _call


def _begin(make: Callable[[], Function]) -> None:
    """In a worker process, once; an interruption is the main process's to handle."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    global _function
    _function = make()


def _call(item: Any) -> Any:
    return _function(item)


_folder: str | None = None  # where arrays wait for the process that they are sent to


@contextmanager
def _shelf() -> Iterator[None]:
    """Meanwhile large arrays travel to other processes through files, which mostly stay in memory.

    Through the pipe between two processes, the 67 MB of a walk over 64 x 64 patches took six times as long, and the
    sender could do nothing else.
    """
    global _folder
    with tempfile.TemporaryDirectory(prefix="walkcut-") as _folder:
        try:
            yield
        finally:
            _folder = None


def _sent(array: np.ndarray) -> tuple:
    """How an array is written for another process: where its file is, or its numbers if it is small or a disk full."""
    if not _folder or array.nbytes < LARGE or array.dtype.hasobject:
        return array.__reduce__()
    path = Path(_folder) / uuid4().hex
    try:
        np.ascontiguousarray(array).tofile(path)
    except OSError:
        path.unlink(missing_ok=True)
        return array.__reduce__()
    return _received, (path, array.dtype.str, array.shape)


def _received(path: Path, dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    """The array; its file is gone at once, its numbers stay for as long as anyone holds them."""
    array = np.memmap(path, dtype, "c", shape=shape).view(np.ndarray)
    with suppress(PermissionError):  # Windows keeps what is in use; it goes with the folder
        path.unlink()
    return array


ForkingPickler.register(np.ndarray, _sent)


# ---------------------------------------------------------------------------------------------------------------------
# Through Ray


class _Made:
    """A stage's function as Ray Data calls it: on rows, in an actor that was made once."""

    def __init__(self, make: Callable[[], Function], folder: Path) -> None:
        os.chdir(folder)  # relative paths mean the same to everyone
        self.function = make()

    def __call__(self, row: dict) -> dict:
        return {"item": [self.function(row["item"][0])]}


def _by_ray(items: list[Any], stages: Sequence[Stage]) -> Iterator[Any]:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is reported to anyone
    try:
        import ray.data
    except ImportError as error:
        raise InputError("The engine 'ray' needs Ray: pip install 'walkcut[ray]', or leave --engine out.") from error
    if not items:
        return
    joined = ray.is_initialized()
    if not joined:
        actors = sum(max(stage.workers, 1) for stage in stages)
        cores = None if "RAY_ADDRESS" in os.environ else max(os.cpu_count() or 1, actors)
        ray.init(num_cpus=cores, include_dashboard=False, log_to_driver=False, logging_level="error")
    logging.getLogger("ray").setLevel(logging.ERROR)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = context.print_on_execution_start = False
    context.execution_options.preserve_order = True
    # a list around each item: whatever it is, it stays as it is
    data = ray.data.from_items([{"item": [item]} for item in items], override_num_blocks=len(items))
    for stage in stages:
        workers = ray.data.ActorPoolStrategy(min_size=1, max_size=max(stage.workers, 1))
        given = {"fn_constructor_args": (stage.make, Path.cwd()), "num_gpus": stage.gpus or None}
        data = data.map(_Made, compute=workers, **given)
    try:
        for row in data.iter_rows():
            yield row["item"][0]
    finally:
        if not joined:
            ray.shutdown()

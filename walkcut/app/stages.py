"""Many items through a chain of stages, each stage in this process, beside it, or on a cluster through Ray Data.

Stages work at the same time: while the last item is being cut, the next is looked at and the one after that is read.
Few items wait between two stages, and results come in the order of the items, whatever the engine.
"""

import logging
import os
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from io import BytesIO
from mmap import ACCESS_COPY, mmap
from multiprocessing import connection, get_context, parent_process, process, reduction, util
from pathlib import Path
from queue import SimpleQueue
from typing import IO, Any

from walkcut.app.ends import leave, when_told_to_end
from walkcut.app.options import ENGINES
from walkcut.errors import InputError

KILLED = (
    "A worker process was ended from outside, perhaps for want of memory: run the same command again, which goes on "
    "from what is finished, with fewer workers."
)
LARGE = 2**20  # bytes of an array that is worth a file of its own on its way to another process
STARTS = 3  # tries of Ray's, until it is told that it does not start
GRACE = 2.0  # seconds that a worker has to put away what it is at, once it is to end
Function = Callable[[Any], Any]
_Parcel = tuple[memoryview, list[IO[bytes]]]


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
    if engine == "local":
        return _here(items, stages)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is reported to anyone
    try:  # here: what is returned begins later, behind a bar
        import ray.data  # noqa: F401
    except ImportError as error:
        raise InputError("The engine 'ray' needs Ray: pip install 'walkcut[ray]', or leave --engine out.") from error
    return _by_ray(list(items), stages)


# ---------------------------------------------------------------------------------------------------------------------
# On this machine


def _here(items: Iterable[Any], stages: Sequence[Stage]) -> Iterator[Any]:
    results = iter(items)
    with ExitStack() as ends:  # of every stage, the last first, however the stream ends
        for stage in stages:
            results = ends.enter_context(closing((_side_by_side if stage.workers else _one_by_one)(stage, results)))
        yield from results


def _one_by_one(stage: Stage, items: Iterator[Any]) -> Generator[Any, None, None]:
    function = None
    for item in items:  # made at the first item: where there is none, nothing is loaded
        function = function or stage.make()
        yield function(item)


def _side_by_side(stage: Stage, items: Iterator[Any]) -> Generator[Any, None, None]:
    """Results in order, while workers are ahead of whoever takes them."""
    function: Function | None = None
    waiting: deque[Future] = deque()
    with ExitStack() as ends:
        for item in items:
            if function is None:
                pool = ThreadPoolExecutor(stage.workers + (not stage.threads))  # one more gets the next item ready
                ends.callback(pool.shutdown, cancel_futures=True)
                function = stage.make() if stage.threads else _crew(stage, ends)
            waiting.append(pool.submit(function, item))
            if len(waiting) > stage.workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _crew(stage: Stage, ends: ExitStack) -> Function:
    """Processes that work until the end; the function lets the next free one do an item, and waits for it."""
    context = get_context("spawn")  # a fork of a process that has threads, or a GPU, may hang
    free: SimpleQueue[connection.Connection] = SimpleQueue()  # this end of the line to each
    crew: list[process.BaseProcess] = []
    # once: with the stream, or where Python ends before it, as it waits for its processes
    ends.callback(util.Finalize(None, _dismiss, (crew,), exitpriority=1))
    for _ in range(stage.workers):
        ours, theirs = context.Pipe()
        crew.append(context.Process(target=_work, args=(theirs, bytes(reduction.ForkingPickler.dumps(stage.make)))))
        crew[-1].start()
        theirs.close()
        free.put(ours)

    def call(item: Any) -> Any:
        with _packed(item) as parcel:
            line = free.get()
            try:
                _send(line, parcel)
                failed, result = _receive(line)
            except (EOFError, ConnectionError) as error:
                raise InputError(KILLED) from error
            finally:
                free.put(line)
        if failed:
            raise result
        return result

    return call


def _dismiss(crew: Sequence[process.BaseProcess]) -> None:
    for worker in crew:
        worker.terminate()
    for worker in crew:
        worker.join(GRACE)
        worker.kill()
        worker.join()


def _work(line: connection.Connection, make: bytes) -> None:
    """What a worker process does: item after item, until it is told to end, or nobody is at the line's other end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the main process's to handle
    threading.Thread(target=_watch, daemon=True).start()
    function = None
    with suppress(EOFError, ConnectionError, SystemExit):
        while True:
            item = _receive(line)
            try:
                if function is None:
                    function = reduction.ForkingPickler.loads(make)()
                    when_told_to_end(leave)  # until now nothing could be half done, and an import takes no exit well
                _answer(line, False, function(item))
            except Exception as error:
                error.add_note("".join(traceback.format_exception(error)).rstrip())
                _answer(line, True, error)
            del item  # while the next is waited for, nothing is held
    print(end="", flush=True)
    os._exit(0)  # at once: with torch, Python takes a second or more to end as usual


def _watch() -> None:
    """A worker whose parent was killed has nobody to work for; what takes longer than a moment is ended where it is."""
    parent: Any = parent_process()
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE)
    os._exit(1)


def _answer(line: connection.Connection, failed: bool, result: Any) -> None:
    with _packed((failed, result)) as parcel:
        _send(line, parcel)


@contextmanager
def _packed(thing: Any) -> Iterator[_Parcel]:
    """A thing on its way to another process: its large arrays are in files, which mostly stay in memory.

    Through the line, the 67 MB of a walk over 64 x 64 patches took six times as long. The files have no names: nothing
    is left of them, whoever is killed.
    """
    files: list[IO[bytes]] = []

    def stays(buffer: Any) -> bool:
        """Whether an array's numbers go through the line: if they are few, or cannot be written elsewhere."""
        numbers = buffer.raw()
        if numbers.nbytes < LARGE or sys.platform == "win32":
            return True
        try:
            file = opened.enter_context(tempfile.TemporaryFile(buffering=0))  # noqa: SIM115
            while numbers:
                numbers = numbers[file.write(numbers) :]
        except OSError:
            return True
        files.append(file)
        return False

    with ExitStack() as opened:
        yield _pickled(thing, stays), files


def _pickled(thing: Any, stays: Function) -> memoryview:
    """A thing as bytes, but for the arrays' numbers that do not stay with it."""
    text = BytesIO()
    reduction.ForkingPickler(text, 5, True, stays).dump(thing)
    return text.getbuffer()


def carried(thing: Any) -> Any:
    """A thing as it arrives in another process, without a copy: what lay on a GPU lies in main memory then."""
    numbers: list[Any] = []
    return reduction.ForkingPickler.loads(_pickled(thing, numbers.append), buffers=numbers)


def _send(line: connection.Connection, parcel: _Parcel) -> None:
    text, files = parcel
    line.send_bytes(text)
    line.send(len(files))
    for file in files:
        reduction.send_handle(line, file.fileno(), None)  # only Windows asks to whom


def _receive(line: connection.Connection) -> Any:
    """What was sent; an array's numbers stay for as long as anyone holds them."""
    text, numbers = line.recv_bytes(), []
    for _ in range(line.recv()):
        file = reduction.recv_handle(line)
        numbers.append(mmap(file, 0, access=ACCESS_COPY))
        os.close(file)
    return reduction.ForkingPickler.loads(text, buffers=numbers)


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
    import ray.data

    if not items:
        return
    joined, log = ray.is_initialized(), logging.getLogger("ray")
    if not joined:
        _start(ray, sum(max(stage.workers, 1) for stage in stages))
    level = log.level
    try:
        log.setLevel(logging.ERROR)
        context = ray.data.DataContext.get_current().copy()  # the process's own stays as it is
        context.enable_progress_bars = context.print_on_execution_start = False
        context.execution_options.preserve_order = True
        with ray.data.DataContext.current(context):
            # a list around each item: whatever it is, it stays as it is
            data: Any = ray.data.from_items([{"item": [item]} for item in items], override_num_blocks=len(items))
            for stage in stages:
                workers = ray.data.ActorPoolStrategy(min_size=1, max_size=max(stage.workers, 1))
                given = {"fn_constructor_args": (stage.make, Path.cwd()), "num_gpus": stage.gpus or None}
                data = data.map(_Made, compute=workers, **given)
        for row in data.iter_rows():
            yield row["item"][0]
    finally:
        log.setLevel(level)
        if not joined:
            ray.shutdown()


def _start(ray: Any, actors: int) -> None:
    """Ray on this machine, or the cluster that RAY_ADDRESS names.

    On a busy machine Ray gives up after half a minute of waiting for itself, which no setting of its own changes: it
    is asked again.
    """
    address = os.environ.get("RAY_ADDRESS")
    cores = None if address else max(os.cpu_count() or 1, actors)
    when_killed = signal.getsignal(signal.SIGTERM)
    reason, means = "", {"include_dashboard": False, "log_to_driver": False, "logging_level": logging.ERROR}
    for _ in range(1 if address else STARTS):
        try:
            ray.init(num_cpus=cores, **means)
            if threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGTERM, when_killed)  # Ray's own aborts
            return
        except Exception as error:  # of many kinds
            reason = str(error).strip().partition("\n")[0].removesuffix(".")
            ray.shutdown()  # what is up already
    what = f"Ray's cluster at {address} was not reached" if address else "Ray did not start"
    remedy = "mend RAY_ADDRESS" if address else "try again when the machine is less busy"
    raise InputError(f"{what} ({reason}): {remedy}, or leave --engine out.")

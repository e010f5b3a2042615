"""A chain of stages on this machine, against a plain loop; Ray, which takes long to start, in test_batch."""

import logging
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress
from copy import deepcopy
from functools import partial
from multiprocessing import active_children
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from walkcut.app import stages
from walkcut.app.stages import Stage, stream
from walkcut.errors import InputError


def make_adder(amount: int) -> Callable[[int], int]:
    return partial(add, amount)


def add(amount: int, item: int) -> int:
    return item + amount


def make_fatal(mark: Path) -> Callable[[int], int]:
    return partial(fatal, mark)


def fatal(mark: Path, item: int) -> int:
    """Kill this process at item 5, once."""
    if item == 5 and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return item


def make_broken() -> Callable[[int], int]:
    return partial(int.__floordiv__, 6)


def make_identifier() -> Callable[[int], tuple[int, int]]:
    return lambda item: (os.getpid(), threading.get_ident())


@pytest.mark.parametrize("first", [Stage(partial(make_adder, 1)), Stage(partial(make_adder, 1), 2, threads=True)])
@pytest.mark.parametrize("second", [Stage(partial(make_adder, 10)), Stage(partial(make_adder, 10), 2)])
def test_every_item_takes_every_stage_in_order(first: Stage, second: Stage) -> None:
    assert list(stream(range(7), [first, second])) == [item + 11 for item in range(7)]
    assert list(stream([], [first, second])) == []


def test_workers_are_what_they_are_called() -> None:
    def where(stage: Stage) -> set:
        return set(stream(range(6), [stage]))

    here, thread = os.getpid(), threading.get_ident()
    assert where(Stage(make_identifier)) == {(here, thread)}
    assert {process for process, _ in where(Stage(make_identifier, 2, threads=True))} == {here}
    assert (here, thread) not in where(Stage(make_identifier, 2, threads=True))
    assert here not in {process for process, _ in where(Stage(make_identifier, 1))}


def make_scaler() -> Callable[[dict], tuple[list, bool]]:
    return scaled


def scaled(item: dict) -> tuple[list, bool]:
    """What arrived, doubled in place, and whether its arrays can be written to."""
    for array in item["arrays"]:
        array *= 2
    return [array.tolist() for array in item["arrays"]], all(array.flags.writeable for array in item["arrays"])


def test_arrays_reach_another_process_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of several types and shapes, an empty one, one that is no block of memory, and none; no file stays behind."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(stages, "LARGE", 1)
    whole = np.arange(24, dtype=np.float32).reshape(4, 6)
    lists = [[whole, np.arange(3)], [whole[:, ::2], whole.T], [np.zeros((0, 2)), np.float64([1.5])], [np.zeros(0)], []]
    found = list(stream([{"arrays": arrays} for arrays in lists], [Stage(make_scaler, 2)]))
    assert found == [([(2 * array).tolist() for array in arrays], True) for arrays in lists]
    assert whole[0, 1] == 1, "the sender's array stays as it was"
    assert not list(tmp_path.iterdir())


def test_where_no_file_can_be_written_the_pipe_serves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    array = np.arange(stages.LARGE, dtype=np.uint8)
    with stages._packed(array) as (text, files):
        assert (len(text) < 1000, len(files)) == (True, 1)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    with stages._packed(array) as (text, files):
        assert (len(text) > stages.LARGE, files) == (True, [])
    (found,) = stream([array], [Stage(make_doubler, 1)])
    assert np.array_equal(found, 2 * array)


def make_doubler() -> Callable[[np.ndarray], np.ndarray]:
    return doubled


def doubled(array: np.ndarray) -> np.ndarray:
    return 2 * array


def large(count: int) -> list[np.ndarray]:
    """Arrays that do not travel through the line."""
    return [np.full(stages.LARGE // 8 + 1, item) for item in range(count)]


def test_large_arrays_pass_several_stages_of_processes() -> None:
    found = stream(large(5), [Stage(make_doubler, 1), Stage(make_doubler, 2), Stage(make_doubler, 1)])
    assert [array[[0, -1]].tolist() for array in found] == [[8 * item] * 2 for item in range(5)]


def make_late() -> Callable[[np.ndarray], np.ndarray]:
    return late


def late(array: np.ndarray) -> np.ndarray:
    time.sleep(0.3)
    return 2 * array


def test_streams_work_side_by_side_in_several_threads() -> None:
    """One ends while the arrays of the other are on their way."""

    def run(count: int, make: Callable[[], Callable]) -> list[int]:
        return [int(array[-1]) for array in stream(large(count), [Stage(make, 1), Stage(make_doubler, 1)])]

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(run, (4, 1), (make_late, make_doubler))) == [[0, 4, 8, 12], [0]]


def make_nest() -> Callable[[np.ndarray], int]:
    return nest


def nest(array: np.ndarray) -> int:
    """A stage that has stages of its own."""
    return sum(int(one[-1]) for one in stream([array, array], [Stage(make_doubler, 1)]))


def test_a_stream_works_inside_another() -> None:
    """In what feeds it, in this process and in a worker, while others wait half-way."""
    outer = stream(stream(large(3), [Stage(make_doubler, 1)]), [Stage(make_nest, 1), Stage(partial(make_adder, 1))])
    assert next(outer) == 1
    assert list(stream(large(2), [Stage(make_nest)])) == [0, 4]
    assert list(outer) == [9, 17]


@pytest.mark.parametrize("kind", ["taken", "closed", "broken", "broken before"])
def test_no_process_and_no_file_stay_behind(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the error is kept, and with it the frames of everyone on its way."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    last = Stage(make_broken, 1) if kind == "broken" else Stage(make_doubler, 2)
    items = iter([*large(3), None, 0][kind != "broken before" :])
    if kind in ("taken", "closed"):
        items = iter(large(6))
    results, error = stream(items, [Stage(make_doubler, 2), last]), None
    if kind == "taken":
        assert len(list(results)) == 6
    elif kind == "closed":
        next(results)
        results.close()
    else:
        with pytest.raises(TypeError) as error:
            list(results)
    assert (active_children(), list(tmp_path.iterdir())) == ([], [])
    assert (error is None) == (kind in ("taken", "closed"))


def make_impossible() -> Callable[[int], int]:
    raise InputError("There is nothing to load.")


def make_unsendable() -> Callable[[int], object]:
    return lambda item: lambda: item


def test_what_a_worker_cannot_do_is_told_as_it_is() -> None:
    with pytest.raises(InputError, match=r"There is nothing to load\.") as told:
        list(stream([1], [Stage(make_impossible, 1)]))
    assert str(told.value) == "There is nothing to load."
    assert "in make_impossible" in told.value.__notes__[0], "where it happened"
    with pytest.raises(Exception, match="pickle"):
        list(stream([1], [Stage(make_unsendable, 1)]))


HALF_DONE = 60.0  # seconds that nobody will wait


def make_slow(folder: Path) -> Callable[[int], int]:
    return partial(slow, folder)


def slow(folder: Path, item: int) -> int:
    """Half done, which a file shows, for a minute."""
    part = folder / f"{item}.tmp"
    part.touch()
    try:
        time.sleep(HALF_DONE)
    finally:
        part.unlink()
    return item


def session(leader: int) -> set[int]:
    """Processes that were started by a process or by those that it started, zombies apart."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it ended
            state, _, _, its_session = path.read_text().rpartition(")")[2].split()[:4]
            if int(its_session) == leader and state != "Z":
                found.add(int(path.parent.name))
    return found


def wait_until(true: Callable[[], object], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not true() and time.monotonic() < deadline:
        time.sleep(0.02)
    return bool(true())


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes where Linux lists them")
@pytest.mark.parametrize(
    "kill",
    [
        lambda parent: os.kill(parent, signal.SIGKILL),
        lambda parent: os.kill(parent, signal.SIGTERM),
        lambda parent: os.killpg(parent, signal.SIGTERM),  # as schedulers do
    ],
    ids=["kill -9", "kill", "all"],
)
def test_nobody_outlives_a_parent_that_is_killed(tmp_path: Path, kill: Callable[[int], None]) -> None:
    """Neither workers, some half done and some idle, nor what Python starts beside them, nor files."""
    folder, half = tmp_path / "temporary", tmp_path / "half"
    for one in (folder, half):
        one.mkdir()
    code = f"""
from functools import partial
from pathlib import Path
from test_stages import make_doubler, make_slow
import numpy as np
from walkcut.app.stages import LARGE, Stage, stream
half = Path({str(half)!r})
list(stream(range(9), [Stage(partial(make_slow, half), 2), Stage(make_doubler, 1)]))
"""
    given = {"cwd": Path(__file__).parent, "env": os.environ | {"TMPDIR": str(folder)}, "start_new_session": True}
    parent = subprocess.Popen([sys.executable, "-c", code], **given)
    try:
        assert wait_until(lambda: len(list(half.iterdir())) == 2, 60), "two are at work"
        assert len(session(parent.pid)) > 3
        kill(parent.pid)
        parent.wait()
        assert wait_until(lambda: not session(parent.pid), 5), session(parent.pid)
        assert (list(half.iterdir()), list(folder.iterdir())) == ([], []), "what was half done was put away"
    finally:
        with suppress(ProcessLookupError):
            os.killpg(parent.pid, signal.SIGKILL)
        parent.wait()


def test_a_stream_that_nobody_closed_does_not_keep_python_from_ending() -> None:
    code = "from test_stages import *; s = stream(large(9), [Stage(make_doubler, 2)]); print(next(s)[0])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parent, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "0\n", "")


def test_a_stage_works_ahead_but_not_far() -> None:
    """While nobody takes a result, readers read on, until a few items wait."""
    read = []
    results = stream(range(100), [Stage(lambda: lambda item: read.append(item) or item, 2, threads=True)])
    assert next(results) == 0
    deadline = time.monotonic() + 10
    while len(read) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert read == [0, 1, 2]
    results.close()


def test_nothing_is_made_where_there_is_nothing_to_do() -> None:
    made = []
    assert list(stream([], [Stage(lambda: made.append(1))])) == []
    assert made == []


@pytest.mark.parametrize("workers", [0, 1])
def test_an_error_of_a_stage_ends_the_stream(workers: int) -> None:
    results = stream([1, 2, 0, 3], [Stage(make_broken, workers)])
    assert [next(results), next(results)] == [6, 3]
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_a_local_worker_that_is_killed_is_told_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="perhaps for want of memory: run the same command again"):
        list(stream(range(8), [Stage(partial(make_fatal, tmp_path / "mark"), 2)]))


def test_there_are_two_engines() -> None:
    with pytest.raises(InputError, match="no engine 'steam': choose from local, ray"):
        stream([1], [Stage(partial(make_adder, 1))], "steam")


@pytest.mark.situation("ray")
def test_without_ray_one_sentence_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match=r"pip install 'walkcut\[ray\]'"):
        list(stream([1], [Stage(partial(make_adder, 1))], "ray"))


class Rows(list):
    """What Ray Data does, in a loop."""

    def map(self, made: Callable, compute: object, fn_constructor_args: tuple, num_gpus: float | None) -> "Rows":
        return Rows(map(made(*fn_constructor_args), self))

    def iter_rows(self) -> list[dict]:
        return self


def play_ray(monkeypatch: pytest.MonkeyPatch, running: bool, broken: str = "", times: int = 99) -> list:
    """A stand-in for Ray, which starts only after so many times broken; what it is asked for is noted."""
    asked: list = []
    failures = iter([broken] * times if broken else [])

    def init(**given: object) -> None:
        if reason := next(failures, ""):
            asked.append("broken")
            raise RuntimeError(reason)
        asked.append(given)

    ray, data = ModuleType("ray"), ModuleType("ray.data")
    ray.data, ray.init, ray.is_initialized = data, init, lambda: running
    ray.shutdown = lambda: asked.append("shutdown")
    options = SimpleNamespace(preserve_order=False)
    context = SimpleNamespace(enable_progress_bars=True, print_on_execution_start=True, execution_options=options)
    context.copy = lambda: deepcopy(context)
    data.DataContext = SimpleNamespace(get_current=lambda: context, current=nullcontext)
    data.ActorPoolStrategy = lambda min_size, max_size: asked.append((min_size, max_size))
    data.from_items = lambda items, override_num_blocks: Rows(items)
    monkeypatch.setitem(sys.modules, "ray", ray)
    monkeypatch.setitem(sys.modules, "ray.data", data)
    return asked


@pytest.mark.situation("ray")
def test_ray_is_started_and_ended_where_none_runs_and_else_joined(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    chain = [Stage(partial(make_adder, 1)), Stage(partial(make_adder, 10), 3)]
    asked = play_ray(monkeypatch, running=True)
    assert list(stream(range(3), chain, "ray")) == [11, 12, 13]
    assert asked == [(1, 1), (1, 3)]
    asked = play_ray(monkeypatch, running=False)
    assert list(stream([], chain, "ray")) == []
    assert asked == [], "for nothing, it is not started"
    assert list(stream(range(3), chain, "ray")) == [11, 12, 13]
    given = {"include_dashboard": False, "log_to_driver": False, "logging_level": logging.ERROR}
    assert asked == [{"num_cpus": max(4, os.cpu_count()), **given}, (1, 1), (1, 3), "shutdown"]
    monkeypatch.setenv("RAY_ADDRESS", "far:6379")
    asked = play_ray(monkeypatch, running=False)
    next(results := stream(range(3), chain, "ray"))
    assert asked[0]["num_cpus"] is None
    results.close()
    assert asked[-1] == "shutdown", "also where nobody takes the rest"


TIMED_OUT = "The current node timed out during startup. This could\nhappen."


@pytest.mark.situation("ray")
def test_a_ray_that_does_not_start_is_told_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    asked = play_ray(monkeypatch, running=False, broken=TIMED_OUT)
    with pytest.raises(InputError) as told:
        list(stream([1], [Stage(partial(make_adder, 1))], "ray"))
    reason, remedy = TIMED_OUT.partition("\n")[0], "try again when the machine is less busy, or leave --engine out."
    assert str(told.value) == f"Ray did not start ({reason}): {remedy}"
    assert asked == ["broken", "shutdown"] * 3, "what is up already is ended"


@pytest.mark.situation("ray")
@pytest.mark.parametrize("times", [1, 2])
def test_a_ray_that_is_late_is_asked_again(monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    asked = play_ray(monkeypatch, running=False, broken=TIMED_OUT, times=times)
    assert list(stream(range(3), [Stage(partial(make_adder, 1))], "ray")) == [1, 2, 3]
    assert asked[: 2 * times + 1] == [*["broken", "shutdown"] * times, asked[2 * times]]
    assert asked[-1] == "shutdown"


@pytest.mark.situation("ray")
def test_a_cluster_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "far:6379")
    asked = play_ray(monkeypatch, running=False, broken="Failed to connect to GCS.")
    with pytest.raises(InputError) as told:
        list(stream([1], [Stage(partial(make_adder, 1))], "ray"))
    what = "Ray's cluster at far:6379 was not reached (Failed to connect to GCS)"
    assert str(told.value) == f"{what}: mend RAY_ADDRESS, or leave --engine out."
    assert asked == ["broken", "shutdown"], "Ray itself waits for a cluster"


@pytest.mark.situation("ray")
@pytest.mark.parametrize("running", [True, False])
def test_what_the_caller_set_of_ray_stays(monkeypatch: pytest.MonkeyPatch, running: bool) -> None:
    """A Ray that runs already is left running, and its settings are the caller's afterwards and meanwhile."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    asked, log = play_ray(monkeypatch, running), logging.getLogger("ray")
    monkeypatch.setattr(log, "level", logging.WARNING)
    context = sys.modules["ray.data"].DataContext.get_current()
    before = deepcopy(vars(context) | {"copy": None})
    next(results := stream(range(3), [Stage(partial(make_adder, 1))], "ray"))
    assert vars(context) | {"copy": None} == before
    results.close()
    assert log.level == logging.WARNING
    assert ("shutdown" in asked) != running

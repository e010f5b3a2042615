"""A chain of stages on this machine, against a plain loop; Ray, which takes long to start, is tested in test_many."""

import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from functools import partial
from multiprocessing.reduction import ForkingPickler
from pathlib import Path

import numpy as np
import pytest

from walkcut import engine
from walkcut.engine import Stage, stream
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
    monkeypatch.setattr(engine, "LARGE", 1)
    whole = np.arange(24, dtype=np.float32).reshape(4, 6)
    lists = [[whole, np.arange(3)], [whole[:, ::2], whole.T], [np.zeros((0, 2)), np.float64([1.5])], [np.zeros(0)], []]
    found = list(stream([{"arrays": arrays} for arrays in lists], [Stage(make_scaler, 2)]))
    assert found == [([(2 * array).tolist() for array in arrays], True) for arrays in lists]
    assert whole[0, 1] == 1, "the sender's array stays as it was"
    assert not list(tmp_path.iterdir())


def test_where_no_file_can_be_written_the_pipe_serves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "_folder", str(tmp_path / "nowhere"))
    array = np.arange(engine.LARGE, dtype=np.uint8)
    assert engine._sent(array)[0] is not engine._received
    assert np.array_equal(ForkingPickler.loads(ForkingPickler.dumps(array)), array)


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


def test_without_ray_one_sentence_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match=r"pip install 'walkcut\[ray\]'"):
        list(stream([1], [Stage(partial(make_adder, 1))], "ray"))

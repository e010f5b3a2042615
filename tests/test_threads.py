"""One thread while a graph is cut; afterwards everybody's threads are as they were."""

import json
import os
import re
import statistics
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_info, threadpool_limits
from toy_graphs import random_graph

from walkcut import load_backbone, segment, threads
from walkcut.graph import Graph
from walkcut.ncut import Split, best_cut, best_cuts
from walkcut.threads import single_threaded
from walkcut.tree import partition

COUNT = 3  # threads before; one is what every test must be able to tell from it
WAIT = 10  # seconds, then a test fails instead of hanging


def blas() -> set[int]:
    """Threads of NumPy's and SciPy's linear algebra; other tests may have loaded more, which no cut asks."""
    ours = {library.filepath for library in threads._libraries}
    return {pool["num_threads"] for pool in threadpool_info() if pool["filepath"] in ours}


def now() -> tuple[int, set[int]]:
    """Torch's threads in this thread, linear algebra's in the process."""
    return torch.get_num_threads(), blas()


def in_a_new_thread() -> int:
    """Torch's threads in a thread that begins now."""
    with ThreadPoolExecutor(1) as fresh:
        return fresh.submit(torch.get_num_threads).result(WAIT)


def set_blas(count: int) -> None:
    """In a thread that ends: threadpoolctl lets one thread alone set limits, as long as it lives."""
    with ThreadPoolExecutor(1) as fresh:
        fresh.submit(threadpool_limits, count, "blas").result(WAIT)
    if blas() != {count}:
        threadpool_limits(count, "blas")


@pytest.fixture(autouse=True)
def several_threads() -> Iterator[None]:
    before, (blas_before,) = torch.get_num_threads(), blas()
    torch.set_num_threads(COUNT)
    set_blas(COUNT)
    try:
        assert now() == (COUNT, {COUNT})
        yield
        assert now() == (COUNT, {COUNT})
        assert in_a_new_thread() == COUNT
    finally:
        torch.set_num_threads(before)
        set_blas(blas_before)


def test_one_thread_inside_and_as_before_outside() -> None:
    with single_threaded():
        assert now() == (1, {1})
    assert now() == (COUNT, {COUNT})


def test_within_itself() -> None:
    with single_threaded():
        with single_threaded():
            with single_threaded():
                assert now() == (1, {1})
            assert now() == (1, {1})
        with single_threaded():
            assert now() == (1, {1})
        assert now() == (1, {1})
    assert now() == (COUNT, {COUNT})


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_what_is_raised_inside_comes_out_and_leaves_nothing_behind(error: type[BaseException]) -> None:
    with pytest.raises(error, match="inside"), single_threaded(), single_threaded():
        raise error("inside")
    assert now() == (COUNT, {COUNT})
    with single_threaded():
        with pytest.raises(error, match="within"), single_threaded():
            raise error("within")
        assert now() == (1, {1})


def test_it_can_be_had_again_and_again() -> None:
    for count in (2, COUNT):
        torch.set_num_threads(count)
        with single_threaded():
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == count


def test_contexts_of_one_thread_that_overlap() -> None:
    """The first to be entered may be the first to be left, as generators have it."""
    one, other = single_threaded(), single_threaded()
    one.__enter__()
    other.__enter__()
    one.__exit__(None, None, None)
    assert now() == (1, {1})
    other.__exit__(None, None, None)


def test_a_thread_keeps_a_number_of_its_own() -> None:
    def caller() -> list[int]:
        torch.set_num_threads(2)
        try:
            with single_threaded():
                during = torch.get_num_threads()
            return [during, torch.get_num_threads()]
        finally:
            torch.set_num_threads(COUNT)  # for those that begin later, too

    with ThreadPoolExecutor(1) as pool, single_threaded():
        assert pool.submit(caller).result(WAIT) == [1, 2]
        assert torch.get_num_threads() == 1


def test_it_is_held_around_a_whole_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """From the root to the leaves, however large a region is."""
    seen = []

    def watched(regions: list[Graph], *rest: Any) -> list[Split]:
        seen.append(now())
        return best_cuts(regions, *rest)

    monkeypatch.setattr("walkcut.tree.best_cuts", watched)
    partition(random_graph(1200, 0), (30, 40))
    assert len(seen) > 10
    assert set(map(str, seen)) == {str((1, {1}))}


def test_a_thread_that_begins_meanwhile_finds_torch_as_it_was() -> None:
    with single_threaded():
        assert in_a_new_thread() == COUNT
        assert torch.get_num_threads() == 1


@pytest.mark.parametrize("first_out", [0, 1])
def test_callers_who_enter_and_leave_by_turns(first_out: int) -> None:
    """In, in, out, out, in either order: the one who stays keeps one thread, and neither leaves one behind."""
    inside, leave = ([threading.Event() for _ in range(2)] for _ in range(2))

    def caller(number: int) -> tuple[int, tuple[int, set[int]], int]:
        before = torch.get_num_threads()
        with single_threaded():
            inside[number].set()
            assert leave[number].wait(WAIT)
            during = now()
        return before, during, torch.get_num_threads()

    with ThreadPoolExecutor(2) as pool:
        calls = []
        for number in range(2):
            calls.append(pool.submit(caller, number))
            assert inside[number].wait(WAIT)
        for number in (first_out, 1 - first_out):
            leave[number].set()
            calls[number].exception(WAIT)
        assert [call.result(WAIT) for call in calls] == [(COUNT, (1, {1}), COUNT)] * 2
        assert now() == (COUNT, {COUNT})


def test_callers_in_several_threads_one_after_another() -> None:
    """Whoever is first is not the only one who may set limits from then on."""

    def caller() -> tuple[int, set[int]]:
        with single_threaded():
            return now()

    with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(1) as other:
        assert one.submit(caller).result(WAIT) == (1, {1})
        assert other.submit(caller).result(WAIT) == (1, {1})
        assert caller() == (1, {1})
        assert one.submit(caller).result(WAIT) == (1, {1})
        assert now() == (COUNT, {COUNT})
        with threadpool_limits(2, "blas"):  # somebody else's wish
            assert now() == (COUNT, {2})
            assert caller()[0] == 1
            assert now() == (COUNT, {2})


def test_a_caller_in_another_thread_leaves_this_one_inside() -> None:
    with single_threaded():
        with ThreadPoolExecutor(1) as pool:
            pool.submit(best_cut, random_graph(30, 0)).result(WAIT)
        assert now() == (1, {1})


def test_many_callers_who_come_and_go() -> None:
    """Nested, raising, waiting for one another by chance: four threads, 200 calls."""

    def caller(number: int) -> tuple[int, tuple[int, set[int]], int]:
        before = torch.get_num_threads()
        with suppress(ValueError), single_threaded():
            with single_threaded():
                during = now() if number % 20 == 0 else (torch.get_num_threads(), {1})
            if number % 3 == 0:
                raise ValueError
        return before, during, torch.get_num_threads()

    together = threading.Barrier(4, timeout=WAIT)  # all have asked torch, and then they begin

    with ThreadPoolExecutor(4, initializer=lambda: torch.get_num_threads() and together.wait()) as pool:
        assert set(map(repr, pool.map(caller, range(200)))) == {repr((COUNT, (1, {1}), COUNT))}
        assert now() == (COUNT, {COUNT})


def test_graphs_that_are_cut_side_by_side_are_cut_alike() -> None:
    grid = (10, 12)
    graphs = [random_graph(120, seed) for seed in range(6)]
    alone = [partition(graph, grid, smallest=2) for graph in graphs]
    with ThreadPoolExecutor(3) as pool:
        together = list(pool.map(lambda graph: partition(graph, grid, smallest=2), graphs))
        assert set(pool.map(lambda _: torch.get_num_threads(), range(12))) == {COUNT}
    for one, other in zip(alone, together, strict=True):
        assert one.ncut.tolist() == other.ncut.tolist()
        assert one.order.tolist() == other.order.tolist()


def test_what_threads_cost_is_what_was_measured() -> None:
    """The table in the module's docstring, held by a committed measurement."""
    record = json.loads((Path(__file__).parent.parent / "book" / "results" / "cost.json").read_text())
    measured = {(tree["busy_cores"], tree["threads"]): statistics.median(tree["wall_s"]) for tree in record["trees"]}
    told = [float(number) for number in re.findall(r"(\d+\.\d) s", threads.__doc__)]
    assert told == [round(measured[key], 1) for key in ((0, 1), (0, 2), (1, 1), (1, 2))]
    assert measured[1, 1] <= 1.6 * measured[0, 1]  # beside other work


SHARED = """
import copy, os, pickle, threading
import numpy as np
import walkcut

eye = walkcut.load_backbone(device="cpu")
image = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
image[:, 32:] = 9


def labels(eye=eye):
    return walkcut.segment(image, eye, grid=16, threshold=0.9).labels


expected = labels()
print("copied", np.array_equal(labels(copy.deepcopy(eye)), expected))
print("pickled", np.array_equal(labels(pickle.loads(pickle.dumps(eye))), expected))
done = threading.Event()


def busy():
    while not done.is_set():
        labels()


thread = threading.Thread(target=busy)
thread.start()
for _ in range(3):
    if not (child := os.fork()):
        os._exit(0 if np.array_equal(labels(), expected) else 1)
    print("forked", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
done.set()
thread.join()
print("left", np.array_equal(labels(), expected))
"""


@pytest.mark.situation("threads")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="only Unix forks")
def test_an_eye_can_be_copied_pickled_and_forked_while_a_thread_uses_it() -> None:
    """A fork has one thread alone: a lock that another held would be held for ever."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", SHARED], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.stdout.splitlines() == ["copied True", "pickled True", *["forked 0"] * 3, "left True"], done.stderr
    assert done.returncode == 0


@pytest.mark.situation("threads")
def test_a_pool_of_processes_takes_a_loaded_eye() -> None:
    """As of joblib, or of concurrent.futures: what is passed is pickled."""
    eye = load_backbone(device="cpu")
    image = np.random.default_rng(1).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    job = partial(segment, image, eye, grid=8, threshold=0.9)
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        there = pool.submit(job).result(timeout=120)
    here = job()
    assert np.array_equal(there.labels, here.labels)
    assert there.recipe == here.recipe


@pytest.mark.situation("threads")
def test_two_eyes_in_two_threads_do_not_meet() -> None:
    image = np.random.default_rng(2).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    eyes = [load_backbone(device="cpu"), load_backbone(device="cpu", prompt="striped")]
    jobs = [partial(segment, image, eye, grid=8, threshold=0.9) for eye in eyes] * 3
    expected = [job().labels for job in jobs]
    with ThreadPoolExecutor(len(jobs)) as pool:
        found = [future.result().labels for future in [pool.submit(job) for job in jobs]]
    assert all(map(np.array_equal, found, expected))

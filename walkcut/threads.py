"""One policy for threads: a cut is made by one thread, from the root to the leaves.

A cut is a chain of short calls, most of them on regions of a few hundred patches. Torch and the linear algebra of NumPy
and SciPy keep threads of their own: they wait for each other, and beside other work for a processor, all of them each
time. A whole tree of 4,096 patches, the median of seven, on two cores (`book/results/cost.json`):

                          one thread    two threads
    a quiet machine           0.8 s          3.0 s
    one core busy             1.0 s          6.0 s

So one thread is the better of the two in both cases, sums are taken in one order whoever takes them, and many pictures
are cut side by side without getting in each other's way.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from threading import Lock, Thread, local
from typing import Any

import numpy as np
import scipy.linalg  # noqa: F401 -- loaded here, so that its threads are found
import torch
from threadpoolctl import OpenBLASController, ThreadpoolController

_libraries = ThreadpoolController().select(user_api="blas").lib_controllers
_before: list[int] = []  # threads of these: they belong to the process
_open = 0  # contexts in the process
_here = local()  # contexts in this thread, and torch's threads before the first of them: those belong to a thread


def kept_in_forks(lock: Any) -> Any:
    """A lock that whoever forks waits for: only that thread is there in the fork, and nobody else would let it go."""
    if hasattr(os, "register_at_fork"):  # Windows has no forks
        os.register_at_fork(before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release)
    return lock


_lock = kept_in_forks(Lock())
if hasattr(os, "register_at_fork"):  # else torch waits in a fork for threads that are not there
    os.register_at_fork(after_in_child=lambda: torch.set_num_threads(1))


@contextmanager
def single_threaded() -> Iterator[None]:
    """One thread for torch, in this thread, and for NumPy's and SciPy's linear algebra, in the whole process.

    It may be entered within itself and in several threads at once, which leave in any order: the first to enter saves
    what was set, the last to leave restores it. Threads that begin meanwhile find torch as it was.
    """
    global _open
    with _lock:
        if not _open:
            _before[:] = [library.num_threads for library in _libraries]
            _set_linear_algebra([1] * len(_libraries))
        if not getattr(_here, "open", 0):
            _here.open, _here.before = 0, torch.get_num_threads()
            _set_torch(1)
        _open, _here.open = _open + 1, _here.open + 1
    try:
        yield
    finally:
        with _lock:
            _open, _here.open = _open - 1, _here.open - 1
            if not _here.open:
                _set_torch(_here.before)
            if not _open:
                _set_linear_algebra(_before)


@contextmanager
def undisturbed() -> Iterator[None]:
    """What the caller set for computations of its own stays out of ours: a default device, autocast, NumPy's errors."""
    here = nullcontext() if torch.get_default_device().type == "cpu" else torch.device("cpu")
    processor, gpu = (torch.autocast(kind, enabled=False) for kind in ("cpu", "cuda"))
    with here, processor, gpu, np.errstate(all="warn", under="ignore"):
        yield


def _set_linear_algebra(counts: Sequence[int]) -> None:
    """Threads of each library; threadpoolctl would listen to the thread alone that was the first to set any."""
    OpenBLASController.clear_controlling_thread(force=True)
    for library, count in zip(_libraries, counts, strict=True):
        library.set_num_threads(count)
    OpenBLASController.clear_controlling_thread()


def _set_torch(count: int) -> None:
    """Threads of torch in this thread alone: whatever is set in one, it also hands to all that begin later."""
    if count == torch.get_num_threads():
        return
    later = _elsewhere(torch.get_num_threads)
    torch.set_num_threads(count)
    _elsewhere(torch.set_num_threads, later)


def _elsewhere(function: Callable, *given: Any) -> Any:
    """What a new thread finds; no pool, as there is none for threads that outlive the main one."""
    found: list[Any] = []
    thread = Thread(target=lambda: found.append(function(*given)))
    thread.start()
    thread.join()
    return found[0]

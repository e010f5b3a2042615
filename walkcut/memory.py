"""How much memory a picture takes, how much there is, and what is said where that is too little."""

import math
import re
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import torch

from walkcut.errors import InputError

# At its peak a picture holds so many tables of n^2 float32 numbers between its n patches, a further one of the same
# pass so many, and beside these some bytes: measured by tests/perf/memory.py.
TABLES, FURTHER, REST = 4.4, 3.3, 3e7
ROOT = Path("/")  # where Linux tells of itself
OF_GROUPS = {  # by the version of control groups: the limit, what is held, and what of that are files that can go
    "": ("memory.max", "memory.current", ("inactive_file", "active_file")),
    "memory": ("memory.limit_in_bytes", "memory.usage_in_bytes", ("total_inactive_file", "total_active_file")),
}


def needed(patches: float, pictures: int = 1) -> float:
    """Bytes, at the peak, of a pass over pictures of so many patches and of the cut that follows, beside the model."""
    return REST + 4 * patches**2 * (TABLES + FURTHER * (pictures - 1))


def available(device: torch.device) -> float:
    """Bytes that this process can still take on a device; infinity where nobody tells."""
    if device.type == "cuda":
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + kept
    return max(min(_left(), default=math.inf), 0.0)


@contextmanager
def enough_memory(patches: tuple[int, int], grid: int, device: torch.device, pictures: int = 1) -> Iterator[None]:
    """Refuse a grid that there is no room for, before the block begins or where memory runs out in it.

    Parameters
    ----------
    patches : (h, w)
    grid : int
        The setting that they come from.
    device : torch.device
    pictures : int
        Of the pass that begins; 0 for one that is over, which is not asked about beforehand.

    Raises
    ------
    InputError
        That names what is needed, what is there, and the largest grid that would fit.
    """
    need, there = needed(math.prod(patches), max(pictures, 1)), available(device)
    if pictures and need > there:
        raise _refusal(patches, grid, need, there, f"{_told_size(there)} are free on {device}")
    try:
        yield
    except Exception as error:
        if not short_of_memory(error):
            raise
        traceback.clear_frames(error.__traceback__)  # else the error holds all that the block held
        raise _refusal(patches, grid, need, min(need / 2, there), f"{device} ran out of it") from error


def short_of_memory(error: BaseException) -> bool:
    """Whether memory ran out. Only CUDA's is an error of its own: a CPU's and a Mac's are told by their words."""
    words = ("out of memory", "enough memory", "allocate memory", "Insufficient Memory", "ALLOC_FAILED", "bad_alloc")
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or any(one in str(error) for one in words)


def _refusal(patches: tuple[int, int], grid: int, need: float, there: float, lack: str) -> InputError:
    h, w = patches
    # sides are rounded to patches of the coarsest attention, so one more of each may come
    fits = [g for g in range(2, grid) if needed((h * g / grid + 1) * (w * g / grid + 1)) <= there]
    remedy = f"choose a grid of at most {fits[-1]}" if fits else "free some, or choose another device"
    return InputError(f"A grid of {grid} takes about {_told_size(need)} of memory, and {lack}: {remedy}.")


def _told_size(size: float) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"


def _left() -> Iterator[float]:
    """What is left of each limit that this process is under: the machine's, its control groups', its own."""
    free = _number("proc/meminfo", "MemAvailable")
    if free is not None:
        yield 1024.0 * (free + (_number("proc/meminfo", "SwapFree") or 0))
    for line in _text("proc/self/cgroup").splitlines():
        _, kinds, place = line.split(":", 2)
        if kinds and "memory" not in kinds.split(","):
            continue
        kind = "memory" if kinds else ""
        limit, held, files = OF_GROUPS[kind]
        inner, depth = Path("sys/fs/cgroup", kind, place[1:]), len(Path(place).parts)
        for group in (inner, *inner.parents)[:depth]:  # up to the top: limits hold for all within
            most, now = _number(group / limit), _number(group / held)
            if most is not None and now is not None:
                yield float(most - now + sum(_number(group / "memory.stat", name) or 0 for name in files))
    most, now = _number("proc/self/limits", "Max address space"), _number("proc/self/status", "VmSize")
    if most is not None and now is not None:
        yield float(most - 1024 * now)


def _text(path: str | Path) -> str:
    with suppress(OSError):
        return (ROOT / path).read_text()
    return ""


def _number(path: str | Path, name: str = "") -> int | None:
    """The number behind a name at the start of a line; None where there is none, as for "max" or "unlimited"."""
    found = re.search(rf"^{name}:?\s*(\d+)", _text(path), re.MULTILINE)
    return int(found[1]) if found else None

"""Does a run that is killed again and again end like one that was left alone?

    python tests/perf/soak.py            writes tests/perf/soak.log; 10 to 20 minutes on two cores

Small pictures of many sizes and formats, made by a seed, are segmented by the real command with workers. It is killed
at random moments, in every way that a machine knows, and started again. In the end the outputs must be those of an
unbroken run to the last byte, with no file beside them and no process left. Ends with 1 where they are not. Linux only.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

LOG = Path(__file__).with_suffix(".log")
FORMATS = ("png", "jpg", "webp", "bmp", "tif", "ppm", "gif")
PATIENCE = 20.0  # seconds until a process must have ended, and all that it started


def make_pictures(folder: Path, count: int, seed: int) -> None:
    """Rectangles in noise, of 24 to 120 pixels a side."""
    rng = np.random.default_rng(seed)
    for number in range(count):
        height, width = rng.integers(24, 121, 2)
        image = rng.integers(0, 25, (height, width, 3), dtype=np.uint8)
        for _ in range(rng.integers(0, 4)):
            (top, left), colour = rng.integers(0, (height, width)), rng.integers(0, 230, 3)
            box = image[top : top + rng.integers(8, 60), left : left + rng.integers(8, 60)]
            box[:] = box % 25 + colour.astype(np.uint8)
        Image.fromarray(image).save(folder / f"{number:04d}.{FORMATS[number % len(FORMATS)]}")


def session(leader: int) -> dict[int, str]:
    """Processes that were started by one, itself among them, and by what command; zombies apart."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it ended
            state, _, _, its_session = path.read_text().rpartition(")")[2].split()[:4]
            if int(its_session) == leader and state != "Z":
                found[int(path.parent.name)] = (path.parent / "cmdline").read_text().replace("\0", " ")
    return found


def wait_until(true: Callable[[], object], seconds: float) -> bool:
    """Whether it became true in time."""
    deadline = time.monotonic() + seconds
    while not (found := true()) and time.monotonic() < deadline:
        time.sleep(0.01)
    return bool(found)


def kill_worker(rng: np.random.Generator, parent: int) -> None:
    """A process that cuts or reads, if there is one yet; else the parent."""
    workers = [one for one, words in session(parent).items() if "spawn_main" in words]
    with suppress(ProcessLookupError):
        os.kill(int(rng.choice(workers or [parent])), signal.SIGKILL)


KILLS: dict[str, Callable[[np.random.Generator, int], None]] = {
    "SIGKILL": lambda rng, parent: os.kill(parent, signal.SIGKILL),
    "SIGTERM": lambda rng, parent: os.kill(parent, signal.SIGTERM),
    "SIGINT to all": lambda rng, parent: os.killpg(parent, signal.SIGINT),  # as a terminal does
    "SIGHUP to all": lambda rng, parent: os.killpg(parent, signal.SIGHUP),
    "SIGKILL of a worker": kill_worker,
    "SIGKILL of all": lambda rng, parent: os.killpg(parent, signal.SIGKILL),
}


@dataclass
class Soak:
    """The command, where it writes, and what is told."""

    pictures: Path
    temporary: Path
    workers: int
    grid: int
    log: list[str]

    def tell(self, line: str) -> None:
        print(line, flush=True)
        self.log.append(line)

    def start(self, out: Path) -> subprocess.Popen:
        words = ["segment", str(self.pictures), "--out", str(out), "--grid", str(self.grid), "--device", "cpu"]
        command = [sys.executable, "-m", "walkcut", *words, "--workers", str(self.workers)]
        given = {"env": os.environ | {"TMPDIR": str(self.temporary)}, "start_new_session": True}
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **given)

    def left(self, out: Path, parent: int) -> tuple[int, int, int]:
        """Files half written, files in the temporary place, and processes, once they had their time to end."""
        wait_until(lambda: not session(parent), PATIENCE)
        return len(list(out.glob(".*"))), len(list(self.temporary.iterdir())), len(session(parent))

    def life(self, number: int, name: str, rng: np.random.Generator, out: Path, wanted: int) -> bool:
        """From a start to a kill, as soon as so many more pictures are finished; whether nobody outlived it."""
        before, start = finished(out), time.monotonic()
        run = self.start(out)
        wait_until(lambda: run.poll() is not None or finished(out) - before >= wanted, 600)
        time.sleep(rng.uniform(0, 0.2 if wanted else 4.0))
        lived, struck = time.monotonic() - start, time.monotonic()
        if run.poll() is None:
            KILLS[name](rng, run.pid)
        obeyed = wait_until(lambda: run.poll() is not None, PATIENCE)
        ended = time.monotonic() - struck
        half, temporary, processes = self.left(out, run.pid)
        self.tell(
            f"{number:3} {name:20} {lived:6.1f} s {finished(out) - before:5} pictures, {finished(out):5} in all; ended "
            f"with {run.returncode} in {ended:.1f} s; half written {half}, temporary {temporary}, processes {processes}"
        )
        for one in session(run.pid):
            os.kill(one, signal.SIGKILL)
        run.wait()
        return obeyed and processes == temporary == 0

    def to_the_end(self, out: Path) -> tuple[int, float]:
        """Exit code and seconds of a run that nobody disturbs."""
        start = time.monotonic()
        run = self.start(out)
        return run.wait(), time.monotonic() - start


def finished(out: Path) -> int:
    return sum(name.endswith(".tree.json") for name in map(str, out.iterdir())) if out.is_dir() else 0


def soak(chosen: argparse.Namespace, place: Path, log: list[str]) -> bool:
    """Whether all went well."""
    from walkcut.bench.record import commit, processor

    folders = {name: place / name for name in ("pictures", "temporary", "whole", "broken")}
    for name in ("pictures", "temporary"):
        folders[name].mkdir()
    make_pictures(folders["pictures"], chosen.pictures, chosen.seed)
    run = Soak(folders["pictures"], folders["temporary"], chosen.workers, chosen.grid, log)
    words = [f"--{name} {value}" for name, value in vars(chosen).items()]
    run.tell(f"python tests/perf/soak.py {' '.join(words)}")
    run.tell(f"commit {commit()}; {processor()}, {os.cpu_count()} processors; {time.strftime('%Y-%m-%d')}")
    code, seconds = run.to_the_end(folders["whole"])
    run.tell(f"unbroken: {finished(folders['whole'])} pictures in {seconds:.0f} s, ended with {code}")
    well, rng = code == 0, np.random.default_rng(chosen.seed)
    names = [list(KILLS)[number % len(KILLS)] for number in range(chosen.kills)]
    for number, name in enumerate(rng.permutation(names)):
        left = chosen.pictures - finished(folders["broken"])
        most = max(2 * left // (chosen.kills - number + 1), 2)
        wanted = int(rng.integers(1, most)) * (rng.uniform() < 0.85)  # the others are killed before they have any
        well &= run.life(number + 1, str(name), rng, folders["broken"], wanted)
    before = finished(folders["broken"])
    code, seconds = run.to_the_end(folders["broken"])
    run.tell(f"to the end: {chosen.pictures - before} pictures more in {seconds:.0f} s, ended with {code}")
    whole, broken = (
        {path.name: path.read_bytes() for path in folders[name].iterdir()} for name in ("whole", "broken")
    )
    same = Counter(whole.get(name) == content for name, content in broken.items())
    more = sorted(broken.keys() - whole.keys())
    run.tell(f"{same[True]} of {len(whole)} files are the same, {same[False]} are not; {len(more)} too many {more[:5]}")
    temporary = [path.name for path in folders["temporary"].iterdir()]
    run.tell(f"temporary files left: {len(temporary)} {temporary[:5]}")
    return well and code == 0 and whole == broken and len(whole) == 3 * chosen.pictures and not temporary


def main() -> int:
    """Write the log; 0 where all went well."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, number in {"pictures": 2000, "kills": 20, "seed": 0, "workers": 2, "grid": 8}.items():
        parser.add_argument(f"--{name}", type=int, default=number, metavar="N", help=f"default: {number}")
    chosen, log, start = parser.parse_args(), [], time.monotonic()
    for number in (signal.SIGINT, signal.SIGHUP):  # where it was started to stay, as by nohup, the command would, too
        signal.signal(number, signal.default_int_handler)
    place = Path(tempfile.mkdtemp(prefix="soak-"))
    try:
        well = soak(chosen, place, log)
    finally:
        shutil.rmtree(place)
    log.append(f"{'All went well' if well else 'NOT ALL WENT WELL'}, in {(time.monotonic() - start) / 60:.0f} minutes")
    print(log[-1])
    LOG.write_text("\n".join(log) + "\n")
    return int(not well)


if __name__ == "__main__":
    sys.exit(main())

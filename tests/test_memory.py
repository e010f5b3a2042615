"""What a grid takes is told before it is taken, and a lack of it in one sentence, wherever it shows."""

from __future__ import annotations

import json
import subprocess
import sys
import weakref
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from walkcut import segment
from walkcut.app import batch
from walkcut.app.cli import main
from walkcut.backbone import Backbone
from walkcut.bench.look import Looker
from walkcut.errors import InputError
from walkcut.widgets.explore import explore

ROOT = Path(__file__).resolve().parent.parent
MEASURED = json.loads((ROOT / "book" / "results" / "memory.json").read_text())["measurements"]
CPU = torch.device("cpu")
LACKS = [
    MemoryError(),
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB."),
    RuntimeError("[enforce fail at alloc_cpu.cpp:121] data. DefaultCPUAllocator: can't allocate memory"),
    OSError("Cannot allocate memory (os error 12)"),
]


@pytest.fixture
def little(monkeypatch: pytest.MonkeyPatch) -> float:
    """So many bytes are free, on every device."""
    monkeypatch.setattr("walkcut.memory.available", lambda device: 1e8)
    return 1e8


@pytest.fixture
def photo(tmp_path: Path, two_halves: np.ndarray) -> Path:
    path = tmp_path / "photo.png"
    Image.fromarray(two_halves).save(path)
    return path


@pytest.mark.situation("memory")
@pytest.mark.parametrize("row", MEASURED, ids=lambda row: f"{row['grid']}x{row['pictures']}")
def test_the_formula_is_what_was_measured(row: dict) -> None:
    from walkcut.memory import needed

    taken = row["peak_bytes"] - row["before_bytes"]
    assert needed(row["patches"], row["pictures"]) == pytest.approx(taken, rel=0.15)


@pytest.mark.situation("memory")
def test_the_readme_and_the_help_say_what_a_grid_costs(capsys: pytest.CaptureFixture) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    alone = {row["grid"]: row for row in MEASURED if row["pictures"] == 1}
    for grid in (32, 64, 96, 128):
        gigabytes, seconds = alone[grid]["peak_bytes"] / 1e9, alone[grid]["seconds"]
        told = f"{seconds:.1f}" if seconds < 1 else f"{seconds:.0f}"
        assert f"| {grid} | {gigabytes:.1f} | {told} |" in readme
    with pytest.raises(SystemExit):
        main(["segment", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert [f"{alone[grid]['peak_bytes'] / 1e9:.1f} GB at {grid}" in text for grid in (64, 128)] == [True, True]


@pytest.mark.situation("memory")
@pytest.mark.parametrize("door", ["segment", "explore", "bench"])
def test_a_grid_that_does_not_fit_is_refused_beforehand(
    tiny: Backbone, little: float, two_halves: np.ndarray, door: str
) -> None:
    from walkcut.memory import needed

    def look(grid: int) -> None:
        if door == "segment":
            segment(two_halves, tiny, grid=grid, threshold=0.5)
        elif door == "explore":
            explore(two_halves, "photo", tiny, grid)
        else:
            _ = Looker(tiny, grid=grid)(two_halves).attention

    with pytest.raises(InputError) as told:
        look(128)
    h, w = tiny.grid(two_halves, 128)
    assert (h, w) == (96, 128)
    sentence = "A grid of 128 takes about 2.7 GB of memory, and 100 MB are free on cpu: choose a grid of at most 50."
    assert str(told.value) == sentence
    fits, beyond = (needed(np.prod(tiny.grid(two_halves, grid))) for grid in (50, 53))
    assert fits <= little < beyond


@pytest.mark.situation("memory")
@pytest.mark.parametrize("command", ["segment", "explore"])
def test_the_command_tells_it_in_one_line(
    photo: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, command: str
) -> None:
    monkeypatch.setattr("walkcut.memory.available", lambda device: 1e6)
    assert main([command, str(photo), "--model", str(tiny_model), "--grid", "12", "--device", "cpu"]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert "A grid of 12 takes about 30 MB of memory, and 1 MB are free on cpu: free some" in told
    assert [path.name for path in photo.parent.iterdir()] == ["photo.png"]


@pytest.mark.situation("memory")
def test_a_batch_that_does_not_fit_is_looked_at_one_by_one(
    tmp_path: Path, photo: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from walkcut.memory import needed

    patches, together = 18 * 24, []
    monkeypatch.setattr("walkcut.memory.available", lambda device: needed(patches, 2) - 1)
    look = batch.extract_walks
    monkeypatch.setattr(
        batch, "extract_walks", lambda images, *given: together.append(len(images)) or look(images, *given)
    )
    Image.open(photo).transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(tmp_path / "other.png")
    words = ["segment", str(tmp_path), "--model", str(tiny_model), "--batch", "2", "--threshold", ".3", "--grid", "24"]
    assert main([*words, "--device", "cpu"]) == 0
    assert together == [1, 1]


@pytest.mark.situation("memory")
@pytest.mark.parametrize("error", LACKS, ids=lambda error: type(error).__name__)
def test_memory_that_runs_out_on_the_way_is_told_alike(
    tiny: Backbone, two_halves: np.ndarray, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """And the error holds nothing of what was taken."""
    held: list = []

    def run_out(*given: object) -> None:
        table = torch.zeros(100)
        held.append(weakref.ref(table))
        raise error

    monkeypatch.setattr("walkcut.door.cut", run_out)
    with pytest.raises(InputError, match=r"A grid of 16 takes about .* cpu ran out of it: ") as told:
        segment(two_halves, tiny, grid=16, threshold=0.5)
    assert told.value.__cause__ is error
    assert held[0]() is None


@pytest.mark.situation("memory")
@pytest.mark.parametrize("stage", ["extract_walks", "cut"])
@pytest.mark.parametrize("error", LACKS[:3], ids=lambda error: type(error).__name__)
def test_a_file_whose_memory_runs_out_is_told_alike(
    photo: Path,
    tiny_model: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
    stage: str,
    error: Exception,
) -> None:
    def run_out(*given: object) -> None:
        raise error

    monkeypatch.setattr(batch, stage, run_out)
    assert main(["segment", str(photo), "--model", str(tiny_model), "--threshold", ".3", "--device", "cpu"]) == 2
    told = capsys.readouterr().err
    lack = "A grid of 64 takes about 196 MB of memory, and cpu ran out of it: choose a grid of at most"
    assert f"{photo}: {lack}" in told


@pytest.mark.situation("memory")
@pytest.mark.parametrize("words", [["models"], ["samples"], ["bench", "table", "results"], ["train", "--out", "x"]])
@pytest.mark.parametrize("error", LACKS[:3], ids=lambda error: type(error).__name__)
def test_whatever_a_command_does_a_lack_of_memory_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, words: list[str], error: Exception
) -> None:
    def run_out(arguments: object) -> None:
        raise error

    parsed = SimpleNamespace(parse_args=lambda argv: SimpleNamespace(run=run_out))
    monkeypatch.setattr("walkcut.app.cli.make_parser", lambda: parsed)
    assert main(words) == 2
    told = capsys.readouterr().err
    assert told == "walkcut: the memory ran out: choose a smaller grid, batch or model, or fewer workers.\n"


@pytest.mark.situation("memory")
@pytest.mark.parametrize(("grid", "told"), [(64, False), (112, True)])
def test_a_large_grid_is_announced(
    photo: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, grid: int, told: bool
) -> None:
    monkeypatch.setattr(batch, "segment_files", lambda *given, **named: [])
    assert main(["segment", str(photo), "--grid", str(grid), "--device", "cpu"]) == 0
    line = "walkcut: this takes up to 2.8 GB of memory at a grid of 112, and time alike; a smaller --grid takes less.\n"
    assert capsys.readouterr().err == line * told


def test_a_fault_of_the_code_is_not_taken_for_a_lack(monkeypatch: pytest.MonkeyPatch) -> None:
    def faulty(arguments: object) -> None:
        raise RuntimeError("shapes do not match")

    parsed = SimpleNamespace(parse_args=lambda argv: SimpleNamespace(run=faulty))
    monkeypatch.setattr("walkcut.app.cli.make_parser", lambda: parsed)
    with pytest.raises(RuntimeError, match="shapes"):
        main(["models"])


# ---------------------------------------------------------------------------------------------------------------------
# What is there


def tell(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


MACHINE = {"proc/meminfo": "MemTotal: 9000 kB\nMemAvailable:    5000 kB\nSwapFree:         1000 kB\n"}
V2 = {
    "proc/self/cgroup": "0::/a/b\n",
    "sys/fs/cgroup/a/memory.max": "3000000\n",
    "sys/fs/cgroup/a/memory.current": "2500000\n",
    "sys/fs/cgroup/a/memory.stat": "anon 1\ninactive_file 300000\nactive_file 200000\n",
    "sys/fs/cgroup/a/b/memory.max": "max\n",
    "sys/fs/cgroup/a/b/memory.current": "100\n",
}
V1 = {
    "proc/self/cgroup": "4:cpu:/x\n7:memory:/elsewhere/x\n0::/\n",  # in a container, that folder is not there
    "sys/fs/cgroup/memory/memory.limit_in_bytes": "2000000\n",
    "sys/fs/cgroup/memory/memory.usage_in_bytes": "1500000\n",
    "sys/fs/cgroup/memory/memory.stat": "total_inactive_file 1000\ntotal_active_file 0\n",
}
LIMITS = "Limit  Soft Limit  Hard Limit  Units\nMax address space         {}            unlimited            bytes\n"
OWN = {"proc/self/limits": LIMITS.format(4000000), "proc/self/status": "Name: x\nVmSize:\t 3000 kB\n"}


@pytest.mark.situation("memory")
@pytest.mark.parametrize(
    ("files", "left"),
    [
        ({}, float("inf")),  # another system, which tells nothing
        (MACHINE, 6000 * 1024),
        (MACHINE | V2, 1000000),
        (MACHINE | V1, 501000),
        (MACHINE | V2 | {"sys/fs/cgroup/a/memory.max": "max\n"}, 6000 * 1024),
        (MACHINE | OWN, 4000000 - 3000 * 1024),
        (MACHINE | OWN | {"proc/self/limits": LIMITS.format("unlimited")}, 6000 * 1024),
        (MACHINE | V1 | {"sys/fs/cgroup/memory/memory.usage_in_bytes": "9000000\n"}, 0),
    ],
)
def test_the_narrowest_limit_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str], left: float
) -> None:
    from walkcut import memory

    tell(tmp_path, files)
    monkeypatch.setattr(memory, "ROOT", tmp_path)
    assert memory.available(CPU) == left


@pytest.mark.situation("memory")
def test_of_a_gpu_its_own_memory_counts_and_what_torch_keeps(monkeypatch: pytest.MonkeyPatch) -> None:
    from walkcut import memory

    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1000, 9000))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 500)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 200)
    assert memory.available(torch.device("cuda")) == 1300


@pytest.mark.situation("memory")
@pytest.mark.skipif(sys.platform != "linux", reason="needs a limit of the address space")
def test_a_process_of_little_memory_says_so(photo: Path, tiny_model: Path) -> None:
    code = """
import resource, sys
import torch
from walkcut.app.cli import main
taken = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (taken + 10**9, resource.RLIM_INFINITY))
sys.exit(main(sys.argv[1:]))
"""
    words = ["segment", str(photo), "--model", str(tiny_model), "--grid", "128", "--device", "cpu"]
    done = subprocess.run([sys.executable, "-c", code, *words, "--threshold", ".3"], capture_output=True, text=True)
    assert done.returncode == 2, done.stderr
    assert "A grid of 128 takes about 2.7 GB of memory, and " in done.stderr
    assert "are free on cpu: choose a grid of at most " in done.stderr
    assert "Traceback" not in done.stderr

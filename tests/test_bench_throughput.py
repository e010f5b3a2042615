"""Pictures a second of the whole method: the stages add up, and the command writes what it says."""

from __future__ import annotations

import argparse
import json
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from walkcut.app.batch import Report, segment_files
from walkcut.app.outputs import Job
from walkcut.backbone import Backbone
from walkcut.bench import architectures, cli, throughput
from walkcut.door import segment
from walkcut.errors import InputError
from walkcut.recipe import resolve
from walkcut.samples import sample_names, sample_path

WHOLE = ("read", *throughput.STAGES, "write")


def test_the_stages_make_the_same_segments_as_the_whole(tiny: Backbone, two_halves: np.ndarray) -> None:
    found, seconds = throughput.one_picture(tiny, two_halves, 16)
    assert np.array_equal(found.labels, segment(two_halves, tiny, grid=16).labels)
    assert tuple(seconds) == throughput.STAGES
    assert all(value > 0 for value in seconds.values())


def test_a_whole_picture_is_read_and_leaves_the_files_of_the_command(tiny: Backbone, tmp_path: Path) -> None:
    mine, theirs = (Job(sample_path("fig"), tmp_path / name) for name in ("mine", "theirs"))
    seconds = throughput.from_file_to_files(tiny, mine, 16)
    assert tuple(seconds) == WHOLE
    assert all(value > 0 for value in seconds.values())
    assert next(segment_files([theirs], resolve("walkcut", tiny.eye, {"grid": 16}), backbone=tiny)).count
    assert [path.read_bytes() for path in mine.outputs] == [path.read_bytes() for path in theirs.outputs]


def test_each_sample_is_taken_equally_often(tiny: Backbone, tmp_path: Path) -> None:
    """Beside the first, which is not counted."""
    paths = [sample_path(name) for name in sample_names()]
    takes = throughput._pictures(tiny, 2 * len(paths) + 1, 16, tmp_path)
    asked = [take.args[1].path for take in takes]  # type: ignore[attr-defined]
    assert asked == [paths[0], *np.repeat(paths, 2)]
    assert len({take.args[1].target for take in takes}) == len(takes)  # type: ignore[attr-defined]


def test_to_the_profiler_stages_are_ranges(tiny: Backbone, tmp_path: Path) -> None:
    """Without a GPU, none of them had it at work."""
    take = partial(throughput.from_file_to_files, tiny, Job(sample_path("fig"), tmp_path / "fig"), 16)
    assert throughput.busy_on_gpu(take) == dict.fromkeys(WHOLE, 0.0)
    with torch.profiler.profile() as seen:
        take()
    names = [event.name for event in seen.events() or ()]
    assert [names.count(stage) for stage in ("read", "VAE", "denoiser", "attention", "walk", "cut", "pixels")] == [
        1
    ] * 7


def test_what_a_gpu_did_counts_for_the_stage_that_asked_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    processor, gpu = torch.autograd.DeviceType.CPU, torch.autograd.DeviceType.CUDA
    asked = {"VAE": 1000, "denoiser": 3000, "attention": 3500, "walk": 500, "cut": 2000, "pixels": 100}
    events = [(name, processor, time) for name, time in asked.items()]
    events += [("cut", processor, 500), ("cut", gpu, 9000), ("aten::mm", processor, 700), ("read", processor, 0)]
    named = [
        SimpleNamespace(name=name, device_type=kind, device_time_total=microseconds)
        for name, kind, microseconds in events
    ]
    seen = SimpleNamespace(events=lambda: named)
    monkeypatch.setattr(torch.profiler, "profile", lambda: nullcontext(seen))
    found = throughput.busy_on_gpu(lambda: dict.fromkeys(WHOLE, 1.0))
    expected = {"read": 0, "VAE": 1, "denoiser": 2, "capture": 2.5, "walk": 0.5, "cut": 2.5, "pixels": 0.1, "write": 0}
    assert found == pytest.approx({name: value / 1000 for name, value in expected.items()})


def test_words_say_where_a_stage_ran() -> None:
    seconds = dict(zip(WHOLE, (0.01, 0.02, 0.04, 0.05, 0.01, 0.1, 0.02, 0.01), strict=True))
    gpu = dict(zip(WHOLE, (0.0, 0.015, 0.03, 0.035, 0.005, 0.08, 0.015, 0.0), strict=True))
    record = {"model": "a model", "dtype": "float16", "pixels": 512, "grid": 64, "device": "cuda", "gpu": "a GPU"}
    record |= {"pictures_per_second": 4.545, "peak_gb": 3, "seconds": seconds, "gpu_seconds": gpu}
    said = {line.split()[0]: line.split("%")[1].strip() for line in throughput.text(record).splitlines()[2:]}
    assert list(said) == ["read", "VAE", "denoiser", "listening", "walk", "cut", "pixels", "write"]
    assert said["read"] == said["write"] == "processor"
    assert said["cut"].split() == ["GPU", "80.0", "ms"]
    assert said["listening"].split() == ["GPU", "5.0", "ms"]
    unseen = throughput.text(record | {"gpu_seconds": None, "device": "mps", "processor": "M9"})
    assert len(unseen.splitlines()) == 2 + 8
    assert all(line.endswith("%") for line in unseen.splitlines()[2:])


def test_the_bare_pass_is_not_counted(tiny: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    times = dict(zip(throughput.STAGES, (0.1, 0.2, 0.25, 0.05, 0.4, 0.1), strict=True))

    def one(backbone: Backbone, image: np.ndarray, grid: int) -> tuple[None, dict[str, float]]:
        assert image.shape == (32, 32, 3)  # 16 patches of 2 pixels
        return None, times

    monkeypatch.setattr(throughput, "one_picture", one)
    record = throughput.throughput(tiny, "walkcut bench speed", pictures=3, grid=16)
    assert record["seconds"] == pytest.approx(times)
    assert record["pictures_per_second"] == pytest.approx(1 / 0.9, abs=1e-3)
    said = throughput.text(record)
    assert "1.11 pictures a second" in said
    shares = {line.split()[0]: line.split()[-1] for line in said.splitlines()[2:8]}
    parts = {"VAE": "11.1%", "denoiser": "22.2%", "listening": "5.6%", "walk": "5.6%", "cut": "44.4%"}
    assert shares == parts | {"pixels": "11.1%"}


def test_processors_that_others_took_are_not_counted(tiny: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two seconds by the clock on the wall, this process worked for half a second."""
    wall, busy = iter((10.0, 12.0)), iter((1.0, 1.5))
    monkeypatch.setattr(throughput.time, "perf_counter", lambda: next(wall))
    monkeypatch.setattr(throughput.time, "process_time", lambda: next(busy))
    seconds = dict.fromkeys(throughput.STAGES, 0.1)
    monkeypatch.setattr(throughput, "one_picture", lambda *given: (None, seconds))
    record = throughput.throughput(tiny, "walkcut bench speed", pictures=1, grid=16)
    assert record["processor_share"] == 0.25
    assert "0.25 processors worked for it" in throughput.text(record)


@pytest.mark.parametrize("whole", [False, True])
def test_the_command_runs_an_architecture_without_weights(
    whole: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    draw = architectures.random_backbone
    monkeypatch.setattr(architectures, "random_backbone", lambda *given, **named: draw(*given, small=True, **named))
    parser = argparse.ArgumentParser()
    cli.add_bench(parser.add_subparsers())
    words = ["--random-weights", "--model", "sd-1.4", "--pictures", "2", "--grid", "16", "--device", "cpu"]
    words += ["--cutters", "0", "--batch", "4"] + ["--whole"] * whole
    arguments = parser.parse_args(["bench", "speed", *words, "--out", str(tmp_path)])
    assert arguments.run(arguments) == 0
    record = json.loads((tmp_path / "speed-sd-1.4.json").read_text())
    line = "walkcut bench speed --model sd-1.4 --random-weights --grid 16 --pictures 2 --cutters 0 --batch 4"
    assert record["command"] == (line.replace("sd-1.4", "sd-1.4 --whole") if whole else line)
    told = record["chain"]
    assert (told["cutters"], told["batch"], told["pictures"]) == (0, 4, 8)
    assert told["pictures_per_second"] > 0
    assert (record["pixels"], record["pictures"], record["dtype"]) == (128, 2, "float32")
    assert tuple(record["seconds"]) == (WHOLE if whole else throughput.STAGES)
    assert record.get("gpu_seconds") == (dict.fromkeys(WHOLE, 0.0) if whole else None)
    assert record["peak_gb"] > 0
    said = capsys.readouterr().out
    assert "With 0 cutters beside it" in said
    assert said.count("%  processor\n") == 8 * whole


def test_the_chain_counts_its_second_half(tiny: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sixteen pictures, the first eight of a second each, the others of a quarter of a second."""
    asked, now = [], iter(np.r_[1:9, 8 + 0.25 * np.arange(1, 9)])

    def segment_files(jobs: list, settings: object, **given: object) -> list[Report]:
        asked.append((len({job.target for job in jobs}), len({job.path for job in jobs}), given["workers"]))
        return [Report(job, 2) for job in jobs]

    monkeypatch.setattr(throughput, "segment_files", segment_files)
    monkeypatch.setattr(throughput.time, "perf_counter", lambda: float(next(now)))
    found = throughput.chain(tiny, 3, 16, cutters=2)
    assert asked == [(16, len(sample_names()), 2)]
    assert found == {"cutters": 2, "batch": 1, "pictures": 16, "pictures_per_second": 4.0}


def test_a_chain_that_fails_is_no_measurement(tiny: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throughput, "segment_files", lambda jobs, *_, **__: [Report(jobs[0], failure="no memory left")])
    with pytest.raises(InputError, match="no memory left"):
        throughput.chain(tiny, 3, 16, cutters=2)


@pytest.mark.gpu
def test_the_whole_method_runs_on_a_gpu() -> None:
    """Stable Diffusion 1.4 in half precision at 512 px; how fast is printed, not asserted."""
    backbone = architectures.random_backbone("sd-1.4", "cuda", torch.float16)
    record = throughput.throughput(backbone, "a test", pictures=10, grid=64, whole=True)
    print(throughput.text(record))
    assert record["device"] == "cuda"
    assert record["seconds"]["capture"] > 0
    assert [stage for stage, seconds in record["gpu_seconds"].items() if seconds > 0] == list(throughput.STAGES)

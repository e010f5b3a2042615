"""Pictures a second of the whole method: the stages add up, and the command writes what it says."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from walkcut.app.batch import Report
from walkcut.backbone import Backbone
from walkcut.bench import architectures, cli, throughput
from walkcut.door import segment
from walkcut.errors import InputError
from walkcut.samples import sample_names


def test_the_stages_make_the_same_segments_as_the_whole(tiny: Backbone, two_halves: np.ndarray) -> None:
    found, seconds = throughput.one_picture(tiny, two_halves, 16)
    assert np.array_equal(found.labels, segment(two_halves, tiny, grid=16).labels)
    assert tuple(seconds) == throughput.STAGES
    assert all(value > 0 for value in seconds.values())


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


def test_the_command_runs_an_architecture_without_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    draw = architectures.random_backbone
    monkeypatch.setattr(architectures, "random_backbone", lambda *given, **named: draw(*given, small=True, **named))
    parser = argparse.ArgumentParser()
    cli.add_bench(parser.add_subparsers())
    words = ["--random-weights", "--model", "sd-1.4", "--pictures", "2", "--grid", "16", "--device", "cpu"]
    words += ["--cutters", "0", "--batch", "4"]
    arguments = parser.parse_args(["bench", "speed", *words, "--out", str(tmp_path)])
    assert arguments.run(arguments) == 0
    record = json.loads((tmp_path / "speed-sd-1.4.json").read_text())
    line = "walkcut bench speed --model sd-1.4 --random-weights --grid 16 --cutters 0 --batch 4"
    assert record["command"] == line
    told = record["chain"]
    assert (told["cutters"], told["batch"], told["pictures"]) == (0, 4, 8)
    assert told["pictures_per_second"] > 0
    assert (record["pixels"], record["pictures"], record["dtype"]) == (128, 2, "float32")
    assert set(record["seconds"]) == set(throughput.STAGES)
    assert record["peak_gb"] > 0
    assert "With 0 cutters beside it" in capsys.readouterr().out


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
    record = throughput.throughput(backbone, "a test", pictures=10, grid=64)
    print(throughput.text(record))
    assert record["device"] == "cuda"
    assert record["seconds"]["capture"] > 0

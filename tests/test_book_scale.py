"""Chapter 10: its cells on a picture and on rates that are known on paper, and the chains that it tries."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from pages import page_of

from walkcut.app.outputs import OUTPUTS, plan
from walkcut.backbone import Backbone
from walkcut.bench import RESULTS
from walkcut.bench.architectures import random_backbone
from walkcut.bench.table import published
from walkcut.samples import sample, sample_names
from walkcut_book import chains, reading

PAGE = page_of("10-scale")
CELLS = {cell["id"]: "".join(cell["source"]) for cell in PAGE.cells}


def names(place: Path) -> dict:
    """What the chapter imports, and its folder for files."""
    found: dict = {}
    exec(CELLS["question-code"].partition("\ntemporary = ")[0], found)
    return found | {"place": place}


@pytest.mark.parametrize(
    ("rate", "days", "line"),
    [  # 500,000 s are 138.9 hours, 5.8 days; 2.8 cores cut as fast
        (2.0, 7, "    2.00     139         1      3   a name"),
        (2.0, 2, "    2.00     139         3      3   a name"),
        (0.1, 7, "    0.10   2,778        17      1   a name"),
    ],
)
def test_hours_machines_and_cores(
    rate: float, days: int, line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(reading, "rates", lambda: {"a name": rate})
    cell = CELLS["million-code"]
    assert cell.startswith("days = 7 ")
    exec(cell.replace("days = 7", f"days = {days}"), {"np": np, "reading": reading, "s_look": 0.5, "s_cut": 1.4})
    head, here, given = capsys.readouterr().out.splitlines()
    assert head == "a second   hours  machines  cores"
    assert here.startswith("    2.00     139 ")  # the page's own look
    assert given == line


def test_the_lines_of_the_page_fit_its_box(capsys: pytest.CaptureFixture) -> None:
    exec(CELLS["million-code"], {"np": np, "reading": reading, "s_look": 0.5, "s_cut": 1.4})
    told = capsys.readouterr().out.splitlines()
    assert len(told) == 2 + len(reading.rates())
    assert max(map(len, told)) <= 84


def test_rates_are_read_where_they_were_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = {"VAE": 0.1, "denoiser": 9.0, "capture": 0.2, "walk": 0.1, "cut": 9.0, "pixels": 9.0}
    own = {"model": "dead-leaves", "gpu": None, "processor": "a processor", "seconds": seconds}
    (tmp_path / "speed-dead-leaves.json").write_text(json.dumps(own))
    theirs = {"model": "sd-2.1", "gpu": "my GPU", "seconds": seconds | {"read": 9.0, "write": 9.0}}
    theirs |= {"chain": {"cutters": 8, "pictures_per_second": 4.5}}
    (tmp_path / "speed-sd-2.1.json").write_text(json.dumps(theirs))  # a reader's own
    (tmp_path / "speed.json").write_text(json.dumps({"curve": []}))  # of another kind
    seconds = {"VAE": 0.1, "denoiser": 0.2, "listening": 0.1, "walk": 0.1, "cut": 1.0, "pixels": 0.5}
    rows = [{"model": "sd-1.4", "seconds": seconds, "pictures_per_second": 0.5}]
    record = {"command": "walkcut bench speed --model MODEL", "gpu": "a GPU", "measurements": rows}
    record |= {"chain": {"model": "sd-1.4", "cutters": 3, "batch": 1, "pictures_per_second": 1.5}}
    (tmp_path / "speed-gpu.json").write_text(json.dumps(record))
    monkeypatch.setattr(reading, "RESULTS", tmp_path)
    found = reading.rates()
    assert found["look of dead-leaves, a processor"] == pytest.approx(2.5)
    assert found["look of sd-1.4, a GPU"] == pytest.approx(2)
    assert found["chain of sd-1.4, 3 cutters, a GPU"] == 1.5
    assert found["look of sd-2.1, my GPU"] == pytest.approx(2.5)
    assert found["chain of sd-2.1, 8 cutters, my GPU"] == 4.5
    told = {f"{row['method']}, as reported": row["pictures_per_second"] for row in published()["speeds"]}
    assert told.items() <= found.items()
    assert len(found) == 5 + len(told)


def test_the_words_on_the_gpu_are_those_of_its_numbers() -> None:
    """Stages add up to the rate; a look is short beside the cut; listening and offloading cost what is said."""
    record = json.loads((RESULTS / "speed-gpu.json").read_text())
    rows = {row["model"]: row for row in record["measurements"]}
    for row in rows.values():
        assert sum(row["seconds"].values()) * row["pictures_per_second"] == pytest.approx(1, abs=0.01)
    seconds, chain = rows["sd-1.4"]["seconds"], record["chain"]
    look = sum(seconds[part] for part in ("VAE", "denoiser", "listening", "walk"))
    assert 8 < (seconds["cut"] + seconds["pixels"]) / look < 8.5
    assert 1 / look == reading.rates()["look of sd-1.4, NVIDIA H200"]
    assert 16 < chain["pictures_per_second"] < 16.5
    assert chain["cutters"] == 14
    assert "chain of sd-1.4, 14 cutters, NVIDIA H200" in reading.rates()
    backbone = random_backbone("sd-1.4", small=True)
    grids = [backbone.grid(sample(name), 64) for name in sample_names()]
    assert sum(sorted(grid) == [40, 64] for grid in grids) > len(grids) / 2
    listening = {name: row["seconds"]["listening"] / row["seconds"]["denoiser"] for name, row in rows.items()}
    assert listening["sd-1.4"] == pytest.approx(1 / 7, abs=0.01)
    assert 1 / 3 < listening["sdxl"] < 0.4 < 1 < listening["sd-3"]
    offloaded, here = rows["sd-1.4, offloaded"], rows["sd-1.4"]
    assert offloaded["peak_gb"] / here["peak_gb"] == pytest.approx(1 / 3, abs=0.03)
    assert offloaded["seconds"]["denoiser"] / here["seconds"]["denoiser"] == pytest.approx(20, abs=1)


def test_pictures_go_from_files_to_files(tiny: Backbone, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    cell, found = CELLS["measure"], names(tmp_path) | {"backbone": tiny}
    assert '"grid": 64' in cell
    exec(cell.replace('"grid": 64', '"grid": 16'), found)
    one = found["measured"](found["jobs"][0])
    assert one.shape == (3,)
    assert (one > 0).all()
    assert min(found[name] for name in ("s_read", "s_look", "s_cut")) > 0
    seconds, *sizes = capsys.readouterr().out.splitlines()
    assert seconds.startswith(f"read {found['s_read']:.3f} s, look {found['s_look']:.2f} s, cut and write ")
    files = {ending: [path.stat().st_size for path in tmp_path.glob(f"*{ending}")] for ending in OUTPUTS}
    assert {len(written) for written in files.values()} == {3}
    kilobytes = {ending: f"{np.mean(written) / 1000:.0f}" for ending, written in files.items()}
    assert sizes == [f"{ending[1:]}: {kB} kB, a million {kB} GB" for ending, kB in kilobytes.items()]


def test_the_engine_plays_a_chain() -> None:
    start, done = chains.played((0.0, 0.01), (1, 2), 4)
    assert start.shape == done.shape == (4, 2)
    assert (start >= 0).all()
    assert (done[:, 1] - start[:, 1] >= 0.01).all()
    assert (start[:, 1] >= done[:, 0]).all()
    assert (start[2:, 1] >= done[:2, 1].min()).all()  # two at a time


def test_a_folder_with_two_broken_files(tmp_path: Path) -> None:
    told: list = []
    found = names(tmp_path) | {"chains": SimpleNamespace(killed=lambda *given, **named: told.append((given, named)))}
    exec(CELLS["kill-code"], found)
    assert told == [((found["words"], found["masks"]), {"trees": 3})]
    jobs, failures, _ = plan([str(found["pictures"])], [], found["masks"])
    assert len(jobs) == 8
    assert jobs[-1].path.name == "torn.jpg"  # only who reads it to the end sees that
    assert [failure.partition("empty.jpg")[1] for failure in failures] == ["empty.jpg"]


def test_a_command_that_ends_by_itself_is_not_killed(tmp_path: Path) -> None:
    assert chains.killed(["--help"], tmp_path, trees=1) == 0

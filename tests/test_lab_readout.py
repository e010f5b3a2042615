"""Which heads are read without a label: what a walk tells beyond its spatial null, and the command that chooses."""

from __future__ import annotations

import json
import logging
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from walkcut.app import outputs
from walkcut.app.cli import main
from walkcut.backbone import Backbone
from walkcut.capture import Grid, attention_layers
from walkcut.door import segment
from walkcut.errors import InputError
from walkcut.eyes import loading
from walkcut.eyes.loading import load_backbone
from walkcut.lab import readout as lab
from walkcut.lab.readout import information, readout, told_by_heads

ROOT = Path(__file__).resolve().parent.parent
PICTURES = [np.random.default_rng(seed).integers(0, 256, (48, 64, 3), dtype=np.uint8) for seed in range(2)]


def random_flow(grid: Grid, seed: int) -> torch.Tensor:
    """Of a reversible walk, symmetric and positive."""
    n = grid[0] * grid[1]
    flow = torch.from_numpy(np.random.default_rng(seed).random((n, n)) ** 4) + 1e-6
    flow = flow + flow.T
    return flow / flow.sum()


@given(st.integers(0, 10**6), st.sampled_from([(1, 6), (2, 3), (3, 3)]))
def test_nothing_tells_less_than_its_null_and_a_mirror_no_more(seed: int, grid: Grid) -> None:
    flow = random_flow(grid, seed)
    P = (flow / flow.sum(1, keepdim=True)).float()
    told = information(P, grid)
    assert told >= -1e-6
    mirrored = torch.arange(len(P)).reshape(grid).flip(1).flatten()
    assert information(P[mirrored][:, mirrored], grid) == pytest.approx(told, abs=1e-5)


def test_walks_that_are_the_same_everywhere_tell_nothing() -> None:
    assert information(torch.full((12, 12), 1 / 12), (3, 4)) == pytest.approx(0, abs=1e-6)
    ring = torch.eye(8).roll(1, 1) / 2 + torch.eye(8).roll(-1, 1) / 2
    alone = ring * 0.5 + torch.eye(8) * 0.5
    assert information(alone, (1, 8)) < 0.2  # but for the step from one end to the other
    assert information(torch.eye(6) * 0.7 + torch.full((6, 6), 0.05), (2, 3)) == pytest.approx(0, abs=1e-6)


def test_a_walk_that_knows_a_region_tells_more_than_one_that_knows_distance() -> None:
    y, x = np.divmod(np.arange(64), 8)
    near = np.exp(-((y[:, None] - y) ** 2 + (x[:, None] - x) ** 2) / 4)
    inside = ((y > 1) & (y < 5) & (x > 2)).astype(float)
    same = near * np.where(inside[:, None] == inside, 1, 0.05)
    near, same = (torch.from_numpy(w / w.sum(1, keepdims=True)).float() for w in (near, same))
    assert information(same, (8, 8)) > 5 * information(near, (8, 8)) > 0


def test_chosen_heads_tell_more_than_the_mean_head(tiny: Backbone) -> None:
    told = told_by_heads(tiny, PICTURES, 8)
    assert list(told) == list(attention_layers(tiny))
    by_picture = [told_by_heads(tiny, [image], 8) for image in PICTURES]
    for name, values in told.items():
        assert np.allclose(values, np.mean([one[name] for one in by_picture], axis=0))
    mean = np.concatenate(list(told.values())).mean()
    chosen = readout(tiny, PICTURES, 8)
    for name, values in told.items():  # a U-Net: layers of every depth
        assert chosen["heads"].get(name, [0.0] * len(values)) == [float(value > mean) for value in values]
    assert chosen["calibrated_on"]["grid"] == 8


def test_of_a_chain_the_deeper_half_is_read(tiny: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["one", "two", "three", "four", "five"]
    values = np.array([[9.0, 9.0], [9.0, 0.0], [4.0, 0.1], [0.2, 0.1], [0.3, 8.0]])
    monkeypatch.setattr(lab, "told_by_heads", lambda *_: dict(zip(names, values, strict=True)))
    chain = readout(replace(tiny, kind="vision"), PICTURES)
    assert chain["heads"] == {"three": [1.0, 0.0], "five": [0.0, 1.0]}
    assert set(readout(tiny, PICTURES)["heads"]) == {"one", "two", "three", "five"}


def test_several_timesteps_are_averaged(tiny: Backbone) -> None:
    twice, once = (replace(tiny, eye=replace(tiny.eye, readout={"timesteps": t})) for t in ([50, 50], [50]))
    a, b = (told_by_heads(eye, PICTURES[:1], 8) for eye in (twice, once))
    assert {name: values.shape for name, values in a.items()} == {name: values.shape for name, values in b.items()}


def test_the_command_writes_a_readout_that_is_read(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture, caplog: pytest.LogCaptureFixture
) -> None:
    model = Path(shutil.copytree(tiny_model, tmp_path / "mine"))
    (model / "readout.json").unlink(missing_ok=True)
    for number, image in enumerate(PICTURES):
        Image.fromarray(image).save(tmp_path / f"{number}.png")
    names = [str(tmp_path / f"{number}.png") for number in range(2)]
    loading._tell_untuned.cache_clear()
    before = load_backbone(str(model), "cpu")
    with caplog.at_level(logging.WARNING, "walkcut"):
        load_backbone(str(model), "cpu")
    assert [record.getMessage() for record in caplog.records] == [
        f"walkcut: {model} has no readout yet: all heads are read alike until `walkcut calibrate {model}` has chosen "
        "among them, without labels."
    ]
    assert main(["calibrate", str(model), *names, "--grid", "8", "--device", "cpu"]) == 0
    assert "heads of" in capsys.readouterr().out
    written = json.loads((model / "readout.json").read_text())
    assert written == readout(before, PICTURES, 8)
    caplog.clear()
    after = load_backbone(str(model), "cpu")
    assert not caplog.records
    assert after.eye.readout == written
    assert after.eye.weights != before.eye.weights  # results of one are not taken for the other's
    assert dict(segment(PICTURES[0], after, grid=8).recipe.heads) == {k: tuple(v) for k, v in written["heads"].items()}
    assert main(["calibrate", str(model), *names]) == 2
    assert "has a readout" in capsys.readouterr().err
    assert main(["calibrate", "dead-leaves"]) == 2
    assert "move it away" in capsys.readouterr().err


def test_stable_diffusion_is_calibrated_alike(stable_model: Path, tmp_path: Path) -> None:
    model = shutil.copytree(stable_model, tmp_path / "sd")
    Image.fromarray(PICTURES[0]).save(tmp_path / "a.png")
    assert main(["calibrate", str(model), str(tmp_path / "a.png"), "--grid", "8", "--device", "cpu"]) == 0
    heads = json.loads((tmp_path / "sd" / "readout.json").read_text())["heads"]
    assert sum(map(sum, heads.values())) > 0
    assert segment(PICTURES[0], load_backbone(str(model), "cpu"), grid=8).count >= 1


def test_pictures_that_cannot_be_read_are_told(tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    model = Path(shutil.copytree(tiny_model, tmp_path / "mine"))
    (model / "readout.json").unlink(missing_ok=True)
    assert main(["calibrate", str(model), str(tmp_path / "none.png")]) == 2
    assert "none.png" in capsys.readouterr().err
    assert not (model / "readout.json").exists()


def test_a_folder_that_cannot_be_written_to_is_told_before_the_model_is_read(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Path(shutil.copytree(tiny_model, tmp_path / "mine"))
    (model / "readout.json").unlink(missing_ok=True)

    def refuse(folder: Path, remedy: str) -> None:
        raise InputError(f"{folder} cannot be written to: {remedy}.")

    monkeypatch.setattr(outputs, "check_writable", refuse)
    monkeypatch.setattr(loading, "load_backbone", lambda *_: pytest.fail("the model was read"))
    assert main(["calibrate", str(model)]) == 2
    assert f"{model} cannot be written to" in capsys.readouterr().err


def test_a_readout_that_names_no_heads_is_a_readout(
    tiny_model: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = Path(shutil.copytree(tiny_model, tmp_path / "mine"))
    (model / "readout.json").write_text(json.dumps({"timesteps": [20]}))
    with caplog.at_level(logging.WARNING, "walkcut"):
        load_backbone(str(model), "cpu")
    assert not caplog.records


def test_no_photographs_are_refused(tiny: Backbone) -> None:
    with pytest.raises(InputError, match="at least one photograph"):
        readout(tiny, [])

"""Recorded walks of an eye that is not part of the book: what they hold, how far they stray, and how they are made."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

from walkcut.capture import AttentionMaps, attention_layers
from walkcut.errors import InputError
from walkcut.eyes.loading import load_backbone
from walkcut.eyes.models import HOME
from walkcut.samples import sample_names
from walkcut_book import recordings

MOST = 20e6  # bytes of all recordings
ANOTHER = 2e-4  # of another machine's arithmetic
EYE = Path(os.environ.get(HOME, "not-here"), recordings.record()["model"])
here = pytest.mark.skipif(not EYE.is_dir(), reason=f"needs the recorded model under ${HOME}")


def test_every_photograph_is_recorded_and_all_are_small() -> None:
    pictures = recordings.record()["pictures"]
    assert set(pictures) == {*sample_names(), *recordings.SCENES}
    files = list(recordings.folder().iterdir())
    assert {path.stem for path in files if path.suffix == ".png"} == set(pictures)
    assert sum(path.stat().st_size for path in files) <= MOST


@pytest.mark.parametrize("name", ["fig", "dogs", "scene-0003"])
def test_a_recording_is_a_walk_and_gives_segments(name: str) -> None:
    found = recordings.segment(name)
    walk, (height, width) = found.walk, recordings.picture(name).shape[:2]
    assert walk is not None
    assert max(walk.grid) == (recordings.SCENE_GRID if name in recordings.SCENES else recordings.GRID)
    assert (walk.grid[0] > walk.grid[1]) == (height > width)
    np.testing.assert_allclose(walk.P.sum(1), 1, atol=1e-5)
    assert found.labels.shape == (height, width)
    assert found.count > 1


def test_the_record_tells_how_it_was_made() -> None:
    record = recordings.record()
    assert len(record["about"]) > 20
    assert len(record["recipe"]["weights"]) == 16
    assert record["command"].startswith(f"python -m walkcut_book.recordings {record['model']}")
    assert "/" not in record["model"]
    worst = recordings.worst()
    assert set(worst) == {"rows", "law", "ncut"}
    assert 0 < max(worst.values()) < 0.03
    assert recordings.worst(["fig"]) == record["pictures"]["fig"]["errors"]


def random_walk(n: int) -> torch.Tensor:
    P = torch.rand(n, n, generator=torch.Generator().manual_seed(n), dtype=torch.float64) ** 8 + 1e-6
    return P / P.sum(1, keepdim=True)


def test_a_byte_is_off_by_a_fixed_share() -> None:
    P = random_walk(24)
    stored, low, high = recordings.encoded(P)
    assert stored.dtype == np.uint8
    assert (stored.min(), stored.max()) == (0, 255)
    most = np.exp((high - low) / 510)  # half a step
    read = recordings.decoded(stored, low, high).double()
    assert ((read / P).log().abs() <= 2 * np.log(most) + 1e-6).all()  # the row's new sum is off by as much
    np.testing.assert_allclose(read.sum(1), 1, atol=1e-6)
    even = torch.full((4, 4), 0.25)
    torch.testing.assert_close(recordings.decoded(*recordings.encoded(even)), even)


def test_what_is_told_to_stray_does() -> None:
    P, settings = random_walk(24), recordings.recipe("fig")
    image = np.random.default_rng(0).integers(0, 255, (40, 60, 3), np.uint8)
    heard = AttentionMaps({(4, 6): P.float()})
    other = 0.9 * P + 0.1 / 24
    found = recordings.strays(image, heard, AttentionMaps({(4, 6): other.float()}), settings)
    plain = not settings.jump_chain and settings.inflation == 1 and settings.spatial_prior is None
    if plain and settings.steps == 1:
        assert found["rows"] == pytest.approx(float((P - other).abs().sum(1).max() / 2), abs=3e-5)
    assert all(0 < value < 1 for value in found.values())
    assert max(recordings.strays(image, heard, heard, settings).values()) < 3e-5


def test_any_vision_model_can_be_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(1)
    config = transformers.Dinov2Config(hidden_size=32, num_attention_heads=2, num_hidden_layers=3, image_size=112)
    transformers.Dinov2Model(config).save_pretrained(tmp_path / "tiny")
    monkeypatch.setattr(recordings, "sample_names", lambda: ("fig",))
    monkeypatch.setattr(recordings, "SCENES", ("scene-0000",))
    monkeypatch.setattr(recordings, "GRID", 8)
    layers = list(attention_layers(recordings.load_backbone(str(tmp_path / "tiny"), device="cpu")))
    heads = {layers[0]: [1.0, 1.0], layers[2]: [1.0, 1.0]}
    (tmp_path / "heads.json").write_text(json.dumps({"heads": heads, "calibrated_on": {}}))
    words = [str(tmp_path / "tiny"), "--readout", str(tmp_path / "heads.json"), "--about", "Random."]
    words += ["--out", str(tmp_path / "out")]
    monkeypatch.setattr("sys.argv", ["recordings", *words])
    recordings.main()
    recordings.record.cache_clear(), recordings.folder.cache_clear()
    monkeypatch.setattr(recordings, "BOOK", tmp_path)
    monkeypatch.setattr(recordings, "FOLDER", "out")
    try:
        record = recordings.record()
        assert (record["model"], record["about"]) == ("tiny", "Random.")
        assert list(record["pictures"]) == ["fig", "scene-0000"]
        assert [len(heads) for heads in record["recipe"]["heads"].values()] == [2, 2]
        assert str(tmp_path) not in (tmp_path / "out" / "recordings.json").read_text().replace(record["command"], "")
        assert record["command"].startswith("python -m walkcut_book.recordings tiny --readout")
        assert recordings.attention("fig").finest == (5, 8)
        with pytest.raises(InputError, match=r"'cat'.*fig"):
            recordings.attention("cat")
    finally:
        recordings.record.cache_clear(), recordings.folder.cache_clear()


def test_without_recordings_there_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recordings.folder.cache_clear()
    monkeypatch.setattr(recordings, "BOOK", tmp_path)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="checkout"):
        recordings.folder()
    recordings.folder.cache_clear()


@here
@pytest.mark.parametrize("name", ["fig", "scene-0003"])
def test_recorded_anew_it_strays_as_is_told(name: str) -> None:
    backbone, image, used = load_backbone(EYE, device="cpu"), recordings.picture(name), recordings.recipe(name)
    assert backbone.eye.weights == recordings.record()["recipe"]["weights"]
    found = recordings.strays(image, recordings.look(backbone, image, used), recordings.attention(name), used)
    for kind, error in recordings.worst([name]).items():
        assert found[kind] <= error + ANOTHER, kind

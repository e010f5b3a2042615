"""Every bad input gives the right result, or one sentence that names the value and the remedy. The real method runs."""

import json
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import walkcut.app.batch
from walkcut import load_backbone, segment
from walkcut.app.cli import main
from walkcut.backbone import Backbone
from walkcut.errors import InputError
from walkcut.eyes.models import WEIGHTS
from walkcut.images import check_image

load_once = cache(load_backbone)


@pytest.fixture(autouse=True)
def _load_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real model, read from disk once for all tests of this file."""
    monkeypatch.setattr(walkcut.app.batch, "load_backbone", load_once)


@pytest.fixture
def no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is refused must be refused before the model is loaded."""

    def fail(*arguments: object) -> None:
        raise AssertionError("the model was loaded before the input was checked")

    monkeypatch.setattr(walkcut.app.batch, "load_backbone", fail)


def run(*words: object) -> int:
    """The exit code of `walkcut segment`, in this process."""
    try:
        return main(["segment", "--grid", "16", "--device", "cpu", *map(str, words)])
    except SystemExit as stop:
        return stop.code


def refused(capsys: pytest.CaptureFixture, *named: object) -> None:
    """One sentence on stderr, nothing on stdout, and everything in `named` occurs in it."""
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("walkcut: ")
    assert err.endswith(".\n")
    assert err.count("\n") == 1
    assert "Traceback" not in err
    for word in named:
        assert str(word) in err


def photograph(size: tuple[int, int] = (48, 32)) -> Image.Image:
    """A disk on a gradient, with some noise."""
    x, y = np.meshgrid(np.linspace(-1.5, 1.5, size[0]), np.linspace(-1, 1, size[1]))
    grey = np.where(x**2 + y**2 < 0.4, 220, 60 + 30 * x)[:, :, None] * [1, 0.8, 0.6]
    noise = np.random.default_rng(0).normal(0, 4, grey.shape)
    return Image.fromarray(np.clip(grey + noise, 0, 255).astype(np.uint8))


def truncated(path: Path) -> None:
    photograph((200, 200)).save(path, "JPEG")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


MAKE_BAD = {
    "missing.jpg": lambda path: None,
    "text.jpg": lambda path: path.write_text("This is not a picture.\n"),
    "empty.png": lambda path: path.touch(),
    "truncated.jpg": truncated,
    "truncated.png": lambda path: (photograph().save(path), path.write_bytes(path.read_bytes()[:300])),
    "no-pictures": lambda path: path.mkdir(),
    "bomb.png": lambda path: Image.new("1", (20_000, 20_000)).save(path),
    "just-too-large.png": lambda path: Image.new("1", (10_001, 25_000)).save(path),
    "vector.eps": lambda path: path.write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\nshowpage\n"),
    "n" * 300 + ".jpg": lambda path: None,
}


@pytest.mark.parametrize("name", MAKE_BAD)
def test_one_bad_picture_ends_with_2_and_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture, name: str) -> None:
    path = tmp_path / name
    MAKE_BAD[name](path)
    before = sorted(tmp_path.rglob("*"))
    assert run(path) == 2
    refused(capsys, path, ": ")
    assert sorted(tmp_path.rglob("*")) == before


def test_a_folder_of_bad_pictures_does_the_rest(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    bad = [name for name in MAKE_BAD if len(name) < 100]
    for name in bad:
        MAKE_BAD[name](tmp_path / name)
    photograph().save(tmp_path / "good.png")
    assert run(*(tmp_path / name for name in [*bad, "good.png"]), "--out", tmp_path / "out") == 1
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"good.labels.png", "good.overlay.png", "good.tree.json"}
    out, err = capsys.readouterr()
    assert out.count("->") == 1
    assert "Traceback" not in err
    assert f"{len(bad)} of {len(bad) + 1} inputs failed" in err
    for name in bad:
        assert str(tmp_path / name) in err


def turned(path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    photograph((32, 48)).save(path, exif=exif)


MAKE_ODD = {
    "one-pixel.png": lambda path: Image.new("RGB", (1, 1), "teal").save(path),
    "one-row.png": lambda path: photograph((40, 1)).save(path),
    "one-column.png": lambda path: photograph((1, 40)).save(path),
    "grey.png": lambda path: photograph().convert("L").save(path),
    "rgba.png": lambda path: photograph().convert("RGBA").save(path),
    "16-bit.png": lambda path: Image.fromarray(np.asarray(photograph().convert("L")) * np.uint16(257)).save(path),
    "palette.png": lambda path: photograph().convert("P").save(path),
    "turned.jpg": turned,
    "cmyk.jpg": lambda path: photograph().convert("CMYK").save(path),
    "animated.gif": lambda path: photograph().save(path, save_all=True, append_images=[photograph()] * 2),
    "ten-thousand.jpg": lambda path: Image.new("RGB", (10_000, 10_000), "olive").save(path),
}


@pytest.mark.parametrize("name", MAKE_ODD)
def test_odd_pictures_get_the_right_result(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)  # Pillow would warn of our own labels of 100 megapixels
    MAKE_ODD[name](tmp_path / name)
    assert run(tmp_path / name) == 0
    assert capsys.readouterr().err == ""
    stem = name.rsplit(".", 1)[0]
    assert {p.name for p in tmp_path.iterdir()} == {name} | {
        f"{stem}.{kind}" for kind in ("labels.png", "overlay.png", "tree.json")
    }
    sizes = {"one-pixel": (1, 1), "one-row": (40, 1), "one-column": (1, 40), "ten-thousand": (10_000, 10_000)}
    with Image.open(tmp_path / f"{stem}.labels.png") as labels:
        assert labels.size == sizes.get(stem, (48, 32))
        present = np.unique(np.asarray(labels))
    np.testing.assert_array_equal(present, np.arange(len(present)))


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(("colour", "size"), [("black", (48, 32)), ("white", (48, 32)), ("olive", (7, 90))])
def test_a_constant_picture_is_one_segment(colour: str, size: tuple[int, int], seed: int) -> None:
    image = np.asarray(Image.new("RGB", size, colour))
    result = segment(image, load_once("dead-leaves", "cpu"), grid=16, seed=seed)
    assert np.unique(result.labels).tolist() == [0]


def test_white_noise_is_segmented_without_complaint() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8)
    result = segment(noise, load_once("dead-leaves", "cpu"), grid=16)
    assert result.labels.shape == (60, 90)
    np.testing.assert_array_equal(np.unique(result.labels), np.arange(result.count))


BAD_ARRAYS = {
    "nan": (np.full((4, 4, 3), np.nan), "nan"),
    "negative": (np.full((4, 4, 3), -0.5), "-0.5"),
    "infinite": (np.full((4, 4, 3), np.inf), "inf"),
    "bytes as floats": (np.full((4, 4, 3), 200.0), "200"),
    "integers": (np.full((4, 4, 3), -1), "int64"),
    "two channels": (np.zeros((4, 4, 2)), "(4, 4, 2)"),
    "a stack": (np.zeros((2, 4, 4, 3)), "(2, 4, 4, 3)"),
    "a row": (np.zeros(4), "(4,)"),
    "nothing": (np.zeros((0, 4, 3)), "(0, 4, 3)"),
    "text": (np.array([["a"]]), "<U1"),
    "too many pixels": (np.broadcast_to(np.uint8(0), (10_001, 10_000)), "(10001, 10000)"),
}


@pytest.mark.parametrize("name", BAD_ARRAYS)
@pytest.mark.parametrize("function", [check_image, segment])
def test_bad_arrays_are_refused_by_value(name: str, function: object) -> None:
    array, named = BAD_ARRAYS[name]
    with pytest.raises(InputError) as refusal:
        function(array)
    assert named in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_single_bad_value_is_found_and_located() -> None:
    array = np.full((4, 5, 3), 0.5)
    array[2, 3, 1] = np.nan
    with pytest.raises(InputError, match=r"nan at \(2, 3, 1\)"):
        check_image(array)


WHOLE, NAMES = "whole number", "choose from"
OUT_OF_RANGE = {
    "threshold": (("0", "-1", "2.1", "nan", "inf", "high"), "a number above 0 and at most 2"),
    "steps": (("0", "-3", "1.5", "many", "1" + "0" * 400), WHOLE),
    "seed": (("-1", "x"), WHOLE),
    "grid": (("0", "1", "129", "x"), WHOLE),
    "noise": (("pink", "3"), NAMES),
    "graph": (("cosine",), NAMES),
    "pixels": (("nearest",), NAMES),
}


@pytest.mark.usefixtures("no_model")
@pytest.mark.parametrize(
    ("option", "value", "remedy"),
    [(option, value, remedy) for option, (values, remedy) in OUT_OF_RANGE.items() for value in values],
    ids=lambda given: given[:20],
)
def test_values_out_of_range(
    tmp_path: Path, capsys: pytest.CaptureFixture, option: str, value: str, remedy: str
) -> None:
    photograph().save(tmp_path / "a.png")
    assert run(tmp_path / "a.png", f"--{option}", value) == 2
    refused(capsys, f"--{option}", value[:40], remedy)
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


@pytest.mark.usefixtures("no_model")
def test_a_device_that_is_none(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    photograph().save(tmp_path / "a.png")
    assert run(tmp_path / "a.png", "--device", "toaster") == 2
    refused(capsys, "toaster", "choose")
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


@pytest.fixture
def nothing_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is refused must be refused before the denoiser works, which a loaded one has tried."""
    load_once("dead-leaves", "cpu")

    def fail(*arguments: object) -> None:
        raise AssertionError("the denoiser was run before the settings were checked")

    monkeypatch.setattr(Backbone, "encode", fail)
    monkeypatch.setattr(Backbone, "run", fail)


@pytest.mark.usefixtures("nothing_computed")
@pytest.mark.parametrize(
    ("setting", "value", "words"),
    [
        ("steps", 0, "whole number from 1 .*, not 0"),
        ("steps", -1, "whole number from 1 .*, not -1"),
        ("grid", 1, "whole number from 2 to 128, not 1"),
        ("grid", "16", "whole number from 2 to 128, not '16'"),
        ("seed", -1, "whole number of 0 or more, not -1"),
        ("timesteps", 10, "in a list, not 10"),
        ("timesteps", [], "at least one"),
        ("threshold", 2.5, "at most 2, not 2.5"),
        ("inflation", float("nan"), "positive, finite number, not nan"),
        ("spatial_prior", -1, "positive, finite number, not -1"),
        ("noise", "pink", "no noise 'pink': choose from"),
        ("pixels", "nearest", "no pixels 'nearest': choose from"),
        ("heads", {"attn1": ()}, "finite and at least 0"),
        ("locality", 0.3, "no setting 'locality': choose from"),
        ("dtype", "float16", "dtype of the eye is 'float32', not 'float16'"),
        ("prompt", "dog", "prompt of the eye is '', not 'dog'"),
        ("preset", "paper", "no preset 'paper': choose from"),
    ],
)
def test_settings_in_python(setting: str, value: object, words: str) -> None:
    with pytest.raises(InputError, match=words) as refusal:
        segment(np.asarray(photograph()), load_once("dead-leaves", "cpu"), **{"grid": 16, setting: value})
    assert "\n" not in str(refusal.value)


def test_thresholds_out_of_range_in_python() -> None:
    image, backbone = np.asarray(photograph()), load_once("dead-leaves", "cpu")
    result = segment(image, backbone, grid=16)
    for value in (0.0, 2.5, float("nan"), "high"):
        with pytest.raises(InputError, match=str(value)):
            segment(image, backbone, threshold=value, grid=16)
        with pytest.raises(InputError, match=str(value)):
            result.at(value)


def test_a_device_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    photograph().save(tmp_path / "a.png")
    assert main(["segment", str(tmp_path / "a.png"), "--device", "cuda:99"]) == 2
    refused(capsys, "cuda:99", "choose")


def test_an_unknown_model(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    photograph().save(tmp_path / "a.png")
    assert run(tmp_path / "a.png", "--model", "tiger") == 2
    refused(capsys, "tiger", "dead-leaves")
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


READOUTS = {"a readout of nothing": "", "a readout of no table": "[]", "another readout": '{"sharpness": 2}'}
READOUTS |= {"a readout out of range": json.dumps({"inflation": 0})}


@pytest.mark.parametrize("damage", ["truncated", "no weights", "not JSON", "no scheduler", *READOUTS])
def test_corrupt_weights(tmp_path: Path, capsys: pytest.CaptureFixture, damage: str) -> None:
    photograph().save(tmp_path / "a.png")
    model = tmp_path / "model"
    shutil.copytree(WEIGHTS / "dead-leaves", model)
    weights = next((model / "unet").glob("*.safetensors"))
    if damage == "truncated":
        weights.write_bytes(weights.read_bytes()[:1000])
    elif damage == "no weights":
        weights.unlink()
    elif damage in READOUTS:
        (model / "readout.json").write_text(READOUTS[damage])
    elif damage == "not JSON":
        (model / "unet" / "config.json").write_text("{")
    else:
        shutil.rmtree(model / "scheduler")
    assert run(tmp_path / "a.png", "--model", model) == 2
    refused(capsys, model)


@pytest.mark.usefixtures("no_model")
@pytest.mark.parametrize("kind", ["a file", "below a file", "a folder in the way"])
def test_unwritable_output_is_found_before_the_model_is_loaded(
    tmp_path: Path, capsys: pytest.CaptureFixture, kind: str
) -> None:
    photograph().save(tmp_path / "a.png")
    out = tmp_path / "out"
    if kind == "a folder in the way":
        (out / "a.labels.png").mkdir(parents=True)
    else:
        out.touch()
        out = out if kind == "a file" else out / "deeper"
    assert run(tmp_path / "a.png", "--out", out) == 2
    refused(capsys, out, "--out")


@pytest.mark.usefixtures("no_model")
def test_a_folder_without_permission_to_write(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    photograph().save(tmp_path / "a.png")

    def deny(*arguments: object, **options: object) -> None:
        raise PermissionError(13, "Permission denied")  # the administrator, who may run the tests, is never denied

    monkeypatch.setattr(tempfile, "TemporaryFile", deny)
    assert run(tmp_path / "a.png") == 2
    refused(capsys, tmp_path, "Permission denied", "--out")


@pytest.mark.usefixtures("no_model")
def test_nothing_to_segment_and_an_unknown_sample(capsys: pytest.CaptureFixture) -> None:
    assert run() == 2
    refused(capsys, "--sample")
    assert run("--sample", "tiger") == 2
    refused(capsys, "tiger", "fig")


def test_the_installed_command_ends_with_2_and_no_traceback(tmp_path: Path) -> None:
    truncated(tmp_path / "a.jpg")
    command = [sys.executable, "-m", "walkcut", "segment", str(tmp_path / "a.jpg"), "--grid", "16"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith(f"walkcut: {tmp_path / 'a.jpg'} is damaged")
    assert [p.name for p in tmp_path.iterdir()] == ["a.jpg"]

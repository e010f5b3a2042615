"""The command's own work: names, files, exit codes. The method is played by a stand-in, except where said."""

import io
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

import walkcut.many
import walkcut.train
from walkcut.cli import main
from walkcut.errors import InputError
from walkcut.files import overlay, palette
from walkcut.images import sample_names
from walkcut.models import fingerprint
from walkcut.presets import PRESETS

KINDS = ("labels.png", "overlay.png", "tree.json")


def quarters(image: np.ndarray) -> SimpleNamespace:
    """The stand-in: four quarters, whatever the picture."""
    height, width = image.shape[:2]
    labels = 2 * (np.arange(height)[:, None] >= height // 2) + (np.arange(width) >= width // 2)
    labels = np.unique(labels, return_inverse=True)[1].reshape(height, width).astype(np.int32)
    return SimpleNamespace(
        image=image,
        labels=labels,
        count=int(labels.max()) + 1,
        patch_labels=np.zeros((2, 3), np.int32),
        threshold=0.5,
        criterion="constant",
        tree=SimpleNamespace(to_dict=lambda: {"grid": [2, 3]}),
    )


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[tuple]:
    """Replace the method by the stand-in; the calls of `load_backbone` are noted here."""
    calls: list[tuple] = []
    monkeypatch.setattr(walkcut.many, "load_backbone", lambda *arguments: calls.append(arguments))
    monkeypatch.setattr(walkcut.many, "_look", lambda pictures, backbone, settings: pictures)
    monkeypatch.setattr(walkcut.many, "_unpacked", lambda picture, preset: picture.image)
    monkeypatch.setattr(walkcut.many, "cut", quarters)
    return calls


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with two pictures, another file and a subfolder."""
    Image.new("RGB", (30, 20), "red").save(tmp_path / "a.png")
    Image.new("RGB", (20, 30), "blue").save(tmp_path / "B.JPG")
    (tmp_path / "notes.txt").write_text("not a picture, and not named like one")
    (tmp_path / "deeper.png").mkdir()
    return tmp_path


def outputs(folder: Path) -> set[str]:
    return {p.name for p in folder.rglob("*") if p.name.endswith(KINDS)}


def test_writes_three_files_beside_the_picture(loads: list, folder: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["segment", str(folder / "a.png")]) == 0
    assert outputs(folder) == {"a.labels.png", "a.overlay.png", "a.tree.json"}
    labels = Image.open(folder / "a.labels.png")
    assert labels.mode == "P"
    np.testing.assert_array_equal(np.asarray(labels), quarters(np.zeros((20, 30, 3))).labels)
    with Image.open(folder / "a.overlay.png") as shown:
        assert (shown.mode, shown.size) == ("RGB", (30, 20))
    out, err = capsys.readouterr()
    assert out == f"{folder / 'a.png'}: 4 segments -> {folder / 'a.labels.png'}\n"
    assert err == ""


def test_json_tells_how_the_picture_was_cut(loads: list, folder: Path) -> None:
    main(["segment", str(folder / "a.png"), "--steps", "3", "--threshold", "0.7", "--grid", "32", "--seed", "5"])
    assert json.loads((folder / "a.tree.json").read_text()) == {
        "picture": "a.png",
        "walkcut": walkcut.__version__,
        "model": "dead-leaves",
        "weights": fingerprint("dead-leaves"),
        "prompt": "",
        "dtype": "auto",
        "noise": "the preset's",
        "preset": "walkcut",
        "threshold": 0.7,
        "steps": 3,
        "pixels": "pamr",
        "grid": 32,
        "seed": 5,
        "size": [20, 30],
        "patches": [2, 3],
        "segments": 4,
        "criterion": "constant",
        "threshold_used": 0.5,
        "tree": {"grid": [2, 3]},
    }


def test_options_reach_the_method(monkeypatch: pytest.MonkeyPatch, loads: list, folder: Path) -> None:
    seen = []
    monkeypatch.setattr(walkcut.many, "_look", lambda pictures, backbone, settings: seen.append(settings) or pictures)

    def settings(*words: str) -> walkcut.many.Settings:
        assert main(["segment", str(folder / "a.png"), "--device", "cpu", *words]) == 0
        return seen[-1]

    usual = PRESETS["walkcut"]
    assert settings() == walkcut.many.Settings(usual, device="cpu")
    found = settings("--threshold", "0.7", "--steps", "2", "--seed", "9", "--grid", "32", "--pixels", "random-walker")
    preset = replace(usual, criterion=0.7, steps=2, pixels="random-walker")
    assert found == walkcut.many.Settings(preset, device="cpu", seed=9, grid=32)
    assert settings("--preset", "paper-v2") == walkcut.many.Settings(PRESETS["paper-v2"], device="cpu")
    assert settings("--noise", "none").noise == "none"
    assert loads == [("dead-leaves", "cpu", "auto", "", False, False)] * 4
    settings("--prompt", "a dog", "--dtype", "bfloat16", "--offload", "--compile")
    assert loads[-1] == ("dead-leaves", "cpu", "bfloat16", "a dog", True, True)


def test_a_folder_twice_segments_its_pictures_and_never_its_own_outputs(loads: list, folder: Path) -> None:
    for _ in range(2):
        assert main(["segment", str(folder)]) == 0
        assert outputs(folder) == {f"{stem}.{kind}" for stem in ("a", "B") for kind in KINDS}
    assert len(loads) == 1, "the model is loaded once, and not at all where nothing is left to do"


def test_what_is_finished_is_kept_and_the_rest_is_done(
    loads: list, folder: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = []
    monkeypatch.setattr(walkcut.many, "cut", lambda image: done.append(1) or quarters(image))
    command = ["segment", str(folder)]
    main(command)
    assert len(done) == 2
    (folder / "B.tree.json").unlink()  # killed before the last of its files
    main(command)
    assert len(done) == 3
    assert "1 of 2 were finished earlier" in capsys.readouterr().out
    main([*command, "--seed", "4"])  # other settings
    assert len(done) == 5
    later = (folder / "a.tree.json").stat().st_mtime + 10
    os.utime(folder / "a.png", (later, later))  # another picture by the same name
    main([*command, "--seed", "4"])
    assert len(done) == 6
    (folder / "B.tree.json").write_text("[]")
    main([*command, "--seed", "4"])
    assert len(done) == 8  # a.png is still newer than its outputs
    main([*command, "--seed", "4", "--fresh"])
    assert len(done) == 10
    main(["segment", str(folder / "B.JPG"), "--seed", "4"])  # one picture that was asked for is always done
    assert len(done) == 11


def test_a_batch_shows_its_progress(loads: list, folder: Path, capsys: pytest.CaptureFixture) -> None:
    main(["segment", str(folder)])
    assert "2/2" in capsys.readouterr().err


def test_out_is_created_and_takes_everything(loads: list, folder: Path, tmp_path: Path) -> None:
    before = set(folder.iterdir())
    assert main(["segment", str(folder), "--out", str(tmp_path / "new" / "deep")]) == 0
    assert len(outputs(tmp_path / "new" / "deep")) == 6
    assert set(folder.iterdir()) - before == {tmp_path / "new"}


def test_samples_are_segmented_into_the_current_folder(
    loads: list, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["segment", "--sample", "fig", "--sample", "cat"]) == 0
    assert outputs(tmp_path) == {f"{stem}.{kind}" for stem in ("fig", "cat") for kind in KINDS}


def test_the_same_picture_named_twice_is_one(loads: list, folder: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["segment", str(folder / "a.png"), str(folder), str(folder / "deeper.png" / ".." / "a.png")]) == 0
    assert capsys.readouterr().out.count("->") == 2


def test_two_pictures_of_one_stem_do_not_overwrite_each_other(
    loads: list, folder: Path, capsys: pytest.CaptureFixture
) -> None:
    Image.new("RGB", (7, 7), "green").save(folder / "a.bmp")
    assert main(["segment", str(folder)]) == 1
    assert outputs(folder) == {f"{stem}.{kind}" for stem in ("a", "B") for kind in KINDS}
    assert f"{folder / 'a.png'} would overwrite {folder / 'a.labels.png'}, the result of" in capsys.readouterr().err
    with Image.open(folder / "a.labels.png") as kept:
        assert kept.size == (7, 7), "the first of the two"


def test_an_input_is_never_overwritten(loads: list, folder: Path, capsys: pytest.CaptureFixture) -> None:
    picture = folder / "a.labels.png"  # named like an output, but named by the user
    Image.new("RGB", (5, 5), "white").save(picture)
    before = picture.read_bytes()
    assert main(["segment", str(folder / "a.png"), str(picture)]) == 1
    assert picture.read_bytes() == before
    assert "a picture that is to be read" in capsys.readouterr().err


def test_a_batch_does_the_rest_and_lists_the_failures(loads: list, folder: Path, capsys: pytest.CaptureFixture) -> None:
    (folder / "broken.png").write_text("no picture")
    missing = folder / "missing.png"
    assert main(["segment", str(folder), str(missing)]) == 1
    assert outputs(folder) == {f"{stem}.{kind}" for stem in ("a", "B") for kind in KINDS}
    listed = capsys.readouterr().err.splitlines()[-3:]
    assert listed[0].endswith("walkcut: 2 of 4 inputs failed:")
    assert str(folder / "broken.png") in listed[1]
    assert str(missing) in listed[2]


def test_a_batch_that_fails_altogether_loads_no_model(loads: list, tmp_path: Path) -> None:
    assert main(["segment", str(tmp_path / "a.png"), str(tmp_path / "b.png")]) == 1
    assert loads == []


def test_a_failure_inside_the_method_names_the_picture(
    loads: list, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    def refuse(image: np.ndarray) -> None:
        raise InputError("A grid of 2 patches is too coarse: choose at least 4.")

    monkeypatch.setattr(walkcut.many, "cut", refuse)
    assert main(["segment", str(folder / "a.png")]) == 2
    told = f"walkcut: {folder / 'a.png'}: A grid of 2 patches is too coarse: choose at least 4.\n"
    assert capsys.readouterr().err == told


@pytest.mark.parametrize(("segments", "mode"), [(1, "P"), (256, "P"), (257, "I;16")])
def test_labels_are_exact_beyond_what_a_palette_holds(
    loads: list, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, segments: int, mode: str
) -> None:
    labels = (np.arange(20 * 30).reshape(20, 30) % segments).astype(np.int32)

    def many(image: np.ndarray) -> SimpleNamespace:
        result = quarters(image)
        result.labels, result.count = labels, segments
        return result

    monkeypatch.setattr(walkcut.many, "cut", many)
    Image.new("RGB", (30, 20)).save(tmp_path / "a.png")
    assert main(["segment", str(tmp_path / "a.png")]) == 0
    with Image.open(tmp_path / "a.labels.png") as written:
        assert written.mode == mode
        np.testing.assert_array_equal(np.asarray(written), labels)


def test_labels_have_the_size_of_a_large_picture(loads: list, tmp_path: Path) -> None:
    Image.new("RGB", (3000, 100)).save(tmp_path / "a.png")
    main(["segment", str(tmp_path / "a.png")])
    with Image.open(tmp_path / "a.labels.png") as written:
        assert written.size == (3000, 100)
        np.testing.assert_array_equal(np.asarray(written)[[0, 0, 99, 99], [1499, 1500, 1499, 1500]], [0, 1, 2, 3])
    assert json.loads((tmp_path / "a.tree.json").read_text())["size"] == [100, 3000]


@pytest.mark.parametrize("failing", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_write_that_fails_leaves_the_old_file_and_no_litter(
    loads: list, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, failing: BaseException
) -> None:
    (folder / "a.labels.png").write_text("an older result")
    before = sorted(folder.iterdir())

    def fail(path: Path, content: bytes) -> int:
        with path.open("wb") as file:
            file.write(content[: len(content) // 2])
        raise failing

    monkeypatch.setattr(Path, "write_bytes", fail)
    assert main(["segment", str(folder / "a.png")]) == (2 if isinstance(failing, OSError) else 130)
    assert sorted(folder.iterdir()) == before
    assert (folder / "a.labels.png").read_text() == "an older result"
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "No space left" in err or "interrupted" in err


def test_a_write_that_cannot_be_cleared_away_is_told_all_the_same(
    loads: list, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    def fail(path: Path, *given: object, **named: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(Path, "write_bytes", fail)
    put_away, unlink = [], Path.unlink
    monkeypatch.setattr(Path, "unlink", lambda path, **named: (fail if put_away else unlink)(path, **named))
    monkeypatch.setattr(walkcut.many, "cut", lambda image: put_away.append(image) or quarters(image))
    assert main(["segment", str(folder / "a.png")]) == 2
    assert capsys.readouterr().err.endswith(
        "a.labels.png cannot be written (Input/output error): make room or choose another --out.\n"
    )


@pytest.mark.parametrize("letters", [240, 250])  # what is half written has a longer name than the result
def test_a_name_too_long_for_its_results_fails_alone(
    loads: list, folder: Path, capsys: pytest.CaptureFixture, letters: int
) -> None:
    long = folder / ("x" * letters + ".png")
    Image.new("RGB", (30, 20)).save(long)
    assert main(["segment", str(folder)]) == 1
    assert outputs(folder) == {f"{name}.{kind}" for name in ("a", "B") for kind in KINDS}
    assert f"The results of {long} cannot be named after it (File name too long): rename it." in capsys.readouterr().err


def test_a_link_to_itself_fails_alone(loads: list, folder: Path, capsys: pytest.CaptureFixture) -> None:
    for name in ("loop.png", "a.labels.png"):
        (folder / name).symlink_to(name)
    assert main(["segment", str(folder / "loop.png"), str(folder / "a.png")]) == 1
    err = capsys.readouterr().err
    assert "1 of 2 inputs failed" in err
    assert str(folder / "loop.png") in err
    assert not (folder / "a.labels.png").is_symlink()  # where a result should go, it is replaced as any other file
    assert outputs(folder) == {"a.labels.png", "a.overlay.png", "a.tree.json"}


def test_a_name_that_cannot_be_printed_is_printed_in_escapes(
    loads: list, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.new("RGB", (30, 20)).save(folder / "\u00e9t\u00e9.png")
    printed = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(printed, "ascii"))
    assert main(["segment", str(folder / "\u00e9t\u00e9.png")]) == 0
    assert rb"\xe9t\xe9.png: 4 segments" in printed.getvalue()


def test_a_reader_who_leaves_ends_the_command_without_a_word() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "walkcut.cli", "samples"]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, "")


def test_palette_entries_differ() -> None:
    colours = palette(256)
    assert colours.shape == (256, 3)
    assert len(np.unique(colours, axis=0)) == 256
    np.testing.assert_array_equal(palette(3), colours[:3])


def test_overlay_keeps_the_picture_visible_and_marks_only_boundaries() -> None:
    image = np.full((8, 12, 3), 100, np.uint8)
    labels = np.repeat([0, 1], 6)[None].repeat(8, 0)
    shown = overlay(image, labels, opacity=0.5)
    for column, label in ((0, 0), (11, 1)):
        expected = 0.5 * 100 + 0.5 * palette(2)[label]
        np.testing.assert_allclose(shown[:, column], np.broadcast_to(expected, (8, 3)), atol=1)
    assert shown[4, 5:7].tolist() == [[0, 0, 0], [255, 255, 255]]
    for column, label in ((4, 0), (8, 1)):
        np.testing.assert_array_equal(shown[:, column], shown[:, 11 * label])
    np.testing.assert_array_equal(overlay(image, np.zeros((8, 12), int), opacity=0.0), image)


def test_train_passes_its_settings_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seen = []
    monkeypatch.setattr(walkcut.train, "train", lambda *given, **named: seen.append((given, named)) or tmp_path)
    command = ["train", "--out", str(tmp_path / "t"), "--steps", "7", "--seed", "2", "--learning-rate", "1e-3"]
    assert main([*command, "--device", "cpu", "--workers", "0"]) == 0
    config = walkcut.train.TrainConfig(steps=7, seed=2, learning_rate=1e-3)
    assert seen == [((tmp_path / "t", config, "cpu", 0), {"snapshots": 0})]


@pytest.mark.parametrize(
    "words", [["--steps", "0"], ["--steps", "x"], ["--learning-rate", "nan"], ["--patches", "0"], ["--workers", "-1"]]
)
def test_train_refuses_bad_values(tmp_path: Path, capsys: pytest.CaptureFixture, words: list[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["train", "--out", str(tmp_path), *words])
    assert stop.value.code == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert words[1] in err


def test_train_says_where_it_cannot_write(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "file").touch()
    assert main(["train", "--out", str(tmp_path / "file" / "run")]) == 2
    assert "cannot be written to" in capsys.readouterr().err


def test_models_and_samples_are_listed(capsys: pytest.CaptureFixture) -> None:
    assert main(["models"]) == 0
    lines = capsys.readouterr().out.splitlines()[1:]
    assert [line.split()[0] for line in lines] == list(walkcut.models.model_names())
    assert " here " in lines[0]
    assert main(["samples"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == list(sample_names())
    assert all("CC" in line or "public domain" in line for line in lines)


def test_help_comes_in_under_three_seconds_and_without_torch() -> None:
    """Processor time, which other work on the machine does not stretch; on an idle machine the wall shows the same."""
    before = os.times()
    command = [sys.executable, "-m", "walkcut.cli", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    after = os.times()
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    assert 0 < spent < 3
    assert all(word in done.stdout for word in ("segment", "train", "bench", "models", "samples"))
    code = "import sys, walkcut.cli as c; c.make_parser(); sys.exit(bool({'torch', 'diffusers'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_real_command_twice_gives_the_same_files(tmp_path: Path) -> None:
    """The real method, as a user starts it."""
    for name in ("one", "two"):
        command = [sys.executable, "-m", "walkcut.cli", "segment", "--sample", "fig", "--grid", "16"]
        subprocess.run([*command, "--out", str(tmp_path / name), "--device", "cpu"], check=True)
    for kind in KINDS:
        assert (tmp_path / "one" / f"fig.{kind}").read_bytes() == (tmp_path / "two" / f"fig.{kind}").read_bytes()
    record = json.loads((tmp_path / "one" / "fig.tree.json").read_text())
    assert record["patches"][1] == 16
    with Image.open(tmp_path / "one" / "fig.labels.png") as labels:
        assert len(np.unique(np.asarray(labels))) == record["segments"]


def test_the_commands_names_are_those_of_the_criteria() -> None:
    from walkcut import cli, engine, presets, refine, threshold

    assert (*threshold.CRITERIA, "auto") == cli.CRITERIA
    assert tuple(presets.PRESETS) == cli.PRESETS
    assert refine.PIXELS == cli.PIXELS
    assert engine.ENGINES == cli.ENGINES

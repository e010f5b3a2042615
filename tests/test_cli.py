"""The command's own work: names, files, exit codes. The method is played by a stand-in, except where said."""

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

import walkcut.app.batch
import walkcut.app.export
import walkcut.train
from walkcut.app import cli
from walkcut.app.cli import main
from walkcut.app.outputs import Picture, digest
from walkcut.errors import InputError
from walkcut.eyes.models import MODELS, find_eye
from walkcut.recipe import Recipe, resolve
from walkcut.samples import sample_names

KINDS = ("labels.png", "overlay.png", "tree.json")


def quarters(record: SimpleNamespace) -> SimpleNamespace:
    """The stand-in: four quarters, whatever the picture."""
    height, width = record.image.shape[:2]
    labels = 2 * (np.arange(height)[:, None] >= height // 2) + (np.arange(width) >= width // 2)
    labels = np.unique(labels, return_inverse=True)[1].reshape(height, width).astype(np.int32)
    return SimpleNamespace(
        image=record.image,
        labels=labels,
        count=int(labels.max()) + 1,
        patch_labels=np.zeros((2, 3), np.int32),
        threshold=0.5,
        criterion="constant",
        tree=None,
    )


def unseen(pictures: Sequence[Picture], backbone: None, recipe: Recipe) -> list[Picture]:
    """Nothing is looked at."""
    walk = SimpleNamespace(grid=(2, 2), P=torch.zeros(4, 4))
    return [replace(one, record=SimpleNamespace(image=one.image, recipe=recipe, walk=walk)) for one in pictures]


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[tuple]:
    """Replace the method by the stand-in; the calls of `load_backbone` are noted here."""
    calls: list[tuple] = []
    monkeypatch.setattr(walkcut.app.batch, "load_backbone", lambda *arguments: calls.append(arguments))
    monkeypatch.setattr(walkcut.app.batch, "_look", unseen)
    monkeypatch.setattr(walkcut.app.batch, "cut", quarters)
    monkeypatch.setattr(walkcut.app.export, "tree_to_dict", lambda tree: {"grid": [2, 3]})
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
    np.testing.assert_array_equal(np.asarray(labels), quarters(SimpleNamespace(image=np.zeros((20, 30, 3)))).labels)
    with Image.open(folder / "a.overlay.png") as shown:
        assert (shown.mode, shown.size) == ("RGB", (30, 20))
    out, err = capsys.readouterr()
    assert out == f"{folder / 'a.png'}: 4 segments -> {folder / 'a.labels.png'}\n"
    assert err == ""


def recipe(preset: str = "walkcut", **settings: object) -> Recipe:
    return resolve(preset, find_eye("dead-leaves"), settings)


def test_json_tells_how_the_picture_was_cut(loads: list, folder: Path) -> None:
    main(["segment", str(folder / "a.png"), "--steps", "3", "--threshold", "0.7", "--grid", "32", "--seed", "5"])
    assert json.loads((folder / "a.tree.json").read_text()) == {
        "walkcut": walkcut.__version__,
        "picture": "a.png",
        "digest": digest(folder / "a.png"),
        "labels": "palette",
        "recipe": recipe(steps=3, threshold=0.7, grid=32, seed=5).to_dict(),
        "outputs": [digest(folder / "a.labels.png"), digest(folder / "a.overlay.png")],
        "size": [20, 30],
        "patches": [2, 3],
        "segments": 4,
        "criterion": "constant",
        "threshold": 0.5,
        "tree": {"grid": [2, 3]},
    }


def test_options_reach_the_method(monkeypatch: pytest.MonkeyPatch, loads: list, folder: Path) -> None:
    seen = []
    monkeypatch.setattr(walkcut.app.batch, "_look", lambda *given: seen.append(given[-1]) or unseen(*given))

    def by(*words: str) -> Recipe:
        assert main(["segment", str(folder / "a.png"), "--device", "cpu", *words]) == 0
        return seen[-1]

    assert by() == recipe()
    found = by("--threshold", "0.7", "--steps", "2", "--seed", "9", "--grid", "32", "--pixels", "random-walker")
    assert found == recipe(threshold=0.7, steps=2, seed=9, grid=32, pixels="random-walker")
    assert by("--preset", "paper-v2") == recipe("paper-v2")
    assert by("--noise", "none", "--threshold", "0.7") == recipe(noise="none", threshold=0.7)
    assert by("--graph", "average", "--threshold", ".5") == recipe(graph="average", threshold=0.5)
    assert by("--threshold", "gap") == recipe(threshold="gap")
    assert loads == [("dead-leaves", "cpu", "float32", "", False, False)] * 6
    assert by("--prompt", "a dog", "--dtype", "bfloat16", "--threshold", "1").prompt == "a dog"
    by("--offload", "--compile")
    assert loads[-2:] == [("dead-leaves", "cpu", "bfloat16", "a dog", False, False), (*loads[0][:4], True, True)]


def test_every_setting_with_an_explanation_is_an_option() -> None:
    parser = cli.make_parser()
    assert {"grid", "noise", "seed", "steps", "graph", "threshold", "pixels"} <= set(cli.SETTINGS)
    for name, setting in cli.SETTINGS.items():
        words = [str(setting.default), *setting.metadata["names"]]
        for word in words:
            given = vars(parser.parse_args(["segment", "x", f"--{name.replace('_', '-')}", word]))
            assert given[name] == (setting.default if word == words[0] else word)
    assert not set(cli.SETTINGS) & set(vars(parser.parse_args(["segment", "x"])))


def test_a_folder_twice_segments_its_pictures_and_never_its_own_outputs(loads: list, folder: Path) -> None:
    for _ in range(2):
        assert main(["segment", str(folder)]) == 0
        assert outputs(folder) == {f"{stem}.{kind}" for stem in ("a", "B") for kind in KINDS}
    assert len(loads) == 1, "the model is loaded once, and not at all where nothing is left to do"


def test_what_is_finished_is_kept_and_the_rest_is_done(
    loads: list, folder: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = []
    monkeypatch.setattr(walkcut.app.batch, "cut", lambda record: done.append(1) or quarters(record))

    def run(*words: str) -> int:
        """How many are done."""
        done.clear()
        assert main(["segment", *(words or [str(folder)])]) == 0
        return len(done)

    assert run() == 2
    (folder / "B.tree.json").unlink()  # killed before the last of its files
    assert run() == 1
    assert "1 of 2 were finished earlier" in capsys.readouterr().out
    other = [str(folder), "--seed", "4"]
    assert run(*other) == 2
    (folder / "B.tree.json").write_text("[]")
    assert run(*other) == 1
    assert run(*other, "--fresh") == 2
    assert run(*other, "--preset", "paper-v1") == 2
    assert run(str(folder / "B.JPG"), "--preset", "paper-v1") == 1, "one picture that was asked for is always done"


@pytest.mark.situation("freshness")
def test_a_picture_that_was_replaced_by_an_older_one_is_done_again(
    loads: list, folder: Path, capsys: pytest.CaptureFixture
) -> None:
    """As by `cp -p`, `mv`, an archive: it brings its date."""
    other = folder / "other.bmp"
    Image.new("RGB", (7, 9), "green").save(other)
    os.utime(other, (1e9, 1e9))
    main(["segment", str(folder / "a.png"), str(folder / "B.JPG")])
    shutil.copy2(other, folder / "a.png")
    now = time.time() + 10
    os.utime(folder / "B.JPG", (now, now))  # a new date alone is no new picture
    main(["segment", str(folder / "a.png"), str(folder / "B.JPG")])
    assert "1 of 2 were finished earlier" in capsys.readouterr().out
    with Image.open(folder / "a.labels.png") as labels:
        assert labels.size == (7, 9)


@pytest.mark.situation("freshness")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("damage", ["cut short", "changed", "lost", "a pipe"])
def test_outputs_that_are_not_whole_are_made_again(loads: list, folder: Path, kind: str, damage: str) -> None:
    main(["segment", str(folder)])
    path = folder / f"a.{kind}"
    whole = path.read_bytes()
    path.unlink()
    if damage == "a pipe":
        os.mkfifo(path)
        reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    elif damage != "lost":
        at = whole.index(b"a.png") if kind == "tree.json" else len(whole) // 2
        path.write_bytes(whole[:50] if damage == "cut short" else whole[:at] + b"!" + whole[at + 1 :])
    assert main(["segment", str(folder)]) == 0
    assert len(loads) == 2
    if damage == "a pipe":
        assert os.read(reader, 1 << 20) == whole, "written into, not replaced"
        os.close(reader)
    else:
        assert path.read_bytes() == whole


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


@pytest.mark.situation("names")
def test_an_empty_name_is_not_the_current_folder(
    loads: list, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    """As of `segment "$file"` where there is no such variable."""
    monkeypatch.chdir(folder)
    assert main(["segment", ""]) == 2
    assert capsys.readouterr().err == "walkcut: A name is empty: name a picture, a folder, or . for the current one.\n"
    assert (outputs(folder), loads) == (set(), [])
    assert main(["segment", "."]) == 0
    assert len(outputs(folder)) == 6


def test_a_failure_inside_the_method_names_the_picture(
    loads: list, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    def refuse(record: SimpleNamespace) -> None:
        raise InputError("A grid of 2 patches is too coarse: choose at least 4.")

    monkeypatch.setattr(walkcut.app.batch, "cut", refuse)
    assert main(["segment", str(folder / "a.png")]) == 2
    told = f"walkcut: {folder / 'a.png'}: A grid of 2 patches is too coarse: choose at least 4.\n"
    assert capsys.readouterr().err == told


@pytest.mark.parametrize(("segments", "mode"), [(1, "P"), (256, "P"), (257, "I;16")])
def test_labels_are_exact_beyond_what_a_palette_holds(
    loads: list, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, segments: int, mode: str
) -> None:
    labels = (np.arange(20 * 30).reshape(20, 30) % segments).astype(np.int32)

    def many(record: SimpleNamespace) -> SimpleNamespace:
        result = quarters(record)
        result.labels, result.count = labels, segments
        return result

    monkeypatch.setattr(walkcut.app.batch, "cut", many)
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
    monkeypatch.setattr(walkcut.app.batch, "cut", lambda record: put_away.append(record) or quarters(record))
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
    assert f", for {long}, cannot be written (File name too long): choose another name." in capsys.readouterr().err


def test_a_link_to_itself_fails_alone(loads: list, folder: Path, capsys: pytest.CaptureFixture) -> None:
    for name in ("loop.png", "a.labels.png"):
        (folder / name).symlink_to(name)
    assert main(["segment", str(folder / "loop.png"), str(folder / "a.png")]) == 1
    err = capsys.readouterr().err
    assert "1 of 2 inputs failed" in err
    assert str(folder / "loop.png") in err
    assert not (folder / "a.labels.png").is_symlink(), "a link that leads nowhere is replaced"
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
    command = [sys.executable, "-m", "walkcut.app.cli", "samples"]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, "")


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
    assert [line.split()[0] for line in lines] == list(MODELS)
    assert " here " in lines[0]
    assert main(["samples"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == list(sample_names())
    assert all("CC" in line or "public domain" in line for line in lines)


def spent(*words: str) -> tuple[float, str]:
    """Processor time of the command, which other work on the machine does not stretch, and what it said."""
    before = os.times()
    done = subprocess.run([sys.executable, "-m", "walkcut", *words], capture_output=True, text=True, check=True)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system, done.stdout


def test_help_comes_at_once_and_without_what_takes_long_to_import() -> None:
    for words, told in ((["--help"], ("segment", "explore", "train", "bench")), (["segment", "--help"], ("--graph",))):
        seconds, said = min(spent(*words) for _ in range(3))
        assert 0 < seconds < 0.3
        assert all(word in said for word in told)
    heavy = "{'torch', 'numpy', 'scipy', 'PIL', 'diffusers', 'transformers', 'skimage', 'matplotlib'}"
    code = f"import sys, walkcut.app.cli as c; c.make_parser(); sys.exit(repr({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr == "set()\n"


def test_the_version_is_told() -> None:
    assert spent("--version")[1] == f"walkcut {walkcut.__version__}\n"


def test_the_command_works_where_there_is_no_module_resource(tmp_path: Path) -> None:
    """On Windows."""
    code = "import sys; sys.modules['resource'] = None; from walkcut.app.cli import main; sys.exit(main(sys.argv[1:]))"
    for words in (["explore"], ["segment", "--grid", "8"]):
        shutil.copy(walkcut.samples.sample_path("fig"), tmp_path / "fig.jpg")
        command = [sys.executable, "-c", code, *words, str(tmp_path / "fig.jpg"), "--grid", "8", "--device", "cpu"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")


def test_the_real_command_twice_gives_the_same_files(tmp_path: Path) -> None:
    """The real method, as a user starts it."""
    for name in ("one", "two"):
        command = [sys.executable, "-m", "walkcut", "segment", "--sample", "fig", "--grid", "16"]
        subprocess.run([*command, "--out", str(tmp_path / name), "--device", "cpu"], check=True)
    for kind in KINDS:
        assert (tmp_path / "one" / f"fig.{kind}").read_bytes() == (tmp_path / "two" / f"fig.{kind}").read_bytes()
    record = json.loads((tmp_path / "one" / "fig.tree.json").read_text())
    assert record["patches"][1] == 16
    assert Recipe.from_dict(record["recipe"]).to_dict() == record["recipe"]
    with Image.open(tmp_path / "one" / "fig.labels.png") as labels:
        assert len(np.unique(np.asarray(labels))) == record["segments"]


HALF_WRITTEN = """
import sys, time
from pathlib import Path
from walkcut.app import cli, outputs
write = Path.write_bytes
def slowly(path, content):
    write(path, content[:10])
    print("half", flush=True)
    time.sleep(60)
Path.write_bytes = slowly
"""  # what a file is when somebody ends the command


def test_asked_to_end_the_command_puts_away_what_is_half_done(tmp_path: Path) -> None:
    """By SIGTERM, while it writes."""
    code = f"{HALF_WRITTEN}\nsys.exit(cli.main())"
    words = ["segment", "--sample", "fig", "--grid", "8", "--device", "cpu", "--out", str(tmp_path)]
    with subprocess.Popen([sys.executable, "-c", code, *words], stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout.readline() == "half\n"
        assert list(tmp_path.iterdir())
        run.send_signal(signal.SIGTERM)
        assert run.wait(10) == 143
    assert list(tmp_path.iterdir()) == []


def test_the_finest_grid_of_an_explorer_is_that_of_its_module() -> None:
    from walkcut.widgets import explore

    assert cli.EXPLORED == explore.MAX_GRID


# ---------------------------------------------------------------------------------------------------------------------
# Folders


def picture(path: Path, colour: str = "red", size: tuple[int, int] = (30, 20)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)
    return path


def below(folder: Path) -> set[str]:
    """Results in a folder and its sub-folders."""
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.name.endswith((*KINDS, "labels.npy"))}


def of(*stems: str) -> set[str]:
    return {f"{stem}.{kind}" for stem in stems for kind in KINDS}


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """Pictures at three depths, and what else lies in folders."""
    album = tmp_path / "album"
    for name in ("a.png", "one/b.jpg", "one/two/c.tif", ".thumbnails/a.png", "one/.d.png"):
        picture(album / name)
    (album / "film.mov").touch()
    (album / "one" / "film.MOV").touch()
    (album / "notes").touch()
    (album / "gone.png").symlink_to("nowhere.png")
    (album / "one" / "back").symlink_to(album)
    (album / "itself").symlink_to("itself")
    return album


@pytest.mark.situation("folders")
def test_sub_folders_are_entered_on_request(loads: list, album: Path, capsys: pytest.CaptureFixture) -> None:
    """A circle of links ends; results lie beside each picture, and are never read."""
    for _ in range(2):
        assert main(["segment", str(album), "--recursive"]) == 0
        assert below(album) == of("a", "one/b", "one/two/c")
        assert "2 broken links" in capsys.readouterr().err
    assert len(loads) == 1


@pytest.mark.situation("folders")
def test_out_has_the_same_sub_folders(loads: list, album: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where it lies in the folder itself, which is named from the current one."""
    monkeypatch.chdir(album)
    for _ in range(2):
        assert main(["segment", ".", "--recursive", "--out", "results"]) == 0
        assert below(album) == {f"results/{name}" for name in of("a", "one/b", "one/two/c")}
    assert len(loads) == 1


@pytest.mark.situation("folders")
def test_two_sub_folders_with_one_name_of_picture(loads: list, album: Path, tmp_path: Path) -> None:
    picture(album / "one" / "a.png", "blue")
    assert main(["segment", str(album), "--recursive", "--out", str(tmp_path / "out")]) == 0
    assert below(tmp_path / "out") == of("a", "one/a", "one/b", "one/two/c")


@pytest.mark.situation("folders")
def test_what_is_passed_over_is_counted_by_why(loads: list, album: Path, capsys: pytest.CaptureFixture) -> None:
    for recursive in (False, True):
        assert main(["segment", str(album), *["--recursive"] * recursive]) == 0
        out, err = capsys.readouterr()
        (told,) = [line for line in err.splitlines() if line.startswith("walkcut: passed over ")]
        assert "passed over" not in out
        counts = dict(part.split(" ", 1)[::-1] for part in told.removesuffix(".").split("over ")[1].split(", "))
        expected = {"hidden": "1", "broken links": "2", "*.mov": "1", "without an ending": "1"}
        one = "sub-folders (--recursive enters them)"
        assert counts == (expected | {"hidden": "2", "*.MOV": "1"} if recursive else expected | {one: "1"})


@pytest.mark.situation("folders")
def test_nothing_is_said_where_nothing_is_passed_over(
    loads: list, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    picture(tmp_path / "a.png")
    for _ in range(2):  # its own results are not worth a word
        assert main(["segment", str(tmp_path), "--labels", "npy"]) == 0
        assert "passed over" not in "".join(capsys.readouterr())


@pytest.mark.situation("folders")
@pytest.mark.parametrize("name", ["map.labels.png", "map.overlay.png"])
def test_a_picture_that_is_named_like_a_result_is_read(
    loads: list, tmp_path: Path, capsys: pytest.CaptureFixture, name: str
) -> None:
    before = picture(tmp_path / name).read_bytes()
    for _ in range(2):
        assert main(["segment", str(tmp_path)]) == 0
        assert below(tmp_path) == {name} | of(name.removesuffix(".png"))
    picture(tmp_path / "map.png", "blue")
    assert main(["segment", str(tmp_path)]) == 1
    assert f"{tmp_path / 'map.png'} would overwrite {tmp_path / name}, a picture" in capsys.readouterr().err
    assert (tmp_path / name).read_bytes() == before


@pytest.mark.situation("folders")
@pytest.mark.parametrize("lost", ["a.tree.json", "a.png", "a.png and a.tree.json"])
def test_results_are_known_without_what_they_belong_to(loads: list, tmp_path: Path, lost: str) -> None:
    """As after a run that was killed before it wrote the tree, or when the picture was moved."""
    picture(tmp_path / "a.png")
    picture(tmp_path / "b.png")
    assert main(["segment", str(tmp_path)]) == 0
    for name in lost.split(" and "):
        (tmp_path / name).unlink()
    assert main(["segment", str(tmp_path)]) == 0
    assert {name for name in below(tmp_path) if name.count(".") > 2} == set()


@pytest.mark.situation("folders")
@pytest.mark.parametrize("link", ["a-link.png", "z-link.png"])
def test_the_file_s_own_name_wins_over_a_link(
    loads: list, tmp_path: Path, capsys: pytest.CaptureFixture, link: str
) -> None:
    picture(tmp_path / "m.png")
    (tmp_path / link).symlink_to("m.png")
    assert main(["segment", str(tmp_path)]) == 0
    assert below(tmp_path) == of("m")
    assert "passed over 1 links to pictures that are done by their own names" in capsys.readouterr().err


@pytest.mark.situation("folders")
def test_a_linked_folder_that_sorts_first_does_not_rename_its_pictures(loads: list, tmp_path: Path) -> None:
    picture(tmp_path / "album" / "m" / "p.png")
    (tmp_path / "album" / "a").symlink_to("m")
    assert main(["segment", str(tmp_path / "album"), "--recursive", "--out", str(tmp_path / "out")]) == 0
    assert below(tmp_path / "out") == of("m/p")


@pytest.mark.situation("folders")
def test_a_link_that_is_named_before_its_file(loads: list, tmp_path: Path) -> None:
    picture(tmp_path / "m.png")
    (tmp_path / "a.png").symlink_to("m.png")
    assert main(["segment", str(tmp_path / "a.png"), str(tmp_path / "m.png")]) == 0
    assert below(tmp_path) == of("m")
    assert main(["segment", str(tmp_path / "a.png")]) == 0
    assert below(tmp_path) == of("a", "m"), "alone, it is the name that was asked for"


@pytest.mark.situation("folders")
def test_a_folder_without_pictures_says_what_is_in_it(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    picture(tmp_path / "album" / "deep" / "a.png")
    assert main(["segment", str(tmp_path / "album")]) == 2
    assert "sub-folders (--recursive enters them)" in capsys.readouterr().err


@pytest.mark.situation("folders")
def test_every_kind_in_a_folder_is_taken(loads: list, tmp_path: Path) -> None:
    kinds = {"a.JFIF": "JPEG", "b.jpe": "JPEG", "c.avif": "AVIF", "d.jp2": "JPEG2000", "e.tif": "TIFF", "f.pnm": "PPM"}
    for name, kind in kinds.items():
        Image.new("RGB", (30, 20), "red").save(tmp_path / name, kind)
    assert main(["segment", str(tmp_path)]) == 0
    assert below(tmp_path) == of(*"abcdef")


# ---------------------------------------------------------------------------------------------------------------------
# Streams


@pytest.fixture
def stdin(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """What comes through the standard input: set its content. A folder of the name it has in commands is none."""
    monkeypatch.chdir(tmp_path_factory.mktemp("here"))
    Path("-").mkdir()
    stream = SimpleNamespace(buffer=io.BytesIO(), isatty=lambda: False)
    monkeypatch.setattr(sys, "stdin", stream)
    return stream


def sent(colour: str = "red", kind: str = "PNG") -> io.BytesIO:
    content = io.BytesIO()
    Image.new("RGB", (30, 20), colour).save(content, kind)
    return io.BytesIO(content.getvalue())


@pytest.mark.situation("streams")
@pytest.mark.parametrize("name", ["-", "/dev/stdin"])
@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_picture_through_the_standard_input(
    loads: list, tmp_path: Path, stdin: SimpleNamespace, capsys: pytest.CaptureFixture, name: str, kind: str
) -> None:
    stdin.buffer = sent(kind=kind)
    assert main(["segment", name, "--out", str(tmp_path)]) == 0
    assert below(tmp_path) == of("stdin")
    assert capsys.readouterr().out == f"stdin: 4 segments -> {tmp_path / 'stdin.labels.png'}\n"
    assert json.loads((tmp_path / "stdin.tree.json").read_text())["picture"] == "stdin"


@pytest.mark.situation("streams")
def test_the_standard_input_beside_files(
    loads: list, folder: Path, stdin: SimpleNamespace, tmp_path: Path
) -> None:
    """Named twice, it is read once; what is finished is known by its content."""
    for colour, looked in (("red", 1), ("red", 1), ("blue", 2)):
        stdin.buffer = sent(colour)
        assert main(["segment", "-", str(folder / "a.png"), "-", "--out", str(tmp_path / "out")]) == 0
        assert below(tmp_path / "out") == of("stdin", "a")
        assert len(loads) == looked


@pytest.mark.situation("streams")
@pytest.mark.parametrize("command", ["segment", "explore"])
@pytest.mark.parametrize(
    ("content", "terminal", "told"),
    [
        (b"", False, "stdin is empty (0 bytes)"),
        (b"a line of text\n", False, "stdin is not a picture"),
        (b"\xff\xd8\xff\xe0 half a head", False, "stdin is damaged"),
        (b"", True, "No picture comes through the standard input"),
    ],
)
def test_no_picture_through_the_standard_input(
    loads: list,
    tmp_path: Path,
    stdin: SimpleNamespace,
    capsys: pytest.CaptureFixture,
    command: str,
    content: bytes,
    terminal: bool,
    told: str,
) -> None:
    stdin.buffer, stdin.isatty = io.BytesIO(content), lambda: terminal
    assert main([command, "-", "--out", str(tmp_path / "out")]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith(f"walkcut: {told}")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.situation("streams")
def test_a_closed_standard_input(loads: list, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    assert main(["segment", "-"]) == 2
    assert "No picture comes through" in capsys.readouterr().err


@pytest.mark.situation("streams")
@pytest.mark.parametrize("kind", ["palette", "gray16", "npy"])
def test_labels_alone_go_to_the_standard_output(
    loads: list, stdin: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary, kind: str
) -> None:
    monkeypatch.chdir(tmp_path)
    stdin.buffer = sent()
    assert main(["segment", "-", "--out", "-", "--labels", kind]) == 0
    out, err = capfdbinary.readouterr()
    labels = np.load(io.BytesIO(out)) if kind == "npy" else np.asarray(Image.open(io.BytesIO(out)))
    np.testing.assert_array_equal(labels, quarters(SimpleNamespace(image=np.zeros((20, 30, 3)))).labels)
    assert err == b"stdin: 4 segments -> -\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.situation("streams")
def test_the_standard_output_takes_one_picture_and_no_terminal(
    loads: list, folder: Path, stdin: SimpleNamespace, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["segment", str(folder), "--out", "-"]) == 2
    assert "one picture go to stdout: name one, not 2" in capsys.readouterr().err
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert main(["segment", str(folder / "a.png"), "--out", "-"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "The standard output is a terminal" in err
    assert (outputs(folder), loads) == (set(), [])


@pytest.mark.situation("streams")
def test_a_page_goes_through_both(
    stdin: SimpleNamespace, tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary
) -> None:
    monkeypatch.chdir(tmp_path)
    stdin.buffer = sent()
    assert main(["explore", "-", "--out", "-", "--model", str(tiny_model), "--grid", "8", "--device", "cpu"]) == 0
    out, err = capfdbinary.readouterr()
    assert out.startswith(b"<!doctype html>")
    assert out.rstrip().endswith(b"</html>")
    assert (err, list(tmp_path.iterdir())) == (b"stdin -> -\n", [])


@pytest.mark.situation("streams")
@pytest.mark.parametrize("name", ["-photo.png", "--fresh.png", "-holiday.png"])
def test_a_name_that_begins_with_a_dash_gets_a_hint(
    loads: list, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    picture(tmp_path / name)
    assert main(["segment", name]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert f"name it ./{name}" in err
    for words in ([f"./{name}"], ["--", name]):
        assert main(["segment", "--fresh", *words]) == 0
        assert below(tmp_path) == of(name.removesuffix(".png"))


@pytest.mark.situation("streams")
def test_a_pipe_that_is_named_as_a_file_points_to_the_standard_input(
    loads: list, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    """As of `walkcut segment <(curl ...)`."""
    os.mkfifo(tmp_path / "pipe.png")
    assert main(["segment", str(tmp_path / "pipe.png")]) == 2
    assert "send it to `walkcut segment -`" in capsys.readouterr().err


# ---------------------------------------------------------------------------------------------------------------------
# Labels and overlays


@pytest.mark.situation("labels")
@pytest.mark.parametrize("segments", [3, 256, 300])
@pytest.mark.parametrize("kind", ["palette", "gray16", "npy"])
def test_labels_are_read_as_the_help_says(
    loads: list, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, segments: int
) -> None:
    labels = (np.arange(20 * 30).reshape(20, 30) % segments).astype(np.int32)

    def many(record: SimpleNamespace) -> SimpleNamespace:
        result = quarters(record)
        result.labels, result.count = labels, segments
        return result

    monkeypatch.setattr(walkcut.app.batch, "cut", many)
    picture(tmp_path / "a.png")
    assert main(["segment", str(tmp_path / "a.png"), "--labels", kind]) == 0
    if kind == "npy":
        found = np.load(tmp_path / "a.labels.npy")
        assert found.dtype == np.int32
        np.testing.assert_array_equal(found, labels)
        assert not (tmp_path / "a.labels.png").exists()
        return
    path = str(tmp_path / "a.labels.png")
    with Image.open(path) as read:
        np.testing.assert_array_equal(np.asarray(read), labels)
        assert read.mode == ("P" if kind == "palette" and segments <= 256 else "I;16")
    if kind == "gray16":
        import cv2
        from skimage.io import imread

        np.testing.assert_array_equal(imread(path), labels)
        np.testing.assert_array_equal(cv2.imread(path, cv2.IMREAD_UNCHANGED), labels)


@pytest.mark.situation("labels")
def test_labels_of_another_kind_are_not_finished(loads: list, folder: Path, capsys: pytest.CaptureFixture) -> None:
    for runs, kind in enumerate(["palette", "gray16", "npy", "palette"], 1):
        for _ in range(2):
            assert main(["segment", str(folder), "--labels", kind]) == 0
            assert len(loads) == runs
        assert "2 of 2 were finished earlier" in capsys.readouterr().out
        with Image.open(folder / "a.labels.png") as labels:
            assert labels.mode == ("P" if kind == "palette" else "I;16")
    (folder / "a.labels.npy").unlink()
    main(["segment", str(folder)])
    assert len(loads) == runs, "what was not asked for may be missing"


@pytest.mark.situation("labels")
def test_the_help_says_how_labels_are_read(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit):
        main(["segment", "--help"])
    told = " ".join(capsys.readouterr().out.split())
    assert all(word in told for word in ("--labels", "gray16", "npy", "IMREAD_UNCHANGED", "np.asarray(Image.open"))


@pytest.mark.situation("labels")
@pytest.mark.parametrize("name", ["a.jpg", "a.png"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_all_outputs_have_the_full_size(loads: list, tmp_path: Path, name: str, orientation: int) -> None:
    rows = np.arange(300)[:, None, None] // 100 % 2 * 120
    columns = np.arange(3000)[None, :, None] // 500 % 2 * 120
    colours = (rows + columns + np.zeros(3)).astype(np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(colours).save(tmp_path / name, exif=exif, **({"quality": 95} if name == "a.jpg" else {}))
    upright = colours if orientation == 1 else np.rot90(colours, -1)
    assert main(["segment", str(tmp_path / name)]) == 0
    with Image.open(tmp_path / "a.labels.png") as labels, Image.open(tmp_path / "a.overlay.png") as shown:
        assert labels.size == shown.size == upright.shape[1::-1]
        found, numbers = np.asarray(shown).astype(int), np.asarray(labels)
    tint = walkcut.app.outputs.palette(4)[numbers]
    expected = 0.55 * upright + 0.45 * tint
    near = np.abs(found - expected).max(2) < 4
    assert near.mean() > 0.9, "the picture's own pixels, but for lines"


@pytest.mark.situation("labels")
def test_a_picture_that_is_replaced_before_its_overlay_is_drawn(
    loads: list, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    path = picture(tmp_path / "a.png", size=(2100, 30))
    cut = walkcut.app.batch.cut
    monkeypatch.setattr(walkcut.app.batch, "cut", lambda record: picture(path, "blue") and cut(record))
    assert main(["segment", str(path)]) == 2
    assert "a.png was replaced while it was segmented" in capsys.readouterr().err
    assert below(tmp_path) == set()


@pytest.mark.situation("large")
def test_a_panorama_is_cut_along_both_its_sides(tmp_path: Path) -> None:
    """The real method: 60 times as long as high, on 32 patches."""
    colours = np.full((40, 2400, 3), [30.0, 40.0, 150.0])
    colours[20:] = [240, 200, 40]
    colours[:20, 1200:] = [30, 190, 60]
    colours[20:, 1200:] = [240, 240, 250]
    noise = np.random.default_rng(0).normal(0, 6, colours.shape)
    Image.fromarray((colours + noise).clip(0, 255).astype(np.uint8)).save(tmp_path / "a.png")
    assert main(["segment", str(tmp_path / "a.png"), "--device", "cpu", "--grid", "32", "--threshold", "0.1"]) == 0
    with Image.open(tmp_path / "a.labels.png") as labels:
        found = np.asarray(labels)
    assert len({found[10, 600], found[30, 600], found[10, 1800], found[30, 1800]}) == 4

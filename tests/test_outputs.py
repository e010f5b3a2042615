"""Files of results: what tells them from others, how they are written, what they look like."""

import os
import stat
from dataclasses import fields, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from walkcut.app import export, outputs
from walkcut.app.outputs import Job, claim, finished, overlay, palette, plan, read, reader, save, write_whole
from walkcut.errors import InputError
from walkcut.recipe import Recipe

OTHER = {
    "model": "sd-1.4",
    "weights": "0123456789abcdef",
    "dtype": "bfloat16",
    "prompt": "a dog",
    "grid": 32,
    "noise": "none",
    "timesteps": (10, 100),
    "seed": 1,
    "heads": {"up.0": (1.0, 0.5)},
    "inverse_temperature": 2.0,
    "jump_chain": True,
    "inflation": 2.5,
    "spatial_prior": 0.25,
    "steps": 2,
    "graph": "average",
    "threshold": 0.5,
    "pixels": "pamr",
}


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Job:
    """A picture whose results are there, made by `Recipe()`."""
    monkeypatch.setattr(export, "tree_to_dict", lambda tree: {"grid": [2, 3]})
    Image.new("RGB", (30, 20), "red").save(tmp_path / "a.png")
    job = Job(tmp_path / "a.png", tmp_path / "a")
    made(job)
    return job


def made(job: Job, recipe: Recipe | None = None) -> None:
    """Results of a picture, all one segment."""
    picture = replace(read(job), record=SimpleNamespace(recipe=recipe or Recipe()))
    labels = np.zeros(picture.image.shape[:2], np.int32)
    found = {"image": picture.image, "labels": labels, "patch_labels": labels, "count": 1, "tree": None}
    save(picture, SimpleNamespace(**found, threshold=None, criterion="gap"))


@pytest.mark.parametrize("name", [setting.name for setting in fields(Recipe)])
def test_results_by_another_recipe_are_not_taken_for_finished(job: Job, name: str) -> None:
    """Each setting in turn; those of the other recipe are then finished, and no longer the first's."""
    other = replace(Recipe(), **{name: OTHER[name]})
    assert finished(job, Recipe())
    assert not finished(job, other)
    made(job, other)
    assert finished(job, other)
    assert not finished(job, Recipe())


def test_results_of_another_picture_are_not_taken_for_finished(job: Job) -> None:
    """Whatever its date says."""
    status = job.path.stat()
    Image.new("RGB", (30, 20), "blue").save(job.path)
    os.utime(job.path, (0, 0))
    assert not finished(job, Recipe())
    Image.new("RGB", (30, 20), "red").save(job.path)
    os.utime(job.path, (status.st_atime + 100, status.st_mtime + 100))
    assert finished(job, Recipe()), "the same picture with another date"
    renamed = Job(job.path.rename(job.path.with_name("b.png")), job.target)
    assert not finished(renamed, Recipe())


@pytest.mark.parametrize("at", [0, 1, 2])
def test_damaged_results_are_not_taken_for_finished(job: Job, at: int) -> None:
    path = job.outputs[at]
    whole = path.read_bytes()
    for damaged in (whole[:50], b"", b"[]", b"{}", b"\xff\xfe", whole[:20] + b"?" + whole[21:]):
        path.write_bytes(damaged)
        assert not finished(job, Recipe())
    path.write_bytes(whole)
    assert finished(job, Recipe())


def test_a_picture_that_changes_while_it_is_read_is_done_again(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    before, read_image = job.path.read_bytes(), outputs.read_image

    def replaced_first(path: Path) -> np.ndarray:
        Image.new("RGB", (4, 4), "blue").save(path)
        return read_image(path)

    monkeypatch.setattr(outputs, "read_image", replaced_first)
    made(job)
    assert not finished(job, Recipe())
    job.path.write_bytes(before)
    monkeypatch.undo()


def test_what_cannot_be_read_says_why(job: Job, tmp_path: Path) -> None:
    broken = Job(tmp_path / "broken.png", tmp_path / "broken")
    broken.path.write_text("no picture")
    gone = Job(tmp_path / "gone.png", tmp_path / "gone")
    good, bad, none = reader()([job, broken, gone])
    assert (good.failure, good.size, good.digest) == ("", (20, 30), outputs.digest(job.path))
    assert bad.failure.startswith(f"{broken.path} is not a picture: use a common JPEG, PNG, ")
    assert str(gone.path) in none.failure


def test_what_is_no_regular_file_is_written_into(tmp_path: Path) -> None:
    """A device that is named, or that a link leads to, stays one."""
    pipe, link = tmp_path / "pipe", tmp_path / "page.html"
    os.mkfifo(pipe)
    reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    link.symlink_to(pipe)
    write_whole({link: b"one "})
    write_whole({pipe: b"two"})
    assert os.read(reading, 100) == b"one two"
    os.close(reading)
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert sorted(tmp_path.iterdir()) == [link, pipe]


def test_a_link_is_followed(tmp_path: Path) -> None:
    target, link = tmp_path / "deep" / "target", tmp_path / "link"
    target.parent.mkdir()
    link.symlink_to("deep/target")  # which is not there yet
    for content in (b"one", b"two"):
        write_whole({link: content})
        assert (link.is_symlink(), target.read_bytes()) == (True, content)
    assert list(target.parent.iterdir()) == [target]


def test_results_that_are_links_are_written_where_they_lead(job: Job, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    for output in job.outputs:
        output.rename(kept / output.name)
        output.symlink_to(kept / output.name)
    made(job, replace(Recipe(), seed=5))
    assert finished(job, replace(Recipe(), seed=5))
    assert all(output.is_symlink() for output in job.outputs)
    assert sorted(kept.iterdir()) == sorted(kept / output.name for output in job.outputs)


def test_two_results_that_lead_to_one_file_are_refused(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        Image.new("RGB", (3, 3)).save(tmp_path / name)
    (tmp_path / "b.labels.png").symlink_to("a.labels.png")
    jobs, failures, _ = plan([str(tmp_path)], [], None)
    assert [job.path.name for job in jobs] == ["a.png"]
    assert "b.png would overwrite" in failures[0]


def test_a_claim_leaves_nothing_in_the_folder(tmp_path: Path) -> None:
    claim(tmp_path / "a.png", [tmp_path / "new" / "page.html"], {})
    assert list(tmp_path.rglob("*")) == [tmp_path / "new"]


def test_of_several_files_the_last_is_there_only_with_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, last = tmp_path / "first", tmp_path / "last"
    write_whole({first: b"1", last: b"1"})
    put = Path.replace

    def killed(part: Path, place: Path) -> Path:
        if place == last:
            raise KeyboardInterrupt
        return put(part, place)

    monkeypatch.setattr(Path, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        write_whole({first: b"2", last: b"2"})
    assert [path.name for path in tmp_path.iterdir()] == ["first"]
    with pytest.raises(KeyboardInterrupt):
        write_whole({last: b"3"})
    monkeypatch.undo()
    write_whole({last: b"3"})
    monkeypatch.setattr(Path, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        write_whole({last: b"4"})
    assert last.read_bytes() == b"3", "alone, it is replaced or stays"


def test_what_cannot_be_written_is_told_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"page.html cannot be written \("):
        write_whole({tmp_path / "file" / "page.html": b""})


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

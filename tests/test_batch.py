"""Many pictures, from files to files: the same bytes whoever works, and one broken picture harms no other."""

import json
import os
import pickle
import shutil
import subprocess
import sys
import weakref
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from devices import there
from PIL import Image
from sklearn.metrics import adjusted_rand_score

from walkcut.app import batch, stages
from walkcut.app.batch import segment_files
from walkcut.app.cli import main
from walkcut.app.outputs import Job, finished, read
from walkcut.door import segment
from walkcut.errors import InputError
from walkcut.eyes.loading import load_backbone
from walkcut.eyes.models import find_eye
from walkcut.reading import read_image
from walkcut.recipe import Recipe, resolve
from walkcut.segmentation import Segmentation, WalkRecord, cut, extract_walks
from walkcut.walk import Walk

SIZES = {"a": (40, 60), "b": (60, 40), "c": (40, 60), "d": (40, 60), "e": (33, 33)}
GRID = 16


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five pictures of two colours and some noise."""
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    for name, (height, width) in SIZES.items():
        image = rng.integers(0, 30, (height, width, 3), dtype=np.uint8)
        image[:, : width // 2] += np.array(rng.integers(60, 220, 3), np.uint8)
        Image.fromarray(image).save(folder / f"{name}.png")
    return folder


def jobs(folder: Path, out: Path) -> list[Job]:
    out.mkdir(exist_ok=True)
    return [Job(path, out / path.stem) for path in sorted(folder.glob("*.png"))]


def contents(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(out.iterdir())}


def by(model: str = "dead-leaves", **settings: object) -> Recipe:
    return resolve("walkcut", find_eye(model), {"grid": GRID} | settings)


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return by()


@pytest.fixture(scope="module")
def alone(folder: Path, recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Outputs of a run without workers."""
    out = tmp_path_factory.mktemp("alone")
    reports = list(segment_files(jobs(folder, out), recipe, workers=0, device="cpu"))
    assert [(report.job.path.stem, report.failure) for report in reports] == [(name, "") for name in SIZES]
    return contents(out)


def test_files_hold_what_segment_finds(folder: Path, alone: dict[str, bytes], tmp_path: Path) -> None:
    assert len(alone) == 15
    (tmp_path / "a.png").write_bytes(alone["a.labels.png"])
    with Image.open(folder / "a.png") as picture, Image.open(tmp_path / "a.png") as labels:
        expected = segment(np.asarray(picture), load_backbone("dead-leaves", "cpu"), grid=GRID)
        assert np.array_equal(np.asarray(labels), expected.labels)
    assert json.loads(alone["a.tree.json"])["segments"] == expected.count == 2


def test_processes_write_the_same_bytes(folder: Path, recipe: Recipe, alone: dict[str, bytes], tmp_path: Path) -> None:
    reports = list(segment_files(jobs(folder, tmp_path), recipe, workers=2, device="cpu"))
    assert [report.job.path.stem for report in reports] == list(SIZES)
    assert contents(tmp_path) == alone


def test_a_denoiser_that_is_loaded_already_finds_the_same(
    folder: Path, recipe: Recipe, alone: dict[str, bytes], tmp_path: Path
) -> None:
    backbone = load_backbone("dead-leaves", "cpu")
    work = jobs(folder, tmp_path)
    assert not any(report.failure for report in segment_files(work, recipe, workers=2, backbone=backbone))
    assert contents(tmp_path) == alone
    with pytest.raises(InputError, match="Ray's workers load their own denoiser"):
        next(segment_files(work, recipe, "ray", backbone=backbone))


def looked(folder: Path, recipe: Recipe, device: str = "cpu") -> WalkRecord:
    (record,) = extract_walks([read(Job(folder / "a.png", folder)).image], load_backbone("dead-leaves", device), recipe)
    return record


def test_a_law_that_was_found_travels_with_its_walk(folder: Path, recipe: Recipe) -> None:
    record = looked(folder, recipe)
    law = record.walk.stationary().law
    sent = pickle.loads(pickle.dumps(record))
    assert torch.equal(sent.walk.settled.law, law)
    assert torch.equal(sent.walk.P, record.walk.P)
    assert (sent.recipe, sent.timings) == (record.recipe, record.timings)


@pytest.mark.parametrize("settings", [{}, {"graph": "features"}])
def test_a_record_travels_without_a_copy(folder: Path, settings: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    """As large arrays, none of them a tensor, which torch would send its own way."""
    monkeypatch.setattr(stages, "LARGE", 1)
    record = looked(folder, by(**settings, threshold=0.5))
    monkeypatch.setattr(torch.Tensor, "__reduce_ex__", None)
    assert pickle.dumps(record)
    with stages._packed(record) as (text, files):
        assert len(text) < 20_000
        assert sum(os.fstat(file.fileno()).st_size for file in files) > record.walk.P.nbytes
    assert batch.carried(record).walk.P.data_ptr() == record.walk.P.data_ptr()


@pytest.mark.parametrize("grid", [GRID, 48])
def test_a_picture_leaves_the_gpu_cut(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, grid: int, elsewhere: list[int]
) -> None:
    """As labels and a tree, not as a table of n^2 numbers."""

    def on_a_gpu(own: Walk, recipe: Recipe) -> Walk:
        walk = under(own, recipe)
        return replace(walk, P=there(walk.P))

    picture, backbone = read(Job(folder / "a.png", tmp_path / "a")), load_backbone("dead-leaves", "cpu")
    expected = cut(batch._look([picture], backbone, by(grid=grid))[0].record)
    under = Walk.under
    monkeypatch.setattr(Walk, "under", on_a_gpu)
    (found,) = batch._look([picture], backbone, by(grid=grid))
    assert not found.failure
    assert isinstance(found.record, Segmentation)
    assert type(found.record.membership) is torch.Tensor
    table = 4 * len(expected.tree.order) ** 2
    assert max(elsewhere) < table or grid == GRID  # of a small picture the pixels are more
    np.testing.assert_array_equal(found.record.tree.order, expected.tree.order)
    np.testing.assert_array_equal(found.record.labels, expected.labels)
    np.testing.assert_allclose(found.record.tree.ncut, expected.tree.ncut, rtol=1e-5)  # a GPU adds up in another order
    assert batch._cut(found).count == expected.count
    assert finished(found.job, by(grid=grid))


@pytest.mark.gpu
def test_a_gpu_finds_the_law_and_cuts_the_picture(folder: Path) -> None:
    record = looked(folder, by(grid=48), "cuda")
    assert record.walk.P.is_cuda
    found = batch.near(record)
    assert record.walk.settled.law.is_cuda
    expected = Walk(record.walk.P.cpu(), record.walk.grid).stationary().law
    torch.testing.assert_close(record.walk.settled.law.cpu(), expected, rtol=1e-3, atol=1e-6)
    here = replace(record, walk=Walk(record.walk.P.cpu(), record.walk.grid))
    here = replace(here, own=here.walk if record.own is record.walk else Walk(record.own.P.cpu(), record.own.grid))
    assert adjusted_rand_score(cut(here).labels.ravel(), found.labels.ravel()) > 0.999
    sent = batch.carried(found)
    assert not sent.membership.is_cuda
    assert np.array_equal(sent.labels, found.labels)


@pytest.mark.gpu
def test_beside_a_gpu_processes_write_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    for workers in (0, 2):  # some regions are large enough to be cut on the GPU
        reports = segment_files(jobs(folder, tmp_path / f"{workers}"), by(grid=48), workers=workers, device="cuda")
        assert not any(report.failure for report in reports)
    assert contents(tmp_path / "0") == contents(tmp_path / "2")


@pytest.mark.gpu
def test_beside_a_gpu_ray_writes_the_same_labels(folder: Path, tmp_path: Path) -> None:
    """In a process of its own, so that this one stays without Ray."""
    reports = segment_files(jobs(folder, tmp_path / "here"), by(grid=48), workers=0, device="cuda")
    assert not any(report.failure for report in reports)
    words = ["segment", str(folder), "--out", str(tmp_path / "ray"), "--grid", "48", "--device", "cuda"]
    command = [sys.executable, "-m", "walkcut", *words, "--engine", "ray", "--workers", "2"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]

    def pictures(out: Path) -> dict[str, bytes]:
        return {name: data for name, data in contents(out).items() if "tree" not in name}

    assert len(contents(tmp_path / "ray")) == 15
    assert pictures(tmp_path / "ray") == pictures(tmp_path / "here")


def test_a_batch_finds_the_same_segments(
    folder: Path, recipe: Recipe, alone: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = []
    monkeypatch.setattr(
        batch, "extract_walks", lambda images, *given: together.append(len(images)) or extract_walks(images, *given)
    )
    list(segment_files(jobs(folder, tmp_path), recipe, workers=0, batch=4, device="cpu"))
    assert together == [3, 1, 1]
    found = contents(tmp_path)
    assert {n: b for n, b in found.items() if "tree" not in n} == {n: b for n, b in alone.items() if "tree" not in n}


@pytest.mark.parametrize("graph", ["features", "direct", "renormalised"])
def test_other_graphs_are_cut_as_segment_cuts_them(folder: Path, tmp_path: Path, graph: str) -> None:
    settings = {"graph": graph, "threshold": 0.9, "grid": 8}
    (job, *_) = jobs(folder, tmp_path)
    (report,) = segment_files([job], by(**settings), workers=1, device="cpu")
    expected = segment(read_image(job.path), load_backbone("dead-leaves", "cpu"), **settings)
    assert (report.failure, report.count) == ("", expected.count)
    with Image.open(job.outputs[0]) as labels:
        assert np.array_equal(np.asarray(labels), expected.labels)


@pytest.mark.parametrize(("workers", "size"), [(0, 1), (0, 4), (1, 4)])
def test_a_broken_picture_harms_no_other(
    folder: Path, recipe: Recipe, alone: dict[str, bytes], tmp_path: Path, workers: int, size: int
) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes((folder / "c.png").read_bytes()[:60])
    work = jobs(folder, tmp_path / "out")
    work.insert(1, Job(broken, tmp_path / "out" / "broken"))
    reports = list(segment_files(work, recipe, workers=workers, batch=size, device="cpu"))
    assert [bool(report.failure) for report in reports] == [False, True, *[False] * 4]
    assert str(broken) in reports[1].failure
    assert contents(tmp_path / "out").keys() == alone.keys()


NO_ROOM = RuntimeError("DefaultCPUAllocator: can't allocate memory")  # as torch has it


@pytest.mark.parametrize("error", [MemoryError(), torch.OutOfMemoryError(), torch.linalg.LinAlgError(), NO_ROOM])
def test_a_picture_on_which_a_pass_fails_is_found_out(
    folder: Path, recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fails(images: list, *given: object) -> list:
        assert sys.exc_info()[0] is None, "what failed before still holds its memory"
        if any(np.array_equal(image, bad) for image in images):
            raise error
        return extract_walks(images, *given)

    with Image.open(folder / "c.png") as picture:
        bad = np.asarray(picture)
    monkeypatch.setattr(batch, "extract_walks", fails)
    reports = list(segment_files(jobs(folder, tmp_path), recipe, workers=0, batch=5, device="cpu"))
    (told,) = filter(None, (report.failure for report in reports))
    assert told == reports[2].failure
    lack = "A grid of 16 takes about 30 MB of memory, and cpu ran out of it: "
    of_algebra = isinstance(error, torch.linalg.LinAlgError)
    assert told.startswith(f"{folder / 'c.png'}: {type(error).__name__ if of_algebra else lack}")


def test_a_fault_of_the_code_stops_the_run(
    folder: Path, recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def faulty(*_: object, **__: object) -> list:
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr(batch, "extract_walks", faulty)
    with pytest.raises(RuntimeError, match="shapes do not match"):
        list(segment_files(jobs(folder, tmp_path), recipe, workers=0, batch=5, device="cpu"))


def test_other_weights_in_the_same_folder_are_another_run(folder: Path, tiny_model: Path, tmp_path: Path) -> None:
    model = tmp_path / "model"
    shutil.copytree(tiny_model, model)
    (job, *_) = jobs(folder, tmp_path / "out")
    list(segment_files([job], by(str(model), grid=8), device="cpu"))
    assert finished(job, by(str(model), grid=8))
    weights = next(model.rglob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    assert not finished(job, by(str(model), grid=8))


def test_what_was_seen_is_let_go_before_it_is_tried_again(
    folder: Path, recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where there is no room for what the GPU gave, the rest of it must not stand in the way."""
    alive, carried = [], batch.carried

    def look(*given: object) -> list[WalkRecord]:
        assert not any(one() for one in alive)
        seen = extract_walks(*given)
        alive.extend(weakref.ref(one.walk) for one in seen)
        return seen

    def no_room_for_two(record: WalkRecord) -> WalkRecord:
        if len(alive) == 2:
            raise MemoryError
        return carried(record)

    monkeypatch.setattr(batch, "extract_walks", look)
    monkeypatch.setattr(batch, "carried", no_room_for_two)
    pictures = [read(Job(folder / f"{name}.png", folder)) for name in "ac"]
    assert not any(picture.failure for picture in batch._look(pictures, load_backbone("dead-leaves", "cpu"), recipe))


def test_weights_that_cannot_be_read_are_told_in_one_sentence(
    folder: Path, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    model = tmp_path / "model"
    shutil.copytree(tiny_model, model)
    (model / "vocabulary.safetensors").symlink_to(tmp_path / "nowhere")
    words = ["segment", str(folder / "a.png"), "--out", str(tmp_path / "out"), "--model", str(model)]
    assert main([*words, "--device", "cpu"]) == 2
    told = capsys.readouterr().err
    assert (str(model) in told, told.count("\n")) == (True, 1)


@pytest.mark.parametrize("engine", ["local", "ray"])
def test_a_model_that_is_not_here_is_told_before_anyone_works(folder: Path, tmp_path: Path, engine: str) -> None:
    with pytest.raises(InputError, match="nowhere"):
        next(segment_files(jobs(folder, tmp_path / "out"), Recipe(model=str(tmp_path / "nowhere")), engine))


def test_several_denoisers_ask_for_ray(folder: Path, recipe: Recipe, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="2 denoisers side by side need the engine 'ray'"):
        next(segment_files(jobs(folder, tmp_path), recipe, lookers=2))


def test_ray_is_asked_for_as_many_denoisers_as_lookers(
    folder: Path, recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    monkeypatch.setattr(batch, "stream", lambda items, stages, engine: asked.append((stages, engine)) or [])
    assert not list(segment_files(jobs(folder, tmp_path), recipe, "ray", workers=5, lookers=3))
    ((stages, engine),) = asked
    assert ([stage.workers for stage in stages], engine) == ([batch.READERS, 3, 5], "ray")


def test_nobody_reads_beside_a_denoiser_in_its_process(
    folder: Path, recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What silences warnings while a picture is read does so for all threads."""
    asked = []
    monkeypatch.setattr(batch, "stream", lambda items, stages, engine: asked.extend(stages) or [])
    for workers in (0, 1, 8):
        list(segment_files(jobs(folder, tmp_path), recipe, workers=workers, device="cpu"))
    assert [stage.workers for stage in asked] == [0, 0, 0, 1, 0, 1, batch.READERS, 0, 8]
    assert not any(stage.threads for stage in asked)


def test_outputs_of_two_settings_are_never_taken_for_one_run(
    folder: Path, recipe: Recipe, alone: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between the files of a second run with other settings, what lies there belongs to no run."""
    (job, *_) = jobs(folder, tmp_path)
    list(segment_files([job], recipe, device="cpu"))
    assert finished(job, recipe)
    other, put = replace(recipe, seed=1), Path.replace

    def killed(part: Path, output: Path) -> Path:
        if output == job.outputs[1]:
            raise KeyboardInterrupt
        return put(part, output)

    monkeypatch.setattr(Path, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        list(segment_files([job], other, device="cpu"))
    monkeypatch.undo()
    assert not finished(job, recipe)
    assert not finished(job, other)
    list(segment_files([job], recipe, device="cpu"))
    assert contents(tmp_path) == {name: data for name, data in alone.items() if name.startswith("a.")}


def test_the_command_takes_batches(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    words = ["segment", str(folder), "--out", str(tmp_path), "--grid", str(GRID), "--device", "cpu"]
    assert main([*words, "--batch", "3"]) == 0
    assert len(contents(tmp_path)) == 15
    assert main([*words, "--workers", "2", "--engine", "local"]) == 0
    assert "5 of 5 were finished earlier" in capsys.readouterr().out


@pytest.mark.situation("ray")
def test_ray_writes_the_same_bytes_also_when_a_worker_is_killed(
    folder: Path, alone: dict[str, bytes], tmp_path: Path, ray_node: dict[str, str]
) -> None:
    """Two cut; one is killed while it writes its first picture, before the last of three files.

    The caller's Ray is joined, and stays as it was.
    """
    code = f"""
import os, signal
import ray.data
from functools import partial
from pathlib import Path
import torch
from test_batch import by, jobs
from walkcut.app import batch
from walkcut.app.stages import Stage, stream
from walkcut.eyes.loading import load_backbone

def make():
    cut = batch._cutter()
    def cut_or_die(pictures):
        mark = Path({str(tmp_path / "mark")!r})
        if pictures[0].job.path.stem == "c" and not mark.exists():
            replace = Path.replace
            def last(part, output):
                if output.name.endswith(".tree.json"):
                    mark.touch()
                    os.kill(os.getpid(), signal.SIGKILL)
                return replace(part, output)
            Path.replace = last
        return cut(pictures)
    return cut_or_die

looker = partial(batch._looker, partial(load_backbone, "dead-leaves", "cpu"), None, by(), torch.get_num_threads())
stages = [Stage(batch.reader, 1), Stage(looker, 1), Stage(make, 2)]
work = jobs(Path({str(folder)!r}), Path(os.path.relpath({str(tmp_path / "out")!r})))  # seen from here
ray.init(include_dashboard=False, log_to_driver=False)
settings = vars(ray.data.DataContext.get_current()).copy()
reports = [one for group in stream([[job] for job in work], stages, "ray") for one in group]
assert ray.is_initialized()
assert vars(ray.data.DataContext.get_current()) == settings
print([report.failure for report in reports])
"""
    given = {"cwd": Path(__file__).parent, "env": ray_node, "timeout": 400}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, **given)
    assert "['', '', '', '', '']" in done.stdout.splitlines(), done.stderr[-2000:]
    assert (tmp_path / "mark").exists(), "nobody was killed"
    assert contents(tmp_path / "out") == alone

"""Many pictures, from files to files: the same bytes whoever works, and one broken picture harms no other."""

import json
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
from PIL import Image
from sklearn.metrics import adjusted_rand_score

from walkcut import many, presets, segmentation
from walkcut.backbone import load_backbone
from walkcut.cli import main
from walkcut.errors import InputError
from walkcut.files import Job, finished
from walkcut.images import read_image
from walkcut.many import Settings, segment_files
from walkcut.presets import PRESETS, Preset
from walkcut.segmentation import Seen, cut, look, segment
from walkcut.tree import NEAR, Growth
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


@pytest.fixture(scope="module")
def settings() -> Settings:
    return Settings(PRESETS["walkcut"], device="cpu", grid=GRID)


@pytest.fixture(scope="module")
def alone(folder: Path, settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Outputs of a run without workers."""
    out = tmp_path_factory.mktemp("alone")
    reports = list(segment_files(jobs(folder, out), settings, workers=0))
    assert [(report.job.path.stem, report.failure) for report in reports] == [(name, "") for name in SIZES]
    return contents(out)


def test_files_hold_what_segment_finds(folder: Path, alone: dict[str, bytes], tmp_path: Path) -> None:
    assert len(alone) == 15
    (tmp_path / "a.png").write_bytes(alone["a.labels.png"])
    with Image.open(folder / "a.png") as picture, Image.open(tmp_path / "a.png") as labels:
        expected = segment(np.asarray(picture), load_backbone("dead-leaves", "cpu"), grid=GRID)
        assert np.array_equal(np.asarray(labels), expected.labels)
    assert json.loads(alone["a.tree.json"])["segments"] == expected.count == 2


def test_processes_write_the_same_bytes(
    folder: Path, settings: Settings, alone: dict[str, bytes], tmp_path: Path
) -> None:
    reports = list(segment_files(jobs(folder, tmp_path), settings, workers=2))
    assert [report.job.path.stem for report in reports] == list(SIZES)
    assert contents(tmp_path) == alone


def test_a_denoiser_that_is_loaded_already_finds_the_same(
    folder: Path, settings: Settings, alone: dict[str, bytes], tmp_path: Path
) -> None:
    backbone = load_backbone("dead-leaves", "cpu")
    work = jobs(folder, tmp_path)
    assert not any(report.failure for report in segment_files(work, settings, workers=2, backbone=backbone))
    assert contents(tmp_path) == alone
    with pytest.raises(InputError, match="Ray's workers load their own denoiser"):
        next(segment_files(work, settings, "ray", backbone=backbone))


def test_a_law_that_was_found_travels_with_its_walk(folder: Path, settings: Settings) -> None:
    image = read_image(folder / "a.png")
    (seen,) = look([image], load_backbone("dead-leaves", "cpu"), settings.preset, GRID)
    law = seen.walk.stationary().law
    packed = many._packed(many._Picture(Job(folder / "a.png", folder / "a"), image), seen)
    assert torch.equal(many._unpacked(packed, settings.preset).walk.settled.law, law)


def test_a_tree_that_another_process_began_to_cut_travels_with_its_walk(folder: Path, settings: Settings) -> None:
    image = read_image(folder / "a.png")
    (seen,) = look([image], load_backbone("dead-leaves", "cpu"), settings.preset, GRID)
    expected = cut(seen)
    growth = Growth.start(seen.walk.reversible(), seen.walk.grid)
    growth.cut(above=60)
    assert len(growth.nodes) > 1
    assert growth.waiting
    picture = many._Picture(Job(folder / "a.png", folder / "a"), image)
    packed = pickle.loads(pickle.dumps(many._packed(picture, replace(seen, growth=growth))))
    assert not packed.growth.waiting  # graphs travel as arrays
    found = cut(many._unpacked(packed, settings.preset))
    assert found.tree.to_dict() == expected.tree.to_dict()
    assert np.array_equal(found.labels, expected.labels)


class Elsewhere(torch.Tensor):
    """A tensor that says it lies on a GPU, and asks to be brought here as those do."""

    is_cuda = True

    def cpu(self) -> torch.Tensor:
        return self.as_subclass(torch.Tensor)

    def numpy(self) -> np.ndarray:
        raise TypeError("can't convert cuda:0 device type tensor to numpy.")


@pytest.mark.parametrize("grid", [GRID, 48])  # 10 x 16 patches, cut here; 32 x 48, which a GPU begins to cut
def test_a_walk_of_any_size_leaves_the_gpu(
    folder: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch, grid: int
) -> None:
    def walk_for(*given: object) -> Walk:
        walk = presets.walk_for(*given)
        return replace(walk, P=walk.P.as_subclass(Elsewhere))

    backbone, picture = load_backbone("dead-leaves", "cpu"), many._read(many._Picture(Job(folder / "a.png", folder)))
    (expected,) = many._look([picture], backbone, replace(settings, grid=grid))
    monkeypatch.setattr(segmentation, "walk_for", walk_for)
    monkeypatch.setattr(many, "_fetched", lambda tensor: tensor.cpu().numpy())
    (found,) = many._look([picture], backbone, replace(settings, grid=grid))
    assert not found.failure
    assert found.regions
    assert (len(found.growth.nodes) > 1) == (grid > 32)
    one, other = (cut(many._unpacked(packed, settings.preset)) for packed in (expected, found))
    assert one.tree.to_dict() == other.tree.to_dict()


@pytest.mark.gpu
def test_a_gpu_finds_the_law_and_cuts_the_large_regions(folder: Path, settings: Settings) -> None:
    image = read_image(folder / "a.png")
    (seen,) = look([image], load_backbone("dead-leaves", "cuda"), settings.preset, 48)
    walk = seen.walk
    assert walk.settled.law.is_cuda
    expected = Walk(walk.P.cpu(), walk.grid).stationary().law
    torch.testing.assert_close(walk.settled.law.cpu(), expected, rtol=1e-3, atol=1e-6)
    regions = [region for _, region in seen.growth.waiting]
    assert len(seen.growth.nodes) > 1
    assert all(len(region) <= NEAR and not region.W.is_cuda for region in regions)
    alone = replace(seen, walk=Walk(walk.P.cpu(), walk.grid), growth=None)
    assert adjusted_rand_score(cut(alone).labels.ravel(), cut(seen).labels.ravel()) > 0.99


@pytest.mark.gpu
def test_beside_a_gpu_processes_write_the_same_bytes(folder: Path, settings: Settings, tmp_path: Path) -> None:
    there = replace(settings, device="cuda", grid=48)  # some regions are large enough to be cut on the GPU
    for workers in (0, 2):
        reports = segment_files(jobs(folder, tmp_path / f"{workers}"), there, workers=workers)
        assert not any(report.failure for report in reports)
    assert contents(tmp_path / "0") == contents(tmp_path / "2")


@pytest.mark.gpu
def test_beside_a_gpu_ray_writes_the_same_labels(folder: Path, settings: Settings, tmp_path: Path) -> None:
    """In a process of its own, so that this one stays without Ray."""
    there = replace(settings, device="cuda", grid=48)
    assert not any(report.failure for report in segment_files(jobs(folder, tmp_path / "here"), there, workers=0))
    words = ["segment", str(folder), "--out", str(tmp_path / "ray"), "--grid", "48", "--device", "cuda"]
    command = [sys.executable, "-m", "walkcut.cli", *words, "--engine", "ray", "--workers", "2"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]

    def pictures(out: Path) -> dict[str, bytes]:
        return {name: data for name, data in contents(out).items() if "tree" not in name}

    assert len(contents(tmp_path / "ray")) == 15
    assert pictures(tmp_path / "ray") == pictures(tmp_path / "here")


def test_a_batch_finds_the_same_segments(
    folder: Path, settings: Settings, alone: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    together, look = [], many.look
    monkeypatch.setattr(many, "look", lambda images, *a, **k: together.append(len(images)) or look(images, *a, **k))
    list(segment_files(jobs(folder, tmp_path), settings, workers=0, batch=4))
    assert together == [3, 1, 1]
    found = contents(tmp_path)
    assert {n: b for n, b in found.items() if "tree" not in n} == {n: b for n, b in alone.items() if "tree" not in n}


@pytest.mark.parametrize("graph", ["features", "direct"])
def test_other_graphs_are_cut_as_segment_cuts_them(folder: Path, tmp_path: Path, graph: str) -> None:
    preset = Preset("other", graph=graph, criterion=0.9)
    (job, *_) = jobs(folder, tmp_path)
    (report,) = segment_files([job], Settings(preset, device="cpu", grid=8))
    expected = segment(read_image(job.path), load_backbone("dead-leaves", "cpu"), preset=preset, grid=8)
    assert (report.failure, report.count) == ("", expected.count)
    with Image.open(job.outputs[0]) as labels:
        assert np.array_equal(np.asarray(labels), expected.labels)


@pytest.mark.parametrize("batch", [1, 4])
def test_a_broken_picture_harms_no_other(
    folder: Path, settings: Settings, alone: dict[str, bytes], tmp_path: Path, batch: int
) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes((folder / "c.png").read_bytes()[:60])
    work = jobs(folder, tmp_path / "out")
    work.insert(1, Job(broken, tmp_path / "out" / "broken"))
    reports = list(segment_files(work, settings, workers=0, batch=batch))
    assert [bool(report.failure) for report in reports] == [False, True, *[False] * 4]
    assert str(broken) in reports[1].failure
    assert contents(tmp_path / "out").keys() == alone.keys()


NO_ROOM = RuntimeError("DefaultCPUAllocator: can't allocate memory")  # as torch has it


@pytest.mark.parametrize("error", [MemoryError(), torch.OutOfMemoryError(), torch.linalg.LinAlgError(), NO_ROOM])
def test_a_picture_on_which_a_pass_fails_is_found_out(
    folder: Path, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    look = many.look

    def fails(images: list, *given: object, **named: object) -> list:
        assert sys.exc_info()[0] is None, "what failed before still holds its memory"
        if any(np.array_equal(image, bad) for image in images):
            raise error
        return look(images, *given, **named)

    with Image.open(folder / "c.png") as picture:
        bad = np.asarray(picture)
    monkeypatch.setattr(many, "look", fails)
    reports = list(segment_files(jobs(folder, tmp_path), settings, workers=0, batch=5))
    told = str(error) or type(error).__name__
    assert [report.failure for report in reports] == ["", "", f"{folder / 'c.png'}: {told}", "", ""]


def test_a_fault_of_the_code_stops_the_run(
    folder: Path, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def faulty(*_: object, **__: object) -> list:
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr(many, "look", faulty)
    with pytest.raises(RuntimeError, match="shapes do not match"):
        list(segment_files(jobs(folder, tmp_path), settings, workers=0, batch=5))


def test_other_weights_in_the_same_folder_are_another_run(folder: Path, tiny_model: Path, tmp_path: Path) -> None:
    model = tmp_path / "model"
    shutil.copytree(tiny_model, model)
    (job, *_) = jobs(folder, tmp_path / "out")
    settings = Settings(PRESETS["walkcut"], str(model), "cpu", grid=8)
    list(segment_files([job], settings))
    assert finished(job, Settings(PRESETS["walkcut"], str(model), "cpu", grid=8).record())
    weights = next(model.rglob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    assert not finished(job, Settings(PRESETS["walkcut"], str(model), "cpu", grid=8).record())


def test_what_was_seen_is_let_go_before_it_is_tried_again(
    folder: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where there is no room for what the GPU gave, the rest of it must not stand in the way."""
    looks, packed, alive = many.look, many._packed, []

    def look(*given: object, **named: object) -> list:
        assert not any(one() for one in alive)
        seen = looks(*given, **named)
        alive.extend(weakref.ref(one.walk) for one in seen)
        return seen

    def no_room_for_two(picture: many._Picture, seen: Seen) -> many._Picture:
        if len(alive) == 2:
            raise MemoryError
        return packed(picture, seen)

    monkeypatch.setattr(many, "look", look)
    monkeypatch.setattr(many, "_packed", no_room_for_two)
    pictures = [many._read(many._Picture(Job(folder / f"{name}.png", folder))) for name in "ac"]
    assert not any(picture.failure for picture in many._look(pictures, load_backbone("dead-leaves", "cpu"), settings))


def test_weights_that_cannot_be_read_are_told_where_they_are_loaded(
    folder: Path, settings: Settings, tiny_model: Path, tmp_path: Path
) -> None:
    model = tmp_path / "model"
    shutil.copytree(tiny_model, model)
    (model / "vocabulary.safetensors").symlink_to(tmp_path / "nowhere")
    assert Settings(PRESETS["walkcut"], str(model), "cpu").weights is None


@pytest.mark.parametrize("engine", ["local", "ray"])
def test_a_model_that_is_not_here_is_told_before_anyone_works(folder: Path, tmp_path: Path, engine: str) -> None:
    settings = Settings(PRESETS["walkcut"], model=str(tmp_path / "nowhere"), device="cpu")
    with pytest.raises(InputError, match="nowhere"):
        next(segment_files(jobs(folder, tmp_path / "out"), settings, engine))


def test_several_denoisers_ask_for_ray(folder: Path, settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="2 denoisers side by side need the engine 'ray'"):
        next(segment_files(jobs(folder, tmp_path), settings, lookers=2))


def test_ray_is_asked_for_as_many_denoisers_as_lookers(
    folder: Path, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    monkeypatch.setattr(many, "stream", lambda items, stages, engine: asked.append((stages, engine)) or [])
    assert not list(segment_files(jobs(folder, tmp_path), settings, "ray", workers=5, lookers=3))
    ((stages, engine),) = asked
    assert ([stage.workers for stage in stages], engine) == ([many.READERS, 3, 5], "ray")


def test_outputs_of_two_settings_are_never_taken_for_one_run(
    folder: Path, settings: Settings, alone: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between the files of a second run with other settings, what lies there belongs to no run."""
    (job, *_) = jobs(folder, tmp_path)
    list(segment_files([job], settings))
    assert finished(job, settings.record())
    other, put = replace(settings, seed=1), Path.replace

    def killed(part: Path, output: Path) -> Path:
        if output == job.outputs[1]:
            raise KeyboardInterrupt
        return put(part, output)

    monkeypatch.setattr(Path, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        list(segment_files([job], other))
    monkeypatch.undo()
    assert not finished(job, settings.record())
    assert not finished(job, other.record())
    list(segment_files([job], settings))
    assert contents(tmp_path) == {name: data for name, data in alone.items() if name.startswith("a.")}


def test_the_command_takes_batches(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    words = ["segment", str(folder), "--out", str(tmp_path), "--grid", str(GRID), "--device", "cpu"]
    assert main([*words, "--batch", "3"]) == 0
    assert len(contents(tmp_path)) == 15
    assert main([*words, "--workers", "2", "--engine", "local"]) == 0
    assert "5 of 5 were finished earlier" in capsys.readouterr().out


def test_ray_writes_the_same_bytes_also_when_a_worker_is_killed(
    folder: Path, alone: dict[str, bytes], tmp_path: Path
) -> None:
    """Two look and two cut; a cutter is killed while it writes its first picture, before the last of three files."""
    code = f"""
import os, signal, sys
from functools import partial
from pathlib import Path
from test_many import GRID, jobs
from walkcut import many
from walkcut.presets import PRESETS

def make(settings):
    cut = many._cutter(settings)
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

settings = many.Settings(PRESETS["walkcut"], device="cpu", grid=GRID)
stages = [many.Stage(many._reader, 2, threads=True), many.Stage(partial(many._looker, settings), 2),
          many.Stage(partial(make, settings), 2)]
work = jobs(Path({str(folder)!r}), Path(os.path.relpath({str(tmp_path / "out")!r})))  # seen from here
reports = [one for group in many.stream([[job] for job in work], stages, "ray") for one in group]
print([report.failure for report in reports])
"""
    here = Path(__file__).parent
    done = subprocess.run([sys.executable, "-c", code], cwd=here, capture_output=True, text=True, timeout=400)
    assert done.stdout.splitlines()[-1:] == ["['', '', '', '', '']"], done.stderr[-2000:]
    assert (tmp_path / "mark").exists(), "nobody was killed"
    assert contents(tmp_path / "out") == alone

"""Short names of denoisers: where weights are looked for, and what is said when they are not here."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
from huggingface_hub import snapshot_download
from huggingface_hub.errors import LocalEntryNotFoundError
from PIL import Image
from safetensors.torch import load_file, save_file

from walkcut.app.cli import main
from walkcut.errors import InputError
from walkcut.eyes import models
from walkcut.eyes.loading import load_backbone
from walkcut.eyes.models import MODELS, find_eye, model_folder, weights_digest
from walkcut.eyes.stable import LatentBackbone

EMBEDDED = {"dead-leaves": True}  # with whether they know words
UNET = "unet/diffusion_pytorch_model.safetensors"
Damage = Callable[[Path], object]
NAMES = [name for name, model in MODELS.items() if model.repository]


@pytest.fixture(autouse=True)
def nothing_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a folder of models nor a cache, and no network: whoever runs the tests may have both."""

    def empty(repository: str, local_files_only: bool, allow_patterns: str) -> str:
        assert local_files_only
        raise LocalEntryNotFoundError("not cached")

    monkeypatch.delenv(models.HOME, raising=False)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", empty)


def test_the_embedded_model_comes_first_and_is_here() -> None:
    assert next(iter(MODELS)) == "dead-leaves"
    for name, words in EMBEDDED.items():
        assert model_folder(name) == models.WEIGHTS / name
        assert (models.WEIGHTS / name / "unet" / "config.json").is_file()
        assert bool(load_backbone(name, "cpu").vocabulary) == words


def test_rows_are_whole() -> None:
    for name, model in MODELS.items():
        assert name == model.name
        assert model.licence
        assert model.pixels % (model.patch if model.vision else 64) == 0
        assert 0 < model.gigabytes < 30
        assert model.repository.count("/") == (name not in EMBEDDED)
    assert len({model.repository for model in MODELS.values()}) == len(MODELS) - len(EMBEDDED) + 1


@pytest.mark.parametrize("name", NAMES)
def test_one_sentence_tells_which_weights_are_missing_and_how_to_get_them(name: str) -> None:
    with pytest.raises(InputError) as caught:
        load_backbone(name, "cpu")
    said = str(caught.value)
    assert "\n" not in said
    assert ("in transformers format" in said) == MODELS[name].vision
    for words in (name, MODELS[name].repository, f"walkcut models --get {name}", f"$WALKCUT_MODELS/{name}"):
        assert words in said


def test_a_folder_of_models_is_looked_into(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tiny_model: Path) -> None:
    monkeypatch.setenv(models.HOME, str(tmp_path))
    with pytest.raises(InputError, match="not on this machine"):
        model_folder("sd-1.4")
    shutil.copytree(tiny_model, tmp_path / "sd-1.4")
    assert model_folder("sd-1.4") == tmp_path / "sd-1.4"
    assert load_backbone("sd-1.4", "cpu").name == "sd-1.4"


@pytest.mark.parametrize("name", ["sd-1.4", "CompVis/stable-diffusion-v1-4"])
def test_the_cache_of_the_hub_is_looked_into(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tiny_model: Path, name: str
) -> None:
    def cached(repository: str, local_files_only: bool, allow_patterns: str) -> str:
        assert allow_patterns == ["model_index.json", "config.json"]
        assert repository == "CompVis/stable-diffusion-v1-4"
        return str(tmp_path / "half")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", cached)
    (tmp_path / "half").mkdir()  # a fetch that was broken off
    with pytest.raises(InputError):
        model_folder(name)
    shutil.copytree(tiny_model, tmp_path / "half", dirs_exist_ok=True)
    assert model_folder(name) == tmp_path / "half"


def fetched(repository: str, folder: Path, hub: Path) -> Path:
    """What `fetch` leaves in the hub's cache of the model in a folder: its files, and a list of all of the repository.

    Files lie by their sums, the snapshot links to them, and the list names weights of other kinds that stayed there.
    """
    commit, home = "0123456789" * 4, hub / f"models--{repository.replace('/', '--')}"
    files = [file.relative_to(folder) for file in folder.rglob("*") if file.is_file()]
    listed = {name: {"size": 1, "blob_id": "f" * 40} for name in ("README.md", "unet/diffusion_pytorch_model.bin")}
    for number, file in enumerate(f for f in files if f.parts[0] != "words"):
        blob, place = home / "blobs" / f"{number:040x}", home / "snapshots" / commit / file
        blob.parent.mkdir(parents=True, exist_ok=True)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(folder / file, blob)
        place.symlink_to(os.path.relpath(blob, place.parent))
        listed[file.as_posix()] = {"size": blob.stat().st_size, "blob_id": blob.name}
    for name, text in (("refs/main", commit), (f"trees/{commit}.json", {"format_version": 1, "files": listed})):
        (home / name).parent.mkdir()
        (home / name).write_text(text if isinstance(text, str) else json.dumps(text))
    return home / "snapshots" / commit


@pytest.mark.parametrize("name", ["sd-1.4", "CompVis/stable-diffusion-v1-4"])
def test_what_was_fetched_is_found_in_a_real_cache_without_a_network(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, stable_model: Path, name: str
) -> None:
    def cut_off(*given: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(socket.socket, "connect", cut_off)
    with pytest.raises(InputError):
        model_folder(name)
    snapshot = fetched("CompVis/stable-diffusion-v1-4", stable_model, tmp_path)
    assert model_folder(name) == snapshot
    assert isinstance(load_backbone(name, "cpu"), LatentBackbone)


def test_an_eye_is_known_before_it_is_loaded(tiny_model: Path, stable_model: Path) -> None:
    """All that settings depend on, and no weights: the same as the eye of what is loaded."""
    for folder, prompt, latent in ((tiny_model, "", False), (stable_model, "lo  l", True)):
        eye = find_eye(str(folder), prompt=prompt)
        assert (eye.name, eye.dtype, eye.prompt, eye.latent) == (str(folder), "float32", prompt, latent)
        assert eye == load_backbone(str(folder), "cpu", prompt=prompt).eye
        assert find_eye(str(folder), dtype="bfloat16").dtype == "bfloat16"
        assert find_eye(str(folder), "cuda:1").dtype == ("float16" if latent else "float32")  # a GPU that is not here
        assert {eye: 1}[eye] == 1
    words = list(load_backbone("dead-leaves", "cpu").vocabulary)[:2]
    told = load_backbone("dead-leaves", "cpu", prompt="  ".join(words)).eye
    assert told == find_eye("dead-leaves", prompt="  ".join(words))
    assert told.prompt == " ".join(words)  # an embedded eye is told words, however they are spaced
    assert told != find_eye("dead-leaves")


def test_an_eye_costs_no_torch() -> None:
    """`walkcut --help` and the check of settings do not wait for it."""
    code = "import sys; from walkcut.recipe import resolve; from walkcut.eyes.models import find_eye; "
    code += "resolve('walkcut', find_eye()); print([n for n in ('torch', 'diffusers', 'scipy') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_a_dtype_that_is_not_known_is_refused() -> None:
    with pytest.raises(InputError, match="no dtype 'int8': choose auto, float32, float16, bfloat16"):
        find_eye(dtype="int8")


def test_a_digest_tells_weights_from_those_of_the_same_net_trained_anew(tmp_path: Path, tiny_model: Path) -> None:
    """It looks into the files: a copy elsewhere is the same, one number or another readout is not."""
    copy = tmp_path / "elsewhere"
    shutil.copytree(tiny_model, copy)
    before = weights_digest(tiny_model)
    assert len(before) == 16
    assert weights_digest(copy) == before == find_eye(str(copy)).weights
    (copy / "readout.json").write_text('{"timesteps": [20]}')
    read_elsewhere = weights_digest(copy)
    assert read_elsewhere != before
    weights = next(copy.rglob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    assert weights_digest(copy) not in (before, read_elsewhere)
    with pytest.raises(InputError, match="nowhere"):
        find_eye(str(tmp_path / "nowhere"))


# ---------------------------------------------------------------------------------------------------------------------
# What people have in folders of models


def settings(part: str, **changes: object) -> Damage:
    """Change a part's settings."""

    def damage(folder: Path) -> None:
        path = next((folder / part).glob("*config.json"))
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return damage


def write(name: str, content: bytes | str) -> Damage:
    """Write something else into a file."""
    return lambda folder: (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())


def values(part: str, value: float) -> Damage:
    """Fill those weights whose names hold a word."""

    def damage(folder: Path) -> None:
        tensors = load_file(folder / UNET)
        for name in tensors:
            if part in name:
                tensors[name].fill_(value)
        save_file(tensors, folder / UNET)

    return damage


def shortened(name: str) -> Damage:
    """Cut a file in half."""

    def damage(folder: Path) -> None:
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: len(content) // 2])

    return damage


def flipped(folder: Path) -> None:
    content = bytearray((folder / UNET).read_bytes())
    content[10] ^= 0xFF  # in the table of weights
    (folder / UNET).write_bytes(content)


def without(name: str) -> Damage:
    """Remove a file or a folder."""
    return lambda folder: shutil.rmtree(folder / name) if (folder / name).is_dir() else (folder / name).unlink()


def folder_for_file(name: str) -> Damage:
    return lambda folder: (without(name)(folder), (folder / name).mkdir())[0]


def heads(weights: object) -> Damage:
    return write("readout.json", json.dumps({"heads": weights}))


LAYER = "down_blocks.0.attentions.0.transformer_blocks.0.attn1"
TINY: dict[str, tuple[Damage, str]] = {
    "another architecture": (settings("unet", _class_name="FluxTransformer2DModel"), "FluxTransformer2DModel"),
    "a language model": (write("unet/config.json", '{"model_type": "llama"}'), "class None, not UNet2D"),
    "no attention": (settings("unet", down_block_types=["DownBlock2D"] * 2), "no attention to read"),
    "other sizes": (settings("unet", block_out_channels=[32, 64]), "cannot be read"),
    "other channels": (settings("unet", in_channels=4), "cannot be read"),
    "settings of texts": (settings("unet", block_out_channels=["a", "b"]), "cannot be read"),
    "settings of bytes": (write("unet/config.json", b"\xff\xfe\x00"), "cannot be read"),
    "settings cut off": (shortened("unet/config.json"), "cannot be read"),
    "settings that are a folder": (folder_for_file("scheduler/scheduler_config.json"), "cannot be read"),
    "no schedule": (without("scheduler"), "scheduler_config.json cannot be read"),
    "a short schedule": (settings("scheduler", num_train_timesteps=10), "cannot be read"),
    "a schedule of nan": (settings("scheduler", beta_start=float("nan")), "cannot be used"),
    "weights cut off": (shortened(UNET), "cannot be read"),
    "weights with a flipped byte": (flipped, "cannot be read"),
    "weights that are empty": (write(UNET, ""), "cannot be read"),
    "weights that are a page": (write(UNET, "<!DOCTYPE html><html>"), "cannot be read"),
    "weights that are a pointer": (write(UNET, "version https://git-lfs.github.com/spec/v1\n"), "cannot be read"),
    "weights that are a folder": (folder_for_file(UNET), "cannot be read"),
    "no weights": (without(UNET), "cannot be read"),
    "a weight of nan": (values("attn1.to_q", float("nan")), "attn1.to_q.weight is not finite"),
    "a weight of inf": (values("conv_in.bias", float("inf")), "conv_in.bias is not finite"),
    "weights that overflow": (values("conv_in", 1e30), "cannot be used"),
    "a readout of text": (write("readout.json", "hello"), "readout.json cannot be read"),
    "a readout of bytes": (write("readout.json", b"\xff\xfe\x00"), "readout.json cannot be read"),
    "a readout nested deep": (write("readout.json", "[" * 10**5), "readout.json cannot be read"),
    "a readout that is a folder": (lambda folder: (folder / "readout.json").mkdir(), "readout.json cannot be read"),
    "a readout of an unknown setting": (write("readout.json", '{"hats": 3}'), "no setting 'hats'"),
    "a readout of another layer": (heads({"down_blocks.9": [1, 1]}), "mend or remove its readout.json"),
    "a readout of another number of heads": (heads({LAYER: [1, 1, 1]}), "mend or remove its readout.json"),
    "a readout of negative heads": (heads({LAYER: [-1, 1]}), "readout of"),
    "a readout of heads without layers": (heads([1, 2]), "readout of"),
    "a readout of a wrong type": (write("readout.json", '{"steps": [1]}'), "readout of"),
}
STABLE: dict[str, tuple[Damage, str]] = {
    "no index": (without("model_index.json"), "model_index.json cannot be read"),
    "an index of a list": (write("model_index.json", "[]"), "model_index.json cannot be read"),
    "no vae": (without("vae"), "lacks the folder vae/"),
    "no text encoder": (without("text_encoder"), "lacks the folder text_encoder/"),
    "no tokenizer": (without("tokenizer"), "lacks the folder tokenizer/"),
    "a vae cut off": (shortened("vae/diffusion_pytorch_model.safetensors"), "cannot be read"),
    "a text encoder that is a page": (write("text_encoder/model.safetensors", "<html>"), "cannot be read"),
    "a tokenizer that is a page": (write("tokenizer/tokenizer.json", "<html>"), "cannot be read"),
    "a network for inpainting": (settings("unet", in_channels=9), "cannot be read"),
}
CASES = [("tiny_model", name) for name in TINY] + [("stable_model", name) for name in STABLE]


@pytest.mark.situation("models")
@pytest.mark.parametrize(("model", "case"), CASES)
def test_a_damaged_folder_is_blamed_and_no_picture(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    capfd: pytest.CaptureFixture,
    two_halves: np.ndarray,
    model: str,
    case: str,
) -> None:
    """In one sentence, once, however many pictures wait; and nothing is written."""
    folder = Path(shutil.copytree(request.getfixturevalue(model), tmp_path / "broken"))
    damage, told = {**TINY, **STABLE}[case]
    damage(folder)
    for name in ("a", "b"):
        Image.fromarray(two_halves).save(tmp_path / f"{name}.png")
    before = set(tmp_path.iterdir())
    capfd.readouterr()  # what other libraries said while the model was made
    words = ["--model", str(folder), "--grid", "8", "--device", "cpu", "--threshold", "0.5"]
    assert main(["segment", str(tmp_path / "a.png"), str(tmp_path / "b.png"), *words]) == 2
    out, err = capfd.readouterr()
    said = [line for line in err.splitlines() if "segmenting" not in line]  # a bar
    assert out == ""
    assert len(said) == 1
    assert str(folder) in said[0]
    assert told in said[0]
    assert any(remedy in said[0] for remedy in ("again", "choose", "mend", "anew"))
    assert ".png" not in said[0]
    assert set(tmp_path.iterdir()) == before


@pytest.mark.situation("models")
@pytest.mark.parametrize(
    "kind", ["a file", "an empty folder", "a part", "a broken link", "a device", "a language model"]
)
def test_what_is_there_but_is_no_model_is_named(tmp_path: Path, tiny_model: Path, kind: str) -> None:
    path = tmp_path / "model"
    if kind == "a file":
        shutil.copy(tiny_model / UNET, path)
    elif kind == "an empty folder":
        path.mkdir()
    elif kind == "a part":
        shutil.copytree(tiny_model / "unet", path)
    elif kind == "a broken link":
        path.symlink_to(tmp_path / "gone")
    elif kind == "a device":
        path = Path("/dev/null")
    else:
        path.mkdir()
        (path / "config.json").write_text('{"model_type": "llama"}')
    with pytest.raises(InputError, match=rf"^{path} is no model: name a folder in diffusers format") as caught:
        load_backbone(str(path), "cpu")
    assert "\n" not in str(caught.value)


@pytest.mark.situation("models")
@pytest.mark.parametrize("name", ["", "n" * 300, "a\0b", "../x/y", "a//b", "http://x/y"])
def test_a_name_that_no_folder_has_is_no_model(name: str) -> None:
    with pytest.raises(InputError, match="There is no model"):
        load_backbone(name, "cpu")


@pytest.mark.situation("models")
def test_a_damaged_model_ends_a_benchmark(tmp_path: Path, tiny_model: Path, capsys: pytest.CaptureFixture) -> None:
    """It is no failure of each of its pictures."""
    folder = Path(shutil.copytree(tiny_model, tmp_path / "broken"))
    values("attn1.to_q", float("nan"))(folder)
    words = ["--methods", "walkcut", "--grid", "8", "--every", "50", "--device", "cpu", "--out", str(tmp_path / "out")]
    assert main(["bench", "run", "scenes-seeds", "--model", str(folder), *words]) == 2
    err = capsys.readouterr().err
    assert "attn1.to_q.weight is not finite" in err
    assert err.count("\n") == 1


@pytest.mark.situation("models")
@pytest.mark.parametrize("lacking", ["unet/config.json", UNET, "vae", "text_encoder/model.safetensors", "tokenizer"])
def test_a_download_that_broke_off_is_not_here(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, stable_model: Path, lacking: str
) -> None:
    folder = Path(shutil.copytree(stable_model, tmp_path / "half"))
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *_, **__: str(folder))
    assert model_folder("sd-1.4") == folder
    without(lacking)(folder)
    with pytest.raises(InputError, match=r"not on this machine: run `walkcut models --get sd-1.4`"):
        model_folder("sd-1.4")

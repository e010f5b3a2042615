"""Short names of denoisers: where weights are looked for, and what is said when they are not here."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import huggingface_hub
import pytest
from huggingface_hub import snapshot_download
from huggingface_hub.errors import LocalEntryNotFoundError

from walkcut.errors import InputError
from walkcut.eyes import models
from walkcut.eyes.loading import load_backbone
from walkcut.eyes.models import MODELS, find_eye, model_folder, weights_digest

EMBEDDED = {"dead-leaves": True}  # with whether they know words
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
        assert model.pixels % 64 == 0
        assert 0 < model.gigabytes < 30
        assert model.repository.count("/") == (name not in EMBEDDED)
    assert len({model.repository for model in MODELS.values()}) == len(MODELS) - len(EMBEDDED) + 1


@pytest.mark.parametrize("name", NAMES)
def test_one_sentence_tells_which_weights_are_missing_and_how_to_get_them(name: str) -> None:
    with pytest.raises(InputError) as caught:
        load_backbone(name, "cpu")
    said = str(caught.value)
    assert "\n" not in said
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
    assert load_backbone(name, "cpu").vae is not None


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

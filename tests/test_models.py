"""Short names of denoisers: where weights are looked for, and what is said when they are not here."""

from __future__ import annotations

import json
import os
import shutil
import socket
from pathlib import Path

import huggingface_hub
import pytest
from diffusers import DiffusionPipeline
from huggingface_hub import snapshot_download
from huggingface_hub.errors import LocalEntryNotFoundError

from walkcut import models
from walkcut.backbone import load_backbone
from walkcut.errors import InputError
from walkcut.models import MODELS, fetch, fingerprint, model_folder

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
        assert allow_patterns == "model_index.json"
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


def test_fetching_names_what_went_wrong(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nothing to get for 'dead-leaves': choose from sd-1.4"):
        fetch("dead-leaves")

    def offline(*arguments: object, **named: object) -> str:
        raise OSError("We couldn't connect\nand more")

    monkeypatch.setattr(DiffusionPipeline, "download", offline)
    with pytest.raises(
        InputError, match=r"CompVis/stable-diffusion-v1-4 could not be fetched .We couldn't connect.: check"
    ):
        fetch("sd-1.4")
    asked = []

    def whole_files_only(repository: str, **named: object) -> str:
        asked.append(named)
        if "variant" in named:
            raise ValueError("no such variant")
        return str(tmp_path)

    monkeypatch.setattr(DiffusionPipeline, "download", whole_files_only)
    assert fetch("sd-3.5") == tmp_path
    assert len(asked) == 2
    assert all(named["text_encoder_3"] is None for named in asked)


def test_the_table_tells_what_is_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tiny_model: Path) -> None:
    shutil.copytree(tiny_model, tmp_path / "segmind-vega")
    monkeypatch.setenv(models.HOME, str(tmp_path))
    rows = {line.split()[0]: line for line in models.table().splitlines()[1:]}
    assert {name for name, line in rows.items() if " not here" not in line} == {*EMBEDDED, "segmind-vega"}
    assert rows["sd-2.1"].split()[1:8] == ["768", "px", "96", "x", "96", "2.6", "GB"]
    assert rows["dead-leaves"].endswith("here      BSD-3-Clause, comes with walkcut")


def test_a_fingerprint_tells_weights_from_those_of_the_same_net_trained_anew(tmp_path: Path, tiny_model: Path) -> None:
    """It looks into the files: a copy elsewhere is the same, one number or another readout is not."""
    copy = tmp_path / "elsewhere"
    shutil.copytree(tiny_model, copy)
    before = fingerprint(str(tiny_model))
    assert fingerprint(str(copy)) == before
    (copy / "readout.json").write_text('{"timesteps": [20]}')
    read_elsewhere = fingerprint(str(copy))
    assert read_elsewhere != before
    weights = next(copy.rglob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    assert fingerprint(str(copy)) not in (before, read_elsewhere)
    with pytest.raises(InputError, match="nowhere"):
        fingerprint(str(tmp_path / "nowhere"))

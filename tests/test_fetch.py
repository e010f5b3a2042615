"""Weights are fetched on request, and the list says which are here."""

from __future__ import annotations

import shutil
import socket
import time
from pathlib import Path

import huggingface_hub
import pytest
from diffusers import DiffusionPipeline
from huggingface_hub.errors import LocalEntryNotFoundError

from walkcut.app import fetch as module
from walkcut.app.fetch import fetch, table
from walkcut.errors import InputError
from walkcut.eyes import models


@pytest.fixture
def reached(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub answers."""
    monkeypatch.setattr(huggingface_hub, "model_info", lambda repository, timeout: None)


@pytest.mark.usefixtures("reached")
def test_fetching_names_what_went_wrong(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("dead-leaves", "tiger"):
        with pytest.raises(InputError, match=rf"nothing to get for '{name}': choose from sd-1.4"):
            fetch(name)

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


@pytest.mark.parametrize("answers", [False, None])
def test_a_hub_that_says_nothing_is_not_waited_for(monkeypatch: pytest.MonkeyPatch, answers: bool | None) -> None:
    """One that takes the call and is silent; and none."""
    with socket.create_server(("127.0.0.1", 0)) as server:  # whoever calls waits to be taken
        port = server.getsockname()[1] if answers is False else 9
        monkeypatch.setattr(module, "PATIENCE", 0.5)
        monkeypatch.setattr(huggingface_hub, "model_info", huggingface_hub.HfApi(f"http://127.0.0.1:{port}").model_info)
        started = time.monotonic()
        with pytest.raises(InputError, match=r"CompVis/stable-diffusion-v1-4 could not be fetched \(.+\): check"):
            fetch("sd-1.4")
        assert time.monotonic() - started < 60  # of which diffusers' import is most


def test_the_table_tells_what_is_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tiny_model: Path) -> None:
    def empty(repository: str, local_files_only: bool, allow_patterns: str) -> str:
        assert local_files_only
        raise LocalEntryNotFoundError("not cached")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", empty)
    shutil.copytree(tiny_model, tmp_path / "segmind-vega")
    monkeypatch.setenv(models.HOME, str(tmp_path))
    rows = {line.split()[0]: line for line in table().splitlines()[1:]}
    assert {name for name, line in rows.items() if " not here" not in line} == {"dead-leaves", "segmind-vega"}
    assert rows["sd-2.1"].split()[1:8] == ["768", "px", "96", "x", "96", "2.6", "GB"]
    assert rows["dead-leaves"].endswith("here      BSD-3-Clause, comes with walkcut")

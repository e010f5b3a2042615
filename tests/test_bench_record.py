"""How a result was made is told on every machine, and costs little."""

from __future__ import annotations

import importlib
import shutil
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from walkcut.app.outputs import digest
from walkcut.bench import record
from walkcut.errors import InputError
from walkcut.eyes.models import find_eye


def test_a_machine_without_resource_can_import_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows: `walkcut explore` died on it."""
    monkeypatch.setitem(sys.modules, "resource", None)
    importlib.reload(record)


def test_a_library_that_no_method_needed_may_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        if name == "scikit-learn":
            raise PackageNotFoundError(name)
        return "1"

    monkeypatch.setattr(record, "version", version)
    assert "scikit-learn" not in record.provenance("walkcut bench run")["versions"]
    assert record.versions()["torch"] == "1"


def test_weights_are_hashed_once_and_again_when_they_change(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = []
    monkeypatch.setattr(record, "digest", lambda path: read.append(path) or digest(path))
    folder = shutil.copytree(tiny_model, tmp_path / "mine")
    told = record.model_record(find_eye(str(folder)))
    assert told["name"] == "mine"
    assert all(len(found) == 64 for found in told["sha256"].values())
    assert record.model_record(find_eye(str(folder))) == told
    assert len(read) == len(told["sha256"])
    (folder / "readout.json").write_text('{"inflation": 3.0}')
    assert record.model_record(find_eye(str(folder)))["sha256"] != told["sha256"]


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be written"):
        record.keep(tmp_path / "file" / "result.json", {"command": ""}, "command")

"""How a result was made is told on every machine, and costs little."""

from __future__ import annotations

import importlib
import os
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

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


def test_weights_are_hashed_once_and_again_when_they_change(tiny_model: Path, tmp_path: Path) -> None:
    path = tmp_path / "weights"
    path.write_bytes(b"one")
    before = record._sha256.cache_info().misses
    first = record.sha256(path)
    assert record.sha256(path) == first
    assert record._sha256.cache_info().misses == before + 1
    path.write_bytes(b"two")
    os.utime(path, ns=(1, 1))
    assert record.sha256(path) != first
    told = record.model_record(find_eye(str(tiny_model)))
    assert told["name"] == tiny_model.name
    assert all(len(digest) == 64 for digest in told["sha256"].values())


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be written"):
        record.keep(tmp_path / "file" / "result.json", {"command": ""}, "command")

"""Which files a result depends on is read from the imports: an edit anywhere below makes old rows stale."""

from __future__ import annotations

from pathlib import Path

import pytest

from walkcut.bench.sources import PACKAGE, closure, digest

PEERS = ("autosc", "clusters", "diffcut", "diffseg", "maskcut")
LOOKING = ("walkcut.bench.ours", "walkcut.bench.ablate", *(f"walkcut.bench.peers.{peer}" for peer in PEERS))


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The package's code, to be edited."""
    for path in PACKAGE.rglob("*.py"):
        place = tmp_path / "walkcut" / path.relative_to(PACKAGE)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(path.read_bytes())
    return tmp_path / "walkcut"


def names(*modules: str) -> set[str]:
    return {path.relative_to(PACKAGE).as_posix() for path in closure(modules)}


def edited(package: Path, file: str, module: str) -> bool:
    """Whether an edit of a file changes a module's mark."""
    before = digest(frozenset([module]), package)
    digest.cache_clear()
    with (package / file).open("a") as code:
        code.write("# edited\n")
    return digest(frozenset([module]), package) != before


@pytest.mark.parametrize("module", LOOKING)
def test_what_starts_from_a_look_depends_on_the_noise(copy: Path, module: str) -> None:
    assert edited(copy, "noise.py", module)


@pytest.mark.parametrize("module", ["walkcut.bench.datasets", "walkcut.bench.criteria", "walkcut.bench.tasks"])
def test_what_draws_scenes_depends_on_textures(copy: Path, module: str) -> None:
    assert edited(copy, "textures.py", module)


def test_measures_depend_on_what_they_import_and_on_no_model(copy: Path) -> None:
    assert edited(copy, "bench/boundaries.py", "walkcut.bench.scorer")
    assert not edited(copy, "noise.py", "walkcut.bench.metrics")
    assert not edited(copy, "plots.py", "walkcut.bench.ours")


def test_imports_inside_functions_count_and_those_for_annotations_do_not(tmp_path: Path) -> None:
    package = tmp_path / "walkcut"
    (package / "room").mkdir(parents=True)
    for file, code in {
        "__init__.py": "from walkcut.a import x",
        "a.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import walkcut.never\nfrom walkcut import b",
        "b.py": '"""See `walkcut.never:x`."""\ndef f():\n    from walkcut.room.c import thing\n    import numpy',
        "room/__init__.py": "",
        "room/c.py": 'PLACES = {"name": "walkcut.room.d:function"}\nMORE = f"walkcut.room.e:{x}"',
        "room/d.py": "import walkcut.a",
        "room/e.py": "",
        "never.py": "",
    }.items():
        (package / file).write_text(code)
    every = closure(["walkcut.a", "numpy", "test_bench_run"], package)
    found = {path.relative_to(package).as_posix() for path in every}
    assert found == {"a.py", "b.py", "room/c.py", "room/d.py", "room/e.py"}


def test_everything_that_computes_ours_is_found() -> None:
    assert {"noise.py", "walk.py", "ncut.py", "tree.py", "segmentation.py", "bench/look.py", "bench/ours.py"} < names(
        "walkcut.bench.ours"
    )
    assert "bench/record.py" not in names("walkcut.bench.ours"), "how results are written changes none"

"""The rules of the house that a machine can check: imports run one way, paths are relative, pins and names agree."""

import ast
import functools
import importlib
import io
import json
import os
import pkgutil
import re
import tokenize
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import walkcut

ROOT = Path(__file__).resolve().parent.parent

# The core, from a picture to its segments. A module imports only modules that stand before it.
CORE = (
    *("registry", "recipe", "images", "threads", "backbone", "noise", "capture"),
    *("graph", "walk", "ncut", "tree", "pixels", "null", "criteria", "refine", "segmentation"),
)
# Rooms beside it, which the core never imports, and whom each of them may import beside the core and what is general.
GENERAL = ("errors", "memory", "reading", "samples", "textures", "scenes")
ROOMS = {
    "eyes": set(),
    "door": {"eyes"},
    "lab": set(),
    "app": {"door", "eyes", "lab", "widgets", "train", "bench"},  # the command offers them all
    "bench": {"door", "eyes", "lab", "app"},
    "train": {"eyes", "lab", "app"},
    "exercises": {"lab"},
    "plots": {"lab"},
    "widgets": {"eyes", "lab"},
}
# Code lines: docstrings, comments and blank lines apart. Where they stand, not where they should: the core is to have
# 1,500 and the whole 7,500. A new subject may add 300, and says what went for it.
MOST = {"core": 1701, "bench": 2623, "all": 9414}
SKIPPED = {"_build", "build", "dist", "__pycache__", "mathjax", "weights", "samples"}
TEXT = {".py", ".md", ".toml", ".yml", ".yaml", ".cff", ".txt", ".ipynb", ".json", ".bib", ".js", ".css", ".csv", ""}


def files(suffixes: set[str]) -> list[Path]:
    """Files with one of the suffixes; not the vendored, the built and the hidden, except .github and .ci."""
    found = []
    for folder, inner, names in os.walk(ROOT):
        keep = [d for d in inner if d in (".github", ".ci") or not d.startswith(".")]
        inner[:] = sorted(d for d in keep if d not in SKIPPED and not d.endswith(".egg-info"))
        found += [Path(folder, name) for name in sorted(names) if Path(name).suffix in suffixes and name != ".coverage"]
    return found


MODULES = [path for path in files({".py"}) if path.is_relative_to(ROOT / "walkcut")]
NOTEBOOKS = files({".ipynb"})


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def imported(path: Path) -> Iterator[str]:
    """Top modules of walkcut that a file imports, at its head or inside a function."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                package, _, rest = alias.name.partition(".")
                if package == "walkcut" and rest:
                    yield rest.partition(".")[0]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name(path)}, line {node.lineno}: write imports in full, from walkcut"
            package, _, rest = (node.module or "").partition(".")
            if package == "walkcut":
                yield from [rest.partition(".")[0]] if rest else [alias.name for alias in node.names]


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_imports_run_one_way(path: Path) -> None:
    module = path.relative_to(ROOT / "walkcut").parts[0].removesuffix(".py")
    found = set(imported(path)) - {"__version__"}
    if module in ("__init__", "__main__"):
        assert found <= {"eyes", "lab", "app"}
        return
    assert module in (*CORE, *GENERAL, *ROOMS), f"walkcut/{module} has no place: decide what it may import"
    if module in CORE:
        allowed = {"errors", *CORE[: CORE.index(module)]}
    elif module in GENERAL:
        allowed = {*GENERAL[: GENERAL.index(module)], "images"}
    else:
        allowed = {*CORE, *GENERAL, module} | ROOMS[module]
    assert found <= allowed, f"walkcut.{module} imports {sorted(found - allowed)}, which it may not"


def code_lines(path: Path) -> int:
    """Lines that hold code: docstrings, comments and blank lines apart."""
    text = path.read_text(encoding="utf-8")
    words = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            words |= set(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    idle = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER)
    lines = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in idle:
            lines |= set(range(token.start[0], token.end[0] + 1))
    return len(lines - words)


def test_the_house_is_as_small_as_it_is_promised() -> None:
    """The core can be read in one sitting; this is where its modules are listed."""
    core = [ROOT / "walkcut" / f"{module}.py" for module in CORE]
    bench = [path for path in MODULES if path.is_relative_to(ROOT / "walkcut" / "bench")]
    beside = [path for path in files({".py"}) if path.is_relative_to(ROOT / "book")]
    counted = {"core": core, "bench": bench, "all": [*MODULES, *beside]}
    lines = {room: sum(map(code_lines, paths)) for room, paths in counted.items()}
    assert {room: most for room, most in MOST.items() if lines[room] > most} == {}, lines


def called(node: ast.Call) -> str:
    return ast.unparse(node.func)


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_no_pickle_and_no_silent_except(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        where = f"{name(path)}, line {getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = {alias.name for alias in node.names} | {getattr(node, "module", None)}
            assert not names & {"pickle", "dill", "cloudpickle", "joblib"}, f"{where}: no pickle is ever loaded"
        elif isinstance(node, ast.Call) and called(node) == "torch.load":
            weights_only = [k.value for k in node.keywords if k.arg == "weights_only"]
            assert [ast.unparse(value) for value in weights_only] == ["True"], f"{where}: torch.load, weights_only=True"
        elif isinstance(node, ast.ExceptHandler):
            assert node.type is not None, f"{where}: except without a type"
            assert not all(isinstance(step, ast.Pass) for step in node.body), f"{where}: a silent except"


@pytest.mark.parametrize("path", files(TEXT), ids=name)
def test_no_absolute_path(path: Path) -> None:
    """A path of somebody's machine helps nobody else."""
    pattern = re.compile(r"(?<![\w.~:/$}-])/(?:home|root|Users|work|mnt|srv|tmp)/\w|\b[A-Z]:\\\\?Users")
    text = path.read_text(encoding="utf-8")
    found = [line.strip()[:120] for line in text.splitlines() if pattern.search(line)]
    assert path.name == "test_house.py" or found == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name)
def test_notebooks_hold_only_the_outputs_that_are_compared(path: Path) -> None:
    for number, cell in enumerate(json.loads(path.read_text(encoding="utf-8"))["cells"]):
        if cell["cell_type"] == "code" and cell["outputs"]:
            assert "nbval-check-output" in cell["metadata"].get("tags", []), f"cell {number} holds an output: clear it"


def test_the_notation_names_functions_that_exist() -> None:
    text = (ROOT / "book" / "notation.md").read_text(encoding="utf-8")
    names = re.findall(r"`(walkcut\.(?:(?:app|bench|eyes|lab)\.)?\w+)\.([\w.]+)`", text)
    assert names
    for module, path in names:
        found = functools.reduce(getattr, path.split("."), importlib.import_module(module))
        assert found.__doc__, f"{module}.{path} has no docstring"


NAMED = re.compile(r"`(walkcut(?:\.\w+)+)`")


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_names_in_comments_and_docstrings_lead_somewhere(path: Path) -> None:
    for found in set(NAMED.findall(path.read_text(encoding="utf-8"))):
        try:
            pkgutil.resolve_name(found)
        except (ImportError, AttributeError):  # an attribute of a dataclass without a default is none of the class
            owner, _, last = found.rpartition(".")
            fields = getattr(pkgutil.resolve_name(owner), "__annotations__", {})
            assert last in fields, f"{name(path)} speaks of {found}, which is not there"


def test_the_pins_are_the_declared_dependencies_within_their_ranges() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"].values()
    declared = [Requirement(line) for group in (project["dependencies"], *extras) for line in group]
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    pins = {canonicalize_name(r.name): r for r in map(Requirement, (x for x in lines if x and not x.startswith("#")))}
    assert set(pins) == {canonicalize_name(r.name) for r in declared}
    for requirement in declared:
        (pin,) = pins[canonicalize_name(requirement.name)].specifier
        assert pin.operator == "==", f"{requirement.name} is not pinned exactly"
        assert requirement.specifier.contains(pin.version), f"the pin {pin} is outside the range {requirement}"


def test_the_citation_names_the_version_of_the_package() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert citation["version"] == project["version"] == walkcut.__version__
    assert citation["license"] == project["license"]


def test_the_repository_address_stands_in_one_place() -> None:
    address = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))["repository"]["url"]
    holders = [name(path) for path in files(TEXT) if address.partition("://")[2] in path.read_text(encoding="utf-8")]
    assert holders == ["_config.yml"]

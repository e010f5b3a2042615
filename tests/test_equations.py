"""Equations of the book and functions of the module name each other, and the page of functions lists the pairs."""

import ast
import functools
import importlib
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from pages import extension

ROOT = Path(__file__).resolve().parent.parent
SETTING = extension("docstrings")  # how docstrings are set
CHAPTERS = [path for name in ("[0-9]*", "further-*", "model") for path in sorted((ROOT / "book").glob(f"{name}.ipynb"))]
MODULES = sorted([*(ROOT / "walkcut").rglob("*.py"), *(ROOT / "book" / "walkcut_book").glob("*.py")])
LABEL = re.compile(r"`(eq-[\w-]+)`")
ROW = re.compile(
    r"^\| \{eq\}`(eq-[\w-]+)` \| .+ \| \{py:\w+\}`([\w.]+) <(walkcut(?:_book)?\.[\w.]+)>` "
    r"\| `((?:book/)?walkcut[\w/]+\.py)` \|$"
)


@functools.cache
def labels() -> dict[str, str]:
    """Label of each numbered equation of the chapters, and the chapter that holds it."""
    found = {}
    for path in CHAPTERS:
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            for label in re.findall(r"^\$\$ \((eq-[\w-]+)\)$", "".join(cell["source"]), re.MULTILINE):
                assert label not in found, f"{label} stands in {found[label]} and in {path.name}"
                found[label] = path.name
    return found


def docstrings(path: Path) -> Iterator[tuple[str, str]]:
    """Dotted name and docstring of a module, its classes and functions."""
    file = path.relative_to(ROOT).with_suffix("").as_posix()
    module = file.removeprefix("book/").replace("/", ".").removesuffix(".__init__")

    def inside(node: ast.AST, name: str) -> Iterator[tuple[str, str]]:
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and (text := ast.get_docstring(node)):
            yield name, text
        for child in ast.iter_child_nodes(node):
            yield from inside(child, f"{name}.{child.name}" if hasattr(child, "name") and child.name else name)

    yield from inside(ast.parse(path.read_text(encoding="utf-8")), module)


@functools.cache
def citations() -> dict[str, list[str]]:
    """Equations that each docstring cites, by the dotted name of what it describes."""
    everything = (pair for path in MODULES for pair in docstrings(path))
    return {name: found for name, text in everything if (found := LABEL.findall(text))}


def rows() -> list[tuple[str, str, str, str]]:
    """Label, name shown, dotted name and file of each row of the table."""
    lines = (ROOT / "book" / "api.md").read_text(encoding="utf-8").splitlines()
    return [ROW.match(line).groups() for line in lines if line.startswith("| {eq}")]


def test_there_is_something_to_check() -> None:
    assert len(labels()) > 100
    assert len(citations()) > 40
    assert len(rows()) > 50
    assert {labels()[label][:2] for label, *_ in rows()} >= {"01", "02", "03", "04", "05", "06", "07", "08", "10"}


@pytest.mark.parametrize("name", citations())
def test_a_cited_equation_stands_in_a_chapter(name: str) -> None:
    missing = [label for label in citations()[name] if label not in labels()]
    assert missing == [], f"{name} cites equations that no chapter has"


@pytest.mark.parametrize("row", rows(), ids=lambda row: f"{row[0]}-{row[1]}")
def test_a_row_names_a_function_that_cites_its_equation(row: tuple[str, str, str, str]) -> None:
    label, shown, dotted, file = row
    module = file.removeprefix("book/").removesuffix(".py").replace("/", ".")
    assert dotted == f"{module}.{shown}"
    assert functools.reduce(getattr, shown.split("."), importlib.import_module(module)).__doc__
    assert label in citations().get(dotted, ()), f"the docstring of {dotted} does not cite {label}"


def test_every_citation_has_its_row() -> None:
    """But those of the checks of exercises, which compute nothing of their own."""
    cited = {(label, name) for name, found in citations().items() for label in found}
    cited = {(label, name) for label, name in cited if not name.startswith("walkcut.exercises")}
    assert cited == {(label, dotted) for label, _, dotted, _ in rows()}


def test_rows_follow_the_book() -> None:
    order = [list(labels()).index(label) for label, *_ in rows()]
    assert order == sorted(order)


@pytest.mark.parametrize(
    ("line", "set_as"),
    [
        ("See `walkcut.ncut.ncut`.", "See ``walkcut.ncut.ncut``."),
        ("Equations `eq-a` and `eq-b-c` of the book.", "Equations :eq:`eq-a` and :eq:`eq-b-c` of the book."),
        ("Largest entry of |P^T law - law|.", r"Largest entry of \|P^T law - law\|."),
        ("h*w, of *true* regions, 2 * f", r"h\*w, of *true* regions, 2 \* f"),
        ("grid : (h, w), with `h * w` = n", "grid : (h, w), with ``h * w`` = n"),
    ],
)
def test_docstrings_are_set_as_they_are_written(line: str, set_as: str) -> None:
    assert SETTING.plain(line) == set_as


def test_formulas_that_stand_apart_are_kept_as_they_are() -> None:
    lines = ["One:", "", "    a * b", "", "      |c|", "", "d * e", "Parameters", "----------", "f : int", "    2 * g"]
    kept = ["One:", "", ".. code-block:: text", "", "    a * b", "", "      |c|", ""]
    assert SETTING.set_lines(lines) == [*kept, r"d \* e", "Parameters", "----------", "f : int", r"    2 \* g"]

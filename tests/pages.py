"""What tests of the book's pages and extensions share: the cells of a notebook, what its code defines, an extension."""

import ast
import importlib.util
import json
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import matplotlib as mpl

BOOK = Path(__file__).resolve().parent.parent / "book"


@dataclass(frozen=True)
class Page:
    """A page of the book, a notebook."""

    path: Path
    cells: list[dict]

    def sources(self, kind: str) -> list[str]:
        """Of its cells of one kind, markdown or code."""
        return ["".join(cell["source"]) for cell in self.cells if cell["cell_type"] == kind]

    @property
    def text(self) -> str:
        return "\n".join(self.sources("markdown"))

    @property
    def prose(self) -> str:
        """Its text in one line."""
        return " ".join(self.text.split())

    @property
    def code(self) -> list[str]:
        return self.sources("code")

    def defined(self, first: str) -> dict:
        """What its code defines: all of the code `first`, then of the other cells the functions only."""
        mpl.use("Agg")
        names: dict = {}
        exec(first, names)
        for source in self.code[1:]:
            functions = [node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)]
            exec(compile(ast.Module(functions, []), self.path.name, "exec"), names)
        return names


def page_of(name: str) -> Page:
    """The page `book/NAME.ipynb`."""
    path = BOOK / f"{name}.ipynb"
    return Page(path, json.loads(path.read_text(encoding="utf-8"))["cells"])


def extension(name: str) -> ModuleType:
    """The extension `book/_ext/NAME.py`, as a module."""
    spec = importlib.util.spec_from_file_location(name, BOOK / "_ext" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module

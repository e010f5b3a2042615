"""The files of the package that a result depends on: all that its modules import, and what these import."""

from __future__ import annotations

import ast
import hashlib
import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import walkcut

PACKAGE = Path(walkcut.__file__).parent
NAMED = re.compile(r"walkcut(?:\.\w+)+(?=:)")  # "module:function", as a registry tells where what it names is found


def closure(modules: Iterable[str], package: Path = PACKAGE) -> tuple[Path, ...]:
    """Files of some modules and of everything of the package that they import, at once or later; sorted.

    What is imported for annotations alone is left out, and so are names of modules that are not of the package. The
    package's own front door counts for nothing: whoever imports a module passes it.
    """
    waiting, found = list(modules), set()
    while waiting:
        path = _file(waiting.pop(), package)
        if path and path not in found:
            found.add(path)
            waiting += _imported(path)
    return tuple(sorted(found))


@cache
def digest(modules: frozenset[str], package: Path = PACKAGE) -> str:
    """SHA-256 of all files in the closure of some modules, by their names and contents."""
    found = hashlib.sha256()
    for path in closure(modules, package):
        found.update(f"{path.relative_to(package).as_posix()}\n".encode() + path.read_bytes())
    return found.hexdigest()


def _file(name: str, package: Path) -> Path | None:
    """Where a module lies, if it is one of the package and not its front door."""
    first, *rest = name.split(".")
    place = package.joinpath(*rest)
    files = (place.with_suffix(".py"), place / "__init__.py") if first == package.name and rest else ()
    return next((path for path in files if path.is_file()), None)


@cache
def _imported(path: Path) -> tuple[str, ...]:
    return tuple(_names(ast.parse(path.read_text(encoding="utf-8"))))


def _names(node: ast.AST) -> Iterator[str]:
    """Names of what may be modules: imported, at the head of a file or inside a function, or told in a registry."""
    match node:
        case ast.If(test=ast.Name(id="TYPE_CHECKING")):
            return
        case ast.Import():
            yield from (alias.name for alias in node.names)
        case ast.ImportFrom(module=str(module)):
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)
        case ast.Constant(value=str(text)) if found := NAMED.match(text):
            yield found[0]
    for child in ast.iter_child_nodes(node):
        yield from _names(child)

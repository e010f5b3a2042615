"""Set the module's docstrings on the page of functions.

They are written to be read as plain text: `|S|`, `P^T` and `2*i` mean themselves there, and are no markup. The label of
an equation in backquotes becomes a link to that equation.
"""

import re

from sphinx.application import Sphinx

LABEL = re.compile(r"`(eq-[\w-]+)`")
MARKUP = re.compile(r"(?<!`)([|*\\])(?!`)")
NAME = re.compile(r"(?<![`:\w])`([^`\n]+)`(?!`)")


def plain(line: str) -> str:
    """The line with its names in backquotes set as code, labels as links, and everything else as it stands."""
    pieces, end = [], 0
    for found in NAME.finditer(line):
        label = LABEL.fullmatch(found[0])
        pieces += [MARKUP.sub(r"\\\1", line[end : found.start()]), f":eq:`{label[1]}`" if label else f"``{found[1]}``"]
        end = found.end()
    return "".join([*pieces, MARKUP.sub(r"\\\1", line[end:])])


def set_plainly(app: Sphinx, what: str, name: str, thing: object, options: object, lines: list[str]) -> None:
    """Rewrite a docstring before it is read as markup."""
    lines[:] = [plain(line) for line in lines]
    if what in ("attribute", "property"):
        lines.insert(0, "")  # napoleon takes what stands before a colon in the first line for the name of a class


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("autodoc-process-docstring", set_plainly, priority=400)  # before napoleon adds markup of its own
    return {"parallel_read_safe": True, "parallel_write_safe": True}

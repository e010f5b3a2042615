"""Set the module's docstrings on the page of functions.

They are written to be read as plain text: `|S|`, `P^T` and `2*i` mean themselves there, and are no markup. The label of
an equation in backquotes becomes a link to that equation.
"""

import re

from sphinx.application import Sphinx

LABEL = re.compile(r"eq-[\w-]+")
MARKUP = re.compile(r"(?<![\w*])(\*\w[^*\n]*\*)(?![\w*])|([|*\\])")  # *emphasis*, or a sign that means itself
NAME = re.compile(r"(?<![`:\w])`([^`\n]+)`(?!`)")


def literal(text: str) -> str:
    """The text with signs escaped that would be markup, but for emphasis."""
    return MARKUP.sub(lambda found: found[1] or "\\" + found[2], text)


def plain(line: str) -> str:
    """The line with its names in backquotes set as code, labels as links, and everything else as it stands."""
    pieces = NAME.split(line)  # every other one stands in backquotes
    pieces[::2] = map(literal, pieces[::2])
    pieces[1::2] = [f":eq:`{name}`" if LABEL.fullmatch(name) else f"``{name}``" for name in pieces[1::2]]
    return "".join(pieces)


def set_lines(lines: list[str]) -> list[str]:
    """A docstring's lines; what stands apart, after an empty line and four places further in, is kept as it is."""
    done, last, inside = [], 0, 0
    for line in lines:
        indent = len(line) - len(line.lstrip())
        if line.strip() and not (inside and indent >= inside):
            apart = done and not done[-1].strip() and indent >= last + 4
            inside = indent if apart else 0
            if apart:
                done += [" " * last + ".. code-block:: text", ""]
            else:
                last = indent
        done.append(line if inside else plain(line))
    return done


def set_plainly(app: Sphinx, what: str, name: str, thing: object, options: object, lines: list[str]) -> None:
    """Rewrite a docstring before it is read as markup."""
    lines[:] = set_lines(lines)
    if what in ("attribute", "property"):
        lines[:0] = ["..", ""]  # a comment: napoleon takes what precedes a colon in the first line for a class's name


def skip(app: Sphinx, what: str, name: str, thing: object, skipped: bool, options: object) -> bool | None:
    """Leave out the fields of named tuples, which say "Alias for field number"; their class describes them."""
    return True if (getattr(thing, "__doc__", "") or "").startswith("Alias for field") else None


def setup(app: Sphinx) -> None:
    app.connect("autodoc-process-docstring", set_plainly, priority=400)  # before napoleon adds markup of its own
    app.connect("autodoc-skip-member", skip)

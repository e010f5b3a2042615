"""Intervals in the cells of tables, told to the style sheet: it keeps each on a line of its own, unbroken."""

import re

from docutils import nodes
from sphinx.application import Sphinx

INTERVAL = re.compile(r"(\[[-+\d.]+, [-+\d.]+\])")


def mark(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Wrap each interval of a table in an element of its own."""
    for entry in doctree.findall(nodes.entry):
        for text in list(entry.findall(nodes.Text)):
            pieces = INTERVAL.split(text.astext())
            if len(pieces) > 1:
                marked = [nodes.inline("", "", nodes.Text(piece), classes=["interval"]) for piece in pieces[1::2]]
                plain = [nodes.Text(piece) for piece in pieces[::2]]
                new = [node for pair in zip(plain, marked, strict=False) for node in pair] + plain[-1:]
                text.parent.replace(text, [node for node in new if node.astext()])


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("doctree-resolved", mark)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

"""Intervals in the cells of tables, told to the style sheet: it keeps each on a line of its own, unbroken."""

import re

from docutils import nodes
from sphinx.application import Sphinx

INTERVAL = re.compile(r"(\[[-+\d.]+, [-+\d.]+\])")


def mark(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Wrap each interval of a table in an element of its own."""
    for entry in doctree.findall(nodes.entry):
        for text in list(entry.findall(nodes.Text)):
            pieces = [nodes.Text(piece) for piece in INTERVAL.split(text)]
            pieces[1::2] = [nodes.inline("", "", piece, classes=["interval"]) for piece in pieces[1::2]]
            text.parent.replace(text, [piece for piece in pieces if piece.astext()])


def setup(app: Sphinx) -> None:
    app.connect("doctree-resolved", mark)

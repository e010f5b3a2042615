"""Intervals in tables of the book: each an element of its own, and on a line of its own."""

from docutils import nodes
from docutils.utils import new_document
from pages import extension

intervals = extension("intervals")


def marked(text: str, kind: type[nodes.Element]) -> list[str]:
    """What is taken for an interval where this text stands, and that no text is lost."""
    document = new_document("page")
    document += kind("", nodes.paragraph("", text))
    intervals.mark(None, document, "page")
    assert document.astext() == text
    return [node.astext() for node in document.findall(nodes.inline) if node["classes"] == ["interval"]]


def test_intervals_of_a_cell_are_marked_and_nothing_else_is() -> None:
    assert marked("+0.147 [+0.108, -0.175]", nodes.entry) == ["[+0.108, -0.175]"]
    assert marked("[0.1, 0.2] and 1 / 2 [1, 3]; yes", nodes.entry) == ["[0.1, 0.2]", "[1, 3]"]
    assert marked("0.5, see [one, two] or [2024]", nodes.entry) == []
    assert marked("0.5 [0.4, 0.6]", nodes.section) == []

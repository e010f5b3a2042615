"""The whole method in one drawing: `{pipeline}` shows its six stages, and lights the one that a chapter is about.

The drawing is a row of links, so that it leads as well as shows; without styles it is a numbered list.
"""

from pathlib import Path

import yaml
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

BOX = '<rect x="{}" y="{}" width="8" height="8"/>'
GRID = "".join(BOX.format(8 + 8 * column, 8 * row) for row in range(4) for column in range(4))
TREE = '<path d="M24 2V8M12 16V8H36V16M6 24V16H18V24M30 24V16H42V24"/>'
STAGES = yaml.safe_load(Path(__file__).with_suffix(".yml").read_text(encoding="utf-8"))


def drawing(lit: list[str]) -> str:
    """The six stages as HTML; those that are lit are told to a screen reader, too."""
    items = []
    for name, stage in STAGES.items():
        here = ' class="lit" aria-current="step"' if name in lit else ""
        shapes = stage["shapes"].format(grid=GRID, tree=TREE)
        picture = f'<svg viewBox="0 0 48 32" aria-hidden="true">{shapes}</svg>'
        told = f"<b>{name.capitalize()}</b><span>{stage['what']}</span>"
        items.append(f'<li{here}><a href="{stage["page"]}.html">{picture}{told}</a></li>')
    return f'<nav class="pipeline" aria-label="The method, stage by stage"><ol>{"".join(items)}</ol></nav>'


class Pipeline(SphinxDirective):
    """The drawing; its arguments name the stages that are lit."""

    optional_arguments = len(STAGES)

    def run(self) -> list[nodes.Node]:
        unknown = set(self.arguments) - set(STAGES)
        if unknown:
            raise self.error(f"There is no stage {', '.join(sorted(unknown))}: choose from {', '.join(STAGES)}.")
        return [nodes.raw("", drawing(self.arguments), format="html")]


def setup(app: Sphinx) -> None:
    app.add_directive("pipeline", Pipeline)

"""The whole method in one drawing: `{pipeline}` shows its six stages, and lights the one that a chapter is about.

The drawing is a row of links, so that it leads as well as shows; without styles it is a numbered list.
"""

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

BOX = '<rect x="{}" y="{}" width="8" height="8"/>'
GRID = "".join(BOX.format(8 + 8 * column, 8 * row) for row in range(4) for column in range(4))
TREE = '<path d="M24 2V8M12 16V8H36V16M6 24V16H18V24M30 24V16H42V24"/>'
STAGES = {  # name: the page of its chapter, what happens there, and its drawing, 48 wide and 32 high
    "diffuse": (
        "01-attention",
        "each patch looks at the others",
        f'{GRID}<path class="strong" d="M20 12L36 4M20 12L12 28M20 12L28 28"/><circle cx="20" cy="12" r="3"/>',
    ),
    "walk": (
        "02-walk",
        "looks are steps of a walker",
        '<circle cx="8" cy="24" r="4"/><circle cx="22" cy="8" r="4"/><circle cx="40" cy="22" r="4"/>'
        '<path class="strong" d="M10.5 20L18.5 11.5M26 9.5L36.5 19.5M35.5 23L12.5 24"/>',
    ),
    "cut": (
        "03-ncut",
        "where walkers rarely cross",
        '<circle cx="12" cy="16" r="9"/><circle cx="36" cy="16" r="9"/><path d="M21 16H27"/>'
        '<path class="strong dashed" d="M24 1V31"/>',
    ),
    "recurse": ("04-recursion", "each side is cut again", TREE),
    "stop": (
        "05-threshold",
        "where a cut is hardly rarer than distance explains",
        f'{TREE}<path class="strong dashed" d="M2 20H46"/>',
    ),
    "pixels": (
        "07-pixels",
        "from patches back to the picture",
        f'{GRID}<path class="strong" d="M8 22C16 20 18 8 25 9S32 20 40 14"/>',
    ),
}


def drawing(lit: list[str]) -> str:
    """The six stages as HTML; those that are lit are told to a screen reader, too."""
    items = []
    for name, (page, what, shapes) in STAGES.items():
        here = ' class="lit" aria-current="step"' if name in lit else ""
        picture = f'<svg viewBox="0 0 48 32" aria-hidden="true">{shapes}</svg>'
        items.append(f'<li{here}><a href="{page}.html">{picture}<b>{name.capitalize()}</b><span>{what}</span></a></li>')
    return f'<nav class="pipeline" aria-label="The method, stage by stage"><ol>{"".join(items)}</ol></nav>'


class Pipeline(SphinxDirective):
    """The drawing; its arguments name the stages that are lit."""

    optional_arguments = len(STAGES)

    def run(self) -> list[nodes.Node]:
        unknown = set(self.arguments) - set(STAGES)
        if unknown:
            raise self.error(f"There is no stage {', '.join(sorted(unknown))}: choose from {', '.join(STAGES)}.")
        return [nodes.raw("", drawing(self.arguments), format="html")]


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("pipeline", Pipeline)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

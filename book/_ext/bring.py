"""The figure that takes a picture of the reader's own, and the script beside the site that computes for it.

`{bring-your-photo}` stands for the figure. The script, some MB of weights, is written once for the whole site, into
`_static`; a page loads it only when a reader asks for it.
"""

from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from walkcut.widgets.photo import SCRIPT, encoder_script, photo_explorer


class Bring(SphinxDirective):
    """The figure, as it would be in an HTML output."""

    def run(self) -> list[nodes.Node]:
        up = "../" * self.env.docname.count("/")
        return [nodes.raw("", photo_explorer(f"{up}_static/{SCRIPT}").data, format="html")]


def write(app: Sphinx, exception: Exception | None) -> None:
    """The script, beside the other files of the site."""
    if exception is None and app.builder.format == "html":
        (Path(app.outdir) / "_static" / SCRIPT).write_text(encoder_script(), encoding="utf-8")


def setup(app: Sphinx) -> None:
    app.add_directive("bring-your-photo", Bring)
    app.connect("build-finished", write)

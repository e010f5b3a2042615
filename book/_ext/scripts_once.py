"""Write each inline script of a page once, and no role that its own children break.

Sphinx 7 keeps an inline script under the name None when an extension adds it after the builder has started, and again
under the name "" when the pages are written: a page then declares the same constant twice and the browser complains.
The state of a notebook's widgets is left out: nothing on the site could show it. Docutils calls the sources a
list, whose children are no items.
"""

from sphinx.application import Sphinx

WIDGETS = "application/vnd.jupyter.widget-state+json"


def drop_repeats(app: Sphinx, pagename: str, templatename: str, context: dict, doctree: object) -> None:
    """Keep the first of all scripts that agree in name and attributes, no widget's state, in the page's own list."""
    seen, scripts = set(), context["script_files"]
    for script in list(scripts):
        key = (script.filename or "", tuple(sorted(script.attributes.items())))
        if key in seen or script.attributes.get("type") == WIDGETS:
            scripts.remove(script)
        seen.add(key)
    context["body"] = context.get("body", "").replace(' role="list"', "")


def setup(app: Sphinx) -> None:
    app.connect("html-page-context", drop_repeats, priority=900)

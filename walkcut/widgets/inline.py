"""Put an ES module into an HTML output: it runs on the built site and in a live notebook, with no widget manager.

A figure has a default export with `render({ model, el })`, as anywidget's have; `model.get(name)` returns what Python
put into the state, and `model.set("selected", ...)` tells what the reader has chosen. `common.js` is put in front of
it: inside a module its names clash with no other figure's.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from string import Template
from typing import Any

from walkcut.errors import InputError

EXPORT = "export default "
FRAME = Path(__file__).with_name("figure.html")  # a template
MOST = 2_000_000  # bytes of data in one figure


@dataclass(frozen=True)
class Figure:
    """A figure as an HTML output; `widget` is the same one as an anywidget, which tells Python what is selected.

    Attributes
    ----------
    data : str
        HTML.
    name : str
        Of the module, see `inline_module`.
    state : dict
        What the module reads.
    """

    data: str = field(repr=False)
    name: str
    state: dict[str, Any] = field(repr=False)

    def _repr_html_(self) -> str:
        return self.data

    def widget(self) -> Any:
        """An anywidget for a notebook that runs: its dict `selected` holds, after every change, what is chosen."""
        try:
            import anywidget
            import traitlets
        except ImportError as error:
            need = "anywidget, which is not installed: pip install 'walkcut[book]'"
            raise InputError(f"A widget that tells Python what is selected needs {need}.") from error
        traits = {key: traitlets.Any(value).tag(sync=True) for key, value in self.state.items()}
        own = {"_esm": source_of("common", self.name), "selected": traitlets.Dict().tag(sync=True)}
        return type("Explorer", (anywidget.AnyWidget,), traits | own)()


def source_of(*parts: str) -> str:
    """Files of this folder, named without `.js`, one behind the other: parts of one script that imports nothing."""
    folder = Path(__file__).parent
    return "\n".join((folder / f"{part}.js").read_text(encoding="utf-8") for part in parts)


def inline_module(name: str, state: Mapping[str, Any], fallback: str) -> Figure:
    """The figure that `walkcut/widgets/<name>.js` draws from `state`.

    Parameters
    ----------
    name : str
        File in this folder, without `.js`, with one default export; `common.js` is put in front of it.
    state : mapping
        JSON values, read by the module through `model.get`.
    fallback : str
        What a reader without scripts is told, plain text.

    Returns
    -------
    Figure
        The same bytes for the same module and state, so that a rebuilt page does not change. What is selected is
        kept as JSON in the place's `data-selected`.

    Raises
    ------
    InputError
        For more than 2 MB of data.
    """
    data = json.dumps(dict(state), sort_keys=True).replace("<", "\\u003c")
    if len(data) > MOST:
        size = f"{len(data) / 1e6:.1f} MB into the page, at most 2"
        raise InputError(f"This figure would put {size}: choose a coarser grid or fewer frames.")
    source = source_of("common", name)
    key = "walkcut-" + hashlib.sha256((source + data).encode()).hexdigest()[:12]
    safe = fallback.replace("&", "&amp;").replace("<", "&lt;")
    told = {"key": key, "fallback": safe, "source": source.replace(EXPORT, "const figure = "), "state": data}
    html = Template(FRAME.read_text(encoding="utf-8")).substitute(told)
    return Figure(html, name, json.loads(data))


def by_eye(figures: Mapping[str, Figure]) -> Figure:
    """Figures of one module, such as `walkcut.widgets.explorers.tree_explorer` draws, with a button for each eye.

    Parameters
    ----------
    figures : mapping of an eye's name to its figure
        The first is shown at first. What is selected holds the eye's name as `eye`.

    Raises
    ------
    InputError
        For more than 2 MB of data in all.
    """
    (name,) = {figure.name for figure in figures.values()}
    state = {"eyes": [[eye, figure.state] for eye, figure in figures.items()]}
    return inline_module(name, state, "This figure needs JavaScript: choose an eye, and see what it makes of this.")

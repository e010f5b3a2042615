"""For a notebook that runs: controls that call Python; a built page shows a still."""

from __future__ import annotations

import html
import io
from base64 import b64encode
from collections.abc import Callable
from typing import Any

from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from walkcut.errors import InputError

try:
    import ipywidgets
except ImportError as error:
    raise InputError("Live controls need ipywidgets, which is not installed: pip install 'walkcut[book]'.") from error

STILL = "In a notebook that runs, controls stand here, and every change calls Python. This is what they show at first."


class Live(ipywidgets.VBox):
    """Controls above what a function makes of them; without a kernel, a still of it."""

    def __init__(self, controls: list[ipywidgets.Widget], shown: ipywidgets.HTML) -> None:
        super().__init__([*controls, shown])
        self.controls, self.shown = controls, shown

    def _repr_mimebundle_(self, **options: Any) -> dict[str, str]:
        bundle = super()._repr_mimebundle_(**options)
        return bundle | {"text/html": f'<div class="walkcut-live">{self.shown.value}<p><em>{STILL}</em></p></div>'}


def live(function: Callable[..., Figure | str], alt: str, /, **controls: Any) -> Live:
    """Call a function again whenever the reader moves a control.

    Parameters
    ----------
    function : callable
        Of the controls' values; it returns a figure of matplotlib, or plain text. An InputError becomes its sentence.
    alt : str
        What is to be seen, for those who cannot see the figure.
    **controls
        One for each argument, as for `ipywidgets.interact`: (low, high) or (low, high, step) is a slider, a list is a
        choice. It starts at the argument's default, else in the middle of a slider.
    """
    made = ipywidgets.interactive(function, {"manual": True}, **controls).kwargs_widgets  # it makes them, we call
    shown = ipywidgets.HTML()

    def update(change: object = None) -> None:
        shown.value = _as_html(function, {control.description: control.value for control in made}, alt)

    for control in made:
        if control.has_trait("continuous_update"):
            control.continuous_update = False  # one call for one move, not for every place on the way
        control.observe(update, "value")
    update()
    return Live(list(made), shown)


def _as_html(function: Callable[..., Figure | str], values: dict[str, Any], alt: str) -> str:
    try:
        result = function(**values)
    except InputError as error:
        result = str(error)
    if not isinstance(result, Figure):
        return f"<p>{html.escape(str(result))}</p>"
    file = io.BytesIO()
    result.savefig(file, format="png", dpi=100)
    plt.close(result)  # else the notebook shows it a second time
    source = "data:image/png;base64," + b64encode(file.getvalue()).decode()
    return f'<img src="{source}" alt="{html.escape(alt)}" style="max-width: min(100%, 36rem)">'

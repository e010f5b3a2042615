"""Controls that call Python in a notebook that runs; a built page has frames, recorded when it was executed."""

import html
import io
from base64 import b64encode
from collections.abc import Callable
from itertools import product
from math import prod
from typing import Any

from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from walkcut.errors import InputError
from walkcut.widgets.inline import inline_module

try:
    import ipywidgets
except ImportError as error:
    raise InputError("Live controls need ipywidgets, which is not installed: pip install 'walkcut[book]'.") from error

WIDTH = 4.8  # inches: a title of ten points is read on a phone, too
FEW = 10  # places of a slider that are all recorded
MOST = 40  # frames of one figure
STILL = "Without JavaScript this figure stays as it is."


class Live(ipywidgets.VBox):
    """Controls above what a function makes of them; without a kernel, what it makes of some values of each.

    Attributes
    ----------
    controls : list of widgets
    shown : ipywidgets.HTML
        What stands below them now.
    """

    def __init__(self, function: Callable[..., str], controls: list[ipywidgets.Widget]) -> None:
        self.function, self.controls, self.shown = function, controls, ipywidgets.HTML()
        super().__init__([*controls, self.shown])
        for control in controls:
            if control.has_trait("continuous_update"):
                control.continuous_update = False  # one call for one move, not for every place on the way
            control.observe(self._update, "value")
        self._update()

    def _update(self, change: object = None) -> None:
        self.shown.value = self.function(**{control.description: control.value for control in self.controls})

    def frames(self) -> dict[str, Any]:
        """State of `frames.js`: `controls`, each as name, values, present value, whether it slides; and `frames`.

        Frames are HTML, in the order of `itertools.product`. Where they would be more than 40, the last controls stay
        as they are.
        """
        recorded = {control: _recorded(control) for control in self.controls}
        for control in reversed(self.controls):
            if prod(map(len, recorded.values())) > MOST:
                recorded[control] = [control.value]
        told = [(it.description, [*map(str, row)], str(it.value), hasattr(it, "max")) for it, row in recorded.items()]
        names = [name for name, *_ in told]
        made = [self.function(**dict(zip(names, row, strict=True))) for row in product(*recorded.values())]
        return {"controls": told, "frames": made}

    def _repr_mimebundle_(self, **options: Any) -> dict[str, str]:
        bundle = super()._repr_mimebundle_(**options)
        figure = inline_module("frames", self.frames(), STILL)
        return bundle | {"text/html": f"<noscript>{self.shown.value}</noscript>{figure.data}"}


def live(function: Callable[..., Figure | str], alt: str, /, **controls: Any) -> Live:
    """Call a function again whenever the reader moves a control; on a built page, show what it returned before.

    Parameters
    ----------
    function : callable
        Of the controls' values; it returns a figure of matplotlib, or plain text. An InputError becomes its sentence.
    alt : str
        What is to be seen, for those who cannot see the figure; titles of its panels are put behind it.
    **controls
        One for each argument, as for `ipywidgets.interact`: (low, high) or (low, high, step) is a slider, a list is a
        choice. It starts at the argument's default, else in the middle of a slider. Of a slider with more than ten
        places a built page has both ends, the start, and doublings.
    """
    made = ipywidgets.interactive(function, {"manual": True}, **controls).kwargs_widgets  # it makes them, we call
    return Live(lambda **values: _as_html(function, values, alt), list(made))


def _recorded(control: ipywidgets.Widget) -> list[Any]:
    """Values of a control that a built page shows; its present one is among them."""
    if not hasattr(control, "max"):
        return list(getattr(control, "options", [control.value]))
    low, high, step = control.min, control.max, control.step
    values = {round(low + place * step, 10) for place in range(int((high - low) / step + 1.5))}
    if len(values) > FEW:
        values &= {low, high, *(round(max(low, step) * 2**power, 10) for power in range(64))}
    return sorted(values | {control.value})


def _as_html(function: Callable[..., Figure | str], values: dict[str, Any], alt: str) -> str:
    try:
        result = function(**values)
    except InputError as error:
        result = str(error)
    if not isinstance(result, Figure):
        return f"<p>{html.escape(str(result))}</p>"
    width, height = result.get_size_inches()
    result.set_size_inches(WIDTH, WIDTH * height / width)
    file = io.BytesIO()
    result.savefig(file, format="webp", dpi=125)
    plt.close(result)  # else the notebook shows it a second time
    source = "data:image/webp;base64," + b64encode(file.getvalue()).decode()
    titles = ", ".join(filter(None, (axes.get_title() for axes in result.axes)))
    told = html.escape(f"{alt} Titles: {titles}." if titles else alt)
    size = f'width="600" height="{600 * height / width:.0f}"'  # the page does not move while a frame is read
    return f'<img src="{source}" alt="{told}" {size} decoding="sync" style="max-width: 100%; height: auto">'

"""Controls and figures in a notebook that runs: a real kernel gets what a browser would send, and Python answers.

A page without a kernel has recordings; `tests/test_explorers_browser.py` moves their controls.
"""

import base64
import io
import json
import re
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import ipywidgets
import numpy as np
import pytest
from explorers import state
from matplotlib import pyplot as plt
from PIL import Image

from walkcut.errors import InputError
from walkcut.widgets.explorers import toy_walk
from walkcut.widgets.inline import Figure
from walkcut.widgets.live import STILL, Live, live

BOOK = Path(__file__).resolve().parent.parent / "book"
# chapter -> the cell that its control builds on, the control to move, and what it is moved to
CHAPTERS = {
    "01-attention": ("looks", "t", 300),
    "02-walk": ("release", "k", 16),
    "03-ncut": ("three-cuts", "k", 4),
    "04-recursion": ("question-figure", "smallest", 64),
    "05-threshold": ("question-figure", "seed", 1),
    "further-times": ("times-02", "k", 16),
}


class Kernel:
    """A running kernel, and the messages of widgets that it sends."""

    def __init__(self, client: object) -> None:
        self.client = client

    def run(self, code: str) -> str:
        """Execute; return what was printed."""
        printed = []

        def hook(message: dict) -> None:
            if message["msg_type"] == "stream":
                printed.append(message["content"]["text"])

        reply = self.client.execute_interactive(code, timeout=120, output_hook=hook)["content"]
        assert reply["status"] == "ok", "\n".join(reply.get("traceback", []))
        return "".join(printed)

    def set(self, comm: str, **state: object) -> None:
        """What a browser sends when a reader moves a control."""
        content = {"comm_id": comm, "data": {"method": "update", "state": state, "buffer_paths": []}}
        self.client.shell_channel.send(self.client.session.msg("comm_msg", content))


@pytest.fixture(scope="module")
def kernel() -> Iterator[Kernel]:
    from jupyter_client.manager import start_new_kernel

    manager, client = start_new_kernel(cwd=str(BOOK))
    kernel = Kernel(client)
    kernel.run("%matplotlib inline")
    yield kernel
    client.stop_channels()
    manager.shutdown_kernel(now=True)


def cells(chapter: str) -> dict[str, str]:
    notebook = json.loads((BOOK / f"{chapter}.ipynb").read_text(encoding="utf-8"))
    return {cell["id"]: "".join(cell["source"]) for cell in notebook["cells"]}


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_every_chapter_has_a_control_that_calls_python(chapter: str, kernel: Kernel) -> None:
    before, name, value = CHAPTERS[chapter]
    code = cells(chapter)
    start, *_ = [id for id, source in code.items() if "walkcut" in source and "import" in source]
    kernel.run("\n".join(code[id] for id in dict.fromkeys((start, before))))
    (cell,) = [source for source in code.values() if "\nlive(" in source]
    setup, _, call = cell.rpartition("\nlive(")
    kernel.run(f"{setup}\nmade = live({call}\nfirst = made.shown.value")
    control = f"next(c for c in made.controls if c.description == {name!r})"
    comm, trait = kernel.run(f"c = {control}; print(c.model_id, 'index' if hasattr(c, 'index') else 'value')").split()
    kernel.set(comm, **{trait: value})
    assert kernel.run(f"print({control}.{trait}, made.shown.value != first)") == f"{value} True\n"
    kernel.run("import json; found = made.frames(); size = len(json.dumps(found))")
    controls, moved, size = json.loads(kernel.run("print(json.dumps([found['controls'], made.shown.value, size]))"))
    frames = json.loads(kernel.run("print(json.dumps(found['frames']))"))
    assert size < 600_000
    at = 0
    for _, values, present, _ in controls:
        at = at * len(values) + values.index(present)
    assert frames[at] == moved, "the built page has what the kernel shows"
    assert all(re.match(r'<img src="data:image/webp;base64,\S+" alt="\w', frame) for frame in frames)


def test_python_reads_what_is_selected_in_a_figure(kernel: Kernel) -> None:
    kernel.run("from walkcut.widgets.explorers import toy_walk\nfigure = toy_walk(bridge=1.0).widget()")
    comm = kernel.run("print(figure.model_id)").strip()
    kernel.set(comm, selected={"edge": [2, 3], "steps": 7})
    assert kernel.run("print(figure.selected['steps'], figure.bridge)") == "7 1.0\n"


def test_a_figure_is_one_module_here_and_there() -> None:
    figure = toy_walk(bridge=0.5)
    widget = figure.widget()
    assert str(widget._esm).replace("export default ", "const figure = ") in figure.data
    assert {name: getattr(widget, name) for name in figure.state} == figure.state
    assert widget.selected == {}


def picture(frame: str) -> np.ndarray:
    """The pixels of a frame."""
    data = re.match(r'<img src="data:image/webp;base64,([^"]+)"', frame)[1]
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB")).astype(int)


def told(made: Live) -> dict:
    """What the built page is told."""
    return state(Figure(made._repr_mimebundle_()["text/html"], "frames", {}))


def test_a_page_without_a_kernel_has_what_python_draws_at_every_value_that_it_offers() -> None:
    def draw(k: int = 3, colour: str = "red") -> plt.Figure:
        figure, axes = plt.subplots(figsize=(6, 3))
        axes.set_position((0, 0, 1, 0.9))
        axes.set_facecolor([k / 64 if colour == one else 0 for one in ("red", "green", "blue")])
        axes.set_title(f"{k} & {colour}")
        return figure

    made = live(draw, 'A "square".', k=(1, 64), colour=["red", "blue"])
    found = told(made)
    ks, colours = (1, 2, 3, 4, 8, 16, 32, 64), ("red", "blue")
    assert found["controls"] == [["k", [str(k) for k in ks], "3", True], ["colour", [*colours], "red", False]]
    for (k, colour), frame in zip(product(ks, colours), found["frames"], strict=True):
        for control, value in zip(made.controls, (k, colour), strict=True):
            control.value = value
        assert made.shown.value == frame
        assert f'alt="A &quot;square&quot;. Titles: {k} &amp; {colour}."' in frame
        pixels = picture(frame)
        assert pixels.shape == (300, 600, 3)
        expected = [255 * k / 64 if colour == one else 0 for one in ("red", "green", "blue")]
        np.testing.assert_allclose(pixels[40:].mean((0, 1)), expected, atol=3)  # the lossy picture, below the title


@pytest.mark.parametrize(
    ("slider", "start", "values"),
    [
        ((0, 900, 100), 100, range(0, 901, 100)),
        ((2, 100), 3, (2, 3, 4, 8, 16, 32, 64, 100)),
        ((0, 50), 7, (0, 1, 2, 4, 7, 8, 16, 32, 50)),
        ((-20, 20), -5, (-20, -5, 1, 2, 4, 8, 16, 20)),
        ((0.0, 1.0, 0.25), 0.3, (0.0, 0.25, 0.3, 0.5, 0.75, 1.0)),
        ((0.1, 2.0, 0.1), 0.3, (0.1, 0.2, 0.3, 0.4, 0.8, 1.6, 2.0)),
    ],
)
def test_of_a_long_slider_a_page_has_ends_start_and_doublings(slider: tuple, start: float, values: tuple) -> None:
    found = told(live(lambda value=start: f"at {value}", "", value=slider))
    assert found["controls"] == [["value", [str(value) for value in values], str(start), True]]
    assert found["frames"] == [f"<p>at {value}</p>" for value in values]


def test_of_too_many_frames_the_first_controls_are_kept() -> None:
    made = live(lambda a, b, c: f"{a} {b} {c}", "", a=["x", "y"], b=(1, 10), c=(1, 10))
    found = told(made)
    assert [values for _, values, *_ in found["controls"]] == [["x", "y"], [str(b) for b in range(1, 11)], ["5"]]
    assert found["frames"] == [f"<p>{a} {b} 5</p>" for a, b in product("xy", range(1, 11))]


def test_without_javascript_the_first_frame_stands_there() -> None:
    made = live(lambda k=2: f"k & {k}", "never seen", k=(1, 5))
    (slider,) = made.controls
    assert (slider.value, slider.continuous_update) == (2, False)
    bundle = made._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in bundle
    assert bundle["text/html"].startswith("<noscript><p>k &amp; 2</p></noscript>")
    assert STILL in bundle["text/html"]
    slider.value = 5
    assert made.shown.value == "<p>k &amp; 5</p>"


def test_figures_are_closed_and_described() -> None:
    def draw(name: str) -> plt.Figure:
        figure, axes = plt.subplots(figsize=(1, 1))
        axes.set_title(name)
        return figure

    open_before = plt.get_fignums()  # by other tests
    made = live(draw, 'a "small" square', name=["a", "b"])
    assert isinstance(made.controls[0], ipywidgets.Dropdown)
    assert re.search(r'alt="a &quot;small&quot; square Titles: a."', made.shown.value)
    first, made.controls[0].value = made.shown.value, "b"
    assert made.shown.value != first
    assert plt.get_fignums() == open_before


def test_bad_input_is_told_in_its_sentence() -> None:
    def refuse(k: int) -> str:
        raise InputError(f"{k} is <too> much.")

    assert live(refuse, "", k=(1, 3)).shown.value == "<p>2 is &lt;too&gt; much.</p>"

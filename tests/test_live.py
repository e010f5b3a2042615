"""Controls and figures in a notebook that runs: a real kernel gets what a browser would send, and Python answers."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import ipywidgets
import pytest
from matplotlib import pyplot as plt

from walkcut.errors import InputError
from walkcut.widgets.explorers import toy_walk
from walkcut.widgets.live import STILL, live

BOOK = Path(__file__).resolve().parent.parent / "book"
# chapter -> the cell that its control builds on, the control to move, and what it is moved to
CHAPTERS = {
    "01-attention": ("looks", "t", 300),
    "02-walk": ("release", "k", 16),
    "03-ncut": ("three-cuts", "k", 4),
    "04-recursion": ("question-figure", "smallest", 60),
    "05-threshold": ("question-figure", "seed", 1),
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
    setup, _, call = code["live"].rpartition("\nlive(")
    kernel.run(f"{setup}\nmade = live({call}\nfirst = made.shown.value")
    control = f"next(c for c in made.controls if c.description == {name!r})"
    comm, trait = kernel.run(f"c = {control}; print(c.model_id, 'index' if hasattr(c, 'index') else 'value')").split()
    assert (
        kernel.run("print(first.startswith('<img src=\"data:image/png;base64,'), 'alt=\"\"' in first)")
        == "True False\n"
    )
    kernel.set(comm, **{trait: value})
    assert kernel.run(f"print({control}.{trait}, made.shown.value != first)") == f"{value} True\n"


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


def test_without_a_kernel_a_still_stands_in_its_place() -> None:
    made = live(lambda k=2: f"k & {k}", "never seen", k=(1, 5))
    (slider,) = made.controls
    assert (slider.value, slider.continuous_update) == (2, False)
    bundle = made._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in bundle
    assert "<p>k &amp; 2</p>" in bundle["text/html"]
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
    assert re.search(r'alt="a &quot;small&quot; square"', made.shown.value)
    first, made.controls[0].value = made.shown.value, "b"
    assert made.shown.value != first
    assert plt.get_fignums() == open_before


def test_bad_input_is_told_in_its_sentence() -> None:
    def refuse(k: int) -> str:
        raise InputError(f"{k} is <too> much.")

    assert live(refuse, "", k=(1, 3)).shown.value == "<p>2 is &lt;too&gt; much.</p>"

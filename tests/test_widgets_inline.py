"""Interactive figures: what Python hands to the page."""

import re
from pathlib import Path

import pytest
from explorers import state

from walkcut.errors import InputError
from walkcut.widgets import inline
from walkcut.widgets.explorers import toy_walk

FOLDER = Path(inline.__file__).parent


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A folder with one small module, in place of the package's own."""
    (tmp_path / "common.js").write_text("const common = 1;\n")
    (tmp_path / "small.js").write_text("export default { render({ model, el }) {} };\n")
    monkeypatch.setattr(inline, "__file__", str(tmp_path / "inline.py"))
    return tmp_path / "small.js"


def test_what_is_put_in_cannot_leave_the_script_or_the_fallback(module):
    html = inline.inline_module("small", {"name": "</script><b>"}, "no <b> here & there").data
    assert html.count("</script>") == 1
    assert "<b>" not in html
    assert "no &lt;b> here &amp; there" in html


def test_the_state_arrives_as_it_was(module):
    given = {"a": [1, 2.5], "b": "<é>"}
    assert state(inline.inline_module("small", given, "")) == given


def test_what_the_figures_share_stands_in_front(module):
    html = inline.inline_module("small", {}, "").data
    assert 0 < html.find("const common = 1;") < html.find("const figure = {")


def test_same_input_same_bytes_other_input_other_place(module):
    first, again, other = (inline.inline_module("small", {"x": x}, "").data for x in (1, 1, 2))
    place = re.compile(r'data-figure="([^"]+)"')
    assert first == again
    assert place.search(first)[1] != place.search(other)[1]


@pytest.mark.parametrize("name", sorted({path.stem for path in FOLDER.glob("*.js")} - {"common"}))
def test_every_module_has_one_export_and_leaves_its_script_open(name):
    source = inline.source_of("common", name)
    assert source.count(inline.EXPORT) == 1
    assert "</script" not in source.lower()


@pytest.mark.parametrize("bridge", [-1, 2.1, float("nan")])
def test_the_toy_names_what_is_out_of_range(bridge):
    with pytest.raises(InputError, match="bridge from 0 to 2"):
        toy_walk(bridge)

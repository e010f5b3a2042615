"""`walkcut explore`: one file about one picture, whatever its name, that asks for nothing and no one."""

import base64
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from explorers import forget
from PIL import Image

from walkcut import segment
from walkcut.app.cli import EXPLORED, main
from walkcut.backbone import Backbone
from walkcut.eyes.loading import load_backbone
from walkcut.widgets import explore

NASTY = '<img src=x onerror=alert(1)> & "it\\\'s" {name}.png'


def run(*words: object) -> int:
    """The exit code, in this process."""
    try:
        return main(["explore", *map(str, words), "--grid", "12", "--device", "cpu"])
    except SystemExit as stop:
        return stop.code


@pytest.fixture
def picture(tmp_path: Path, two_halves: np.ndarray) -> Path:
    path = tmp_path / NASTY
    Image.fromarray(two_halves).save(path)
    return path


def states(page: str) -> list[dict]:
    return [json.loads(found) for found in re.findall(r"^const state = (.*);$", page, re.M)]


def test_the_page_is_one_file_with_three_figures(
    picture: Path, tiny_model: Path, capsys: pytest.CaptureFixture
) -> None:
    assert run(picture, "--model", tiny_model) == 0
    page = picture.with_name(f"{picture.stem}.explore.html")
    assert capsys.readouterr().out == f"{picture} -> {page}\n"
    assert set(picture.parent.iterdir()) == {picture, page}  # nothing half written is left
    text = page.read_text(encoding="utf-8")
    assert "<img" not in text
    assert "<h1>&lt;img src=x onerror=alert(1)&gt; &amp; &quot;it\\&#x27;s&quot; {name}.png</h1>" in text
    assert not re.search(r"""(src|href)\s*=\s*["']?\s*(https?:)?//""", text)
    attention, cut, tree = states(text)
    assert (attention["grids"][0]["shape"], cut["grid"], tree["grid"]) == ([8, 12], [8, 12], [8, 12])
    assert len(cut["vectors"]) == 4
    again = page.stat().st_mtime_ns, text
    assert run(picture, "--model", tiny_model, "--out", page) == 0  # again, over the old page
    assert page.stat().st_mtime_ns > again[0]
    assert page.read_text(encoding="utf-8") == text


def test_it_shows_what_segment_finds(two_halves: np.ndarray, tiny: Backbone) -> None:
    text = explore.explore(two_halves, "halves", tiny, grid=12)
    found = segment(two_halves, tiny, grid=12)
    *_, tree = states(text)
    assert f"{found.count} segments" in text
    np.testing.assert_array_equal(np.frombuffer(base64.b64decode(tree["order"]), "<u2"), found.tree.order)
    count = len(np.unique(found.patch_labels))
    assert found.tree.labels(tree["threshold"]).max() + 1 == pytest.approx(count, abs=1)


@pytest.mark.parametrize(
    ("count", "low", "high"),
    [(1, 0, 0.2), (2, 0.2, 0.409), (3, 0.409, 0.7), (5, 0.409, 0.7), (6, 0.7, 0.9), (9, 0.7, 0.9)],
)
def test_the_slider_starts_between_two_levels_where_rounding_decides_nothing(
    count: int, low: float, high: float
) -> None:
    """A child cheaper than its parent is split with it: three splits come at once here."""
    needed = np.array([0.2, 0.409, 0.409, 0.409, 0.7, np.inf])
    assert explore._threshold_for(needed, count) == pytest.approx((low + high) / 2)


@pytest.mark.parametrize(("shape", "size"), [((1, 1000), [40, 400]), ((1000, 1), [4000, 400])])
def test_a_line_of_pixels_is_shown_so_that_one_can_point_at_it(
    shape: tuple[int, int], size: list[int], tiny: Backbone
) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    attention, *_ = states(explore.explore(image, "line", tiny, grid=12))
    assert attention["size"] == size


def test_a_model_may_look_on_several_grids_and_anywhere(two_halves: np.ndarray, stable_model: Path) -> None:
    text = explore.explore(two_halves, "halves", load_backbone(str(stable_model)), grid=8)
    attention, *_ = states(text)
    assert len(attention["grids"]) > 1
    assert torch.tensor(attention["grids"][0]["low"]).isfinite().all()


def test_the_largest_page_is_below_two_megabytes() -> None:
    n = EXPLORED**2
    assert EXPLORED == explore.MAX_GRID
    assert 4 / 3 * (n * n + n * n / 16 + n * n / 256) + 20 * n < 2_000_000  # 32 x 32 patches, and both coarser grids


@pytest.mark.parametrize(
    ("make", "words", "says"),
    [
        ("nothing", [], "There is no file"),
        ("folder", [], "is a folder, not a picture"),
        ("text", [], "is not a picture"),
        ("picture", ["--out", "."], "is a folder where the result of photo.png should go"),
        ("picture", ["--out", "photo.png"], "photo.png would overwrite photo.png, a picture that is to be read"),
        ("picture", ["--out", "text/page.html"], "cannot be written to"),
        ("picture", ["--out", "x" * 300 + ".html"], "cannot be written (File name too long)"),
        ("picture", ["--out", "x" * 250 + ".html", "--grid", "8"], "cannot be written (File name too long)"),
        ("picture", ["--model", "no-such"], "no-such"),
        ("picture", ["--grid", "33"], "from 2 to 32"),
    ],
)
def test_bad_input_is_told_in_one_sentence(
    make: str, words: list, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("text").write_text("no picture")
    Path("folder").mkdir()
    Image.new("RGB", (24, 16), "red").save("photo.png")
    before = sorted(tmp_path.rglob("*"))
    code = main_code(["explore", {"picture": "photo.png"}.get(make, make), *words])
    out, err = capsys.readouterr()
    assert (code, out) == (2, "")
    assert says in err
    assert (err.startswith("walkcut: "), err.count("\n")) == (True, 1)
    assert sorted(tmp_path.rglob("*")) == before


def main_code(words: list[str]) -> int:
    try:
        return main(words)
    except SystemExit as stop:
        return stop.code


def test_it_needs_no_notebook() -> None:
    """The module alone is enough: a plain install has neither IPython nor widgets."""
    code = "import sys; sys.modules.update(dict.fromkeys(('IPython', 'ipywidgets', 'anywidget', 'traitlets')))\n"
    code += "import walkcut.widgets.explore"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.browser
def test_a_reader_opens_it_as_a_file(picture: Path, tiny_model: Path, chromium: object) -> None:
    from selenium.webdriver.common.keys import Keys

    assert run(picture, "--model", tiny_model, "--out", picture.with_name("page.html")) == 0
    forget(chromium)
    chromium.get(picture.with_name("page.html").as_uri())
    assert chromium.title == f"{NASTY}: diffuse, walk, cut"
    selected = "return [...document.querySelectorAll('.walkcut-widget')].map((w) => JSON.parse(w.dataset.selected))"
    attention, cut, tree = chromium.execute_script(selected)
    for slider in chromium.find_elements("css selector", "input[type=range], svg[role=slider]"):
        slider.send_keys(Keys.HOME, Keys.ARROW_RIGHT)
    after = chromium.execute_script(selected)
    assert (after[0]["steps"], after[1]["split"]) == (attention["steps"] + 1, 2)
    assert after[2]["threshold"] == pytest.approx(0.005)
    assert (after[1]["split"], after[2]["threshold"]) != (cut["split"], tree["threshold"])
    for width in (390, 1400):
        size = {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": False}
        chromium.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        assert chromium.execute_script("return document.documentElement.scrollWidth") <= width
    chromium.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    dark = {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
    chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", dark)
    chromium.refresh()
    colour = "return getComputedStyle(document.querySelector('.facts')).color"
    assert min(map(int, re.findall(r"\d+", chromium.execute_script(colour))[:3])) > 200
    chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    assert chromium.get_log("browser") == []  # nothing that the page's own policy had to stop
    asked = [json.loads(entry["message"])["message"] for entry in chromium.get_log("performance")]
    urls = [e["params"]["request"]["url"] for e in asked if e["method"] == "Network.requestWillBeSent"]
    assert urls
    assert all(url.startswith(("file:", "data:")) for url in urls), urls

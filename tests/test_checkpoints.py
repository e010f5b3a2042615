"""Questions that check themselves: one right answer each, a reason for every answer, some on every page."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from bs4 import BeautifulSoup
from pages import extension

from walkcut.exercises import toy

ROOT = Path(__file__).resolve().parent.parent
checkpoints = extension("checkpoints")

ASKED = yaml.safe_load(checkpoints.FILE.read_text(encoding="utf-8"))
PAGES = sorted([*(ROOT / "book").glob("[0-9]*.ipynb"), *(ROOT / "book").glob("further-*.ipynb")])


def shown(name: str) -> BeautifulSoup:
    return BeautifulSoup(checkpoints.shown(name), "html.parser")


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_each_page_asks_before_its_summary(path: Path) -> None:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    text = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    label = re.match(r"\(([\w-]+)\)=", text)[1]
    assert f"```{{checkpoint}} {label}\n```\n\n## Summary" in text
    assert 2 <= len(ASKED[label]) <= 3


@pytest.mark.parametrize("name", ASKED)
def test_one_answer_is_right_and_each_has_its_reason(name: str) -> None:
    for one, asked in zip(shown(name).select("fieldset"), ASKED[name], strict=True):
        assert len(one.select("p.right")) == 1
        assert len(one.select("input")) == len(one.select("[aria-live] p")) == 3
        assert len({field["name"] for field in one.select("input")}) == 1
        assert all(len(told.get_text().split()) > 4 for told in one.select("[aria-live] p"))
        right = one.select_one("p.right")["class"][1].removeprefix("why-")
        (says,) = [answer["says"] for answer in asked["answers"] if answer.get("right")]
        assert one.select_one(f'input[value="{right}"] + span').decode_contents() == checkpoints.written(says)


def test_the_right_answer_has_no_usual_place() -> None:
    places = [one["class"][1] for name in ASKED for one in shown(name).select("p.right")]
    assert all(places.count(f"why-{i}") >= len(places) // 5 for i in range(3))


def test_numbers_of_the_further_pages_are_right() -> None:
    """Those that no test of their pages holds."""
    W, left = toy(), np.arange(6) < 3
    part, d = W[left][:, left], W[left].sum(1)
    assert d @ np.linalg.solve(np.diag(d) - part, d) / d.sum() == pytest.approx(57 / 7)
    assert d.sum() / (d.sum() - part.sum()) == pytest.approx(7)
    arc = (np.eye(6) + np.eye(6, k=1)) / 2  # of a one-way ring, with rests
    assert np.linalg.solve(np.eye(6) - arc, np.ones(6)).mean() == pytest.approx(7)
    assert 1 / (1 - arc.sum(1).mean()) == pytest.approx(12)
    mirrored = toy(bridge=0) + 2 * (np.eye(6, k=3) + np.eye(6, k=-3))  # each node tied to its image
    P = mirrored / mirrored.sum(1, keepdims=True)
    assert P @ (left - 1 / 2) == pytest.approx(0)  # the eigenvalue of this cut is 1
    assert np.sort(1 - np.linalg.eigvals(P).real)[1] == pytest.approx(3 / 4)
    assert P @ np.array([1, -1, 0] * 2) == pytest.approx(np.array([1, -1, 0] * 2) / 4)


def test_text_becomes_html() -> None:
    told = checkpoints.written("a < b, $x_i' < 2$, *so* it's")
    math = '<span class="math notranslate nohighlight">\\(x_i\' &lt; 2\\)</span>'
    assert told == f"a &lt; b, {math}, <em>so</em> it\N{RIGHT SINGLE QUOTATION MARK}s"


@pytest.mark.browser
def test_an_answer_that_is_chosen_says_why(chromium: object) -> None:
    style = (ROOT / "book" / "_static" / "book.css").read_text(encoding="utf-8")
    chromium.get("data:text/html,<!DOCTYPE html><html><body></body></html>")
    page = f"<style>{style}</style><main>{checkpoints.shown('walk')}</main>"
    chromium.execute_script("document.body.innerHTML = arguments[0]", page)
    (first, *_) = chromium.find_elements("css selector", "fieldset")
    told = first.find_elements("css selector", "[aria-live] p")
    assert [one.is_displayed() for one in told] == [False] * 3
    for i, choice in enumerate(first.find_elements("css selector", "label")):
        choice.click()
        assert [one.is_displayed() for one in told] == [j == i for j in range(3)]

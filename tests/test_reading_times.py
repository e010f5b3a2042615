"""Reading times are counted at each build: they grow with a page, and the page for teachers tells how."""

import json
import re
from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from pages import BOOK, extension, page_of
from sphinx.application import Sphinx
from test_core import core

times = extension("reading_times")

CHAPTERS = sorted(path.stem for path in BOOK.glob("[0-9]*.ipynb"))
PAGES = [*CHAPTERS, "further-kway", "further-times", "further-circling"]
TEACHING = (BOOK / "teaching.md").read_text(encoding="utf-8")
PROSE = f"one two three $four = 4$\n\n$$\na b c\n$$ (eq-toy)\n\n{'word ' * 171}\n\n```{{checkpoint}} toy\n```\n"
CODE = "# a remark\n\nx = 1\nprint(x)"


def cell(kind: str, source: str, **metadata: object) -> dict:
    return {"cell_type": kind, "source": [source], "metadata": metadata}


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A page whose minutes are known on paper."""
    cells = [
        cell("markdown", PROSE),
        cell("code", CODE),
        cell("code", CODE, tags=["hide-input"], mystnb={"figure": {"name": "fig-toy"}}),
        cell("markdown", "## A toy\n\ntwo words"),
        cell("markdown", "## Summary\n\nall\n\n## Further: more\n\n$$ a $$\n\n## Exercises\n\n```{exercise}\n```"),
    ]
    monkeypatch.setattr(times, "BOOK", tmp_path)
    path = tmp_path / "toy.ipynb"
    path.write_text(json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
    return path


def test_a_page_is_counted_as_on_paper(toy: Path) -> None:
    first = {"words": 175, "inline": 1, "formulas": 1, "code lines": 2, "figures": 1, "checkpoints": 1}
    assert times.part("toy", "to A toy") == first
    assert times.part("toy", "A toy") == {"words": 5}
    assert times.part("toy", "from A toy") == {"words": 8}
    assert times.part("toy", "core") == first | {"words": 183}
    assert times.part("toy", "further") == {"words": 3, "formulas": 1}
    assert times.part("toy", "exercises") == {"words": 4, "exercises": 1}
    assert times.minutes("toy to A toy") == 10  # 1 + 1/20 + 2 + 1/3 + 1 + 3
    assert times.minutes("toy core; toy exercises") == 25
    with pytest.raises(KeyError, match="No such heading"):
        times.part("toy", "No such heading")


def test_minutes_grow_with_a_page(toy: Path) -> None:
    before = times.minutes("toy core")
    toy.write_text(toy.read_text().replace("two words", "two words" + " more" * 875))
    assert times.minutes("toy core") == before + 5


@pytest.mark.parametrize("name", CHAPTERS)
def test_words_and_lines_are_those_whose_limits_are_tested(name: str) -> None:
    sizes, found = core(BOOK / f"{name}.ipynb"), times.part(name, "core")
    assert (found["words"], found["code lines"]) == (sizes["words"], sizes["code lines"])
    assert found["formulas"] >= sizes["equations"]


@pytest.mark.parametrize("name", PAGES)
def test_a_page_begins_with_its_own_time(name: str) -> None:
    first = "".join(page_of(name).cells[0]["source"])
    assert re.findall(r"\{reading-time\}`(.*?)`", first.partition("\nAfter this ")[0]) == [name]
    assert not re.search(r"hour", first)
    assert f"| {{minutes}}`{name} core` |" in TEACHING


def test_the_front_page_says_what_the_cores_take() -> None:
    """Three quarters of an hour."""
    assert all(35 <= times.minutes(f"{name} core") <= 55 for name in CHAPTERS)
    assert "takes about three quarters of an hour, {ref}`as we count <reading-times>`" in page_of("intro").prose


def test_the_page_for_teachers_tells_the_rates() -> None:
    told = {"words": 1 / 175, "inline": 3 / 60, "formulas": 2, "code lines": 10 / 60, "figures": 1}
    assert told | {"checkpoints": 3, "exercises": 15} == times.MINUTES
    section = TEACHING.partition("(reading-times)=")[2].partition("\n## Four sessions")[0]
    rates = "175 words", "Two minutes", "three seconds", "ten seconds", "one minute", "three for", "fifteen for"
    assert [words for words in (*rates, "Nobody has timed") if words not in section] == []


@pytest.mark.parametrize("parts", re.findall(r"\{minutes\}`(.*?)`", TEACHING))
def test_what_is_counted_for_teachers_is_there(parts: str) -> None:
    assert times.minutes(parts) > 0


def test_the_site_shows_the_numbers(toy: Path, tmp_path: Path) -> None:
    (tmp_path / "index.md").write_text(
        "(reading-times)=\n# Toy\n\n{reading-time}`toy` And {minutes}`toy core; toy core`.", encoding="utf-8"
    )
    ways = {"extensions": ["myst_parser"], "exclude_patterns": ["*.ipynb", "out"]}
    site = Sphinx(tmp_path, None, tmp_path / "out", tmp_path / "out", "html", ways, status=None, warningiserror=True)
    times.setup(site)
    site.build()
    page = BeautifulSoup((tmp_path / "out" / "index.html").read_text(encoding="utf-8"), "html.parser")
    text = " ".join(page.select_one("section p").get_text().split())
    assert text == (
        "The core, up to the summary, takes about 10 minutes to read. What is marked further can wait, and takes 5; "
        "trying the exercises takes 20: counted, not measured with readers. And 15."
    )
    assert page.select_one("section p a")["href"] == "#reading-times"

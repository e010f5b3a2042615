"""A deck of slides is cut from a chapter's page: what it keeps, what it leaves out, and how it is shared out."""

import re
from pathlib import Path

import pytest
import yaml
from bs4 import BeautifulSoup
from pages import extension

ROOT = Path(__file__).resolve().parent.parent
slides = extension("slides")

FORMULA = '<div class="math" id="equation-{0}">\\[{0}{1}\\]</div>'
FIGURE = """<div class="cell"><div class="cell_input">code</div>
<div class="cell_output"><figure id="{0}"></figure></div></div>"""
SHOWN = """<div class="cell"><div class="cell_input">code</div><div class="cell_output">
<div class="pst-scrollable-table-container"><table><tr><td>number</td></tr></table></div></div></div>"""
PAGE = """<html><head><script>window.MathJax = {{}}</script><script src="../_static/mathjax/tex.js"></script>
<script src="search.js"></script></head><body><nav>menu</nav><article>
<section id="chapter"><h1>Chapter<a class="headerlink">#</a></h1><p>Opening.</p><ul><li>goal</li></ul>
<section id="one"><h2>One</h2><p>Said only.</p><p>Before a.</p>{a}<p>Before b.</p>{b}<p>Before c.</p>{c}
<p>Said, too.</p>{d}</section>
<section id="two"><h2>Two</h2><p>First words.</p><p>More words.</p></section>
<section id="code"><h2>Code</h2><p>By code:</p></section><section id="table"><h2>Table</h2><p>In a table:</p>
<div class="pst-scrollable-table-container"><table><tr><td>cell</td></tr></table></div>{table}</section>
<section id="three"><h2>Three</h2><div class="proof proposition admonition" id="prop">claim</div>
<div class="proof admonition">proof</div>{figure}<ul><li>point</li></ul></section>
<section id="exercises"><h2>Exercises</h2><div class="exercise admonition" id="ex">task</div>
<details class="solution admonition">answer</details></section>
<section id="references"><h2>References</h2><p>Books.</p></section></section></article></body></html>"""


@pytest.fixture(scope="module")
def deck() -> BeautifulSoup:
    page = PAGE.format(
        a=FORMULA.format("a", ""),
        b=FORMULA.format("b", ""),
        c=FORMULA.format("c", r" \\ c"),
        d=FORMULA.format("d", ""),
        figure=FIGURE.format("fig"),
        table=SHOWN,
    )
    return BeautifulSoup(slides.deck(page, "chapter.html"), "html.parser")


def test_what_is_shown_is_shared_out(deck: BeautifulSoup) -> None:
    found = [" ".join(slide.get_text(" ", strip=True).split()) for slide in deck.select(".slide")]
    assert found == [
        "Chapter goal",
        r"One Before a. \[a\] Before b. \[b\]",
        r"One Before c. \[c \\ c\]",
        r"One Said, too. \[d\]",
        "Two First words.",
        "Table cell",
        "Three claim",
        "Three",  # the figure
        "Three point",
        "Exercises task",
    ]
    assert [figure["id"] for figure in deck.select("figure")] == ["fig"]


def test_what_is_for_reading_is_left_out(deck: BeautifulSoup) -> None:
    for word in ("Said only", "More words", "proof of", "code", "answer", "Books", "number", "menu", "Opening"):
        assert word not in deck.select_one("main").get_text()


def test_the_deck_has_the_page_s_mathematics_and_a_way_back(deck: BeautifulSoup) -> None:
    assert [script.get("src") for script in deck.select("head script")] == [None, "../_static/mathjax/tex.js"]
    assert deck.select_one("a.back")["href"] == "chapter.html"
    assert deck.select_one("html")["lang"] == "en"
    assert not re.search(r"https?://", str(deck))


def test_decks_are_of_pages_of_the_book() -> None:
    toc = (ROOT / "_toc.yml").read_text(encoding="utf-8")
    names = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))["sphinx"]["config"]["slides_pages"]
    assert names
    assert all(f"file: {name}\n" in toc for name in names)

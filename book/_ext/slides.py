"""A lecture's slides from a chapter's own page: what is shown stays, what is said is left to the lecturer.

Each page named in `slides_pages` gets a deck beside it, `NAME-slides.html`: headings, displayed formulas with the
sentence before them, propositions, lists, short tables, figures (the interactive ones stay so) and exercises, a few
to a slide. Code, proofs and the running text are left out. A deck has the page's own numbers, links, mathematics and
pictures, because it is cut from the page that was just written; so it needs no other host, and no upkeep.
"""

from collections.abc import Iterator
from pathlib import Path
from string import Template

from bs4 import BeautifulSoup, Tag
from sphinx.application import Sphinx

TABLE = "div.pst-scrollable-table-container"
KEPT = f"div.math, div.proof.admonition, div.exercise, figure, ul, ol, dl, {TABLE}"
ALONE = f"div.proposition, div.exercise, figure, div.text_html, {TABLE}"  # each on a slide of its own
DRAWN = "figure, div.text_html:has(.walkcut-widget):not(figure *)"  # what a cell shows; its tables are too long
LINES = 2  # of formulas on one slide; a formula of several lines fills it
SKIPPED = {"references"}  # sections, by their id
FRAME, STYLE, KEYS = (Path(__file__).with_suffix(end).read_text("utf-8") for end in (".html", ".css", ".js"))


def blocks(section: Tag) -> Iterator[Tag]:
    """What a section shows, in order; a formula with the paragraph before it; of a section of text, its first."""
    before, shown = None, False
    first = section.find("p", recursive=False)
    for child in section.find_all(True, recursive=False):
        if child.name == "section":
            continue
        for block in [child] if child.css.match(KEPT) else child.css.select(DRAWN):
            if block.css.match("div.proof:not(.proposition)"):  # a proof is for reading
                continue
            if before is not None and block.css.match("div.math"):
                yield before
            before, shown = None, True
            yield block
        before = child if child.name == "p" else None
    if not shown and first is not None and not first.get_text().endswith(":"):  # what follows a colon is code
        yield first


def slides(section: Tag) -> Iterator[list[Tag]]:
    """The blocks of a section, a slide at a time."""
    slide, lines = [], 0
    for block in blocks(section):
        alone, formula = block.css.match(ALONE), block.css.match("div.math")
        full = lines >= LINES and not (formula and slide[-1].name == "p")  # a sentence stays with its formula
        if slide and (alone or full or slide[-1].css.match(ALONE)):
            yield slide
            slide, lines = [], 0
        slide.append(block)
        lines += (LINES if r"\\" in block.get_text() else 1) if formula else 0
    if slide:
        yield slide


def deck(page: str, back: str) -> str:
    """The deck of a page, both HTML; `back` is the page's address."""
    soup = BeautifulSoup(page, "html.parser")
    for link in soup.select("a.headerlink, details"):
        link.decompose()
    for link in soup.select('a[href^="#"]'):  # what it leads to may not be on a slide
        link["href"] = back + link["href"]
    chapter = soup.select_one("article section")
    title = chapter.h1.extract()
    shown = [f'<div class="slide title">{title}{chapter.find("ul")}</div>']
    for section in chapter.find_all("section", id=lambda name: name not in SKIPPED, recursive=False):
        heading = section.find(["h2", "h3"]).extract()
        heading.name = "h2"
        shown += [f'<div class="slide">{heading}{"".join(map(str, slide))}</div>' for slide in slides(section)]
    mathematics = [str(script) for script in soup.find_all("script") if "mathjax" in str(script).lower()]
    told = {"title": title.get_text(), "mathematics": "\n".join(mathematics), "slides": "\n".join(shown)}
    return Template(FRAME).substitute(told, back=back, style=STYLE, keys=KEYS)


def write(app: Sphinx, error: Exception | None) -> None:
    """Write the decks once the pages are there."""
    if error or app.builder.name != "html":
        return
    for name in app.config.slides_pages:
        page = Path(app.outdir, f"{name}.html")
        text = deck(page.read_text(encoding="utf-8"), page.name)
        page.with_name(f"{page.stem}-slides.html").write_text(text, encoding="utf-8")


def setup(app: Sphinx) -> None:
    app.add_config_value("slides_pages", [], "html")
    app.connect("build-finished", write)

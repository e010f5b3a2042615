"""The book on paper: two pages become one, printed with links that lead within it and nothing that sticks out."""

import re
import shutil
import zlib
from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from pages import extension

ROOT = Path(__file__).resolve().parent.parent
pdf = extension("pdf")

TOC = {"root": "book/one", "parts": [{"caption": "The rest", "chapters": [{"file": "book/two"}]}]}
ANOTHER = "2. Another, whose title is longer than a line of the paper is wide"
PAGE = """<!DOCTYPE html><html lang="en"><head><script>window.MathJax = {{"options": {{}}}}</script>
<script defer="defer" src="../_static/mathjax/tex-chtml-full.js"></script><script src="search.js"></script></head>
<body><nav>sidebar</nav><article class="bd-article">
<section id="{name}"><h1>{title}<a class="headerlink" href="#{name}">#</a></h1>{text}
<section id="summary"><h2>Summary of {name}</h2><p id="proof">One.</p><p id="proof">Two.</p></section>
<section id="references"><h2>References</h2><p>Listed elsewhere.</p></section></section>
<script>kernelName = 'python3'</script></article>
<p class="component-author">By the authors</p></body></html>"""
ONE = r"""<p>See <a href="two.html#equation-far">(2.3)</a>, <a href="two.html">two</a>, <a href="#summary">below</a>,
the <a href="one-slides.html">deck</a> and the <a href="https://example.org/a?b=c#d">web</a>.</p>
<details class="admonition hide above-input"><summary>Show</summary><pre>folded_code()</pre></details>
<details class="sd-dropdown"><summary>Answer<svg></svg></summary><p>Forty-two.</p></details>
<figure id="wide"><svg width="1500" height="300" viewBox="0 0 1500 300"><rect width="1500" height="300"/></svg>
<figcaption>Wide.</figcaption></figure><table><tr>TABLE</tr></table>
<div data-figure="key"></div><script type="module">
document.querySelector('[data-figure]').innerHTML =
  '<section><button>Step</button><span class="ticks">1 2</span><output>drawn</output></section>';
</script>""".replace("TABLE", f"<td>{'&nbsp;'.join(['long'] * 40)}</td>" * 3)
TWO = r"""<div class="math" id="equation-far"><span class="eqno">(2.3)</span>
\[\sqrt{\hat\lambda} \le \begin{pmatrix} SUM \end{pmatrix}\]</div>
<p>Ω ≤ λ̂ → ★ ✓, and \(\pi_i\). <a href="one.html#summary">Back</a>.</p><pre>PRE</pre>""".replace(
    "SUM", " + ".join(r"\operatorname{NCut}(S)" for _ in range(12))
).replace("PRE", "long_name(" * 40)


def site(folder: Path, one: str = ONE, two: str = TWO) -> Path:
    (folder / "book").mkdir()
    (folder / "_static").symlink_to(ROOT / "book" / "_static")
    for name, title, text in (("one", "A book", one), ("two", ANOTHER, two)):
        page = PAGE.format(name=name, title=title, text=text)
        (folder / "book" / f"{name}.html").write_text(page, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> str:
    return pdf.assembled(site(tmp_path_factory.mktemp("site")), TOC)


def test_ids_are_unique_and_every_link_leads_to_one(book: str) -> None:
    page = BeautifulSoup(book, "html.parser")
    ids = [node["id"] for node in page.select("[id]")]
    assert len(ids) == len(set(ids)) > 10
    links = [link["href"] for link in page.select("a[href]")]
    assert [link for link in links if not link.startswith("#")] == ["https://example.org/a?b=c#d"]
    assert {link[1:] for link in links if link.startswith("#")} <= set(ids)
    assert [link["href"] for link in page.select("main a[href]")] == [
        *("#book/two:equation-far", "#book/two", "#book/one:summary", "https://example.org/a?b=c#d"),
        "#book/one:summary",
    ]


def test_what_a_screen_needs_is_gone_and_answers_stay(book: str) -> None:
    page = BeautifulSoup(book, "html.parser")
    for word in ("sidebar", "kernelName", "folded_code", "Listed elsewhere", "search.js", "headerlink"):
        assert word not in book
    assert not page.select("details, nav:not(.contents), noscript")
    assert "Forty-two." in page.get_text()
    assert "deck" in page.get_text()
    assert page.select_one("script[src]")["src"].startswith("file:///")


def test_the_table_of_contents_has_every_page_in_its_order(book: str) -> None:
    page = BeautifulSoup(book, "html.parser")
    assert [link["href"] for link in page.select(".contents a")] == [
        *("#book/one", "#book/one:summary", "#book/two", "#book/two:summary")
    ]
    assert "The rest" in page.select_one(".contents").get_text()
    assert "By the authors" in page.select_one(".cover").get_text()


def streams(file: bytes) -> list[bytes]:
    """What Chromium draws on each page."""
    packed = re.findall(rb"/Filter /FlateDecode\n/Length \d+>> stream\n(.*?)\nendstream", file, re.DOTALL)
    return [text for text in map(zlib.decompress, packed) if b" Tf\n" in text]


def glyphs(file: bytes) -> list[int]:
    """The numbers of all glyphs that a file of Chromium's shows; 0 is what a font has for those that it lacks."""
    wide = re.findall(rb"(\d+) 0 obj\n<</Type /Font\n/Subtype /Type0", file)  # two bytes for a glyph
    shown = []
    for font, text in re.findall(rb"/F(\d+) \S+ Tf\n(.*?)ET\n", b"".join(streams(file)), re.DOTALL):
        size = 4 if font in wide else 2
        for run in re.findall(rb"<([0-9A-F]+)> Tj", text):
            shown += [int(run[i : i + size], 16) for i in range(0, len(run), size)]
    return shown


@pytest.fixture(scope="module")
def paper(book: str, chromium: object, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    page = tmp_path_factory.mktemp("page") / "book.html"
    page.write_text(book, encoding="utf-8")
    yield pdf.printed(chromium, page)
    chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


def test_the_print_has_links_an_outline_and_tags(paper: bytes) -> None:
    targets = pdf.places(paper)
    links = {name.replace(b"#2F", b"/").decode() for name in re.findall(rb"/Dest /(\S+)", paper)}
    assert {"book/two:equation-far", "book/two", "book/one:summary"} <= links <= set(targets)
    assert re.findall(rb"/URI \((.*?)\)", paper) == [b"https://example.org/a?b=c#d"]
    assert b"/Title (%b)" % ANOTHER.encode() in paper
    for part in (b"/Outlines", b"/Title (Summary of one)", b"/MarkInfo", b"/Lang (en)"):
        assert part in paper
    assert rb"/Alt (\\pi_i)" in paper  # a formula's name is its TeX


def test_chapters_begin_on_pages_that_the_contents_name(paper: bytes, chromium: object) -> None:
    targets = pdf.places(paper)
    assert 2 < targets["book/one"] <= targets["book/one:summary"] < targets["book/two"]
    shown = chromium.execute_script("return [...document.querySelectorAll('[data-page]')].map(n => n.textContent)")
    assert shown == [str(targets[f"book/{name}"]) for name in ("one", "one:summary", "two", "two:summary")]


def test_nothing_sticks_out(paper: bytes, chromium: object) -> None:
    """All was made to fit: Chromium makes the whole print smaller where anything is wider than the paper's text."""
    found = chromium.execute_script(
        "const text = document.querySelector('main').getBoundingClientRect();"
        "return ['svg', 'table', 'pre', 'mjx-math'].map(kind => Math.max(...[...document.querySelectorAll(kind)]"
        ".map(n => n.getBoundingClientRect().width)) / text.width)"
    )
    assert len(found) == 4
    assert all(0.9 < width <= 1.001 for width in found)
    assert {b"3.125"} == set(re.findall(rb"cm\nq\n(\S+) 0 0 \S+ \S+ \S+ cm", b"".join(streams(paper))))
    parts = chromium.find_elements("css selector", "[data-figure] :is(button, .ticks, output)")
    assert [part.is_displayed() for part in parts] == [False, False, True]


def test_no_glyph_is_missing(paper: bytes) -> None:
    shown = glyphs(paper)
    assert len(shown) > 500
    assert 0 not in shown


@pytest.mark.parametrize(
    ("text", "told"),
    [('<p style="width: 400mm">endless</p>', "P endless"), (r"<p>\(\frac{1}\)</p>", "MJX-MERROR")],
)
def test_what_cannot_be_printed_is_named(text: str, told: str, chromium: object, tmp_path: Path) -> None:
    page = tmp_path / "book.html"
    page.write_text(pdf.assembled(site(tmp_path, text), TOC), encoding="utf-8")
    with pytest.raises(SystemExit, match=f"wider than a page of the book, or no formula: {told}"):
        pdf.printed(chromium, page)
    chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


def test_without_chromium_the_remedy_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(SystemExit, match="apt-get install chromium chromium-driver"):
        pdf.main("html", "book.pdf")

"""Definitions at hand: what a term or a symbol means shows where it is read, and the glossary says where it is used.

Both are cut from the pages that were just written. `definitions-data.js` holds the entries of the glossary by their
anchors and the rows of the notation by their symbols; `definitions.js`, beside the site's other files, shows them on
hover, focus and touch. Each entry of the glossary gets links back to the pages that link to it.
"""

import json
import re
from pathlib import Path

from bs4 import BeautifulSoup, Tag
from sphinx.application import Sphinx

GLOSSARY, NOTATION = "book/glossary", "book/notation"
DATA, SCRIPT = "definitions-data.js", "definitions.js"


def page(folder: Path, name: str) -> BeautifulSoup:
    return BeautifulSoup((folder / f"{name}.html").read_text(encoding="utf-8"), "html.parser")


def entries(glossary: BeautifulSoup) -> dict[str, list[str]]:
    """What each term means, by its anchor: the term and its definition, without links, which would lead elsewhere."""
    found = {}
    for term in glossary.select("dl.glossary > dt[id]"):
        meaning = BeautifulSoup(str(term.find_next_sibling("dd").p), "html.parser").p
        for link in meaning.select("a"):
            link.unwrap()
        found[term["id"]] = [term.find(string=True).strip(), meaning.decode_contents()]
    return found


def symbols(cell: Tag) -> list[str]:
    """The symbols that a cell of the notation defines: what stands before an equals sign, one by one.

    `(h, w)` are two; of `NCut(S)`, a function, the name counts.
    """
    found = []
    for formula in cell.select("span.math"):
        text = re.split(r"(?:=|\\le|<)", formula.get_text()[2:-2])[0].strip()
        text = re.sub(r"^\((.*)\)$", r"\1", text)
        text = re.sub(r"(?<=\w|\})\([^()]*\)", "", text)
        found += [part.strip() for part in text.split(",") if part.strip() not in ("", r"\dots")]
    return found


def rows(notation: BeautifulSoup) -> list[list]:
    """Of each row: its symbols, and what they mean, as HTML."""
    found = []
    for row in notation.select("article tbody tr"):
        symbol, meaning, *rest = row.find_all("td")
        if len(rest) == 2 and symbols(symbol):  # shape and chapter: not a row of the second table, of code
            told = [(cell.p or cell).decode_contents() for cell in (symbol, meaning)]
            found.append([symbols(symbol), ": ".join(told)])
    return found


def used(folder: Path, names: list[str]) -> dict[str, dict[str, str]]:
    """For each entry of the glossary the titles of the pages that link to it, by their names."""
    found: dict[str, dict[str, str]] = {}
    for name in names:
        soup = page(folder, name)
        for link in soup.select(f'article a[href*="{GLOSSARY.rpartition("/")[2]}.html#term-"]'):
            title = soup.h1.find(string=True).strip()
            found.setdefault(link["href"].partition("#")[2], {})[name] = title
    return found


def add_links_back(glossary: BeautifulSoup, found: dict[str, dict[str, str]]) -> None:
    """Say under each entry which pages use it."""
    for paragraph in glossary.select("p.used-in"):  # of a page that was not written anew
        paragraph.decompose()
    for term in glossary.select("dl.glossary > dt[id]"):
        pages = found.get(term["id"], {})
        links = ", ".join(f'<a href="{Path(name).name}.html">{title}</a>' for name, title in pages.items())
        if links:
            told = BeautifulSoup(f'<p class="used-in">Used in: {links}.</p>', "html.parser")
            term.find_next_sibling("dd").append(told)


def write(app: Sphinx, error: Exception | None) -> None:
    """Write the data beside the script, and the links back into the glossary."""
    if error or app.builder.name != "html":
        return
    folder = Path(app.outdir)
    glossary = page(folder, GLOSSARY)
    data = {"terms": entries(glossary), "symbols": rows(page(folder, NOTATION))}
    text = f"window.DEFINITIONS = {json.dumps(data, ensure_ascii=False)};\n"
    (folder / "_static" / DATA).write_text(text, encoding="utf-8")
    add_links_back(glossary, used(folder, sorted(app.env.found_docs - {GLOSSARY})))
    (folder / f"{GLOSSARY}.html").write_text(str(glossary), encoding="utf-8")


def setup(app: Sphinx) -> None:
    app.add_js_file(DATA, loading_method="defer")
    app.add_js_file(SCRIPT, loading_method="defer")
    app.connect("build-finished", write)

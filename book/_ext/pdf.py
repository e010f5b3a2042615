"""The book on paper: all pages of the built site in one, printed by Chromium.

    python book/_ext/pdf.py _build/html _build/book.pdf

Pages come in the order of `_toc.yml`, behind a title page and a table of contents. Links lead within the file, or to
the web. Figures stand still as they are drawn at first; answers and solutions are open; folded code is left out.
"""

import base64
import json
import re
import shutil
import sys
import tempfile
from pathlib import Path
from string import Template
from urllib.parse import unquote, urljoin, urlsplit

import matplotlib as mpl
import yaml
from bs4 import BeautifulSoup, Tag

FRAME, STYLE, READY = (Path(__file__).with_suffix(end).read_text("utf-8") for end in (".html", ".css", ".js"))
TOC = Path(__file__).resolve().parents[2] / "_toc.yml"
SCREEN = "section#references, a.headerlink, script:not([type=module]), noscript, .toctree-wrapper, summary svg"
FOLDED = "details.hide:not(.below-input), details.hide > summary"  # code; of what a cell shows, the button alone
BARE = ".highlight :is(.n, .nn, .p, .w), .pre, :is(td, th) > p:only-child"  # as what is around them; a tenth of a file
FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--force-prefers-reduced-motion")
DRAFT = {"preferCSSPageSize": True, "printBackground": True}
FINAL = DRAFT | {"generateDocumentOutline": True, "generateTaggedPDF": True}
NEED = "To print the book, Chromium and its driver are needed: apt-get install chromium chromium-driver"


def chapter(page: BeautifulSoup, name: str, names: list[str], site: str) -> Tag:
    """A page as a chapter: without what only a screen needs; its name stands before its ids, and in links to them."""
    section = page.select_one("article section")
    for node in section.select(f"{SCREEN}, {FOLDED}"):
        node.decompose()
    for node in section.select(BARE):
        node.unwrap()
    for node in section.select("details, summary"):  # nothing unfolds
        node.name = {"details": "div", "summary": "p"}[node.name]
    seen = set()
    for node in section.select("[id]"):
        key = f"{name}:{node['id']}"
        node["id"] = f"{key}:{len(seen)}" if key in seen else key  # all proofs of a page have the same one
        seen.add(node["id"])
    for node in section.select("[src]"):
        node["src"] = urljoin(f"{site}/{name}.html", node["src"])
    for link in section.select("a[href]"):
        address = urlsplit(urljoin(f"{name}.html", link["href"]))
        target = address.path.removesuffix(".html")
        if target in names and not address.scheme:
            link["href"] = f"#{target}:{unquote(address.fragment)}" if address.fragment else f"#{target}"
        elif not address.scheme:  # a picture alone, a deck of slides: not in the book
            link.unwrap()
    section.insert(0, page.new_tag("a", id=name))
    section["class"], section["style"] = "chapter", f"page: p-{Path(name).name}"
    return section


def line(heading: Tag, anchor: str) -> str:
    """A line of the table of contents; its page is not yet known."""
    return f'<a href="#{anchor}"><span>{heading.decode_contents()}</span><span data-page="{anchor}"></span></a>'


def assembled(site: Path, toc: dict) -> str:
    """All pages of a built site as one, HTML."""
    parts = [{"caption": "", "chapters": [{"file": toc["root"]}]}, *toc["parts"]]
    names = [entry["file"] for part in parts for entry in part["chapters"]]
    pages = {name: BeautifulSoup((site / f"{name}.html").read_text("utf-8"), "html.parser") for name in names}
    address, first = site.resolve().as_uri(), pages[toc["root"]]
    mathematics = [script for script in first.head("script") if "mathjax" in str(script).lower()]
    for script in mathematics:
        if script.get("src"):
            script["src"] = urljoin(f"{address}/{toc['root']}.html", script["src"])
    told = [first.select_one(kind) for kind in (".component-author", ".copyright", ".last-updated")]
    contents, chapters, heads = [], [], []
    for part in parts:
        contents.append(f"<p>{part['caption']}</p>")
        for name in (entry["file"] for entry in part["chapters"]):
            section = chapter(pages[name], name, names, address)
            within = [line(one.h2, one["id"]) for one in section.find_all("section", recursive=False) if one.h2]
            contents.append(f"<div>{line(section.h1, name)}<div>{''.join(within)}</div></div>")
            title = json.dumps(section.h1.get_text(), ensure_ascii=False)
            heads.append(f"@page p-{Path(name).name} {{ @top-left {{ content: {title}; }} }}")
            chapters.append(str(section))
    return Template(FRAME).substitute(
        title=first.h1.get_text(),
        told="".join(f"<p>{node.get_text(' ', strip=True)}</p>" for node in told if node),
        fonts=Path(mpl.get_data_path(), "fonts/ttf").as_uri(),
        site=address,
        style="\n".join([STYLE, *heads]),
        mathematics="\n".join(map(str, mathematics)),
        contents="".join(contents),
        chapters="\n".join(chapters),
    )


def places(pdf: bytes) -> dict[str, int]:
    """On which page each target of a link stands, read from a file that Chromium has written."""
    number = {key: place for place, key in enumerate(re.findall(rb"(\d+) 0 obj\n<</Type /Page\n", pdf), 1)}
    found = re.findall(rb"/(\S+) \[(\d+) 0 R /XYZ", pdf)
    return {unquote(name.replace(b"#", b"%").decode()): number[page] for name, page in found}


def printed(browser: object, page: Path) -> bytes:
    """The page as a PDF: a draft tells which pages the table of contents has to name."""
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    browser.get(page.as_uri())
    if misfits := browser.execute_async_script(READY):
        sys.exit(f"This is wider than a page of the book, or no formula: {'; '.join(misfits)}")
    for options in (DRAFT, FINAL):
        pdf = base64.b64decode(browser.execute_cdp_cmd("Page.printToPDF", options)["data"])
        browser.execute_script("number(arguments[0])", places(pdf))
    return pdf


def main(site: str, target: str) -> None:
    """Print the site in a folder into a file."""
    binary, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (binary and driver):
        sys.exit(NEED)
    from selenium import webdriver  # where it is used: only those who print need it

    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for flag in FLAGS:
        options.add_argument(flag)
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder, "book.html")
        page.write_text(assembled(Path(site), yaml.safe_load(TOC.read_text("utf-8"))), "utf-8")
        with webdriver.Chrome(options=options, service=webdriver.ChromeService(driver)) as browser:
            browser.command_executor.client_config.timeout = browser.timeouts.script = 900  # seconds, on a busy machine
            Path(target).write_bytes(printed(browser, page))


if __name__ == "__main__":
    main(*sys.argv[1:])

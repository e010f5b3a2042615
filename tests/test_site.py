"""The built site in a real browser that can reach no other host.

The fixture calls `make book`, which does nothing where the site is up to date. Without Chromium the tests are skipped,
except where the environment sets CI: there a missing browser is a failure.
"""

import json
import os
import re
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import yaml
from explorers import TYPESET, axe_core, faults, forget, stored_tree
from test_pdf import glyphs, pdf

ROOT = Path(__file__).resolve().parent.parent
HTML = ROOT / "_build" / "html"
PHONE = 390  # CSS pixels
pytestmark = pytest.mark.browser


def toc_pages() -> list[str]:
    """Names of the pages in _toc.yml, and those that the build adds: search and indices."""

    def files(entry: dict) -> Iterator[str]:
        if "file" in entry:
            yield entry["file"]
        for child in (*entry.get("parts", ()), *entry.get("chapters", ()), *entry.get("sections", ())):
            yield from files(child)

    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    return [toc["root"], *files(toc), "search", "genindex", "prf-prf"]


class QuietHandler(SimpleHTTPRequestHandler):
    """Serve files without a line on stderr for each."""

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture(scope="session")
def site(chromium: object) -> Iterator[str]:
    """Address of the built site, served on this machine only."""
    env = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
    build = subprocess.run(["make", "book"], cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    if build.returncode:
        pytest.fail("`make book` failed:\n" + (build.stdout + build.stderr)[-4000:])
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietHandler, directory=str(HTML)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@dataclass(frozen=True)
class Visit:
    """What the browser saw on one page."""

    console: list[str]  # warnings and errors
    requests: list[str]  # every address asked for
    failed: list[str]  # requests without an answer, or answered with an error
    facts: dict  # what FACTS measured


# Waits for the typesetting, scrolls lazily loaded images into being, then measures.
FACTS = (
    TYPESET
    + """
const done = arguments[arguments.length - 1];
(async () => {
  await typeset();
  const images = [...document.querySelectorAll('main img')];
  images.forEach(image => { image.loading = 'eager'; });
  await Promise.all(images.map(image => image.decode().catch(() => null)));
  const formulas = [...document.querySelectorAll('main .math')];
  const within = (node, selector) => node.closest(selector) !== null;
  done({
    formulas: formulas.length,
    bare: formulas.filter(formula => !formula.querySelector('mjx-container')).map(formula => formula.textContent),
    scrolled: [...document.querySelectorAll('main .cell_output pre')].filter(
      block => block.scrollWidth > block.clientWidth + 1).map(block => block.textContent.slice(0, 80)),
    broken: [...document.querySelectorAll('mjx-merror, [data-mjx-error]')].map(m => m.textContent || m.title),
    images: images.map(image => ({
      source: image.getAttribute('src'), alt: image.alt, width: image.naturalWidth,
      output: within(image, '.cell_output'), captioned: !!image.closest('figure')?.querySelector('figcaption'),
      named: !!image.closest('figure')?.id,
    })),
  });
})();
"""
)

# The width of the whole page, and the first things that stick out of it and are in no box that scrolls or clips.
OVERFLOW = """
const boxed = node => {
  for (let box = node.parentElement; box && box !== document.body; box = box.parentElement)
    if (getComputedStyle(box).overflowX !== 'visible') return true;
  return false;
};
const wide = [...document.body.querySelectorAll('*')].filter(
  node => node.getBoundingClientRect().right > innerWidth + 1 && !boxed(node));
const first = wide.slice(0, 3).map(node => `${node.tagName} ${node.className}: ${node.textContent.slice(0, 60)}`);
// a formula in a line that shows only its beginning, and cannot be scrolled
const clipped = node => [node, node.parentElement].some(
  box => getComputedStyle(box).overflowX === 'hidden' && box.scrollWidth > box.clientWidth + 1);
const cut = [...document.querySelectorAll('main span.math > mjx-container')].filter(
  node => node.offsetParent && clipped(node)).map(node => node.parentElement.parentElement.textContent.slice(0, 60));
return {page: document.documentElement.scrollWidth, screen: innerWidth, first, cut};
"""


def network(browser: object) -> tuple[list[str], list[str]]:
    """Read the requests, and those that failed, from the browser's performance log."""
    asked, failed = {}, []
    for entry in browser.get_log("performance"):
        event = json.loads(entry["message"])["message"]
        method, params = event["method"], event["params"]
        if method == "Network.requestWillBeSent":
            asked[params["requestId"]] = params["request"]["url"]
        elif method == "Network.responseReceived" and params["response"]["status"] >= 400:
            failed.append(params["response"]["url"])
        elif method == "Network.loadingFailed" and not params.get("canceled"):
            failed.append(asked.get(params["requestId"], params.get("errorText", "")))
    return list(asked.values()), failed


@pytest.fixture(scope="module", params=toc_pages())
def visit(request: pytest.FixtureRequest, chromium: object, site: str) -> Visit:
    forget(chromium)
    chromium.get(f"{site}/{request.param}.html")
    facts = chromium.execute_async_script(FACTS)
    phone = {"width": PHONE, "height": 844, "deviceScaleFactor": 2, "mobile": False}
    chromium.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
    facts["phone"] = chromium.execute_script(OVERFLOW)
    chromium.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    requests, failed = network(chromium)
    console = [entry["message"] for entry in chromium.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]
    return Visit(console, requests, failed, facts)


def test_the_console_is_silent(visit: Visit) -> None:
    assert visit.console == []


def test_no_other_host_is_asked(visit: Visit) -> None:
    hosts = {urlsplit(url).hostname for url in visit.requests if urlsplit(url).scheme not in ("data", "blob", "about")}
    assert hosts == {"127.0.0.1"}, visit.requests
    assert visit.failed == []


def test_mathematics_is_typeset(visit: Visit) -> None:
    assert visit.facts["bare"] == []
    assert visit.facts["broken"] == []


def test_printed_lines_stay_in_their_box(visit: Visit) -> None:
    assert visit.facts["scrolled"] == []


def test_images_load_and_are_described(visit: Visit) -> None:
    for image in visit.facts["images"]:
        assert image["width"] > 0, f"{image['source']} did not load"
        # Without an alt text of ours the build writes the file's own name there.
        assert image["alt"].strip(), f"{image['source']} has no alt text"
        assert not image["alt"].endswith((".png", ".svg", ".jpg")), f"{image['source']} has a file name as its alt text"


def test_figures_have_a_caption_and_a_name(visit: Visit) -> None:
    bare = [i["source"] for i in visit.facts["images"] if i["output"] and not (i["captioned"] and i["named"])]
    assert bare == [], "a cell shows a picture without a caption and a name (cell metadata: mystnb.figure)"


def test_a_phone_needs_no_sideways_scrolling(visit: Visit) -> None:
    assert visit.facts["phone"]["screen"] == PHONE
    assert visit.facts["phone"]["page"] <= PHONE, visit.facts["phone"]["first"]
    assert visit.facts["phone"]["cut"] == []


def test_some_page_holds_mathematics(chromium: object, site: str) -> None:
    """So that a site without any formula cannot pass for one whose formulas are typeset."""
    chromium.get(f"{site}/book/notation.html")
    assert chromium.execute_async_script(FACTS)["formulas"] > 20


def test_the_front_page_leads_to_the_introduction(chromium: object, site: str) -> None:
    from selenium.webdriver.support.wait import WebDriverWait

    chromium.get(f"{site}/index.html")
    WebDriverWait(chromium, 20).until(lambda browser: browser.current_url == f"{site}/{toc_pages()[0]}.html")


@pytest.mark.parametrize("page", [page for page in toc_pages() if page.startswith("book/")])
def test_displayed_tables_are_tables(site: str, page: str) -> None:
    """What a cell displays as Markdown is set, not shown as bars and dashes."""
    text = (HTML / f"{page}.html").read_text(encoding="utf-8")
    shown = re.sub(r"<pre.*?</pre>", "", text, flags=re.DOTALL)  # a cell's own code may write a table's rule
    assert not re.search(r"\|\s*---", shown)
    if page == "book/results":
        assert text.count("<table") > 10


FIGURES = """
return [...document.querySelectorAll('.walkcut-widget')].map(figure => ({
  name: figure.querySelector('section').className, selected: figure.dataset.selected,
  bytes: figure.parentElement.querySelector('script').textContent.length,
  unnamed: [...figure.querySelectorAll('canvas, svg, input, select, button')].filter(
    node => !(node.getAttribute('aria-label') ?? (node.closest('label') ?? node).textContent.trim())).length,
}));
"""
EXPLORERS = {
    "intro": ["eyes", "toy"],
    "01-attention": ["attention", "frames"],
    "02-walk": ["frames", "toy", "attention"],
    "03-ncut": ["cut", "frames"],
    "04-recursion": ["tree", "frames"],
    "05-threshold": ["criteria", "frames", "tree"],
    "06-graphs": ["graphs"],
    "09-knowledge": ["attention", "eyes"],
    "further-times": ["frames"],
}


@pytest.mark.parametrize("page", EXPLORERS)
def test_explorers_answer_on_a_page_read_as_a_file(page: str, site: str, chromium: object) -> None:
    from selenium.webdriver.common.keys import Keys
    from selenium.webdriver.support.ui import WebDriverWait

    forget(chromium)
    chromium.get((HTML / "book" / f"{page}.html").as_uri())
    stands = "return document.querySelectorAll('.walkcut-widget[data-selected]').length"
    WebDriverWait(chromium, 10).until(lambda browser: browser.execute_script(stands) == len(EXPLORERS[page]))
    before = chromium.execute_script(FIGURES)
    assert [figure["name"] for figure in before] == [f"walkcut-{name}" for name in EXPLORERS[page]]
    assert all(figure["bytes"] <= 2_100_000 for figure in before)  # 2 MB of data, and the module
    assert sum(figure["unnamed"] for figure in before) == 0
    for figure in chromium.find_elements("css selector", ".walkcut-widget"):
        slider = figure.find_element("css selector", "input[type=range], svg[role=slider]")
        chromium.execute_script("arguments[0].scrollIntoView({block: 'center'})", slider)
        slider.send_keys(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    after = chromium.execute_script(FIGURES)
    assert all(old["selected"] != new["selected"] for old, new in zip(before, after, strict=True))
    requests, failed = network(chromium)
    assert {urlsplit(url).scheme for url in requests} <= {"file", "data", "blob", "about"}, requests
    assert failed == []
    assert [entry["message"] for entry in chromium.get_log("browser") if entry["level"] == "SEVERE"] == []


def test_the_front_page_prunes_as_python_does(site: str, chromium: object) -> None:
    """On one screen, by either eye, with its own numbers: a tree is read from the page and pruned once more."""
    from selenium.webdriver.common.keys import Keys

    path = HTML / "book" / "intro.html"
    chromium.get(path.as_uri())
    box = chromium.execute_script("return document.querySelector('.walkcut-widget').getBoundingClientRect().toJSON()")
    assert box["height"] <= 900, "photograph, walk, cut, tree and slider fit on one screen of 1280 x 1000"
    state = json.loads(re.search(r"^const state = (.*);$", path.read_text(encoding="utf-8"), re.M)[1])
    place = chromium.find_element("css selector", ".walkcut-widget")
    buttons = place.find_elements("css selector", "button[aria-pressed]")  # the others play
    assert len(state["eyes"]) == len(buttons) == 2
    for number, (button, (eye, stored)) in enumerate(zip(buttons, state["eyes"], strict=True)):
        chromium.execute_script("arguments[0].scrollIntoView({block: 'center'}); arguments[0].click()", button)
        slider = place.find_elements("xpath", ".//label[starts-with(., 'Threshold')]/input")[number]
        tree = stored_tree(stored)
        for key in (Keys.HOME, Keys.END, *[Keys.PAGE_DOWN] * 4):
            slider.send_keys(key)
            found = json.loads(place.get_attribute("data-selected"))
            sizes = [stop - start for start, stop, since, until in tree if since <= found["threshold"] < until]
            assert (found["eye"], sorted(found["sizes"])) == (eye, sorted(sizes))


@pytest.mark.parametrize("page", [page for page in EXPLORERS if "frames" in EXPLORERS[page]])
def test_recordings_stand_where_a_kernel_is_needed(page: str, site: str, chromium: object) -> None:
    """Without scripts the first frame; with them another one for a slider that is moved."""
    from selenium.webdriver.common.keys import Keys

    text = (HTML / "book" / f"{page}.html").read_text(encoding="utf-8")
    assert len(re.findall(r'<noscript><img src="data:image/webp;base64,', text)) == 1
    assert "application/vnd.jupyter.widget" not in text
    chromium.get((HTML / "book" / f"{page}.html").as_uri())
    figure = chromium.find_element("css selector", "figure .walkcut-frames")
    before = figure.find_element("css selector", "img").get_attribute("src")
    figure.find_element("css selector", "input[type=range]").send_keys(Keys.END)
    picture = figure.find_element("css selector", "img")
    assert picture.get_attribute("src") != before
    assert chromium.execute_script("return arguments[0].decode().then(() => arguments[0].naturalWidth)", picture) == 600


def test_a_picture_is_segmented_on_a_page_read_as_a_file(site: str, chromium: object) -> None:
    """What computes, some MB, is loaded when it is asked for; `tests/test_photo.py` checks what it finds."""
    from selenium.webdriver.support.ui import WebDriverWait

    forget(chromium)
    chromium.get((HTML / "book" / "yours.html").as_uri())
    navigation = "return performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd"
    assert chromium.execute_script(navigation) < 2000  # milliseconds
    before, _ = network(chromium)
    assert not any("walkcut-encoder.js" in url for url in before)
    chromium.execute_script("document.querySelector('.walkcut-photo .samples button').click()")
    place = chromium.find_element("css selector", ".walkcut-widget")
    WebDriverWait(chromium, 60).until(lambda _: json.loads(place.get_attribute("data-selected"))["state"] == "done")
    assert json.loads(place.get_attribute("data-selected"))["segments"] == 10
    after, failed = network(chromium)
    assert any("walkcut-encoder.js" in url for url in after)
    assert {urlsplit(url).scheme for url in (*before, *after)} <= {"file", "data", "blob", "about"}
    assert failed == []
    assert [entry["message"] for entry in chromium.get_log("browser") if entry["level"] == "SEVERE"] == []


TERM = "dd a[href*='#term-']:not(.headerlink)"  # the glossary's own terms stand for those of the chapters
FOCUS = "arguments[0].scrollIntoView({block: 'center'}); arguments[0].focus({focusVisible: true})"


@pytest.mark.parametrize(("page", "shown"), [("glossary", TERM), ("02-walk", "mjx-container")])
def test_a_term_and_a_formula_say_what_they_mean(page: str, shown: str, site: str, chromium: object) -> None:
    from selenium.webdriver.support.ui import WebDriverWait

    chromium.get((HTML / "book" / f"{page}.html").as_uri())
    chromium.execute_async_script(FACTS)
    found = [node for node in chromium.find_elements("css selector", f"main {shown}") if node.is_displayed()]
    chromium.execute_script(FOCUS, found[0])
    box = chromium.find_element("id", "definition")
    WebDriverWait(chromium, 10).until(lambda _: box.is_displayed() and len(box.text) > 10)
    assert box.rect["x"] >= 0


@pytest.fixture(scope="module")
def axe() -> str:
    return axe_core()


OPEN = [
    (page, theme)
    for page in ("intro", "03-ncut", "09-knowledge", "yours", "teaching", "api", "references", "../prf-prf")
    for theme in ("light", "dark")
]


@pytest.mark.parametrize(("page", "theme"), [*OPEN, ("03-ncut-slides", "light")])  # slides are light
def test_pages_are_open_to_all(page: str, theme: str, chromium: object, site: str, axe: str) -> None:
    chromium.get(f"{site}/book/{page}.html")
    found = faults(chromium, axe, theme)
    assert found["rules"] > 10
    assert found["faults"] == []


def test_a_fault_would_be_found(chromium: object, site: str, axe: str) -> None:
    chromium.get(f"{site}/book/references.html")
    fault = "<img src='x.png'><button></button><p style='color: #ccc; background: #fff'>Pale words on white.</p>"
    chromium.execute_script("document.querySelector('article').insertAdjacentHTML('afterbegin', arguments[0])", fault)
    rules = {fault["rule"] for fault in faults(chromium, axe, "light")["faults"]}
    assert {"image-alt", "button-name", "color-contrast"} <= rules


DECK = """
const slides = [...document.querySelectorAll('.slide')];
return {slides: slides.length, bare: slides.filter(slide => slide.children.length < 2).length,
        ids: [...document.querySelectorAll('main [id]')].map(node => node.id)};
"""
DECKS = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))["sphinx"]["config"]["slides_pages"]


@pytest.mark.parametrize("name", DECKS)
def test_a_deck_shows_what_its_chapter_shows(name: str, chromium: object, site: str) -> None:
    """Every figure, formula, proposition and exercise once, on slides of which none is empty; from this host alone."""
    cells = json.loads((ROOT / f"{name}.ipynb").read_text(encoding="utf-8"))["cells"]
    text = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    text, figures = re.sub(r"^```+\{solution-start\}.*?\{solution-end\}", "", text, flags=re.M | re.S), set()
    text = re.sub(r"^(```+)\{prf:proof\}.*?^\1$", "", text, flags=re.M | re.S)
    for cell in cells:
        figures |= {cell["metadata"].get("mystnb", {}).get("figure", {}).get("name")} - {None}
    labels = set(re.findall(r"^:label: ((?:prop|ex)-[\w-]+)$", text, re.M)) | figures
    labels |= {f"equation-{label}" for label in re.findall(r"^\$\$ \((eq-[\w-]+)\)$", text, re.M)}
    page = (HTML / f"{name}.html").read_text(encoding="utf-8")
    labels = {label for label in labels if f'id="{label}"' in page}  # a cell may show nothing where weights are missing
    assert len(labels) > 15
    forget(chromium)
    chromium.get(f"{site}/{name}-slides.html")
    facts, deck = chromium.execute_async_script(FACTS), chromium.execute_script(DECK)
    assert sorted(label for label in deck["ids"] if label in labels) == sorted(labels)
    assert len(figures) < deck["slides"] < 3 * len(text.split("\n## "))
    assert deck["bare"] == 0
    assert (facts["bare"], facts["broken"]) == ([], [])
    requests, failed = network(chromium)
    assert {urlsplit(url).hostname for url in requests if urlsplit(url).scheme == "http"} == {"127.0.0.1"}
    assert failed == []
    assert [entry["message"] for entry in chromium.get_log("browser") if entry["level"] == "SEVERE"] == []


def test_the_handout_prints_on_one_page(chromium: object, site: str) -> None:
    import base64

    chromium.get(f"{site}/book/handout.html")
    chromium.execute_async_script(FACTS)
    printed = chromium.execute_cdp_cmd("Page.printToPDF", {"paperWidth": 8.27, "paperHeight": 11.69})
    pages = re.findall(rb"/Type\s*/Page\b", base64.b64decode(printed["data"]))
    assert len(pages) == 1


def test_the_book_fits_on_paper(chromium: object, site: str, tmp_path: Path) -> None:
    """Ids are unique, links lead to them, nothing is too wide, every formula is typeset, and no glyph is missing."""
    page, toc = tmp_path / "book.html", yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    page.write_text(pdf.assembled(HTML, toc), encoding="utf-8")
    ids = re.findall(r' id="([^"]*)"', re.sub(r"<script.*?</script>", "", page.read_text("utf-8"), flags=re.DOTALL))
    assert len(ids) == len(set(ids))
    client = chromium.command_executor.client_config
    usual = client.timeout, chromium.timeouts
    client.timeout = 600  # seconds: the whole book, on a busy machine
    chromium.set_page_load_timeout(600), chromium.set_script_timeout(600)
    try:
        file = pdf.printed(chromium, page)
    finally:
        chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
        client.timeout, chromium.timeouts = usual
    links = {unquote(name.replace(b"#", b"%").decode()) for name in re.findall(rb"/Dest /(\S+)", file)}
    assert links <= set(pdf.places(file))
    assert len(links) > 500
    assert 0 not in glyphs(file)

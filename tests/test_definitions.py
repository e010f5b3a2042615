"""What a term or a symbol means is cut from the glossary and the notation, and shown where it is read."""

import json
from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from pages import extension

ROOT = Path(__file__).resolve().parent.parent
definitions = extension("definitions")

GLOSSARY = """<article><dl class="glossary"><dt id="term-walk">walk<a class="headerlink" href="#term-walk">#</a></dt>
<dd><p>Steps by <span class="math">\\(P\\)</span>, see <a href="#term-law"><span>law</span></a>.</p></dd>
<dt id="term-law">law</dt><dd><p>Where walkers are.</p></dd></dl></article>"""
NOTATION = """<article><table><tbody>
<tr><td><p><span class="math">\\(Q, K\\)</span></p></td><td><p>queries and keys</p></td><td></td><td>1</td></tr>
<tr><td><span class="math">\\(r_{ij}\\)</span></td><td>distance</td><td></td><td>2</td></tr>
<tr><td><span class="math">\\(r_k\\)</span></td><td>stability</td><td></td><td>5</td></tr>
<tr><td><span class="math">\\(P^{(\\sigma)}\\)</span></td><td>with the prior</td><td></td><td>2</td></tr>
<tr><td><span class="math">\\(P\\)</span></td><td>the walk</td><td></td><td>2</td></tr>
<tr><td><span class="math">\\(k_{\\text{mix}}\\)</span></td><td>mixing time</td><td></td><td>2</td></tr>
<tr><td><span class="math">\\(\\hat u = \\sum_i x_i\\)</span></td><td>a guess</td><td></td><td>1</td></tr>
</tbody></table><table><tbody>
<tr><td><span class="math">\\(P\\)</span></td><td><code>walk.P</code></td></tr></tbody></table></article>"""


def html(text: str) -> BeautifulSoup:
    return BeautifulSoup(text, "html.parser")


def test_an_entry_is_its_term_and_its_meaning_without_links() -> None:
    found = definitions.entries(html(GLOSSARY))
    meaning = 'Steps by <span class="math">\\(P\\)</span>, see <span>law</span>.'
    assert found == {"term-walk": ["walk", meaning], "term-law": ["law", "Where walkers are."]}


@pytest.mark.parametrize(
    ("cell", "symbols"),
    [
        (r"<td><i class='math'></i><span class='math'>\((h, w)\)</span></td>", ["h", "w"]),
        (r"<td><span class='math'>\(N = h\,w\)</span></td>", ["N"]),
        (r"<td><span class='math'>\(\kappa(S)\)</span>, <span class='math'>\(\eta\)</span></td>", [r"\kappa", r"\eta"]),
        (r"<td><span class='math'>\(\lambda_1 \le \lambda_2\)</span></td>", [r"\lambda_1"]),
        (r"<td><span class='math'>\(\rho_1, \rho_2, \dots\)</span></td>", [r"\rho_1", r"\rho_2"]),
        ("<td>only words</td>", []),
    ],
)
def test_symbols_of_a_cell(cell: str, symbols: list[str]) -> None:
    assert definitions.symbols(html(cell).td) == symbols


def test_a_table_of_code_defines_no_symbol() -> None:
    found = definitions.rows(html(NOTATION))
    assert [names for names, _ in found] == [
        *(["Q", "K"], ["r_{ij}"], ["r_k"], [r"P^{(\sigma)}"], ["P"], [r"k_{\text{mix}}"], [r"\hat u"])
    ]
    assert found[0][1] == '<span class="math">\\(Q, K\\)</span>: queries and keys'


SHOWN = """
const script = document.createElement('script');
document.body.insertAdjacentHTML('beforeend', `<main><a id="link" href="glossary.html#term-walk">walk</a>
  <a id="other" href="elsewhere.html">other</a><mjx-container id="formula" tabindex="0">f</mjx-container></main>`);
const formula = document.getElementById('formula');
window.MathJax = {startup: {document: {math: [{typesetRoot: formula, math: arguments[1]}]}},
                  typesetPromise: () => Promise.resolve(), typesetClear: () => {}};
window.DEFINITIONS = arguments[0];
script.textContent = arguments[2];
document.body.append(script);
"""


@pytest.fixture
def page(chromium: object, request: pytest.FixtureRequest) -> object:
    """A page with a link to a term and one formula."""
    chromium.get("data:text/html,<!DOCTYPE html><html><body></body></html>")
    data = {"terms": definitions.entries(html(GLOSSARY)), "symbols": definitions.rows(html(NOTATION))}
    script = (ROOT / "book" / "_static" / "definitions.js").read_text(encoding="utf-8")
    chromium.execute_script(SHOWN, json.loads(json.dumps(data)), getattr(request, "param", "P"), script)
    return chromium


def told(page: object) -> str:
    box = page.find_element("id", "definition")
    return box.text if box.is_displayed() else ""


@pytest.mark.browser
@pytest.mark.parametrize(
    ("page", "meanings"),
    [
        (r"Q_i^\top K_j", ["queries and keys"]),
        ("r_{jn}", ["distance"]),  # indices of patches are interchangeable
        ("r_k", ["stability"]),
        ("r_b", []),  # neither
        (r"P^{(\sigma)}_{ij}", ["with the prior"]),
        (r"\textstyle\sum_j P_{ij}^\top", ["the walk"]),
        (r"(P^k)_{ij} \text{ for } P", ["the walk"]),
        (r"k_{\text{mix}}", ["mixing time"]),
        (r"\hat u + \hat{u}", ["a guess"]),
        (r"\frac{1}{2}", []),
    ],
    indirect=["page"],
)
def test_a_formula_says_what_its_symbols_mean(page: object, meanings: list[str]) -> None:
    page.execute_script("document.getElementById('formula').focus({focusVisible: true})")
    assert [line.partition(": ")[2] for line in told(page).splitlines()] == meanings


@pytest.mark.browser
def test_a_term_is_told_on_hover_focus_and_touch_and_goes_away(page: object) -> None:
    from selenium.webdriver import ActionChains
    from selenium.webdriver.common.keys import Keys

    link, other = (page.find_element("id", name) for name in ("link", "other"))
    ActionChains(page).move_to_element(link).pause(0.5).perform()
    assert told(page).startswith("walk. Steps by")
    assert link.get_attribute("aria-describedby") == "definition"
    ActionChains(page).move_to_element(other).pause(0.8).perform()
    assert told(page) == ""
    assert link.get_attribute("aria-describedby") is None
    page.execute_script("arguments[0].focus({focusVisible: true})", link)
    assert told(page).startswith("walk.")
    page.switch_to.active_element.send_keys(Keys.ESCAPE)
    assert told(page) == ""
    tap = "arguments[0].dispatchEvent(new PointerEvent('click', {bubbles: true, cancelable: true, detail: 1}))"
    page.execute_script(tap, link)
    assert told(page).startswith("walk.")  # and the page stays
    page.execute_script(tap, page.find_element("tag name", "main"))
    assert told(page) == ""

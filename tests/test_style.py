"""The book's style sheet on a phone: lines of functions and tables of many numbers, as Sphinx writes them."""

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PHONE = 390  # CSS pixels
SIGNATURE = """<dt class="sig sig-object py"><span class="sig-prename descclassname"><span class="pre">walkcut.widgets.
</span></span><span class="sig-name descname"><span class="pre">attention_explorer</span></span>
<span class="sig-paren">(</span><em class="sig-param"><span class="n"><span class="pre">image</span></span></em>,
<em class="sig-param"><span class="n"><span class="pre">attention</span></span></em>,
<em class="sig-param"><span class="n"><span class="pre">places</span></span><span class="o"><span class="pre">=</span>
</span><span class="default_value"><span class="pre">None</span></span></em><span class="sig-paren">)</span></dt>"""
LINES = """
document.body.innerHTML = `<style>${arguments[0]} dt { font: 16px monospace; width: ${arguments[2]}px; }
  body { margin: 0; font: 16px sans-serif; } .pst-scrollable-table-container { overflow: auto; width: 358px; }
  </style><main>${arguments[1]}</main>`;
const broken = [...document.querySelectorAll('.pre')].filter(name => {
  const range = document.createRange();
  range.selectNodeContents(name);
  return new Set([...range.getClientRects()].map(box => box.top)).size > 1;
}).map(name => name.textContent);
const rows = [...document.querySelectorAll('tr')].map(row => row.offsetHeight);
return {broken, rows, page: document.documentElement.scrollWidth};
"""


@pytest.fixture
def laid_out(chromium: object):
    """What stands in a page of the book as wide as a phone, measured."""
    css = (ROOT / "book" / "_static" / "book.css").read_text(encoding="utf-8")
    screen = {"width": PHONE, "height": 800, "deviceScaleFactor": 1, "mobile": True}
    chromium.get("data:text/html,<!DOCTYPE html><meta name=viewport content='width=device-width'><body></body>")
    chromium.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    yield lambda html, width=PHONE: chromium.execute_script(LINES, css, html, width)
    chromium.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


@pytest.mark.browser
@pytest.mark.parametrize("width", range(200, PHONE, 10))
def test_no_word_of_a_function_s_line_is_broken(laid_out, width: int) -> None:
    html = SIGNATURE.replace("\n</span>", "</span>").replace("</span>\n<span", "</span><span")
    assert laid_out(html, width)["broken"] == []


def table(columns: int) -> str:
    row = "".join(f"<td>{cell}</td>" for cell in ["walkcut, by itself", *["0.505 / 0.563"] * columns])
    head = "<th>name</th>" * (columns + 1)
    return f"<div class='pst-scrollable-table-container'><table><tr>{head}</tr><tr>{row}</tr></table></div>"


@pytest.mark.browser
def test_a_table_of_many_columns_scrolls_and_its_numbers_stay_on_one_line(laid_out) -> None:
    found = laid_out(table(6))
    assert found["page"] == PHONE
    assert found["rows"][1] <= found["rows"][0] + 2

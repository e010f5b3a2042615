"""The whole book as one PDF: the site on a single page, printed by Chromium, once its formulas are typeset.

    python -m walkcut_book.pdf _build/singlehtml/book/intro.html _build/book.pdf

Figures stand as they are when the page has loaded; links lead within the file.
"""

import base64
import os
import shutil
import sys
from pathlib import Path

TYPESET = "MathJax.startup.promise.then(() => arguments[0](document.fonts.ready.then(() => true)))"
PAPER = {"paperWidth": 8.27, "paperHeight": 11.69, "printBackground": True, "generateDocumentOutline": True}  # A4
EDGES = {f"margin{side}": 0.6 for side in ("Top", "Bottom", "Left", "Right")}  # inches


def printed(page: Path) -> bytes:
    """The page as a PDF."""
    from selenium import webdriver  # where it is used: only those who print need it

    binary, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (binary and driver):
        sys.exit("To print the book, Chromium and its driver are needed: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for flag in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1000,1400"):
        options.add_argument(flag)
    with webdriver.Chrome(options=options, service=webdriver.ChromeService(driver)) as browser:
        browser.command_executor.client_config.timeout = browser.timeouts.script = 600
        browser.get(page.resolve().as_uri())
        browser.execute_async_script(TYPESET)
        return base64.b64decode(browser.execute_cdp_cmd("Page.printToPDF", PAPER | EDGES)["data"])


def main(page: str, target: str) -> None:
    """Print beside the target and rename, so that a half-written file is never taken for the book."""
    beside = Path(f"{target}.part")
    beside.write_bytes(printed(Path(page)))
    os.replace(beside, target)
    print(f"The book on paper: {Path(target).resolve()}, {Path(target).stat().st_size / 1e6:.0f} MB")


if __name__ == "__main__":
    main(*sys.argv[1:])

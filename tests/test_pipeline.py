"""The method in one drawing: each stage leads to its chapter, and each chapter lights its own."""

import json
import re
from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from pages import extension

ROOT = Path(__file__).resolve().parent.parent
pipeline = extension("pipeline")

ALL = " ".join(pipeline.STAGES)
LIT = {  # what a page is about; a chapter that judges or scales the whole lights all
    "01-attention": "diffuse",
    "02-walk": "walk",
    "03-ncut": "cut",
    "04-recursion": "recurse",
    "05-threshold": "stop",
    "06-graphs": "walk",
    "07-pixels": "pixels",
    "08-benchmark": ALL,
    "09-knowledge": "diffuse",
    "10-scale": ALL,
    "further-kway": "cut recurse",
    "further-times": "walk",
    "further-circling": "walk",
    "intro": "",
}


def shown(lit: list[str]) -> BeautifulSoup:
    return BeautifulSoup(pipeline.drawing(lit), "html.parser")


def test_each_stage_leads_to_its_chapter_in_order() -> None:
    pages = [link["href"].removesuffix(".html") for link in shown([]).select("a")]
    assert pages == sorted(pages)
    assert all((ROOT / "book" / f"{page}.ipynb").exists() for page in pages)


@pytest.mark.parametrize("stage", pipeline.STAGES)
def test_the_stage_that_is_lit_is_told_to_a_screen_reader(stage: str) -> None:
    (here,) = shown([stage]).select("[aria-current]")
    assert here.b.get_text().lower() == stage
    assert here["class"] == ["lit"]
    assert shown([stage]).nav["aria-label"]


@pytest.mark.parametrize("page", LIT)
def test_every_chapter_shows_the_method_and_lights_its_own_stages(page: str) -> None:
    first = "".join(json.loads((ROOT / "book" / f"{page}.ipynb").read_text(encoding="utf-8"))["cells"][0]["source"])
    (lit,) = re.findall(r"^```\{pipeline\} ?(.*)$", first, re.MULTILINE)
    assert lit == LIT[page]
    assert set(lit.split()) <= set(pipeline.STAGES)

"""The chapters as one book: short, one photograph, one toy, and each opens with the question that the last one left."""

import json
import re
from itertools import pairwise
from pathlib import Path

import pytest
from test_core import times

BOOK = Path(__file__).resolve().parent.parent / "book"
CHAPTERS = sorted(BOOK.glob("[0-9]*.ipynb"))
WORDS, LINES = 3000, 180  # lines of at most 84 columns


def sources(path: Path, kind: str) -> list[str]:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == kind]


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.name)
def test_a_chapter_is_short(path: Path) -> None:
    """Words outside displayed formulas, and lines of code; exercises count, blank lines and remarks on code do not."""
    assert times.counted("\n".join(sources(path, "markdown")))["words"] <= WORDS
    lines = [line.strip() for source in sources(path, "code") for line in source.splitlines()]
    assert len([line for line in lines if line and not line.startswith(("#", '"""'))]) <= LINES


@pytest.mark.parametrize("path", [*CHAPTERS, BOOK / "intro.ipynb"], ids=lambda path: path.name)
def test_the_denoiser_that_comes_with_the_book_looks_on_the_processor(path: Path) -> None:
    """Elsewhere what a cell makes of it would lie on a GPU, which neither NumPy nor a figure can read."""
    code = "\n".join(sources(path, "code"))
    assert "load_backbone()" not in code
    assert path in CHAPTERS or code.count('device="cpu"') == code.count("walkcut.segment(") > 0


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.name)
def test_the_photograph_and_the_toy_run_through(path: Path) -> None:
    code = "\n".join(sources(path, "code"))
    assert 'sample("fig")' in code
    if path.name[:2] != "01":  # attention needs features: five patches stand in for the six nodes
        text = "\n".join(sources(path, "markdown")).lower()
        assert "six nodes" in text or "book's toy" in text or "two triangles" in text


@pytest.mark.parametrize(("last", "path"), list(pairwise(CHAPTERS)), ids=lambda path: path.name)
def test_a_chapter_ends_with_a_question_and_the_next_one_takes_it_up(last: Path, path: Path) -> None:
    summary = "\n".join(sources(last, "markdown")).partition("\n## Summary")[2].partition("\n## ")[0]
    label = re.search(r"^\(([\w-]+)\)=$", sources(path, "markdown")[0], re.MULTILINE)[1]
    assert "?" in summary.strip().splitlines()[-1]
    assert f"<{label}>" in summary
    opening = re.search(r"^## .*?(?=^## |\Z)", "\n".join(sources(path, "markdown")), re.MULTILINE | re.DOTALL)[0]
    assert f"hapter {int(last.name[:2])}" in opening

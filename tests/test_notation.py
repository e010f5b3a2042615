"""The pages of symbols and words: whatever a chapter writes stands there, and each entry says where it comes from."""

import json
import re
from pathlib import Path

import pytest

BOOK = Path(__file__).resolve().parent.parent / "book"
CHAPTERS = sorted(BOOK.glob("[0-9]*.ipynb"))
FURTHER = sorted(BOOK.glob("further-*.ipynb"))  # further reading; each page has its file's name as its label
NOTATION = (BOOK / "notation.md").read_text(encoding="utf-8")
GLOSSARY = (BOOK / "glossary.md").read_text(encoding="utf-8")
FORMULA = re.compile(r"\$\$(.*?)\$\$|(?<!\$)\$([^$]+)\$(?!\$)", re.DOTALL)
TOKEN = re.compile(r"\\(?:operatorname|mathrm|mathcal|mathbb)\{[^}]*\}|\\[a-zA-Z]+|[A-Za-z]")
# How a formula is set, and signs that everybody knows.
PLAIN = {
    *("begin", "end", "aligned", "gathered", "cases", "pmatrix", "textstyle", "text", "quad", "qquad", "big", "Big"),
    *("bigl", "bigr", "Bigl", "Bigr", "left", "right", "lVert", "rVert", "lceil", "rceil", "frac", "tfrac", "sqrt"),
    *("approx", "ne", "propto", "cup", "setminus", "supseteq", "infty", "pm", "sin", "cos", "arg", "min", "max"),
    *("int", "mathrm{d}", "le", "ge", "in", "to", "notin", "ll", "neq", "times", "cdot", "log", "ln", "exp"),
}


def text(path: Path) -> str:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")


def symbols(page: str) -> set[str]:
    """Letters, Greek letters and named functions in the formulas of a page."""
    formulas = (one or other for one, other in FORMULA.findall(page))
    bare = (re.sub(r"\\(?:begin|end|text|tag)\{[^}]*\}", " ", formula) for formula in formulas)
    return {token for formula in bare for token in TOKEN.findall(formula) if token.lstrip("\\") not in PLAIN}


def labels() -> dict[str, str]:
    """Number of each chapter, by its label."""
    return {re.search(r"^\(([\w-]+)\)=$", text(path), re.MULTILINE)[1]: str(int(path.name[:2])) for path in CHAPTERS}


def test_the_pattern_finds_symbols() -> None:
    found = symbols(r"so $\kappa(S)$ is $$\operatorname{NCut}(S) \approx \tfrac12 \text{ of it}$$ (eq-none)")
    assert found == {r"\kappa", "S", r"\operatorname{NCut}"}


@pytest.mark.parametrize("path", [*CHAPTERS, *FURTHER], ids=lambda path: path.name)
def test_symbols_of_a_chapter_stand_in_the_notation(path: Path) -> None:
    assert symbols(text(path)) - symbols(NOTATION) == set()


def test_each_symbol_names_the_chapter_where_it_is_introduced() -> None:
    rows = [line for line in NOTATION.partition("## From the formula")[0].splitlines() if line.startswith("| $")]
    assert len(rows) > 120
    for row in rows:
        page = re.search(r"\| \{ref\}`(model|further-\w+)` \|$", row)
        if page:  # how the embedded model was made, or a page under "Further reading": they have no number
            assert symbols(row.split(" | ")[0]) <= symbols(text(BOOK / f"{page[1]}.ipynb")), row
            continue
        found = re.search(r"\| \{ref\}`(\d+) <([\w-]+)>` \|$", row)
        assert found, f"no chapter: {row}"
        assert labels()[found[2]] == found[1], f"another chapter's label: {row}"
        # The letters of the symbol do occur there.
        own = symbols(row.split(" | ")[0])
        path = next(path for path in CHAPTERS if int(path.name[:2]) == int(found[1]))
        assert own & symbols(text(path)), f"not in chapter {found[1]}: {row}"


def test_words_are_sorted_and_name_the_place_where_they_are_introduced() -> None:
    body = re.search(r"```\{glossary\}\n(.*?)```", GLOSSARY, re.DOTALL)[1]
    entries = [entry.split("\n  ", 1) for entry in body.strip().split("\n\n")]
    words = [word for word, _ in entries]
    assert len(words) > 40
    assert words == sorted(words, key=lambda word: word.replace("'", "").lower())
    for word, meaning in entries:
        found = re.findall(r"\{ref\}`chapter (\d+) <([\w-]+)>`", meaning, re.IGNORECASE)
        assert found, f"{word}: no chapter"
        for number, label in found:
            assert labels()[label] == number, f"{word}: chapter {number} is not {label}"

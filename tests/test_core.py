"""What the next chapter needs comes first and is short; what goes further is marked."""

import json
import re
from pathlib import Path

import pytest
from pages import extension

times = extension("reading_times")

BOOK = Path(__file__).resolve().parent.parent / "book"
CHAPTERS = sorted(BOOK.glob("[0-9]*.ipynb"))
MOST = {"words": 1800, "equations": 8, "code lines": 50}


def prose(path: Path) -> str:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")


def headings(path: Path) -> list[str]:
    return re.findall(r"^## (.*)$", prose(path), re.MULTILINE)


def core(path: Path) -> dict[str, int]:
    """Sizes of what stands before the first heading that goes further or asks for practice.

    Words outside displayed formulas and drawings, where a formula in a line is one word; numbered formulas; and lines
    of code that are not folded away.
    """
    text = re.split(r"^## (?:Further: |Exercises|References)", prose(path), maxsplit=1, flags=re.MULTILINE)[0]
    equations = len(re.findall(r"\$\$ \(eq-[\w-]+\)", text))
    holds = times.part(path.stem, "core")
    return {"words": holds["words"], "equations": equations, "code lines": holds["code lines"]}


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.name)
def test_the_core_of_a_chapter_takes_an_hour(path: Path) -> None:
    found = core(path)
    assert {name: size for name, size in found.items() if size > MOST[name]} == {}
    assert times.minutes(f"{path.stem} core") <= 60


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.name)
def test_what_goes_further_stands_between_the_summary_and_the_exercises(path: Path) -> None:
    found = headings(path)
    further = [name for name in found if name.startswith("Further: ")]
    first, last = found.index("Summary"), found.index("Exercises")
    assert further
    assert found[first + 1 : last] == further

"""The instructor's questions: thirty, each with a solution that is tried, marks that add up, and a page apart."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from bs4 import BeautifulSoup

ROOT = Path(__file__).resolve().parent.parent
EXAM = ROOT / "book" / "exam"
TEXT = (EXAM / "bank.md").read_text(encoding="utf-8")
INTRODUCTION, *SECTIONS = re.split(r"^## ", TEXT, flags=re.MULTILINE)
QUESTIONS = {int(section.split(".")[0]): section for section in SECTIONS if section[0].isdigit()}
CELL = re.compile(r"^```\{code-cell\} python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
ABOUT = re.compile(r"^\*(Easy|Medium|Hard) · (.*?) · (\d+) marks · (\d+) minutes", re.MULTILINE)
SHEET = re.compile(r'data-sheet="([\d ]+)".*?\| ([\d, ]+) \| (\d+) \| (\d+) \|')


@pytest.fixture(scope="module")
def tools() -> dict:
    """What the first cell gives to all others."""
    names: dict = {}
    exec(CELL.search(INTRODUCTION + "".join(SECTIONS[:2]))[1], names)
    return names


def test_thirty_questions_from_easy_to_hard() -> None:
    assert list(QUESTIONS) == list(range(1, 31))
    levels = [ABOUT.search(section)[1] for section in QUESTIONS.values()]
    assert levels == sorted(levels, key=("Easy", "Medium", "Hard").index)
    places = " ".join(ABOUT.search(section)[2] for section in QUESTIONS.values())
    assert {int(number) for number in re.findall(r"\d+", places)} == set(range(1, 11))  # every chapter is asked
    assert places.count("further page on") == 2


@pytest.mark.parametrize("number", QUESTIONS)
def test_a_question_has_a_solution_that_is_tried(number: int, tools: dict) -> None:
    question, solution = QUESTIONS[number].split("<details")  # one solution, and folded
    assert "Solution and marks" in solution
    assert not CELL.search(question)
    (cell,) = CELL.findall(solution)
    assert cell.count("assert ") >= 2
    assert max(map(len, cell.splitlines())) <= 86
    exec(cell, tools | {"rng": np.random.default_rng(number)})
    parts = re.findall(r"^\(([a-z])\)|(?<=[.?\"] )\(([a-z])\) (?=[A-Z\"])", question, re.MULTILINE)
    asked = ["".join(part) for part in parts]
    answered = re.findall(r"^\(([a-z])\)", solution, re.MULTILINE)
    assert asked == answered


@pytest.mark.parametrize("number", QUESTIONS)
def test_marks_add_up(number: int) -> None:
    scheme = re.search(r"^\*\*Marks\.\*\* (.*)$", QUESTIONS[number], re.MULTILINE)[1]
    level, _, marks, _ = ABOUT.search(QUESTIONS[number]).groups()
    assert sum(int(step) for step in re.findall(r"(?:^|; )(\d+) for", scheme)) == int(marks)
    assert int(marks) == {"Easy": 4, "Medium": 8, "Hard": 12}[level]


def test_sheets_add_up() -> None:
    sheets = SHEET.findall(SECTIONS[0])
    assert len(sheets) == 6
    for wanted, shown, marks, minutes in sheets:
        assert wanted.split() == shown.split(", ")
        about = [ABOUT.search(QUESTIONS[int(number)]) for number in wanted.split()]
        assert sum(int(one[3]) for one in about) == int(marks)
        assert sum(int(one[4]) for one in about) == int(minutes)


def test_the_program_of_the_last_question_is_as_short_as_it_asks() -> None:
    assert len(CELL.search(QUESTIONS[30])[1].splitlines()) <= 60


def test_it_becomes_one_page_that_needs_nothing_else(tmp_path: Path) -> None:
    """By the settings of `make exam`, but for running the cells, which the tests above do."""
    make = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert "--config=book/exam/docutils.conf book/exam/bank.md _build/exam/bank.html" in make
    build = [sys.executable, "-c", "from myst_nb.docutils_ import cli_html5; cli_html5()"]
    settings = ["--config=book/exam/docutils.conf", "--nb-execution-mode=off", "book/exam/bank.md"]
    subprocess.run([*build, *settings, str(tmp_path / "bank.html")], cwd=ROOT, check=True, capture_output=True)
    page = BeautifulSoup((tmp_path / "bank.html").read_text(encoding="utf-8"), "html.parser")
    assert len([heading for heading in page.select("h2") if heading.get_text()[0].isdigit()]) == 30
    assert len(page.select("details")) == 30
    assert not page.select("details[open], .system-message, .problematic, link, img")
    assert len(page.select("math")) > 300
    assert not [node for node in page.select("[src], [href]") if not node.get("href", "").startswith("#")]
    assert [path.name for path in tmp_path.iterdir()] == ["bank.html"]


def test_fractions_are_such_as_the_page_can_set() -> None:
    assert not re.search(r"\\t?frac\d|\\bar|\\dots\b", re.sub(r"\\bar\\Phi", "", TEXT))


def test_the_site_does_not_lead_there() -> None:
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    assert "book/exam/**" in config["exclude_patterns"]
    toc = (ROOT / "_toc.yml").read_text(encoding="utf-8")
    for name in re.findall(r"(?:file|root): (\S+)", toc):
        assert "exam" not in name
        (page,) = (path for path in ROOT.glob(f"{name}.*") if path.suffix in (".md", ".ipynb"))
        assert not re.search(r"exam/|bank\.(?:md|html)", page.read_text(encoding="utf-8")), f"{name} leads to the exam"
    built = ROOT / "_build" / "html"
    assert not [path for path in built.rglob("*") if "exam" in path.relative_to(built).parts]

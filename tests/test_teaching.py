"""The pages for teachers and students add up, and their code runs."""

import re
from pathlib import Path

import numpy as np
import pytest

import walkcut
from walkcut.capture import attend
from walkcut.criteria import prune
from walkcut.null import SplitPrices
from walkcut.pixels import soft_membership
from walkcut.recipe import resolve
from walkcut.refine import refined_labels
from walkcut.segmentation import WalkRecord
from walkcut.tree import partition
from walkcut.walk import aggregate

BOOK = Path(__file__).resolve().parent.parent / "book"
TEACHING = (BOOK / "teaching.md").read_text(encoding="utf-8")
HANDOUT = (BOOK / "handout.md").read_text(encoding="utf-8")
SESSIONS = re.split(r"^### ", TEACHING.partition("## Misconceptions")[0], flags=re.MULTILINE)[1:]


@pytest.mark.parametrize("session", SESSIONS, ids=lambda session: session[0])
def test_a_session_takes_ninety_minutes(session: str) -> None:
    assert sum(int(minutes) for minutes in re.findall(r"^\| (\d+) \|", session, re.MULTILINE)) == 90
    assert "Read {ref}" in session or "Read the rest" in session
    assert "At home:" in session


def test_points_add_up() -> None:
    guide = TEACHING.partition("**Marking guide**")[2]
    promised = int(re.match(r", (\d+) points", guide)[1])
    assert sum(int(points) for points in re.findall(r"^\| [A-Z][^|]* \| (\d+) \|", guide, re.MULTILINE)) == promised


def test_misconceptions_are_numbered() -> None:
    numbers = re.findall(r"^(\d+)\. \*\*", TEACHING, re.MULTILINE)
    assert [int(number) for number in numbers] == list(range(1, len(numbers) + 1))
    assert len(numbers) >= 8


def test_columns_of_the_first_toy() -> None:
    """What the first misconception says."""
    sea = np.array([1, 0, 1, 1, 0], bool)
    scores = np.where(sea[:, None] == sea, 3, 1)
    columns = (scores / scores.sum(1, keepdims=True)).sum(0)
    np.testing.assert_allclose(99 * columns, np.where(sea, 103, 93))


def test_the_algorithm_in_eight_lines_is_segment() -> None:
    code = re.search(r"```python\n(.*?)```", HANDOUT, re.DOTALL)[1]
    assert len(code.strip().splitlines()) == 8
    image, backbone = np.ascontiguousarray(walkcut.sample("fig")[150:198, :384]), walkcut.load_backbone(device="cpu")
    used = (resolve, attend, WalkRecord, partition, aggregate, SplitPrices, prune, soft_membership, refined_labels)
    names = {"backbone": backbone, "image": image} | {one.__name__: one for one in used}
    exec(code, names)  # the handout's own lines
    found = walkcut.segment(image, backbone)
    assert found.criterion == "spatial-null"
    assert found.count > 1
    np.testing.assert_array_equal(names["patches"], found.patch_labels)
    np.testing.assert_array_equal(names["pixels"], found.labels)


def test_the_decks_that_the_notes_name_are_made() -> None:
    named = set(re.findall(r'href="([\w-]+)-slides\.html"', TEACHING))
    config = (BOOK.parent / "_config.yml").read_text(encoding="utf-8")
    assert named == set(re.findall(r"book/([\w-]+)", re.search(r"slides_pages: \[(.*)\]", config)[1]))


def test_what_is_to_be_read_ends_at_headings_that_are_there() -> None:
    chapters = "\n".join(path.read_text(encoding="utf-8") for path in sorted(BOOK.glob("[0-9]*.ipynb")))
    ends = re.findall(r'up to\s+"([^"]+)"', TEACHING.partition("## Misconceptions")[0])
    assert len(ends) >= 7
    assert [end for end in ends if f'"## {end}' not in chapters] == []

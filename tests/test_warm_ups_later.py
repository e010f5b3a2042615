"""Before each proof of chapters 6 to 10 and of the pages that go further: a minute's task, whose answer is right."""

import re

import numpy as np
import pytest
from pages import page_of

from walkcut.exercises import toy

PAGES = (
    *("06-graphs", "07-pixels", "08-benchmark", "09-knowledge", "10-scale"),
    *("further-kway", "further-times", "further-circling"),
)
WARM = re.compile(r"\*\*Warm-up\.\*\* .+\n\n```\{dropdown\} Answer\n.+\n```\n\n$")
PLAIN = toy()
P = PLAIN / PLAIN.sum(1, keepdims=True)
LEFT = np.arange(6) < 3


@pytest.mark.parametrize("name", PAGES)
def test_a_proof_has_a_warm_up_with_a_folded_answer(name: str) -> None:
    before = [text for text in re.split(r"^`{3,4}\{prf:proof\}", page_of(name).text, flags=re.MULTILINE)[:-1]]
    assert before
    assert [text[-200:] for text in before if not WARM.search(text)] == []


@pytest.mark.parametrize("name", PAGES)
def test_exercises_go_from_easy_to_open(name: str) -> None:
    last = page_of(name).text.partition("\n## Exercises\n")[2]
    assert re.findall(r"^\*\*(\w+)\*\* \((\w+)\)\. ", last, re.MULTILINE) == [
        ("Compute", "easy"),
        ("Prove", "harder"),
        ("Experiment", "open"),
    ]
    assert re.match(r"\nBefore you start: write `.+; `walkcut\.exercises\.check_\w+\(\w+\)`.* wrong\.\n", last)


def test_graphs() -> None:
    across = np.array([[0, 0, 2, 1], [0, 0, 1, 2], [2, 1, 0, 0], [1, 2, 0, 0]]) / 3
    y = np.array([1, -1, 1, -1])
    np.testing.assert_allclose([across @ y, across @ across @ y], [y / 3, y / 9])
    assert pytest.approx(1 - (1 - 2 / 3) ** 2) == 8 / 9
    F = np.array([[1, 0], [1, 1], [0, 1]])
    assert (F @ F.T)[:2, 2].tolist() == [0, 1]
    assert F[:2].sum(0) @ F[2] == 1


def test_pixels() -> None:
    q = 3 / 13
    assert q + (1 - q) * 0.2 == pytest.approx((1 - q) * 0.5)


def test_knowledge() -> None:
    stuff, person = (lambda share: 2 * share), (lambda share: 1.5 * (1 - share))
    assert (stuff(0.5), person(0.5)) == (1, 0.75)
    assert stuff(0.2) < person(0.2)
    assert stuff(0.6) > person(0.6)
    assert (stuff(1), person(1), stuff(0), person(0)) == (2, 0, 0, 1.5)


def test_scale() -> None:
    start = 3 * np.arange(4)[:, None] + np.array([0, 1, 3])  # of each picture in each stage, none of which waits
    assert (np.diff(start, axis=0) >= [1, 2, 3]).all()
    assert start[-1, -1] + 3 == 15


def test_many_sides() -> None:
    rho = np.sort(np.linalg.eigvals(P).real)[::-1]
    np.testing.assert_allclose(rho, [1, 0.795, -1 / 6, -1 / 2, -1 / 2, -0.629], atol=6e-4)
    spread = toy(bridge=1 / 3)
    spread[[0, 1, 4, 5], [4, 5, 0, 1]] = 1 / 3
    even = spread / spread.sum(1, keepdims=True) @ LEFT
    np.testing.assert_allclose(even, np.where(LEFT, 6 / 7, 1 / 7))
    np.testing.assert_allclose(P @ LEFT, [1, 1, 2 / 3, 1 / 3, 0, 0])
    root = (3 + 57**0.5) / 12
    v = 2 / 3 / root
    assert v == pytest.approx(0.758, abs=5e-4)
    assert (4 + 2 * v) / (4 + 3 * v) == pytest.approx(root)
    assert (P @ LEFT)[:3] @ [2, 2, 3] / 7 == pytest.approx(6 / 7)


def test_times() -> None:
    steps = np.linalg.solve(np.eye(5) - P[:5, :5], np.ones(5))  # until node 5 is met
    np.testing.assert_allclose(steps[[4, 3]], [14 / 3, 22 / 3])
    assert 1 + P[5, :5] @ steps == pytest.approx(7)
    m, p, k = 0.5, 0.3, 3
    assert 1 / (1 - m) == 1 + m + m**2 / (1 - m) == 2
    rows = np.linalg.matrix_power([[1 - p, p], [p, 1 - p]], k)
    assert (2 * (rows[0] - rows[1]) ** 2).sum() == pytest.approx(4 * (1 - 2 * p) ** (2 * k))
    F = np.array([[2, 0], [1, 2]])
    assert (F @ F.T).tolist() == [[4, 2], [2, 5]]


def test_circling() -> None:
    ring, v = np.roll(np.eye(3), 1, axis=1), np.array([1, -1, 0])
    assert (v @ ring @ v, v @ ring.T @ v, (ring @ v) @ (ring @ v)) == (-1, -1, 2)
    z, at = np.array([2, 1, 0]), np.arange(0, 4, 0.25)
    severed = [sum((z[i] ** 2 > s) != (z[i + 1] ** 2 > s) for i in (0, 1)) for s in at]
    assert sum(severed) / 4 == 4 == abs(np.diff(z**2)).sum()
    gathered = (P.T @ np.full(6, 1 / 6))[2]
    assert gathered == pytest.approx(2 / 9)
    assert (1 / 6 - gathered) / 2 == pytest.approx(-1 / 36)

"""Before a proof, a task of a minute or two that shows its decisive step; exercises go from easy to open."""

import json
import re
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from exercise_table import rows

from walkcut.exercises import toy

BOOK = Path(__file__).resolve().parent.parent / "book"
PROOF = re.compile(r"^`{3,4}\{prf:proof\}", re.MULTILINE)
WARM_UP = re.compile(r"^\*\*Warm-up\.\*\* (.*?)\n\n```\{dropdown\} Answer\n(.*?)\n```\n", re.MULTILINE | re.DOTALL)


def prose(chapter: str) -> str:
    (path,) = BOOK.glob(f"{chapter}-*.ipynb")
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")


def warm_up(chapter: str, words: str) -> str:
    """The answer to the task that holds these words."""
    (answer,) = [answer for task, answer in WARM_UP.findall(prose(chapter)) if words in task]
    return answer


def shown(number: float) -> str:
    part = Fraction(number).limit_denominator(99)
    return rf"\tfrac{{{part.numerator}}}{{{part.denominator}}}"


def written(answer: str) -> str:
    """Fractions in full: TeX needs no braces round a single digit."""
    digits = re.compile(r"\\tfrac(\d|\{\d+\})(\d|\{\d+\})")
    return digits.sub(lambda found: r"\tfrac" + "".join(f"{{{part.strip('{}')}}}" for part in found.groups()), answer)


@pytest.mark.parametrize("chapter", ["01", "02", "03", "04", "05"])
def test_a_proof_is_prepared(chapter: str) -> None:
    parts = PROOF.split(prose(chapter))
    assert len(parts) > 1
    for before in parts[:-1]:
        assert len(WARM_UP.findall(before)) == 1


def test_what_is_proved_behind_a_heading_is_prepared() -> None:
    """The third part of a proposition of chapter 3, whose proof has no frame."""
    behind = prose("03").partition("## Further: when is nothing lost?")[2].partition("Here is the proof")[0]
    assert WARM_UP.search(behind)


@pytest.mark.parametrize("chapter", ["01", "02", "03", "04", "05"])
def test_exercises_go_from_easy_to_open(chapter: str) -> None:
    found = re.findall(r"^```\{exercise\}\n:label: .*\n\n\*\*(\w+)\*\* \((\w+)\)\.", prose(chapter), re.MULTILINE)
    assert found == [("Compute", "easy"), ("Prove", "harder"), ("Experiment", "open")]


@pytest.mark.parametrize("chapter", ["01", "02", "03", "04", "05"])
def test_a_chapter_names_its_checks(chapter: str) -> None:
    practice = prose(chapter).partition("## Exercises\n")[2]
    assert practice.startswith("\nBefore you start: write ")
    assert "walkcut.exercises" in practice


def test_the_mean_of_what_a_patch_looks_at() -> None:
    answer, sea = written(warm_up("01", "be 1 on sea and 0 on sand")), np.array([1, 0, 1, 1, 0])
    A = rows(np.where(np.equal.outer(sea, sea), 3, 1))  # the exponentials of the scores, ln 3 and 0
    seen = A @ sea
    assert f"${shown(seen[0])}$ at sea, ${shown(seen[1])}$ on sand. Never" in answer
    assert seen.max() < sea.max()


def ring() -> np.ndarray:
    """Three nodes; on with 3/4, back with 1/4."""
    turn = np.roll(np.eye(3), 1, axis=1)
    return 3 / 4 * turn + 1 / 4 * turn.T


def test_flow_of_a_ring() -> None:
    answer, flow = written(warm_up("02", "form a ring")), ring() / 3
    told = [(f"{i} to {j}", Fraction(flow[i, j]).limit_denominator(99)) for i, j in ((1, 2), (0, 2), (2, 0), (2, 1))]
    found = re.findall(r"\\tfrac\{(\d+)\}\{(\d+)\}\$ from (\d to \d)", answer)
    assert [(where, Fraction(int(a), int(b))) for a, b, where in found] == told
    assert flow[:2, 2].sum() == pytest.approx(flow[2, :2].sum())


def test_a_crumb_as_a_rayleigh_quotient() -> None:
    answer, W = written(warm_up("03", "put 1 on node 0")), toy()
    d, y = W.sum(1), np.where(np.arange(6) == 0, 1, -1 / 6)
    assert d @ y == pytest.approx(0)
    assert y @ (np.diag(d) - W) @ y == pytest.approx(2 * (7 / 6) ** 2)
    assert d @ y**2 == pytest.approx(2 + 12 / 36)
    quotient = y @ (np.diag(d) - W) @ y / (d @ y**2)
    assert quotient == pytest.approx(2 / 2 + 2 / 12)
    assert f"is ${shown(quotient)}$, the NCut" in answer


def test_even_leaks() -> None:
    answer, y = written(warm_up("03", "Then join 0 with 5")), np.repeat([1, -1], 3)
    one, three = toy(), toy()
    three[0, 5] = three[5, 0] = three[1, 4] = three[4, 1] = 1
    changed = [(np.diag(W.sum(1)) - W) @ y / W.sum(1) for W in (one, three)]
    assert changed[0][[0, 2]] == pytest.approx([0, 2 / 3])
    assert changed[1] == pytest.approx(2 / 3 * y)
    values = np.sort(1 - np.linalg.eigvals(rows(three)).real)
    assert values[1] == pytest.approx(2 / 3)
    assert rf"$\lambda={shown(2 / 3)}={shown(1 / 3)}+{shown(1 / 3)}$" in answer


def test_a_cheap_cut_that_nobody_sees() -> None:
    answer = warm_up("04", "In tenths")
    price, parent = {"root": 2, "A": 5, "B": 1, "C": 3}, {"A": "root", "B": "root", "C": "A"}

    def needed(name: str) -> int:
        return max(price[name], needed(parent[name])) if name in parent else price[name]

    assert {name: needed(name) for name in price} == {"root": 2, "B": 2, "A": 5, "C": 5}
    assert r"$\theta$ is 2 for root and $B$, 5 for $A$ and $C$" in answer


def test_a_held_step() -> None:
    answer, P = written(warm_up("04", "ring of three")), ring()
    flow, mu = P / 3, P[:2, :2].sum(1) / 3
    after = mu @ rows(P[:2, :2])
    assert [mu[0], after[0], flow[0, 2], flow[2, 0]] == pytest.approx([3 / 12, 1 / 12, 1 / 12, 3 / 12])
    assert re.findall(r"\{(\d+)\}\{12\}", answer) == ["3", "1", "1", "3"]


def test_memory_of_a_triangle() -> None:
    answer, flow, left = written(warm_up("05", "the bridge carries")), toy() / 14, np.arange(6) < 3
    both = flow[left][:, left].sum()
    assert flow[left][:, ~left].sum() == pytest.approx(1 / 14)
    assert f"={shown(both)}$, so" in answer
    assert f"={shown((both - 1 / 4) / (1 / 4))}$: the bridge's NCut of ${shown(2 / 7)}$" in answer


def test_a_walker_who_heeds_half_of_the_time() -> None:
    answer = written(warm_up("05", "Half against half"))
    null = 2 * (1 / 5) / (1 / 2)
    walk = null / 2
    assert f"={shown(null)}$. The walker sends ${shown(1 / 10)}$" in answer
    assert f"${shown(walk)}$, half as much" in answer
    assert walk < 3 / 4 * null


def test_a_pruning_that_is_not_seen_from_the_root() -> None:
    answer = warm_up("05", "one side's own sides 3 and 1")
    prunings = {"Whole": [5], "two sides": [2, 2], "three segments": [3, 1, 2]}
    assert ", ".join(f"{name} {sum(worth)}" for name, worth in prunings.items()) + "." in answer
    assert f"and the root $\\max(5,4+2)={max(map(sum, prunings.values()))}$" in answer

"""The functions of chapters 6 to 10 and of the pages that go further pass their checks, which agree with paper."""

import functools
from collections.abc import Callable
from typing import Any

import exercise_table
import numpy as np
import pytest
from test_exercises import book

from walkcut import exercises
from walkcut.exercises import RIGHT, check_ncut, toy

page = functools.cache(book)


@functools.cache
def right() -> dict[str, dict[str, Any]]:
    """The right answer to each case."""
    table = exercise_table.table()
    return {name: dict(zip(one["cases"], one["answers"][""], strict=True)) for name, one in table.items()}


def test_the_table_agrees_with_the_toys() -> None:
    found, plain = right(), "two triangles and a bridge"
    lam = (11 - 73**0.5) / 12
    seventh = np.array([0, 1, 2, 6, 7]) / 7, np.array([0, 1, 2, 5, 6, 7]) / 7
    np.testing.assert_allclose(found["ends_at"]["five pixels with an edge"], seventh[0], atol=1e-6)
    np.testing.assert_allclose(found["ends_at"]["the toy, from end to end"], seventh[1], atol=1e-6)
    np.testing.assert_allclose(np.array(found["first_met"]["the toy, from end to end"])[:, 1], seventh[1], atol=1e-6)
    np.testing.assert_allclose(found["cheapest"][plain], [lam, 2 / 7, 0, 0, 0, 1, 1, 1], atol=1e-6)
    assert (found["end"]["the toy, one cutter"], found["end"]["the toy, two cutters"]) == (15, 12)
    fair, field = (found["miou"][f"the two pictures of the chapter, {how}"] for how in ("fair", "the field"))
    np.testing.assert_allclose([fair, field], [[41 / 56, 3 / 4], [61 / 168, 3 / 4]], atol=1e-6)
    np.testing.assert_allclose(found["sums"][plain], [12 / 7, (3 + 57**0.5) / 6, 2 - lam], atol=1e-6)
    assert found["hitting"][plain][0][5] == pytest.approx(49 / 3)
    law, *forms = np.split(np.array(found["forms"]["the twisted toy"]), [1, 7, 13])
    np.testing.assert_allclose(14 * law[0], [2, 2, 3, 3, 2, 2], atol=1e-6)
    np.testing.assert_allclose(forms[1], toy() / toy().sum(1, keepdims=True), atol=1e-6)
    np.testing.assert_allclose(found["reversible"]["the twisted toy, 1 steps"], toy() / 14, atol=1e-6)
    assert found["divergence"]["three laws, with zeros"][0] == pytest.approx(0, abs=1e-9)


def test_what_is_swept_or_completed_is_the_table_itself() -> None:
    for F, order in exercise_table.CASES["lowrank_sweep"].values():
        sides = [np.isin(np.arange(len(F)), order[:size]) for size in range(1, len(F))]
        prices = [exercise_table.price(F @ F.T, S) for S in sides]
        np.testing.assert_allclose(exercise_table.ANSWERS["lowrank_sweep"][""](F, order), prices)
    assert check_ncut(lambda W, S: exercise_table.price(W, S)).startswith(RIGHT)


FROM_SCRATCH: dict[str, Callable[[], str]] = {
    "6, reversible": lambda: exercises.check_reversible(page("06")["reversible"]),
    "6, sweep": lambda: exercises.check_lowrank_sweep(page("06")["sweep"]),
    "6, divergence": lambda: exercises.check_divergence(page("06")["divergence"]),
    "7, ends_at": lambda: exercises.check_ends_at(page("07")["ends_at"]),
    "7, first_met": lambda: exercises.check_first_met(page("07")["first_met"]),
    "8, miou_and_accuracy": lambda: exercises.check_miou(page("08")["miou_and_accuracy"]),
    "9, cheapest": lambda: exercises.check_cheapest(page("09")["cheapest"]),
    "9, escapes": lambda: check_ncut(lambda W, S: sum(page("09")["escapes"](W, S))),
    "10, end": lambda: exercises.check_end(page("10")["end"]),
    "sums": lambda: exercises.check_sums(page("further-kway")["sums"]),
    "memberships": lambda: exercises.check_memberships(page("further-kway")["memberships"]),
    "by_qr": lambda: exercises.check_by_qr(page("further-kway")["by_qr"]),
    "hitting": lambda: exercises.check_hitting(page("further-times")["hitting"]),
    "far": lambda: exercises.check_far(page("further-times")["far"]),
    "nystrom": lambda: exercises.check_nystrom(page("further-times")["nystrom"]),
    "forms": lambda: exercises.check_forms(page("further-circling")["forms"]),
    "relaxed": lambda: exercises.check_relaxed(page("further-circling")["relaxed"]),
    "wcut": lambda: exercises.check_wcut(page("further-circling")["wcut"]),
}


@pytest.mark.parametrize("name", FROM_SCRATCH)
def test_what_the_book_builds_from_scratch_is_right(name: str) -> None:
    assert FROM_SCRATCH[name]().startswith(RIGHT)


WRONG: dict[str, tuple[Callable[[], str], str]] = {
    "an error inside": (lambda: exercises.check_cheapest(lambda W: W[99]), "stopped with IndexError"),
    "two things for three": (lambda: exercises.check_cheapest(lambda W: (0.1, 0.2)), "stopped with ValueError"),
    "half of the forms": (lambda: exercises.check_forms(lambda P: (P[0], P)), "an array of shape (7, 6) came back"),
    "seeds are filled in place": (lambda: exercises.check_ends_at(lambda P, s: s.__setitem__(1, 0)), "work on a copy"),
    "half as long": (lambda: exercises.check_hitting(lambda W: (page("further-times")["hitting"](W)[0] / 2, W)), "0.5"),
    "nothing": (lambda: exercises.check_end(lambda *given: None), "returns nothing"),
}


@pytest.mark.parametrize("name", WRONG)
def test_other_faults_are_told(name: str) -> None:
    check, words = WRONG[name]
    assert words in check()

"""The runner: nothing lost by a kill, nothing mixed, a broken picture harms no other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from bench_toys import CLASSES, HALVES, SETTINGS, fake_method, fake_segmentation, one_segment, toy, toy_classes

from walkcut.bench import ours, run, scorer
from walkcut.bench.datasets import Item
from walkcut.bench.method import Method, Result
from walkcut.segmentation import Segmentation


def stored(folder: Path, method: Method) -> list[dict]:
    """All rows of a method that lie in a folder, by their pictures."""
    paths = sorted(run.rows_folder(folder, toy(), method).iterdir())
    return [row for path in paths for row in run.read_rows(path)]


def test_rows_hold_every_setting_and_one_tree_serves_all_thresholds(tmp_path: Path) -> None:
    log: list = []
    rows, failed = run.run(toy(), [fake_method(log=log)], tmp_path)
    assert failed == {}
    assert len(log) == 3
    assert [row["setting"] for row in rows[:SETTINGS]] == [ours.AUTO, *ours.OTHERS, "0.2", "0.6", "0.8"]
    others = (1 if name == "half-life" else 2 for name in ours.OTHERS)
    assert [row["segments"] for row in rows[:SETTINGS]] == [2, *others, 1, 2, 2]
    assert rows[0]["scores"]["human"]["covering"] == pytest.approx(0.75)  # 1 with one human, 1/2 with the other
    assert stored(tmp_path, fake_method()) == rows


def test_a_run_goes_on_where_it_was_cut_and_ends_with_the_same_rows(tmp_path: Path) -> None:
    def strip(rows: list[dict]) -> list[dict]:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in rows]

    whole, _ = run.run(toy(), [fake_method()], tmp_path)
    paths = sorted(run.rows_folder(tmp_path, toy(), fake_method()).iterdir())
    assert [path.name for path in paths] == ["p0.json", "p1.json", "p2.json"]
    for lost in (1, 3):
        for path in paths[:lost]:
            path.unlink()
        log: list = []
        again, _ = run.run(toy(), [fake_method(log=log)], tmp_path)
        assert strip(by_picture(again)) == strip(whole)
        assert strip(stored(tmp_path, fake_method())) == strip(whole)
        assert len(log) == lost  # only what was not there is made again


def test_a_kill_inside_a_picture_loses_only_that_picture(tmp_path: Path) -> None:
    calls = []

    def killer(image: np.ndarray) -> Segmentation:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return fake_segmentation()

    method = ours.tree_method("walkcut", killer, (0.2,), tree_scores=False)
    with pytest.raises(KeyboardInterrupt):
        run.run(toy(), [method], tmp_path)
    per = SETTINGS - 2
    assert [row["picture"] for row in stored(tmp_path, method)] == ["p0"] * per + ["p1"] * per
    rows, _ = run.run(toy(), [method], tmp_path)
    assert len(calls) == 4
    assert len(rows) == 3 * per


def by_picture(rows: list[dict]) -> list[dict]:
    return sorted(rows, key=lambda row: (row["picture"], row["method"]))


def test_rows_of_other_settings_or_weights_are_neither_mixed_nor_lost(tmp_path: Path) -> None:
    old, _ = run.run(toy(), [fake_method(weights="old"), one_segment()], tmp_path)
    log: list = []
    rows, _ = run.run(toy(), [fake_method(weights="new", log=log), one_segment()], tmp_path)
    assert len(log) == 3
    assert len(rows) == 3 * (SETTINGS + 1)
    assert len({row["fingerprint"] for row in rows if row["method"] == "walkcut"}) == 1
    log.clear()
    again, _ = run.run(toy(), [fake_method(weights="old", log=log), one_segment()], tmp_path)
    assert by_picture(again) == by_picture(old), "what was computed under other conditions in between took nothing away"
    run.run(toy(), [fake_method(weights="new", log=log)], tmp_path)
    assert log == []
    run.run(toy(), [fake_method(weights="new", log=log)], tmp_path, fresh=True)
    assert len(log) == 3
    assert len(list((tmp_path / "rows").iterdir())) == 3  # the method under two kinds of weights, and the peer


@pytest.mark.parametrize(
    "changes",
    [{"config": {"side": 5}}, {"borders": False}, {"name": "toy-2"}],
    ids=["data", "borders", "name"],
)
def test_every_part_of_a_data_set_changes_the_fingerprint(changes: dict) -> None:
    method = one_segment()
    assert run.fingerprint(replace(toy(), **changes), method) != run.fingerprint(toy(), method)


@pytest.mark.parametrize("changes", [{"config": {"a": 1}}, {"settings": ("other",)}, {"name": "other"}])
def test_every_part_of_a_method_changes_the_fingerprint(changes: dict) -> None:
    assert run.fingerprint(toy(), replace(one_segment(), **changes)) != run.fingerprint(toy(), one_segment())


def test_one_picture_in_between_leaves_the_rows_of_all(tmp_path: Path) -> None:
    """A trial on one picture once dropped the rows of all others."""
    whole, _ = run.run(toy(), [one_segment()], tmp_path)
    run.run(replace(toy(1), config={"grid": 16}), [one_segment()], tmp_path)
    run.run(toy(1), [one_segment()], tmp_path)
    again, _ = run.run(toy(), [one_segment()], tmp_path)
    assert again == whole


def test_more_pictures_later_reuse_the_first_ones(tmp_path: Path) -> None:
    log: list = []
    run.run(toy(2), [fake_method()], tmp_path)
    run.run(toy(5), [fake_method(log=log)], tmp_path)
    assert len(log) == 3


def test_what_is_damaged_is_made_again(tmp_path: Path) -> None:
    method = one_segment()
    whole, _ = run.run(toy(), [method], tmp_path)
    path = run.rows_folder(tmp_path, toy(), method) / "p1.json"
    path.write_text(path.read_text()[:-9])
    again, _ = run.run(toy(), [method], tmp_path)
    assert [row["picture"] for row in by_picture(again)] == [row["picture"] for row in whole]
    assert len(run.read_rows(path)) == 1


def test_a_broken_picture_is_told_and_tried_again(tmp_path: Path) -> None:
    data = replace(toy(), names=("p0", "broken", "p1"))
    rows, failed = run.run(data, [fake_method(), one_segment()], tmp_path)
    assert failed == {"broken": "This picture is broken."}
    assert {row["picture"] for row in rows} == {"p0", "p1"}
    healed = replace(data, load=lambda name: replace(toy().load("p0"), name=name))
    again, failed = run.run(healed, [fake_method(), one_segment()], tmp_path)
    assert failed == {}
    assert len(again) == 3 * (SETTINGS + 1)


def test_a_method_that_fails_on_a_picture_stops_no_other(tmp_path: Path) -> None:
    def segment(item: Item) -> Iterator[Result]:
        if item.name == "p1":
            raise np.linalg.LinAlgError("SVD did not converge")
        yield Result("only", HALVES)

    rows, failed = run.run(toy(), [Method("shy", ("only",), {}, segment), one_segment()], tmp_path)
    assert failed == {"p1": "shy: SVD did not converge"}
    assert [(r["picture"], r["method"]) for r in rows] == [
        *(("p0", "shy"), ("p0", "Felzenszwalb"), ("p1", "Felzenszwalb")),
        *(("p2", "shy"), ("p2", "Felzenszwalb")),
    ]


def test_a_fault_of_the_code_is_not_hidden(tmp_path: Path) -> None:
    def segment(item: Item) -> Iterator[Result]:
        raise ZeroDivisionError
        yield

    with pytest.raises(ZeroDivisionError):
        run.run(toy(), [Method("wrong", ("only",), {}, segment)], tmp_path)


def test_where_classes_have_names_a_row_holds_the_table_and_nothing_is_matched(tmp_path: Path) -> None:
    def segment(item: Item) -> Iterator[Result]:
        yield Result("only", np.where(np.arange(8) < 6, 7, 3) * np.ones((8, 1), int))

    (row, *_), _ = run.run(toy_classes(1), [Method("two", ("only",), {}, segment)], tmp_path)
    cell = row["scores"]["classes"]
    assert (cell["classes"], cell["clusters"], cell["present"]) == (len(CLASSES), 2, [0, 1])
    assert cell["counts"] == [[6, 0], [3, 3]]  # of 12 labelled pixels; the larger cluster comes first


def test_a_label_map_is_scored_once_however_often_it_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    scored = []
    monkeypatch.setattr(scorer, "score", lambda *a, real=scorer.score: (scored.append(1), real(*a))[1])
    score = scorer.Scorer(toy(), toy().load("p0"))
    first = score("human", HALVES)
    first["boundary"] = "changed by the caller"
    assert score("human", HALVES.copy()) != first
    score("human", 1 - HALVES)
    assert len(scored) == 2


def test_boundaries_are_counted_where_humans_drew() -> None:
    cell = scorer.Scorer(toy(), toy().load("p0"))("human", HALVES)
    assert cell["boundary"] == [4, 4, 4, 4]  # one human's four pixels, the other sees none
    assert cell["regions"] == pytest.approx(1.5)
    assert "boundary" not in scorer.Scorer(replace(toy(), borders=False), toy().load("p0"))("human", HALVES)


def test_times_are_of_the_first_setting_and_the_look_is_apart(tmp_path: Path) -> None:
    class Looker:
        def __call__(self, image: np.ndarray) -> SimpleNamespace:
            return SimpleNamespace(taken=lambda: 1.25)

    Looker.config = {}
    method = replace(one_segment(), looker=Looker())
    (row, *_), _ = run.run(toy(1), [method], tmp_path)
    assert row["look"] == 1.25
    assert 0 <= row["seconds"] < 1

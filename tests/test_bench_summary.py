"""From rows to results: best settings, intervals, differences, and how they were made."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from bench_toys import CLASSES, fake_method, one_segment, toy, toy_classes

from walkcut.bench import ours
from walkcut.bench.config import RunConfig
from walkcut.bench.datasets import Item
from walkcut.bench.method import Method, Result
from walkcut.bench.scores import mean_scores
from walkcut.bench.summary import COMPLEXITY, Line, against_first, bench, read_summary, table_rows
from walkcut.bench.table import written
from walkcut.errors import InputError

CONFIG = RunConfig(dataset="toy")


def test_a_broken_picture_is_reported_and_does_not_stop_the_run(tmp_path: Path) -> None:
    data = replace(toy(), names=("p0", "broken", "p1"))
    summary = bench(data, [fake_method(), one_segment()], tmp_path, CONFIG)
    assert summary["failed"] == ["broken"]
    assert summary["pictures"] == 2
    with pytest.raises(InputError, match="No picture"):
        bench(replace(toy(), names=("broken",)), [one_segment()], tmp_path / "none", CONFIG)


def test_the_summary_holds_the_numbers_and_how_they_were_made(tmp_path: Path) -> None:
    summary = bench(toy(), [fake_method(sha="abc"), one_segment()], tmp_path, CONFIG)
    assert json.loads((tmp_path / "toy.json").read_text()) == summary
    assert list(tmp_path.glob("*.tmp")) == []
    cell = {(row["method"], row["measure"]): row for row in summary["table"]}
    assert cell[f"walkcut, {ours.AUTO}", "covering"]["curve"] == [0.75]
    assert cell["walkcut", "covering"]["setting"] == "0.2"
    assert cell["walkcut", "covering"]["curve"] == [0.75, 0.75, 0.75]  # halves suit one human, nothing the other
    assert cell["Felzenszwalb", "vi"]["ods"] == pytest.approx(0.5)
    gap = [row for row in summary["differences"] if row["measure"] == "pri" and row["baseline"] == "Felzenszwalb"]
    halves, nothing = (1 + 56 / 120) / 2, (56 / 120 + 1) / 2  # of 120 pairs 56 lie within a half
    assert gap[0]["difference"] == pytest.approx(halves - nothing, abs=1e-4)
    assert summary["methods"]["walkcut"]["sha"] == "abc"
    assert summary["versions"]["scikit-image"]
    assert str(tmp_path) not in json.dumps(summary)


def test_a_setting_chosen_at_the_end_of_its_list_is_flagged() -> None:
    def flag(values: list[float], sign: int) -> tuple[str, bool]:
        line = Line(
            "walkcut",
            "walkcut",
            ("a", "b", "c"),
            False,
            {("human", "vi"): mean_scores(np.array([values]), np.ones(1), sign)},
        )
        (row,) = table_rows([line])
        return row["setting"], row["at_end_of_list"]

    assert flag([0.1, 0.2, 0.9], 1) == ("c", True)
    assert flag([0.1, 0.2, 0.9], -1) == ("a", True)
    assert flag([0.1, 0.9, 0.2], 1) == ("b", False)


def test_every_criterion_is_a_line_beside_the_best_constant_threshold(tmp_path: Path) -> None:
    summary = bench(toy(), [fake_method(), one_segment()], tmp_path, CONFIG)
    lines = [row["method"] for row in summary["table"] if row["measure"] == "covering"]
    assert lines == [
        f"walkcut, {ours.AUTO}",
        *(f"walkcut, {name}" for name in ours.OTHERS),
        "walkcut",
        "Felzenszwalb",
    ]
    assert summary["methods"]["walkcut"]["automatic"] == ours.AUTO
    gaps = {(row["method"], row["baseline"]) for row in summary["differences"]}
    singles = {(f"walkcut, {ours.AUTO}", "walkcut"), *((f"walkcut, {name}", "walkcut") for name in ours.OTHERS)}
    assert gaps == singles | {(f"walkcut, {ours.AUTO}", "Felzenszwalb")}  # which sweeps nothing
    found = [r for r in summary["differences"] if (r["method"], r["measure"]) == ("walkcut, gap", "vi")]
    assert [r["difference"] for r in found] == [0.0, 0.0]  # the halves: 0.5 bits away, as one segment is


def test_how_often_a_criterion_is_a_constant_in_disguise(tmp_path: Path) -> None:
    summary = bench(toy(), [fake_method(), one_segment()], tmp_path, CONFIG)
    assert summary["like_constants"]["walkcut, gap"] == ["0.6", 1.0]  # the halves
    assert summary["like_constants"]["walkcut, half-life"] == ["0.2", 1.0]  # one segment
    assert not {"walkcut", "Felzenszwalb, only"} & set(summary["like_constants"])
    assert summary["left_whole"] == {}


def test_the_share_of_blank_pictures_left_whole_has_an_interval(tmp_path: Path) -> None:
    """Wilson's: of 3 of 3, from 1 / (1 + 1.96^2 / 3) to 1."""
    one, names = toy().load("p0"), tuple(f"grey-{i}" for i in range(3))
    data = replace(toy(), names=names, load=lambda name: replace(one, name=name), config={"blank": 1})
    summary = bench(data, [fake_method()], tmp_path, CONFIG)
    assert summary["left_whole"]["walkcut, half-life"] == {"grey": [1.0, pytest.approx(0.4385, abs=1e-4), 1.0]}
    assert summary["left_whole"]["walkcut, gap"] == {"grey": [0.0, 0.0, pytest.approx(0.5615, abs=1e-4)]}
    assert "walkcut" not in summary["left_whole"]


def test_what_is_no_summary_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("[]")
    (tmp_path / "b.json").write_text("{")
    for name in ("a.json", "b.json", "missing.json"):
        with pytest.raises(InputError, match=name):
            read_summary(tmp_path / name)


def sweep(name: str = "sweep") -> Method:
    """Halves at "good", nothing at "poor"; "poor" is what was published."""

    def segment(item: Item) -> Iterator[Result]:
        yield Result("poor", np.zeros(item.image.shape[:2], int))
        yield Result(
            "good", np.arange(item.image.shape[1]) * 2 // item.image.shape[1] * np.ones((len(item.image), 1), int)
        )

    return Method(name, ("poor", "good"), {}, segment, alone=("poor",), swept=("poor", "good"))


def test_what_was_published_is_a_line_beside_the_best_setting(tmp_path: Path) -> None:
    summary = bench(toy(), [fake_method(), sweep()], tmp_path, CONFIG)
    cells = {(row["method"], row["measure"]): row for row in summary["table"]}
    assert cells["sweep, poor", "covering"]["setting"] == "poor"
    assert cells["sweep", "covering"]["curve"] == [0.75, 0.75]
    assert cells["sweep", "boundary"]["setting"] == "good"
    pairs = {(row["method"], row["baseline"]) for row in summary["differences"]}
    assert {("walkcut", "sweep"), (f"walkcut, {ours.AUTO}", "sweep, poor"), (f"walkcut, {ours.AUTO}", "sweep")} <= pairs
    assert ("walkcut", "sweep, poor") not in pairs  # a best constant against a fixed setting would be unfair
    assert set(summary["seconds"]) == {"walkcut", "sweep"}


def test_scene_complexity_sorts_pictures_by_their_true_regions(tmp_path: Path) -> None:
    def load(name: str) -> Item:
        stripes = np.arange(24) // (24 // int(name)) * np.ones((24, 1), int)
        return Item(name, np.zeros((24, 24, 3), np.uint8), {"instances": (stripes,)})

    data = replace(toy(), names=("2", "4", "12"), load=load)
    summary = bench(data, [one_segment()], tmp_path, CONFIG)
    bins = dict(zip(COMPLEXITY, summary["complexity"]["instances"]["Felzenszwalb"], strict=True))
    assert bins[0] == [2, pytest.approx((1 / 2 + 1 / 4) / 2)]
    assert bins[10] == [1, pytest.approx(1 / 12, abs=1e-4)]
    assert bins[5] == [0, None]


def test_named_classes_are_scored_by_every_protocol(tmp_path: Path) -> None:
    summary = bench(toy_classes(), [sweep()], tmp_path, CONFIG)
    cells = {(row["method"], row["measure"]): row for row in summary["table"]}
    best = cells["sweep", "miou"]
    assert best["setting"] == "good"
    assert best["ods"] == 1
    assert best["iou"] == [1.0, 1.0, None]  # sand occurs nowhere
    assert best["interval"]["ods"] == [1.0, 1.0]
    assert "ois" not in best
    # one segment: half the pixels are right, whichever class it is given
    assert cells["sweep, poor", "accuracy"]["ods"] == 0.5
    assert cells["sweep, poor", "miou, no spare class"]["ods"] == 0.25
    for line, miou, accuracy in (("sweep, poor", 0.25, 0.5), ("sweep", 1, 1)):  # its rows hold both classes
        assert cells[line, "miou, row by row"]["ods"] == miou
        assert cells[line, "accuracy, row by row"]["ods"] == accuracy
        assert "interval" in cells[line, "miou, row by row"]
    assert "| mIoU, row by row ↑ | accuracy, row by row ↑ |" in written(summary)
    assert len(CLASSES) == 3


def test_changes_are_compared_with_the_first_method_like_with_like(tmp_path: Path) -> None:
    first, other = fake_method(), replace(fake_method(), name="changed")
    summary = bench(toy(), [first, other], tmp_path, CONFIG, pairs=against_first)
    pairs = {(row["method"], row["baseline"]) for row in summary["differences"]}
    assert pairs == {
        ("changed", "walkcut"),
        *((f"changed, {name}", f"walkcut, {name}") for name in (ours.AUTO, *ours.OTHERS)),
    }


def test_a_summary_made_under_other_conditions_stays(tmp_path: Path) -> None:
    first = bench(toy(), [one_segment()], tmp_path, CONFIG)
    text = (tmp_path / "toy.json").read_text()
    trial = bench(toy(1), [one_segment()], tmp_path, CONFIG)
    assert (tmp_path / "toy.json").read_text() == text
    (other,) = tmp_path.glob("toy-*.json")
    assert json.loads(other.read_text())["pictures"] == trial["pictures"] == 1
    bench(toy(), [one_segment()], tmp_path, CONFIG)
    assert sorted(tmp_path.glob("*.json")) == [other, tmp_path / "toy.json"]
    assert json.loads((tmp_path / "toy.json").read_text())["conditions"] == first["conditions"]


def test_a_committed_result_is_never_written_over(tmp_path: Path) -> None:
    committed = {"title": "before", "table": [], "differences": [], "commit": "0" * 40}
    (tmp_path / "toy.json").write_text(json.dumps(committed))
    bench(toy(), [one_segment()], tmp_path, CONFIG)
    assert json.loads((tmp_path / "toy.json").read_text()) == committed


def test_a_result_names_the_fingerprint_of_its_rows(tmp_path: Path) -> None:
    summary = bench(toy(), [one_segment()], tmp_path, CONFIG)
    (rows,) = (tmp_path / "rows").iterdir()
    mark = summary["methods"]["Felzenszwalb"]["fingerprint"]
    assert rows.name == f"toy.Felzenszwalb.{mark}"
    assert {row["fingerprint"] for path in rows.iterdir() for row in json.loads(path.read_text())} == {mark}

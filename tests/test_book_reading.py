"""Numbers are picked from the rows they stand in, and what was not measured is told."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from walkcut.bench import RESULTS
from walkcut.bench.criteria import SHARES
from walkcut.bench.ours import AUTO
from walkcut.bench.table import KINDS, Table
from walkcut.criteria import SHARE
from walkcut.errors import InputError
from walkcut.registry import CRITERIA, GRAPHS
from walkcut_book import reading

TABLE = [
    {"method": "walkcut", "truth": "materials", "measure": "covering", "ods": 0.5, "curve": [0.2, 0.5]},
    {"method": "walkcut", "truth": "instances", "measure": "covering", "ods": 0.4, "curve": [0.4, 0.1]},
    {"method": f"walkcut, {AUTO}", "truth": "instances", "measure": "concordance", "ods": 0.8}
    | {"interval": {"ods": [0.7, 0.9]}},
]
DIFFERENCES = [
    {"method": own, "baseline": "other", "truth": truth, "measure": "covering", "choice": "ods"}
    | {"difference": value, "low": value - 0.1, "high": value + 0.1}
    for own, truth, value in (
        (f"walkcut, {AUTO}", "materials", 0.3),
        (f"walkcut, parts, {AUTO}", "materials", 0.2),
        (f"walkcut, parts, {AUTO}", "instances", -0.2),
        (f"k=2, {AUTO}", "materials", -0.3),
        ("k=2", "materials", 0.0),
        ("down_blocks.0.attentions.1, 0", "materials", 0.1),
    )
]
SUMMARY = {
    "methods": {"walkcut": {"settings": [AUTO, "0.1", "0.2"], "alone": [AUTO], "automatic": AUTO}}
    | {name: {"automatic": AUTO} for name in ("walkcut, parts", "k=2", "down_blocks.0.attentions.1, 0")},
    "table": TABLE,
    "differences": DIFFERENCES,
    "complexity": {"materials": {"walkcut": [[0, None], [3, 0.7], [0, None], [1, 0.0], [2, 0.3]]}},
}


def test_constants_leave_out_what_stands_alone() -> None:
    assert reading.constants(SUMMARY, "walkcut", "instances") == ([0.1, 0.2], [0.4, 0.1])


def test_the_default_criterion_is_a_level_beside_the_constants() -> None:
    level = {"method": f"walkcut, {AUTO}", "truth": "instances", "measure": "covering", "ods": 0.3}
    found = reading.with_automatic(SUMMARY | {"table": [*TABLE, level]}, "walkcut", "instances")
    assert found == {"constant": ([0.1, 0.2], [0.4, 0.1]), "automatic": ([0.1, 0.2], [0.3, 0.3])}


def test_gains_tell_the_automatic_threshold_from_the_best_constant() -> None:
    assert reading.gains(SUMMARY, "materials", alone=True)["k=2"] == pytest.approx((-0.3, -0.4, -0.2))
    best = reading.gains(SUMMARY, "materials")
    assert list(best) == ["k=2", "down 0.1, 0"]
    assert best["k=2"] == pytest.approx((0.0, -0.1, 0.1))


def test_empty_bins_are_no_points_and_a_covering_of_zero_is_one() -> None:
    assert reading.by_complexity(SUMMARY, "materials", ["walkcut"]) == {"walkcut": ([7, 29.5, 59.5], [0.7, 0.0, 0.3])}


def test_rivals_meet_segments_on_materials_and_parts_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    columns = [("a", "materials"), ("a", "instances")]
    monkeypatch.setattr(reading, "RIVALS", ("other", "unknown"))
    table = reading.rivals_table({"a": SUMMARY}, columns)
    assert table.rows[0] == ["other", "+0.300 [+0.200, +0.400]", "-0.200 [-0.300, -0.100]"]
    assert table.rows[1] == ["unknown", "", ""]


def test_standings_tell_one_setting_from_the_best_of_a_sweep() -> None:
    values = {"DiffSeg": 0.5, "DiffSeg, tau=1.1": 0.3, "DiffSeg, tau=0.9": 0.4, "blind": 0.2, "told": 0.6}
    values = {"blind, K=6": 0.2, "told, true K": 0.6, "swept": 0.8} | values
    rows = [
        {"method": name, "truth": "human", "measure": "covering", "ods": v, "interval": {"ods": [v - 0.1, v + 0.1]}}
        for name, v in values.items()
        if name != "blind"
    ]
    alone = {"DiffSeg": ["tau=1.1", "tau=0.9"], "blind": ["K=6", "true K"], "told": ["true K"], "swept": []}
    summary = {"table": rows, "methods": {name: {"alone": settings} for name, settings in alone.items()}}
    one, best = reading.standings(summary, "human").values()
    assert {name: value for name, (value, *_) in one.items()} == {"DiffSeg": 0.3, "blind": 0.2}
    assert {name: value for name, (value, *_) in best.items()} == {"DiffSeg": 0.5, "told": 0.6, "swept": 0.8}
    assert one["DiffSeg"][1:] == pytest.approx((0.2, 0.4))


def test_kinds_of_matching_are_never_in_one_table() -> None:
    kinds = reading.published_by_matching("coco-stuff-27")
    each, *others = kinds.values()
    assert list(kinds) == list(KINDS.values())
    for name, part in zip(("STEGO", "ReCo", "Seg4Diff SD3"), others, strict=True):
        assert [one for one in kinds.values() if name in {row[0] for row in one.rows}] == [part]
    assert not any("matching" in row[0] for one in kinds.values() for row in one.rows)
    assert "one matching for the data set" not in reading.published_by_matching("ade20k-150")
    commands = reading.published_commands("coco-stuff-27")
    assert "walkcut bench run coco-stuff-27 --data DIR --model sd-1.4 --protocol walkcut --methods paper-v1" in commands
    assert len(set(commands)) == len(commands)
    assert "not run yet" in {cell for row in each.rows for cell in row}


def test_trees_are_a_row_for_each_measure() -> None:
    table = reading.trees_table({"a": SUMMARY})
    assert table.head == ["tree", "walkcut"]
    assert table.rows == [["a, instances: concordance", "0.800 [0.700, 0.900]"]]


def test_the_log_tells_what_was_found_and_what_was_not_counted() -> None:
    entry = {"stage": "walk", "tried": "a", "predicted": "b", "on": "c", "found": 0.0242, "interval": [0.0075, 0.0423]}
    entry |= {"note": "OIS", "kept": "yes"}
    bare = entry | {"found": None, "interval": None, "note": "by eye", "kept": "no"}
    rows = reading.log_table([entry, bare, entry | {"stage": "graph"}], "walk").rows
    assert rows == [["a", "b", "c", "+0.024 [+0.007, +0.042]; OIS", "yes"], ["a", "b", "c", "by eye", "no"]]


def test_gains_by_set_and_both_ways() -> None:
    groups = reading.gains_by_set("ladder", [("scenes-seeds", "materials")])
    ((label, rungs),) = groups.items()
    assert re.fullmatch(r"scenes-seeds, materials, \d+ pictures, from 0\.\d{3}", label)
    assert all(low <= value <= high for value, low, high in rungs.values())
    panels = reading.gains_both_ways(("steps", "graph"), "scenes-seeds", "materials")
    assert [label.partition(",")[0] for label in panels] == ["steps", "graph"]
    assert all(list(ways) == ["automatic", "best constant"] for ways in panels.values())
    with pytest.raises(InputError, match="ablate-steps-nowhere"):
        reading.gains_by_set("ablate-steps", [("nowhere", "human")])


def test_threshold_panels() -> None:
    panels = reading.threshold_panels()
    assert list(panels)[:2] == ["threshold, scenes-seeds", "threshold, bsds500-val"]
    assert list(panels["threshold, steps"]) == ["as usual", "k=2", "k=4", "k=8"]
    assert {"P itself", "rows, dot product"} < set(panels["threshold, graph"])


def test_graphs_layers_and_heads_have_one_name_each() -> None:
    """Those of chapter 6's table and chapter 1's figure, where the command has others."""
    measured = json.loads((RESULTS / "graphs.json").read_text(encoding="utf-8"))
    chapter = {row["graph"] for part in measured["sets"].values() for row in part["graphs"]}
    assert set(reading.GRAPHS.values()) - chapter == {"held walk"}
    assert set(reading.GRAPHS) == set(GRAPHS) - {"reversible"}
    for layer in ("down_blocks.0.attentions.0.transformer_blocks.1.attn1", "down_blocks.0.attentions.0, 1"):
        assert reading.plain(layer) == "down 0.0, 1"
    assert reading.plain("down_blocks.0.attentions.0, 1, head 0") == "down 0.0, 1, head 0"
    summary = reading.result("ablate-graph-scenes-seeds")
    found = {name for name, *_ in reading.changes_table(summary).rows}
    assert found == {"as usual", *reading.GRAPHS.values()}


def test_lines_of_chapter_6() -> None:
    part = {"pictures": 3, "graphs": []}
    for name, low in (("walk", -0.1), ("rows", 0.1)):
        best = {"covering": 0.5, "setting": 0.25, "difference": 0.2, "low": low, "high": 0.3}
        part["graphs"].append({"graph": name, "threshold": best, "segments": best | {"setting": 4}})
    head, *lines = reading.graph_lines("scenes", part)
    assert head.startswith("scenes, 3: ")
    assert ["*" in line for line in lines] == [False, True]
    assert reading.graph_gains(part)["rows"] == (0.2, 0.1, 0.3)
    row = {"kind": "dense", "patches": 9, "total": {"cpu_s": 1}, "peak_gib": 2, "before_gib": 1}
    lines = reading.stream_lines({"measurements": [row | {"kind": "streamed"}, row | {"patches": 16}, row]})
    assert [line.split(" patches")[0].split() for line in lines] == [["dense", "9"], ["dense", "16"], ["streamed", "9"]]


CHOICE = {"measure": "covering", "choice": "ods", "truth": "materials"}
GAP = {"difference": 0.1, "low": 0.0, "high": 0.2}


def few(**more: object) -> dict:
    """A summary in which each criterion, and each share of the null, has 0.1 more than the best constant."""
    names = (*CRITERIA, *(f"null at {share}" for share in SHARES))
    table = [("walkcut", 0.5), *((f"walkcut, {name}", 0.6) for name in names)]
    return {
        "title": "Few",
        "table": [CHOICE | {"method": name, "ods": ods, "ois": ods + 0.1, "setting": "0.3"} for name, ods in table],
        "differences": [CHOICE | GAP | {"baseline": "walkcut", "method": f"walkcut, {name}"} for name in names],
        "segments": {f"walkcut, {name}": {"median": 3.5, "pictures_in_one": 7} for name in CRITERIA},
        "pictures": 8,
    } | more


def test_criteria_against_the_best_constant() -> None:
    first, medians = reading.criteria_table({"Few": few()}).rows
    assert first == ["Few: materials", "0.500", *len(CRITERIA) * ["+0.100"]]
    assert medians[2] == "3.5"
    assert reading.constant_lines([few()])[0] == "Few, materials: best constant 0.3"


def test_shares_of_the_null_are_in_order_with_the_rules_own() -> None:
    shares, gaps = reading.share_lines({"scenes, few": few()})["scenes, few"]
    assert list(shares) == sorted({*SHARES, SHARE})
    assert set(gaps) == {0.1}


def test_what_constants_do_elsewhere() -> None:
    own = CHOICE | GAP | {"method": "walkcut, spatial-null"}
    gaps = [own | {"baseline": f"walkcut, {constant}"} for constant in reading.FITTED]
    gaps += [own | {"baseline": "walkcut", "difference": -0.02}]
    (row,) = reading.transfer_table({"scenes": few(differences=gaps)}).rows
    assert row[:3] == ["scenes", "covering", "0.600"]
    assert row[3:] == [*len(reading.FITTED) * ["+0.100 [+0.000, +0.200]"], "-0.020 [+0.000, +0.200]"]


def test_blank_pictures_and_likeness_by_eye() -> None:
    whole = {"left_whole": {"walkcut, gap": {"white noise": [0.9, 0.8, 0.95]}}}
    rows = reading.whole_table({"leaves": whole}, ["gap"]).rows
    assert rows == [["leaves, gap", "0.90 [0.80, 0.95]"]]
    like = {"like_constants": {f"walkcut, {name}": ["0.3", 0.25] for name in CRITERIA}}
    rows = reading.constants_like({"scenes": like}).rows
    assert rows == [["scenes", *len(CRITERIA) * ["0.25 (0.3)"]]]


def gpu_table(record: dict) -> Table:
    """Of `speed-gpu.json`: milliseconds of each stage, pictures a second and the peak of memory; "-" is not known."""
    stages = list(record["measurements"][0]["seconds"])

    def line(name: str, row: dict) -> list[str]:
        times = [row.get("seconds", {}).get(stage) for stage in stages]
        shown = ["-" if time is None else f"{1000 * time:.3g}" for time in times]
        memory = "-" if row["peak_gb"] is None else f"{row['peak_gb']:g}"
        return [f"{name}, {row['pixels']} px", *shown, f"{row['pictures_per_second']:.3g}", memory]

    rows = [line(row["model"], row) for row in record["measurements"]]
    chain = record["chain"]
    rows.append(line(f"{chain['model']}, {chain['cutters']} cutters, {chain['batch']} a pass", chain))
    return Table(["", *stages, "pictures a second", "peak, GB"], rows)


def test_the_page_on_gpus_tells_the_committed_numbers() -> None:
    record = json.loads((RESULTS / "speed-gpu.json").read_text())
    told = gpu_table(record)
    assert told.rows[0][:3] == ["sd-1.4, 512 px", "16.9", "36.3"]
    assert told.rows[-1] == ["sd-1.4, 14 cutters, 4 a pass, 512 px", *6 * ["-"], "16.1", "-"]
    page = (Path(__file__).resolve().parent.parent / "book" / "gpu.md").read_text(encoding="utf-8")
    assert told.markdown() in page
    assert f"one {record['gpu']}" in page
    assert f"commit `{record['commit'][:7]}`" in page


def test_a_training_is_read_in_the_order_of_its_steps() -> None:
    spectra = {f"step-{n}": np.linspace(1, n / 2000, 24).tolist() for n in (800, 0, 1200)}
    truths = [{"method": name, "truth": "human", "measure": "covering"} for name in spectra]
    table = [row | {"ods": value} for row, value in zip(truths, (0.5, 0.3, 0.6), strict=True)]
    found = reading.by_step({"spectra": spectra | {"another": [1.0] * 24}, "table": table}, "human")
    assert found["covering, human"] == ([0, 800, 1200], [0.3, 0.5, 0.6])
    assert found["eigenvalue 2"] == ([0, 800, 1200], [spectra[f"step-{n}"][1] for n in (0, 800, 1200)])


def test_the_page_on_the_model_tells_how_attention_was_learnt() -> None:
    curve = json.loads((RESULTS / "model-log.json").read_text())["small net"]["curve"]
    assert curve["loss"][400 // curve["steps_per_point"]] / curve["loss"][0] == pytest.approx(1 / 6, abs=0.02)
    summary = json.loads((RESULTS / "steps" / "models-bsds500-train.json").read_text())
    found = reading.by_step(summary, "human")
    second = dict(zip(*found["eigenvalue 2"], strict=True))
    assert (round(second[400], 2), round(second[650], 2)) == (0.54, 0.93)
    one = min(found["covering, human"][1])  # of a single segment
    assert dict(zip(*found["covering, human"], strict=True))[400] < one + 0.05
    value, low, high = reading.gains(summary, "human")["step-1600"]
    assert round(value, 3) == -0.02
    assert low < 0 < high < 0.01

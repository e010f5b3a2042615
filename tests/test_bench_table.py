"""Results printed: alone, as changes, and beside what others have published."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from bench_toys import fake_method, one_segment, toy, toy_classes
from test_bench_summary import sweep

from walkcut.backbone import Backbone
from walkcut.bench import ours, table, tasks
from walkcut.bench.config import DATASETS, METHODS, PROTOCOLS, RunConfig
from walkcut.bench.look import Looker
from walkcut.bench.summary import against_first, bench, read_summary
from walkcut.eyes.models import MODELS
from walkcut.recipe import PRESETS

CONFIG = RunConfig(dataset="toy")


def test_the_markdown_table_shows_the_numbers_of_the_summary(tmp_path: Path) -> None:
    summary = bench(toy(), [fake_method(), one_segment(), sweep()], tmp_path, CONFIG)
    text = table.written(summary)
    assert "| method | covering ↑ | PRI ↑ | VI ↓ | boundary F ↑ |" in text
    assert f"| walkcut, {ours.AUTO} | 0.750 | 0.733 | 0.500 | 1.000 |" in text
    assert "| walkcut | 0.750 / 0.750 | 0.733 / 0.733 | 0.500 / 0.500 |" in text
    assert "| sweep | best constant | +0.000 [+0.000, +0.000] | +0.000 [+0.000, +0.000] |" in text
    assert "Covering minus that of the best constant threshold (walkcut)" in text
    assert table.written(read_summary(tmp_path / "toy.json")) == text


def test_latex_holds_the_same_cells(tmp_path: Path) -> None:
    summary = bench(toy(), [fake_method(), one_segment("a_b & c")], tmp_path, CONFIG)
    text = table.main_table(summary).latex()
    assert r"a\_b \& c & 0.750 & 0.733 & 0.500 & 0.000 \\" in text
    assert r"covering $\uparrow$" in text
    assert text.count(r"\\") == 1 + len(table.main_table(summary).rows)
    assert r"\texttt{walkcut bench}" in table.Table(["ours"], [["`walkcut bench`"]]).latex()


def test_a_method_trained_on_such_pictures_is_marked(tmp_path: Path) -> None:
    summary = bench(toy(), [replace(one_segment(), trained_on="scenes")], tmp_path, CONFIG)
    assert "| Felzenszwalb † |" in table.written(summary)
    assert "† The denoiser was trained" in table.written(summary)


def test_changes_hold_the_value_and_the_difference(tmp_path: Path) -> None:
    methods = [fake_method(), replace(fake_method(), name="changed")]
    found = table.changes(bench(toy(), methods, tmp_path, CONFIG, pairs=against_first))
    assert found.rows[0][:3] == ["walkcut", "0.750", ""]
    assert found.rows[1][:3] == ["changed", "0.750", "+0.000 [+0.000, +0.000]"]
    assert {len(row) for row in found.rows} == {len(found.head)}


def test_published_rows_stand_with_their_command_until_they_are_run(tmp_path: Path) -> None:
    data = toy_classes()
    rows = {row[0]: row for row in table.beside_published(data.name, []).rows}
    assert rows["Diffusing, Walking and Cutting"][1] == "see the paper"
    command = "`walkcut bench run coco-stuff-27 --data DIR --model ssd-1b --protocol diffcut --methods diffcut`"
    assert rows["DiffCut SSD-1B, no PAMR"][3] == f"not run yet: {command}"
    assert rows["DiffCut SSD-1B, no PAMR"][1] == "46.1"
    assert rows["STEGO (one matching for the data set)"][3] == ""
    assert "ReCo (classes by text, no matching)" in rows
    assert "Seg4Diff SD3 (not comparable: perhaps one matching for each row of pixels)" in rows
    method = replace(sweep("DiffCut"), settings=("poor", "tau=0.5"), alone=("tau=0.5",), swept=())
    run = method.run
    renamed = replace(
        method, run=lambda item: (r._replace(setting=s) for r, s in zip(run(item), method.settings, strict=True))
    )
    words = replace(CONFIG, protocol="diffcut")
    summary = bench(data, [replace(renamed, config={"model": {"name": "ssd-1b"}})], tmp_path, words)
    rows = {row[0]: row for row in table.beside_published(data.name, [summary]).rows}
    assert rows["DiffCut SSD-1B, no PAMR"][1] == "46.1 (ours 100.0 [100.0, 100.0]; outside)"
    assert rows["DiffCut SSD-1B, no PAMR"][3] == "DiffCut, tau=0.5"
    other = bench(data, [replace(renamed, config={"model": {"name": "sd-1.4"}})], tmp_path, words)
    otherwise = bench(data, [replace(renamed, config={"model": {"name": "ssd-1b"}})], tmp_path, CONFIG)
    for wrong in (other, otherwise):  # numbers of another model, or under another protocol, are not these
        rows = {row[0]: row for row in table.beside_published(data.name, [wrong]).rows}
        assert rows["DiffCut SSD-1B, no PAMR"][3].startswith("not run yet")


def test_a_published_value_inside_the_interval_is_told() -> None:
    row = {"ods": 0.45, "interval": {"ods": [0.44, 0.47]}}
    assert table._beside({"miou": 46.1}, {"miou": row}, "miou") == "46.1 (ours 45.0 [44.0, 47.0]; inside)"
    pair = {"ods": 0.51, "interval": {"ods": [0.50, 0.53]}}
    assert table._beside({"covering": [0.52, 0.57]}, {"covering": pair}, "covering").endswith("[0.50, 0.53]; inside)")
    assert table._beside("see the paper", {"miou": row}, "miou") == "see the paper (ours 45.0 [44.0, 47.0])"


def test_every_published_row_has_a_source_and_a_command_that_exists() -> None:
    told = table.published()
    for row in told["rows"]:
        assert row["source"] in told["sources"]
        assert row.get("matching", "picture") in table.KINDS
        assert set(row["values"]) <= set(DATASETS)
        if "run" in row:
            assert row["run"]["methods"] in METHODS
            assert row["run"].get("protocol", "diffseg") in PROTOCOLS
            assert not row["run"]["model"] or row["run"]["model"] in MODELS
    assert not re.search(
        r"\d",
        json.dumps([r["values"] for r in told["rows"] if r["source"] == "walkcut"])
        .replace("27", "")
        .replace("20", "")
        .replace("150", ""),
    )
    assert (*PRESETS, *tasks.LOOKING, *tasks.PICTURE_ONLY) == METHODS


def test_what_makes_a_published_row_doubtful_is_told_below_the_table() -> None:
    here, elsewhere, everywhere = (table.sources(name) for name in ("cityscapes-27", "bsds500-val", ""))
    assert "- seg4diff: Seg4Diff (arXiv 2509.18096), Tables 1-2; not comparable: by reading" in here
    for told in ("- Seg4Diff+MAGNET (COCO): LoRA-trained", "a hint, not a fact", "NAMR, not PAMR"):
        assert told in here
        assert told not in elsewhere
        assert told in everywhere


def test_every_published_speed_names_its_work() -> None:
    bibliography = (Path(__file__).parent.parent / "book" / "references.bib").read_text()
    for row in table.published()["speeds"]:
        assert f"{{{row['cite']}," in bibliography
        assert row["pictures_per_second"] > 0


def test_the_line_that_repeats_a_published_row_exists(tiny: Backbone) -> None:
    lines = set()
    for method in tasks.roster(RunConfig(), toy_classes(), Looker(tiny, grid=16)):
        lines |= {method.name, *(f"{method.name}, {setting}" for setting in method.alone)}
    for row in table.published()["rows"]:
        if "run" in row:
            assert {table.repeating(row, name) for name in row["values"]} <= lines


@pytest.mark.parametrize("name", ["bsds500-val", "coco-stuff-27"])
def test_every_cell_of_published_tables_is_told_in_both_formats(name: str) -> None:
    found = table.beside_published(name, [])
    assert all(row[0] in found.markdown() for row in found.rows)
    assert found.latex().startswith(r"\begin{tabular}")

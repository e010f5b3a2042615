"""The committed results are whole, and the README tells what they say."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import readme_picture
from PIL import Image

from walkcut.bench.criteria import SHARES
from walkcut.bench.datasets import held_out_scenes
from walkcut.bench.matching import class_table, field_matching, row_tables, scores
from walkcut.bench.summary import read_summary
from walkcut.bench.table import beside_published, cell, written
from walkcut.registry import CRITERIA
from walkcut_book.reading import automatic

ROOT = Path(__file__).resolve().parent.parent
LOG = ROOT / "book" / "results" / "model-log.json"  # of explorations, which no single command repeats
EVERY = sorted(path for path in (ROOT / "book" / "results").rglob("*.json") if path != LOG)
RESULTS = [path for path in EVERY if "methods" in json.loads(path.read_text())]  # of a data set
SHOWN = {"bsds500-val": "human", "scenes-seeds": "materials", "scenes-families": "materials"}
METHODS = (
    *("walkcut, parts", "walkcut", "paper-v1, parts", "DiffSeg", "mean shift", "SLIC + NCut", "Felzenszwalb"),
    *("k-means, colour", "k-means, colour, true K"),
)


def readme_row(method: str) -> str:
    """Covering, best setting for the data set / per picture, on each data set of the README's table."""
    cells = []
    for name, truth in SHOWN.items():
        table = read_summary(ROOT / "book" / "results" / f"{name}.json")["table"]
        found = [r for r in table if (r["method"], r["truth"], r["measure"]) == (method, truth, "covering")]
        cells.append(cell(found[0]) if found else "not run yet")
    return f"| {method} | " + " | ".join(cells) + " |"


def test_the_log_says_what_was_predicted_and_on_what_it_was_measured() -> None:
    log = json.loads(LOG.read_text())
    assert log["processor"]
    for entry in log["entries"]:
        assert entry["predicted"], entry["tried"]
        assert entry["on"], entry["tried"]
        assert entry["kept"] in ("yes", "no")
        assert (entry["found"] is not None) or entry["note"], "nothing was found, and nothing is said"
        if entry["interval"]:
            low, high = entry["interval"]
            assert low <= entry["found"] <= high


@pytest.mark.parametrize("path", EVERY, ids=lambda path: path.stem)
def test_a_measurement_names_what_made_it(path: Path) -> None:
    record = json.loads(path.read_text())
    assert re.match(r"(walkcut bench|python) ", record["command"])
    assert re.fullmatch(r"[0-9a-f]{40}", record["commit"]), "results are made from committed code"
    assert record["processor"]


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_a_result_of_a_data_set_is_whole(path: Path) -> None:
    summary = read_summary(path)
    assert not summary["failed"]
    for method, config in summary["methods"].items():
        if method.startswith("walkcut"):
            assert all(re.fullmatch(r"[0-9a-f]{64}", digest) for digest in config["model"]["sha256"].values())
    assert written(summary).startswith(f"**{summary['title']}**, {summary['pictures']} pictures")


@pytest.mark.parametrize("method", METHODS)
def test_the_readme_tells_the_committed_numbers(method: str) -> None:
    assert readme_row(method) in (ROOT / "README.md").read_text()


def test_the_pictures_of_the_readme_are_what_the_module_finds(tmp_path: Path) -> None:
    readme_picture.save(tmp_path)
    for name in readme_picture.PICTURES:
        assert f"(book/_static/{name})" in (ROOT / "README.md").read_text()
        paths = readme_picture.STATIC / name, tmp_path / name
        shown, anew = (np.asarray(Image.open(path).convert("RGB"), float) for path in paths)
        assert shown.shape == anew.shape
        assert abs(shown - anew).mean() < 4  # of 255; fonts and rounding may differ


def by_name(name: str) -> dict:
    return read_summary(ROOT / "book" / "results" / f"{name}.json")


def result(name: str, baseline: str = "Felzenszwalb") -> tuple[dict, dict]:
    """Table, and differences from a baseline, by (method, truth, measure), the latter by choice too."""
    summary = read_summary(ROOT / "book" / "results" / f"{name}.json")
    table = {(r["method"], r["truth"], r["measure"]): r for r in summary["table"]}
    rows = [r for r in summary["differences"] if r["baseline"] == baseline]
    return table, {(r["method"], r["truth"], r["measure"], r["choice"]): r for r in rows}


def test_the_page_says_what_the_photographs_say() -> None:
    _, gaps = result("bsds500-val")
    ods, ois = (gaps["walkcut, parts", "human", "covering", choice] for choice in ("ods", "ois"))
    assert ods["low"] < 0 < ods["difference"]
    assert ois["low"] > 0
    for choice in ("ods", "ois"):
        assert gaps["walkcut, parts", "human", "boundary", choice]["high"] < 0
        assert gaps["walkcut, parts", "human", "vi", choice]["high"] < 0
        pri = gaps["walkcut, parts", "human", "pri", choice]
        assert pri["low"] < 0 < pri["high"]
    assert result("bsds500-val", "SLIC + NCut")[1]["walkcut, parts", "human", "covering", "ods"]["low"] > 0
    shift = result("bsds500-val", "mean shift")[1]["walkcut, parts", "human", "covering", "ods"]
    assert shift["low"] < 0 < shift["high"]
    assert result("bsds500-val", "paper-v1, parts")[1]["walkcut, parts", "human", "covering", "ods"]["low"] > 0


def test_what_repeats_a_published_row_lands_near_it() -> None:
    """The published test split, our validation split: the same program scored by our measures."""
    val = read_summary(ROOT / "book" / "results" / "bsds500-val.json")
    rows = {row[0]: row for row in beside_published("bsds500-val", [val]).rows}
    for name in ("Felzenszwalb-Huttenlocher", "mean shift"):
        assert all("; inside)" in cell for cell in rows[name][1:4])  # covering, PRI, VI
    assert "; inside)" in rows["Felzenszwalb-Huttenlocher"][4]  # boundary F


EYES = ("", "-vit-s14-grid37")
CHOSEN_BY = {"criteria-bsds500-train": ("walkcut, parts", "human"), "criteria-scenes": ("walkcut", "materials")}


@pytest.mark.parametrize("eye", EYES)
@pytest.mark.parametrize("name", CHOSEN_BY)
def test_the_null_was_chosen_by_what_was_measured(name: str, eye: str) -> None:
    """No further than 0.035 from the best constant anywhere; by itself, no share is nearer throughout."""
    table, _ = result(name + eye)
    own, truth = CHOSEN_BY[name]
    best = table[own, truth, "covering"]["ods"]
    assert table[f"{own}, spatial-null", truth, "covering"]["ods"] > best - 0.035


def test_no_criterion_comes_near_and_no_share_is_better_in_the_mean_over_eyes_and_sets() -> None:
    losses: dict[str, list[float]] = {}
    for name, (own, truth) in CHOSEN_BY.items():
        for eye in EYES:
            table, _ = result(name + eye)
            for rule in ("spatial-null", *CRITERIA, *(f"null at {share}" for share in SHARES)):
                gap = table[f"{own}, {rule}", truth, "covering"]["ods"] - table[own, truth, "covering"]["ods"]
                losses.setdefault(rule, []).append(gap)
    means = {rule: float(np.mean(gaps)) for rule, gaps in losses.items()}
    ours = means.pop("spatial-null")
    assert all(means[name] < ours - 0.03 for name in CRITERIA if name in means)
    assert all(means[f"null at {share}"] < ours + 0.002 for share in SHARES)


@pytest.mark.parametrize("name", ["scenes-seeds", "scenes-families"])
def test_the_page_says_what_the_dead_leaves_say(name: str) -> None:
    table, _ = result(name)
    for measure in ("covering", "miou"):
        ours = table["walkcut", "materials", measure]
        for (method, truth, other), row in table.items():
            if (truth, other) == ("materials", measure) and not method.startswith("walkcut"):
                assert ours["ods"] > row["ods"], method
        assert table["walkcut, parts", "instances", measure]["ods"] > table["walkcut", "instances", measure]["ods"]


def test_one_segment_gains_by_a_name_for_each_row_of_pixels() -> None:
    scene = held_out_scenes("seeds").load("0003").truths["materials"][0]
    tables = {"picture": [class_table(scene, 0 * scene, 5)], "row": row_tables(scene, 0 * scene, 5)}
    picture, row = (scores(field_matching(tables[way])) for way in ("picture", "row"))
    assert picture.miou < row.miou  # of one segment
    assert picture.accuracy < row.accuracy


LEVEL = "DiffCut, PAMR"  # on the features of the same denoiser


@pytest.mark.parametrize("name", ["scenes-seeds", "scenes-families"])
def test_the_leads_on_dead_leaves_are_more_than_luck(name: str) -> None:
    summary = read_summary(ROOT / "book" / "results" / f"{name}.json")
    wanted = {"method": "walkcut", "truth": "materials", "measure": "covering"}
    rows = [
        r for r in summary["differences"] if wanted.items() <= r.items() and not r["baseline"].startswith("walkcut")
    ]
    assert len(rows) > 20
    assert all(row["low"] > 0 for row in rows if row["baseline"] != LEVEL)
    assert all(row["low"] < 0 < row["high"] for row in rows if row["baseline"] == LEVEL)
    told = [r for r in summary["differences"] if r["baseline"].endswith("true K") and r["measure"] == "covering"]
    told = [r for r in told if (r["method"], r["truth"]) == (automatic(summary), "materials")]
    assert len(told) >= 6
    assert all((row["low"] > 0) == row["baseline"].startswith("k-means") for row in told)
    assert all(row["high"] > 0 for row in told)
    for baseline in ("Felzenszwalb", "SLIC + NCut", "mean shift"):
        gaps = result(name, baseline)[1]
        for measure in ("covering", "miou"):
            but = (name, baseline, measure) == ("scenes-families", "SLIC + NCut", "miou")
            assert (gaps["walkcut, parts", "instances", measure, "ods"]["low"] > 0) != but


TRUTHS = {"scenes-seeds": "materials", "bsds500-val": "human"}


def gain(what: str, name: str, method: str, alone: bool = False) -> dict:
    """Difference in covering of a changed method, or a rung of the ladder, from the usual one, with its interval.

    `alone`: where each stops by itself.
    """
    summary = read_summary(ROOT / "book" / "results" / f"{what}-{name}.json")
    method = automatic(summary, method) if alone else method
    wanted = {"method": method, "truth": TRUTHS[name], "measure": "covering", "choice": "ods"}
    (row,) = [row for row in summary["differences"] if wanted.items() <= row.items()]
    return row


@pytest.mark.parametrize("alone", [False, True])
@pytest.mark.parametrize("name", TRUTHS)
def test_the_page_says_what_the_ablations_say(name: str, alone: bool) -> None:
    finer = [gain("ablate-resolutions", name, f"{n} patches", alone)["difference"] for n in (16, 24, 48)]
    assert finer[0] < finer[1] < 0 < finer[2]
    assert all(gain("ablate-steps", name, f"k={k}", alone)["low"] < 0 for k in range(2, 9))
    assert gain("ablate-timesteps", name, "t=700", alone)["high"] < 0
    first, second = (gain("ablate-layers", name, f"down_blocks.1.attentions.0, {layer}", alone) for layer in (0, 1))
    assert first["high"] < 0
    assert (second["high"] < 0) == (not alone)
    assert gain("ablate-layers", name, "down_blocks.0.attentions.0, 1", alone)["high"] > 0
    assert all(gain("ablate-inflation", name, f"{r} walkers", alone)["low"] < 0 for r in (3, 4))
    assert gain("ablate-pixels", name, "bilinear", alone)["difference"] < 0


@pytest.mark.situation("turned")
def test_the_model_page_says_what_turning_does() -> None:
    record = json.loads((ROOT / "book" / "results" / "orientation.json").read_text())
    assert re.fullmatch("[0-9a-f]{40}", record["commit"]), "of a clean checkout"
    cells = json.loads((ROOT / "book" / "model.ipynb").read_text(encoding="utf-8"))["cells"]
    (prose,) = ["".join(cell["source"]) for cell in cells if cell["id"] == "turned-after"]
    mean = {(row["set"], row["change"]): row["mean"] for row in record["summary"]}

    def told(value: float) -> str:
        return f"{value:.2f}".removeprefix("0")

    turned = ("mirrored", "turned 90", "turned 180", "turned 270")
    photos = [mean["samples", change] for change in turned]
    again = mean["samples", "again"]
    assert f"{told(min(photos))} to {told(max(photos))} where noise alone leaves {told(again)}" in prose
    turned_cat, grey_cat = (
        next(row for row in record["rows"] if (row["picture"], row["change"]) == ("cat", change))
        for change in ("turned 90", "grey")
    )
    assert turned_cat["segments"] == 1 < turned_cat["segments_as_is"] == 4
    apart = {row["picture"] for row in record["rows"] if row["set"] == "scenes" and row["change"] in turned}
    apart &= {row["picture"] for row in record["rows"] if row["segments_as_is"] == 1 < row["segments"]}
    assert len(apart) == 1
    blue = [told(mean[name, "BGR"]) for name in ("samples", "scenes")]
    assert f"exchanged {blue[0]} stays on photographs and {blue[1]} on scenes" in prose
    assert f"it fails: {told(mean['samples', 'grey'])} and {told(mean['scenes', 'grey'])}" in prose
    assert grey_cat["segments"] == 1


@pytest.mark.situation("turned")
@pytest.mark.parametrize("change", ["mirrored", "turned 90", "turned 180", "turned 270"])
def test_turning_a_scene_changes_no_more_than_other_noise(change: str) -> None:
    rows = json.loads((ROOT / "book" / "results" / "orientation.json").read_text())["summary"]
    scenes = {row["change"]: row for row in rows if row["set"] == "scenes"}
    again, (low, high) = scenes["again"], scenes[change]["interval"]
    assert low <= again["mean"]
    assert high >= again["interval"][0]


def test_the_page_says_what_the_ablations_say_of_one_set() -> None:
    assert all(gain("ablate-inflation", name, "1 walker")["high"] < 0 for name in TRUTHS)
    assert gain("ablate-graph", "bsds500-val", "features")["high"] < 0
    level = gain("ablate-graph", "scenes-seeds", "features")
    assert level["low"] < 0 < level["high"]
    assert gain("ablate-pixels", "scenes-seeds", "bilinear")["high"] < 0


@pytest.mark.parametrize("name", TRUTHS)
def test_the_page_says_what_the_ladder_says(name: str) -> None:
    told = {stage: gain("ladder", name, f"true {stage}") for stage in ("affinity", "pixels", "threshold")}
    for stage in ("pixels", "threshold"):
        assert told[stage]["low"] > 0
        assert told["affinity"]["difference"] > 2 * told[stage]["difference"]
    if name == "bsds500-val":
        both = gain("ladder", name, "true threshold and pixels")
        assert both["difference"] > told["pixels"]["difference"] + told["threshold"]["difference"]

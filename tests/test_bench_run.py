"""Data sets, baselines and the runner: nothing lost by a kill, nothing mixed, nothing printed that was not measured."""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import savemat

from walkcut import scenes
from walkcut import threshold as criteria
from walkcut.bench import baselines, cli, datasets, run
from walkcut.bench import criteria as tried
from walkcut.bench.datasets import Dataset, Item
from walkcut.bench.metrics import score
from walkcut.errors import InputError
from walkcut.graph import Graph
from walkcut.tree import partition

OURS = 1 + len(run.OTHERS) + 3  # settings of `fake_method`: criteria and three thresholds
HALVES = np.repeat([[0, 0, 1, 1]], 4, axis=0)


def toy(count: int = 3) -> Dataset:
    def load(name: str) -> Item:
        if name == "broken":
            raise InputError("This picture is broken.")
        return Item(name, np.zeros((4, 4, 3), np.uint8), {"human": (HALVES, np.zeros_like(HALVES))})

    return Dataset("toy", "Toy", tuple(f"p{i}" for i in range(count)), load)


def fake_segmentation() -> SimpleNamespace:
    """A `Segmentation` as far as the runner looks: below 0.5 the halves, above nothing; by a criterion one segment."""

    def labels(threshold: float | str) -> np.ndarray:
        return HALVES if not isinstance(threshold, str) and threshold < 0.5 else np.zeros_like(HALVES)

    tree = SimpleNamespace(labels=labels)
    return SimpleNamespace(labels=HALVES, tree=tree, at=lambda threshold: SimpleNamespace(labels=labels(threshold)))


def fake_method(log: list | None = None, **config: object) -> baselines.Method:
    """Our method with a stand-in for the model; `log` grows by one for each picture that it sees."""

    def segmenter(image: np.ndarray) -> SimpleNamespace:
        if log is not None:
            log.append(image.shape)
        return fake_segmentation()

    return run.walkcut_method(segmenter, (0.2, 0.4, 0.8), dict(config))


def one_segment() -> baselines.Method:
    def segment(item: Item) -> Iterator[baselines.Result]:
        yield baselines.Result("only", np.zeros(item.image.shape[:2], int))

    return baselines.Method("Felzenszwalb", ("only",), {}, (), segment)


# ---------------------------------------------------------------------------------------------------------------------
# Data sets


def make_bsds(root: Path, split: str = "val", names: tuple[str, ...] = ("100", "200", "300")) -> Path:
    """A tiny data set in the real layout, with two humans per picture."""
    for part in ("images", "groundTruth"):
        (root / "data" / part / split).mkdir(parents=True)
    for shade, name in enumerate(names):
        picture = np.full((6, 8, 3), 40, np.uint8)
        picture[:, 4:] = 200 + shade
        Image.fromarray(picture).save(root / "data" / "images" / split / f"{name}.jpg", quality=95)
        cells = np.empty((1, 2), object)
        for human in range(2):
            labels = np.ones((6, 8), np.uint16)
            labels[:, 4:] += 1
            labels[3:, 4:] += human
            cells[0, human] = {"Segmentation": labels, "Boundaries": np.zeros((6, 8), np.uint8)}
        savemat(root / "data" / "groundTruth" / split / f"{name}.mat", {"groundTruth": cells})
    return root


def test_bsds_is_read_in_its_own_layout(tmp_path: Path) -> None:
    data = datasets.bsds500(make_bsds(tmp_path), "val")
    assert data.names == ("100", "200", "300")
    item = data.load("200")
    assert item.image.shape == (6, 8, 3)
    assert [len(np.unique(truth)) for truth in item.truths["human"]] == [2, 3]
    assert item.truths["human"][0].min() == 0
    assert datasets.bsds500(tmp_path / "data", "val", every=2).names == ("100", "300")


@pytest.mark.parametrize(
    ("lack", "word"),
    [
        ("data/images/val", "images"),
        ("data/groundTruth/val", "groundTruth"),
        ("data/groundTruth/val/200.mat", "200.mat"),
    ],
)
def test_bsds_tells_what_is_missing_and_where_it_is_found(tmp_path: Path, lack: str, word: str) -> None:
    make_bsds(tmp_path)
    (tmp_path / lack).rename(tmp_path / "elsewhere")
    with pytest.raises(InputError, match=word) as caught:
        datasets.bsds500(tmp_path, "val")
    assert datasets.BSDS_HOME in str(caught.value)


def test_bsds_refuses_a_damaged_truth_an_unknown_split_and_no_step(tmp_path: Path) -> None:
    data = datasets.bsds500(make_bsds(tmp_path), "val")
    (tmp_path / "data/groundTruth/val/100.mat").write_bytes(b"not MATLAB at all")
    with pytest.raises(InputError, match=r"100\.mat"):
        data.load("100")
    with pytest.raises(InputError, match="tset"):
        datasets.bsds500(tmp_path, "tset")
    with pytest.raises(InputError, match="0"):
        datasets.bsds500(tmp_path, "val", every=0)


def test_held_out_scenes_are_what_they_say(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(scenes, "make_scene", lambda *a, real=scenes.make_scene: (asked.append(a), real(*a))[1])
    seeds, families = datasets.held_out_scenes("seeds"), datasets.held_out_scenes("families")
    assert (len(seeds.names), len(families.names)) == (200, 100)
    first, again = seeds.load("0000"), seeds.load("0000")
    assert np.array_equal(first.image, again.image)
    assert first.image.shape == (128, 128, 3)
    assert not np.array_equal(first.image, seeds.load("0001").image)
    families.load("0000")
    assert asked[0][2:] == (scenes.TRAIN_SHAPES, scenes.TRAIN_TEXTURES)
    assert asked[-1][2:] == (scenes.HELD_OUT_SHAPES, scenes.HELD_OUT_TEXTURES)
    assert asked[0][0] != asked[-1][0]
    (instances,), (materials,) = first.truths["instances"], first.truths["materials"]
    pairs = np.unique(np.stack([instances.ravel(), materials.ravel()]), axis=1)
    assert pairs.shape[1] == instances.max() + 1  # each instance lies inside one material


def test_held_out_scenes_refuse_bad_choices() -> None:
    with pytest.raises(InputError, match="famlies"):
        datasets.held_out_scenes("famlies")
    with pytest.raises(InputError, match="0"):
        datasets.held_out_scenes("seeds", 0)


# ---------------------------------------------------------------------------------------------------------------------
# Baselines


def two_colours() -> Item:
    image = np.full((20, 30, 3), (200, 30, 30), np.uint8)
    image[:, 12:] = (30, 30, 200)
    return Item(
        "two", image, {"instances": (np.arange(600).reshape(20, 30) // 200,), "materials": ((image[..., 0] < 99) * 1,)}
    )


def test_kmeans_finds_two_colours_and_uses_the_true_count_of_each_truth() -> None:
    results = list(baselines.kmeans_method().run(two_colours()))
    assert [(r.setting, r.truths) for r in results] == [("true K", ("instances",)), ("true K", ("materials",))]
    assert score([two_colours().truths["materials"][0]], results[1].labels)["covering"] == 1


def test_kmeans_with_position_separates_what_colour_cannot() -> None:
    grey = np.full((10, 40, 3), 90, np.uint8)
    item = Item("grey", grey, {"materials": (np.repeat([np.arange(40) // 20], 10, axis=0),)})
    (plain,) = baselines.kmeans_method(counts=(2,)).run(item)
    (placed,) = baselines.kmeans_method(position=20.0, counts=(2,)).run(item)
    assert len(np.unique(plain.labels)) == 1  # one distinct colour: no second cluster to find, and no warning
    assert score(item.truths["materials"], placed.labels)["covering"] > 0.9


def test_kmeans_on_a_sample_of_pixels_is_seeded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(baselines, "FIT_PIXELS", 100)
    features = np.random.default_rng(0).uniform(size=(500, 3))
    first = baselines.kmeans_labels(features, 4, seed=3)
    assert first.shape == (500,)
    assert set(first) == {0, 1, 2, 3}
    assert np.array_equal(first, baselines.kmeans_labels(features, 4, seed=3))


def test_felzenszwalb_yields_each_scale_once_and_coarser_ones_have_fewer_segments() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (40, 40, 3)).astype(np.uint8)
    method = baselines.felzenszwalb_method(scales=(10, 4000), min_size=5)
    results = list(method.run(Item("noise", noise, {})))
    assert tuple(r.setting for r in results) == method.settings == ("scale=10", "scale=4000")
    assert results[0].labels.max() > results[1].labels.max()


# ---------------------------------------------------------------------------------------------------------------------
# The runner


def test_rows_hold_every_setting_and_one_tree_serves_all_thresholds(tmp_path: Path) -> None:
    log: list = []
    rows, failed = run.run(toy(), [fake_method(log=log)], tmp_path / "rows.jsonl")
    assert failed == {}
    assert len(log) == 3
    assert [row["setting"] for row in rows[:OURS]] == [run.AUTO, *run.OTHERS, "0.2", "0.4", "0.8"]
    assert [row["segments"] for row in rows[:OURS]] == [2, *[1] * len(run.OTHERS), 2, 2, 1]
    assert rows[0]["scores"]["human"]["covering"] == pytest.approx(0.75)  # 1 with one human, 1/2 with the other
    assert run.read_rows(tmp_path / "rows.jsonl") == rows


def test_a_run_goes_on_where_it_was_cut_and_ends_with_the_same_rows(tmp_path: Path) -> None:
    def strip(rows: list[dict]) -> list[dict]:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in rows]

    path = tmp_path / "rows.jsonl"
    whole, _ = run.run(toy(), [fake_method()], path)
    text = path.read_bytes()
    lines = text.split(b"\n")
    for cut in (10, len(text) - 1, len(b"\n".join(lines[: OURS + 1])), len(b"\n".join(lines[: OURS + 2])) + 7):
        path.write_bytes(text[:cut])
        log: list = []
        again, _ = run.run(toy(), [fake_method(log=log)], path)
        assert strip(again) == strip(whole)
        assert strip(run.read_rows(path)) == strip(whole)
        assert len(log) == 3 - text[:cut].count(b"\n") // OURS  # only what was not complete is made again


def test_a_kill_inside_a_picture_loses_only_that_picture(tmp_path: Path) -> None:
    calls = []

    def killer(image: np.ndarray) -> SimpleNamespace:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return fake_segmentation()

    method = run.walkcut_method(killer, (0.2,), {})
    with pytest.raises(KeyboardInterrupt):
        run.run(toy(), [method], tmp_path / "rows.jsonl")
    per = OURS - 2
    assert [row["picture"] for row in run.read_rows(tmp_path / "rows.jsonl")] == ["p0"] * per + ["p1"] * per
    rows, _ = run.run(toy(), [method], tmp_path / "rows.jsonl")
    assert len(calls) == 4
    assert len(rows) == 3 * per


def test_rows_of_other_settings_or_weights_are_made_again_and_others_kept(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    run.run(toy(), [fake_method(weights="old"), one_segment()], path)
    log: list = []
    rows, _ = run.run(toy(), [fake_method(weights="new", log=log), one_segment()], path)
    assert len(log) == 3
    assert len(rows) == 3 * (OURS + 1)
    assert len({row["fingerprint"] for row in rows if row["method"] == "walkcut"}) == 1
    log.clear()
    kept, _ = run.run(toy(), [one_segment()], path)  # a method that sits out keeps its rows
    assert len(kept) == 3 * (OURS + 1)
    run.run(toy(), [fake_method(weights="new", log=log)], path)
    assert log == []
    run.run(toy(), [fake_method(weights="new", log=log)], path, fresh=True)
    assert len(log) == 3


def test_more_pictures_later_reuse_the_first_ones(tmp_path: Path) -> None:
    log: list = []
    run.run(toy(2), [fake_method()], tmp_path / "rows.jsonl")
    run.run(toy(5), [fake_method(log=log)], tmp_path / "rows.jsonl")
    assert len(log) == 3


def test_a_damaged_line_in_the_middle_is_named(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    run.run(toy(), [one_segment()], path)
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], lines[1][:9], lines[2]]) + "\n")
    with pytest.raises(InputError, match="Line 2 of"):
        run.run(toy(), [one_segment()], path)


def test_a_broken_picture_is_reported_and_does_not_stop_the_run(tmp_path: Path) -> None:
    data = replace(toy(), names=("p0", "broken", "p1"))
    summary = run.bench(data, [fake_method(), one_segment()], tmp_path, "walkcut bench toy")
    assert summary["failed"] == ["broken"]
    assert summary["pictures"] == 2
    with pytest.raises(InputError, match="No picture"):
        run.bench(replace(toy(), names=("broken",)), [one_segment()], tmp_path / "none", "walkcut bench toy")


def test_the_summary_holds_the_numbers_and_how_they_were_made(tmp_path: Path) -> None:
    summary = run.bench(toy(), [fake_method(sha="abc"), one_segment()], tmp_path, "walkcut bench toy")
    assert json.loads((tmp_path / "toy.json").read_text()) == summary
    assert list(tmp_path.glob("*.tmp")) == []
    cell = {(row["method"], row["measure"]): row for row in summary["table"]}
    assert cell[f"walkcut, {run.AUTO}", "covering"]["curve"] == [0.75]
    assert cell["walkcut", "covering"]["setting"] == "0.2"
    assert cell["walkcut", "covering"]["curve"] == [0.75, 0.75, 0.75]  # halves suit one human, nothing the other
    assert cell["Felzenszwalb", "vi"]["ods"] == pytest.approx(0.5)
    gap = [row for row in summary["differences"] if row["measure"] == "pri" and row["method"] == "walkcut"]
    halves, nothing = (1 + 56 / 120) / 2, (56 / 120 + 1) / 2  # of 120 pairs 56 lie within a half
    assert gap[0]["difference"] == pytest.approx(halves - nothing, abs=1e-4)
    assert summary["methods"]["walkcut"]["sha"] == "abc"
    assert summary["versions"]["scikit-image"]
    assert str(tmp_path) not in json.dumps(summary)


def test_a_setting_chosen_at_the_end_of_its_list_is_flagged() -> None:
    values = {("human", name): np.array([[0.1, 0.2, 0.9]]) for name in run.MEASURES}
    line = run.Curve("walkcut", ("a", "b", "c"), values, {"human": np.ones(1)}, 1.0)
    flags = {row["measure"]: (row["setting"], row["at_end_of_list"]) for row in run.table_rows([line])}
    assert flags["covering"] == ("c", True)
    assert flags["vi"] == ("a", True)
    values["human", "pri"] = np.array([[0.1, 0.9, 0.2]])
    assert run.table_rows([line])[2]["at_end_of_list"] is False


def test_the_markdown_table_shows_the_numbers_of_the_summary(tmp_path: Path) -> None:
    summary = run.bench(toy(), [fake_method(), one_segment()], tmp_path, "walkcut bench toy")
    text = run.markdown(summary)
    assert "| method | covering ↑ | PRI ↑ | VI ↓ |" in text
    assert f"| walkcut, {run.AUTO} | 0.750 | 0.733 | 0.500 |" in text
    assert "| walkcut | 0.750 / 0.750 | 0.733 / 0.733 | 0.500 / 0.500 |" in text
    assert "| walkcut | covering | +0.000 [+0.000, +0.000] | +0.000 [+0.000, +0.000] |" in text
    assert run.markdown(run.read_summary(tmp_path / "toy.json")) == text


def test_every_criterion_is_a_line_beside_the_best_constant_threshold(tmp_path: Path) -> None:
    summary = run.bench(toy(), [fake_method(), one_segment()], tmp_path, "walkcut bench toy")
    lines = [row["method"] for row in summary["table"] if row["measure"] == "covering"]
    assert lines == [
        f"walkcut, {run.AUTO}",
        *(f"walkcut, {name}" for name in run.OTHERS),
        "walkcut",
        "Felzenszwalb",
    ]
    assert summary["methods"]["walkcut"]["automatic"] == criteria.AUTO
    gaps = {(row["method"], row["baseline"]) for row in summary["differences"]}
    singles = {(f"walkcut, {run.AUTO}", "walkcut"), *((f"walkcut, {name}", "walkcut") for name in run.OTHERS)}
    assert gaps == singles | {(f"walkcut, {run.AUTO}", "Felzenszwalb"), ("walkcut", "Felzenszwalb")}
    found = [r for r in summary["differences"] if (r["method"], r["measure"]) == ("walkcut, gap", "vi")]
    assert [r["difference"] for r in found] == [0.0, 0.0]  # one segment: 0.5 bits away, as the halves are
    assert "Difference from the best constant threshold (walkcut)" in run.markdown(summary)


def test_summaries_of_before_the_criteria_are_still_read(tmp_path: Path) -> None:
    summary = run.bench(toy(), [fake_method(), one_segment()], tmp_path, "walkcut bench toy")
    later = [f"walkcut, {name}" for name in run.OTHERS]
    old = summary | {
        "table": [row for row in summary["table"] if row["method"] not in later],
        "differences": [row for row in summary["differences"] if row["baseline"] == "Felzenszwalb"],
    }
    (tmp_path / "old.json").write_text(json.dumps(old))
    text = run.markdown(run.read_summary(tmp_path / "old.json"))
    assert f"| walkcut, {run.AUTO} | 0.750 | 0.733 | 0.500 |" in text
    assert text.count("Difference from") == 1


def test_what_is_no_summary_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("[]")
    (tmp_path / "b.json").write_text("{")
    for name in ("a.json", "b.json", "missing.json"):
        with pytest.raises(InputError, match=name):
            run.read_summary(tmp_path / name)


# ---------------------------------------------------------------------------------------------------------------------
# The command


def parse(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="walkcut")
    cli.add_bench(parser.add_subparsers(required=True))
    return parser.parse_args(["bench", *words])


def test_bench_bsds_and_table_from_the_command(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    make_bsds(tmp_path / "BSDS500")
    words = ("bsds", "--data", str(tmp_path / "BSDS500"), "--methods", "felzenszwalb", "--out", str(tmp_path / "out"))
    arguments = parse(*words)
    assert arguments.run(arguments) == 0
    summary = json.loads((tmp_path / "out" / "bsds500-val.json").read_text())
    assert summary["command"] == "walkcut bench bsds --data DIR --methods felzenszwalb"
    assert summary["pictures"] == 3
    table = parse("table", str(tmp_path / "out" / "bsds500-val.json"))
    printed = capsys.readouterr().out
    assert table.run(table) == 0
    assert capsys.readouterr().out.strip() == printed.strip()


def test_our_method_is_scored_with_a_real_backbone(tmp_path: Path, tiny_model: Path) -> None:
    words = ("--count", "1", "--suite", "seeds", "--methods", "walkcut", "--model", str(tiny_model), "--grid", "16")
    arguments = parse("scenes", *words, "--thresholds", "0.2,0.9,2", "--device", "cpu", "--out", str(tmp_path))
    assert arguments.run(arguments) == 0
    summary = json.loads((tmp_path / "scenes-seeds.json").read_text())
    sums = summary["methods"]["walkcut"]["model"]["sha256"]
    weights = tiny_model / "unet" / "diffusion_pytorch_model.safetensors"
    assert sums["unet/diffusion_pytorch_model.safetensors"] == hashlib.sha256(weights.read_bytes()).hexdigest()
    segments = {row["setting"]: row["segments"] for row in run.read_rows(tmp_path / "scenes-seeds.rows.jsonl")}
    assert set(segments) == {run.AUTO, *run.OTHERS, "0.2", "0.9", "2"}
    assert segments["0.2"] <= segments["0.9"] <= segments["2"]
    assert str(tiny_model.parent) not in json.dumps(summary)


def test_what_was_tried_is_scored_from_the_command(
    tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tried, "COLOURS", ((9, 9, 9),))
    words = ("criteria", "--every", "50", "--model", str(tiny_model), "--grid", "16", "--thresholds", "0.3,0.6")
    arguments = parse(*words, "--device", "cpu", "--out", str(tmp_path))
    assert arguments.run(arguments) == 0
    summary = json.loads((tmp_path / "criteria-scenes.json").read_text())
    assert (
        summary["command"]
        == "walkcut bench criteria --model tiny0 --grid 16 --device cpu --thresholds 0.3,0.6 --every 50"
    )
    lines = {row["method"] for row in summary["table"]}
    assert {f"walkcut, {name}" for name in (run.AUTO, *run.OTHERS, *tried.VARIANTS)} < lines
    assert set(summary["segments"]) == lines - {"walkcut", "walkcut, parts"}
    blank = json.loads((tmp_path / "criteria-blank.json").read_text())
    assert blank["pictures"] == 2 + len(tried.SHAPES)
    rows = run.read_rows(tmp_path / "criteria-blank.rows.jsonl")
    whole = sum(row["setting"] == "gap" and row["segments"] == 1 for row in rows)
    assert blank["segments"]["walkcut, gap"]["pictures_in_one"] == whole


def test_pictures_to_choose_by_are_not_those_of_the_results() -> None:
    data = tried.choosing_scenes()
    assert len(data.names) == 50
    held_out = datasets.held_out_scenes("seeds", 1)
    assert not np.array_equal(data.load("0-00").image, held_out.load("0000").image)
    assert not np.array_equal(data.load("0-00").image, data.load("1-00").image)
    assert len(np.unique(tried.blank_pictures(1).load("constant-3").image.reshape(-1, 3), axis=0)) == 1


@pytest.mark.parametrize("seed", range(3))
def test_the_best_threshold_against_all_thresholds(seed: int) -> None:
    rng = np.random.default_rng(seed)
    tree = partition(
        Graph(torch.from_numpy(np.exp(-4 * np.abs(np.subtract.outer(x := rng.uniform(0, 9, 30), x))))), (5, 6)
    )
    segment, split = rng.normal(size=(2, len(tree)))
    needed, ceiling = tree.needed(), 0.8

    def total(threshold: float) -> float:
        return segment[tree.leaves(threshold)].sum() + split[needed <= threshold].sum()

    leaves = tried.best_threshold(tree, segment, split, ceiling)
    best = max(total(threshold) for threshold in np.linspace(0, 0.7999, 4000))
    taken = needed <= needed[np.isin(tree.left, leaves) | np.isin(tree.right, leaves)].max(initial=0)
    assert segment[leaves].sum() + split[taken].sum() == pytest.approx(best)


def test_bench_scenes_from_the_command(tmp_path: Path) -> None:
    arguments = parse("scenes", "--count", "2", "--methods", "kmeans,felzenszwalb", "--out", str(tmp_path))
    assert arguments.run(arguments) == 0
    for suite in ("seeds", "families"):
        summary = json.loads((tmp_path / f"scenes-{suite}.json").read_text())
        assert summary["pictures"] == 2
        assert {row["truth"] for row in summary["table"]} == {"instances", "materials"}
        assert {row["method"] for row in summary["table"]} == {
            "k-means, colour",
            "k-means, colour and position",
            "Felzenszwalb",
        }


@pytest.mark.parametrize(
    "words",
    [
        ("scenes", "--thresholds", "0.2,3"),
        ("scenes", "--thresholds", "0.2,0.2"),
        ("scenes", "--methods", "magic"),
        ("scenes", "--count", "0"),
        ("bsds",),
        ("bsds", "--data", "x", "--split", "tset"),
    ],
)
def test_wrong_words_end_with_code_2(words: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit) as caught:
        parse(*words)
    assert caught.value.code == 2


def test_the_repeating_command_holds_no_path(tmp_path: Path) -> None:
    arguments = parse("bsds", "--data", str(tmp_path), "--model", str(tmp_path / "mine"), "--thresholds", "0.2,0.4")
    line = cli.command_line(arguments, "bsds")
    assert line == "walkcut bench bsds --data DIR --model mine --thresholds 0.2,0.4"


def test_help_loads_neither_torch_nor_scikit() -> None:
    code = (
        "import argparse, sys; from walkcut.bench.cli import add_bench;"
        "add_bench(argparse.ArgumentParser().add_subparsers());"
        "print(sorted({'torch', 'skimage', 'sklearn', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

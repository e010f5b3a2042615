"""The `walkcut bench` command: run, check, ablate, ladder, models, criteria, table."""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from bench_toys import halves_tree, make_bsds
from test_bench_datasets import make

from walkcut.app import options, stages
from walkcut.app.cli import main
from walkcut.bench import ablate, cli, config, datasets, method, ours, run, semantic, tasks
from walkcut.bench import criteria as tried
from walkcut.criteria import prune
from walkcut.errors import InputError
from walkcut.graph import Graph
from walkcut.null import SplitPrices


def parse(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="walkcut")
    cli.add_bench(parser.add_subparsers(required=True))
    return parser.parse_args(["bench", *words])


def do(*words: str) -> int:
    arguments = parse(*words)
    return arguments.run(arguments)


@pytest.fixture
def tiny(tiny_model: Path, tmp_path: Path) -> tuple[str, ...]:
    """Words that make a run small."""
    return ("--model", str(tiny_model), "--grid", "16", "--device", "cpu", "--out", str(tmp_path / "out"))


def test_names_are_those_of_the_modules() -> None:
    scenes = tuple(f"scenes-{suite}" for suite in datasets.SCENE_SUITES)
    assert (*scenes, *semantic.LAYOUTS, semantic.FOLDER) == config.DATASETS
    assert {*ablate.SETTINGS, *ablate.OTHERS} == set(config.ABLATIONS)
    assert set(config.PROTOCOLS) == set(semantic.PROTOCOLS)
    assert [tasks.TASKS[name] for name in ("run", "ablate", "ladder", "models", "criteria")]
    assert options.ENGINES == stages.ENGINES


def test_bsds_and_its_table_in_both_formats(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    data, out = make_bsds(tmp_path / "BSDS500"), tmp_path / "out"
    assert do("run", "bsds500-val", "--data", str(data), "--methods", "felzenszwalb", "--out", str(out)) == 0
    (file,) = out.glob("*.json")
    assert file.name == "bsds500-val-felzenszwalb.json"
    summary = json.loads(file.read_text())
    assert summary["command"] == "walkcut bench run bsds500-val --data DIR --methods felzenszwalb"
    assert summary["pictures"] == 3
    printed = capsys.readouterr().out
    assert do("table", str(file)) == 0
    assert capsys.readouterr().out.strip() == printed.strip()
    assert do("table", "bsds500-val", "--out", str(out), "--format", "latex") == 0
    told = capsys.readouterr().out
    assert r"Felzenszwalb-Huttenlocher & 0.52 / 0.57 (ours" in told
    assert "Arbelaez, Maire, Fowlkes and Malik" in told


def test_a_data_set_that_no_one_has_run_shows_published_numbers_and_commands(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert do("table", "cityscapes-27", "--out", str(tmp_path)) == 0
    told = capsys.readouterr().out
    assert "| DiffCut SSD-1B, no PAMR | 28.4 |" in told
    assert (
        "not run yet: `walkcut bench run cityscapes-27 --data DIR --model ssd-1b --protocol diffcut --methods diffcut`"
        in told
    )


def test_every_method_runs_with_a_real_backbone_on_named_classes(
    tmp_path: Path, tiny: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(semantic.PROTOCOLS, "diffseg", (64, 64))  # as the real one in all but size
    data = make(tmp_path / "coco", "coco-stuff-27", count=2)
    words = ("run", "coco-stuff-27", "--data", str(data), "--partial", "--thresholds", "0.2,0.9", *tiny)
    assert do(*words, "--methods", "all") == 0
    (file,) = (tmp_path / "out").glob("coco-stuff-27-*.json")  # another model's result has a name of its own
    summary = json.loads(file.read_text())
    assert summary["command"].startswith("walkcut bench run coco-stuff-27 --data DIR --model ")
    assert str(tmp_path) not in json.dumps(summary)
    assert {"walkcut", "paper-v1, parts", "DiffSeg", "AutoSC", "mean shift"} < set(summary["methods"])
    cells = [row for row in summary["table"] if row["method"] == "walkcut" and row["measure"] == "miou"]
    assert cells[0]["ods"] == 1.0  # all walls: one segment is right


def test_our_method_is_scored_with_a_real_backbone(tmp_path: Path, tiny: tuple[str, ...], tiny_model: Path) -> None:
    assert do("run", "scenes-seeds", "--every", "200", "--methods", "walkcut", "--thresholds", "0.2,0.9,2", *tiny) == 0
    name = f"scenes-seeds-{tiny_model.name}-walkcut-every200-thresholds0.2+0.9+2.0-grid16"
    summary = json.loads((tmp_path / "out" / f"{name}.json").read_text())
    sums = summary["methods"]["walkcut"]["model"]["sha256"]
    weights = tiny_model / "unet" / "diffusion_pytorch_model.safetensors"
    assert sums["unet/diffusion_pytorch_model.safetensors"] == hashlib.sha256(weights.read_bytes()).hexdigest()
    rows = [row for path in (tmp_path / "out" / "rows").glob("*/*.json") for row in run.read_rows(path)]
    segments = {row["setting"]: row["segments"] for row in rows if row["method"] == "walkcut"}
    assert set(segments) == {ours.AUTO, *ours.OTHERS, "0.2", "0.9", "2"}
    assert segments["0.2"] <= segments["0.9"] <= segments["2"]
    (whole,) = [row for row in rows if (row["method"], row["setting"]) == ("walkcut", ours.AUTO)]
    assert {"best-node covering", "concordance"} <= set(whole["scores"]["instances"])


def test_a_constant_from_elsewhere_is_a_line_of_its_own(
    tmp_path: Path, tiny: tuple[str, ...], capsys: pytest.CaptureFixture
) -> None:
    words = ("run", "scenes-seeds", "--every", "100", "--methods", "walkcut,kmeans", "--thresholds", "0.2,0.9,2", *tiny)
    assert do(*words) == 0
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "rows").glob("*/*.json")}
    assert do(*words, "--constant", "0.9") == 0  # told by the same rows
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "rows").glob("*/*.json")} == files
    plain, stated = (json.loads(path.read_text()) for path in sorted((tmp_path / "out").glob("*.json"))[::-1])
    assert "--constant 0.9" in stated["command"]
    told = {(row["method"], row["truth"], row["measure"]): row["ods"] for row in stated["table"]}
    curves = {row["method"]: row for row in plain["table"] if row["measure"] == "covering"}
    for name in ("walkcut", "walkcut, parts"):
        key = (name, curves[name]["truth"], "covering")
        assert told[name, *key[1:]] == curves[name]["ods"]  # the best is still that of all constants
        assert told[f"{name}, 0.9", *key[1:]] == curves[name]["curve"][1]
    compared = {(row["method"], row["baseline"]) for row in stated["differences"]}
    assert {("walkcut, 0.9", "k-means, colour"), ("walkcut, spatial-null", "k-means, colour")} <= compared
    assert ("walkcut, spatial-null", "walkcut, 0.9") in compared
    assert ("walkcut, gap", "k-means, colour") not in compared
    with pytest.raises(InputError, match=r"0\.7 is none of the thresholds"):
        do(*words, "--constant", "0.7")
    for odd in ("0", "auto"):
        with pytest.raises(SystemExit):
            parse(*words, "--constant", odd)
    assert "constant" in capsys.readouterr().err


def test_methods_that_need_an_eye_have_one_name() -> None:
    given = cli.config_of(parse("run", "bsds500-val", "--methods", "eye"))
    assert given.methods == config.EYE == tuple(name for name in config.METHODS if name not in tasks.PICTURE_ONLY)
    assert given.command == "walkcut bench run bsds500-val --methods eye"
    assert given.name == "bsds500-val-eye"


def test_check_tells_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert do("check", "bsds500-val", "--data", str(make_bsds(tmp_path))) == 1
    assert "3 pictures were found where BSDS500 val has 100" in capsys.readouterr().out


@pytest.mark.parametrize("what", ["steps", "layers", "timesteps"])
def test_an_ablation_compares_with_the_usual(
    tmp_path: Path, tiny: tuple[str, ...], tiny_model: Path, what: str
) -> None:
    assert do("ablate", what, "scenes-families", "--every", "100", "--thresholds", "0.3,0.9", *tiny) == 0
    (file,) = (tmp_path / "out").glob(f"ablate-{what}-scenes-families-{tiny_model.name}-every100-*.json")
    summary = json.loads(file.read_text())
    assert summary["title"].startswith(f"Ablation: {what}, Dead leaves")
    asked = f"walkcut bench ablate {what} scenes-families --model {tiny_model.name} --every 100"
    assert summary["command"].startswith(asked)
    assert next(iter(summary["methods"])) == ablate.USUAL
    assert {row["baseline"] for row in summary["differences"]} == {ablate.USUAL, f"{ablate.USUAL}, {ours.AUTO}"}


def test_a_ladder_of_photographs_takes_one_human(tmp_path: Path, tiny: tuple[str, ...], tiny_model: Path) -> None:
    data = make_bsds(tmp_path / "BSDS500")
    assert do("ladder", "bsds500-val", "--data", str(data), "--every", "3", *tiny) == 0
    (file,) = (tmp_path / "out").glob(f"ladder-bsds500-val-{tiny_model.name}-every3-grid16.json")
    summary = json.loads(file.read_text())
    assert summary["data"]["truth"] == "the most typical human"
    values = {row["method"]: row["ods"] for row in summary["table"] if row["measure"] == "covering"}
    assert values["true affinity, threshold and pixels"] >= values["true affinity"] > 0.9


def test_models_stand_side_by_side_with_their_spectra(tmp_path: Path, tiny_model: Path) -> None:
    other = shutil.copytree(tiny_model, tmp_path / "other")
    readout = json.loads((other / "readout.json").read_text()) if (other / "readout.json").exists() else {}
    (other / "readout.json").write_text(json.dumps(readout | {"inverse_temperature": 9.0}))
    words = ("--models", f"{tiny_model},{other}", "--grid", "16", "--device", "cpu", "--out", str(tmp_path / "out"))
    assert do("models", "scenes-families", "--every", "50", *words) == 0
    (file,) = (tmp_path / "out").glob("models-scenes-families-*-every50-*.json")
    summary = json.loads(file.read_text())
    assert list(summary["methods"]) == [tiny_model.name, "other"] == list(summary["spectra"])
    assert {row["baseline"].partition(",")[0] for row in summary["differences"]} == {tiny_model.name}
    assert f"--models {tiny_model.name},other" in summary["command"]
    for values in summary["spectra"].values():
        assert values[0] == pytest.approx(1, abs=1e-4)
        assert values == sorted(values, reverse=True)
    assert summary["spectra"]["other"] != summary["spectra"][tiny_model.name]


def test_two_models_of_one_name_are_refused(tmp_path: Path, tiny_model: Path) -> None:
    with pytest.raises(InputError, match=f"name '{tiny_model.name}': rename"):
        do("models", "scenes-families", "--models", f"{tiny_model},{tmp_path / tiny_model.name}")


@pytest.mark.parametrize("n", [5, 60])
def test_a_spectrum_against_all_eigenvalues(n: int) -> None:
    W = np.random.default_rng(n).uniform(size=(n, n))
    graph = Graph(torch.from_numpy(W + W.T))
    every = np.linalg.eigvals((W + W.T) / (W + W.T).sum(1, keepdims=True)).real
    found = tasks.spectrum(graph, 6)
    assert len(found) == min(6, n - 2)
    np.testing.assert_allclose(found, np.sort(every)[::-1][: len(found)], atol=1e-3)


def test_named_classes_have_no_ladder(tmp_path: Path) -> None:
    data = make(tmp_path, "ade20k-150", count=1)
    with pytest.raises(InputError, match="no ladder"):
        do("ladder", "ade20k-150", "--data", str(data), "--partial")


def test_what_was_tried_is_scored_from_the_command(
    tmp_path: Path, tiny: tuple[str, ...], tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kinds = {kind: tried.BLANK[kind] for kind in ("white noise", "colour")}
    monkeypatch.setattr(tried, "BLANK", kinds)
    assert do("criteria", "--every", "50", "--thresholds", "0.3,0.6", *tiny) == 0
    name = tiny_model.name
    found = {path.name.split(f"-{name}")[0]: path for path in (tmp_path / "out").glob("*.json")}
    assert set(found) == {"criteria-scenes", "criteria-blank", "criteria-documents"}
    summary = json.loads(found["criteria-scenes"].read_text())
    line = f"walkcut bench criteria --model {name} --every 50 --device cpu --thresholds 0.3,0.6 --grid 16"
    assert summary["command"] == line
    lines = {row["method"] for row in summary["table"]}
    assert {f"walkcut, {name}" for name in (ours.AUTO, *ours.OTHERS, *tried.VARIANTS)} < lines
    assert set(summary["segments"]) == lines - {"walkcut", "walkcut, parts"}
    blank = json.loads(found["criteria-blank"].read_text())
    assert blank["pictures"] == 2 * 4
    rows = [row for path in (tmp_path / "out" / "rows").glob("criteria-blank.*/*.json") for row in run.read_rows(path)]
    whole = sum(row["setting"] == "gap" and row["segments"] == 1 for row in rows)
    assert blank["segments"]["walkcut, gap"]["pictures_in_one"] == whole
    assert set(blank["left_whole"]) == set(blank["segments"])
    shares = blank["left_whole"]["walkcut, gap"]
    assert list(shares) == list(kinds)
    assert 4 * sum(share for share, *_ in shares.values()) == whole
    assert shares["colour"][0] == 1  # a blank picture is never cut
    assert summary["left_whole"] == {}
    assert set(summary["like_constants"]) >= {f"walkcut, {name}" for name in (ours.AUTO, *ours.OTHERS)}


def test_pictures_to_choose_by_are_not_those_of_the_results() -> None:
    data = tried.choosing_scenes()
    assert len(data.names) == 50
    held_out = datasets.held_out_scenes("seeds")
    assert not np.array_equal(data.load("0-00").image, held_out.load("0000").image)
    assert not np.array_equal(data.load("0-00").image, data.load("1-00").image)


def test_of_each_kind_of_blank_picture_so_many_are_drawn_and_the_same_again() -> None:
    data = tried.blank_pictures(2)
    assert data.names == tuple(f"{kind}-{i:03d}" for kind in tried.BLANK for i in range(2))
    assert len(tried.blank_pictures().names) == 200 * len(tried.BLANK)
    pictures = [data.load(name).image for name in data.names]
    for name, image in zip(data.names, pictures, strict=True):
        assert (image.shape, image.dtype) == ((128, 128, 3), np.uint8)
        np.testing.assert_array_equal(data.load(name).image, image)
        assert not data.load(name).truths["human"][0].any()
    assert len({image.tobytes() for image in pictures}) == len(pictures)
    by_kind = dict(zip(data.names[::2], pictures[::2], strict=True))
    assert len(np.unique(by_kind["colour-000"].reshape(-1, 3), axis=0)) == 1
    slope = np.diff(by_kind["gradient-000"].astype(int), axis=1)
    assert all(np.sign(slope[:, :, band]).min() >= 0 or np.sign(slope[:, :, band]).max() <= 0 for band in range(3))
    rough = {name: np.abs(np.diff(image.astype(float), axis=1)).mean() for name, image in by_kind.items()}
    assert rough["colour-000"] == 0 < rough["gradient-000"] < rough["1/f noise-000"] < rough["white noise-000"]


def test_other_shares_of_the_null_are_the_rule_with_another_number() -> None:
    walk, null = np.array([0.6, np.inf, np.inf]), np.array([0.8, np.inf, np.inf])
    found = SimpleNamespace(tree=halves_tree(), prices=SplitPrices(walk, null))
    assert [len(tried.most_of_null(share)(found)) for share in (0.7, 0.75, 0.8)] == [1, 2, 2]
    assert len(prune(found.tree, prices=found.prices)) == 2
    assert ours.AUTO == "spatial-null"


@pytest.mark.parametrize(
    "words",
    [
        ("run", "scenes-seeds", "--thresholds", "0.2,3"),
        ("run", "scenes-seeds", "--thresholds", "0.2,0.2"),
        ("run", "scenes-seeds", "--methods", "magic"),
        ("run", "scenes-seeds", "--methods", "kmeans,kmeans"),
        ("run", "scenes-seeds", "--every", "0"),
        ("run", "bsds500-tset", "--data", "x"),
        ("check", "scenes-seeds", "--data", "x"),
        ("ablate", "weather", "scenes-seeds"),
    ],
)
def test_wrong_words_end_with_code_2(words: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit) as caught:
        parse(*words)
    assert caught.value.code == 2


def test_a_data_set_without_its_folder_says_where_it_is_found() -> None:
    with pytest.raises(InputError, match="--data DIR"):
        do("run", "ade20k-150", "--methods", "felzenszwalb")


def test_the_repeating_command_holds_no_path(tmp_path: Path) -> None:
    words = ("--data", str(tmp_path), "--model", str(tmp_path / "mine"), "--thresholds", "0.2,0.4")
    asked = cli.config_of(parse("run", "bsds500-val", *words))
    assert asked.command == "walkcut bench run bsds500-val --data DIR --model mine --thresholds 0.2,0.4"
    assert asked.name == "bsds500-val-mine-thresholds0.2+0.4"


def test_a_protocol_tells_how_the_model_is_shown_a_picture() -> None:
    ways = {
        (): (None, None),
        ("--protocol", "diffseg"): ("none", (300,)),
        ("--protocol", "diffcut"): ("forward", (50,)),
        ("--protocol", "walkcut"): ("inversion", None),
        ("--protocol", "diffseg", "--noise", "forward", "--timesteps", "10,20"): ("forward", (10, 20)),
    }
    names = set()
    for words, way in ways.items():
        arguments = parse("run", "coco-stuff-27", "--model", "sd-1.4", *words)
        asked = cli.config_of(arguments)
        assert (asked.overrides().get("noise"), asked.overrides().get("timesteps")) == way
        if "--noise" not in words:  # no protocol asks for what a vision transformer cannot do; the user may
            assert asked.overrides("vision").keys() == {"grid", "seed"}
        names.add(asked.name)
    assert asked.overrides("vision") == asked.overrides()
    assert len(names) == len(ways)  # no run writes over another's result
    assert "coco-stuff-27-sd-1.4-diffseg" in names
    assert cli.config_of(parse("run", "scenes-seeds")).name == "scenes-seeds"
    assert cli.config_of(parse("ablate", "steps", "scenes-seeds")).name == "ablate-steps-scenes-seeds"


OTHERS = {
    "protocol": "diffcut",
    "partial": True,
    "classes": ("sky", "old road"),
    "ignore": (0, 255),
    "every": 2,
    "methods": ("walkcut",),
    "model": "sd-1.4",
    "models": ("sd-1.4", "sdxl"),
    "noise": "none",
    "timesteps": (10,),
    "dtype": "float16",
    "seed": 3,
    "thresholds": (0.5,),
    "constant": 0.6,
    "grid": 48,
}


def test_each_setting_changes_the_name_and_the_command() -> None:
    usual = config.RunConfig(dataset="scenes-seeds")
    changed = [replace(usual, **{name: value}) for name, value in OTHERS.items()]
    told = {one.name for one in fields(config.RunConfig)}
    assert told - set(OTHERS) == {"task", "dataset", "data", "only", "device"}  # in the name, or in the rows
    assert len({usual.name, *(one.name for one in changed)}) == 1 + len(OTHERS)
    assert len({usual.command, *(one.command for one in changed)}) == 1 + len(OTHERS)
    assert " --classes 'sky,old road' " in f"{replace(usual, classes=OTHERS['classes']).command} "
    assert replace(usual, device="cuda").command.endswith("--device cuda")


def test_nothing_is_written_where_the_committed_results_lie() -> None:
    for words in (("run", "scenes-seeds"), ("ablate", "steps", "scenes-seeds"), ("criteria",), ("speed",)):
        assert parse(*words).out == config.RESULTS == Path("walkcut-results")
    assert parse("table", "scenes-seeds").out == config.RESULTS, "one name for where results lie"


def test_a_library_that_is_missing_is_told_before_anything_is_computed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(method, "import_module", missing)
    monkeypatch.setattr(tasks, "bench", lambda *_: pytest.fail("something was computed"))
    for name, library in (("kmeans", "scikit-learn"), ("mean-shift", "opencv-python-headless")):
        with pytest.raises(InputError, match=rf"needs {library}, .* pip install 'walkcut\[bench\]'"):
            do("run", "scenes-seeds", "--methods", name, "--out", str(tmp_path))


@pytest.mark.parametrize("timesteps", ["", "x", "-1", "1000", "10,1000"])
def test_wrong_timesteps_are_refused(timesteps: str) -> None:
    with pytest.raises(SystemExit):
        parse("run", "scenes-seeds", f"--timesteps={timesteps}")


def test_help_loads_neither_torch_nor_scikit() -> None:
    code = (
        "import argparse, sys; from walkcut.bench.cli import add_bench;"
        "add_bench(argparse.ArgumentParser().add_subparsers());"
        "print(sorted({'torch', 'skimage', 'sklearn', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def rows_of(folder: Path) -> dict[str, list[dict]]:
    """Of each method's files, by its folder's name and theirs."""
    paths = (folder / "rows").glob("*/*.json")
    rows = {f"{path.parent.name}/{path.name}": run.read_rows(path) for path in paths}
    apart = ("seconds", "look")
    return {name: [{k: v for k, v in row.items() if k not in apart} for row in found] for name, found in rows.items()}


def test_workers_write_the_rows_that_one_process_writes(tmp_path: Path) -> None:
    words = ("run", "scenes-seeds", "--every", "70", "--methods", "walkcut,felzenszwalb", "--grid", "8")
    words += ("--thresholds", "0.5", "--device", "cpu")
    assert do(*words, "--out", str(tmp_path / "alone")) == 0
    assert do(*words, "--out", str(tmp_path / "shared"), "--workers", "1") == 0
    assert rows_of(tmp_path / "shared") == rows_of(tmp_path / "alone")
    kept = {path: path.read_bytes() for path in (tmp_path / "shared" / "rows").glob("*/*.json")}
    assert do(*words, "--out", str(tmp_path / "shared"), "--workers", "1") == 0, "nothing is left to do"
    assert {path: path.read_bytes() for path in (tmp_path / "shared" / "rows").glob("*/*.json")} == kept


# ---------------------------------------------------------------------------------------------------------------------
# What people do with results and numbers

QUICK = ("bench", "run", "scenes-seeds", "--every", "50", "--methods", "felzenszwalb")


def command(*words: str) -> int:
    """The exit code of a whole command."""
    try:
        return main(list(words))
    except SystemExit as stop:
        return stop.code


def one_sentence(capsys: pytest.CaptureFixture) -> str:
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert len(err) < 400
    return err


@pytest.mark.situation("bench")
@pytest.mark.parametrize("option", ["--out", "--out="])
def test_one_name_leads_to_results(tmp_path: Path, capsys: pytest.CaptureFixture, option: str) -> None:
    """Of those who measure and those who print."""
    assert command(*QUICK, "--out", str(tmp_path)) == 0
    told = capsys.readouterr().out
    where = [option + str(tmp_path)] if option.endswith("=") else [option, str(tmp_path)]
    assert command("bench", "table", "scenes-seeds", *where) == 0
    assert told.strip() in capsys.readouterr().out


@pytest.mark.situation("bench")
@pytest.mark.parametrize(
    "other", [("--grid", "8"), ("--seed", "3"), ("--every", "100"), ("--noise", "none")]
)
def test_another_run_into_one_folder_stands_beside_the_first(
    tmp_path: Path, capsys: pytest.CaptureFixture, other: tuple[str, str]
) -> None:
    """No row is dropped, no summary written over; then the first is there at once."""
    assert command(*QUICK, "--out", str(tmp_path)) == 0
    kept = {path: path.read_bytes() for path in tmp_path.glob("*.json")}
    rows = rows_of(tmp_path)
    assert command(*QUICK, *other, "--out", str(tmp_path)) == 0
    assert len(list(tmp_path.glob("*.json"))) == 2
    assert {path: path.read_bytes() for path in kept} == kept
    assert {name: found for name, found in rows_of(tmp_path).items() if name in rows} == rows


@pytest.mark.situation("bench")
def test_models_of_one_name_stand_side_by_side(
    tmp_path: Path, tiny_model: Path, capsys: pytest.CaptureFixture
) -> None:
    """As two folders of two trainings are called model/."""
    words = ["bench", "run", "scenes-seeds", "--every", "50", "--methods", "autosc", "--grid", "8", "--device", "cpu"]
    for name, wave in (("a", 0.02), ("b", 0.03)):
        folder = Path(shutil.copytree(tiny_model, tmp_path / name / "model"))
        (folder / "readout.json").write_text(json.dumps({"inverse_temperature": 1 + wave}))
        assert command(*words, "--model", str(folder), "--out", str(tmp_path / "out")) == 0
    assert len(list((tmp_path / "out").glob("*.json"))) == 2


@pytest.mark.situation("bench")
@pytest.mark.parametrize("kind", ["nothing", "an empty folder", "a file", "another data set", "only rows"])
def test_an_empty_table_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture, kind: str) -> None:
    out = tmp_path / "out"
    if kind == "a file":
        out.write_text("x")
    elif kind != "nothing":
        out.mkdir()
    if kind == "another data set":
        (out / "scenes-families.json").write_text('{"title": "x", "table": [], "differences": []}')
    if kind == "only rows":
        (out / "rows").mkdir()
    assert command("bench", "table", "scenes-seeds", "--out", str(out)) == 2
    assert f"There are no results of scenes-seeds in {out}: run" in one_sentence(capsys)


@pytest.mark.situation("bench")
@pytest.mark.parametrize("content", ["", "[]", "{}", "{", '{"title": "x", "table": [], "differences": []}', "\0"])
def test_a_summary_without_a_table_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture, content: str) -> None:
    file = tmp_path / "scenes-seeds.json"
    file.write_text(content)
    for words in ([str(file)], ["scenes-seeds", "--out", str(tmp_path)]):
        assert command("bench", "table", *words) == 2
        assert f"{file} is no result of walkcut bench" in one_sentence(capsys)


@pytest.mark.situation("bench")
def test_what_others_published_is_shown_before_anything_is_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    assert command("bench", "table", "coco-stuff-27") == 0
    out, err = capsys.readouterr()
    assert "not run yet: `walkcut bench run coco-stuff-27" in out
    assert err.startswith("walkcut: There are no results of coco-stuff-27 in walkcut-results: run ")
    assert command("bench", "table", "coco-stuff-27", "--out", "elsewhere") == 2  # a folder that was named


WHOLE = {
    "segment": ("--grid", "--seed", "--steps", "--batch", "--workers", "--lookers"),
    "explore": ("--grid", "--seed"),
    "bench run scenes-seeds": ("--grid", "--seed", "--every", "--workers"),
    "bench speed": ("--grid", "--pictures", "--cutters", "--batch"),
    "train": ("--steps", "--patches", "--snapshots", "--workers", "--seed"),
}
REAL = {
    "segment": ("--threshold",),
    "train": ("--learning-rate",),
    "bench run scenes-seeds": ("--thresholds", "--timesteps"),
}
ODD = ("1" + "0" * 400, "1" + "0" * 5000, "1e999", "-1", "-1e400", "nan", "NaN", "-Infinity", "", "x", "[[1]]", "0x10")


@pytest.mark.situation("bench")
@pytest.mark.parametrize(("words", "option"), [(w, o) for many in (WHOLE, REAL) for w in many for o in many[w]])
def test_an_odd_number_is_told_in_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture, words: str, option: str
) -> None:
    """Of any option that takes one; and the limit of the machine's numbers is nobody's remedy."""
    where = [str(tmp_path / "a.png")] if words in ("segment", "explore") else []
    for value in ODD if option not in ("--threshold",) else ODD[:8]:
        assert command(*words.split(), *where, f"{option}={value}", "--out", str(tmp_path / "out")) == 2
        said = one_sentence(capsys)
        assert option in said
        assert "9223372036854775807" not in said
    assert not (tmp_path / "out").exists()


@pytest.mark.situation("bench")
@pytest.mark.parametrize(
    ("value", "told"),
    [("0", "of 1 or more, not 0"), ("1.5", "of 1 or more, not 1.5"), ("9223372036854775808", "below 2**63, not 9223")],
)
def test_a_whole_number_is_asked_for_plainly(capsys: pytest.CaptureFixture, value: str, told: str) -> None:
    assert command(*QUICK[:3], f"--every={value}") == 2
    assert f"is a whole number {told}" in one_sentence(capsys)

"""`walkcut bench`: measure on scenes and on BSDS500, print tables. Heavy imports happen inside the commands."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import TYPE_CHECKING

from walkcut.errors import InputError

if TYPE_CHECKING:
    from walkcut.bench.baselines import Method

METHODS = ("walkcut", "kmeans", "felzenszwalb")


def _count(text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} will not do: choose a whole number of at least 1.")
    return value


def _thresholds(text: str) -> tuple[float, ...]:
    try:
        values = tuple(float(word) for word in text.split(","))
    except ValueError:
        values = (math.nan,)
    if not all(0 < value <= 2 for value in values) or len(set(values)) < len(values):
        raise argparse.ArgumentTypeError(
            f"{text} is no list of thresholds: give numbers in (0, 2] such as 0.2,0.4,0.6."
        )
    return values


def _sizes(text: str) -> tuple[int, ...]:
    sizes = tuple(_count(part) for part in text.split(","))
    odd = [n for n in sizes if round(n**0.5) ** 2 != n or n < 256]
    if odd:
        raise argparse.ArgumentTypeError(f"{odd[0]} patches fill no square grid: choose squares from 256 on.")
    return sizes


def _methods(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    unknown = [name for name in names if name not in METHODS]
    if unknown or len(set(names)) < len(names):
        raise argparse.ArgumentTypeError(f"{text} is no list of methods: choose from {','.join(METHODS)}, each once.")
    return names


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--methods", type=_methods, default=METHODS, metavar="LIST", help=f"of {','.join(METHODS)}")
    parser.add_argument("--thresholds", type=_thresholds, metavar="LIST", help="constant ones; default: 0.05 to 1.5")
    parser.add_argument("--model", default="dead-leaves", metavar="NAME", help="a short name or a folder")
    parser.add_argument("--device", default="auto", help="auto (default), cpu, cuda or mps")
    parser.add_argument("--grid", type=_count, default=64, metavar="N", help="patches on the longer side; default: 64")
    parser.add_argument("--steps", type=_count, default=1, metavar="K", help="steps of the walk; default: 1")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="default: 0")
    default = Path("book/results")
    parser.add_argument("--out", type=Path, default=default, metavar="DIR", help=f"default: {default}")
    parser.add_argument("--fresh", action="store_true", help="forget earlier rows instead of going on from them")


def add_bench(subparsers: argparse._SubParsersAction) -> None:
    """Add `bench` to the `walkcut` command; each leaf sets `run`, a function of the parsed arguments."""
    parser = subparsers.add_parser("bench", help="measure against baselines", description="Measure, and print tables.")
    parts = parser.add_subparsers(required=True, metavar="WHAT")
    scenes = parts.add_parser("scenes", help="held-out dead-leaves scenes: 200 of unseen seeds, 100 of unseen families")
    scenes.add_argument("--suite", choices=("seeds", "families"), help="only this one")
    scenes.add_argument("--count", type=_count, metavar="N", help="only the first N of each")
    _add_common(scenes)
    scenes.set_defaults(run=run_scenes)
    bsds = parts.add_parser("bsds", help="BSDS500 against its human segmentations")
    bsds.add_argument("--data", type=Path, required=True, metavar="DIR", help="holds data/images and data/groundTruth")
    bsds.add_argument("--split", choices=("train", "val", "test"), default="val", help="default: val")
    bsds.add_argument("--every", type=_count, default=1, metavar="N", help="one picture of N; default: all")
    _add_common(bsds)
    bsds.set_defaults(run=run_bsds)
    tried = parts.add_parser("criteria", help="where to stop: every criterion, on pictures set aside for choosing")
    tried.add_argument("--data", type=Path, metavar="DIR", help="BSDS500; without it, no photographs")
    tried.add_argument("--every", type=_count, default=1, metavar="N", help="one picture of N; default: all")
    tried.add_argument("--only", choices=("photographs", "scenes", "blank"), help="only these pictures")
    _add_common(tried)
    tried.set_defaults(run=run_criteria)
    fast = parts.add_parser("speed", help="time of the cut beside other libraries, on one affinity")
    fast.add_argument("--sizes", type=_sizes, default=(1024, 4096), metavar="LIST", help="default: 1024,4096")
    fast.add_argument("--model", default="dead-leaves", metavar="NAME", help="whose attention is cut")
    fast.add_argument("--curve", action="store_true", help="only time and memory against n, anew in the file")
    default = Path("book/results/speed.json")
    fast.add_argument("--out", type=Path, default=default, metavar="FILE", help=f"default: {default}")
    fast.set_defaults(run=run_speed)
    table = parts.add_parser("table", help="print summaries as Markdown tables")
    table.add_argument("files", nargs="+", type=Path, metavar="FILE")
    table.set_defaults(run=run_table)


def command_line(arguments: argparse.Namespace, name: str) -> str:
    """The command that repeats the run: no default, and no path of this machine."""
    words = ["walkcut", "bench", name]
    usual = {"methods": METHODS, "model": "dead-leaves", "grid": 64, "steps": 1, "seed": 0, "device": "auto"}
    usual |= {"thresholds": None, "suite": None, "count": None, "every": 1, "split": "val", "only": None}
    if getattr(arguments, "data", None):
        words += ["--data", "DIR"]
    for key, default in usual.items():
        value = getattr(arguments, key, default)
        if value != default:
            value = Path(value).name if key == "model" else value
            words += [f"--{key}", ",".join(map(str, value)) if isinstance(value, tuple) else str(value)]
    return " ".join(words)


def _chosen(arguments: argparse.Namespace, baselines: list[Method]) -> list[Method]:
    """Ours if asked for, then the baselines that were asked for."""
    from walkcut.bench.run import THRESHOLDS, load_walkcut

    ours = []
    if "walkcut" in arguments.methods:
        settings = {name: getattr(arguments, name) for name in ("model", "device", "steps", "grid", "seed")}
        ours = load_walkcut(thresholds=arguments.thresholds or THRESHOLDS, **settings)
    short = {"k-means": "kmeans", "Felzenszwalb": "felzenszwalb"}
    return ours + [method for method in baselines if short[method.name.split(",")[0]] in arguments.methods]


def run_scenes(arguments: argparse.Namespace) -> int:
    """`walkcut bench scenes`"""
    from walkcut.bench.baselines import felzenszwalb_method, kmeans_method
    from walkcut.bench.datasets import SCENE_SUITES, held_out_scenes
    from walkcut.bench.run import bench, markdown

    # sigma and smallest region: the best of eight pairs for Felzenszwalb on 24 other scenes
    baselines = [
        kmeans_method(seed=arguments.seed),
        kmeans_method(position=20.0, seed=arguments.seed),
        felzenszwalb_method(sigma=0.5, min_size=20),
    ]
    methods = _chosen(arguments, baselines)
    failed = False
    for suite in [arguments.suite] if arguments.suite else SCENE_SUITES:
        dataset = held_out_scenes(suite, arguments.count)
        summary = bench(dataset, methods, arguments.out, command_line(arguments, "scenes"), arguments.fresh)
        print(markdown(summary))
        failed |= bool(summary["failed"])
    return int(failed)


def run_bsds(arguments: argparse.Namespace) -> int:
    """`walkcut bench bsds`"""
    from walkcut.bench.baselines import KMEANS_COUNTS, felzenszwalb_method, kmeans_method
    from walkcut.bench.datasets import bsds500
    from walkcut.bench.run import bench, markdown

    dataset = bsds500(arguments.data, arguments.split, arguments.every)
    baselines = [
        kmeans_method(counts=KMEANS_COUNTS, seed=arguments.seed),
        kmeans_method(position=20.0, counts=KMEANS_COUNTS, seed=arguments.seed),
        felzenszwalb_method(),
    ]
    methods = _chosen(arguments, baselines)
    summary = bench(dataset, methods, arguments.out, command_line(arguments, "bsds"), arguments.fresh)
    print(markdown(summary))
    return int(bool(summary["failed"]))


def run_criteria(arguments: argparse.Namespace) -> int:
    """`walkcut bench criteria`"""
    from dataclasses import replace

    from walkcut.bench.criteria import VARIANTS, blank_pictures, choosing_scenes
    from walkcut.bench.datasets import bsds500
    from walkcut.bench.run import THRESHOLDS, bench, load_walkcut, markdown

    datasets = {"scenes": choosing_scenes(arguments.every), "blank": blank_pictures(max(1, 100 // arguments.every))}
    if arguments.data:
        photographs = bsds500(arguments.data, "train", 5 * arguments.every)  # 40 of 200
        title = "Criteria on BSDS500 train, to choose by"
        datasets["photographs"] = replace(photographs, name="criteria-bsds500-train", title=title)
    settings = {name: getattr(arguments, name) for name in ("model", "device", "steps", "grid", "seed")}
    methods = load_walkcut(thresholds=arguments.thresholds or THRESHOLDS, variants=VARIANTS, **settings)
    failed = False
    for name, dataset in datasets.items():
        if arguments.only in (None, name):
            used = methods[:1] if name == "blank" else methods  # one segment has one part
            summary = bench(dataset, used, arguments.out, command_line(arguments, "criteria"), arguments.fresh)
            print(markdown(summary))
            failed |= bool(summary["failed"])
    return int(failed)


def run_table(arguments: argparse.Namespace) -> int:
    """`walkcut bench table`"""
    from walkcut.bench.run import markdown, read_summary

    print("\n".join(markdown(read_summary(path)) for path in arguments.files))
    return 0


def run_speed(arguments: argparse.Namespace) -> int:
    """`walkcut bench speed`"""
    from walkcut.bench.speed import markdown, measure_curve, speed

    if arguments.curve:
        if not arguments.out.is_file():
            raise InputError(f"{arguments.out} does not exist: run walkcut bench speed first.")
        print(markdown(measure_curve(arguments.out)))
        return 0
    words = ["walkcut", "bench", "speed"]
    if arguments.sizes != (1024, 4096):
        words += ["--sizes", ",".join(map(str, arguments.sizes))]
    if arguments.model != "dead-leaves":
        words += ["--model", Path(arguments.model).name]
    print(markdown(speed(arguments.sizes, arguments.out, " ".join(words), arguments.model)))
    return 0

"""`walkcut bench`: check data, measure, ablate, print tables. Heavy imports happen inside the commands."""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from walkcut.errors import InputError

if TYPE_CHECKING:
    from walkcut.bench.datasets import Dataset
    from walkcut.bench.look import Looker
    from walkcut.bench.method import Method
    from walkcut.engine import Function

    Build = Callable[[argparse.Namespace], tuple[Dataset, list[Method]]]

# as in walkcut.bench.roster, catalogue and ablate, walkcut.noise and walkcut.backbone, which take long to import
METHODS = (
    *("walkcut", "paper-v1", "paper-v2", "diffseg", "diffcut", "diffcut-pamr", "autosc", "kmeans-features", "maskcut"),
    *("sklearn-spectral", "slic-ncut", "mean-shift", "felzenszwalb", "kmeans"),
)
DATASETS = (
    *("scenes-seeds", "scenes-families", "bsds500-train", "bsds500-val", "bsds500-test"),
    *("coco-stuff-27", "cityscapes-27", "ade20k-150"),
)
ABLATIONS = ("graph", "steps", "resolutions", "layers", "heads", "timesteps", "prior", "inflation", "pixels")
NOISES = ("forward", "none", "inversion")
DTYPES = ("auto", "float32", "float16", "bfloat16")
ENGINES = ("local", "ray")
# How each paper shows a picture to its model, beside the sides that walkcut.bench.semantic knows
PROTOCOLS = {"diffseg": ("none", (300,)), "diffcut": ("forward", (50,)), "walkcut": ("inversion", None)}
RESULTS = Path("book/results")


def _count(text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} will not do: choose a whole number of at least 1.")
    return value


def _whole(text: str) -> int:
    return 0 if text == "0" else _count(text)


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


def _timesteps(text: str) -> tuple[int, ...]:
    try:
        values = tuple(int(word) for word in text.split(","))
    except ValueError:
        values = ()
    if not values or min(values) < 0 or max(values) > 999:
        raise argparse.ArgumentTypeError(f"{text} will not do: list whole numbers from 0 to 999, as in 10,100.")
    return values


def _sizes(text: str) -> tuple[int, ...]:
    sizes = tuple(_count(part) for part in text.split(","))
    odd = [n for n in sizes if round(n**0.5) ** 2 != n or n < 256]
    if odd:
        raise argparse.ArgumentTypeError(f"{odd[0]} patches fill no square grid: choose squares from 256 on.")
    return sizes


def _methods(text: str) -> tuple[str, ...]:
    names = METHODS if text == "all" else tuple(text.split(","))
    unknown = [name for name in names if name not in METHODS]
    if unknown or len(set(names)) < len(names):
        raise argparse.ArgumentTypeError(
            f"{text} is no list of methods: choose all, or from {','.join(METHODS)}, each once."
        )
    return names


def _add_model(parser: argparse.ArgumentParser, grid: int) -> None:
    parser.add_argument("--model", default="dead-leaves", metavar="NAME", help="a short name or a folder")
    _add_settings(parser, grid)


def _add_settings(parser: argparse.ArgumentParser, grid: int) -> None:
    parser.add_argument("--thresholds", type=_thresholds, metavar="LIST", help="constant ones; default: 0.05 to 0.95")
    parser.add_argument("--device", default="auto", help="auto (default), cpu, cuda or mps")
    parser.add_argument("--grid", type=_count, default=grid, metavar="N", help=f"patches on the longer side; {grid}")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="default: 0")
    parser.add_argument("--noise", choices=NOISES, help="how a picture is shown; default: the protocol's, or forward")
    parser.add_argument(
        "--timesteps", type=_timesteps, metavar="LIST", help="how noisy, 0 to 999; default: the model's"
    )
    parser.add_argument("--dtype", choices=DTYPES, default="auto", help="of the denoiser; default: auto")
    parser.add_argument("--out", type=Path, default=RESULTS, metavar="DIR", help=f"default: {RESULTS}")
    parser.add_argument("--fresh", action="store_true", help="forget earlier rows instead of going on from them")


def _add_crew(parser: argparse.ArgumentParser) -> None:
    wanted = "processes that share the pictures, each with a model of its own; default: none beside this one"
    parser.add_argument("--workers", type=_whole, default=0, metavar="N", help=wanted)
    parser.add_argument("--engine", choices=ENGINES, default="local", help="default: local; ray spreads over a cluster")


def _add_data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", choices=DATASETS, metavar="NAME", help=f"of {', '.join(DATASETS)}")
    parser.add_argument("--data", type=Path, metavar="DIR", help="the data set's folder; scenes need none")
    parser.add_argument("--every", type=_count, default=1, metavar="N", help="one picture of N; default: all")
    wanted = "whose protocol, for classes: sides of picture and truth, noise and timesteps; default: diffseg's sides"
    parser.add_argument("--protocol", choices=PROTOCOLS, help=wanted)
    parser.add_argument("--partial", action="store_true", help="let through a folder that lacks pictures")


def add_bench(subparsers: argparse._SubParsersAction) -> None:
    """Add `bench` to the `walkcut` command; each leaf sets `run`, a function of the parsed arguments."""
    parser = subparsers.add_parser("bench", help="measure against baselines", description="Measure, and print tables.")
    parts = parser.add_subparsers(required=True, metavar="WHAT")

    every = parts.add_parser("run", help="score methods on a data set; a run that was killed goes on")
    _add_data(every)
    every.add_argument("--methods", type=_methods, default=METHODS, metavar="LIST", help="all (default), or a list")
    _add_model(every, 64)
    _add_crew(every)
    every.set_defaults(run=run_methods)

    check = parts.add_parser("check", help="are the files of a data set all there and whole?")
    check.add_argument("name", choices=[n for n in DATASETS if not n.startswith("scenes")], metavar="NAME")
    check.add_argument("--data", type=Path, required=True, metavar="DIR")
    check.set_defaults(run=run_check)

    ablate = parts.add_parser("ablate", help="change one thing at a time")
    ablate.add_argument("what", choices=ABLATIONS, metavar="WHAT", help=f"of {', '.join(ABLATIONS)}")
    _add_data(ablate)
    _add_model(ablate, 32)
    _add_crew(ablate)
    ablate.set_defaults(run=run_ablation)

    ladder = parts.add_parser("ladder", help="tell one stage after another the truth")
    _add_data(ladder)
    _add_model(ladder, 32)
    _add_crew(ladder)
    ladder.set_defaults(run=run_ladder)

    beside = parts.add_parser("models", help="models side by side, and the spectra of their walks")
    _add_data(beside)
    beside.add_argument("--models", required=True, metavar="LIST", help="names or folders; the first is compared with")
    _add_settings(beside, 32)
    _add_crew(beside)
    beside.set_defaults(run=run_models)

    tried = parts.add_parser("criteria", help="where to stop: every criterion, on pictures set aside for choosing")
    tried.add_argument("--data", type=Path, metavar="DIR", help="BSDS500; without it, no photographs")
    tried.add_argument("--every", type=_count, default=1, metavar="N", help="one picture of N; default: all")
    tried.add_argument("--only", choices=("photographs", "scenes", "blank"), help="only these pictures")
    _add_model(tried, 64)
    tried.set_defaults(run=run_criteria)

    fast = parts.add_parser("speed", help="time of the cut beside other libraries; or of the whole method on a model")
    fast.add_argument("--whole", action="store_true", help="the whole method: pictures a second, stages, memory")
    fast.add_argument(
        "--random-weights", action="store_true", help="the same, the model's architecture without its weights"
    )
    fast.add_argument("--pictures", type=_count, default=10, metavar="N", help="for the whole method; default: 10")
    fast.add_argument("--grid", type=_count, default=64, metavar="N", help="for the whole method; default: 64")
    fast.add_argument("--device", default="auto", help="auto (default), cpu, cuda or mps")
    fast.add_argument("--dtype", choices=DTYPES, default="auto", help="of the denoiser; default: auto")
    wanted = "for the whole method: run it too as a chain, with N processes that cut; default: do not"
    fast.add_argument("--cutters", type=_whole, metavar="N", help=wanted)
    wanted = "pictures for one pass of the denoiser in that chain; default: 1"
    fast.add_argument("--batch", type=_count, default=1, metavar="N", help=wanted)
    fast.add_argument("--compile", action="store_true", dest="compiled", help="the denoiser, for the whole method")
    wanted = "weights wait in main memory, layer by layer, for the whole method"
    fast.add_argument("--offload", action="store_true", help=wanted)
    fast.add_argument("--sizes", type=_sizes, default=(1024, 4096), metavar="LIST", help="default: 1024,4096")
    fast.add_argument("--model", default="dead-leaves", metavar="NAME", help="whose attention is cut")
    fast.add_argument("--curve", action="store_true", help="only time and memory against n, anew in the file")
    default = RESULTS / "speed.json"
    fast.add_argument("--out", type=Path, default=default, metavar="FILE", help=f"default: {default}")
    fast.set_defaults(run=run_speed)

    table = parts.add_parser("table", help="print results, beside published numbers for a data set's NAME")
    table.add_argument("results", nargs="+", metavar="NAME|FILE", help="a data set, or a summary that a run wrote")
    table.add_argument("--results", type=Path, default=RESULTS, dest="folder", metavar="DIR", help="where results lie")
    table.add_argument("--format", choices=("markdown", "latex"), default="markdown", help="default: markdown")
    table.set_defaults(run=run_table)


USUAL = {"protocol": None, "partial": False, "every": 1, "only": None, "methods": METHODS, "model": "dead-leaves"}
USUAL |= {"models": None, "noise": None, "timesteps": None, "dtype": "auto"}
USUAL |= {"device": "auto", "seed": 0, "thresholds": None}


def command_line(arguments: argparse.Namespace, *words: str, grid: int = 64) -> str:
    """The command that repeats the run: no default, and no path of this machine."""
    line = ["walkcut", "bench", *words]
    if getattr(arguments, "data", None):
        line += ["--data", "DIR"]
    for key, default in (USUAL | {"grid": grid}).items():
        value = getattr(arguments, key, default)
        if value is True:
            line.append(f"--{key}")
        elif value != default:
            value = ",".join(Path(one).name for one in value.split(",")) if key in ("model", "models") else value
            line += [f"--{key}", ",".join(map(str, value)) if isinstance(value, tuple) else str(value)]
    return " ".join(line)


def _dataset(arguments: argparse.Namespace) -> Dataset:
    from walkcut.bench.catalogue import open_dataset

    options = {"protocol": arguments.protocol, "partial": arguments.partial or None}
    return open_dataset(arguments.name, arguments.data, arguments.every, **options)


def _looker(arguments: argparse.Namespace) -> Looker:
    from walkcut.backbone import load_backbone
    from walkcut.bench.look import Looker

    backbone = load_backbone(arguments.model, arguments.device, arguments.dtype)
    return Looker(backbone, **_way_to_look(arguments))


def _way_to_look(arguments: argparse.Namespace) -> dict:
    """Settings of a `Looker`: those asked for, or those of the protocol's paper."""
    noise, timesteps = PROTOCOLS.get(getattr(arguments, "protocol", None), ("forward", None))
    found = {"noise": arguments.noise or noise, "timesteps": arguments.timesteps or timesteps}
    return found | {"grid": arguments.grid, "seed": arguments.seed}


def _named(name: str, arguments: argparse.Namespace) -> str:
    """A result's name: the model and how it looked are told, unless they are the usual ones."""
    parts = [name, "" if arguments.model == USUAL["model"] else Path(arguments.model).name]
    parts += [arguments.protocol or "", arguments.noise or "", "t" * bool(arguments.timesteps)]
    parts[-1] += "-".join(map(str, arguments.timesteps or ()))
    return "-".join(part for part in parts if part)


def _crew(build: Build, arguments: argparse.Namespace) -> dict:
    """Who runs the methods that `build` makes: this process, or workers that make them for themselves."""
    from walkcut.engine import Stage

    if arguments.engine == "local" and not arguments.workers:
        return {}
    from walkcut.backbone import find_device

    workers = max(arguments.workers, 1)
    gpus = float(find_device(arguments.device).type == "cuda")
    return {"stage": Stage(partial(_worker, build, arguments), workers, gpus=gpus), "engine": arguments.engine}


def _worker(build: Build, arguments: argparse.Namespace) -> Function:
    """In a worker: what it does with a picture, its rows all at once."""
    import torch

    from walkcut.bench.run import scorer

    torch.set_num_threads(max((os.cpu_count() or 1) // max(arguments.workers, 1), 1))
    score = scorer(*build(arguments))
    return lambda item: list(score(item))


def _methods_of_run(arguments: argparse.Namespace) -> tuple[Dataset, list[Method]]:
    from walkcut.bench.roster import needs_model, roster

    dataset = _dataset(arguments)
    looker = _looker(arguments) if needs_model(arguments.methods) else None
    methods = roster(arguments.methods, dataset, looker, arguments.thresholds, arguments.seed)
    return replace(dataset, name=_named(dataset.name, arguments) if looker else dataset.name), methods


def run_methods(arguments: argparse.Namespace) -> int:
    """`walkcut bench run`"""
    from walkcut.bench.summary import bench
    from walkcut.bench.table import markdown

    dataset, methods = _methods_of_run(arguments)
    words = command_line(arguments, "run", arguments.name)
    crew = _crew(_methods_of_run, arguments)
    summary = bench(dataset, methods, arguments.out, words, arguments.fresh, **crew)
    print(markdown(summary))
    return int(bool(summary["failed"]))


def run_check(arguments: argparse.Namespace) -> int:
    """`walkcut bench check`"""
    from walkcut.bench.check import check

    report = check(arguments.name, arguments.data)
    print(report.text)
    return report.code


def _run_changes(arguments: argparse.Namespace, build: Build, *words: str) -> int:
    """An ablation or a ladder: every method against the first."""
    from walkcut.bench.summary import against_first, bench
    from walkcut.bench.table import changes

    dataset, methods = build(arguments)
    line = command_line(arguments, *words, arguments.name, grid=32)
    crew = _crew(build, arguments)
    summary = bench(dataset, methods, arguments.out, line, arguments.fresh, against_first, **crew)
    print(changes(summary).markdown())
    return int(bool(summary["failed"]))


def _retold(dataset: Dataset, arguments: argparse.Namespace, title: str, *words: str) -> Dataset:
    """A data set under the name of what is done with it, scored without borders, which take long."""
    name = "-".join((*words, dataset.name))
    name = _named(name, arguments) if "model" in arguments else name
    return replace(dataset, name=name, title=f"{title}, {dataset.title}", borders=False)


def _methods_of_ablation(arguments: argparse.Namespace) -> tuple[Dataset, list[Method]]:
    from walkcut.bench.ablate import THRESHOLDS, ablation

    dataset, what = _dataset(arguments), arguments.what
    connected = dataset.name.startswith("bsds")  # humans part things that look alike
    methods = ablation(what, _looker(arguments), connected, arguments.thresholds or THRESHOLDS)
    return _retold(dataset, arguments, f"Ablation: {what}", "ablate", what), methods


def run_ablation(arguments: argparse.Namespace) -> int:
    """`walkcut bench ablate`"""
    return _run_changes(arguments, _methods_of_ablation, "ablate", arguments.what)


def _methods_of_ladder(arguments: argparse.Namespace) -> tuple[Dataset, list[Method]]:
    from walkcut.bench.ladder import ladder, one_truth

    dataset = _dataset(arguments)
    if dataset.classes:
        raise InputError(f"{dataset.name} has no ladder: its truth leaves pixels out; choose scenes or BSDS500.")
    methods = ladder(_looker(arguments), connected=dataset.name.startswith("bsds"))
    return _retold(one_truth(dataset), arguments, "Oracle ladder", "ladder"), methods


def run_ladder(arguments: argparse.Namespace) -> int:
    """`walkcut bench ladder`"""
    return _run_changes(arguments, _methods_of_ladder, "ladder")


def _lookers(arguments: argparse.Namespace) -> dict[str, Looker]:
    from walkcut.bench.models import lookers

    return lookers(arguments.models.split(","), arguments.device, arguments.dtype, **_way_to_look(arguments))


def _methods_of_models(arguments: argparse.Namespace) -> tuple[Dataset, list[Method]]:
    from walkcut.bench.ablate import THRESHOLDS
    from walkcut.bench.models import models

    dataset = _dataset(arguments)
    methods = models(_lookers(arguments), dataset.name.startswith("bsds"), arguments.thresholds or THRESHOLDS)
    return _retold(dataset, arguments, "Models", "models"), methods


def run_models(arguments: argparse.Namespace) -> int:
    """`walkcut bench models`"""
    from walkcut.bench.models import spectra
    from walkcut.bench.record import as_text, write_atomically
    from walkcut.bench.summary import read_summary

    code = _run_changes(arguments, _methods_of_models, "models")
    dataset, found = _dataset(arguments), _lookers(arguments)
    path = arguments.out / f"models-{dataset.name}.json"
    summary = read_summary(path) | {"spectra": {name: spectra(looker, dataset) for name, looker in found.items()}}
    write_atomically(path, as_text(summary))
    return code


def run_criteria(arguments: argparse.Namespace) -> int:
    """`walkcut bench criteria`"""
    from walkcut.bench.criteria import VARIANTS, blank_pictures, choosing_scenes
    from walkcut.bench.datasets import bsds500
    from walkcut.bench.ours import preset_methods
    from walkcut.bench.summary import bench
    from walkcut.bench.table import markdown

    datasets = {"scenes": choosing_scenes(arguments.every), "blank": blank_pictures(max(1, 100 // arguments.every))}
    if arguments.data:
        photographs = bsds500(arguments.data, "train", 5 * arguments.every)  # 40 of 200
        title = "Criteria on BSDS500 train, to choose by"
        datasets["photographs"] = replace(photographs, name="criteria-bsds500-train", title=title)
    methods = preset_methods(_looker(arguments), thresholds=arguments.thresholds, variants=VARIANTS)
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
    from walkcut.bench.summary import read_summary
    from walkcut.bench.table import beside_published, sources, written

    for name in arguments.results:
        if name not in DATASETS:
            print(written(read_summary(Path(name)), arguments.format))
            continue
        files = [arguments.folder / f"{name}.json", *sorted(arguments.folder.glob(f"{name}-*.json"))]
        summaries = [read_summary(file) for file in files if file.is_file()]
        for summary in summaries:
            print(written(summary, arguments.format))
        print(getattr(beside_published(name, summaries), arguments.format)())
        print(sources())
    return 0


def _run_throughput(arguments: argparse.Namespace) -> int:
    import torch

    from walkcut.backbone import DTYPES, compile_layers, find_device, load_backbone
    from walkcut.bench.record import as_text, write_atomically
    from walkcut.bench.throughput import chain, text, throughput

    device = find_device(arguments.device)
    words = ["walkcut", "bench", "speed", "--model", Path(arguments.model).name, "--whole"]
    if arguments.random_weights:
        from walkcut.bench.architectures import random_backbone

        words[-1] = "--random-weights"
        usual = "float16" if device.type == "cuda" else "float32"
        dtype = DTYPES[usual if arguments.dtype == "auto" else arguments.dtype]
        backbone = random_backbone(arguments.model, str(device), dtype, offload=arguments.offload)
        if arguments.compiled:
            compile_layers(backbone.denoiser)
    else:
        options = {"offload": arguments.offload, "compiled": arguments.compiled}
        backbone = load_backbone(arguments.model, str(device), arguments.dtype, **options)
    words += ["--compile"] * arguments.compiled + ["--offload"] * arguments.offload
    words += ["--dtype", arguments.dtype] * (arguments.dtype != "auto") + ["--grid", str(arguments.grid)]
    if arguments.cutters is not None:
        words += ["--cutters", str(arguments.cutters)] + ["--batch", str(arguments.batch)] * (arguments.batch > 1)
    record = throughput(backbone, " ".join(words), arguments.pictures, arguments.grid)
    record |= {"threads": torch.get_num_threads()}
    if arguments.cutters is not None:
        record["chain"] = chain(backbone, arguments.pictures, arguments.grid, arguments.cutters, arguments.batch)
    default = RESULTS / "speed.json"
    out = arguments.out if arguments.out != default else RESULTS / f"speed-{Path(arguments.model).name}.json"
    write_atomically(out, as_text(record))
    print(text(record))
    return 0


def run_speed(arguments: argparse.Namespace) -> int:
    """`walkcut bench speed`"""
    from walkcut.bench.speed import markdown, measure_curve, speed

    if arguments.whole or arguments.random_weights:
        return _run_throughput(arguments)
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

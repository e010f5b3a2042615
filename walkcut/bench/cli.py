"""`walkcut bench`: check data, measure, ablate, print tables. Heavy imports happen inside the commands."""

import argparse
import sys
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import Any

from walkcut.app.options import OPTIONS, add_option, add_options
from walkcut.bench.config import ABLATIONS, COARSE, DATASETS, RESULTS, RunConfig
from walkcut.errors import InputError
from walkcut.recipe import whole

_CREW = "processes that share the pictures, each with a model of its own; default: none beside this one"
# How a run is carried out, which changes nothing in its rows
CREW: dict[str, dict[str, Any]] = {
    "out": {"default": RESULTS, "type": Path, "metavar": "DIR", "help": f"where results lie; default: {RESULTS}"},
    "fresh": {"action": "store_true", "help": "compute anew what was computed under these very conditions"},
    "workers": {"default": 0, "check": whole(0), "help": _CREW},
    "engine": OPTIONS["engine"],
}
WORDS = {one.name: one.metadata for one in fields(RunConfig)} | CREW
_add = partial(add_options, WORDS)
DATA = ("data", "every", "protocol", "partial", "classes", "ignore")
LOOK = ("thresholds", "device", "grid", "seed", "noise", "timesteps", "dtype")


def add_bench(subparsers: argparse._SubParsersAction) -> None:
    """Add `bench` to the `walkcut` command; each leaf sets `run`, a function of the parsed arguments."""
    parser = subparsers.add_parser("bench", help="measure against baselines", description="Measure, and print tables.")
    parts = parser.add_subparsers(required=True, metavar="WHAT")

    def task(name: str, about: str, *options: str) -> argparse.ArgumentParser:
        added = parts.add_parser(name, help=about)
        if name == "ablate":
            added.add_argument("what", choices=ABLATIONS, metavar="WHAT", help=f"of {', '.join(ABLATIONS)}")
        if name != "criteria":  # which has its own
            added.add_argument("dataset", choices=DATASETS, metavar="NAME", help=f"of {', '.join(DATASETS)}")
        _add(added, *options, *LOOK, *CREW)
        added.set_defaults(run=run_task, task=(name,))
        if name in COARSE:
            added.set_defaults(grid=32)
        return added

    task("run", "score methods on a data set; a run that was killed goes on", *DATA, "methods", "model", "constant")
    task("ablate", "change one thing at a time", *DATA, "model")
    task("ladder", "tell one stage after another the truth", *DATA, "model")
    task("models", "models side by side, and the spectra of their walks", *DATA, "models")
    about = "where to stop: every criterion, on pictures set aside for choosing"
    task("criteria", about, "only", "data", "every", "model").set_defaults(run=run_criteria)

    check = parts.add_parser("check", help="are the files of a data set all there and whole?")
    check.add_argument("name", choices=[n for n in DATASETS if not n.startswith("scenes")], metavar="NAME")
    check.add_argument("--data", type=Path, required=True, metavar="DIR")
    _add(check, "classes", "ignore")
    check.set_defaults(run=run_check)

    _add_speed(parts.add_parser("speed", help="pictures a second of the whole method, stages, memory"))

    table = parts.add_parser("table", help="print results, beside published numbers for a data set's NAME")
    table.add_argument("names", nargs="+", metavar="NAME|FILE", help="a data set, or a summary that a run wrote")
    table.add_argument("--format", choices=("markdown", "latex"), default="markdown", help="default: markdown")
    _add(table, "out")
    table.set_defaults(run=run_table)


def _add_speed(fast: argparse.ArgumentParser) -> None:
    option = partial(add_option, fast)
    option("whole", action="store_true", help="the samples, from files to files, and what runs where; default: noise")
    option("random_weights", action="store_true", help="with no weights but the architecture")
    option("pictures", whole(1), default=10, help="default: 10")
    option("cutters", whole(0), help="run it too as a chain, with N processes that cut; default: do not")
    option("batch", whole(1), default=1, help="pictures for one pass of the denoiser in that chain; default: 1")
    add_options(OPTIONS, fast, "compile", "offload")
    _add(fast, "model", "grid", "device", "dtype", "out")
    fast.set_defaults(run=run_speed)


def config_of(arguments: argparse.Namespace) -> RunConfig:
    """What the words of a command ask for."""
    given = vars(arguments)
    config = RunConfig(**{one.name: given[one.name] for one in fields(RunConfig) if one.name in given})
    return replace(config, task=(*config.task, given["what"])) if "what" in given else config


def _measure(config: RunConfig, arguments: argparse.Namespace) -> int:
    from walkcut.bench.tasks import measure

    summary, text = measure(config, arguments.out, arguments.fresh, arguments.workers, arguments.engine)
    print(text)
    return int(bool(summary["failed"]))


def run_task(arguments: argparse.Namespace) -> int:
    """`walkcut bench run`, `ablate`, `ladder` and `models`"""
    return _measure(config_of(arguments), arguments)


def run_criteria(arguments: argparse.Namespace) -> int:
    """`walkcut bench criteria`"""
    sets = {"scenes": "criteria-scenes", "blank": "criteria-blank", "documents": "criteria-documents"}
    sets |= {"photographs": "criteria-bsds500-train"} if arguments.data else {}
    config = config_of(arguments)
    chosen = [dataset for name, dataset in sets.items() if arguments.only in (None, name)]
    return max([_measure(replace(config, dataset=dataset), arguments) for dataset in chosen], default=0)


def run_check(arguments: argparse.Namespace) -> int:
    """`walkcut bench check`"""
    from walkcut.bench.check import check

    report = check(arguments.name, arguments.data, arguments.classes, arguments.ignore)
    print(report.text)
    return int(bool(report.problems))


def run_table(arguments: argparse.Namespace) -> int:
    """`walkcut bench table`"""
    from walkcut.bench.summary import read_summary
    from walkcut.bench.table import beside_published, sources, written

    for name in arguments.names:
        if name not in DATASETS:
            print(written(read_summary(Path(name)), arguments.format))
            continue
        files = [arguments.out / f"{name}.json", *sorted(arguments.out.glob(f"{name}-*.json"))]
        summaries = [read_summary(file) for file in files if file.is_file()]
        beside = beside_published(name, summaries)
        if not summaries:
            remedy = f"run `walkcut bench run {name} --out {arguments.out}`, or name another folder with --out"
            told = f"There are no results of {name} in {arguments.out}: {remedy}."
            # who has run nothing yet may read what others published
            if not beside.rows or not (arguments.out == RESULTS or arguments.out.is_dir()):
                raise InputError(told)
            print(f"walkcut: {told}", file=sys.stderr)
        for summary in summaries:
            print(written(summary, arguments.format))
        print(getattr(beside, arguments.format)())
        print(sources(name))
    return 0


def run_speed(arguments: argparse.Namespace) -> int:
    """`walkcut bench speed`"""
    from walkcut.bench.throughput import measured, text

    print(text(measured(arguments)))
    return 0

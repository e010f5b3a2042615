"""`walkcut bench`: check data, measure, ablate, print tables. Heavy imports happen inside the commands."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from walkcut.bench.config import ABLATIONS, DATASETS, METHODS, PROTOCOLS, RESULTS, RunConfig
from walkcut.eyes.models import DTYPES
from walkcut.registry import NOISES

ENGINES = ("local", "ray")  # as in walkcut.app.stages, which takes longer to import


def _count(text: str) -> int:
    value = int(text) if text.isdecimal() else 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} will not do: choose a whole number of at least 1.")
    return value


def _whole(text: str) -> int:
    return 0 if text == "0" else _count(text)


def _list_of(kind: type, good: Callable[[Any], bool], wanted: str, once: bool = True) -> Callable[[str], tuple]:
    """A parser of lists with commas, whose parts are all good, and none is named twice unless that has a meaning."""

    def parse(text: str) -> tuple:
        try:
            values = tuple(kind(word) for word in text.split(","))
        except ValueError:
            values = ()
        if not values or not all(map(good, values)) or (once and len(set(values)) < len(values)):
            raise argparse.ArgumentTypeError(f"{text} will not do: list {wanted}{', each once' * once}.")
        return values

    return parse


_thresholds = _list_of(float, lambda x: 0 < x <= 2, "numbers in (0, 2], as in 0.2,0.4,0.6")
_timesteps = _list_of(int, lambda t: 0 <= t <= 999, "whole numbers from 0 to 999, as in 10,100", once=False)
_sizes = _list_of(int, lambda n: n >= 256 and math.isqrt(n) ** 2 == n, "squares from 256 on, as in 1024,4096")
_models = _list_of(str, bool, "models")
_named = _list_of(str, METHODS.__contains__, f"some of {','.join(METHODS)}, or say all")


def _methods(text: str) -> tuple[str, ...]:
    return METHODS if text == "all" else _named(text)


_CREW = "processes that share the pictures, each with a model of its own; default: none beside this one"
_WHOSE = "whose protocol, for classes: sides of picture and truth, noise, timesteps; default: diffseg's sides"
OPTIONS: dict[str, dict[str, Any]] = {
    "name": {"choices": DATASETS, "metavar": "NAME", "help": f"of {', '.join(DATASETS)}"},
    "--data": {"type": Path, "metavar": "DIR", "help": "the data set's folder; scenes need none"},
    "--every": {"type": _count, "default": 1, "metavar": "N", "help": "one picture of N; default: all"},
    "--protocol": {"choices": PROTOCOLS, "help": _WHOSE},
    "--partial": {"action": "store_true", "help": "let through a folder that lacks pictures"},
    "--methods": {"type": _methods, "default": METHODS, "metavar": "LIST", "help": "all (default), or a list"},
    "--model": {"default": "dead-leaves", "metavar": "NAME", "help": "a short name or a folder"},
    "--models": {"type": _models, "required": True, "metavar": "LIST", "help": "the first is compared with"},
    "--thresholds": {"type": _thresholds, "metavar": "LIST", "help": "constant ones; default: as suits the walk"},
    "--device": {"default": "auto", "help": "auto (default), cpu, cuda or mps"},
    "--grid": {"type": _count, "default": 64, "metavar": "N", "help": "patches on the longer side"},
    "--seed": {"type": int, "default": 0, "metavar": "N", "help": "default: 0"},
    "--noise": {"choices": NOISES, "help": "how a picture is shown; default: the protocol's, or the preset's"},
    "--timesteps": {"type": _timesteps, "metavar": "LIST", "help": "how noisy, 0 to 999; default: the model's"},
    "--dtype": {"choices": ("auto", *DTYPES), "default": "auto", "help": "of the denoiser; default: auto"},
    "--out": {"type": Path, "default": RESULTS, "metavar": "DIR", "help": f"where results lie; default: {RESULTS}"},
    "--fresh": {"action": "store_true", "help": "compute anew what was computed under these very conditions"},
    "--workers": {"type": _whole, "default": 0, "metavar": "N", "help": _CREW},
    "--engine": {"choices": ENGINES, "default": "local", "help": "default: local; ray spreads over a cluster"},
}
DATA = ("name", "--data", "--every", "--protocol", "--partial")
LOOK = ("--thresholds", "--device", "--grid", "--seed", "--noise", "--timesteps", "--dtype")
CREW = ("--out", "--fresh", "--workers", "--engine")


def _add(parser: argparse.ArgumentParser, *names: str, **defaults: Any) -> None:
    for name in names:
        parser.add_argument(name, **OPTIONS[name])
    parser.set_defaults(**defaults)


def add_bench(subparsers: argparse._SubParsersAction) -> None:
    """Add `bench` to the `walkcut` command; each leaf sets `run`, a function of the parsed arguments."""
    parser = subparsers.add_parser("bench", help="measure against baselines", description="Measure, and print tables.")
    parts = parser.add_subparsers(required=True, metavar="WHAT")

    every = parts.add_parser("run", help="score methods on a data set; a run that was killed goes on")
    _add(every, *DATA, "--methods", "--model", *LOOK, *CREW, run=run_task, task=("run",))

    check = parts.add_parser("check", help="are the files of a data set all there and whole?")
    check.add_argument("name", choices=[n for n in DATASETS if not n.startswith("scenes")], metavar="NAME")
    check.add_argument("--data", type=Path, required=True, metavar="DIR")
    check.set_defaults(run=run_check)

    ablate = parts.add_parser("ablate", help="change one thing at a time")
    ablate.add_argument("what", choices=ABLATIONS, metavar="WHAT", help=f"of {', '.join(ABLATIONS)}")
    _add(ablate, *DATA, "--model", *LOOK, *CREW, run=run_task, task=("ablate",), grid=32)

    ladder = parts.add_parser("ladder", help="tell one stage after another the truth")
    _add(ladder, *DATA, "--model", *LOOK, *CREW, run=run_task, task=("ladder",), grid=32)

    beside = parts.add_parser("models", help="models side by side, and the spectra of their walks")
    _add(beside, *DATA, "--models", *LOOK, *CREW, run=run_task, task=("models",), grid=32)

    tried = parts.add_parser("criteria", help="where to stop: every criterion, on pictures set aside for choosing")
    tried.add_argument("--only", choices=("photographs", "scenes", "blank"), help="only these pictures")
    _add(tried, "--data", "--every", "--model", *LOOK, *CREW, run=run_criteria, task=("criteria",))

    fast = parts.add_parser("speed", help="time of the cut beside other libraries; or of the whole method on a model")
    _add_speed(fast)

    table = parts.add_parser("table", help="print results, beside published numbers for a data set's NAME")
    table.add_argument("names", nargs="+", metavar="NAME|FILE", help="a data set, or a summary that a run wrote")
    table.add_argument("--format", choices=("markdown", "latex"), default="markdown", help="default: markdown")
    _add(table, "--out", run=run_table)


def _add_speed(fast: argparse.ArgumentParser) -> None:
    fast.add_argument("--sizes", type=_sizes, default=(1024, 4096), metavar="LIST", help="default: 1024,4096")
    whole = fast.add_argument_group("the whole method")
    whole.add_argument("--whole", action="store_true", help="pictures a second, stages, memory, instead of the cut")
    whole.add_argument("--random-weights", action="store_true", help="the same, with no weights but the architecture")
    whole.add_argument("--pictures", type=_count, default=10, metavar="N", help="default: 10")
    wanted = "run it too as a chain, with N processes that cut; default: do not"
    whole.add_argument("--cutters", type=_whole, metavar="N", help=wanted)
    wanted = "pictures for one pass of the denoiser in that chain; default: 1"
    whole.add_argument("--batch", type=_count, default=1, metavar="N", help=wanted)
    whole.add_argument("--compile", action="store_true", dest="compiled", help="translate the denoiser first")
    whole.add_argument("--offload", action="store_true", help="weights wait in main memory, layer by layer")
    _add(fast, "--model", "--grid", "--device", "--dtype", "--out", run=run_speed)


def config_of(arguments: argparse.Namespace) -> RunConfig:
    """What the words of a command ask for."""
    given = vars(arguments) | {"dataset": getattr(arguments, "name", "")}
    given["task"] = (*arguments.task, arguments.what) if "what" in arguments else arguments.task
    return RunConfig(**{one.name: given[one.name] for one in fields(RunConfig) if one.name in given})


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
    sets = {"scenes": "criteria-scenes", "blank": "criteria-blank"}
    sets |= {"photographs": "criteria-bsds500-train"} if arguments.data else {}
    config = config_of(arguments)
    chosen = [dataset for name, dataset in sets.items() if arguments.only in (None, name)]
    return max([_measure(replace(config, dataset=dataset), arguments) for dataset in chosen], default=0)


def run_check(arguments: argparse.Namespace) -> int:
    """`walkcut bench check`"""
    from walkcut.bench.check import check

    report = check(arguments.name, arguments.data)
    print(report.text)
    return report.code


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
        for summary in summaries:
            print(written(summary, arguments.format))
        print(getattr(beside_published(name, summaries), arguments.format)())
        print(sources())
    return 0


def run_speed(arguments: argparse.Namespace) -> int:
    """`walkcut bench speed`"""
    if arguments.whole or arguments.random_weights:
        from walkcut.bench.throughput import measured, text

        print(text(measured(arguments)))
        return 0
    from walkcut.bench.speed import markdown, speed

    words = ["walkcut", "bench", "speed"]
    words += ["--sizes", ",".join(map(str, arguments.sizes))] * (arguments.sizes != (1024, 4096))
    words += ["--model", Path(arguments.model).name] * (arguments.model != "dead-leaves")
    print(markdown(speed(arguments.sizes, arguments.out / "speed.json", " ".join(words), arguments.model)))
    return 0

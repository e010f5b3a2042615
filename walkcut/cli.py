"""The `walkcut` command.

Exit codes: 0 all went well; 1 some pictures of several failed (they are listed at the end); 2 bad input, told in one
sentence; 130 interrupted; 141 nobody reads what it prints. Torch is imported inside the commands that need it, so that
`--help` is quick.
"""

from __future__ import annotations

import argparse
import io
import math
import os
import re
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from walkcut.errors import InputError

if TYPE_CHECKING:
    from walkcut.files import Job

MAX_GRID = 128  # patches along the longer side: the walk of a square picture then fills 1 GB
EXPLORED = 32  # as in walkcut.widgets.explore
# as in walkcut.threshold, .presets, .noise, .refine, .backbone and .engine, which take long to import
PRESETS = ("walkcut", "paper-v1", "paper-v2")
CRITERIA = ("half-life", "gap", "eigengap", "stability", "map-equation", "region-map", "auto")
NOISES = ("forward", "none", "inversion")
PIXELS = ("bilinear", "pamr", "random-walker")
DTYPES = ("auto", "float32", "float16", "bfloat16")
ENGINES = ("local", "ray")


class _Parser(argparse.ArgumentParser):
    """Tells what is wrong in one line, without repeating the usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"walkcut: {message.removesuffix('.')} (see {self.prog} --help).\n")


def _threshold(text: str) -> str | float:
    if text in CRITERIA:
        return text
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value <= 2:
        raise argparse.ArgumentTypeError(
            f"{text} is no threshold: choose a number above 0 and at most 2, or {', '.join(CRITERIA)}."
        )
    return value


def _whole(text: str, low: int, high: int | None = None) -> int:
    wanted = f"a whole number of at least {low}" if high is None else f"a whole number from {low} to {high}"
    try:
        value = int(text)
    except ValueError:
        value = low - 1
    if value < low or (high is not None and value > high):
        raise argparse.ArgumentTypeError(f"{text} will not do: choose {wanted}.")
    return value


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text} will not do: choose a number above 0.")
    return value


def _device(text: str) -> str:
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", text):
        raise argparse.ArgumentTypeError(f"{text} is no device: choose auto, cpu, cuda or mps.")
    return text


def _add_device_and_seed(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", type=_device, default="auto", help="auto (default), cpu, cuda or mps")
    seed = partial(_whole, low=0, high=2**32 - 1)
    parser.add_argument("--seed", type=seed, default=0, metavar="N", help="default: 0")


def _add_segment(subparsers: argparse._SubParsersAction) -> None:
    parser = subparsers.add_parser(
        "segment",
        help="cut pictures into segments",
        description="Cut pictures into segments. For photo.jpg, writes photo.labels.png (one number per segment; "
        "8 bits with a palette, or 16-bit grey beyond 256 segments), photo.overlay.png and photo.tree.json.",
    )
    parser.add_argument("paths", nargs="*", metavar="PATH", help="a picture, or a folder whose pictures are taken")
    parser.add_argument("--sample", action="append", default=[], metavar="NAME", help="one of `walkcut samples`")
    parser.add_argument("--out", type=Path, metavar="DIR", help="where to write; default: beside each picture")
    parser.add_argument("--fresh", action="store_true", help="of several pictures, do those again that are finished")
    wanted = f"largest NCut of a cut that is kept, above 0 and at most 2; or one of {', '.join(CRITERIA)}; "
    wanted += "default: the preset's"
    parser.add_argument("--threshold", type=_threshold, metavar="FLOAT|NAME", help=wanted)
    wanted = "steps of the walk; default: the preset's"
    parser.add_argument("--steps", type=partial(_whole, low=1), metavar="K", help=wanted)
    wanted = f"settings of the method: {', '.join(PRESETS)}; default: {PRESETS[0]}"
    parser.add_argument("--preset", choices=PRESETS, default=PRESETS[0], metavar="NAME", help=wanted)
    wanted = "one of `walkcut models` (default: dead-leaves), a hub path, or a folder in diffusers format"
    parser.add_argument("--model", default="dead-leaves", metavar="NAME", help=wanted)
    wanted = f"patches along the longer side, at most {MAX_GRID}; default: 64"
    parser.add_argument("--grid", type=partial(_whole, low=2, high=MAX_GRID), default=64, metavar="N", help=wanted)
    wanted = "how a picture is shown to the denoiser: under noise, without, or on its inversion's path"
    parser.add_argument("--noise", choices=NOISES, help=f"{wanted}; default: the preset's")
    wanted = "how patches become pixels; default: the preset's"
    parser.add_argument("--pixels", choices=PIXELS, help=wanted)
    parser.add_argument("--prompt", default="", metavar="WORDS", help="what the denoiser is told to see")
    parser.add_argument("--dtype", choices=DTYPES, default="auto", help="of the denoiser; default: auto")
    wanted = "keep the weights in main memory, for a small GPU; slower"
    parser.add_argument("--offload", action="store_true", help=wanted)
    wanted = "compile the denoiser first, for many pictures"
    parser.add_argument("--compile", action="store_true", dest="compiled", help=wanted)
    wanted = "pictures for one pass of the denoiser, looked at together where they are of one size; default: 1"
    parser.add_argument("--batch", type=partial(_whole, low=1), default=1, metavar="N", help=wanted)
    wanted = "processes that cut while the denoiser looks; default: half the cores beside a GPU, else none"
    parser.add_argument("--workers", type=partial(_whole, low=0), metavar="N", help=wanted)
    parser.add_argument("--engine", choices=ENGINES, default="local", help="default: local; ray spreads over a cluster")
    wanted = "denoisers that look side by side, each on a GPU of its own; needs --engine ray; default: 1"
    parser.add_argument("--lookers", type=partial(_whole, low=1), default=1, metavar="N", help=wanted)
    _add_device_and_seed(parser)
    parser.set_defaults(run=run_segment)


def _add_explore(subparsers: argparse._SubParsersAction) -> None:
    parser = subparsers.add_parser(
        "explore",
        help="make a page to explore one picture",
        description="Write one HTML file that needs no network: where walkers go on a picture, its cuts and its tree.",
    )
    parser.add_argument("path", type=Path, metavar="PATH", help="a picture")
    wanted = "the page; default: photo.explore.html beside photo.jpg"
    parser.add_argument("--out", type=Path, metavar="FILE", help=wanted)
    wanted = "one of `walkcut models` (default: dead-leaves), a hub path, or a folder in diffusers format"
    parser.add_argument("--model", default="dead-leaves", metavar="NAME", help=wanted)
    wanted = f"patches along the longer side, at most {EXPLORED}; default: {EXPLORED}"
    parser.add_argument(
        "--grid", type=partial(_whole, low=2, high=EXPLORED), default=EXPLORED, metavar="N", help=wanted
    )
    _add_device_and_seed(parser)
    parser.set_defaults(run=run_explore)


def _add_train(subparsers: argparse._SubParsersAction) -> None:
    parser = subparsers.add_parser(
        "train",
        help="train the embedded denoiser on dead leaves",
        description="Train the embedded denoiser, or go on where an interrupted training stopped.",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="checkpoint, and at the end model/")
    parser.add_argument("--steps", type=partial(_whole, low=1), metavar="N", help="default: as in walkcut.train")
    parser.add_argument("--patches", type=partial(_whole, low=1), metavar="N", help="per batch")
    parser.add_argument("--learning-rate", type=_positive, metavar="FLOAT")
    parser.add_argument(
        "--snapshots", type=partial(_whole, low=1), default=0, metavar="N", help="keep one every N steps"
    )
    parser.add_argument("--workers", type=partial(_whole, low=0), default=1, metavar="N", help="processes that draw")
    _add_device_and_seed(parser)
    parser.set_defaults(run=run_train)


def make_parser() -> argparse.ArgumentParser:
    """The parser of the whole command; each subcommand sets `run`."""
    from walkcut.bench.cli import add_bench

    about = "Segmentation by diffusing, walking and cutting: no label, no training."
    parser = _Parser(prog="walkcut", description=about)
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_segment(subparsers)
    _add_explore(subparsers)
    _add_train(subparsers)
    add_bench(subparsers)
    models = subparsers.add_parser("models", help="list the models that have a short name, or fetch one")
    models.add_argument("--get", metavar="NAME", help="download this one's weights from the hub into its cache")
    models.set_defaults(run=run_models)
    samples = subparsers.add_parser("samples", help="list the sample photographs and their credits")
    samples.set_defaults(run=run_samples)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command; return its exit code (on wrong arguments, argparse leaves by SystemExit(2))."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a notebook has others
            stream.reconfigure(errors="backslashreplace")  # a file's name may hold what cannot be printed
    try:
        arguments = make_parser().parse_args(argv)
        code = arguments.run(arguments) or 0
        sys.stdout.flush()  # here, where a closed pipe can still be told
        return code
    except InputError as error:
        print(f"walkcut: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("walkcut: interrupted.", file=sys.stderr)
        return 130
    except BrokenPipeError:  # as of `walkcut segment photos | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python complains once more as it ends
        return 141


def run_models(arguments: argparse.Namespace) -> None:
    """`walkcut models`"""
    from walkcut.models import fetch, table

    print(fetch(arguments.get) if arguments.get else table())


def run_samples(arguments: argparse.Namespace) -> None:
    """`walkcut samples`"""
    from walkcut.images import sample_credits

    for name, credit in sample_credits().items():
        print(f"{name}: {credit['title']}. {credit['author']}, {credit['licence']}. {credit['source']}")


def run_train(arguments: argparse.Namespace) -> None:
    """`walkcut train`"""
    from walkcut.files import check_writable

    check_writable(arguments.out)
    from walkcut.backbone import find_device
    from walkcut.train import TrainConfig, train

    chosen = {name: getattr(arguments, name) for name in ("steps", "seed", "patches", "learning_rate")}
    config = TrainConfig(**{name: value for name, value in chosen.items() if value is not None})
    device = str(find_device(arguments.device))
    model = train(arguments.out, config, device, arguments.workers, snapshots=arguments.snapshots)
    print(f"trained: {model}")


def run_segment(arguments: argparse.Namespace) -> int:
    """`walkcut segment`"""
    from walkcut.files import plan
    from walkcut.images import sample_path

    if not arguments.paths and not arguments.sample:
        raise InputError("There is nothing to segment: name a picture, a folder or --sample NAME.")
    samples = [sample_path(name) for name in arguments.sample]
    failures: list[str] = []
    jobs = plan(arguments.paths, samples, arguments.out, failures)
    total = len(jobs) + len(failures)
    if jobs:
        failures += _segment_all(jobs, arguments, progress=total > 1)
    if failures and total == 1:
        raise InputError(failures[0])
    if failures:
        print(f"walkcut: {len(failures)} of {total} inputs failed:", *failures, sep="\n  ", file=sys.stderr)
    return 1 if failures else 0


def run_explore(arguments: argparse.Namespace) -> None:
    """`walkcut explore`"""
    from walkcut.bench.record import write_atomically
    from walkcut.files import check_writable
    from walkcut.images import read_image

    path = arguments.path
    out = arguments.out or path.with_name(f"{path.stem}.explore.html")
    image = read_image(path)
    try:
        if out.is_dir():
            raise InputError(f"{out} is a folder: name the file to write with --out.")
        if out.exists() and out.samefile(path):
            raise InputError(f"{out} is the picture itself: name another file with --out.")
    except OSError as error:
        raise InputError(f"{out} cannot be written ({error.strerror}): choose another --out.") from error
    check_writable(out.parent)
    from walkcut.backbone import load_backbone
    from walkcut.widgets.explore import explore

    backbone = load_backbone(arguments.model, arguments.device)
    write_atomically(out, explore(image, path.name, backbone, arguments.grid, arguments.seed))
    print(f"{path} -> {out}")


def _segment_all(jobs: list[Job], arguments: argparse.Namespace, progress: bool) -> list[str]:
    """Segment each picture that is not finished; a sentence for each that could not be."""
    from tqdm import tqdm

    from walkcut.files import finished
    from walkcut.many import Settings, segment_files
    from walkcut.presets import find_preset

    given = {"criterion": arguments.threshold, "steps": arguments.steps, "pixels": arguments.pixels}
    preset = replace(find_preset(arguments.preset), **{name: value for name, value in given.items() if value})
    shared = ("model", "device", "dtype", "prompt", "grid", "seed", "noise", "offload", "compiled")
    settings = Settings(preset, **{name: getattr(arguments, name) for name in shared})
    if progress and not arguments.fresh:
        waiting = [job for job in jobs if not finished(job, settings.record())]
        if len(waiting) < len(jobs):
            done = len(jobs) - len(waiting)
            print(f"{done} of {len(jobs)} were finished earlier with these settings (--fresh does them anew).")
        jobs = waiting
    failures = []
    with tqdm(total=len(jobs), desc="segmenting", unit="picture", disable=not (progress and jobs)) as bar:
        several = {name: getattr(arguments, name) for name in ("engine", "workers", "batch", "lookers")}
        for report in segment_files(jobs, settings, **several):
            if report.failure:
                failures.append(report.failure)
            else:
                plural = "s" * (report.count > 1)
                bar.write(f"{report.job.path}: {report.count} segment{plural} -> {report.job.outputs[0]}")
            bar.update()
    return failures


if __name__ == "__main__":
    sys.exit(main())

"""The `walkcut` command.

Exit codes: 0 all went well; 1 some pictures of several failed (they are listed at the end); 2 bad input, or no room for
what it prints, told in one sentence; 129 its terminal was closed; 130 interrupted; 141 nobody reads what it prints; 143
asked to end. Torch is imported inside the commands that need it, so that `--help` is quick.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import re
import sys
from collections.abc import Callable
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from walkcut import __version__
from walkcut.app.ends import leave, when_told_to_end
from walkcut.app.options import LABELS, OPTIONS, add_option, add_options
from walkcut.errors import InputError
from walkcut.recipe import PRESETS, Recipe, positive, resolve, whole

if TYPE_CHECKING:
    from walkcut.app.outputs import Job

LARGE = 2e9  # bytes of memory that are worth a word beforehand
EXPLORED = 32  # patches along the longer side, as in walkcut.widgets.explore, which takes longer to import
SEGMENT = """Cut pictures into segments. For photo.jpg, writes photo.labels.png (one number per segment; 8 bits with a
palette, or 16-bit grey beyond 256 segments), photo.overlay.png and photo.tree.json. Pillow reads the numbers of a
palette, np.asarray(Image.open(name)); OpenCV and scikit-image read its colours, but the numbers of gray16, as by
cv2.imread(name, cv2.IMREAD_UNCHANGED); npy is for np.load."""
EXPLORE = "Write one HTML file that needs no network: where walkers go on a picture, its cuts and its tree."
CALIBRATE = """Write readout.json into a model's folder: the heads whose walk tells more, beyond how far it goes, than
the model's mean head does. From then on segment, explore and bench read these alone."""
TRAIN = "Train the embedded denoiser, or go on where an interrupted training stopped."
SETTINGS = {setting.name: setting for setting in fields(Recipe) if setting.metadata.get("help")}


class _Parser(argparse.ArgumentParser):
    """Tells what is wrong in one line, without repeating the usage."""

    def error(self, message: str) -> NoReturn:
        short = re.sub(r"(\w{40})\w{40,}", r"\1...", message.removesuffix("."))  # of a number of 400 digits
        self.exit(2, f"walkcut: {short} (see {self.prog} --help).\n")

    def _print_message(self, message: str, file: Any = None) -> None:
        """As a parser does, which is silent where it cannot."""
        print(message, end="", file=file or sys.stderr)


def _add_settings(parser: argparse.ArgumentParser) -> None:
    """An option for each setting of a recipe that is a user's to choose."""
    about = "Where one is not given, the preset's counts, then what suits the model, then the one in brackets."
    group = parser.add_argument_group("settings of the method", about)
    group.add_argument("--preset", choices=PRESETS, default="walkcut", metavar="NAME", help=f"{', '.join(PRESETS)}")
    for name, setting in SETTINGS.items():
        about = ": ".join(filter(None, (setting.metadata["help"], ", ".join(setting.metadata["names"]))))
        words: dict[str, Any] = {"metavar": "NAME"} if setting.metadata["names"] else {}
        words |= {"default": argparse.SUPPRESS, "help": f"{about} ({setting.default})"}
        add_option(group, name, setting.metadata["check"], **words)


def _add_segment(parser: argparse.ArgumentParser) -> None:
    option = partial(add_option, parser)
    wanted = "a picture, a folder whose pictures are taken, or - for stdin"
    parser.add_argument("paths", nargs="*", metavar="PATH", help=wanted)
    option("recursive", action="store_true", help="also take the pictures in sub-folders")
    option("sample", action="append", default=[], metavar="NAME", help="one of `walkcut samples`")
    wanted = "where to write; default: beside each picture; -: labels alone, to stdout"
    option("out", type=Path, metavar="DIR", help=wanted)
    option("labels", choices=LABELS, default="palette", help="how labels are written; default: palette")
    option("fresh", action="store_true", help="of several pictures, do those again that are finished")
    option("prompt", default="", metavar="WORDS", help="what the denoiser is told to see")
    add_options(OPTIONS, parser, "model", "device", "dtype", "offload", "compile", "engine")
    wanted = "pictures for one pass of the denoiser, if they are of one size; default: 1"
    option("batch", whole(1), default=1, help=wanted)
    wanted = "processes that cut while the denoiser looks; default: half the cores beside a GPU, else none"
    option("workers", whole(0), help=wanted)
    wanted = "denoisers that look side by side, each on a GPU of its own; needs --engine ray; default: 1"
    option("lookers", whole(1), default=1, help=wanted)
    _add_settings(parser)


def _add_explore(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", metavar="PATH", help="a picture, or - for stdin")
    wanted = "the page, or - for stdout; default: photo.explore.html beside photo.jpg"
    add_option(parser, "out", type=Path, metavar="FILE", help=wanted)
    add_options(OPTIONS, parser, "model", "device", "seed")
    wanted = f"patches along the longer side; default: {EXPLORED}"
    add_option(parser, "grid", whole(2, EXPLORED), default=EXPLORED, help=wanted)


def _add_train(parser: argparse.ArgumentParser) -> None:
    option = partial(add_option, parser)
    option("out", type=Path, required=True, metavar="DIR", help="checkpoint, and at the end model/")
    option("steps", whole(1), help="default: as in walkcut.train")
    option("patches", whole(1), help="per batch")
    option("learning_rate", positive, help="default: as in walkcut.train")
    option("snapshots", whole(1), default=0, help="keep one every N steps")
    option("workers", whole(0), default=1, help="processes that draw")
    option("seed", whole(0, 2**32 - 1), default=0, help="default: 0")
    add_options(OPTIONS, parser, "device")


def _add_calibrate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="one of `walkcut models`, a hub path, or a model's folder")
    wanted = "photographs of any kind; no label is asked for; default: the samples"
    parser.add_argument("paths", nargs="*", metavar="PATH", help=wanted)
    add_options(OPTIONS, parser, "device", "dtype")
    wanted = f"patches along the longer side; default: {EXPLORED}"
    add_option(parser, "grid", whole(2, 2 * EXPLORED), default=EXPLORED, help=wanted)


def make_parser() -> argparse.ArgumentParser:
    """The parser of the whole command; each subcommand sets `run`."""
    from walkcut.bench.cli import add_bench

    about = "Segmentation by diffusing, walking and cutting: no label, no training."
    parser = _Parser(prog="walkcut", description=about)
    parser.add_argument("--version", action="version", version=f"walkcut {__version__}")
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: Callable, about: str, more: str | None = None) -> argparse.ArgumentParser:
        added = subparsers.add_parser(name, help=about, description=more)
        added.set_defaults(run=run)
        return added

    _add_segment(command("segment", run_segment, "cut pictures into segments", SEGMENT))
    _add_explore(command("explore", run_explore, "make a page to explore one picture", EXPLORE))
    _add_train(command("train", run_train, "train the embedded denoiser on dead leaves", TRAIN))
    about = "choose by photographs without labels which heads of a model are read"
    _add_calibrate(command("calibrate", run_calibrate, about, CALIBRATE))
    add_bench(subparsers)
    models = command("models", run_models, "list the models that have a short name, or fetch one")
    models.add_argument("--get", metavar="NAME", help="download this one's weights from the hub into its cache")
    command("samples", run_samples, "list the sample photographs and their credits")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command; return its exit code (on wrong arguments, argparse leaves by SystemExit(2))."""
    if argv is None:
        _settle()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a notebook has others
            stream.reconfigure(errors="backslashreplace")  # a file's name may hold what cannot be printed
    try:
        if sys.stdout is None:
            raise InputError("Standard output is closed: send it to a file, or to /dev/null.")
        try:
            _check_names(sys.argv[1:] if argv is None else argv)
            arguments = make_parser().parse_args(argv)
            return arguments.run(arguments) or 0
        finally:
            sys.stdout.flush()  # here, where it can still be told that nobody reads, or that there is no room
    except InputError as error:
        print(f"walkcut: {error}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        if (error.name or "walkcut").startswith("walkcut"):
            raise
        print(f"walkcut: {error.name} is not installed: run pip install . again in walkcut's folder.", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("walkcut: interrupted.", file=sys.stderr)
        return 130
    except OSError as error:
        if error.filename is not None:  # a fault of the code: whoever opens a file tells what is wrong with it
            raise
        # else Python complains once more as it ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):  # as of `walkcut segment photos | head`
            return 141
        print(f"walkcut: Standard output cannot be written ({error.strerror}): make room for it.", file=sys.stderr)
        return 2
    except Exception as error:
        from walkcut.memory import short_of_memory

        if not short_of_memory(error):
            raise
        print("walkcut: the memory ran out: choose a smaller grid, batch or model, or fewer workers.", file=sys.stderr)
        return 2


def _settle() -> None:
    """What only a process of the command's own may change: what it does when it is told to end, and closed streams."""
    when_told_to_end(leave)
    # else the next file that is opened has the number of a closed stream, and gets what others say there
    while (opened := os.open(os.devnull, os.O_RDWR)) < 3:
        os.set_inheritable(opened, True)
    os.close(opened)
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115, PTH123 -- for as long as the process lives


def _check_names(words: list[str]) -> None:
    """Refuse what no name can hold, and a file that would be read as options, as by `walkcut segment *`."""
    if odd := [word for word in words if "\0" in word]:
        raise InputError(f"{odd[0]!r} holds a NUL character, which no name has: leave it out.")
    for word in words[: words.index("--")] if "--" in words else words:
        if word.startswith("-") and word != "-" and os.path.lexists(word):
            raise InputError(f"{word} is a file here, but reads as an option: name it ./{word}.")


def run_models(arguments: argparse.Namespace) -> None:
    """`walkcut models`"""
    from walkcut.app.fetch import fetch, table

    print(fetch(arguments.get) if arguments.get else table())


def run_samples(arguments: argparse.Namespace) -> None:
    """`walkcut samples`"""
    from walkcut.samples import sample_credits

    for name, credit in sample_credits().items():
        print(f"{name}: {credit['title']}. {credit['author']}, {credit['licence']}. {credit['source']}")


def run_train(arguments: argparse.Namespace) -> None:
    """`walkcut train`"""
    from walkcut.app.outputs import check_writable

    check_writable(arguments.out)
    from walkcut.eyes.loading import find_device
    from walkcut.train import TrainConfig, train

    chosen = {name: getattr(arguments, name) for name in ("steps", "seed", "patches", "learning_rate")}
    config = TrainConfig(**{name: value for name, value in chosen.items() if value is not None})
    device = str(find_device(arguments.device))
    model = train(arguments.out, config, device, arguments.workers, snapshots=arguments.snapshots)
    print(f"trained: {model}")


def run_calibrate(arguments: argparse.Namespace) -> None:
    """`walkcut calibrate`"""
    from walkcut.app.outputs import check_writable, write_whole
    from walkcut.app.progress import progress
    from walkcut.eyes.loading import load_backbone
    from walkcut.eyes.models import READOUT, model_folder
    from walkcut.lab.readout import readout
    from walkcut.reading import read_image
    from walkcut.samples import sample_names, sample_path

    path = model_folder(arguments.model) / READOUT
    if path.exists():
        raise InputError(f"{arguments.model} has a readout, {path}: move it away to calibrate anew.")
    check_writable(path.parent, "copy the model into one of yours")  # before minutes are spent
    backbone = load_backbone(arguments.model, arguments.device, arguments.dtype)
    images = [read_image(name) for name in arguments.paths or map(sample_path, sample_names())]
    found = readout(backbone, progress(images, desc="listening to heads", unit="picture"), arguments.grid)
    write_whole({path: (json.dumps(found, indent=1) + "\n").encode()})
    heads, layers = sum(map(sum, found["heads"].values())), len(found["heads"])
    print(f"{arguments.model}: {heads:.0f} heads of {layers} layers -> {path}")


def run_segment(arguments: argparse.Namespace) -> int:
    """`walkcut segment`"""
    from walkcut.app.outputs import STREAM, plan
    from walkcut.samples import sample_path

    if not arguments.paths and not arguments.sample:
        raise InputError("There is nothing to segment: name a picture, a folder or --sample NAME.")
    samples = [sample_path(name) for name in arguments.sample]
    jobs, failures, passed = plan(arguments.paths, samples, arguments.out, arguments.labels, arguments.recursive)
    total = len(jobs) + len(failures)
    if arguments.out == STREAM:
        if total > 1:
            raise InputError(f"With --out -, the labels of one picture go to stdout: name one, not {total}.")
        arguments.engine, arguments.workers = "local", 0  # here, where stdout is
    if passed:
        others = ", ".join(f"{count} {reason}" for reason, count in passed.most_common())
        print(f"walkcut: passed over {others}.", file=sys.stderr)
    if jobs:
        failures += _segment_all(jobs, arguments, several=total > 1)
    if failures and total == 1:
        raise InputError(failures[0])
    if failures:  # some for one reason, as that a folder cannot be written to
        told = dict.fromkeys(failures)
        print(f"walkcut: {len(failures)} of {total} inputs failed:", *told, sep="\n  ", file=sys.stderr)
    return 1 if failures else 0


def _segment_all(jobs: list[Job], arguments: argparse.Namespace, several: bool) -> list[str]:
    """Segment each picture that is not finished; a sentence for each that could not be."""
    from walkcut.app.batch import segment_files
    from walkcut.app.outputs import finished
    from walkcut.app.progress import progress
    from walkcut.eyes.loading import find_device
    from walkcut.eyes.models import find_eye
    from walkcut.memory import needed

    given = vars(arguments)
    eye = find_eye(arguments.model, str(find_device(arguments.device)), arguments.dtype, arguments.prompt)
    recipe = resolve(arguments.preset, eye, {name: given[name] for name in SETTINGS if name in given})
    waiting = [job for job in jobs if not (several and not arguments.fresh and finished(job, recipe))]
    if done := len(jobs) - len(waiting):
        print(f"{done} of {len(jobs)} were finished earlier with these settings (--fresh does them anew).")
    need = needed(recipe.grid**2, given["batch"] * (1 + (given["workers"] or 0)))
    if waiting and need > LARGE:
        about = f"up to {need / 1e9:.1f} GB of memory at a grid of {recipe.grid}"
        print(f"walkcut: this takes {about}, and time alike; a smaller --grid takes less.", file=sys.stderr)
    failures = []
    means = {name: given[name] for name in ("engine", "workers", "batch", "lookers", "device", "offload", "compiled")}
    with progress(total=len(waiting), desc="segmenting", unit="picture", disable=not (several and waiting)) as bar:
        for report in segment_files(waiting, recipe, **means):
            if report.failure:
                failures.append(report.failure)
            else:
                plural = "s" * (report.count > 1)
                told = f"{report.job.path}: {report.count} segment{plural} -> {report.job.outputs[0]}"
                bar.write(told, file=sys.stderr if given["out"] == Path("-") else None)
            bar.update()
    return failures


def run_explore(arguments: argparse.Namespace) -> None:
    """`walkcut explore`"""
    from walkcut.app.outputs import STREAM, claim, job_of, write_whole
    from walkcut.reading import read_image

    job = job_of(arguments.path, None)
    image = read_image(job.source)
    out = arguments.out or job.target.with_name(f"{job.target.name}.explore.html")
    claim(job.path, [out], {job.path.resolve(): None})
    from walkcut.eyes.loading import load_backbone
    from walkcut.widgets.explore import explore

    backbone = load_backbone(arguments.model, arguments.device)
    page = explore(image, job.path.name, backbone, arguments.grid, arguments.seed).encode()
    if out == STREAM:
        sys.stdout.buffer.write(page)
    else:
        write_whole({out: page})
    print(f"{job.path} -> {out}", file=sys.stderr if out == STREAM else None)


if __name__ == "__main__":
    sys.exit(main())

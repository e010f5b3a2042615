"""The `walkcut` command.

Exit codes: 0 all went well; 1 some pictures of several failed (they are listed at the end); 2 bad input, told in one
sentence; 130 interrupted. Torch is imported inside the commands that need it, so that `--help` is quick.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import os
import re
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import numpy as np
from PIL import Image

import walkcut
from walkcut.errors import InputError

if TYPE_CHECKING:
    from walkcut.segmentation import Segmentation

MAX_GRID = 128  # patches along the longer side: the walk of a square picture then fills 1 GB
# as in walkcut.threshold, .presets, .noise, .refine and .backbone, which take long to import
PRESETS = ("walkcut", "paper-v1", "paper-v2")
CRITERIA = ("half-life", "gap", "eigengap", "stability", "map-equation", "region-map", "auto")
NOISES = ("forward", "none", "inversion")
PIXELS = ("bilinear", "pamr", "random-walker")
DTYPES = ("auto", "float32", "float16", "bfloat16")
OUTPUTS = (".labels.png", ".overlay.png", ".tree.json")


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
    _add_device_and_seed(parser)
    parser.set_defaults(run=run_segment)


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
    parser.add_argument("--start", type=Path, metavar="DIR", help="a finished model to begin with, not random weights")
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
    try:
        arguments = make_parser().parse_args(argv)
        return arguments.run(arguments) or 0
    except InputError as error:
        print(f"walkcut: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("walkcut: interrupted.", file=sys.stderr)
        return 130


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
    _check_writable(arguments.out)
    from walkcut.backbone import find_device
    from walkcut.train import TrainConfig, train

    chosen = {name: getattr(arguments, name) for name in ("steps", "seed", "patches", "learning_rate")}
    config = TrainConfig(**{name: value for name, value in chosen.items() if value is not None})
    device = str(find_device(arguments.device))
    model = train(
        arguments.out, config, device, arguments.workers, start=arguments.start, snapshots=arguments.snapshots
    )
    print(f"trained: {model}")


@dataclass(frozen=True)
class _Job:
    """One picture to segment: where it lies, and the common part of the names of its three outputs."""

    path: Path
    target: Path

    @property
    def outputs(self) -> tuple[Path, ...]:
        return tuple(self.target.with_name(self.target.name + ending) for ending in OUTPUTS)


def run_segment(arguments: argparse.Namespace) -> int:
    """`walkcut segment`"""
    from walkcut.images import sample_path

    if not arguments.paths and not arguments.sample:
        raise InputError("There is nothing to segment: name a picture, a folder or --sample NAME.")
    samples = [sample_path(name) for name in arguments.sample]
    failures: list[str] = []
    jobs = _plan(arguments.paths, samples, arguments.out, failures)
    total = len(jobs) + len(failures)
    if jobs:
        _segment_all(jobs, arguments, failures, progress=total > 1)
    if failures and total == 1:
        raise InputError(failures[0])
    if failures:
        print(f"walkcut: {len(failures)} of {total} inputs failed:", *failures, sep="\n  ", file=sys.stderr)
    return 1 if failures else 0


def _plan(paths: list[str], samples: list[Path], out: Path | None, failures: list[str]) -> list[_Job]:
    """One job per picture whose header can be read and whose outputs can be written; the others go to `failures`."""
    from walkcut.images import image_size

    pictures: dict[Path, tuple[Path, Path]] = {}  # real path -> path as given, folder of the outputs
    for path in map(Path, paths):
        try:
            for picture in _pictures_in(path) if path.is_dir() else [path]:
                pictures.setdefault(picture.resolve(), (picture, out or picture.parent))
        except InputError as error:
            failures.append(str(error))
        except OSError as error:
            failures.append(f"{path} cannot be read ({error.strerror}): check its name and permissions.")
    for path in samples:
        pictures.setdefault(path.resolve(), (path, out or Path()))
    taken = dict.fromkeys(pictures)  # a file that no job may write -> the picture it belongs to
    jobs = []
    for picture, folder in pictures.values():
        job = _Job(picture, folder / picture.stem)
        try:
            image_size(picture)
            _check_writable(folder)
            _claim(job, taken)
        except InputError as error:
            failures.append(str(error))
        else:
            jobs.append(job)
    return jobs


def _pictures_in(folder: Path) -> list[Path]:
    """The pictures directly in a folder, by name, without what an earlier run wrote there."""
    from walkcut.images import SUFFIXES

    try:
        names = sorted(folder.iterdir())
    except OSError as error:
        raise InputError(f"The folder {folder} may not be read ({error.strerror}): change its permissions.") from error
    found = [p for p in names if p.suffix.lower() in SUFFIXES and not p.name.endswith(OUTPUTS) and p.is_file()]
    if not found:
        raise InputError(f"The folder {folder} holds no pictures: name one with {', '.join(SUFFIXES)} files.")
    return found


def _claim(job: _Job, taken: dict[Path, Path | None]) -> None:
    """Reserve a job's outputs; InputError where they would overwrite a picture or another picture's outputs."""
    for output in job.outputs:
        real = output.resolve()
        if output.is_dir():
            raise InputError(f"{output} is a folder where the result of {job.path} should go: move it or give --out.")
        if real in taken:
            owner = taken[real]
            what = f"the result of {owner}" if owner else "a picture that is to be read"
            raise InputError(f"{job.path} would overwrite {output}, {what}: rename it or run it with another --out.")
    taken.update((output.resolve(), job.path) for output in job.outputs)


def _check_writable(folder: Path) -> None:
    """Create a folder where it is missing, and see that a file can be made there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".walkcut-{os.getpid()}.tmp"
        probe.touch()
        probe.unlink()
    except OSError as error:
        reason = error.strerror
        raise InputError(f"The folder {folder} cannot be written to ({reason}): choose another --out.") from error


def _segment_all(jobs: list[_Job], arguments: argparse.Namespace, failures: list[str], progress: bool) -> None:
    """Load the model once, segment each picture, write the results; bad pictures go to `failures`."""
    from tqdm import tqdm

    from walkcut.backbone import load_backbone
    from walkcut.images import image_size, read_image
    from walkcut.presets import find_preset
    from walkcut.segmentation import segment

    wanted = ("preset", "threshold", "steps", "pixels", "grid", "seed", "noise")
    options = {name: getattr(arguments, name) for name in wanted}
    preset = find_preset(arguments.preset)
    usual = {"threshold": preset.criterion, "steps": preset.steps, "pixels": preset.pixels}
    options |= {name: options[name] or value for name, value in usual.items()}
    settings = {"walkcut": walkcut.__version__, "model": arguments.model, "prompt": arguments.prompt}
    settings |= {"dtype": arguments.dtype, **options, "noise": arguments.noise or "the preset's"}
    if progress and not arguments.fresh:
        waiting = [job for job in jobs if not _finished(job, settings)]
        if len(waiting) < len(jobs):
            done = len(jobs) - len(waiting)
            print(f"{done} of {len(jobs)} were finished earlier with these settings (--fresh does them anew).")
        jobs = waiting
    if not jobs:
        return
    backbone = load_backbone(arguments.model, arguments.device, arguments.dtype, arguments.prompt)
    with tqdm(jobs, desc="segmenting", unit="picture", disable=not progress) as bar:
        for job in bar:
            try:
                result = segment(read_image(job.path), backbone, **options, device=arguments.device)
                contents = _encode(result, image_size(job.path), {"picture": job.path.name, **settings})
                for output, content in zip(job.outputs, contents, strict=True):
                    _write(output, content)
            except InputError as error:
                failures.append(str(error) if str(job.path) in str(error) else f"{job.path}: {error}")
            else:
                count = result.count
                bar.write(f"{job.path}: {count} segment{'s' * (count > 1)} -> {job.outputs[0]}")


def _finished(job: _Job, settings: dict) -> bool:
    """Whether an earlier run wrote all outputs of this very picture; the tree, written last, holds the settings."""
    try:
        written = min(output.stat().st_mtime for output in job.outputs)
        record = json.loads(job.outputs[-1].read_text())
    except (OSError, ValueError):
        return False
    wanted = {"picture": job.path.name, **settings}
    return written >= job.path.stat().st_mtime and isinstance(record, dict) and wanted.items() <= record.items()


def _encode(result: Segmentation, size: tuple[int, int], settings: dict) -> tuple[bytes, bytes, bytes]:
    """Contents of the three output files. The labels have the size of the picture in its file, even a large one's."""
    labels = result.labels.astype(np.uint8 if result.count <= 256 else np.uint16)
    rows, columns = (np.arange(n) * m // n for n, m in zip(size, labels.shape, strict=True))
    picture = Image.fromarray(labels[np.ix_(rows, columns)])
    if result.count <= 256:
        picture.putpalette(palette(result.count).tobytes())
    h, w = result.patch_labels.shape
    record = {
        **settings,
        "size": list(size),
        "patches": [h, w],
        "segments": result.count,
        "criterion": result.criterion,
        "threshold_used": result.threshold,
        "tree": result.tree.to_dict(),
    }
    text = json.dumps(record, allow_nan=False)
    return _png(picture), _png(Image.fromarray(overlay(result.image, result.labels))), text.encode() + b"\n"


def _png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def _write(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    part = path.with_name(f".walkcut-{os.getpid()}.tmp")
    try:
        part.write_bytes(content)
        part.replace(path)
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror}): make room or choose another --out.") from error
    finally:
        part.unlink(missing_ok=True)


def palette(count: int) -> np.ndarray:
    """Colours of labels, uint8 (count, 3): golden-angle hues at three lightnesses of CIELAB, so neighbours differ."""
    from skimage.color import lab2rgb

    index = np.arange(count)
    hue = index * np.pi * (3 - np.sqrt(5))
    lightness = np.array([62, 44, 78])[index % 3] + index % 7
    lab = np.stack([lightness, 42 * np.cos(hue), 42 * np.sin(hue)], axis=-1)
    return np.rint(lab2rgb(lab[None])[0] * 255).astype(np.uint8)


def overlay(image: np.ndarray, labels: np.ndarray, opacity: float = 0.45) -> np.ndarray:
    """The picture tinted by its segments, their boundaries in white on black.

    Parameters
    ----------
    image : uint8 (H, W, 3)
    labels : int (H, W), 0 to n - 1
    opacity : float
        Of the tint, 0 to 1.

    Returns
    -------
    uint8 (H, W, 3)
    """
    from skimage.segmentation import mark_boundaries

    tint = palette(int(labels.max()) + 1)[labels]
    mixed = (1 - opacity) * image + opacity * tint
    marked = mark_boundaries(mixed / 255, labels, color=(1, 1, 1), outline_color=(0, 0, 0), mode="inner")
    return np.rint(marked * 255).astype(np.uint8)


if __name__ == "__main__":
    sys.exit(main())

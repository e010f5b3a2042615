"""Many pictures as files: which are to be read, where their results go, which are there already.

For photo.jpg the results are photo.labels.png, photo.overlay.png and photo.tree.json, each written whole or not at all.
The tree is written last, and says what they were made from: another picture or another recipe is never taken for it.
A picture may come through the standard input, and labels alone may go to the standard output: both are called "-".
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import stat
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from walkcut import __version__
from walkcut.errors import InputError
from walkcut.reading import KINDS, MAX_SIDE, SUFFIXES, image_size, read_image

if TYPE_CHECKING:
    from walkcut.recipe import Recipe
    from walkcut.segmentation import Segmentation

OUTPUTS = (".labels.png", ".overlay.png", ".tree.json")
OTHERS = (".labels.npy", ".explore.html")  # what else may lie beside a picture
SOFTWARE = "walkcut"  # where our pictures say that they are from
STREAM = Path("-")  # the standard input or output
STRIP = 256  # rows of an overlay that are mixed at a time


class _Content(io.BytesIO):
    """What came through the standard input, as a file."""

    name = "stdin"


@dataclass(frozen=True)
class Job:
    """One picture to segment, and where its results go.

    Attributes
    ----------
    path : Path
        Of the picture.
    target : Path
        The common part of the names of its three outputs; `STREAM` for labels that go to the standard output.
    labels : str
        How they are written, one of `walkcut.app.options.LABELS`.
    content : bytes, optional
        Of the picture's file, where it came through the standard input.
    """

    path: Path
    target: Path
    labels: str = "palette"
    content: bytes | None = field(default=None, repr=False)

    @property
    def source(self) -> Any:
        """What `walkcut.reading.read_image` and `digest` take."""
        return self.path if self.content is None else _Content(self.content)

    @property
    def outputs(self) -> tuple[Path, ...]:
        if self.target == STREAM:
            return (STREAM,)
        endings = (OTHERS[0], *OUTPUTS[1:]) if self.labels == "npy" else OUTPUTS
        return tuple(self.target.with_name(self.target.name + ending) for ending in endings)


@dataclass(frozen=True, eq=False)
class Picture:
    """What a picture has become so far; with a failure, nothing becomes of it any more.

    Attributes
    ----------
    job : Job
    digest : str
        Of its file, see `digest`.
    size : (int, int)
        Height and width of the picture in its file, in pixels.
    image : uint8 (H, W, 3), optional
        As `walkcut.reading.read_image` gives it.
    record : WalkRecord, or Segmentation, optional
    failure : str
        One sentence on what went wrong.
    """

    job: Job
    digest: str = ""
    size: tuple[int, int] = (0, 0)
    image: Any = None
    record: Any = None
    failure: str = ""

    def failed(self, error: BaseException) -> Picture:
        """The picture with its failure, which names it."""
        path, reason = str(self.job.path), str(error) or type(error).__name__
        return Picture(self.job, failure=reason if path in reason else f"{path}: {reason}")


def plan(
    paths: Sequence[str], samples: Sequence[Path], out: Path | None, labels: str = "palette", recursive: bool = False
) -> tuple[list[Job], list[str], Counter[str]]:
    """One job per picture whose header can be read and whose outputs can be written; why others have none.

    Last comes what else lies in a folder, counted by why it is passed over.
    """
    failures: list[str] = []
    passed: Counter[str] = Counter()
    found: list[Job] = []
    for name in dict.fromkeys(paths):
        try:
            if not name:  # what a shell makes of a variable that is not set; to Path it is the current folder
                raise InputError("A name is empty: name a picture, a folder, or . for the current one.")
            folder = Path(name).is_dir() and name != "-"  # where there is a folder of that name, ./- is it
            inside = list(_pictures_in(Path(name), recursive, passed, set())) if folder else [name]
            if not inside:
                raise InputError(f"The folder {name} holds no pictures: name one with {KINDS} files.")
            for path in inside:
                below = Path(path).parent.relative_to(name) if out and path is not name and out != STREAM else ""
                found.append(job_of(path, out and out / below, labels))
        except InputError as error:
            failures.append(str(error))
        except OSError as error:
            failures.append(f"{name} cannot be read ({error.strerror}): check its name and permissions.")
    found += [job_of(path, out or Path(), labels) for path in samples]
    pictures: dict[Path, Job] = {}  # by its real path
    for job in found:
        real = _real(job.path) if job.content is None else STREAM
        if more := (_links(job.path) - _links(other.path) if (other := pictures.setdefault(real, job)) != job else 0):
            passed["links to pictures that are done by their own names"] += 1
            pictures[real] = job if more < 0 else other
    taken = dict.fromkeys(pictures)  # a file that no job may write -> the picture it belongs to
    jobs = []
    for job in pictures.values():
        try:
            image_size(job.source)
            claim(job.path, job.outputs, taken)
        except InputError as error:
            failures.append(str(error))
        else:
            jobs.append(job)
    return jobs, failures, passed


def job_of(name: str | Path, out: Path | None, labels: str = "palette") -> Job:
    """The job of one picture, whose results go to a folder, by default its own, or to the standard output."""
    path, content = (Path("stdin"), _stdin()) if name in ("-", "/dev/stdin") else (Path(name), None)
    return Job(path, out if out == STREAM else (out or path.parent) / path.stem, labels, content)


def _stdin() -> bytes:
    if sys.stdin is None or sys.stdin.isatty():
        raise InputError("No picture comes through the standard input: send one, as `walkcut segment - < photo.jpg`.")
    return sys.stdin.buffer.read()


def _pictures_in(folder: Path, recursive: bool, passed: Counter[str], seen: set[Path]) -> Iterator[Path]:
    """The pictures in a folder, without what earlier runs wrote there.

    By name, but links last: a folder below is entered once, by its own name where it has one.
    """
    seen.add(_real(folder))
    try:
        names = sorted(folder.iterdir(), key=lambda path: (path.is_symlink(), path))
    except OSError as error:
        raise InputError(f"The folder {folder} may not be read ({error.strerror}): change its permissions.") from error
    for path in names:
        if reason := _why_not(path, recursive):
            passed[reason] += 1
        elif not path.is_dir() and not _is_result(path):
            yield path
        elif path.is_dir() and _real(path) not in seen:
            yield from _pictures_in(path, recursive, passed, seen)


def _why_not(path: Path, recursive: bool) -> str:
    """Why something in a folder is passed over; of pictures, results and folders to enter, nothing."""
    if path.name.startswith("."):
        return "hidden"
    if path.is_dir():
        entered = "sub-folders that may not be read" * (not os.access(path, os.R_OK | os.X_OK))
        return entered if recursive else "sub-folders (--recursive enters them)"
    if not path.is_file():
        return "broken links" if path.is_symlink() else "no regular files"
    known = path.suffix.lower() in SUFFIXES or path.name.endswith(OUTPUTS + OTHERS)
    return "" if known else f"*{path.suffix}" if path.suffix else "without an ending"


def _is_result(path: Path) -> bool:
    """Whether a run wrote it. The name of a picture alone does not tell: somebody's own may end so."""
    if not path.name.endswith(OUTPUTS[:2]):
        return path.name.endswith((OUTPUTS[2], *OTHERS))
    with suppress(OSError), path.open("rb") as file:
        tree = path.with_name(path.name.rsplit(".", 2)[0] + OUTPUTS[2])
        return tree.is_file() or SOFTWARE.encode() in file.read(100)
    return False


def _links(path: Path) -> int:
    """Links on the way to a file, by its name."""
    return sum(part.is_symlink() for part in (path, *path.absolute().parents))


def _real(path: Path) -> Path:
    """Where a path leads; Path.resolve would raise on a link that leads to itself, before Python 3.13."""
    return Path(os.path.realpath(path))


def claim(picture: Path, outputs: Sequence[Path], taken: dict[Path, Path | None]) -> None:
    """Reserve the files that a picture's results go to, in a folder that is created where it is missing.

    What a run that was killed left of them half written is put away, also where they are finished otherwise.

    Parameters
    ----------
    picture : Path
    outputs : sequence of Path
        In one folder.
    taken : dict of Path
        What may not be written, and the picture whose result it is, None for one that is to be read; added to.

    Raises
    ------
    InputError
        If they cannot be written: the folder, their names, what lies there.
    """
    if outputs[0] == STREAM:
        if sys.stdout.isatty():
            raise InputError("The standard output is a terminal: send it to a file or a program, as `--out - > FILE`.")
        return
    parts = {output: _part(output) for output in outputs}
    if any(part != output for output, part in parts.items()):  # into a device, nothing is made beside it
        check_writable(outputs[0].parent)
    for output, part in parts.items():
        try:
            if part != output:
                with alone_in(part.parent):
                    part.unlink(missing_ok=True)
        except OSError as error:
            reason = error.strerror
            raise InputError(f"{output}, for {picture}, cannot be written ({reason}): choose another name.") from error
        if output.is_dir():
            raise InputError(f"{output} is a folder where the result of {picture} should go: move it or give --out.")
        if (real := _real(output)) in taken:
            owner = taken[real]
            what = f"the result of {owner}" if owner else "a picture that is to be read"
            raise InputError(f"{picture} would overwrite {output}, {what}: rename it or run it with another --out.")
    taken.update((_real(output), picture) for output in outputs)


def check_writable(folder: Path, remedy: str = "choose another --out") -> None:
    """Create a folder where it is missing, and see that a file can be made there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        reason = error.strerror
        raise InputError(f"The folder {folder} cannot be written to ({reason}): {remedy}.") from error


def digest(source: Any) -> str:
    """SHA-256 of what is in a file, in hexadecimal digits."""
    with source.open("rb") if isinstance(source, Path) else source as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read(job: Job) -> Picture:
    """The picture in a file and what tells it from others, or why it cannot be read."""
    try:
        # before it is read: where the file is replaced meanwhile, the next run finds that its results are another's
        size, its_digest = image_size(job.source), digest(job.source)
        return Picture(job, its_digest, size, read_image(job.source))
    except (InputError, OSError, MemoryError) as error:
        return Picture(job).failed(error)


def reader() -> Callable[[Sequence[Job]], list[Picture]]:
    """For a stage, see `walkcut.app.stages`: it needs no torch, so its workers start at once."""
    return lambda jobs: [read(job) for job in jobs]


def finished(job: Job, recipe: Recipe) -> bool:
    """Whether an earlier run made all outputs from this very picture by this very recipe, and they are whole."""
    try:
        if not all(map(Path.is_file, job.outputs)):
            return False
        record = json.loads(job.outputs[-1].read_bytes())
        made = [digest(output) for output in job.outputs[:-1]]
        wanted = _origin(job, digest(job.source), recipe) | {"outputs": made}
    except (OSError, ValueError):
        return False
    return isinstance(record, dict) and wanted == {name: record.get(name) for name in wanted}


def _origin(job: Job, its_digest: str, recipe: Recipe) -> dict[str, Any]:
    """What results are made from."""
    picture = {"picture": job.path.name, "digest": its_digest, "labels": job.labels}
    return {"walkcut": __version__, **picture, "recipe": recipe.to_dict()}


def save(picture: Picture, result: Segmentation) -> None:
    """Write the three outputs of a picture that has a record; errors as `write_whole`."""
    from walkcut.app.export import tree_to_dict  # torch comes with it, and whoever only reads needs none

    job = picture.job
    labels = _labels(result, picture.size, job.labels)
    if job.target == STREAM:
        sys.stdout.buffer.write(labels)
        return
    image = result.image
    if max(picture.size) > MAX_SIDE:  # it was reduced as it was read
        image = read_image(job.source, max(picture.size))
        if image.shape[:2] != picture.size:
            raise InputError(f"{job.path} was replaced while it was segmented: run the same command again.")
    images = labels, _png(Image.fromarray(overlay(image, result.labels)), compress_level=1)
    record = _origin(job, picture.digest, picture.record.recipe) | {
        "outputs": [hashlib.sha256(content).hexdigest() for content in images],
        "size": list(picture.size),
        "patches": list(result.patch_labels.shape),
        "segments": result.count,
        "criterion": result.criterion,
        "threshold": result.threshold,
        "tree": tree_to_dict(result.tree),
    }
    text = json.dumps(record, allow_nan=False) + "\n"
    write_whole(dict(zip(job.outputs, (*images, text.encode()), strict=True)))


@contextmanager
def alone_in(folder: Path, wait: bool = True) -> Iterator[None]:
    """While no other run has the folder; where one has, it is waited for, or else told by an InputError.

    Windows and some network drives know no such locks: there nobody is kept out.
    """
    with ExitStack() as afterwards:
        try:
            import fcntl

            opened = os.open(folder, os.O_RDONLY)
            afterwards.callback(os.close, opened)
            fcntl.flock(opened, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            afterwards.callback(fcntl.flock, opened, fcntl.LOCK_UN)  # a fork of this process may have it open, too
        except (ImportError, OSError) as error:
            if isinstance(error, BlockingIOError):
                remedy = "let it end, or choose another --out"
                raise InputError(f"Another run works in {folder.parent}: {remedy}.") from error
        yield


def write_whole(contents: Mapping[Path, bytes]) -> None:
    """Write files, each whole or not at all; of several, the last is there only if the others belong to it.

    Links are followed, what is no regular file, as /dev/stdout, is written into, and a file that is replaced keeps its
    permissions. Of two runs that write the same files, one waits for the other.

    Raises
    ------
    InputError
        If they cannot be written; where there is no room for them, what was there before stays.
    """
    parts = {path: _part(path) for path in contents}
    moved = [(part, _real(path)) for path, part in parts.items() if part != path]
    try:
        with ExitStack() as afterwards:
            for folder in sorted({part.parent for part, _ in moved}):
                folder.mkdir(parents=True, exist_ok=True)
                afterwards.enter_context(alone_in(folder))
            for part, _ in moved:
                afterwards.callback(part.unlink, missing_ok=True)
            for path, part in parts.items():
                part.write_bytes(contents[path])
                if part != path and path.is_file():
                    shutil.copymode(path, part)
            if len(moved) > 1:
                moved[-1][1].unlink(missing_ok=True)  # until it is there again, nothing says the others are finished
            for part, place in moved:
                part.replace(place)
    except OSError as error:
        raise cannot_write(next(iter(contents)), error) from error


def cannot_write(path: Path, error: Exception) -> InputError:
    """What to say of a file, or a folder, that could not be written."""
    reason = getattr(error, "strerror", None) or error
    return InputError(f"{path} cannot be written ({reason}): make room or choose another --out.")


def _part(path: Path) -> Path:
    """Where a file is written until it is whole: one name for all runs, so the next replaces what a killed one left.

    The file itself, where it is none that could be replaced.
    """
    with suppress(OSError):  # as of one that is not there
        if not stat.S_ISREG(path.stat().st_mode):
            return path
    place = _real(path)
    return place.with_name(f".{place.name}.tmp")


def _labels(result: Segmentation, size: tuple[int, int], kind: str) -> bytes:
    """The file of labels of the size of the picture in its file, even of a large one."""
    few = result.count <= 256 and kind == "palette"
    labels = result.labels.astype(np.int32 if kind == "npy" else np.uint8 if few else np.uint16)
    rows, columns = _spread(labels.shape, size)
    labels = labels[np.ix_(rows, columns)]
    if kind == "npy":
        buffer = io.BytesIO()
        np.save(buffer, labels)
        return buffer.getvalue()
    picture = Image.fromarray(labels)
    if few:
        picture.putpalette(palette(result.count).tobytes())
    return _png(picture)


def _spread(old: tuple[int, ...], new: tuple[int, ...]) -> list[np.ndarray]:
    """For each row and each column of the new size, one of the old."""
    return [np.arange(n) * m // n for n, m in zip(new, old, strict=True)]


def _png(picture: Image.Image, **options: Any) -> bytes:
    buffer, remark = io.BytesIO(), PngInfo()
    remark.add_text("Software", SOFTWARE)
    picture.save(buffer, "PNG", pnginfo=remark, **options)
    return buffer.getvalue()


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
    labels : int (h, w), 0 to n - 1
        Of the same picture, perhaps reduced: the lines are as thick then as one of its pixels.
    opacity : float
        Of the tint, 0 to 1.

    Returns
    -------
    uint8 (H, W, 3)
    """
    from skimage.segmentation import mark_boundaries

    tint = palette(int(labels.max()) + 1)
    half = np.full((*labels.shape, 3), 0.5)
    lines = mark_boundaries(half, labels, color=(1, 1, 1), outline_color=(0, 0, 0), mode="inner")[:, :, :1]
    kept = np.float32(1 - opacity) * (lines == 0.5)
    added = np.where(lines == 0.5, opacity * tint[labels], 255 * lines).astype(np.float32)
    rows, columns = _spread(labels.shape, image.shape[:2])
    shown = np.empty_like(image)
    for start in range(0, len(rows), STRIP):  # the floats of a whole large picture would fill the memory
        here, strip = np.ix_(rows[start : start + STRIP], columns), slice(start, start + STRIP)
        shown[strip] = np.rint(kept[here] * image[strip] + added[here])
    return shown

"""Many pictures as files: which are to be read, where their results go, which are there already.

For photo.jpg the results are photo.labels.png, photo.overlay.png and photo.tree.json, each written whole or not at all.
The tree is written last, and says what they were made from: another picture or another recipe is never taken for it.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from walkcut import __version__
from walkcut.errors import InputError
from walkcut.reading import SUFFIXES, image_size, read_image

if TYPE_CHECKING:
    from walkcut.recipe import Recipe
    from walkcut.segmentation import Segmentation

OUTPUTS = (".labels.png", ".overlay.png", ".tree.json")


@dataclass(frozen=True)
class Job:
    """One picture to segment: where it lies, and the common part of the names of its three outputs."""

    path: Path
    target: Path

    @property
    def outputs(self) -> tuple[Path, ...]:
        return tuple(self.target.with_name(self.target.name + ending) for ending in OUTPUTS)


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
    record : WalkRecord, optional
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


def plan(paths: Sequence[str], samples: Sequence[Path], out: Path | None, failures: list[str]) -> list[Job]:
    """One job per picture whose header can be read and whose outputs can be written; the others go to `failures`."""
    pictures: dict[Path, tuple[Path, Path]] = {}  # real path -> path as given, folder of the outputs
    for name in paths:
        path = Path(name)
        try:
            if not name:  # what a shell makes of a variable that is not set; to Path it is the current folder
                raise InputError("A name is empty: name a picture, a folder, or . for the current one.")
            for picture in _pictures_in(path) if path.is_dir() else [path]:
                pictures.setdefault(_real(picture), (picture, out or picture.parent))
        except InputError as error:
            failures.append(str(error))
        except OSError as error:
            failures.append(f"{path} cannot be read ({error.strerror}): check its name and permissions.")
    for path in samples:
        pictures.setdefault(_real(path), (path, out or Path()))
    taken = dict.fromkeys(pictures)  # a file that no job may write -> the picture it belongs to
    jobs = []
    for picture, folder in pictures.values():
        job = Job(picture, folder / picture.stem)
        try:
            image_size(picture)
            claim(picture, job.outputs, taken)
        except InputError as error:
            failures.append(str(error))
        else:
            jobs.append(job)
    return jobs


def _pictures_in(folder: Path) -> list[Path]:
    """The pictures directly in a folder, by name, without what an earlier run wrote there."""
    try:
        names = sorted(folder.iterdir())
    except OSError as error:
        raise InputError(f"The folder {folder} may not be read ({error.strerror}): change its permissions.") from error
    found = [p for p in names if p.suffix.lower() in SUFFIXES and not p.name.endswith(OUTPUTS) and p.is_file()]
    if not found:
        raise InputError(f"The folder {folder} holds no pictures: name one with {', '.join(SUFFIXES)} files.")
    return found


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


def check_writable(folder: Path) -> None:
    """Create a folder where it is missing, and see that a file can be made there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        reason = error.strerror
        raise InputError(f"The folder {folder} cannot be written to ({reason}): choose another --out.") from error


def digest(path: Path) -> str:
    """SHA-256 of what is in a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read(job: Job) -> Picture:
    """The picture in a file and what tells it from others, or why it cannot be read."""
    try:
        # before it is read: where the file is replaced meanwhile, the next run finds that its results are another's
        size, its_digest = image_size(job.path), digest(job.path)
        return Picture(job, its_digest, size, read_image(job.path))
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
        wanted = _origin(job, digest(job.path), recipe) | {"outputs": made}
    except (OSError, ValueError):
        return False
    return isinstance(record, dict) and wanted == {name: record.get(name) for name in wanted}


def _origin(job: Job, its_digest: str, recipe: Recipe) -> dict[str, Any]:
    """What results are made from."""
    return {"walkcut": __version__, "picture": job.path.name, "digest": its_digest, "recipe": recipe.to_dict()}


def save(picture: Picture, result: Segmentation) -> None:
    """Write the three outputs of a picture that has a record; errors as `write_whole`."""
    from walkcut.app.export import tree_to_dict  # torch comes with it, and whoever only reads needs none

    job = picture.job
    images = _png(_labels(result, picture.size)), _png(Image.fromarray(overlay(result.image, result.labels)))
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


def _labels(result: Segmentation, size: tuple[int, int]) -> Image.Image:
    """Labels as a picture of the size of that in the file, even of a large one."""
    labels = result.labels.astype(np.uint8 if result.count <= 256 else np.uint16)
    rows, columns = (np.arange(n) * m // n for n, m in zip(size, labels.shape, strict=True))
    picture = Image.fromarray(labels[np.ix_(rows, columns)])
    if result.count <= 256:
        picture.putpalette(palette(result.count).tobytes())
    return picture


def _png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
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

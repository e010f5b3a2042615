"""Many pictures as files: which are to be read, where their results go, which are there already.

For photo.jpg the results are photo.labels.png, photo.overlay.png and photo.tree.json, each written whole or not at all.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from walkcut.errors import InputError
from walkcut.images import SUFFIXES, image_size

if TYPE_CHECKING:
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

    @property
    def parts(self) -> tuple[Path, ...]:
        """The outputs while they are written: one name for all runs, so the next replaces what a killed one left."""
        return tuple(output.with_name(f".{output.name}.tmp") for output in self.outputs)


def plan(paths: Sequence[str], samples: Sequence[Path], out: Path | None, failures: list[str]) -> list[Job]:
    """One job per picture whose header can be read and whose outputs can be written; the others go to `failures`."""
    pictures: dict[Path, tuple[Path, Path]] = {}  # real path -> path as given, folder of the outputs
    for path in map(Path, paths):
        try:
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
            check_writable(folder)
            _claim(job, taken)
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


def _claim(job: Job, taken: dict[Path, Path | None]) -> None:
    """Reserve a job's outputs; InputError where they would overwrite a picture or another picture's outputs, or where
    their names are too long.
    """
    for part in job.parts:
        try:
            with suppress(FileNotFoundError):
                part.lstat()
        except OSError as error:
            raise InputError(
                f"The results of {job.path} cannot be named after it ({error.strerror}): rename it."
            ) from error
    for output in job.outputs:
        real = _real(output)
        if output.is_dir():
            raise InputError(f"{output} is a folder where the result of {job.path} should go: move it or give --out.")
        if real in taken:
            owner = taken[real]
            what = f"the result of {owner}" if owner else "a picture that is to be read"
            raise InputError(f"{job.path} would overwrite {output}, {what}: rename it or run it with another --out.")
    taken.update((_real(output), job.path) for output in job.outputs)


def check_writable(folder: Path) -> None:
    """Create a folder where it is missing, and see that a file can be made there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".walkcut-{os.getpid()}.tmp"
        probe.touch()
        probe.unlink()
    except OSError as error:
        reason = error.strerror
        raise InputError(f"The folder {folder} cannot be written to ({reason}): choose another --out.") from error


def finished(job: Job, settings: dict) -> bool:
    """Whether an earlier run wrote all outputs of this very picture; the tree, written last, holds the settings."""
    try:
        written = min(output.stat().st_mtime for output in job.outputs)
        record = json.loads(job.outputs[-1].read_text())
    except (OSError, ValueError):
        return False
    wanted = {"picture": job.path.name, **settings}
    return written >= job.path.stat().st_mtime and isinstance(record, dict) and wanted.items() <= record.items()


def save(job: Job, result: Segmentation, settings: dict) -> None:
    """Write the three outputs, each whole or not at all, the tree last: where it is there, the others belong to it.

    Raises
    ------
    InputError
        If they cannot be written; where there is no room for them, what was there before stays.
    """
    contents = _encode(result, image_size(job.path), {"picture": job.path.name, **settings})
    try:
        for part, content in zip(job.parts, contents, strict=True):
            part.write_bytes(content)
        job.outputs[-1].unlink(missing_ok=True)  # until it is there again, nothing says that the others are finished
        for part, output in zip(job.parts, job.outputs, strict=True):
            part.replace(output)
    except OSError as error:
        raise InputError(
            f"{job.outputs[0]} cannot be written ({error.strerror}): make room or choose another --out."
        ) from error
    finally:
        for part in job.parts:
            with suppress(OSError):  # what went wrong above is to be told, not this
                part.unlink()


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

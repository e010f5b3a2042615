"""Many pictures, from files to files: read, looked at and cut side by side, see `walkcut.engine`.

On a processor the outputs are the same to the last byte, whatever the engine and the number of workers: each picture is
cut by one thread, and all pictures that share a pass of the denoiser are chosen beforehand.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import torch
from scipy.sparse.linalg import ArpackError

from walkcut import __version__
from walkcut.attention import Features
from walkcut.backbone import Backbone, find_device, load_backbone, short_of_memory
from walkcut.engine import Function, Stage, stream
from walkcut.errors import InputError
from walkcut.files import Job, save
from walkcut.graph import Graph
from walkcut.images import read_image
from walkcut.models import fingerprint, model_folder
from walkcut.ncut import single_threaded
from walkcut.presets import Preset
from walkcut.segmentation import Seen, cut, look
from walkcut.tree import Growth
from walkcut.walk import Stationary, Walk

READERS = 2  # threads that read ahead
# What one picture may do wrong without stopping the others, beside asking for too much memory; anything else is a fault
# of the code.
BROKEN = (InputError, ArpackError, np.linalg.LinAlgError, torch.linalg.LinAlgError)


@dataclass(frozen=True)
class Settings:
    """What every picture of a run shares; the arguments of `load_backbone` and `segment`."""

    preset: Preset
    model: str = "dead-leaves"
    device: str = "auto"
    dtype: str = "auto"
    prompt: str = ""
    grid: int = 64
    seed: int = 0
    noise: str | None = None
    offload: bool = False
    compiled: bool = False
    threads: int = field(
        default_factory=torch.get_num_threads
    )  # of the denoiser on a CPU; they can change a last digit
    weights: str | None = field(init=False, default=None)  # their fingerprint; None if they are not here

    def __post_init__(self) -> None:
        with suppress(InputError, OSError):  # of a damaged folder, loading tells
            object.__setattr__(self, "weights", fingerprint(self.model))

    def record(self) -> dict:
        """What the results depend on, as it is written beside them."""
        return {
            "walkcut": __version__,
            "model": self.model,
            "weights": self.weights,
            "prompt": self.prompt,
            "dtype": self.dtype,
            "preset": self.preset.name,
            "threshold": self.preset.criterion,
            "steps": self.preset.steps,
            "pixels": self.preset.pixels,
            "grid": self.grid,
            "seed": self.seed,
            "noise": self.noise or "the preset's",
        }


@dataclass(frozen=True)
class Report:
    """How a picture fared: the number of its segments, or one sentence on why there are none."""

    job: Job
    count: int = 0
    failure: str = ""


def segment_files(
    jobs: Sequence[Job],
    settings: Settings,
    engine: str = "local",
    workers: int | None = None,
    batch: int = 1,
    lookers: int = 1,
    backbone: Backbone | None = None,
) -> Iterator[Report]:
    """Segment pictures and write the results, see `walkcut.files`; reports come in the order of the jobs.

    Parameters
    ----------
    jobs : sequence of Job
    settings : Settings
    engine : str
        "local" or "ray".
    workers : int, optional
        Processes that cut while the denoiser looks; 0 cuts between two looks. Default: half of the processor's cores
        beside a GPU; 0 where the denoiser itself needs the processor; with Ray, as many as this machine has cores.
    batch : int
        Pictures for one pass of the denoiser; of these, those of one size are looked at together.
    lookers : int
        Denoisers that look side by side; beside GPUs each has one of its own. More than one asks for Ray.
    backbone : Backbone, optional
        One that is loaded already, for the local engine; `settings` then only name it.

    Raises
    ------
    InputError
        For a model that is not here, an unknown engine, several lookers without Ray, or a loaded one with it.
    """
    if lookers > 1 and engine != "ray":
        raise InputError(f"{lookers} denoisers side by side need the engine 'ray': it gives a GPU to each of them.")
    if backbone and engine == "ray":
        raise InputError("Ray's workers load their own denoiser: leave the backbone out, or the engine.")
    if not backbone:
        model_folder(settings.model)  # told here if it is not there: a worker would be started again and again
    on_gpu = (backbone.device if backbone else find_device(settings.device)).type == "cuda"
    cores = os.cpu_count() or 1
    if workers is None:
        workers = cores if engine == "ray" else cores // 2 * on_gpu
    stages = [
        Stage(_reader, READERS, threads=True),
        Stage(partial(_looker, settings, backbone), lookers * (engine == "ray"), gpus=float(on_gpu)),
        Stage(partial(_cutter, settings), workers),
    ]
    for reports in stream([jobs[i : i + batch] for i in range(0, len(jobs), batch)], stages, engine):
        yield from reports


# ---------------------------------------------------------------------------------------------------------------------
# The three stages: each takes a group of pictures from the one before


@dataclass(frozen=True)
class _Picture:
    """What a picture has become so far; with a failure, nothing becomes of it any more.

    Matrices, of the walk and of regions that wait to be cut, travel as arrays: `walkcut.engine` sends these fastest.
    """

    job: Job
    image: np.ndarray | None = None
    matrix: np.ndarray | None = None
    grid: tuple[int, int] = (0, 0)
    settled: Stationary | None = None
    features: np.ndarray | None = None
    features_grid: tuple[int, int] = (0, 0)
    ceiling: float = 0.0
    growth: Growth | None = None
    regions: tuple[tuple[int, np.ndarray], ...] = ()
    failure: str = ""

    def failed(self, error: BaseException) -> _Picture:
        path, reason = str(self.job.path), str(error) or type(error).__name__
        return _Picture(self.job, failure=reason if path in reason else f"{path}: {reason}")


def _excused(picture: _Picture, error: Exception) -> _Picture:
    """The picture with its failure, if the error may be its own; else the error stops the run."""
    if isinstance(error, BROKEN) or short_of_memory(error):
        return picture.failed(error)
    raise error


def _reader() -> Function:
    return lambda jobs: [_read(_Picture(job)) for job in jobs]


def _read(picture: _Picture) -> _Picture:
    try:
        return replace(picture, image=read_image(picture.job.path))
    except Exception as error:
        return _excused(picture, error)


def _looker(settings: Settings, backbone: Backbone | None = None) -> Function:
    torch.set_num_threads(settings.threads)
    given = (settings.model, settings.device, settings.dtype, settings.prompt, settings.offload, settings.compiled)
    backbone = backbone or load_backbone(*given)

    def look_at(pictures: Sequence[_Picture]) -> list[_Picture]:
        found = {picture.job: picture for picture in pictures}
        sizes: dict[tuple, list[_Picture]] = {}
        for picture in pictures:
            if not picture.failure:
                sizes.setdefault(picture.image.shape, []).append(picture)
        for alike in sizes.values():
            found |= {picture.job: picture for picture in _look(alike, backbone, settings)}
        return list(found.values())

    return look_at


def _look(pictures: Sequence[_Picture], backbone: Backbone, settings: Settings) -> list[_Picture]:
    """One pass over pictures of one size; where that fails, one pass for each, to know which of them is to blame."""
    options = {"preset": settings.preset, "grid": settings.grid, "seed": settings.seed, "noise": settings.noise}
    try:
        images = [picture.image for picture in pictures]
        return [_packed(*pair) for pair in zip(pictures, look(images, backbone, **options), strict=True)]
    except Exception as error:
        failed = [_excused(picture, error) for picture in pictures]
    if len(pictures) == 1:
        return failed
    # out here: while an error is at hand, it holds all that the pass held, and there may have been too little memory
    return [one for picture in pictures for one in _look([picture], backbone, settings)]


def _fetched(tensor: torch.Tensor) -> np.ndarray:
    """A tensor's numbers in main memory; from a GPU into pages that stay there, which is many times as fast."""
    if not tensor.is_cuda:
        return tensor.cpu().numpy()
    return torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True).copy_(tensor).numpy()


def _packed(picture: _Picture, seen: Seen) -> _Picture:
    walk, settled, growth = seen.walk, seen.walk.settled, seen.growth
    if settled:
        settled = replace(settled, law=settled.law.cpu())
    found = replace(picture, matrix=_fetched(walk.P), grid=walk.grid, settled=settled, ceiling=seen.ceiling)
    if growth:
        regions = tuple((node, _fetched(region.W)) for node, region in growth.waiting)
        found = replace(found, growth=replace(growth, waiting=[]), regions=regions)
    if seen.features is None:
        return found
    return replace(found, features=seen.features.values.cpu().numpy(), features_grid=seen.features.grid)


def _unpacked(picture: _Picture, preset: Preset) -> Seen:
    walk, said, growth = Walk(torch.from_numpy(picture.matrix), picture.grid, picture.settled), None, picture.growth
    if growth:
        waiting = [(node, Graph._trusted(torch.from_numpy(W))) for node, W in picture.regions]
        growth = replace(growth, waiting=waiting)
    if picture.features is not None:
        said = Features(torch.from_numpy(picture.features), picture.features_grid)
    return Seen(picture.image, walk, preset, picture.ceiling, said, growth=growth)


def _cutter(settings: Settings) -> Function:
    def cut_all(pictures: Sequence[_Picture]) -> list[Report]:
        with single_threaded():
            return [_cut(picture, settings) for picture in pictures]

    return cut_all


def _cut(picture: _Picture, settings: Settings) -> Report:
    if picture.failure:
        return Report(picture.job, failure=picture.failure)
    try:
        result = cut(_unpacked(picture, settings.preset))
        save(picture.job, result, settings.record())
    except Exception as error:
        return Report(picture.job, failure=_excused(picture, error).failure)
    return Report(picture.job, result.count)

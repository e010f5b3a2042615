"""Many pictures, from files to files: read, looked at and cut side by side, see `walkcut.app.stages`.

On a processor the outputs are the same to the last byte, whatever the engine and the number of workers: each picture is
cut by one thread, and all pictures that share a pass of the denoiser are chosen beforehand.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from scipy.sparse.linalg import ArpackError

from walkcut.app.outputs import Job, Picture, reader, save
from walkcut.app.stages import Function, Stage, carried, stream
from walkcut.backbone import Backbone
from walkcut.errors import InputError, ModelError
from walkcut.eyes.loading import find_device, load_backbone
from walkcut.eyes.models import model_folder
from walkcut.memory import enough_memory, short_of_memory
from walkcut.recipe import Recipe
from walkcut.segmentation import Segmentation, WalkRecord, cut, extract_walks

READERS = 2  # processes that read ahead beside others that cut
# What one picture may do wrong without stopping the others, beside asking for too much memory; anything else is a fault
# of the code.
BROKEN = (InputError, ArpackError, np.linalg.LinAlgError, torch.linalg.LinAlgError)


@dataclass(frozen=True)
class Report:
    """How a picture fared: the number of its segments, or one sentence on why there are none."""

    job: Job
    count: int = 0
    failure: str = ""


def segment_files(
    jobs: Sequence[Job],
    recipe: Recipe,
    engine: str = "local",
    workers: int | None = None,
    batch: int = 1,
    lookers: int = 1,
    backbone: Backbone | None = None,
    device: str = "auto",
    offload: bool = False,
    compiled: bool = False,
) -> Iterator[Report]:
    """Segment pictures and write the results, see `walkcut.app.outputs`; reports come in the order of the jobs.

    Parameters
    ----------
    jobs : sequence of Job
    recipe : Recipe
        It names the model, too.
    engine : str
        "local" or "ray".
    workers : int, optional
        Processes that cut while the denoiser looks, or write what a GPU has cut; 0 does it between two looks. Default:
        half of the processor's cores beside a GPU; 0 where the denoiser itself needs the processor; with Ray, as many
        as this machine has cores.
    batch : int
        Pictures for one pass of the denoiser; of these, those of one size are looked at together.
    lookers : int
        Denoisers that look side by side; beside GPUs each has one of its own. More than one asks for Ray.
    backbone : Backbone, optional
        The recipe's, where it is loaded already, for the local engine.
    device, offload, compiled
        As for `walkcut.load_backbone`.

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
        model_folder(recipe.model)  # told here if it is not there: a worker would be started again and again
    on_gpu = (backbone.device if backbone else find_device(device)).type == "cuda"
    cores = os.cpu_count() or 1
    if workers is None:
        workers = cores if engine == "ray" else cores // 2 * on_gpu
    load = partial(load_backbone, recipe.model, device, recipe.dtype, recipe.prompt, offload, compiled)
    # threads of a denoiser on a CPU can change a last digit: every worker has as many as this process
    looker = partial(_looker, load, backbone, recipe, torch.get_num_threads())
    stages = [
        Stage(reader, min(READERS, workers)),
        Stage(looker, lookers * (engine == "ray"), gpus=float(on_gpu)),
        Stage(_cutter, workers),
    ]
    for reports in stream([jobs[i : i + batch] for i in range(0, len(jobs), batch)], stages, engine):
        yield from reports


# ---------------------------------------------------------------------------------------------------------------------
# The stages: each takes a group of pictures from the one before


def _excused(picture: Picture, error: Exception) -> Picture:
    """The picture with its failure, if the error may be its own; else the error stops the run."""
    if (isinstance(error, BROKEN) and not isinstance(error, ModelError)) or short_of_memory(error):
        return picture.failed(error)
    raise error


def _looker(load: Callable[[], Backbone], backbone: Backbone | None, recipe: Recipe, threads: int) -> Function:
    torch.set_num_threads(threads)
    return partial(_look_at, backbone or load(), recipe)


def _look_at(backbone: Backbone, recipe: Recipe, pictures: Sequence[Picture]) -> list[Picture]:
    sizes: dict[tuple[int, ...], list[Picture]] = {}
    for picture in pictures:
        if not picture.failure:
            sizes.setdefault(picture.image.shape, []).append(picture)
    found = {picture.job: picture for alike in sizes.values() for picture in _look(alike, backbone, recipe)}
    return [found.get(picture.job, picture) for picture in pictures]


def _look(pictures: Sequence[Picture], backbone: Backbone, recipe: Recipe) -> list[Picture]:
    """One pass over pictures of one size; where that fails, one pass for each, to know which of them is to blame."""
    try:
        images = [picture.image for picture in pictures]
        patches = backbone.grid(images[0], recipe.grid)
        with enough_memory(patches, recipe.grid, backbone.device, len(images)):
            return [
                # carried also for this process: it is cut alike wherever that is done
                replace(picture, record=carried(near(record)))
                for picture, record in zip(pictures, extract_walks(images, backbone, recipe), strict=True)
            ]
    except Exception as error:
        failed = [_excused(picture, error) for picture in pictures]
    if len(pictures) == 1:
        return failed
    # out here: while an error is at hand, it holds all that the pass held, and there may have been too little memory
    return [one for picture in pictures for one in _look([picture], backbone, recipe)]


def near(record: WalkRecord) -> WalkRecord | Segmentation:
    """What a processor gets of a walk: on a GPU, which is not left by n^2 numbers, it is cut there."""
    return cut(record) if record.walk.P.is_cuda else record


def _cutter() -> Function:
    return lambda pictures: [_cut(picture) for picture in pictures]


def _cut(picture: Picture) -> Report:
    if picture.failure:
        return Report(picture.job, failure=picture.failure)
    try:
        record, here = picture.record, torch.device("cpu")
        done = isinstance(record, Segmentation)
        with enough_memory(record.tree.grid if done else record.walk.grid, record.recipe.grid, here, pictures=0):
            result = record if done else cut(record)
            save(picture, result)
        return Report(picture.job, result.count)
    except Exception as error:
        return Report(picture.job, failure=_excused(picture, error).failure)

"""How many pictures a second does the whole method take, and where do time and memory go?"""

import argparse
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from walkcut.app.batch import segment_files
from walkcut.app.outputs import Job, read, save
from walkcut.backbone import Backbone
from walkcut.bench import architectures
from walkcut.bench.record import keep, peak_memory, provenance
from walkcut.capture import MeanAttention, capture
from walkcut.errors import InputError
from walkcut.eyes.loading import find_device, load_backbone
from walkcut.eyes.networks import compile_layers
from walkcut.recipe import resolve
from walkcut.samples import sample_names, sample_path
from walkcut.segmentation import Segmentation, cut, extract_walks, timed

STAGES = ("VAE", "denoiser", "capture", "walk", "cut", "pixels")
Picture = Callable[[], dict[str, float]]  # segments one; seconds of each stage


class Deaf(MeanAttention):
    """Asks for the same layers, and records nothing."""

    def record(self, *_: Any) -> None:
        pass

    def results(self) -> list[None]:
        return [None]


def one_picture(backbone: Backbone, image: np.ndarray, grid: int) -> tuple[Segmentation, dict[str, float]]:
    """Segment a picture; seconds of each stage. The pass of the denoiser is taken twice, bare and listened to."""
    seconds: dict[str, float] = {}
    recipe = resolve("walkcut", backbone.eye, {"grid": grid})
    with timed(seconds, "VAE", backbone.device):
        backbone.encode(image, grid)
    with timed(seconds, "denoiser", backbone.device):
        capture(backbone, [image], recipe, Deaf())
    found = cut(extract_walks([image], backbone, recipe)[0])
    return found, by_stage(seconds | found.timings)


def by_stage(seconds: dict[str, float]) -> dict[str, float]:
    """Of what was timed: a pass begins with the VAE, whether anyone listens to the denoiser or not."""
    apart = {"denoiser": seconds["denoiser"] - seconds["VAE"], "capture": seconds["attention"] - seconds["VAE"]}
    return {stage: (seconds | apart)[stage] for stage in STAGES}


def from_file_to_files(backbone: Backbone, job: Job, grid: int) -> dict[str, float]:
    """The same of a picture that is read, and whose outputs are written, as `walkcut segment` does."""
    ends: dict[str, float] = {}
    with timed(ends, "read"):
        picture = read(job)
    found, seconds = one_picture(backbone, picture.image, grid)
    with timed(ends, "write"):
        save(replace(picture, record=found), found)
    return {"read": ends["read"], **seconds, "write": ends["write"]}


def busy_on_gpu(picture: Picture) -> dict[str, float]:
    """Seconds for which a GPU was at work in each stage of a picture, as torch's profiler tells."""
    with torch.profiler.profile() as seen:
        stages = picture()
    busy: dict[str, float] = defaultdict(float)
    for event in seen.events() or ():
        if event.device_type == torch.autograd.DeviceType.CPU:  # what a GPU did is told of the range that asked for it
            busy[event.name] += event.device_time_total / 1e6
    return {stage: busy[stage] for stage in stages} | by_stage(busy)


def mean(times: Sequence[dict[str, float]]) -> dict[str, float]:
    """Of each stage, over pictures."""
    return {stage: round(sum(one[stage] for one in times) / len(times), 5) for stage in times[0]}


def throughput(
    backbone: Backbone, command: str, pictures: int = 10, grid: int = 64, whole: bool = False
) -> dict[str, Any]:
    """Time and memory of the whole method on pictures, the first of which is not counted.

    Parameters
    ----------
    backbone : Backbone
    command : str
        That repeats the measurement.
    pictures : int
    grid : int
        Patches of the finest attention along the longer side.
    whole : bool
        Whether to take the samples, from files to files, and to tell what runs where; else pictures are of noise, and
        square, of the size that the grid asks for.

    Returns
    -------
    dict
        Provenance; "pictures_per_second" of encoding, one pass that is listened to, and all that follows; "seconds" of
        a picture by stage, "denoiser" being the same pass with nobody listening; "processor_share", processors that
        were at work for it on average: below the number of threads where a GPU works or others shared the machine;
        "peak_gb", of the GPU if there is one, else of the process; where the whole was asked for, "gpu_seconds", for
        which a GPU was at work in each stage (not told for one of Apple's, whom torch's profiler does not see).
    """
    on_gpu = backbone.device.type == "cuda"
    with TemporaryDirectory() as folder:
        first, *others = _pictures(backbone, pictures + 1, grid, Path(folder) if whole else None)
        first()
        if on_gpu:
            torch.cuda.reset_peak_memory_stats(backbone.device)
        wall, busy = time.perf_counter(), time.process_time()
        times = [picture() for picture in others]
        share = (time.process_time() - busy) / (time.perf_counter() - wall)
        peak = torch.cuda.max_memory_allocated(backbone.device) if on_gpu else peak_memory()
        at_work = [busy_on_gpu(picture) for picture in others] if whole and on_gpu else [dict.fromkeys(times[0], 0.0)]
    seconds = mean(times)
    return provenance(command) | {
        "model": backbone.name,
        "dtype": str(backbone.dtype).removeprefix("torch."),
        "device": backbone.device.type,
        "pixels": backbone.patch * grid,
        "grid": grid,
        "pictures": pictures,
        "seconds": seconds,
        **({"gpu_seconds": mean(at_work)} if whole and backbone.device.type != "mps" else {}),
        "pictures_per_second": round(1 / (sum(seconds.values()) - seconds["denoiser"]), 3),
        "processor_share": round(share, 2),
        "peak_gb": round(peak / 1e9, 2),
        "threads": torch.get_num_threads(),
    }


def _pictures(backbone: Backbone, count: int, grid: int, folder: Path | None) -> list[Picture]:
    """Pictures to be segmented: of noise; or the samples, where a folder is given for their outputs."""
    if folder is None:
        side = backbone.patch * grid
        images = np.random.default_rng(0).integers(0, 256, (count, side, side, 3), dtype=np.uint8)
        return [lambda image=image: one_picture(backbone, image, grid)[1] for image in images]  # type: ignore[misc]
    return [partial(from_file_to_files, backbone, job, grid) for job in _sample_jobs(count, folder)]


def _sample_jobs(count: int, folder: Path) -> list[Job]:
    """So many pictures of the samples, those of one size in a row, for batches; their outputs go to a folder."""
    names = sample_names()
    return [Job(sample_path(names[i * len(names) // count]), folder / f"{i}") for i in range(count)]


def chain(backbone: Backbone, pictures: int, grid: int, cutters: int, batch: int = 1) -> dict:
    """Pictures a second of the chain that `walkcut segment folder/` is: the samples, over and over, files to files.

    Parameters
    ----------
    backbone : Backbone
    pictures : int
        At least eight for each cutter are taken: in the first half, which is not counted, processes start.
    grid, cutters, batch : int
        As for `walkcut.app.batch.segment_files`.

    Returns
    -------
    dict
        What was run, and "pictures_per_second" of its second half.
    """
    pictures, ends = max(pictures, 8 * max(cutters, 1)), []
    recipe = resolve("walkcut", backbone.eye, {"grid": grid})
    with TemporaryDirectory() as folder:
        jobs = _sample_jobs(pictures, Path(folder))
        for report in segment_files(jobs, recipe, workers=cutters, batch=batch, backbone=backbone):
            if report.failure:
                raise InputError(report.failure)
            ends.append(time.perf_counter())
    rate = (pictures - pictures // 2) / (ends[-1] - ends[pictures // 2 - 1])
    return {"cutters": cutters, "batch": batch, "pictures": pictures, "pictures_per_second": round(rate, 3)}


def text(record: dict) -> str:
    """The measurement in words, a stage a line; "listening" is what it adds to the bare pass."""
    seconds, gpu = (
        stages | {"listening": stages["capture"] - stages["denoiser"]} if stages else {}
        for stages in (record["seconds"], record.get("gpu_seconds"))
    )
    shown = [name for name in ("read", "VAE", "denoiser", "listening", *STAGES[3:], "write") if name in seconds]
    total = sum(seconds[name] for name in shown)
    lines = [
        f"{record['model']} in {record['dtype']}, {record['pixels']} px, {record['grid']} patches a side, on "
        f"{record['gpu'] if record['device'] == 'cuda' else record['processor']}:",
        f"{record['pictures_per_second']:.2f} pictures a second, at most {record['peak_gb']:.2f} GB.",
    ]
    for name in shown:
        where = f"  GPU {1000 * gpu[name]:9.1f} ms" if gpu.get(name) else "  processor" * bool(gpu)
        lines.append(f"  {name:12} {1000 * seconds[name]:9.1f} ms {100 * seconds[name] / total:5.1f}%{where}")
    if record["device"] == "cpu":
        lines.append(f"On average {record['processor_share']:.2f} processors worked for it.")
    if told := record.get("chain"):
        lines.append(f"With {told['cutters']} cutters beside it: {told['pictures_per_second']:.2f} pictures a second.")
    return "\n".join(lines)


def backbone_of(arguments: argparse.Namespace) -> Backbone:
    """The model that a command asks for, or its architecture without weights."""
    if not arguments.random_weights:
        options = {"offload": arguments.offload, "compiled": arguments.compiled}
        return load_backbone(arguments.model, arguments.device, arguments.dtype, **options)
    device = find_device(arguments.device)
    usual = "float16" if device.type == "cuda" else "float32"
    dtype = getattr(torch, usual if arguments.dtype == "auto" else arguments.dtype)
    backbone = architectures.random_backbone(arguments.model, str(device), dtype, offload=arguments.offload)
    if arguments.compiled:
        compile_layers(backbone.denoiser)
    return backbone


def measured(arguments: argparse.Namespace) -> dict:
    """Carry out `walkcut bench speed`; the record, which is written."""
    model, backbone = Path(arguments.model).name, backbone_of(arguments)
    words = ["--whole"] * arguments.whole + ["--random-weights"] * arguments.random_weights
    words += ["--compile"] * arguments.compiled + ["--offload"] * arguments.offload
    words += ["--dtype", arguments.dtype] * (arguments.dtype != "auto") + ["--grid", str(arguments.grid)]
    words += ["--pictures", str(arguments.pictures)] * (arguments.pictures != 10)
    if arguments.cutters is not None:
        words += ["--cutters", str(arguments.cutters)] + ["--batch", str(arguments.batch)] * (arguments.batch > 1)
    command = " ".join(["walkcut bench speed --model", model, *words])
    record = throughput(backbone, command, arguments.pictures, arguments.grid, arguments.whole)
    if arguments.cutters is not None:
        record["chain"] = chain(backbone, arguments.pictures, arguments.grid, arguments.cutters, arguments.batch)
    return keep(arguments.out / f"speed-{model}.json", record, "command")

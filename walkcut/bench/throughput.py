"""How many pictures a second does the whole method take, and where do time and memory go?"""

import argparse
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from walkcut.app.batch import segment_files
from walkcut.app.outputs import Job
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
    seconds |= found.timings
    seconds["denoiser"] -= seconds["VAE"]  # a pass begins with it
    seconds["capture"] = seconds["attention"] - seconds["VAE"]
    return found, {stage: seconds[stage] for stage in STAGES}


def throughput(backbone: Backbone, command: str, pictures: int = 10, grid: int = 64) -> dict:
    """Time and memory of the whole method on pictures of noise, the first of which is not counted.

    Parameters
    ----------
    backbone : Backbone
    command : str
        That repeats the measurement.
    pictures : int
    grid : int
        Patches of the finest attention along a side; pictures are square, of the size that this asks for.

    Returns
    -------
    dict
        Provenance; "pictures_per_second" of encoding, one pass that is listened to, and all that follows; "seconds" of
        a picture by stage, "denoiser" being the same pass with nobody listening; "processor_share", processors that
        were at work for it on average: below the number of threads where a GPU works or others shared the machine;
        "peak_gb", of the GPU if there is one, else of the process.
    """
    side = backbone.patch * grid
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (pictures + 1, side, side, 3), dtype=np.uint8)
    one_picture(backbone, images[0], grid)
    on_gpu = backbone.device.type == "cuda"
    if on_gpu:
        torch.cuda.reset_peak_memory_stats(backbone.device)
    wall, busy = time.perf_counter(), time.process_time()
    times = [one_picture(backbone, image, grid)[1] for image in images[1:]]
    share = (time.process_time() - busy) / (time.perf_counter() - wall)
    seconds = {name: sum(one[name] for one in times) / pictures for name in STAGES}
    peak = torch.cuda.max_memory_allocated(backbone.device) if on_gpu else peak_memory()
    return provenance(command) | {
        "model": backbone.name,
        "dtype": str(backbone.dtype).removeprefix("torch."),
        "device": backbone.device.type,
        "pixels": side,
        "grid": grid,
        "pictures": pictures,
        "seconds": {name: round(value, 5) for name, value in seconds.items()},
        "pictures_per_second": round(1 / (sum(seconds.values()) - seconds["denoiser"]), 3),
        "processor_share": round(share, 2),
        "peak_gb": round(peak / 1e9, 2),
        "threads": torch.get_num_threads(),
    }


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
    pictures, names, ends = max(pictures, 8 * max(cutters, 1)), sample_names(), []
    recipe = resolve("walkcut", backbone.eye, {"grid": grid})
    with TemporaryDirectory() as folder:
        shown = [names[i * len(names) // pictures] for i in range(pictures)]  # those of one size in a row, for batches
        jobs = [Job(sample_path(name), Path(folder) / f"{i}") for i, name in enumerate(shown)]
        for report in segment_files(jobs, recipe, workers=cutters, batch=batch, backbone=backbone):
            if report.failure:
                raise InputError(report.failure)
            ends.append(time.perf_counter())
    rate = (pictures - pictures // 2) / (ends[-1] - ends[pictures // 2 - 1])
    return {"cutters": cutters, "batch": batch, "pictures": pictures, "pictures_per_second": round(rate, 3)}


def text(record: dict) -> str:
    """The measurement in words, a stage a line; "listening" is what it adds to the bare pass."""
    seconds = record["seconds"]
    stages = seconds | {"listening": seconds["capture"] - seconds["denoiser"]}
    shown = ("VAE", "denoiser", "listening", "walk", "cut", "pixels")
    whole = sum(stages[name] for name in shown)
    lines = [
        f"{record['model']} in {record['dtype']}, {record['pixels']} px, {record['grid']} patches a side, on "
        f"{record['gpu'] if record['device'] == 'cuda' else record['processor']}:",
        f"{record['pictures_per_second']:.2f} pictures a second, at most {record['peak_gb']:.2f} GB.",
        *(f"  {name:12} {1000 * stages[name]:9.1f} ms {100 * stages[name] / whole:5.1f}%" for name in shown),
    ]
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
    words = ["--random-weights"] * arguments.random_weights
    words += ["--compile"] * arguments.compiled + ["--offload"] * arguments.offload
    words += ["--dtype", arguments.dtype] * (arguments.dtype != "auto") + ["--grid", str(arguments.grid)]
    if arguments.cutters is not None:
        words += ["--cutters", str(arguments.cutters)] + ["--batch", str(arguments.batch)] * (arguments.batch > 1)
    command = " ".join(["walkcut bench speed --model", model, *words])
    record = throughput(backbone, command, arguments.pictures, arguments.grid)
    if arguments.cutters is not None:
        record["chain"] = chain(backbone, arguments.pictures, arguments.grid, arguments.cutters, arguments.batch)
    return keep(arguments.out / f"speed-{model}.json", record, "command")

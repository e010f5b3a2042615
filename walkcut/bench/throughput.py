"""How many pictures a second does the whole method take, and where do time and memory go?"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from walkcut.attention import _Means, listening, self_attention_layers
from walkcut.backbone import Backbone
from walkcut.bench.record import peak_memory, provenance
from walkcut.errors import InputError
from walkcut.files import Job
from walkcut.images import sample_names, sample_path
from walkcut.many import Settings, segment_files
from walkcut.noise import views
from walkcut.presets import find_preset, walk_for
from walkcut.segmentation import cut_walk

STAGES = ("VAE", "denoiser", "capture", "walk", "cut", "pixels")


class _Clock:
    """Seconds by stage; a GPU is waited for."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.seconds = dict.fromkeys(STAGES, 0.0)

    def now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        start = self.now()
        yield
        self.seconds[name] += self.now() - start


def one_picture(backbone: Backbone, image: np.ndarray, grid: int, clock: _Clock) -> int:
    """Segment a picture stage by stage; the pass of the denoiser is taken twice, bare and listened to.

    Returns the number of segments.
    """
    with clock.stage("VAE"):
        latent = backbone.encode(image, grid)
    ((noisy, timestep),) = views(backbone, latent, backbone.timesteps[:1])
    with clock.stage("denoiser"):
        backbone.denoise(noisy, timestep)
    layers = self_attention_layers(backbone)
    heads = backbone.heads or {name: (1.0,) * layer.heads for name, layer in layers.items()}
    means = _Means(backbone.grids(latent))
    with clock.stage("capture"), listening(backbone, [means], heads):
        backbone.denoise(noisy, timestep)
    with clock.stage("walk"), torch.inference_mode():
        walk = walk_for(find_preset("walkcut"), backbone, means.maps())
    found = cut_walk(image, backbone, walk)
    for stage in ("cut", "pixels"):
        clock.seconds[stage] += found.timings[stage]
    return found.count


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
    one_picture(backbone, images[0], grid, _Clock(backbone.device))
    on_gpu = backbone.device.type == "cuda"
    if on_gpu:
        torch.cuda.reset_peak_memory_stats(backbone.device)
    clock = _Clock(backbone.device)
    wall, busy = time.perf_counter(), time.process_time()
    for image in images[1:]:
        one_picture(backbone, image, grid, clock)
    share = (time.process_time() - busy) / (time.perf_counter() - wall)
    seconds = {name: total / pictures for name, total in clock.seconds.items()}
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
    }


def chain(backbone: Backbone, pictures: int, grid: int, cutters: int, batch: int = 1) -> dict:
    """Pictures a second of the chain that `walkcut segment folder/` is: the samples, over and over, files to files.

    Parameters
    ----------
    backbone : Backbone
    pictures : int
        At least eight for each cutter are taken: in the first half, which is not counted, processes start.
    grid, cutters, batch : int
        As for `walkcut.many.segment_files`.

    Returns
    -------
    dict
        What was run, and "pictures_per_second" of its second half.
    """
    pictures, names, ends = max(pictures, 8 * max(cutters, 1)), sample_names(), []
    settings = Settings(find_preset("walkcut"), backbone.name, grid=grid)
    with TemporaryDirectory() as folder:
        shown = [names[i * len(names) // pictures] for i in range(pictures)]  # those of one size in a row, for batches
        jobs = [Job(sample_path(name), Path(folder) / f"{i}") for i, name in enumerate(shown)]
        for report in segment_files(jobs, settings, workers=cutters, batch=batch, backbone=backbone):
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

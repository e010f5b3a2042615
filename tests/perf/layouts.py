"""A pass of a denoiser as it comes, with its channels last, compiled by torch, and both: in turn, in one run.

    python tests/perf/layouts.py            writes book/results/layouts.json, in some 10 minutes on two cores

Stable Diffusion 1.4 has random weights: they make no difference to the time of a pass. The picture is of noise and
square. On a GPU, where there is one.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

from walkcut.app.outputs import write_whole
from walkcut.backbone import Backbone
from walkcut.bench.architectures import random_backbone
from walkcut.bench.record import as_text, provenance
from walkcut.bench.throughput import Deaf
from walkcut.capture import MeanAttention, capture
from walkcut.eyes.loading import find_device, load_backbone
from walkcut.eyes.networks import compile_layers
from walkcut.recipe import resolve
from walkcut.segmentation import timed

OUT = Path(__file__).resolve().parent.parent.parent / "book" / "results" / "layouts.json"
GRID = 64
ROUNDS = {"dead-leaves": 12, "sd-1.4": 6}
WAYS = ("as it comes", "channels last", "compiled", "compiled, channels last")


def prepared(model: str, way: str, device: torch.device) -> Backbone:
    own = model == "dead-leaves"
    half = torch.float16 if device.type == "cuda" else torch.float32
    backbone = load_backbone(model, str(device)) if own else random_backbone(model, str(device), half)
    network = backbone.networks.first if own else backbone.denoiser  # of the embedded one, all that a walk needs
    if "last" in way:
        for part in (network, getattr(backbone, "vae", None) or network):
            part.to(memory_format=torch.channels_last)
    if "compiled" in way:
        compile_layers(network)
    return backbone


def measured(model: str, device: torch.device) -> list[dict]:
    """Seconds of the VAE and of a bare pass of the denoiser, the first left out; how far attention is apart."""
    backbones = {way: prepared(model, way, device) for way in WAYS}
    rows: dict[str, dict] = {}
    for turn in range(ROUNDS[model] + 1):
        for way, backbone in backbones.items():
            recipe, side = resolve("walkcut", backbone.eye, {"grid": GRID}), GRID * backbone.patch
            image = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
            seconds: dict[str, float] = {}
            with timed(seconds, "VAE", device):
                backbone.encode(image, GRID)
            with timed(seconds, "whole", device):
                capture(backbone, [image], recipe, Deaf())
            if not turn:
                rows[way] = {
                    "way": way,
                    "apart": apart(backbone, backbones[WAYS[0]], image),
                    "vae_s": [],
                    "denoiser_s": [],
                }
            else:
                rows[way]["vae_s"].append(round(seconds["VAE"], 4))
                rows[way]["denoiser_s"].append(round(seconds["whole"] - seconds["VAE"], 4))
    about = {"model": model, "pixels": side, "dtype": str(backbone.dtype).removeprefix("torch."), "device": device.type}
    return [about | row for row in rows.values()]


def apart(one: Backbone, other: Backbone, image: np.ndarray) -> float:
    """The largest difference of the finest attention of two, of its largest entry."""
    found = []
    for backbone in (one, other):
        ((seen,),) = capture(backbone, [image], resolve("walkcut", backbone.eye, {"grid": GRID}), MeanAttention())
        found.append(seen.maps[seen.finest].double())
    return float(f"{float((found[0] - found[1]).abs().max() / found[1].max()):.1e}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=OUT)
    arguments, device = parser.parse_args(), find_device("auto")
    record = {"title": "Layouts of a denoiser", **provenance("python tests/perf/layouts.py")}
    record |= {"threads": torch.get_num_threads(), "grid": GRID}
    record["measurements"] = [row for model in ROUNDS for row in measured(model, device)]
    write_whole({arguments.out: as_text(record).encode()})


if __name__ == "__main__":
    main()

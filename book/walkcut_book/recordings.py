"""Walks of pictures through an eye whose weights are not part of the book, recorded once: a byte a probability.

    python -m walkcut_book.recordings MODEL

shows a model, by its name or folder, the photographs that come with walkcut and some scenes of dead leaves. Beside
each recording stands how far it strays from the walk itself. Row i of a file's pixels is row i of the walk: 0 is the
smallest probability of all, 255 the largest, and steps between are alike in the logarithm. A probability is then off
by at most a fixed share of itself, small ones as well as large ones.
"""

import argparse
import json
import math
import shlex
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from walkcut.backbone import Backbone
from walkcut.bench.datasets import Item, held_out_scenes
from walkcut.bench.record import provenance
from walkcut.capture import AttentionMaps, MeanAttention, capture
from walkcut.errors import InputError
from walkcut.eyes.loading import load_backbone
from walkcut.eyes.models import MODELS
from walkcut.ncut import ncut
from walkcut.pixels import nearest
from walkcut.recipe import Recipe, resolve
from walkcut.registry import RECORDERS
from walkcut.samples import sample, sample_names
from walkcut.segmentation import Segmentation, WalkRecord, cut
from walkcut.walk import prepare

BOOK = Path(__file__).resolve().parent.parent
FOLDER = "recordings"
SCENES = tuple(f"scene-{number:04d}" for number in range(12))
GRID, SCENE_GRID = 37, 24  # patches along the longer side: of a photograph, and of a scene
LARGE = 0.01  # share of the patches: how dear it is to cut off a part of the tree is compared from this size on


# ---------------------------------------------------------------------------------------------------------------------
# Reading


@cache
def folder() -> Path:
    """Where the recordings lie: in a checkout, or beside a notebook that was opened in one."""
    for place in (BOOK, Path.cwd(), Path.cwd() / "book"):
        if (place / FOLDER / "recordings.json").is_file():
            return place / FOLDER
    need = "open this page in a checkout of the book's repository"
    raise InputError(f"The folder book/{FOLDER} is not here, as the installed package has no recordings: {need}.")


@cache
def record() -> dict[str, Any]:
    """How the recordings were made: the model and what is known of it, recipe, command, and errors by picture."""
    return json.loads((folder() / "recordings.json").read_text(encoding="utf-8"))


def worst(names: Sequence[str] = ()) -> dict[str, float]:
    """The largest error of each kind over some pictures, or all."""
    errors = [record()["pictures"][name]["errors"] for name in names or record()["pictures"]]
    return {kind: max(error[kind] for error in errors) for kind in errors[0]}


def scene(name: str) -> Item:
    """A recorded scene of dead leaves, with its truths."""
    return held_out_scenes("seeds").load(name.removeprefix("scene-"))


def picture(name: str) -> np.ndarray:
    """What was shown: a photograph that comes with walkcut, or a scene of dead leaves; uint8 (H, W, 3)."""
    return scene(name).image if name in SCENES else sample(name)


def truths(name: str) -> list[np.ndarray]:
    """On which leaf of a recorded scene each patch has its centre, and of which material that is; int (N,) each."""
    return [nearest(truth, (SCENE_GRID, SCENE_GRID)).ravel() for (truth,) in scene(name).truths.values()]


def attention(name: str) -> AttentionMaps:
    """What was recorded of a picture, with rows that sum to one."""
    if name not in record()["pictures"]:
        raise InputError(f"There is no recording {name!r}: choose from {', '.join(record()['pictures'])}.")
    about = record()["pictures"][name]
    with Image.open(folder() / f"{name}.png") as file:
        return AttentionMaps({tuple(about["grid"]): decoded(np.asarray(file), about["low"], about["high"])})


def recipe(name: str = "fig", **settings: Any) -> Recipe:
    """The settings that go with a recording, but for those that are given."""
    grid = SCENE_GRID if name in SCENES else GRID
    return Recipe.from_dict(record()["recipe"] | {"grid": grid} | settings)


def segment(name: str, **settings: Any) -> Segmentation:
    """What `walkcut.segment` finds in a recorded picture; its walk and graph are kept."""
    return cut(WalkRecord.prepared(picture(name), attention(name), recipe(name, **settings)), keep_walk=True)


def told_by_heads() -> tuple[np.ndarray, np.ndarray]:
    """What `walkcut calibrate` heard from each head in nats, and the heads that it chose: float64 (layers, heads)."""
    chosen = json.loads((folder() / "readout.json").read_text(encoding="utf-8"))
    nats = chosen["calibrated_on"]["nats"]
    read = [chosen["heads"].get(layer, [0.0] * len(values)) for layer, values in nats.items()]
    return np.array(list(nats.values())), np.array(read)


# ---------------------------------------------------------------------------------------------------------------------
# Writing


def encoded(P: torch.Tensor) -> tuple[np.ndarray, float, float]:
    """Positive probabilities (N, N) as bytes, and the logarithms that 0 and 255 stand for."""
    log = np.log(P.double().numpy())
    low, high = float(log.min()), max(float(log.max()), float(log.min()) + 1e-9)
    return np.rint((log - low) * 255 / (high - low)).astype(np.uint8), low, high


def decoded(stored: np.ndarray, low: float, high: float) -> torch.Tensor:
    """The inverse, but for the rounding: float32 (N, N), rows sum to one."""
    P = np.exp(low + stored * ((high - low) / 255))
    return torch.from_numpy((P / P.sum(1, keepdims=True)).astype(np.float32))


def look(backbone: Backbone, image: np.ndarray, used: Recipe) -> AttentionMaps:
    """What an eye attends to in a picture under a recipe that was made for it."""
    return capture(backbone, [image], used, MeanAttention())[0][0]


def strays(image: np.ndarray, heard: AttentionMaps, read: AttentionMaps, used: Recipe) -> dict[str, float]:
    """How far the walk that was read is from the one that was heard, rounded up.

    The share of walkers that would have to move, after a step from the worst patch (`rows`), and in the long run
    (`law`). And, of the parts of the tree that hold 1% or more, the largest error in the NCut of taking one out.
    """
    record = WalkRecord.prepared(image, heard, used)
    walks, tree = (record.walk, prepare(read, used)), cut(record).tree
    P, laws, graphs = zip(*((one.P, one.stationary().law, one.reversible()) for one in walks), strict=True)
    large = [slice(*ends) for ends in zip(tree.start, tree.stop, strict=True) if ends[1] - ends[0] > LARGE * len(P[0])]
    parts = [np.isin(np.arange(len(P[0])), tree.order[part]) for part in large[1:]]  # the first is the whole
    prices = [[ncut(graph, torch.from_numpy(part)) for part in parts] for graph in graphs]
    found = {
        "rows": (P[0] - P[1]).abs().sum(1).max() / 2,
        "law": (laws[0] - laws[1]).abs().sum() / 2,
        "ncut": np.abs(np.subtract(*prices)).max(initial=0),
    }
    return {kind: math.ceil(float(error) * 1e5 + 1) / 1e5 for kind, error in found.items()}


def write(backbone: Backbone, out: Path, settings: dict[str, Any], about: str, command: str) -> None:
    """Record every picture into a folder."""
    name, usual = Path(backbone.eye.name).name, resolve("walkcut", backbone.eye, settings)
    if usual.graph in RECORDERS:
        raise InputError(f"Walks are recorded, and the graph {usual.graph!r} needs more: choose another graph.")
    out.mkdir(parents=True, exist_ok=True)
    pictures = {}
    for title in (*sample_names(), *SCENES):
        image, grid = picture(title), SCENE_GRID if title in SCENES else GRID
        used = Recipe.from_dict(usual.to_dict() | {"grid": grid})
        heard = look(backbone, image, used)
        if len(heard.maps) > 1:
            raise InputError(f"{name} attends on {len(heard.maps)} grids, and one is recorded: give a readout of one.")
        stored, low, high = encoded(heard.maps[heard.finest])
        Image.fromarray(stored).save(out / f"{title}.png", optimize=True)
        read = AttentionMaps({heard.finest: decoded(stored, low, high)})
        errors = strays(image, heard, read, used)
        pictures[title] = {"grid": list(heard.finest), "low": low, "high": high, "errors": errors}
        print(title, errors, flush=True)
    made = {"model": name, "about": about, "recipe": usual.to_dict() | {"model": name}} | provenance(command)
    text = json.dumps(made | {"pictures": pictures}, indent=1) + "\n"
    (out / "recordings.json").write_text(text, encoding="utf-8")


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser("python -m walkcut_book.recordings", description="Record the book's pictures.")
    parser.add_argument("model", help="a short name, or a folder of a model")
    parser.add_argument("--readout", type=Path, help="a readout.json that counts in the place of the model's own")
    parser.add_argument("--about", default="", help="what is known of the weights, in one sentence")
    parser.add_argument("--out", type=Path, default=BOOK / FOLDER)
    asked = parser.parse_args()
    backbone, settings = load_backbone(asked.model, device="cpu"), {}
    if asked.readout:
        settings = json.loads(asked.readout.read_text(encoding="utf-8"))
        settings.pop("calibrated_on", None)
    name = Path(asked.model).name
    known = MODELS.get(name)
    about = asked.about or (f"{known.repository}, {known.licence}" if known else f"Weights of a folder {name}.")
    words = [Path(word).name if Path(word).is_absolute() else word for word in sys.argv[1:]]  # none of this machine
    write(backbone, asked.out, settings, about, shlex.join(["python", "-m", "walkcut_book.recordings", *words]))


if __name__ == "__main__":
    main()

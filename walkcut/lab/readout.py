"""Which heads to read of an eye that nobody tuned: those whose walk tells most beyond how far it looks. No label."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch

from walkcut.backbone import Backbone
from walkcut.capture import Grid, attention_layers, capture, head_count
from walkcut.errors import InputError
from walkcut.lab.recorders import QueriesAndKeys
from walkcut.null import SpatialNull
from walkcut.recipe import resolve
from walkcut.walk import Walk


def information(P: torch.Tensor, grid: Grid) -> float:
    """What a step of a stationary walk tells beyond how far it goes, in nats: KL(flow || spatial null).

    Equation `eq-know-information` of the book. Zero for a walk that is the same everywhere.

    Parameters
    ----------
    P : Tensor (h*w, h*w)
        Row-stochastic.
    grid : (h, w)
    """
    walk = Walk(P.cpu().double(), grid)
    null, flow = SpatialNull.of(walk).matrix(), walk.reversible().W
    held = flow > 0
    return float((flow[held] * (flow[held] / null[held]).log()).sum())


def told_by_heads(backbone: Backbone, images: Iterable[np.ndarray], grid: int = 32) -> dict[str, np.ndarray]:
    """`information` of every head by layer, float64 (heads,), a mean over pictures and timesteps."""
    layers = {name: head_count(backbone, layer) for name, layer in attention_layers(backbone).items()}
    recipe = resolve("walkcut", backbone.eye, {"grid": grid, "heads": {}})
    told = []
    for image in images:
        ((heads,),) = capture(backbone, [image], recipe, QueriesAndKeys())
        found = [information(torch.softmax(head.query @ head.key.T, 1), head.grid) for head in heads]
        told.append(np.reshape(found, (-1, sum(layers.values()))).mean(0))
    if not told:
        raise InputError("Heads are chosen by what they tell of photographs: name at least one photograph.")
    parts = np.split(np.mean(told, 0), np.cumsum(list(layers.values()))[:-1])
    return dict(zip(layers, parts, strict=True))


def readout(backbone: Backbone, images: Iterable[np.ndarray], grid: int = 32) -> dict[str, Any]:
    """Settings for `readout.json`: an eye's heads that tell more than its mean head does.

    Of a chain of layers, such as a vision transformer, only those of the deeper half count: early heads follow place
    and colour. In a U-Net every level hears of the deepest. The walk itself is left as it is.

    Parameters
    ----------
    backbone : Backbone
    images : iterable of uint8 (H, W, 3)
        Any photographs; no label is asked for.
    grid : int
        Patches along their longer side.

    Returns
    -------
    dict
        `heads`, as `walkcut.recipe.Recipe` has them, and `calibrated_on`: what they were chosen by.
    """
    told = told_by_heads(backbone, images, grid)
    mean = float(np.concatenate(list(told.values())).mean())
    deep = list(told) if backbone.kind == "unet" else list(told)[len(told) // 2 :]
    heads = {name: (told[name] > mean).astype(float).tolist() for name in deep if told[name].max() > mean}
    nats = {name: np.round(values, 3).tolist() for name, values in told.items()}
    return {"heads": heads, "calibrated_on": {"grid": grid, "nats": nats}}

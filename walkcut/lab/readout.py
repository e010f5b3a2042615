"""Which heads to read of an eye that nobody tuned: those whose walk tells most beyond how far it looks. No label."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch

from walkcut.backbone import Backbone
from walkcut.capture import Grid, attention_layers, capture, head_count
from walkcut.errors import InputError
from walkcut.lab.recorders import QueriesAndKeys
from walkcut.recipe import resolve
from walkcut.walk import stationary_law

ROUNDS = 100  # of rescaling, of which ten are enough for most
CLOSE = 1e-9  # to the law, in total variation


def spatial_null(flow: torch.Tensor, grid: Grid) -> torch.Tensor:
    """The flow of a walk that knows how far this one goes, in each direction, and not from where.

    Equation `eq-know-null` of the book. A flow is expected to be pi_i pi_j f(j - i), with f from all pairs of patches
    at one displacement in this very picture: the null model of Expert, Evans, Blondel & Lambiotte (2011), with
    displacements in the place of distances. Its rows are then scaled until they sum to pi.

    Parameters
    ----------
    flow : float64 Tensor (h*w, h*w)
        Chance of each step of a stationary walk, (pi_i P_ij + pi_j P_ji) / 2; sums to 1.
    grid : (h, w)

    Returns
    -------
    float64 Tensor (h*w, h*w)
        Symmetric; its rows sum to pi, too.
    """
    h, w = grid
    law = flow.sum(1)
    y, x = (part.flatten() for part in torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij"))
    shift = (y[:, None] - y + h - 1) * (2 * w - 1) + x[:, None] - x + w - 1
    chance = torch.outer(law, law)
    seen, expected = (torch.bincount(shift.ravel(), part.ravel()) for part in (flow, chance))
    null = chance * (seen / expected.clamp_min(torch.finfo(flow.dtype).tiny))[shift]
    for _ in range(ROUNDS):
        sums = null.sum(1)
        if float((sums - law).abs().sum()) < CLOSE:
            break
        scale = (law / sums.clamp_min(torch.finfo(flow.dtype).tiny)).sqrt()
        null = null * torch.outer(scale, scale)
    return null


def information(P: torch.Tensor, grid: Grid) -> float:
    """What a step of a stationary walk tells beyond how far it goes, in nats: KL(flow || spatial null).

    Equation `eq-know-information` of the book. Zero for a walk that is the same everywhere.

    Parameters
    ----------
    P : Tensor (h*w, h*w)
        Row-stochastic.
    grid : (h, w)
    """
    P = P.cpu()
    flow = stationary_law(P).law.double()[:, None] * P.double()
    flow = (flow + flow.T) / 2
    flow /= flow.sum()
    null = spatial_null(flow, grid)
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

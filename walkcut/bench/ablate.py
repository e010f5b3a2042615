"""Ablations, one setting at a time, everything else as usual: which graph, how many steps, which resolutions, layers,
heads and timesteps, how strong a prior, how many walkers agree, how patches become pixels. The first method of each
list is the usual one, with which all are compared.

Thresholds need no run of their own: every method's row of constants is its whole curve, beside its dynamic threshold.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from walkcut.attention import Grid, attend, self_attention_layers
from walkcut.bench.look import Look, Looker
from walkcut.bench.method import Method
from walkcut.bench.ours import AUTO, OURS, tree_method
from walkcut.errors import InputError
from walkcut.presets import GRAPHS, find_preset, prepared
from walkcut.refine import PIXELS
from walkcut.segmentation import Segmentation, cut_walk
from walkcut.walk import Walk, aggregate, lift

THRESHOLDS = (0.03, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.7, 0.9)
STEPS = tuple(range(1, 9))
TIMESTEPS = ((0,), (50,), (100,), (200,), (400,), (700,), (10, 10), (10, 100))
PRIORS = (None, 0.25, 1.0, 2.0)
WALKERS = (1.0, 1.5, 2.0, 3.0, 4.0)
GRIDS = (16, 24, 48)

Cut = Callable[[Look], Segmentation]
USUAL = "as usual"


def usual(look: Look) -> Segmentation:
    """The default preset."""
    return cut_walk(look.image, look.backbone, look.walk())


def changed(**settings: object) -> Cut:
    """The default preset with other settings."""
    preset = replace(find_preset(OURS), **settings)
    return lambda look: cut_walk(look.image, look.backbone, look.walk(preset), preset, look.features)


def graphs(looker: Looker) -> dict[str, Cut]:
    """What is cut: graphs of the walk, of its rows, of features."""
    found = {name: changed(graph=name) for name in (*GRAPHS, "features") if name != "reversible"}
    return found | {"renormalised sub-walks": changed(subwalk="renormalise")}


def steps(looker: Looker) -> dict[str, Cut]:
    """The walk takes k steps at once."""
    return {f"k={k}": changed(steps=k) for k in STEPS if k > 1}


def resolutions(looker: Looker) -> dict[str, Cut]:
    """How attention of several grids is weighed, and how fine the finest is."""

    def weighed(weigh: Callable[[Sequence[Grid]], Mapping[Grid, float]]) -> Cut:
        return lambda look: from_walk(look, aggregate(look.attention, weigh(sorted(look.attention.maps))))

    found = {
        "finest grid alone": weighed(lambda grids: {grids[-1]: 1.0}),
        "coarsest grid alone": weighed(lambda grids: {grids[0]: 1.0}),
        "grids weighed alike": weighed(lambda grids: dict.fromkeys(grids, 1.0)),
    }
    others = [grid for grid in GRIDS if grid != looker.blank.grid]
    return found | {f"{n} patches": lambda look, n=n: usual(replace(look, grid=n)) for n in others}


def layers(looker: Looker) -> dict[str, Cut]:
    """One self-attention layer alone, its heads alike; or all of them."""
    names = self_attention_layers(looker.blank.backbone)
    short = {f"{name.split('.transformer')[0]}, {name.split('.')[-2]}": (name,) for name in names}
    return {title: from_heads({n: (1.0,) * names[n].heads for n in chosen}) for title, chosen in short.items()} | {
        "all layers": from_heads({n: (1.0,) * layer.heads for n, layer in names.items()})
    }


def heads(looker: Looker) -> dict[str, Cut]:
    """One head alone, of the layers that are usually read."""
    backbone = looker.blank.backbone
    found = {}
    all_layers = self_attention_layers(backbone)
    for name in backbone.heads or all_layers:
        count = all_layers[name].heads
        for head in range(count):
            title = f"{name.split('.transformer')[0]}, {name.split('.')[-2]}, head {head}"
            found[title] = from_heads({name: tuple(float(i == head) for i in range(count))})
    return found


def timesteps(looker: Looker) -> dict[str, Cut]:
    """How noisy the picture is that the denoiser sees; several passes are averaged."""

    def cut(when: tuple[int, ...]) -> Cut:
        return lambda look: usual(replace(look, timesteps=when))

    return {"t=" + "+".join(map(str, when)): cut(when) for when in TIMESTEPS if when != looker.blank.backbone.timesteps}


def priors(looker: Looker) -> dict[str, Cut]:
    """Width of the prior on distance, in shares of the picture; none at all."""
    return {f"sigma={s}" if s else "no prior": changed(locality=s) for s in PRIORS}


def inflations(looker: Looker) -> dict[str, Cut]:
    """How many walkers must agree on a step."""
    usual_one = looker.blank.backbone.inflation
    return {f"{r:g} walkers": changed(inflation=r) for r in WALKERS if r != usual_one}


def pixels(looker: Looker) -> dict[str, Cut]:
    """How segments of patches become segments of pixels."""
    return {way: changed(pixels=way) for way in PIXELS if way != find_preset(OURS).pixels}


ABLATIONS: dict[str, Callable[[Looker], dict[str, Cut]]] = {
    "graph": graphs,
    "steps": steps,
    "resolutions": resolutions,
    "layers": layers,
    "heads": heads,
    "timesteps": timesteps,
    "prior": priors,
    "inflation": inflations,
    "pixels": pixels,
}


def from_walk(look: Look, walk: Walk) -> Segmentation:
    """Cut a walk that was made in another way, prepared as usual."""
    return cut_walk(look.image, look.backbone, prepared(OURS, look.backbone, walk))


def from_heads(weights: Mapping[str, Sequence[float]]) -> Cut:
    """Attention of other heads, brought to the usual grid, where a layer that is coarser would decide alone."""

    def cut(look: Look) -> Segmentation:
        fine = look.attention.finest
        maps = attend(look.backbone, look.image, look.grid, look.timesteps, look.seed, weights)
        walk = aggregate(maps)
        return from_walk(look, walk if walk.grid == fine else Walk(lift(walk.P, walk.grid, fine), fine))

    return cut


def ablation(
    what: str, looker: Looker, connected: bool = False, thresholds: Sequence[float] = THRESHOLDS
) -> list[Method]:
    """The usual method, then one for each change.

    Parameters
    ----------
    what : str
        One of `ABLATIONS`.
    looker : Looker
    connected : bool
        Score connected parts instead of segments.
    thresholds : sequence of float
        Constants beside the dynamic threshold.
    """
    if what not in ABLATIONS:
        raise InputError(f"There is no ablation {what!r}: choose from {', '.join(ABLATIONS)}.")
    cuts = {USUAL: usual} | ABLATIONS[what](looker)

    def segmenter(cut: Cut) -> Callable[[np.ndarray], Segmentation]:
        return lambda image: cut(looker(image)).at(AUTO)

    config = looker.config | {"what": what, "connected": connected}
    shared = {"others": (), "connected": connected, "looker": looker, "code": ("bench/ablate",), "tree_scores": False}
    return [tree_method(name, segmenter(cut), thresholds, config, **shared) for name, cut in cuts.items()]

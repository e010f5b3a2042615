"""Ablations, one setting at a time, everything else as usual: which graph, how many steps, which resolutions, layers,
heads and timesteps, how strong a prior, how many walkers agree, how patches become pixels. The first method of each
list is the usual one, with which all are compared.

Thresholds need no run of their own: every method's row of constants is its whole curve, beside its dynamic threshold.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from walkcut.bench.look import Looker
from walkcut.bench.method import Method
from walkcut.bench.ours import Segmenter, tree_method
from walkcut.capture import AttentionMaps, Grid, attention_layers, head_count
from walkcut.registry import GRAPHS, PIXELS
from walkcut.segmentation import Segmentation
from walkcut.walk import Walk, aggregate, lift

THRESHOLDS = (0.03, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.7, 0.9)
TIMESTEPS = ((0,), (50,), (100,), (200,), (400,), (700,), (10, 10), (10, 100))
USUAL = "as usual"
Change = tuple[Looker, Segmenter]  # under which recipe, and how pictures are segmented


def changed(looker: Looker, **settings: Any) -> Change:
    """The looker's recipe with other settings."""
    other = looker.under(**settings)
    return other, lambda image: other(image).segment()


def resolutions(looker: Looker) -> dict[str, Change]:
    """How attention of several grids is weighed."""

    def weighed(weigh: Callable[[Sequence[Grid]], Mapping[Grid, float]]) -> Change:
        def segment(image: np.ndarray) -> Segmentation:
            look = looker(image)
            return look.segment(maps_of(aggregate(look.attention, weigh(sorted(look.attention.maps)))))

        return looker, segment

    return {
        "finest grid alone": weighed(lambda grids: {grids[-1]: 1.0}),
        "coarsest grid alone": weighed(lambda grids: {grids[0]: 1.0}),
        "grids weighed alike": weighed(lambda grids: dict.fromkeys(grids, 1.0)),
    }


def layers(looker: Looker) -> dict[str, Change]:
    """One self-attention layer alone, its heads alike; or all of them."""
    backbone = looker.backbone
    every = {name: (1.0,) * head_count(backbone, layer) for name, layer in attention_layers(backbone).items()}
    found = {short(name): from_heads(looker, {name: weights}) for name, weights in every.items()}
    return found | {"all layers": from_heads(looker, every)}


def heads(looker: Looker) -> dict[str, Change]:
    """One head alone, of the layers that are usually read."""
    found, every = {}, attention_layers(looker.backbone)
    for name in looker.recipe.heads or every:
        for weights in np.eye(head_count(looker.backbone, every[name])).tolist():
            found[f"{short(name)}, head {weights.index(1)}"] = from_heads(looker, {name: tuple(weights)})
    return found


# Changes of settings, by ablation.
SETTINGS: dict[str, dict[str, dict[str, Any]]] = {
    # what is cut: graphs of the walk, of its rows, of features, of walks that stay in their regions
    "graph": {name: {"graph": name} for name in GRAPHS},
    # the walk takes k steps at once
    "steps": {f"k={k}": {"steps": k} for k in range(1, 9)},
    # how fine the finest grid is
    "resolutions": {f"{n} patches": {"grid": n} for n in (16, 24, 48, 74)},
    # how noisy the picture is that the denoiser sees; several passes are averaged
    "timesteps": {"t=" + "+".join(map(str, when)): {"timesteps": when} for when in TIMESTEPS},
    # width of the prior on distance, in shares of the picture; none at all
    "prior": {f"sigma={s}" if s else "no prior": {"spatial_prior": s} for s in (None, 0.25, 1.0, 2.0)},
    # how many walkers must agree on a step; and one and two who may also rest, as the model's attention has it
    "inflation": {
        **{f"{r:g} walker{'s' * (r != 1)}": {"inflation": r} for r in (1.0, 1.5, 2.0, 3.0, 4.0)},
        "1 walker, with rests": {"inflation": 1.0, "jump_chain": False},
        "2 walkers, with rests": {"inflation": 2.0, "jump_chain": False},
    },
    # how segments of patches become segments of pixels
    "pixels": {way: {"pixels": way} for way in PIXELS},
}
# Changes that are no settings.
OTHERS = {"resolutions": resolutions, "layers": layers, "heads": heads}


def short(layer: str) -> str:
    """A layer's name, without what all layers have."""
    return f"{layer.split('.transformer')[0]}, {layer.split('.')[-2]}"


def maps_of(walk: Walk) -> AttentionMaps:
    """A walk as the attention of a single grid."""
    return AttentionMaps({walk.grid: walk.P})


def from_heads(looker: Looker, weights: Mapping[str, Sequence[float]]) -> Change:
    """Attention of other heads, brought to the usual grid, where a layer that is coarser would decide alone."""
    other, _ = changed(looker, heads=weights)

    def segment(image: np.ndarray) -> Segmentation:
        fine, walk = looker(image).attention.finest, aggregate(other(image).attention)
        walk = walk if walk.grid == fine else Walk(lift(walk.P, walk.grid, fine), fine)
        return looker(image).segment(maps_of(walk))

    return other, segment


def ablation(
    what: str, looker: Looker, connected: bool = False, thresholds: Sequence[float] = THRESHOLDS
) -> list[Method]:
    """The usual method, then one for each change.

    Parameters
    ----------
    what : str
        One of `walkcut.bench.config.ABLATIONS`.
    looker : Looker
    connected : bool
        Score connected parts instead of segments.
    thresholds : sequence of float
        Constants beside the dynamic threshold.
    """
    changes = {USUAL: changed(looker)} | (OTHERS[what](looker) if what in OTHERS else {})
    for name, settings in SETTINGS.get(what, {}).items():
        if any(getattr(looker.recipe, key) != value for key, value in settings.items()):
            changes[name] = changed(looker, **settings)
    return compared(changes, connected, thresholds, what=what)


def compared(
    changes: Mapping[str, Change], connected: bool = False, thresholds: Sequence[float] = THRESHOLDS, **config: Any
) -> list[Method]:
    """A method for each change, the first of which is what the others are compared with; parameters as above."""
    shared: dict[str, Any] = {"others": (), "connected": connected, "config": config, "tree_scores": False}
    return [tree_method(name, segment, thresholds, looker, **shared) for name, (looker, segment) in changes.items()]

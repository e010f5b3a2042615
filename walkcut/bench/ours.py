"""Our method as a line of the benchmark: every preset, its segments and their connected parts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from walkcut import threshold as criteria
from walkcut.bench.datasets import Item
from walkcut.bench.hierarchy import hierarchy_scores
from walkcut.bench.look import Look, Looker
from walkcut.bench.method import Method, Result
from walkcut.presets import Preset, find_preset
from walkcut.segmentation import Segmentation, cut_walk

Segmenter = Callable[[np.ndarray], Segmentation]
Variant = Callable[[Segmentation], criteria.Pruning]

OURS = "walkcut"
THRESHOLDS = tuple(round(0.05 * i, 2) for i in range(1, 20))  # 0.05 to 0.95; from 1 on nothing is cut
AUTO = criteria.AUTO  # the default criterion
OTHERS = tuple(name for name in criteria.CRITERIA if name != AUTO)
CORE = (
    *(
        "images",
        "backbone",
        "attention",
        "walk",
        "graph",
        "affinity",
        "presets",
        "ncut",
        "tree",
        "threshold",
        "pixels",
        "refine",
    ),
    *("segmentation", "bench/look", "bench/ours", "bench/hierarchy"),
)


def cutter(looker: Looker, preset: str | Preset = OURS) -> Segmenter:
    """From a picture to its segmentation by a preset; the last one is kept, for segments and parts in turn."""
    chosen = find_preset(preset)
    kept: dict[int, tuple[Look, Segmentation]] = {}

    def cut(image: np.ndarray) -> Segmentation:
        look = looker(image)
        if id(look) not in kept:
            kept.clear()
            features = look.features if chosen.graph == "features" else None
            kept[id(look)] = look, cut_walk(image, look.backbone, look.walk(chosen), chosen, features)
        return kept[id(look)][1]

    return cut


def tree_method(
    name: str,
    segmenter: Segmenter,
    thresholds: Sequence[float],
    config: dict,
    first: str = AUTO,
    others: Sequence[str] = OTHERS,
    connected: bool = False,
    variants: Mapping[str, Variant] | None = None,
    looker: Looker | None = None,
    code: Sequence[str] = (),
    tree_scores: bool = True,
) -> Method:
    """One tree per picture; then criteria, and constant thresholds, as prunings of that tree.

    Parameters
    ----------
    name : str
    segmenter : callable
        From an image to a `Segmentation` by the criterion `first`.
    thresholds : sequence of float
        In (0, 2].
    config : dict
        What the segmenter depends on.
    first, others : criteria
        Each a line of the table; the tree itself is scored with the first.
    connected : bool
        Score connected parts (`Segmentation.parts`) instead of segments.
    variants : mapping of name to function of a `Segmentation`, optional
        Further ways to prune, each a line of the table.
    code : sequence of str
        Files beside the core that the segmenter is made from.
    tree_scores : bool
        Score the whole tree too, with the first setting (see `walkcut.bench.hierarchy`).
    """
    variants = variants or {}

    def shown(found: Segmentation) -> np.ndarray:
        return found.parts() if connected else found.labels

    def run(item: Item) -> Iterator[Result]:
        found = segmenter(item.image)
        whole = hierarchy_scores(found, item.truths) if tree_scores and not connected else {}
        yield Result(first, shown(found), notes=whole)
        for other in others:
            yield Result(other, shown(found.at(other)))
        for other, variant in variants.items():
            yield Result(other, shown(found.pruned(variant(found))))
        known: dict[bytes, np.ndarray] = {}  # neighbouring thresholds often prune to the same patches
        for threshold in thresholds:
            key = found.tree.labels(threshold).tobytes()
            if key not in known:
                known[key] = shown(found.at(threshold))
            yield Result(f"{threshold:g}", known[key])

    alone = (first, *others, *variants)
    sources = tuple(f"{part}.py" for part in (*CORE, *code))
    return Method(
        name,
        (*alone, *(f"{threshold:g}" for threshold in thresholds)),
        config | {"automatic": first},
        sources,
        run,
        alone=alone,
        looker=looker,
    )


def preset_methods(
    looker: Looker,
    preset: str | Preset = OURS,
    thresholds: Sequence[float] = THRESHOLDS,
    variants: Mapping[str, Variant] | None = None,
) -> list[Method]:
    """Segments of a preset, and their connected parts. The default preset tries every criterion, others their own."""
    chosen = find_preset(preset)
    first = AUTO if chosen.criterion == "auto" else chosen.criterion
    others = tuple(name for name in criteria.CRITERIA if name != first) if chosen.name == OURS else ()
    segmenter = cutter(looker, replace(chosen, criterion=first))
    config = looker.config | {
        name: getattr(chosen, name) for name in ("graph", "steps", "subwalk", "locality", "inflation", "pixels")
    }
    shared = {"variants": variants, "looker": looker, "code": ("bench/criteria",) if variants else ()}
    return [
        tree_method(chosen.name + end, segmenter, thresholds, config, first, others, connected, **shared)
        for end, connected in (("", False), (", parts", True))
    ]

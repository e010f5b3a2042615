"""Our method as a line of the benchmark: every preset, its segments and their connected parts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from walkcut import threshold as criteria
from walkcut.backbone import Backbone
from walkcut.bench.datasets import Item
from walkcut.bench.hierarchy import hierarchy_scores
from walkcut.bench.look import Look, Looker
from walkcut.bench.method import Method, Result
from walkcut.presets import Preset, find_preset, inflation_for
from walkcut.segmentation import Segmentation, cut_walk

Segmenter = Callable[[np.ndarray], Segmentation]
Variant = Callable[[Segmentation], criteria.Pruning]

OURS = "walkcut"
# Where constants are tried: from 1 on nothing is cut; and walkers who must agree leave a region less often, so that
# their cuts are cheaper.
THRESHOLDS = tuple(round(0.05 * i, 2) for i in range(1, 20))  # 0.05 to 0.95
AGREED = (0.02, 0.03, 0.05, 0.07, 0.1, 0.14, 0.17, 0.2, 0.25, 0.3, 0.4, 0.5)
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


def thresholds_for(preset: str | Preset, backbone: Backbone) -> tuple[float, ...]:
    """The constants that are tried for a preset on a backbone."""
    return AGREED if inflation_for(preset, backbone) > 1 else THRESHOLDS


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


@dataclass
class Drawer:
    """From a pruning to its pixels; those of the last tree are kept.

    Many prunings hold the same patches, and segments and their parts share pixels.
    """

    kept: dict[bytes, Segmentation] = field(default_factory=dict)

    def __call__(self, found: Segmentation, pruning: criteria.Pruning) -> Segmentation:
        if not self.kept or next(iter(self.kept.values())).tree is not found.tree:
            self.kept = {found.patch_labels.tobytes(): found}
        key = found.tree.labels(leaves=pruning.leaves).tobytes()
        if key not in self.kept:
            self.kept[key] = found.pruned(pruning)
        return self.kept[key]


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
    draw: Drawer | None = None,
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
    draw : Drawer, optional
        Shared by methods of one segmenter.
    """
    variants, draw = variants or {}, draw or Drawer()

    def shown(found: Segmentation) -> np.ndarray:
        return found.parts() if connected else found.labels

    def run(item: Item) -> Iterator[Result]:
        found = segmenter(item.image)
        whole = hierarchy_scores(found, item.truths) if tree_scores and not connected else {}
        yield Result(first, shown(found), notes=whole)
        for stop in (*others, *thresholds):
            pruning = criteria.prune(found.tree, stop, found.walk, found.ceiling)
            yield Result(stop if isinstance(stop, str) else f"{stop:g}", shown(draw(found, pruning)))
        for other, variant in variants.items():
            yield Result(other, shown(draw(found, variant(found))))

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
    thresholds: Sequence[float] | None = None,
    variants: Mapping[str, Variant] | None = None,
) -> list[Method]:
    """Segments of a preset, and their connected parts. The default preset tries every criterion, others their own."""
    chosen = find_preset(preset)
    thresholds = thresholds or thresholds_for(chosen, looker.blank.backbone)
    first = AUTO if chosen.criterion == "auto" else chosen.criterion
    others = tuple(name for name in criteria.CRITERIA if name != first) if chosen.name == OURS else ()
    segmenter = cutter(looker, replace(chosen, criterion=first))
    config = looker.config | {
        name: getattr(chosen, name) for name in ("graph", "steps", "subwalk", "locality", "inflation", "pixels")
    }
    code = ("bench/criteria",) if variants else ()
    shared = {"variants": variants, "looker": looker, "code": code, "draw": Drawer()}
    return [
        tree_method(chosen.name + end, segmenter, thresholds, config, first, others, connected, **shared)
        for end, connected in (("", False), (", parts", True))
    ]

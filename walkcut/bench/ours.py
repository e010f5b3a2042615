"""Our method as a line of the benchmark: every preset, its segments and their connected parts."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from weakref import WeakKeyDictionary

import numpy as np

from walkcut.bench.datasets import Item
from walkcut.bench.hierarchy import hierarchy_scores
from walkcut.bench.look import Looker
from walkcut.bench.method import Method, Result
from walkcut.criteria import Pruning, prune
from walkcut.recipe import find_preset
from walkcut.registry import AUTO, CRITERIA
from walkcut.segmentation import Segmentation

Segmenter = Callable[[np.ndarray], Segmentation]
Variant = Callable[[Segmentation], np.ndarray]  # leaves of a pruning of its tree

OURS = "walkcut"
# Where constants are tried: from 1 on nothing is cut; and walkers who must agree leave a region less often, so that
# their cuts are cheaper.
THRESHOLDS = tuple(round(0.05 * i, 2) for i in range(1, 20))  # 0.05 to 0.95
AGREED = (0.02, 0.03, 0.05, 0.07, 0.1, 0.14, 0.17, 0.2, 0.25, 0.3, 0.4, 0.5)
OTHERS = tuple(name for name in CRITERIA if name != AUTO)


def thresholds_for(looker: Looker) -> tuple[float, ...]:
    """The constants that are tried under a recipe."""
    return AGREED if looker.recipe.inflation > 1 else THRESHOLDS


# Prunings of what is still at hand, by their patches: many hold the same, and segments and their parts share pixels.
_drawn: WeakKeyDictionary[Segmentation, dict[bytes, Segmentation]] = WeakKeyDictionary()


def draw(found: Segmentation, leaves: np.ndarray) -> Segmentation:
    """What was found, pruned to these leaves: its pixels are made once for all prunings with the same patches."""
    known, key = _drawn.setdefault(found, {}), found.tree.labels(leaves=leaves).tobytes()
    if key == found.patch_labels.tobytes():
        return found
    if key not in known:
        known[key] = found.pruned(Pruning(AUTO, leaves))  # whose leaves they are, nobody asks
    return known[key]


def tree_method(
    name: str,
    segment: Segmenter,
    thresholds: Sequence[float],
    looker: Looker | None = None,
    first: str = AUTO,
    others: Sequence[str] = OTHERS,
    connected: bool = False,
    variants: Mapping[str, Variant] | None = None,
    config: dict | None = None,
    tree_scores: bool = True,
) -> Method:
    """One tree per picture; then criteria, and constant thresholds, as prunings of that tree.

    Parameters
    ----------
    name : str
    segment : callable
        From an image to a `Segmentation` by the criterion `first`.
    thresholds : sequence of float
        In (0, 2].
    looker : Looker, optional
        Whose look `segment` starts from.
    first, others : criteria
        Each a line of the table; the tree itself is scored with the first.
    connected : bool
        Score connected parts (`Segmentation.parts`) instead of segments.
    variants : mapping of name to function of a `Segmentation`, optional
        Further ways to prune, each a line of the table.
    config : dict, optional
        What `segment` depends on beside the looker's recipe.
    tree_scores : bool
        Score the whole tree too, with the first setting (see `walkcut.bench.hierarchy`).
    """
    variants = variants or {}

    def shown(found: Segmentation) -> np.ndarray:
        return found.parts() if connected else found.labels

    def run(item: Item) -> Iterator[Result]:
        found = segment(item.image)
        whole = hierarchy_scores(found, item.truths) if tree_scores and not connected else {}
        yield Result(first, shown(found), notes=whole)
        stops: tuple[str | float, ...] = (*others, *thresholds)
        for stop in stops:
            leaves = prune(found.tree, stop, found.graph, found.prices).leaves
            yield Result(stop if isinstance(stop, str) else f"{stop:g}", shown(draw(found, leaves)))
        for other, variant in variants.items():
            yield Result(other, shown(draw(found, variant(found))))

    alone = (first, *others, *variants)
    settings = (*alone, *(f"{threshold:g}" for threshold in thresholds))
    config = {"automatic": first, "connected": connected} | (config or {})
    modules = tuple({function.__module__ for function in (segment, *variants.values())})
    return Method(name, settings, config, run, alone=alone, looker=looker, modules=modules)


def preset_methods(
    looker: Looker, thresholds: Sequence[float] | None = None, variants: Mapping[str, Variant] | None = None
) -> list[Method]:
    """Segments of the looker's preset, and their connected parts; the default one tries every criterion."""
    name = find_preset(looker.preset).name
    first = str(looker.recipe.threshold)
    others = tuple(other for other in CRITERIA if other != first) if name == OURS else ()
    thresholds = thresholds or thresholds_for(looker)

    def segment(image: np.ndarray) -> Segmentation:
        return looker(image).segment()

    return [
        tree_method(name + end, segment, thresholds, looker, first, others, connected, variants)
        for end, connected in (("", False), (", parts", True))
    ]

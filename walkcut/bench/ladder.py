"""The oracle ladder: one stage after another is told the truth, and what is still lost is lost elsewhere.

Three stages can be told. *Affinity*: the walk is replaced by one that stays in the true region of a patch. *Threshold*:
of all constant thresholds, and the automatic one, the best for this picture. *Pixels*: a pixel may go to the segment
that holds most of its true region, if a patch next to it (or its own) lies there. With all three told, what is missing
is lost by the grid of patches and by a greedy tree.
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view

from walkcut.bench.ablate import maps_of
from walkcut.bench.datasets import Dataset, Item
from walkcut.bench.look import Look, Looker
from walkcut.bench.method import Method, Result
from walkcut.bench.metrics import contingency, covering
from walkcut.bench.ours import thresholds_for
from walkcut.pixels import connected_parts, without_gaps
from walkcut.segmentation import Segmentation
from walkcut.walk import Walk, parents

LEAK = 0.02  # of each step of the true walk goes anywhere: the graph stays connected
SETTING = "oracle"
# Name of the rung, and which of the stages it is told.
RUNGS = {
    "as it is": (),
    "true pixels": ("pixels",),
    "true threshold": ("threshold",),
    "true threshold and pixels": ("threshold", "pixels"),
    "true affinity": ("affinity",),
    "true affinity and threshold": ("affinity", "threshold"),
    "true affinity, threshold and pixels": ("affinity", "threshold", "pixels"),
}


def nearest_patch(grid: tuple[int, int], shape: tuple[int, int]) -> np.ndarray:
    """int (H, W): the patch, numbered row by row, in which each pixel lies."""
    return parents(grid, shape).reshape(shape).numpy()


def patch_truth(truth: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """int (h*w,): the true region that holds most pixels of each patch."""
    table = contingency(nearest_patch(grid, truth.shape), truth)  # (patches, regions)
    return table.argmax(1)


def true_walk(truth: np.ndarray, grid: tuple[int, int]) -> Walk:
    """From a patch to any patch of its true region alike, but for a leak."""
    region = torch.from_numpy(patch_truth(truth, grid))
    same = (region[:, None] == region).float()
    return Walk((1 - LEAK) * same / same.sum(1, keepdim=True) + LEAK / len(region), grid)


def true_pixels(truth: np.ndarray, patch_labels: np.ndarray) -> np.ndarray:
    """int (H, W): segments of patches brought to pixels as well as the truth allows, one patch to and fro."""
    patch = nearest_patch(patch_labels.shape, truth.shape)
    own = patch_labels.ravel()[patch]
    wanted = contingency(truth, own).argmax(1)[without_gaps(truth)]  # (H, W): the segment that holds most of its region
    wanted = np.unique(own)[wanted]
    around = sliding_window_view(np.pad(patch_labels, 1, mode="edge"), (3, 3)).reshape(-1, 9)  # of each patch
    near = (around[patch] == wanted[..., None]).any(-1)
    return without_gaps(np.where(near, wanted, own))


def climb(look: Look, truth: np.ndarray, told: tuple[str, ...], connected: bool = False) -> np.ndarray:
    """Labels (H, W) of a picture where these stages are told the truth, and the others do what they do."""
    found = told_affinity(look, truth) if "affinity" in told else look.segment()
    thresholds = thresholds_for(look.looker) if "threshold" in told else ()

    def shown(pruning: Segmentation) -> np.ndarray:
        labels = true_pixels(truth, pruning.patch_labels) if "pixels" in told else pruning.labels
        return connected_parts(labels, labels.size // 512) if connected else labels

    distinct = {p.patch_labels.tobytes(): p for p in (found, *(found.at(t) for t in thresholds))}.values()
    return max(map(shown, distinct), key=lambda labels: covering(contingency(truth, labels)))


def ladder(looker: Looker, connected: bool = False) -> list[Method]:
    """One method per rung, the method as it is first; each true segmentation is told and scored on its own."""

    def method(name: str, told: tuple[str, ...]) -> Method:
        def run(item: Item) -> Iterator[Result]:
            for kind, (truth, *_) in item.truths.items():
                yield Result(SETTING, climb(looker(item.image), truth, told, connected), (kind,))

        config = {"told": list(told), "leak": LEAK, "connected": connected}
        return Method(name, (SETTING,), config, run, looker=looker)

    return [method(name, told) for name, told in RUNGS.items()]


def told_affinity(look: Look, truth: np.ndarray) -> Segmentation:
    """The usual tree, grown on the true walk, once for each picture and truth."""
    key = "told", look.recipe, truth.tobytes()
    if key not in look.kept:
        look.kept[key] = look.segment(maps_of(true_walk(truth, look.attention.finest)))
    return look.kept[key]


def typical(truths: tuple[np.ndarray, ...]) -> np.ndarray:
    """Of several humans, the one whose segmentation covers the others' best."""
    means = [np.mean([covering(contingency(other, one)) for other in truths]) for one in truths]
    return truths[int(np.argmax(means))]


def one_truth(dataset: Dataset) -> Dataset:
    """The data set with one human per picture, the most typical: an oracle cannot tell several truths at once."""

    def load(name: str) -> Item:
        item = dataset.load(name)
        return replace(item, truths={kind: (typical(truths),) for kind, truths in item.truths.items()})

    return replace(dataset, load=load, config=dataset.config | {"truth": "the most typical human"})

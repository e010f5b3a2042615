"""The whole method: attention, walk, cut, tree, threshold, pixels."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

from walkcut.backbone import Backbone
from walkcut.capture import AttentionMaps, MeanAttention, Recorder, capture
from walkcut.criteria import Pruning, prune
from walkcut.graph import Affinity, packed
from walkcut.images import is_blank
from walkcut.null import SplitPrices
from walkcut.pixels import connected_parts, leaf_membership, pruned_membership, without_gaps
from walkcut.recipe import Recipe
from walkcut.refine import refined_labels
from walkcut.registry import GRAPHS, RECORDERS
from walkcut.threads import single_threaded, undisturbed
from walkcut.tree import PartitionTree, partition
from walkcut.walk import Walk, aggregate


@dataclass(frozen=True, eq=False)
class Segmentation:
    """What `segment` found.

    Attributes
    ----------
    image : uint8 (H, W, 3)
    labels : int32 (H, W)
        Segments of pixels, 0..m-1 without gaps.
    patch_labels : int32 (h, w)
        Segments of patches.
    tree : PartitionTree
        Every other threshold's answer, see `at`.
    recipe : Recipe
        All that these segments depend on beside the picture.
    threshold : float or None
        Of NCut that gives these segments, in [0, 2]; None where a criterion does not go by NCut alone.
    criterion : str
        That chose where to stop: "constant", or a name of `walkcut.registry.CRITERIA`.
    prices : SplitPrices
        Of the tree's splits, under attention's own walk and its spatial null.
    membership : float32 Tensor (h*w, leaves)
        Probability that a walker's next step from a patch ends in each leaf of the tree: those of any segments are
        sums of these, so that P itself need not be kept.
    timings : dict of str to float
        Seconds per stage.
    walk : Walk or None
        That was cut, where it was asked for.
    graph : Affinity or None
        That was cut, where the walk was asked for.
    """

    image: np.ndarray = field(repr=False)
    labels: np.ndarray = field(repr=False)
    patch_labels: np.ndarray = field(repr=False)
    tree: PartitionTree = field(repr=False)
    recipe: Recipe
    threshold: float | None
    criterion: str
    prices: SplitPrices = field(repr=False)
    membership: torch.Tensor = field(repr=False)
    timings: dict[str, float] = field(repr=False)
    walk: Walk | None = field(default=None, repr=False)
    graph: Affinity | None = field(default=None, repr=False)

    __reduce__ = packed

    @property
    def count(self) -> int:
        """Number of segments among the pixels."""
        return int(self.labels.max()) + 1

    @undisturbed()
    def at(self, threshold: float | str) -> Segmentation:
        """The same tree pruned elsewhere, at a number or by a criterion: no second pass, no second recursion."""
        return self.pruned(prune(self.tree, threshold, self.graph, self.prices))

    @undisturbed()
    def pruned(self, pruning: Pruning) -> Segmentation:
        """The segments of a pruning of the tree."""
        patch_labels = self.tree.labels(leaves=pruning.leaves)
        membership = pruned_membership(self.membership, self.tree, patch_labels)
        labels = refined_labels(membership, self.tree.grid, self.image, self.recipe.pixels)
        # a segment may lose every pixel to its neighbours: number those that are left
        labels = without_gaps(labels)
        constant = pruning.threshold if pruning.criterion == "constant" else None
        recipe = replace(self.recipe, threshold=pruning.criterion if constant is None else constant)
        chosen: dict[str, Any] = {"threshold": pruning.threshold, "criterion": pruning.criterion, "recipe": recipe}
        return replace(self, labels=labels, patch_labels=patch_labels, **chosen)

    @undisturbed()
    def parts(self) -> np.ndarray:
        """Connected pieces of the segments, int32 (H, W); pieces below 1/512 of the picture join their neighbours.

        The walk jumps between patches that look alike, however far apart: two dogs may be one segment. Here they are
        two parts.
        """
        return connected_parts(self.labels, self.labels.size // 512)


@dataclass(frozen=True, eq=False)
class WalkRecord:
    """A picture, and all that a cut needs of what an eye saw in it; it can be sent to another process.

    Attributes
    ----------
    image : uint8 (H, W, 3)
    walk : Walk
        Its steps are taken already.
    recipe : Recipe
    own : Walk
        Attention's own, by which splits are priced; the same where a recipe leaves the walk as it is.
    features : optional
        What a graph needs beside the walk, see `walkcut.registry.RECORDERS`.
    timings : dict of str to float
        Seconds per stage so far.
    """

    image: np.ndarray
    walk: Walk
    recipe: Recipe
    own: Walk
    features: Any = None
    timings: dict[str, float] = field(default_factory=dict)

    @classmethod
    def prepared(cls, image: np.ndarray, attention: AttentionMaps, recipe: Recipe, features: Any = None) -> WalkRecord:
        """The walk that a recipe cuts, made from what was captured: several recipes can share one capture."""
        own = aggregate(attention)
        return cls(image, own.under(recipe), recipe, own, features)

    def graph(self) -> Affinity:
        """What is to be cut."""
        recorded = () if self.features is None else (self.features,)
        return GRAPHS[self.recipe.graph](self.walk, *recorded)

    def tree(self, graph: Affinity) -> PartitionTree:
        """The recursion on this graph. A blank picture stays whole: the best of all cuts of nothing is none."""
        return partition(graph, self.walk.grid, len(graph) if is_blank(self.image) else None)


@undisturbed()
def extract_walks(images: Sequence[np.ndarray], backbone: Backbone, recipe: Recipe) -> list[WalkRecord]:
    """The first half of `segment`: one pass of the eye for all pictures, which must share one grid of patches."""
    timings: dict[str, float] = {}
    recorders: list[Recorder] = [MeanAttention()]
    recorders += [RECORDERS[recipe.graph]()] if recipe.graph in RECORDERS else []
    with timed(timings, "attention", backbone.device):
        seen = capture(backbone, images, recipe, *recorders)
    with timed(timings, "walk", backbone.device):
        records = [
            WalkRecord.prepared(image, attention, recipe, *features)
            for image, (attention, *features) in zip(images, seen, strict=True)
        ]
    shared = {stage: seconds / len(images) for stage, seconds in timings.items()}
    return [replace(record, timings=shared) for record in records]


@undisturbed()
def cut(record: WalkRecord, keep_walk: bool = False) -> Segmentation:
    """The second half of `segment`, on the device that holds the walk: no eye is needed any more."""
    recipe, walk, timings = record.recipe, record.walk, dict(record.timings)
    with timed(timings, "cut", walk.P.device), single_threaded():
        # a graph is as large as its walk: where nobody asks for it later, it goes with the first cut
        graph = record.graph() if keep_walk or recipe.threshold == "eigengap" else None
        tree = record.tree(graph or record.graph())
        membership = leaf_membership(walk, tree)
        prices = SplitPrices.of(tree, record.own, membership if record.own is walk else None)
        pruning = prune(tree, recipe.threshold, graph, prices)
    with timed(timings, "pixels", walk.P.device), single_threaded():
        nothing = np.zeros(record.image.shape[:2], np.int32)
        kept: dict[str, Any] = {"walk": walk, "graph": graph} if keep_walk else {}
        unpruned = record.image, nothing, nothing, tree, recipe, None, "", prices, membership, timings
        return Segmentation(*unpruned, **kept).pruned(pruning)


@contextmanager
def timed(timings: dict[str, float], stage: str, device: torch.device | None = None) -> Iterator[None]:
    """Add the seconds of the block to a stage's; the GPU that works for it, if one does, is waited for.

    To torch's profiler it is a range by the name of the stage.
    """
    start = time.perf_counter()
    with torch.profiler.record_function(stage):
        yield
        if device is not None and device.type == "cuda":
            torch.cuda.synchronize(device)
    timings[stage] = timings.get(stage, 0.0) + time.perf_counter() - start

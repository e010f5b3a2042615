"""The whole method in one call: attention, walk, cut, tree, threshold, pixels."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from walkcut.attention import Features, attend_batch, observe
from walkcut.backbone import Backbone, load_backbone
from walkcut.graph import Graph
from walkcut.images import check_image
from walkcut.ncut import single_threaded
from walkcut.pixels import connected_parts, soft_membership, without_gaps
from walkcut.presets import Preset, find_preset, graph_for, inflation_for, noise_for, walk_for
from walkcut.refine import refined_labels
from walkcut.threshold import Pruning, blank_ncut, check_threshold, prune
from walkcut.tree import MEMORYLESS, NEAR, Growth, PartitionTree
from walkcut.walk import Walk


@dataclass(frozen=True)
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
    walk : Walk
        That was cut.
    threshold : float or None
        Of NCut that gives these segments, in [0, 2]; None where a criterion does not go by NCut alone.
    timings : dict of str to float
        Seconds per stage.
    ceiling : float
        Splits of this NCut or more are taken by no criterion, see `walkcut.threshold.prune`.
    criterion : str
        That chose where to stop: "constant", or one of `walkcut.threshold.CRITERIA`.
    pixels : str
        How segments of patches become segments of pixels, see `walkcut.presets.Preset`.
    """

    image: np.ndarray
    labels: np.ndarray
    patch_labels: np.ndarray
    tree: PartitionTree
    walk: Walk
    threshold: float | None
    timings: dict[str, float]
    ceiling: float = MEMORYLESS
    criterion: str = "constant"
    pixels: str = "bilinear"

    @property
    def count(self) -> int:
        """Number of segments among the pixels."""
        return int(self.labels.max()) + 1

    def at(self, threshold: float | str) -> Segmentation:
        """The same tree pruned elsewhere, at a number or by a criterion: no second pass, no second recursion."""
        return self.pruned(prune(self.tree, threshold, self.walk, self.ceiling))

    def pruned(self, pruning: Pruning) -> Segmentation:
        """The segments of a pruning of the tree."""
        patch_labels = self.tree.labels(leaves=pruning.leaves)
        labels = refined_labels(soft_membership(self.walk, patch_labels), self.walk.grid, self.image, self.pixels)
        # a segment may lose every pixel to its neighbours: number those that are left
        labels = without_gaps(labels)
        chosen = {"threshold": pruning.threshold, "criterion": pruning.criterion}
        return replace(self, labels=labels, patch_labels=patch_labels, **chosen)

    def parts(self) -> np.ndarray:
        """Connected pieces of the segments, int32 (H, W); pieces below 1/512 of the picture join their neighbours.

        The walk jumps between patches that look alike, however far apart: two dogs may be one segment. Here they are
        two parts.
        """
        return connected_parts(self.labels, self.labels.size // 512)


def segment(
    image: np.ndarray,
    model: str | Backbone = "dead-leaves",
    *,
    preset: str | Preset = "walkcut",
    threshold: float | str | None = None,
    steps: int | None = None,
    grid: int = 64,
    timesteps: Sequence[int] | None = None,
    noise: str | None = None,
    locality: float | str | None = "preset",
    pixels: str | None = None,
    seed: int = 0,
    device: str = "auto",
) -> Segmentation:
    """Segment a picture by cutting the random walk that a denoiser's attention takes over it.

    Parameters
    ----------
    image : uint8 (H, W, 3)
        Other arrays are converted, see `walkcut.images.check_image`.
    model : str or Backbone
        A short name, a local folder in diffusers format, or a backbone that is already loaded.
    preset : str or Preset
        Which walk, graph and criterion: "walkcut", or a reconstruction of the paper's, see `walkcut.presets`. The
        next arguments, where given, replace its settings.
    threshold : "auto", float in (0, 2] or str, optional
        Splits of NCut up to a number are taken, from the whole picture down. A name is a criterion that needs no
        number, see `walkcut.threshold.CRITERIA`; "auto" is the default one.
    steps : int, optional
        k >= 1: the walk takes k steps at once.
    grid : int
        Patches along the picture's longer side.
    timesteps : sequence of int, optional
        Noise levels at which attention is read, 0 to 999. Default: the model's.
    noise : str, optional
        "forward", "none" or "inversion", see `walkcut.noise.views`. Default: the preset's; for the embedded denoiser
        noisy passes.
    locality : "preset", "auto", None or float
        Width of the prior on distance (`Walk.local`); "auto" is the model's, None is no prior.
    pixels : str, optional
        "bilinear", "pamr" or "random-walker": how patches become pixels, see `walkcut.refine`.
    seed : int
        Of the noise.
    device : str
        For a model given by name.

    Returns
    -------
    Segmentation

    Raises
    ------
    InputError
        For a picture or an argument out of range, told in one sentence.
    """
    given = {"criterion": threshold, "steps": steps, "pixels": pixels}
    given = {name: value for name, value in given.items() if value is not None}
    given |= {} if locality == "preset" else {"locality": locality}
    chosen = replace(find_preset(preset), **given)
    check_threshold(chosen.criterion)
    image = check_image(image)
    timings: dict[str, float] = {}
    with _timed(timings, "model"):
        backbone = load_backbone(model, device) if isinstance(model, str) else model
    (seen,) = look([image], backbone, chosen, grid, timesteps, seed, noise)
    return cut(replace(seen, timings=timings | seen.timings))


@dataclass(frozen=True)
class Seen:
    """A picture, and all that a cut needs of what a denoiser saw in it.

    Attributes
    ----------
    image : uint8 (H, W, 3)
    walk : Walk
        Its steps are taken already.
    preset : Preset
    ceiling : float
        Splits of this NCut or more are no splits.
    features : Features or None
        For the graph "features" alone.
    timings : dict of str to float
        Seconds per stage so far.
    growth : Growth or None
        Of its tree, where a GPU began to cut: no region of more than `walkcut.tree.NEAR` patches is left.
    """

    image: np.ndarray
    walk: Walk
    preset: Preset
    ceiling: float
    features: Features | None = None
    timings: dict[str, float] = field(default_factory=dict)
    growth: Growth | None = None


def look(
    images: Sequence[np.ndarray],
    backbone: Backbone,
    preset: str | Preset = "walkcut",
    grid: int = 64,
    timesteps: Sequence[int] | None = None,
    seed: int = 0,
    noise: str | None = None,
) -> list[Seen]:
    """The first half of `segment`: one pass of the denoiser for all pictures, which must share one grid of patches.

    Parameters
    ----------
    images : sequence of uint8 (H, W, 3)
    backbone : Backbone
    preset : str or Preset
    grid, timesteps, seed, noise
        As for `segment`.
    """
    chosen, timings = find_preset(preset), {}
    noise = noise_for(chosen, backbone) if noise is None else noise
    options = {"grid": grid, "timesteps": timesteps, "seed": seed, "noise": noise}
    with _calm(backbone.device):
        with _timed(timings, "attention", backbone.device):
            if chosen.graph == "features":
                heard = [observe(backbone, image, **options) for image in images]
            else:
                heard = [(maps, None) for maps in attend_batch(backbone, images, **options)]
        with _timed(timings, "walk", backbone.device):
            walks = [walk_for(chosen, backbone, maps) for maps, _ in heard]
        with _timed(timings, "cut", backbone.device):
            growths = [_begun(chosen, walk, values) for walk, (_, values) in zip(walks, heard, strict=True)]
    timings = {stage: seconds / len(images) for stage, seconds in timings.items()}
    return [
        Seen(image, walk, chosen, _ceiling(chosen, backbone, walk.grid), values, timings, growth)
        for image, walk, (_, values), growth in zip(images, walks, heard, growths, strict=True)
    ]


def _begun(preset: Preset, walk: Walk, features: Features | None) -> Growth | None:
    """The tree of a walk that lies on a GPU, its large regions cut there: the rest may be left to a process without."""
    if not walk.P.is_cuda or type(graph := graph_for(preset, walk, features)) is not Graph:
        return None
    growth = Growth.start(graph, walk.grid)
    growth.cut(above=NEAR)
    return growth


def cut(seen: Seen) -> Segmentation:
    """The second half of `segment`: no denoiser is needed any more."""
    stop = check_threshold(seen.preset.criterion)
    timings, walk = dict(seen.timings), seen.walk
    with _timed(timings, "cut", walk.P.device), _calm(walk.P.device):
        growth = seen.growth or Growth.start(graph_for(seen.preset, walk, seen.features), walk.grid)
        growth.cut()
        tree = growth.tree()
    blank, patches = np.zeros(seen.image.shape[:2], np.int32), np.zeros(walk.grid, np.int32)
    settings = {"ceiling": seen.ceiling, "pixels": seen.preset.pixels}
    found = Segmentation(seen.image, blank, patches, tree, walk, 0.0, timings, **settings)
    with _timed(timings, "pixels", walk.P.device):
        return found.at(stop)


def cut_walk(
    image: np.ndarray,
    backbone: Backbone,
    walk: Walk,
    preset: str | Preset = "walkcut",
    features: Features | None = None,
    timings: dict[str, float] | None = None,
) -> Segmentation:
    """`cut` for a walk that was made in any way; several settings can share one look.

    Parameters
    ----------
    image : uint8 (H, W, 3)
    backbone : Backbone
        That looked: its prior on distance and its ceiling are used.
    walk : Walk
        Its steps are taken already.
    preset : str or Preset
    features : Features, optional
        For the graph "features" alone.
    timings : dict, optional
        Seconds of the stages before.
    """
    chosen = find_preset(preset)
    ceiling = _ceiling(chosen, backbone, walk.grid)
    return cut(Seen(image, walk, chosen, ceiling, features, timings or {}))


def _ceiling(preset: Preset, backbone: Backbone, grid: tuple[int, int]) -> float:
    """Where nothing is left to cut; the model's share was measured on its reversible walk, one step at a time."""
    if preset.graph != "reversible" or preset.steps > 1:
        return MEMORYLESS
    sigma = backbone.locality if preset.locality == "auto" else preset.locality
    usual = inflation_for(preset, backbone) == backbone.inflation
    return blank_ncut(grid, sigma) * (backbone.ceiling if usual else 1.0)


def _calm(device: torch.device) -> AbstractContextManager:
    """One thread beside a GPU, which does what is worth threads: they would only wait for one another."""
    return single_threaded() if device.type == "cuda" else nullcontext()


@contextmanager
def _timed(timings: dict[str, float], stage: str, device: torch.device | None = None) -> Iterator[None]:
    """Add the seconds of the block to a stage's; the GPU that works for it, if one does, is waited for."""
    start = time.perf_counter()
    yield
    if device is not None and device.type == "cuda":
        torch.cuda.synchronize(device)
    timings[stage] = timings.get(stage, 0.0) + time.perf_counter() - start

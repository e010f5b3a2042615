"""DiffSeg: attention maps that lie close are merged, until few are left (Tian et al. 2024)."""

from collections.abc import Iterator

import torch

from walkcut.bench.datasets import Item
from walkcut.bench.look import Looker
from walkcut.bench.method import Method, Result
from walkcut.capture import AttentionMaps, Grid
from walkcut.pixels import pixel_labels, without_gaps
from walkcut.walk import aggregate

THRESHOLDS = {f"tau={tau:g}": tau for tau in (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.7, 0.9, 1.1, 1.3)}
PUBLISHED = ("tau=1.1", "tau=0.9")  # for COCO-Stuff-27, and for Cityscapes
SIDE = 16  # anchors along each side of the picture
PASSES = 3  # of merging, the anchors' own included
LEAST = 1e-12  # attention below it counts as so much: the logarithm of none is not finite


def aggregated(attention: AttentionMaps) -> torch.Tensor:
    """All grids in one: where each patch of the finest grid looks, float32 (n, n) with rows that sum to 1.

    As `walkcut.walk.aggregate`, but weights are proportional to the resolution, the side of the grid ("Attention
    Aggregation" of the paper).
    """
    return aggregate(attention, {(h, w): (h * w) ** 0.5 for h, w in attention.maps}).P.cpu()


def anchors(grid: Grid, side: int = SIDE) -> torch.Tensor:
    """Patches at the centres of `side` x `side` equal cells; fewer where the grid is smaller."""
    y, x = (torch.unique((torch.arange(side) * 2 + 1) * length // (2 * side)) for length in grid)
    return (y[:, None] * grid[1] + x).ravel()


def divergences(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """(KL(x|y) + KL(y|x)) / 2 between all rows of x (a, n) and of y (b, n), as products of matrices: (a, b).

    Twice it is the sum of (x - y) (log x - log y): entropies, less what is crossed.
    """
    log_x, log_y = x.clamp_min(LEAST).log(), y.clamp_min(LEAST).log()
    own = (x * log_x).sum(1)[:, None] + (y * log_y).sum(1)
    return ((own - x @ log_y.T - log_x @ y.T) / 2).clamp_min_(0)


def merged(maps: torch.Tensor, threshold: float) -> torch.Tensor:
    """One pass: the first map left is averaged with all that are close to it, and these are left no more."""
    close = divergences(maps, maps) < threshold
    close.fill_diagonal_(True)
    left, found = torch.ones(len(maps), dtype=torch.bool), []
    for first, row in enumerate(close):
        if left[first]:
            found.append(maps[row].mean(0))
            left &= ~row
    return torch.stack(found)


def proposals(near: torch.Tensor, maps: torch.Tensor, threshold: float) -> torch.Tensor:
    """Merged maps (m, n), from divergences `near` (a, n) between anchors and all maps (n, n).

    First each anchor becomes the mean of all maps close to it; every later pass merges what is left ("Iterative
    Attention Merging").
    """
    close = (near < threshold).to(maps)
    found = close @ maps / close.sum(1, keepdim=True)
    for _ in range(PASSES - 1):
        found = merged(found, threshold)
    return found


def diffseg_method(looker: Looker) -> Method:
    """DiffSeg (Tian, Aggarwal, Colaco, Kira & Gonzalez-Franco, "Diffuse, Attend, and Segment", CVPR 2024).

    Attention of all grids is one map a patch. A grid of anchors gathers the maps close to them by symmetric KL
    divergence, in a few passes; each pixel goes to the merged map that is largest there. The published benchmark runs
    without the optional refinement by k-means, and so does this.

    Ours: the maps come from the shared look, with the model's own timestep and weights of heads, where the paper
    shows the picture without noise at t = 300 and weighs all heads alike.
    """

    def run(item: Item) -> Iterator[Result]:
        attention = looker(item.image).attention
        maps, grid = aggregated(attention), attention.finest
        near = divergences(maps[anchors(grid)], maps)
        for setting, threshold in THRESHOLDS.items():
            labels = pixel_labels(proposals(near, maps, threshold).T, grid, item.image.shape[:2])
            yield Result(setting, without_gaps(labels))

    settings = tuple(THRESHOLDS)
    config = {"anchors": SIDE, "passes": PASSES, "least": LEAST, "pixels": "largest map, bilinear"}
    return Method("DiffSeg", settings, config, run, alone=PUBLISHED, swept=settings, looker=looker)

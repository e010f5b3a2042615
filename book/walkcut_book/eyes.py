"""Two eyes on one photograph: the embedded denoiser, which has seen dead leaves, and a recorded one that knows more."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from walkcut import plots
from walkcut.bench.table import Table, cell, columns, gap, pivot
from walkcut.capture import Grid
from walkcut.door import segment
from walkcut.eyes.loading import load_backbone
from walkcut.segmentation import Segmentation
from walkcut_book import recordings
from walkcut_book.reading import EYES, automatic, result, rows_where

LEAVES, KNOWING = EYES["dead-leaves"], EYES["vit-s14"]
GRID = 36  # of the leaves' eye: as near as it comes to the recordings' 37
STEPS = 4  # of the walkers of `destinations`
Both = Mapping[str, Segmentation]  # by the name of the eye
# Regions of photographs: the shares of height at which they begin and end, and of width. Walkers start in the first.
# Summaries of what was measured, by data set and eye; and whom to compare, see `paired_table`. A line that ends with
# "itself" is the one that stops by itself, by whatever rule it was measured with.
REGIONS, MEASURED, COMPARED = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8")).values()


def both(name: str, grid: int | None = None, **settings: object) -> dict[str, Segmentation]:
    """The segments of a recorded picture by both eyes, with walks; `grid` is the leaves', `settings` are both's."""
    grid = grid or (recordings.SCENE_GRID if name in recordings.SCENES else GRID)
    looked = segment(recordings.picture(name), load_backbone(device="cpu"), grid=grid, keep_walk=True, **settings)
    return {LEAVES: looked, KNOWING: recordings.segment(name, **settings)}


def panels(seen: Mapping[str, Both]) -> dict[str, tuple[np.ndarray, np.ndarray | None]]:
    """For `walkcut.plots.segmentations`: each photograph bare, then as each eye parts it by itself."""
    found: dict[str, tuple[np.ndarray, np.ndarray | None]] = {}
    for name, eyes in seen.items():
        found[name] = next(iter(eyes.values())).image, None
        found |= {f"{name}, {eye}: {one.count}": (one.image, one.labels) for eye, one in eyes.items()}
    return found


def gallery(seen: Mapping[str, Both], across: int = 6) -> Figure:
    """The middle squares of photographs in bands of so many, and below each what either eye finds in it by itself."""
    bands = [list(seen.items())[first : first + across] for first in range(0, len(seen), across)]
    ratios = ([1, 1, 1, 0.12] * len(bands))[:-1]  # between bands a gap
    figure, axes = plt.subplots(
        len(ratios), across, figsize=(plots.WIDE, plots.WIDE / across * sum(ratios)), height_ratios=ratios,
        squeeze=False, gridspec_kw={"wspace": 0.03, "hspace": 0.03, "left": 0.04, "right": 1, "top": 1, "bottom": 0},
    )  # fmt: skip
    for axis in axes.flat:
        axis.set_axis_off()
    for band, start in zip(bands, range(0, len(ratios), 4), strict=True):
        for row, title in enumerate(("photograph", LEAVES, KNOWING), start):
            beside: plots.Style = {"x": -0.03, "y": 0.5, "pad": 0, "rotation": 90, "ha": "right", "va": "center"}
            axes[row, 0].set_title(title.replace(" ", "\n"), **beside)  # no longer than a picture is high
        for (_, eyes), (top, *below) in zip(band, axes[start : start + 3].T, strict=False):
            image = next(iter(eyes.values())).image
            cut = tuple(slice((side - min(image.shape[:2])) // 2, None) for side in image.shape[:2])
            square = tuple(slice(at.start, at.start + min(image.shape[:2])) for at in cut)
            top.imshow(image[square])
            for found, axis in zip(eyes.values(), below, strict=True):
                plots.segments(image[square], found.labels[square], axis)
    return figure


# ---------------------------------------------------------------------------------------------------------------------
# Walkers and parts


def inside(grid: Grid, box: tuple[float, float, float, float]) -> np.ndarray:
    """Which patches have their centre in a box of `REGIONS`, bool (h*w,)."""
    (y, x), (top, bottom, left, right) = np.indices(grid) + 0.5, box
    return ((top * grid[0] <= y) & (y < bottom * grid[0]) & (left * grid[1] <= x) & (x < right * grid[1])).ravel()


def after(name: str, found: Segmentation, k: int = STEPS) -> np.ndarray:
    """Where walkers from the first region of a photograph are after k steps, float64 (h, w)."""
    start = torch.from_numpy(inside(found.tree.grid, next(iter(REGIONS[name].values())))).double()
    return found.walk.propagate(start / start.sum(), k).view(found.tree.grid).numpy()


def destinations(name: str, found: Segmentation, k: int = STEPS) -> dict[str, float]:
    """The same by region, times the even share."""
    masks = {region: inside(found.tree.grid, box) for region, box in REGIONS[name].items()}
    there = after(name, found, k).ravel()
    return {region: float(there[mask].sum() / mask.mean()) for region, mask in masks.items()}


def walkers(name: str, seen: Both, k: int = STEPS) -> dict[str, np.ndarray]:
    """For `walkcut.plots.mosaic`: a photograph, and where walkers from its first region are after k steps, by eye."""
    maps = {f"{name}, {eye}": after(name, found, k) for eye, found in seen.items()}
    return {name: next(iter(seen.values())).image} | maps


def parted(name: str, found: Segmentation) -> dict[str, float]:
    """The threshold from which on most of a region is apart from most of the first one; infinite where none does it."""
    tree, (first, *others) = found.tree, REGIONS[name]
    thresholds = np.unique(tree.split_height()[tree.left >= 0])
    labels = [tree.labels(threshold).ravel() for threshold in thresholds]

    def most(region: str) -> np.ndarray:
        mask = inside(tree.grid, REGIONS[name][region])
        return np.array([np.bincount(of[mask]).argmax() for of in labels])

    # parts only become finer, but which of them holds most of a region may change
    together = {other: thresholds[most(first) == most(other)].max(initial=-np.inf) for other in others}
    return {other: float(thresholds[thresholds > at].min(initial=np.inf)) for other, at in together.items()}


def regions_table(name: str, seen: Both) -> Table:
    """`destinations` and `parted` by both eyes: a row for each region, and two columns for each eye."""
    first, head, rows = next(iter(REGIONS[name])), [name], [[region] for region in REGIONS[name]]
    for eye, found in seen.items():
        head += [f"{eye}: from the {first}", f"{eye}: apart at"]
        where, apart = destinations(name, found), parted(name, found)
        for row in rows:
            row += [f"{where[row[0]]:.1f}", f"{apart[row[0]]:.3f}" if row[0] in apart else ""]
    return Table(head, rows)


# ---------------------------------------------------------------------------------------------------------------------
# Scores


def measured(summary: dict, line: str) -> str:
    """The label of a line in a summary, with the name of its rule in the place of "itself"."""
    method, _, end = line.rpartition(", ")
    return automatic(summary, method) if end == "itself" else line


def scores_table(dataset: str, names: Mapping[str, str], methods: Sequence[str]) -> Table:
    """Lines of a data set's summaries by eye, with their intervals.

    Parameters
    ----------
    dataset : str
    names : mapping of an eye to the name of its summary
    methods : sequence of str
        Labels of lines; "itself" may stand for a rule, see `measured`.
    """
    cells = []
    for eye, name in names.items():
        summary = result(name)
        heads, labels = columns(summary), [measured(summary, line) for line in methods]
        for row in summary["table"]:
            if row["method"] in labels and (row["truth"], row["measure"]) in heads:
                text = cell(row)
                if "ods" in row["interval"]:
                    text += " [{:.3f}, {:.3f}]".format(*row["interval"]["ods"])
                cells.append(([eye, row["method"]], heads[row["truth"], row["measure"]], text))
    return pivot([dataset, "line"], cells)


def paired_table(wanted: Sequence[tuple[str, str, str]]) -> Table:
    """Paired differences with their intervals: of a summary by name, a line, and whom it is compared with."""
    cells = []
    for name, line, other in wanted:
        summary = result(name)
        heads, line = columns(summary), measured(summary, line)
        title = summary["title"].removeprefix("Models, ")
        begin = [title, EYES.get(line, line), EYES.get(other, other)]
        for row in rows_where(summary["differences"], method=line, baseline=other, choice="ods"):
            if row["measure"] in ("covering", "miou", "accuracy"):
                cells.append((begin, heads[row["truth"], row["measure"]], gap(row)))
    return pivot(["pictures", "line", "minus"], cells)

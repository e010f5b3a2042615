"""Figures of the book. They draw and compute nothing.

viridis for magnitudes, a diverging map centred on zero for eigenvectors, Okabe and Ito's colours for kinds; white
grounds, so that a figure reads the same on a light and on a dark page. A cell ends a call with `;`, so that it is
shown once.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from textwrap import fill
from typing import Any, cast

import numpy as np
import torch
from matplotlib import pyplot as plt
from matplotlib.collections import LineCollection
from matplotlib.colors import CenteredNorm, ListedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from walkcut.capture import Grid
from walkcut.pixels import nearest
from walkcut.tree import PartitionTree

OKABE_ITO = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
STROKES, MARKERS = ("-", "--", ":", "-."), "osD^vP*X"
# A phone shows a figure some 345 pixels wide: at so many inches letters of 9 points are 9 pixels high there.
WIDE, SMALL = 4.8, 9
plt.rcParams.update({"axes.titlesize": SMALL, "legend.fontsize": SMALL, "figure.dpi": 150})  # sharp on a desk
Style = dict[str, Any]  # keywords of matplotlib's
CENTRED: Style = {"ha": "center", "va": "center"}  # of a text, on its place
BELOW: Style = {"loc": "upper center", "bbox_to_anchor": (0.5, 0), "borderaxespad": 4}  # a legend, under an axis' label


# ---------------------------------------------------------------------------------------------------------------------
# Pictures and maps


def _folded(text: str, inches: float) -> str:
    """A text of `SMALL` letters in lines of some inches: in two after a colon or a comma, or broken at any space."""
    most = int(14 * inches)
    halves = rf"(?m)^(?!.{{0,{most}}}$)(.{{1,{most - 1}}}?[:,]) (.{{1,{most}}})$"  # of a line that is too long
    return "\n".join(fill(line, most, break_on_hyphens=False) for line in re.sub(halves, r"\1\n\2", text).split("\n"))


def _pictures(titles: Collection[str], shape: tuple[int, ...], columns: int) -> tuple[Figure, Iterator[plt.Axes]]:
    """A figure and its panels, without axes: one for each title, for pictures of one shape."""
    rows, width = -(-len(titles) // columns), WIDE / columns
    folded = [_folded(title, width) for title in titles]
    size = (WIDE, rows * (width * shape[0] / shape[1] + 0.32 + 0.17 * max(title.count("\n") for title in folded)))
    figure, axes = plt.subplots(rows, columns, figsize=size, squeeze=False, layout="constrained")
    for axis in axes.flat:
        axis.set_axis_off()
        axis.set_anchor("S")  # what the layout leaves over is above, for the title
    for title, axis in zip(folded, axes.flat, strict=False):
        axis.set_title(title)
    return figure, iter(axes.flat)


def mosaic(panels: Mapping[str, np.ndarray], columns: int = 4) -> Figure:
    """Pictures (H, W, 3) and maps over the patches (h, w) side by side; a map's colours run from 0 to its maximum."""
    figure, axes = _pictures(panels, next(iter(panels.values())).shape, columns)
    for values, axis in zip(panels.values(), axes, strict=False):
        axis.imshow(values, cmap="viridis", vmin=0 if values.ndim == 2 else None, interpolation="nearest")
    return figure


def where_it_looks(A: torch.Tensor, grid: Grid, place: tuple[float, float]) -> tuple[np.ndarray, tuple[int, int]]:
    """Where the patch at `place` (shares of height and width) looks, as a map (h, w); and that patch. A is (N, N)."""
    row, column = (int(share * side) for share, side in zip(place, grid, strict=True))
    return A[row * grid[1] + column].view(grid).cpu().numpy(), (row, column)


def gaze(
    photo: np.ndarray, looks: Mapping[str, tuple[np.ndarray, tuple[int, int]]], columns: int = 2, named: bool = True
) -> Figure:
    """A photograph (H, W, 3) with patches ringed, and beside it where each of them looks.

    Parameters
    ----------
    photo : uint8 (H, W, 3)
    looks : mapping of a patch's name to (array (h, w), (row, column))
        The map's colours run from 0 to its largest value; grids may differ.
    columns : int
    named : bool
        Write each name beside its ring, too.
    """
    height, width = photo.shape[:2]
    figure, axes = _pictures(["the photograph", *looks], photo.shape, columns)
    first = next(axes)
    first.imshow(photo)
    for (name, (look, (row, column))), axis in zip(looks.items(), axes, strict=False):
        h, w = look.shape
        place = ((column + 0.5) * width / w - 0.5, (row + 0.5) * height / h - 0.5)
        axis.imshow(look, cmap="viridis", vmin=0, extent=(-0.5, width - 0.5, height - 0.5, -0.5))
        for where in (first, axis):
            _ring(where, *place)
        if named:
            box: Style = {"boxstyle": "round,pad=0.2", "fc": "white", "ec": "black", "lw": 0.6}
            first.annotate(name, place, (9, 9), textcoords="offset points", fontsize=SMALL, bbox=box)
    return figure


def patch_maps(
    panels: Mapping[str, np.ndarray], photo: np.ndarray | None, patch: tuple[int, int], columns: int = 3
) -> Figure:
    """Maps over the patches (h, w), non-negative, optionally after the photograph; `patch` is ringed in every panel.

    Each panel has a scale of its own: colours run from 0 to its largest value.
    """
    h, w = next(iter(panels.values())).shape
    shown = panels if photo is None else {"the photograph": photo, **panels}
    figure, axes = _pictures(shown, (h, w), columns)
    for values, axis in zip(shown.values(), axes, strict=False):
        axis.imshow(values, cmap="viridis", vmin=0, extent=(-0.5, w - 0.5, h - 0.5, -0.5))
        _ring(axis, patch[1], patch[0])
    return figure


def _ring(axis: plt.Axes, x: float, y: float) -> None:
    """A white ring on a black one: seen on any ground."""
    axis.plot(x, y, "o", ms=11, mfc="none", mec="black", mew=3.5)
    axis.plot(x, y, "o", ms=11, mfc="none", mec="white", mew=1.5)


def segmentations(panels: Mapping[str, tuple[np.ndarray, np.ndarray | None]], columns: int = 3) -> Figure:
    """Pictures side by side, each tinted by its labels as in `segments`, or bare where there are none.

    Parameters
    ----------
    panels : mapping of title to (uint8 (H, W, 3), int (H, W) or (h, w) or None)
    columns : int
    """
    figure, axes = _pictures(panels, next(iter(panels.values()))[0].shape, columns)
    for (picture, labels), axis in zip(panels.values(), axes, strict=False):
        if labels is None:
            axis.imshow(picture)
        else:
            segments(picture, labels, axis)
    return figure


def prunings(photo: np.ndarray, panels: Mapping[str, np.ndarray], columns: int = 3) -> Figure:
    """Labels of patches (h, w), or of pixels, side by side over the photograph (H, W, 3) in grey."""
    return segmentations({title: (photo, nearest(at, photo.shape[:2])) for title, at in panels.items()}, columns)


def two_sides(photo: np.ndarray, panels: Mapping[str, np.ndarray], columns: int = 3) -> Figure:
    """A photograph (H, W, 3), in grey, with both sides of a cut tinted: one panel for each mask (h, w) of patches."""
    return segmentations({title: (photo, np.where(mask, 0, 1)) for title, mask in panels.items()}, columns)


def segments(photo: np.ndarray, labels: np.ndarray, axis: plt.Axes, borders: bool = True) -> None:
    """A photograph (H, W, 3), in grey, tinted by labels of pixels or patches; the eighth colour is the first again."""
    h, w = labels.shape
    tints = ListedColormap([OKABE_ITO[label % 7] for label in range(int(labels.max()) + 1)])
    axis.imshow(photo.mean(2), cmap="gray", vmin=0, vmax=255, extent=(-0.5, w - 0.5, h - 0.5, -0.5))
    axis.imshow(labels, cmap=tints, vmin=-0.5, vmax=tints.N - 0.5, alpha=0.6, interpolation="nearest")
    if borders and tints.N > 1:
        lines = LineCollection(_borders(labels), colors="white", linewidths=0.8, capstyle="projecting")
        axis.add_collection(lines, autolim=False)
    axis.set_axis_off()


def _borders(labels: np.ndarray) -> list[np.ndarray]:
    """Lines along the edges between neighbours with other labels: each has two ends (2, 2), an x and a y."""
    found = []
    for across, order in ((labels, slice(None)), (labels.T, slice(None, None, -1))):
        parts = across[1:] != across[:-1]  # each from what lies below it
        turns = np.diff(parts, axis=1, prepend=False, append=False)  # where a run of them starts, and where it stops
        row, column = np.nonzero(turns)
        found.append((np.stack([column, row + 1], 1) - 0.5)[:, order].reshape(-1, 2, 2))
    return list(np.concatenate(found))


def gallery(photo: np.ndarray, cuts: Mapping[str, tuple[np.ndarray, np.ndarray, np.ndarray]]) -> Figure:
    """One column a graph, in bands of four: its second eigenvector, its first cut, and its segments.

    An eigenvector's sign means nothing, so eigenvectors and cuts are turned to agree with the first graph's.

    Parameters
    ----------
    photo : uint8 (H, W, 3)
    cuts : mapping of a graph's name to (y (h, w), mask (h, w), labels (h, w))
    """
    bands = -(-len(cuts) // 4)
    size = (WIDE, bands * (3 * (WIDE / 4 * photo.shape[0] / photo.shape[1] + 0.1) + 0.3))
    figure, axes = plt.subplots(3 * bands, 4, figsize=size, squeeze=False, layout="constrained")
    first, *_ = next(iter(cuts.values()))
    for number, (title, (y, mask, labels)) in enumerate(cuts.items()):
        top, middle, bottom = axes[number // 4 * 3 :][:3, number % 4]
        if (y * first).sum() < 0:
            y, mask = -y, ~mask
        top.imshow(y, cmap="RdBu_r", norm=CenteredNorm(), interpolation="nearest")
        top.set_title(_folded(title, WIDE / 4))
        segments(photo, np.where(mask, 0, 1), middle)
        segments(photo, labels, bottom, borders=False)
    for axis in axes.flat:
        axis.set_axis_off()
    return figure


def sweep(
    photo: np.ndarray, y: np.ndarray, leaving: np.ndarray, entering: np.ndarray, marks: Mapping[str, int]
) -> Figure:
    """A cut along an eigenvector: its map, the two sides of the first mark, its sorted entries, and the sweep.

    Parameters
    ----------
    photo : uint8 (H, W, 3)
    y : array (h, w)
    leaving, entering : array (h*w - 1,)
        Escape probabilities of the 1, 2, ... patches of smallest y, and of the others.
    marks : mapping of a split's name to the number of patches on its first side
    """
    figure, axes = plt.subplot_mosaic("AB;CC;DD", figsize=(WIDE, 7), height_ratios=[2, 2.4, 3], layout="constrained")
    top, right, sorted_y, curve = axes.values()
    order, ranks, first = np.argsort(y.ravel(), kind="stable"), np.arange(1, y.size), next(iter(marks))
    top.imshow(y, cmap="RdBu_r", norm=CenteredNorm(), interpolation="nearest")
    top.set_title("the eigenvector y")
    top.set_axis_off()
    segments(photo, (np.argsort(order) >= marks[first]).reshape(y.shape).astype(int), right)
    right.set_title(f"the two sides: {first}")
    sorted_y.plot(np.arange(1, y.size + 1), y.ravel()[order], color="black", lw=1.5)
    sorted_y.axhline(0, color="0.7", lw=0.8, zorder=0)
    sorted_y.set(xlabel="patches, sorted by y", ylabel="y")
    curve.plot(ranks, leaving + entering, color="black", lw=1.6, label="NCut, the sum")
    curve.plot(ranks, leaving, color=OKABE_ITO[0], ls="--", lw=1.2, label="first side leaves")
    curve.plot(ranks, entering, color=OKABE_ITO[1], ls="-.", lw=1.2, label="second side leaves")
    curve.set(xlabel="patches on the first side", ylabel="probability a step", yscale="log", ylim=(None, 15))
    for number, (name, size) in enumerate(marks.items()):
        style: Style = {"color": OKABE_ITO[2 + number], "marker": "*sD"[number], "ms": 13 if number == 0 else 6}
        style |= {"ls": "none", "mec": "white", "zorder": 9 - number}  # the first on top
        sorted_y.plot(size, y.ravel()[order[size - 1]], label=name, **style)
        curve.plot(size, leaving[size - 1] + entering[size - 1], label=name, **style)
    sorted_y.legend()
    curve.legend(handles=curve.lines[:3], loc="upper center")
    return figure


# ---------------------------------------------------------------------------------------------------------------------
# Graphs and trees


def _graph(
    axis: plt.Axes,
    W: np.ndarray,
    places: np.ndarray,
    colours: Any,
    names: Iterable[object],
    node: float = 800,
    stroke: float = 2.0,
    slanted: float = 0.5,
) -> None:
    """Named nodes in circles (points^2), edges `stroke` wider a weight; that stands midway, or `slanted` of the way."""
    for i, j in zip(*np.nonzero(np.triu(W, 1)), strict=True):
        axis.plot(*places[[i, j]].T, color="0.55", lw=0.6 + stroke * float(W[i, j]), zorder=1)
        box: Style = {"boxstyle": "round,pad=0.15", "fc": "white", "ec": "none"}
        x, y = places[i] + (slanted if (places[i] != places[j]).all() else 0.5) * (places[j] - places[i])
        axis.text(x, y, f"{W[i, j]:.2g}", fontsize=SMALL, zorder=2, bbox=box, **CENTRED)
    axis.scatter(places[:, 0], places[:, 1], s=node, c="white", edgecolors=colours, linewidths=2.5, zorder=3)
    for place, name in zip(places, names, strict=True):
        axis.text(place[0], place[1], str(name), fontsize=SMALL, zorder=4, **CENTRED)
    (left, low), (right, high) = places.min(0) - 0.6, places.max(0) + 0.6
    axis.set(xlim=(left, right), ylim=(low, high), aspect="equal")
    axis.set_axis_off()


def toy_graph(W: np.ndarray, values: np.ndarray, ax: plt.Axes | None = None) -> Figure:
    """The book's toy graph of six nodes, two triangles joined by a bridge, with the weights of its edges.

    Parameters
    ----------
    W : array (6, 6), symmetric
    values : array (6,)
        Written under each node's number.
    """
    if ax is None:
        _, ax = plt.subplots(figsize=(WIDE, 2.5), layout="constrained")
    places = np.array([[0, 1], [0, -1], [1.2, 0], [2.8, 0], [4, 1], [4, -1]])
    names = [f"{i}\n{value:.2g}".replace("-", "\N{MINUS SIGN}") for i, value in enumerate(values)]
    _graph(ax, W, places, np.repeat(OKABE_ITO[:2], 3), names, node=1200)
    return cast(Figure, ax.figure)


def toy_square(panels: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> Figure:
    """Graphs of four nodes, 0 and 1 on the left, 2 and 3 on the right, each with its edges' weights and a cut.

    Parameters
    ----------
    panels : mapping of title to (array (4, 4), symmetric, and bool (4,), the side of each node)
        What a node weighs to itself is written into it.
    """
    places = np.array([[0, 1], [0, -1], [2, 1], [2, -1]])
    figure, axes = _pictures(panels, (3, 4), len(panels))
    for (W, side), axis in zip(panels.values(), axes, strict=True):
        names = [f"{i}\n{own:.2g}" if own else f"{i}" for i, own in enumerate(W.diagonal())]
        # the slanted edges cross in the middle: their weights stand off it
        _graph(axis, W, places, np.take(OKABE_ITO, side), names, node=900, stroke=6.0, slanted=0.32)
    return figure


def ring_and_tree(W: np.ndarray, tree: PartitionTree, threshold: float, highest: float) -> Figure:
    """Three triangles in a ring (9, 9), coloured by the segments at `threshold`, and below it their tree."""
    middles = np.pi / 2 - 2 * np.pi / 3 * np.arange(3)
    angle = middles[:, None] + np.array([0.42, 0, -0.42])
    radius = np.array([1.35, 2.1, 1.35])  # the middle node lies outside
    places = np.stack([radius * np.cos(angle), radius * np.sin(angle)], -1).reshape(9, 2)
    figure, (ring, blocks) = plt.subplots(2, figsize=(WIDE, 5.8), height_ratios=[3, 2], layout="constrained")
    _graph(ring, W, places, np.take(OKABE_ITO, tree.labels(threshold).ravel() % 7), range(9), node=420)
    tree_blocks(tree, threshold, tree.labels(threshold), blocks, highest)
    blocks.set(xlabel="nodes", xticks=np.arange(9) + 0.5, xticklabels=tree.order)
    return figure


def tree_blocks(tree: PartitionTree, threshold: float, labels: np.ndarray, ax: plt.Axes, highest: float) -> None:
    """A tree as blocks: the blocks that a level line meets are the segments at that threshold.

    A block spans its patches from left to right, and from the threshold that makes it a part (for the root: 0) to the
    one that splits it. Those that the line at `threshold` meets, and their parts, have the colours of `segments` for
    its `labels` (h, w). Nothing is drawn above `highest`.
    """
    needed, bottom, split = tree.split_height(), np.zeros(len(tree)), tree.left >= 0
    bottom[tree.left[split]] = bottom[tree.right[split]] = needed[split]
    height = np.minimum(needed, highest) - bottom
    for node in np.flatnonzero(height > 0):
        inside = labels.flat[tree.order[tree.start[node] : tree.stop[node]]]
        colour = OKABE_ITO[inside[0] % 7] if (inside == inside[0]).all() else "0.75"
        ax.bar(tree.start[node], height[node], len(inside), bottom[node], align="edge", color=colour, ec="w", lw=0.5)
    ax.axhline(threshold, color="black", ls="--", lw=1.2)
    ax.set(xlim=(0, labels.size), ylim=(0, highest), xticks=[], xlabel="patches", ylabel="NCut")


def levels(photo: np.ndarray, tree: PartitionTree, thresholds: Sequence[float], highest: float) -> Figure:
    """One tree with level lines, two in a row: above, the blocks that each line meets; below, its segments.

    On each level a segment has the colour of its largest part on the last. There the largest has a colour for itself,
    and the others take six in turn, forth and back: large ones share with small ones.
    """
    rows, tall = len(thresholds) // 2, photo.shape[0] / photo.shape[1]
    ratios, size = [0.6, tall] * rows, (WIDE, WIDE / 2 * rows * (tall + 0.7))
    figure, axes = plt.subplots(2 * rows, 2, figsize=size, height_ratios=ratios, layout="constrained")
    last, turns = tree.labels(max(thresholds)), (1, 2, 3, 4, 5, 6, 6, 5, 4, 3, 2, 1)
    last = 7 * last + np.r_[0, np.resize(turns, last.max())][last]  # of seven colours each shows its remainder
    for threshold, above, below in zip(thresholds, axes[::2].flat, axes[1::2].flat, strict=True):
        plain = tree.labels(threshold)
        labels = np.array([last[plain == label].min() for label in range(plain.max() + 1)])[plain]
        tree_blocks(tree, threshold, labels, above, highest)
        above.set(xlabel="", title=f"up to {threshold:g}: {plain.max() + 1} segments")
        segments(photo, nearest(labels, photo.shape[:2]), below)
    return figure


def dendrogram(linkage: np.ndarray, parts: int) -> Figure:
    """SciPy's drawing of a linkage, its last `parts` clusters as leaves, with the number of patches in each."""
    from scipy.cluster.hierarchy import dendrogram as draw_dendrogram  # here, as it takes long

    figure, axis = plt.subplots(figsize=(WIDE, 3), layout="constrained")
    leaves = len(linkage) + 1
    sizes = {"leaf_label_func": lambda node: str(1 if node < leaves else int(linkage[node - leaves, 3]))}
    # one colour throughout: the numbers below tell the branches apart
    draw_dendrogram(linkage, parts, "lastp", ax=axis, link_color_func=lambda _: OKABE_ITO[0], leaf_font_size=9, **sizes)
    axis.set(xlabel="patches in the part", ylabel="2 - largest NCut above", ylim=(linkage[1 - parts, 2] - 0.1, 2))
    return figure


def numbers(matrix: np.ndarray, names: Sequence[str]) -> Figure:
    """A small matrix with its entries written out: a row is where one looks from, a column where to."""
    n, dark = len(matrix), 0.6 * matrix.max()
    figure, axis = plt.subplots(figsize=(0.75 * n + 1.2, 0.6 * n + 0.9), layout="constrained")
    axis.imshow(matrix, cmap="viridis", vmin=0, aspect="auto")
    for i, j in np.ndindex(matrix.shape):
        axis.text(j, i, f"{matrix[i, j]:.2f}", color="white" if matrix[i, j] < dark else "black", **CENTRED)
    axis.set(xticks=range(n), yticks=range(n), xticklabels=names, yticklabels=names, xlabel="to", ylabel="from")
    return figure


# ---------------------------------------------------------------------------------------------------------------------
# Charts


def spectra(panels: Mapping[str, np.ndarray]) -> Figure:
    """Eigenvalues of stochastic matrices in the complex plane, one panel each, with the unit circle."""
    figure, axes = plt.subplots(1, len(panels), figsize=(WIDE, 2.2), sharey=True, squeeze=False, layout="constrained")
    for axis, (title, values) in zip(axes.flat, panels.items(), strict=True):
        axis.add_patch(plt.Circle((0, 0), 1, fill=False, color="0.6", lw=1))
        axis.axhline(0, color="0.85", lw=0.8, zorder=0)
        axis.axvline(0, color="0.85", lw=0.8, zorder=0)
        axis.scatter(np.real(values), np.imag(values), s=26, color=OKABE_ITO[0], alpha=0.7, linewidths=0)
        axis.set(xlim=(-1.1, 1.1), ylim=(-1.1, 1.1), aspect="equal", xlabel="real part", xticks=(-1, 0, 1))
        axis.set_title(_folded(title, WIDE / len(panels)))
    axes[0, 0].set_ylabel("imaginary part")
    return figure


Line = tuple[Sequence[float], Sequence[float]]  # its x and y
Lines = Mapping[str, Line]  # by their names


def curves(
    lines: Lines, xlabel: str, ylabel: str, ax: plt.Axes | None = None, logx: bool = False, logy: bool = False
) -> Figure:
    """Lines that differ in colour, stroke and marker, with a legend below."""
    if ax is None:
        _, ax = plt.subplots(figsize=(WIDE, 3.4), layout="constrained")
    for number, (name, (x, y)) in enumerate(lines.items()):
        style: Style = {"color": OKABE_ITO[number % 7], "ls": STROKES[number % 4], "marker": MARKERS[number % 8]}
        ax.plot(x, y, label=name, ms=4.5, lw=1.6, **style)
    ax.set(xlabel=xlabel, ylabel=ylabel)
    if logx:
        ax.set_xscale("log", base=2)
    if logy:
        ax.set_yscale("log")
    ax.grid(alpha=0.3)
    ax.legend(ncols=2 if max(map(len, lines), default=0) < 24 else 1, **BELOW)
    return cast(Figure, ax.figure)


def toy_and_curves(
    W: np.ndarray, values: np.ndarray, lines: Lines, guides: Sequence[Line], xlabel: str, ylabel: str
) -> Figure:
    """The toy graph with a value in each node, and below it `curves` on a logarithmic axis, with dotted guides."""
    _, (above, below) = plt.subplots(2, figsize=(WIDE, 5.4), height_ratios=[2, 3], layout="constrained")
    toy_graph(W, values, above)
    for x, y in guides:
        below.plot(x, y, "k:", zorder=3)
    return curves(lines, xlabel, ylabel, below, logy=True)


def curve_row(panels: Mapping[str, Lines], ylabel: str, logx: bool = True, columns: int = 2) -> Figure:
    """`curves` in rows of `columns`, one panel for each label of an x axis; lines of the same names share a legend."""
    rows, shared = -(-len(panels) // columns), len({tuple(lines) for lines in panels.values()}) == 1
    size = (WIDE, (2.3 if shared else 3.2) * rows + 0.5 * shared)
    figure, axes = plt.subplots(rows, columns, figsize=size, sharey=True, squeeze=False, layout="constrained")
    for axis, (xlabel, lines) in zip(axes.flat, panels.items(), strict=False):
        curves(lines, xlabel, ylabel if axis in axes[:, 0] else "", axis, logx)
        axis.legend(**BELOW).set_visible(not shared)
        if logx:
            axis.xaxis.set_major_formatter("{x:g}")
        elif all(x % 1 == 0 for along, _ in lines.values() for x in along):
            axis.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
    for axis in axes.flat[len(panels) :]:
        axis.set_axis_off()
    if shared:
        figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


def tradeoff(lines: Mapping[str, Sequence[tuple[float, float, str]]], xlabel: str, ylabel: str) -> Figure:
    """`curves` on logarithmic axes, with a word beside each point (x, y, word)."""
    figure, axis = plt.subplots(figsize=(WIDE, 3.8), layout="constrained")
    plain = {name: ([x for x, *_ in line], [y for _, y, _ in line]) for name, line in lines.items()}
    curves(plain, xlabel, ylabel, axis, logx=True, logy=True)
    for line in lines.values():
        for x, y, word in line:
            axis.annotate(word, (x, y), (5, -11), textcoords="offset points", fontsize=SMALL)  # rising lines run above
    axis.margins(x=0.22, y=0.1)
    return figure


def cheeger(families: Mapping[str, np.ndarray]) -> Figure:
    """Conductance against the second eigenvalue between Cheeger's bounds: a marker for each family of pairs (m, 2)."""
    figure, axis = plt.subplots(figsize=(WIDE, 4.2), layout="constrained")
    low = min(pairs[:, 0].min() for pairs in families.values())
    line = np.geomspace(low / 1.3, 1.5, 100)
    axis.fill_between(line, line / 2, np.sqrt(2 * line), color="0.93", zorder=0)
    for bound, name, stroke in ((np.sqrt(2 * line), r"$\sqrt{2\lambda_2}$", "--"), (line / 2, r"$\lambda_2/2$", ":")):
        axis.plot(line, bound, color="black", ls=stroke, lw=1.2, label=name)
    for number, (name, pairs) in enumerate(families.items()):
        style: Style = {"marker": MARKERS[number % 8], "color": OKABE_ITO[number % 7], "ec": "white", "lw": 0.4}
        axis.scatter(pairs[:, 0], pairs[:, 1], s=14 if len(pairs) > 9 else 70, label=name, zorder=3, **style)
    axis.set(xscale="log", yscale="log", xlabel=r"$\lambda_2$", ylabel=r"conductance $\phi_*$")
    figure.legend(ncols=3, loc="outside lower center")
    return figure


def histograms(values: Mapping[str, np.ndarray], xlabel: str, limit: float) -> Figure:
    """Densities on a logarithmic axis; what lies beyond +-limit is heaped up at the ends."""
    figure, axis = plt.subplots(figsize=(WIDE, 3.2), layout="constrained")
    for number, (name, data) in enumerate(values.items()):
        style: Style = {"color": OKABE_ITO[number], "histtype": "step" if number else "stepfilled", "lw": 1.5}
        axis.hist(np.clip(data, -limit, limit), bins=121, range=(-limit, limit), density=True, label=name, **style)
    axis.set(xlabel=xlabel, ylabel="density", yscale="log")
    figure.legend(loc="outside lower center")
    return figure


def chances(values: Sequence[float], marks: Mapping[str, float], xlabel: str) -> Figure:
    """A histogram of what chance gave, and single values as vertical lines, each with its name and value."""
    figure, axis = plt.subplots(figsize=(WIDE, 3.2), layout="constrained")
    axis.hist(values, bins=15, color="0.7", label=f"{len(values)} at random")
    for number, (name, value) in enumerate(marks.items()):
        axis.axvline(value, color=OKABE_ITO[number % 7], ls=STROKES[number % 4], lw=2, label=f"{name}, {value:.3f}")
    axis.set(xlabel=xlabel, ylabel="count")
    figure.legend(ncols=2, loc="outside lower center")
    return figure


Intervals = Mapping[str, Mapping[str, tuple[float, float, float]]]  # group, then row, then (value, low, high)


def intervals(groups: Intervals, xlabel: str) -> Figure:
    """Numbers with intervals about zero: a row for each name, a colour and marker for each group.

    Parameters
    ----------
    groups : mapping of a group's name to a mapping of a row's name to (value, low, high)
    xlabel : str
    """
    return interval_panels({"": groups}, xlabel)


def interval_panels(panels: Mapping[str, Intervals], xlabel: str, beside: bool = False) -> Figure:
    """`intervals` in several panels on one x axis, below one another, each as high as its rows need.

    Parameters
    ----------
    panels : mapping of title to what `intervals` takes: group, then row, then (value, low, high)
        The same groups have the same colours in every panel.
    xlabel : str
    beside : bool
        Side by side instead, with the same rows, and no line at zero.
    """
    groups = list(dict.fromkeys(group for panel in panels.values() for group in panel))
    rows = [list(dict.fromkeys(name for row in panel.values() for name in row)) for panel in panels.values()]
    if beside:
        rows = [list(dict.fromkeys(name for names in rows for name in names))] * len(rows)
    tall = max((_folded(name, 1.6).count("\n") for names in rows for name in names), default=0)  # lines but the first
    pitch = max(0.06 + 0.065 * len(groups), 0.17 + 0.13 * tall)
    heights = [pitch * (len(names) + 0.5) + 0.2 for names in rows]
    shape = {"ncols": len(rows), "sharey": True} if beside else {"nrows": len(heights), "height_ratios": heights}
    size = (WIDE, (heights[0] if beside else sum(heights)) + 1)
    figure, axes = plt.subplots(sharex=True, squeeze=False, layout="constrained", figsize=size, **shape)
    drawn = {}
    for axis, (title, panel), names in zip(axes.flat, panels.items(), rows, strict=True):
        for group, row in panel.items():
            number = groups.index(group)
            style: Style = {"color": OKABE_ITO[number % 7], "fmt": MARKERS[number % 8], "ms": 4, "lw": 1.3}
            value, low, high = np.array(list(row.values()), float).reshape(-1, 3).T
            y = np.array([names.index(name) for name in row]) + 0.7 * ((number + 0.5) / len(groups) - 0.5)
            drawn[group] = axis.errorbar(value, y, xerr=(value - low, high - value), **style)
        if not beside:
            axis.axvline(0, color="black", lw=1)
        axis.set(yticks=range(len(names)), ylim=(max(len(names), 1) - 0.5, -0.5))
        axis.set_yticklabels([_folded(name, 1.6) for name in names], fontsize=SMALL)
        axis.set_title(_folded(title, 1.1 if beside else WIDE), fontsize=SMALL, loc="left")
        axis.locator_params("x", nbins=3 if beside else 5)
        axis.grid(alpha=0.3, axis="both" if beside else "x")
    plt.setp(axes[-1], xlabel=xlabel)
    if groups:
        figure.legend(drawn.values(), drawn.keys(), loc="outside lower center")
    return figure


Timetable = tuple[Sequence[int], np.ndarray, np.ndarray]  # workers of each stage; when items begin, are done


def gantt(panels: Mapping[str, Timetable], stages: Sequence[str], xlabel: str) -> Figure:
    """Who works at what, and when: a row for each worker of each stage, a bar for each item, in the colour of its item.

    Parameters
    ----------
    panels : mapping of title to (workers, start, done)
        Below one another, on one axis of time. Items go to the workers of a stage in turn; times are (items, stages).
    stages : sequence of str
        Their names.
    xlabel : str
    """
    heights = [sum(workers) + 1 for workers, *_ in panels.values()]
    shape: Style = {"height_ratios": heights, "figsize": (WIDE, 0.32 * sum(heights) + 0.5)}
    figure, axes = plt.subplots(len(panels), sharex=True, squeeze=False, layout="constrained", **shape)
    box = {"boxstyle": "round,pad=0.1", "fc": "black", "ec": "none", "alpha": 0.55}
    for axis, (title, timetable), height in zip(axes.flat, panels.items(), heights, strict=True):
        workers, start, done = timetable
        items = range(len(start))
        colours = [OKABE_ITO[item % 6] for item in items]
        for stage, count, begin, end in zip(stages, workers, start.T, done.T, strict=True):
            rows = [f"{stage} {item % count}" for item in items]
            bars = axis.barh(rows, end - begin, left=begin, height=0.8, color=colours, edgecolor="white")
            axis.bar_label(bars, items, label_type="center", fontsize=SMALL, color="white", bbox=box)
        axis.set_ylim(height - 1.5, -0.5)
        axis.set_title(title, fontsize=SMALL, loc="left")
        axis.grid(alpha=0.3, axis="x")
        axis.set_axisbelow(True)
    axes[-1, 0].set_xlabel(xlabel)
    return figure

"""Figures of the book. They draw and compute nothing.

viridis for magnitudes, a diverging map centred on zero for eigenvectors, Okabe and Ito's colours for kinds; white grounds,
so that a figure reads the same on a light and on a dark page. A cell ends a call with `;`, so that it is shown once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

OKABE_ITO = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")


def patch_maps(
    panels: Mapping[str, np.ndarray],
    photo: np.ndarray | None = None,
    patch: tuple[int, int] | None = None,
    columns: int = 3,
) -> Figure:
    """Maps over the patches, one panel each with a scale of its own, optionally after the photograph.

    Parameters
    ----------
    panels : mapping of title to array (h, w), non-negative
        Colours run from 0 to the panel's largest value.
    photo : uint8 (H, W, 3), optional
    patch : (row, column), optional
        Ringed in every panel.
    """
    count = len(panels) + (photo is not None)
    rows = -(-count // columns)
    h, w = next(iter(panels.values())).shape
    size = (3.0 * columns, (3.0 * h / w + 0.35) * rows)
    figure, axes = plt.subplots(rows, columns, figsize=size, squeeze=False, layout="constrained")
    free = iter(axes.flat)
    if photo is not None:
        next(free).imshow(photo, extent=(-0.5, w - 0.5, h - 0.5, -0.5))
        axes.flat[0].set_title("the photograph", fontsize=10)
    for (title, values), axis in zip(panels.items(), free):
        axis.imshow(values, cmap="viridis", vmin=0)
        axis.set_title(title, fontsize=10)
    for number, axis in enumerate(axes.flat):
        axis.set_axis_off()
        if patch is not None and number < count:
            axis.plot(patch[1], patch[0], "o", ms=11, mfc="none", mec="black", mew=3.5)
            axis.plot(patch[1], patch[0], "o", ms=11, mfc="none", mec="white", mew=1.5)
    return figure


def toy_graph(W: np.ndarray, values: np.ndarray | None = None, ax: plt.Axes | None = None) -> Figure:
    """The book's toy graph of six nodes, two triangles joined by a bridge, with the weights of its edges.

    Parameters
    ----------
    W : array (6, 6), symmetric
    values : array (6,), optional
        Written under each node's number.
    """
    places = np.array([[0, 1], [0, -1], [1.2, 0], [2.8, 0], [4, 1], [4, -1]])
    if ax is None:
        _, ax = plt.subplots(figsize=(4.4, 2.3), layout="constrained")
    for i, j in zip(*np.nonzero(np.triu(W))):
        ax.plot(*places[[i, j]].T, color="0.55", lw=0.6 + 2 * float(W[i, j]), zorder=1)
        ax.text(*places[[i, j]].mean(0), f"{W[i, j]:.3g}", ha="center", va="center", fontsize=9, zorder=2,
                bbox={"boxstyle": "round,pad=0.15", "fc": "white", "ec": "none"})  # fmt: skip
    for i, (x, y) in enumerate(places):
        ax.scatter(x, y, s=800, c="white", edgecolors=OKABE_ITO[i // 3], linewidths=2.5, zorder=3)
        text = f"{i}" if values is None else f"{i}\n{values[i]:.3g}"
        ax.text(x, y, text, ha="center", va="center", fontsize=9, zorder=4)
    ax.set(xlim=(-0.6, 4.6), ylim=(-1.6, 1.6), aspect="equal")
    ax.set_axis_off()
    return ax.figure


def spectra(panels: Mapping[str, np.ndarray]) -> Figure:
    """Eigenvalues of stochastic matrices in the complex plane, one panel each, with the unit circle."""
    figure, axes = plt.subplots(1, len(panels), figsize=(3.1 * len(panels), 3.3), squeeze=False, layout="constrained")
    angle = np.linspace(0, 2 * np.pi, 200)
    for axis, (title, values) in zip(axes.flat, panels.items()):
        axis.plot(np.cos(angle), np.sin(angle), color="0.6", lw=1)
        axis.axhline(0, color="0.85", lw=0.8, zorder=0)
        axis.axvline(0, color="0.85", lw=0.8, zorder=0)
        axis.scatter(np.real(values), np.imag(values), s=26, color=OKABE_ITO[0], alpha=0.7, linewidths=0)
        axis.set(xlim=(-1.1, 1.1), ylim=(-1.1, 1.1), aspect="equal", xlabel="real part", ylabel="imaginary part")
        axis.set_title(title, fontsize=10)
    return figure


def curves(
    lines: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    xlabel: str,
    ylabel: str,
    ax: plt.Axes | None = None,
    logx: bool = False,
    logy: bool = False,
) -> Figure:
    """Lines that differ in colour, stroke and marker, with a legend below."""
    if ax is None:
        _, ax = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
    for number, (name, (x, y)) in enumerate(lines.items()):
        style = {
            "color": OKABE_ITO[number % 7],
            "ls": ("-", "--", ":", "-.")[number % 4],
            "marker": "osD^vP*X"[number % 8],
        }
        ax.plot(x, y, label=name, ms=4.5, lw=1.6, **style)
    ax.set(xlabel=xlabel, ylabel=ylabel)
    if logx:
        ax.set_xscale("log", base=2)
    if logy:
        ax.set_yscale("log")
    ax.grid(alpha=0.3)
    ax.legend(fontsize=8, ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.2))
    return ax.figure

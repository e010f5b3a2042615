"""Point at a patch and see its neighbours in several graphs at once."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
import torch

from walkcut.capture import Grid
from walkcut.errors import InputError
from walkcut.graph import Affinity
from walkcut.lab.graphs import from_rows
from walkcut.walk import Walk
from walkcut.widgets.encode import octets, photo, viridis
from walkcut.widgets.inline import Figure, inline_module

WEIGHTS = 1_400_000  # bytes of weights in one page; base64 makes 1.9 MB of them


def graph_explorer(
    image: np.ndarray,
    grid: Grid,
    graphs: Mapping[str, Mapping[int, np.ndarray]],
    powered: Collection[str] = (),
    every: int = 2,
    width: int = 360,
) -> Figure:
    """A picture whose patches can be chosen by mouse, touch or keyboard, and a row of each graph, normalised.

    Parameters
    ----------
    image : uint8 (H, W, 3)
    grid : (h, w)
        Of patches, N = h*w.
    graphs : mapping of name to {steps k: array (N, N), non-negative}
        A slider chooses k; a graph that lacks it shows its largest k below.
    powered : collection of names
        Graphs whose weights a second slider raises to a power, 1 to 30.
    every : int
        One patch in so many along each side can be chosen, for a smaller page.
    width : int
        Of the picture in the page, in pixels.
    """
    h, w = grid
    chosen = np.add.outer(np.arange(0, h, every) * w, np.arange(0, w, every)).ravel()
    _check(graphs, powered, len(chosen) * h * w)
    state = {
        "grid": grid,
        "every": every,
        **photo(image, width),
        "colours": viridis(),
        "graphs": [
            {
                "name": name,
                "powered": name in powered,
                "rows": {str(k): _rows(table, chosen, h * w, name) for k, table in sorted(steps.items())},
            }
            for name, steps in graphs.items()
        ],
    }
    return inline_module("graphs", state, "This figure needs JavaScript: point at a patch, see its neighbours.")


def neighbours(walk: Walk, others: Mapping[str, Affinity], steps: Collection[int] = (1, 2, 4)) -> dict[str, dict]:
    """Tables for `graph_explorer`: the walk's reversible form and its rows after some steps, and other graphs at one.

    The graphs are written down, so N should be about a thousand at most.
    """
    eye, walks = torch.eye(len(walk)), {k: walk.power(k) for k in steps}
    found = {"reversible walk": {k: one.reversible().W.cpu().numpy() for k, one in walks.items()}}
    for measure in ("dot", "cosine"):
        found[f"rows, {measure}"] = {k: from_rows(one, measure).matvec(eye).cpu().numpy() for k, one in walks.items()}
    return found | {name: {1: graph.matvec(eye).cpu().numpy()} for name, graph in others.items()}


def _check(graphs: Mapping[str, Mapping[int, np.ndarray]], powered: Collection[str], weights: int) -> None:
    """Raise an InputError unless there are graphs, at `weights` weights a table not too many, and all of `powered`."""
    if not graphs or not all(graphs.values()):
        raise InputError("The explorer needs at least one graph, each with at least one number of steps.")
    count = sum(len(steps) for steps in graphs.values()) * weights
    if count > WEIGHTS:
        raise InputError(f"{count} weights are too many for a page: choose a coarser grid or a larger `every`.")
    if unknown := set(powered) - set(graphs):
        raise InputError(f"There is no graph {sorted(unknown)[0]!r} to raise to a power: choose from {list(graphs)}.")


def _rows(table: np.ndarray, chosen: np.ndarray, n: int, name: str) -> str:
    """Rows `chosen` of a table, a byte a weight: the square root of its share of the row's largest.

    The root keeps small weights apart: those of 1 / 65,025 of the largest are the smallest that count.
    """
    if np.shape(table) != (n, n) or not np.isfinite(table).all() or np.min(table) < 0:
        raise InputError(f"The graph {name!r} must be ({n}, {n}), finite and not negative, not {np.shape(table)}.")
    rows = np.asarray(table, float)[chosen]
    return octets(255 * np.sqrt(rows / np.maximum(rows.max(1, keepdims=True), 1e-300)))

"""Point at a patch and see its neighbours in several graphs at once."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from walkcut.graph import Affinity
from walkcut.lab.graphs import from_rows
from walkcut.walk import Walk
from walkcut.widgets.encode import octets, photo, viridis
from walkcut.widgets.inline import Figure, inline_module

STEPS = (1, 2, 4)  # of the walk, for a slider to choose from
REVERSIBLE = "reversible walk"


def graph_explorer(image: np.ndarray, walk: Walk, others: Mapping[str, Affinity], every: int = 2) -> Figure:
    """A picture whose patches can be chosen by mouse, touch or keyboard, and a row of each graph, normalised.

    A second slider raises the weights of all graphs but the reversible walk to a power, 1 to 30.

    Parameters
    ----------
    image : uint8 (H, W, 3)
    walk : Walk
        On N patches, about a thousand at most: the graphs are written down.
    others : mapping of a name to a graph
        To be shown beside those of `neighbours`.
    every : int
        One patch in so many along each side can be chosen, for a smaller page.
    """
    h, w = walk.grid
    chosen = np.add.outer(np.arange(0, h, every) * w, np.arange(0, w, every)).ravel()
    graphs = [
        {
            "name": name,
            "powered": name != REVERSIBLE,
            "rows": {str(k): _rows(table[chosen]) for k, table in tables.items()},
        }
        for name, tables in neighbours(walk, others).items()
    ]
    state = {"grid": walk.grid, "every": every, **photo(image, 360), "colours": viridis(), "graphs": graphs}
    return inline_module("graphs", state, "This figure needs JavaScript: point at a patch, see its neighbours.")


def neighbours(walk: Walk, others: Mapping[str, Affinity]) -> dict[str, dict[int, np.ndarray]]:
    """Tables (N, N): the walk's reversible form and its rows after 1, 2 and 4 steps, and other graphs at one."""
    eye, walks = torch.eye(len(walk)), {k: walk.power(k) for k in STEPS}
    found = {REVERSIBLE: {k: one.reversible().W.cpu().numpy() for k, one in walks.items()}}
    for measure in ("dot", "cosine"):
        found[f"rows, {measure}"] = {k: from_rows(one, measure).matvec(eye).cpu().numpy() for k, one in walks.items()}
    return found | {name: {1: graph.matvec(eye).cpu().numpy()} for name, graph in others.items()}


def _rows(rows: np.ndarray) -> str:
    """Rows of a table, a byte a weight: the square root of its share of the row's largest.

    The root keeps small weights apart: those of 1 / 65,025 of the largest are the smallest that count.
    """
    rows = rows.astype(float)
    return octets(255 * np.sqrt(rows / np.maximum(rows.max(1, keepdims=True), 1e-300)))

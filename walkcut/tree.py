"""Cut, then cut the parts: a tree whose every threshold is a pruning."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from walkcut.attention import Grid
from walkcut.errors import InputError
from walkcut.graph import Graph
from walkcut.ncut import best_cut

# NCut of every cut of a walk that forgets where it was: no reason to split. Exact for a walk; for a region's graph,
# whose own walk forgets the rest of the picture, a rule of thumb.
MEMORYLESS = 1.0


@dataclass(frozen=True)
class PartitionTree:
    """A recursion of cuts, run once.

    Node 0 is the whole picture. Node i holds the patches `order[start[i]:stop[i]]`; a node that was split has two
    children, which share out its slice, a leaf has none (-1). Parents come before their children.

    Attributes
    ----------
    grid : (h, w)
    order : int64 (h*w,)
        A permutation of the patches, numbered row by row.
    start, stop, left, right : int64 (nodes,)
    ncut : float64 (nodes,)
        Of the node's split inside the node; infinity for a leaf.
    volume, inside : float64 (nodes,)
        Shares of the whole graph's weight that end in the node, and that stay inside it.
    """

    grid: Grid
    order: np.ndarray
    start: np.ndarray
    stop: np.ndarray
    left: np.ndarray
    right: np.ndarray
    ncut: np.ndarray
    volume: np.ndarray
    inside: np.ndarray

    def __post_init__(self) -> None:
        n = self.grid[0] * self.grid[1]
        if not np.array_equal(np.sort(self.order), np.arange(n)):
            raise InputError(f"The order of a tree over {n} patches must name each patch once.")
        split = self.left >= 0
        whole = (self.start[self.left] == self.start) & (self.stop[self.left] == self.start[self.right])
        whole &= self.stop[self.right] == self.stop
        if not whole[split].all() or (self.start[0], self.stop[0]) != (0, n):
            raise InputError("The children of a node must share out its slice: this tree is damaged.")

    def __len__(self) -> int:
        return len(self.start)

    def needed(self) -> np.ndarray:
        """(nodes,) float64: the threshold from which on a node is split, the largest NCut on its path from the root."""
        needed = self.ncut.copy()
        for node in np.flatnonzero(self.left >= 0):  # parents come first
            for child in (self.left[node], self.right[node]):
                needed[child] = max(needed[child], needed[node])
        return needed

    def leaves(self, threshold: float) -> np.ndarray:
        """Nodes that are segments when splits of NCut up to `threshold` are taken, from the root down."""
        if not 0 <= threshold <= 2:
            raise InputError(f"A threshold on NCut lies between 0 and 2, not {threshold}.")
        split = self.needed() <= threshold
        reached = np.zeros(len(self), bool)
        reached[0] = True
        for node in np.flatnonzero(split):
            reached[[self.left[node], self.right[node]]] = True
        return np.flatnonzero(reached & ~split)

    def labels(self, threshold: float) -> np.ndarray:
        """Segments of the patches at a threshold: int32 (h, w), 0 for the largest, then by size.

        Thresholds nest: a larger one only splits segments of a smaller one. No eigenproblem is solved again.
        """
        nodes = self.leaves(threshold)
        nodes = nodes[np.argsort(self.start[nodes] - self.stop[nodes], kind="stable")]
        labels = np.empty(len(self.order), np.int32)
        for label, node in enumerate(nodes):
            labels[self.order[self.start[node] : self.stop[node]]] = label
        return labels.reshape(self.grid)

    def to_dict(self) -> dict:
        """Plain numbers and lists, for JSON; a leaf's NCut is None."""
        arrays = {name: getattr(self, name).tolist() for name in ("order", "start", "stop", "left", "right")}
        return {
            "grid": list(self.grid),
            **arrays,
            "ncut": [None if np.isinf(value) else float(value) for value in self.ncut],
            "volume": self.volume.tolist(),
            "inside": self.inside.tolist(),
        }

    @classmethod
    def from_dict(cls, record: dict) -> PartitionTree:
        """The inverse of `to_dict`."""
        integers = {name: np.array(record[name], np.int64) for name in ("order", "start", "stop", "left", "right")}
        ncut = np.array([np.inf if value is None else value for value in record["ncut"]])
        shares = {name: np.array(record[name], np.float64) for name in ("volume", "inside")}
        return cls(tuple(record["grid"]), ncut=ncut, **integers, **shares)


def partition(graph: Graph, grid: Grid, smallest: int | None = None, tolerance: float = 1e-3) -> PartitionTree:
    """Cut recursively until regions are small or no cut is better than a memoryless walk's.

    Each region is cut as a graph of its own (what leads out of it is forgotten), as in Shi & Malik 2000, section 3.

    Parameters
    ----------
    graph : Graph
        Of h*w nodes.
    grid : (h, w)
    smallest : int, optional
        A region with fewer than twice as many patches is left whole; the parts of a larger one may be of any size.
        Default: one part in 256 of the picture, at least 2.
    tolerance : float
        Of the eigensolver.

    Returns
    -------
    PartitionTree
    """
    n = grid[0] * grid[1]
    if n != len(graph):
        raise InputError(f"A grid of {grid[0]}x{grid[1]} patches needs {n} nodes, not {len(graph)}.")
    smallest = max(2, n // 256) if smallest is None else smallest
    order = np.arange(n)
    total = float(graph.degrees.sum()) or 1.0
    nodes: list[list[float]] = []  # start, stop, left, right, ncut, volume, inside

    def add(start: int, stop: int, region: Graph, volume: float) -> int:
        inside = float(region.degrees.sum()) / total
        nodes.append([start, stop, -1, -1, np.inf, volume, inside])
        return len(nodes) - 1

    degrees = graph.degrees.cpu().numpy() / total
    waiting = [(add(0, n, graph, float(degrees.sum())), graph)]
    while waiting:
        node, region = waiting.pop()
        start, stop = nodes[node][:2]
        if stop - start < max(2 * smallest, 2):
            continue
        split = best_cut(region, tolerance)
        if split.ncut >= MEMORYLESS:
            continue
        nodes[node][4] = split.ncut
        order[start:stop] = order[start:stop][split.order.cpu().numpy()]
        bounds = (start, start + split.size, stop)
        sides = split.order[: split.size], split.order[split.size :]
        for place, side, lo, hi in zip((2, 3), sides, bounds[:2], bounds[1:], strict=True):
            part = region.subgraph(side)
            nodes[node][place] = child = add(lo, hi, part, float(degrees[order[lo:hi]].sum()))
            waiting.append((child, part))
    table = np.array(nodes)
    start, stop, left, right = table[:, :4].T.astype(np.int64)
    return PartitionTree(grid, order, start, stop, left, right, *table[:, 4:].T.copy())

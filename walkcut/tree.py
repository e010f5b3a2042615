"""Cut, then cut the parts: a tree whose every threshold is a pruning."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from walkcut.capture import Grid
from walkcut.errors import InputError, brief, shown
from walkcut.graph import Affinity
from walkcut.ncut import best_cut
from walkcut.recipe import between, checked, or_none, positive, sides, whole
from walkcut.threads import single_threaded

# NCut of every cut of a walk that forgets where it was: no reason to split. Exact for a walk; for a region's graph,
# whose own walk forgets the rest of the picture, a rule of thumb.
MEMORYLESS = 1.0
TOLERANCE = 1e-5  # of eigenvectors: trees are then those of exact ones, on all samples, at eleven thresholds
ROUNDING = 1e-6  # an NCut below it is what float32 sums leave of zero: a cut between components
ARRAYS = ("start", "stop", "left", "right", "ncut", "volume", "association")  # one entry for each node of a tree


@dataclass(frozen=True, eq=False)
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
    volume, association : float64 (nodes,)
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
    association: np.ndarray

    __repr__ = brief

    def __len__(self) -> int:
        return len(self.start)

    def split_height(self) -> np.ndarray:
        """(nodes,) float64: the threshold from which on a node is split, the largest NCut on its path from the root.

        Equation `eq-tree-needed` of the book.
        """
        height = self.ncut.copy()
        for node in np.flatnonzero(self.left >= 0):  # parents come first
            children = [self.left[node], self.right[node]]
            height[children] = np.maximum(height[children], height[node])
        return height

    @checked(threshold=between(0, 2))
    def leaves(self, threshold: float) -> np.ndarray:
        """Nodes that are segments when splits of NCut up to `threshold` are taken, from the root down."""
        return self.frontier(self.split_height() <= threshold)

    def k_segments(self, k: int) -> np.ndarray:
        """Nodes that are the first k segments to appear as the threshold grows; of equal splits, the earlier node's.

        Nested: of the segments for k, the split of one gives those for k + 1.
        """
        most = int((self.left < 0).sum())
        k = whole(1, most)("k, of segments of this tree,", k)
        taken = np.argsort(self.split_height(), kind="stable")[: k - 1]  # leaves, never split, come last
        return self.frontier(np.isin(np.arange(len(self)), taken))

    def frontier(self, split: np.ndarray) -> np.ndarray:
        """Nodes that are segments when the nodes marked in `split` (nodes,) bool are split, from the root down."""
        reached = np.zeros(len(self), bool)
        reached[0] = True
        for node in np.flatnonzero(split & (self.left >= 0)):
            if reached[node]:
                reached[[node, self.left[node], self.right[node]]] = False, True, True
        return np.flatnonzero(reached)

    def labels(
        self, threshold: float | None = None, *, k: int | None = None, leaves: np.ndarray | None = None
    ) -> np.ndarray:
        """Segments of the patches: int32 (h, w), 0 for the largest, then by size. No eigenproblem is solved again.

        Equation `eq-tree-pruning` of the book.

        Parameters
        ----------
        threshold : float in [0, 2]
            Splits of NCut up to it are taken, from the root down. Thresholds nest: a larger one only splits segments
            of a smaller one.
        k : int, instead
            Take the first k segments, see `k_segments`.
        leaves : int (m,), instead
            Take these nodes; together they must hold each patch once.

        Raises
        ------
        InputError
            If not exactly one of the three is given, or it does not fit the tree.
        """
        if (threshold is not None) + (k is not None) + (leaves is not None) != 1:
            raise InputError("Segments of a tree need one of three: a threshold, k, or leaves.")
        if k is not None:
            leaves = self.k_segments(k)
        elif threshold is not None:
            leaves = self.leaves(threshold)
        nodes = np.ravel(np.array(leaves))
        if not set(nodes.tolist()) <= set(range(len(self))):
            raise InputError(f"The leaves of a tree of {len(self)} nodes are numbers of these, not {shown(leaves)}.")
        nodes = np.sort(nodes.astype(np.int64))
        nodes = nodes[np.argsort(self.start[nodes] - self.stop[nodes], kind="stable")]
        labels = np.full(len(self.order), -1, np.int32)
        for label, node in enumerate(nodes):
            labels[self.order[self.start[node] : self.stop[node]]] = label
        if labels.min() < 0 or (self.stop[nodes] - self.start[nodes]).sum() != len(labels):
            raise InputError(f"The nodes {nodes.tolist()} do not hold each patch once.")
        return labels.reshape(self.grid)

    def stack(self, thresholds: Sequence[float]) -> np.ndarray:
        """`labels` at each of m thresholds: int32 (m, h, w)."""
        return np.stack([self.labels(threshold) for threshold in thresholds])


def partition(
    graph: Affinity, grid: Grid, smallest: int | None = None, tolerance: float = TOLERANCE, max_ncut: float = MEMORYLESS
) -> PartitionTree:
    """Cut recursively until regions are small or no cut is better than a memoryless walk's.

    Each region is cut as a graph of its own (what leads out of it is forgotten), as in Shi & Malik 2000, section 3.
    `Growth` does it in pieces.

    Parameters
    ----------
    graph : Affinity
        Of h*w nodes.
    grid : (h, w)
    smallest : int, optional
        A region with fewer than twice as many patches is left whole; the parts of a larger one may be of any size.
        Default: one part in 256 of the picture, at least 2.
    tolerance : float
        Of eigenvectors, see `walkcut.ncut.second_eigenvector`.
    max_ncut : float in [0, 2]
        A region whose best cut reaches it is left whole. A lower one saves time where larger thresholds are of no
        interest.

    Returns
    -------
    PartitionTree
        Its prunings at thresholds below `max_ncut` are those of a recursion run for that threshold alone.
    """
    growth = Growth(graph, grid, smallest, tolerance, max_ncut)
    growth.cut()
    return growth.tree()


class Growth:
    """A tree while it grows: a process beside a GPU may cut the large regions, and another one the rest.

    Parameters and errors are those of `partition`.

    Attributes
    ----------
    waiting : list of (int, Affinity)
        Nodes that were not tried yet, and their graphs. At first the root.
    """

    @checked(grid=sides, smallest=or_none(whole(0)), tolerance=positive, max_ncut=between(0, 2))
    def __init__(
        self,
        graph: Affinity,
        grid: Grid,
        smallest: int | None = None,
        tolerance: float = TOLERANCE,
        max_ncut: float = MEMORYLESS,
    ) -> None:
        n = grid[0] * grid[1]
        if n != len(graph):
            raise InputError(f"A grid of {grid[0]}x{grid[1]} patches needs {n} nodes, not {len(graph)}.")
        self.grid, self.tolerance, self.max_ncut = grid, tolerance, max_ncut
        self.smallest = max(2, n // 256) if smallest is None else smallest
        self.degrees, self.order = graph.degrees.cpu().numpy(), np.arange(n)
        # start, stop, left, right, ncut and association of each node, in the order in which they came up
        self.nodes: list[list[float]] = [[0, n, -1, -1, np.inf, self.degrees.sum()]]
        self.waiting: list[tuple[int, Affinity]] = [(0, graph)]

    @checked(above=whole(0))
    def cut(self, above: int = 0) -> None:
        """Cut regions of more than `above` patches, and their parts, until no such region is left.

        A region waits until it is cut: what was interrupted can go on.
        """
        with single_threaded():
            place = len(self.waiting) - 1
            while place >= 0:
                node, region = self.waiting[place]
                if len(region) <= above:
                    place -= 1
                    continue
                parts = self._split(node, region) if len(region) >= max(2 * self.smallest, 2) else []
                self.waiting[place : place + 1] = parts
                place += len(parts) - 1

    def _split(self, node: int, region: Affinity) -> list[tuple[int, Affinity]]:
        """The two parts of a node, if its best cut is worth it."""
        split = best_cut(region, self.tolerance, twins=False)  # a mixture of twins is cut as well as either
        if split.ncut >= self.max_ncut:
            return []
        parts = [region.subgraph(index) for index in (split.order[: split.size], split.order[split.size :])]
        weights = [part.degrees.cpu().numpy().sum() for part in parts]
        start, stop = (int(bound) for bound in self.nodes[node][:2])
        middle, number = start + split.size, len(self.nodes)
        self.order[start:stop] = self.order[start:stop][split.order.numpy()]
        self.nodes[node][2:5] = number, number + 1, split.ncut if split.ncut > ROUNDING else 0.0
        self.nodes.append([start, middle, -1, -1, np.inf, weights[0]])
        self.nodes.append([middle, stop, -1, -1, np.inf, weights[1]])
        return [(number, parts[0]), (number + 1, parts[1])]

    def tree(self) -> PartitionTree:
        """The tree as it stands, its nodes numbered from the last branch to the first, in whatever order they came."""
        came, waiting = [0], [0]
        while waiting:
            children = [int(child) for child in self.nodes[waiting.pop()][2:4]]
            if children[0] >= 0:
                came += children
                waiting += children
        number = np.full(len(came) + 1, -1)  # the last entry is nobody's, -1
        number[came] = np.arange(len(came))
        table = np.array(self.nodes)[came]
        (start, stop, left, right), (ncut, association) = table[:, :4].T.astype(np.int64), table[:, 4:].T.copy()
        running = np.r_[0.0, self.degrees[self.order].cumsum()]
        total = running[-1] or 1.0
        shares = (running[stop] - running[start]) / total, association / total
        return PartitionTree(self.grid, self.order, start, stop, number[left], number[right], ncut, *shares)

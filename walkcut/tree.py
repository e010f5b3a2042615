"""Cut, then cut the parts: a tree whose every threshold is a pruning."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from numbers import Integral

import numpy as np

from walkcut.attention import Grid
from walkcut.errors import InputError
from walkcut.graph import Affinity, Graph
from walkcut.ncut import best_cut, single_threaded

# NCut of every cut of a walk that forgets where it was: no reason to split. Exact for a walk; for a region's graph,
# whose own walk forgets the rest of the picture, a rule of thumb.
MEMORYLESS = 1.0
NEAR = 1024  # nodes of a region that one thread of the processor cuts: too few to be worth a GPU's calls, or threads
ROUNDING = 1e-6  # an NCut below it is what float32 sums leave of zero: a cut between components


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
        n, nodes = self.grid[0] * self.grid[1], len(self.start)
        if not np.array_equal(np.sort(self.order), np.arange(n)):
            raise InputError(f"The order of a tree over {n} patches must name each patch once.")
        lengths = {len(getattr(self, name)) for name in ("stop", "left", "right", "ncut", "volume", "inside")}
        if lengths != {nodes} or not nodes:
            raise InputError(f"A tree needs as many entries in each of its arrays, not {sorted(lengths | {nodes})}.")
        split = np.flatnonzero(self.left >= 0)
        left, right = self.left[split], self.right[split]
        once = np.array_equal(np.sort(np.r_[left, right]), np.arange(1, nodes))
        if not once or (np.minimum(left, right) <= split).any():
            raise InputError("Every node but the first must be the child of one earlier node: this tree is damaged.")
        whole = (self.start[left] == self.start[split]) & (self.stop[left] == self.start[right])
        whole &= (self.stop[right] == self.stop[split]) & (self.start[left] < self.stop[left])
        whole &= self.start[right] < self.stop[right]
        if not whole.all() or (self.start[0], self.stop[0]) != (0, n):
            raise InputError("The children of a node must share out its slice: this tree is damaged.")
        leaf = self.left < 0
        if not np.isposinf(self.ncut[leaf]).all() or not ((self.ncut >= 0) & (self.ncut <= 2))[~leaf].all():
            raise InputError("A split needs an NCut between 0 and 2, and a leaf has none: this tree is damaged.")
        if not np.isfinite([self.volume, self.inside]).all():
            raise InputError("The shares of a tree's nodes must be finite: this tree is damaged.")

    def __len__(self) -> int:
        return len(self.start)

    def needed(self) -> np.ndarray:
        """(nodes,) float64: the threshold from which on a node is split, the largest NCut on its path from the root.

        Equation `eq-tree-needed` of the book.
        """
        needed = self.ncut.copy()
        for node in np.flatnonzero(self.left >= 0):  # parents come first
            for child in (self.left[node], self.right[node]):
                needed[child] = max(needed[child], needed[node])
        return needed

    def leaves(self, threshold: float) -> np.ndarray:
        """Nodes that are segments when splits of NCut up to `threshold` are taken, from the root down."""
        if not 0 <= threshold <= 2:
            raise InputError(f"A threshold on NCut lies between 0 and 2, not {threshold}.")
        return self.below(self.needed() <= threshold)

    def first(self, k: int) -> np.ndarray:
        """Nodes that are the first k segments to appear as the threshold grows; of equal splits, the earlier node's.

        Nested: of the segments for k, the split of one gives those for k + 1.
        """
        most = int((self.left < 0).sum())
        if isinstance(k, bool) or not isinstance(k, Integral) or not 1 <= k <= most:
            raise InputError(f"This tree can be cut into 1 to {most} segments, not {k}.")
        taken = np.argsort(self.needed(), kind="stable")[: k - 1]  # leaves, never split, come last
        return self.below(np.isin(np.arange(len(self)), taken))

    def below(self, split: np.ndarray) -> np.ndarray:
        """Nodes that are segments when the nodes marked in `split` (nodes,) bool are split, from the root down."""
        reached = np.zeros(len(self), bool)
        reached[0] = True
        for node in np.flatnonzero(split & (self.left >= 0)):
            if reached[node]:
                reached[node] = False
                reached[[self.left[node], self.right[node]]] = True
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
            Take the first k segments, see `first`.
        leaves : int (m,), instead
            Take these nodes; together they must hold each patch once.

        Raises
        ------
        InputError
            If not exactly one of the three is given, or it does not fit the tree.
        """
        if (threshold is not None) + (k is not None) + (leaves is not None) != 1:
            raise InputError("Segments of a tree need one of three: a threshold, k, or leaves.")
        if leaves is None:
            leaves = self.first(k) if threshold is None else self.leaves(threshold)
        nodes = np.sort(leaves)
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

    def to_linkage(self) -> np.ndarray:
        """The tree as a SciPy linkage, float64 (h*w - 1, 4), over the patches as its leaves.

        Equation `eq-tree-height` of the book.

        A split becomes a merge at height 2 - (the largest NCut on its path from the root), which never falls towards
        the root; patches that were never parted merge at height 0. So `fcluster(linkage, height, "distance")` at a
        height just below 2 - threshold gives the segments of `labels(threshold)`, and, where no two splits are equal,
        `fcluster(linkage, k, "maxclust")` those of `labels(k=k)`.
        """
        n = len(self.order)
        rows: list[tuple[int, int, float, int]] = []
        cluster = np.empty(len(self), np.int64)  # that stands for a node; n + i is made by row i

        def merge(a: int, b: int, height: float, size: int) -> int:
            rows.append((min(a, b), max(a, b), height, size))
            return n + len(rows) - 1

        for node in np.flatnonzero(self.left < 0):
            patches = self.order[self.start[node] : self.stop[node]]
            cluster[node] = patches[0]
            for size, patch in enumerate(patches[1:], 2):
                cluster[node] = merge(cluster[node], patch, 0.0, size)
        needed = self.needed()
        last_first = np.argsort(needed, kind="stable")[::-1]  # children before their parents
        for node in last_first[self.left[last_first] >= 0]:
            size = self.stop[node] - self.start[node]
            cluster[node] = merge(cluster[self.left[node]], cluster[self.right[node]], 2 - needed[node], size)
        return np.array(rows, np.float64).reshape(-1, 4)

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
        """The inverse of `to_dict`.

        Raises
        ------
        InputError
            If the record is not a whole tree.
        """
        try:
            h, w = (operator.index(side) for side in record["grid"])
            integers = {
                name: np.array([operator.index(value) for value in record[name]], np.int64)
                for name in ("order", "start", "stop", "left", "right")
            }
            ncut = np.array([np.inf if value is None else value for value in record["ncut"]], np.float64)
            shares = {name: np.array(record[name], np.float64) for name in ("volume", "inside")}
            return cls((h, w), ncut=ncut, **integers, **shares)
        except InputError:
            raise
        except (KeyError, TypeError, ValueError, IndexError, OverflowError) as error:
            raise InputError(f"This is no record of a tree ({error}): write it anew with to_dict().") from error


def partition(
    graph: Affinity,
    grid: Grid,
    smallest: int | None = None,
    tolerance: float = 1e-3,
    ceiling: float = MEMORYLESS,
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
        Of the eigensolver.
    ceiling : float in (0, 2]
        A region whose best cut reaches it is left whole. A lower one saves time where larger thresholds are of no
        interest.

    Returns
    -------
    PartitionTree
        Its prunings at thresholds below the ceiling are those of a recursion run for that threshold alone.
    """
    growth = Growth.start(graph, grid, smallest, tolerance, ceiling)
    growth.cut()
    return growth.tree()


@dataclass
class Growth:
    """A tree while it grows: a process beside a GPU may cut the large regions, and another one the rest.

    Attributes
    ----------
    grid : (h, w)
    smallest, tolerance, ceiling
        As for `partition`.
    total : float
        Weight of the whole graph.
    degrees : float64 (h*w,)
        Of the patches, as shares of the whole.
    order : int64 (h*w,)
        The patches; each node holds a slice.
    nodes : list of [start, stop, left, right, ncut, volume, inside]
        As in a `PartitionTree`, in the order in which they came up.
    waiting : list of (int, Affinity)
        Nodes that were not tried yet, and their graphs.
    """

    grid: Grid
    smallest: int
    tolerance: float
    ceiling: float
    total: float
    degrees: np.ndarray
    order: np.ndarray
    nodes: list[list[float]]
    waiting: list[tuple[int, Affinity]]

    @classmethod
    def start(
        cls,
        graph: Affinity,
        grid: Grid,
        smallest: int | None = None,
        tolerance: float = 1e-3,
        ceiling: float = MEMORYLESS,
    ) -> Growth:
        """A root and nothing else; parameters and errors are those of `partition`."""
        if not 0 < ceiling <= 2:
            raise InputError(f"The ceiling of NCut must lie above 0 and be at most 2, not {ceiling}.")
        n = grid[0] * grid[1]
        if n != len(graph):
            raise InputError(f"A grid of {grid[0]}x{grid[1]} patches needs {n} nodes, not {len(graph)}.")
        smallest = max(2, n // 256) if smallest is None else smallest
        weight = float(graph.degrees.sum())
        total = weight or 1.0
        degrees = graph.degrees.cpu().numpy() / total
        root = [0, n, -1, -1, np.inf, float(degrees.sum()), weight / total]
        growth = cls(grid, smallest, tolerance, ceiling, total, degrees, np.arange(n), [root], [])
        growth.waiting = growth._worth_a_try([(0, at_hand(graph))])
        return growth

    def _worth_a_try(self, regions: list[tuple[int, Affinity]]) -> list[tuple[int, Affinity]]:
        return [(node, region) for node, region in regions if len(region) >= max(2 * self.smallest, 2)]

    def cut(self, above: int = 0) -> None:
        """Cut regions of more than `above` patches, and their parts, until no such region is left.

        A region waits until it is cut: what was interrupted can go on.
        """
        place = len(self.waiting) - 1
        while place >= 0:
            node, region = self.waiting[place]
            if len(region) <= above:
                place -= 1
                continue
            few = len(region) <= NEAR or region.degrees.is_cuda
            with single_threaded() if few else nullcontext():
                parts = self._worth_a_try(self._split(node, region))
            self.waiting[place : place + 1] = parts
            place += len(parts) - 1

    def _split(self, node: int, region: Affinity) -> list[tuple[int, Affinity]]:
        """The two parts of a node, if its best cut is worth it."""
        split = best_cut(region, self.tolerance, twins=False)  # a mixture of twins is cut as well as either
        if split.ncut >= self.ceiling:
            return []
        start, stop = self.nodes[node][:2]
        order = self.order[start:stop][split.order.cpu().numpy()]
        parts, added = [], []
        for lo, hi in ((0, split.size), (split.size, stop - start)):
            part = at_hand(region.subgraph(split.order[lo:hi]))
            shares = float(self.degrees[order[lo:hi]].sum()), float(part.degrees.sum()) / self.total
            parts.append((len(self.nodes) + len(parts), part))
            added.append([start + lo, start + hi, -1, -1, np.inf, *shares])
        self.order[start:stop] = order
        self.nodes[node][2:5] = [*(child for child, _ in parts), split.ncut if split.ncut > ROUNDING else 0.0]
        self.nodes += added
        return parts

    def tree(self) -> PartitionTree:
        """The tree as it stands, its nodes numbered from the last branch to the first, in whatever order they came."""
        came, waiting = [0], [0]
        while waiting:
            children = self.nodes[waiting.pop()][2:4]
            if children[0] >= 0:
                came += children
                waiting += children
        number = np.full(len(came) + 1, -1)  # the last entry is nobody's, -1
        number[came] = np.arange(len(came))
        table = np.array(self.nodes)[came]
        start, stop, left, right = table[:, :4].T.astype(np.int64)
        return PartitionTree(self.grid, self.order, start, stop, number[left], number[right], *table[:, 4:].T.copy())


def at_hand(region: Affinity) -> Affinity:
    """A region of few nodes brought from a GPU to main memory; any other as it is."""
    if type(region) is Graph and region.W.is_cuda and len(region) <= NEAR:
        return Graph._trusted(region.W.cpu())
    return region

"""Cut, then cut the parts: a tree whose every threshold is a pruning."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from walkcut.capture import Grid
from walkcut.errors import InputError, brief, shown
from walkcut.graph import Affinity, Graph, block_of
from walkcut.ncut import Split, best_cuts
from walkcut.recipe import between, checked, or_none, positive, sides, whole
from walkcut.threads import single_threaded

# NCut of every cut of a walk that forgets where it was: no reason to split. Exact for a walk; for a region's graph,
# whose own walk forgets the rest of the picture, a rule of thumb.
MEMORYLESS = 1.0
TOLERANCE = 1e-5  # of eigenvectors: trees are then those of exact ones, on all samples, at eleven thresholds
ROUNDING = 1e-6  # an NCut below it is what float32 sums leave of zero: a cut between components
TOGETHER = 2  # blocks of numbers that are looked at together
LIKE = 0.75  # of the largest region are those that are cut with it
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


@checked(grid=sides, smallest=or_none(whole(0)), tolerance=positive, max_ncut=between(0, 2))
def partition(
    graph: Affinity, grid: Grid, smallest: int | None = None, tolerance: float = TOLERANCE, max_ncut: float = MEMORYLESS
) -> PartitionTree:
    """Cut recursively until regions are small or no cut is better than a memoryless walk's.

    Each region is cut as a graph of its own (what leads out of it is forgotten), as in Shi & Malik 2000, section 3;
    regions of like size are cut together.

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
    n = grid[0] * grid[1]
    if n != len(graph):
        raise InputError(f"A grid of {grid[0]}x{grid[1]} patches needs {n} nodes, not {len(graph)}.")
    smallest = max(2, n // 256) if smallest is None else smallest
    least, degrees, order = max(2 * smallest, 2), graph.degrees.cpu().numpy(), np.arange(n)
    # start, stop, left, right, ncut and association of each node, in the order in which they come up
    nodes: list[list[float]] = [[0, n, -1, -1, np.inf, degrees.sum()]]
    waiting: list[tuple[int, Affinity]] = [(0, graph)] if n >= least else []
    guess = graph.degrees.new_zeros(n)  # in that order: where to look for the eigenvectors of regions
    with single_threaded():
        while waiting:
            alike, waiting = _alike(waiting)
            spans = [slice(*map(int, nodes[node][:2])) for node, _ in alike]
            splits = best_cuts([region for _, region in alike], tolerance, [guess[span] for span in spans])
            for (node, region), split, span in zip(alike, splits, spans, strict=True):
                if split.ncut < max_ncut:
                    if split.guess is not None:
                        guess[span] = split.guess[split.order.to(guess.device)]
                    number, sides = len(nodes), _sides(region, split, least)
                    _branch(nodes, node, order, split, [inside for _, inside in sides])
                    waiting += [(number + side, part) for side, (part, _) in enumerate(sides) if part is not None]
    return _numbered(grid, order, nodes, degrees)


def _alike(waiting: list[tuple[int, Affinity]]) -> tuple[list[tuple[int, Affinity]], list[tuple[int, Affinity]]]:
    """The largest region, and those of like size that a device looks at in one go; and the others.

    Parts are smaller than what they are part of: nearly all regions of one size are there when it is their turn.
    """
    waiting = sorted(waiting, key=lambda one: -len(one[1]))
    largest = waiting[0][1]
    if type(largest) is not Graph:
        return waiting[:1], waiting[1:]
    most = max(TOGETHER * block_of(largest.W) // len(largest) ** 2, 1)
    like = sum(type(region) is Graph and len(region) >= LIKE * len(largest) for _, region in waiting[:most])
    return waiting[:like], waiting[like:]


def _sides(region: Affinity, split: Split, least: int) -> list[tuple[Affinity | None, float]]:
    """Both sides of a split region: the graph, if it is to be cut, and the weight that stays inside."""
    sides = split.order[: split.size], split.order[split.size :]
    if type(region) is Graph:
        graphs = [region.subgraph(side) if len(side) >= least else None for side in sides]
        return list(zip(graphs, split.association, strict=True))
    held = [region.subgraph(side) for side in sides]  # a graph may keep more inside than is left of its edges
    return [(part if len(part) >= least else None, float(part.degrees.sum())) for part in held]


def _branch(nodes: list[list[float]], node: int, order: np.ndarray, split: Split, inside: Sequence[float]) -> None:
    """Put a split into the table of nodes, and the patches of its node in order."""
    start, stop = (int(bound) for bound in nodes[node][:2])
    order[start:stop] = order[start:stop][split.order.numpy()]
    nodes[node][2:5] = len(nodes), len(nodes) + 1, split.ncut if split.ncut > ROUNDING else 0.0
    middle = start + split.size
    nodes += [[start, middle, -1, -1, np.inf, inside[0]], [middle, stop, -1, -1, np.inf, inside[1]]]


def _numbered(grid: Grid, order: np.ndarray, nodes: Sequence[Sequence[float]], degrees: np.ndarray) -> PartitionTree:
    """The tree, its nodes numbered from the last branch to the first, in whatever order they came."""
    came, waiting = [0], [0]
    while waiting:
        children = [int(child) for child in nodes[waiting.pop()][2:4]]
        if children[0] >= 0:
            came += children
            waiting += children
    number = np.full(len(came) + 1, -1)  # the last entry is nobody's, -1
    number[came] = np.arange(len(came))
    table = np.array(nodes)[came]
    (start, stop, left, right), (ncut, association) = table[:, :4].T.astype(np.int64), table[:, 4:].T.copy()
    running = np.r_[0.0, degrees[order].cumsum()]
    total = running[-1] or 1.0
    shares = (running[stop] - running[start]) / total, association / total
    return PartitionTree(grid, order, start, stop, number[left], number[right], ncut, *shares)

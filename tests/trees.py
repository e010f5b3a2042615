"""Graphs and trees to prune, and all prunings of a tree, listed slowly."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import torch

from walkcut.graph import Graph
from walkcut.null import SplitPrices
from walkcut.tree import PartitionTree, partition
from walkcut.walk import Walk


def scattered(grid: tuple[int, int], seed: int) -> Graph:
    n = grid[0] * grid[1]
    points = np.random.default_rng(seed).uniform(size=(n, 2)) * [4, 1]
    return Graph(torch.from_numpy(np.exp(-((points[:, None] - points) ** 2).sum(-1) / 0.05)))


def planted(*sizes: int, between: float) -> Graph:
    W = torch.block_diag(*(torch.ones(n, n, dtype=torch.float64) for n in sizes))
    return Graph(W + between)


def walk_of(graph: Graph, grid: tuple[int, int] | None = None) -> Walk:
    return Walk(graph.W / graph.degrees[:, None], grid or (1, len(graph)))


def priced(graph: Graph, tree: PartitionTree) -> SplitPrices:
    """By the graph's own walk, which is the one that was cut."""
    return SplitPrices.of(tree, walk_of(graph, tree.grid))


def two_halves(n: int, seed: int) -> Walk:
    """Not reversible, with two halves that are left rarely."""
    P = np.random.default_rng(seed).uniform(size=(n, n)) ** 3
    P[: n // 2, n // 2 :] *= 0.1
    P[n // 2 :, : n // 2] *= 0.2
    return Walk(torch.from_numpy(P / P.sum(1, keepdims=True)), (1, n))


def small_tree(seed: int, size: int = 20) -> tuple[Graph, PartitionTree]:
    """At most nine segments, so that all prunings can be listed."""
    graph = scattered((1, size), seed)
    return graph, partition(graph, (1, size), smallest=2)


def prunings(tree: PartitionTree, node: int = 0) -> Iterator[tuple[list[int], list[int]]]:
    """Slow reference: segments and kept splits of every pruning of the tree below a node."""
    yield [node], []
    if tree.ncut[node] < 1:
        sides = [list(prunings(tree, side)) for side in (tree.left[node], tree.right[node])]
        for (a, kept_a), (b, kept_b) in itertools.product(*sides):
            yield a + b, [node, *kept_a, *kept_b]


def handmade(*ncut: float) -> PartitionTree:
    """A comb: each split cuts off the first patch of what is left."""
    n = len(ncut) + 1
    start, stop, left, right, cuts = [0], [n], [-1], [-1], [np.inf]
    node = 0
    for i, value in enumerate(ncut):
        left[node], right[node], cuts[node] = len(start), len(start) + 1, value
        start += [i, i + 1]
        stop += [i + 1, n]
        left, right, cuts = [*left, -1, -1], [*right, -1, -1], [*cuts, np.inf, np.inf]
        node = len(start) - 1
    share = (np.array(stop) - start) / n
    return PartitionTree((1, n), np.arange(n), *map(np.array, (start, stop, left, right, cuts)), share, share**2)

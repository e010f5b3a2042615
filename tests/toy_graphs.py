"""Graphs whose cuts are known by heart, and others that have no two equal cuts."""

import numpy as np
import torch

from walkcut.graph import Graph


def clique(n: int) -> torch.Tensor:
    return (1 - torch.eye(n)).double()


def path(n: int) -> Graph:
    line = torch.diag(torch.ones(n - 1), 1).double()
    return Graph(line + line.T)


def ring(n: int) -> Graph:
    turn = torch.roll(torch.eye(n), 1, 1).double()
    return Graph(turn + turn.T)


def barbell(n: int, bridge: float = 1.0) -> Graph:
    """Two cliques of n nodes, one edge between them."""
    W = torch.block_diag(clique(n), clique(n))
    W[n - 1, n] = W[n, n - 1] = bridge
    return Graph(W)


def blocks(*sizes: int, between: float = 0.0) -> Graph:
    """Cliques with loops, any two nodes of different cliques tied by `between`."""
    W = torch.block_diag(*(torch.full((n, n), 1.0 - between, dtype=torch.float64) for n in sizes))
    return Graph(W + between)


def random_graph(n: int, seed: int) -> Graph:
    """Points in a strip, near ones tied: no two eigenvalues coincide."""
    points = np.random.default_rng(seed).uniform(size=(n, 2)) * [3, 1]
    squared = ((points[:, None] - points) ** 2).sum(-1)
    return Graph(torch.from_numpy(np.exp(-squared / 0.1)))


def random_weights(n: int, seed: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    """(n, n), not symmetric, between 0 and 1."""
    return torch.rand(n, n, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def same_partition(a: np.ndarray, b: np.ndarray) -> bool:
    pairs = np.unique(np.stack([np.ravel(a), np.ravel(b)]), axis=1).shape[1]
    return pairs == len(np.unique(a)) == len(np.unique(b))

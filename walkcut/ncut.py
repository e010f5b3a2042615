"""Normalised Cut: the second eigenvector, and the exact best split along it.

    NCut(S) = cut(S, S') / vol(S) + cut(S, S') / vol(S')             (Shi & Malik 2000, equation 2)

is the probability that a stationary walker on S leaves it at the next step, plus the same for S'. It lies in [0, 2];
a walk without memory gives 1 for every S.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.linalg import eigh
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh

from walkcut.errors import InputError
from walkcut.graph import Graph

DENSE = 200  # up to this many nodes all eigenvectors are cheaper than a few


@dataclass(frozen=True)
class Split:
    """The best of all splits of a sorted vector.

    Attributes
    ----------
    order : int64 Tensor (n,)
        Nodes from the smallest value to the largest.
    size : int
        The first `size` nodes of `order` are one side, 1..n-1.
    ncut : float
    curve : float64 Tensor (n-1,)
        NCut of every prefix.
    """

    order: torch.Tensor
    size: int
    ncut: float
    curve: torch.Tensor


def ncut(graph: Graph, mask: torch.Tensor) -> float:
    """NCut of the nodes in `mask` (n,) bool against the rest; a side of no volume escapes with probability 0."""
    inside = torch.as_tensor(mask).to(graph.W.device).bool()
    if inside.shape != (len(graph),):
        raise InputError(f"A cut of {len(graph)} nodes needs a mask of as many entries, not {tuple(inside.shape)}.")
    if inside.all() or not inside.any():
        raise InputError("A cut needs nodes on both sides.")
    degrees = graph.degrees
    cut = graph.W[inside][:, ~inside].sum(dtype=torch.float64)
    volumes = degrees[inside].sum(), degrees[~inside].sum()
    return float(sum(cut / volume for volume in volumes if volume > 0))


def second_eigenvector(graph: Graph, tolerance: float = 1e-4, seed: int = 0) -> tuple[float, torch.Tensor]:
    """The relaxed problem (D - W) y = lambda D y (Shi & Malik 2000, equation 11).

    With x the eigenvector of the second largest eigenvalue of D^-1/2 W D^-1/2, y = D^-1/2 x. The largest is known,
    D^1/2 1, and is deflated. Signs are fixed: the entry of largest magnitude is positive.

    Parameters
    ----------
    graph : Graph
        Every node needs a positive degree, see `best_cut` for graphs with isolated nodes.
    tolerance : float
        Relative accuracy of the Ritz value, for graphs of more than 200 nodes.
    seed : int
        Of Lanczos' starting vector.

    Returns
    -------
    eigenvalue : float
        lambda in [0, 2]; no NCut is smaller.
    y : float64 Tensor (n,)
    """
    n = len(graph)
    if n < 2:
        raise InputError(f"A graph of {n} node cannot be cut: it takes at least 2.")
    root = graph.degrees.sqrt()
    if not root.min() > 0:
        raise InputError("A node has no edges: cut isolated nodes off first, as best_cut does.")
    if n <= DENSE:
        value, x = _dense(graph, root)
    else:
        value, x = _lanczos(graph, root, tolerance, seed)
    y = torch.from_numpy(np.ascontiguousarray(x)).to(root) / root
    return float(max(1 - value, 0.0)), y * _sign(y)


def _dense(graph: Graph, root: torch.Tensor) -> tuple[float, np.ndarray]:
    """Second eigenpair by a full decomposition; the first is moved from 1 to -2, so that it never mixes in."""
    n = len(graph)
    first = root / torch.linalg.vector_norm(root)
    scaled = graph.W.double() / root[:, None] / root - 3 * first[:, None] * first
    values, vectors = eigh(scaled.cpu().numpy(), subset_by_index=[n - 1, n - 1])
    return float(values[0]), vectors[:, 0]


def _lanczos(graph: Graph, root: torch.Tensor, tolerance: float, seed: int) -> tuple[float, np.ndarray]:
    """Second eigenpair by ARPACK on products W v alone; the first is moved from 1 to -1."""
    n = len(graph)
    inverse = 1 / root
    first = root / torch.linalg.vector_norm(root)

    def product(x: np.ndarray) -> np.ndarray:
        x = torch.from_numpy(x.ravel()).to(root)
        after = inverse * graph.matvec(inverse * x).double()
        return (after - 2 * first * (first @ x)).cpu().numpy()

    operator = LinearOperator((n, n), matvec=product, dtype=np.float64)
    start = np.random.default_rng(seed).normal(size=n)
    try:
        values, vectors = eigsh(operator, k=1, which="LA", v0=start, tol=tolerance, maxiter=50)
    except ArpackNoConvergence:
        return _dense(graph, root)  # eigenvalues that nearly coincide: slow and sure
    return float(values[0]), vectors[:, 0]


def _sign(y: torch.Tensor) -> float:
    """+1 or -1: makes the entry of largest magnitude (the first within 1e-6 of it) positive."""
    size = y.abs()
    return float(torch.sign(y[torch.nonzero(size >= (1 - 1e-6) * size.max())[0, 0]]))


def best_split(graph: Graph, values: torch.Tensor) -> Split:
    """The best of all n - 1 splits of the nodes sorted by `values` (n,), exactly, in one pass over W.

    Adding node i to S turns its edges to S from cut into inside: with running sums,
    inside(S) = sum over i in S of (w_ii + 2 sum over j in S before i of w_ij), and cut(S) = vol(S) - inside(S).
    """
    n = len(graph)
    order = torch.argsort(torch.as_tensor(values).to(graph.W.device), stable=True)
    degrees = graph.degrees[order]
    before = torch.empty(n, dtype=torch.float64, device=order.device)
    block = max(1, 2**24 // n)
    for start in range(0, n, block):
        rows = graph.W[order[start : start + block]][:, order]  # (block, n)
        before[start : start + block] = torch.tril(rows, diagonal=start - 1).sum(1, dtype=torch.float64)
    inside = torch.cumsum(graph.W.diagonal()[order].double() + 2 * before, 0)[:-1]
    volume = torch.cumsum(degrees, 0)
    total, volume = volume[-1], volume[:-1]
    cut = (volume - inside).clamp_min(0)
    curve = cut / volume.clamp_min(1e-300) + cut / (total - volume).clamp_min(1e-300)
    best = int(torch.argmin(curve))
    return Split(order, best + 1, float(curve[best]), curve)


def best_cut(graph: Graph, tolerance: float = 1e-4) -> Split:
    """Second eigenvector and best split in one; isolated nodes are cut off first, at no cost."""
    isolated = graph.degrees <= 0
    if isolated.any():
        order = torch.argsort(isolated.int(), descending=True, stable=True)
        size = min(int(isolated.sum()), len(graph) - 1)
        return Split(order, size, 0.0, torch.zeros(len(graph) - 1, dtype=torch.float64))
    return best_split(graph, second_eigenvector(graph, tolerance)[1])

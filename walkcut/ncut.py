"""Normalised Cut: the second eigenvector, and the exact best split along it.

    NCut(S) = cut(S, S') / vol(S) + cut(S, S') / vol(S')             (Shi & Malik 2000, equation 2)

is the probability that a stationary walker on S leaves it at the next step, plus the same for S'. It lies in [0, 2];
a walk without memory gives 1 for every S.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from scipy.linalg import eig, eigh
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigs, eigsh
from threadpoolctl import ThreadpoolController

from walkcut.errors import InputError
from walkcut.graph import Affinity, Directed, Graph

DENSE = 200  # up to this many nodes all eigenvectors are cheaper than a few
BASIS = 12  # Lanczos vectors kept: products of W with a vector until the first look at convergence
TWINS = 1e-9  # eigenvalues this near are one and the same, up to rounding
SAME = 1e-6  # entries of an eigenvector whose magnitudes are this near count as equal
RESTARTS = 20  # then the vector is taken as it is; its sweep is still a valid cut
SCIPY_THREADS = ThreadpoolController()


def one_thread() -> AbstractContextManager:
    """One thread for SciPy's linear algebra.

    It and torch keep threads of their own, and on small regions they wait for each other: without this a whole tree of
    4,096 patches took three times as long on two cores.
    """
    return SCIPY_THREADS.limit(limits=1, user_api="blas")


@contextmanager
def single_threaded() -> Iterator[None]:
    """One thread for torch and SciPy: sums are taken in one order, whoever takes them, and nobody waits for another.

    For regions of a thousand nodes more threads bring nothing, and beside other work they wait for one another. It
    holds for the whole process: callers in several threads, who enter and leave by turns, may leave one behind.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with one_thread():
            yield
    finally:
        torch.set_num_threads(before)


class Eigenpair(NamedTuple):
    """The second eigenvector of a graph, and how far to trust it.

    Attributes
    ----------
    value : float
        lambda_2 in [0, 2]; no NCut is smaller. For a directed graph the real part.
    y : float64 Tensor (n,)
        The entry of largest magnitude is positive.
    gap : float
        lambda_3 - lambda_2; infinity for two nodes. Zero for the complex pair of a directed graph, whose phase is free.
    residual : float
        |M x - (1 - lambda_2) x| with |x| = 1 and M = D^-1/2 W D^-1/2.
    products : int
        With W; 0 for a full decomposition.
    """

    value: float
    y: torch.Tensor
    gap: float
    residual: float
    products: int

    @property
    def degenerate(self) -> bool:
        """Whether the next eigenvector is too near to tell apart: this one is a mixture, and its split one of several.

        Equation `eq-ncut-angle` of the book.

        By the sin-theta theorem (Davis & Kahan 1970) the angle to the true one is at most about residual / gap: here
        it may pass 30 degrees.
        """
        return self.gap <= max(2 * self.residual, TWINS)


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
    eigenpair : Eigenpair or None
        That the nodes were sorted by; None if by something else.
    """

    order: torch.Tensor
    size: int
    ncut: float
    curve: torch.Tensor
    eigenpair: Eigenpair | None = None

    @property
    def side(self) -> torch.Tensor:
        """The nodes of the first side, as a mask (n,)."""
        mask = torch.zeros(len(self.order), dtype=torch.bool, device=self.order.device)
        mask[self.order[: self.size]] = True
        return mask


def agreement(one: Split, other: Split) -> float:
    """Share of the nodes that two cuts leave on the same side, whichever side is called the first; 1/2 to 1."""
    same = float((one.side == other.side).double().mean())
    return max(same, 1 - same)


def ncut(graph: Affinity, mask: torch.Tensor) -> float:
    """NCut of the nodes in `mask` (n,) bool against the rest; a side of no volume escapes with probability 0.

    Equations `eq-ncut-definition` and `eq-ncut-escape` of the book.

    On a directed graph cut(S, S') and cut(S', S) differ, and each is divided by the volume of the side it leaves.
    """
    side = torch.as_tensor(mask).to(graph.degrees.device).bool()
    if side.shape != (len(graph),):
        raise InputError(f"A cut of {len(graph)} nodes needs a mask of as many entries, not {tuple(side.shape)}.")
    if side.all() or not side.any():
        raise InputError("A cut needs nodes on both sides.")
    escapes = 0.0
    for members in (side, ~side):
        index = torch.nonzero(members).ravel()
        volume = float(graph.degrees[index].sum())
        cut = volume - float(graph.subgraph(index).degrees.sum())
        escapes += max(cut, 0.0) / volume if volume > 0 else 0.0
    return escapes


def second_eigenvector(graph: Affinity, tolerance: float = 1e-4, seed: int = 0, twins: bool = True) -> Eigenpair:
    """The relaxed problem (D - W) y = lambda D y (Shi & Malik 2000, equation 11).

    Equations `eq-ncut-relaxed` and `eq-ncut-symmetric` of the book.

    With x the eigenvector of the second largest eigenvalue of D^-1/2 W D^-1/2, y = D^-1/2 x. The largest is known,
    D^1/2 1, and is deflated. For a directed graph y is the second right eigenvector of D^-1 W, its real part where it
    is complex.

    Parameters
    ----------
    graph : Affinity
        Every node needs a positive degree, see `best_cut` for graphs with isolated nodes.
    tolerance : float
        Relative accuracy of the Ritz value, for graphs of more than 200 nodes.
    seed : int
        Of Lanczos' starting vector.
    twins : bool
        Whether to look for an eigenvector of the same eigenvalue, by a second run beside the first vector: one run
        sees only one direction of a twofold eigenvalue. Without it, the gap may be too large.

    Returns
    -------
    Eigenpair
    """
    n = len(graph)
    if n < 2:
        raise InputError(f"A graph of {n} node cannot be cut: it takes at least 2.")
    if not graph.degrees.min() > 0:
        raise InputError("A node has no edges: cut isolated nodes off first, as best_cut does.")
    rng = np.random.default_rng(seed)
    with one_thread():
        if isinstance(graph, Directed):
            return _directed(graph, tolerance, rng.normal(size=n))
        return _symmetric(graph, tolerance, rng, twins)


def _symmetric(graph: Affinity, tolerance: float, rng: np.random.Generator, twins: bool) -> Eigenpair:
    """The two largest eigenpairs of M + 1, M = D^-1/2 W D^-1/2, with the first moved out of their way, from 2 to -1.

    ARPACK's tolerance is relative to the eigenvalue: around 1 + mu, unlike mu, it does not ask for all digits of a
    region that is not worth cutting.
    """
    n, root = len(graph), graph.degrees.cpu().sqrt()  # here: a GPU is asked for products alone, one call for each
    first = root / torch.linalg.vector_norm(root)
    products = 0

    def product(x: np.ndarray) -> np.ndarray:
        nonlocal products
        products += 1
        x = torch.from_numpy(np.ascontiguousarray(x)).to(root).view(n, -1)
        after = graph.matvec(x / root[:, None]).cpu().double() / root[:, None]
        return (after + x - 3 * first[:, None] * (first[:, None] * x).sum(0)).numpy()

    if n <= DENSE:
        values, vectors = _top_two(product(np.eye(n)))
        products = 0
    else:
        operator = LinearOperator((n, n), matvec=lambda x: product(x).ravel(), matmat=product, dtype=np.float64)
        values, vectors = _lanczos(operator, tolerance, rng.normal(size=n))
        if twins:
            values[-2] = max(values[-2], _beside(operator, vectors[:, -1], tolerance, rng.normal(size=n)))
    x = vectors[:, -1:]
    used = products
    residual = float(np.linalg.norm(product(x) - values[-1] * x))
    gap = float(values[-1] - values[-2]) if n > 2 else float("inf")
    y = torch.from_numpy(x.ravel()).to(root) / root
    return Eigenpair(float(max(2 - values[-1], 0.0)), y * _sign(y), gap, residual, used)


def _top_two(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The two largest eigenpairs, ascending."""
    n = len(matrix)
    values, vectors = eigh(matrix, subset_by_index=[n - 2, n - 1], check_finite=False)
    if len(values) < 2:  # LAPACK's selected eigenvalues get lost in a clique's, which all coincide
        values, vectors = eigh(matrix, check_finite=False)
    return values, vectors


def _lanczos(operator: LinearOperator, tolerance: float, start: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two eigenpairs by ARPACK, ascending; where they nearly coincide, what it has after its restarts."""
    try:
        values, vectors = eigsh(operator, 2, which="LA", v0=start, tol=tolerance, ncv=BASIS, maxiter=RESTARTS)
    except ArpackNoConvergence as error:
        values, vectors = error.eigenvalues, error.eigenvectors
        if len(values) < 2:
            values, vectors = eigsh(operator, 2, which="LA", v0=start, tol=tolerance, ncv=4 * BASIS, maxiter=10**4)
    order = np.argsort(values)
    return values[order], vectors[:, order]


def _beside(operator: LinearOperator, x: np.ndarray, tolerance: float, start: np.ndarray) -> float:
    """The largest eigenvalue whose vector is orthogonal to x, up to the tolerance."""
    n = len(x)
    rest = LinearOperator((n, n), matvec=lambda v: operator @ v - 3 * x * (x @ v), dtype=np.float64)
    return float(_lanczos(rest, tolerance, start)[0][-1])


def _directed(graph: Directed, tolerance: float, start: np.ndarray) -> Eigenpair:
    """Second right eigenvector of D^-1 W by Arnoldi; P - 1 u^T moves 1 to 0 and others only by a constant vector."""
    n, degrees = len(graph), graph.degrees.cpu()
    products = 0

    def product(v: np.ndarray) -> np.ndarray:
        nonlocal products
        products += 1
        v = torch.from_numpy(np.ascontiguousarray(v)).to(degrees).view(n, -1)
        after = graph.matvec(v).cpu().double() / degrees[:, None]
        return (after - after.mean(0)).numpy()

    if n <= DENSE:
        values, vectors = eig(product(np.eye(n)))
        products = 0
    else:
        operator = LinearOperator((n, n), matvec=lambda v: product(v).ravel(), matmat=product, dtype=np.float64)
        try:
            values, vectors = eigs(
                operator, 3, which="LR", v0=start, tol=tolerance, ncv=2 * BASIS, maxiter=10 * RESTARTS
            )
        except ArpackNoConvergence:
            values, vectors = eig(product(np.eye(n)))  # slow and sure
    order = np.argsort(-values.real, kind="stable")
    value, other = values[order[0]], [values[i] for i in order[1:] if values[i] != np.conj(values[order[0]])]
    v, used = vectors[:, order[0]], products
    v = v / v[np.argmax(np.abs(v))]  # a phase that makes the largest entry real, so that the real part tells most
    after = product(v.real.copy()).ravel() + 1j * product(v.imag.copy()).ravel()
    residual = float(np.linalg.norm(after - value * v) / np.linalg.norm(v))
    y = torch.from_numpy(v.real.copy()).to(degrees)
    y = y - (degrees @ y) / degrees.sum()
    gap = float(value.real - other[0].real) if other and n > 2 else float("inf")
    gap = gap if value.imag == 0 else 0.0
    return Eigenpair(float(max(1 - value.real, 0.0)), y * _sign(y), gap, residual, used)


def _sign(y: torch.Tensor) -> float:
    """+1 or -1: makes the entry of largest magnitude (the first within 1e-6 of it) positive."""
    size = y.abs()
    return float(torch.sign(y[torch.nonzero(size >= (1 - SAME) * size.max())[0, 0]]))


def best_split(graph: Affinity, values: torch.Tensor) -> Split:
    """The best of all n - 1 splits of the nodes sorted by `values` (n,), exactly.

    Equation `eq-ncut-sweep` of the book.

    One pass over the weights gives what lies inside every prefix S of the order, and the rest is arithmetic:
    cut(S, S') = vol(S) - inside(S).
    """
    order = torch.argsort(torch.as_tensor(values).to(graph.degrees.device), stable=True)
    inside = graph.inside(order)[:-1]
    volume = torch.cumsum(graph.degrees[order], 0)
    total, volume = volume[-1], volume[:-1]
    leaving = (volume - inside).clamp_min(0)  # cut(S, S')
    entering = leaving
    if isinstance(graph, Directed):
        entering = (torch.cumsum(graph.indegrees[order], 0)[:-1] - inside).clamp_min(0)  # cut(S', S)
    rest = graph.degrees[order].flip(0).cumsum(0).flip(0)[1:]
    entering = torch.where(rest > 0, entering, 0.0)  # from a side of no volume nobody comes, whatever rounding says
    curve = leaving / volume.clamp_min(1e-300) + entering / (total - volume).clamp_min(1e-300)
    best = int(torch.argmin(curve))
    return Split(order, best + 1, float(curve[best]), curve)


def plain_split(graph: Affinity, values: torch.Tensor, rule: str) -> Split:
    """The two splits of the textbooks, for comparison with the best one.

    Parameters
    ----------
    graph : Affinity
    values : (n,)
    rule : str
        "sign": negative values against the others, where the relaxed indicator changes sign; "median": two halves.
    """
    values = torch.as_tensor(values)
    split = best_split(graph, values)
    sizes = {"sign": int((values < 0).sum()), "median": len(graph) // 2}
    if rule not in sizes:
        raise InputError(f"There is no rule {rule!r} to split by: choose from {', '.join(sizes)}.")
    size = min(max(sizes[rule], 1), len(graph) - 1)
    return replace(split, size=size, ncut=float(split.curve[size - 1]))


def best_cut(graph: Affinity, tolerance: float = 1e-4, twins: bool = True) -> Split:
    """Second eigenvector and best split in one; isolated nodes are cut off first, at no cost."""
    isolated = graph.degrees <= 0
    if isolated.any():
        order = torch.argsort(isolated.int(), descending=True, stable=True)
        # a region without any edge falls apart by halves
        size = len(graph) // 2 if isolated.all() else int(isolated.sum())
        return Split(order, size, 0.0, torch.zeros(len(graph) - 1, dtype=torch.float64))
    if type(graph) is Graph and 2 <= len(graph) <= DENSE:
        with one_thread():
            return _small_cut(graph)
    pair = second_eigenvector(graph, tolerance, twins=twins)
    return replace(best_split(graph, pair.y), eigenpair=pair)


def _small_cut(graph: Graph) -> Split:
    """`second_eigenvector` and `best_split` of a few nodes, in NumPy: torch's calls would cost five times the sums."""
    W = graph.W.cpu().double().numpy()
    degrees = W.sum(1)
    root = np.sqrt(degrees)
    first = root / np.linalg.norm(root)
    matrix = W / np.outer(root, root) - 3 * np.outer(first, first)
    matrix.flat[:: len(W) + 1] += 1
    values, vectors = _top_two(matrix)
    x = vectors[:, -1]
    residual = float(np.linalg.norm(matrix @ x - values[-1] * x))
    gap = float(values[-1] - values[-2]) if len(W) > 2 else float("inf")
    y = x / root
    largest = np.abs(y).max()
    y = largest * np.round(y / largest, 9)  # nodes that are alike are equal, and keep their order on every machine
    y *= np.sign(y[np.argmax(np.abs(y) >= (1 - SAME) * largest)])
    pair = Eigenpair(float(max(2 - values[-1], 0.0)), torch.from_numpy(y).to(graph.W.device), gap, residual, 0)

    order = np.argsort(y, kind="stable")
    inside = np.cumsum(2 * np.tril(W[np.ix_(order, order)]).sum(1) - W.diagonal()[order])[:-1]
    volume = np.cumsum(degrees[order])
    total, volume = volume[-1], volume[:-1]
    leaving = np.maximum(volume - inside, 0)
    curve = leaving / volume + leaving / np.maximum(total - volume, 1e-300)
    best = int(np.argmin(curve))
    order, curve = (torch.from_numpy(a).to(graph.W.device) for a in (order, curve))
    return Split(order, best + 1, float(curve[best]), curve, pair)

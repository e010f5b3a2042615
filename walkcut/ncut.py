"""Normalised Cut: the second eigenvector, and the exact best split along it.

    NCut(S) = cut(S, S') / vol(S) + cut(S, S') / vol(S')             (Shi & Malik 2000, equation 2)

is the probability that a stationary walker on S leaves it at the next step, plus the same for S'. It lies in [0, 2];
a walk without memory gives 1 for every S.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.linalg.lapack import dsyevr

from walkcut.errors import InputError, brief
from walkcut.graph import Affinity, real
from walkcut.recipe import checked, positive, whole
from walkcut.threads import single_threaded, undisturbed

DENSE = 100  # up to this many nodes all eigenvectors are cheaper than a few
PRODUCTS = 300  # then the vector is taken as it is; its sweep is still a valid cut
TWINS = 1e-9  # eigenvalues this near are one and the same, up to rounding
SAME = 1e-6  # entries of an eigenvector whose magnitudes are this near count as equal
LITTLE = 1e-2  # share of its square that is little of a vector
NOTHING = 1e-14  # what rounding leaves of a vector that should be none
TINY = 1e-300  # in place of a zero that something is divided by


@dataclass(frozen=True, eq=False)
class Eigenpair:
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

    __repr__ = brief

    @property
    def degenerate(self) -> bool:
        """Whether the next eigenvector is too near to tell apart: this one is a mixture, and its split one of several.

        Equation `eq-ncut-angle` of the book.

        By the sin-theta theorem (Davis & Kahan 1970) the angle to the true one is at most about residual / gap: here
        it may pass 30 degrees.
        """
        return self.gap <= max(2 * self.residual, TWINS)


@dataclass(frozen=True, eq=False)
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

    __repr__ = brief

    @property
    def side(self) -> torch.Tensor:
        """The nodes of the first side, as a mask (n,)."""
        mask = torch.zeros_like(self.order, dtype=torch.bool)
        mask[self.order[: self.size]] = True
        return mask


def ncut(graph: Affinity, mask: torch.Tensor) -> float:
    """NCut of the nodes in `mask` (n,) bool against the rest; a side of no volume escapes with probability 0.

    Equations `eq-ncut-definition` and `eq-ncut-escape` of the book.

    On a directed graph cut(S, S') and cut(S', S) differ, and each is divided by the volume of the side it leaves.
    """
    side = real("mask of a cut", mask).to(graph.degrees.device).bool()
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


# ---------------------------------------------------------------------------------------------------------------------
# The second eigenvector


@undisturbed()
@checked(tolerance=positive, seed=whole(0))
def second_eigenvector(graph: Affinity, tolerance: float = 1e-4, seed: int = 0, twins: bool = True) -> Eigenpair:
    """The relaxed problem (D - W) y = lambda D y (Shi & Malik 2000, equation 11).

    Equations `eq-ncut-relaxed` and `eq-ncut-symmetric` of the book.

    With x the eigenvector of the second largest eigenvalue of M = D^-1/2 W D^-1/2, y = D^-1/2 x. The largest is known,
    D^1/2 1, and is kept out. For a directed graph y is the second right eigenvector of D^-1 W, its real part where it
    is complex.

    Parameters
    ----------
    graph : Affinity
        Every node needs a positive degree, see `best_cut` for graphs with isolated nodes.
    tolerance : float
        Residual of x, |M x - (1 - lambda) x|, at which it is taken; lambda is then as exact as its square over the gap.
        For graphs of more than 100 nodes, a few have their eigenvectors exactly.
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
    root = np.sqrt(graph.degrees.cpu().numpy())  # here: a GPU is asked for products alone
    if not root.min() > 0:
        raise InputError("A node has no edges: cut isolated nodes off first, as best_cut does.")
    with single_threaded():
        if hasattr(graph, "second_eigenvector"):
            return graph.second_eigenvector(tolerance, seed, twins)
        return _symmetric(graph, root, tolerance, seed, twins)


def _symmetric(graph: Affinity, root: np.ndarray, tolerance: float, seed: int, twins: bool) -> Eigenpair:
    """The largest eigenpair of M beside the known one, and the value of the next."""
    n, first, products = len(root), root / np.sqrt(root @ root), 0

    def product(x: np.ndarray) -> np.ndarray:
        return graph.matvec(torch.from_numpy(x / root)).cpu().numpy() / root

    if n <= DENSE:
        W = graph.matvec(torch.eye(n, device="cpu")).cpu().numpy()
        M = W / (root * root[:, None]) - 3 * (first * first[:, None])  # what is known, 1, becomes -2
        product, (values, x) = M.dot, _top_two(M)
    else:
        starts = np.random.default_rng(seed).normal(size=(2, n))
        values, x, products = _lanczos(product, [first], tolerance, starts[0])
        if twins:
            beside, _, more = _lanczos(product, [first, x], tolerance, starts[1])
            if values[-1] - beside[-1] < tolerance:  # nearer than that tells: looked for as exactly as can be
                beside, _, again = _lanczos(product, [first, x], tolerance**2, starts[1])
                more += again
            values, products = np.r_[max(values[0], beside[-1]), values[-1]], products + more
    wrong = product(x) - values[-1] * x
    gap = max(float(values[-1] - values[0]), 0.0) if n > 2 else float("inf")
    return Eigenpair(max(float(1 - values[-1]), 0.0), signed(x / root), gap, float(np.sqrt(wrong @ wrong)), products)


def _top_two(M: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The two largest eigenvalues, ascending, and the vector of the largest."""
    n = len(M)
    values, vectors, found, *_ = dsyevr(M, range="I", il=n - 1, iu=n, lwork=26 * n, liwork=10 * n)
    if found < 2:  # LAPACK's selected eigenvalues get lost in a clique's, which all coincide
        values, vectors = np.linalg.eigh(M)
        return values[-2:], vectors[:, -1]
    return values[:2], vectors[:, 1]


def _lanczos(
    product: Callable[[np.ndarray], np.ndarray], known: list[np.ndarray], tolerance: float, start: np.ndarray
) -> tuple[np.ndarray, np.ndarray, int]:
    """The same of a symmetric matrix that is known by its products, beside eigenvectors that are known; and how many.

    Lanczos' method without restarts: each new direction is made orthogonal to all before it, so that neither the known
    ones nor one found twice come back (Golub & Van Loan 2013, section 10.3.5). Looked at every other product.
    """
    n, k = len(start), len(known)
    most = min(PRODUCTS, n - k)
    basis = np.empty((k + most, n))  # its pages are taken as it fills
    basis[:k] = known
    T = np.zeros((most + 1, most + 1))  # the matrix in the basis, its lower half
    v = start
    for j in range(most + 1):
        before = basis[: k + j]
        overlap = before @ v
        v = v - overlap @ before
        if v @ v < LITTLE * (overlap @ overlap):  # rounding left as much of the others: once more
            v = v - (before @ v) @ before
        length = np.sqrt(v @ v)
        if j:
            T[j - 1, j - 1], T[j, j - 1] = overlap[-1], length
        if j == most or (j and length < NOTHING) or (j > 4 and j % 2 == 0):
            values, vectors = np.linalg.eigh(T[:j, :j])
            if length * abs(vectors[-1, -1]) <= tolerance or j == most or length < NOTHING:
                break
        basis[k + j] = v / length
        v = product(basis[k + j])
    return values[-2:], vectors[:, -1] @ basis[k : k + j], j


def signed(y: np.ndarray) -> torch.Tensor:
    """The entry of largest magnitude (the first within 1e-6 of it) positive.

    To nine digits, so that nodes that are alike are equal, and keep their order on every machine.
    """
    size = np.abs(y)
    largest = y[(size >= (1 - SAME) * size.max()).argmax()]
    return torch.from_numpy((y / largest).round(9) * abs(largest))


# ---------------------------------------------------------------------------------------------------------------------
# The best split


def best_split(graph: Affinity, values: torch.Tensor) -> Split:
    """The best of all n - 1 splits of the nodes sorted by `values` (n,), exactly.

    Equation `eq-ncut-sweep` of the book.

    One pass over the weights gives what each node adds inside the prefix S that it ends, and the rest is arithmetic.
    """
    values = real("values that nodes are sorted by", values)
    if values.shape != (len(graph),) or values.isnan().any():
        raise InputError(f"A split of {len(graph)} nodes needs as many values, none of them NaN, to sort them by.")
    ranks = np.argsort(values.cpu().numpy(), kind="stable")
    order, degrees = torch.from_numpy(ranks), graph.degrees.cpu().numpy()[ranks]
    gains = graph.association_gains(order).cpu().numpy()
    leaving = entering = crossing(degrees, gains)
    if hasattr(graph, "indegrees"):
        entering = crossing(graph.indegrees.cpu().numpy()[ranks], gains)
    volume, rest = _both_ways(degrees)
    # a cut is no larger than the volume of its side: from a side of none nobody comes, whatever rounding says
    curve = np.minimum(leaving, volume) / np.maximum(volume, TINY) + np.minimum(entering, rest) / np.maximum(rest, TINY)
    best = int(curve.argmin())
    return Split(order, best + 1, float(curve[best]), torch.from_numpy(curve))


def crossing(degrees: np.ndarray, gains: np.ndarray) -> np.ndarray:
    """cut(S, S') = vol(S) - assoc(S) for the first 1, 2, ..., n - 1 nodes of an order: float64 (n-1,), not negative.

    Summed from either end, and taken from the side of less volume: the cut around a small side at the end of the order
    would drown in the difference of two large sums.

    Parameters
    ----------
    degrees, gains : float64 (n,)
        Of the nodes, in their order; see `walkcut.graph.Affinity.association_gains`. With the indegrees of a graph with
        directions, cut(S', S).
    """
    (volume, rest), (front, back) = _both_ways(degrees), _both_ways(degrees - gains)
    return np.maximum(np.where(volume <= rest, front, -back), 0.0)


def _both_ways(terms: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sums of the first 1, 2, ..., n - 1 of n terms, and of the others, each from its own end."""
    return terms[:-1].cumsum(), terms[:0:-1].cumsum()[::-1]


@checked(tolerance=positive)
def best_cut(graph: Affinity, tolerance: float = 1e-4, twins: bool = True) -> Split:
    """Second eigenvector and best split in one; isolated nodes are cut off first, at no cost."""
    isolated = graph.degrees.cpu().numpy() <= 0
    if isolated.any():
        order = torch.from_numpy(np.argsort(~isolated, kind="stable"))
        # a region without any edge falls apart by halves
        size = len(graph) // 2 if isolated.all() else int(isolated.sum())
        return Split(order, size, 0.0, torch.zeros_like(order[1:], dtype=torch.float64))
    pair = second_eigenvector(graph, tolerance, twins=twins)
    return replace(best_split(graph, pair.y), eigenpair=pair)

"""Normalised Cut: the second eigenvector, and the exact best split along it.

    NCut(S) = cut(S, S') / vol(S) + cut(S, S') / vol(S')             (Shi & Malik 2000, equation 2)

is the probability that a stationary walker on S leaves it at the next step, plus the same for S'. It lies in [0, 2];
a walk without memory gives 1 for every S.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from scipy.linalg.lapack import dstemr, dsyevr

from walkcut.errors import InputError, brief
from walkcut.graph import Affinity, Graph, real, row_sums, weight_before
from walkcut.recipe import checked, positive, whole
from walkcut.threads import single_threaded, undisturbed

DENSE = 100  # up to this many nodes all eigenvectors are cheaper than a few
PRODUCTS = 300  # then the vector is taken as it is; its sweep is still a valid cut
TWINS = 1e-9  # eigenvalues this near are one and the same, up to rounding
SAME = 1e-6  # entries of an eigenvector whose magnitudes are this near count as equal
NOTHING = 1e-14  # what rounding leaves of a vector that should be none
NOISE = 0.1  # beside a guess, so that nothing is orthogonal to the vector that is looked for
TINY = 1e-300  # in place of a zero that something is divided by
Product = Callable[[torch.Tensor], torch.Tensor]  # of the matrices of b graphs with vectors (b, n)


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
    association : (float, float)
        Weight that stays inside the first side, and inside the other.
    eigenpair : Eigenpair or None
        That the nodes were sorted by; None if by something else.
    guess : float64 Tensor (n,) or None
        The eigenvector of M after that one, from which the search in a part may start.
    """

    order: torch.Tensor
    size: int
    ncut: float
    curve: torch.Tensor
    association: tuple[float, float] = (0.0, 0.0)
    eigenpair: Eigenpair | None = None
    guess: torch.Tensor | None = None

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
    if not graph.degrees.min() > 0:
        raise InputError("A node has no edges: cut isolated nodes off first, as best_cut does.")
    with single_threaded():
        if hasattr(graph, "second_eigenvector"):
            return graph.second_eigenvector(tolerance, seed, twins)
        return _symmetric(graph, tolerance, seed, twins)


def _symmetric(graph: Affinity, tolerance: float, seed: int, twins: bool) -> Eigenpair:
    """The largest eigenpair of M beside the known one, and the value of the next."""
    n, products = len(graph), 0
    unit, first, product = _normalised(graph.degrees[None], lambda v: graph.matvec(v[0])[None])
    if n <= DENSE:
        values, x = _top_two(graph.matvec(torch.eye(n, device=unit.device))[None], unit, first)
    else:
        starts = torch.from_numpy(np.random.default_rng(seed).normal(size=(2, n))).to(unit)
        values, vectors, products = _lanczos(product, first[:, None], tolerance, starts[:1])
        x = vectors[:, 1]
        if twins:
            known = torch.stack([first, x], 1)
            beside, _, more = _lanczos(product, known, tolerance, starts[1:])
            if values[0, 1] - beside[0, 1] < tolerance:  # nearer than that tells: looked for as exactly as can be
                beside, _, again = _lanczos(product, known, tolerance**2, starts[1:])
                more += again
            values[0, 0], products = max(values[0, 0], beside[0, 1]), products + more
    (second, value), wrong = values[0].tolist(), product(x) - values[0, 1] * x
    gap = max(value - second, 0.0) if n > 2 else float("inf")
    y = signed(x * unit)[0].cpu()
    return Eigenpair(max(1 - value, 0.0), y, gap, float(torch.linalg.vector_norm(wrong)), products)


def _normalised(degrees: torch.Tensor, matvec: Product) -> tuple[torch.Tensor, torch.Tensor, Product]:
    """Of b graphs D^-1/2 (b, n), the unit vector along D^1/2 1, and M x; a node that only fills up has 0 in all."""
    root = degrees.sqrt()
    unit = torch.where(root > 0, 1 / root, 0.0)
    return unit, root / torch.linalg.vector_norm(root, dim=1, keepdim=True), lambda x: matvec(x * unit) * unit


def _top_two(W: torch.Tensor, unit: torch.Tensor, first: torch.Tensor) -> tuple[np.ndarray, torch.Tensor]:
    """The two largest eigenvalues of each M beside the known one, (b, 2), and the vector of the largest, (b, n)."""
    n = W.shape[1]
    M = W * unit[..., None] * unit[:, None] - 3 * first[..., None] * first[:, None]  # what is known, 1, becomes -2
    M.diagonal(dim1=1, dim2=2).sub_(2.0 * (unit == 0))  # and so does what only fills up
    if M.is_cuda:
        values, vectors = torch.linalg.eigh(M)
        return values[:, -2:].cpu().numpy(), vectors[..., -1]
    tops, found = np.empty((len(M), 2)), np.empty((len(M), n))
    for at, table in enumerate(M.numpy()):
        values, vectors, count, *_ = dsyevr(table, range="I", il=n - 1, iu=n, lwork=26 * n, liwork=10 * n)
        if count < 2:  # LAPACK's selected eigenvalues get lost in a clique's, which all coincide
            values, vectors = (part[..., -2:] for part in np.linalg.eigh(table))
        tops[at], found[at] = values[:2], vectors[:, 1]
    return tops, torch.from_numpy(found)


def _lanczos(
    product: Product, known: torch.Tensor, tolerance: float, start: torch.Tensor
) -> tuple[np.ndarray, torch.Tensor, int]:
    """The two largest eigenpairs of b symmetric matrices (b, 2), (b, 2, n), beside those known; and how many products.

    Lanczos' method without restarts: each new direction is made orthogonal to all before it, so that neither the known
    ones nor one found twice come back (Golub & Van Loan 2013, section 10.3.5). All go on until the largest of the last
    is exact; the one before it is then a guess.

    Parameters
    ----------
    product : function
    known : float64 Tensor (b, k, n)
        Orthonormal.
    tolerance : float
        Of residuals.
    start : float64 Tensor (b, n)
    """
    basis: Any  # this and what follows are tensors on a GPU, and arrays elsewhere
    T: Any
    v: Any
    ask: Callable[[Any], Any]
    b, k, n = known.shape
    most, apart = min(PRODUCTS, n - k), 4 if start.is_cuda else 2  # products between two looks: a GPU is kept waiting
    basis, T = known.new_empty(b, k + most, n), known.new_zeros(most + 1, 2, b)  # each diagonal, and what is below it
    basis[:, :k], v, ask = known, start[:, None], product
    if not start.is_cuda:  # NumPy's calls take half as long
        basis, T, v, ask = basis.numpy(), T.numpy(), v.numpy(), lambda x: product(torch.from_numpy(x)).numpy()
    for j in range(most + 1):
        before = basis[:, : k + j]
        overlap = v @ before.mT
        v = v - overlap @ before
        v = v - (v @ before.mT) @ before  # once leaves rounding
        length = (v * v).sum(2) ** 0.5
        if j:
            T[j - 1, 0], T[j - 1, 1] = overlap[:, 0, -1], length[:, 0]
        if j == most or (j > 4 and j % apart == 0):
            rows = T[:j].cpu().numpy() if start.is_cuda else T[:j]
            values, vectors, residuals = zip(*(_ritz(*rows[..., at].T) for at in range(b)), strict=True)
            if j == most or max(residuals) <= tolerance:
                break
        basis[:, k + j] = v[:, 0] / (length + TINY)
        v = ask(basis[:, k + j])[:, None]
    in_basis = torch.from_numpy(np.stack(vectors)).to(known)
    return np.stack(values), torch.bmm(in_basis, torch.as_tensor(basis[:, k : k + j])), j


def _ritz(diagonal: np.ndarray, below: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """The two largest eigenpairs of a tridiagonal matrix (j, j), (2,) and (2, j), and the last one's residual outside.

    Where nothing is left of a direction, the matrix ends.
    """
    ends, pair = np.flatnonzero(below < NOTHING), np.zeros((2, len(below)))
    size = int(ends[0]) + 1 if len(ends) else len(below)
    rest = below[:size].copy()  # of which LAPACK makes use
    found, values, vectors, _ = dstemr(diagonal[:size], rest, 2, 0.0, 0.0, max(size - 1, 1), size)
    pair[:, :size] = vectors[:, [0, found - 1]].T
    return values[[0, found - 1]], pair, float(below[size - 1] * abs(pair[1, size - 1]))


def signed(y: torch.Tensor) -> torch.Tensor:
    """Of vectors (..., n) the entry of largest magnitude (the first within 1e-6 of it) positive.

    To nine digits, so that nodes that are alike are equal, and keep their order on every machine.
    """
    size = y.abs()
    near = (size >= (1 - SAME) * size.amax(-1, keepdim=True)).to(torch.uint8).argmax(-1, keepdim=True)
    largest = y.gather(-1, near)
    return (y / largest).round(decimals=9) * largest.abs()


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
    order = values.cpu().argsort(stable=True)
    gains, degrees = graph.association_gains(order), graph.degrees[order.to(graph.degrees.device)]
    into = graph.indegrees[order.to(gains.device)] if hasattr(graph, "indegrees") else degrees
    return _splits(order[None], degrees[None], into[None], gains[None], (len(graph),), (None,))[0]


def _splits(
    order: torch.Tensor,
    out: torch.Tensor,
    into: torch.Tensor,
    gains: torch.Tensor,
    sizes: Sequence[int],
    guesses: Iterable[torch.Tensor | None],
) -> list[Split]:
    """The best splits of b graphs from degrees, indegrees and gains of their nodes in order, float64 (b, m)."""
    leaving = entering = crossing(out, gains)
    if into is not out:
        entering = crossing(into, gains)
    volume, rest = _both_ways(out)
    # a cut is no larger than the volume of its side: from a side of none nobody comes, whatever rounding says
    leaving, entering = torch.minimum(leaving, volume), torch.minimum(entering, rest)
    curves = leaving / volume.clamp_min(TINY) + entering / rest.clamp_min(TINY)
    beyond = np.arange(1, curves.shape[1] + 1) >= np.array(sizes)[:, None]  # nodes that only fill up
    curves.masked_fill_(torch.from_numpy(beyond).to(curves.device), torch.inf)
    best = curves.argmin(1, keepdim=True)
    inside = torch.cat([(volume - leaving).gather(1, best), (rest - entering).gather(1, best)], 1).cpu()
    cuts = (best[:, 0] + 1).tolist()
    found = zip(order.cpu(), cuts, curves.cpu(), inside.tolist(), sizes, guesses, strict=True)
    return [
        Split(nodes[:n], size, float(curve[size - 1]), curve[: n - 1], (first, other), guess=guess)
        for nodes, size, curve, (first, other), n, guess in found
    ]


def crossing(degrees: torch.Tensor, gains: torch.Tensor) -> torch.Tensor:
    """cut(S, S') = vol(S) - assoc(S) for the first 1, 2, ..., n - 1 nodes of an order: (..., n-1), not negative.

    Summed from either end, and taken from the side of less volume: the cut around a small side at the end of the order
    would drown in the difference of two large sums.

    Parameters
    ----------
    degrees, gains : float64 Tensor (..., n)
        Of the nodes, in their order; see `walkcut.graph.Affinity.association_gains`. With the indegrees of a graph with
        directions, cut(S', S).
    """
    (volume, rest), (front, back) = _both_ways(degrees), _both_ways(degrees - gains)
    return torch.where(volume <= rest, front, -back).clamp_min(0.0)


def _both_ways(terms: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Sums of the first 1, 2, ..., n - 1 of n terms (..., n), and of the others, each from its own end."""
    return terms[..., :-1].cumsum(-1), terms[..., 1:].flip(-1).cumsum(-1).flip(-1)


@checked(tolerance=positive)
def best_cut(graph: Affinity, tolerance: float = 1e-4, twins: bool = True) -> Split:
    """Second eigenvector and best split in one; isolated nodes are cut off first, at no cost."""
    isolated = graph.degrees.cpu().numpy() <= 0
    if isolated.any():
        order = torch.from_numpy(np.argsort(~isolated, kind="stable"))
        # a region without any edge falls apart by halves
        size = len(graph) // 2 if isolated.all() else int(isolated.sum())
        nothing = torch.zeros_like(order[1:], dtype=torch.float64)
        return Split(order, size, 0.0, nothing, (0.0, float(graph.degrees.sum())))
    pair = second_eigenvector(graph, tolerance, twins=twins)
    return replace(best_split(graph, pair.y), eigenpair=pair)


@undisturbed()
def best_cuts(graphs: Sequence[Any], tolerance: float = 1e-4, guesses: Sequence[torch.Tensor] = ()) -> list[Split]:
    """`best_cut` of several graphs, without twins: a mixture of these is cut as well as either.

    Graphs that are written down lie side by side, the smaller ones filled up by nodes without edges, so that their
    device is asked once for all of them; they come without their eigenpairs.

    Parameters
    ----------
    graphs : a single Affinity, or sequence of Graph of like size
    tolerance : float
    guesses : sequence of float64 Tensor (n,), optional
        Where to look for the eigenvector of each, of norm at most 1; a wrong one costs time alone.
    """
    sizes = [len(graph) for graph in graphs]
    if type(graphs[0]) is Graph:
        W, degrees, product = _side_by_side(graphs)
    if type(graphs[0]) is not Graph or (degrees > 0).sum(1).tolist() != sizes:  # with isolated nodes
        return [best_cut(graph, tolerance, twins=False) for graph in graphs]
    (unit, first, product), n = _normalised(degrees, product), max(sizes)
    if n <= DENSE:
        x, guessed = _top_two(W, unit, first)[1], [None] * len(sizes)  # no part of so few nodes is searched
    else:
        start = torch.from_numpy(np.random.default_rng(0).normal(0.0, NOISE / n**0.5, (1, n))).to(unit) * (unit > 0)
        for row, guess in zip(start, guesses, strict=False):
            row[: len(guess)] += guess
        _, vectors, _ = _lanczos(product, first[:, None], tolerance, start)
        x, guessed = vectors[:, 1], [guess[:size] for guess, size in zip(vectors[:, 0], sizes, strict=True)]
    order = signed(x * unit).masked_fill(unit == 0, torch.inf).argsort(stable=True)
    gains, out = (2 * weight_before(W, order) - W.diagonal(dim1=1, dim2=2)).gather(1, order), degrees.gather(1, order)
    return _splits(order, out, out, gains, sizes, guessed)


def _side_by_side(graphs: Sequence[Graph]) -> tuple[torch.Tensor, torch.Tensor, Product]:
    """Weights (b, n, n) and degrees (b, n) of b graphs, and products with them."""
    if len(graphs) == 1:
        return graphs[0].W[None], graphs[0].degrees[None], lambda v: graphs[0].matvec(v[0])[None]
    n = max(len(graph) for graph in graphs)
    W = graphs[0].W.new_zeros(len(graphs), n, n)
    for table, graph in zip(W, graphs, strict=True):
        table[: len(graph), : len(graph)] = graph.W
    return W, row_sums(W.flatten(0, 1)).view(-1, n), lambda v: torch.bmm(W, v.to(W)[..., None])[..., 0]

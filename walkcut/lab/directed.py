"""Graphs with directions: the walk itself, cut without making it symmetric first."""

from functools import cached_property

import numpy as np
import torch
from scipy.linalg import eig
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigs

from walkcut.graph import Graph, row_sums, weight_before
from walkcut.ncut import DENSE, Eigenpair, signed
from walkcut.walk import Walk

BASIS = 24  # Arnoldi vectors kept
RESTARTS = 200  # then all eigenvectors are computed


class Directed(Graph):
    """A graph whose edges may weigh more one way than the other; `W[i, j]` leads from i to j.

    With W = P this is the walk itself: the literal "NCut directly on the activations".
    """

    def _check_symmetry(self, high: float) -> None:
        """None is asked for."""

    @cached_property
    def indegrees(self) -> torch.Tensor:
        """(n,) float64: column sums of W."""
        return row_sums(self.W.T)

    def matvec(self, v: torch.Tensor) -> torch.Tensor:
        """W v, for v (n,) or (n, c)."""
        return self.W @ v.to(self.W)

    def association_gains(self, order: torch.Tensor) -> torch.Tensor:
        """As for a graph without directions, with both ways looked at."""
        order = order.to(self.W.device)
        both = sum(weight_before(W[None], order[None])[0] for W in (self.W, self.W.T))
        return (both - self.W.diagonal())[order]

    def second_eigenvector(self, tolerance: float, seed: int, twins: bool) -> Eigenpair:
        """Second right eigenvector of D^-1 W by Arnoldi; P - 3 1 u^T moves 1 to -2, others only by a constant vector.

        `twins` changes nothing: all near eigenvalues are looked at.
        """
        n, degrees = len(self), self.degrees.cpu().numpy()
        products = 0

        def product(v: np.ndarray) -> np.ndarray:
            nonlocal products
            products += 1
            v = v.reshape(n, -1)
            return self.matvec(torch.from_numpy(v)).cpu().double().numpy() / degrees[:, None] - 3 * v.mean(0)

        if n <= DENSE:
            values, vectors = eig(product(np.eye(n)))
            products = 0
        else:
            operator = LinearOperator((n, n), matvec=product, matmat=product, dtype=np.float64)
            start = np.random.default_rng(seed).normal(size=n)
            try:
                values, vectors = eigs(operator, 3, which="LR", v0=start, tol=tolerance, ncv=BASIS, maxiter=RESTARTS)
            except ArpackNoConvergence:
                values, vectors = eig(product(np.eye(n)))  # slow and sure
        first, other = np.argsort(-values.real, kind="stable")[:2]
        value, v, used = values[first], vectors[:, first], products
        v = v / v[np.argmax(np.abs(v))]  # a phase that makes the largest entry real, so that the real part tells most
        after = (product(v.real.copy()) + 1j * product(v.imag.copy())).ravel()
        residual = float(np.linalg.norm(after - value * v) / np.linalg.norm(v))
        y = v.real - (degrees @ v.real) / degrees.sum()
        gap = float(value.real - values[other].real) if n > 2 else float("inf")  # 0 for a complex pair
        return Eigenpair(float(max(1 - value.real, 0.0)), signed(torch.from_numpy(y)), gap, residual, used)


def direct(walk: Walk) -> Graph:
    """P itself as a graph with directions: the literal "NCut directly on the activations".

    Equation `eq-graphs-direct` of the book.
    """
    return Directed._trusted(walk.P)

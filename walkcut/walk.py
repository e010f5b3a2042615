"""The random walk that attention takes over the picture.

Row i of P says where a walker on patch i goes next. Two directions, kept apart by name:

    expect(v, k)     = P^k v        what a walker who starts at i will see, on average, after k steps
    propagate(mu, k) = (P^T)^k mu   where walkers that start as mu are after k steps
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from numbers import Real

import numpy as np
import torch
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigs
from torch.nn import functional

from walkcut.attention import AttentionMaps, Grid
from walkcut.errors import InputError
from walkcut.graph import Directed, Graph, row_sums

TELEPORT = 1e-6  # restart probability that makes the stationary law of a reducible walk unique
CLOSED = 1e-12  # a smaller probability does not connect patches
DIRECT = 512  # up to this many nodes the stationary law is solved for, not iterated
ACCURACY = 1e-5  # of a law by Arnoldi: estimated sum of |law - true law|
RESTARTS = 10  # of Arnoldi; a walk that has not settled by then is solved for
SLOW = 0.1  # of the second eigenvector, beside the law, in the start of a second run
SMALL = 2048  # up to this many nodes Kemeny's constant is worth an inverse
FOREVER = 2**40  # steps; a walk that has not mixed by then never will, as far as float64 can tell


@dataclass(frozen=True)
class Stationary:
    """A stationary law and how it was found.

    Attributes
    ----------
    law : float64 Tensor (n,), non-negative, sums to 1
    residual : float
        Largest entry of |P^T law - law|.
    error : float
        Estimate of sum |law - true law|. A slowly mixing walk has a small residual far from its law: what is left
        shrinks by a factor lambda_2 a step, so the error is about |P^T law - law| / |1 - lambda_2|.
    teleport : bool
        True if the walk has several closed classes, so that its law is not unique: this one belongs to the walk that
        restarts anywhere with probability 1e-6 a step.
    """

    law: torch.Tensor
    residual: float
    teleport: bool
    error: float = 0.0


@dataclass(frozen=True)
class Walk:
    """A random walk over the patches of a picture.

    Equation `eq-walk-stochastic` of the book.

    Attributes
    ----------
    P : Tensor (n, n), float32 or float64
        Row-stochastic transition matrix; patches are numbered row by row.
    grid : (h, w), with h * w = n
    settled : Stationary or None
        Its stationary law, where it is known: `stationary` looks for it once.

    Raises
    ------
    InputError
        If P is not square, does not fit the grid, holds NaN or negatives, or a row does not sum to 1 within 1e-4.
    """

    P: torch.Tensor
    grid: Grid
    settled: Stationary | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        P = torch.as_tensor(self.P)
        P = P if P.is_floating_point() else P.double()
        object.__setattr__(self, "P", P)
        h, w = self.grid
        if P.ndim != 2 or P.shape[0] != P.shape[1]:
            raise InputError(f"A transition matrix must be square, not {tuple(P.shape)}.")
        if h * w != len(P):
            raise InputError(f"A grid of {h}x{w} patches needs {h * w} rows in P, not {len(P)}.")
        if not torch.isfinite(P.sum()):
            raise InputError("A transition matrix must be finite; it holds NaN or infinity.")
        if P.min() < 0:
            raise InputError(f"Probabilities must not be negative; P holds {P.min().item():.3g}.")
        worst = (P.sum(1) - 1).abs().max().item()
        if worst > 1e-4:
            raise InputError(f"The rows of P must sum to 1; one is off by {worst:.2g}: divide each row by its sum.")

    def __len__(self) -> int:
        return len(self.P)

    def expect(self, v: torch.Tensor, k: int = 1) -> torch.Tensor:
        """P^k v: the mean of v seen after k steps, for each starting patch; v is (n,) or (n, c).

        Equation `eq-walk-expect` of the book.
        """
        return self._walk(self.P, torch.as_tensor(v).to(self.P), check_steps(k))

    def propagate(self, mu: torch.Tensor, k: int = 1) -> torch.Tensor:
        """(P^T)^k mu: the law of the walkers after k steps, from the law mu (n,) or (n, c).

        Equation `eq-walk-propagate` of the book.
        """
        return self._walk(self.P.T, torch.as_tensor(mu).to(self.P), check_steps(k))

    @staticmethod
    def _walk(P: torch.Tensor, v: torch.Tensor, k: int) -> torch.Tensor:
        """k products with v, or one with P^k, whichever is quicker.

        Measured in float32 on one core: P @ P takes as long as 40 columns of P @ v for n = 256, 230 to 410 for 1,024
        and 600 to 740 for 4,096, so about n/6.
        """
        columns = v[0].numel()
        squarings = k.bit_length() + k.bit_count() - 2  # multiplications in P^k
        if (k - 1) * columns > squarings * len(P) / 6:
            return torch.linalg.matrix_power(P, k) @ v
        for _ in range(k):
            v = P @ v
        return v

    def power(self, k: int) -> Walk:
        """The walk that takes k steps at once: P^k, by repeated squaring. Equation `eq-walk-chapman` of the book."""
        if check_steps(k) == 1:
            return self
        return Walk(_normalised(torch.linalg.matrix_power(self.P, k)), self.grid)

    def lazy(self, stay: float = 0.5) -> Walk:
        """The walk that stays where it is with probability `stay`: cures periods, keeps the stationary law."""
        if not 0 <= stay < 1:
            raise InputError(f"The probability to stay must lie in [0, 1), not {stay}.")
        return Walk((1 - stay) * self.P + stay * torch.eye(len(self)).to(self.P), self.grid)

    def jumps(self) -> Walk:
        """The walk without its rests: p_ij / (1 - p_ii) for j other than i (its jump chain).

        A patch looks best like itself. How long a walker rests says nothing of regions, but it lowers the NCut of every
        cut, in one picture more than in another. A patch that is never left keeps its rest.
        """
        P = self.P.clone()
        rests = P.diagonal().clone()
        P.fill_diagonal_(0)
        stuck = P.sum(1) == 0
        P.diagonal()[stuck] = rests[stuck]
        return Walk(_normalised(P), self.grid)

    def local(self, sigma: float) -> Walk:
        """The walk that prefers short steps: p_ij times exp(-r_ij^2 / (2 sigma^2)), rows renormalised.

        Equation `eq-walk-prior` of the book.

        A prior, not something the model said (Shi & Malik 2000, section 4, weigh affinities alike).

        Parameters
        ----------
        sigma : float
            In units of the picture's longer side; distances r_ij are between patch centres.
        """
        near_y, near_x = prior(self.grid, sigma)
        h, w = self.grid
        near_y, near_x = near_y.to(self.P), near_x.to(self.P)
        P = self.P.view(h, w, h, w) * near_y[:, None, :, None] * near_x[None, :, None, :]
        if (P.sum((2, 3)) == 0).any():
            raise InputError(f"A prior of width {sigma} leaves a patch with nowhere to go: choose a larger one.")
        return Walk(_normalised(P.view(h * w, h * w)), self.grid)

    def inflated(self, walkers: float) -> Walk:
        """The walk of several walkers who agree: p_ij^r, rows renormalised.

        Let r walkers leave patch i, none knowing of the others, and look only at the times when all arrive at one
        place: that place is j with probability p_ij^r / sum_k p_ik^r. What was spread thinly over many places becomes
        rare, so a walk that leaks a little everywhere keeps to its region. Van Dongen calls it inflation and sets it
        against expansion, our `power` ("Graph clustering by flow simulation", PhD thesis, Utrecht 2000). Equation
        `eq-model-agree` of the book.

        Parameters
        ----------
        walkers : float, positive
            r; 1 changes nothing, 2 are two walkers who agree. It need not be whole.

        Returns
        -------
        Walk
            With the same zeros.
        """
        if check_walkers(walkers) == 1:
            return self
        top = self.P.amax(1, keepdim=True)  # a row's largest becomes 1: no row loses all of itself to rounding
        return Walk(_normalised((self.P / top).pow_(walkers)), self.grid)

    def stationary(self) -> Stationary:
        """The law pi with pi P = pi: the share of time spent on each patch in the long run; see `stationary_law`.

        Equation `eq-walk-stationary` of the book.
        """
        if self.settled is None:
            object.__setattr__(self, "settled", stationary_law(self.P))
        return self.settled

    def token_rank(self) -> torch.Tensor:
        """TokenRank, float64 (h, w): the stationary law, as an importance of patches (Erel et al. 2025)."""
        return self.stationary().law.view(self.grid)

    def reversible(self) -> Graph:
        """The graph whose walk flows alike: W = (diag(pi) P + P^T diag(pi)) / 2.

        Equation `eq-walk-reversible` of the book.

        Its degrees are pi, and its NCut of a set is exactly the escape probabilities of this walk at stationarity
        (Zhou, Huang & Schoelkopf 2005; Chung 2005).
        """
        return Graph._trusted(_reversible(self.P, self.stationary().law))

    def direct(self) -> Directed:
        """P itself as a graph with directions: the literal "NCut directly on the activations".

        Equation `eq-graphs-direct` of the book.
        """
        return Directed._trusted(self.P)

    def held(self) -> Held:
        """The reversible form, in which each region is a walk of its own: see `Held`."""
        law = self.stationary().law
        return Held(_reversible(self.P, law), self.P, law, torch.ones_like(law))

    def averaged(self) -> Graph:
        """The cheap cousin, (P + P^T) / 2: equal to the reversible form only where pi is uniform.

        Equation `eq-graphs-average` of the book.
        """
        return Graph._trusted((self.P + self.P.T).div_(2))

    def relaxation_time(self) -> float:
        """1 / (1 - |lambda|) steps, lambda the largest eigenvalue of P in modulus but for one 1; infinity if that is 1.

        Equation `eq-walk-relaxation` of the book.

        So many steps shrink what a walker remembers by a factor e in the long run (Levin & Peres 2017, section 12.2;
        for a walk that is not reversible, only in the long run).
        """
        if len(self) == 1:
            return 1.0
        slowest = _slowest(self.P)
        return 1 / (1 - slowest) if slowest < 1 - 1e-9 else math.inf

    def mixing_time(self, distance: float = 0.25) -> float:
        """Steps until a walker, wherever it started, is within `distance` in total variation of the stationary law.

        Equation `eq-walk-tv` of the book.

        Exact: P is squared until the distance is small enough, then the number of steps is found by bisection (Levin &
        Peres 2017, section 4.5). Infinity for a walk that never mixes, periodic or with several closed classes.

        Parameters
        ----------
        distance : float in (0, 1)
        """
        if not 0 < distance < 1:
            raise InputError(f"A distance in total variation lies between 0 and 1, not {distance}.")
        P, found = _normalised(self.P.to(torch.float64, copy=True)), self.stationary()
        if found.teleport:
            return math.inf
        law = found.law

        def far(power: torch.Tensor) -> bool:
            return (power - law).abs().sum(1).max().item() / 2 > distance

        powers = [P]  # P^1, P^2, P^4, ...
        while far(powers[-1]):
            if 2 ** len(powers) > FOREVER:
                return math.inf
            powers.append(_normalised(powers[-1] @ powers[-1]))
        if len(powers) == 1:
            return 1
        steps, power = 2 ** (len(powers) - 2), powers[-2]  # the most that is known to be too few
        for bit in range(len(powers) - 3, -1, -1):
            further = _normalised(power @ powers[bit])
            if far(further):
                steps, power = steps + 2**bit, further
        return steps + 1

    def kemeny(self) -> float:
        """Kemeny's constant: expected steps to a patch drawn from the stationary law; the same from every start.

        trace((I - P + 1 pi^T)^-1) - 1 (Kemeny & Snell 1960, chapter 4), with 0 steps to where the walker is.
        Infinity for a walk with several closed classes.

        Raises
        ------
        InputError
            For more than 2,048 patches, whose inverse would take long.
        """
        if len(self) > SMALL:
            raise InputError(f"Kemeny's constant of {len(self)} patches takes too long: choose at most {SMALL}.")
        found = self.stationary()
        if found.teleport:
            return math.inf
        P = _normalised(self.P.to(torch.float64, copy=True))
        fundamental = torch.linalg.inv(torch.eye(len(P)).to(P) - P + found.law)
        return float(fundamental.trace()) - 1


@dataclass(frozen=True)
class Held(Graph):
    """A reversible form whose regions are walks of their own: "restrict and renormalise P".

    `Graph.subgraph` forgets what leads out of a region and keeps the law of the whole walk. Here a walker who would
    leave is held inside: P is restricted, its rows renormalised, and the region gets that walk's own stationary law
    and reversible form. A walker who has nowhere to go inside stays where it is.

    Attributes
    ----------
    W : Tensor (n, n)
        Sums to the share of the whole walk's flow that stays inside the region, so that regions can be compared.
    P : Tensor (n, n)
        Of the walk held inside.
    whole : float64 Tensor (n,)
        Stationary law of the whole walk, at these nodes.
    stays : float64 Tensor (n,)
        Probability that a step of the whole walk from a node ends in the region.
    """

    P: torch.Tensor
    whole: torch.Tensor
    stays: torch.Tensor

    def __post_init__(self) -> None:
        """Made from a walk, so valid."""

    def subgraph(self, index: torch.Tensor) -> Held:
        """The walk held inside the nodes `index` (m,). Equation `eq-tree-held` of the book."""
        P = self.P.index_select(0, index).index_select(1, index)
        rows = row_sums(P)
        stuck = rows <= 0
        P.diagonal()[stuck] = 1.0
        P.div_(torch.where(stuck, 1.0, rows).to(P)[:, None])
        whole, stays = self.whole[index], self.stays[index] * rows
        W = _reversible(P, stationary_law(P).law)
        return Held(W.mul_(float(whole @ stays)), P, whole, stays)


def _reversible(P: torch.Tensor, law: torch.Tensor) -> torch.Tensor:
    flow = law.to(P)[:, None] * P
    return (flow + flow.T).div_(2)


def prior(grid: Grid, sigma: float) -> tuple[torch.Tensor, torch.Tensor]:
    """exp(-r^2 / (2 sigma^2)) between rows and between columns of the grid, float64 (h, h) and (w, w).

    Their product is the prior on the distance of two patches; sigma is in units of the longer side.
    """
    if not sigma > 0:
        raise InputError(f"The width of the prior on distance must be positive, not {sigma}.")
    y, x = (torch.arange(side).double() / (sigma * max(grid)) for side in grid)
    near_y, near_x = (torch.exp(-0.5 * (c[:, None] - c) ** 2) for c in (y, x))
    return near_y, near_x


def stationary_law(P: torch.Tensor, tolerance: float = 1e-8) -> Stationary:
    """The law pi with pi P = pi, for a row-stochastic P (n, n).

    Small walks are solved directly, large ones by Arnoldi, with P as it is and then, for a slow leak that drowns in
    float32, from there in float64; where that does not settle either (a ring), they are solved directly too, whatever
    it takes. A walk with several closed classes has many stationary laws; then the law of the walk that restarts
    anywhere with probability 1e-6 is returned.

    Parameters
    ----------
    P : Tensor (n, n)
    tolerance : float
        Bound on the residual of a law by Arnoldi; its estimated error is at most 1e-5 besides.
    """
    teleport = not _one_closed_class(P)
    large, start = len(P) > DIRECT and not teleport, None
    if large:
        found, start = _settled(P, tolerance)
        if found:
            return found
    P = _normalised(P.to(torch.float64, copy=True))  # rows that sum to 1 in float32 do not in float64
    if large:
        found, _ = _settled(P, tolerance, start)
        if found:
            return found
    law = _solve(P, TELEPORT if teleport else 0.0)
    return Stationary(law, (P.T @ law - law).abs().max().item(), teleport)


def _settled(
    P: torch.Tensor, tolerance: float, start: np.ndarray | None = None
) -> tuple[Stationary | None, np.ndarray | None]:
    """The law by Arnoldi, if that settles, and where to start when it is tried again."""
    law, residual, error, start = arnoldi_law(lambda mu: P.T @ mu.to(P), len(P), start=start)
    settled = residual <= tolerance and error <= ACCURACY
    return Stationary(law.to(P.device), residual, False, error) if settled else None, start


def check_steps(k: int) -> int:
    """Let through a whole number of at least 1; refuse anything else."""
    if isinstance(k, bool) or not isinstance(k, Real) or k % 1 or k < 1:
        raise InputError(f"A walk takes a whole number of steps, at least 1, not {k}.")
    return int(k)


def check_walkers(walkers: float) -> float:
    """Let through a positive, finite number; refuse anything else."""
    if isinstance(walkers, bool) or not isinstance(walkers, Real) or not 0 < walkers < math.inf:
        raise InputError(f"The number of walkers who agree must be positive and finite, not {walkers!r}.")
    return float(walkers)


def _normalised(P: torch.Tensor) -> torch.Tensor:
    return P.div_(P.sum(1, keepdim=True))


def arnoldi_law(
    propagate: Callable[[torch.Tensor], torch.Tensor],
    n: int,
    basis: int = 20,
    tolerance: float = 1e-6,
    start: np.ndarray | None = None,
) -> tuple[torch.Tensor, float, float, np.ndarray | None]:
    """The stationary law from products P^T mu alone, by ARPACK.

    Measured on attention: 23 products where power iteration takes hundreds.

    Returns
    -------
    law : float64 Tensor (n,)
    residual, error : float
        See `Stationary`; both infinite if it does not converge.
    start : float64 (n,) or None
        From which another run, with more exact products, is soon there: the law, and some of the direction that is
        forgotten most slowly. None if it does not converge.
    """

    def product(mu: np.ndarray) -> np.ndarray:
        return propagate(torch.from_numpy(mu.ravel())).double().cpu().numpy()

    operator = LinearOperator((n, n), matvec=product, dtype=np.float64)
    even = np.full(n, n**-0.5)
    start = even if start is None else start
    try:
        values, vectors = eigs(operator, 2, which="LR", v0=start, ncv=min(basis, n), tol=tolerance, maxiter=RESTARTS)
    except ArpackNoConvergence:
        return torch.from_numpy(even**2), math.inf, math.inf, None
    first = np.argmin(np.abs(values - 1))
    law, slow = vectors[:, first].real, vectors[:, 1 - first].real
    start = law + SLOW * slow
    law = torch.from_numpy(np.maximum(law / law.sum(), 0))
    for _ in range(2):  # a step shrinks what the solver left in quickly forgotten directions
        before, law = law, propagate(law).double().cpu()
        law = law / law.sum()
    change = (law - before).abs()
    error = change.sum().item() / max(float(abs(1 - values[1 - first])), 1e-16)
    return law, change.max().item(), error, start


def _one_closed_class(P: torch.Tensor) -> bool:
    """Whether the stationary law is unique: all walkers end in one set of patches that reach one another.

    Probabilities below 1e-12 count as none.
    """
    looks = P > CLOSED
    looks.fill_diagonal_(True)
    if looks.all(0).any():
        return True  # one patch is seen from everywhere: the usual case, told without a search
    edges = coo_array(P.cpu().numpy() > CLOSED)
    count, label = connected_components(edges, connection="strong")
    source, target = label[edges.row], label[edges.col]
    return count - len(np.unique(source[source != target])) == 1


def _slowest(P: torch.Tensor) -> float:
    """Largest modulus of P's eigenvalues but for one 1; P - 1 u^T with u uniform moves that to 0, and no other."""
    n = len(P)
    if n > DIRECT:

        def product(v: np.ndarray) -> np.ndarray:
            after = (P @ torch.from_numpy(v.ravel()).to(P)).double().cpu().numpy()
            return after - after.mean()

        start = np.random.default_rng(0).normal(size=n)
        operator = LinearOperator((n, n), matvec=product, dtype=np.float64)
        with suppress(ArpackNoConvergence):  # many eigenvalues of one modulus, as of a ring: then all are looked for
            values = eigs(operator, 2, v0=start, ncv=40, tol=1e-6, maxiter=50, return_eigenvectors=False)
            return float(np.abs(values).max())
    values = torch.linalg.eigvals(_normalised(P.to(torch.float64, copy=True)) - 1 / n)
    return values.abs().max().item()


def _solve(P: torch.Tensor, teleport: float) -> torch.Tensor:
    """Solve law (I - P) = 0 with sum 1 for the walk that restarts anywhere with probability `teleport`."""
    n = len(P)
    system = torch.eye(n).to(P) - (1 - teleport) * P.T - teleport / n
    # the n equations sum to zero, so any one of them can give way to "the law sums to one"
    system[-1] = 1.0
    right = torch.zeros(n).to(P)
    right[-1] = 1.0
    law = torch.linalg.solve(system, right).clamp_min_(0)
    return law / law.sum()


def lift(matrix: torch.Tensor, coarse: Grid, fine: Grid) -> torch.Tensor:
    """Bring attention from a coarse grid to a fine one.

    Keys are up-sampled bilinearly and renormalised: a coarse patch's share spreads over the fine patches it covers.
    Queries are repeated: each fine patch looks where its coarse patch does (DiffSeg, Tian et al. 2024, section 3.2.1).

    Parameters
    ----------
    matrix : Tensor (hc*wc, hc*wc), row-stochastic
    coarse, fine : (hc, wc), (h, w)

    Returns
    -------
    Tensor (h*w, h*w), row-stochastic
    """
    if coarse == fine:
        return matrix
    return spread(matrix, coarse, fine)[parents(coarse, fine).to(matrix.device)]


def spread(rows: torch.Tensor, coarse: Grid, fine: Grid) -> torch.Tensor:
    """Probabilities over coarse patches, (m, hc*wc), as probabilities over fine ones, (m, h*w): see `lift`."""
    if coarse == fine:
        return rows
    rows = functional.interpolate(rows.view(-1, 1, *coarse), size=fine, mode="bilinear")
    return _normalised(rows.flatten(1))


def parents(coarse: Grid, fine: Grid) -> torch.Tensor:
    """int64 (h*w,): the coarse patch in which each fine patch lies."""
    (hc, wc), (h, w) = coarse, fine
    y, x = torch.arange(h) * hc // h, torch.arange(w) * wc // w
    return (y[:, None] * wc + x).flatten()


def aggregate(attention: AttentionMaps, weights: Mapping[Grid, float] | None = None) -> Walk:
    """One walk on the finest grid from attention at every resolution.

    Parameters
    ----------
    attention : AttentionMaps
    weights : mapping of grid to weight, optional
        Default: in proportion to the number of patches. (DiffSeg, equation 3 there, takes the side of the grid.)

    Returns
    -------
    Walk
        P = sum_r weight_r lift(A_r) / sum_r weight_r
    """
    fine = attention.finest
    P = torch.zeros_like(attention.maps[fine])
    for grid, share in shares(attention.maps, weights).items():
        P.add_(lift(attention.maps[grid], grid, fine), alpha=share)
    return Walk(_normalised(P), fine)


def shares(grids: Iterable[Grid], weights: Mapping[Grid, float] | None) -> dict[Grid, float]:
    """Positive weights of resolutions that sum to 1; by default in proportion to the number of patches."""
    grids = list(grids)
    if weights is None:
        weights = {grid: grid[0] * grid[1] for grid in grids}
    unknown = [grid for grid in weights if grid not in grids]
    if unknown:
        raise InputError(f"There is no attention on the grid {unknown[0]}: there is {grids}.")
    total = sum(weights.values())
    if min(weights.values(), default=0) < 0 or not total > 0:
        raise InputError(f"Weights of resolutions must be at least 0 and not all 0, not {dict(weights)}.")
    return {grid: weight / total for grid, weight in weights.items() if weight > 0}

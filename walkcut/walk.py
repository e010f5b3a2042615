"""The random walk that attention takes over the picture.

Row i of P says where a walker on patch i goes next. Two directions, kept apart by name:

    expect(v, k)     = P^k v        what a walker who starts at i will see, on average, after k steps
    propagate(mu, k) = (P^T)^k mu   where walkers that start as mu are after k steps
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch.nn import functional

from walkcut.capture import AttentionMaps, Grid
from walkcut.errors import InputError, brief
from walkcut.graph import Graph, packed, real, unpacked
from walkcut.recipe import STEPS, Recipe, checked, positive, sides
from walkcut.threads import undisturbed

RESTART = 1e-6  # probability of a restart that makes the stationary law of a reducible walk unique
CLOSED = 1e-12  # a smaller probability does not connect patches
DIRECT = 512  # up to this many nodes the stationary law is solved for, not iterated
ACCURACY = 1e-6  # of a law by Arnoldi: estimated sum of |law - true law|
CORRECTIONS = 8  # of a law by Arnoldi; a walk that has not settled by then is solved for
BLOCK = 2**18  # numbers of P that are looked at together, so that they stay in the processor's cache
GPU_BLOCK = 2**24  # by a GPU, which is kept waiting by many small calls


@dataclass(frozen=True, eq=False)
class Stationary:
    """A stationary law and how it was found.

    Attributes
    ----------
    law : float64 Tensor (n,), non-negative, sums to 1
    residual : float
        Largest entry of |P^T law - law|.
    restarted : bool
        True if the walk has several closed classes, so that its law is not unique: this one belongs to the walk that
        restarts anywhere with probability 1e-6 a step.
    error : float
        Estimate of sum |law - true law|. A slowly mixing walk has a small residual far from its law: what is left
        shrinks by a factor lambda_2 a step, so the error is about |P^T law - law| / |1 - lambda_2|.
    """

    law: torch.Tensor
    residual: float
    restarted: bool
    error: float = 0.0

    __repr__, __reduce__ = brief, packed


@dataclass(frozen=True, eq=False)
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
    settled: Stationary | None = field(default=None, repr=False)

    __repr__, __reduce__ = brief, packed

    def __post_init__(self) -> None:
        P, (h, w) = real("transition matrix", self.P), sides("grid", self.grid)
        object.__setattr__(self, "P", P)
        object.__setattr__(self, "grid", (h, w))
        if P.shape != (h * w, h * w):
            raise InputError(f"A walk over {h}x{w} patches needs a square P of {h * w} rows, not {tuple(P.shape)}.")
        worst, low = (P.sum(1) - 1).abs().max().item(), P.min().item()
        if not math.isfinite(worst):
            raise InputError("A transition matrix must be finite; it holds NaN or infinity.")
        if low < 0:
            raise InputError(f"Probabilities must not be negative; P holds {low:.3g}.")
        if worst > 1e-4:
            raise InputError(f"The rows of P must sum to 1; one is off by {worst:.2g}: divide each row by its sum.")

    @classmethod
    def _trusted(cls, P: torch.Tensor, grid: Grid) -> Walk:
        """A walk known to be valid, made from a valid one: no second look at n^2 numbers."""
        return unpacked(cls, {"P": P, "grid": grid, "settled": None})

    def __len__(self) -> int:
        return len(self.P)

    def expect(self, v: torch.Tensor, k: int = 1) -> torch.Tensor:
        """P^k v: the mean of v seen after k steps, for each starting patch; v is (n,) or (n, c).

        Equation `eq-walk-expect` of the book.
        """
        return _walked(self.P, v, k)

    def propagate(self, mu: torch.Tensor, k: int = 1) -> torch.Tensor:
        """(P^T)^k mu: the law of the walkers after k steps, from the law mu (n,) or (n, c).

        Equation `eq-walk-propagate` of the book.
        """
        return _walked(self.P.T, mu, k)

    @undisturbed()
    @checked(k=STEPS)
    def power(self, k: int) -> Walk:
        """The walk that takes k steps at once: P^k, by repeated squaring. Equation `eq-walk-chapman` of the book."""
        return self if k == 1 else self._trusted(normalised(torch.linalg.matrix_power(self.P, k)), self.grid)

    def jump_chain(self) -> Walk:
        """The walk without its rests: p_ij / (1 - p_ii) for j other than i.

        A patch looks best like itself. How long a walker rests says nothing of regions, but it lowers the NCut of every
        cut, in one picture more than in another. A patch that is never left keeps its rest.
        """
        return self._ready(jump_chain=True)

    @checked(exponent=positive)
    def inflated(self, exponent: float) -> Walk:
        """The walk of several walkers who agree: p_ij^r, rows renormalised.

        Let r walkers leave patch i, none knowing of the others, and look only at the times when all arrive at one
        place: that place is j with probability p_ij^r / sum_k p_ik^r. What was spread thinly over many places becomes
        rare, so a walk that leaks a little everywhere keeps to its region. Van Dongen calls it inflation and sets it
        against expansion, our `power` ("Graph clustering by flow simulation", PhD thesis, Utrecht 2000). Equation
        `eq-walk-agree` of the book.

        Parameters
        ----------
        exponent : float, positive
            r; 1 changes nothing, 2 are two walkers who agree. It need not be whole.

        Returns
        -------
        Walk
            With the same zeros.
        """
        return self if exponent == 1 else self._ready(inflation=exponent)

    @checked(sigma=positive)
    def spatial_prior(self, sigma: float) -> Walk:
        """The walk that prefers short steps: p_ij times exp(-r_ij^2 / (2 sigma^2)), rows renormalised.

        Equation `eq-walk-prior` of the book.

        A prior, not something the model said (Shi & Malik 2000, section 4, weigh affinities alike).

        Parameters
        ----------
        sigma : float
            In units of the picture's longer side; distances r_ij are between patch centres.
        """
        return self._ready(sigma=sigma)

    def under(self, recipe: Recipe) -> Walk:
        """The walk that is cut: without its rests, agreed upon, near patches first, some steps at once.

        The same as `jump_chain().inflated(inflation).spatial_prior(spatial_prior).power(steps)`, in one table of n^2
        numbers; to the last bit, on a processor.

        Parameters
        ----------
        recipe : Recipe
            Its jump_chain, inflation, spatial_prior and steps count here.

        Raises
        ------
        InputError
            For a prior that leaves a patch with nowhere to go.
        """
        if recipe.plain:
            return self
        return self._ready(recipe.jump_chain, recipe.inflation, recipe.spatial_prior).power(recipe.steps)

    def _ready(self, jump_chain: bool = False, inflation: float = 1.0, sigma: float | None = None) -> Walk:
        P = self.P.clone(memory_format=torch.contiguous_format)
        return self._trusted(_made_ready(P, self.grid, jump_chain, inflation, sigma), self.grid)

    def stationary(self) -> Stationary:
        """The law pi with pi P = pi: the share of time spent on each patch in the long run; see `stationary_law`.

        Equation `eq-walk-stationary` of the book.
        """
        found = self.settled or stationary_law(self.P)
        object.__setattr__(self, "settled", found)
        return found

    def reversible(self) -> Graph:
        """The graph whose walk flows alike: W = (diag(pi) P + P^T diag(pi)) / 2.

        Equation `eq-walk-reversible` of the book.

        Its degrees are pi, and its NCut of a set is exactly the escape probabilities of this walk at stationarity
        (Zhou, Huang & Schoelkopf 2005; Chung 2005).
        """
        return Graph._trusted(reversible_form(self.P, self.stationary().law))


def prepare(attention: AttentionMaps, recipe: Recipe) -> Walk:
    """The walk that is cut, from attention: `aggregate`, then `Walk.under`; errors of both."""
    return aggregate(attention).under(recipe)


def _made_ready(P: torch.Tensor, grid: Grid, jump_chain: bool, inflation: float, sigma: float | None) -> torch.Tensor:
    """P without rests, inflated, weighed by the prior, in place, some rows at a time."""
    for first, rows in _row_blocks(P):
        if jump_chain:
            rests = rows.diagonal(first)
            rests.zero_()
            rests[rows.amax(1) == 0] = 1  # of a patch that is never left
            normalised(rows)
        if inflation != 1:
            rows.div_(rows.amax(1, keepdim=True))  # the largest is 1: no row loses all of itself to rounding
            normalised(rows.pow_(inflation))
        if sigma is not None:
            weigh(rows, torch.arange(first, first + len(rows), device=P.device), grid, sigma)
            normalised(rows)
    return P


def weigh(rows: torch.Tensor, index: torch.Tensor, grid: Grid, sigma: float) -> None:
    """Multiply the rows (m, n) of the patches `index` (m,) by the `prior` on distance, in place."""
    (near_y, near_x), (h, w) = (side.to(rows) for side in prior(grid, sigma)), grid
    rows.view(-1, h, w).mul_(near_y[index // w][:, :, None]).mul_(near_x[index % w][:, None, :])
    if (rows.amax(1) < torch.finfo(rows.dtype).tiny).any():
        raise InputError(f"A prior of width {sigma} leaves a patch with nowhere to go: choose a larger one.")


def _row_blocks(P: torch.Tensor) -> Iterator[tuple[int, torch.Tensor]]:
    """Some rows of P (n, n) at a time, and which is the first."""
    size = max((GPU_BLOCK if P.is_cuda else BLOCK) // len(P), 1)
    return zip(range(0, len(P), size), P.split(size), strict=True)


@undisturbed()
@checked(k=STEPS)
def _walked(P: torch.Tensor, v: torch.Tensor, k: int) -> torch.Tensor:
    v = real("numbers on patches", v).to(P)
    if v.ndim not in (1, 2) or len(v) != len(P):
        raise InputError(f"A walk over {len(P)} patches takes as many numbers, or rows of them, not {tuple(v.shape)}.")
    for _ in range(k):
        v = P @ v
    return v


def reversible_form(P: torch.Tensor, law: torch.Tensor) -> torch.Tensor:
    """(diag(law) P + P^T diag(law)) / 2, some rows at a time: reading all of a large table across its rows is slow."""
    half, W = (law / 2).to(P)[:, None], P.new_empty(P.shape)
    for first, rows in _row_blocks(P):
        at = slice(first, first + len(rows))
        torch.add((half * P[:, at]).T, half[at] * rows, out=W[at])
    return W


@checked(grid=sides, sigma=positive)
def prior(grid: Grid, sigma: float) -> tuple[torch.Tensor, torch.Tensor]:
    """exp(-r^2 / (2 sigma^2)) between rows and between columns of the grid, float64 (h, h) and (w, w).

    Their product is the prior on the distance of two patches; sigma is in units of the longer side.
    """
    y, x = (torch.arange(side, device="cpu").double() / (sigma * max(grid)) for side in grid)
    near_y, near_x = (torch.exp(-0.5 * (c[:, None] - c) ** 2) for c in (y, x))
    return near_y, near_x


@checked(tolerance=positive)
def stationary_law(P: torch.Tensor, tolerance: float = 1e-8) -> Stationary:
    """The law pi with pi P = pi, for a row-stochastic P (n, n).

    Small walks are solved directly, large ones by Arnoldi, with P as it is and, where a slow leak drowns in float32, in
    float64; where that does not settle either (some rings), they are solved directly too, whatever it takes. A walk
    with several closed classes has many stationary laws; then the law of the walk that restarts anywhere with
    probability 1e-6 is returned.

    Parameters
    ----------
    P : Tensor (n, n)
    tolerance : float
        Bound on the residual of a law by Arnoldi; its estimated error is at most 1e-6 besides.
    """
    restarted = not _one_closed_class(P)
    if len(P) > DIRECT and not restarted:
        found = _corrected(P, tolerance) or _corrected(P.double(), tolerance)
        if found:
            return found
    return _solved(normalised(P.to(torch.float64, copy=True)), restarted)


def _corrected(P: torch.Tensor, tolerance: float) -> Stationary | None:
    """A law by Arnoldi, corrected until it is exact enough; None if it does not settle.

    Products with float32 leave errors of 1e-4 in a slow walk. What is still missing, P^T law - law, is told in float64,
    and the system (1 - P^T) change = missing is solved in the precision of P (iterative refinement, Wilkinson 1963), by
    GMRES (Saad & Schultz 1986).
    """

    def step(mu: torch.Tensor) -> torch.Tensor:
        after = torch.zeros_like(mu)
        for first, rows in _row_blocks(P):
            rows = rows.double()  # that sum to 1 in float32 do not in float64
            after.addmv_(rows.T, mu[first : first + len(rows)] / rows.sum(1))
        return after

    law, gap = arnoldi_law(P.T.matmul, torch.ones_like(P[0]))
    law = step(law)
    for _ in range(CORRECTIONS if gap > 100 * torch.finfo(P.dtype).eps else 0):
        missing = step(law) - law
        residual, error = missing.abs().max().item(), missing.abs().sum().item() / gap
        if not math.isfinite(error):  # rounding was corrected by rounding
            break
        if residual <= tolerance and error <= ACCURACY:
            return Stationary(law, residual, False, error)
        V, moved = _krylov(P.T.matmul, missing.to(P))
        change = torch.from_numpy(np.linalg.lstsq(moved.T, missing.cpu().numpy())[0]).to(V) @ V
        gap = min(gap, (missing.abs().sum() / change.abs().sum()).item())
        law = (law + change).clamp_min(0)
        law = law / law.sum()
    return None


def arnoldi_law(
    propagate: Callable[[torch.Tensor], torch.Tensor], start: torch.Tensor, steps: int = 28
) -> tuple[torch.Tensor, float]:
    """The stationary law from `steps` products P^T mu alone, by Arnoldi (1951): as still as any vector that they span.

    Parameters
    ----------
    propagate : function
        P^T mu, from mu (n,) in the precision of `start`.
    start : Tensor (n,)
    steps : int
        28, measured on attention, where power iteration takes hundreds: in a slow walk the law is then exact to 1e-3
        or better.

    Returns
    -------
    law : float64 Tensor (n,)
    gap : float
        |1 - lambda_2|, nearly: of what is missing of a law, so much is seen after a step.
    """
    V, moved = _krylov(propagate, start, steps)
    stillest = np.linalg.eigh(moved @ moved.T)[1][:, 0]
    law = (torch.from_numpy(stillest).to(V) @ V).double()
    law = (law / law.sum()).clamp_min(0)
    gaps = np.sort(np.abs(np.linalg.eigvals(V.cpu().double().numpy() @ moved.T)))  # of 1 to P's eigenvalues, 1 included
    return law / law.sum(), float(gaps[1]) if len(gaps) > 1 else 1.0


def _krylov(
    propagate: Callable[[torch.Tensor], torch.Tensor], start: torch.Tensor, steps: int = 28
) -> tuple[torch.Tensor, np.ndarray]:
    """An orthonormal basis V (m, n) of what start, P^T start, P^T P^T start, ... span, and how far a step moves it.

    The latter is V - V P, float64 (m, n); m is `steps`, or fewer where they span no more. Written out, as ARPACK starts
    anew after some products, and took twice as many.
    """
    V, after, moved = start.new_zeros(0, len(start)), start / torch.linalg.vector_norm(start), []
    for _ in range(steps):
        for _ in range(2):  # once leaves rounding
            after = after - (V @ after) @ V
        size = torch.linalg.vector_norm(after)
        if size < 10 * torch.finfo(V.dtype).eps:  # rounding, which leads nowhere
            break
        V = torch.cat([V, after[None] / size])
        after = propagate(V[-1])
        moved.append(V[-1] - after)
    return V, torch.stack(moved).double().cpu().numpy()


def normalised(P: torch.Tensor) -> torch.Tensor:
    """Rows divided by their sums, in place."""
    return P.div_(P.sum(1, keepdim=True))


def _one_closed_class(P: torch.Tensor) -> bool:
    """Whether the stationary law is unique: all walkers end in one set of patches that reach one another.

    Probabilities below 1e-12 count as none.
    """
    looks = P > CLOSED
    looks.fill_diagonal_(True)
    if looks.all(0).any():
        return True  # one patch is seen from everywhere: the usual case, told without a search
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    edges = coo_array(looks.cpu().numpy())
    count, label = connected_components(edges, connection="strong")
    source, target = label[edges.row], label[edges.col]
    return bool(count - len(np.unique(source[source != target])) == 1)


def _solved(P: torch.Tensor, restarted: bool) -> Stationary:
    """The law from law (1 - P) = 0 and sum 1, for P in float64."""
    restart, one = RESTART * restarted, torch.eye(len(P), device="cpu").to(P)
    system = one - (1 - restart) * P.T - restart / len(P)
    system[-1] = 1.0  # the equations sum to zero, so any one of them can give way to "the law sums to one"
    law = torch.linalg.solve(system, one[-1]).clamp_min_(0)
    law = law / law.sum()
    return Stationary(law, (P.T @ law - law).abs().max().item(), restarted)


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
    return matrix if coarse == fine else spread(matrix, coarse, fine)[parents(coarse, fine).to(matrix.device)]


def spread(rows: torch.Tensor, coarse: Grid, fine: Grid) -> torch.Tensor:
    """Probabilities over coarse patches, (m, hc*wc), as probabilities over fine ones, (m, h*w): see `lift`."""
    return normalised(functional.interpolate(rows.view(-1, 1, *coarse), size=fine, mode="bilinear").flatten(1))


def parents(coarse: Grid, fine: Grid) -> torch.Tensor:
    """int64 (h*w,): the coarse patch in which each fine patch lies."""
    (hc, wc), (h, w) = coarse, fine
    y, x = (torch.arange(side, device="cpu") * at // side for side, at in ((h, hc), (w, wc)))
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
    return Walk(normalised(P), fine)


def shares(grids: Iterable[Grid], weights: Mapping[Grid, float] | None) -> dict[Grid, float]:
    """Positive weights of resolutions that sum to 1; by default in proportion to the number of patches."""
    grids = list(grids)
    weights = {grid: grid[0] * grid[1] for grid in grids} if weights is None else weights
    unknown = [grid for grid in weights if grid not in grids]
    if unknown:
        raise InputError(f"There is no attention on the grid {unknown[0]}: there is {grids}.")
    total = sum(weights.values())
    if min(weights.values(), default=0) < 0 or not total > 0:
        raise InputError(f"Weights of resolutions must be at least 0 and not all 0, not {dict(weights)}.")
    return {grid: weight / total for grid, weight in weights.items() if weight > 0}

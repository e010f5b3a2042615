"""Where to stop cutting: a number of your own, or a criterion that needs none.

Every criterion prunes one and the same tree: `prune(tree, criterion)`. Where its score is a sum over the nodes that
are kept, the best of all prunings is found exactly (`best_pruning`); the others choose a threshold.

    half-life      keep a split that is remembered for a step, and twice as long as one at the ceiling
    gap            stop at the widest gap between the NCut values of the tree
    eigengap       as many segments as the relative eigengap says (a baseline of Couairon et al. 2024)
    stability      walkers are found where they were more often than chance has it (Delvenne et al. 2010; the default)
    map-equation   the shortest description of the walk with nested codebooks (Rosvall & Bergstrom 2011)
    region-map     a split shortens the description of the walk inside its region
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.linalg import eigvalsh
from scipy.sparse.linalg import LinearOperator, eigsh

from walkcut.attention import Grid
from walkcut.errors import InputError
from walkcut.graph import Affinity
from walkcut.ncut import DENSE, best_cut
from walkcut.tree import MEMORYLESS, PartitionTree
from walkcut.walk import Walk

AUTO = "stability"  # what "auto" stands for; what was tried is in book/results/criteria-*.json
HALF = 0.5
TIE = 1e-12  # a split that gains no more is not taken
EIGENVALUES = 30  # that the eigengap looks at


@dataclass(frozen=True)
class Pruning:
    """Where a criterion stops.

    Attributes
    ----------
    criterion : str
        One of `CRITERIA`, or "constant".
    leaves : int64 (m,)
        Nodes of the tree that are segments.
    threshold : float or None
        Of NCut, in [0, 2], that gives the same segments; None where splits are not chosen by their NCut alone.
    score : float or None
        What the criterion maximised.
    """

    criterion: str
    leaves: np.ndarray
    threshold: float | None = None
    score: float | None = None

    def __len__(self) -> int:
        return len(self.leaves)


def check_threshold(threshold: float | str) -> float | str:
    """Let through "auto", the name of a criterion, or a number in (0, 2]; refuse anything else."""
    if isinstance(threshold, str) and threshold in ("auto", *CRITERIA):
        return threshold
    try:
        value = float(threshold)
    except (TypeError, ValueError):
        value = float("nan")
    if not 0 < value <= 2:
        names = ", ".join(CRITERIA)
        wanted = f"'auto' or a number above 0 and at most 2, not {threshold!r}; or the name of a criterion: {names}"
        raise InputError(f"A threshold on NCut must be {wanted}.")
    return value


def prune(
    tree: PartitionTree, criterion: float | str = "auto", walk: Walk | None = None, ceiling: float = MEMORYLESS
) -> Pruning:
    """The segments at which a criterion stops; ties go to fewer segments.

    Parameters
    ----------
    tree : PartitionTree
    criterion : "auto", one of `CRITERIA`, or float in (0, 2]
        A number is a constant threshold and takes every split of NCut up to it.
    walk : Walk, optional
        That was cut; the eigengap needs it.
    ceiling : float
        Splits of this NCut or more are never taken, except by a constant threshold; see `blank_ncut`.

    Returns
    -------
    Pruning
    """
    criterion = check_threshold(criterion)
    if not isinstance(criterion, str):
        return Pruning("constant", tree.leaves(criterion), criterion)
    name = AUTO if criterion == "auto" else criterion
    return CRITERIA[name](tree, ceiling, walk)


def best_pruning(
    tree: PartitionTree, segment: np.ndarray, split: np.ndarray, ceiling: float = MEMORYLESS
) -> tuple[np.ndarray, float]:
    """The pruning with the largest sum of `segment` over its segments plus `split` over its splits, exactly.

    Equation `eq-stop-best` of the book.

    From the leaves to the root, the best of a node is the better of two: to leave it whole, or to split it and take the
    best of its sides.

    Parameters
    ----------
    tree : PartitionTree
    segment, split : float64 (nodes,)
    ceiling : float
        Splits of this NCut or more are never taken.

    Returns
    -------
    leaves : int64 (m,)
        Of several best prunings, one with the fewest segments.
    score : float
    """
    best = np.array(segment, np.float64)
    taken = np.zeros(len(tree), bool)
    for node in np.flatnonzero(tree.ncut < ceiling)[::-1]:  # children before their parents
        value = split[node] + best[tree.left[node]] + best[tree.right[node]]
        if value > best[node] + TIE:
            best[node], taken[node] = value, True
    return tree.below(taken), float(best[0])


# ---------------------------------------------------------------------------------------------------------------------
# Criteria: each takes a tree, a ceiling and the walk that was cut


def half_life(tree: PartitionTree, ceiling: float = MEMORYLESS, walk: Walk | None = None) -> Pruning:
    """Keep a split whose memory lives for a step, and twice as long as memory lives where there is nothing to see.

    Equation `eq-stop-half-life` of the book.

    Look at the two sides of a split as a chain of two states, escape probabilities a and b. Its second eigenvalue is
    1 - a - b = 1 - NCut: what a walker's side now tells about its side after n steps decays as (1 - NCut)^n. Half of it
    is left after log(1/2) / log(1 - NCut) steps, its half-life.

    - A step or more: NCut <= 1/2. A walk without memory has NCut = 1.
    - Twice that at the ceiling c, which stands for the cheapest split of pictures in which there is nothing to see;
      their memory is due to the prior on distance and to accidents: (1 - NCut) >= (1 - c)^(1/2), or
      NCut <= 1 - sqrt(1 - c).

    So the threshold is the smaller of the two; it depends on the model and its prior, not on the picture.
    """
    threshold = min(HALF, 1 - float(np.sqrt(1 - ceiling)))
    return Pruning("half-life", tree.leaves(threshold), threshold)


def largest_gap(tree: PartitionTree, ceiling: float = MEMORYLESS, walk: Walk | None = None) -> Pruning:
    """Stop below the widest gap between neighbouring values of NCut, the ceiling included; the lowest of equal gaps.

    Equation `eq-stop-gap` of the book.

    At least one split is taken where any is below the ceiling, as with the eigengap; score: the width of the gap.
    """
    values = np.unique(tree.needed())
    values = values[values < ceiling]
    if not len(values):
        return Pruning("gap", np.array([0]), 0.0, 0.0)
    gaps = np.diff(values, append=ceiling)
    place = int(np.argmax(gaps > gaps.max() - TIE))
    return Pruning("gap", tree.leaves(values[place]), float(values[place]), float(gaps[place]))


def eigengap(tree: PartitionTree, ceiling: float = MEMORYLESS, walk: Walk | None = None) -> Pruning:
    """As many segments k >= 2 as make the relative eigengap largest:

    Equation `eq-stop-eigengap` of the book.

        (lambda_{k+1} - m_k) / (m_k + 1e-6),    m_k = mean of lambda_1 .. lambda_k

    with the smallest eigenvalues of the normalised Laplacian. At k = 1 it is infinite. The first k segments of the
    tree are taken, fewer where the ceiling forbids a split. The gap is AutoSC's, which chooses an affinity matrix by
    it (Fan, Tu, Zhang, Zhao & Zhang, "A simple approach to automated spectral clustering", NeurIPS 2022); to choose
    the number by it is a baseline of DiffCut (Couairon et al., NeurIPS 2024, section 4.3).
    """
    if walk is None:
        raise InputError("The eigengap looks at the walk that was cut: give prune its walk.")
    if len(walk) < 3:
        return Pruning("eigengap", np.array([0]))
    values = smallest_eigenvalues(walk.reversible(), EIGENVALUES)
    means = np.cumsum(values)[:-1] / np.arange(1, len(values))
    gaps = ((values[1:] - means) / (means + 1e-6))[1:]  # k = 2, 3, ...
    k = 2 + int(np.argmax(gaps > gaps.max() - TIE))
    most = 1 + int((tree.needed() < ceiling).sum())
    return Pruning("eigengap", tree.first(min(k, most)), score=float(gaps[k - 2]))


def smallest_eigenvalues(graph: Affinity, count: int) -> np.ndarray:
    """The smallest eigenvalues of the normalised Laplacian 1 - D^-1/2 W D^-1/2: float64 (at most count,), ascending."""
    n, root = len(graph), graph.degrees.clamp_min(1e-300).sqrt()

    def product(x: np.ndarray) -> np.ndarray:
        x = torch.from_numpy(np.ascontiguousarray(x)).to(root).view(n, -1)
        return (graph.matvec(x / root[:, None]).double() / root[:, None]).cpu().numpy()

    if n <= max(DENSE, 2 * count):
        values = eigvalsh(product(np.eye(n)))
    else:
        operator = LinearOperator((n, n), matvec=lambda x: product(x).ravel(), matmat=product, dtype=np.float64)
        start = np.random.default_rng(0).normal(size=n)
        values = eigsh(operator, count, which="LA", v0=start, tol=1e-4, return_eigenvectors=False)
    return np.maximum(1 - np.sort(values)[::-1][:count], 0)


def stability(tree: PartitionTree, ceiling: float = MEMORYLESS, walk: Walk | None = None, time: int = 1) -> Pruning:
    """Markov stability at one time, the best of all prunings.

    Equation `eq-stop-stability` of the book.

    A segmentation is good if a stationary walker is found in the same segment `time` steps later more often than
    chance would have it:

        r = sum over segments of Pr(in S now and then) - Pr(in S)^2

    (Delvenne, Yaliraki & Barahona 2010, equation 2; at time 1 Newman's modularity of the graph.) The time is the
    resolution: later means coarser. It is fixed at one step of the walk, its own clock.
    """
    stays = tree.inside if time == 1 else stay(tree, walk, time)
    leaves, score = best_pruning(tree, stays - tree.volume**2, np.zeros(len(tree)), ceiling)
    return Pruning("stability", leaves, score=score)


def stay(tree: PartitionTree, walk: Walk | None, time: int) -> np.ndarray:
    """(nodes,) float64: probability that a stationary walker is in the node now and `time` steps later.

    Flows between the leaves are F = H^T diag(pi) P^t H, H their indicators (n, leaves): products with vectors, never
    P^t. A node's is the sum of a block of F. For t > 1 those of P, not of its reversible form: rev(P)^t is not
    rev(P^t).
    """
    if walk is None:
        raise InputError("Flows over several steps need the walk that was cut: give its walk.")
    ends = np.flatnonzero(tree.left < 0)
    ends = ends[np.argsort(tree.start[ends])]
    owner = np.empty(len(tree.order), np.int64)
    owner[tree.order] = np.repeat(np.arange(len(ends)), tree.stop[ends] - tree.start[ends])
    H = torch.nn.functional.one_hot(torch.from_numpy(owner), len(ends)).double()  # (n, leaves)
    later = walk.expect(H, time).double()
    law = walk.stationary().law.to(later)
    flow = (H.to(later).T @ (law[:, None] * later)).cpu().numpy()  # (leaves, leaves)
    sums = np.zeros((len(ends) + 1,) * 2)
    sums[1:, 1:] = flow.cumsum(0).cumsum(1)
    bounds = np.r_[tree.start[ends], len(tree.order)]
    low, high = np.searchsorted(bounds, tree.start), np.searchsorted(bounds, tree.stop)
    return sums[high, high] - sums[low, high] - sums[high, low] + sums[low, low]


def map_equation(tree: PartitionTree, ceiling: float = MEMORYLESS, walk: Walk | None = None) -> Pruning:
    """The pruning whose nested codebooks describe a step of the walk in the fewest bits.

    Equation `eq-stop-nested` of the book.

        L = sum over kept splits of   plogp(q + sum_c q_c) - plogp(q) - sum_c plogp(q_c)
          + sum over segments of      plogp(q + p) - plogp(q) - sum over patches of plogp(p_a)

    with p the share of time in a node, q the rate at which it is left (and entered, at stationarity), q_c those of its
    sides and plogp(x) = x log2 x: every kept split is an index codebook, every segment a codebook of its patches, each
    with a word for "leave" (Rosvall & Bergstrom 2011). The last sum is the same for every pruning.

    Score: bits a step saved against one codebook for the whole picture.
    """
    segment, split = codebooks(tree, np.maximum(tree.volume - tree.inside, 0))
    leaves, score = best_pruning(tree, -segment, -split, ceiling)
    return Pruning("map-equation", leaves, score=score)


def codebooks(tree: PartitionTree, leave: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bits a step of each node's codebook, as a segment (but for the patches' sum) and as an index: float64 (nodes,).

    `leave` (nodes,) are the rates at which nodes are left; nobody leaves the whole picture.
    """
    leave = np.r_[0.0, leave[1:]]
    index = np.zeros(len(tree))
    nodes = np.flatnonzero(tree.left >= 0)
    q, a, b = leave[nodes], leave[tree.left[nodes]], leave[tree.right[nodes]]
    index[nodes] = plogp(q + a + b) - plogp(q) - plogp(a) - plogp(b)
    return plogp(leave + tree.volume) - plogp(leave), index


def region_map(tree: PartitionTree, ceiling: float = MEMORYLESS, walk: Walk | None = None) -> Pruning:
    """The map equation, region by region: does a split shorten the description of the walk inside its region?

    Equation `eq-stop-map` of the book.

    The region's own chain, the one that was cut, with sides of shares v and 1 - v and a flow f each way between them,
    costs one codebook less than two, and an index, by

        saved = -2 f - plogp(v + f) - plogp(1 - v + f) + 2 plogp(f)                      bits a step

    (the two-level map equation of Rosvall & Bergstrom 2008, for two modules). Equal sides save bits below an
    NCut of about 0.41. Unlike in `map_equation`, the levels above a region do not speak in it.

    Score: the sum over kept splits of saved times the share of flow inside the region.
    """
    saved = np.zeros(len(tree))
    nodes = np.flatnonzero(tree.inside * (tree.left >= 0) > 0)
    whole, a, b = tree.inside[nodes], tree.inside[tree.left[nodes]], tree.inside[tree.right[nodes]]
    flow = np.maximum(whole - a - b, 0) / 2 / whole
    v = a / whole + flow
    saved[nodes] = -2 * flow - plogp(v + flow) - plogp(1 - v + flow) + 2 * plogp(flow)
    leaves, score = best_pruning(tree, np.zeros(len(tree)), saved * tree.inside, ceiling)
    return Pruning("region-map", leaves, score=score)


def plogp(x: np.ndarray) -> np.ndarray:
    """x log2 x, and 0 at 0."""
    return x * np.log2(np.where(x > 0, x, 1.0))


Criterion = Callable[[PartitionTree, float, Walk | None], Pruning]
CRITERIA: dict[str, Criterion] = {
    "half-life": half_life,
    "gap": largest_gap,
    "eigengap": eigengap,
    "stability": stability,
    "map-equation": map_equation,
    "region-map": region_map,
}


# ---------------------------------------------------------------------------------------------------------------------
# The ceiling


def blank_ncut(grid: Grid, locality: float | None) -> float:
    """NCut of the best cut of a walk that knows nothing but the prior on distance: 1 without a prior.

    Equation `eq-walk-ceiling` of the book.

    Its transition matrix is a product of one walk along each side of the grid, so the best cut lies across the longer
    side, and the walk along that side has the same NCut.
    """
    side = max(grid)
    if locality is None or side < 2:
        return MEMORYLESS
    uniform = Walk(torch.full((side, side), 1 / side, dtype=torch.float64), (1, side))
    return best_cut(uniform.local(locality).reversible()).ncut

"""More criteria for where to stop: each prunes the same tree, see `walkcut.criteria`.

Where a criterion's score is a sum over the nodes that are kept, the best of all prunings is found exactly
(`best_pruning`); the others take splits one by one, or choose a threshold.

    half-life      keep a split that attention's own walk remembers, half of it, for a step
    gap            stop at the widest gap between the NCut values of the tree
    eigengap       as many segments as the relative eigengap says (Couairon et al. 2024, section 4.3)
    stability      walkers are found where they were more often than chance has it (Delvenne et al. 2010)
    map-equation   the shortest description of the walk with nested codebooks (Rosvall & Bergstrom 2011)
    region-map     a split shortens the description of the walk inside its region
"""

import numpy as np
import torch
from scipy.linalg import eigvals, eigvalsh
from scipy.sparse.linalg import LinearOperator, eigs, eigsh

from walkcut.criteria import Pruning
from walkcut.errors import InputError
from walkcut.graph import Affinity
from walkcut.lab.directed import Directed
from walkcut.ncut import DENSE
from walkcut.null import SplitPrices, leaf_flows, node_sums
from walkcut.pixels import leaf_of
from walkcut.recipe import checked, whole
from walkcut.tree import MEMORYLESS, PartitionTree
from walkcut.walk import Walk

TIE = 1e-12  # a split that gains no more is not taken
HALF = 0.5
EIGENVALUES = 30  # that the eigengap looks at


def best_pruning(tree: PartitionTree, segment: np.ndarray, split: np.ndarray) -> tuple[np.ndarray, float]:
    """The pruning with the largest sum of `segment` over its segments plus `split` over its splits, exactly.

    Equation `eq-stop-best` of the book.

    From the leaves to the root, the best of a node is the better of two: to leave it whole, or to split it and take the
    best of its sides.

    Parameters
    ----------
    tree : PartitionTree
    segment, split : float64 (nodes,)

    Returns
    -------
    leaves : int64 (m,)
        Of several best prunings, one with the fewest segments.
    score : float
    """
    best = np.array(segment, np.float64)
    taken = np.zeros(len(tree), bool)
    for node in np.flatnonzero(tree.ncut < MEMORYLESS)[::-1]:  # children before their parents
        value = split[node] + best[tree.left[node]] + best[tree.right[node]]
        if value > best[node] + TIE:
            best[node], taken[node] = value, True
    return tree.frontier(taken), float(best[0])


def half_life(tree: PartitionTree, graph: Affinity | None = None, prices: SplitPrices | None = None) -> Pruning:
    """Keep a split whose memory lives for a step of attention's own walk.

    Equation `eq-stop-half-life` of the book.

    Look at the two sides of a split as a chain of two states, escape probabilities a and b. Its second eigenvalue is
    1 - a - b = 1 - NCut: what a walker's side now tells about its side after n steps decays as (1 - NCut)^n. Half of it
    is left after log(1/2) / log(1 - NCut) steps, its half-life: a step or more where NCut <= 1/2.
    """
    if prices is None:
        raise InputError("A half-life needs the prices of the splits: give walkcut.null.SplitPrices.of to prune.")
    return Pruning("half-life", tree.frontier(prices.walk <= HALF))


def largest_gap(tree: PartitionTree, graph: Affinity | None = None, prices: SplitPrices | None = None) -> Pruning:
    """Stop below the widest gap between neighbouring values of NCut below 1, and 1 itself; the lowest of equal gaps.

    Equation `eq-stop-gap` of the book.

    At least one split is taken where any costs less than 1, as with the eigengap; score: the width of the gap.
    """
    values = np.unique(tree.split_height())
    values = values[values < MEMORYLESS]
    if not len(values):
        return Pruning("gap", np.array([0]), 0.0, 0.0)
    gaps = np.diff(values, append=MEMORYLESS)
    place = int(np.argmax(gaps > gaps.max() - TIE))
    return Pruning("gap", tree.leaves(values[place]), float(values[place]), float(gaps[place]))


def eigengap(tree: PartitionTree, graph: Affinity | None = None, prices: SplitPrices | None = None) -> Pruning:
    """As many segments k >= 2 as make the relative eigengap largest:

    Equation `eq-stop-eigengap` of the book.

        (lambda_{k+1} - m_k) / (m_k + 1e-6),    m_k = mean of lambda_1 .. lambda_k

    with the smallest eigenvalues of the graph's normalised Laplacian. By this gap Fan et al. (AutoSC, NeurIPS 2022)
    choose the affinity for a given k; to let it choose k is a baseline of DiffCut (Couairon et al., NeurIPS 2024,
    section 4.3). At k = 1 it is infinite. The first k segments of the tree are taken, fewer where the
    tree has no more.
    """
    if graph is None:
        raise InputError("The eigengap needs the graph that was cut: give it to prune, or segment with keep_walk=True.")
    if len(graph) < 3:
        return Pruning("eigengap", np.array([0]))
    values = smallest_eigenvalues(graph, EIGENVALUES)
    means = np.cumsum(values)[:-1] / np.arange(1, len(values))
    gaps = ((values[1:] - means) / (means + 1e-6))[1:]  # k = 2, 3, ...
    k = 2 + int(np.argmax(gaps > gaps.max() - TIE))
    most = int((tree.left < 0).sum())
    return Pruning("eigengap", tree.k_segments(min(k, most)), score=float(gaps[k - 2]))


@checked(count=whole(1))
def smallest_eigenvalues(graph: Affinity, count: int) -> np.ndarray:
    """The smallest eigenvalues of the normalised Laplacian 1 - D^-1/2 W D^-1/2: float64 (at most count,), ascending.

    Those of 1 - D^-1 W are the same, and those a graph with directions has too: as in its relaxed cut
    (`second_eigenvector`) their real parts count, and a complex pair counts twice. They lie in [0, 2] as well.
    """
    n, directed = len(graph), isinstance(graph, Directed)
    left = graph.degrees.clamp_min(1e-300) if directed else graph.degrees.clamp_min(1e-300).sqrt()
    right = torch.ones_like(left) if directed else left

    def product(x: np.ndarray) -> np.ndarray:
        columns = torch.from_numpy(np.ascontiguousarray(x)).to(left).view(n, -1)
        return (graph.matvec(columns / right[:, None]).double() / left[:, None]).cpu().numpy()

    if n <= max(DENSE, 2 * count):
        values = (eigvals if directed else eigvalsh)(product(np.eye(n)))
    else:
        operator = LinearOperator((n, n), matvec=lambda x: product(x).ravel(), matmat=product, dtype=np.float64)
        solve, largest = (eigs, "LR") if directed else (eigsh, "LA")
        start = np.random.default_rng(0).normal(size=n)
        values = solve(operator, count, which=largest, v0=start, tol=1e-4, return_eigenvectors=False)
    return np.maximum(1 - np.sort(values.real)[::-1][:count], 0)


def stability(tree: PartitionTree, graph: Affinity | None = None, prices: SplitPrices | None = None) -> Pruning:
    """Markov stability after one step, the best of all prunings.

    Equation `eq-stop-stability` of the book.

    A segmentation is good if a stationary walker is found in the same segment a step later more often than chance would
    have it:

        r = sum over segments of Pr(in S now and then) - Pr(in S)^2

    (Delvenne, Yaliraki & Barahona 2010, equation 2; at time 1 Newman's modularity of the graph.) The time is the
    resolution: later means coarser, see `stability_at`. Here it is one step of the walk that is
    cut: with a share q of rests left in, a first split would pay while (1 - q) NCut < 1.
    """
    leaves, score = best_pruning(tree, tree.association - tree.volume**2, np.zeros(len(tree)))
    return Pruning("stability", leaves, score=score)


def stability_at(tree: PartitionTree, walk: Walk, time: int) -> Pruning:
    """Markov stability after `time` steps of a walk: `stability` with a slower clock.

    Delvenne et al. take the least over all times up to that one; after one step both are the same.
    """
    stays = persistence(tree, walk, time)
    leaves, score = best_pruning(tree, stays - tree.volume**2, np.zeros(len(tree)))
    return Pruning("stability", leaves, score=score)


def persistence(tree: PartitionTree, walk: Walk, time: int) -> np.ndarray:
    """(nodes,) float64: probability that a stationary walker is in the node now and `time` steps later.

    Flows between the leaves are F = H^T diag(pi) P^t H, H their indicators (n, leaves): products with vectors, never
    P^t. A node's is the sum of a block of F. For t > 1 those of P, not of its reversible form: rev(P)^t is not
    rev(P^t).
    """
    H = torch.nn.functional.one_hot(torch.from_numpy(leaf_of(tree))).double()
    return node_sums(tree, leaf_flows(tree, walk, walk.expect(H, time)))


def map_equation(tree: PartitionTree, graph: Affinity | None = None, prices: SplitPrices | None = None) -> Pruning:
    """The pruning whose nested codebooks describe a step of the walk in the fewest bits.

    Equation `eq-stop-nested` of the book.

        L = sum over kept splits of   plogp(q + sum_c q_c) - plogp(q) - sum_c plogp(q_c)
          + sum over segments of      plogp(q + p) - plogp(q) - sum over patches of plogp(p_a)

    with p the share of time in a node, q the rate at which it is left (and entered, at stationarity), q_c those of its
    sides and plogp(x) = x log2 x: every kept split is an index codebook, every segment a codebook of its patches, each
    with a word for "leave" (Rosvall & Bergstrom 2011). The last sum is the same for every pruning.

    Score: bits a step saved against one codebook for the whole picture.
    """
    segment, split = codebooks(tree, np.maximum(tree.volume - tree.association, 0))
    leaves, score = best_pruning(tree, -segment, -split)
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


def region_map(tree: PartitionTree, graph: Affinity | None = None, prices: SplitPrices | None = None) -> Pruning:
    """The map equation, region by region: does a split shorten the description of the walk inside its region?

    Equation `eq-stop-map` of the book.

    The region's own chain, the one that was cut, with sides of shares v and 1 - v and a flow f each way between them,
    costs one codebook less than two, and an index, by

        saved = -2 f - plogp(v + f) - plogp(1 - v + f) + 2 plogp(f)                      bits a step

    (the two-level map equation of Rosvall & Bergstrom 2008, for two modules). Equal sides save bits below an
    NCut of about 0.41. Unlike in `map_equation`, the levels above a region do not speak in it.

    Score: the sum over kept splits of saved times the share of flow inside the region.
    """
    inside, saved = tree.association, np.zeros(len(tree))
    nodes = np.flatnonzero(inside * (tree.left >= 0) > 0)
    whole, a, b = inside[nodes], inside[tree.left[nodes]], inside[tree.right[nodes]]
    flow = np.maximum(whole - a - b, 0) / 2 / whole
    v = a / whole + flow
    saved[nodes] = -2 * flow - plogp(v + flow) - plogp(1 - v + flow) + 2 * plogp(flow)
    leaves, score = best_pruning(tree, np.zeros(len(tree)), saved * inside)
    return Pruning("region-map", leaves, score=score)


def plogp(x: np.ndarray) -> np.ndarray:
    """x log2 x, and 0 at 0."""
    return x * np.log2(np.where(x > 0, x, 1.0))

"""What `exercise_table` holds of chapters 6 to 9, of chapter 10, and of the pages that go further."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.linalg import eigh
from scipy.optimize import linear_sum_assignment

from walkcut.exercises import toy, triangles


def rows(T: np.ndarray) -> np.ndarray:
    return T / T.sum(-1, keepdims=True)


def drawn(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).random(shape).round(3)


def grouped(seed: int, groups: int) -> np.ndarray:
    """Groups of four nodes with faint ties between them; every weight its own."""
    W = (np.kron(np.eye(groups), np.ones((4, 4))) + 0.15) * drawn(seed, 4 * groups, 4 * groups)
    return W + W.T


def law(P: np.ndarray) -> np.ndarray:
    equations = P.T - np.eye(len(P))
    equations[-1] = 1
    return np.linalg.solve(equations, np.eye(len(P))[-1])


def half(T: np.ndarray) -> np.ndarray:
    return (T + T.T) / 2


GRAPHS = {
    "two triangles and a bridge": toy(),
    "a toy whose bridge is thin": toy(1e-3),
    "eight random nodes": grouped(20, 2),
    "twelve random nodes": grouped(21, 3),
}
WALKS = {
    "the twisted toy": rows(toy(twist=0.5)),
    "a toy whose bridge is hardly ever crossed": rows(toy(1e-3, 0.5)),
    "a random walk": rows(drawn(26, 6, 6) ** 3),
}

# ---------------------------------------------------------------------------------------------------------------------
# Chapter 6


def flow(P: np.ndarray, T: np.ndarray) -> np.ndarray:
    return law(P)[:, None] * T


REVERSIBLE = {
    "": lambda P, T: half(flow(P, T)),
    "This is the plain average of T and its transpose: row i weighs pi_i.": lambda P, T: half(T),
    "This is the flow of T: take the mean of it and its transpose.": flow,
    "The flow and its transpose were added: take half of the sum.": lambda P, T: 2 * half(flow(P, T)),
    "pi weighs the columns: it belongs to where a step begins.": lambda P, T: half(law(P) * T),
    "This is the walk of the graph, whose rows sum to one: the graph's sum to pi.": lambda P, T: rows(half(flow(P, T))),
}


def lowrank(F: np.ndarray, order: np.ndarray) -> tuple[np.ndarray, ...]:
    """The cut of each prefix, and both volumes."""
    s, side = F.sum(0), F[order].cumsum(0)[:-1]
    return (side * (s - side)).sum(1), side @ s, (s - side) @ s


def inside(F: np.ndarray, order: np.ndarray) -> np.ndarray:
    severed, one, two = lowrank(F, order)
    return severed / (one - severed) + severed / (two - severed)


LOWRANK = {
    "": lambda F, order: lowrank(F, order)[0] * (1 / lowrank(F, order)[1] + 1 / lowrank(F, order)[2]),
    "The nodes stand in their own order: add up their rows in the order that is given.": lambda F, order: LOWRANK[""](
        F, np.arange(len(F))
    ),
    "This is the weight of the cut alone: divide it by the volume of each side.": lambda F, order: lowrank(F, order)[0],
    "This is the escape from the prefix alone: add that of the other side.": lambda F, order: np.divide(
        *lowrank(F, order)[:2]
    ),
    "You divide by the weight inside each side: a volume is <s_S, s>, with all that leaves.": inside,
    "These are sizes, not volumes: divide by <s_S, s>.": lambda F, order: (
        lowrank(F, order)[0] * (1 / np.arange(1, len(F)) + 1 / np.arange(len(F) - 1, 0, -1))
    ),
}


def entropy(P: np.ndarray) -> np.ndarray:
    return -(P * np.log(np.where(P > 0, P, 1))).sum(-1)


DIVERGENCE = {
    "": lambda P, p: entropy((P + p) / 2) - (entropy(P) + entropy(p)) / 2,
    "This is in bits: take the natural logarithm.": lambda P, p: DIVERGENCE[""](P, p) / np.log(2),
    "This is its root, which is a distance: the divergence itself is asked for.": lambda P, p: np.sqrt(
        np.abs(DIVERGENCE[""](P, p))
    ),
    "Both entropies were taken off whole: take off their mean.": lambda P, p: (
        entropy((P + p) / 2) - entropy(P) - entropy(p)
    ),
    "The laws were added, not averaged: their mean is a law, their sum is none.": lambda P, p: (
        entropy(P + p) - (entropy(P) + entropy(p)) / 2
    ),
    "Its sign is turned: the mean of two laws has the larger entropy.": lambda P, p: -DIVERGENCE[""](P, p),
}
LAWS = np.array([[0.5, 0.25, 0.25, 0], [0, 0, 0.5, 0.5], [0.1, 0.2, 0.3, 0.4]])

# ---------------------------------------------------------------------------------------------------------------------
# Chapter 7


def met(P: np.ndarray, seeds: np.ndarray, all_of: Any = np.linalg.solve, sign: float = 1) -> np.ndarray:
    """Where walkers end; seeds may have several columns, and -1 says that there is none."""
    free, found = (seeds < 0).reshape(len(seeds), -1).any(1), seeds.astype(float)
    found[free] = sign * all_of(np.eye(sum(free)) - P[free][:, free], P[free][:, ~free] @ seeds[~free])
    return found


def to_the_end(P: np.ndarray, seeds: np.ndarray) -> np.ndarray:
    return np.linalg.matrix_power((P + np.eye(len(P))) / 2, 4000) @ np.maximum(seeds, 0)


ENDS_AT = {
    "": met,
    "This is one step: whoever meets no seed goes on.": lambda P, s: met(P, s, lambda A, b: b),
    "These are two steps: a walker goes on until it meets a seed.": lambda P, s: met(P, s, lambda A, b: 2 * b - A @ b),
    "The sign is turned: the mean of what neighbours have is asked for.": lambda P, s: met(P, s, sign=-1),
    "Walkers pass through seeds and forget: they are to stop at the first.": to_the_end,
    "Seeds keep their own value: only where they are NaN is something to be found.": lambda P, s: np.where(
        s < 0, met(P, s), 0
    ),
}


def hot(seeds: np.ndarray) -> np.ndarray:
    return np.where(seeds[:, None] < 0, -1, np.eye(seeds.max() + 1)[seeds])


FIRST_MET = {
    "": lambda W, seeds: met(rows(W), hot(seeds)),
    "This is one step: whoever meets no seed goes on.": lambda W, seeds: met(rows(W), hot(seeds), lambda A, b: b),
    "All edges weigh alike here: divide W by its degrees.": lambda W, seeds: met(rows(1.0 * (W > 0)), hot(seeds)),
    "These are answers, not shares: do not round.": lambda W, seeds: np.eye(seeds.max() + 1)[
        met(rows(W), hot(seeds)).argmax(1)
    ],
    "The sign is turned: L m = 0 has the seeds on its other side.": lambda W, seeds: met(rows(W), hot(seeds), sign=-1),
}
EDGE = np.diag([1, 1, 0.25, 1], 1)
ROW = rows(EDGE + EDGE.T + np.diag([1, 0, 0, 0, 1]))
LATTICE = np.kron(np.eye(3), np.diag([1, 1], 1)) + np.diag(np.ones(6), 3)

# ---------------------------------------------------------------------------------------------------------------------
# Chapter 8


def matched(
    pictures: np.ndarray, classes: float, fair: bool, greedy: bool = False, voids: bool = False, each: bool = False,
    absent: bool = False,
) -> np.ndarray:  # fmt: skip
    """The mIoU and the accuracy of all pictures, or their means over each."""
    if each:
        return np.mean([matched(one[None], classes, fair) for one in pictures], 0)
    counts = np.zeros((3, int(classes)))
    for truth, clusters in pictures:
        N = np.zeros((int(classes), max(int(classes), clusters.max() + 1)), int)
        told = truth >= (-np.inf if voids else 0)
        np.add.at(N, (np.maximum(truth[told], 0), clusters[told]), 1)
        pairs = (np.arange(len(N)), N.argmax(1)) if greedy else linear_sum_assignment(N, maximize=True)
        for b, c in zip(*pairs, strict=True):
            wrong = N[:, c].sum() - N[b, c] if N[b, c] or not fair else 0
            counts[:, b] += N[b, c], wrong, N[b].sum() - N[b, c]
    union = counts.sum(0)
    iou = counts[0] / np.maximum(union, 1)
    return np.array([iou.mean() if absent else iou[union > 0].mean(), counts[0].sum() / counts[[0, 2]].sum()])


MIOU = {
    "": matched,
    "The matchings have changed places: the fair one drops pairs that share no pixel.": lambda pics, classes, fair: (
        matched(pics, classes, not fair)
    ),
    "This is the mean over pictures: add up all counts first, and divide last.": lambda *given: matched(
        *given, each=True
    ),
    "Classes that are nowhere count as 0: leave them out of the mean.": lambda *given: matched(*given, absent=True),
    "One cluster was given to several classes: each is given once, by linear_sum_assignment.": lambda *given: matched(
        *given, greedy=True
    ),
    "Pixels of class -1 have no class, and are not counted.": lambda *given: matched(*given, voids=True),
}


def labelled(seed: int, low: int, classes: int, clusters: int) -> np.ndarray:
    """Three pictures of 4 x 5, a truth and an answer each."""
    rng = np.random.default_rng(seed)
    truth, noise = rng.integers(low, classes, (3, 4, 5)), rng.integers(0, clusters, (3, 4, 5))
    return np.stack([truth, np.where(rng.random((3, 4, 5)) < 0.5, np.maximum(truth, 0), noise)], 1)


def of_counts(*tables: list[list[int]]) -> np.ndarray:
    """Pictures in a row whose pixels by class and cluster are told."""
    places = [np.repeat(list(np.ndindex(np.shape(one))), np.ravel(one), axis=0) for one in tables]
    return np.array([pair.T[:, None] for pair in places])


# ---------------------------------------------------------------------------------------------------------------------
# Chapter 9


def price(W: np.ndarray, S: np.ndarray) -> float:
    return W[S][:, ~S].sum() * (1 / W[S].sum() + 1 / W[~S].sum())


def cheapest(W: np.ndarray, which: int = 1, by: Any = None, valued: Callable[..., float] = price) -> np.ndarray:
    """The eigenvalue, the best price of a prefix, and who stands on the other side than node 0."""
    d, n = W.sum(1), len(W)
    values, Y = eigh(np.diag(d) - W, np.diag(d))
    order = np.argsort(Y[:, which] if by is None else by(W, Y[:, which]), kind="stable")
    sides = [np.isin(np.arange(n), order[:size]) for size in range(1, n)]
    best = min(sides, key=lambda S: valued(W, S))
    return np.r_[values[which], valued(W, best), best != best[0]]


CHEAPEST = {
    "": cheapest,
    "This is lambda_1 = 0 and its constant vector: take the second smallest.": lambda W: cheapest(
        W, 0, lambda W, y: np.arange(len(W))
    ),
    "This is lambda_3 and its vector: count from lambda_1 = 0.": lambda W: cheapest(W, 2),
    "The vector's signs alone parted the nodes: try all prefixes of its order.": lambda W: (
        lambda S, found: np.r_[found[0], price(W, S), S[0] != S]
    )(eigh(np.diag(W.sum(1)) - W, np.diag(W.sum(1)))[1][:, 1] > 0, cheapest(W)),
    "The nodes were not sorted by the eigenvector.": lambda W: cheapest(W, 1, lambda W, y: np.arange(len(W))),
    "Prices are divided by sizes: divide by volumes.": lambda W: cheapest(
        W, valued=lambda W, S: W[S][:, ~S].sum() * (1 / S.sum() + 1 / (~S).sum())
    ),
}
UNEVEN = np.diag(drawn(5, 7) + 0.05, 1)  # a path, its nodes in no order, that is best cut away from y = 0
UNEVEN = (UNEVEN + UNEVEN.T)[np.ix_(*2 * [np.random.default_rng(5).permutation(8)])] + 0.01

# ---------------------------------------------------------------------------------------------------------------------
# Chapter 10


def ended(seconds: np.ndarray, workers: tuple[int, ...], room: float, ordered: bool = True) -> float:
    """When the last picture has left the last stage, picture by picture."""
    n, m = seconds.shape
    leave = np.zeros((n, m + 1))  # of stage i, in column i + 1
    for k in range(n):
        for i in range(m):
            start = max(leave[k, i], leave[k - workers[i], i + 1] if k >= workers[i] else 0)
            ahead = k - room - workers[i + 1] if i + 1 < m else -1
            waits = [leave[k - 1, i + 1]] if k and ordered else []
            waits += [leave[int(ahead), i + 2]] if ahead >= 0 else []
            leave[k, i + 1] = max(start + seconds[k, i], *waits, 0)
    return leave[:, m].max()


END = {
    "": ended,
    "The pictures go through one after another: stages work at the same time.": lambda seconds, *_: seconds.sum(),
    "Each stage has one worker here: a picture waits for the first that is free.": lambda seconds, workers, room: ended(
        seconds, (1,) * len(workers), room
    ),
    "A picture leaves though no place is free: it waits until there is room.": lambda seconds, workers, room: ended(
        seconds, workers, np.inf
    ),
    "Pictures overtake one another: none leaves a stage before the one that came first.": lambda *given: ended(
        *given, ordered=False
    ),
    "This is n over the rate of the slowest stage: the first picture passes them all.": lambda seconds, workers, room: (
        len(seconds) / (np.array(workers) / seconds.mean(0)).min()
    ),
}

# ---------------------------------------------------------------------------------------------------------------------
# Many sides at once


def functions(W: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues rho of the walk on W, largest first; functions, one a column."""
    values, Y = eigh(np.diag(W.sum(1)) - W, np.diag(W.sum(1)))
    return 1 - values, Y


def sums(W: np.ndarray, labels: np.ndarray, first: int = 0, whole: bool = False, mean: bool = False) -> np.ndarray:
    sides, kept, roots = [labels == c for c in np.unique(labels)], [], []
    for S in sides:
        part = W[S][:, S]
        kept.append(part.sum() / W[S].sum())
        roots.append(eigh(part, np.diag((part if whole else W[S]).sum(1)), eigvals_only=True)[-1])
    C = len(sides)
    return np.array([sum(kept), sum(roots), functions(W)[0][first : C + first].sum()]) / (C if mean else 1)


SUMS = {
    "": sums,
    "These are means: add up over the segments.": lambda *given: sums(*given, mean=True),
    "Each region has its own degrees here, and keeps all: divide by those of the whole walk.": lambda *given: sums(
        *given, whole=True
    ),
    "The eigenvalues begin with rho_2: rho_1 = 1 is one of them.": lambda *given: sums(*given, first=1),
    "These are escapes and lambda: 1 minus each is asked for.": lambda W, labels: labels.max() + 1 - sums(W, labels),
}


def pivots(Y: np.ndarray, count: int) -> list[int]:
    rest, found = Y.copy(), []
    for _ in range(count):
        found.append(int((rest**2).sum(1).argmax()))
        q = rest[found[-1]] / np.linalg.norm(rest[found[-1]])
        rest -= np.outer(rest @ q, q)
    return found


def corners(Y: np.ndarray) -> list[int]:
    first = int(((Y - Y.mean(0)) ** 2).sum(1).argmax())
    return [first, *pivots(Y - Y[first], Y.shape[1] - 1)]


MEMBERSHIPS = {
    "": lambda Y: Y @ np.linalg.inv(Y[corners(Y)]),
    "The corners were picked from the origin: move the row farthest out there first.": lambda Y: (
        Y @ np.linalg.inv(Y[pivots(Y, Y.shape[1])])
    ),
    "The inverse is transposed: m = Y inv(Y at the corners).": lambda Y: Y @ np.linalg.inv(Y[corners(Y)]).T,
    "These are answers, not memberships: do not round.": lambda Y: np.eye(Y.shape[1])[
        (Y @ np.linalg.inv(Y[corners(Y)])).argmax(1)
    ],
    "Negative memberships were cut off: they belong to rows outside of the simplex.": lambda Y: np.maximum(
        Y @ np.linalg.inv(Y[corners(Y)]), 0
    ),
}


def squared_up(Y: np.ndarray) -> np.ndarray:
    """The rows in the axes of the picked ones, made orthogonal."""
    U, _, V = np.linalg.svd(Y[pivots(Y, Y.shape[1])].T)
    return Y @ U @ V


BY_QR = {
    "": lambda Y: np.abs(squared_up(Y)).argmax(1),
    "The axes are those of the eigenvectors: turn them to the picked rows first.": lambda Y: np.abs(Y).argmax(1),
    "A row may point against its axis: compare lengths, not signed entries.": lambda Y: (-squared_up(Y)).argmax(1),
    "Each patch joined the picked row that is nearest: it joins the axis on which it is longest.": lambda Y: (
        np.linalg.norm(Y[:, None] - Y[pivots(Y, Y.shape[1])], axis=2).argmin(1)
    ),
    "The first rows were taken for the longest: pick by what is left at right angles.": lambda Y: np.abs(
        Y @ np.linalg.inv(Y[: Y.shape[1]] + 1e-6 * np.eye(Y.shape[1]))
    ).argmax(1),
}

# ---------------------------------------------------------------------------------------------------------------------
# How long a walker takes


def hits(W: np.ndarray) -> np.ndarray:
    """Column by column: one step, and on from there."""
    P, n, found = rows(W), len(W), np.zeros((len(W),) * 2)
    for j in range(n):
        free = np.arange(n) != j
        found[free, j] = np.linalg.solve(np.eye(n - 1) - P[free][:, free], np.ones(n - 1))
    return found


def share(W: np.ndarray) -> np.ndarray:
    return W.sum(1) / W.sum()


HITTING = {
    "": hits,
    "Start and goal have changed places: entry i, j is from i to j.": lambda W: hits(W).T,
    "These are the steps there and back: one way is asked for.": lambda W: hits(W) + hits(W).T,
    "Divide by pi_j, of the goal: these are not divided.": lambda W: hits(W) * share(W),
    "You divide by pi_i, of the start: divide by that of the goal.": lambda W: hits(W) * share(W) / share(W)[:, None],
    "On the diagonal are returns: whoever starts at j has met it, after 0 steps.": lambda W: (
        hits(W) + np.diag(1 / share(W))
    ),
}


def apart(W: np.ndarray, k: float, weight: float = 0.5, add: Any = lambda one: np.sqrt((one**2).sum(2))) -> np.ndarray:
    walked = np.linalg.matrix_power(rows(W), int(k)) / share(W) ** weight
    return add(walked[:, None] - walked)


FAR = {
    "": apart,
    "These are squares: take the root.": lambda W, k: apart(W, k) ** 2,
    "The squares are not divided by pi_n: where few walkers come, a difference counts more.": lambda W, k: apart(
        W, k, 0
    ),
    "You divide by pi_n before the square: the square is divided by pi_n.": lambda W, k: apart(W, k, 1),
    "You divide by degrees that do not sum to one: pi_n is a degree over the volume.": lambda W, k: (
        apart(W, k) / W.sum() ** 0.5
    ),
    "This is after one step: k steps are asked for.": lambda W, k: apart(W, 1),
    "This is after k + 1 steps: one too many.": lambda W, k: apart(W, k + 1),
    "These are absolute differences, added: take the root of the sum of squares.": lambda W, k: apart(
        W, k, 0, lambda one: np.abs(one).sum(2)
    ),
}


def guess(columns: np.ndarray, sample: np.ndarray, d: np.ndarray, which: int = -2, ends: float = 1) -> np.ndarray:
    x = eigh(columns @ np.linalg.pinv(columns[sample], rcond=1e-3) @ columns.T / np.sqrt(np.outer(d, d)))[1][:, which]
    return x / d ** (ends / 2)


NYSTROM = {
    "": guess,
    "This is x: y is D^-1/2 x.": lambda *given: guess(*given, ends=0),
    "D^-1/2 was applied once too often.": lambda *given: guess(*given, ends=2),
    "This is the vector of lambda_1 = 0: take the second.": lambda *given: guess(*given, which=-1),
    "This is the vector of lambda_3: take the second.": lambda *given: guess(*given, which=-3),
    "No degrees came in: divide row i of the columns by the root of d_i.": lambda columns, sample, d: guess(
        columns, sample, np.ones(len(d))
    ),
}


def sampled(seed: int, n: int, sample: list[int]) -> tuple[np.ndarray, ...]:
    """Columns of a table that as many features make as patches are looked at: nothing is lost."""
    F = drawn(seed, n, len(sample)) ** 2
    return (F @ F.T)[:, sample], np.array(sample), F @ F.sum(0)


# ---------------------------------------------------------------------------------------------------------------------
# Walks that circle


def reversed_film(P: np.ndarray) -> np.ndarray:
    return P.T * law(P) / law(P)[:, None]


def stacked(P: np.ndarray, back: np.ndarray, order: int = 1) -> np.ndarray:
    return np.vstack([law(P), back, (P + back) / 2, (back @ P)[:, :] if order > 0 else P @ back])


FORMS = {
    "": lambda P: stacked(P, reversed_film(P)),
    "The film backwards is not P^T: entry i, j weighs pi_j over pi_i.": lambda P: stacked(P, P.T),
    "pi_i and pi_j have changed places in the film backwards.": lambda P: stacked(P, P.T * law(P)[:, None] / law(P)),
    "The multiplicative form goes backwards first, then forwards: P^ P, not P P^.": lambda P: stacked(
        P, reversed_film(P), -1
    ),
}


def weighted(P: np.ndarray, mu: np.ndarray, S: np.ndarray, ends: tuple[float, float] = (1, 1)) -> float:
    F = mu[:, None] * P
    return ends[0] * F[S][:, ~S].sum() / mu[S].sum() + ends[1] * F[~S][:, S].sum() / mu[~S].sum()


WCUT = {
    "": weighted,
    "This is NCut, by the stationary law: walkers are dropped by mu.": lambda P, mu, S: weighted(P, law(P), S),
    "Walkers are dropped evenly here: row i weighs mu_i.": lambda P, mu, S: weighted(P, np.full(len(P), 1 / len(P)), S),
    "This is the escape from S alone: add that of the other side.": lambda *given: weighted(*given, (1, 0)),
    "This is the escape from the other side alone: add that of S.": lambda *given: weighted(*given, (0, 1)),
    "You divide by sizes: divide by mu(S) and mu(S').": lambda P, mu, S: (
        (mu[:, None] * P)[S][:, ~S].sum() / S.sum() + (mu[:, None] * P)[~S][:, S].sum() / (~S).sum()
    ),
    "What leaves S was taken for what comes back, too: under another law they differ.": lambda P, mu, S: (
        (mu[:, None] * P)[S][:, ~S].sum() * (1 / mu[S].sum() + 1 / mu[~S].sum())
    ),
}


def lowest(P: np.ndarray, mu: np.ndarray, which: int = 0, ends: float = 1, sided: bool = False) -> np.ndarray:
    """The value and the vector of the relaxed weighted cut, its largest entry turned upwards and made 1."""
    root = np.sqrt(mu)
    X = np.linalg.svd(root[None])[2][1:].T  # all that is at right angles to the constant
    half_of = half(root[:, None] * (np.eye(len(P)) - (P.T if sided else P)) / root)
    values, turned = np.linalg.eigh(X.T @ half_of @ X)
    y = X @ turned[:, which] / root**ends
    return np.r_[values[which], y / y[np.abs(y).argmax()]]


RELAXED = {
    "": lowest,
    "This is x: y is x over the root of mu.": lambda P, mu: lowest(P, mu, ends=0),
    "This is the largest R_mu: the smallest is asked for.": lambda P, mu: lowest(P, mu, -1),
    "This is the second smallest R_mu of those with mean 0 under mu: take the smallest.": lambda P, mu: lowest(
        P, mu, 1
    ),
    "These walkers start by the stationary law: they are dropped by mu.": lambda P, mu: lowest(P, law(P)),
    "These walkers are dropped evenly: they are dropped by mu.": lambda P, mu: lowest(P, np.full(len(P), 1 / len(P))),
}
FIRST = np.arange(6) < 3
SOME = np.array([0.3, 0.1, 0.1, 0.2, 0.1, 0.2])

CASES = {
    "reversible": {
        f"{name}, {k} steps": (WALKS[name], np.linalg.matrix_power(WALKS[name], k))
        for name in ("the twisted toy", "a random walk")  # of which 1,000 steps forget the start
        for k in (1, 4)
    },
    "lowrank_sweep": {
        f"{n} nodes with {r} features": (drawn(n, n, r), np.random.default_rng(n).permutation(n))
        for n, r in ((4, 2), (6, 3), (9, 2))
    },
    "divergence": {
        "three laws, with zeros": (LAWS, LAWS[0]),
        "six laws": (rows(drawn(23, 6, 5)), rows(drawn(24, 5))),
    },
    "ends_at": {
        "five pixels with an edge": (ROW, np.array([0, -1, -1, -1, 1.0])),
        "the toy, from end to end": (rows(toy()), np.array([0, -1, -1, -1, -1, 1.0])),
        "eight nodes with three seeds": (rows(grouped(25, 2)), np.array([-1, 0.5, -1, -1, 1, -1, 0.25, -1])),
    },
    "first_met": {
        "the toy, from end to end": (toy(), np.array([0, -1, -1, -1, -1, 1])),
        "a lattice of nine pixels": (
            (LATTICE + LATTICE.T) * (half(drawn(27, 9, 9)) + 0.1),
            np.array([0, *[-1] * 6, 1, 2]),
        ),
    },
    "miou": {
        f"{name}, {'fair' if fair else 'the field'}": (pictures, classes, fair)
        for name, pictures, classes in (
            ("the two pictures of the chapter", of_counts([[7, 4, 1]], [[8, 1], [0, 3]]), 3.0),
            ("three pictures", labelled(30, -1, 3, 3), 4.0),
            ("cut too finely", labelled(31, -1, 3, 6), 4.0),
            ("all classes", labelled(32, -1, 4, 4), 4.0),
        )
        for fair in (True, False)
    },
    "cheapest": {name: (W,) for name, W in (GRAPHS | {"an uneven path": UNEVEN}).items()},
    "end": {
        "the toy, one cutter": (np.tile([1.0, 2, 3], (4, 1)), (1, 1, 1), 1.0),
        "the toy, two cutters": (np.tile([1.0, 2, 3], (4, 1)), (1, 1, 2), 1.0),
        "no places to wait": (drawn(0, 12, 3) ** 3, (3, 2, 1), 0.0),
        "a place, and times that vary": (drawn(1, 12, 3) ** 3, (2, 1, 3), 1.0),
    },
    "sums": {
        "two triangles and a bridge": (toy(), np.repeat([0, 1], 3)),
        "three triangles in a ring": (triangles(), np.repeat([0, 1, 2], 3)),
        "twelve random nodes": (grouped(21, 3), np.repeat([0, 1, 2], 4)),
    },
    "memberships": {
        "twelve nodes whose corners are hidden": (functions(grouped(8, 3))[1][:, :3],),
        "two triangles and a bridge": (functions(toy())[1][:, :2],),
        "three triangles in a ring": (functions(triangles(1.2))[1][:, :3],),
        "twelve random nodes": (functions(grouped(21, 3))[1][:, :3],),
    },
    "by_qr": {
        "two triangles and a bridge": (functions(toy())[1][:, :2],),
        "three triangles in a ring": (functions(triangles(1.2))[1][:, :3],),
        "sixteen random nodes": (functions(grouped(977, 4))[1][:, :4],),
        "twelve nodes whose corners are hidden": (functions(grouped(8, 3))[1][:, :3],),
    },
    "hitting": {name: (W,) for name, W in GRAPHS.items()},
    "far": {
        f"{name}, k = {k}": (GRAPHS[name], float(k))
        for name in ("two triangles and a bridge", "eight random nodes")
        for k in (2, 5)
    },
    "nystrom": {f"{n} nodes": sampled(n, n, sample) for n, sample in ((6, [0, 2, 5]), (9, [1, 3, 4, 8]))},
    "forms": {name: (P,) for name, P in WALKS.items()},
    "relaxed": {f"{name}, some law": (P, SOME) for name, P in WALKS.items()},
    "wcut": {
        f"{name}, {how}": (P, mu, FIRST)
        for name, P in WALKS.items()
        for how, mu in (("some law", SOME), ("dropped mostly on node 1", rows(SOME + 9 * (np.arange(6) == 1))))
    },
}
ANSWERS: dict[str, dict[str, Callable[..., Any]]] = {
    "reversible": REVERSIBLE, "lowrank_sweep": LOWRANK, "divergence": DIVERGENCE, "ends_at": ENDS_AT,
    "first_met": FIRST_MET, "miou": MIOU, "cheapest": CHEAPEST, "end": END, "sums": SUMS, "memberships": MEMBERSHIPS,
    "by_qr": BY_QR, "relaxed": RELAXED,
    "hitting": HITTING, "far": FAR, "nystrom": NYSTROM, "forms": FORMS, "wcut": WCUT,
}  # fmt: skip
ASKED: dict[str, Callable[..., Callable]] = {  # what a check asks of a function, answered by one of the table
    "ends_at": lambda known: lambda P, seeds: known(P, np.nan_to_num(seeds, nan=-1)),
    "first_met": lambda known: lambda W, seeds: known(W.toarray(), seeds),
    "miou": lambda known: lambda pairs, classes, fair: known(np.array(pairs), classes, fair),
    "cheapest": lambda known: lambda W: (*known(W)[:2], known(W)[2:] > 0),
    "relaxed": lambda known: lambda P, mu: (known(P, mu)[0], -3 * known(P, mu)[1:]),
    "forms": lambda known: lambda P: (known(P)[0], *np.split(known(P)[1:], 3)),
}

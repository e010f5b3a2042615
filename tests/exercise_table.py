"""The answers, right and wrong, that `walkcut.exercises` knows: `python tests/exercise_table.py` writes them anew.

The module holds numbers alone, so that nobody finds a solution there. Each question has its cases, the right function
under "", and functions with a usual mistake, each under the sentence that says what is wrong.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import exercise_later as later
import numpy as np
from scipy.linalg import eigh

import walkcut
from walkcut.exercises import toy

TABLE = Path(walkcut.__file__).with_name("exercises.json")
DIGITS = 8  # of answers, which are compared to four


def rows(T: np.ndarray) -> np.ndarray:
    return T / T.sum(-1, keepdims=True)


def drawn(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).random(shape).round(3)


def grouped(seed: int, groups: int, loops: bool) -> np.ndarray:
    """Groups of four nodes with faint ties between them; every weight its own, with or without loops."""
    W = (np.kron(np.eye(groups), np.ones((4, 4))) + 0.15) * drawn(seed, 4 * groups, 4 * groups)
    return (W + W.T) * (1 - (not loops) * np.eye(len(W)))


# ---------------------------------------------------------------------------------------------------------------------
# Chapter 1


def softmax(s: np.ndarray, axis: int = -1) -> np.ndarray:
    e = np.exp(s - s.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


def scores(M_Q: np.ndarray, M_K: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    """Of heads that ask in two numbers each: (heads, N, N)."""
    q, k = (np.stack(np.split(hidden @ M, len(M[0]) // 2, axis=1)) for M in (M_Q, M_K))
    return q @ np.swapaxes(k, 1, 2)


def seen(heads: int, scale: float) -> tuple[np.ndarray, ...]:
    return (*(scale * (drawn(heads, 2, 3, 2 * heads) - 0.5)), drawn(heads + 9, 5, 3))


def entropies(A: np.ndarray) -> np.ndarray:
    return -(A * np.log(np.where(A > 0, A, 1))).sum(1)


LOOKS = np.array([[0.5, 0.25, 0.25], [0.3, 0.3, 0.4], [0.0, 0.1, 0.9]])

HEADS_OF = {
    "": lambda *given: softmax(scores(*given) / 2**0.5),
    "The scores are not divided by the root of d, the numbers of one head.": lambda *given: softmax(scores(*given)),
    "The scores are divided by d: by its root is asked for.": lambda *given: softmax(scores(*given) / 2),
    "They are divided by the root of all heads' numbers: take those of one head.": lambda *given: softmax(
        scores(*given) / len(given[0][0]) ** 0.5
    ),
    "Columns sum to one, not rows: take the softmax along the last axis, over j.": lambda *given: softmax(
        scores(*given) / 2**0.5, -2
    ),
    "Queries and keys have changed places: row i is what the query of i finds.": lambda *given: softmax(
        np.swapaxes(scores(*given), 1, 2) / 2**0.5
    ),
    "These are scores: exponentiate them, and divide each row by its sum.": lambda *given: scores(*given) / 2**0.5,
}
HELD = {
    "": lambda A, S: A[S][:, S].sum(1).mean(),
    "This is the mean of the entries: add up each row, and take the mean of the sums.": lambda A, S: A[S][:, S].mean(),
    "The sum is divided by all patches: divide it by those inside.": lambda A, S: A[S][:, S].sum() / len(A),
    "These are looks from everywhere: take those from inside alone.": lambda A, S: A[:, S].sum(1).mean(),
    "Looks from outside are in, too: take those from inside alone.": lambda A, S: A[:, S].sum() / S.sum(),
    "This is what leaves: one minus what is asked for.": lambda A, S: A[S][:, ~S].sum(1).mean(),
}
LOOKED_AT = {
    "": lambda A: np.exp(entropies(A)).mean() / len(A),
    "This is the entropy: take its exponential, and divide by the number of patches.": lambda A: entropies(A).mean(),
    "The exponential is not divided by the number of patches.": lambda A: np.exp(entropies(A)).mean(),
    "The mean of the entropies was exponentiated: take the mean at the end.": lambda A: (
        np.exp(entropies(A).mean()) / len(A)
    ),
    "Entropies in bits want powers of two: take ln with exp.": lambda A: (
        np.exp(entropies(A) / np.log(2)).mean() / len(A)
    ),
    "The minus before the sum is missing.": lambda A: np.exp(-entropies(A)).mean() / len(A),
}

# ---------------------------------------------------------------------------------------------------------------------
# Chapter 2

WALKS = {
    "the twisted toy": (rows(toy(twist=0.5)),),
    "two nodes that swap nearly always": (np.array([[0.05, 0.95], [0.9, 0.1]]),),
    "a toy whose bridge is hardly ever crossed": (rows(toy(1e-6, 0.5)),),
    "a random walk": (rows(drawn(6, 6, 6) ** 3),),
}


def law(P: np.ndarray) -> np.ndarray:
    """By elimination: the last equation gives way to a sum of one."""
    equations = P.T - np.eye(len(P))
    equations[-1] = 1
    return np.linalg.solve(equations, np.eye(len(P))[-1])


def unpaid(flow: np.ndarray) -> float:
    return np.abs(flow - flow.T).sum() / 2


STATIONARY = {
    "": law,
    "P v = v was solved, which any constant does: take P^T.": lambda P: np.full(len(P), 1 / len(P)),
    "This is where walkers are after one step: go on until nothing moves.": lambda P: P.mean(0),
    "An eigenvector of length 1 is no law: divide it by its sum.": lambda P: law(P) / np.linalg.norm(law(P)),
}
UNPAID = {
    "": lambda P: unpaid(law(P)[:, None] * P),
    "Every pair was counted twice: take half of the sum.": lambda P: 2 * unpaid(law(P)[:, None] * P),
    "This compares P, not the flow: row i weighs pi_i.": unpaid,
    "All rows weigh alike: row i of the flow weighs pi_i.": lambda P: unpaid(P / len(P)),
    "pi weighs the columns: it belongs to where a step begins.": lambda P: unpaid(law(P) * P),
}


def steps(
    P: np.ndarray, grid: tuple[int, int], sigma: float, rests: float = 0, again: Any = rows, agree: Any = np.square,
    sums: Any = rows, near: Callable[[np.ndarray, float], np.ndarray] = lambda r, s: np.exp(-(r**2) / (2 * s**2)),
    side: float = 1,
) -> np.ndarray:  # fmt: skip
    """The three steps, each of which may go wrong."""
    y, x = np.indices(grid).reshape(2, -1) / max(grid) ** side
    far = np.hypot(y[:, None] - y, x[:, None] - x)
    moved = again(P * (1 - (1 - rests) * np.eye(len(P))))
    agreed = sums(agree(moved))
    return np.stack([moved, agreed, rows(agreed * near(far, sigma))])


THREE_STEPS = {
    "": steps,
    "Rests are still in: set the diagonal to zero first.": lambda *given: steps(*given, rests=1),
    "Without rests, rows no longer sum to one: divide each by its sum.": lambda *given: steps(*given, again=np.array),
    "These are two steps of one walker: where two agree, each entry is squared.": lambda *given: steps(
        *given, agree=lambda P: P @ P
    ),
    "Where two agree, rows no longer sum to one: divide each by its sum.": lambda *given: steps(*given, sums=np.array),
    "The entries were doubled: where two agree, each is squared.": lambda *given: steps(*given, agree=lambda P: 2 * P),
    "Columns sum to one where two agree: divide each row by its sum.": lambda *given: steps(
        *given, sums=lambda P: P / P.sum(0)
    ),
    "The prior wants the square of the distance.": lambda *given: steps(
        *given, near=lambda r, s: np.exp(-r / (2 * s**2))
    ),
    "The prior divides by 2 sigma^2: the 2 is missing.": lambda *given: steps(
        *given, near=lambda r, s: np.exp(-(r**2) / s**2)
    ),
    "The prior's distances are in patches: divide them by the longer side.": lambda *given: steps(*given, side=0),
}

# ---------------------------------------------------------------------------------------------------------------------
# Chapter 3

GRAPHS = {
    "two triangles and a bridge": toy(),
    "a path": np.eye(6, k=1) + np.eye(6, k=-1),
    "two groups that hardly touch": grouped(5, 2, False) * np.where(np.kron(np.eye(2), np.ones((4, 4))), 1, 1e-5),
    "eight random nodes": grouped(0, 2, False),
    "twelve random nodes with loops": grouped(1, 3, True),
}
STOUT = {name: W for name, W in GRAPHS.items() if name != "a path"} | {"two triangles and a stout bridge": toy(3)}
SIDES = {"0 to 2": lambda n: n < 3, "0 and 1": lambda n: n < 2, "the odd": lambda n: n % 2 > 0}
PARTED = {
    f"{name}, nodes {side} on one side": (W, inside(np.arange(len(W))))
    for name, W in STOUT.items()
    for side, inside in SIDES.items()
}


def relaxed(W: np.ndarray, which: int) -> np.ndarray:
    return eigh(np.diag(W.sum(1)) - W, np.diag(W.sum(1)))[1][:, which]


def root(W: np.ndarray) -> np.ndarray:
    return np.sqrt(W.sum(1))


def cut(W: np.ndarray, S: np.ndarray) -> float:
    return W[S][:, ~S].sum()


def vol(W: np.ndarray, S: np.ndarray) -> float:
    return W[S].sum()


def price(W: np.ndarray, S: np.ndarray, bare: float = 0) -> float:
    volume = vol(W, S) - bare * W.diagonal()[S].sum(), vol(W, ~S) - bare * W.diagonal()[~S].sum()
    return cut(W, S) / volume[0] + cut(W, S) / volume[1]


FIEDLER = {
    "": lambda W: relaxed(W, 1) / relaxed(W, 1)[0],
    "Your vector has the right direction, but D^-1/2 was not applied: that is x, and y = D^-1/2 x.": lambda W: (
        root(W) * relaxed(W, 1)
    ),
    "D^-1/2 was applied once too often: y = D^-1/2 x is enough.": lambda W: relaxed(W, 1) / root(W),
    "This is the constant vector, for lambda_1 = 0: take the next eigenvalue, the second smallest.": lambda W: np.ones(
        len(W)
    ),
    "This is D^1/2 1, for lambda_1 = 0: take the next one, and apply D^-1/2 to it.": root,
    "The wrong end of the spectrum was taken: lambda_2 is the second *smallest*.": lambda W: relaxed(W, -1),
    "The wrong end of the spectrum was taken, and D^-1/2 was not applied.": lambda W: root(W) * relaxed(W, -1),
    "This is the eigenvector of lambda_3: count from lambda_1 = 0.": lambda W: relaxed(W, 2),
    "You solved L y = lambda y: the relaxed problem is L y = lambda D y, with D on the right.": lambda W: eigh(
        np.diag(W.sum(1)) - W
    )[1][:, 1],
    "These are eigenvectors of W itself: take D - W, and D on the right.": lambda W: eigh(W)[1][:, -2],
    "Only the signs came back: return y itself, which the sweep sorts.": lambda W: np.sign(relaxed(W, 1)),
}
NCUT = {
    "": price,
    "Your NCut divides by sizes, not volumes: add up the degrees of each side.": lambda W, S: (
        cut(W, S) / S.sum() + cut(W, S) / (~S).sum()
    ),
    "This is the weight of the cut alone: divide it by the volume of each side.": cut,
    "This is the escape from S alone: add that of the other side.": lambda W, S: cut(W, S) / vol(W, S),
    "This is the escape from the other side alone: add that of S.": lambda W, S: cut(W, S) / vol(W, ~S),
    "This is the conductance, the larger of the two escapes: add them.": lambda W, S: (
        cut(W, S) / min(vol(W, S), vol(W, ~S))
    ),
    "Your NCut counts every severed edge twice: count i in S and j outside, once.": lambda W, S: 2 * price(W, S),
    "Your NCut divides by the weight inside each side: a volume holds severed edges, too.": lambda W, S: (
        cut(W, S) / (vol(W, S) - cut(W, S)) + cut(W, S) / (vol(W, ~S) - cut(W, S))
    ),
    "cut / (vol(S) vol(S')) is NCut only where all degrees sum to 1: here they do not.": lambda W, S: (
        cut(W, S) / (vol(W, S) * vol(W, ~S))
    ),
    "This is 2 - NCut, what stays inside: the escapes are asked for.": lambda W, S: 2 - price(W, S),
    "Your volumes leave out the diagonal of W: it counts once in a degree.": lambda W, S: price(W, S, bare=1),
}


def swept(W: np.ndarray, y: np.ndarray, loops: float = 1, ties: float = 2, late: int = 0) -> np.ndarray:
    """NCut of all prefixes, by the weight within and volumes that may come late."""
    order = np.argsort(y, kind="stable")
    joined = np.tril(W[np.ix_(order, order)], -1).sum(1)
    volumes, within = W.sum(1)[order].cumsum(), (loops * W.diagonal()[order] + ties * joined).cumsum()
    severed, here = volumes[:-1] - within[:-1], np.append(volumes[:-1], volumes[-2])[late:][: len(W) - 1]
    return severed / here + severed / (W.sum() - here)


SWEEP = {
    "": lambda W: swept(W, relaxed(W, 1)),
    "x was sorted: sort y = D^-1/2 x.": lambda W: swept(W, root(W) * relaxed(W, 1)),
    "The nodes stand in their own order: sort them by y.": lambda W: swept(W, np.arange(len(W))),
    "Each tie to those before counts twice within, as W_ij and as W_ji.": lambda W: swept(W, relaxed(W, 1), ties=1),
    "The diagonal is missing from the weight within: W_ii counts once.": lambda W: swept(W, relaxed(W, 1), loops=0),
    "The diagonal counts twice within: W_ii counts once.": lambda W: swept(W, relaxed(W, 1), loops=2),
    "Off by one: each cut is divided by the volumes of the next prefix.": lambda W: swept(W, relaxed(W, 1), late=1),
}

# ---------------------------------------------------------------------------------------------------------------------
# Chapter 5


def flow_of(W: np.ndarray) -> np.ndarray:
    return W / W.sum()


def null(
    flow: np.ndarray, grid: tuple[int, int], rounds: int = 300, by: Callable[..., Any] = lambda y, x: (y, x)
) -> Any:
    """The spatial null of a flow, by loops over displacements or what else `by` makes of them."""
    pi, places, sums = flow.sum(1), list(np.ndindex(*grid)), {}
    moved = [[by(b[0] - a[0], b[1] - a[1]) for b in places] for a in places]
    for i, j in np.ndindex(*flow.shape):
        seen = sums.setdefault(moved[i][j], np.zeros(2))
        seen += flow[i, j], pi[i] * pi[j]
    f = np.array([[np.divide(*sums[one]) for one in row] for row in moved])
    found = np.outer(pi, pi) * f
    for _ in range(rounds):
        c = np.sqrt(pi / found.sum(1))
        found = found * np.outer(c, c)
    return found


NULL = {
    "": null,
    "Its law is not the walk's: rescale until its rows sum to pi.": lambda *given: null(*given, rounds=0),
    "These are distances: opposite directions are alike, but down is not right.": lambda *given: null(
        *given, by=lambda y, x: y * y + x * x
    ),
    "This knows no displacement: pi_i pi_j is a walk without memory.": lambda flow, grid: np.outer(*2 * [flow.sum(1)]),
    "Mirrored displacements are mixed up: down left is not down right.": lambda *given: null(
        *given, by=lambda y, x: (abs(y), abs(x))
    ),
}
# A tree: two sides for each node, -1 for none; and what each of its nodes is worth as a segment.
TREE = [np.array([1, 3, 5, -1, -1, 7, -1, -1, -1]) * 1.0, np.array([2, 4, 6, -1, -1, 8, -1, -1, -1]) * 1.0]


def prunings(left: np.ndarray, right: np.ndarray, node: int = 0) -> Iterator[list[int]]:
    yield [node]
    if left[node] > 0:
        for one in prunings(left, right, int(left[node])):
            for other in prunings(left, right, int(right[node])):
                yield one + other


def greedy(left: np.ndarray, right: np.ndarray, worth: np.ndarray, node: int = 0) -> float:
    sides = [int(side[node]) for side in (left, right)]
    if sides[0] < 0 or worth[sides].sum() <= worth[node]:
        return worth[node]
    return sum(greedy(left, right, worth, side) for side in sides)


def best_side(left: np.ndarray, right: np.ndarray, worth: np.ndarray, node: int = 0) -> float:
    if left[node] < 0:
        return worth[node]
    return max(worth[node], *(best_side(left, right, worth, int(side[node])) for side in (left, right)))


BEST = {
    "": lambda left, right, worth: max(worth[kept].sum() for kept in prunings(left, right)),
    "From the root down, a split that does not pay hides those below it: ask the sides for their best first.": greedy,
    "The sides' best are to be added, not compared with one another.": best_side,
    "This is the worth of the whole: compare it with the best of its sides.": lambda left, right, worth: worth[0],
    "These are all leaves: a node may be worth more than its sides.": lambda left, right, worth: worth[left < 0].sum(),
    "Every node was counted: a pruning holds each patch once.": lambda left, right, worth: worth.sum(),
}

CASES = {
    "heads_of": {"one head": seen(1, 1), "two heads": seen(2, 4), "three heads with huge scores": seen(3, 5000)},
    "held": {
        "three patches": (LOOKS, np.array([True, False, True])),
        "an even look": (np.full((4, 4), 0.25), np.arange(4) > 0),
        "patches that see only themselves": (np.eye(4), np.arange(4) > 1),
    },
    "looked_at": {
        "three patches": (LOOKS,),
        "an even look": (np.full((4, 4), 0.25),),
        "patches that see only themselves": (np.eye(4),),
    },
    "stationary": WALKS,
    "unpaid": WALKS,
    "three_steps": {
        "the toy in a row": (rows(toy(0.5) + 2 * np.eye(6)), (1, 6), 0.3),
        "patches that rest nearly always": (rows(toy() + 1e5 * np.eye(6)), (2, 3), 0.5),
        "a random walk": (rows(drawn(8, 6, 6)), (3, 2), 0.4),
    },
    "fiedler": {name: (W,) for name, W in GRAPHS.items()},
    "ncut": PARTED,
    "sweep": {name: (W,) for name, W in GRAPHS.items()},
    "null": {
        "a corridor": (flow_of(np.eye(5, k=1) + np.eye(5, k=-1)), (1, 5)),
        "the toy": (flow_of(toy()), (2, 3)),
        "random flows": (flow_of(grouped(3, 2, True)[:6, :6]), (3, 2)),
        "patches that rest nearly always": (flow_of(toy() + 1e4 * np.eye(6)), (2, 3)),
    },
    "best": {
        "a tree of five leaves": (*TREE, np.array([5.0, 2, 2, 3, 2, 4, 1, 1, 1])),
        "a tree of which all prunings are worth the same": (*TREE, np.array([5.0, 2, 3, 1, 1, 2, 1, 1, 1])),
        "the same tree, with other worths": (*TREE, drawn(4, 9)),
    },
}
ANSWERS: dict[str, dict[str, Callable[..., Any]]] = {
    "heads_of": HEADS_OF, "held": HELD, "looked_at": LOOKED_AT, "stationary": STATIONARY, "unpaid": UNPAID,
    "three_steps": THREE_STEPS, "fiedler": FIEDLER, "ncut": NCUT, "sweep": SWEEP, "null": NULL, "best": BEST,
}  # fmt: skip

CASES |= later.CASES
ANSWERS |= later.ANSWERS


def plain(one: Any) -> Any:
    """What JSON can hold: whole numbers for a grid, floats or truth values for all else."""
    return np.asarray(one).tolist()


def brief(one: Any) -> Any:
    found = np.asarray(one, float)
    return np.array([float(f"{number:.{DIGITS}g}") for number in found.ravel()]).reshape(found.shape).tolist()


def table() -> dict[str, Any]:
    """For each question its cases, and for each sentence the answers to them."""
    found = {}
    for name, cases in CASES.items():
        answers = {said: [brief(known(*given)) for given in cases.values()] for said, known in ANSWERS[name].items()}
        found[name] = {
            "cases": {case: [plain(one) for one in given] for case, given in cases.items()},
            "answers": answers,
        }
    return found


def text() -> str:
    """A line for each case and for each sentence."""
    lines = []
    for name, part in table().items():
        inner = []
        for kind, found in part.items():
            rows = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in found.items()]
            inner.append(f'"{kind}": {{\n' + ",\n".join(rows) + "\n}")
        lines.append(f'"{name}": {{\n' + ",\n".join(inner) + "\n}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


if __name__ == "__main__":
    TABLE.write_text(text(), encoding="utf-8")

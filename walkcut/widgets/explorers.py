"""The figures that a reader explores, each drawn by the ES module of its name from what Python prepares here.

Walkers on the toy graph and on a picture, cuts, the tree and where criteria prune it, other graphs: as the chapters go.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from matplotlib import colormaps
from scipy.linalg import eigh

from walkcut.capture import AttentionMaps, Grid
from walkcut.criteria import Pruning
from walkcut.errors import InputError
from walkcut.graph import Affinity
from walkcut.lab.criteria import codebooks
from walkcut.lab.graphs import from_rows
from walkcut.ncut import crossing, second_eigenvector
from walkcut.pixels import nearest, without_gaps
from walkcut.segmentation import Segmentation
from walkcut.threads import single_threaded
from walkcut.tree import PartitionTree
from walkcut.walk import Walk
from walkcut.widgets.encode import LEVELS, octets, photo, stretched, viridis, words
from walkcut.widgets.inline import Figure, inline_module

STEPS = (1, 2, 4)  # of the walk, for the slider of `graph_explorer`
REVERSIBLE = "reversible walk"


# ---------------------------------------------------------------------------------------------------------------------
# Walks


def toy_walk(bridge: float = 0.5) -> Figure:
    """Release walkers on six nodes and compare their visits with the stationary law.

    Parameters
    ----------
    bridge : float
        Weight of the edge 2-3, 0 to 2; the other edges weigh 1.
    """
    if not 0 <= bridge <= 2:
        raise InputError(f"The toy walk takes bridge from 0 to 2, not {bridge}.")
    state = {"bridge": float(bridge), "twist": 0.0, "walkers": 60, "seed": 1}
    return inline_module("toy_walk", state, "This figure needs JavaScript: walkers step over the six-node toy graph.")


def attention_explorer(image: np.ndarray, attention: AttentionMaps | Mapping[str, AttentionMaps]) -> Figure:
    """Two patches, chosen by mouse, touch or keyboard, and where their walkers are after k steps, on each grid.

    The page takes the steps itself, 1 to 16 of them; "forever" is the stationary law. The picture is dimmed by the root
    of each patch's share of the largest, or in its place the shares themselves are shown in colours. Where the walk is
    played, one walker from either patch is followed as well.

    Parameters
    ----------
    image : uint8 (H, W, 3)
    attention : AttentionMaps, or mapping of an eye's name to its own
        Each grid's matrix is a walk of its own, and there is a choice among them; of an eye with a name, give one. A
        grid of N patches puts 4/3 N^2 bytes into the page: keep the finest near 32 patches a side.
    """
    eyes = {"": attention} if isinstance(attention, AttentionMaps) else attention
    walks = [
        {"name": eye, **_quantised(seen.maps[grid], grid)}
        for eye, seen in eyes.items()
        for grid in sorted(seen.maps, key=lambda grid: -grid[0] * grid[1])
    ]
    state = {**photo(image, 400), "colours": viridis(), "grids": walks}
    return inline_module("attention", state, "This figure needs JavaScript: see where walkers go from two patches.")


def _quantised(matrix: torch.Tensor, grid: Grid) -> dict:
    """One byte for every probability, the stationary law, and `errors`: see `walkcut.widgets.encode.stretched`."""
    stored, errors = stretched(matrix.cpu().numpy())
    law = Walk(matrix, grid).stationary().law.cpu().numpy()
    return {"shape": grid, **stored, "law": words(LEVELS * law / law.max()), "errors": errors}


# ---------------------------------------------------------------------------------------------------------------------
# Cuts


def cut_explorer(image: np.ndarray, grid: Grid, graph: Affinity) -> Figure:
    """A sorted eigenvector as a curve beside the picture: choose a split by mouse, touch or keyboard, or play them all.

    Parameters
    ----------
    image : uint8 (H, W, 3)
    grid : (h, w)
        Of patches.
    graph : Affinity
        Of h*w nodes, see `sweeps`. One of its eigenvectors is shown at a time; the sides of a split are the patches of
        smallest y, and the others.
    """
    vectors = [_vector(*rows) for rows in zip(*sweeps(graph), strict=True)]
    state = {"grid": grid, **photo(image, 480), "vectors": vectors}
    return inline_module("cut", state, "This figure needs JavaScript: drag the split and see what the cut costs.")


def sweeps(graph: Affinity, count: int = 4) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The eigenvectors after the constant one, and both escapes of all their splits.

    Parameters
    ----------
    graph : Affinity
        Symmetric, on n nodes, each with an edge.
    count : int
        Of eigenvectors, at most the n - 1 that there are: the second, third, and so on, of (D - W) y = lambda D y.

    Returns
    -------
    y (count, n), leaving (count, n-1), entering (count, n-1)
        The entry of largest magnitude of each y is positive. The others are the probabilities that a walker leaves the
        1, 2, ..., n - 1 nodes of smallest y at the next step, and that one leaves the others: in sum, the split's NCut.
    """
    count = min(count, len(graph) - 1)
    degrees = graph.degrees.cpu().numpy()
    if not degrees.min() > 0:
        raise InputError("A node without an edge cannot be placed along an eigenvector: leave it out.")
    W = graph.matvec(torch.eye(len(graph))).cpu().numpy()
    with single_threaded():
        _, vectors = eigh(np.diag(degrees) - W, np.diag(degrees), subset_by_index=[1, count])
    y = vectors.T * np.sign(vectors[abs(vectors).argmax(0), range(count)])[:, None]
    leaving, entering = np.empty((2, count, len(graph) - 1))
    for row, order in enumerate(np.argsort(y, axis=1, kind="stable")):
        volume = degrees[order].cumsum()
        gains = graph.association_gains(torch.from_numpy(order)).cpu()
        cut = crossing(torch.from_numpy(degrees[order]), gains).numpy()
        # in float32 a patch may seem to sever a little more than it has
        sides = volume[:-1], volume[-1] - volume[:-1]
        leaving[row], entering[row] = (np.minimum(cut / side, 1) for side in sides)
    return y, leaving, entering


def _vector(y: np.ndarray, leaving: np.ndarray, entering: np.ndarray) -> dict[str, object]:
    """One eigenvector, two bytes a number."""
    order = np.argsort(y, kind="stable")
    span = max(float(np.ptp(y)), 1e-300)
    return {
        "order": words(order),
        "y": words(LEVELS * (y[order] - y.min()) / span),  # stretched over the levels
        "zero": float(f"{-y.min() / span:.4g}"),  # where 0 lies between the ends
        "leaving": words(LEVELS * leaving),
        "entering": words(LEVELS * entering),
        "best": int(np.argmin(leaving + entering)) + 1,
        "sign": int((y < 0).sum()),
    }


# ---------------------------------------------------------------------------------------------------------------------
# Trees


def tree_explorer(
    image: np.ndarray, tree: PartitionTree, threshold: float, highest: float = 1.0, truth: np.ndarray | None = None
) -> Figure:
    """A tree as blocks beside the picture: it grows cut by cut, one slider prunes it, a branch lights up its region.

    Parameters
    ----------
    image : uint8 (H, W, 3)
    tree : PartitionTree
    threshold : float in [0, highest]
        Where the slider stands at first.
    highest : float in (0, 2]
        Splits that need a larger threshold are left out.
    truth : int (H, W) or (h, w), optional
        True regions: their borders can be shown, and the covering of them by the patches' segments. Of pixels, those at
        the centres of patches are taken.
    """
    state = _tree_state(image, tree, threshold, highest, width=480)
    if truth is not None:
        state["truth"] = words(without_gaps(nearest(truth, tree.grid)))
    return inline_module("tree", state, "This figure needs JavaScript: prune the tree, and see the segments.")


def method_explorer(found: Segmentation, threshold: float, patch: tuple[int, int], highest: float = 1.0) -> Figure:
    """The whole method in one figure: photograph, walk, cut, tree, and the segments that one slider gives.

    Parameters
    ----------
    found : Segmentation
        With its walk, `segment(..., keep_walk=True)`.
    threshold, highest : float
        As for `tree_explorer`.
    patch : (row, column)
        Chosen at first; another can be chosen by mouse, touch or keyboard, and its row of the walk is shown.
    """
    if found.walk is None or found.graph is None:
        raise InputError("This segmentation did not keep its walk: segment(..., keep_walk=True).")
    steps, _ = stretched(found.walk.P.cpu().numpy())
    y = second_eigenvector(found.graph).y.numpy()
    hues = colormaps["RdBu_r"](0.5 + y / (2 * abs(y).max()))[:, :3]
    shown = {"walk": steps, "colours": viridis(), "hues": octets(255 * hues), "patch": list(patch)}
    state = _tree_state(found.image, found.tree, threshold, highest, width=320) | shown
    return inline_module("tree", state, "This figure needs JavaScript: the method on one photograph.")


def _tree_state(
    image: np.ndarray, tree: PartitionTree, threshold: float, highest: float, width: int
) -> dict[str, object]:
    """The picture, and the tree down to the highest threshold, in numbers of two bytes."""
    _check_highest(highest)
    if not 0 <= threshold <= highest:
        raise InputError(f"The first threshold must lie between 0 and the highest, {highest}, not {threshold}.")
    split = tree.split_height() <= highest
    kept = np.unique(np.r_[0, tree.left[split], tree.right[split]])
    place = np.full(len(tree) + 1, LEVELS)  # LEVELS: no child, or none that is kept
    place[kept] = np.arange(len(kept))
    return {
        "grid": tree.grid,
        **photo(image, width),
        "order": words(tree.order),
        "start": words(tree.start[kept]),
        "stop": words(tree.stop[kept]),
        "left": words(place[tree.left[kept]]),
        "right": words(place[tree.right[kept]]),
        "ncut": words(np.where(split, tree.ncut, 0)[kept] * LEVELS / 2),
        "highest": float(highest),
        "threshold": float(threshold),
        "walk": None,
        "truth": None,
    }


def _check_highest(highest: float) -> None:
    """Raise an InputError unless 0 < highest <= 2."""
    if not 0 < highest <= 2:
        raise InputError(f"The highest threshold must lie above 0 and be at most 2, not {highest}.")


def criteria_explorer(
    image: np.ndarray, tree: PartitionTree, prunings: Mapping[str, Pruning], highest: float
) -> Figure:
    """A button for each criterion shows where it stops; a slider prunes by a constant; curves are scores along it.

    Each curve is drawn between its own smallest and largest value, with a dot where it is largest.

    Parameters
    ----------
    image : uint8 (H, W, 3)
    tree : PartitionTree
    prunings : mapping of a criterion's name to where it stops
    highest : float in (0, 2]
        The largest threshold of the slider.
    """
    _check_highest(highest)
    if not prunings:
        raise InputError("This figure compares criteria: give at least one pruning.")
    state = {
        "grid": tree.grid,
        **photo(image, 480),
        "order": words(tree.order),
        "levels": levels(tree, highest).round(5).tolist(),
        "nodes": _nodes(tree, highest, [node for found in prunings.values() for node in found.leaves]),
        "criteria": [
            {"name": name, "leaves": found.leaves.tolist(), "threshold": _rounded(found.threshold)}
            for name, found in prunings.items()
        ],
        "curves": [
            {"name": name, "criterion": LOOKS_AT[name], "values": _stretched(np.array(scores))}
            for name, scores in scores_along(tree, highest).items()
        ],
        "highest": float(highest),
    }
    return inline_module("criteria", state, "This figure needs JavaScript: choose a criterion, and see where it stops.")


def levels(tree: PartitionTree, highest: float) -> np.ndarray:
    """The thresholds up to `highest` at which the segments change, ascending."""
    values = np.unique(tree.split_height())
    return values[values <= highest]


LOOKS_AT = {"width of the gap above": "gap", "stability": "stability", "map equation: bits saved": "map-equation"}


def scores_along(tree: PartitionTree, highest: float) -> dict[str, list[float]]:
    """What three criteria look at: without any split, then when the splits up to each of `levels` are taken."""
    steps = (0.0, *levels(tree, highest))
    kept = [tree.leaves(step) for step in steps]
    bits, index = codebooks(tree, np.maximum(tree.volume - tree.association, 0))  # of segments, of splits
    heights, pairs = tree.split_height(), zip(steps, kept, strict=True)
    saved = [-bits[leaves].sum() - index[heights <= step].sum() for step, leaves in pairs]
    return {
        "width of the gap above": [0.0, *np.diff(steps[1:], append=highest)],
        "stability": [(tree.association - tree.volume**2)[leaves].sum() for leaves in kept],
        "map equation: bits saved": saved,
    }


def _nodes(tree: PartitionTree, highest: float, wanted: Sequence[int]) -> dict[str, list[float]]:
    """By node: where its slice starts and stops, its colour, and from which threshold until which it is a segment.

    Of the nodes that some threshold up to `highest` shows, or that are wanted. The larger part of a split keeps its
    parent's colour, the other takes the next one.
    """
    needed, since, colour = tree.split_height(), np.zeros(len(tree)), np.zeros(len(tree), int)
    split = np.flatnonzero(tree.left >= 0)
    for used, node in enumerate(split[np.argsort(needed[split], kind="stable")], 1):
        sides = sorted((tree.left[node], tree.right[node]), key=lambda side: tree.start[side] - tree.stop[side])
        since[sides] = needed[node]
        colour[sides] = colour[node], used
    shown = np.union1d(np.flatnonzero(since <= highest), wanted)
    return {
        str(node): [int(tree.start[node]), int(tree.stop[node]), int(colour[node]),
                    round(float(since[node]), 5), round(min(float(needed[node]), 3.0), 5)]
        for node in shown
    }  # fmt: skip


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(float(value), 5)


def _stretched(values: np.ndarray) -> list[float]:
    """Between their smallest, 0, and their largest, 1; a constant stays at 0."""
    return ((values - values.min()) / max(float(np.ptp(values)), 1e-300)).round(4).tolist()


# ---------------------------------------------------------------------------------------------------------------------
# Graphs


def graph_explorer(image: np.ndarray, walk: Walk, others: Mapping[str, Affinity], every: int = 2) -> Figure:
    """A picture whose patches can be chosen by mouse, touch or keyboard, and a row of each graph, normalised.

    A second slider raises the weights of all graphs but the reversible walk to a power, 1 to 30.

    Parameters
    ----------
    image : uint8 (H, W, 3)
    walk : Walk
        On N patches, about a thousand at most: the graphs are written down.
    others : mapping of a name to a graph
        To be shown beside those of `neighbours`.
    every : int
        One patch in so many along each side can be chosen, for a smaller page.
    """
    h, w = walk.grid
    chosen = np.add.outer(np.arange(0, h, every) * w, np.arange(0, w, every)).ravel()
    graphs = [
        {"name": name, "powered": name != REVERSIBLE, "rows": {k: _rows(table[chosen]) for k, table in tables.items()}}
        for name, tables in neighbours(walk, others).items()
    ]
    state = {"grid": walk.grid, "every": every, **photo(image, 360), "colours": viridis(), "graphs": graphs}
    return inline_module("graphs", state, "This figure needs JavaScript: point at a patch, see its neighbours.")


def neighbours(walk: Walk, others: Mapping[str, Affinity]) -> dict[str, dict[int, np.ndarray]]:
    """Tables (N, N): the walk's reversible form and its rows after 1, 2 and 4 steps, and other graphs at one."""
    eye, walks = torch.eye(len(walk)), {k: walk.power(k) for k in STEPS}
    found = {REVERSIBLE: {k: one.reversible().W.cpu().numpy() for k, one in walks.items()}}
    for measure in ("dot", "cosine"):
        found[f"rows, {measure}"] = {k: from_rows(one, measure).matvec(eye).cpu().numpy() for k, one in walks.items()}
    return found | {name: {1: graph.matvec(eye).cpu().numpy()} for name, graph in others.items()}


def _rows(rows: np.ndarray) -> str:
    """Rows of a table, a byte a weight: the square root of its share of the row's largest.

    The root keeps small weights apart: those of 1 / 65,025 of the largest are the smallest that count.
    """
    rows = rows.astype(float)
    return octets(255 * np.sqrt(rows / np.maximum(rows.max(1, keepdims=True), 1e-300)))

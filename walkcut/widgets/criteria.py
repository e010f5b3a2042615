"""Criteria side by side: where each of them stops on one tree, and what it maximises along the threshold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from walkcut.criteria import Pruning
from walkcut.errors import InputError
from walkcut.lab.criteria import codebooks
from walkcut.tree import PartitionTree
from walkcut.widgets.encode import photo, words
from walkcut.widgets.inline import Figure, inline_module
from walkcut.widgets.tree import check_highest


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
    check_highest(highest)
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
            {"name": name, "values": _stretched(np.array(scores))}
            for name, scores in scores_along(tree, highest).items()
        ],
        "highest": float(highest),
    }
    return inline_module("criteria", state, "This figure needs JavaScript: choose a criterion, and see where it stops.")


def levels(tree: PartitionTree, highest: float) -> np.ndarray:
    """The thresholds up to `highest` at which the segments change, ascending."""
    values = np.unique(tree.split_height())
    return values[values <= highest]


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

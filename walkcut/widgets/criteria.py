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
from walkcut.widgets.tree import check_tree


def criteria_explorer(
    image: np.ndarray,
    tree: PartitionTree,
    prunings: Mapping[str, Pruning],
    curves: Mapping[str, Sequence[float]],
    highest: float,
    width: int = 480,
) -> Figure:
    """A button for each criterion shows where it stops; a slider prunes by a constant; curves are scores along it.

    Parameters
    ----------
    image : uint8 (H, W, 3)
    tree : PartitionTree
    prunings : mapping of a criterion's name to where it stops
    curves : mapping of a name to numbers (m + 1,)
        A score without any split, then when the splits up to each of the m thresholds of `levels` are taken. Each is
        drawn between its own smallest and largest value, with a dot where it is largest.
    highest : float in (0, 2]
        The largest threshold of the slider.
    width : int
        Of the picture in the page, in pixels.
    """
    check_tree(tree, highest)
    if not prunings:
        raise InputError("This figure compares criteria: give at least one pruning.")
    steps = levels(tree, highest)
    state = {
        "grid": tree.grid,
        **photo(image, width),
        "order": words(tree.order),
        "levels": [round(float(level), 5) for level in steps],
        "nodes": _nodes(tree, highest, [node for found in prunings.values() for node in found.leaves]),
        "criteria": [
            {"name": name, "leaves": found.leaves.tolist(), "threshold": _rounded(found.threshold)}
            for name, found in prunings.items()
        ],
        "curves": [_curve(name, values, len(steps) + 1) for name, values in curves.items()],
        "highest": float(highest),
    }
    return inline_module("criteria", state, "This figure needs JavaScript: choose a criterion, and see where it stops.")


def levels(tree: PartitionTree, highest: float) -> np.ndarray:
    """The thresholds up to `highest` at which the segments change, ascending."""
    values = np.unique(tree.split_height())
    return values[values <= highest]


def scores_along(tree: PartitionTree, highest: float) -> dict[str, list[float]]:
    """What three criteria look at, for every pruning of `levels` by a threshold: curves for `criteria_explorer`."""
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


def _curve(name: str, values: Sequence[float], count: int) -> dict[str, object]:
    """Its `count` values stretched from 0 to 1; a constant stays at 0."""
    if np.shape(values) != (count,) or not np.isfinite(values).all():
        raise InputError(f"The curve {name!r} needs {count} finite numbers, not {np.shape(values)}.")
    values = np.asarray(values, float)
    stretched = (values - values.min()) / max(float(np.ptp(values)), 1e-300)
    return {"name": name, "values": [round(float(value), 4) for value in stretched]}

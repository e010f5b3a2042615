"""The splits of the textbooks, for comparison with the best one."""

from __future__ import annotations

from dataclasses import replace

import torch

from walkcut.errors import InputError
from walkcut.graph import Affinity
from walkcut.ncut import Split, best_split


def plain_split(graph: Affinity, values: torch.Tensor, rule: str) -> Split:
    """The two splits of the textbooks, for comparison with the best one.

    Parameters
    ----------
    graph : Affinity
    values : (n,)
    rule : str
        "sign": negative values against the others, where the relaxed indicator changes sign; "median": two halves.
    """
    values = torch.as_tensor(values)
    split = best_split(graph, values)
    sizes = {"sign": int((values < 0).sum()), "median": len(graph) // 2}
    if rule not in sizes:
        raise InputError(f"There is no rule {rule!r} to split by: choose from {', '.join(sizes)}.")
    size = min(max(sizes[rule], 1), len(graph) - 1)
    return replace(split, size=size, ncut=float(split.curve[size - 1]))


def agreement(one: Split, other: Split) -> float:
    """Share of the nodes that two cuts leave on the same side, whichever side is called the first; 1/2 to 1."""
    same = float((one.side == other.side).double().mean())
    return max(same, 1 - same)

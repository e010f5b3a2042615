"""Walkers on the running toy graph of the book: two triangles joined by a bridge."""

from __future__ import annotations

from walkcut.errors import InputError
from walkcut.widgets.inline import Figure, inline_module


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

"""Walkers on the running toy graph of the book: two triangles joined by a bridge."""

from __future__ import annotations

from walkcut.errors import InputError
from walkcut.widgets.inline import Figure, inline_module


def toy_walk(bridge: float = 0.5, twist: float = 0.0, walkers: int = 60, seed: int = 1) -> Figure:
    """Release walkers on six nodes and compare their visits with the stationary law.

    Parameters
    ----------
    bridge : float
        Weight of the edge 2-3, 0 to 2; the other edges weigh 1.
    twist : float
        How much more flows one way round each triangle than the other, 0 (reversible) to 0.9.
    walkers : int
        1 to 200.
    seed : int
        Of the walkers' choices.
    """
    for name, value, low, high in (("bridge", bridge, 0, 2), ("twist", twist, 0, 0.9), ("walkers", walkers, 1, 200)):
        if not low <= value <= high:
            raise InputError(f"The toy walk takes {name} from {low} to {high}, not {value}.")
    state = {"bridge": float(bridge), "twist": float(twist), "walkers": int(walkers), "seed": int(seed)}
    return inline_module("toy_walk", state, "This figure needs JavaScript: walkers step over the six-node toy graph.")

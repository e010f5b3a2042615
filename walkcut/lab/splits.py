"""How far two cuts agree."""

from walkcut.ncut import Split


def agreement(one: Split, other: Split) -> float:
    """Share of the nodes that two cuts leave on the same side, whichever side is called the first; 1/2 to 1."""
    same = float((one.side == other.side).double().mean())
    return max(same, 1 - same)

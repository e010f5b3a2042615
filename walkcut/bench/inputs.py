"""What methods ask of their settings, of optional libraries, and of the truth."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

import numpy as np

from walkcut.bench.datasets import Item
from walkcut.errors import InputError

TRUE_K = "true K"  # the setting of an oracle that is told the number of regions


def library(name: str) -> dict[str, str]:
    """Version of an optional library, for a config; InputError if it is not installed."""
    try:
        return {name: version(name)}
    except PackageNotFoundError as error:
        raise InputError(f"This method needs {name}, which is not installed: pip install {name}.") from error


def in_range(name: str, values: Sequence[float], low: float, high: float) -> tuple[float, ...]:
    """A list of numbers above `low` and at most `high`, none twice; else an InputError."""
    if not values or len(set(values)) < len(values) or not all(low < value <= high for value in values):
        raise InputError(f"{name} must be distinct numbers above {low:g} and at most {high:g}, not {list(values)}.")
    return tuple(values)


def true_counts(item: Item) -> dict[str, int]:
    """Regions in each kind of truth, the median where several people drew; unlabelled pixels (-1) are none."""
    counts = {}
    for kind, truths in item.truths.items():
        sizes = [len(np.unique(truth[truth >= 0])) for truth in truths]
        counts[kind] = max(1, int(np.median(sizes)))
    return counts

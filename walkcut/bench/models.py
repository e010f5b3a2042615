"""Models side by side: the same pictures, the same way to walk and cut, other denoisers; and how slow each walk is.

A walk that is worth cutting is metastable: a few eigenvalues near one, then a gap (Meila & Shi 2001).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from walkcut.bench.datasets import Dataset
from walkcut.bench.look import Looker
from walkcut.bench.peers.common import smallest_eigenvectors
from walkcut.errors import InputError
from walkcut.graph import Graph

COUNT = 24  # eigenvalues that are kept


def lookers(models: Sequence[str], looker: Callable[[str], Looker]) -> dict[str, Looker]:
    """One for each model, by its short name or the last part of its folder; `looker` makes it of what was named.

    Raises
    ------
    InputError
        If two of them would go by one name.
    """
    names = [Path(model).name for model in models]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise InputError(f"Two models go by the name {twice!r}: rename one of the folders.")
    return dict(zip(names, map(looker, models), strict=True))


def spectrum(graph: Graph, count: int = COUNT) -> np.ndarray:
    """The largest eigenvalues of the walk on a graph, those of D^-1/2 W D^-1/2, from one downwards.

    Parameters
    ----------
    graph : Graph
        Every node needs a positive degree.
    count : int
        Of fewer nodes there are fewer.
    """
    return 1 - smallest_eigenvectors(graph.W.cpu(), min(count, len(graph) - 2))[0]


def spectra(dataset: Dataset, lookers: Mapping[str, Looker]) -> dict[str, dict[str, list[float]]]:
    """Under "spectra", the mean `spectrum` of each looker's walk over the pictures of a data set."""
    found = {}
    for model, looker in lookers.items():
        each = [spectrum(looker(dataset.load(name).image).walk.reversible()) for name in dataset.names]
        found[model] = np.mean([values[: min(map(len, each))] for values in each], 0).round(5).tolist()
    return {"spectra": found}

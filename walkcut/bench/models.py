"""Models side by side: the same pictures, the same way to walk and cut, other denoisers; and how slow each walk is.

A walk that is worth cutting is metastable: a few eigenvalues near one, then a gap (Meila & Shi 2001).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from scipy.sparse.linalg import LinearOperator, eigsh

from walkcut.backbone import load_backbone
from walkcut.bench.ablate import THRESHOLDS, usual
from walkcut.bench.datasets import Dataset
from walkcut.bench.look import Looker
from walkcut.bench.method import Method
from walkcut.bench.ours import AUTO, tree_method
from walkcut.errors import InputError
from walkcut.graph import Graph
from walkcut.ncut import one_thread

COUNT = 24  # eigenvalues that are kept


def lookers(models: Sequence[str], device: str, dtype: str, **settings: object) -> dict[str, Looker]:
    """One for each model, by its short name or the last part of its folder; settings are those of `Looker`.

    Raises
    ------
    InputError
        If two of them would go by one name.
    """
    names = [Path(model).name for model in models]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise InputError(f"Two models go by the name {twice!r}: rename one of the folders.")
    return {
        name: Looker(load_backbone(model, device, dtype), **settings) for name, model in zip(names, models, strict=True)
    }


def models(
    lookers: Mapping[str, Looker], connected: bool = False, thresholds: Sequence[float] = THRESHOLDS
) -> list[Method]:
    """The usual method on each of several models.

    Parameters
    ----------
    lookers : mapping of name to Looker
    connected : bool
        Score connected parts instead of segments.
    thresholds : sequence of float
        Constants beside the dynamic threshold.
    """

    def method(name: str, looker: Looker) -> Method:
        config = looker.config | {"connected": connected}
        shared = {"others": (), "connected": connected, "looker": looker, "tree_scores": False}
        code = ("bench/ablate", "bench/models")
        return tree_method(name, lambda image: usual(looker(image)).at(AUTO), thresholds, config, code=code, **shared)

    return [method(name, looker) for name, looker in lookers.items()]


def spectrum(graph: Graph, count: int = COUNT) -> np.ndarray:
    """The largest eigenvalues of the walk on a graph, those of D^-1/2 W D^-1/2, from one downwards.

    Parameters
    ----------
    graph : Graph
        Every node needs a positive degree.
    count : int
        Of fewer nodes there are fewer.
    """
    root = graph.degrees.sqrt()
    n, count = len(graph), min(count, len(graph) - 2)

    def product(x: np.ndarray) -> np.ndarray:
        x = torch.from_numpy(np.ascontiguousarray(x).ravel()).to(root)
        return (graph.matvec(x / root).double() / root).cpu().numpy()

    with one_thread():
        start = root.cpu().numpy()
        operator = LinearOperator((n, n), matvec=product, dtype=np.float64)
        found = eigsh(operator, count, which="LA", v0=start, tol=1e-4, return_eigenvectors=False)
    return np.sort(found)[::-1]


def spectra(looker: Looker, dataset: Dataset) -> list[float]:
    """Mean `spectrum` of the usual walk over the pictures of a data set."""
    found = [spectrum(looker(dataset.load(name).image).walk().reversible()) for name in dataset.names]
    return np.mean([values[: min(map(len, found))] for values in found], 0).round(5).tolist()

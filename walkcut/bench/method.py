"""A method of the benchmark: from one picture to one segmentation per setting.

Settings are names; every picture has the same ones, so that a table (pictures, settings) can be aggregated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from walkcut.bench.datasets import Item


class Result(NamedTuple):
    """Labels (H, W) under one setting; `truths` names the kinds of truth they may be scored against, None: all."""

    setting: str
    labels: np.ndarray
    truths: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Method:
    """A named way to segment, the settings it yields for each picture, and all that its result depends on.

    Attributes
    ----------
    name : str
    settings : tuple of str
        What `run` yields, each once per picture and kind of truth.
    config : dict
        JSON-able; results made under another `config` are never mixed with new ones.
    sources : tuple of str
        Files of the package, relative to it, whose change also makes old results stale.
    run : callable
    """

    name: str
    settings: tuple[str, ...]
    config: dict
    sources: tuple[str, ...]
    run: Callable[[Item], Iterator[Result]] = field(repr=False)

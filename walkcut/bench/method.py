"""A method of the benchmark: from one picture to one segmentation per setting.

Settings are names; every picture has the same ones, so that a table (pictures, settings) can be aggregated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from walkcut.bench.datasets import Item

if TYPE_CHECKING:
    from walkcut.bench.look import Looker


class Result(NamedTuple):
    """Labels (H, W) under one setting; `truths` names the kinds of truth they may be scored against, None: all.

    `notes` are further measurements, such as those of a whole tree, by (kind of truth, measure).
    """

    setting: str
    labels: np.ndarray
    truths: tuple[str, ...] | None = None
    notes: dict[tuple[str, str], float] | None = None


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
    alone : tuple of str
        Settings that choose nothing by the truth (a criterion, the published default): a line of its own each.
    swept : tuple of str, optional
        Settings among which the best is taken for the method's own line. Default: all that do not stand alone.
    looker : Looker, optional
        Whose look the method starts from; it is taken before the method is timed.
    trained_on : str
        What the method was trained on, if that is the kind of picture that it is tested on; tables mark it.
    """

    name: str
    settings: tuple[str, ...]
    config: dict
    sources: tuple[str, ...]
    run: Callable[[Item], Iterator[Result]] = field(repr=False)
    alone: tuple[str, ...] = ()
    swept: tuple[str, ...] | None = None
    looker: Looker | None = field(default=None, repr=False, compare=False)
    trained_on: str = ""

    @property
    def curve(self) -> tuple[str, ...]:
        """Settings among which the best is taken."""
        return tuple(s for s in self.settings if s not in self.alone) if self.swept is None else self.swept

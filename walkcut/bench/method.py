"""A method of the benchmark: from one picture to one segmentation per setting.

Settings are names; every picture has the same ones, so that a table (pictures, settings) can be aggregated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from walkcut.bench.datasets import Item
from walkcut.errors import InputError

if TYPE_CHECKING:
    from walkcut.bench.look import Looker

TRUE_K = "true K"  # the setting of an oracle that is told the number of regions


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
        Its own settings, JSON-able.
    run : callable
        Results also depend on its module and everything that this imports, see `walkcut.bench.sources`.
    alone : tuple of str
        Settings that choose nothing by the truth (a criterion, the published default): a line of its own each.
    swept : tuple of str, optional
        Settings among which the best is taken for the method's own line. Default: all that do not stand alone.
    looker : Looker, optional
        Whose look the method starts from; it is taken before the method is timed.
    trained_on : str
        What the method was trained on, if that is the kind of picture that it is tested on; tables mark it.
    modules : tuple of str
        Further ones that `run` was handed functions of.
    """

    name: str
    settings: tuple[str, ...]
    config: dict
    run: Callable[[Item], Iterator[Result]] = field(repr=False)
    alone: tuple[str, ...] = ()
    swept: tuple[str, ...] | None = None
    looker: Looker | None = field(default=None, repr=False, compare=False)
    trained_on: str = ""
    modules: tuple[str, ...] = ()

    @property
    def curve(self) -> tuple[str, ...]:
        """Settings among which the best is taken."""
        return tuple(s for s in self.settings if s not in self.alone) if self.swept is None else self.swept

    @property
    def conditions(self) -> dict:
        """All but the code that results depend on, JSON-able: how the picture is looked at, and its own settings."""
        return (self.looker.config if self.looker else {}) | self.config


def library(who: str, name: str, module: str) -> dict[str, str]:
    """Version of an optional library, for a config; InputError if it is not installed, or cannot be imported."""
    try:
        found = import_module(module)
        with suppress(PackageNotFoundError):  # it came under another name, as OpenCV may
            return {name: version(name)}
        return {name: found.__version__}
    except ImportError as error:
        raise InputError(f"{who} needs {name}, which is not installed: pip install 'walkcut[bench]'.") from error


def true_counts(item: Item) -> dict[str, int]:
    """Regions in each kind of truth, the median where several people drew; unlabelled pixels (-1) are none."""
    counts = {}
    for kind, truths in item.truths.items():
        sizes = [len(np.unique(truth[truth >= 0])) for truth in truths]
        counts[kind] = max(1, int(np.median(sizes)))
    return counts

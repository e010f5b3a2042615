"""Names that a setting may take, and where what they name is found.

The core offers the names that every chapter uses. Others, of single chapters and ablations, register themselves from
`walkcut.lab`. Nothing is imported before it is asked for: a list of names costs nothing.
"""

from collections import UserDict
from pkgutil import resolve_name
from typing import Any

from walkcut.errors import InputError


class Registry(UserDict[str, Any]):
    """From a name to a function, which is imported when it is asked for.

    Parameters
    ----------
    what : str
        Of which kind the functions are, in one word, for messages.
    places : dict of str
        Each name's "module:function". More may be added, as to any dictionary.
    """

    def __init__(self, what: str, places: dict[str, str]) -> None:
        super().__init__(places)
        self.what = what

    def __getitem__(self, name: str) -> Any:
        if name not in self:
            raise InputError(f"There is no {self.what} {name!r}: choose from {', '.join(self)}.")
        return resolve_name(self.data[name])


# How weights are read: from an `Eye`, a device, and whether to offload, to a `Backbone`.
EYES = Registry("family of eyes", {})
# How a picture is shown: from a backbone, a latent and timesteps to noisy views (`walkcut.noise` knows the first two).
NOISES = Registry("noise", {"forward": "walkcut.noise:views", "none": "walkcut.noise:views"})
# What is cut: from a walk, and from what its recorder has recorded for those that have one, to a graph.
GRAPHS = Registry("graph", {"reversible": "walkcut.walk:Walk.reversible"})
# What such a graph needs beside the walk: a recorder of `walkcut.capture`, by the graph's name.
RECORDERS = Registry("recorder", {})
# Where to stop: from a tree, the graph that was cut, and the prices of its splits, to a pruning.
CRITERIA = Registry("criterion", {"spatial-null": "walkcut.criteria:spatial_null"})
# How segments of patches become segments of pixels: from a picture and masks to masks.
PIXELS = Registry("way to pixels", {"bilinear": "walkcut.refine:as_they_are", "pamr": "walkcut.refine:pamr"})
AUTO = "spatial-null"  # the criterion that "auto" stands for; what was tried is in book/results/criteria-*.json

"""Methods that others published, each written small from its paper's description, under one roof.

`PEERS` maps the name that a command takes to a function of a `Looker`, or None where the method looks at the picture
only, and a seed.
"""

from __future__ import annotations

from collections.abc import Callable

from walkcut.bench.baselines import (
    KMEANS_COUNTS,
    felzenszwalb_method,
    kmeans_method,
    mean_shift_method,
    slic_ncut_method,
)
from walkcut.bench.look import Looker
from walkcut.bench.method import Method
from walkcut.bench.peers.autosc import autosc_method
from walkcut.bench.peers.clusters import kmeans_features_method, sklearn_spectral_method
from walkcut.bench.peers.diffcut import diffcut_method
from walkcut.bench.peers.diffseg import diffseg_method
from walkcut.bench.peers.maskcut import maskcut_method

Factory = Callable[[Looker | None, int], tuple[Method, ...]]


def _kmeans(looker: Looker | None, seed: int) -> tuple[Method, ...]:
    return tuple(kmeans_method(position, KMEANS_COUNTS, seed, oracle=True) for position in (0.0, 20.0))


PEERS: dict[str, Factory] = {
    "diffseg": lambda looker, seed: (diffseg_method(looker, seed),),
    "diffcut": lambda looker, seed: (diffcut_method(looker, seed),),
    "diffcut-pamr": lambda looker, seed: (diffcut_method(looker, seed, pamr=True),),
    "autosc": lambda looker, seed: (autosc_method(looker, seed),),
    "kmeans-features": lambda looker, seed: (kmeans_features_method(looker, seed),),
    "maskcut": lambda looker, seed: (maskcut_method(looker, seed),),
    "sklearn-spectral": lambda looker, seed: (sklearn_spectral_method(looker, seed),),
    "slic-ncut": lambda looker, seed: (slic_ncut_method(seed),),
    "mean-shift": lambda looker, seed: (mean_shift_method(seed),),
    "felzenszwalb": lambda looker, seed: (felzenszwalb_method(),),
    "kmeans": _kmeans,
}

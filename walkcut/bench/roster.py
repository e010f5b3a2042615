"""Every method by the name that the command takes: ours, the peers, and what looks at the picture only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from walkcut.bench.baselines import felzenszwalb_method
from walkcut.bench.datasets import Dataset
from walkcut.bench.look import Looker
from walkcut.bench.method import Method
from walkcut.bench.ours import preset_methods
from walkcut.bench.peers import PEERS
from walkcut.presets import PRESETS

PICTURE_ONLY = ("kmeans", "felzenszwalb", "slic-ncut", "mean-shift")
ROSTER = (*PRESETS, *PEERS)


def needs_model(names: Sequence[str]) -> bool:
    """Whether any of the methods starts from what a denoiser sees."""
    return any(name not in PICTURE_ONLY for name in names)


def roster(
    names: Sequence[str],
    dataset: Dataset,
    looker: Looker | None,
    thresholds: Sequence[float] | None = None,
    seed: int = 0,
) -> list[Method]:
    """The methods by name, for a data set.

    Two things depend on the data set: pictures of 128 pixels take Felzenszwalb's sigma and smallest region that were
    best of eight pairs on 24 other scenes; and scenes are what the embedded denoiser was trained on.
    """
    methods: list[Method] = []
    scenes = dataset.name.startswith("scenes")
    for name in names:
        if name in PRESETS:
            methods += preset_methods(looker, name, thresholds)
        elif name == "felzenszwalb" and scenes:
            methods.append(felzenszwalb_method(sigma=0.5, min_size=20))
        else:
            methods += PEERS[name](looker, seed)
    if scenes and looker is not None and looker.blank.backbone.name.startswith("dead-leaves"):
        methods = [replace(m, trained_on="dead leaves") if m.looker is not None else m for m in methods]
    return methods

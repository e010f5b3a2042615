"""walkcut: segment pictures by cutting the random walk that a diffusion model's attention takes over them."""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

# name -> module; loaded on first use, so that `walkcut --help` does not wait for torch
_HOME = {
    "InputError": "errors",
    "Walk": "walk",
    "Graph": "graph",
    "PartitionTree": "tree",
    "Segmentation": "segmentation",
    "aggregate": "walk",
    "attend": "attention",
    "attend_heads": "attention",
    "attend_words": "words",
    "best_cut": "ncut",
    "best_split": "ncut",
    "features": "attention",
    "graph_for": "presets",
    "load_backbone": "backbone",
    "make_scene": "scenes",
    "model_names": "models",
    "name_segments": "words",
    "partition": "tree",
    "prune": "threshold",
    "read_image": "images",
    "sample": "images",
    "sample_names": "images",
    "second_eigenvector": "ncut",
    "segment": "segmentation",
    "walk_for": "presets",
}
__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'walkcut' has no attribute {name!r}")
    value = getattr(import_module(f"walkcut.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])

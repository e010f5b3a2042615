"""The photographs that come with walkcut."""

import json
from functools import cache
from pathlib import Path

import numpy as np

from walkcut.errors import InputError
from walkcut.reading import read_image

_SAMPLES = Path(__file__).parent


@cache
def sample_credits() -> dict[str, dict[str, str]]:
    """For each sample picture its file, title, author, licence and source; see `walkcut/samples/credits.json`."""
    return json.loads((_SAMPLES / "credits.json").read_text(encoding="utf-8"))


def sample_names() -> tuple[str, ...]:
    """Names of the photographs that come with walkcut."""
    return tuple(sample_credits())


def sample_path(name: str) -> Path:
    """The file of a sample photograph; InputError for an unknown name."""
    if name not in sample_names():
        raise InputError(f"There is no sample {name!r}: choose one of {', '.join(sample_names())}.")
    return _SAMPLES / sample_credits()[name]["file"]


def sample(name: str) -> np.ndarray:
    """A photograph that comes with walkcut, uint8 (H, W, 3); InputError for an unknown name."""
    return read_image(sample_path(name))

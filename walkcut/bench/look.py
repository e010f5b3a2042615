"""What the denoiser sees in one picture, taken once and shared by every method that starts from it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import torch

from walkcut.attention import AttentionMaps, Features, observe
from walkcut.backbone import Backbone
from walkcut.bench.record import model_record
from walkcut.presets import Preset, find_preset, walk_for
from walkcut.walk import Walk


@dataclass(frozen=True, eq=False)
class Look:
    """One noisy pass over a picture; each part is computed when it is first asked for.

    Attributes
    ----------
    backbone : Backbone
    image : uint8 (H, W, 3)
    grid : int
        Patches along the longer side.
    timesteps : tuple of int, optional
        Default: the model's.
    seed : int
        Of the noise.
    noise : str
        "forward", "none" or "inversion", see `walkcut.noise.views`.
    seconds : float
        Of the pass, once it was taken.
    """

    backbone: Backbone
    image: np.ndarray
    grid: int = 64
    timesteps: tuple[int, ...] | None = None
    seed: int = 0
    noise: str = "forward"
    seconds: float = field(default=0.0, init=False)

    @cached_property
    def seen(self) -> tuple[AttentionMaps, Features]:
        """Attention and features, of one pass."""
        start = time.perf_counter()
        found = observe(self.backbone, self.image, self.grid, self.timesteps, self.seed, noise=self.noise)
        if self.backbone.device.type == "cuda":
            torch.cuda.synchronize()
        object.__setattr__(self, "seconds", time.perf_counter() - start)
        return found

    def taken(self) -> float:
        """Look now, if that was not done before; the seconds that it took."""
        self.seen  # noqa: B018 -- computed here, kept for all
        return self.seconds

    @property
    def attention(self) -> AttentionMaps:
        """Mean self-attention per grid, row-stochastic."""
        return self.seen[0]

    @property
    def features(self) -> Features:
        """What the encoder's last self-attention says of each patch, float32 (h*w, d), on its own grid."""
        return self.seen[1]

    @cached_property
    def walks(self) -> dict[tuple[object, object, int], Walk]:
        """Walks made so far, by prior, walkers who agree and steps: to multiply P out takes longer than to cut it."""
        return {}

    def walk(self, preset: str | Preset = "walkcut") -> Walk:
        """The walk that a preset takes, see `walkcut.presets.walk_for`."""
        chosen = find_preset(preset)
        key = chosen.locality, chosen.inflation, chosen.steps
        if key not in self.walks:
            self.walks[key] = walk_for(chosen, self.backbone, self.attention)
        return self.walks[key]


class Looker:
    """From a picture to its `Look`; the last one is kept, since all methods look at a picture in turn."""

    def __init__(
        self,
        backbone: Backbone,
        grid: int = 64,
        timesteps: tuple[int, ...] | None = None,
        seed: int = 0,
        noise: str = "forward",
    ) -> None:
        self.blank = Look(backbone, np.zeros((1, 1, 3), np.uint8), grid, timesteps, seed, noise)
        self.last: Look | None = None

    def __call__(self, image: np.ndarray) -> Look:
        if self.last is None or not np.array_equal(self.last.image, image):
            self.last = replace(self.blank, image=image)
        return self.last

    @property
    def config(self) -> dict:
        """All that a look depends on, JSON-able."""
        blank = self.blank
        settings = {"grid": blank.grid, "timesteps": blank.timesteps, "seed": blank.seed, "noise": blank.noise}
        return {"model": model_record(blank.backbone.name), "device": blank.backbone.device.type} | settings

"""What an eye sees in one picture, taken once and shared by every method that starts from it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from walkcut.backbone import Backbone
from walkcut.capture import AttentionMaps, MeanAttention, capture
from walkcut.lab.recorders import Features, LayerFeatures
from walkcut.memory import enough_memory
from walkcut.recipe import Preset, resolve
from walkcut.segmentation import Segmentation, WalkRecord, cut, timed
from walkcut.walk import Walk, aggregate

# Settings of a recipe that a pass depends on, and those that make its walk.
SHOWN = ("grid", "noise", "timesteps", "seed", "heads", "inverse_temperature")
WALKED = ("jump_chain", "inflation", "spatial_prior", "steps")


class Looker:
    """From a picture to its `Look` under one recipe.

    Parameters
    ----------
    backbone : Backbone
    preset : str or Preset
    **settings
        Fields of a recipe that are to differ from the preset's and the model's.

    Attributes
    ----------
    recipe : Recipe
    last : list
        The last picture and what was made of it, since all methods look at a picture in turn; shared by all that are
        made from one another, see `under`.
    """

    def __init__(self, backbone: Backbone, preset: str | Preset = "walkcut", **settings: Any) -> None:
        self.backbone, self.preset, self.settings = backbone, preset, settings
        self.recipe = resolve(preset, backbone.eye, settings)
        self.last: list[Any] = [np.zeros(0, np.uint8), {}]

    def under(self, preset: str | Preset | None = None, **settings: Any) -> Looker:
        """Another recipe for the same pictures: other settings, or another preset with those that were asked for."""
        other = Looker(self.backbone, preset or self.preset, **self.settings | settings)
        other.last = self.last
        return other

    def __call__(self, image: np.ndarray) -> Look:
        if not np.array_equal(self.last[0], image):
            self.last[:] = image, {}
        return Look(self, *self.last)

    @property
    def config(self) -> dict[str, Any]:
        """All that a look depends on, JSON-able and without a path of this machine."""
        name = Path(self.recipe.model).name
        return {"device": self.backbone.device.type, "recipe": self.recipe.to_dict() | {"model": name}}


class Look:
    """A picture as one recipe has it; each part is made when it is first asked for, once for all recipes that agree."""

    def __init__(self, looker: Looker, image: np.ndarray, kept: dict[Any, Any]) -> None:
        self.looker, self.image, self.kept = looker, image, kept
        self.backbone, self.recipe = looker.backbone, looker.recipe

    def _once(self, what: str, make: Callable[[], Any], *names: str) -> Any:
        key = (what, *(repr(getattr(self.recipe, name)) for name in names))
        if key not in self.kept:
            self.kept[key] = make()
        return self.kept[key]

    def _pass(self) -> tuple[AttentionMaps, Features, float]:
        seconds: dict[str, float] = {}
        device, patches = self.backbone.device, self.backbone.grid(self.image, self.recipe.grid)
        with timed(seconds, "look", device), enough_memory(patches, self.recipe.grid, device):
            recorders = MeanAttention(), LayerFeatures()
            ((attention, features),) = capture(self.backbone, [self.image], self.recipe, *recorders)
        return attention, features, seconds["look"]

    @property
    def attention(self) -> AttentionMaps:
        """Mean self-attention per grid, row-stochastic."""
        return self._once("pass", self._pass, *SHOWN)[0]

    @property
    def features(self) -> Features:
        """What the encoder's last self-attention says of each patch, float32 (h*w, d), on its own grid."""
        return self._once("pass", self._pass, *SHOWN)[1]

    def taken(self) -> float:
        """Look now, if that was not done before; the seconds that the pass took."""
        return self._once("pass", self._pass, *SHOWN)[2]

    @property
    def walk(self) -> Walk:
        """That is cut; to multiply P out takes longer than to cut it."""
        return self._once("walk", lambda: self.own.under(self.recipe), *SHOWN, *WALKED)

    @property
    def own(self) -> Walk:
        """Attention's own, by which splits are priced."""
        return self._once("own", lambda: aggregate(self.attention), *SHOWN)

    def segment(self, attention: AttentionMaps | None = None) -> Segmentation:
        """What the recipe finds, kept until another one is asked; or what it would find with another attention."""
        features = self.features if self.recipe.graph == "features" else None
        if attention is not None:
            return cut(WalkRecord.prepared(self.image, attention, self.recipe, features), keep_walk=True)
        if "found" not in self.kept or self.kept["found"].recipe != self.recipe:
            self.kept["found"] = cut(WalkRecord(self.image, self.walk, self.recipe, self.own, features), keep_walk=True)
        return self.kept["found"]

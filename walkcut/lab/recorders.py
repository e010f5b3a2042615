"""Recorders of `walkcut.capture.capture` for what the default method does not need: queries and keys, features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional

from walkcut.capture import Grid, HeadRecorder, Scene, attention_layers, where_doubles_are
from walkcut.graph import packed


@dataclass(frozen=True)
class Head:
    """One head of one layer at one timestep: A = softmax(query key^T), see `queries_and_keys`.

    Attributes
    ----------
    grid : (h, w)
    query, key : float32 Tensor (h*w, d)
    weight : float, positive
        In the mean of its grid.
    """

    grid: Grid
    query: torch.Tensor
    key: torch.Tensor
    weight: float = 1.0


@dataclass(frozen=True)
class Features:
    """What a layer says of each patch.

    Attributes
    ----------
    values : float32 Tensor (h*w, d)
    grid : (h, w)
    """

    values: torch.Tensor
    grid: Grid

    __reduce__ = packed

    def resized(self, grid: Grid) -> Features:
        """The features on another grid, bilinear."""
        maps = self.values.T.reshape(1, -1, *self.grid)  # (1, d, h, w)
        return Features(functional.interpolate(maps, size=grid, mode="bilinear")[0].flatten(1).T, grid)


class QueriesAndKeys(HeadRecorder):
    """Queries and keys of every head with a positive weight: a tuple of `Head` for each picture."""

    def begin(self, scene: Scene) -> Sequence[str]:
        self.heads: list[list[Head]] = [[] for _ in range(scene.pictures)]
        return super().begin(scene)

    def keep(self, picture: int, grid: Grid, query: torch.Tensor, key: torch.Tensor, weights: Sequence[float]) -> None:
        for q, k, weight in zip(query, key, weights, strict=True):
            if weight > 0:  # copies: a head is a view into the whole layer's output, in which its rows lie apart
                q, k = (where_doubles_are(part.contiguous()) for part in (q, k))
                self.heads[picture].append(Head(grid, q, k, float(weight)))

    def results(self) -> Sequence[Any]:
        return [tuple(heads) for heads in self.heads]


class LayerFeatures:
    """What a layer passes on, averaged over timesteps: `Features` on its own grid for each picture.

    Of the encoder's last self-attention, DiffCut's choice (Couairon et al. 2024); half-way where there is no
    encoder; of a vision transformer the last of all, normalised if it does so.
    """

    output = True

    def begin(self, scene: Scene) -> Sequence[str]:
        self.scene, self.sum, self.passes = scene, torch.zeros((), dtype=torch.float32), 0
        layers = list(attention_layers(scene.backbone, scene.backbone.networks.first))
        if scene.backbone.kind == "vision":
            ends = [name for name, _ in scene.backbone.denoiser.named_children() if name in ("layernorm", "norm")]
            return ends or [layers[-1].rpartition(".")[0]]
        encoder = [name for name in layers if name.startswith("down_blocks")]
        return [encoder[-1] if encoder else layers[len(layers) // 2]]

    def record(self, name: str, layer: Any, hidden: Any, options: Mapping[str, Any]) -> None:
        patches = hidden[0] if isinstance(hidden, tuple) else hidden  # without words, if those were passed on, too
        patches = patches[:, self.scene.backbone.others :]
        self.sum, self.passes = self.sum.to(patches.device) + patches.float(), self.passes + 1

    def results(self) -> Sequence[Any]:
        means = where_doubles_are(self.sum / self.passes)
        return [Features(values, self.scene.grids[len(values)]) for values in means]

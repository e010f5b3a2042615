"""From one noisy pass to the mean self-attention of each grid. The only file that knows attention processors.

A head of a self-attention layer turns its n = h * w patches into queries Q and keys K, both (n, d), and looks with

    A = softmax(Q K^T / sqrt(d)),        (Vaswani et al. 2017, equation 1)

so row i of A says where patch i looks, and sums to one. Heads, layers and timesteps are streamed into one mean per
grid: never more than one head's A is held beside the means.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from diffusers.models.attention_processor import Attention

from walkcut.backbone import Backbone
from walkcut.errors import InputError

Grid = tuple[int, int]
Heads = Mapping[str, Sequence[float]]


@dataclass(frozen=True)
class AttentionMaps:
    """Mean self-attention of one picture.

    Attributes
    ----------
    maps : dict of (h, w) to float32 Tensor (h*w, h*w)
        Row-stochastic; patches are numbered row by row.
    """

    maps: dict[Grid, torch.Tensor]

    def __post_init__(self) -> None:
        if not self.maps:
            raise InputError("No self-attention was captured: name at least one layer with a positive weight.")
        for (h, w), matrix in self.maps.items():
            if matrix.shape != (h * w, h * w):
                raise InputError(f"Attention on a {h}x{w} grid must be ({h * w}, {h * w}), not {tuple(matrix.shape)}.")
            worst = (matrix.sum(1) - 1).abs().max().item()
            if not worst < 1e-3:
                raise InputError(f"The rows of attention on the {h}x{w} grid must sum to 1; one is off by {worst:.2g}.")

    @property
    def finest(self) -> Grid:
        """The grid with the most patches."""
        return max(self.maps, key=lambda grid: grid[0] * grid[1])


def self_attention_layers(backbone: Backbone) -> dict[str, Attention]:
    """Self-attention modules by name, in the order of the forward pass ("attn1" in diffusers' transformer blocks)."""
    order = ("down_blocks", "mid_block", "up_blocks")
    found = {n: m for n, m in backbone.unet.named_modules() if isinstance(m, Attention) and n.endswith("attn1")}
    return dict(sorted(found.items(), key=lambda item: order.index(item[0].split(".")[0])))


def head_attention(attn: Attention, hidden: torch.Tensor, sharpness: float = 1.0) -> Iterator[torch.Tensor]:
    """Yield each head's A, float32 (n, n), for the hidden state (1, n, channels) that enters a layer.

    With a sharpness of 1 this is what the layer itself uses; scores are multiplied by any other before the softmax.
    """
    query = attn.to_q(hidden)[0].unflatten(-1, (attn.heads, -1)).transpose(0, 1)  # (heads, n, d)
    key = attn.to_k(hidden)[0].unflatten(-1, (attn.heads, -1)).transpose(0, 1)
    for q, k in zip(query, key, strict=True):
        yield torch.softmax((q.float() @ k.float().T) * (attn.scale * sharpness), dim=-1)


class _Means:
    """Weighted running sums of heads, one per grid."""

    def __init__(self, grids: Mapping[int, Grid]) -> None:
        self.grids = grids  # number of patches -> grid
        self.sums: dict[Grid, torch.Tensor] = {}
        self.weights: dict[Grid, float] = {}

    def add(self, matrix: torch.Tensor, weight: float) -> None:
        grid = self.grids[len(matrix)]
        if grid in self.sums:
            self.sums[grid].add_(matrix, alpha=weight)
        else:
            self.sums[grid] = matrix.mul_(weight)
        self.weights[grid] = self.weights.get(grid, 0.0) + weight

    def maps(self) -> AttentionMaps:
        return AttentionMaps({grid: total.div_(self.weights[grid]) for grid, total in self.sums.items()})


class _Listener:
    """A processor that notes where the layer looks, then lets the layer's own processor compute as ever."""

    def __init__(self, means: _Means, weights: Sequence[float], sharpness: float, inner: object) -> None:
        self.means, self.weights, self.sharpness, self.inner = means, weights, sharpness, inner

    def __call__(self, attn: Attention, hidden_states: torch.Tensor, *args: object, **kwargs: object) -> torch.Tensor:
        matrices = head_attention(attn, hidden_states, self.sharpness)
        for matrix, weight in zip(matrices, self.weights, strict=True):
            if weight > 0:
                self.means.add(matrix, weight)
        return self.inner(attn, hidden_states, *args, **kwargs)


@contextmanager
def listening(backbone: Backbone, means: _Means, heads: Heads) -> Iterator[None]:
    """Listen to self-attention inside the block; the model is left as it was, also when an error is raised."""
    layers = self_attention_layers(backbone)
    for name, weights in heads.items():
        if name not in layers:
            raise InputError(f"There is no self-attention layer {name!r}: see walkcut.attention.self_attention_layers.")
        if len(weights) != layers[name].heads or min(weights) < 0:
            raise InputError(f"{name} needs {layers[name].heads} weights of at least 0, not {list(weights)}.")
    before = {name: layers[name].processor for name in heads}
    try:
        for name, weights in heads.items():
            layers[name].processor = _Listener(means, weights, backbone.sharpness, before[name])
        yield
    finally:
        for name, processor in before.items():
            layers[name].processor = processor


def _grids(backbone: Backbone, latent: torch.Tensor) -> dict[int, Grid]:
    """Number of patches -> (h, w), for every level of the UNet."""
    h, w = latent.shape[-2:]
    levels = len(backbone.unet.config.block_out_channels)
    return {(h >> level) * (w >> level): (h >> level, w >> level) for level in range(levels)}


@torch.inference_mode()
def attend(
    backbone: Backbone,
    image: np.ndarray,
    grid: int = 64,
    timesteps: Sequence[int] | None = None,
    seed: int = 0,
    heads: Heads | None = None,
) -> AttentionMaps:
    """Show the denoiser a noisy picture and record where its patches look.

    Parameters
    ----------
    backbone : Backbone
    image : uint8 (H, W, 3)
    grid : int
        Patches along the longer side of the picture.
    timesteps : sequence of int, optional
        How noisy, 0 (clean) to 999; one pass each, averaged. A timestep named twice sees two draws of noise.
        Default: what suits the backbone.
    seed : int
        Of the noise.
    heads : mapping of layer name to weights of its heads, optional
        Default: what suits the backbone.

    Returns
    -------
    AttentionMaps
        One row-stochastic matrix per grid of the UNet.

    Raises
    ------
    InputError
        For a timestep out of range, an unknown layer, or a picture that is none.
    """
    timesteps = tuple(backbone.timesteps if timesteps is None else timesteps)
    if not timesteps or min(timesteps) < 0 or max(timesteps) > 999:
        raise InputError(f"Timesteps run from 0 to 999, not {list(timesteps)}.")
    if heads is None:
        layers = self_attention_layers(backbone)
        heads = backbone.heads or {name: (1.0,) * layer.heads for name, layer in layers.items()}
    latent = backbone.encode(image, grid)
    means = _Means(_grids(backbone, latent))
    generator = torch.Generator().manual_seed(seed)
    with listening(backbone, means, heads):
        for timestep in timesteps:
            noisy = backbone.add_noise(latent, timestep, generator) if timestep else latent
            backbone.denoise(noisy, timestep)
    return means.maps()

"""From noisy passes to the mean self-attention of each grid. Attention processors: only here, and in `walkcut.words`.

A head of a self-attention layer turns its n = h * w patches into queries Q and keys K, both (n, d), and looks with

    A = softmax(Q K^T / sqrt(d)),        (Vaswani et al. 2017, equation 1)

so row i of A says where patch i looks, and sums to one. `attend` streams heads, layers and timesteps into one mean per
grid: never more than some rows of one head's A are held beside the means. `attend_heads` keeps Q and K instead,
`features` what a layer passes on.

From Stable Diffusion 3 on, patches and words attend to one another in one softmax. What is kept is the block of patches
among themselves, renormalised: that is the softmax over patches alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from diffusers.models.attention_processor import Attention
from torch.nn import functional

from walkcut.backbone import Backbone
from walkcut.errors import InputError
from walkcut.noise import View, views

Grid = tuple[int, int]
Heads = Mapping[str, Sequence[float]]
BLOCK = 2**22  # numbers of a head's A that are held at once
GPU_BLOCK = 2**24  # of all heads' A, on a GPU: at 64 x 64 patches as many as one head has


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


def look(A: torch.Tensor, grid: Grid, place: tuple[float, float]) -> tuple[np.ndarray, tuple[int, int]]:
    """Where the patch at `place` (shares of height and width) looks, as a map (h, w); and that patch. A is (N, N)."""
    row, column = (int(share * side) for share, side in zip(place, grid, strict=True))
    return A[row * grid[1] + column].view(grid).cpu().numpy(), (row, column)


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

    def resized(self, grid: Grid) -> Features:
        """The features on another grid, bilinear."""
        h, w = self.grid
        maps = self.values.T.reshape(1, -1, h, w)  # (1, d, h, w)
        maps = functional.interpolate(maps, size=grid, mode="bilinear")
        return Features(maps.flatten(2)[0].T, grid)


def self_attention_layers(backbone: Backbone) -> dict[str, Attention]:
    """Modules in which patches attend to patches, by name, in the order of the forward pass.

    In a UNet "attn1" of each transformer block; in a transformer for a flow "attn", in which words take part too, and
    "attn2" where it has one.
    """
    endings = (".attn", ".attn2") if backbone.flow else (".attn1",)
    found = {n: m for n, m in backbone.denoiser.named_modules() if isinstance(m, Attention) and n.endswith(endings)}
    order = ("down_blocks", "mid_block", "up_blocks", "transformer_blocks")
    return dict(sorted(found.items(), key=lambda item: order.index(item[0].split(".")[0])))


def by_head(attn: Attention, projected: torch.Tensor, norm: torch.nn.Module | None) -> torch.Tensor:
    """What a layer projects (1, n, heads * d), head by head (heads, n, d), normalised where the layer does so."""
    heads = projected[0].unflatten(-1, (attn.heads, -1)).transpose(0, 1)
    return heads if norm is None else norm(heads)


def queries_and_keys(
    attn: Attention, hidden: torch.Tensor, sharpness: float = 1.0
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield each head's scaled Q and K, float32 (n, d), for the hidden state (1, n, channels) that enters a layer.

    A = softmax(Q K^T). With a sharpness of 1 this is what the layer itself uses; scores are multiplied by any other.
    """
    yield from zip(*all_queries_and_keys(attn, hidden, sharpness), strict=True)


def all_queries_and_keys(
    attn: Attention, hidden: torch.Tensor, sharpness: float = 1.0
) -> tuple[torch.Tensor, torch.Tensor]:
    """Q, scaled, and K of all heads at once, float32 (heads, n, d)."""
    query = by_head(attn, attn.to_q(hidden), attn.norm_q)
    key = by_head(attn, attn.to_k(hidden), attn.norm_k)
    return query.float() * (attn.scale * sharpness), key.float()


def head_attention(attn: Attention, hidden: torch.Tensor, sharpness: float = 1.0) -> Iterator[torch.Tensor]:
    """Yield each head's A, float32 (n, n), see `queries_and_keys`. Equation `eq-att-softmax` of the book."""
    for query, key in queries_and_keys(attn, hidden, sharpness):
        yield torch.softmax(query @ key.T, dim=-1)


def _where_doubles_are(read: torch.Tensor) -> torch.Tensor:
    """What was read, on the CPU if that was on a Mac's GPU, which has no float64: walks and cuts need it."""
    return read.cpu() if read.device.type == "mps" else read


class _Means:
    """Weighted running sums of heads, one per grid."""

    def __init__(self, grids: Mapping[int, Grid]) -> None:
        self.grids = grids  # number of patches -> grid
        self.sums: dict[Grid, torch.Tensor] = {}
        self.weights: dict[Grid, float] = {}

    def hear(self, query: torch.Tensor, key: torch.Tensor, weight: float) -> None:
        n, grid = len(query), self.grids[len(query)]
        if grid not in self.sums:
            self.sums[grid] = query.new_zeros(n, n)
        rows = max(BLOCK // n, 1)
        for total, some in zip(self.sums[grid].split(rows), query.split(rows), strict=True):
            total.add_(torch.softmax(some @ key.T, dim=-1), alpha=weight)
        self.weights[grid] = self.weights.get(grid, 0.0) + weight

    def hear_layer(self, query: torch.Tensor, key: torch.Tensor, weights: Sequence[float]) -> None:
        """`hear` for all heads (heads, n, d) at once: a GPU is kept waiting by many small calls."""
        if not max(weights) > 0:
            return
        heads, n, _ = query.shape
        grid = self.grids[n]
        if grid not in self.sums:
            self.sums[grid] = query.new_zeros(n, n)
        rows = max(GPU_BLOCK // (heads * n), 1)
        for total, some in zip(self.sums[grid].split(rows), query.split(rows, dim=1), strict=True):
            looks = torch.softmax(some @ key.mT, dim=-1)  # (heads, rows, n)
            if min(weights) < max(weights):
                looks.mul_(looks.new_tensor(weights)[:, None, None])
                total.add_(looks.sum(0))
            else:
                total.add_(looks.sum(0), alpha=weights[0])
        self.weights[grid] = self.weights.get(grid, 0.0) + sum(weights)

    def maps(self) -> AttentionMaps:
        means = {grid: total.div_(self.weights[grid]) for grid, total in self.sums.items()}
        return AttentionMaps({grid: _where_doubles_are(mean) for grid, mean in means.items()})


class _Kept:
    """Queries and keys of every head heard."""

    def __init__(self, grids: Mapping[int, Grid]) -> None:
        self.grids = grids
        self.heads: list[Head] = []

    def hear(self, query: torch.Tensor, key: torch.Tensor, weight: float) -> None:
        # copies: a head is a view into the whole layer's output, in which its rows lie apart
        query, key = (_where_doubles_are(part.contiguous()) for part in (query, key))
        self.heads.append(Head(self.grids[len(query)], query, key, float(weight)))


Ears = Sequence[_Means | _Kept]  # one for each picture of a batch


class _Listener:
    """A processor that notes where the layer looks, then lets the layer's own processor compute as ever."""

    def __init__(self, ears: Ears, weights: Sequence[float], sharpness: float, inner: object) -> None:
        self.ears, self.weights, self.sharpness, self.inner = ears, weights, sharpness, inner

    @torch.compiler.disable  # what it notes is new for every picture, and would be compiled anew for each
    def __call__(self, attn: Attention, hidden_states: torch.Tensor, *args: object, **kwargs: object) -> torch.Tensor:
        for ear, hidden in zip(self.ears, hidden_states.split(1), strict=True):
            if hidden.is_cuda and isinstance(ear, _Means):
                ear.hear_layer(*all_queries_and_keys(attn, hidden, self.sharpness), self.weights)
                continue
            pairs = queries_and_keys(attn, hidden, self.sharpness)
            for (query, key), weight in zip(pairs, self.weights, strict=True):
                if weight > 0:
                    ear.hear(query, key, weight)
        return self.inner(attn, hidden_states, *args, **kwargs)


@contextmanager
def listening(backbone: Backbone, ears: Ears, heads: Heads) -> Iterator[None]:
    """Listen to self-attention inside the block; the model is left as it was, also when an error is raised."""
    layers = self_attention_layers(backbone)
    for name, weights in heads.items():
        if name not in layers:
            raise InputError(f"There is no self-attention layer {name!r}: see walkcut.attention.self_attention_layers.")
        if len(weights) != layers[name].heads or min(weights) < 0:
            raise InputError(f"{name} needs {layers[name].heads} weights of at least 0, not {list(weights)}.")
    listeners = {layers[n]: _Listener(ears, w, backbone.sharpness, layers[n].processor) for n, w in heads.items()}
    with replaced(listeners):
        yield


@contextmanager
def replaced(processors: Mapping[Attention, object]) -> Iterator[None]:
    """Other processors for some layers inside the block; their own come back, also when an error is raised."""
    before = {layer: layer.processor for layer in processors}
    try:
        for layer, processor in processors.items():
            layer.processor = processor
        yield
    finally:
        for layer, processor in before.items():
            layer.processor = processor


@torch.inference_mode()
def attend(
    backbone: Backbone,
    image: np.ndarray,
    grid: int = 64,
    timesteps: Sequence[int] | None = None,
    seed: int = 0,
    heads: Heads | None = None,
    noise: str = "forward",
) -> AttentionMaps:
    """Show the denoiser a noisy picture and record where its patches look.

    Equation `eq-att-mean` of the book.

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
    noise : str
        "forward", "none" or "inversion", see `walkcut.noise.views`.

    Returns
    -------
    AttentionMaps
        One row-stochastic matrix per grid of the UNet.

    Raises
    ------
    InputError
        For a timestep out of range, an unknown layer, or a picture that is none.
    """
    return attend_batch(backbone, [image], grid, timesteps, seed, heads, noise)[0]


@torch.inference_mode()
def attend_batch(
    backbone: Backbone,
    images: Sequence[np.ndarray],
    grid: int = 64,
    timesteps: Sequence[int] | None = None,
    seed: int = 0,
    heads: Heads | None = None,
    noise: str = "forward",
) -> list[AttentionMaps]:
    """`attend` for several pictures at once, all under the same noise; a GPU that is fed so has less idle time.

    The pictures may differ in size, but not in their grid of patches (`Backbone.grid`). Other parameters and errors are
    those of `attend`, and so is the result for each picture, but for rounding.
    """
    shapes = {backbone.grid(image, grid) for image in images}
    if len(shapes) != 1:
        raise InputError(f"The pictures of a batch need one grid of patches, not {sorted(shapes)}: look one by one.")
    latent = torch.cat([backbone.encode(image, grid) for image in images])
    seen = views(backbone, latent, timesteps, seed, noise)
    means = [_Means(backbone.grids(latent)) for _ in images]
    with listening(backbone, means, _heads(backbone, heads)):
        _look(backbone, seen)
    return [mean.maps() for mean in means]


@torch.inference_mode()
def attend_heads(
    backbone: Backbone,
    image: np.ndarray,
    grid: int = 64,
    timesteps: Sequence[int] | None = None,
    seed: int = 0,
    heads: Heads | None = None,
    noise: str = "forward",
) -> tuple[Head, ...]:
    """What `attend` averages, as queries and keys: O(n d) numbers a head where a table of A would take n^2.

    Parameters and errors are those of `attend`; `walkcut.stream` walks on the result.
    """
    seen = views(backbone, latent := backbone.encode(image, grid), timesteps, seed, noise)
    kept = _Kept(backbone.grids(latent))
    with listening(backbone, [kept], _heads(backbone, heads)):
        _look(backbone, seen)
    if not kept.heads:
        raise InputError("No self-attention was captured: name at least one layer with a positive weight.")
    return tuple(kept.heads)


@torch.inference_mode()
def features(
    backbone: Backbone,
    image: np.ndarray,
    grid: int = 64,
    timesteps: Sequence[int] | None = None,
    seed: int = 0,
    layer: str | None = None,
    noise: str = "forward",
) -> Features:
    """What a layer of the denoiser says of each patch, averaged over timesteps.

    Parameters
    ----------
    backbone, image, grid, timesteps, seed
        As for `attend`.
    layer : str, optional
        A module of the denoiser, by name, whose output is one vector a patch. Default: the encoder's last
        self-attention, DiffCut's choice (Couairon et al. 2024); half-way where there is no encoder.

    Returns
    -------
    Features
        On the layer's own grid.
    """
    seen = views(backbone, latent := backbone.encode(image, grid), timesteps, seed, noise)
    with _hearing(backbone, layer) as heard:
        _look(backbone, seen)
    return _mean_features(heard, backbone.grids(latent), layer)


@torch.inference_mode()
def observe(
    backbone: Backbone,
    image: np.ndarray,
    grid: int = 64,
    timesteps: Sequence[int] | None = None,
    seed: int = 0,
    heads: Heads | None = None,
    layer: str | None = None,
    noise: str = "forward",
) -> tuple[AttentionMaps, Features]:
    """What `attend` and `features` return, from one and the same pass."""
    seen = views(backbone, latent := backbone.encode(image, grid), timesteps, seed, noise)
    means = _Means(backbone.grids(latent))
    with listening(backbone, [means], _heads(backbone, heads)), _hearing(backbone, layer) as heard:
        _look(backbone, seen)
    return means.maps(), _mean_features(heard, means.grids, layer)


@contextmanager
def _hearing(backbone: Backbone, layer: str | None) -> Iterator[list[torch.Tensor]]:
    """Collect what a layer passes on inside the block: float32 (n, d), once per pass."""
    modules = dict(backbone.denoiser.named_modules())
    if layer is None:
        layers = list(self_attention_layers(backbone))
        encoder = [name for name in layers if name.startswith("down_blocks")]
        layer = encoder[-1] if encoder else layers[len(layers) // 2]
    if not layer or layer not in modules:
        raise InputError(f"There is no layer {layer!r}: see walkcut.attention.self_attention_layers.")
    heard: list[torch.Tensor] = []

    def hear(module: torch.nn.Module, inputs: object, output: object) -> None:
        output = output[0] if isinstance(output, tuple) else getattr(output, "sample", output)
        heard.append(output[0].flatten(1).T.float() if output.ndim == 4 else output[0].float())

    handle = modules[layer].register_forward_hook(hear)
    try:
        yield heard
    finally:
        handle.remove()


def _mean_features(heard: list[torch.Tensor], grids: Mapping[int, Grid], layer: str | None) -> Features:
    if not heard or heard[0].ndim != 2 or len(heard[0]) not in grids:
        raise InputError(f"The layer {layer!r} does not give one vector a patch: name an attention layer or a block.")
    return Features(_where_doubles_are(torch.stack(heard).mean(0)), grids[len(heard[0])])


def _heads(backbone: Backbone, heads: Heads | None) -> Heads:
    """Weights of heads: those asked for, the backbone's own, or all alike."""
    if heads is not None:
        return heads
    return backbone.heads or {name: (1.0,) * layer.heads for name, layer in self_attention_layers(backbone).items()}


def _look(backbone: Backbone, seen: Sequence[View]) -> None:
    """Show the denoiser noisy latents, one pass each."""
    for latent, timestep in seen:
        backbone.denoise(latent, timestep)

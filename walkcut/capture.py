"""One way to run an eye and record what it attends to; where a network keeps its attention is a row of `ADAPTERS`.

A head of a self-attention layer turns its n = h * w patches into queries Q and keys K, both (n, d), and looks with

    A = softmax(Q K^T / sqrt(d)),        (Vaswani et al. 2017, equation 1)

so row i of A says where patch i looks, and sums to one. `capture` shows an eye pictures under noise; recorders take
from each pass what they need, and the pass ends behind the last layer that any of them wants:

    MeanAttention                            the mean of A over heads, layers and timesteps, one per grid
    walkcut.lab.recorders.QueriesAndKeys     Q and K of every head: O(n d) numbers where A takes n^2
    walkcut.lab.recorders.LayerFeatures      what a layer passes on
    walkcut.lab.words.WordAttention          which words of a prompt patches look at

From Stable Diffusion 3 on, patches and words attend to one another in one softmax; in a vision transformer, patches and
a class token, and some registers. What is kept is the block of patches among themselves, renormalised: the softmax over
patches alone.
"""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Protocol

import numpy as np
import torch
from torch.nn import Module

from walkcut.backbone import Backbone
from walkcut.errors import InputError, brief
from walkcut.noise import views
from walkcut.recipe import Preset, Recipe, resolve
from walkcut.threads import undisturbed

Grid = tuple[int, int]
BLOCK = 2**22  # numbers of a head's A that are held at once
SHARPEST = 1e6  # scores times more overflow, and a softmax of theirs has chosen already
GPU_BLOCK = 2**24  # of all heads' A, on a GPU: at 64 x 64 patches as many as one head has


# ---------------------------------------------------------------------------------------------------------------------
# What differs between networks


@dataclass(frozen=True)
class Adapter:
    """Where a kind of network keeps its attention. A new kind is a new row of `ADAPTERS`, see `walkcut.eyes`.

    Attributes
    ----------
    selves, words : tuple of str
        Endings of the names of modules in which patches attend to patches, and to words.
    blocks : tuple of str
        Beginnings of the names of modules, in the order of the forward pass.
    project : callable
        From such a module, the hidden state that enters it, (b, n, channels), and further inputs by name, to Q and K,
        (b, heads, n, d).
    marker : str
        What such a module has, and others of the same ending have not.
    heads : callable
        From such a module to the number of its heads.
    """

    selves: tuple[str, ...]
    words: tuple[str, ...]
    blocks: tuple[str, ...]
    project: Callable[[Any, torch.Tensor, Mapping[str, Any]], tuple[torch.Tensor, torch.Tensor]]
    marker: str = "to_q"
    heads: Callable[[Any], int] = attrgetter("heads")


def by_head(attn: Any, projected: torch.Tensor, norm: Module | None) -> torch.Tensor:
    """What a layer projects (b, n, heads * d), head by head (b, heads, n, d), normalised where the layer does so."""
    heads = projected.unflatten(-1, (attn.heads, -1)).transpose(1, 2)
    return heads if norm is None else norm(heads)


def project(attn: Any, hidden: torch.Tensor, options: Mapping[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
    """Of an `Attention` of diffusers, or of `walkcut.eyes.encoder`."""
    return by_head(attn, attn.to_q(hidden), attn.norm_q), by_head(attn, attn.to_k(hidden), attn.norm_k)


ADAPTERS = {"unet": Adapter((".attn1",), (".attn2",), ("down_blocks", "mid_block", "up_blocks"), project)}


def attention_layers(backbone: Backbone, network: Module | None = None, words: bool = False) -> dict[str, Any]:
    """Modules in which patches attend to patches, or to words, by name, in the order of the forward pass.

    Of the whole denoiser, or of another network of the same kind.
    """
    adapter = ADAPTERS[backbone.kind]
    endings = adapter.words if words else adapter.selves
    named = (network or backbone.denoiser).named_modules()
    found = {name: module for name, module in named if name.endswith(endings) and hasattr(module, adapter.marker)}
    if not adapter.blocks:  # a chain, which is built in the order of its pass
        return found
    return dict(sorted(found.items(), key=lambda item: adapter.blocks.index(item[0].split(".")[0])))


def head_count(backbone: Backbone, attn: Any) -> int:
    """Heads of one of an eye's layers."""
    return ADAPTERS[backbone.kind].heads(attn)


def queries_and_keys(
    backbone: Backbone,
    attn: Any,
    hidden: torch.Tensor,
    inverse_temperature: float = 1.0,
    options: Mapping[str, Any] | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Q, scaled so that A = softmax(Q K^T), and K of all heads, float32 (b, heads, n, d), of the patches alone.

    For the hidden state (b, tokens, channels) that enters a layer, and further inputs by name. With an inverse
    temperature of 1 this is what the layer itself uses; its scores are multiplied by any other.
    """
    query, key = ADAPTERS[backbone.kind].project(attn, hidden, options or {})
    query, key = (part[:, :, backbone.others :].float() for part in (query, key))
    scale = getattr(attn, "scale", query.shape[-1] ** -0.5)
    return query * (scale * min(inverse_temperature, SHARPEST)), key


# ---------------------------------------------------------------------------------------------------------------------
# What is recorded


@dataclass(frozen=True, eq=False)
class AttentionMaps:
    """Mean self-attention of one picture.

    Attributes
    ----------
    maps : dict of (h, w) to float32 Tensor (h*w, h*w)
        Row-stochastic; patches are numbered row by row.
    """

    maps: dict[Grid, torch.Tensor]

    __repr__ = brief

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


@dataclass(frozen=True)
class Scene:
    """What a recorder is told before the first pass: the eye, the settings, the grids by number of patches."""

    backbone: Backbone
    recipe: Recipe
    grids: Mapping[int, Grid]
    pictures: int


class Recorder(Protocol):
    """Takes what it needs of each pass.

    `begin` names the layers that it wants, by the name of their module; `record` is called in each pass for each of
    these, with the hidden state that enters (b, n, channels), further inputs by name, and, where `output` is true, what
    the layer returns in the place of what enters. `results` are one for each picture.
    """

    output: bool

    def begin(self, scene: Scene) -> Sequence[str]: ...

    def record(self, name: str, layer: Any, hidden: Any, options: Mapping[str, Any]) -> None: ...

    def results(self) -> Sequence[Any]: ...


def where_doubles_are(read: torch.Tensor) -> torch.Tensor:
    """What was read, on the CPU if that was on a Mac's GPU, which has no float64: walks and cuts need it."""
    return read.cpu() if read.device.type == "mps" else read


class HeadRecorder:
    """What recorders of self-attention share: which layers they hear, and queries and keys picture by picture."""

    output = False

    def begin(self, scene: Scene) -> Sequence[str]:
        self.scene, self.weights = scene, _weights(scene.backbone, scene.recipe.heads)
        return [name for name, weights in self.weights.items() if max(weights) > 0]

    def record(self, name: str, layer: Any, hidden: torch.Tensor, options: Mapping[str, Any]) -> None:
        scene = self.scene
        query, key = queries_and_keys(scene.backbone, layer, hidden, scene.recipe.inverse_temperature, options)
        for picture in range(len(hidden)):
            self.keep(picture, scene.grids[query.shape[2]], query[picture], key[picture], self.weights[name])

    def keep(self, picture: int, grid: Grid, query: torch.Tensor, key: torch.Tensor, weights: Sequence[float]) -> None:
        """Take in the heads (heads, n, d) of a layer."""
        raise NotImplementedError


def _weights(backbone: Backbone, asked: Mapping[str, Sequence[float]]) -> dict[str, Sequence[float]]:
    """Of the heads of each layer: those asked for, or 1 for every one. A layer that is not there is refused."""
    layers = attention_layers(backbone, backbone.networks.first)
    if not asked or not set(asked) <= set(layers):
        layers = attention_layers(backbone)
    for name, weights in asked.items():
        if name not in layers:
            known = "see walkcut.capture.attention_layers"
            raise InputError(f"There is no self-attention layer {name!r} in {backbone.name}: {known}.")
        if len(weights) != (heads := head_count(backbone, layers[name])):
            raise InputError(f"{name} needs {heads} weights of at least 0, not {list(weights)}.")
    return dict(asked) or {name: (1.0,) * head_count(backbone, layer) for name, layer in layers.items()}


class MeanAttention(HeadRecorder):
    """Weighted mean of A over heads, layers and timesteps, one per grid: `AttentionMaps` for each picture.

    Equations `eq-att-softmax` and `eq-att-mean` of the book. Never more than some rows of A are held beside the means.
    """

    def begin(self, scene: Scene) -> Sequence[str]:
        self.sums: list[dict[Grid, torch.Tensor]] = [{} for _ in range(scene.pictures)]
        self.totals: list[dict[Grid, float]] = [{} for _ in range(scene.pictures)]
        return super().begin(scene)

    def keep(self, picture: int, grid: Grid, query: torch.Tensor, key: torch.Tensor, weights: Sequence[float]) -> None:
        n, sums, totals = query.shape[1], self.sums[picture], self.totals[picture]
        if grid not in sums:
            sums[grid] = query.new_zeros(n, n)
        add = _add_together if query.is_cuda else _add_one_by_one
        add(sums[grid], query, key, weights)
        totals[grid] = totals.get(grid, 0.0) + sum(weights)

    def results(self) -> Sequence[Any]:
        pairs = zip(self.sums, self.totals, strict=True)
        means = [{grid: total.div_(totals[grid]) for grid, total in sums.items()} for sums, totals in pairs]
        return [AttentionMaps({grid: where_doubles_are(A) for grid, A in mean.items()}) for mean in means]


def _add_one_by_one(total: torch.Tensor, query: torch.Tensor, key: torch.Tensor, weights: Sequence[float]) -> None:
    """Add a layer's weighted A to total (n, n)."""
    rows = max(BLOCK // len(total), 1)
    for q, k, weight in zip(query, key, weights, strict=True):
        for some, part in zip(q.split(rows), total.split(rows), strict=True):
            if weight > 0:
                part.add_(torch.softmax(some @ k.T, dim=-1), alpha=weight)


def _add_together(total: torch.Tensor, query: torch.Tensor, key: torch.Tensor, weights: Sequence[float]) -> None:
    """The same for all heads at once: a GPU is kept waiting by many small calls."""
    rows = max(GPU_BLOCK // (len(query) * len(total)), 1)
    for some, part in zip(query.split(rows, dim=1), total.split(rows), strict=True):
        looks = torch.softmax(some @ key.mT, dim=-1)  # (heads, rows, n)
        if min(weights) < max(weights):
            part.add_(looks.mul_(looks.new_tensor(weights)[:, None, None]).sum(0))
        else:
            part.add_(looks.sum(0), alpha=weights[0])


# ---------------------------------------------------------------------------------------------------------------------
# Running and recording


@undisturbed()
@torch.inference_mode()
def capture(
    backbone: Backbone, images: Sequence[np.ndarray], recipe: Recipe, *recorders: Recorder
) -> list[tuple[Any, ...]]:
    """Show an eye pictures and record what it does; one pass per timestep for all pictures and recorders.

    The eye is held for as long as that takes, so that several threads may share it; it is left as it was, also when an
    error is raised.

    Parameters
    ----------
    backbone : Backbone
    images : sequence of uint8 (H, W, 3)
        They may differ in size, but not in their grid of patches (`Backbone.grid`).
    recipe : Recipe
        Its grid, noise, timesteps, seed, heads and inverse temperature count here.
    *recorders : Recorder

    Returns
    -------
    list of tuple
        For each picture, the result of each recorder.

    Raises
    ------
    InputError
        For pictures of several grids, or a layer that is not there.
    """
    shapes = {backbone.grid(image, recipe.grid) for image in images}
    if len(shapes) != 1:
        raise InputError(f"The pictures of a batch need one grid of patches, not {sorted(shapes)}: look one by one.")
    with backbone.networks.lock:
        latent = torch.cat([backbone.encode(image, recipe.grid) for image in images])
        scene = Scene(backbone, recipe, backbone.grids(latent), len(images))
        wanted = [(recorder, name) for recorder in recorders for name in recorder.begin(scene)]
        network = _network(backbone, [name for _, name in wanted])
        shown = views(backbone, latent, recipe)
        with _recording(network, wanted) as missed:
            for noisy, timestep in shown:
                missed.update(range(len(wanted)))
                with suppress(_Enough):
                    backbone.run(network, noisy, timestep)
    return list(zip(*(recorder.results() for recorder in recorders), strict=True))


def _network(backbone: Backbone, names: Sequence[str]) -> Module:
    """The smallest network of an eye that has all these layers."""
    if not names:
        raise InputError("No self-attention was captured: name at least one layer with a positive weight.")
    first = backbone.networks.first
    if first is not None and set(names) <= {name for name, _ in first.named_modules() if name}:
        return first
    known = {name for name, _ in backbone.denoiser.named_modules()}
    for name in names:
        if not name or name not in known:
            raise InputError(f"There is no layer {name!r} in {backbone.name}: see walkcut.capture.attention_layers.")
    return backbone.denoiser


class _Enough(Exception):
    """Ends a pass."""


@contextmanager
def _recording(network: Module, wanted: Sequence[tuple[Recorder, str]]) -> Iterator[set[int]]:
    """Inside the block, recorders are called for their layers; yields the numbers of those not yet passed."""
    missed: set[int] = set()

    def hook(number: int) -> Callable[..., None]:
        recorder, name = wanted[number]

        def call(layer: Module, inputs: tuple[Any, ...], options: Mapping[str, Any], output: Any = None) -> None:
            hidden = inputs[0] if inputs else options["hidden_states"]
            recorder.record(name, layer, output if recorder.output else hidden, options)
            missed.discard(number)
            if not missed:
                raise _Enough

        # what it notes is new for every picture, and would be compiled anew for each; where nothing was compiled, the
        # compiler is not even loaded, which takes two seconds
        return torch.compiler.disable(call) if "torch._dynamo" in sys.modules else call

    with ExitStack() as hooks:
        for number, (recorder, name) in enumerate(wanted):
            layer = network.get_submodule(name)
            register = layer.register_forward_hook if recorder.output else layer.register_forward_pre_hook
            hooks.callback(register(hook(number), with_kwargs=True).remove)
        yield missed


def attend(backbone: Backbone, image: np.ndarray, preset: str | Preset = "walkcut", **settings: Any) -> AttentionMaps:
    """Where the patches of a picture look: `capture` with `MeanAttention`.

    Parameters
    ----------
    backbone : Backbone
    image : uint8 (H, W, 3)
    preset : str or Preset
    **settings
        Fields of `walkcut.recipe.Recipe`: grid, timesteps, seed, heads, noise, inverse_temperature.

    Returns
    -------
    AttentionMaps
        One row-stochastic matrix per grid.
    """
    return capture(backbone, [image], resolve(preset, backbone.eye, settings), MeanAttention())[0][0]

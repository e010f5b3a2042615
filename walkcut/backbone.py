"""An eye with its weights, as the embedded denoiser is one: a UNet that looks at 2x2 pixels a patch, under noise.

What differs from it in a Stable Diffusion (the latent of a VAE, what else it is told, a flow) or a vision transformer
(no noise) stands in the file of `walkcut.eyes` that reads the weights of its family.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from threading import RLock
from typing import Any

import numpy as np
import torch
from torch.nn import Module, functional

from walkcut.errors import InputError, ModelError
from walkcut.images import check_image, resize_image
from walkcut.recipe import FINEST, Eye
from walkcut.threads import kept_in_forks


class Networks:
    """The networks of an eye; the whole denoiser of the embedded one is loaded when it is first asked for.

    Parameters
    ----------
    load : callable
        Returns the denoiser and its scheduler.
    first : Module, optional
        The encoder alone, which suffices for what is read by default.
    """

    def __init__(self, load: Callable[[], tuple[Module, Any]], first: Module | None = None) -> None:
        self.load, self.first = load, first
        self.loaded: tuple[Module, Any] | None = None
        self.lock = kept_in_forks(RLock())  # who records what a network computes has it alone

    def __reduce__(self) -> tuple:
        return Networks, (self.load, self.first)  # a copy has a lock of its own

    @property
    def whole(self) -> tuple[Module, Any]:
        if self.loaded is None:
            with self.lock:
                self.loaded = self.loaded or self.load()  # another thread may have loaded it meanwhile
        return self.loaded


@dataclass(frozen=True, eq=False)
class Backbone:
    """An eye ready to look at pictures.

    Attributes
    ----------
    eye : Eye
        What is known of it without its weights.
    kind : str
        "unet"; "flow" for a transformer whose noise comes by a straight flow, x = (1 - s) latent + s noise; "vision"
        for a vision transformer.
    networks : Networks
    alphas : float32 Tensor (1000,) or None
        Share of the signal's variance that is left at each timestep; None for a flow, or without noise.
    context : Tensor (1, tokens, channels)
        What cross-attention sees: the prompt, by default the empty one.
    vocabulary : dict of str to Tensor (channels,)
        The embedded denoiser's words; empty for a model with a text encoder.
    spans : dict of str to tuple of int
        Words of the prompt, each with the places of its tokens in the context.
    others : int
        Tokens before those of the patches: class and registers.
    """

    eye: Eye
    kind: str
    networks: Networks = field(repr=False)
    alphas: torch.Tensor | None = field(repr=False)
    context: torch.Tensor = field(repr=False)
    vocabulary: dict[str, torch.Tensor] = field(default_factory=dict, repr=False)
    spans: dict[str, tuple[int, ...]] = field(default_factory=dict, repr=False)
    others: int = 0

    @property
    def name(self) -> str:
        return self.eye.name

    @property
    def denoiser(self) -> Any:
        """UNet2DConditionModel or SD3Transformer2DModel, in evaluation mode."""
        return self.networks.whole[0]

    @property
    def scheduler(self) -> Any:
        """DDIMScheduler or FlowMatchEulerDiscreteScheduler, of the model's own settings."""
        return self.networks.whole[1]

    # The prompt tells where and how the denoiser computes: diffusers looks through all modules to answer that.

    @property
    def device(self) -> torch.device:
        return self.context.device

    @property
    def dtype(self) -> torch.dtype:
        """Of the denoiser."""
        return self.context.dtype

    @cached_property
    def shrinks(self) -> tuple[int, ...]:
        """Latent pixels along a side of a patch, for each level from the finest with attention to the coarsest."""
        config: Any = (self.networks.first or self.denoiser).config
        if self.kind != "unet":
            return (config.patch_size,)
        attending = [i for i, kind in enumerate(config.down_block_types) if "CrossAttn" in kind]
        if not attending:
            raise ModelError(f"The model {self.name!r} has no attention to read: choose another.")
        return tuple(2**level for level in range(attending[0], len(config.block_out_channels)))

    @property
    def patch(self) -> int:
        """Side in pixels of a patch of the finest attention."""
        return 2 * self.shrinks[0]

    def grid(self, image: np.ndarray, longest: int) -> tuple[int, int]:
        """Patches (h, w) of the finest attention for a picture: `longest` along its longer side, its aspect kept.

        Both sides are multiples of the coarsest patch, so that the grids of all resolutions align. Where the shorter
        side would be less than one of these, as of a long panorama, both sides get more patches, until the shorter has
        two of them: never more than a square picture, nor than there are pixels.
        """
        step = self.shrinks[-1] // self.shrinks[0]
        if longest < step:
            raise InputError(f"A grid of {longest} patches is too coarse for {self.name}: choose at least {step}.")
        if longest > FINEST:
            raise InputError(f"A grid of {longest} patches needs too much memory: choose at most {FINEST}.")
        shorter, longer = sorted(image.shape[:2])
        scale = longest / longer
        room = min(longest * (shorter / longer) ** 0.5, shorter)  # with all patches of a square, or one for each pixel
        # a flow's transformer knows no places beyond those that it learnt
        if shorter * scale < step <= room and self.kind != "flow":
            scale = min(2 * step, room) / shorter
        h, w = (max(round(side * scale / step), 1) * step for side in image.shape[:2])
        return h, w

    def grids(self, latent: torch.Tensor) -> dict[int, tuple[int, int]]:
        """Number of patches -> (h, w), for every level that may attend to a latent (1, channels, H, W)."""
        height, width = latent.shape[-2:]
        sizes = [(height // shrink, width // shrink) for shrink in self.shrinks]
        return {h * w: (h, w) for h, w in sizes}

    def prompted(self, words: Sequence[str]) -> Backbone:
        """The same denoiser told these words of its vocabulary: one token each, and an empty one behind them."""
        for word in words:
            if word not in self.vocabulary:
                known = ", ".join(self.vocabulary) or "none"
                raise InputError(f"The model {self.name} does not know the word {word!r}: it knows {known}.")
        empty = self.context.new_zeros(1, 1, self.context.shape[2])
        tokens = [self.vocabulary[word].to(empty).view(1, 1, -1) for word in words]
        spans: dict[str, tuple[int, ...]] = {word: (place,) for place, word in enumerate(words)}
        eye = replace(self.eye, prompt=" ".join(words))
        return replace(self, eye=eye, context=torch.cat([*tokens, empty], 1), spans=spans)

    @torch.inference_mode()
    def encode(self, image: np.ndarray, grid: int = 64) -> torch.Tensor:
        """The latent of a picture, resized to `grid` patches of the finest attention along its longer side.

        Parameters
        ----------
        image : uint8 (H, W, 3)
        grid : int

        Returns
        -------
        Tensor (1, channels, h, w), on the backbone's device, in its dtype
        """
        image = check_image(image)
        h, w = self.grid(image, grid)
        small = resize_image(image, (h * self.patch, w * self.patch))
        pixels = torch.from_numpy(small.copy()).permute(2, 0, 1)[None].to(self.device, torch.float32) / 127.5 - 1
        return self.latent(pixels)

    def latent(self, pixels: torch.Tensor) -> torch.Tensor:
        """What the network sees of pixels from -1 to 1 (b, 3, H, W): two by two, rearranged and nothing lost."""
        return functional.pixel_unshuffle(pixels, 2).to(self.dtype)

    @torch.inference_mode()
    def add_noise(self, latent: torch.Tensor, timestep: int, generator: torch.Generator) -> torch.Tensor:
        """The latent after `timestep` of 1000 steps of forward noise, drawn on the CPU so that devices agree.

        Equation `eq-att-forward` of the book. Latents of several pictures (b, channels, H, W) get the same noise, so
        that none depends on the others.
        """
        noise = torch.randn((1, *latent.shape[1:]), generator=generator, dtype=torch.float32).to(latent)
        if self.alphas is None:
            return torch.lerp(latent, noise, timestep / 1000)
        signal = self.alphas.to(latent)[timestep]
        return signal**0.5 * latent + (1 - signal) ** 0.5 * noise

    @torch.inference_mode()
    def denoise(self, latent: torch.Tensor, timestep: float) -> torch.Tensor:
        """One pass of the denoiser over latents (b, channels, H, W); it waits while another thread records one."""
        with self.networks.lock:
            return self.run(self.denoiser, latent, timestep).sample

    def run(self, network: Module, latent: torch.Tensor, timestep: float) -> Any:
        """One pass of one of the eye's networks; `walkcut.capture` records what happens inside."""
        steps = torch.full((len(latent),), timestep, device=latent.device, dtype=torch.float32)
        return network(latent, steps, encoder_hidden_states=self.context.expand(len(latent), -1, -1))

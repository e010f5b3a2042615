"""A denoiser and its encoder: the embedded one, or a Stable Diffusion in diffusers format.

Both are a `UNet2DConditionModel`, so everything below this file treats them alike. What differs is the latent: the
embedded denoiser looks at 2x2 pixels a patch, rearranged and nothing lost; Stable Diffusion at the latent of a VAE.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch.nn import functional

from walkcut.errors import InputError
from walkcut.images import check_image, resize_image

EMBEDDED = {"dead-leaves": Path(__file__).parent / "weights" / "dead-leaves"}
DEFAULT_TIMESTEPS = (100,)
VOCABULARY = "vocabulary.safetensors"  # a vector for each word that the embedded denoiser knows
FINEST = 128  # patches along a side: the matrix of the walk then fills 1 GB


@dataclass(frozen=True)
class Backbone:
    """A denoiser ready to look at pictures.

    Attributes
    ----------
    name : str
    unet : UNet2DConditionModel, in evaluation mode
    scheduler : DDIMScheduler, for the noise schedule
    vae : AutoencoderKL or None
        None means that a latent is 2x2 pixels, rearranged.
    context : Tensor (1, tokens, channels)
        What cross-attention sees: the empty prompt.
    timesteps : tuple of int
        Where to read attention unless told otherwise, 0 (no noise) to 999.
    heads : dict of str to tuple of float
        Weights of heads per self-attention layer, by module name; a layer not named weighs nothing. Empty: all alike.
    locality : float or None
        Width of the prior on distance that suits this model, see `walkcut.walk.Walk.local`.
    sharpness : float
        Scores are multiplied by it before the softmax when attention is read; above 1 a broad model looks less far
        afield. What the model itself computes is left alone.
    ceiling : float
        The NCut that this model finds where there is nothing to cut (white noise), as a share of what a walk without
        memory would give; the automatic threshold stays below it.
    vocabulary : dict of str to Tensor (channels,)
        The embedded denoiser's words; empty for a model with a text encoder.
    """

    name: str
    unet: UNet2DConditionModel
    scheduler: DDIMScheduler
    vae: AutoencoderKL | None
    context: torch.Tensor
    timesteps: tuple[int, ...] = DEFAULT_TIMESTEPS
    heads: dict[str, tuple[float, ...]] = field(default_factory=dict)
    locality: float | None = None
    sharpness: float = 1.0
    ceiling: float = 1.0
    vocabulary: dict[str, torch.Tensor] = field(default_factory=dict)

    @property
    def device(self) -> torch.device:
        return self.unet.device

    @property
    def patch(self) -> int:
        """Side of a patch in pixels."""
        return 2 if self.vae is None else 2 ** (len(self.vae.config.block_out_channels) - 1)

    def grid(self, image: np.ndarray, longest: int) -> tuple[int, int]:
        """Patches (h, w) for a picture: `longest` along its longer side, its aspect kept.

        Both sides are multiples of the UNet's coarsest step, so that the grids of all resolutions align.
        """
        step = 2 ** (len(self.unet.config.block_out_channels) - 1)
        if longest < step:
            raise InputError(f"A grid of {longest} patches is too coarse for {self.name}: choose at least {step}.")
        if longest > FINEST:
            raise InputError(f"A grid of {longest} patches needs too much memory: choose at most {FINEST}.")
        scale = longest / max(image.shape[:2])
        h, w = (max(round(side * scale / step), 1) * step for side in image.shape[:2])
        return h, w

    def prompted(self, words: Sequence[str]) -> Backbone:
        """The same denoiser told these words of its vocabulary: one token each, and an empty one behind them."""
        for word in words:
            if word not in self.vocabulary:
                known = ", ".join(self.vocabulary) or "none"
                raise InputError(f"The model {self.name} does not know the word {word!r}: it knows {known}.")
        empty = self.context.new_zeros(1, 1, self.context.shape[2])
        tokens = [self.vocabulary[word].to(empty).view(1, 1, -1) for word in words]
        return replace(self, context=torch.cat([*tokens, empty], 1))

    @torch.inference_mode()
    def encode(self, image: np.ndarray, grid: int = 64) -> torch.Tensor:
        """The latent of a picture, resized to `grid` patches along its longer side.

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
        pixels = torch.from_numpy(small.copy()).permute(2, 0, 1)[None].to(self.device, self.unet.dtype) / 127.5 - 1
        if self.vae is None:
            return functional.pixel_unshuffle(pixels, 2)
        return self.vae.encode(pixels).latent_dist.mode() * self.vae.config.scaling_factor

    @torch.inference_mode()
    def add_noise(self, latent: torch.Tensor, timestep: int, generator: torch.Generator) -> torch.Tensor:
        """The latent after `timestep` of 1000 steps of forward noise, drawn on the CPU so that devices agree."""
        noise = torch.randn(latent.shape, generator=generator).to(latent)
        return self.scheduler.add_noise(latent, noise, torch.tensor([timestep], device=latent.device))

    @torch.inference_mode()
    def denoise(self, latent: torch.Tensor, timestep: int) -> torch.Tensor:
        """One pass of the UNet; `walkcut.attention` listens in."""
        steps = torch.tensor([timestep], device=latent.device)
        return self.unet(latent, steps, encoder_hidden_states=self.context).sample


def model_names() -> tuple[str, ...]:
    """Short names that `load_backbone` knows."""
    return tuple(EMBEDDED)


def find_device(device: str = "auto") -> torch.device:
    """A torch device that is really there; "auto" takes a GPU if there is one."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(device)
        torch.zeros(1, device=found).item()
    except (RuntimeError, AssertionError, NotImplementedError):
        raise InputError(f"The device {device!r} is not available here: choose cpu or auto.") from None
    return found


def model_folder(model: str) -> Path:
    """Where a model lies: a short name's own folder, or the folder that was named."""
    if model in EMBEDDED:
        return EMBEDDED[model]
    folder = Path(model)
    if not (folder / "unet" / "config.json").is_file():
        raise InputError(
            f"There is no model {model!r}: choose {', '.join(EMBEDDED)} or a folder in diffusers format "
            "(with unet/, scheduler/ and, for a latent model, vae/)."
        )
    return folder


def _empty_prompt(folder: Path, width: int, device: torch.device) -> torch.Tensor:
    """What the text encoder makes of "" (1, tokens, width); zeros where there is no text encoder."""
    if not (folder / "text_encoder").is_dir():
        return torch.zeros(1, 1, width, device=device)
    from transformers import CLIPTextModel, CLIPTokenizer

    tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer")
    encoder = CLIPTextModel.from_pretrained(folder / "text_encoder").to(device).eval()
    tokens = tokenizer("", padding="max_length", max_length=tokenizer.model_max_length, return_tensors="pt")
    with torch.inference_mode():
        return encoder(tokens.input_ids.to(device)).last_hidden_state


def load_backbone(model: str = "dead-leaves", device: str = "auto") -> Backbone:
    """Load a denoiser by short name, or from a local folder in diffusers format. Nothing is downloaded.

    Parameters
    ----------
    model : str
        A name of `model_names()` or a folder with `unet/`, `scheduler/` and, for latent models, `vae/`,
        `text_encoder/` and `tokenizer/`. Pickled weights are refused.
    device : str
        "auto", "cpu", "cuda", "cuda:1", "mps".

    Raises
    ------
    InputError
        For an unknown model, unreadable weights, or a device that is not there.
    """
    where, folder = find_device(device), model_folder(model)
    try:
        return _read(model, folder, where)
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError, SafetensorError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(f"The weights of {model!r} cannot be read ({reason}): fetch or copy them again.") from error


def _read(name: str, folder: Path, device: torch.device) -> Backbone:
    """The backbone in a folder; damage raises whatever it raises."""
    local = dict(local_files_only=True, use_safetensors=True)
    unet = UNet2DConditionModel.from_pretrained(folder / "unet", torch_dtype=torch.float32, **local)
    vae = AutoencoderKL.from_pretrained(folder / "vae", **local) if (folder / "vae").is_dir() else None
    readout = json.loads((folder / "readout.json").read_text()) if (folder / "readout.json").is_file() else {}
    return Backbone(
        name=name,
        unet=_settled(unet, device),
        scheduler=DDIMScheduler.from_pretrained(folder / "scheduler", local_files_only=True),
        vae=_settled(vae, device) if vae else None,
        context=_empty_prompt(folder, unet.config.cross_attention_dim, device),
        timesteps=tuple(readout.get("timesteps", DEFAULT_TIMESTEPS)),
        heads={layer: tuple(weights) for layer, weights in readout.get("heads", {}).items()},
        locality=readout.get("locality"),
        sharpness=readout.get("sharpness", 1.0),
        ceiling=readout.get("ceiling", 1.0),
        vocabulary=load_file(folder / VOCABULARY) if (folder / VOCABULARY).is_file() else {},
    )


def _settled(module: torch.nn.Module, device: torch.device) -> torch.nn.Module:
    """A module on its device, for use alone; one whose file lacks a weight is refused."""
    missing = [name for name, parameter in module.named_parameters() if parameter.is_meta]
    if missing:
        raise ValueError(f"{missing[0]} is missing")
    return module.to(device).eval().requires_grad_(False)

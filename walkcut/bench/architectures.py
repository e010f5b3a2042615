"""Denoisers with the real architectures and random weights: for times, memory and tests where no weights are at hand.

The settings are those that each repository in `walkcut.eyes.models` gives in `unet/config.json` or
`transformer/config.json`, and in `vae/config.json`, as far as they were known here; a test compares the number of
parameters with what is published.
"""

import json
from pathlib import Path
from typing import Any

import diffusers
import torch

from walkcut.backbone import Backbone, Networks
from walkcut.errors import InputError
from walkcut.eyes.stable import LatentBackbone, offload_layers
from walkcut.recipe import Eye

Config = dict[str, Any]  # what differs from the defaults of diffusers, which are Stable Diffusion 1's
# Denoisers by the name of their model; VAEs; and what makes the former small, for tests
NETWORKS, VAES, SMALL = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8")).values()
TOKENS = 77  # of a prompt; Stable Diffusion 3 has 256 more of its third encoder


def network_config(name: str, small: bool = False) -> Config:
    """Settings of a model's denoiser; `small` keeps its blocks and layers, with few heads and channels."""
    if name not in NETWORKS:
        raise InputError(f"The architecture of {name!r} is not known: choose from {', '.join(NETWORKS)}.")
    return NETWORKS[name] | (SMALL[name] if small else {})


def vae_config(name: str, small: bool = False) -> Config:
    """Settings of a model's VAE; `small` keeps its levels, with few channels."""
    config = VAES["latent of 16" if "patch_size" in NETWORKS[name] else "latent of 4"]
    return config | {"block_out_channels": (8, 8, 8, 8), "norm_num_groups": 4} if small else config


def random_backbone(
    name: str,
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
    small: bool = False,
    offload: bool = False,
    **changes: Any,
) -> Backbone:
    """A backbone that computes as the model of this name does, and knows nothing.

    Parameters
    ----------
    name : str
        One of `NETWORKS`.
    device, dtype
        Of the denoiser; the VAE computes in float32.
    small : bool
        See `network_config`.
    offload : bool
        As for `walkcut.load_backbone`.
    **changes
        Of the denoiser's settings.
    """
    config = network_config(name, small) | changes
    flow = "patch_size" in config
    network = diffusers.SD3Transformer2DModel if flow else diffusers.UNet2DConditionModel
    where = torch.device(device)
    with torch.random.fork_rng(), torch.device("cpu") if offload else where:
        torch.manual_seed(0)
        denoiser, vae = network(**config).to(dtype), diffusers.AutoencoderKL(**vae_config(name, small))
        width = config["joint_attention_dim" if flow else "cross_attention_dim"]
        context = torch.randn(1, TOKENS + 256 if flow else TOKENS, width, dtype=dtype)
        pooled = torch.randn(1, pooled_width(config), dtype=dtype) if pooled_width(config) else None
    betas = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
    diffusion = diffusers.DDIMScheduler(**betas, clip_sample=False, steps_offset=1)
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0) if flow else diffusion
    denoiser, vae = (part.eval().requires_grad_(False) for part in (denoiser, vae))
    if offload:
        offload_layers(where, denoiser, vae)
    context, pooled = context.to(where), None if pooled is None else pooled.to(where)
    eye = Eye(name, dtype=str(dtype).removeprefix("torch."))
    alphas = None if flow else diffusion.alphas_cumprod
    kind, networks = "flow" if flow else "unet", Networks(lambda: (denoiser, scheduler))
    return LatentBackbone(eye, kind, networks, alphas, context, vae=vae, pooled=pooled)


def pooled_width(config: dict) -> int:
    """Length of the prompt as one vector; 0 where a model is not told it."""
    if "patch_size" in config:
        return config["pooled_projection_dim"]
    return config.get("projection_class_embeddings_input_dim", 0) - 6 * config.get("addition_time_embed_dim", 0)

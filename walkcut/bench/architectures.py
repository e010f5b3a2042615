"""Denoisers with the real architectures and random weights: for times, memory and tests where no weights are at hand.

The settings are those that each repository in `walkcut.eyes.models` gives in `unet/config.json` or
`transformer/config.json`, and in `vae/config.json`, as far as they were known here; a test compares the number of
parameters with what is published.
"""

from __future__ import annotations

from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    FlowMatchEulerDiscreteScheduler,
    SD3Transformer2DModel,
    UNet2DConditionModel,
)

from walkcut.backbone import Backbone, Networks
from walkcut.errors import InputError
from walkcut.eyes.stable import offload_layers
from walkcut.recipe import Eye

Config = dict[str, Any]  # what differs from the defaults of diffusers, which are Stable Diffusion 1's
SD1: Config = {"attention_head_dim": 8, "cross_attention_dim": 768}
SD2: Config = {"attention_head_dim": (5, 10, 20, 20), "cross_attention_dim": 1024, "use_linear_projection": True}
SDXL: Config = {"block_out_channels": (320, 640, 1280), "attention_head_dim": (5, 10, 20), "cross_attention_dim": 2048}
SDXL |= {"down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D")}
SDXL |= {"up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D")}
SDXL |= {"transformer_layers_per_block": (1, 2, 10), "use_linear_projection": True}
SDXL |= {"addition_embed_type": "text_time", "addition_time_embed_dim": 256}
SDXL |= {"projection_class_embeddings_input_dim": 2816}
SSD = SDXL | {"mid_block_type": "UNetMidBlock2D", "transformer_layers_per_block": (1, 2, (4, 4))}
SSD |= {"reverse_transformer_layers_per_block": ((4, 4, 10), (2, 1, 1), 1)}
VEGA = SSD | {"transformer_layers_per_block": (1, 1, (2, 2))}
VEGA |= {"reverse_transformer_layers_per_block": ((2, 2, 2), (1, 1, 1), 1)}
SD3: Config = {"patch_size": 2, "num_layers": 24, "num_attention_heads": 24, "joint_attention_dim": 4096}
SD3 |= {"caption_projection_dim": 1536, "pooled_projection_dim": 2048, "pos_embed_max_size": 192}
SD35 = SD3 | {"qk_norm": "rms_norm", "dual_attention_layers": tuple(range(13)), "pos_embed_max_size": 384}
NETWORKS = {"sd-1.4": SD1, "sd-1.5": SD1, "sd-2.1": SD2, "ssd-1b": SSD, "segmind-vega": VEGA, "sdxl": SDXL}
NETWORKS |= {"sd-3": SD3, "sd-3.5": SD35}

VAE: Config = {"block_out_channels": (128, 256, 512, 512), "layers_per_block": 2, "latent_channels": 4}
VAE |= {"down_block_types": ("DownEncoderBlock2D",) * 4, "up_block_types": ("UpDecoderBlock2D",) * 4}
VAE_FLOW = VAE | {"latent_channels": 16, "scaling_factor": 1.5305, "shift_factor": 0.0609}
VAE_FLOW |= {"use_quant_conv": False, "use_post_quant_conv": False}
# The same blocks and layers with few heads and channels, for tests: of a U-Net, of one with pooled prompts, of SD 3
SMALL: Config = {"block_out_channels": (8, 16, 32, 32), "norm_num_groups": 4, "attention_head_dim": 2}
SMALL |= {"cross_attention_dim": 16}
SMALL_XL = SMALL | {"block_out_channels": (8, 16, 32), "addition_time_embed_dim": 8}
SMALL_XL |= {"projection_class_embeddings_input_dim": 16 + 6 * 8}
SMALL_FLOW: Config = {"num_attention_heads": 2, "attention_head_dim": 8, "joint_attention_dim": 16}
SMALL_FLOW |= {"caption_projection_dim": 16, "pooled_projection_dim": 16, "pos_embed_max_size": 48}
TOKENS = 77  # of a prompt; Stable Diffusion 3 has 256 more of its third encoder


def network_config(name: str, small: bool = False) -> Config:
    """Settings of a model's denoiser; `small` keeps its blocks and layers, with few heads and channels."""
    if name not in NETWORKS:
        raise InputError(f"The architecture of {name!r} is not known: choose from {', '.join(NETWORKS)}.")
    config: Config = NETWORKS[name]
    if not small:
        return config
    if "patch_size" in config:
        return config | SMALL_FLOW
    few = config | (SMALL_XL if "addition_time_embed_dim" in config else SMALL)
    heads = config["attention_head_dim"]  # where levels differ in theirs, so do the few
    return few if isinstance(heads, int) else few | {"attention_head_dim": (1, 2, 4, 4)[: len(heads)]}


def vae_config(name: str, small: bool = False) -> Config:
    """Settings of a model's VAE; `small` keeps its levels, with few channels."""
    config = VAE_FLOW if "patch_size" in NETWORKS[name] else VAE
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
    where = torch.device(device)
    with torch.random.fork_rng(), torch.device("cpu") if offload else where:
        torch.manual_seed(0)
        denoiser: Any = (SD3Transformer2DModel if flow else UNet2DConditionModel)(**config).to(dtype)
        vae: Any = AutoencoderKL(**vae_config(name, small))
        width = config["joint_attention_dim" if flow else "cross_attention_dim"]
        context = torch.randn(1, TOKENS + 256 if flow else TOKENS, width, dtype=dtype)
        pooled = torch.randn(1, pooled_width(config), dtype=dtype) if pooled_width(config) else None
    diffusion = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "clip_sample": False}
    scheduler: Any = FlowMatchEulerDiscreteScheduler(shift=3.0) if flow else DDIMScheduler(**diffusion, steps_offset=1)
    denoiser, vae = (part.eval().requires_grad_(False) for part in (denoiser, vae))
    if offload:
        offload_layers(where, denoiser, vae)
    context, pooled = context.to(where), None if pooled is None else pooled.to(where)
    eye = Eye(name, dtype=str(dtype).removeprefix("torch."))
    alphas = None if flow else scheduler.alphas_cumprod
    kind, networks = "flow" if flow else "unet", Networks(lambda: (denoiser, scheduler))
    return Backbone(eye, kind, networks, alphas, context, vae, pooled)


def pooled_width(config: dict) -> int:
    """Length of the prompt as one vector; 0 where a model is not told it."""
    if "patch_size" in config:
        return config["pooled_projection_dim"]
    return config.get("projection_class_embeddings_input_dim", 0) - 6 * config.get("addition_time_embed_dim", 0)

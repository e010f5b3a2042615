"""Reads an embedded denoiser: one that looks at pixels, two by two, and comes with walkcut."""

import json
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from safetensors.torch import load_file
from torch.nn import Module

from walkcut.backbone import Backbone, Networks
from walkcut.eyes import encoder, schedule
from walkcut.eyes.networks import quiet, settled
from walkcut.recipe import Eye

VOCABULARY = "vocabulary.safetensors"  # a vector for each word that the denoiser knows


def read(eye: Eye, device: torch.device, offload: bool = False) -> Backbone:
    """A denoiser of pixels, told the words of its prompt; damage raises whatever it raises."""
    folder, dtype = eye.folder, getattr(torch, eye.dtype)
    networks = Networks(partial(_read_unet, eye, device, dtype))
    settings = json.loads((folder / "scheduler" / "scheduler_config.json").read_text(encoding="utf-8"))
    try:
        networks.first = settled(encoder.load(folder, device, dtype), device)
        alphas = schedule.alphas_cumprod(settings)
    except (ValueError, RuntimeError, AttributeError, KeyError, TypeError):  # another make, which diffusers may know
        networks.first, alphas = None, networks.whole[1].alphas_cumprod
    config: Any = (networks.first or networks.whole[0]).config
    path = folder / VOCABULARY
    found = Backbone(
        eye=replace(eye, prompt=""),
        kind="unet",
        networks=networks,
        alphas=alphas,
        context=torch.zeros(1, 1, config.cross_attention_dim, device=device, dtype=dtype),
        vocabulary=load_file(path) if path.is_file() else {},
    )
    return found.prompted(eye.prompt.split()) if eye.prompt else found


def _read_unet(eye: Eye, device: torch.device, dtype: torch.dtype) -> tuple[Module, Any]:
    """The whole of an embedded denoiser, and its schedule: for pictures that are drawn, or words."""
    from diffusers import DDIMScheduler, UNet2DConditionModel

    with quiet():
        unet = UNet2DConditionModel.from_pretrained(
            eye.folder / "unet", torch_dtype=dtype, use_safetensors=True, local_files_only=True
        )
    return settled(unet, device), DDIMScheduler.from_pretrained(eye.folder / "scheduler", local_files_only=True)

"""Reads a Stable Diffusion: any pipeline in diffusers format whose denoiser sees the latent of a VAE."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from walkcut.backbone import Backbone, Networks
from walkcut.eyes.models import INDEX, LEFT_OUT
from walkcut.eyes.networks import compile_layers, quiet, settled
from walkcut.recipe import Eye

if TYPE_CHECKING:
    from transformers import CLIPTokenizer


def read(eye: Eye, device: torch.device, offload: bool = False, compiled: bool = False) -> Backbone:
    """A Stable Diffusion, its prompt encoded once and the text encoders let go; damage raises whatever it raises."""
    from diffusers import DDIMScheduler, DiffusionPipeline

    folder, dtype = eye.folder, getattr(torch, eye.dtype)
    index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
    home = torch.device("cpu") if offload else device
    with quiet():
        pipeline = DiffusionPipeline.from_pretrained(
            folder,
            torch_dtype=dtype,
            variant="fp16" if any(folder.rglob("*.fp16.safetensors")) else None,
            local_files_only=True,
            use_safetensors=True,
            **{part: None for part in LEFT_OUT if part in index},
        ).to(home)
    flow = "transformer" in index
    context, pooled = _encoded(pipeline, eye.prompt)
    denoiser = settled(pipeline.transformer if flow else pipeline.unet, home)
    vae = settled(pipeline.vae.float(), home)
    if compiled:
        compile_layers(denoiser)
    if offload:
        offload_layers(device, denoiser, vae)
    scheduler = pipeline.scheduler if flow else DDIMScheduler.from_config(pipeline.scheduler.config)
    return Backbone(
        eye=eye,
        kind="flow" if flow else "unet",
        networks=Networks(partial(tuple, (denoiser, scheduler))),  # which can be copied
        alphas=None if flow else scheduler.alphas_cumprod,
        context=context.to(device, dtype),
        vae=vae,
        pooled=None if pooled is None else pooled.to(device, dtype),
        spans=_spans(pipeline.tokenizer, eye.prompt),
    )


def offload_layers(device: torch.device, *modules: Any) -> None:
    """Let modules of diffusers wait in main memory; each layer comes to the device when its turn comes."""
    for module in modules:
        module.enable_group_offload(onload_device=device, offload_device=torch.device("cpu"), offload_type="leaf_level")


def _spans(tokenizer: CLIPTokenizer, prompt: str) -> dict[str, tuple[int, ...]]:
    """Words of a prompt, each with the places of its tokens; of a word that comes twice, all places."""
    found: dict[str, tuple[int, ...]] = {}
    place = 1  # after the token that starts the prompt
    for word in prompt.split():
        end = min(place + len(tokenizer(word, add_special_tokens=False).input_ids), tokenizer.model_max_length - 1)
        found[word] = (*found.get(word, ()), *range(place, end))
        place = end
    return {word: places for word, places in found.items() if places}


@torch.inference_mode()
def _encoded(pipeline: Any, prompt: str) -> tuple[torch.Tensor, torch.Tensor | None]:
    """The prompt as tokens (1, tokens, channels), and as one vector (1, channels) where the model takes one."""
    given = {"device": pipeline.device, "num_images_per_prompt": 1, "do_classifier_free_guidance": False}
    if "text_encoder_3" in pipeline.config:
        given |= {"prompt_2": None, "prompt_3": None}
    found = pipeline.encode_prompt(prompt, **given)
    return found[0], found[2] if len(found) == 4 else None

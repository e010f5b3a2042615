"""Reads a Stable Diffusion: any pipeline in diffusers format whose denoiser sees the latent of a VAE.

Those before Stable Diffusion 3 are UNets that predict noise or velocity; from 3 on a transformer predicts the velocity
of a straight flow (Esser et al. 2024).
"""

import json
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch.nn import Module

from walkcut.backbone import Backbone, Networks
from walkcut.capture import ADAPTERS, Adapter, project
from walkcut.eyes.models import INDEX, LEFT_OUT
from walkcut.eyes.networks import quiet, settled
from walkcut.recipe import Eye

ADAPTERS["flow"] = Adapter((".attn", ".attn2"), (".attn",), ("transformer_blocks",), project)


@dataclass(frozen=True, eq=False, kw_only=True)
class LatentBackbone(Backbone):
    """A denoiser of latents, which may be told its prompt in one more way.

    Attributes
    ----------
    vae : AutoencoderKL
        Computes in float32.
    pooled : Tensor (1, channels) or None
        The prompt as one vector, for models that are told it so as well.
    """

    vae: Any = field(repr=False)
    pooled: torch.Tensor | None = field(default=None, repr=False)

    @property
    def patch(self) -> int:
        """Side in pixels of a patch of the finest attention."""
        return self.shrinks[0] * 2 ** (len(self.vae.config.block_out_channels) - 1)

    def latent(self, pixels: torch.Tensor) -> torch.Tensor:
        """The latent of pixels from -1 to 1 (b, 3, H, W)."""
        latent = self.vae.encode(pixels).latent_dist.mode().to(self.dtype)
        return (latent - (self.vae.config.shift_factor or 0.0)) * self.vae.config.scaling_factor

    def run(self, network: Module, latent: torch.Tensor, timestep: float) -> Any:
        """One pass of the denoiser, told all that it asks for."""
        if self.pooled is None:
            return super().run(network, latent, timestep)
        count = len(latent)
        steps = torch.full((count,), timestep, device=latent.device, dtype=torch.float32)
        context, pooled = self.context.expand(count, -1, -1), self.pooled.expand(count, -1)
        if self.kind == "flow":
            return network(latent, context, pooled, steps)
        # Stable Diffusion XL is told the size of the picture, and where it was cropped
        h, w = (side * self.patch // self.shrinks[0] for side in latent.shape[-2:])
        sizes = torch.tensor([[h, w, 0, 0, h, w]], device=latent.device, dtype=latent.dtype)
        added = {"text_embeds": pooled, "time_ids": sizes.expand(count, -1)}
        return network(latent, steps, encoder_hidden_states=context, added_cond_kwargs=added)


def read(eye: Eye, device: torch.device, offload: bool = False) -> Backbone:
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
    if offload:
        offload_layers(device, denoiser, vae)
    scheduler = pipeline.scheduler if flow else DDIMScheduler.from_config(pipeline.scheduler.config)
    return LatentBackbone(
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


def _spans(tokenizer: Any, prompt: str) -> dict[str, tuple[int, ...]]:
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

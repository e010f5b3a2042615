"""The path of a picture's inversion: deterministically to noise and back, so that nothing is drawn.

Song et al. 2021, "Denoising diffusion implicit models", section 4.3; for a flow, its ordinary differential equation.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

from walkcut.backbone import Backbone
from walkcut.noise import View

STEPS = 50  # of an inversion, and of the way back
CHOSEN = 10  # of them are looked at unless told otherwise, as in arXiv 2412.04678; evenly spaced here


def views(backbone: Backbone, latent: torch.Tensor, timesteps: Sequence[int]) -> list[View]:
    """The steps nearest to each timestep, none twice; `CHOSEN` of the `STEPS` where none is named."""
    path = list(replay(backbone, invert(backbone, latent)))
    if not timesteps:
        return path[:: STEPS // CHOSEN]
    told = np.array([timestep for _, timestep in path])
    return [path[i] for i in dict.fromkeys(int(np.abs(told - timestep).argmin()) for timestep in timesteps)]


@torch.inference_mode()
def invert(backbone: Backbone, latent: torch.Tensor, steps: int = STEPS) -> torch.Tensor:
    """The noise from which the denoiser would draw this latent, deterministically.

    Equation `eq-att-ddim` of the book.
    """
    if backbone.kind == "flow":
        sigmas = _sigmas(backbone, steps)[::-1]
        for sigma, after in itertools.pairwise(sigmas):
            latent = latent + (after - sigma) * backbone.denoise(latent, 1000 * sigma)
        return latent
    scheduler = _scheduler("DDIMInverseScheduler", backbone, steps)
    for timestep in scheduler.timesteps.tolist():
        latent = scheduler.step(backbone.denoise(latent, timestep), timestep, latent).prev_sample
    return latent


@torch.inference_mode()
def replay(backbone: Backbone, latent: torch.Tensor, steps: int = STEPS) -> Iterator[View]:
    """Every noisy latent on the way from noise back to the picture, before its step is taken, with its timestep."""
    if backbone.kind == "flow":
        sigmas = _sigmas(backbone, steps)
        for sigma, after in itertools.pairwise(sigmas):
            yield latent, 1000 * sigma
            latent = latent + (after - sigma) * backbone.denoise(latent, 1000 * sigma)
        return
    scheduler = _scheduler("DDIMScheduler", backbone, steps)
    for timestep in scheduler.timesteps.tolist():
        yield latent, timestep
        latent = scheduler.step(backbone.denoise(latent, timestep), timestep, latent).prev_sample


def _scheduler(kind: str, backbone: Backbone, steps: int) -> Any:
    """For the way up or back, over the same timesteps: both go by 1000 // steps, so "linspace" does not fit them."""
    import diffusers

    config = backbone.scheduler.config
    spacing = config.timestep_spacing if config.timestep_spacing in ("leading", "trailing") else "leading"
    scheduler = getattr(diffusers, kind).from_config(config, clip_sample=False, timestep_spacing=spacing)
    scheduler.set_timesteps(steps)
    return scheduler


def _sigmas(backbone: Backbone, steps: int) -> list[float]:
    """Shares of noise from (nearly) 1 down to 0, spaced as the flow's own sampler spaces them."""
    scheduler = type(backbone.scheduler).from_config(backbone.scheduler.config)
    scheduler.set_timesteps(steps)
    return scheduler.sigmas.tolist()

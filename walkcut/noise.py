"""What a denoiser is shown of a picture: the latent under noise, by one leap or on the path of its own inversion.

One leap draws noise and mixes it in (the forward process; Ho et al. 2020, equation 4). Inversion follows the denoiser's
own deterministic path from the picture to noise and back (Song et al. 2021, "Denoising diffusion implicit models",
section 4.3; for a flow, its ordinary differential equation), so that nothing is drawn.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from diffusers import DDIMInverseScheduler, DDIMScheduler

from walkcut.backbone import Backbone
from walkcut.errors import InputError

NOISES = ("forward", "none", "inversion")
STEPS = 50  # of an inversion, and of the way back
CHOSEN = 10  # of them are looked at unless told otherwise, as in arXiv 2412.04678; evenly spaced here

View = tuple[torch.Tensor, float]  # noisy latents (pictures, channels, H, W), and their timestep


def views(
    backbone: Backbone, latent: torch.Tensor, timesteps: Sequence[int] | None, seed: int = 0, noise: str = "forward"
) -> list[View]:
    """The noisy latents at which the denoiser is to look.

    Equation `eq-att-forward` of the book.

    Parameters
    ----------
    backbone : Backbone
    latent : Tensor (pictures, channels, H, W)
    timesteps : sequence of int, optional
        How noisy, 0 to 999. Default: what suits the backbone; for an inversion, `CHOSEN` of its `STEPS`.
    seed : int
        Of forward noise, which is the same for all pictures.
    noise : str
        "forward"; "none", the clean latent with the timestep told all the same (DiffSeg, Tian et al. 2024); or
        "inversion", where the step nearest to each timestep is taken.

    Raises
    ------
    InputError
        For an unknown kind of noise, or timesteps out of range.
    """
    if noise not in NOISES:
        raise InputError(f"There is no noise {noise!r}: choose from {', '.join(NOISES)}.")
    if timesteps is not None and (not len(timesteps) or min(timesteps) < 0 or max(timesteps) > 999):
        raise InputError(f"Timesteps run from 0 to 999, not {list(timesteps)}.")
    if noise == "inversion":
        return _on_the_path(backbone, latent, timesteps)
    timesteps = tuple(backbone.timesteps if timesteps is None else timesteps)
    if noise == "none":
        return [(latent, timestep) for timestep in timesteps]
    generator = torch.Generator().manual_seed(seed)
    return [(backbone.add_noise(latent, t, generator) if t else latent, t) for t in timesteps]


def _on_the_path(backbone: Backbone, latent: torch.Tensor, timesteps: Sequence[int] | None) -> list[View]:
    path = list(replay(backbone, invert(backbone, latent)))
    if timesteps is None:
        return path[:: STEPS // CHOSEN]
    told = np.array([timestep for _, timestep in path])
    return [path[i] for i in dict.fromkeys(int(np.abs(told - timestep).argmin()) for timestep in timesteps)]


@torch.inference_mode()
def invert(backbone: Backbone, latent: torch.Tensor, steps: int = STEPS) -> torch.Tensor:
    """The noise from which the denoiser would draw this latent, deterministically.

    Equation `eq-att-ddim` of the book.
    """
    if backbone.flow:
        sigmas = _sigmas(backbone, steps)[::-1]
        for sigma, after in itertools.pairwise(sigmas):
            latent = latent + (after - sigma) * backbone.denoise(latent, 1000 * sigma)
        return latent
    scheduler = _scheduler(DDIMInverseScheduler, backbone, steps)
    for timestep in scheduler.timesteps.tolist():
        latent = scheduler.step(backbone.denoise(latent, timestep), timestep, latent).prev_sample
    return latent


@torch.inference_mode()
def replay(backbone: Backbone, latent: torch.Tensor, steps: int = STEPS) -> Iterator[View]:
    """Every noisy latent on the way from noise back to the picture, before its step is taken, with its timestep."""
    if backbone.flow:
        sigmas = _sigmas(backbone, steps)
        for sigma, after in itertools.pairwise(sigmas):
            yield latent, 1000 * sigma
            latent = latent + (after - sigma) * backbone.denoise(latent, 1000 * sigma)
        return
    scheduler = _scheduler(DDIMScheduler, backbone, steps)
    for timestep in scheduler.timesteps.tolist():
        yield latent, timestep
        latent = scheduler.step(backbone.denoise(latent, timestep), timestep, latent).prev_sample


def _scheduler(
    kind: type[DDIMScheduler | DDIMInverseScheduler], backbone: Backbone, steps: int
) -> DDIMScheduler | DDIMInverseScheduler:
    """For the way up or back, over the same timesteps: both go by 1000 // steps, so "linspace" does not fit them."""
    spacing = backbone.scheduler.config.timestep_spacing
    spacing = spacing if spacing in ("leading", "trailing") else "leading"
    scheduler = kind.from_config(backbone.scheduler.config, clip_sample=False, timestep_spacing=spacing)
    scheduler.set_timesteps(steps)
    return scheduler


def _sigmas(backbone: Backbone, steps: int) -> list[float]:
    """Shares of noise from (nearly) 1 down to 0, spaced as the flow's own sampler spaces them."""
    scheduler = type(backbone.scheduler).from_config(backbone.scheduler.config)
    scheduler.set_timesteps(steps)
    return scheduler.sigmas.tolist()

"""The path of a picture's inversion: deterministically to noise and back, so that nothing is drawn.

Song et al. 2021, "Denoising diffusion implicit models", section 4.3; for a flow, its ordinary differential equation.
"""

import itertools
from collections.abc import Sequence

import numpy as np
import torch
from diffusers import DDIMInverseScheduler, DDIMScheduler

from walkcut.backbone import Backbone
from walkcut.noise import View

STEPS = 50  # of an inversion, and of the way back
CHOSEN = 10  # of them are looked at unless told otherwise, as in arXiv 2412.04678; evenly spaced here


def views(backbone: Backbone, latent: torch.Tensor, timesteps: Sequence[int]) -> list[View]:
    """The steps nearest to each timestep, none twice; `CHOSEN` of the `STEPS` where none is named."""
    path = replay(backbone, invert(backbone, latent))
    if not timesteps:
        return path[:: STEPS // CHOSEN]
    told = np.array([timestep for _, timestep in path])
    return [path[i] for i in dict.fromkeys(int(np.abs(told - timestep).argmin()) for timestep in timesteps)]


def invert(backbone: Backbone, latent: torch.Tensor, steps: int = STEPS) -> torch.Tensor:
    """The noise from which the denoiser would draw this latent, deterministically.

    Equation `eq-att-ddim` of the book.
    """
    return _follow(backbone, latent, steps, back=False)[1]


def replay(backbone: Backbone, latent: torch.Tensor, steps: int = STEPS) -> list[View]:
    """Every noisy latent on the way from noise back to the picture, before its step is taken, with its timestep."""
    return _follow(backbone, latent, steps, back=True)[0]


@torch.inference_mode()
def _follow(backbone: Backbone, latent: torch.Tensor, steps: int, back: bool) -> tuple[list[View], torch.Tensor]:
    """What is seen on the way from a picture to noise, or back, and where it ends."""
    config, seen = backbone.scheduler.config, []
    if backbone.kind == "flow":
        scheduler = type(backbone.scheduler).from_config(config)
        scheduler.set_timesteps(steps)
        sigmas = scheduler.sigmas.tolist()  # shares of noise from (nearly) 1 down to 0, spaced as its own sampler does
        for sigma, after in itertools.pairwise(sigmas if back else sigmas[::-1]):
            seen.append((latent, 1000 * sigma))
            latent = latent + (after - sigma) * backbone.denoise(latent, 1000 * sigma)
        return seen, latent
    # both ways go by 1000 // steps, so that the spacing "linspace" does not fit them
    spacing = config.timestep_spacing if config.timestep_spacing in ("leading", "trailing") else "leading"
    kind = DDIMScheduler if back else DDIMInverseScheduler
    scheduler = kind.from_config(config, clip_sample=False, timestep_spacing=spacing)
    scheduler.set_timesteps(steps)
    for timestep in scheduler.timesteps.tolist():
        # asked at the latent's own time: a step to noise is named by where it leads, from a step's length below
        own = timestep if back else max(timestep - config.num_train_timesteps // steps, 0)
        seen.append((latent, own))
        latent = scheduler.step(backbone.denoise(latent, own), timestep, latent).prev_sample
    return seen, latent

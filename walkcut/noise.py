"""What a denoiser is shown of a picture: the latent under noise, by one leap or on the path of its own inversion.

One leap draws noise and mixes it in (the forward process; Ho et al. 2020, equation 4). Inversion is in
`walkcut.eyes.inversion`.
"""

import torch

from walkcut.backbone import Backbone
from walkcut.recipe import Recipe
from walkcut.registry import NOISES

View = tuple[torch.Tensor, float]  # noisy latents (pictures, channels, H, W), and their timestep


def views(backbone: Backbone, latent: torch.Tensor, recipe: Recipe) -> list[View]:
    """The noisy latents at which the denoiser is to look.

    Equation `eq-att-forward` of the book.

    Parameters
    ----------
    backbone : Backbone
    latent : Tensor (pictures, channels, H, W)
    recipe : Recipe
        Its `noise` is "forward", drawn from its seed and the same for all pictures; "none", the clean latent with the
        timestep told all the same (DiffSeg, Tian et al. 2024); or another of `walkcut.registry.NOISES`.
    """
    timesteps = recipe.timesteps
    if recipe.noise == "none":
        return [(latent, timestep) for timestep in timesteps]
    if recipe.noise == "forward":
        generator = torch.Generator().manual_seed(recipe.seed)
        return [(backbone.add_noise(latent, t, generator) if t else latent, t) for t in timesteps]
    return NOISES[recipe.noise](backbone, latent, timesteps)

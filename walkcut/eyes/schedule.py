"""The schedule of forward noise: how much of the picture is left at each timestep."""

from __future__ import annotations

import torch


def alphas_cumprod(config: dict) -> torch.Tensor:
    """The share of signal that is left at each timestep, falling from almost one.

    Equation `eq-att-schedule` of the book. Ho et al. (2020), equation 4.

    Parameters
    ----------
    config : dict
        Settings as diffusers writes them for a `DDIMScheduler`. With "rescale_betas_zero_snr" nothing is left at the
        last timestep (Lin et al. 2024, algorithm 1).

    Returns
    -------
    Tensor (num_train_timesteps,), float32

    Raises
    ------
    ValueError
        For betas that were trained, or are neither "linear" nor "scaled_linear".
    """
    power = {"linear": 1, "scaled_linear": 2}.get(config["beta_schedule"])  # of what grows evenly
    if power is None or config.get("trained_betas") is not None:
        raise ValueError(f"beta_schedule {config['beta_schedule']!r}, or trained betas, are not written out here")
    first, last = (config[end] ** (1 / power) for end in ("beta_start", "beta_end"))
    betas = torch.linspace(first, last, config["num_train_timesteps"], dtype=torch.float32) ** power
    left = torch.cumprod(1 - betas, dim=0)
    if config.get("rescale_betas_zero_snr"):
        roots = left.sqrt()
        left = ((roots - roots[-1]) * (roots[0] / (roots[0] - roots[-1]))) ** 2
    return left

"""The schedule of forward noise: how much of the picture is left at each timestep."""

import torch


def alphas_cumprod(config: dict) -> torch.Tensor:
    """The share of signal that is left at each timestep, falling from almost one.

    Equation `eq-att-schedule` of the book. Ho et al. (2020), equation 4.

    Parameters
    ----------
    config : dict
        Settings as diffusers writes them for a `DDIMScheduler`.

    Returns
    -------
    Tensor (num_train_timesteps,), float32

    Raises
    ------
    ValueError
        For betas that were trained or rescaled, or whose square roots do not grow evenly ("scaled_linear").
    """
    changed = config.get("trained_betas") is not None or config.get("rescale_betas_zero_snr")
    if config["beta_schedule"] != "scaled_linear" or changed:
        raise ValueError(f"beta_schedule {config['beta_schedule']!r}, or changed betas, are not written out here")
    first, last = config["beta_start"] ** 0.5, config["beta_end"] ** 0.5
    betas = torch.linspace(first, last, config["num_train_timesteps"], dtype=torch.float32) ** 2
    return torch.cumprod(1 - betas, dim=0)

"""The schedule of forward noise against paper and against diffusers."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from diffusers import DDIMScheduler

import walkcut
from walkcut.eyes.schedule import alphas_cumprod

SETTINGS = json.loads(
    (Path(walkcut.__file__).parent / "weights" / "dead-leaves" / "scheduler" / "scheduler_config.json").read_text()
)


def test_by_hand() -> None:
    settings = {"beta_schedule": "scaled_linear", "beta_start": 0.25, "beta_end": 0.0625, "num_train_timesteps": 3}
    assert alphas_cumprod(settings).tolist() == pytest.approx([0.75, 0.75 * 55 / 64, 0.75 * 55 / 64 * 15 / 16])


def test_equals_diffusers() -> None:
    theirs = DDIMScheduler.from_config(SETTINGS).alphas_cumprod
    assert torch.equal(alphas_cumprod(SETTINGS), theirs)
    assert theirs.shape == (1000,)


def test_noise_is_that_of_diffusers() -> None:
    latent, noise = torch.randn(2, 1, 12, 4, 6, generator=torch.Generator().manual_seed(0))
    scheduler, alphas = DDIMScheduler.from_config(SETTINGS), alphas_cumprod(SETTINGS)
    for timestep in (0, 10, 500, 999):
        ours = alphas[timestep].sqrt() * latent + (1 - alphas[timestep]).sqrt() * noise
        assert torch.allclose(ours, scheduler.add_noise(latent, noise, torch.tensor([timestep])), atol=1e-6)


@pytest.mark.parametrize(
    "other", [{"beta_schedule": "linear"}, {"trained_betas": [0.1, 0.2]}, {"rescale_betas_zero_snr": True}]
)
def test_another_schedule_is_refused(other: dict) -> None:
    with pytest.raises(ValueError, match="not written out here"):
        alphas_cumprod(SETTINGS | other)


def test_nothing_of_diffusers_is_imported() -> None:
    code = "import sys, walkcut.eyes.schedule; sys.exit('diffusers' in sys.modules or 'transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

"""What a denoiser is shown: noise by one leap, none, or the path of its own inversion."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler

from walkcut.backbone import Backbone, Networks
from walkcut.bench.architectures import random_backbone
from walkcut.capture import attend
from walkcut.errors import InputError
from walkcut.eyes.inversion import CHOSEN, STEPS, invert, replay
from walkcut.noise import View, views
from walkcut.recipe import PRESETS, Recipe, resolve


@pytest.fixture(params=["diffusion", "flow"])
def backbone(request: pytest.FixtureRequest, tiny: Backbone) -> Backbone:
    return tiny if request.param == "diffusion" else random_backbone("sd-3", small=True, num_layers=2)


@pytest.fixture
def latent(backbone: Backbone) -> torch.Tensor:
    channels = backbone.denoiser.config.in_channels
    return torch.randn(1, channels, 8, 8, generator=torch.Generator().manual_seed(3))


def shown(backbone: Backbone, latent: torch.Tensor, timesteps: tuple[int, ...] = (), **settings: object) -> list[View]:
    return views(backbone, latent, Recipe(timesteps=timesteps, **settings))


def predicting(backbone: Backbone, value: float, monkeypatch: pytest.MonkeyPatch) -> Backbone:
    """A denoiser that always predicts the same number; the times at which it is asked are noted in `asked`."""
    asked = []

    def predict(self: Backbone, latent: torch.Tensor, timestep: float) -> torch.Tensor:
        asked.append(timestep)
        return torch.full_like(latent, value)

    monkeypatch.setattr(Backbone, "denoise", predict)
    object.__setattr__(backbone, "asked", asked)
    return backbone


def test_forward_noise_mixes_in_what_was_drawn(backbone: Backbone, latent: torch.Tensor) -> None:
    ((clean, _), (noisy, timestep)) = shown(backbone, latent, (0, 600), seed=5)
    assert clean is latent
    drawn = torch.randn(latent.shape, generator=torch.Generator().manual_seed(5))
    kept = 0.4 if backbone.kind == "flow" else backbone.alphas[600] ** 0.5
    share = 0.6 if backbone.kind == "flow" else (1 - backbone.alphas[600]) ** 0.5
    torch.testing.assert_close(noisy, kept * latent + share * drawn)
    assert timestep == 600


def test_without_noise_the_latent_stays_as_it_is(backbone: Backbone, latent: torch.Tensor) -> None:
    seen = shown(backbone, latent, (300, 10), noise="none")
    assert [timestep for _, timestep in seen] == [300, 10]
    assert all(view is latent for view, _ in seen)


def test_the_way_back_is_the_inversion_backwards(backbone: Backbone, latent: torch.Tensor) -> None:
    """A random network is smooth: with many steps both paths are one; with few they part."""
    off = {}
    for steps in (10, 100):
        *_, (last, timestep) = replay(backbone, invert(backbone, latent, steps), steps)
        off[steps] = (last - latent).abs().mean().item()
        assert timestep < 200
    assert off[100] < 0.5 * off[10]


def test_a_prediction_of_no_noise_only_scales(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then x = sqrt(abar) x0 along the whole path."""
    backbone = random_backbone("sd-1.4", small=True)
    predicting(backbone, 0.0, monkeypatch)
    latent = torch.ones(1, 4, 8, 8)
    noise = invert(backbone, latent)
    last = backbone.asked[-1]
    ratio = backbone.scheduler.alphas_cumprod[last] / backbone.scheduler.alphas_cumprod[0]
    torch.testing.assert_close(noise, latent * ratio**0.5, rtol=1e-3, atol=0)


@pytest.mark.parametrize("spacing", ["leading", "trailing", "linspace"])
def test_both_ways_of_an_inversion_have_the_same_timesteps(monkeypatch: pytest.MonkeyPatch, spacing: str) -> None:
    """Whatever the spacing of a model's own sampler; without noise they then undo each other."""
    backbone = random_backbone("sd-1.4", small=True)
    network = backbone.denoiser
    own = DDIMScheduler.from_config(backbone.scheduler.config, timestep_spacing=spacing)
    backbone = predicting(replace(backbone, networks=Networks(lambda: (network, own))), 0.0, monkeypatch)
    latent = torch.ones(1, 4, 8, 8)
    path = list(replay(backbone, invert(backbone, latent)))
    told = [timestep for _, timestep in path]
    assert backbone.asked == [*told[::-1], *told]
    for view, timestep in path:
        ratio = own.alphas_cumprod[timestep] / own.alphas_cumprod[0]
        torch.testing.assert_close(view, latent * ratio**0.5, rtol=1e-2, atol=0)


def test_a_constant_flow_is_a_straight_line(monkeypatch: pytest.MonkeyPatch) -> None:
    backbone = random_backbone("sd-3", small=True)
    predicting(backbone, 2.0, monkeypatch)
    latent = torch.zeros(1, 16, 8, 8)
    noise = invert(backbone, latent)
    sigmas = [timestep / 1000 for timestep in backbone.asked]
    assert sigmas[0] == 0
    assert sigmas == sorted(sigmas)
    assert noise.mean().item() == pytest.approx(2.0, abs=0.05)  # from no noise to nothing but noise
    for view, timestep in replay(backbone, noise):
        assert view.mean().item() == pytest.approx(2.0 * timestep / 1000, abs=1e-4)


def test_ten_of_fifty_steps_are_looked_at(backbone: Backbone, latent: torch.Tensor) -> None:
    seen = shown(backbone, latent, noise="inversion")
    path = list(replay(backbone, invert(backbone, latent)))
    assert (len(path), len(seen)) == (STEPS, CHOSEN)
    assert [timestep for _, timestep in seen] == [timestep for _, timestep in path[::5]]
    assert all(torch.equal(view, path[5 * i][0]) for i, (view, _) in enumerate(seen))


def test_the_nearest_step_is_taken_and_none_twice(latent: torch.Tensor, backbone: Backbone) -> None:
    told = [timestep for _, timestep in replay(backbone, latent)]
    seen = shown(backbone, latent, (0, 1, 500), noise="inversion")
    assert [timestep for _, timestep in seen] == [told[-1], min(told, key=lambda t: abs(t - 500))]


def test_attention_can_be_taken_on_the_path(backbone: Backbone) -> None:
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    settings = {"grid": 4, "timesteps": [500]}
    found = {
        noise: attend(backbone, image, noise=noise, **settings).maps[4, 4] for noise in ("forward", "none", "inversion")
    }
    again = attend(backbone, image, seed=9, noise="inversion", **settings).maps[4, 4]
    assert torch.equal(found["inversion"], again)  # nothing is drawn
    assert not torch.allclose(found["inversion"], found["forward"])
    assert not torch.allclose(found["inversion"], found["none"])


def test_an_inversion_is_looked_at_where_the_settings_say(tiny: Backbone) -> None:
    """At ten of its steps, whatever suits the eye under forward noise; or where the user, or the preset, says."""
    eye = replace(tiny.eye, readout={"timesteps": [20, 80]})
    assert resolve("walkcut", eye).timesteps == (20, 80)
    assert resolve("walkcut", eye, {"noise": "inversion"}).timesteps == ()
    assert resolve("walkcut", eye, {"noise": "inversion", "timesteps": [30]}).timesteps == (30,)
    assert resolve(replace(PRESETS["walkcut"], settings={"noise": "none"}), eye).timesteps == (20, 80)


def test_wrong_noise_and_wrong_timesteps_are_refused(backbone: Backbone, latent: torch.Tensor) -> None:
    with pytest.raises(InputError, match="no noise 'pink': choose from forward, none, inversion"):
        shown(backbone, latent, noise="pink")
    for timesteps in ((-1,), (1000,)):
        with pytest.raises(InputError, match="from 0 to 999"):
            shown(backbone, latent, timesteps, noise="inversion")
    for noise in ("forward", "none"):
        with pytest.raises(InputError, match="from 0 to 999, at least one"):
            shown(backbone, latent, (), noise=noise)

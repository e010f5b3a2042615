"""What a denoiser is shown: noise by one leap, none, or the path of its own inversion."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers import DDIMInverseScheduler, DDIMScheduler

from walkcut.backbone import Backbone, Networks
from walkcut.bench.architectures import random_backbone
from walkcut.capture import attend
from walkcut.errors import InputError
from walkcut.eyes.inversion import CHOSEN, STEPS, invert, replay
from walkcut.noise import View, views
from walkcut.recipe import PRESETS, Recipe, resolve
from walkcut.samples import sample


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
    last = backbone.asked[-1] + 1000 // STEPS  # a step beyond where it was asked last
    ratio = backbone.scheduler.alphas_cumprod[last] / backbone.scheduler.alphas_cumprod[0]
    torch.testing.assert_close(noise, latent * ratio**0.5, rtol=1e-3, atol=0)


@pytest.mark.parametrize("spacing", ["leading", "trailing", "linspace"])
def test_both_ways_of_an_inversion_have_the_same_timesteps(monkeypatch: pytest.MonkeyPatch, spacing: str) -> None:
    """Whatever the spacing of a model's own sampler; without noise they then undo each other. On the way to noise the
    first is asked about the clean picture, and nobody about the last."""
    backbone = random_backbone("sd-1.4", small=True)
    network = backbone.denoiser
    own = DDIMScheduler.from_config(backbone.scheduler.config, timestep_spacing=spacing)
    backbone = predicting(replace(backbone, networks=Networks(lambda: (network, own))), 0.0, monkeypatch)
    latent = torch.ones(1, 4, 8, 8)
    path = list(replay(backbone, invert(backbone, latent)))
    told = [timestep for _, timestep in path]
    assert backbone.asked == [0, *told[:0:-1], *told]
    for view, timestep in path:
        ratio = own.alphas_cumprod[timestep] / own.alphas_cumprod[0]
        torch.testing.assert_close(view, latent * ratio**0.5, rtol=1e-2, atol=0)


Answer = Callable[[torch.Tensor, float], torch.Tensor]  # of a denoiser, to a latent and a timestep


def exact(prediction: str, spacing: str, monkeypatch: pytest.MonkeyPatch, spread: float) -> tuple[Backbone, Answer]:
    """A backbone whose denoiser knows all pictures, and what it answers: they are normal around 2, so far apart.

    Of noise, then, it sees (1 - abar)^1/2 (x - abar^1/2 mean) / (abar spread^2 + 1 - abar).
    """
    backbone = random_backbone("sd-1.4", small=True)
    network, config = backbone.denoiser, backbone.scheduler.config
    # as Stable Diffusion and the embedded one have it, what is clean has the noise of timestep 0
    settings = {"timestep_spacing": spacing, "prediction_type": prediction, "set_alpha_to_one": False}
    own = DDIMScheduler.from_config(config, **settings)
    backbone = replace(backbone, networks=Networks(lambda: (network, own)))

    def answer(latent: torch.Tensor, timestep: float) -> torch.Tensor:
        kept = own.alphas_cumprod.double()[int(timestep)]
        noise = (1 - kept) ** 0.5 * (latent - 2 * kept**0.5) / (kept * spread**2 + 1 - kept)
        clean = (latent - (1 - kept) ** 0.5 * noise) / kept**0.5
        return noise if prediction == "epsilon" else kept**0.5 * noise - (1 - kept) ** 0.5 * clean

    monkeypatch.setattr(Backbone, "denoise", lambda self, latent, timestep: answer(latent, timestep))
    return backbone, answer


def pictures(backbone: Backbone, spread: float) -> torch.Tensor:
    """One of those, under the noise that the schedule begins with."""
    normal = torch.randn(2, 1, 4, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    kept = backbone.scheduler.alphas_cumprod.double()[0]
    return kept**0.5 * (2 + spread * normal[0]) + (1 - kept) ** 0.5 * normal[1]


PREDICTIONS, SPACINGS = ("epsilon", "v_prediction"), ("leading", "trailing")


@pytest.mark.situation("inversion")
@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("steps", [10, 50])
def test_an_inversion_is_that_of_diffusers_asked_at_the_latents_own_time(
    monkeypatch: pytest.MonkeyPatch, prediction: str, spacing: str, steps: int
) -> None:
    """Its scheduler reads an answer by the noise that the latent has, which is that of a step before the name's."""
    backbone, answer = exact(prediction, spacing, monkeypatch, spread=0.5)
    start = latent = pictures(backbone, 0.5)
    theirs = DDIMInverseScheduler.from_config(backbone.scheduler.config)
    theirs.set_timesteps(steps)
    for timestep in theirs.timesteps.tolist():
        latent = theirs.step(answer(latent, max(timestep - 1000 // steps, 0)), timestep, latent).prev_sample
    torch.testing.assert_close(invert(backbone, start, steps), latent, rtol=0, atol=1e-5)


@pytest.mark.situation("inversion")
@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_where_there_is_one_picture_an_inversion_is_exact(
    monkeypatch: pytest.MonkeyPatch, prediction: str, spacing: str
) -> None:
    """Then the path is a line, whatever the step: latent = abar^1/2 picture + (1 - abar)^1/2 noise, always the same."""
    backbone, _ = exact(prediction, spacing, monkeypatch, spread=0.0)
    start, kept = pictures(backbone, 0.0), backbone.scheduler.alphas_cumprod.double()
    noise = (start - 2 * kept[0] ** 0.5) / (1 - kept[0]) ** 0.5
    path = replay(backbone, invert(backbone, start))
    for latent, timestep in path:
        line = 2 * kept[timestep] ** 0.5 + (1 - kept[timestep]) ** 0.5 * noise
        torch.testing.assert_close(latent, line, rtol=0, atol=1e-5)


@pytest.mark.situation("inversion")
@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_an_inversion_solves_the_differential_equation(monkeypatch: pytest.MonkeyPatch, prediction: str) -> None:
    """Of Song et al., equation 14: standard deviations stretch along it, and Euler's error goes with the step."""
    backbone, _ = exact(prediction, "leading", monkeypatch, spread=0.5)
    start, kept = pictures(backbone, 0.5), backbone.scheduler.alphas_cumprod.double()
    widths = (kept * 0.5**2 + 1 - kept) ** 0.5
    off = []
    for steps in (50, 100, 200):
        last = 1000 // steps * (steps - 1) + 1
        solution = 2 * kept[last] ** 0.5 + widths[last] / widths[0] * (start - 2 * kept[0] ** 0.5)
        off.append((invert(backbone, start, steps) - solution).abs().max().item())
    assert off[0] < 0.2
    assert off[2] < 0.6 * off[1] < 0.36 * off[0]


@pytest.mark.situation("inversion")
def test_the_embedded_denoiser_finds_its_way_back(embedded: Backbone) -> None:
    latent = embedded.encode(sample("coffee"), 16)
    *_, (last, _) = replay(embedded, invert(embedded, latent))
    assert (last - latent).norm() < 0.15 * latent.norm()  # a fifth, asked at the time that the step leads to


@pytest.mark.situation("inversion")
def test_every_path_is_asked_at_its_latents_own_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A flow's as a diffusion's: both begin with the clean picture, at time 0."""
    for model in ("sd-1.4", "sd-3"):
        backbone = predicting(random_backbone(model, small=True), 0.0, monkeypatch)
        invert(backbone, torch.ones(1, backbone.denoiser.config.in_channels, 8, 8))
        assert backbone.asked[0] == 0
        assert backbone.asked == sorted(backbone.asked)


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

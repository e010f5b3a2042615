"""Training: a function of seed and step alone, so that a run which was killed ends like one that was not."""

from __future__ import annotations

import io
import json
import pickle
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from walkcut import train as training
from walkcut.backbone import Backbone
from walkcut.capture import attention_layers
from walkcut.errors import InputError
from walkcut.eyes.loading import load_backbone
from walkcut.recipe import resolve
from walkcut.scenes import WORDS, make_scene
from walkcut.train import (
    TOKENS,
    TrainConfig,
    caption,
    learning_rate,
    make_batch,
    train,
)

TINY = TrainConfig(steps=6, patches=256, sides=(8, 10), warmup=2)


@pytest.fixture(autouse=True, scope="module")
def tiny_denoiser() -> Iterator[None]:
    """A UNet and patch grids so small that a step takes milliseconds."""
    small = dict(block_out_channels=(8, 16), norm_num_groups=4, cross_attention_dim=8, sample_size=8)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "UNET_CONFIG", training.UNET_CONFIG | small)
        yield


def stored(folder: Path) -> dict:
    return torch.load(folder / "checkpoint.pt", weights_only=True)


def losses(folder: Path) -> list[float]:
    return stored(folder)["losses"]


def tensors(stored: object, name: str = "") -> dict[str, torch.Tensor]:
    """All tensors of nested tables and lists, each by its place."""
    if isinstance(stored, torch.Tensor):
        return {name: stored}
    inside = stored.items() if isinstance(stored, dict) else enumerate(stored) if isinstance(stored, list) else ()
    return {place: tensor for key, value in inside for place, tensor in tensors(value, f"{name}/{key}").items()}


def killed(monkeypatch: pytest.MonkeyPatch, folder: Path, step: int, save_every: float = -1) -> None:
    """Train until just before `step`, then stop as at a Ctrl-C."""
    advance = training._State.advance

    def until(state: training._State, *args: object) -> None:
        if state.step == step:
            raise KeyboardInterrupt
        advance(state, *args)

    with monkeypatch.context() as patch:
        patch.setattr(training._State, "advance", until)
        with pytest.raises(KeyboardInterrupt):
            train(folder, TINY, workers=0, save_every=save_every)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    train(folder, TINY, workers=0)
    return folder


@pytest.fixture
def whole(undisturbed: Path, tmp_path: Path) -> Path:
    """The folder of a run that nothing disturbed: a copy, which may be."""
    return Path(shutil.copytree(undisturbed, tmp_path / "whole"))


# ---------------------------------------------------------------------------------------------------------------------
# Batches


def test_what_it_learns_from_are_latents_as_the_eye_has_them(tiny: Backbone) -> None:
    latents, _ = make_batch(TINY, 0)
    pixels = torch.nn.functional.pixel_shuffle(latents, 2).permute(0, 2, 3, 1)
    for latent, crop in zip(latents, pixels, strict=True):
        image = ((crop + 1) * 127.5).round().byte().numpy()
        torch.testing.assert_close(tiny.encode(image, len(image) // 2)[0], latent)


def test_a_batch_follows_from_seed_and_step() -> None:
    (first, captions), again = make_batch(TINY, 3), make_batch(TINY, 3)
    assert torch.equal(first, again[0])
    assert torch.equal(captions, again[1])
    for other, _ in (make_batch(TINY, 4), make_batch(replace(TINY, seed=1), 3)):
        assert other.shape != first.shape or not torch.equal(other, first)


def test_batches_hold_a_constant_number_of_patches() -> None:
    sides = set()
    for step in range(8):
        batch, captions = make_batch(TINY, step)
        count, channels, side, again = batch.shape
        sides.add(side)
        assert channels == 12
        assert side == again
        assert count == TINY.patches // (TINY.draws * side**2)
        assert batch.dtype == torch.float32
        assert batch.abs().max() <= 1
        assert captions.shape == (count, TOKENS)
    assert sides == {8, 10}


def test_a_batch_holds_at_least_one_crop() -> None:
    assert len(make_batch(replace(TINY, patches=1), 0)[0]) == 1


def test_as_many_crops_as_asked_for_have_a_caption() -> None:
    assert (make_batch(replace(TINY, captioned=1.0), 0)[1].sum(1) > 0).all()
    assert not make_batch(replace(TINY, captioned=0.0), 0)[1].any()


def test_what_is_drawn_for_a_batch_is_what_it_was_for_the_model_that_comes_with_walkcut() -> None:
    """Its card says how it was trained: whoever takes a draw away, or adds one, makes another model."""
    said = {step: [row[row > 0].tolist() for row in make_batch(replace(TINY, seed=3), step)[1]] for step in (0, 2, 3)}
    assert said == {0: [[14, 2, 15, 5, 17, 6]], 2: [[8]], 3: [[], [5, 14, 2, 17]]}


def test_a_caption_names_what_the_window_shows() -> None:
    rng, scene = np.random.default_rng(0), make_scene(3, 96)
    window = np.s_[10:30, 40:60]
    shown = {word for kind in np.unique(scene.materials[window]) for word in scene.words[kind]}
    shown |= {"horizon"} if scene.horizon else set()
    said = set()
    for _ in range(60):
        words = caption(rng, scene, window)
        count = np.count_nonzero(words)
        assert 1 <= count < TOKENS == len(words)
        assert len(set(words[:count])) == count
        assert not words[count:].any()
        said |= {WORDS[number - 1] for number in words[:count]}
    assert said == shown


# ---------------------------------------------------------------------------------------------------------------------
# Learning rate and loss


def test_the_learning_rate_rises_stays_and_falls() -> None:
    config = TrainConfig(steps=1000, learning_rate=2.0, warmup=100, decay=0.25)
    assert learning_rate(config, 0) == pytest.approx(0.02)
    assert learning_rate(config, 49) == pytest.approx(1.0)
    assert {learning_rate(config, step) for step in (99, 400, 750)} == {2.0}
    assert learning_rate(config, 875) == pytest.approx(1.0)
    assert learning_rate(config, 999) == pytest.approx(0.04)  # 2% remain
    assert learning_rate(replace(config, steps=2000), 400) == 2.0  # the plateau does not know the end


class Oracle(torch.nn.Module):
    """Knows the latent, so it can tell the velocity from what it is shown: v = (alpha x - latent) / sigma."""

    def __init__(self, latent: torch.Tensor, alphas: torch.Tensor) -> None:
        super().__init__()
        self.latent, self.alphas = latent, alphas

    def forward(self, x: torch.Tensor, timestep: torch.Tensor, captions: torch.Tensor) -> torch.Tensor:
        self.timestep, self.captions = timestep, captions
        kept = self.alphas[timestep].view(-1, 1, 1, 1)
        return (kept.sqrt() * x - self.latent) / (1 - kept).sqrt()


def test_the_loss_is_that_of_the_velocity() -> None:
    state, (latent, captions) = training._State(TINY, "cpu"), make_batch(TINY, 0)
    alphas = state.scheduler.alphas_cumprod
    state.denoiser = oracle = Oracle(latent, alphas)
    assert state.loss(latent, captions).item() == pytest.approx(0, abs=1e-6)
    assert oracle.captions is captions
    first = oracle.timestep
    state.losses = [0.0]  # the next step
    state.loss(latent, captions)
    assert not torch.equal(oracle.timestep, first)
    state.losses = []
    state.loss(latent, captions)
    assert torch.equal(oracle.timestep, first)
    state.denoiser = Oracle(latent + 0.1, alphas)
    assert state.loss(latent, captions) > 1e-3


def test_no_word_is_no_vector_and_a_word_changes_what_is_predicted() -> None:
    torch.manual_seed(0)
    denoiser = training.Denoiser().eval()
    latent, timestep = torch.randn(1, 12, 8, 8), torch.tensor([500])
    said = {number: denoiser(latent, timestep, torch.tensor([[number, 0]])) for number in (0, 1, 2)}
    width = denoiser.unet.config.cross_attention_dim
    unsaid = denoiser.unet(latent, timestep, encoder_hidden_states=torch.zeros(1, 1, width)).sample
    torch.testing.assert_close(said[0], unsaid)
    assert not torch.allclose(said[1], said[0])
    assert not torch.allclose(said[1], said[2])


# ---------------------------------------------------------------------------------------------------------------------
# Killed and resumed


@pytest.mark.parametrize("step", [1, 4])
def test_a_killed_run_goes_on_as_if_nothing_had_happened(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, whole: Path, step: int
) -> None:
    folder = tmp_path / "killed"
    killed(monkeypatch, folder, step)
    assert losses(folder) == losses(whole)[:step]
    train(folder, TINY, workers=0)
    assert losses(folder) == losses(whole)
    expected, found = tensors(stored(whole)), tensors(stored(folder))
    assert found.keys() == expected.keys()
    assert {name.split("/")[1] for name in found} == {"denoiser", "optimizer", "ema"}
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_a_run_killed_before_its_first_checkpoint_starts_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, whole: Path
) -> None:
    folder = tmp_path / "killed"
    killed(monkeypatch, folder, 2, save_every=1e9)
    assert not (folder / "checkpoint.pt").exists()
    train(folder, TINY, workers=0)
    assert losses(folder) == losses(whole)


def test_another_process_draws_the_same_scenes(tmp_path: Path, whole: Path) -> None:
    train(tmp_path / "worker", TINY, workers=1)
    assert losses(tmp_path / "worker") == losses(whole)


def test_a_finished_run_may_be_called_again(whole: Path) -> None:
    before = losses(whole)
    weights = load_file(whole / "model" / "unet" / "diffusion_pytorch_model.safetensors")
    train(whole, TINY, workers=0)
    assert losses(whole) == before
    again = load_file(whole / "model" / "unet" / "diffusion_pytorch_model.safetensors")
    assert all(torch.equal(again[name], weights[name]) for name in weights)


def test_the_loss_is_finite_and_the_global_generator_is_left_alone(tmp_path: Path) -> None:
    before = torch.get_rng_state()
    training._State(TINY, "cpu")
    assert torch.equal(torch.get_rng_state(), before)
    train(tmp_path, TINY, workers=0)
    assert np.isfinite(losses(tmp_path)).all()
    assert len(losses(tmp_path)) == TINY.steps


def test_training_lowers_the_loss(tmp_path: Path) -> None:
    """The same scenes and noise at every step: an optimiser that works learns them."""
    config = replace(TINY, steps=12, learning_rate=1e-2)
    state, batch = training._State(config, "cpu"), make_batch(config, 0)
    before = state.loss(*batch).item()
    for _ in range(config.steps):
        state.advance(*batch)
    state.losses = []  # the noise of the first step again
    assert state.loss(*batch).item() < 0.9 * before


# ---------------------------------------------------------------------------------------------------------------------
# Checkpoints


@pytest.mark.situation("writers")
def test_a_failing_save_leaves_the_former_checkpoint(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    killed(monkeypatch, tmp_path, 3)
    before = (tmp_path / "checkpoint.pt").read_bytes()

    def disk_full(path: Path, content: bytes) -> None:
        with path.open("wb") as file:
            file.write(content[: len(content) // 2])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", disk_full)
        with pytest.raises(InputError, match=r"checkpoint\.pt cannot be written \(No space left on device\)"):
            train(tmp_path, TINY, workers=0)
    assert (tmp_path / "checkpoint.pt").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.pt"]
    train(tmp_path, TINY, workers=0)
    assert len(losses(tmp_path)) == TINY.steps


@pytest.mark.parametrize("change", [{"seed": 1}, {"patches": 64}, {"learning_rate": 1e-3}])
def test_changed_settings_are_refused(whole: Path, change: dict) -> None:
    (name, value), *_ = change.items()
    before = (whole / "checkpoint.pt").read_bytes()
    with pytest.raises(InputError, match=f"trained with {name} = {getattr(TINY, name)}, not {value}"):
        train(whole, replace(TINY, **change), workers=0)
    assert (whole / "checkpoint.pt").read_bytes() == before


def test_a_run_may_be_made_longer(whole: Path) -> None:
    train(whole, replace(TINY, steps=8), workers=0)
    assert len(losses(whole)) == 8


def test_a_damaged_checkpoint_is_refused(whole: Path) -> None:
    path = whole / "checkpoint.pt"
    content, without_average, other = path.read_bytes(), io.BytesIO(), io.BytesIO()
    torch.save({key: value for key, value in stored(whole).items() if key != "ema"}, without_average)
    torch.save(torch.zeros(1), other)  # a file of another program
    pickled = pickle.dumps(path)  # such are never opened
    for damaged in (b"", content[:1000], content[:-1], without_average.getvalue(), other.getvalue(), pickled):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match=r"checkpoint\.pt is damaged .*: delete it") as refusal:
            train(whole, TINY, workers=0)
        assert "\n" not in str(refusal.value)


def test_a_gradient_that_is_no_number_ends_the_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    killed(monkeypatch, tmp_path, 3)
    with monkeypatch.context() as patch:
        broken = torch.full((2, 12, 8, 8), float("nan")), torch.zeros(2, TOKENS, dtype=torch.long)
        patch.setattr(training, "make_batch", lambda config, step: broken)
        with pytest.raises(InputError, match="gradient became nan at step 3: lower the learning rate"):
            train(tmp_path, TINY, workers=0, save_every=-1)
    assert len(losses(tmp_path)) == 3  # the checkpoint is the last sound one


# ---------------------------------------------------------------------------------------------------------------------
# Export


def test_the_export_is_a_backbone(whole: Path) -> None:
    model = whole / "model"
    backbone = load_backbone(str(model), "cpu")
    assert backbone.scheduler.config.prediction_type == "v_prediction"
    names = [name for name, _ in training.Denoiser().named_parameters()]
    averages = dict(zip(names, stored(whole)["ema"]["shadow_params"], strict=True))
    for name, parameter in backbone.denoiser.named_parameters():
        torch.testing.assert_close(parameter, averages[f"unet.{name}"].half().float(), rtol=0, atol=0)
    assert tuple(sorted(backbone.vocabulary)) == tuple(sorted(WORDS))
    said = averages["words.weight"][1 + WORDS.index("striped")].half()
    assert torch.equal(backbone.vocabulary["striped"], said)
    latent = backbone.encode(np.zeros((20, 20, 3), np.uint8), 8)
    assert torch.isfinite(backbone.denoise(latent, 100)).all()


def test_the_read_out_is_half_of_the_encoder(whole: Path) -> None:
    backbone = load_backbone(str(whole / "model"), "cpu")
    encoder = {n: (1.0,) * layer.heads for n, layer in attention_layers(backbone).items() if "down" in n}
    last = tuple(f"down_blocks.0.attentions.0.transformer_blocks.{i}." for i in (2, 3))
    usual = resolve("walkcut", backbone.eye)
    assert usual.heads == {name: heads for name, heads in encoder.items() if not name.startswith(last)}
    assert (usual.inflation, usual.jump_chain) == (2, True)
    assert backbone.eye.readout.keys() == {"timesteps", "jump_chain", "inflation", "spatial_prior", "heads"}


def test_the_export_tells_its_settings_and_its_curve(whole: Path) -> None:
    record = json.loads((whole / "model" / "training.json").read_text())
    assert record["training"] == TINY.__dict__ | {"sides": list(TINY.sides)}
    assert record["curve"]["loss"] == pytest.approx(losses(whole), abs=1e-5)


def test_snapshots_are_the_models_of_their_moments(whole: Path, tmp_path: Path) -> None:
    train(tmp_path, TINY, workers=0, snapshots=2)
    assert sorted(path.name for path in tmp_path.glob("step-*")) == ["step-2", "step-4", "step-6"]
    last, end, middle = (
        load_file(folder / "unet" / "diffusion_pytorch_model.safetensors")
        for folder in (tmp_path / "step-6", whole / "model", tmp_path / "step-4")
    )
    assert all(torch.equal(last[name], end[name]) for name in end)
    assert any(not torch.equal(middle[name], end[name]) for name in end)
    assert load_backbone(str(tmp_path / "step-2"), "cpu").eye.readout["heads"]


def test_the_average_runs_behind_the_weights(whole: Path) -> None:
    last = stored(whole)
    pairs = zip(last["ema"]["shadow_params"], last["denoiser"].values(), strict=True)
    assert any(not torch.equal(average, weight) for average, weight in pairs)


@pytest.mark.gpu
def test_a_gpu_trains_and_its_export_is_read_on_the_cpu(tmp_path: Path) -> None:
    model = train(tmp_path, TINY, device="cuda", workers=0)
    assert np.isfinite(losses(tmp_path)).all()
    assert load_backbone(str(model), "cpu").device.type == "cpu"

"""Every listed architecture with random weights: the whole path from a picture to its segments."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import Output, make_text_config, make_tokenizer
from diffusers import (
    AutoencoderKL,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from transformers import CLIPTextModel, CLIPTextModelWithProjection

import walkcut.capture
from walkcut.backbone import Backbone, Networks
from walkcut.bench.architectures import NETWORKS, network_config, random_backbone, vae_config
from walkcut.capture import MeanAttention, Recorder, attend, attention_layers, capture
from walkcut.door import segment
from walkcut.errors import InputError
from walkcut.eyes.loading import load_backbone
from walkcut.eyes.models import MODELS
from walkcut.lab.recorders import LayerFeatures, QueriesAndKeys
from walkcut.recipe import resolve

MILLIONS = {
    "sd-1.4": 860,
    "sd-2.1": 866,
    "ssd-1b": 1330,
    "segmind-vega": 745,
    "sdxl": 2570,
    "sd-3": 2030,
    "sd-3.5": 2240,
}


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    """uint8 (72, 128, 3): not square, and no multiple of a patch."""
    return np.random.default_rng(0).integers(0, 256, (72, 128, 3), dtype=np.uint8)


@pytest.fixture(scope="module", params=NETWORKS)
def backbone(request: pytest.FixtureRequest) -> Backbone:
    return random_backbone(request.param, small=True)


def recorded(backbone: Backbone, image: np.ndarray, recorder: Recorder, **settings: object) -> object:
    recipe = resolve("walkcut", backbone.eye, {"grid": 8, "timesteps": [100], **settings})
    return capture(backbone, [image], recipe, recorder)[0][0]


@pytest.mark.parametrize("name", MILLIONS)
def test_the_size_is_the_published_one(name: str) -> None:
    config = network_config(name)
    with torch.device("meta"):
        network = (SD3Transformer2DModel if "patch_size" in config else UNet2DConditionModel)(**config)
    assert sum(p.numel() for p in network.parameters()) / 1e6 == pytest.approx(MILLIONS[name], rel=0.01)


def test_the_patch_is_the_listed_one(backbone: Backbone) -> None:
    assert backbone.patch == MODELS[backbone.name].patch


def test_rows_sum_to_one_on_every_grid(backbone: Backbone, picture: np.ndarray) -> None:
    found = attend(backbone, picture, grid=8, timesteps=[100])
    assert found.finest == ((8, 8) if len(backbone.shrinks) == 4 else (4, 8))
    for (h, w), matrix in found.maps.items():
        assert matrix.shape == (h * w, h * w)
        torch.testing.assert_close(matrix.sum(1), torch.ones(h * w), rtol=0, atol=1e-5)
    again = attend(backbone, picture, grid=8, timesteps=[100])
    assert all(torch.equal(again.maps[grid], found.maps[grid]) for grid in found.maps)


def test_a_batch_sees_what_each_picture_shows_alone(backbone: Backbone, picture: np.ndarray) -> None:
    images = [picture, 255 - picture]
    recipe = resolve("walkcut", backbone.eye, {"grid": 8, "timesteps": [100]})
    together = capture(backbone, images, recipe, MeanAttention(), LayerFeatures())
    for image, (maps, said) in zip(images, together, strict=True):
        ((alone, said_alone),) = capture(backbone, [image], recipe, MeanAttention(), LayerFeatures())
        for grid, matrix in alone.maps.items():
            torch.testing.assert_close(maps.maps[grid], matrix, rtol=1e-3, atol=1e-6)
        torch.testing.assert_close(said.values, said_alone.values, rtol=1e-3, atol=1e-4)


def test_patches_have_the_size_that_the_finest_attention_sees(backbone: Backbone) -> None:
    assert backbone.patch == (8 if backbone.name in ("sd-1.4", "sd-1.5", "sd-2.1") else 16)


def test_recording_leaves_what_is_computed_as_it_is(backbone: Backbone, picture: np.ndarray) -> None:
    """Nor does anything stay behind."""
    latent = backbone.encode(picture, 8)
    before = backbone.denoise(latent, 100)
    attend(backbone, picture, grid=8, timesteps=[100])
    recorded(backbone, picture, LayerFeatures())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in backbone.denoiser.modules())
    assert torch.equal(backbone.denoise(latent, 100), before)


def test_a_pass_ends_behind_the_first_layer(backbone: Backbone, picture: np.ndarray) -> None:
    """If no other is recorded; in transformers, which name what enters, as in UNets."""
    name, layer = next(iter(attention_layers(backbone).items()))
    ran: list[str] = []
    hooks = [
        module.register_forward_pre_hook(lambda module, inputs, other=other: ran.append(other))
        for other, module in attention_layers(backbone).items()
    ]
    try:
        attend(backbone, picture, grid=8, timesteps=[100, 300], heads={name: (1.0,) * layer.heads})
    finally:
        for hook in hooks:
            hook.remove()
    assert ran == [name, name]


def test_what_is_recorded_is_what_the_layer_itself_uses(backbone: Backbone, picture: np.ndarray) -> None:
    """The layer's own output, made anew from the attention that was recorded and the layer's values."""
    layers = {n: m for n, m in attention_layers(backbone).items() if not n.endswith(".attn")}
    if not layers:  # words take part in every layer: see the next test
        assert backbone.name == "sd-3"
        return
    name, layer = list(layers.items())[-1]
    taken = {}
    hook = layer.register_forward_hook(lambda m, a, k, out: taken.update(a=a, k=k, out=out), with_kwargs=True)
    try:
        settings = {"grid": 8, "timesteps": [100], "heads": {name: (1.0,) * layer.heads}}
        recipe = resolve("walkcut", backbone.eye, settings)
        # its output lets the layer end: else the pass ends where its attention is known
        ((heads, _),) = capture(backbone, [picture], recipe, QueriesAndKeys(), Output(name))
    finally:
        hook.remove()
    hidden = taken["k"].get("hidden_states", taken["a"][0] if taken["a"] else None)
    values = layer.to_v(hidden)[0].unflatten(-1, (layer.heads, -1)).transpose(0, 1)
    mixed = [torch.softmax(head.query @ head.key.T, 1) @ value for head, value in zip(heads, values, strict=True)]
    out = layer.to_out[0](torch.cat(mixed, 1))
    torch.testing.assert_close(out, taken["out"][0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["sd-3", "sd-3.5"])
def test_patches_among_themselves_are_the_joint_attention_renormalised(name: str, picture: np.ndarray) -> None:
    backbone = random_backbone(name, small=True, num_layers=3)
    layer_name, layer = next(iter(attention_layers(backbone).items()))
    taken = {}
    hook = layer.register_forward_pre_hook(lambda m, a, k: taken.update(k), with_kwargs=True)
    try:
        heads = {layer_name: (1.0,) * layer.heads}
        found = attend(backbone, picture, grid=8, timesteps=[100], heads=heads)
    finally:
        hook.remove()
    patches, words = taken["hidden_states"], taken["encoder_hidden_states"]

    def split(x: torch.Tensor, norm: torch.nn.Module | None) -> torch.Tensor:
        x = x[0].unflatten(-1, (layer.heads, -1)).transpose(0, 1)
        return x if norm is None else norm(x)

    queries = split(layer.to_q(patches), layer.norm_q)
    keys = torch.cat([split(layer.to_k(patches), layer.norm_k), split(layer.add_k_proj(words), layer.norm_added_k)], 1)
    joint = torch.softmax(queries @ keys.transpose(1, 2) * layer.scale, 2)
    block = joint[:, :, : patches.shape[1]]
    expected = (block / block.sum(2, keepdim=True)).mean(0)
    torch.testing.assert_close(found.maps[found.finest], expected, rtol=1e-4, atol=1e-6)


def test_features_are_one_vector_a_patch(backbone: Backbone, picture: np.ndarray) -> None:
    found = recorded(backbone, picture, LayerFeatures())
    assert len(found.values) == found.grid[0] * found.grid[1]
    assert torch.isfinite(found.values).all()


def test_a_picture_becomes_segments(backbone: Backbone, picture: np.ndarray) -> None:
    for preset in ("walkcut", "paper-v1"):
        found = segment(picture, backbone, preset=preset, grid=8, timesteps=[100], noise="forward")
        assert found.labels.shape == picture.shape[:2]
        assert found.count >= 1


def test_the_paper_looks_on_the_path_of_an_inversion(
    picture: np.ndarray, tiny: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hundred passes there and back, and ten to look; the embedded denoiser takes one noisy pass."""
    passes = []
    run = Backbone.run
    monkeypatch.setattr(Backbone, "run", lambda self, *given: (passes.append(given[2]), run(self, *given))[1])
    latent = random_backbone("sd-1.4", small=True, layers_per_block=1)
    for backbone, preset, count in ((latent, "paper-v1", 110), (latent, "walkcut", 1), (tiny, "paper-v1", 1)):
        passes.clear()
        segment(picture, backbone, preset=preset, grid=8)
        assert len(passes) == count


def test_blocks_of_rows_give_the_same_mean(picture: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    backbone = random_backbone("sd-1.4", small=True)
    whole = attend(backbone, picture, grid=16, timesteps=[100])
    monkeypatch.setattr(walkcut.capture, "BLOCK", 1)  # one row of a head at a time
    rows = attend(backbone, picture, grid=16, timesteps=[100])
    for grid, matrix in whole.maps.items():
        torch.testing.assert_close(rows.maps[grid], matrix)


def test_an_architecture_that_is_not_known_is_refused() -> None:
    with pytest.raises(InputError, match="'dall-e' is not known: choose from sd-1"):
        random_backbone("dall-e")


def test_stable_diffusion_1_4_at_its_full_size(picture: np.ndarray) -> None:
    """860 million parameters, drawn cheaply: only the way through them is tested."""
    network = random_backbone("sd-1.4", "meta").denoiser.to_empty(device="cpu")
    generator = torch.Generator().manual_seed(0)
    for name, parameter in network.named_parameters():
        parameter.fill_(1.0) if "norm" in name else parameter.uniform_(-0.02, 0.02, generator=generator)
    whole = random_backbone("sd-1.4", small=True)
    context = torch.randn(1, 77, 768, generator=generator)
    full = replace(whole, networks=Networks(lambda: (network, whole.scheduler)), context=context)
    found = attend(full, picture, grid=16, timesteps=[300])
    assert set(found.maps) == {(8, 16), (4, 8), (2, 4), (1, 2)}
    assert len(attention_layers(full)) == 16
    for (h, w), matrix in found.maps.items():
        torch.testing.assert_close(matrix.sum(1), torch.ones(h * w), rtol=0, atol=1e-4)


# ---------------------------------------------------------------------------------------------------------------------
# Read from disk, as a user's are


def two_encoders(folder: Path) -> dict:
    """Text encoders of 8 channels with their tokenizers, as Stable Diffusion XL and 3 have them."""
    tokens = 7
    return {
        "text_encoder_2": CLIPTextModelWithProjection(make_text_config(8, tokens)),
        "tokenizer": make_tokenizer(folder / "words", tokens),
        "tokenizer_2": make_tokenizer(folder / "more-words", tokens),
    }


def test_stable_diffusion_xl_from_disk(tmp_path: Path, picture: np.ndarray) -> None:
    small = {"cross_attention_dim": 16, "projection_class_embeddings_input_dim": 8 + 6 * 8}
    pipeline = StableDiffusionXLPipeline(
        vae=AutoencoderKL(**vae_config("sdxl", small=True)),
        unet=UNet2DConditionModel(**network_config("sdxl", small=True) | small),
        text_encoder=CLIPTextModel(make_text_config(8, 7)),
        scheduler=EulerDiscreteScheduler(beta_schedule="scaled_linear"),
        **two_encoders(tmp_path),
    )
    pipeline.save_pretrained(tmp_path / "xl")
    backbone = load_backbone(str(tmp_path / "xl"), "cpu", prompt="lo")
    context, _, pooled, _ = pipeline.encode_prompt("lo", device="cpu", do_classifier_free_guidance=False)
    torch.testing.assert_close(backbone.context, context)
    torch.testing.assert_close(backbone.pooled, pooled)
    assert attend(backbone, picture, grid=8).finest == (4, 8)
    told = []
    hook = backbone.denoiser.register_forward_pre_hook(
        lambda module, given, named: told.append(named["added_cond_kwargs"]["time_ids"].tolist()), with_kwargs=True
    )
    backbone.denoise(backbone.encode(picture, 8), 10)
    hook.remove()
    assert told == [[[64, 128, 0, 0, 64, 128]]]  # the size of the picture that it is shown


@pytest.mark.parametrize("dual", [(), (0,)])
def test_stable_diffusion_3_from_disk(tmp_path: Path, picture: np.ndarray, dual: tuple[int, ...]) -> None:
    small = {"num_layers": 2, "joint_attention_dim": 16, "pooled_projection_dim": 16, "dual_attention_layers": dual}
    pipeline = StableDiffusion3Pipeline(
        vae=AutoencoderKL(**vae_config("sd-3", small=True)),
        transformer=SD3Transformer2DModel(**network_config("sd-3", small=True) | small),
        text_encoder=CLIPTextModelWithProjection(make_text_config(8, 7)),
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
        text_encoder_3=None,
        tokenizer_3=None,
        **two_encoders(tmp_path),
    )
    pipeline.save_pretrained(tmp_path / "three")
    backbone = load_backbone(str(tmp_path / "three"), "cpu", prompt="lo")
    given = {"device": "cpu", "do_classifier_free_guidance": False}
    context, _, pooled, _ = pipeline.encode_prompt("lo", None, None, **given)
    torch.testing.assert_close(backbone.context, context)
    torch.testing.assert_close(backbone.pooled, pooled)
    latent = backbone.encode(picture, 8)
    assert latent.shape == (1, 16, 8, 16)
    assert attend(backbone, picture, grid=8).finest == (4, 8)
    assert len(attention_layers(backbone)) == 2 + len(dual)

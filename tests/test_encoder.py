"""The encoder written out, against the slow reference: the UNet of diffusers, which reads the same files."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import load_file, save_file

import walkcut
from walkcut.eyes.encoder import PLAIN, Attention, Encoder, Level, ResnetBlock, load, waves

TRAINED = Path(walkcut.__file__).parent / "weights" / "dead-leaves"
WEIGHTS = "unet/diffusion_pytorch_model.safetensors"
TINY = dict(
    sample_size=8,
    in_channels=4,
    out_channels=4,
    block_out_channels=(8, 16),
    down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
    mid_block_type=None,
    layers_per_block=1,
    attention_head_dim=2,
    cross_attention_dim=6,
    norm_num_groups=4,
)
OTHERS = {
    "levels that differ": dict(
        transformer_layers_per_block=(1, 3),
        reverse_transformer_layers_per_block=(1, 1),
        attention_head_dim=(2, 4),
    ),
    "three levels": dict(
        block_out_channels=(8, 8, 16),
        down_block_types=("CrossAttnDownBlock2D",) * 3,
        up_block_types=("UpBlock2D",) * 3,
    ),
}


@pytest.fixture
def copy(tiny_model: Path, tmp_path: Path) -> Path:
    """A copy of the tiny model that may be damaged."""
    return Path(shutil.copytree(tiny_model, tmp_path / "copy"))


def reference(folder: Path) -> UNet2DConditionModel:
    return UNet2DConditionModel.from_pretrained(folder / "unet", local_files_only=True, use_safetensors=True).eval()


def saved(folder: Path, **settings: object) -> Path:
    """A UNet of diffusers with random weights, in a folder."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        UNet2DConditionModel(**TINY | settings).save_pretrained(folder / "unet")
    return folder


@torch.inference_mode()
def heard(network: torch.nn.Module, *shown: object) -> dict[str, torch.Tensor]:
    """The hidden state that enters each attention layer on the way down, and what leaves its last block ("end")."""
    found = {}

    def listen(name: str) -> object:
        def hook(layer: object, inputs: tuple, options: dict) -> None:
            found[name] = inputs[0] if inputs else options["hidden_states"]
            assert name.endswith("attn1") == (options.get("encoder_hidden_states") is None)

        return hook

    def leave(block: object, inputs: object, output: torch.Tensor | tuple) -> None:
        found["end"] = output[0] if isinstance(output, tuple) else output

    layers = {n: m for n, m in network.named_modules() if n.endswith(("attn1", "attn2")) and not n.startswith("up_")}
    handles = [m.register_forward_pre_hook(listen(n), with_kwargs=True) for n, m in layers.items()]
    handles.append(network.down_blocks[-1].register_forward_hook(leave))
    try:
        network(*shown)
    finally:
        for handle in handles:
            handle.remove()
    assert found.keys() == layers.keys() | {"end"}
    return found


def assert_equal(folder: Path, shape: tuple[int, ...], tokens: int, timestep: float | torch.Tensor) -> None:
    ours, theirs = load(folder), reference(folder)
    noise = torch.Generator().manual_seed(0)
    latent = torch.randn(shape, generator=noise)
    context = torch.randn(len(latent), tokens, theirs.config.cross_attention_dim, generator=noise)
    left, right = (heard(network, latent, timestep, context) for network in (ours, theirs))
    assert list(left) == list(right)
    for name, hidden in left.items():
        assert hidden.shape == right[name].shape
        assert (hidden - right[name]).abs().max() <= 1e-5, name
    assert torch.equal(ours(latent, timestep, context), left["end"])


# ---------------------------------------------------------------------------------------------------------------------
# The same hidden states


@pytest.mark.parametrize("timestep", [0, 10, 500, 999])
@pytest.mark.parametrize("tokens", [1, 3])
@pytest.mark.parametrize("shape", [(1, 12, 10, 16), (3, 12, 8, 6)])
def test_the_embedded_eye(shape: tuple[int, ...], tokens: int, timestep: int) -> None:
    assert_equal(TRAINED, shape, tokens, timestep)


def test_a_whole_picture() -> None:
    """481x321 pixels on a grid of 64 patches, with the empty prompt's one token."""
    assert_equal(TRAINED, (1, 12, 44, 64), 1, 10)


@pytest.mark.parametrize("timestep", [0, 10, 500, 999])
@pytest.mark.parametrize("tokens", [1, 3])
@pytest.mark.parametrize("shape", [(1, 12, 10, 16), (3, 12, 8, 6)])
def test_a_tiny_model(tiny_model: Path, shape: tuple[int, ...], tokens: int, timestep: int) -> None:
    assert_equal(tiny_model, shape, tokens, timestep)


@pytest.mark.parametrize("settings", OTHERS.values(), ids=OTHERS)
def test_other_unets(tmp_path: Path, settings: dict) -> None:
    assert_equal(saved(tmp_path, **settings), (2, 4, 12, 8), 3, 100)


@pytest.mark.parametrize("timestep", [10.5, torch.tensor(7), torch.tensor([3, 900])])
def test_timesteps_of_other_kinds(tiny_model: Path, timestep: float | torch.Tensor) -> None:
    assert_equal(tiny_model, (2, 12, 6, 8), 1, timestep)


def test_pictures_of_a_batch_do_not_see_one_another(tiny_model: Path) -> None:
    encoder, latent = load(tiny_model), torch.randn(3, 12, 6, 8, generator=torch.Generator().manual_seed(0))
    context = torch.zeros(3, 1, 8)
    together = encoder(latent, 10, context)
    alone = torch.cat([encoder(one[None], 10, context[:1]) for one in latent])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)


def test_half_precision(tiny_model: Path) -> None:
    encoder = load(tiny_model, "cpu", torch.bfloat16)
    assert {parameter.dtype for parameter in encoder.parameters()} == {torch.bfloat16}
    latent = torch.randn(1, 12, 6, 8, generator=torch.Generator().manual_seed(0))
    halved = encoder(latent.bfloat16(), 999, torch.zeros(1, 1, 8, dtype=torch.bfloat16))
    torch.testing.assert_close(halved.float(), load(tiny_model)(latent, 999, torch.zeros(1, 1, 8)), atol=0.2, rtol=0.1)


# ---------------------------------------------------------------------------------------------------------------------
# What others see of it


def test_attention_layers_are_as_diffusers_has_them(tiny_model: Path) -> None:
    encoder, theirs = load(tiny_model), reference(tiny_model)
    layers = {name: layer for name, layer in encoder.named_modules() if isinstance(layer, Attention)}
    assert list(layers) == [
        f"down_blocks.{level}.attentions.0.transformer_blocks.0.attn{kind}" for level in (0, 1) for kind in (1, 2)
    ]
    for name, layer in layers.items():
        other = theirs.get_submodule(name)
        assert (layer.heads, layer.norm_q, layer.norm_k) == (other.heads, None, None)
        assert layer.scale == pytest.approx(other.scale)
        for part in ("to_q", "to_k", "to_v", "to_out.0"):
            assert torch.equal(layer.get_submodule(part).weight, other.get_submodule(part).weight)


def test_settings_are_attributes(tiny_model: Path) -> None:
    ours, theirs = load(tiny_model).config, reference(tiny_model).config
    assert ours.down_block_types == list(theirs.down_block_types)
    assert ours.block_out_channels == list(theirs.block_out_channels)
    assert (ours.in_channels, ours.cross_attention_dim, ours.norm_num_groups) == (12, 8, 4)


def test_it_is_for_use_alone_and_draws_no_random_numbers(tiny_model: Path) -> None:
    before = torch.get_rng_state()
    encoder = load(tiny_model)
    assert torch.equal(torch.get_rng_state(), before)
    assert not encoder.training
    assert not any(parameter.requires_grad or parameter.is_meta for parameter in encoder.parameters())


def test_nothing_of_diffusers_is_imported() -> None:
    """Imports for which the first picture would have to wait, three times as long as for torch."""
    code = f"""
import sys
from pathlib import Path
import torch
from walkcut.eyes.encoder import load
load(Path({str(TRAINED)!r}))(torch.zeros(1, 12, 8, 8), 10, torch.zeros(1, 1, 32))
slow = {{"diffusers", "transformers", "torch._dynamo", "torch._inductor", "huggingface_hub"}} & sys.modules.keys()
sys.exit(f"imported: {{slow}}" if slow else 0)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


# ---------------------------------------------------------------------------------------------------------------------
# By hand


def test_waves_by_hand() -> None:
    found = waves(torch.tensor([0, 2]), 2)
    expected = torch.tensor([[1, 1, 0, 0], [2.0, 0.02, 2.0, 0.02]])
    expected[1] = torch.cat([expected[1, :2].cos(), expected[1, 2:].sin()])
    torch.testing.assert_close(found, expected)
    assert found.dtype == torch.float32


def test_attention_by_hand() -> None:
    """The toy of chapter 1: sea looks at sea with 3/11 and at sand with 1/11."""
    layer = Attention(2, 2, heads=1)
    assert layer.scale == 2**-0.5
    with torch.no_grad():
        layer.to_q.weight.copy_(torch.eye(2) * 2**0.5 * torch.tensor(3.0).log())
        for linear in (layer.to_k, layer.to_v, layer.to_out[0]):
            linear.weight.copy_(torch.eye(2))
        layer.to_out[0].bias.zero_()
    patches = torch.tensor([[[1.0, 0], [0, 1], [1, 0], [1, 0], [0, 1]]])
    fetched = layer(patches)[0]
    torch.testing.assert_close(fetched[:2], torch.tensor([[9 / 11, 2 / 11], [3 / 9, 6 / 9]]))
    torch.testing.assert_close(layer(patches, patches[:, :1])[0], torch.tensor([[1.0, 0]]).expand(5, 2))  # one word


def test_a_residual_block_adds_to_what_enters() -> None:
    block = ResnetBlock(4, 4, 8, groups=2, eps=1e-5)
    with torch.no_grad():
        block.conv2.weight.zero_()
        block.conv2.bias.zero_()
    hidden = torch.randn(1, 4, 3, 5, generator=torch.Generator().manual_seed(0))
    assert torch.equal(block(hidden, torch.zeros(1, 8)), hidden)


def test_levels_halve_the_grid_but_the_last(tiny_model: Path) -> None:
    encoder = load(tiny_model)
    assert all(isinstance(level, Level) for level in encoder.down_blocks)
    assert encoder(torch.zeros(1, 12, 6, 8), 0, torch.zeros(1, 1, 8)).shape == (1, 32, 3, 4)


# ---------------------------------------------------------------------------------------------------------------------
# Refusals


@pytest.mark.parametrize("key", PLAIN)
def test_a_setting_that_is_not_written_out_is_refused(tiny_model: Path, key: str) -> None:
    settings = json.loads((tiny_model / "unet" / "config.json").read_text())
    Encoder(settings)
    with pytest.raises(ValueError, match=f"{key} = 'another' is not written out here"):
        Encoder(settings | {key: "another"})


@pytest.mark.parametrize(
    "kinds",
    [{"mid_block_type": "UNetMidBlock2DCrossAttn"}, {"down_block_types": ["CrossAttnDownBlock2D", "DownBlock2D"]}],
)
def test_a_block_that_is_not_written_out_is_refused(tiny_model: Path, kinds: dict) -> None:
    settings = json.loads((tiny_model / "unet" / "config.json").read_text())
    with pytest.raises(ValueError, match=r"(UNetMidBlock2DCrossAttn|DownBlock2D) is not written out"):
        Encoder(settings | kinds)


@pytest.mark.parametrize(
    "settings",
    [
        dict(addition_embed_type="text", addition_embed_type_num_heads=2),
        dict(attention_type="gated"),
        dict(class_embed_type="timestep"),
        dict(dual_cross_attention=True),
        dict(encoder_hid_dim=5, encoder_hid_dim_type="text_proj"),
        dict(num_class_embeds=3),
        dict(time_embedding_type="fourier"),
        dict(use_linear_projection=True),
    ],
    ids=lambda settings: next(iter(settings)),
)
def test_a_unet_of_another_make_is_refused(tmp_path: Path, settings: dict) -> None:
    with pytest.raises(ValueError, match="is not written out here"):
        load(saved(tmp_path, **settings))


def test_every_setting_is_known() -> None:
    """Diffusers has no setting that is neither read, nor held to one value, nor of no effect on the way down."""
    read = {"attention_head_dim", "block_out_channels", "cross_attention_dim", "down_block_types", "in_channels"}
    read |= {"mid_block_type", "norm_eps", "norm_num_groups", "transformer_layers_per_block"}
    way_up = {"conv_out_kernel", "out_channels", "reverse_transformer_layers_per_block", "up_block_types"}
    told = {"sample_size", "dropout"}  # of pictures that it was trained on; in training
    of_others = {"addition_embed_type_num_heads", "addition_time_embed_dim", "class_embeddings_concat"}
    of_others |= {"encoder_hid_dim", "projection_class_embeddings_input_dim", "mid_block_only_cross_attention"}
    refused = {"num_attention_heads"}  # by diffusers
    exact = {"upcast_attention"}  # the same in float32
    known = read | way_up | told | of_others | refused | exact | PLAIN.keys()
    assert set(UNet2DConditionModel(**TINY).config) - {"_use_default_values"} == known


def test_a_missing_weight_is_named(copy: Path) -> None:
    weights = load_file(copy / WEIGHTS)
    del weights["down_blocks.1.resnets.0.conv1.bias"]
    save_file(weights, copy / WEIGHTS)
    with pytest.raises(KeyError, match=r"down_blocks\.1\.resnets\.0\.conv1\.bias"):
        load(copy)
    (copy / WEIGHTS).unlink()
    with pytest.raises(KeyError, match=r"conv_in\.weight"):
        load(copy)


def test_a_weight_of_another_shape_is_named(copy: Path) -> None:
    weights = load_file(copy / WEIGHTS)
    weights["conv_in.weight"] = weights["conv_in.weight"][:, :4].clone()
    save_file(weights, copy / WEIGHTS)
    with pytest.raises(RuntimeError, match=r"size mismatch for conv_in\.weight"):
        load(copy)


def test_weights_of_the_way_up_are_not_read(copy: Path) -> None:
    weights = load_file(copy / WEIGHTS)
    down = {name: weights[name] for name in weights if not name.startswith(("up_blocks", "conv_norm_out", "conv_out"))}
    assert len(down) < len(weights)
    save_file(down, copy / WEIGHTS)
    latent, context = torch.ones(1, 12, 4, 4), torch.zeros(1, 1, 8)
    half = load(copy)(latent, 10, context)
    save_file(weights, copy / WEIGHTS)
    assert torch.equal(half, load(copy)(latent, 10, context))

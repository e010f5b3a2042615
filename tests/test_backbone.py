"""Backbones: what a picture becomes, what can be loaded, and what is refused in one sentence."""

from __future__ import annotations

import json
import pickle
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from safetensors.torch import load_file, save_file

import walkcut.eyes.embedded
import walkcut.eyes.loading
import walkcut.eyes.stable
from walkcut.backbone import Backbone, Networks
from walkcut.capture import attend, attention_layers, capture
from walkcut.errors import InputError
from walkcut.eyes.loading import find_device, load_backbone
from walkcut.lab.recorders import LayerFeatures
from walkcut.recipe import resolve

WEIGHTS = Path("unet") / "diffusion_pytorch_model.safetensors"


@pytest.fixture
def copy(tiny_model: Path, tmp_path: Path) -> Path:
    """A copy of the tiny model that may be damaged."""
    return Path(shutil.copytree(tiny_model, tmp_path / "copy"))


def refused(model: Path | str, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        load_backbone(str(model), "cpu")
    assert "\n" not in str(caught.value)
    assert str(model) in str(caught.value)


# ---------------------------------------------------------------------------------------------------------------------
# Pictures


@pytest.mark.parametrize(
    ("shape", "longest", "grid"),
    [
        ((128, 128), 64, (64, 64)),
        ((321, 481), 64, (42, 64)),  # 42.7 patches, to the nearest multiple of 2
        ((481, 321), 64, (64, 42)),
        ((1, 1000), 64, (2, 64)),
        ((1, 1), 8, (8, 8)),
        ((100, 100), 2, (2, 2)),
    ],
)
def test_the_grid_keeps_the_aspect(tiny: Backbone, shape: tuple[int, int], longest: int, grid: tuple[int, int]) -> None:
    assert tiny.grid(np.zeros((*shape, 3), np.uint8), longest) == grid


@pytest.mark.parametrize("longest", [1, 0, -4])
def test_a_grid_has_at_least_one_coarsest_patch(tiny: Backbone, longest: int) -> None:
    with pytest.raises(InputError, match=f"{longest} patches is too coarse.*at least 2"):
        tiny.grid(np.zeros((9, 9, 3), np.uint8), longest)


def test_a_latent_of_pixels_loses_nothing(tiny: Backbone) -> None:
    image = np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    latent = tiny.encode(image, 8)
    assert latent.shape == (1, 12, 6, 8)
    pixels = torch.nn.functional.pixel_shuffle(latent, 2)[0].permute(1, 2, 0)
    np.testing.assert_array_equal(np.rint((pixels.numpy() + 1) * 127.5), image)


def test_a_picture_is_resized_to_its_grid(tiny: Backbone) -> None:
    latent = tiny.encode(np.full((321, 481, 3), 255, np.uint8), 16)
    assert latent.shape == (1, 12, 10, 16)
    assert (latent == 1).all()


def test_noise_follows_the_schedule(tiny: Backbone) -> None:
    """Forward noise: sqrt(abar) latent + sqrt(1 - abar) noise (Ho et al. 2020, equation 4)."""
    latent = torch.full((1, 12, 2, 2), 0.5)
    noise = torch.randn(latent.shape, generator=torch.Generator().manual_seed(3))
    for timestep in (1, 500, 999):
        betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2
        kept = torch.cumprod(1 - betas, 0)[timestep]
        found = tiny.add_noise(latent, timestep, torch.Generator().manual_seed(3))
        torch.testing.assert_close(found, kept.sqrt() * latent + (1 - kept).sqrt() * noise)


def test_a_pass_has_the_latents_shape(tiny: Backbone) -> None:
    latent = tiny.encode(np.zeros((24, 32, 3), np.uint8), 16)
    found = tiny.denoise(latent, 100)
    assert found.shape == latent.shape
    assert torch.isfinite(found).all()


# ---------------------------------------------------------------------------------------------------------------------
# Loading


def test_a_loaded_model_is_ready_to_look(tiny: Backbone) -> None:
    for network in (tiny.networks.first, tiny.denoiser):
        assert not network.training
        assert not any(parameter.requires_grad for parameter in network.parameters())
    assert not hasattr(tiny, "vae")
    assert tiny.patch == 2
    assert tiny.device.type == "cpu"
    assert not tiny.context.any()


def test_a_stable_diffusion_in_diffusers_format(stable_model: Path, two_halves: np.ndarray) -> None:
    backbone = load_backbone(str(stable_model), "cpu")
    assert backbone.patch == 4
    assert backbone.context.shape == (1, 7, 8)  # the empty prompt, padded to the tokenizer's length
    assert backbone.context.abs().sum() > 0
    latent = backbone.encode(two_halves, 8)
    assert latent.shape == (1, 4, 6, 8)
    vae = AutoencoderKL.from_pretrained(stable_model / "vae").eval()
    pixels = torch.from_numpy(two_halves).permute(2, 0, 1)[None] / 127.5 - 1
    with torch.inference_mode():
        expected = vae.encode(pixels).latent_dist.mode() * vae.config.scaling_factor
    torch.testing.assert_close(latent, expected)
    assert backbone.denoise(latent, 10).shape == latent.shape


def test_other_libraries_keep_quiet_while_weights_load(stable_model: Path, copy: Path) -> None:
    """In a process of its own: what has been told once is not told again. Nor do they tell what we tell of damage.

    We say, once, that nobody has chosen heads.
    """
    (copy / WEIGHTS).unlink()
    code = f"""
from transformers.utils import logging
from walkcut import InputError, load_backbone
load_backbone("dead-leaves", "cpu").denoiser
load_backbone({str(stable_model)!r}, "cpu")
load_backbone({str(stable_model)!r}, "cpu", "float16", offload=True)
try:
    load_backbone({str(copy)!r}, "cpu")
except InputError:
    print(logging.is_progress_bar_enabled(), logging.get_verbosity() == logging.WARNING)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    told = f"walkcut: {stable_model} has no readout yet: all heads are read alike until `walkcut calibrate "
    told += f"{stable_model}` has chosen among them, without labels.\n"
    assert (done.stdout, done.stderr) == ("True True\n", told)


def test_the_empty_prompt_is_what_the_text_encoder_makes_of_it(stable_model: Path) -> None:
    from transformers import CLIPTextModel

    backbone = load_backbone(str(stable_model), "cpu")
    start, end = 6, 7  # of the tiny vocabulary; the prompt is padded with its end
    with torch.inference_mode():
        encoder = CLIPTextModel.from_pretrained(stable_model / "text_encoder").eval()
        expected = encoder(torch.tensor([[start] + [end] * 6])).last_hidden_state
    torch.testing.assert_close(backbone.context, expected)


def test_a_prompt_changes_what_is_predicted(stable_model: Path, two_halves: np.ndarray) -> None:
    empty, told = (load_backbone(str(stable_model), "cpu", prompt=prompt) for prompt in ("", "lo l"))
    latent = empty.encode(two_halves, 8)
    assert told.context.shape == empty.context.shape
    assert not torch.allclose(told.denoise(latent, 100), empty.denoise(latent, 100))


def test_a_backbone_computes_in_the_precision_asked_for(stable_model: Path, two_halves: np.ndarray) -> None:
    half = load_backbone(str(stable_model), "cpu", dtype="bfloat16")
    latent = half.encode(two_halves, 8)
    assert (half.denoiser.dtype, half.vae.dtype, latent.dtype) == (torch.bfloat16, torch.float32, torch.bfloat16)
    single = load_backbone(str(stable_model), "cpu")
    difference = half.denoise(latent, 100).float() - single.denoise(latent.float(), 100)
    assert 0 < difference.abs().max() < 0.1
    with pytest.raises(InputError, match="no dtype 'int8': choose auto, float32"):
        load_backbone(str(stable_model), "cpu", dtype="int8")


def test_offloaded_weights_say_the_same(stable_model: Path, two_halves: np.ndarray) -> None:
    """Here the weights come from main memory to main memory; the hooks that bring them are those of a GPU."""
    there, offloaded = (load_backbone(str(stable_model), "cpu", offload=offload) for offload in (False, True))
    latent = there.encode(two_halves, 8)
    assert torch.equal(offloaded.encode(two_halves, 8), latent)
    assert torch.equal(offloaded.denoise(latent, 100), there.denoise(latent, 100))
    expected, found = (attend(backbone, two_halves, grid=8, timesteps=[100]).maps for backbone in (there, offloaded))
    assert all(torch.equal(found[grid], matrix) for grid, matrix in expected.items())
    assert any(hasattr(module, "_diffusers_hook") for module in offloaded.vae.modules())


@pytest.mark.gpu
def test_offloaded_weights_wait_in_main_memory(stable_model: Path, two_halves: np.ndarray) -> None:
    there, offloaded = (load_backbone(str(stable_model), "cuda", offload=offload) for offload in (False, True))
    assert {p.device.type for p in offloaded.denoiser.parameters()} == {"cpu"}
    expected, found = (attend(backbone, two_halves, grid=8, timesteps=[100]).maps for backbone in (there, offloaded))
    for grid, matrix in expected.items():
        torch.testing.assert_close(found[grid], matrix, rtol=0.01, atol=1e-4)


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[UNet2DConditionModel]]:
    """Denoisers that were compiled, without the step that makes machine code, which takes long: what may go wrong goes
    wrong before it.
    """
    compile_blocks = UNet2DConditionModel.compile_repeated_blocks
    found = []

    def eager(unet: UNet2DConditionModel) -> None:
        found.append(unet)
        compile_blocks(unet, backend="eager")

    torch._dynamo.reset()  # what other tests compiled
    monkeypatch.setattr(UNet2DConditionModel, "compile_repeated_blocks", eager)
    with torch._dynamo.config.patch(skip_nnmodule_hook_guards=True):  # torch's own setting
        yield found


def test_a_compiled_denoiser_says_the_same(
    stable_model: Path, two_halves: np.ndarray, compiled: list[UNet2DConditionModel]
) -> None:
    plain, fast = (load_backbone(str(stable_model), "cpu", compiled=compiled) for compiled in (False, True))
    assert compiled == [fast.denoiser]
    for seed in (0, 1):
        settings = {"grid": 8, "timesteps": [100], "seed": seed}
        expected, found = (attend(backbone, two_halves, **settings).maps for backbone in (plain, fast))
        for grid, matrix in expected.items():
            torch.testing.assert_close(found[grid], matrix, rtol=1e-4, atol=1e-6)


@pytest.mark.usefixtures("compiled")
def test_features_of_a_compiled_denoiser_are_recorded_for_every_picture(
    stable_model: Path, two_halves: np.ndarray
) -> None:
    plain, fast = (load_backbone(str(stable_model), "cpu", compiled=compiled) for compiled in (False, True))
    for image in (two_halves, two_halves[:, ::-1], 255 - two_halves):
        recipe = resolve("walkcut", plain.eye, {"grid": 8, "timesteps": [100]})
        ((expected,),), ((found,),) = (capture(one, [image], recipe, LayerFeatures()) for one in (plain, fast))
        torch.testing.assert_close(found.values, expected.values, rtol=1e-4, atol=1e-5)


def test_a_compiled_encoder_says_the_same(
    tiny_model: Path, two_halves: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The embedded denoiser's, for every picture and setting; it is all that is compiled."""
    compile_all, asked = torch.nn.Module.compile, []

    def eager(module: torch.nn.Module) -> None:
        asked.append(module)
        compile_all(module, backend="eager")

    torch._dynamo.reset()
    monkeypatch.setattr(torch.nn.Module, "compile", eager)
    plain, fast = (load_backbone(str(tiny_model), "cpu", compiled=compiled) for compiled in (False, True))
    assert asked == [fast.networks.first]
    heads = {name: (1.0, 1.0) for name in attention_layers(plain, plain.networks.first)}
    with torch._dynamo.config.patch(skip_nnmodule_hook_guards=True):
        for image, last in ((two_halves, 2), (two_halves[:, ::-1].copy(), 2), (255 - two_halves, 1)):
            settings = {"grid": 8, "timesteps": [100], "heads": dict(list(heads.items())[:last])}
            expected, found = (attend(backbone, image, **settings).maps for backbone in (plain, fast))
            assert found.keys() == expected.keys()
            for grid, matrix in expected.items():
                torch.testing.assert_close(found[grid], matrix, rtol=1e-4, atol=1e-6)


def test_the_readout_of_a_model_is_read(copy: Path) -> None:
    layer = "down_blocks.0.attentions.0.transformer_blocks.0.attn1"
    readout = {"timesteps": [20, 80], "heads": {layer: [1, 0]}, "spatial_prior": 0.25, "inverse_temperature": 1.5}
    readout |= {"inflation": 2.0, "jump_chain": True, "calibrated_on": {"pictures": 3}}
    (copy / "readout.json").write_text(json.dumps(readout))
    backbone = load_backbone(str(copy), "cpu")
    assert backbone.eye.readout == readout
    recipe = resolve("walkcut", backbone.eye)
    assert recipe.timesteps == (20, 80)
    assert recipe.heads == {layer: (1, 0)}
    assert (recipe.spatial_prior, recipe.inverse_temperature, recipe.inflation) == (0.25, 1.5, 2)
    assert recipe.jump_chain is True


def test_words_of_the_vocabulary_become_tokens(tiny: Backbone) -> None:
    width = tiny.context.shape[2]
    vocabulary = {"striped": torch.full((width,), 0.5), "dark": torch.arange(width) / width}
    told = replace(tiny, vocabulary=vocabulary).prompted(["dark", "striped"])
    assert torch.equal(told.context[0], torch.stack([vocabulary["dark"], vocabulary["striped"], torch.zeros(width)]))
    latent = told.encode(np.full((16, 16, 3), 90, np.uint8), 8)
    assert not torch.allclose(told.denoise(latent, 100), tiny.denoise(latent, 100))
    torch.testing.assert_close(told.prompted([]).denoise(latent, 100), tiny.denoise(latent, 100))


def test_a_word_that_is_not_known_is_refused(tiny: Backbone) -> None:
    with pytest.raises(InputError, match="does not know the word 'dog': it knows none"):
        tiny.prompted(["dog"])
    vocabulary = {"striped": torch.zeros(tiny.context.shape[2])}
    with pytest.raises(InputError, match="does not know the word 'dog': it knows striped"):
        replace(tiny, vocabulary=vocabulary).prompted(["striped", "dog"])


def test_half_precision_weights_are_computed_in_single(copy: Path) -> None:
    save_file({name: tensor.half() for name, tensor in load_file(copy / WEIGHTS).items()}, copy / WEIGHTS)
    networks = load_backbone(str(copy), "cpu").networks
    for network in (networks.first, networks.whole[0]):
        assert {parameter.dtype for parameter in network.parameters()} == {torch.float32}


def test_an_embedded_eye_computes_in_the_precision_asked_for(tiny_model: Path, two_halves: np.ndarray) -> None:
    half, single = (load_backbone(str(tiny_model), "cpu", dtype=dtype) for dtype in ("bfloat16", "float32"))
    assert (half.eye.dtype, half.dtype, half.encode(two_halves, 8).dtype) == ("bfloat16", *[torch.bfloat16] * 2)
    heads = {name: (1.0, 1.0) for name in attention_layers(half, half.networks.first)}
    found, expected = (attend(one, two_halves, grid=8, heads=heads).maps for one in (half, single))
    for grid, matrix in expected.items():
        assert 0 < (found[grid] - matrix).abs().max() < 0.1


# ---------------------------------------------------------------------------------------------------------------------
# What is read, and when


def test_the_embedded_eye_needs_no_diffusers() -> None:
    """From the import to where the patches look: importing diffusers takes longer than all the rest."""
    code = """
import sys
import numpy as np
import walkcut
from walkcut.eyes.loading import load_backbone
from walkcut.capture import attend
found = attend(load_backbone(device="cpu"), np.zeros((24, 32, 3), np.uint8), grid=16)
slow = ("diffusers", "transformers", "skimage", "matplotlib", "torch._dynamo")
print(found.finest, [name for name in slow if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("(12, 16) []\n", "")


def reshaped(copy: Path, **settings: object) -> None:
    """The tiny denoiser anew, with other settings."""
    config = json.loads((copy / "unet" / "config.json").read_text()) | settings
    with torch.random.fork_rng():
        torch.manual_seed(0)
        UNet2DConditionModel.from_config(config).save_pretrained(copy / "unet")


@pytest.mark.parametrize(
    "settings",
    [
        {"act_fn": "gelu"},  # the same weights, another function
        {"use_linear_projection": True},  # weights of another shape
        {"resnet_time_scale_shift": "scale_shift"},
        {"down_block_types": ["AttnDownBlock2D", "CrossAttnDownBlock2D"]},
        {"down_block_types": ["CrossAttnDownBlock2D", "DownBlock2D"]},
        {"mid_block_type": "UNetMidBlock2DCrossAttn"},
        {"layers_per_block": 2},
    ],
    ids=lambda settings: next(iter(settings)),
)
def test_a_unet_that_the_encoder_does_not_know_is_diffusers_business(
    copy: Path, two_halves: np.ndarray, settings: dict
) -> None:
    reshaped(copy, **settings)
    backbone = load_backbone(str(copy), "cpu")
    assert backbone.networks.first is None
    unet = UNet2DConditionModel.from_pretrained(copy / "unet").eval()
    latent = backbone.encode(two_halves, 8)
    with torch.inference_mode():
        expected = unet(latent, 100, backbone.context).sample
    torch.testing.assert_close(backbone.denoise(latent, 100), expected)
    assert attend(backbone, two_halves, grid=8).finest in ((6, 8), (3, 4))


@pytest.mark.parametrize(
    "other", [{"beta_schedule": "squaredcos_cap_v2"}, {"beta_schedule": "linear"}, {"rescale_betas_zero_snr": True}]
)
def test_a_schedule_that_is_not_written_out_is_diffusers_business(copy: Path, other: dict) -> None:
    path = copy / "scheduler" / "scheduler_config.json"
    settings = json.loads(path.read_text())
    assert load_backbone(str(copy), "cpu").networks.first is not None
    path.write_text(json.dumps(settings | other))
    backbone = load_backbone(str(copy), "cpu")
    expected = DDIMScheduler.from_pretrained(copy / "scheduler").alphas_cumprod
    torch.testing.assert_close(backbone.alphas, expected)


def test_threads_load_a_denoiser_once() -> None:
    """And none waits for another for ever: one of them has the eye to itself when it asks for the whole denoiser."""
    loaded, found = [], []

    def load() -> tuple[object, object]:
        time.sleep(0.05)
        loaded.append(object())
        return loaded[-1], None

    networks, mine = Networks(load), threading.Event()

    def recording() -> None:
        with networks.lock:
            mine.set()
            time.sleep(0.1)  # the others ask meanwhile
            found.append(networks.whole[0])

    def asking() -> None:
        mine.wait()
        found.append(networks.whole[0])

    threads = [threading.Thread(target=work, daemon=True) for work in (recording, asking, asking, asking)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(found) == 4
    assert all(one is loaded[0] for one in found)
    assert len(loaded) == 1


def test_a_backbone_is_itself_and_is_told_in_one_line(tiny: Backbone, embedded: Backbone, stable_model: Path) -> None:
    assert tiny == tiny
    assert tiny != replace(tiny)
    assert {tiny: 1}[tiny] == 1
    told = load_backbone(str(stable_model), "cpu", prompt="lo l " * 10)
    for backbone in (tiny, embedded, told):
        assert hash(backbone) == hash(backbone)
        said = repr(backbone)
        assert backbone.name in said
        assert "\n" not in said
        assert len(said.replace(backbone.name, "").replace(backbone.eye.prompt, "")) < 150


# ---------------------------------------------------------------------------------------------------------------------
# What cannot be loaded


@pytest.mark.parametrize("name", ["no-such-model", "runwayml/stable-diffusion-v1-5", ""])
def test_an_unknown_model_is_refused(name: str) -> None:
    refused(
        name,
        "There is no model.*choose dead-leaves, sd-1.4, .* folder in diffusers format",
    )


def test_truncated_weights_are_refused(copy: Path) -> None:
    content = (copy / WEIGHTS).read_bytes()
    (copy / WEIGHTS).write_bytes(content[: len(content) // 2])
    refused(copy, "cannot be read")


@pytest.mark.parametrize("content", [b"", b"not weights", b"\xff" * 4096])
def test_corrupt_weights_are_refused(copy: Path, content: bytes) -> None:
    (copy / WEIGHTS).write_bytes(content)
    refused(copy, "cannot be read")


def test_missing_weights_are_refused(copy: Path) -> None:
    (copy / WEIGHTS).unlink()
    refused(copy, "cannot be read")


def test_weights_that_lack_a_layer_are_refused(copy: Path) -> None:
    tensors = load_file(copy / WEIGHTS)
    tensors.pop("conv_in.weight")
    save_file(tensors, copy / WEIGHTS)
    refused(copy, "conv_in.weight is missing")


def test_weights_of_another_shape_are_refused(copy: Path) -> None:
    tensors = load_file(copy / WEIGHTS)
    tensors["conv_in.weight"] = tensors["conv_in.weight"][:, :4].clone()
    save_file(tensors, copy / WEIGHTS)
    refused(copy, "cannot be read")


class Trap:
    """A pickle that leaves a trace when it is opened."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple:
        return Path.touch, (self.trace,)


def test_pickled_weights_are_refused_unopened(copy: Path, tmp_path: Path) -> None:
    (copy / WEIGHTS).unlink()
    trap = pickle.dumps(Trap(tmp_path / "opened"))
    (copy / WEIGHTS).with_suffix(".bin").write_bytes(trap)
    refused(copy, "cannot be read")
    assert not (tmp_path / "opened").exists()


@pytest.mark.parametrize("name", ["unet/config.json", "scheduler/scheduler_config.json"])
@pytest.mark.parametrize("content", ["", "{", "[]"])
def test_damaged_settings_are_refused(copy: Path, name: str, content: str) -> None:
    (copy / name).write_text(content)
    refused(copy, "cannot be read")


def test_a_missing_scheduler_is_refused(copy: Path) -> None:
    shutil.rmtree(copy / "scheduler")
    refused(copy, "cannot be read")


@pytest.mark.parametrize("content", ["", "{", "[]", "3", "null"])
def test_a_damaged_readout_is_refused(copy: Path, content: str) -> None:
    (copy / "readout.json").write_text(content)
    refused(copy, "readout.json cannot be read .*mend it, or remove it")


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB."),
        RuntimeError("MPS backend out of memory (MPS allocated: 9.05 GB)."),
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp:121] data. DefaultCPUAllocator: can't allocate memory"),
        OSError("Cannot allocate memory (os error 12)"),
    ],
)
def test_too_little_memory_is_not_told_as_damage(
    stable_model: Path, copy: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def full(*given: object) -> None:
        raise error

    for reader in (walkcut.eyes.embedded, walkcut.eyes.stable):
        monkeypatch.setattr(reader, "settled", full)
    refused(stable_model, "does not fit into the memory of cpu: choose a smaller model")
    # any device other than a CPU
    monkeypatch.setattr(walkcut.eyes.loading, "find_device", lambda device: torch.device("meta"))
    refused(stable_model, "does not fit into the memory of meta: keep its weights in main memory with --offload")
    refused(copy, "does not fit into the memory of meta: choose --device cpu")  # what sees pixels cannot be offloaded
    with pytest.raises(InputError, match="of meta: choose --device cpu"):
        load_backbone(str(stable_model), offload=True)


# ---------------------------------------------------------------------------------------------------------------------
# Devices


def test_auto_is_a_device_that_is_there() -> None:
    assert find_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert find_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize("device", ["gpu", "cuda:99", "xpu", "", "meta"])
def test_a_device_that_is_not_there_is_refused(device: str) -> None:
    with pytest.raises(InputError, match=f"device '{device}' is not available here"):
        find_device(device)

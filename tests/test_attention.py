"""Attention: the same numbers as diffusers' own, in one mean per grid, and the model left as it was."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from diffusers.models.attention_processor import Attention, AttnProcessor

import walkcut.attention
from walkcut.attention import (
    AttentionMaps,
    Features,
    _Means,
    attend,
    attend_batch,
    attend_heads,
    features,
    head_attention,
    listening,
    look,
    observe,
    self_attention_layers,
)
from walkcut.backbone import Backbone, load_backbone
from walkcut.errors import InputError

GRID = 16  # with `two_halves`, 24 x 32 pixels: 12 x 16 patches
FIRST = "down_blocks.0.attentions.0.transformer_blocks.0.attn1"
SECOND = "down_blocks.1.attentions.0.transformer_blocks.0.attn1"


class Recorder:
    """Slow reference: keep every head of every layer, by diffusers' own `get_attention_scores`."""

    def __init__(self, name: str, kept: dict[str, list[torch.Tensor]]) -> None:
        self.name, self.kept = name, kept

    def __call__(self, attn: Attention, hidden_states: torch.Tensor, *args: object, **kwargs: object) -> torch.Tensor:
        query = attn.head_to_batch_dim(attn.to_q(hidden_states))
        key = attn.head_to_batch_dim(attn.to_k(hidden_states))
        self.kept.setdefault(self.name, []).append(attn.get_attention_scores(query, key).clone())
        return AttnProcessor()(attn, hidden_states, *args, **kwargs)


@torch.inference_mode()
def recorded(
    model: Path, image: np.ndarray, timesteps: tuple[int, ...], seed: int = 0
) -> dict[str, list[torch.Tensor]]:
    """Layer -> one (heads, n, n) per timestep, from a model of its own."""
    backbone = load_backbone(str(model), "cpu")
    kept: dict[str, list[torch.Tensor]] = {}
    for name, layer in self_attention_layers(backbone).items():
        layer.set_processor(Recorder(name, kept))
    latent = backbone.encode(image, GRID)
    generator = torch.Generator().manual_seed(seed)
    for timestep in timesteps:
        noisy = backbone.add_noise(latent, timestep, generator) if timestep else latent
        backbone.denoise(noisy, timestep)
    return kept


def assert_close(found: AttentionMaps, expected: dict[tuple[int, int], torch.Tensor]) -> None:
    assert found.maps.keys() == expected.keys()
    for grid, matrix in expected.items():
        torch.testing.assert_close(found.maps[grid], matrix, rtol=1e-4, atol=1e-7)


def test_self_attention_layers_in_the_order_of_the_pass(tiny: Backbone) -> None:
    layers = self_attention_layers(tiny)
    assert [name.split(".attentions")[0] for name in layers][:2] == ["down_blocks.0", "down_blocks.1"]
    assert all(name.startswith("up_blocks.0") for name in list(layers)[2:])
    assert len(layers) == 4  # one in each encoder block, two in the decoder's first
    assert all(layer.is_cross_attention is False for layer in layers.values())


def test_heads_against_diffusers(tiny: Backbone) -> None:
    for layer in self_attention_layers(tiny).values():
        hidden = torch.randn(1, 20, layer.query_dim, generator=torch.Generator().manual_seed(0))
        with torch.inference_mode():
            query, key = (layer.head_to_batch_dim(part(hidden)) for part in (layer.to_q, layer.to_k))
            expected = layer.get_attention_scores(query, key)
            found = torch.stack(list(head_attention(layer, hidden)))
        assert found.shape == (layer.heads, 20, 20)
        torch.testing.assert_close(found, expected)


def test_sharpness_raises_probabilities_to_a_power(tiny: Backbone) -> None:
    """softmax(beta s) = A^beta, rows renormalised."""
    layer = next(iter(self_attention_layers(tiny).values()))
    hidden = torch.randn(1, 20, layer.query_dim, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        plain, sharp = (torch.stack(list(head_attention(layer, hidden, beta))) for beta in (1.0, 3.0))
    torch.testing.assert_close(sharp, plain**3 / (plain**3).sum(-1, keepdim=True))


def test_reading_sharply_leaves_the_model_alone(tiny: Backbone, two_halves: np.ndarray) -> None:
    latent = tiny.encode(two_halves, 16)
    before = tiny.denoise(latent, 50)
    sharp, plain = (attend(replace(tiny, sharpness=beta), two_halves, 16) for beta in (2.0, 1.0))
    assert sharp.finest == plain.finest
    assert (sharp.maps[sharp.finest] ** 2).sum() > (plain.maps[plain.finest] ** 2).sum()
    torch.testing.assert_close(tiny.denoise(latent, 50), before, rtol=0, atol=0)


@pytest.mark.parametrize("timesteps", [(0,), (100,), (50, 300, 50)])
def test_the_mean_against_everything_kept(
    tiny: Backbone, tiny_model: Path, two_halves: np.ndarray, timesteps: tuple[int, ...]
) -> None:
    kept = recorded(tiny_model, two_halves, timesteps)
    expected = {}
    for grid in ((12, 16), (6, 8)):
        heads = [m for maps in kept.values() for m in maps if m.shape[1] == grid[0] * grid[1]]
        expected[grid] = torch.cat(heads).mean(0)
    assert len(expected) == 2
    assert_close(attend(tiny, two_halves, GRID, timesteps), expected)


def test_weights_choose_heads(tiny: Backbone, tiny_model: Path, two_halves: np.ndarray) -> None:
    kept = recorded(tiny_model, two_halves, (100,))
    found = attend(tiny, two_halves, GRID, (100,), heads={FIRST: (0.0, 1.0), SECOND: (3.0, 1.0)})
    (a,), (b,) = kept[FIRST], kept[SECOND]
    assert_close(found, {(12, 16): a[1], (6, 8): 0.75 * b[0] + 0.25 * b[1]})
    assert found.finest == (12, 16)


def test_a_backbones_own_weights_and_timesteps_are_the_default(tiny: Backbone, two_halves: np.ndarray) -> None:
    from dataclasses import replace

    own = replace(tiny, heads={FIRST: (1.0, 0.0)}, timesteps=(30, 60))
    assert_close(attend(own, two_halves, GRID), attend(tiny, two_halves, GRID, (30, 60), heads=own.heads).maps)


def test_rows_are_probabilities(tiny: Backbone, two_halves: np.ndarray) -> None:
    for matrix in attend(tiny, two_halves, GRID).maps.values():
        assert matrix.dtype == torch.float32
        assert matrix.min() >= 0
        torch.testing.assert_close(matrix.sum(1), torch.ones(len(matrix)))


@pytest.mark.parametrize(
    ("shape", "grids"),
    [
        ((24, 32), {(12, 16), (6, 8)}),
        ((32, 24), {(16, 12), (8, 6)}),
        ((20, 20), {(16, 16), (8, 8)}),
        ((5, 90), {(2, 16), (1, 8)}),
    ],
)
def test_grids_follow_the_picture(tiny: Backbone, shape: tuple[int, int], grids: set) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    assert set(attend(tiny, image, GRID).maps) == grids


def test_a_stable_diffusion_is_read_by_the_same_code(stable_model: Path, two_halves: np.ndarray) -> None:
    backbone = load_backbone(str(stable_model), "cpu")
    maps = attend(backbone, two_halves, GRID).maps
    assert set(maps) == {(12, 16), (6, 8)}  # its middle block stays on the encoder's coarsest grid


def test_the_seed_decides_the_noise(tiny: Backbone, two_halves: np.ndarray) -> None:
    one, same, other = (attend(tiny, two_halves, GRID, (200,), seed).maps[12, 16] for seed in (0, 0, 1))
    assert torch.equal(one, same)
    assert not torch.allclose(one, other, atol=1e-4)


def test_timestep_0_has_no_noise(tiny: Backbone, two_halves: np.ndarray) -> None:
    one, other = (attend(tiny, two_halves, GRID, (0,), seed).maps[12, 16] for seed in (0, 1))
    assert torch.equal(one, other)


# ---------------------------------------------------------------------------------------------------------------------
# Queries and keys kept, and features


def test_heads_kept_give_the_same_means(tiny: Backbone, two_halves: np.ndarray) -> None:
    weights = {FIRST: (0.0, 1.0), SECOND: (3.0, 1.0)}
    kept = attend_heads(tiny, two_halves, GRID, (50, 300), heads=weights)
    assert [(head.grid, head.weight) for head in kept] == 2 * [((12, 16), 1.0), ((6, 8), 3.0), ((6, 8), 1.0)]
    expected = {}
    for grid in ((12, 16), (6, 8)):
        parts = [head for head in kept if head.grid == grid]
        total = sum(head.weight * torch.softmax(head.query @ head.key.T, 1) for head in parts)
        expected[grid] = total / sum(head.weight for head in parts)
    assert_close(attend(tiny, two_halves, GRID, (50, 300), heads=weights), expected)


def test_no_heads_to_keep(tiny: Backbone, two_halves: np.ndarray) -> None:
    with pytest.raises(InputError, match="No self-attention was captured"):
        attend_heads(tiny, two_halves, GRID, heads={})


def test_one_pass_gives_attention_and_features(tiny: Backbone, two_halves: np.ndarray) -> None:
    passes = []
    handle = tiny.denoiser.register_forward_pre_hook(lambda module, inputs: passes.append(1))
    attention, seen = observe(tiny, two_halves, GRID, (100, 300), layer=SECOND)
    handle.remove()
    assert len(passes) == 2
    alone = attend(tiny, two_halves, GRID, (100, 300))
    assert all(torch.equal(attention.maps[grid], alone.maps[grid]) for grid in alone.maps)
    assert torch.equal(seen.values, features(tiny, two_halves, GRID, (100, 300), layer=SECOND).values)


@torch.inference_mode()
def test_features_are_what_the_layer_passes_on(tiny: Backbone, two_halves: np.ndarray) -> None:
    """By hand: the layer's own projection of the values that its own attention gathers."""
    seen = {}
    layer = self_attention_layers(tiny)[SECOND]
    handle = layer.register_forward_pre_hook(lambda module, inputs: seen.update(hidden=inputs[0]))
    found = features(tiny, two_halves, GRID, (100,))
    handle.remove()
    value = layer.to_v(seen["hidden"])[0].unflatten(-1, (layer.heads, -1)).transpose(0, 1)
    gathered = [A @ v for A, v in zip(head_attention(layer, seen["hidden"]), value, strict=True)]
    assert found.grid == (6, 8)
    torch.testing.assert_close(found.values, layer.to_out[0](torch.cat(gathered, 1)))


def test_features_of_several_timesteps_are_averaged(tiny: Backbone, two_halves: np.ndarray) -> None:
    both = features(tiny, two_halves, GRID, (0, 0)).values
    torch.testing.assert_close(both, features(tiny, two_halves, GRID, (0,)).values)
    assert not torch.allclose(both, features(tiny, two_halves, GRID, (0, 300)).values, atol=1e-4)


def test_features_of_any_layer(tiny: Backbone, two_halves: np.ndarray) -> None:
    first = features(tiny, two_halves, GRID, layer=FIRST)
    assert (first.grid, first.values.shape) == ((12, 16), (192, 16))
    block = features(tiny, two_halves, GRID, layer="down_blocks.1")  # a tuple, its first entry a picture
    assert (block.grid, block.values.shape) == ((6, 8), (48, 32))


@pytest.mark.parametrize(
    ("layer", "words"),
    [("attn9", "no layer 'attn9'"), ("", "no layer ''"), ("time_embedding", "does not give one vector a patch")],
)
def test_features_of_no_layer(tiny: Backbone, two_halves: np.ndarray, layer: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        features(tiny, two_halves, GRID, layer=layer)
    assert not any(module._forward_hooks for module in tiny.denoiser.modules())


def test_features_resized() -> None:
    ramp = Features(torch.tensor([[0.0, 5.0], [1.0, 5.0]]), (1, 2)).resized((2, 4))
    assert ramp.grid == (2, 4)
    assert ramp.values[:, 0].tolist() == [0, 0.25, 0.75, 1] * 2
    assert ramp.values[:, 1].tolist() == [5] * 8


# ---------------------------------------------------------------------------------------------------------------------
# Several pictures at once


@pytest.mark.parametrize("timesteps", [(0,), (100, 600)])
def test_a_batch_sees_what_each_picture_shows_alone(
    tiny: Backbone, two_halves: np.ndarray, timesteps: tuple[int, ...]
) -> None:
    others = [np.flipud(two_halves), np.kron(255 - two_halves, np.ones((2, 2, 1), np.uint8))]  # one twice as large
    images = [two_halves, *others]
    found = attend_batch(tiny, images, GRID, timesteps, seed=3)
    for image, maps in zip(images, found, strict=True):
        alone = attend(tiny, image, GRID, timesteps, seed=3)
        assert maps.maps.keys() == alone.maps.keys()
        for grid, matrix in alone.maps.items():
            torch.testing.assert_close(maps.maps[grid], matrix, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("images", [[(24, 32), (32, 24)], []])
def test_a_batch_needs_one_grid(tiny: Backbone, images: list) -> None:
    with pytest.raises(InputError, match="one grid of patches"):
        attend_batch(tiny, [np.zeros((*shape, 3), np.uint8) for shape in images], GRID)


# ---------------------------------------------------------------------------------------------------------------------
# The model is left as it was


def all_heads(backbone: Backbone) -> dict[str, tuple[float, ...]]:
    return {name: (1.0,) * layer.heads for name, layer in self_attention_layers(backbone).items()}


def test_listening_does_not_change_what_the_model_says(tiny: Backbone, two_halves: np.ndarray) -> None:
    latent = tiny.encode(two_halves, GRID)
    means = _Means({192: (12, 16), 48: (6, 8)})
    alone = tiny.denoise(latent, 100)
    with listening(tiny, [means], all_heads(tiny)):
        heard = tiny.denoise(latent, 100)
    assert torch.equal(alone, heard)
    assert means.sums.keys() == {(12, 16), (6, 8)}


def test_processors_come_back(tiny: Backbone, two_halves: np.ndarray) -> None:
    before = dict(tiny.denoiser.attn_processors)
    attend(tiny, two_halves, GRID)
    after = tiny.denoiser.attn_processors
    assert before.keys() == after.keys()
    assert all(before[name] is after[name] for name in before)


def test_processors_come_back_after_an_error(tiny: Backbone, two_halves: np.ndarray) -> None:
    """The error is raised inside the UNet, while the listeners sit in it: a layer knows no grid of so many patches."""
    before = dict(tiny.denoiser.attn_processors)
    latent = tiny.encode(two_halves, GRID)
    with pytest.raises(KeyError), listening(tiny, [_Means({})], all_heads(tiny)):
        tiny.denoise(latent, 100)
    assert all(before[name] is processor for name, processor in tiny.denoiser.attn_processors.items())


# ---------------------------------------------------------------------------------------------------------------------
# Bad input


@pytest.mark.parametrize("timesteps", [(), (-1,), (1000,), (10, 1000)])
def test_bad_timesteps_are_refused(tiny: Backbone, two_halves: np.ndarray, timesteps: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="from 0 to 999"):
        attend(tiny, two_halves, GRID, timesteps)


@pytest.mark.parametrize(
    ("heads", "words"),
    [
        ({"attn1": (1.0,)}, "no self-attention layer 'attn1'"),
        ({FIRST: (1.0,)}, "needs 2 weights"),
        ({FIRST: (1.0, -1.0)}, r"at least 0, not \[1.0, -1.0\]"),
        ({FIRST: (0.0, 0.0)}, "at least one layer with a positive weight"),
        ({}, "at least one layer with a positive weight"),
    ],
)
def test_bad_heads_are_refused(tiny: Backbone, two_halves: np.ndarray, heads: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        attend(tiny, two_halves, GRID, heads=heads)


@pytest.mark.parametrize(
    ("maps", "words"),
    [
        ({}, "No self-attention"),
        ({(1, 2): torch.eye(3)}, r"1x2 grid must be \(2, 2\), not \(3, 3\)"),
        ({(1, 2): torch.full((2, 2), 0.4)}, "must sum to 1; one is off by 0.2"),
        ({(1, 2): torch.full((2, 2), float("nan"))}, "must sum to 1"),
    ],
)
def test_maps_are_checked(maps: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        AttentionMaps(maps)


@pytest.mark.gpu
def test_a_gpu_looks_alike(tiny_model: Path, two_halves: np.ndarray) -> None:
    here, there = (attend(load_backbone(str(tiny_model), device), two_halves, GRID) for device in ("cpu", "cuda"))
    for grid, matrix in here.maps.items():
        torch.testing.assert_close(there.maps[grid].cpu(), matrix, rtol=0.01, atol=1e-4)


def test_what_is_read_on_a_mac_goes_on_on_the_cpu(
    tiny: Backbone, two_halves: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its GPU lacks float64; this is as near as a machine without one comes."""
    there = SimpleNamespace(device=torch.device("mps"), cpu=lambda: "moved")
    assert walkcut.attention._where_doubles_are(there) == "moved"
    assert walkcut.attention._where_doubles_are(here := torch.ones(2)) is here
    read = []
    monkeypatch.setattr(walkcut.attention, "_where_doubles_are", lambda part: read.append(part) or part)
    maps, said = observe(tiny, two_halves, GRID)
    heads = attend_heads(tiny, two_halves, GRID)
    expected = [*maps.maps.values(), said.values, *(part for head in heads for part in (head.query, head.key))]
    assert list(map(id, read)) == list(map(id, expected))


def test_all_heads_at_once_make_the_same_mean() -> None:
    """As a GPU hears them, in blocks of a few rows."""
    generator = torch.Generator().manual_seed(0)
    query, key = (torch.randn(3, 12, 4, generator=generator) for _ in range(2))
    for weights in ((1.0, 1.0, 1.0), (2.0, 0.0, 0.5)):
        one, all_heads = _Means({12: (3, 4)}), _Means({12: (3, 4)})
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("walkcut.attention.GPU_BLOCK", 3 * 12 * 5)
            for _ in range(2):
                all_heads.hear_layer(query, key, weights)
                for q, k, weight in zip(query, key, weights, strict=True):
                    one.hear(q, k, weight)
        torch.testing.assert_close(all_heads.maps().maps[3, 4], one.maps().maps[3, 4])


def test_look_is_a_row_as_a_map() -> None:
    A = torch.arange(36.0).view(6, 6)
    found, patch = look(A, (2, 3), (0.6, 0.9))
    assert patch == (1, 2)
    np.testing.assert_array_equal(found, A[5].view(2, 3).numpy())

"""Capture: the same numbers as diffusers' own, in passes no longer than needed, and the eye left as it was."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Output
from diffusers.models.attention_processor import Attention, AttnProcessor

import walkcut.capture
import walkcut.lab.recorders
from walkcut.backbone import Backbone, Networks
from walkcut.bench.architectures import random_backbone
from walkcut.capture import AttentionMaps, MeanAttention, attend, attention_layers, capture, queries_and_keys
from walkcut.errors import InputError
from walkcut.eyes.loading import load_backbone
from walkcut.lab.recorders import Features, LayerFeatures, QueriesAndKeys
from walkcut.plots import where_it_looks
from walkcut.recipe import Recipe, resolve

GRID = 16  # with `two_halves`, 24 x 32 pixels: 12 x 16 patches
FIRST = "down_blocks.0.attentions.0.transformer_blocks.0.attn1"
SECOND = "down_blocks.1.attentions.0.transformer_blocks.0.attn1"
BACK_UP = "up_blocks.0.attentions.0.transformer_blocks.0.attn1"  # on the way back up, which the encoder lacks
ENCODER = {FIRST: (1.0, 1.0), SECOND: (1.0, 1.0)}  # heads that need no more than the encoder


def recipe_for(backbone: Backbone, **settings: Any) -> Recipe:
    return resolve("walkcut", backbone.eye, {"grid": GRID, **settings})


def features(backbone: Backbone, image: np.ndarray, **settings: Any) -> Features:
    return capture(backbone, [image], recipe_for(backbone, **settings), LayerFeatures())[0][0]


def read_by(backbone: Backbone, **readout: object) -> Backbone:
    """The same eye with another readout."""
    return replace(backbone, eye=replace(backbone.eye, readout=readout))


@pytest.fixture
def whole(tiny: Backbone) -> Backbone:
    """The tiny eye as a UNet of diffusers alone, without the encoder that is written out."""
    return replace(tiny, networks=Networks(lambda: tiny.networks.whole))


class Keeper:
    """Slow reference: keep every head of a layer, by diffusers' own `get_attention_scores`."""

    def __init__(self, name: str, kept: dict[str, list[torch.Tensor]]) -> None:
        self.name, self.kept = name, kept

    def __call__(self, attn: Attention, hidden_states: torch.Tensor, *args: object, **kwargs: object) -> torch.Tensor:
        query = attn.head_to_batch_dim(attn.to_q(hidden_states))
        key = attn.head_to_batch_dim(attn.to_k(hidden_states))
        self.kept.setdefault(self.name, []).append(attn.get_attention_scores(query, key).clone())
        return AttnProcessor()(attn, hidden_states, *args, **kwargs)


@torch.inference_mode()
def kept_by_diffusers(
    model: Path, image: np.ndarray, timesteps: tuple[int, ...], seed: int = 0
) -> dict[str, list[torch.Tensor]]:
    """Layer -> one (heads, n, n) per timestep, from a model of its own."""
    backbone = load_backbone(str(model), "cpu")
    kept: dict[str, list[torch.Tensor]] = {}
    for name, layer in attention_layers(backbone).items():
        layer.set_processor(Keeper(name, kept))
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


def test_attention_layers_in_the_order_of_the_pass(tiny: Backbone) -> None:
    for words in (False, True):
        layers = attention_layers(tiny, words=words)
        assert [name.split(".attentions")[0] for name in layers][:2] == ["down_blocks.0", "down_blocks.1"]
        assert all(name.startswith("up_blocks.0") for name in list(layers)[2:])
        assert len(layers) == 4  # one in each encoder block, two in the decoder's first
        assert all(layer.is_cross_attention is words for layer in layers.values())
    assert list(attention_layers(tiny, tiny.networks.first)) == [FIRST, SECOND]


def of_a_layer(backbone: Backbone, beta: float = 1.0) -> tuple[Any, torch.Tensor, torch.Tensor]:
    """A layer, a hidden state, and the layer's A (1, heads, n, n) for it."""
    layer = attention_layers(backbone)[FIRST]
    hidden = torch.randn(1, 20, layer.query_dim, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        query, key = queries_and_keys(backbone, layer, hidden, beta)
    return layer, hidden, torch.softmax(query @ key.mT, -1)


def test_heads_against_diffusers(tiny: Backbone) -> None:
    layer, hidden, found = of_a_layer(tiny)
    with torch.inference_mode():
        query, key = (layer.head_to_batch_dim(part(hidden)) for part in (layer.to_q, layer.to_k))
        expected = layer.get_attention_scores(query, key)
    assert found.shape == (1, layer.heads, 20, 20)
    torch.testing.assert_close(found[0], expected)


def test_an_inverse_temperature_raises_probabilities_to_a_power(tiny: Backbone) -> None:
    """softmax(beta s) = A^beta, rows renormalised."""
    plain, sharp = (of_a_layer(tiny, beta)[2] for beta in (1.0, 3.0))
    torch.testing.assert_close(sharp, plain**3 / (plain**3).sum(-1, keepdim=True))


def test_reading_sharply_leaves_the_model_alone(tiny: Backbone, two_halves: np.ndarray) -> None:
    latent = tiny.encode(two_halves, GRID)
    before = tiny.denoise(latent, 50)
    sharp, plain = (attend(read_by(tiny, inverse_temperature=beta), two_halves, grid=GRID) for beta in (2.0, 1.0))
    assert sharp.finest == plain.finest
    assert (sharp.maps[sharp.finest] ** 2).sum() > (plain.maps[plain.finest] ** 2).sum()
    torch.testing.assert_close(tiny.denoise(latent, 50), before, rtol=0, atol=0)


@pytest.mark.parametrize("timesteps", [(0,), (100,), (50, 300, 50)])
def test_the_mean_against_everything_kept(
    tiny: Backbone, tiny_model: Path, two_halves: np.ndarray, timesteps: tuple[int, ...]
) -> None:
    kept = kept_by_diffusers(tiny_model, two_halves, timesteps)
    expected = {}
    for grid in ((12, 16), (6, 8)):
        heads = [m for maps in kept.values() for m in maps if m.shape[1] == grid[0] * grid[1]]
        expected[grid] = torch.cat(heads).mean(0)
    assert len(expected) == 2
    assert_close(attend(tiny, two_halves, grid=GRID, timesteps=timesteps), expected)


def test_weights_choose_heads(tiny: Backbone, tiny_model: Path, two_halves: np.ndarray) -> None:
    kept = kept_by_diffusers(tiny_model, two_halves, (100,))
    heads = {FIRST: (0.0, 1.0), SECOND: (3.0, 1.0)}
    found = attend(tiny, two_halves, grid=GRID, timesteps=(100,), heads=heads)
    (a,), (b,) = kept[FIRST], kept[SECOND]
    assert_close(found, {(12, 16): a[1], (6, 8): 0.75 * b[0] + 0.25 * b[1]})
    assert found.finest == (12, 16)


def test_the_encoder_alone_says_what_the_whole_unet_says(
    tiny: Backbone, whole: Backbone, two_halves: np.ndarray
) -> None:
    settings = {"grid": GRID, "timesteps": (100, 300), "heads": ENCODER}
    assert_close(attend(tiny, two_halves, **settings), attend(whole, two_halves, **settings).maps)


def test_an_eyes_own_weights_and_timesteps_are_the_default(tiny: Backbone, two_halves: np.ndarray) -> None:
    heads = {FIRST: (1.0, 0.0)}
    own = read_by(tiny, heads=heads, timesteps=(30, 60))
    expected = attend(tiny, two_halves, grid=GRID, timesteps=(30, 60), heads=heads)
    assert_close(attend(own, two_halves, grid=GRID), expected.maps)


def test_rows_are_probabilities(tiny: Backbone, two_halves: np.ndarray) -> None:
    for matrix in attend(tiny, two_halves, grid=GRID).maps.values():
        assert matrix.dtype == torch.float32
        assert matrix.min() >= 0
        torch.testing.assert_close(matrix.sum(1), torch.ones(len(matrix)))


@pytest.mark.parametrize(
    ("shape", "grids"),
    [
        ((24, 32), {(12, 16), (6, 8)}),
        ((32, 24), {(16, 12), (8, 6)}),
        ((20, 20), {(16, 16), (8, 8)}),
        ((5, 90), {(4, 68), (2, 34)}),  # a panorama has more
    ],
)
def test_grids_follow_the_picture(tiny: Backbone, shape: tuple[int, int], grids: set) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    assert set(attend(tiny, image, grid=GRID).maps) == grids


def test_a_stable_diffusion_is_read_by_the_same_code(stable_model: Path, two_halves: np.ndarray) -> None:
    backbone = load_backbone(str(stable_model), "cpu")
    maps = attend(backbone, two_halves, grid=GRID).maps
    assert set(maps) == {(12, 16), (6, 8)}  # its middle block stays on the encoder's coarsest grid


def test_the_seed_decides_the_noise(tiny: Backbone, two_halves: np.ndarray) -> None:
    one, same, other = (
        attend(tiny, two_halves, grid=GRID, timesteps=(200,), seed=seed).maps[12, 16] for seed in (0, 0, 1)
    )
    assert torch.equal(one, same)
    assert not torch.allclose(one, other, atol=1e-4)


def test_timestep_0_has_no_noise(tiny: Backbone, two_halves: np.ndarray) -> None:
    one, other = (attend(tiny, two_halves, grid=GRID, timesteps=(0,), seed=seed).maps[12, 16] for seed in (0, 1))
    assert torch.equal(one, other)


# ---------------------------------------------------------------------------------------------------------------------
# Queries and keys kept, and features


def test_heads_kept_give_the_same_means(tiny: Backbone, two_halves: np.ndarray) -> None:
    settings = {"timesteps": (50, 300), "heads": {FIRST: (0.0, 1.0), SECOND: (3.0, 1.0)}}
    ((kept,),) = capture(tiny, [two_halves], recipe_for(tiny, **settings), QueriesAndKeys())
    assert [(head.grid, head.weight) for head in kept] == 2 * [((12, 16), 1.0), ((6, 8), 3.0), ((6, 8), 1.0)]
    expected = {}
    for grid in ((12, 16), (6, 8)):
        parts = [head for head in kept if head.grid == grid]
        total = sum(head.weight * torch.softmax(head.query @ head.key.T, 1) for head in parts)
        expected[grid] = total / sum(head.weight for head in parts)
    assert_close(attend(tiny, two_halves, grid=GRID, **settings), expected)


def test_heads_kept_hold_their_own_numbers_alone(tiny: Backbone, two_halves: np.ndarray) -> None:
    """Not views into what a layer projects for all heads and pictures: rows lie side by side."""
    for kept in capture(tiny, [two_halves, two_halves], recipe_for(tiny), QueriesAndKeys()):
        for head in kept[0]:
            assert all(part.is_contiguous() and part.dtype == torch.float32 for part in (head.query, head.key))


@pytest.mark.parametrize("recorder", [MeanAttention, QueriesAndKeys])
def test_no_heads_to_keep(tiny: Backbone, two_halves: np.ndarray, recorder: type) -> None:
    with pytest.raises(InputError, match="No self-attention was captured"):
        capture(tiny, [two_halves], recipe_for(tiny, heads={FIRST: (0.0, 0.0)}), recorder())


def test_nobody_records(tiny: Backbone, two_halves: np.ndarray) -> None:
    with pytest.raises(InputError, match="No self-attention was captured"):
        capture(tiny, [two_halves], recipe_for(tiny))


@torch.inference_mode()
def test_features_are_what_the_layer_passes_on(tiny: Backbone, two_halves: np.ndarray) -> None:
    """By hand: the layer's own projection of the values that its own attention gathers."""
    seen = {}
    layer = attention_layers(tiny, tiny.networks.first)[SECOND]
    handle = layer.register_forward_pre_hook(lambda module, inputs: seen.update(hidden=inputs[0]))
    found = features(tiny, two_halves, timesteps=(100,))
    handle.remove()
    value = layer.to_v(seen["hidden"])[0].unflatten(-1, (layer.heads, -1)).transpose(0, 1)
    query, key = queries_and_keys(tiny, layer, seen["hidden"])
    gathered = torch.softmax(query[0] @ key[0].mT, -1) @ value  # (heads, n, d)
    assert found.grid == (6, 8)
    torch.testing.assert_close(found.values, layer.to_out[0](torch.cat(list(gathered), 1)))


def test_features_of_several_timesteps_are_averaged(tiny: Backbone, two_halves: np.ndarray) -> None:
    both = features(tiny, two_halves, timesteps=(0, 0)).values
    torch.testing.assert_close(both, features(tiny, two_halves, timesteps=(0,)).values)
    assert not torch.allclose(both, features(tiny, two_halves, timesteps=(0, 300)).values, atol=1e-4)


def test_features_are_the_same_without_the_encoder_written_out(
    tiny: Backbone, whole: Backbone, two_halves: np.ndarray
) -> None:
    torch.testing.assert_close(features(whole, two_halves).values, features(tiny, two_halves).values)


def test_a_recorder_may_be_used_again_elsewhere(tiny: Backbone, two_halves: np.ndarray) -> None:
    """It looks for the layer anew in each eye, and begins with nothing."""
    flow = random_backbone("sd-3", small=True, num_layers=2)
    recorder = LayerFeatures()
    for backbone in (tiny, flow, tiny):
        ((found,),) = capture(backbone, [two_halves], recipe_for(backbone, grid=8), recorder)
        assert torch.equal(found.values, features(backbone, two_halves, grid=8).values)


@pytest.mark.parametrize("layer", ["attn9", ""])
def test_a_layer_that_is_not_there_is_refused(tiny: Backbone, two_halves: np.ndarray, layer: str) -> None:
    with pytest.raises(InputError, match=f"no layer '{layer}'"):
        capture(tiny, [two_halves], recipe_for(tiny), Output(layer))
    assert nothing_hooked(tiny)


def test_features_resized() -> None:
    ramp = Features(torch.tensor([[0.0, 5.0], [1.0, 5.0]]), (1, 2)).resized((2, 4))
    assert ramp.grid == (2, 4)
    assert ramp.values[:, 0].tolist() == [0, 0.25, 0.75, 1] * 2
    assert ramp.values[:, 1].tolist() == [5] * 8


# ---------------------------------------------------------------------------------------------------------------------
# One pass, no longer than needed


@contextmanager
def watched(network: torch.nn.Module) -> Iterator[list[str]]:
    """Names of the modules that run, in order; the network itself is ''."""
    ran: list[str] = []
    hooks = [
        module.register_forward_pre_hook(lambda module, inputs, name=name: ran.append(name))
        for name, module in network.named_modules()
    ]
    try:
        yield ran
    finally:
        for hook in hooks:
            hook.remove()


def within(name: str, layer: str) -> bool:
    return name.startswith(layer + ".")


def test_several_recorders_share_one_pass(whole: Backbone, two_halves: np.ndarray) -> None:
    settings = {"timesteps": (100, 300), "heads": {FIRST: (1.0, 2.0), BACK_UP: (1.0, 1.0)}}
    recipe = recipe_for(whole, **settings)
    with watched(whole.denoiser) as ran:
        ((attention, said, kept),) = capture(
            whole, [two_halves], recipe, MeanAttention(), LayerFeatures(), QueriesAndKeys()
        )
    assert ran.count("") == 2
    assert ran.count(FIRST) == ran.count(SECOND) == 2
    alone = attend(whole, two_halves, grid=GRID, **settings)
    assert attention.maps.keys() == alone.maps.keys()
    assert all(torch.equal(attention.maps[grid], alone.maps[grid]) for grid in alone.maps)
    assert torch.equal(said.values, features(whole, two_halves, **settings).values)
    ((kept_alone,),) = capture(whole, [two_halves], recipe, QueriesAndKeys())
    assert len(kept) == len(kept_alone) == 8
    for found, expected in zip(kept, kept_alone, strict=True):
        assert (found.grid, found.weight) == (expected.grid, expected.weight)
        assert torch.equal(found.query, expected.query)
        assert torch.equal(found.key, expected.key)


@pytest.mark.parametrize("last", [FIRST, SECOND, BACK_UP])
@pytest.mark.parametrize("alone", [True, False])
def test_a_pass_ends_behind_the_last_layer_that_is_recorded(
    tiny: Backbone, whole: Backbone, two_halves: np.ndarray, last: str, alone: bool
) -> None:
    """Whatever the order in which layers are named, in every pass; in the UNet of diffusers as in the encoder."""
    for backbone, network in ((whole, whole.denoiser), (tiny, tiny.networks.first)):
        if last == BACK_UP and network is tiny.networks.first:
            continue
        with watched(network) as order:
            backbone.run(network, backbone.encode(two_halves, GRID), 100)
        later = set(order[order.index(last) :]) - {last, f"{last}.to_q", f"{last}.to_k"}
        assert any(within(name, last) for name in later)  # values and output of the layer itself
        assert any(not within(name, last) for name in later)
        heads = {last: (1.0, 1.0)} if alone else {last: (1.0, 1.0), FIRST: (1.0, 1.0)}
        with watched(network) as ran:
            attend(backbone, two_halves, grid=GRID, timesteps=(100, 300), heads=heads)
        assert ran.count(last) == 2
        assert not later & set(ran)


def test_a_pass_ends_behind_the_output_of_a_layer(tiny: Backbone, two_halves: np.ndarray) -> None:
    network = tiny.networks.first
    with watched(network) as order:
        tiny.run(network, tiny.encode(two_halves, GRID), 100)
    later = {name for name in order[order.index(SECOND) :] if name != SECOND and not within(name, SECOND)}
    assert later
    with watched(network) as ran:
        features(tiny, two_halves)
    assert f"{SECOND}.to_out.0" in ran
    assert not later & set(ran)


def test_a_whole_pass_where_the_last_layer_is_recorded(tiny: Backbone, two_halves: np.ndarray) -> None:
    """Recording changes nothing of what the model says."""
    latent = tiny.encode(two_halves, GRID)
    recipe = recipe_for(tiny, timesteps=(0,))
    ((_, said),) = capture(tiny, [two_halves], recipe, MeanAttention(), Output("conv_out"))
    assert torch.equal(said, tiny.denoise(latent, 0))


# ---------------------------------------------------------------------------------------------------------------------
# Several pictures at once


@pytest.mark.parametrize("timesteps", [(0,), (100, 600)])
def test_a_batch_sees_what_each_picture_shows_alone(
    tiny: Backbone, two_halves: np.ndarray, timesteps: tuple[int, ...]
) -> None:
    others = [np.flipud(two_halves), np.kron(255 - two_halves, np.ones((2, 2, 1), np.uint8))]  # one twice as large
    images = [two_halves, *others]
    settings = {"timesteps": timesteps, "seed": 3}
    recorders = (MeanAttention(), LayerFeatures(), QueriesAndKeys())
    together = capture(tiny, images, recipe_for(tiny, **settings), *recorders)
    for image, (maps, said, kept) in zip(images, together, strict=True):
        (alone, said_alone, kept_alone), *_ = capture(tiny, [image], recipe_for(tiny, **settings), *recorders)
        assert maps.maps.keys() == alone.maps.keys()
        for grid, matrix in alone.maps.items():
            torch.testing.assert_close(maps.maps[grid], matrix, rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(said.values, said_alone.values, rtol=1e-4, atol=1e-5)
        for found, expected in zip(kept, kept_alone, strict=True):
            torch.testing.assert_close(found.query, expected.query, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shapes", [[(24, 32), (32, 24)], []])
def test_a_batch_needs_one_grid(tiny: Backbone, shapes: list) -> None:
    with pytest.raises(InputError, match="one grid of patches"):
        capture(tiny, [np.zeros((*shape, 3), np.uint8) for shape in shapes], recipe_for(tiny), MeanAttention())


# ---------------------------------------------------------------------------------------------------------------------
# The model is left as it was


def nothing_hooked(backbone: Backbone) -> bool:
    """Whether no module of an eye has a hook."""
    networks = [network for network in (backbone.networks.first, backbone.denoiser) if network is not None]
    modules = [module for network in networks for module in network.modules()]
    return not any(module._forward_hooks or module._forward_pre_hooks for module in modules)


class Failing(MeanAttention):
    """Raises what it is given at a layer."""

    def __init__(self, error: BaseException, at: str) -> None:
        self.error, self.at = error, at

    def record(self, name: str, *given: Any) -> None:
        if name == self.at:
            raise self.error
        super().record(name, *given)


@pytest.mark.parametrize("error", [KeyError(192), InputError("That will not do."), KeyboardInterrupt()])
def test_nothing_stays_hooked(tiny: Backbone, two_halves: np.ndarray, error: BaseException) -> None:
    """Nor is a processor of diffusers another; after success, and after an error inside the UNet."""
    processors, latent = dict(tiny.denoiser.attn_processors), tiny.encode(two_halves, GRID)
    before = tiny.denoise(latent, 100)
    expected = attend(tiny, two_halves, grid=GRID)
    assert nothing_hooked(tiny)
    for last in (SECOND, BACK_UP):
        recipe = recipe_for(tiny, heads={FIRST: (1.0, 1.0), last: (1.0, 1.0)})
        with pytest.raises(type(error)):
            capture(tiny, [two_halves], recipe, Output(FIRST), Failing(error, last))
        assert nothing_hooked(tiny)
    with pytest.raises(InputError, match="no layer 'attn1'"):
        capture(tiny, [two_halves], recipe_for(tiny), MeanAttention(), Output("attn1"))
    assert nothing_hooked(tiny)
    assert all(processors[name] is processor for name, processor in tiny.denoiser.attn_processors.items())
    assert torch.equal(tiny.denoise(latent, 100), before)
    assert_close(attend(tiny, two_halves, grid=GRID), expected.maps)


# ---------------------------------------------------------------------------------------------------------------------
# Several threads share an eye


def seen_by(backbone: Backbone, image: np.ndarray, **settings: Any) -> list[torch.Tensor]:
    recipe = recipe_for(backbone, timesteps=(100, 300), **settings)
    ((maps, said),) = capture(backbone, [image], recipe, MeanAttention(), LayerFeatures())
    return [*maps.maps.values(), said.values]


@pytest.mark.parametrize("heads", [ENCODER, {}])
def test_threads_may_share_an_eye(tiny: Backbone, heads: dict) -> None:
    """In the encoder, and in the UNet of diffusers: pictures of many sizes see what each sees alone."""
    rng = np.random.default_rng(0)
    shapes = [(24, 32), (32, 24), (24, 32), (20, 20), (5, 90), (40, 24), (24, 32), (64, 48)]
    images: Sequence[np.ndarray] = [rng.integers(0, 256, (*shape, 3), dtype=np.uint8) for shape in shapes]
    expected = [seen_by(tiny, image, heads=heads) for image in images]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(3):
            found = pool.map(lambda image: seen_by(tiny, image, heads=heads), images)
            for parts, wanted in zip(found, expected, strict=True):
                assert len(parts) == len(wanted)
                for part, want in zip(parts, wanted, strict=True):
                    torch.testing.assert_close(part, want, rtol=1e-4, atol=1e-6)
    assert nothing_hooked(tiny)
    for image, wanted in zip(images, expected, strict=True):
        for part, want in zip(seen_by(tiny, image, heads=heads), wanted, strict=True):
            torch.testing.assert_close(part, want, rtol=1e-4, atol=1e-6)


def test_what_another_thread_asks_the_denoiser_is_not_recorded(whole: Backbone, two_halves: np.ndarray) -> None:
    """It waits until the eye is free, and gets its answer."""
    latent = whole.encode(two_halves, GRID)
    expected, answers = whole.denoise(latent, 100), []
    other = threading.Thread(target=lambda: answers.append(whole.denoise(latent, 100)))

    class Meanwhile(MeanAttention):
        def record(self, *given: Any) -> None:
            if other.ident is None:
                other.start()
                other.join(0.3)  # long enough for a pass, if it did not wait
            super().record(*given)

    settings = {"timesteps": (100,), "heads": ENCODER}
    ((found,),) = capture(whole, [two_halves], recipe_for(whole, **settings), Meanwhile())
    other.join(60)
    assert len(answers) == 1
    assert torch.equal(answers[0], expected)
    assert_close(found, attend(whole, two_halves, grid=GRID, **settings).maps)


# ---------------------------------------------------------------------------------------------------------------------
# Bad input


@pytest.mark.parametrize("timesteps", [(), (-1,), (1000,), (10, 1000), 100, (0.5,)])
def test_bad_timesteps_are_refused(tiny: Backbone, two_halves: np.ndarray, timesteps: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="from 0 to 999"):
        attend(tiny, two_halves, grid=GRID, timesteps=timesteps)


@pytest.mark.parametrize(
    ("heads", "words"),
    [
        ({"attn1": (1.0,)}, "no self-attention layer 'attn1'"),
        ({"": (1.0,)}, "no self-attention layer ''"),
        ({FIRST: (1.0, 1.0), "down_blocks.0": (1.0,)}, "no self-attention layer 'down_blocks.0'"),
        ({FIRST: (1.0, 1.0), "down_blocks": (1.0,)}, "no self-attention layer 'down_blocks'"),
        ({"conv_in": (1.0,)}, "no self-attention layer 'conv_in'"),
        ({FIRST.replace("attn1", "attn2"): (1.0, 1.0)}, "no self-attention layer 'down.*attn2'"),
        ({FIRST: (1.0,)}, "needs 2 weights"),
        ({FIRST: (1.0, -1.0)}, r"at least 0, not \[1.0, -1.0\]"),
        ({FIRST: (1.0, float("nan"))}, r"at least 0, not \[1.0, nan\]"),
        ({FIRST: (0.0, 0.0)}, "at least one layer with a positive weight"),
        ({FIRST: ()}, r"at least 0, not \[\]"),
    ],
)
def test_bad_heads_are_refused(tiny: Backbone, two_halves: np.ndarray, heads: dict, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        attend(tiny, two_halves, grid=GRID, heads=heads)
    assert "\n" not in str(caught.value)
    assert nothing_hooked(tiny)


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


# ---------------------------------------------------------------------------------------------------------------------
# GPUs


@pytest.mark.gpu
def test_a_gpu_looks_alike(tiny_model: Path, two_halves: np.ndarray) -> None:
    here, there = (attend(load_backbone(str(tiny_model), device), two_halves, grid=GRID) for device in ("cpu", "cuda"))
    for grid, matrix in here.maps.items():
        torch.testing.assert_close(there.maps[grid].cpu(), matrix, rtol=0.01, atol=1e-4)


def test_what_is_read_on_a_mac_goes_on_on_the_cpu(
    tiny: Backbone, two_halves: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its GPU lacks float64; this is as near as a machine without one comes."""
    there = SimpleNamespace(device=torch.device("mps"), cpu=lambda: "moved")
    assert walkcut.capture.where_doubles_are(there) == "moved"
    assert walkcut.capture.where_doubles_are(here := torch.ones(2)) is here
    moved = []
    for module in (walkcut.capture, walkcut.lab.recorders):
        monkeypatch.setattr(module, "where_doubles_are", lambda part: moved.append(part) or part)
    recorders = (MeanAttention(), LayerFeatures(), QueriesAndKeys())
    ((maps, said, kept),) = capture(tiny, [two_halves], recipe_for(tiny), *recorders)
    expected = [*maps.maps.values(), said.values, *(part for head in kept for part in (head.query, head.key))]
    assert {part.data_ptr() for part in moved} == {part.data_ptr() for part in expected}


def test_all_heads_at_once_make_the_same_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a GPU adds them, in blocks of a few rows."""
    generator = torch.Generator().manual_seed(0)
    query, key = (torch.randn(3, 12, 4, generator=generator) for _ in range(2))
    monkeypatch.setattr(walkcut.capture, "GPU_BLOCK", 3 * 12 * 5)
    for weights in ((1.0, 1.0, 1.0), (2.0, 0.0, 0.5)):
        one, together = torch.zeros(12, 12), torch.zeros(12, 12)
        for _ in range(2):
            walkcut.capture._add_together(together, query, key, weights)
            walkcut.capture._add_one_by_one(one, query, key, weights)
        expected = 2 * sum(w * torch.softmax(q @ k.T, 1) for q, k, w in zip(query, key, weights, strict=True))
        torch.testing.assert_close(one, expected)
        torch.testing.assert_close(together, expected)


def test_where_a_patch_looks_is_a_row_as_a_map() -> None:
    A = torch.arange(36.0).view(6, 6)
    found, patch = where_it_looks(A, (2, 3), (0.6, 0.9))
    assert patch == (1, 2)
    np.testing.assert_array_equal(found, A[5].view(2, 3).numpy())

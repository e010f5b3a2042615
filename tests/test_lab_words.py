"""Cross-attention: what is recorded is what the layers use, and segments get the words that lead in them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from walkcut.backbone import Backbone
from walkcut.bench.architectures import NETWORKS, random_backbone
from walkcut.capture import MeanAttention, attend, attention_layers, capture
from walkcut.errors import InputError
from walkcut.eyes.loading import load_backbone
from walkcut.lab.words import WordAttention, WordMaps, attend_words, name_segments
from walkcut.recipe import resolve


@pytest.fixture(scope="module", params=["sd-1.4", "sdxl", "sd-3", "sd-3.5"])
def told(request: pytest.FixtureRequest) -> Backbone:
    """A denoiser whose prompt has two words, one of them of two tokens."""
    few = {"num_layers": 2} if "patch_size" in NETWORKS[request.param] else {"layers_per_block": 1}
    backbone = random_backbone(request.param, small=True, **few)
    return replace(backbone, spans={"dog": (1, 2), "lawn": (4,)})


@pytest.fixture
def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (64, 128, 3), dtype=np.uint8)


def test_words_share_what_patches_take(told: Backbone, picture: np.ndarray) -> None:
    found = attend_words(told, picture, grid=8)
    assert found.words == ("dog", "lawn")
    assert found.values.shape == (found.grid[0] * found.grid[1], 2)
    assert (found.values >= 0).all()
    assert (found.values.sum(1) < 1).all()  # the other tokens have the rest
    every = replace(told, spans={"all": tuple(range(told.context.shape[1]))})
    torch.testing.assert_close(attend_words(every, picture, grid=8).values, torch.ones(len(found.values), 1))


def hooked(backbone: Backbone) -> bool:
    return any(module._forward_hooks or module._forward_pre_hooks for module in backbone.denoiser.modules())


def test_recording_changes_nothing_and_ends(told: Backbone, picture: np.ndarray) -> None:
    latent = told.encode(picture, 8)
    before = told.denoise(latent, 100)
    processors = {name: layer.processor for name, layer in attention_layers(told, words=True).items()}
    attend_words(told, picture, grid=8)
    assert not hooked(told)
    assert torch.equal(told.denoise(latent, 100), before)
    with pytest.raises(InputError, match="0 to 999"):
        attend_words(told, picture, grid=8, timesteps=[1000])
    assert not hooked(told)
    assert all(layer.processor is processors[name] for name, layer in attention_layers(told, words=True).items())


def test_words_share_a_pass_with_other_recorders(told: Backbone, picture: np.ndarray) -> None:
    """Several pictures, and the means beside: the same as each alone."""
    passes, images = [], [picture, 255 - picture]
    handle = told.denoiser.register_forward_pre_hook(lambda module, inputs: passes.append(1))
    recipe = resolve("walkcut", told.eye, {"grid": 8, "timesteps": (100, 300)})
    found = capture(told, images, recipe, WordAttention(), MeanAttention())
    handle.remove()
    assert len(passes) == 2
    for image, (words, means) in zip(images, found, strict=True):
        settings = {"grid": 8, "timesteps": (100, 300)}
        torch.testing.assert_close(words.values, attend_words(told, image, **settings).values, rtol=1e-3, atol=1e-5)
        for grid, matrix in attend(told, image, **settings).maps.items():
            torch.testing.assert_close(means.maps[grid], matrix, rtol=1e-3, atol=1e-5)


def test_one_layer_against_its_own_weights(
    tiny: Backbone, picture: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Queries and keys as the layer's own linear maps gave them, one head after another."""
    width = tiny.context.shape[2]
    words = {"dark": torch.linspace(-2, 2, width), "striped": torch.linspace(1, -1, width) ** 2}
    told = replace(tiny, vocabulary=words).prompted(["dark", "striped"])
    (name, layer), *_ = attention_layers(told, told.networks.first, words=True).items()
    monkeypatch.setattr("walkcut.lab.words.attention_layers", lambda backbone, words: {name: layer})
    taken = {}
    hooks = [
        getattr(layer, part).register_forward_hook(lambda m, i, out, part=part: taken.update({part: out[0]}))
        for part in ("to_q", "to_k")
    ]
    try:
        found = attend_words(told, picture, grid=16, timesteps=[100])
    finally:
        for hook in hooks:
            hook.remove()
    size = taken["to_q"].shape[1] // layer.heads
    expected = torch.zeros(len(taken["to_q"]), 3)
    for head in range(layer.heads):
        part = slice(head * size, (head + 1) * size)
        expected += torch.softmax(taken["to_q"][:, part] @ taken["to_k"][:, part].T / size**0.5, 1) / layer.heads
    torch.testing.assert_close(found.values, expected[:, :2])


def test_without_words_there_is_nothing_to_look_for(tiny: Backbone, picture: np.ndarray) -> None:
    with pytest.raises(InputError, match="no words to look for"):
        attend_words(tiny, picture, grid=8)


def test_a_prompt_tells_where_its_words_are(stable_model: Path) -> None:
    told = load_backbone(str(stable_model), "cpu", prompt="lo l lo")
    assert told.spans == {"lo": (1, 3), "l": (2,)}
    assert load_backbone(str(stable_model), "cpu", prompt="ol l").spans == {"ol": (1, 2), "l": (3,)}
    long = load_backbone(str(stable_model), "cpu", prompt="l " * 9 + "o")  # longer than the encoder reads
    assert long.spans == {"l": (1, 2, 3, 4, 5)}
    assert load_backbone(str(stable_model), "cpu").spans == {}


def test_a_segment_is_named_by_what_leads_in_it() -> None:
    """Every patch looks at "a" most; "b" leads on the left, "c" on the right."""
    left = torch.tensor([0.7, 0.2, 0.1])
    values = torch.stack([left, left, left[[0, 2, 1]], left[[0, 2, 1]]])
    named = name_segments(np.array([[0, 1]]), WordMaps(values, (1, 4), ("a", "b", "c")))
    assert [words[0][0] for words in named] == ["b", "c"]
    assert dict(named[0]) == pytest.approx({"a": 1.0, "b": 0.2 / 0.15, "c": 0.1 / 0.15})
    coarse = name_segments(np.array([[0, 0, 0, 0, 1, 1, 1, 1]]), WordMaps(values, (1, 4), ("a", "b", "c")))
    assert [words[0][0] for words in coarse] == ["b", "c"]

"""Vision transformers as eyes: every kind with random weights in its real configuration, and the whole way through."""

from __future__ import annotations

import json
import os
import shlex
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from PIL import Image
from test_bench_datasets import make

from walkcut.app.cli import main
from walkcut.backbone import Backbone
from walkcut.bench import semantic
from walkcut.bench.summary import read_summary
from walkcut.bench.table import beside_published, command, published
from walkcut.capture import MeanAttention, attend, attention_layers, capture, head_count
from walkcut.door import segment
from walkcut.errors import InputError
from walkcut.eyes.loading import load_backbone
from walkcut.eyes.models import HOME, MODELS, VISION, find_eye
from walkcut.eyes.vision import KINDS
from walkcut.lab.recorders import LayerFeatures, QueriesAndKeys
from walkcut.recipe import resolve

SMALL = {"hidden_size": 384, "num_attention_heads": 6, "num_hidden_layers": 2}  # layers: twelve in truth
# As the published configuration files have them, but for the number of layers.
CONFIGS: dict[str, tuple[str, dict[str, Any]]] = {
    "dinov2": ("Dinov2Config", SMALL | {"image_size": 518, "patch_size": 14}),
    "dinov2_with_registers": (
        "Dinov2WithRegistersConfig",
        SMALL | {"image_size": 518, "patch_size": 14, "num_register_tokens": 4},
    ),
    "dinov3_vit": (
        "DINOv3ViTConfig",
        SMALL | {"intermediate_size": 1536, "image_size": 224, "patch_size": 16, "num_register_tokens": 4},
    ),
    "vit": ("ViTConfig", SMALL | {"intermediate_size": 1536, "image_size": 224, "patch_size": 8}),
    "vit_mae": ("ViTMAEConfig", {"num_hidden_layers": 2, "image_size": 224, "patch_size": 16}),
    "clip": (
        "CLIPConfig",
        {
            "vision_config": {"num_hidden_layers": 2, "image_size": 224, "patch_size": 16},
            "text_config": {"num_hidden_layers": 1, "vocab_size": 100, "eos_token_id": 2, "bos_token_id": 1},
        },
    ),
    "clip_vision_model": ("CLIPVisionConfig", {"num_hidden_layers": 2, "image_size": 224, "patch_size": 16}),
}
WHOLE = {"vit_mae": "ViTMAEForPreTraining", "clip": "CLIPModel"}  # what is published holds more than the eye


@pytest.fixture(scope="module", params=KINDS)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One kind, as it is published."""
    return build(request.param, tmp_path_factory.mktemp(request.param))


def build(kind: str, place: Path) -> Path:
    name, settings = CONFIGS[kind]
    network_class = getattr(transformers, WHOLE.get(kind, KINDS[kind].network))
    torch.manual_seed(0)
    network = network_class(getattr(transformers, name)(**settings))
    with torch.no_grad():
        for name, weight in network.named_parameters():  # else every softmax is all but flat
            if name.endswith(("q_proj.weight", "k_proj.weight", "query.weight", "key.weight")):
                weight.mul_(6)
    network.save_pretrained(place)
    return place


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A quick one for the command line."""
    torch.manual_seed(1)
    config = transformers.Dinov2Config(hidden_size=32, num_attention_heads=2, num_hidden_layers=2, image_size=112)
    place = tmp_path_factory.mktemp("small") / "vit-small"
    transformers.Dinov2Model(config).save_pretrained(place)
    return place


@pytest.fixture(scope="module")
def eye(folder: Path) -> Backbone:
    return load_backbone(str(folder), "cpu")


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    """uint8 (72, 128, 3): not square, and no multiple of a patch."""
    return np.random.default_rng(0).integers(0, 256, (72, 128, 3), dtype=np.uint8)


def test_every_kind_that_is_known_can_be_read() -> None:
    assert set(CONFIGS) == set(KINDS) == set(VISION)


def eager(folder: Path, pixels: torch.Tensor, options: dict[str, Any]) -> list[torch.Tensor]:
    """(heads, tokens, tokens) of each layer, by the model's own slow way."""
    settings = json.loads((folder / "config.json").read_text())
    kind = KINDS[settings["model_type"]]
    more: dict[str, Any] = {"add_pooling_layer": False} if kind.network == "ViTModel" else {}
    more |= {"attn_implementation": "eager", "dtype": torch.float32}
    network = getattr(transformers, kind.network).from_pretrained(folder, **more).eval()
    with torch.inference_mode():
        return [layer[0] for layer in network(pixels, output_attentions=True, **options).attentions]


def test_the_mean_is_that_of_the_models_own_attention(folder: Path, eye: Backbone, picture: np.ndarray) -> None:
    found = attend(eye, picture, grid=9)
    ((h, w),) = found.maps
    assert (h, w) == (5, 9)
    looks = torch.stack(eager(folder, eye.encode(picture, 9), eye.options))
    assert looks.shape[-1] == h * w + eye.others
    patches = looks[:, :, eye.others :, eye.others :]
    expected = (patches / patches.sum(-1, keepdim=True)).mean((0, 1))
    torch.testing.assert_close(found.maps[h, w], expected, rtol=0, atol=1e-5)
    assert (found.maps[h, w].max(1).values > 3 / (h * w)).any(), "a flat softmax would show nothing"


def test_rows_sum_to_one_at_any_shape(eye: Backbone) -> None:
    for shape, grid in (((64, 64, 3), 4), ((40, 200, 3), 10), ((200, 40, 3), 7), ((33, 34, 3), 3)):
        image = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
        found = attend(eye, image, grid=grid)
        assert list(found.maps) == [eye.grid(image, grid)]
        matrix = found.maps[found.finest]
        torch.testing.assert_close(matrix.sum(1), torch.ones(len(matrix)), rtol=0, atol=1e-5)


def test_queries_and_keys_and_features_are_of_patches_alone(eye: Backbone, picture: np.ndarray) -> None:
    recipe = resolve("walkcut", eye.eye, {"grid": 9})
    mean, heads, features = capture(eye, [picture], recipe, MeanAttention(), QueriesAndKeys(), LayerFeatures())[0]
    again = torch.stack([torch.softmax(head.query @ head.key.T, 1) for head in heads]).mean(0)
    torch.testing.assert_close(again, mean.maps[5, 9], rtol=0, atol=1e-5)
    with torch.inference_mode():
        tokens = eye.denoiser(eye.encode(picture, 9), **eye.options).last_hidden_state[0, eye.others :]
    assert features.grid == (5, 9)
    torch.testing.assert_close(features.values, tokens, rtol=0, atol=1e-5)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_looks_alike(folder: Path, eye: Backbone, picture: np.ndarray, dtype: str) -> None:
    half = load_backbone(str(folder), "cpu", dtype=dtype)
    assert half.dtype == getattr(torch, dtype)
    exact, rough = (attend(one, picture, grid=5).maps[3, 5] for one in (eye, half))
    torch.testing.assert_close(rough.sum(1), torch.ones(15), rtol=0, atol=1e-3)
    torch.testing.assert_close(rough, exact, rtol=0, atol=0.05)


def test_what_is_not_read_changes_nothing(eye: Backbone, picture: np.ndarray) -> None:
    layers = attention_layers(eye)
    assert len(layers) == 2
    first, last = layers
    weights = {last: [1.0] + [0.0] * (head_count(eye, layers[last]) - 1)}
    one, everything = attend(eye, picture, grid=5, heads=weights), attend(eye, picture, grid=5)
    assert not torch.allclose(one.maps[3, 5], everything.maps[3, 5])
    with pytest.raises(InputError, match=r"needs .* weights of at least 0"):
        attend(eye, picture, grid=5, heads={first: [1.0]})


def test_an_error_leaves_nothing_behind(eye: Backbone, picture: np.ndarray) -> None:
    class Breaks(MeanAttention):
        def keep(self, *given: Any) -> None:
            raise RuntimeError("broken")

    before = attend(eye, picture, grid=5).maps[3, 5]
    with pytest.raises(RuntimeError, match="broken"):
        capture(eye, [picture], resolve("walkcut", eye.eye, {"grid": 5}), Breaks())
    assert not any(module._forward_pre_hooks or module._forward_hooks for module in eye.denoiser.modules())
    assert torch.equal(attend(eye, picture, grid=5).maps[3, 5], before)


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"noise": "forward"}, "sees pictures without noise: leave out noise and timesteps"),
        ({"noise": "inversion"}, "without noise"),
        ({"timesteps": [10]}, "without noise"),
        ({"prompt": "a cat"}, "prompt"),
    ],
)
def test_what_such_an_eye_does_not_have_is_told_in_a_sentence(small: Path, settings: dict, word: str) -> None:
    with pytest.raises(InputError, match=word):
        resolve("walkcut", find_eye(str(small)), settings)


def test_words_are_refused(
    small: Path, picture: np.ndarray, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    from walkcut.lab.words import attend_words

    with pytest.raises(InputError, match="reads no words"):
        find_eye(str(small), prompt="a cat")
    Image.fromarray(picture).save(tmp_path / "x.png")
    assert main(["segment", str(tmp_path / "x.png"), "--model", str(small), "--prompt", "a cat"]) == 2
    assert "reads no words" in capsys.readouterr().err
    with pytest.raises(InputError, match="reads no words"):
        attend_words(load_backbone(str(small), "cpu"), picture)


@pytest.mark.parametrize("preset", ["walkcut", "paper-v1", "paper-v2"])
def test_every_preset_works(small: Path, preset: str) -> None:
    eye = find_eye(str(small))
    recipe = resolve(preset, eye)
    assert (eye.family, recipe.noise, recipe.timesteps, recipe.grid) == ("vision", "none", (0,), 8)
    assert resolve(preset, replace(eye, readout=eye.readout | {"grid": 16, "steps": 2})).grid == 16


def test_a_picture_is_segmented_by_command_and_in_python_alike(small: Path, tmp_path: Path) -> None:
    scene = np.zeros((60, 90, 3), np.uint8)
    scene[:, 45:] = 255
    Image.fromarray(scene).save(tmp_path / "a.png")
    words = ["segment", str(tmp_path), "--model", str(small), "--out", str(tmp_path / "out")]
    assert main([*words, "--grid", "12"]) == 0
    labels = np.asarray(Image.open(tmp_path / "out" / "a.labels.png"))
    here = segment(scene, load_backbone(str(small), "cpu"), grid=12)
    assert np.array_equal(here.labels, labels)
    for more in (["--workers", "2"], ["--batch", "2"]):
        out = tmp_path / more[0]
        assert main([*words[:-1], str(out), "--grid", "12", *more]) == 0
        assert np.array_equal(np.asarray(Image.open(out / "a.labels.png")), labels)
    page = tmp_path / "a.html"
    assert main(["explore", str(tmp_path / "a.png"), "--model", str(small), "--grid", "8", "--out", str(page)]) == 0
    assert page.stat().st_size > 1000


EYES = [name for name, model in MODELS.items() if model.vision]
REPEATED = {row["method"]: row["run"] for row in published()["rows"] if row.get("run", {}).get("model") in EYES}


@pytest.mark.parametrize("method", REPEATED)
def test_the_command_beside_a_published_row_fills_it(
    small: Path, method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    """A protocol's noise and timesteps bind no vision transformer; those that the user asks for are refused."""
    run = REPEATED[method]
    shutil.copytree(small, tmp_path / run["model"])
    monkeypatch.setenv(HOME, str(tmp_path))
    monkeypatch.setitem(semantic.PROTOCOLS, run["protocol"], (64, 16))  # as the real one in all but size
    data = make(tmp_path / "coco", "coco-stuff-27", 2)
    words = shlex.split(command("coco-stuff-27", run).replace("DIR", str(data)))[1:]
    words += ["--partial", "--grid", "8", "--out", str(tmp_path / "out")]
    assert main(words) == 0
    (file,) = (tmp_path / "out").glob("*.json")
    (row,) = [row for row in beside_published("coco-stuff-27", [read_summary(file)]).rows if row[0] == method]
    assert "(ours " in row[1]
    assert row[3] == run["line"]
    capsys.readouterr()
    for asked in (["--noise", "forward"], ["--timesteps", "10"]):
        assert main([*words, *asked]) == 2
        assert "sees pictures without noise: leave out noise and timesteps" in capsys.readouterr().err


def test_damage_is_the_folders(small: Path, tmp_path: Path) -> None:
    for harm in ("weights", "config", "lacking"):
        broken = shutil.copytree(small, tmp_path / harm)
        weights = broken / "model.safetensors"
        if harm == "weights":
            weights.write_bytes(weights.read_bytes()[:100])
        elif harm == "lacking":
            weights.unlink()
        else:
            config = json.loads((broken / "config.json").read_text())
            (broken / "config.json").write_text(json.dumps(config | {"hidden_size": 64}))
        with pytest.raises(InputError, match=str(broken)):
            load_backbone(str(broken), "cpu")


def test_a_short_name_leads_to_a_folder(small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(HOME, str(tmp_path))
    shutil.copytree(small, tmp_path / "dinov2-small")
    assert load_backbone("dinov2-small", "cpu").name == "dinov2-small"


@pytest.mark.skipif(HOME not in os.environ, reason=f"${HOME} names no folder of models")
def test_a_real_one_attends_as_it_does_itself() -> None:
    real = [path for path in Path(os.environ[HOME]).iterdir() if (path / "config.json").is_file()]
    for place in real:
        eye = load_backbone(str(place), "cpu")
        image = np.random.default_rng(0).integers(0, 256, (100, 150, 3), dtype=np.uint8)
        looks = torch.stack(eager(place, eye.encode(image, 12), eye.options))[:, :, eye.others :, eye.others :]
        expected = (looks / looks.sum(-1, keepdim=True)).mean((0, 1))
        found = attend(eye, image, grid=12, heads={})  # also of one that is calibrated
        torch.testing.assert_close(found.maps[found.finest], expected, rtol=0, atol=1e-5)

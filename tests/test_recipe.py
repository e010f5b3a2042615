"""Recipes: settings told once, from a preset, an eye and the user, to what computes and what is recorded."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from dataclasses import FrozenInstanceError, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from walkcut.backbone import Backbone
from walkcut.capture import AttentionMaps, attend, capture
from walkcut.door import segment
from walkcut.errors import InputError
from walkcut.eyes.loading import load_backbone
from walkcut.eyes.models import find_eye
from walkcut.graph import Graph
from walkcut.lab.directed import Directed
from walkcut.lab.graphs import LowRank
from walkcut.lab.recorders import LayerFeatures
from walkcut.lab.subwalk import RenormalisedSubwalk
from walkcut.recipe import PRESETS, Eye, Preset, Recipe, find_preset, resolve
from walkcut.registry import CRITERIA, GRAPHS, PIXELS
from walkcut.samples import sample
from walkcut.segmentation import Segmentation, WalkRecord
from walkcut.tree import partition
from walkcut.walk import aggregate, prepare

NAMES = [one.name for one in fields(Recipe)]
FINE = "down_blocks.0.attentions.0.transformer_blocks.0.attn1"
# of each setting another value than the one that the preset "walkcut" takes with the embedded eye
OTHER = {
    "model": "sd-1.4",
    "weights": "0123456789abcdef",
    "dtype": "bfloat16",
    "prompt": "striped",
    "grid": 12,
    "noise": "none",
    "timesteps": (200,),
    "seed": 7,
    "heads": {FINE: (1.0, 0.0)},
    "inverse_temperature": 2.0,
    "jump_chain": False,
    "inflation": 1.5,
    "spatial_prior": 0.2,
    "steps": 3,
    "graph": "average",
    "threshold": 0.9,
    "pixels": "bilinear",
}
OF_THE_EYE = ("model", "weights", "dtype", "prompt")
READOUT = {
    "timesteps": [10],
    "heads": {FINE: [1.0, 1.0]},
    "jump_chain": True,
    "inflation": 2.0,
    "spatial_prior": 0.35,
    "calibrated_on": {"grid": 37, "nats": {FINE: [0.1, 0.2]}},
}
EYE = Eye("small", "fedcba9876543210", family="embedded", readout=READOUT)


def one_sentence(error: pytest.ExceptionInfo[InputError], *named: object) -> None:
    said = str(error.value)
    assert said.endswith(".")
    assert "\n" not in said
    for word in named:
        assert str(word) in said


# ---------------------------------------------------------------------------------------------------------------------
# What a recipe is


def test_no_setting_is_forgotten_here() -> None:
    """Whoever adds one says what else it may be."""
    assert list(OTHER) == NAMES


def test_a_recipe_is_frozen_and_concrete() -> None:
    recipe = Recipe()
    for name, value in OTHER.items():
        with pytest.raises(FrozenInstanceError):
            setattr(recipe, name, value)
    assert Recipe(threshold="auto").threshold == "spatial-null"
    assert "auto" not in recipe.to_dict().values()


def test_a_recipe_keeps_nothing_of_the_callers() -> None:
    heads, timesteps = {FINE: [1.0, 2.0]}, [10, 20]
    recipe = Recipe(heads=heads, timesteps=timesteps)
    heads[FINE].append(3.0)
    heads["other"] = [1.0]
    timesteps.clear()
    record = recipe.to_dict()
    record["heads"][FINE].clear()
    record["timesteps"].clear()
    assert recipe == Recipe(heads={FINE: (1.0, 2.0)}, timesteps=(10, 20))


@pytest.mark.parametrize("name", NAMES)
def test_every_setting_is_in_the_record_and_in_the_fingerprint(name: str) -> None:
    plain = Recipe(jump_chain=True, pixels="pamr")
    other = replace(plain, **{name: OTHER[name]})
    assert other != plain
    assert other.fingerprint != plain.fingerprint
    assert {key for key in NAMES if other.to_dict()[key] != plain.to_dict()[key]} == {name}
    assert replace(other, **{name: getattr(plain, name)}).fingerprint == plain.fingerprint


def test_a_fingerprint_is_the_same_whatever_the_order() -> None:
    heads = {"a": (1.0,), "b": (2.0,)}
    one, other = Recipe(heads=heads), Recipe(heads=dict(reversed(heads.items())))
    assert one == other
    assert one.fingerprint == other.fingerprint
    assert len(one.fingerprint) == 12
    int(one.fingerprint, 16)


def recipes() -> st.SearchStrategy[dict[str, Any]]:
    """Settings of any recipe."""
    texts = st.text(max_size=8)
    positive = st.floats(min_value=1e-9, max_value=1e9)
    timestep = st.integers(0, 999)
    weights = st.lists(st.floats(0, 1e6), min_size=1, max_size=3)
    return st.fixed_dictionaries(
        {
            **dict.fromkeys(OF_THE_EYE, texts),
            "grid": st.integers(2, 128),
            "noise": st.sampled_from(["forward", "none", "inversion"]),
            "timesteps": st.lists(timestep, min_size=1, max_size=3),
            "seed": st.integers(0, 2**63 - 1),
            "heads": st.dictionaries(texts, weights, max_size=2),
            "inverse_temperature": positive,
            "jump_chain": st.booleans(),
            "inflation": positive,
            "spatial_prior": st.none() | positive,
            "steps": st.integers(1, 10**6),
            "graph": st.sampled_from(list(GRAPHS)),
            "threshold": st.sampled_from(["auto", *CRITERIA]) | st.floats(0, 2, exclude_min=True),
            "pixels": st.sampled_from(list(PIXELS)),
        }
    )


@settings(max_examples=60)
@given(recipes(), recipes())
def test_a_recipe_goes_through_json_and_between_processes(one: dict[str, Any], other: dict[str, Any]) -> None:
    first, second = Recipe(**one), Recipe(**other)
    for again in (
        Recipe.from_dict(json.loads(json.dumps(first.to_dict(), allow_nan=False))),
        pickle.loads(pickle.dumps(first)),
    ):
        assert again == first
        assert again.fingerprint == first.fingerprint
        assert hash(again) == hash(first)
    assert (first == second) == (first.fingerprint == second.fingerprint) == (first.to_dict() == second.to_dict())


@pytest.mark.parametrize(
    ("name", "value", "stored"),
    [
        ("grid", np.int64(16), 16),
        ("grid", 16.0, 16),
        ("seed", np.uint8(3), 3),
        ("seed", 2**63 - 1, 2**63 - 1),
        ("steps", np.float16(2), 2),
        ("timesteps", np.array([10, 20]), (10, 20)),
        ("timesteps", [np.int32(5), 7.0], (5, 7)),
        ("inflation", np.float32(0.5), 0.5),
        ("inflation", 2, 2.0),
        ("spatial_prior", np.float64(0.25), 0.25),
        ("inverse_temperature", np.int16(2), 2.0),
        ("threshold", np.float32(0.5), 0.5),
        ("threshold", 1, 1.0),
        ("jump_chain", np.True_, True),
        ("heads", {FINE: np.array([1, 0])}, {FINE: (1.0, 0.0)}),
    ],
)
def test_numbers_of_numpy_become_pythons(name: str, value: object, stored: object) -> None:
    """Else JSON would refuse them, or a record would differ from one of the same settings."""
    recipe = Recipe(**{name: value})
    found = getattr(recipe, name)
    assert found == stored
    assert type(found) is type(stored)
    inside = {"timesteps": recipe.timesteps, "heads": recipe.heads.get(FINE, ())}.get(name, ())
    assert all(type(number) in (int, float) for number in inside)
    assert Recipe.from_dict(json.loads(json.dumps(recipe.to_dict()))) == recipe


WHOLE = [1, 129, 16.5, "16", None, True, float("nan"), float("inf"), -float("inf"), 10**400, 1j, [16], object]
NUMBER = [0, -1.0, "2", float("nan"), float("inf"), True, 10**400, [2.0], object]
REMEDIES = (
    *("choose from", "is a whole number ", "are whole numbers from", "a positive, finite number"),
    *("finite and at least 0", "layers with a weight", "or a number above 0"),
)
BAD = {
    "grid": WHOLE,
    "noise": ["pink", None, 3, ["none"]],
    "timesteps": [(-1,), (1000,), (10, 1000), (0.5,), 100, "100", None, (), [[10]], (True,), (float("nan"),)],
    "seed": [-1, 2**63, 0.5, *WHOLE[3:]],
    "heads": [
        *(3, None, [1, 2], {FINE: 1.0}, {FINE: None}),
        *({FINE: weights} for weights in (["a"], (), (-1.0,), (float("nan"),), (float("inf"),), (10**400,))),
    ],
    "inverse_temperature": [None, *NUMBER],
    "jump_chain": [None, "yes", "False", 1, 0.0, [True]],
    "inflation": [None, *NUMBER],
    "spatial_prior": NUMBER,
    "steps": [0, -1, 2**63, 1.5, *WHOLE[3:]],
    "graph": ["cosine", None, 3, ["reversible"]],
    "threshold": [0, 0.0, -1, 2.1, "high", "nan", "inf", float("nan"), 10**400, None, True, ["gap"], object],
    "pixels": ["nearest", None, 3, ["pamr"]],
}


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name in BAD for value in BAD[name]], ids=lambda given: f"{given!s:.20}"
)
def test_a_bad_value_is_told_in_one_sentence(name: str, value: object) -> None:
    """With the value and what would do instead; by whichever way it comes."""
    for way in (
        lambda bad: Recipe(**bad),
        Recipe.from_dict,
        partial(resolve, "walkcut", EYE),
        lambda bad: resolve(Preset("own", bad), Eye("x")),
    ):
        with pytest.raises(InputError) as caught:
            way({name: value})
        one_sentence(caught)
        assert any(word in str(caught.value) for word in (name, name.capitalize(), "Weights of heads"))
        assert any(remedy in str(caught.value) for remedy in REMEDIES)


@pytest.mark.parametrize("bad", [np.zeros((2, 2)), np.arange(3)])
@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("timesteps", *OF_THE_EYE)])
def test_an_array_is_no_setting(name: str, bad: np.ndarray) -> None:
    with pytest.raises(InputError, match=r"\bnot?\b"):
        Recipe(**{name: bad})


def test_values_are_named(tmp_path: Path) -> None:
    for name, value in (("grid", 999), ("inflation", -2.5), ("noise", "pink"), ("timesteps", (1234,)), ("steps", 0)):
        with pytest.raises(InputError) as caught:
            Recipe(**{name: value})
        one_sentence(caught, repr(value))


@pytest.mark.parametrize(
    "way",
    [
        Recipe.from_dict,
        partial(resolve, "walkcut", EYE),
        partial(Preset, "own"),
        lambda record: resolve("walkcut", replace(EYE, readout=record)),
    ],
    ids=["from_dict", "resolve", "Preset", "readout"],
)
def test_settings_that_no_recipe_has_are_refused(way: Callable[[dict], object]) -> None:
    for old in ("locality", "sharpness", "walkers", "resolution", "noise_share"):
        with pytest.raises(InputError, match=f"no setting '{old}': choose from model, .*pixels") as caught:
            way({old: 0.3})
        one_sentence(caught)


# ---------------------------------------------------------------------------------------------------------------------
# What counts first


@pytest.mark.parametrize("name", [name for name in NAMES if name not in OF_THE_EYE])
def test_the_user_counts_before_the_preset_the_eye_and_the_default(name: str) -> None:
    default, suits = getattr(Recipe(), name), {"grid": 32, "noise": "inversion", "seed": 1, "steps": 2}
    suits |= {"timesteps": [30], "heads": {FINE: [2.0, 1.0]}, "inverse_temperature": 1.25, "jump_chain": True}
    suits |= {"inflation": 3.0, "spatial_prior": 0.6, "graph": "rows-dot", "threshold": "gap"}
    suits |= {"pixels": "random-walker"}
    named = {"grid": 48, "noise": "none", "seed": 2, "steps": 4, "timesteps": (40,), "heads": {FINE: (0.0, 1.0)}}
    named |= {"inverse_temperature": 1.5, "jump_chain": False, "inflation": 4.0, "spatial_prior": 0.7}
    named |= {"graph": "divergence", "threshold": "half-life", "pixels": "pamr"}
    for family in ("stable-diffusion", "embedded"):
        bare, eye = Eye("bare", family=family), Eye("own", family=family, readout={name: suits[name]})
        preset = Preset("own", {name: named[name]})
        assert getattr(resolve(Preset("empty"), bare), name) == default
        assert getattr(resolve(Preset("empty"), eye), name) == getattr(Recipe(**{name: suits[name]}), name) != default
        user = resolve(preset, eye, {name: OTHER[name]})
        assert getattr(user, name) == OTHER[name]
        by_preset = getattr(resolve(preset, eye), name)
        if name == "noise" and family == "embedded":  # an eye of pixels is not inverted for a preset's sake
            assert by_preset == suits["noise"]
        else:
            assert by_preset == named[name]
        assert user.to_dict()[name] == resolve(preset, bare, {name: OTHER[name]}).to_dict()[name]


def test_what_is_known_of_the_eye_is_recorded() -> None:
    eye = Eye("some", "abc", "bfloat16", "a dog", readout={"model": "another", "prompt": "a cat"})
    for preset in PRESETS:
        recipe = resolve(preset, eye)
        assert (recipe.model, recipe.weights, recipe.dtype, recipe.prompt) == ("some", "abc", "bfloat16", "a dog")
    assert resolve("walkcut", eye, resolve("walkcut", eye).to_dict()) == resolve("walkcut", eye)


@pytest.mark.parametrize("name", OF_THE_EYE)
def test_what_an_eye_is_cannot_be_set_later(name: str) -> None:
    """A record would say so, and the eye would not have done it."""
    for preset, asked in (("walkcut", {name: OTHER[name]}), (Preset("own", {name: OTHER[name]}), {})):
        with pytest.raises(InputError, match=f"The {name} of the eye is .*, not '{OTHER[name]}'") as caught:
            resolve(preset, EYE, asked)
        one_sentence(caught)


@pytest.mark.parametrize(
    "content",
    [
        {"inflation": 0},
        {"timesteps": []},
        {"timesteps": 100},
        {"timesteps": ["a"]},
        {"heads": 3},
        {"heads": {"a": ["b"]}},
        {"heads": {"a": [-1]}},
        {"spatial_prior": "near"},
        {"jump_chain": "yes"},
        {"graph": "cosine"},
        {"threshold": -1},
        {"locality": 0.35},
    ],
    ids=str,
)
def test_a_damaged_readout_is_blamed_on_the_model(tiny_model: Path, tmp_path: Path, content: dict) -> None:
    """Not on the picture, and not on the user, who may have asked for another value."""
    model = tmp_path / "model"
    shutil.copytree(tiny_model, model)
    (model / "readout.json").write_text(json.dumps(content))
    name = next(iter(content))
    for asked in ({}, {name: OTHER[name]} if name in OTHER else {}):
        with pytest.raises(InputError) as caught:
            resolve("walkcut", find_eye(str(model)), asked)
        one_sentence(caught, f"The readout of {model} is damaged", "mend it or remove it")


# ---------------------------------------------------------------------------------------------------------------------
# Where to stop


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("threshold", *OF_THE_EYE)])
def test_a_criterion_may_be_asked_for_under_any_settings(name: str) -> None:
    """Nothing of it was measured under some: of an eye's readout nothing says where to stop."""
    for criterion in ("auto", *CRITERIA):
        found = resolve("walkcut", EYE, {name: OTHER[name], "threshold": criterion})
        assert found.threshold == ("spatial-null" if criterion == "auto" else criterion)
        assert getattr(found, name) == OTHER[name]


@pytest.mark.parametrize(
    ("settings", "plain"),
    [({}, True), ({"graph": "direct", "threshold": 0.3, "grid": 8, "timesteps": (10, 20)}, True)]
    + [({name: OTHER[name]}, False) for name in ("inflation", "spatial_prior", "steps")]
    + [({"jump_chain": True}, False)],
)
def test_a_recipe_is_plain_where_attentions_own_walk_is_cut(settings: dict, plain: bool) -> None:
    unchanged = {"jump_chain": False, "inflation": 1, "spatial_prior": None, "steps": 1}
    assert Recipe(**unchanged | settings).plain is plain


# ---------------------------------------------------------------------------------------------------------------------
# What each setting changes


@pytest.fixture(scope="module")
def hills() -> np.ndarray:
    return sample("hills")


@pytest.fixture(scope="module")
def usual(embedded: Backbone, hills: np.ndarray) -> Segmentation:
    return segment(hills, embedded, grid=16, keep_walk=True)


def differ(one: Segmentation, other: Segmentation) -> bool:
    """Whether another walk, another graph or other segments were found."""
    assert one.walk is not None
    assert other.walk is not None
    walks = one.walk.P.shape != other.walk.P.shape or not torch.equal(one.walk.P, other.walk.P)
    return walks or one.tree.ncut[0] != other.tree.ncut[0] or not np.array_equal(one.labels, other.labels)


def changed_settings(one: Segmentation, other: Segmentation) -> set[str]:
    first, second = one.recipe.to_dict(), other.recipe.to_dict()
    return {name for name in NAMES if first[name] != second[name]}


@pytest.mark.parametrize("name", [name for name in NAMES if name not in OF_THE_EYE])
def test_what_a_setting_says_is_what_is_computed(
    name: str, embedded: Backbone, hills: np.ndarray, usual: Segmentation
) -> None:
    """The walk, its graph or the labels follow each setting; the record and the fingerprint say which it was."""
    asked = {"grid": 16, name: OTHER[name]}
    found = segment(hills, embedded, keep_walk=True, **asked)
    assert differ(found, usual)
    assert changed_settings(found, usual) == {name}
    assert found.recipe.fingerprint != usual.recipe.fingerprint
    same = segment(hills, embedded, keep_walk=True, **{"grid": 16, name: getattr(usual.recipe, name)})
    assert not differ(same, usual)
    assert same.recipe == usual.recipe


@pytest.mark.parametrize("name", OF_THE_EYE)
def test_what_an_eye_is_changes_the_walk(name: str, tiny_model: Path, hills: np.ndarray, tmp_path: Path) -> None:
    """A copy under another name is the same walk under another name; all else is another walk."""
    model = tmp_path / "copy"
    shutil.copytree(tiny_model, model)
    width = json.loads((model / "unet" / "config.json").read_text())["cross_attention_dim"]
    save_file({"striped": torch.linspace(-3, 3, width)}, model / "vocabulary.safetensors")
    plain = segment(hills, load_backbone(str(model), "cpu"), grid=16, keep_walk=True)
    changed = {name}
    if name == "model":
        other = load_backbone(str(shutil.copytree(model, tmp_path / "elsewhere")), "cpu")
    elif name == "weights":
        file = next(model.rglob("unet/*.safetensors"))
        generator = torch.Generator().manual_seed(1)
        weights = {key: w * (1 + 0.5 * torch.rand(w.shape, generator=generator)) for key, w in load_file(file).items()}
        save_file(weights, file)
        other = load_backbone(str(model), "cpu")
    elif name == "dtype":
        other = load_backbone(str(model), "cpu", dtype="bfloat16")
    else:
        other = load_backbone(str(model), "cpu", prompt="striped")
    found = segment(hills, other, grid=16, keep_walk=True)
    assert differ(found, plain) == (name != "model")
    assert changed_settings(found, plain) == changed
    assert found.recipe.fingerprint != plain.recipe.fingerprint


# ---------------------------------------------------------------------------------------------------------------------
# Presets: what they cut


@pytest.fixture(scope="module")
def maps(embedded: Backbone, hills: np.ndarray) -> AttentionMaps:
    return attend(embedded, hills, grid=16)


@pytest.fixture(scope="module")
def recorded(embedded: Backbone, hills: np.ndarray, maps: AttentionMaps) -> Callable[..., WalkRecord]:
    """The walk of the hills under a preset and settings."""

    def record(preset: str | Preset, eye: Eye | None = None, features: object = None, **asked: object) -> WalkRecord:
        recipe = resolve(preset, eye or embedded.eye, {"grid": 16, **asked})
        return WalkRecord.prepared(hills, maps, recipe, features)

    return record


@pytest.mark.parametrize("name", PRESETS)
def test_a_sample_picture_end_to_end(name: str, recorded: Callable[..., WalkRecord], maps: AttentionMaps) -> None:
    record = recorded(name)
    tree = partition(record.graph(), record.walk.grid)
    assert record.walk.grid == maps.finest
    assert 0 < tree.ncut[0] < 1  # the picture is cut
    labels = tree.labels(k=2)
    assert 0.05 < labels.mean() <= 0.5  # two regions, neither a few patches
    sky, ground = labels[:2].ravel(), labels[-2:].ravel()
    assert abs(sky.mean() - ground.mean()) > 0.5  # top and bottom of the hills are apart


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_stops_somewhere_and_says_what_is_not_public(name: str) -> None:
    preset = find_preset(name)
    assert resolve(preset, Eye("new")).threshold in CRITERIA
    assert bool(preset.reconstruction) == name.startswith("paper")
    assert find_preset(preset) is preset


def test_what_each_preset_cuts(recorded: Callable[..., WalkRecord], maps: AttentionMaps) -> None:
    plain = aggregate(maps)
    default, v1, v2 = (recorded(name) for name in PRESETS)
    recipe = default.recipe
    assert recipe.jump_chain
    usual = plain.jump_chain().inflated(recipe.inflation).spatial_prior(recipe.spatial_prior)
    torch.testing.assert_close(default.walk.P, usual.P, rtol=1e-4, atol=1e-7)
    torch.testing.assert_close(default.graph().W, default.walk.reversible().W)
    for record in (v1, v2):
        torch.testing.assert_close(record.walk.P, plain.power(2).P, rtol=1e-4, atol=1e-7)
    direct, rows = v1.graph(), v2.graph()
    assert isinstance(direct, Directed)
    torch.testing.assert_close(direct.W, v1.walk.P)
    assert isinstance(rows, LowRank)
    torch.testing.assert_close(rows.F, v1.walk.P / v1.walk.P.norm(dim=1, keepdim=True))


def test_what_is_cut_follows_each_setting_of_the_walk(maps: AttentionMaps) -> None:
    """`prepare` does what the walk's own methods do, one after another; and each alone."""
    plain = aggregate(maps)
    for asked, expected in (
        ({}, plain),
        ({"jump_chain": True}, plain.jump_chain()),
        ({"inflation": 3.0}, plain.inflated(3.0)),
        ({"spatial_prior": 0.2}, plain.spatial_prior(0.2)),
        ({"steps": 3}, plain.power(3)),
        (
            {"jump_chain": True, "inflation": 1.5, "spatial_prior": 0.3, "steps": 2},
            plain.jump_chain().inflated(1.5).spatial_prior(0.3).power(2),
        ),
    ):
        torch.testing.assert_close(prepare(maps, Recipe(**asked)).P, expected.P, rtol=1e-4, atol=1e-7)
    assert set(maps.maps) == {(10, 16), (5, 8)}  # what was captured may be prepared again
    for (h, w), matrix in maps.maps.items():
        torch.testing.assert_close(matrix.sum(1), torch.ones(h * w))


def test_the_jump_chain_is_a_setting_of_its_own(recorded: Callable[..., WalkRecord]) -> None:
    """An inflation of 1, or of a little more, once changed that as well."""
    walks = [recorded("walkcut", inflation=exponent).walk.P for exponent in (1.0, 1.0001)]
    torch.testing.assert_close(*walks, rtol=1e-2, atol=1e-5)
    assert walks[0].diagonal().abs().max() == 0


def test_the_other_graphs(recorded: Callable[..., WalkRecord], embedded: Backbone, hills: np.ndarray) -> None:
    for graph in GRAPHS:
        if graph == "features":
            continue
        record = recorded("walkcut", graph=graph)
        assert len(record.graph()) == len(record.walk)
    assert isinstance(recorded("walkcut", graph="renormalised").graph(), RenormalisedSubwalk)


def test_how_many_walkers_agree_is_the_presets_or_the_models(
    recorded: Callable[..., WalkRecord], embedded: Backbone, maps: AttentionMaps
) -> None:
    agreeing = replace(embedded.eye, readout=embedded.eye.readout | {"inflation": 3.0})
    plain = aggregate(maps)
    for named, expected in (({}, 3.0), ({"inflation": 2.0}, 2.0)):
        walk = recorded(Preset("own", {"spatial_prior": None, **named}), agreeing).walk
        torch.testing.assert_close(walk.P, plain.jump_chain().inflated(expected).P, rtol=1e-4, atol=1e-7)
    torch.testing.assert_close(recorded("paper-v1", agreeing).walk.P, plain.power(2).P, rtol=1e-4, atol=1e-7)


def test_features_come_to_the_walks_grid(
    recorded: Callable[..., WalkRecord], embedded: Backbone, hills: np.ndarray
) -> None:
    recipe = resolve("walkcut", embedded.eye, {"grid": 16, "graph": "features"})
    ((found,),) = capture(embedded, [hills], recipe, LayerFeatures())
    record = recorded("walkcut", graph="features", features=found)
    graph = record.graph()
    assert isinstance(graph, Graph)
    assert len(graph) == len(record.walk) == 4 * len(found.values)
    assert partition(graph, record.walk.grid).ncut[0] < 1
    with pytest.raises(InputError, match="needs features"):
        recorded("walkcut", graph="features").graph()


def test_the_recursion_runs_on_every_sub_walk(recorded: Callable[..., WalkRecord]) -> None:
    """Both make the first cut alike; what is inside a region is measured alike, so trees can be compared."""
    records = [recorded("walkcut", graph=graph) for graph in ("reversible", "renormalised")]
    trees = [partition(record.graph(), record.walk.grid) for record in records]
    np.testing.assert_array_equal(*(tree.labels(k=2) for tree in trees))
    np.testing.assert_allclose(*(tree.association[1:3] for tree in trees), rtol=1e-4)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"graph": "cosine"}, "no graph 'cosine': choose from reversible, average"),
        ({"steps": 0}, "whole number from 1 .*, not 0"),
        ({"spatial_prior": -1.0}, r"positive, finite number, not -1\.0"),
        ({"spatial_prior": "near"}, "positive, finite number, not 'near'"),
        ({"inflation": 0}, "positive, finite number, not 0"),
    ],
)
def test_settings_of_a_preset_that_make_no_sense_are_refused(asked: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        resolve(replace(PRESETS["walkcut"], settings=asked), EYE)


def test_an_unknown_preset_is_refused() -> None:
    with pytest.raises(InputError, match="no preset 'paper': choose from walkcut, paper-v1, paper-v2"):
        find_preset("paper")
    with pytest.raises(InputError, match="no preset 'paper'"):
        resolve("paper", EYE)

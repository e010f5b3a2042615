"""Looks that are shared, ablations, and the oracle ladder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from walkcut.backbone import Backbone
from walkcut.bench import ablate, ladder
from walkcut.bench.config import ABLATIONS, RunConfig
from walkcut.bench.datasets import Item, held_out_scenes
from walkcut.bench.look import Looker
from walkcut.bench.metrics import contingency, covering
from walkcut.bench.tasks import roster
from walkcut.capture import attend, capture
from walkcut.eyes.loading import load_backbone
from walkcut.lab.recorders import LayerFeatures
from walkcut.lab.subwalk import renormalised
from walkcut.scenes import make_scene
from walkcut.tree import partition
from walkcut.walk import Walk, aggregate

TRUTH = np.kron(np.array([[0, 0, 1], [2, 2, 1]]), np.ones((12, 12), int))  # 24 x 36 pixels


@pytest.fixture
def picture() -> np.ndarray:
    colours = np.array([[200, 40, 40], [40, 160, 60], [60, 60, 210]], np.uint8)
    return colours[TRUTH]


@pytest.fixture
def looker(tiny: Backbone) -> Looker:
    return Looker(tiny, grid=16)


def test_a_look_is_taken_once_and_is_what_attend_and_features_give(tiny: Backbone, picture: np.ndarray) -> None:
    passes = []
    handle = tiny.denoiser.register_forward_pre_hook(lambda module, inputs: passes.append(1))
    looker = Looker(tiny, grid=16, timesteps=(100,), seed=3)
    look = looker(picture)
    assert look.taken() == look.taken() > 0
    assert looker(picture.copy()).attention is look.attention
    assert looker.under("paper-v1")(picture).attention is look.attention
    handle.remove()
    assert len(passes) == 1
    attention = attend(tiny, picture, grid=16, timesteps=(100,), seed=3)
    assert all(torch.equal(look.attention.maps[grid], A) for grid, A in attention.maps.items())
    ((features,),) = capture(tiny, [picture], looker.recipe, LayerFeatures())
    assert torch.equal(look.features.values, features.values)
    papers = [looker.under(name)(picture).walk for name in ("paper-v1", "paper-v2")]
    torch.testing.assert_close(papers[0].P, aggregate(attention).power(2).P)
    assert papers[0] is papers[1]  # one prior, one number of steps
    before = look.attention
    assert looker(255 - picture).attention is not before
    assert look.attention is before  # an older look stays what it is


def test_each_setting_of_a_look_is_recorded(tiny: Backbone) -> None:
    usual = Looker(tiny, grid=16).config
    changes = {"grid": 32, "seed": 1, "noise": "none", "timesteps": [5], "steps": 2, "pixels": "random-walker"}
    for name, value in changes.items():
        changed = {name: value}
        config = Looker(tiny, **{"grid": 16} | changed).config
        assert config["recipe"].items() >= changed.items()
        assert config != usual
    assert {"model", "weights", "dtype"} <= usual["recipe"].keys()
    assert "/" not in usual["recipe"]["model"]


def test_a_preset_brings_its_own_noise(stable_model: Path, tiny: Backbone) -> None:
    """Without a protocol the paper's presets once ran under forward noise on Stable Diffusion."""
    stable = Looker(load_backbone(str(stable_model), "cpu"), grid=8)
    assert stable.recipe.noise == "forward"
    assert stable.under("paper-v1").recipe.noise == "inversion"
    assert Looker(stable.backbone, noise="none").under("paper-v1").recipe.noise == "none"
    assert Looker(tiny).under("paper-v1").recipe.noise == "forward"  # an inversion would cost it minutes
    methods = roster(RunConfig(methods=("walkcut", "paper-v1", "diffseg")), held_out_scenes("seeds"), stable)
    noises = {method.name: method.conditions["recipe"]["noise"] for method in methods}
    assert noises == dict.fromkeys(("walkcut", "walkcut, parts", "DiffSeg"), "forward") | dict.fromkeys(
        ("paper-v1", "paper-v1, parts"), "inversion"
    )


@pytest.mark.parametrize("what", ABLATIONS)
def test_every_change_gives_a_segmentation_of_the_whole_picture(looker: Looker, picture: np.ndarray, what: str) -> None:
    item = Item("picture", picture, {"materials": (TRUTH,)})
    methods = ablate.ablation(what, looker, thresholds=(0.5, 0.9))
    assert methods[0].name == ablate.USUAL
    assert len({method.name for method in methods}) == len(methods) > 2
    usual = [result.labels for result in methods[0].run(item)]
    changed = 0
    for method in methods:
        results = list(method.run(item))
        assert tuple(result.setting for result in results) == method.settings
        assert all(result.labels.shape == TRUTH.shape for result in results)
        changed += any(not np.array_equal(a.labels, b) for a, b in zip(results, usual, strict=True))
    assert changed  # a change that changes nothing anywhere would be none


def test_the_usual_of_an_ablation_is_the_method_itself(tiny: Backbone, looker: Looker, picture: np.ndarray) -> None:
    from walkcut.door import segment

    (first, *_) = ablate.ablation("steps", looker)[0].run(Item("picture", picture, {}))
    assert np.array_equal(first.labels, segment(picture, tiny, grid=16).labels)


def test_patches_take_the_region_that_holds_most_of_them() -> None:
    truth = np.zeros((6, 8), int)
    truth[:, 3:] = 5
    assert ladder.patch_truth(truth, (3, 2)).tolist() == [0, 1] * 3
    assert ladder.patch_truth(truth, (1, 1)).tolist() == [1]


def test_the_true_walk_stays_in_its_region_but_for_the_leak() -> None:
    walk = ladder.true_walk(TRUTH, (2, 3))
    P = walk.P.double()
    torch.testing.assert_close(P.sum(1), torch.ones(6).double(), atol=1e-6, rtol=0)
    assert P[0, :2].tolist() == pytest.approx([0.49 + 0.02 / 6] * 2)
    assert P[0, 2:].tolist() == pytest.approx([0.02 / 6] * 4)


def test_true_pixels_mend_borders_by_one_patch_and_no_more() -> None:
    truth = np.zeros((8, 12), int)
    truth[:, 5:] = 1  # the border lies inside the second patch of three
    patches = np.array([[0, 1, 1], [0, 1, 1]])
    assert covering(contingency(truth, ladder.true_pixels(truth, patches))) == 1
    far = np.zeros((8, 16), int)
    far[:, :1] = 1
    far[:, 15:] = 1  # in one patch of four, where no neighbour holds its segment
    mended = ladder.true_pixels(far, np.array([[0, 1, 1, 1]] * 2))
    assert covering(contingency(far, mended)) < 1


def test_each_rung_is_at_least_as_high_as_what_it_is_told_less_of(looker: Looker, picture: np.ndarray) -> None:
    item = Item("picture", picture, {"materials": (TRUTH,)})
    found = {}
    for method in ladder.ladder(looker):
        ((setting, labels, kinds, _),) = method.run(item)
        assert (setting, kinds) == (ladder.SETTING, ("materials",))
        found[method.name] = covering(contingency(TRUTH, labels))
    assert found["true threshold"] >= found["as it is"]
    assert found["true threshold and pixels"] >= found["true pixels"]
    assert found["true affinity, threshold and pixels"] == max(found.values()) > 0.99


def test_a_picture_gains_by_what_its_ladder_is_told() -> None:
    scene = make_scene([1, 2, 3], 64)
    look = Looker(load_backbone("dead-leaves", "cpu"), grid=16)(scene.image)
    found = {name: ladder.climb(look, scene.materials, told) for name, told in ladder.RUNGS.items()}
    values = {name: covering(contingency(scene.materials, labels)) for name, labels in found.items()}
    assert values["true threshold"] >= values["as it is"]
    assert values["true affinity"] > values["as it is"]
    assert np.array_equal(found["as it is"], look.segment().labels)
    for labels in found.values():
        assert labels.shape == scene.materials.shape
        assert np.issubdtype(labels.dtype, np.integer)


def test_the_typical_human_is_the_one_that_covers_the_others() -> None:
    halves, thirds = np.repeat([[0, 1]], 6, 0).repeat(3, 1), np.repeat([[0, 1, 2]], 6, 0).repeat(2, 1)
    assert ladder.typical((thirds, halves, halves)) is halves


def quarters(wind: float) -> Walk:
    """Four quarters of a grid, the left two and the right two closer; `wind` weighs steps one way round them."""
    row, column = np.divmod(np.arange(16), 4)
    group = np.array([[0, 1], [3, 2]])[row // 2, column // 2]  # clockwise
    ties = np.array([[1, 0.02, 0, 0.3], [0.02, 1, 0.3, 0], [0, 0.3, 1, 0.02], [0.3, 0, 0.02, 1]])
    P = (ties + wind * np.roll(np.eye(4), 1, axis=1))[np.ix_(group, group)]
    return Walk(torch.from_numpy(P / P.sum(1, keepdims=True)), (4, 4))


@pytest.mark.parametrize(("wind", "alike"), [(0.0, True), (0.1, False)])
def test_both_sub_walks_agree_on_a_reversible_walk_and_not_on_another(wind: float, alike: bool) -> None:
    walk = quarters(wind)
    trees = [partition(graph, walk.grid) for graph in (walk.reversible(), renormalised(walk))]
    assert trees[0].ncut[0] == pytest.approx(trees[1].ncut[0])  # the whole picture is one graph
    inner = [np.sort(tree.ncut)[1:3] for tree in trees]  # two halves, each cut once more
    assert np.allclose(*inner, atol=1e-6) == alike

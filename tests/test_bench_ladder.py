"""Looks that are shared, ablations, and the oracle ladder."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from walkcut.attention import attend, features
from walkcut.backbone import Backbone
from walkcut.bench import ablate, ladder
from walkcut.bench.datasets import Item
from walkcut.bench.look import Looker
from walkcut.bench.metrics import contingency, covering
from walkcut.errors import InputError
from walkcut.presets import walk_for

TRUTH = np.kron(np.array([[0, 0, 1], [2, 2, 1]]), np.ones((12, 12), int))  # 24 x 36 pixels


@pytest.fixture
def picture() -> np.ndarray:
    colours = np.array([[200, 40, 40], [40, 160, 60], [60, 60, 210]], np.uint8)
    return colours[TRUTH]


@pytest.fixture
def looker(tiny: Backbone) -> Looker:
    return Looker(tiny, 16)


def test_a_look_is_taken_once_and_is_what_attend_and_features_give(tiny: Backbone, picture: np.ndarray) -> None:
    passes = []
    handle = tiny.denoiser.register_forward_pre_hook(lambda module, inputs: passes.append(1))
    looker = Looker(tiny, 16, (100,), seed=3)
    look = looker(picture)
    assert look.taken() == look.taken() > 0
    assert looker(picture.copy()) is look
    assert looker(255 - picture) is not look
    handle.remove()
    assert len(passes) == 1
    attention = attend(tiny, picture, 16, (100,), 3)
    assert all(torch.equal(look.attention.maps[grid], A) for grid, A in attention.maps.items())
    assert torch.equal(look.features.values, features(tiny, picture, 16, (100,), 3).values)
    assert torch.equal(look.walk("paper-v1").P, walk_for("paper-v1", tiny, attention).P)
    assert look.walk("paper-v1") is look.walk("paper-v2")  # one prior, one number of steps
    assert looker.config["seed"] == 3


@pytest.mark.parametrize("what", ablate.ABLATIONS)
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
    from walkcut.segmentation import segment

    (first, *_) = ablate.ablation("steps", looker)[0].run(Item("picture", picture, {}))
    assert np.array_equal(first.labels, segment(picture, tiny, grid=16).labels)


def test_there_is_no_ablation_of_the_weather(looker: Looker) -> None:
    with pytest.raises(InputError, match="weather"):
        ablate.ablation("weather", looker)


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


def test_the_typical_human_is_the_one_that_covers_the_others() -> None:
    halves, thirds = np.repeat([[0, 1]], 6, 0).repeat(3, 1), np.repeat([[0, 1, 2]], 6, 0).repeat(2, 1)
    assert ladder.typical((thirds, halves, halves)) is halves

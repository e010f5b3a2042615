"""What chapters 7 and 9 measure: ways to pixels at borders, names against chance."""

import numpy as np
import pytest
import torch

from walkcut.door import segment
from walkcut.eyes.loading import load_backbone
from walkcut.lab.words import WordMaps
from walkcut.scenes import make_scene
from walkcut_book import borders, labels, naming

SCENE = make_scene([3, 5])


def test_told_the_truth_every_way_errs_at_borders_only() -> None:
    found = segment(SCENE.image, load_backbone(), grid=32, keep_walk=True)
    means = borders.judged([SCENE], [found])
    assert set(means) == set(borders.ways_to_pixels(found.patch_labels, found.walk, SCENE.image))
    for wrong, cover in means.values():
        assert 0 < wrong < 0.6
        assert 0 < cover <= 1


def test_true_shares_are_memberships() -> None:
    shares = borders.true_shares(SCENE)
    assert shares.shape[1:] == SCENE.materials.shape
    torch.testing.assert_close(shares.sum(0), torch.ones(SCENE.materials.shape))
    assert (shares.argmax(0).numpy() == SCENE.materials).mean() > 0.8


def test_hard_pictures_have_two_regions() -> None:
    for picture, truth in borders.hard_pictures().values():
        assert picture.shape == (*truth.shape, 3)
        assert np.unique(truth).tolist() == [0, 1]


def test_names_and_panels_of_words() -> None:
    labels = np.array([[0, 1]])
    maps = WordMaps(torch.tensor([[0.6, 0.1], [0.2, 0.1]]), (1, 2), ("red", "blue"))
    assert naming.leading(labels, maps)[0].startswith("red 1.50, blue 1.00")
    panels = naming.word_panels("it", np.zeros((2, 4, 3)), maps, ["red"])
    assert list(panels) == ["it", "it: red"]
    assert panels["it: red"] == pytest.approx(np.array([[0.4, 0]]))


def test_chance_is_the_share_of_true_words() -> None:
    rows = naming.right_and_by_chance(load_backbone("dead-leaves"), SCENE, grid=16)
    words = naming.scene_words(SCENE)
    assert words == sorted(set(words))
    assert set(rows[:, 0]) <= {0.0, 1.0}
    assert set(np.round(rows[:, 1] * len(words), 9)) <= {float(len(one)) for one in SCENE.words}


def test_label_maps_are_few_classes_in_many_clusters() -> None:
    truth, clusters = labels.label_maps(np.random.default_rng(0), 20, classes=5, side=16)
    assert truth.shape == clusters.shape == (16, 16)
    assert 2 <= len(np.unique(truth)) <= 4
    assert truth.max() < 5
    assert clusters.max() < 20
    assert all(len(np.unique(truth[clusters == c])) == 1 for c in np.unique(clusters))

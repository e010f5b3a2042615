"""What chapters 7 and 8 are made of: ways to pixels at borders, panels of words, label maps."""

import numpy as np
import pytest
import torch
from scipy.ndimage import binary_dilation
from skimage.segmentation import find_boundaries

from walkcut.bench.metrics import contingency, covering
from walkcut.door import segment
from walkcut.eyes.loading import load_backbone
from walkcut.lab.words import WordMaps
from walkcut.pixels import soft_membership
from walkcut.refine import refined_labels
from walkcut.registry import PIXELS
from walkcut.scenes import make_scene
from walkcut_book import borders, labels, naming

SCENE = make_scene([3, 5])


@pytest.mark.parametrize("stay", [1, 0.5])
@pytest.mark.parametrize("how", PIXELS)
def test_told_the_truth_every_way_errs_at_borders_only(stay: float, how: str) -> None:
    walk = segment(SCENE.image, load_backbone(), grid=32, keep_walk=True).walk
    truth, told = SCENE.materials, SCENE.materials[2::4, 2::4]
    labels = refined_labels(soft_membership(walk, told, stay), walk.grid, SCENE.image, how)
    near = binary_dilation(find_boundaries(truth), iterations=3)
    assert 0 < (labels != truth)[near].mean() < 0.6
    assert 0.5 < covering(contingency(truth, labels)) <= 1


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


def test_label_maps_are_few_classes_in_many_clusters() -> None:
    truth, clusters = labels.label_maps(np.random.default_rng(0), 20, classes=5, side=16)
    assert truth.shape == clusters.shape == (16, 16)
    assert 2 <= len(np.unique(truth)) <= 4
    assert truth.max() < 5
    assert clusters.max() < 20
    assert all(len(np.unique(truth[clusters == c])) == 1 for c in np.unique(clusters))

"""Methods that look at the picture only."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.graph import cut_normalized, rag_mean_color
from skimage.segmentation import slic

from walkcut.bench import baselines
from walkcut.bench.datasets import Item
from walkcut.bench.method import library, true_counts
from walkcut.bench.metrics import score
from walkcut.errors import InputError


def three_colours() -> tuple[np.ndarray, np.ndarray]:
    """A picture (60, 90, 3) with a little noise, and its three regions."""
    truth = np.kron([[0, 1, 1], [0, 2, 2]], np.ones((30, 30), int))
    colours = np.array([[200, 40, 40], [40, 40, 200], [230, 220, 60]])
    noise = np.random.default_rng(0).integers(-4, 5, (60, 90, 3))
    return (colours[truth] + noise).astype(np.uint8), truth


def test_the_count_of_regions_is_the_median_and_leaves_out_what_is_not_labelled() -> None:
    one, two, four = np.array([[-1, 3]]), np.array([[0, 1]]), np.array([[0, 1, 2, 3]])
    truths = {"human": (one, two, four), "classes": (one,), "none": (np.array([[-1]]),)}
    assert true_counts(Item("", None, truths)) == {"human": 2, "classes": 1, "none": 1}


def test_a_library_that_is_missing_is_named() -> None:
    assert list(library("k-means", "scikit-learn", "sklearn")) == ["scikit-learn"]
    with pytest.raises(InputError, match=r"k-means needs no-such-library, .* pip install 'walkcut\[bench\]'"):
        library("k-means", "no-such-library", "no_such_library")


def two_colours() -> Item:
    image = np.full((20, 30, 3), (200, 30, 30), np.uint8)
    image[:, 12:] = (30, 30, 200)
    strips = np.arange(600).reshape(20, 30) // 200
    return Item("two", image, {"instances": (strips,), "materials": ((image[..., 0] < 99) * 1,)})


def test_kmeans_finds_two_colours_and_uses_the_true_count_of_each_truth() -> None:
    results = list(baselines.kmeans_method().run(two_colours()))[-2:]
    assert [(r.setting, r.truths) for r in results] == [("true K", ("instances",)), ("true K", ("materials",))]
    assert score([two_colours().truths["materials"][0]], results[1].labels)["covering"] == 1


def test_kmeans_with_position_separates_what_colour_cannot() -> None:
    grey = np.full((10, 40, 3), 90, np.uint8)
    item = Item("grey", grey, {"materials": (np.repeat([np.arange(40) // 20], 10, axis=0),)})
    plain, placed = (next(baselines.kmeans_method(position).run(item)) for position in (0.0, 20.0))
    assert plain.setting == placed.setting == "K=2"
    assert len(np.unique(plain.labels)) == 1  # one distinct colour: no second cluster to find, and no warning
    assert score(item.truths["materials"], placed.labels)["covering"] > 0.9


def test_kmeans_on_a_sample_of_pixels_is_seeded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(baselines, "FIT_PIXELS", 100)
    features = np.random.default_rng(0).uniform(size=(500, 3))
    first = baselines.kmeans_labels(features, 4, seed=3)
    assert first.shape == (500,)
    assert set(first) == {0, 1, 2, 3}
    assert np.array_equal(first, baselines.kmeans_labels(features, 4, seed=3))


def test_felzenszwalb_yields_each_scale_once_and_coarser_ones_have_fewer_segments() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (40, 40, 3)).astype(np.uint8)
    method = baselines.felzenszwalb_method(min_size=5)
    results = list(method.run(Item("noise", noise, {})))
    assert tuple(r.setting for r in results) == method.settings
    assert (results[0].setting, results[-1].setting) == ("scale=10", "scale=4000")
    assert results[0].labels.max() > results[-1].labels.max()


def test_kmeans_with_counts_and_the_oracle_yields_both() -> None:
    picture, truth = three_colours()
    method = baselines.kmeans_method()
    results = list(method.run(Item("three", picture, {"instances": (truth,)})))
    assert [r.setting for r in results] == list(method.settings) == [*method.curve, "true K"]
    assert method.curve[:2] == ("K=2", "K=4")
    assert score([truth], results[-1].labels)["covering"] == 1


def test_regions_are_tied_by_the_likeness_of_their_colours() -> None:
    picture = np.zeros((2, 3, 3), np.uint8)
    picture[:, 1, 0], picture[:, 2, 0] = 10, 30
    W = baselines.region_graph(picture, np.array([[0, 1, 2]] * 2)).W
    near, far = np.exp(-(10**2) / 255), np.exp(-(20**2) / 255)
    assert W.numpy() == pytest.approx(np.array([[1, near, 0], [near, 1, far], [0, far, 1]]))


def test_slic_and_ncut_find_three_colours_as_the_library_does(monkeypatch: pytest.MonkeyPatch) -> None:
    picture, truth = three_colours()
    monkeypatch.setattr(baselines, "SEGMENTS", 60)
    results = {result.setting: result for result in baselines.slic_ncut_method().run(Item("three", picture, {}))}
    result = results["threshold=0.001"]
    assert score([truth], result.labels)["covering"] > 0.97
    regions = slic(picture, n_segments=60, compactness=30, start_label=0)
    graph = rag_mean_color(picture, regions, mode="similarity")
    theirs = cut_normalized(regions, graph, thresh=1e-3, in_place=False, rng=0)
    assert score([theirs], result.labels)["covering"] == 1


def test_regions_of_like_colour_are_fused_until_none_are_left_to_fuse() -> None:
    colours = np.array([[[0.0], [1.0], [2.0], [9.0], [9.5]]])
    assert baselines.fused(colours, np.arange(5)[None], 1.5).tolist() == [[0, 0, 0, 1, 1]]
    # 0, 1 and 2 become one region of mean 1; 2.8 is then too far, though close to 2
    steps = np.array([[[0.0], [1.0], [2.0], [3.8]]])
    once = baselines.fused(steps, np.arange(4)[None], 1.5)
    assert once.tolist() == [[0, 0, 0, 1]]
    # means that move together are fused by a later pass
    wide = np.array([[[0.0], [1.4], [3.0], [3.0], [3.0], [4.0]]])
    assert baselines.fused(wide, np.array([[0, 0, 1, 1, 1, 2]]), 2.5).max() == 0


def test_mean_shift_finds_three_colours_and_no_specks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(baselines, "BANDWIDTHS", {"narrow": (0.05, 8.0), "wide": (0.05, 12.0)})
    picture, truth = three_colours()
    picture[10, 10] = 255  # a speck
    for result in baselines.mean_shift_method().run(Item("three", picture, {})):
        assert score([truth], result.labels)["covering"] == 1


def test_mean_shift_of_a_large_picture_comes_back_at_its_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(baselines, "BANDWIDTHS", {"narrow": (0.05, 8.0)})
    monkeypatch.setattr(baselines, "SIDE", 90)
    picture, truth = (np.kron(a, np.ones((3, 3, 1)[: a.ndim], a.dtype)) for a in three_colours())
    (result,) = baselines.mean_shift_method().run(Item("large", picture, {}))
    assert result.labels.shape == truth.shape
    assert score([truth], result.labels)["covering"] > 0.98

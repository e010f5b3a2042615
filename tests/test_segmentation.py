"""The whole method in one call, on a model whose random weights already tell colours apart."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from walkcut.backbone import Backbone
from walkcut.bench.metrics import contingency, covering
from walkcut.capture import attend, capture
from walkcut.criteria import prune
from walkcut.door import segment
from walkcut.errors import InputError
from walkcut.eyes.loading import load_backbone
from walkcut.lab.graphs import from_features
from walkcut.lab.recorders import LayerFeatures
from walkcut.null import SplitPrices
from walkcut.recipe import PRESETS, resolve
from walkcut.registry import CRITERIA, GRAPHS
from walkcut.samples import sample
from walkcut.segmentation import Segmentation, WalkRecord, cut, extract_walks
from walkcut.tree import partition
from walkcut.walk import aggregate

GRID = 16  # with `two_halves`, 24 x 32 pixels: 12 x 16 patches
HALVES = 0.3  # the halves come apart below, anything else above


@pytest.fixture(scope="module")
def found(tiny: Backbone, two_halves: np.ndarray) -> Segmentation:
    return segment(two_halves, tiny, grid=GRID, keep_walk=True)


@pytest.fixture
def threads() -> Iterator[None]:
    """The number of threads is as before when the test ends."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_two_colours_are_two_segments(tiny: Backbone, two_halves: np.ndarray) -> None:
    labels = segment(two_halves, tiny, grid=GRID, threshold=HALVES).labels
    left, right = labels[0, 0], labels[0, -1]
    assert {left, right} == {0, 1}
    expected = np.where(np.arange(32) < 16, left, right)
    assert (labels == expected).mean() > 0.95


def test_types_and_shapes(found: Segmentation, two_halves: np.ndarray) -> None:
    assert (found.labels.shape, found.labels.dtype) == ((24, 32), np.int32)
    assert (found.patch_labels.shape, found.patch_labels.dtype) == ((12, 16), np.int32)
    assert found.walk.grid == found.tree.grid == (12, 16)
    np.testing.assert_array_equal(found.image, two_halves)
    assert set(found.timings) == {"model", "attention", "walk", "cut", "pixels"}
    assert min(found.timings.values()) >= 0


@pytest.mark.parametrize("threshold", ["auto", *CRITERIA, 0.1, 0.5, 0.9, 2])
def test_labels_have_no_gaps(found: Segmentation, threshold: float | str) -> None:
    at = found.at(threshold)
    np.testing.assert_array_equal(np.unique(at.labels), np.arange(at.count))
    pruning = prune(found.tree, threshold, found.graph, found.prices)
    np.testing.assert_array_equal(at.patch_labels, found.tree.labels(leaves=pruning.leaves))
    assert (at.criterion, at.threshold) == (pruning.criterion, pruning.threshold)
    if at.threshold is not None:
        np.testing.assert_array_equal(at.patch_labels, found.tree.labels(at.threshold))


def test_the_same_seed_gives_the_same_labels(tiny: Backbone, two_halves: np.ndarray, found: Segmentation) -> None:
    again = segment(two_halves, tiny, grid=GRID, keep_walk=True)
    np.testing.assert_array_equal(again.labels, found.labels)
    assert again.threshold == found.threshold
    assert torch.equal(again.walk.P, found.walk.P)
    other = segment(two_halves, tiny, grid=GRID, seed=1, keep_walk=True)
    assert not torch.equal(other.walk.P, found.walk.P)


@pytest.mark.parametrize("threshold", [0.1, HALVES, 0.7, 1.5, "auto", "map-equation"])
def test_another_threshold_is_a_pruning_of_the_same_tree(
    tiny: Backbone, two_halves: np.ndarray, found: Segmentation, threshold: float | str
) -> None:
    pruned = found.at(threshold)
    assert pruned.tree is found.tree
    anew = segment(two_halves, tiny, grid=GRID, threshold=threshold)
    np.testing.assert_array_equal(pruned.labels, anew.labels)
    np.testing.assert_array_equal(pruned.patch_labels, anew.patch_labels)
    assert pruned.threshold == anew.threshold
    assert pruned.recipe == anew.recipe


def test_at_leaves_the_first_answer_alone(found: Segmentation) -> None:
    before, threshold = found.labels.copy(), found.threshold
    found.at(1.0)
    np.testing.assert_array_equal(found.labels, before)
    assert found.threshold == threshold


@pytest.mark.parametrize(
    ("shape", "grid"), [((24, 32), (12, 16)), ((32, 24), (16, 12)), ((9, 50), (2, 16)), ((33, 33), (16, 16))]
)
def test_any_aspect_keeps_its_own_grid(tiny: Backbone, shape: tuple[int, int], grid: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    result = segment(image, tiny, grid=GRID)
    assert result.labels.shape == shape
    assert result.patch_labels.shape == grid


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (2, 2)])
def test_tiny_pictures(tiny: Backbone, shape: tuple[int, int]) -> None:
    result = segment(np.full((*shape, 3), 90, np.uint8), tiny, grid=GRID)
    assert result.labels.shape == shape


def test_grey_and_float_pictures_are_taken(tiny: Backbone) -> None:
    grey = np.where(np.arange(32) < 16, 40, 220).astype(np.uint8) * np.ones((24, 1), np.uint8)
    as_bytes = segment(grey, tiny, grid=GRID, threshold=HALVES)
    as_floats = segment(grey / 255, tiny, grid=GRID, threshold=HALVES)
    np.testing.assert_array_equal(as_bytes.labels, as_floats.labels)
    assert as_bytes.image.shape == (24, 32, 3)


def test_the_walk_is_the_aggregated_attention(tiny: Backbone, two_halves: np.ndarray, found: Segmentation) -> None:
    walk = aggregate(attend(tiny, two_halves, grid=GRID))
    kept = {"grid": GRID, "keep_walk": True}
    torch.testing.assert_close(found.walk.P, walk.P)
    twice = segment(two_halves, tiny, steps=2, **kept)
    torch.testing.assert_close(twice.walk.P, walk.P @ walk.P)
    near = segment(two_halves, tiny, spatial_prior=0.2, **kept)
    torch.testing.assert_close(near.walk.P, walk.spatial_prior(0.2).P)


def test_an_eyes_own_prior_may_be_switched_off(tiny: Backbone, two_halves: np.ndarray, found: Segmentation) -> None:
    local = replace(tiny, eye=replace(tiny.eye, readout={"spatial_prior": 0.2}))
    kept = {"grid": GRID, "keep_walk": True}
    torch.testing.assert_close(segment(two_halves, local, **kept).walk.P, found.walk.spatial_prior(0.2).P)
    torch.testing.assert_close(segment(two_halves, local, spatial_prior=None, **kept).walk.P, found.walk.P)


def test_the_walk_is_kept_only_where_it_is_asked_for(tiny: Backbone, two_halves: np.ndarray) -> None:
    """What `at` needs is a small table: the probability to end in each leaf of the tree, not P."""
    slim = segment(two_halves, tiny, grid=GRID)
    assert slim.walk is None
    assert slim.graph is None
    assert slim.membership.shape == (12 * 16, int((slim.tree.left < 0).sum()))
    with pytest.raises(InputError, match="keep_walk"):
        slim.at("eigengap")
    assert segment(two_halves, tiny, grid=GRID, threshold="eigengap").criterion == "eigengap"


@pytest.mark.situation("buffers")
def test_the_answer_is_the_callers_to_keep(tiny: Backbone, two_halves: np.ndarray) -> None:
    """A video loop refills one buffer: the result of the frame before stays what it was."""
    frame = two_halves.copy()
    found = segment(frame, tiny, grid=GRID, pixels="pamr")
    before = found.at(0.5).labels
    frame[:] = 255 - frame[:, ::-1]
    np.testing.assert_array_equal(found.at(0.5).labels, before)


@pytest.mark.situation("values")
def test_results_can_be_compared_hashed_and_shown(found: Segmentation) -> None:
    assert found == found
    assert found != replace(found, threshold=0.5)
    assert len({found, found}) == 1
    assert len(repr(found)) < 1000
    assert found.walk == found.walk
    assert hash(found.walk) == hash(found.walk)


@pytest.mark.parametrize("graph", GRAPHS)
def test_a_record_travels_to_another_process(tiny: Backbone, two_halves: np.ndarray, graph: str) -> None:
    """One picklable record: what is cut there is what is cut here."""
    recipe = resolve("walkcut", tiny.eye, {"grid": GRID, "graph": graph, "threshold": HALVES})
    (record,) = extract_walks([two_halves], tiny, recipe)
    there = pickle.loads(pickle.dumps(record))
    assert isinstance(there, WalkRecord)
    np.testing.assert_array_equal(cut(there).labels, cut(record).labels)


@pytest.mark.situation("threads")
def test_callers_in_several_threads_get_what_one_gets(tiny: Backbone) -> None:
    """One loaded model, pictures of two sizes, two grids: as one after another, and nothing is left changed."""
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in 3 * [(24, 32), (32, 24)]]
    jobs = [(picture, grid) for picture in pictures for grid in (8, GRID)]
    threads = torch.get_num_threads()
    expected = [segment(picture, tiny, grid=grid, threshold=0.9).labels for picture, grid in jobs]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda job: segment(job[0], tiny, grid=job[1], threshold=0.9).labels, jobs))
        inside = set(pool.map(lambda _: torch.get_num_threads(), range(8)))
    for mine, theirs in zip(found, expected, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert torch.get_num_threads() == threads
    assert inside == {threads}


def test_a_model_by_path(tiny_model: Path, two_halves: np.ndarray, found: Segmentation) -> None:
    np.testing.assert_array_equal(segment(two_halves, str(tiny_model), grid=GRID, device="cpu").labels, found.labels)


def test_a_stable_diffusion_segments(stable_model: Path, two_halves: np.ndarray) -> None:
    result = segment(two_halves, load_backbone(str(stable_model), "cpu"), grid=8)
    assert result.labels.shape == (24, 32)
    assert result.patch_labels.shape == (6, 8)


@pytest.mark.usefixtures("threads")
def test_the_number_of_threads_does_not_matter(tiny: Backbone) -> None:
    rng = np.random.default_rng(1)
    coarse = rng.integers(0, 256, (4, 5, 3), dtype=np.uint8)
    image = np.kron(coarse, np.ones((12, 12, 1), np.uint8)) // 2 + rng.integers(0, 100, (48, 60, 3), dtype=np.uint8)
    labels = []
    for count in (1, 2):
        torch.set_num_threads(count)
        labels.append(segment(image, tiny, grid=GRID, threshold=0.8).labels)
    assert labels[0].max() > 0
    assert (labels[0] != labels[1]).mean() <= 0.001


# ---------------------------------------------------------------------------------------------------------------------
# The embedded model


@pytest.fixture(scope="module")
def embedded() -> Backbone:
    return load_backbone("dead-leaves", "cpu")


@pytest.mark.parametrize("colour", [(0, 0, 0), (128, 128, 128), (30, 90, 200), (255, 255, 255)])
@pytest.mark.parametrize("shape", [(64, 64), (48, 72)])
def test_a_constant_picture_is_one_segment(
    embedded: Backbone, colour: tuple[int, int, int], shape: tuple[int, int]
) -> None:
    image = np.broadcast_to(np.array(colour, np.uint8), (*shape, 3))
    found = segment(image, embedded, grid=32, keep_walk=True)
    assert found.count == 1
    assert {name: found.at(name).count for name in CRITERIA} == dict.fromkeys(CRITERIA, 1)


@pytest.mark.parametrize("seed", range(3))
def test_white_noise_is_one_segment(embedded: Backbone, seed: int) -> None:
    noise = np.random.default_rng(seed).integers(0, 256, (128, 128, 3), dtype=np.uint8)
    assert segment(noise, embedded).count == 1


@pytest.mark.parametrize(
    "change",
    [
        {"inflation": 1.0},
        {"jump_chain": False},
        {"spatial_prior": None},
        {"steps": 2},
        {"timesteps": (300,)},
        {"noise": "none"},
        {"graph": "average"},
    ],
)
def test_white_noise_is_one_segment_whatever_is_cut(embedded: Backbone, change: dict) -> None:
    """Nothing of the rule was measured under some settings: it gave three or four with an inflation of 1."""
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    found = segment(noise, embedded, grid=32, **change)
    assert (found.count, found.criterion) == (1, "spatial-null")


@pytest.mark.parametrize(
    "change",
    [{"inflation": 1.0}, {"jump_chain": False}, {"spatial_prior": None}, {"steps": 2}, {"graph": "average"}],
)
def test_splits_are_priced_by_attentions_own_walk(embedded: Backbone, two_halves: np.ndarray, change: dict) -> None:
    """Whatever walk or graph was cut."""
    settings = {"grid": 12, "threshold": 0.5} | change
    own = aggregate(attend(embedded, two_halves, grid=12))
    for found in (segment(two_halves, embedded, **settings), segment(two_halves, embedded, grid=12)):
        prices = SplitPrices.of(found.tree, own)
        np.testing.assert_allclose(found.prices.walk, prices.walk, rtol=1e-5)
        np.testing.assert_allclose(found.prices.null, prices.null, rtol=1e-5)
        assert found.at("auto").prices is found.prices


def test_of_a_plain_recipe_the_walk_that_is_cut_prices_its_own_splits(embedded: Backbone) -> None:
    plain = {"jump_chain": False, "inflation": 1.0, "spatial_prior": None}
    found = segment(sample("hills"), embedded, grid=16, keep_walk=True, **plain)
    assert found.recipe.plain
    assert len(found.tree) > 5
    split = found.tree.left >= 0
    np.testing.assert_allclose(found.prices.walk[split], found.tree.ncut[split], atol=1e-6)
    assert np.isposinf(found.prices.walk[~split]).all()
    for change in (*({name: value} for name, value in plain.items()), {"steps": 2}):
        other = replace(found.recipe, **({"jump_chain": True, "inflation": 2.0, "spatial_prior": 0.3} | change))
        assert not other.plain
        record = WalkRecord.prepared(found.image, attend(embedded, found.image, grid=16), other)
        assert record.own is not record.walk
        torch.testing.assert_close(record.own.P, found.walk.P)


def test_the_embedded_model_tells_two_halves_apart(embedded: Backbone) -> None:
    image = np.zeros((48, 64, 3), np.uint8)
    image[:, :32], image[:, 32:] = (40, 60, 150), (220, 170, 60)
    labels = segment(image, embedded, grid=32).labels
    assert len(np.intersect1d(labels[:, :28], labels[:, 36:])) == 0  # no segment lies on both sides


@pytest.mark.parametrize("how", ["pamr", "random-walker"])
def test_refined_borders_lie_closer_to_the_edge(embedded: Backbone, how: str) -> None:
    image = np.zeros((96, 128, 3), np.uint8)
    image[:, :51], image[:, 51:] = (40, 60, 150), (220, 170, 60)  # no border of patches is at 51 of 128
    truth = (np.arange(128) >= 51) * np.ones((96, 1), int)
    rough = segment(image, embedded, grid=16, threshold=0.5, pixels="bilinear")
    fine = segment(image, embedded, grid=16, threshold=0.5, pixels=how)
    assert np.array_equal(rough.patch_labels, fine.patch_labels)
    ours = [covering(contingency(truth, found.labels)) for found in (rough, fine)]
    assert ours[0] < ours[1]
    assert fine.at(0.9).recipe.pixels == how


# ---------------------------------------------------------------------------------------------------------------------
# Bad input


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"pixels": "magic"}, "no pixels 'magic': choose from bilinear"),
        ({"colour": 1}, "no setting 'colour': choose from model"),
        ({"threshold": 0}, "'auto' or a number above 0 and at most 2, not 0"),
        ({"threshold": 2.5}, "not 2.5"),
        ({"threshold": "high"}, "not 'high'"),
        ({"threshold": float("nan")}, "not nan"),
        ({"steps": 0}, "whole number from 1 .*, not 0"),
        ({"steps": -1}, "whole number from 1 .*, not -1"),
        ({"steps": 1.5}, "whole number from 1 .*, not 1.5"),
        ({"grid": 1}, "from 2 to 128, not 1"),
        ({"timesteps": (1000,)}, "from 0 to 999"),
        ({"threshold": None}, "not None"),
        ({"spatial_prior": -0.5}, "positive, finite number, not -0.5"),
        ({"model": "no-such-model"}, "no model 'no-such-model'"),
        ({"model": "dead-leaves", "device": "gpu"}, "device 'gpu' is not available"),
    ],
)
def test_bad_arguments_are_refused(tiny: Backbone, two_halves: np.ndarray, arguments: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        segment(two_halves, **({"model": tiny, "grid": GRID} | arguments))


@pytest.mark.parametrize("threshold", [0, -1, 2.01, "none"])
def test_at_refuses_what_segment_refuses(found: Segmentation, threshold: float | str) -> None:
    with pytest.raises(InputError, match="'auto' or a number above 0 and at most 2"):
        found.at(threshold)


@pytest.mark.gpu
def test_a_gpu_segments_alike(tiny_model: Path, two_halves: np.ndarray) -> None:
    here, there = (segment(two_halves, str(tiny_model), grid=GRID, threshold=HALVES, device=d) for d in ("cpu", "cuda"))
    assert (here.labels == there.labels).mean() > 0.99


@pytest.mark.parametrize("preset", ["paper-v1", "paper-v2"])
def test_a_preset_chooses_graph_steps_and_criterion(tiny: Backbone, preset: str, two_halves: np.ndarray) -> None:
    found = segment(two_halves, tiny, preset=preset, grid=GRID, keep_walk=True)
    settings = PRESETS[preset].settings
    assert found.criterion == settings["threshold"] == "gap"
    assert found.labels.shape == two_halves.shape[:2]
    walk = aggregate(attend(tiny, two_halves, grid=GRID)).power(settings["steps"])  # the paper has no prior
    torch.testing.assert_close(found.walk.P, walk.P)
    tree = partition(GRAPHS[settings["graph"]](walk), walk.grid)
    np.testing.assert_array_equal(found.tree.labels(k=2), tree.labels(k=2))


def test_what_is_given_replaces_a_presets_settings(tiny: Backbone, two_halves: np.ndarray) -> None:
    asked = {"threshold": 0.5, "steps": 1, "spatial_prior": 0.25, "grid": GRID}
    found = segment(two_halves, tiny, preset="paper-v1", keep_walk=True, **asked)
    assert (found.criterion, found.threshold) == ("constant", 0.5)
    walk = aggregate(attend(tiny, two_halves, grid=GRID)).spatial_prior(0.25)
    torch.testing.assert_close(found.walk.P, walk.P)


def test_features_as_a_graph(tiny: Backbone, two_halves: np.ndarray) -> None:
    found = segment(two_halves, tiny, graph="features", threshold="gap", grid=GRID)
    ((seen,),) = capture(tiny, [two_halves], found.recipe, LayerFeatures())
    tree = partition(from_features(seen.resized(found.tree.grid)), found.tree.grid)
    for k in (2, 3, 4):
        np.testing.assert_array_equal(found.tree.labels(k=k), tree.labels(k=k))


def test_an_unknown_preset(tiny: Backbone, two_halves: np.ndarray) -> None:
    with pytest.raises(InputError, match="no preset 'paper-v9': choose from walkcut, paper-v1, paper-v2"):
        segment(two_halves, tiny, preset="paper-v9")


def test_who_needs_no_gpu_never_wakes_one(two_halves: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that cuts would take some hundred megabytes of the GPU's memory, and wait for what others do there."""
    backbone = load_backbone("dead-leaves", "cpu")
    (seen,) = extract_walks([two_halves], backbone, resolve("walkcut", backbone.eye, {"grid": 16}))

    def woken(*_: object) -> None:
        raise AssertionError("a GPU was waited for")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "synchronize", woken)
    assert cut(seen).count == 2

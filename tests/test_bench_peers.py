"""Peers find what was planted, agree with a slow reference, and bear pictures in which there is nothing to find."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from bench_toys import toy
from scipy.linalg import eigh
from scipy.sparse.linalg import ArpackNoConvergence
from scipy.special import rel_entr
from sklearn.cluster import SpectralClustering

from walkcut.backbone import Backbone
from walkcut.bench import tasks
from walkcut.bench.config import RunConfig
from walkcut.bench.datasets import Item
from walkcut.bench.look import Looker
from walkcut.bench.method import Method
from walkcut.bench.metrics import score
from walkcut.bench.peers import autosc, clusters, common, diffcut, diffseg, maskcut
from walkcut.capture import AttentionMaps
from walkcut.errors import InputError
from walkcut.lab.recorders import Features
from walkcut.walk import Walk

GRID = (8, 12)
BLOCKS = np.kron([[0, 1, 1], [2, 2, 1]], np.ones((4, 4), int))  # (8, 12): three segments
TRUTH = np.kron(BLOCKS, np.ones((4, 4), int))  # (32, 48)
SHAPE = TRUTH.shape


class Planted:
    """A looker that sees the same attention and features in every picture."""

    def __init__(self, labels: np.ndarray = BLOCKS, leak: float = 0.02) -> None:
        """Patches look at their own block, and a share `leak` of the time anywhere; blocks lie at right angles."""
        self.config = {"planted": True}
        flat, grid = torch.from_numpy(labels.ravel()), labels.shape
        same = (flat[:, None] == flat).double()
        P = (1 - leak) * same / same.sum(1, keepdim=True) + leak / len(flat)
        noise = torch.randn(len(flat), 16, generator=torch.Generator().manual_seed(0))
        values = torch.nn.functional.one_hot(flat, 16).float() + 0.01 * noise
        self.look = SimpleNamespace(
            attention=AttentionMaps({grid: P.float()}), features=Features(values, grid), walk=Walk(P, grid)
        )

    def __call__(self, image: np.ndarray) -> SimpleNamespace:
        return self.look


def item(truth: np.ndarray = TRUTH) -> Item:
    return Item("planted", np.zeros((*truth.shape, 3), np.uint8), {"instances": (truth,)})


def found(method: Method, setting: str, item: Item) -> np.ndarray:
    (labels,) = {r.setting: r.labels for r in method.run(item) if r.setting == setting}.values()
    return labels


def covering(labels: np.ndarray, truth: np.ndarray) -> float:
    return score([truth], labels)["covering"]


def recovered(labels: np.ndarray, blocks: np.ndarray = BLOCKS) -> bool:
    """Whether pixels at the centres of patches are told apart as planted; up-sampling rounds corners off elsewhere."""
    side = labels.shape[0] // blocks.shape[0]
    return covering(labels[side // 2 :: side, side // 2 :: side], blocks) == 1


# ---------------------------------------------------------------------------------------------------------------------
# What is shared


def test_eigenvectors_by_lanczos_are_those_of_a_full_decomposition(monkeypatch: pytest.MonkeyPatch) -> None:
    points = torch.rand(60, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    W = torch.exp(-8 * torch.cdist(points, points) ** 2)
    degrees = W.sum(1).numpy()
    true, vectors = eigh(np.diag(degrees) - W.numpy(), np.diag(degrees))

    def check() -> None:
        values, basis = common.smallest_eigenvectors(W, 5)
        assert values == pytest.approx(true[:5], abs=1e-3)
        overlap = np.abs((basis * degrees[:, None]).T @ vectors[:, :5])
        assert overlap == pytest.approx(np.eye(5), abs=0.05)

    check()

    def fails(*_: object, **__: object) -> None:
        raise ArpackNoConvergence("no", np.zeros(0), np.zeros((0, 0)))

    monkeypatch.setattr(common, "eigsh", fails)
    check()


def test_clusters_by_pivoted_qr_are_the_blocks_of_an_indicator() -> None:
    labels = np.repeat([0, 1, 2, 3], [5, 9, 3, 7])
    turn, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(4, 4)))
    clusters = common.cluster_qr(np.eye(4)[labels] / np.sqrt(np.bincount(labels))[labels, None] @ turn)
    assert covering(clusters[None], labels[None]) == 1


def test_scikit_learns_spectral_clustering_is_what_it_is_called_after() -> None:
    points = np.random.default_rng(2).normal(size=(50, 2))
    W = np.exp(-((points[:, None] - points) ** 2).sum(2))
    ours = clusters.spectral_clusters(W, (1, 3, 6), seed=0)
    for count in (6, 3):
        theirs = SpectralClustering(count, affinity="precomputed", assign_labels="cluster_qr", random_state=0)
        assert covering(ours[count][None], theirs.fit_predict(W)[None]) == 1
    assert set(ours[1]) == {0}


def test_patches_become_pixels_where_no_cluster_is_lost() -> None:
    labels = common.from_patches(5 * BLOCKS + 3, SHAPE)
    assert recovered(labels)
    assert set(labels.flat) == {0, 1, 2}


def test_cosines_run_from_zero_to_one_also_where_all_are_alike() -> None:
    cosines = common.rescaled_cosines(torch.eye(3)[[0, 0, 1]])
    assert cosines.tolist() == [[1, 1, 0], [1, 1, 0], [0, 0, 1]]
    assert common.rescaled_cosines(torch.ones(4, 1)).unique().tolist() == [1]


# ---------------------------------------------------------------------------------------------------------------------
# DiffSeg


def test_divergences_by_products_are_those_by_definition() -> None:
    x, y = (torch.rand(n, 30, generator=torch.Generator().manual_seed(n)) for n in (4, 7))
    x, y = x / x.sum(1, keepdim=True), y / y.sum(1, keepdim=True)
    slow = [[(rel_entr(a, b).sum() + rel_entr(b, a).sum()) / 2 for b in y.numpy()] for a in x.numpy()]
    assert diffseg.divergences(x, y).numpy() == pytest.approx(np.array(slow), abs=1e-5)
    apart = diffseg.divergences(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]]))
    assert 20 < apart.item() < np.inf  # no logarithm of zero


def test_attention_of_two_grids_is_weighted_by_their_sides() -> None:
    fine, coarse = torch.eye(16), torch.full((4, 4), 0.25)
    total = diffseg.aggregated(AttentionMaps({(4, 4): fine, (2, 2): coarse}))
    assert total.sum(1).tolist() == pytest.approx([1.0] * 16)
    assert torch.allclose(total, 2 / 3 * fine + 1 / 3 * torch.full((16, 16), 1 / 16))


def test_a_coarse_map_stands_for_the_patches_under_it() -> None:
    coarse = torch.eye(4).roll(1, 1)  # each quarter looks at the next
    total = diffseg.aggregated(AttentionMaps({(4, 4): torch.full((16, 16), 1 / 16), (2, 2): coarse}))
    where = total.view(4, 4, 16)
    assert torch.equal(where[0, 0], where[1, 1])  # under one coarse patch
    assert not torch.allclose(where[1, 1], where[1, 2])
    assert where[0, 0].view(4, 4)[:2, 2:].sum() > where[0, 0].view(4, 4)[:2, :2].sum()


def test_anchors_lie_on_a_grid_and_are_no_more_than_there_are_patches() -> None:
    assert diffseg.anchors((4, 4), 2).tolist() == [5, 7, 13, 15]
    assert len(diffseg.anchors((64, 64), 16)) == 256
    assert diffseg.anchors((2, 3), 16).tolist() == list(range(6))


def test_diffseg_finds_planted_blocks_and_merges_all_at_a_large_threshold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diffseg, "THRESHOLDS", {"tau=0.5": 0.5, "tau=50": 50.0})
    method = diffseg.diffseg_method(Planted())
    assert recovered(found(method, "tau=0.5", item()))
    assert found(method, "tau=50", item()).max() == 0


# ---------------------------------------------------------------------------------------------------------------------
# DiffCut


def test_diffcut_finds_planted_blocks() -> None:
    assert recovered(found(diffcut.diffcut_method(Planted()), "tau=0.5", item()))


def test_pixels_go_to_the_closest_mean_feature_as_if_features_were_up_sampled() -> None:
    rng = torch.Generator().manual_seed(3)
    features = Features(torch.randn(24, 5, generator=rng), (4, 6))
    labels, flat = np.arange(24).reshape(4, 6) // 7, torch.arange(24) // 7
    unit = common.unit(features)
    pixels = Features(unit, (4, 6)).resized((12, 18)).values
    means = torch.stack([unit[flat == k].mean(0) for k in range(4)])
    slow = torch.cosine_similarity(pixels[:, None], means[None], dim=2).argmax(1).view(12, 18)
    assert covering(diffcut.assigned(unit, labels, (12, 18)), slow.numpy()) == 1


def test_diffcut_with_pamr_sees_the_picture() -> None:
    shifted = np.roll(TRUTH, 1, axis=1)
    colours = np.array([[200, 0, 0], [0, 200, 0], [0, 0, 200]], np.uint8)
    picture = Item("shifted", colours[shifted], {"instances": (shifted,)})
    rough = found(diffcut.diffcut_method(Planted()), "tau=0.5", picture)
    fine = found(diffcut.diffcut_method(Planted(), pamr=True), "tau=0.5", picture)
    assert covering(rough, shifted) < covering(fine, shifted)


# ---------------------------------------------------------------------------------------------------------------------
# AutoSC


def test_relative_gaps_by_hand() -> None:
    values = np.array([0.0, 0.1, 0.2, 0.9])
    gaps = autosc.relative_gaps(values)
    before, after = gaps["gap before the next"], gaps["gap with the next"]
    assert before[0] == -np.inf
    assert before[1:] == pytest.approx([(0.2 - 0.05) / 0.05, (0.9 - 0.1) / 0.1], rel=1e-4)
    assert after == pytest.approx([1, 0.2 / 0.1 - 1, 0.9 / 0.3 - 1], rel=1e-4)


@pytest.mark.parametrize("setting", ["gap with the next", "gap before the next"])
def test_autosc_counts_the_planted_blocks(setting: str) -> None:
    assert recovered(found(autosc.autosc_method(Planted()), setting, item()))


def test_autosc_leaves_a_picture_whole_in_which_all_patches_are_alike() -> None:
    same = Planted(np.zeros(GRID, int))
    same.look.features = Features(torch.ones(96, 4), GRID)
    for result in autosc.autosc_method(same).run(item()):
        assert result.labels.max() == 0


# ---------------------------------------------------------------------------------------------------------------------
# MaskCut


def test_the_foreground_is_the_piece_around_the_peak() -> None:
    values = np.full((6, 8), -0.1)
    values[1:3, 1:3] = 1.0
    values[4, 6] = 0.5  # on the same side, but apart
    expected = np.zeros((6, 8), bool)
    expected[1:3, 1:3] = True
    assert np.array_equal(maskcut.foreground(values), expected)
    assert np.array_equal(maskcut.foreground(-values), expected)


def test_a_side_that_holds_three_corners_is_no_foreground() -> None:
    values = np.full((6, 8), 1.0)  # the larger deviation lies in the surroundings
    values[2:4, 3:5] = -0.5
    assert np.array_equal(maskcut.foreground(values), values < 0)


def test_maskcut_finds_two_objects_and_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = np.zeros((10, 14), int)
    labels[2:5, 2:5] = 1
    labels[5:9, 8:12] = 2
    truth = np.kron(labels, np.ones((3, 3), int))
    monkeypatch.setattr(maskcut, "COUNTS", (1, 2, 5))
    method = maskcut.maskcut_method(Planted(labels))
    for count in (2, 5):
        assert recovered(found(method, f"tau=0.15, N={count}", item(truth)), labels)
    first = found(method, "tau=0.15, N=1", item(truth))
    assert recovered(first, (labels == 2) * 1) or recovered(first, (labels == 1) * 1)


# ---------------------------------------------------------------------------------------------------------------------
# Clusters with a number given


@pytest.mark.parametrize("factory", [clusters.kmeans_features_method, clusters.sklearn_spectral_method])
def test_the_oracle_is_told_the_number_and_says_so(factory: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clusters, "CONSTANT", 2)
    method = factory(Planted())
    truths = {"instances": (TRUTH,), "materials": (TRUTH > 0, np.where(TRUTH > 0, 1, -1))}
    results = list(method.run(Item("planted", item().image, truths)))
    assert [(r.setting, r.truths) for r in results] == [
        ("K=2", None),
        ("true K", ("instances",)),
        ("true K", ("materials",)),
    ]
    assert method.config["given"] == {"true K": "K"}
    assert recovered(results[1].labels)
    assert [r.labels.max() for r in results] == [1, 2, 0]  # of two people one saw a single region: the lower median


def test_there_are_no_more_clusters_than_distinct_points() -> None:
    assert len(np.unique(common.kmeans(np.repeat(np.eye(3), 4, axis=0), 6, seed=0).labels_)) == 3
    assert len(np.unique(common.kmeans(np.ones((5, 2)), 6, seed=0).labels_)) == 1
    assert len(np.unique(clusters.spectral_clusters(np.ones((4, 4)), (6,), seed=0)[6])) <= 3


# ---------------------------------------------------------------------------------------------------------------------
# All of them


def halves(picture: np.ndarray) -> Item:
    return Item("halves", picture, {"instances": ((np.arange(picture[..., 0].size) % 2).reshape(picture.shape[:2]),)})


@pytest.mark.parametrize("name", [*tasks.LOOKING, *tasks.PICTURE_ONLY])
@pytest.mark.parametrize("plain", [False, True])
def test_every_peer_yields_each_setting_and_the_same_twice(
    name: str, plain: bool, tiny: Backbone, two_halves: np.ndarray
) -> None:
    picture = np.full_like(two_halves, 90) if plain else two_halves
    runs = []
    for _ in range(2):
        methods = tasks.roster(RunConfig(methods=(name,)), toy(), Looker(tiny, grid=16))
        runs.append([result for method in methods for result in method.run(halves(picture))])
        for method in methods:
            assert len(method.settings) == len(set(method.settings)) <= 12
            assert set(method.alone) | set(method.curve) == set(method.settings)
            json.dumps(method.config)
    assert {r.setting for r in runs[0]} == {setting for method in methods for setting in method.settings}
    for first, again in zip(*runs, strict=True):
        assert first.labels.shape == picture.shape[:2]
        assert first.labels.min() == 0
        assert np.array_equal(first.labels, again.labels)


@pytest.mark.parametrize("name", [*tasks.PRESETS, *tasks.LOOKING])
def test_a_method_that_starts_from_a_look_asks_for_a_looker(name: str) -> None:
    with pytest.raises(InputError, match="Looker"):
        tasks.roster(RunConfig(methods=(name,)), toy(), None)

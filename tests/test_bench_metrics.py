"""Measures: worked by hand, against slow references, and by properties."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from skimage.metrics import variation_of_information
from sklearn.metrics import rand_score

from walkcut.bench import metrics
from walkcut.bench.scores import mean_scores
from walkcut.errors import InputError

maps = hnp.arrays(np.int32, (4, 5), elements=st.integers(0, 5))


def table_of(truth: object, labels: object) -> np.ndarray:
    return metrics.contingency(np.array(truth), np.array(labels))


# ---------------------------------------------------------------------------------------------------------------------
# Slow references, straight from the definitions


def slow_regions(labels: np.ndarray) -> list[set[int]]:
    flat = labels.ravel().tolist()
    return [{i for i, x in enumerate(flat) if x == label} for label in sorted(set(flat))]


def slow_covering(truth: np.ndarray, labels: np.ndarray) -> float:
    segments = slow_regions(labels)
    covered = sum(len(r) * max(len(r & s) / len(r | s) for s in segments) for r in slow_regions(truth))
    return covered / truth.size


def slow_rand(truth: np.ndarray, labels: np.ndarray) -> float:
    pairs = list(itertools.combinations(zip(truth.ravel(), labels.ravel(), strict=True), 2))
    return sum((a == c) == (b == d) for (a, b), (c, d) in pairs) / len(pairs)


def slow_vi(truth: np.ndarray, labels: np.ndarray) -> float:
    total = 0.0
    for r in slow_regions(truth):
        for s in slow_regions(labels):
            if r & s:
                joint = len(r & s) / truth.size
                total -= joint * (np.log2(len(r & s) / len(r)) + np.log2(len(r & s) / len(s)))
    return total


def slow_miou(truth: np.ndarray, labels: np.ndarray) -> float:
    regions, segments = slow_regions(truth), slow_regions(labels)
    places = segments + [set()] * len(regions)  # an empty place: the region stays without a segment
    best = max(
        sum(len(r & s) / len(r | s) for r, s in zip(regions, chosen, strict=True))
        for chosen in itertools.permutations(places, len(regions))
    )
    return best / len(regions)


# ---------------------------------------------------------------------------------------------------------------------
# By hand


def test_contingency_counts_pairs_and_closes_gaps() -> None:
    table = table_of([[3, 3, 7], [7, 7, 7]], [[0, 9, 9], [9, 9, 4]])
    assert table.tolist() == [[1, 0, 1], [0, 1, 3]]  # rows 3, 7; columns 0, 4, 9


def test_measures_of_halves_against_one_segment() -> None:
    # two true halves of four pixels each, one segment: IoU 1/2 with either half
    table = table_of([0] * 4 + [1] * 4, [5] * 8)
    assert metrics.covering(table) == pytest.approx(0.5)
    assert metrics.matched_miou(table) == pytest.approx(0.25)  # the one segment is given to one half only
    assert metrics.rand_index(table) == pytest.approx(12 / 28)  # of 28 pairs, the 12 within a half
    assert metrics.variation_of_information(table) == pytest.approx(1.0)  # one bit: which half


def test_measures_of_one_region_against_two_segments() -> None:
    table = table_of([0] * 4, [0, 0, 0, 1])
    assert metrics.covering(table) == pytest.approx(0.75)
    assert metrics.matched_miou(table) == pytest.approx(0.75)
    assert metrics.rand_index(table) == pytest.approx(0.5)  # 3 of 6 pairs


def test_covering_weighs_by_true_size_and_is_not_symmetric() -> None:
    # true sizes 6 and 2; segment 0 holds the first and one pixel of the second
    truth, labels = [0] * 6 + [1, 1], [0] * 7 + [1]
    assert metrics.covering(table_of(truth, labels)) == pytest.approx((6 * 6 / 7 + 2 * 1 / 2) / 8)
    assert metrics.covering(table_of(labels, truth)) == pytest.approx((7 * 6 / 7 + 1 * 1 / 2) / 8)


def test_matching_maximises_the_sum_not_each_region_in_turn() -> None:
    # IoU is [[3/7, 2/5], [2/5, 0]]: greedy takes 3/7 and leaves nothing for region 1
    table = np.array([[3, 2], [2, 0]])
    assert metrics.overlaps(table) == pytest.approx(np.array([[3 / 7, 2 / 5], [2 / 5, 0]]))
    assert metrics.matched_miou(table) == pytest.approx((2 / 5 + 2 / 5) / 2)


def test_score_averages_over_humans_and_weighs_by_area() -> None:
    labels = np.array([[0, 0, 1, 1]])
    found = metrics.score([labels, np.zeros((1, 4), int)], labels)
    assert found["covering"] == pytest.approx((1 + 0.5) / 2)
    assert found["pri"] == pytest.approx((1 + 2 / 6) / 2)
    assert found["vi"] == pytest.approx((0 + 1) / 2)
    assert found["weight"] == 8
    assert found["regions"] == 1.5


@pytest.mark.parametrize(
    ("truth", "labels"),
    [([[0, -1]], [[0, 1]]), ([[0.0, 1.0]], [[0, 1]]), ([[0, 1]], [[0], [1]]), ([], [])],
)
def test_what_is_no_label_map_is_refused(truth: list, labels: list) -> None:
    with pytest.raises(InputError):
        table_of(truth, labels)


def test_large_label_numbers_need_no_large_table() -> None:
    assert table_of([0, 2**40, 2**40], [1, 1, 2]).tolist() == [[1, 0], [1, 1]]


# ---------------------------------------------------------------------------------------------------------------------
# Against the references, and properties


@settings(max_examples=60)
@given(maps, maps)
def test_measures_agree_with_slow_references(truth: np.ndarray, labels: np.ndarray) -> None:
    table = metrics.contingency(truth, labels)
    assert metrics.covering(table) == pytest.approx(slow_covering(truth, labels))
    assert metrics.rand_index(table) == pytest.approx(slow_rand(truth, labels))
    assert metrics.variation_of_information(table) == pytest.approx(slow_vi(truth, labels), abs=1e-9)


@settings(max_examples=60)
@given(maps, maps)
def test_measures_agree_with_other_libraries(truth: np.ndarray, labels: np.ndarray) -> None:
    table = metrics.contingency(truth, labels)
    assert metrics.rand_index(table) == pytest.approx(rand_score(truth.ravel(), labels.ravel()))
    in_bits = sum(variation_of_information(truth, labels))
    assert metrics.variation_of_information(table) == pytest.approx(in_bits, abs=1e-9)


few = hnp.arrays(np.int32, (3, 4), elements=st.integers(0, 3))


@settings(max_examples=30)
@given(few, few)
def test_matching_agrees_with_trying_all(truth: np.ndarray, labels: np.ndarray) -> None:
    assert metrics.matched_miou(metrics.contingency(truth, labels)) == pytest.approx(slow_miou(truth, labels))


@settings(max_examples=60)
@given(maps, maps, st.permutations(range(6)))
def test_names_of_labels_do_not_matter(truth: np.ndarray, labels: np.ndarray, order: list[int]) -> None:
    before = metrics.score([truth], labels)
    renamed = np.array(order)
    assert metrics.score([renamed[truth]], renamed[labels]) == pytest.approx(before, abs=1e-9)


@settings(max_examples=60)
@given(maps, maps)
def test_ranges_symmetry_and_refinement(truth: np.ndarray, labels: np.ndarray) -> None:
    there, back = metrics.score([truth], labels), metrics.score([labels], truth)
    assert there["pri"] == pytest.approx(back["pri"])
    assert there["vi"] == pytest.approx(back["vi"], abs=1e-9)
    assert 0 < there["miou"] <= 1
    assert 0 < there["covering"] <= 1
    assert 0 <= there["pri"] <= 1
    assert 0 <= there["vi"] <= 2 * np.log2(truth.size)
    same = metrics.score([truth], truth)
    counts = {"weight": truth.size, "regions": len(np.unique(truth))}
    assert same == pytest.approx({"covering": 1, "miou": 1, "pri": 1, "vi": 0} | counts, abs=1e-9)


# ---------------------------------------------------------------------------------------------------------------------
# Over a data set


def test_ods_is_one_setting_and_ois_the_best_of_each_picture() -> None:
    values = np.array([[0.9, 0.5, 0.1], [0.2, 0.6, 0.7]])
    plain = metrics.aggregate(values, np.ones(2))
    assert (plain.setting, plain.ods, plain.ois) == (0, pytest.approx(0.55), pytest.approx(0.8))
    heavy = metrics.aggregate(values, np.array([1.0, 3.0]))  # the second picture has three times as many humans
    assert (heavy.setting, heavy.ods, heavy.ois) == (1, pytest.approx(0.575), pytest.approx(0.75))


def test_covering_of_a_data_set_is_covered_area_over_area() -> None:
    rng = np.random.default_rng(0)
    pictures = [([rng.integers(0, 3, (4, 5)) for _ in range(n)], rng.integers(0, 3, (4, 5))) for n in (2, 5)]
    covered = sum(t.size * slow_covering(t, labels) for truths, labels in pictures for t in truths)
    area = sum(t.size for truths, _ in pictures for t in truths)
    scores = [metrics.score(truths, labels) for truths, labels in pictures]
    values, weights = np.array([[s["covering"]] for s in scores]), np.array([s["weight"] for s in scores])
    assert metrics.aggregate(values, weights).ods == pytest.approx(covered / area)


def test_less_is_better_for_the_variation_of_information() -> None:
    best = metrics.aggregate(np.array([[1.0, 3.0], [4.0, 2.5]]), np.ones(2), sign=-1)
    assert (best.setting, best.ods, best.ois) == (0, 2.5, 1.75)


@settings(max_examples=40)
@given(hnp.arrays(float, (6, 4), elements=st.floats(0, 1)), st.sampled_from([1, -1]))
def test_ois_is_never_worse_than_ods(values: np.ndarray, sign: int) -> None:
    found = metrics.aggregate(values, np.arange(1.0, 7.0), sign)
    assert sign * found.ois >= sign * found.ods - 1e-12


def test_bootstrap_of_a_constant_gap_is_that_gap() -> None:
    values = np.random.default_rng(0).uniform(size=(30, 3))
    for sign in (1, -1):
        found = mean_scores(values + 0.1, np.ones(30), sign).difference(mean_scores(values, np.ones(30), sign))
        assert found["ods"] == pytest.approx((0.1, 0.1, 0.1))
        assert found["ois"] == pytest.approx((0.1, 0.1, 0.1))


def test_bootstrap_interval_matches_the_normal_one() -> None:
    gap = np.random.default_rng(1).normal(0.05, 0.2, (400, 1))
    base = np.full((400, 1), 0.5)
    difference, low, high = mean_scores(base + gap, np.ones(400)).difference(mean_scores(base, np.ones(400)))["ods"]
    error = gap.std() / 20
    assert difference == pytest.approx(gap.mean())
    assert low == pytest.approx(gap.mean() - 1.96 * error, abs=0.25 * error)
    assert high == pytest.approx(gap.mean() + 1.96 * error, abs=0.25 * error)


def test_bootstrap_includes_the_choice_of_the_setting() -> None:
    # each draw may prefer another setting, so ours can only gain over a method tied to one of its settings
    values = np.random.default_rng(2).uniform(size=(12, 5))
    free = mean_scores(values, np.ones(12)).difference(mean_scores(values[:, :1], np.ones(12)))["ods"]
    assert free[1] >= -1e-12
    assert free[2] > free[0] - 1e-12

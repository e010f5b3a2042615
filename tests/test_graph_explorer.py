"""The explorer of graphs holds the weights that it was given."""

import base64

import numpy as np
import pytest
import torch
from explorers import state

from walkcut.errors import InputError
from walkcut.graph import Graph
from walkcut.walk import Walk
from walkcut.widgets.explorers import graph_explorer, neighbours

GRID = (4, 6)
IMAGE = np.zeros((40, 60, 3), np.uint8)
TABLE = np.random.default_rng(0).gamma(0.3, size=(24, 24))
WALK = Walk(TABLE / TABLE.sum(1, keepdims=True), GRID)
GRAPH = WALK.reversible()


def test_rows_of_the_patches_that_can_be_chosen_come_back() -> None:
    graphs = neighbours(WALK, {"features": GRAPH})
    found = state(graph_explorer(IMAGE, WALK, {"features": GRAPH}))
    assert (found["grid"], found["every"], found["size"]) == ([4, 6], 2, [240, 360])
    powered = {"reversible walk": False, "rows, dot": True, "rows, cosine": True, "features": True}
    assert {graph["name"]: graph["powered"] for graph in found["graphs"]} == powered
    chosen = [0, 2, 4, 12, 14, 16]  # every second patch of every second row
    for graph in found["graphs"]:
        for k, data in graph["rows"].items():
            rows = graphs[graph["name"]][int(k)][chosen]
            stored = np.frombuffer(base64.b64decode(data), np.uint8).reshape(rows.shape)
            back = (stored / 255) ** 2 * rows.max(1, keepdims=True)
            np.testing.assert_allclose(back, rows, atol=0.004 * rows.max())


def test_a_patch_without_neighbours_is_no_division_by_zero() -> None:
    *_, graph = state(graph_explorer(IMAGE, WALK, {"none": Graph(np.zeros((24, 24)))}))["graphs"]
    assert set(base64.b64decode(graph["rows"]["1"])) == {0}


def test_too_many_weights_for_a_page_are_refused() -> None:
    n = 32 * 40
    with pytest.raises(InputError, match="coarser grid"):
        graph_explorer(IMAGE, Walk(np.full((n, n), 1 / n), (32, 40)), {})


def test_the_same_input_gives_the_same_bytes() -> None:
    first, second = (graph_explorer(IMAGE, WALK, {"other": GRAPH}).data for _ in range(2))
    assert first == second


def test_neighbours_of_a_walk_and_of_other_graphs() -> None:
    tables = neighbours(WALK, {"other": GRAPH})
    assert {name: list(steps) for name, steps in tables.items()} == {
        "reversible walk": [1, 2, 4],
        "rows, dot": [1, 2, 4],
        "rows, cosine": [1, 2, 4],
        "other": [1],
    }
    np.testing.assert_allclose(tables["other"][1], tables["reversible walk"][1], rtol=1e-5)
    np.testing.assert_allclose(tables["rows, dot"][2], WALK.power(2).P @ WALK.power(2).P.T, rtol=1e-5)


@pytest.mark.gpu
def test_tables_of_a_walk_on_a_gpu_are_those_of_the_same_walk_here() -> None:
    P = torch.from_numpy(TABLE / TABLE.sum(1, keepdims=True))
    here, there = (
        neighbours(Walk(matrix, GRID), {"walk": Walk(matrix, GRID).reversible()}) for matrix in (P, P.cuda())
    )
    for name, tables in here.items():
        for k, table in tables.items():
            np.testing.assert_allclose(there[name][k], table, rtol=1e-5, atol=1e-7)

"""The explorer of graphs holds the weights that it was given."""

import base64

import numpy as np
import pytest
import torch
from explorers import state

from walkcut.errors import InputError
from walkcut.walk import Walk
from walkcut.widgets.graphs import graph_explorer, neighbours

GRID = (4, 6)
IMAGE = np.zeros((40, 60, 3), np.uint8)
TABLE = np.random.default_rng(0).gamma(0.3, size=(24, 24))


def test_rows_of_the_patches_that_can_be_chosen_come_back() -> None:
    graphs = {"walk": {1: TABLE, 2: TABLE @ TABLE}, "features": {1: TABLE.T}}
    found = state(graph_explorer(IMAGE, GRID, graphs, ["features"], width=60))
    assert (found["grid"], found["every"], found["size"]) == ([4, 6], 2, [40, 60])
    assert [(graph["name"], graph["powered"]) for graph in found["graphs"]] == [("walk", False), ("features", True)]
    chosen = [0, 2, 4, 12, 14, 16]  # every second patch of every second row
    for graph in found["graphs"]:
        for k, data in graph["rows"].items():
            rows = graphs[graph["name"]][int(k)][chosen]
            stored = np.frombuffer(base64.b64decode(data), np.uint8).reshape(rows.shape)
            back = (stored / 255) ** 2 * rows.max(1, keepdims=True)
            np.testing.assert_allclose(back, rows, atol=0.004 * rows.max())


def test_a_patch_without_neighbours_is_no_division_by_zero() -> None:
    (graph,) = state(graph_explorer(IMAGE, GRID, {"none": {1: np.zeros((24, 24))}}))["graphs"]
    assert set(base64.b64decode(graph["rows"]["1"])) == {0}


@pytest.mark.parametrize(
    ("graphs", "powered", "says"),
    [
        ({}, (), "at least one graph"),
        ({"walk": {}}, (), "at least one number of steps"),
        ({"walk": {1: TABLE[:5]}}, (), "'walk' must be"),
        ({"walk": {1: -TABLE}}, (), "not negative"),
        ({"walk": {1: TABLE * np.nan}}, (), "finite"),
        ({"walk": {1: TABLE}}, ["rows"], "There is no graph 'rows'"),
    ],
)
def test_what_does_not_fit_is_refused(graphs: dict, powered: list, says: str) -> None:
    with pytest.raises(InputError, match=says):
        graph_explorer(IMAGE, GRID, graphs, powered)


def test_too_many_weights_for_a_page_are_refused() -> None:
    with pytest.raises(InputError, match="coarser grid"):
        graph_explorer(IMAGE, (64, 64), {"walk": {1: TABLE}})


def test_the_same_input_gives_the_same_bytes() -> None:
    first, second = (graph_explorer(IMAGE, GRID, {"walk": {1: TABLE}}).data for _ in range(2))
    assert first == second


def test_neighbours_of_a_walk_and_of_other_graphs() -> None:
    walk = Walk(TABLE / TABLE.sum(1, keepdims=True), GRID)
    tables = neighbours(walk, {"other": walk.reversible()}, steps=(1, 2))
    assert {name: list(steps) for name, steps in tables.items()} == {
        "reversible walk": [1, 2],
        "rows, dot": [1, 2],
        "rows, cosine": [1, 2],
        "other": [1],
    }
    np.testing.assert_allclose(tables["other"][1], tables["reversible walk"][1], rtol=1e-5)
    np.testing.assert_allclose(tables["rows, dot"][2], walk.power(2).P @ walk.power(2).P.T, rtol=1e-5)


@pytest.mark.gpu
def test_tables_of_a_walk_on_a_gpu_are_those_of_the_same_walk_here() -> None:
    P = torch.from_numpy(TABLE / TABLE.sum(1, keepdims=True))
    here, there = (
        neighbours(Walk(matrix, GRID), {"walk": Walk(matrix, GRID).reversible()}) for matrix in (P, P.cuda())
    )
    for name, tables in here.items():
        for k, table in tables.items():
            np.testing.assert_allclose(there[name][k], table, rtol=1e-5, atol=1e-7)

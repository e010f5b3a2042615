"""Walking without the matrix gives what walking with it gives."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from walkcut.backbone import Backbone
from walkcut.capture import MeanAttention, capture
from walkcut.errors import InputError
from walkcut.eyes.loading import load_backbone
from walkcut.graph import Graph
from walkcut.lab import stream as streaming
from walkcut.lab.recorders import Head, QueriesAndKeys
from walkcut.lab.stream import StreamedGraph, StreamedWalk, stream
from walkcut.ncut import best_cut
from walkcut.recipe import resolve
from walkcut.samples import sample
from walkcut.tree import partition
from walkcut.walk import Walk, aggregate, prior

CLOSE = {"rtol": 1e-4, "atol": 1e-7}


@pytest.fixture(scope="module")
def embedded() -> Backbone:
    return load_backbone("dead-leaves", "cpu")


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several blocks, the last one not full, none in step with the coarse grid."""
    monkeypatch.setattr(streaming, "BLOCK", 30_011)


def both(backbone: Backbone, image: np.ndarray, grid: int, timesteps: tuple, weights=None) -> tuple[Walk, StreamedWalk]:
    recipe = resolve("walkcut", backbone.eye, {"grid": grid, "timesteps": timesteps})
    ((maps, heads),) = capture(backbone, [image], recipe, MeanAttention(), QueriesAndKeys())
    return aggregate(maps, weights), stream(heads, weights)


@pytest.fixture(
    scope="module",
    params=[(16, "hills", (10,), None), (32, "dogs", (10,), 0.5), (16, "astronaut", (10, 200), 0.3)],
    ids=["16", "32", "timesteps"],
)
def pair(request: pytest.FixtureRequest, embedded: Backbone) -> tuple[Walk, StreamedWalk]:
    """The embedded model on photographs, wide, tall and square, with and without a prior."""
    grid, name, timesteps, sigma = request.param
    dense, streamed = both(embedded, sample(name), grid, timesteps)
    return (dense, streamed) if sigma is None else (dense.spatial_prior(sigma), streamed.spatial_prior(sigma))


def vectors(n: int, c: int) -> torch.Tensor:
    return torch.randn(n, c, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def rows(walk: StreamedWalk, index: torch.Tensor) -> torch.Tensor:
    return torch.cat([rows.clone() for _, rows in walk.blocks(index)])


def test_the_same_table(pair: tuple[Walk, StreamedWalk]) -> None:
    dense, streamed = pair
    assert streamed.grid == dense.grid
    assert len(streamed) == len(dense)
    for index in (torch.arange(len(dense)), torch.tensor([5, 3, len(dense) - 1, 3])):
        torch.testing.assert_close(rows(streamed, index), dense.P[index], **CLOSE)


def test_the_same_step(pair: tuple[Walk, StreamedWalk]) -> None:
    dense, streamed = pair
    v = vectors(len(dense), 3).abs()
    for method in ("expect", "propagate"):
        expected = getattr(dense, method)(v).double()
        torch.testing.assert_close(getattr(streamed, method)(v), expected, **CLOSE)
        torch.testing.assert_close(getattr(streamed, method)(v[:, 0]), expected[:, 0], **CLOSE)


def test_the_same_long_run(pair: tuple[Walk, StreamedWalk]) -> None:
    dense, streamed = pair
    found = streamed.stationary()
    torch.testing.assert_close(found.law, dense.stationary().law, **CLOSE)
    assert found.error < 1e-4


def test_the_same_graph(pair: tuple[Walk, StreamedWalk]) -> None:
    dense, streamed = (walk.reversible() for walk in pair)
    assert isinstance(streamed, StreamedGraph)
    written = streamed.subgraph(torch.arange(len(dense)))
    torch.testing.assert_close(written.W, dense.W, rtol=1e-3, atol=1e-4 * dense.W.max().item())
    torch.testing.assert_close(streamed.degrees, dense.degrees, **CLOSE)
    v, order = vectors(len(dense), 2).abs(), torch.randperm(len(dense), generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(streamed.matvec(v), dense.matvec(v).double(), **CLOSE)
    torch.testing.assert_close(streamed.matvec(v[:, 0]), dense.matvec(v[:, 0]).double(), **CLOSE)
    sums = [graph.association_gains(order).cumsum(0) for graph in (streamed, dense)]
    torch.testing.assert_close(*sums, **CLOSE)


@pytest.mark.parametrize("bound", [0, 10**6])
def test_the_same_regions(pair: tuple[Walk, StreamedWalk], bound: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Streamed or written down, and regions of regions."""
    monkeypatch.setattr(streaming, "WRITTEN", bound)
    dense, streamed = (walk.reversible() for walk in pair)
    index = torch.randperm(len(dense), generator=torch.Generator().manual_seed(2))[: len(dense) // 2]
    inner = torch.tensor([9, 2, 30, 17, 4])
    for nested in (False, True):
        parts = [graph.subgraph(index) for graph in (dense, streamed)]
        expected, part = [part.subgraph(inner) for part in parts] if nested else parts
        assert isinstance(part, Graph if bound else StreamedGraph)
        assert len(part) == len(expected)
        v, order = vectors(len(part), 1).abs(), torch.arange(len(part)).flip(0)
        torch.testing.assert_close(part.degrees, expected.degrees, **CLOSE)
        torch.testing.assert_close(part.matvec(v).double(), expected.matvec(v).double(), **CLOSE)
        sums = [graph.association_gains(order).cumsum(0) for graph in (part, expected)]
        torch.testing.assert_close(*sums, **CLOSE)


def test_the_same_first_split(pair: tuple[Walk, StreamedWalk]) -> None:
    dense, streamed = (best_cut(walk.reversible()) for walk in pair)
    assert streamed.ncut == pytest.approx(dense.ncut, abs=1e-4)
    # the eigenvectors agree but for their accuracy; so does all of the curve around its lowest point
    differ = set(dense.order[: dense.size].tolist()) ^ set(streamed.order[: streamed.size].tolist())
    assert min(len(differ), len(dense.order) - len(differ)) <= 0.01 * len(dense.order)


def test_the_recursion_runs_without_the_matrix(embedded: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "WRITTEN", 60)  # the first regions are streamed, the others written down
    dense, streamed = both(embedded, sample("hills"), 16, (10,))
    dense, streamed = (partition(walk.spatial_prior(0.5).reversible(), walk.grid) for walk in (dense, streamed))
    np.testing.assert_array_equal(streamed.labels(k=2), dense.labels(k=2))
    assert streamed.ncut[0] == pytest.approx(dense.ncut[0], abs=1e-4)


@pytest.mark.parametrize("weights", [None, {(12, 16): 1.0, (6, 8): 3.0}, {(6, 8): 1.0}, {(12, 16): 1.0, (6, 8): 0.0}])
def test_several_layers_heads_timesteps_and_weights(tiny: Backbone, two_halves: np.ndarray, weights: dict) -> None:
    """Random weights, a grid of 12x16 patches, four layers of two heads."""
    dense, streamed = both(tiny, two_halves, 16, (50, 300), weights)
    assert len(streamed.heads) == 16
    torch.testing.assert_close(rows(streamed, torch.arange(192)), dense.P, **CLOSE)


def test_heads_with_weights(tiny: Backbone, two_halves: np.ndarray) -> None:
    ((heads,),) = capture(tiny, [two_halves], resolve("walkcut", tiny.eye, {"grid": 16}), QueriesAndKeys())
    weighted = [Head(head.grid, head.query, head.key, 0.5 + i) for i, head in enumerate(heads)]
    fine = [head for head in weighted if head.grid == (12, 16)]
    total = sum(head.weight for head in fine)
    expected = sum(head.weight / total * torch.softmax(head.query @ head.key.T, 1) for head in fine)
    torch.testing.assert_close(rows(stream(weighted, {(12, 16): 1.0}), torch.arange(192)), expected, **CLOSE)


def test_priors_multiply(tiny: Backbone, two_halves: np.ndarray) -> None:
    dense, streamed = both(tiny, two_halves, 16, (50,))
    twice = streamed.spatial_prior(0.4).spatial_prior(0.3)
    torch.testing.assert_close(rows(twice, torch.arange(192)), dense.spatial_prior(0.4).spatial_prior(0.3).P, **CLOSE)
    near_y, near_x = prior((3, 4), 0.5)
    assert near_y[0, 2].item() == pytest.approx(np.exp(-0.5))  # half the longer side away: one width
    assert (near_y.shape, near_x.shape) == ((3, 3), (4, 4))


# ---------------------------------------------------------------------------------------------------------------------
# Bad input, and laws that cannot be trusted


def parted(far: float) -> StreamedWalk:
    """Two kinds of patches; a patch sees its own kind with a score of `far` or 0.9 of it, the other with minus that."""
    side = torch.ones(40, 1)
    side[::2] = -1
    return stream([Head((4, 10), far * torch.where(side > 0, side, 0.9 * side), side)])


def test_a_slow_walk_says_so() -> None:
    assert parted(1.0).stationary().error < 1e-4
    with pytest.warns(UserWarning, match=r"may be off by .*: this walk mixes slowly"):
        parted(8.0).reversible()


def test_a_prior_that_leaves_no_step() -> None:
    apart = torch.zeros(2, 1), torch.tensor([[0.0], [0.0]])
    walk = stream([Head((1, 2), *apart)])
    assert rows(walk.spatial_prior(0.001), torch.arange(2)).tolist() == [[1, 0], [0, 1]]
    for sigma in (0, -1.0, float("nan")):
        with pytest.raises(InputError, match="sigma is a positive, finite number"):
            walk.spatial_prior(sigma)
    sharp = stream([Head((1, 2), torch.tensor([[200.0], [-200.0]]), torch.tensor([[-1.0], [1.0]]))])  # only the other
    with pytest.raises(InputError, match=r"width 0\.001 leaves a patch with nowhere to go"):
        rows(sharp.spatial_prior(0.001), torch.arange(2))


def test_no_heads_and_unknown_grids() -> None:
    with pytest.raises(InputError, match="at least one head"):
        stream([])
    with pytest.raises(InputError, match=r"no attention on the grid \(3, 3\)"):
        stream(parted(1.0).heads, {(3, 3): 1.0})


# ---------------------------------------------------------------------------------------------------------------------
# The committed measurement (tests/perf/stream.py)


def test_the_committed_measurement_is_whole() -> None:
    record = json.loads((Path(__file__).parent.parent / "book" / "results" / "stream.json").read_text())
    assert re.fullmatch(r"[0-9a-f]{40}", record["commit"]), "results are made from committed code"
    assert record["processor"]
    rows = {(row["kind"], row["patches"]): row for row in record["measurements"]}
    assert rows["streamed", 128**2]["peak_gib"] * 2**30 < 2e9
    pairs = [(rows["dense", n], rows["streamed", n]) for kind, n in rows if kind == "dense"]
    assert pairs
    for dense, streamed in pairs:
        assert streamed["ncut"] == pytest.approx(dense["ncut"], abs=1e-4)

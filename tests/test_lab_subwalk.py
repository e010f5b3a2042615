"""Regions that hold their walkers, against walks renormalised by hand."""

import pickle

import pytest
import torch
from chains import random_walk

from walkcut.lab.subwalk import RenormalisedSubwalk, renormalised
from walkcut.tree import partition
from walkcut.walk import Walk


def test_a_region_that_holds_its_walkers() -> None:
    """The region's graph is the reversible form of the walk held inside, as large as the flow that stayed inside."""
    walk = random_walk(9, 8)
    graph, index = renormalised(walk), torch.tensor([7, 1, 4, 2])
    torch.testing.assert_close(graph.W, walk.reversible().W)
    P = walk.P[index][:, index]
    alone = Walk(P / P.sum(1, keepdim=True), (1, 4))
    flow = (walk.stationary().law[index] @ P.sum(1)).item()
    part = graph.subgraph(index)
    torch.testing.assert_close(part.W, flow * alone.reversible().W)
    torch.testing.assert_close(part.P, alone.P)
    inner = part.subgraph(torch.tensor([0, 3]))  # nodes 7 and 2
    straight = graph.subgraph(torch.tensor([7, 2]))
    torch.testing.assert_close(inner.W, straight.W)
    torch.testing.assert_close(inner.stays, straight.stays)
    assert straight.degrees.sum().item() == pytest.approx(walk.reversible().subgraph(torch.tensor([7, 2])).W.sum())


def test_a_walker_with_nowhere_to_go_inside_stays() -> None:
    P = torch.tensor([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]], dtype=torch.float64)
    part = renormalised(Walk(P, (1, 3))).subgraph(torch.tensor([0, 1]))
    assert part.P.tolist() == [[0, 1], [0, 1]]
    assert torch.isfinite(part.W).all()


def test_the_recursion_runs_on_regions_that_hold_their_walkers() -> None:
    P = torch.full((12, 12), 0.01, dtype=torch.float64)
    for block in (slice(0, 3), slice(3, 7), slice(7, 12)):
        P[block, block] = 1.0
    tree = partition(renormalised(Walk(P / P.sum(1, keepdim=True), (3, 4))), (3, 4), smallest=1)
    assert tree.labels(k=3).ravel().tolist() == [2] * 3 + [1] * 4 + [0] * 5


def test_it_travels_as_arrays() -> None:
    graph = renormalised(random_walk(6, 2)).subgraph(torch.tensor([4, 0, 2]))
    back = pickle.loads(pickle.dumps(graph))
    assert isinstance(back, RenormalisedSubwalk)
    for name in ("W", "P", "whole", "stays"):
        assert torch.equal(getattr(back, name), getattr(graph, name))

"""Peers on one affinity: they find what was planted, and what is slow agrees with what is fast."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import adjusted_rand_score

from walkcut.graph import Graph
from walkcut.tree import partition
from walkcut_book.reading import peers_table

sys.path.append(str(Path(__file__).parent / "perf"))  # also for the process that `curve` starts
import peers

N = 256


@pytest.fixture(scope="module")
def case() -> peers.Case:
    return peers.planted(N)


def test_planted_regions_are_alike_within(case: peers.Case) -> None:
    same = case.truth[:, None] == case.truth
    assert case.W.shape == (N, N)
    assert case.W[torch.from_numpy(same)].mean() > 20 * case.W[torch.from_numpy(~same)].mean()
    assert np.bincount(case.truth).tolist() == [N // 8] * 8


@pytest.mark.parametrize(
    "run", [peers.whole_tree, peers.up_to_threshold, peers.grid_recursion, peers.scikit_learn, peers.scikit_image]
)
def test_peers_find_what_was_planted(case: peers.Case, run: object) -> None:
    assert adjusted_rand_score(case.truth, run(case.W, 8)) >= 0.99


def test_the_recursion_against_dense_eigenvectors_and_a_grid_of_splits() -> None:
    """The slow reference stops where ours does; its splits are from 100 candidates, so ours cost no more."""
    case = peers.planted(N, noise=0.5, seed=3)
    ours, theirs = peers.up_to_threshold(case.W, 8), peers.grid_recursion(case.W, 8)
    assert peers.escape(case.W, ours) <= peers.escape(case.W, theirs) + 1e-5
    assert adjusted_rand_score(ours, theirs) >= 0.95


def test_ours_is_first_of_those_that_are_not_told_how_many() -> None:
    """As committed: no rival that recurses is faster; the one with dense eigenvectors takes sixty times as long."""
    ran = [row for row in json.loads(peers.OUT.read_text())["peers"] if "seconds" in row and not row["given_k"]]
    took = {(row["affinity"], row["n"], row["peer"]): row["seconds"] for row in ran if "root only" not in row["peer"]}
    for affinity, n, peer in took:
        assert took[affinity, n, peer] >= took[affinity, n, "walkcut, threshold 0.5"]
        assert took[affinity, n, "walkcut, every threshold"] <= took[affinity, n, peer] or "walkcut" in peer
    dense = took["planted", 4096, "recursion with dense eigenvectors, 100 splits"]
    assert dense >= 60 * took["planted", 4096, "walkcut, threshold 0.5"]


def test_escape_is_one_minus_what_stays() -> None:
    W = torch.tensor([[0.0, 3, 1], [3, 0, 0], [1, 0, 0]])
    assert peers.escape(W, np.array([0, 0, 1])) == pytest.approx((1 / 7 + 1) / 2)


def test_the_root_is_as_good_as_the_dense_one(case: peers.Case) -> None:
    found = peers.root(case)
    assert found["ncut"] <= found["ncut_dense"] + 1e-5
    assert found["products"] >= 3


def test_rows_say_why_a_peer_did_not_run(case: peers.Case) -> None:
    ours = peers.PEERS[1]
    absent = ours._replace(name="absent", package="no-such-package-at-all")
    small = ours._replace(name="small", largest=8)
    ran, missing, large = (peers.compare(case, peer) for peer in (ours, absent, small))
    assert ran["ari"] >= 0.99
    assert ran["segments"] == 8
    assert ran["seconds"] > 0
    assert missing["not_run"] == "not run yet: pip install no-such-package-at-all"
    assert "8 nodes" in large["not_run"]
    text = peers_table({"peers": [ran, missing, large]}).markdown()
    assert text.count("\n| planted") == 3
    assert "pip install" in text


def test_attention_as_an_affinity() -> None:
    W = peers.attention(N).W
    assert W.shape == (N, N)
    assert W.sum() == pytest.approx(1, abs=1e-4)  # the flow of a walk at stationarity
    assert partition(Graph(W), (16, 16)).ncut[0] < 1


def test_time_and_memory_in_a_process_of_their_own() -> None:
    np.ones(2**26)  # half a gigabyte that was held here, before, is no memory of the tree
    (point,) = peers.curve((1024,))
    assert point["n"] == 1024
    assert point["seconds"] > 0
    assert point["affinity_megabytes"] == 4
    assert 1 < point["megabytes"] < 40

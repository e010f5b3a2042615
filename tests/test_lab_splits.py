"""The splits of the textbooks beside the best one, and how far two cuts agree."""

import pytest
import torch
from toy_graphs import barbell, path, random_graph

from walkcut.errors import InputError
from walkcut.lab.splits import agreement, plain_split
from walkcut.ncut import Split, best_split, ncut, second_eigenvector


def test_sign_and_median_splits() -> None:
    graph = path(7)
    y = second_eigenvector(graph).y
    best = best_split(graph, y)
    assert plain_split(graph, y, "median").size == 3
    assert plain_split(graph, y, "sign").size in (3, 4)  # the middle of the path is zero up to rounding
    for rule in ("sign", "median"):
        assert plain_split(graph, y, rule).ncut >= best.ncut
    with pytest.raises(InputError, match="no rule 'mean' to split by: choose from sign, median"):
        plain_split(graph, y, "mean")


@pytest.mark.parametrize("rule", ["sign", "median"])
def test_a_plain_split_costs_what_its_cut_costs(rule: str) -> None:
    graph = random_graph(21, 3)
    y = second_eigenvector(graph).y
    split = plain_split(graph, y, rule)
    assert split.ncut == pytest.approx(ncut(graph, split.side))
    assert split.side.tolist() == (y < 0).tolist() if rule == "sign" else split.size == 10


@pytest.mark.parametrize(("values", "size"), [([1.0, 2.0, 3.0, 4.0], 1), ([-1.0, -2.0, -3.0, -4.0], 3)])
def test_values_of_one_sign_leave_a_node_on_the_other_side(values: list[float], size: int) -> None:
    assert plain_split(path(4), values, "sign").size == size


def test_all_rules_agree_on_two_cliques() -> None:
    graph = barbell(6)
    y = second_eigenvector(graph).y
    best = best_split(graph, y)
    assert [agreement(best, plain_split(graph, y, rule)) for rule in ("sign", "median")] == [1, 1]


def test_agreement_does_not_ask_which_side_is_the_first() -> None:
    one, same, other = (
        Split(torch.tensor(order), 2, 0.0, torch.zeros(3)) for order in ([0, 1, 2, 3], [3, 2, 1, 0], [0, 2, 1, 3])
    )
    assert [agreement(one, cut) for cut in (one, same, other)] == [1, 1, 0.5]

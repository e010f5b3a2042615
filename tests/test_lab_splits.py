"""How far two cuts agree."""

from dataclasses import replace

import torch
from toy_graphs import barbell

from walkcut.lab.splits import agreement
from walkcut.ncut import Split, best_split, second_eigenvector


def test_the_best_split_of_two_cliques_is_that_by_sign() -> None:
    graph = barbell(6)
    y = second_eigenvector(graph).y
    best = best_split(graph, y)
    assert agreement(best, replace(best, size=int((y < 0).sum()))) == 1


def test_agreement_does_not_ask_which_side_is_the_first() -> None:
    one, same, other = (
        Split(torch.tensor(order), 2, 0.0, torch.zeros(3)) for order in ([0, 1, 2, 3], [3, 2, 1, 0], [0, 2, 1, 3])
    )
    assert [agreement(one, cut) for cut in (one, same, other)] == [1, 1, 0.5]

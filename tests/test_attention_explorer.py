"""The explorer of attention holds the attention that it was given."""

import base64

import numpy as np
import pytest
import torch
from explorers import state, words

from walkcut.capture import AttentionMaps
from walkcut.errors import InputError
from walkcut.widgets.explorers import attention_explorer

COARSE, FINE = (2, 3), (4, 6)


def stochastic(n: int) -> torch.Tensor:
    A = torch.rand(n, n, generator=torch.Generator().manual_seed(n))
    return A / A.sum(1, keepdim=True)


@pytest.fixture
def maps() -> dict[tuple[int, int], torch.Tensor]:
    return {FINE: stochastic(24), COARSE: stochastic(6)}


def read(grid: dict) -> np.ndarray:
    """The walk that the page makes of a grid's bytes."""
    low, high = (np.array(grid[end])[:, None] for end in ("low", "high"))
    stored = np.frombuffer(base64.b64decode(grid["rows"]), np.uint8).reshape(len(low), -1)
    rows = low + (stored / 255) ** 3 * (high - low)
    return rows / rows.sum(1, keepdims=True)


def test_walks_come_back_as_near_as_is_told(maps: dict) -> None:
    found = state(attention_explorer(np.zeros((40, 60, 3), np.uint8), AttentionMaps(maps)))
    assert found["size"] == [267, 400]
    assert [tuple(grid["shape"]) for grid in found["grids"]] == [FINE, COARSE]  # the finest comes first
    for grid, P in zip(found["grids"], (maps[FINE].numpy(), maps[COARSE].numpy()), strict=True):
        for k, told in zip((1, 2, 4, 8, 16), grid["errors"], strict=True):
            true = np.linalg.matrix_power(P.astype(float), k)
            assert abs(np.linalg.matrix_power(read(grid), k) - true).sum(1).max() / 2 <= told < 0.01
        law = words(grid["law"]) / words(grid["law"]).sum()
        np.testing.assert_allclose(law @ P, law, atol=1e-4)


def test_eyes_have_names_and_walks_of_their_own(maps: dict) -> None:
    eyes = {name: AttentionMaps({grid: maps[grid]}) for name, grid in (("one", FINE), ("other", COARSE))}
    found = state(attention_explorer(np.zeros((40, 60, 3), np.uint8), eyes))
    assert [(grid["name"], tuple(grid["shape"])) for grid in found["grids"]] == [("one", FINE), ("other", COARSE)]
    alone = state(attention_explorer(np.zeros((40, 60, 3), np.uint8), eyes["other"]))["grids"][0]
    assert alone | {"name": "other"} == found["grids"][1]


def test_an_even_row_is_drawn_without_a_division_by_zero() -> None:
    even = AttentionMaps({COARSE: torch.full((6, 6), 1 / 6)})
    (grid,) = state(attention_explorer(np.zeros((20, 30, 3), np.uint8), even))["grids"]
    np.testing.assert_allclose(read(grid), 1 / 6, atol=1e-7)
    assert set(base64.b64decode(grid["rows"])) == {0}


def test_more_than_two_megabytes_are_refused() -> None:
    n = 40 * 40
    with pytest.raises(InputError, match=r"3\.\d MB .* coarser grid"):
        attention_explorer(np.zeros((40, 40, 3), np.uint8), AttentionMaps({(40, 40): torch.full((n, n), 1 / n)}))


def test_the_same_input_gives_the_same_bytes(maps: dict) -> None:
    image = np.zeros((40, 60, 3), np.uint8)
    first, second = (attention_explorer(image, AttentionMaps(maps)).data for _ in range(2))
    assert first == second

"""The explorer of attention holds the attention that it was given."""

import base64

import numpy as np
import pytest
import torch
from explorers import state

from walkcut.attention import AttentionMaps
from walkcut.widgets.attention import attention_explorer

COARSE, FINE = (2, 3), (4, 6)


def stochastic(n: int) -> torch.Tensor:
    A = torch.rand(n, n, generator=torch.Generator().manual_seed(n))
    return A / A.sum(1, keepdim=True)


@pytest.fixture
def maps() -> dict[tuple[int, int], torch.Tensor]:
    return {FINE: stochastic(24), COARSE: stochastic(6)}


def test_rows_come_back_to_a_byte(maps: dict) -> None:
    image = np.zeros((40, 60, 3), np.uint8)
    found = state(attention_explorer(image, AttentionMaps(maps), width=60))
    assert found["queries"] == list(COARSE)
    assert found["size"] == [40, 60]
    by_hand = maps[FINE].view(2, 2, 3, 2, 24).mean((1, 3)).view(6, 24).numpy()  # four fine patches to a coarse one
    for grid, rows in zip(found["grids"], (by_hand, maps[COARSE].numpy()), strict=True):
        low, high = (np.array(grid[end])[:, None] / rows.shape[1] for end in ("low", "high"))
        stored = np.frombuffer(base64.b64decode(grid["rows"]), np.uint8).reshape(rows.shape)
        np.testing.assert_allclose(low + stored / 255 * (high - low), rows, atol=0.006 * rows.max())
        np.testing.assert_array_equal(grid["peak"], rows.argmax(1))


def test_an_even_row_is_drawn_without_a_division_by_zero() -> None:
    even = AttentionMaps({COARSE: torch.full((6, 6), 1 / 6)})
    (grid,) = state(attention_explorer(np.zeros((20, 30, 3), np.uint8), even))["grids"]
    assert grid["low"] == grid["high"] == [1.0] * 6
    assert set(base64.b64decode(grid["rows"])) == {0}


def test_the_same_input_gives_the_same_bytes(maps: dict) -> None:
    image = np.zeros((40, 60, 3), np.uint8)
    first, second = (attention_explorer(image, AttentionMaps(maps)).data for _ in range(2))
    assert first == second

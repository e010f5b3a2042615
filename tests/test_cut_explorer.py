"""The explorer of cuts holds the sweep that it was given."""

import numpy as np
import pytest
from explorers import state, words

from walkcut.errors import InputError
from walkcut.widgets.cut import cut_explorer

GRID = (2, 3)
IMAGE = np.zeros((40, 60, 3), np.uint8)
Y = np.array([0.5, -1.0, 3.0, -0.5, 0.0, 1.0])
LEAVING, ENTERING = np.array([1, 0.5, 0.1, 0.2, 0.3]), np.array([0.1, 0.2, 0.15, 0.6, 1])


def test_the_sweep_comes_back_to_two_bytes() -> None:
    found = state(cut_explorer(IMAGE, GRID, Y, LEAVING, ENTERING, width=60))
    assert (found["grid"], found["size"]) == ([2, 3], [40, 60])
    order = words(found["order"])
    np.testing.assert_array_equal(order, [1, 3, 4, 0, 5, 2])
    np.testing.assert_allclose(words(found["y"]) / 65535 * 4 - 1, Y[order], atol=1e-4)
    assert found["zero"] == 0.25  # zero lies a quarter of the way from -1 to 3
    np.testing.assert_allclose(words(found["leaving"]) / 65535, LEAVING, atol=1e-5)
    np.testing.assert_allclose(words(found["entering"]) / 65535, ENTERING, atol=1e-5)
    assert (found["best"], found["sign"]) == (3, 2)


def test_ties_keep_the_order_of_the_patches() -> None:
    found = state(cut_explorer(IMAGE, GRID, np.zeros(6), LEAVING, ENTERING))
    np.testing.assert_array_equal(words(found["order"]), np.arange(6))
    assert found["sign"] == 1  # a side must not be empty


@pytest.mark.parametrize(
    ("y", "leaving", "says"),
    [
        (Y[:5], LEAVING, "6 patches need 6 finite numbers in y"),
        (Y * np.nan, LEAVING, "finite numbers in y"),
        (Y, LEAVING[:4], "6 patches need 5 finite numbers in leaving"),
        (Y, LEAVING + 1, "lies in 0..1"),
    ],
)
def test_what_does_not_fit_is_refused(y: np.ndarray, leaving: np.ndarray, says: str) -> None:
    with pytest.raises(InputError, match=says):
        cut_explorer(IMAGE, GRID, y, leaving, ENTERING)


def test_more_patches_than_two_bytes_can_number_are_refused() -> None:
    n = 256 * 257
    with pytest.raises(InputError, match="coarser grid"):
        cut_explorer(IMAGE, (256, 257), np.arange(n), np.zeros(n - 1), np.zeros(n - 1))


def test_the_same_input_gives_the_same_bytes() -> None:
    first, second = (cut_explorer(IMAGE, GRID, Y, LEAVING, ENTERING).data for _ in range(2))
    assert first == second

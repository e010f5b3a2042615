"""From patches to pixels, against matrix powers and the up-sampling of everything at once."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from walkcut import pixels
from walkcut.errors import InputError
from walkcut.pixels import connected_parts, pixel_labels, soft_membership
from walkcut.walk import Walk


def random_walk(grid: tuple[int, int], seed: int = 0) -> Walk:
    n = grid[0] * grid[1]
    P = torch.rand(n, n, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return Walk(P / P.sum(1, keepdim=True), grid)


@pytest.mark.parametrize("stay", [0.0, 0.5, 1.0])
def test_membership_against_the_matrix_of_the_lazy_walk(stay: float) -> None:
    walk = random_walk((2, 3))
    labels = np.array([[0, 2, 1], [1, 1, 2]], np.int32)
    found = soft_membership(walk, labels, stay)
    lazy = stay * np.eye(6) + (1 - stay) * walk.P.numpy()
    np.testing.assert_allclose(found, lazy @ np.eye(3)[labels.ravel()])
    np.testing.assert_allclose(found.sum(1), 1)


def test_at_one_half_a_patch_belongs_to_its_own_segment_first() -> None:
    walk = random_walk((4, 5), seed=3)
    labels = np.arange(20).reshape(4, 5) % 7
    assert (soft_membership(walk, labels, 0.5).argmax(1).numpy() == labels.ravel()).all()


def test_one_segment_has_every_walker() -> None:
    found = soft_membership(random_walk((2, 2)), np.zeros((2, 2), np.int32))
    torch.testing.assert_close(found, torch.ones(4, 1, dtype=torch.float64))


def test_labels_must_fit_the_walk() -> None:
    with pytest.raises(InputError, match=r"\(3, 2\) do not fit a walk on 2x3 patches"):
        soft_membership(random_walk((2, 3)), np.zeros((3, 2), np.int32))


@pytest.mark.parametrize("stay", [-0.1, 1.5])
def test_the_probability_to_stay_is_one(stay: float) -> None:
    with pytest.raises(InputError, match=rf"\[0, 1\], not {stay}"):
        soft_membership(random_walk((2, 2)), np.zeros((2, 2), np.int32), stay)


def test_two_patches_meet_in_the_middle() -> None:
    """Between the patches' centres the memberships are 3/4 to 1/4, then 1/4 to 3/4."""
    found = pixel_labels(torch.eye(2), (1, 2), (1, 4))
    assert found.dtype == np.int32
    assert found.tolist() == [[0, 0, 1, 1]]


def test_a_stronger_segment_reaches_further() -> None:
    found = pixel_labels(torch.tensor([[1.0, 0.0], [0.4, 0.6]]), (1, 2), (1, 4))
    assert found.tolist() == [[0, 0, 0, 1]]


def reference(membership: torch.Tensor, grid: tuple[int, int], shape: tuple[int, int]) -> torch.Tensor:
    """(m, H, W): all memberships up-sampled at once."""
    return functional.interpolate(membership.T.reshape(1, -1, *grid), size=shape, mode="bilinear")[0]


@pytest.mark.parametrize("strip", [64, 2**24])
@pytest.mark.parametrize(
    ("grid", "shape", "m"),
    [((4, 6), (32, 48), 5), ((3, 5), (17, 41), 7), ((6, 4), (3, 2), 3), ((1, 3), (20, 1), 4), ((4, 4), (4, 4), 2)],
)
def test_against_the_whole_stack(
    monkeypatch: pytest.MonkeyPatch, strip: int, grid: tuple[int, int], shape: tuple[int, int], m: int
) -> None:
    """In strips or at once: the winner is the reference's, or within rounding of it."""
    monkeypatch.setattr(pixels, "STRIP", strip)
    membership = torch.rand(grid[0] * grid[1], m, generator=torch.Generator().manual_seed(m))
    found = pixel_labels(membership, grid, shape)
    assert found.shape == shape
    stack = reference(membership, grid, shape)
    won = stack.gather(0, torch.from_numpy(found.astype(np.int64))[None])[0]
    torch.testing.assert_close(won, stack.max(0).values, rtol=0, atol=1e-6)


def test_one_segment_owns_every_pixel() -> None:
    found = pixel_labels(torch.ones(6, 1), (2, 3), (9, 11))
    assert found.shape == (9, 11)
    assert not found.any()


def test_segments_shrink_only_at_their_borders() -> None:
    """Hard memberships: each pixel nearest to a patch's centre keeps that patch's segment."""
    labels = np.random.default_rng(0).integers(0, 3, (4, 5))
    membership = functional.one_hot(torch.from_numpy(labels.ravel()))
    found = pixel_labels(membership, (4, 5), (12, 15))
    np.testing.assert_array_equal(found[1::3, 1::3], labels)


def test_pieces_apart_are_parts_and_specks_join_the_nearest() -> None:
    labels = np.zeros((6, 9), np.int32)
    labels[:, 4] = 1
    labels[0, 0] = 1
    assert connected_parts(labels, 1).max() + 1 == 4
    parts = connected_parts(labels, 2)
    assert np.array_equal(parts, np.repeat([[0] * 4 + [1] + [2] * 4], 6, axis=0))


def test_parts_of_specks_alone_stay() -> None:
    labels = np.arange(6).reshape(2, 3)
    assert np.array_equal(connected_parts(labels, 100), labels)

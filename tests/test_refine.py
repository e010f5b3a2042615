"""Segments at the picture's own edges, against PAMR pixel by pixel and a random walker's linear system."""

import inspect

import numpy as np
import pytest
import torch
from skimage.color import rgb2lab
from skimage.segmentation import random_walker

from walkcut import refine
from walkcut.bench.metrics import contingency, covering
from walkcut.errors import InputError
from walkcut.lab.refine import BETA, random_walk_labels
from walkcut.pixels import pixel_labels
from walkcut.refine import as_they_are, pamr, pamr_kernel, refined_labels
from walkcut.registry import PIXELS

REFINERS = ("pamr", "random-walker")  # that look at the picture


def test_pamr_is_what_it_is_said_to_be_pixel_by_pixel() -> None:
    rng = np.random.default_rng(4)
    image, masks, dilations = rng.integers(0, 255, (5, 6, 3)).astype(np.uint8), rng.random((2, 5, 6)), (1, 2)

    def at(array: np.ndarray, y: int, x: int) -> np.ndarray:
        return array[np.clip(y, 0, 4), np.clip(x, 0, 5)]

    steps = [(d * y, d * x) for d in dilations for y in (-1, 0, 1) for x in (-1, 0, 1)]
    expected, colours = np.zeros((2, 5, 6)), image / 255
    for y in range(5):
        for x in range(6):
            sigma = np.std([at(colours, y + a, x + b) for a, b in steps], axis=0, ddof=1)
            around = [(a, b) for a, b in steps if (a, b) != (0, 0)]
            likeness = [
                -(np.abs(colours[y, x] - at(colours, y + a, x + b)) / (1e-8 + 0.1 * sigma)).mean() for a, b in around
            ]
            weights = np.exp(likeness) / np.exp(likeness).sum()
            for (a, b), weight in zip(around, weights, strict=True):
                expected[:, y, x] += weight * at(masks.transpose(1, 2, 0), y + a, x + b)
    refined = pamr(image, torch.from_numpy(masks).float(), 1, dilations)
    assert refined.numpy() == pytest.approx(expected, abs=1e-5)


def test_pamr_moves_a_boundary_to_the_edge_and_shares_stay_shares() -> None:
    image = np.zeros((20, 30, 3), np.uint8)
    image[:, 15:] = 200
    right = np.zeros((20, 30))
    right[:, 12:] = 1  # three pixels too far to the left
    refined = pamr(image, torch.from_numpy(np.stack([1 - right, right])).float())
    assert torch.allclose(refined.sum(0), torch.ones(20, 30), atol=1e-5)
    assert np.array_equal(refined.argmax(0).numpy(), (image[..., 0] > 0) * 1)


def test_pamr_refuses_what_does_not_fit() -> None:
    with pytest.raises(InputError, match=r"\(4, 4\)"):
        pamr(np.zeros((4, 4, 3), np.uint8), torch.zeros(2, 4, 5))
    with pytest.raises(InputError, match="0"):
        pamr(np.zeros((4, 4, 3), np.uint8), torch.zeros(2, 4, 4), iterations=0)


def two_tone(height: int = 20, width: int = 30, edge: int = 15) -> np.ndarray:
    image = np.full((height, width, 3), 30, np.uint8)
    image[:, edge:] = 200
    return image


def test_the_random_walker_is_the_one_of_its_linear_system() -> None:
    """Between the seeds, each pixel's probability is the mean of its neighbours', weighed by exp(-beta g^2)."""
    rng = np.random.default_rng(3)
    image = rng.integers(0, 255, (4, 5, 3)).astype(np.uint8)
    masks = torch.from_numpy(rng.dirichlet(np.ones(3), 20).T.reshape(3, 4, 5)).float()
    found = random_walk_labels(image, masks, beta=2.0).double().numpy().reshape(3, 20)
    own, top = masks.argmax(0).numpy(), masks.amax(0).numpy()
    sure = np.array([top[i] >= np.median(top[own == own[i]]) for i in np.ndindex(4, 5)])
    colours = rgb2lab(image)
    scale = 2.0 / (10 * colours.std() * np.sqrt(3))
    places = list(np.ndindex(4, 5))
    W = np.zeros((20, 20))
    for i, p in enumerate(places):
        for j, q in enumerate(places):
            if abs(p[0] - q[0]) + abs(p[1] - q[1]) == 1:
                W[i, j] = np.exp(-scale * ((colours[p] - colours[q]) ** 2).sum()) + 1e-10
    P = W / W.sum(1, keepdims=True)
    hot = np.eye(3)[own.ravel()]
    expected = hot.copy()
    expected[~sure] = np.linalg.solve(np.eye((~sure).sum()) - P[~sure][:, ~sure], P[~sure][:, sure] @ hot[sure])
    np.testing.assert_allclose(found.T, expected, atol=1e-4)


@pytest.mark.parametrize("how", REFINERS)
def test_a_border_three_pixels_off_is_moved_to_the_edge(how: str) -> None:
    image = two_tone()
    right = (np.arange(30) >= 12) * np.ones((20, 1))
    near = np.clip((np.arange(30) - 6) / 12, 0, 1) * np.ones((20, 1)) if how == "random-walker" else right
    refined = PIXELS[how](image, torch.from_numpy(np.stack([1 - near, near])).float())
    assert np.array_equal(refined.argmax(0).numpy(), (image[..., 0] > 100) * 1)


@pytest.mark.parametrize("how", REFINERS)
def test_patches_refined_are_closer_to_the_truth_than_patches_upsampled(how: str) -> None:
    image = two_tone(64, 96, 43)  # the edge runs through a column of patches of 8 pixels
    truth = (image[..., 0] > 100).astype(int)
    membership = torch.eye(2)[torch.from_numpy((np.arange(12) >= 5) * np.ones((8, 1), int)).long().ravel()]
    rough = refined_labels(membership, (8, 12), image, "bilinear")
    fine = refined_labels(membership, (8, 12), image, how)
    assert fine.dtype == np.int32
    assert fine.shape == (64, 96)
    assert covering(contingency(truth, rough)) < covering(contingency(truth, fine))
    assert np.array_equal(rough, pixel_labels(membership, (8, 12), (64, 96)))


@pytest.mark.parametrize("how", REFINERS)
@pytest.mark.parametrize("masks", [torch.ones(1, 6, 7), torch.eye(2)[[0, 0, 0, 1, 1, 1]].T[:, :, None].repeat(1, 1, 7)])
def test_in_a_blank_picture_halves_stay_halves_and_one_segment_one(how: str, masks: torch.Tensor) -> None:
    refined = PIXELS[how](np.full((6, 7, 3), 90, np.uint8), masks)
    assert torch.equal(refined.argmax(0), masks.argmax(0))
    assert torch.isfinite(refined).all()


@pytest.mark.parametrize("how", REFINERS)
def test_one_row_of_pixels_is_a_picture(how: str) -> None:
    image = two_tone(1, 9, 4)
    membership = torch.tensor([[1.0, 0.0], [0.6, 0.4], [0.0, 1.0]])
    assert set(refined_labels(membership, (1, 3), image, how).ravel().tolist()) == {0, 1}


@pytest.mark.parametrize("how", REFINERS)
def test_a_segment_that_no_pixel_prefers_gets_none(how: str) -> None:
    masks = torch.tensor([0.5, 0.1, 0.4])[:, None, None] * torch.ones(3, 8, 8)
    masks[:, :, 5:] = torch.tensor([0.1, 0.2, 0.7])[:, None, None]
    refined = PIXELS[how](two_tone(8, 8, 4), masks)
    assert refined.shape == masks.shape
    assert 1 not in refined.argmax(0)


def test_the_usual_beta_is_that_of_scikit_image() -> None:
    assert inspect.signature(random_walker).parameters["beta"].default == BETA


def test_a_leaf_of_which_no_pixel_is_among_the_surer_half_is_lost() -> None:
    """Two leaves of one segment on the ground of another: one is sure, the other hardly prefers its segment."""
    image = np.full((12, 40, 3), 60, np.uint8)
    image[3:9, 3:15] = image[3:9, 26:34] = 190
    leaves = np.zeros((12, 40))
    leaves[3:9, 3:15], leaves[3:9, 26:34] = 0.9, 0.6
    found = random_walk_labels(image, torch.from_numpy(np.stack([1 - leaves, leaves])).float()).argmax(0).numpy()
    assert found[3:9, 3:15].all()
    assert not found[3:9, 26:34].any()


@pytest.mark.parametrize("beta", [0.0, -1.0, float("nan")])
def test_the_walker_needs_a_positive_beta(beta: float) -> None:
    with pytest.raises(InputError, match="beta is a positive, finite number"):
        random_walk_labels(two_tone(), torch.rand(2, 20, 30), beta)


def test_the_walker_needs_masks_of_its_picture() -> None:
    with pytest.raises(InputError, match=r"\(20, 30\)"):
        random_walk_labels(two_tone(), torch.rand(2, 20, 31), BETA)


def test_up_sampled_as_they_are() -> None:
    masks = torch.rand(2, 20, 30)
    assert PIXELS["bilinear"] is as_they_are
    assert as_they_are(two_tone(), masks) is masks
    with pytest.raises(InputError, match="no way to pixels 'magic': choose from bilinear, pamr, random-walker"):
        refined_labels(torch.eye(2), (1, 2), two_tone(), "magic")


@pytest.mark.parametrize("chunk", [1, 10**9])
def test_masks_take_their_steps_together_or_alone(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    image, masks = two_tone(), torch.rand(5, 20, 30, generator=torch.Generator().manual_seed(0))
    expected = pamr(image, masks)
    before = masks.clone()
    monkeypatch.setattr(refine, "CHUNK", chunk)
    torch.testing.assert_close(pamr(image, masks), expected, rtol=0, atol=1e-6)
    assert torch.equal(masks, before)


@pytest.mark.filterwarnings("error")
def test_the_deviation_of_almost_equal_colours_is_told_to_their_last_digit() -> None:
    """E[x^2] - E[x]^2 of bright colours that differ by 1e-6 would be rounding alone."""
    image = 0.9 + 1e-6 * torch.rand(3, 12, 14, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    found, expected = pamr_kernel(image.float(), (1, 2)), pamr_kernel(image.float().double(), (1, 2))
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=2e-3)
    torch.testing.assert_close(found.sum(0), torch.ones(12, 14))


@pytest.mark.gpu
def test_a_gpu_refines_alike() -> None:
    image, masks = two_tone(), torch.rand(3, 20, 30, generator=torch.Generator().manual_seed(0))
    there = pamr(image, masks.cuda())
    assert there.is_cuda
    torch.testing.assert_close(there.cpu(), pamr(image, masks), rtol=0, atol=1e-5)
    membership = torch.eye(2)[[0, 0, 1]]
    for how in PIXELS:
        moved = refined_labels(membership.cuda(), (1, 3), image, how)
        assert np.array_equal(moved, refined_labels(membership, (1, 3), image, how))

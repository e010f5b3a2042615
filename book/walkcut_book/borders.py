"""Borders judged apart from cuts: patches are told the truth, or find it, and each way to pixels does the rest."""

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from scipy.ndimage import binary_dilation
from skimage.segmentation import find_boundaries

from walkcut.bench.metrics import contingency, covering
from walkcut.pixels import nearest, soft_membership
from walkcut.refine import refined_labels
from walkcut.registry import PIXELS
from walkcut.scenes import Scene
from walkcut.segmentation import Segmentation
from walkcut.walk import Walk


def ways_to_pixels(
    labels: np.ndarray, walk: Walk, image: np.ndarray, stays: Sequence[float] = (1, 0.5)
) -> dict[str, np.ndarray]:
    """Labels (H, W) by every refiner, from patches (h, w) that stay with probability q; "nearest" asks nobody."""
    found = {"nearest": nearest(labels, image.shape[:2])}
    for q in stays:
        member = soft_membership(walk, labels, q)
        found |= {f"{how}, q = {q}": refined_labels(member, walk.grid, image, how) for how in PIXELS}
    return found


def judged(scenes: Iterable[Scene], found: Iterable[Segmentation]) -> dict[str, tuple[float, float]]:
    """Two means over scenes for each way: wrong pixels near borders, told the truth; covering, with what was found.

    Patches are 4 x 4 pixels. Those that are told the truth know what lies at their centres; near is within a patch.
    """
    rows: dict[str, list[tuple[float, float]]] = {}
    for scene, mine in zip(scenes, found, strict=True):
        truth = scene.materials
        near = binary_dilation(find_boundaries(truth), iterations=3)
        told = ways_to_pixels(truth[2::4, 2::4], mine.walk, scene.image)
        for name, labels in ways_to_pixels(mine.patch_labels, mine.walk, scene.image).items():
            cover = covering(contingency(truth, labels))
            rows.setdefault(name, []).append(((told[name] != truth)[near].mean(), cover))
    return {name: tuple(np.mean(row, 0)) for name, row in rows.items()}


def true_shares(scene: Scene) -> torch.Tensor:
    """Where patches of 4 x 4 pixels are told the true materials: bilinear shares of each, float32 (C, H, W)."""
    hot = torch.nn.functional.one_hot(torch.from_numpy(scene.materials[2::4, 2::4]).long()).float()
    return torch.nn.functional.interpolate(hot.permute(2, 0, 1)[None], scene.materials.shape, mode="bilinear")[0]


def hard_pictures() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Three pictures of two regions, uint8 (128, 128, 3), made to fail, with their truths: a thin wire, a disc whose
    edge fades out, and a faint border beside a strong shadow."""
    y, x = np.mgrid[:128, :128]
    noise, fade = np.random.default_rng(0).normal(0, 4, (128, 128, 3)), np.clip((x - 30) / 60, 0, 1)[..., None]
    disc, wire = (np.hypot(y - 64, x - 64) < 38).astype(int), (abs(y - 40 - 0.35 * x) < 1.2).astype(int)
    half, blue, grey = (x > 61).astype(int), [120, 150, 190], [150, 140, 140]
    cases = {"wire": (np.array([blue, [40, 40, 45]])[wire], wire)}
    cases["fading edge"] = (1 - fade) * np.array([blue, [200, 120, 60]])[disc] + fade * grey, disc
    cases["shadow"] = np.where(x > 65, 0.45, 1)[..., None] * np.array([grey, [160, 132, 132]])[half], half
    return {
        title: (np.clip(picture + noise, 0, 255).astype(np.uint8), truth) for title, (picture, truth) in cases.items()
    }

"""Pictures whose borders are hard to find, and scenes whose patches are told the truth."""

import numpy as np
import torch

from walkcut.scenes import Scene


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

"""Textures of dead leaves: families of periodic fields, and the banks of tiles that scenes are painted with.

A family maps a random generator to a field (TILE, TILE), which is then brought to zero mean and unit standard
deviation. What a texture does to a colour is the scene's affair (`walkcut.scenes`).
"""

from collections.abc import Callable
from functools import cache

import numpy as np

TILE = 256  # side of a tile in pixels; tiles are periodic
TILES_PER_FAMILY = 24


def _spectrum(rng: np.random.Generator, gain: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> np.ndarray:
    """White noise shaped by `gain(fy, fx)`, frequencies in cycles per pixel."""
    fy, fx = np.fft.fftfreq(TILE)[:, None], np.fft.rfftfreq(TILE)[None, :]
    return np.fft.irfft2(np.fft.rfft2(rng.normal(size=(TILE, TILE))) * gain(fy, fx), s=(TILE, TILE))


def _cloud(rng: np.random.Generator) -> np.ndarray:
    beta = rng.uniform(0.6, 2.0)
    return _spectrum(rng, lambda fy, fx: (np.hypot(fy, fx) + 2 / TILE) ** -beta)


def _grain(rng: np.random.Generator) -> np.ndarray:
    sigma = rng.uniform(0.5, 1.5)
    return _spectrum(rng, lambda fy, fx: np.exp(-2 * (np.pi * sigma) ** 2 * (fy**2 + fx**2)))


def _brushed(rng: np.random.Generator) -> np.ndarray:
    turn, stretch = rng.uniform(0, np.pi), rng.uniform(4, 12)

    def gain(fy: np.ndarray, fx: np.ndarray) -> np.ndarray:
        along, across = fx * np.cos(turn) + fy * np.sin(turn), fy * np.cos(turn) - fx * np.sin(turn)
        return np.exp(-((stretch * along / 0.12) ** 2) - (across / 0.2) ** 2)

    return _spectrum(rng, gain)


def _warped_phase(rng: np.random.Generator, warp: float) -> tuple[np.ndarray, np.ndarray]:
    """Two coordinates in periods, orthogonal and smoothly bent; whole periods fit the tile, so it stays periodic."""
    period = np.exp(rng.uniform(np.log(4), np.log(18)))
    turn = rng.uniform(0, np.pi)
    a, b = np.round(TILE / period * np.array([np.cos(turn), np.sin(turn)]))
    y, x = np.mgrid[:TILE, :TILE] / TILE
    bend = _cloud(rng)
    bend = warp * bend / bend.std()
    return a * x + b * y + bend, -b * x + a * y + bend


def _stripes(rng: np.random.Generator) -> np.ndarray:
    u, _ = _warped_phase(rng, rng.choice([0.0, 0.2, 0.5]))
    return np.tanh(rng.uniform(0.5, 4) * np.sin(2 * np.pi * u))


def _spots(rng: np.random.Generator) -> np.ndarray:
    centre, width = np.exp(rng.uniform(np.log(0.06), np.log(0.22))), rng.uniform(0.15, 0.3)
    field = _spectrum(rng, lambda fy, fx: np.exp(-(((np.hypot(fy, fx) / centre - 1) / width) ** 2)))
    return np.tanh(rng.uniform(0.5, 4) * (field / field.std() - rng.uniform(0, 0.8)))


def _checks(rng: np.random.Generator) -> np.ndarray:
    u, v = _warped_phase(rng, rng.choice([0.0, 0.15]))
    return np.tanh(rng.uniform(2, 6) * np.sin(2 * np.pi * u) * np.sin(2 * np.pi * v))


def _cracks(rng: np.random.Generator) -> np.ndarray:
    """Thin dark lines where a band-pass field crosses zero."""
    centre = np.exp(rng.uniform(np.log(0.02), np.log(0.08)))
    field = _spectrum(rng, lambda fy, fx: np.exp(-(((np.hypot(fy, fx) / centre - 1) / 0.4) ** 2)))
    return -np.exp(-((field / (0.25 * field.std())) ** 2))


def _flat(rng: np.random.Generator) -> np.ndarray:
    return 1e-3 * rng.normal(size=(TILE, TILE))


# A family's place is part of its bank's seed: a new one comes last, and the tiles of all others stay as they were.
TEXTURES: dict[str, Callable[[np.random.Generator], np.ndarray]] = {
    "brushed": _brushed,
    "checks": _checks,
    "cloud": _cloud,
    "cracks": _cracks,
    "flat": _flat,
    "grain": _grain,
    "spots": _spots,
    "stripes": _stripes,
}


@cache
def tiles(family: str) -> np.ndarray:
    """(TILES_PER_FAMILY, TILE, TILE) float32: the family's bank, the same in every process."""
    rng = np.random.default_rng([list(TEXTURES).index(family), 20412])
    bank = np.stack([TEXTURES[family](rng) for _ in range(TILES_PER_FAMILY)])
    bank -= bank.mean((1, 2), keepdims=True)
    if family != "flat":
        bank /= bank.std((1, 2), keepdims=True)
    return np.clip(bank, -3, 3).astype(np.float32)

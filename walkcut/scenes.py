"""Dead-leaves scenes: procedural pictures with exact ground truth.

Opaque shapes ("leaves") with a power law of sizes fall on a canvas and hide what lies below (Lee, Mumford & Huang,
"Occlusion models for natural images", IJCV 2001). Here each leaf is cut from one of a few *materials* (a colour, a
texture, a way of taking light), so that the truth has two nested levels: instances inside materials.

Shapes and textures come in named families (`SHAPES`, `TEXTURES`), so that whole families can be held out of training.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.ndimage import gaussian_filter

from walkcut.errors import InputError

TILE = 256  # side of a texture tile in pixels; tiles are periodic
TILES_PER_FAMILY = 24
PROFILE = 256  # samples of a shape's radius around the circle


@dataclass(frozen=True)
class Scene:
    """A picture and its exact segmentation at two nested levels.

    Attributes
    ----------
    image : uint8 (size, size, 3)
    instances : int32 (size, size)
        One label per visible leaf or background band, 0..n-1 without gaps.
    materials : int32 (size, size)
        One label per visible material, 0..m-1 without gaps; every instance lies inside one material.
    """

    image: np.ndarray
    instances: np.ndarray
    materials: np.ndarray


# ---------------------------------------------------------------------------------------------------------------------
# Shapes: a family maps (rng, angles) to a star-shaped radius r(angle), with max r = 1.


def _ellipse(rng: np.random.Generator, angle: np.ndarray) -> np.ndarray:
    aspect = rng.uniform(0.35, 1.0)
    return 1.0 / np.sqrt(np.cos(angle) ** 2 + (np.sin(angle) / aspect) ** 2)


def _superellipse(rng: np.random.Generator, angle: np.ndarray) -> np.ndarray:
    aspect, power = rng.uniform(0.35, 1.0), rng.uniform(3.0, 10.0)
    return (np.abs(np.cos(angle)) ** power + (np.abs(np.sin(angle)) / aspect) ** power) ** (-1.0 / power)


def _blob(rng: np.random.Generator, angle: np.ndarray) -> np.ndarray:
    order = np.arange(2, 7)[:, None]
    weight = rng.normal(0, 0.45, (5, 1)) / order
    return np.maximum(1.0 + (weight * np.cos(order * angle + rng.uniform(0, 2 * np.pi, (5, 1)))).sum(0), 0.15)


def _polygon(rng: np.random.Generator, angle: np.ndarray) -> np.ndarray:
    sides = rng.integers(3, 8)
    step = 2 * np.pi / sides
    return np.cos(step / 2) / np.cos(np.mod(angle, step) - step / 2)


def _star(rng: np.random.Generator, angle: np.ndarray) -> np.ndarray:
    points, depth = rng.integers(4, 9), rng.uniform(0.35, 0.65)
    ramp = np.abs(np.mod(angle * points / (2 * np.pi), 1.0) - 0.5) * 2
    return depth + (1 - depth) * ramp


SHAPES: dict[str, Callable[[np.random.Generator, np.ndarray], np.ndarray]] = {
    "ellipse": _ellipse,
    "superellipse": _superellipse,
    "blob": _blob,
    "polygon": _polygon,
    "star": _star,
}

# ---------------------------------------------------------------------------------------------------------------------
# Textures: a family maps rng to a periodic field (TILE, TILE) of zero mean and unit standard deviation.


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


TEXTURES: dict[str, Callable[[np.random.Generator], np.ndarray]] = {
    "flat": _flat,
    "cloud": _cloud,
    "grain": _grain,
    "brushed": _brushed,
    "stripes": _stripes,
    "spots": _spots,
    "checks": _checks,
    "cracks": _cracks,
}

HELD_OUT_SHAPES = ("polygon", "star")
HELD_OUT_TEXTURES = ("checks", "cracks")
TRAIN_SHAPES = tuple(name for name in SHAPES if name not in HELD_OUT_SHAPES)
TRAIN_TEXTURES = tuple(name for name in TEXTURES if name not in HELD_OUT_TEXTURES)


@cache
def _tiles(family: str) -> np.ndarray:
    """(TILES_PER_FAMILY, TILE, TILE) float32: the family's bank, the same in every process."""
    rng = np.random.default_rng([sorted(TEXTURES).index(family), 20412])
    tiles = np.stack([TEXTURES[family](rng) for _ in range(TILES_PER_FAMILY)])
    tiles -= tiles.mean((1, 2), keepdims=True)
    if family != "flat":
        tiles /= tiles.std((1, 2), keepdims=True)
    return np.clip(tiles, -3, 3).astype(np.float32)


# ---------------------------------------------------------------------------------------------------------------------
# Layout: who is visible where.


def _sizes(rng: np.random.Generator, count: int, size: int) -> np.ndarray:
    """Radii from the density r^-3 between two bounds (inverse of its distribution function)."""
    low, high = size * np.exp(rng.uniform(np.log(1 / 30), np.log(1 / 8))), size / 2
    share = rng.uniform(size=count)
    return (low**-2 - share * (low**-2 - high**-2)) ** -0.5


def _background(rng: np.random.Generator, size: int) -> np.ndarray:
    """(size, size) int: one band, or in half of the scenes two or three bands with wavy horizons."""
    bands = np.zeros((size, size), np.int32)
    if rng.uniform() < 0.5:
        return bands
    x, y = np.arange(size) / size, np.arange(size)[:, None] / size
    for level in np.sort(rng.uniform(0.2, 0.8, rng.integers(1, 3))):
        order = np.arange(1, 9)[:, None]
        wave = rng.normal(0, 0.06, (8, 1)) / order * np.sin(np.pi * order * x + rng.uniform(0, 2 * np.pi, (8, 1)))
        bands += y > level + rng.uniform(0, 1.5) * wave.sum(0) + rng.normal(0, 0.08) * (x - 0.5)
    return bands


def _drop_leaves(
    rng: np.random.Generator, size: int, count: int, families: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Paint `count` leaves, largest first more often than not, over the background.

    Returns
    -------
    owner : int32 (size, size), the topmost leaf; bands of the background come first
    depth : float32 (size, size), squared distance from the leaf's centre in units of its radius, 1 at its edge
    """
    owner = _background(rng, size)
    depth = np.ones((size, size), np.float32)
    first = owner.max() + 1
    radii = _sizes(rng, count, size)
    radii = radii[np.argsort(-radii * np.exp(rng.normal(0, 0.5, count)))]
    centres = rng.uniform(0, size, (count, 2))
    turns = rng.uniform(0, 2 * np.pi, count)
    angle = np.arange(PROFILE) * (2 * np.pi / PROFILE)
    for leaf, (radius, (cy, cx), turn) in enumerate(zip(radii, centres, turns, strict=True)):
        profile = SHAPES[families[rng.integers(len(families))]](rng, angle)
        profile = profile / profile.max() * radius
        y0, y1 = max(int(cy - radius), 0), min(int(cy + radius) + 2, size)
        x0, x1 = max(int(cx - radius), 0), min(int(cx + radius) + 2, size)
        dy, dx = np.arange(y0, y1)[:, None] - cy, np.arange(x0, x1)[None, :] - cx
        index = ((np.arctan2(dy, dx) + turn) * (PROFILE / (2 * np.pi))).astype(np.int32) % PROFILE
        ratio = (dy**2 + dx**2) / profile[index] ** 2
        inside = ratio < 1
        owner[y0:y1, x0:x1][inside] = first + leaf
        depth[y0:y1, x0:x1][inside] = ratio[inside]
    return owner, depth


# ---------------------------------------------------------------------------------------------------------------------
# Light: what colour is seen where.

_LAB_TO_XYZ = np.array([[1 / 116, 1 / 500, 0], [1 / 116, 0, 0], [1 / 116, 0, -1 / 200]])
_XYZ_TO_RGB = np.array([[3.2406, -1.5372, -0.4986], [-0.9689, 1.8758, 0.0415], [0.0557, -0.2040, 1.0570]])
_WHITE = np.array([0.95047, 1.0, 1.08883])


def _lab_to_rgb(lab: np.ndarray) -> np.ndarray:
    """CIELAB (D65) to sRGB in [0, 1]; colours out of gamut are clipped. (skimage's `lab2rgb` is 6 times slower.)"""
    f = np.add(lab, [16.0, 0.0, 0.0]) @ _LAB_TO_XYZ.T
    xyz = np.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29)) * _WHITE
    linear = np.clip(xyz @ _XYZ_TO_RGB.T, 0, 1)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def _colours(rng: np.random.Generator, count: int) -> np.ndarray:
    """(count, 3) CIELAB colours: any lightness, mostly muted; in a third of the scenes all near one another."""
    chroma, hue = rng.gamma(2.0, 12.0, count), rng.uniform(0, 2 * np.pi, count)
    lab = np.stack([rng.uniform(8, 95, count), chroma * np.cos(hue), chroma * np.sin(hue)], 1)
    closeness = rng.choice([1.0, 1.0, 0.45])
    return lab.mean(0) + closeness * (lab - lab.mean(0))


def _paint(
    rng: np.random.Generator, owner: np.ndarray, depth: np.ndarray, material: np.ndarray, textures: Sequence[str]
) -> np.ndarray:
    """(size, size, 3) sRGB in [0, 1]: colour and texture of the material, light of the leaf, light of the scene."""
    size, leaves, kinds = len(owner), len(material), material.max() + 1
    chosen = [_tiles(textures[rng.integers(len(textures))])[rng.integers(TILES_PER_FAMILY)] for _ in range(kinds)]
    bank = np.stack(chosen)
    shift = rng.integers(0, TILE, (2, leaves))
    stride = rng.integers(1, 3, kinds)
    y, x = np.mgrid[:size, :size]
    kind = material[owner]
    step = stride[kind]
    texture = bank[kind, (step * y + shift[0][owner]) % TILE, (step * x + shift[1][owner]) % TILE]

    # the texture moves the colour along one direction, mostly lightness
    direction = np.stack([np.ones(kinds), rng.normal(0, 0.4, kinds), rng.normal(0, 0.4, kinds)], 1)
    direction *= rng.gamma(2.0, 4.0, (kinds, 1))
    lab = _colours(rng, kinds)[kind] + texture[..., None] * direction[kind]

    slope = rng.normal(0, 7, (2, leaves)) * (rng.uniform(size=leaves) < 0.7)
    light = rng.normal(0, 2.5, leaves)[owner] + (slope[0][owner] * y + slope[1][owner] * x) * (2 / size)
    light += (rng.uniform(0, 14, leaves) * (rng.uniform(size=leaves) < 0.5))[owner] * (0.5 - depth)
    tilt = rng.normal(0, 8, 2)
    lab[..., 0] += light - light.mean() + tilt[0] * (y / size - 0.5) + tilt[1] * (x / size - 0.5)
    rgb = gaussian_filter(_lab_to_rgb(lab), (*[rng.uniform(0.35, 0.9)] * 2, 0), truncate=3)
    return rgb + rng.normal(size=rgb.shape) * rng.uniform(0, 0.02)


def make_scene(
    seed: int | Sequence[int],
    size: int = 128,
    shapes: Sequence[str] = TRAIN_SHAPES,
    textures: Sequence[str] = TRAIN_TEXTURES,
) -> Scene:
    """Draw one scene.

    Parameters
    ----------
    seed : int or sequence of int
        The same seed and arguments give the same scene, byte for byte.
    size : int
        Side in pixels, 16 to 1024.
    shapes, textures : sequence of str
        Families to draw from, keys of `SHAPES` and `TEXTURES`.

    Returns
    -------
    Scene

    Raises
    ------
    InputError
        For an unknown family or a size out of range.
    """
    if not 16 <= size <= 1024:
        raise InputError(f"A scene of {size} pixels cannot be drawn: choose a size from 16 to 1024.")
    for chosen, known, word in ((shapes, SHAPES, "shape"), (textures, TEXTURES, "texture")):
        for name in chosen:
            if name not in known:
                raise InputError(f"There is no {word} family {name!r}: choose from {', '.join(known)}.")
        if not chosen:
            raise InputError(f"No {word} family was given: choose from {', '.join(known)}.")
    rng = np.random.default_rng(seed)
    count = int(np.exp(rng.uniform(np.log(4), np.log(50))))
    owner, depth = _drop_leaves(rng, size, count, shapes)
    material = rng.integers(0, rng.integers(3, 12), owner.max() + 1)
    rgb = _paint(rng, owner, depth, material, textures)
    instances = np.unique(owner, return_inverse=True)[1].reshape(owner.shape).astype(np.int32)
    materials = np.unique(material[owner], return_inverse=True)[1].reshape(owner.shape).astype(np.int32)
    image = np.round(255 * np.clip(rgb, 0, 1)).astype(np.uint8)
    return Scene(image, instances, materials)

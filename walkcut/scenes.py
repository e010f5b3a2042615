"""Dead-leaves scenes: procedural pictures with exact ground truth.

Opaque shapes ("leaves") with a power law of sizes fall on a canvas and hide what lies below (Lee, Mumford & Huang,
"Occlusion models for natural images", IJCV 2001). Here each leaf is cut from one of a few *materials* (a colour, a
texture, a way of taking light), so that the truth has two nested levels: instances inside materials.

Shapes and textures come in named families (`SHAPES`, `walkcut.textures.TEXTURES`), so that whole families can be held
out of training. A scene can tell in words what it shows.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

from walkcut.errors import InputError
from walkcut.textures import TEXTURES, TILE, TILES_PER_FAMILY, tiles

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
    words : tuple of m tuples of str
        What is to be said of each material, of `WORDS`: its colour, and its texture.
    horizon : bool
        Whether two bands of the background are to be seen.
    """

    image: np.ndarray
    instances: np.ndarray
    materials: np.ndarray
    words: tuple[tuple[str, ...], ...]
    horizon: bool


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
HELD_OUT_SHAPES = ("polygon", "star")
HELD_OUT_TEXTURES = ("checks", "cracks")
TRAIN_SHAPES = tuple(name for name in SHAPES if name not in HELD_OUT_SHAPES)
TRAIN_TEXTURES = ("flat", "cloud", "grain", "brushed", "stripes", "spots")

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
) -> tuple[np.ndarray, np.ndarray, int]:
    """Paint `count` leaves, largest first more often than not, over the background.

    Returns
    -------
    owner : int32 (size, size), the topmost leaf; bands of the background come first
    depth : float32 (size, size), squared distance from the leaf's centre in units of its radius, 1 at its edge
    bands : int, owners below it are bands of the background
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
        profile = SHAPES[families[int(rng.integers(len(families)))]](rng, angle)
        profile = profile / profile.max() * radius
        y0, y1 = max(int(cy - radius), 0), min(int(cy + radius) + 2, size)
        x0, x1 = max(int(cx - radius), 0), min(int(cx + radius) + 2, size)
        dy, dx = np.arange(y0, y1)[:, None] - cy, np.arange(x0, x1)[None, :] - cx
        index = ((np.arctan2(dy, dx) + turn) * (PROFILE / (2 * np.pi))).astype(np.int32) % PROFILE
        ratio = (dy**2 + dx**2) / profile[index] ** 2
        inside = ratio < 1
        owner[y0:y1, x0:x1][inside] = first + leaf
        depth[y0:y1, x0:x1][inside] = ratio[inside]
    return owner, depth, first


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
) -> tuple[np.ndarray, list[tuple[str, ...]]]:
    """(size, size, 3) sRGB in [0, 1]: colour and texture of the material, light of the leaf, light of the scene.

    With it, the words for each material.
    """
    size, leaves, kinds = len(owner), len(material), material.max() + 1
    chosen = [(textures[int(rng.integers(len(textures)))], rng.integers(TILES_PER_FAMILY)) for _ in range(kinds)]
    bank = np.stack([tiles(family)[number] for family, number in chosen])
    shift = rng.integers(0, TILE, (2, leaves))
    stride = rng.integers(1, 3, kinds)
    y, x = np.mgrid[:size, :size]
    kind = material[owner]
    step = stride[kind]
    texture = bank[kind, (step * y + shift[0][owner]) % TILE, (step * x + shift[1][owner]) % TILE]

    # the texture moves the colour along one direction, mostly lightness
    direction = np.stack([np.ones(kinds), rng.normal(0, 0.4, kinds), rng.normal(0, 0.4, kinds)], 1)
    direction *= rng.gamma(2.0, 4.0, (kinds, 1))
    colours = _colours(rng, kinds)
    lab = colours[kind] + texture[..., None] * direction[kind]

    slope = rng.normal(0, 7, (2, leaves)) * (rng.uniform(size=leaves) < 0.7)
    light = rng.normal(0, 2.5, leaves)[owner] + (slope[0][owner] * y + slope[1][owner] * x) * (2 / size)
    light += (rng.uniform(0, 14, leaves) * (rng.uniform(size=leaves) < 0.5))[owner] * (0.5 - depth)
    tilt = rng.normal(0, 8, 2)
    lab[..., 0] += light - light.mean() + tilt[0] * (y / size - 0.5) + tilt[1] * (x / size - 0.5)
    rgb = gaussian_filter(_lab_to_rgb(lab), (*[rng.uniform(0.35, 0.9)] * 2, 0), truncate=3)
    words = [
        (*colour_words(colour), TEXTURE_WORDS[family]) for colour, (family, _) in zip(colours, chosen, strict=True)
    ]
    return rgb + rng.normal(size=rgb.shape) * rng.uniform(0, 0.02), words


# ---------------------------------------------------------------------------------------------------------------------
# Words: what is to be said of a material.

HUES = ("pink", "red", "brown", "yellow", "green", "cyan", "blue", "purple")
HUE_STARTS = (-15, 20, 50, 80, 110, 170, 230, 300)  # degrees in the plane of a* and b*
TEXTURE_WORDS = {"flat": "plain", "cloud": "cloudy", "grain": "grainy", "brushed": "brushed", "stripes": "striped"}
TEXTURE_WORDS |= {"spots": "spotted", "checks": "checked", "cracks": "cracked"}
# A word's place is its number in captions. No texture is pebbly or grassy any more; the words have their vectors still.
WORDS = ("dark", "bright", "grey", *HUES, *TEXTURE_WORDS.values(), "pebbly", "grassy", "horizon")


def colour_words(lab: np.ndarray) -> tuple[str, ...]:
    """A colour (3,) of CIELAB in words: "dark" below lightness 35, "bright" above 70, and a hue or "grey"."""
    lightness, a, b = lab
    tone = ("dark",) if lightness < 35 else ("bright",) if lightness > 70 else ()
    if np.hypot(a, b) < 10:
        return (*tone, "grey")
    hue = np.mod(np.degrees(np.arctan2(b, a)) + 15, 360) - 15
    return (*tone, HUES[np.searchsorted(HUE_STARTS, hue, side="right") - 1])


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
    owner, depth, bands = _drop_leaves(rng, size, count, shapes)
    material = rng.integers(0, rng.integers(3, 12), owner.max() + 1)
    rgb, words = _paint(rng, owner, depth, material, textures)
    instances = np.unique(owner, return_inverse=True)[1].reshape(owner.shape).astype(np.int32)
    seen, materials = np.unique(material[owner], return_inverse=True)
    image = np.round(255 * np.clip(rgb, 0, 1)).astype(np.uint8)
    return Scene(
        image,
        instances,
        materials.reshape(owner.shape).astype(np.int32),
        words=tuple(words[kind] for kind in seen),
        horizon=len(np.unique(owner[owner < bands])) > 1,
    )

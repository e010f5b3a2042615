"""What was tried to stop without a number from the user, on pictures set aside for choosing among it.

Not on the pictures of the results page: other photographs (BSDS500 train), scenes of other seeds, and pictures in which
there is nothing to find.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from walkcut import scenes
from walkcut.bench.datasets import SCENE_SIDE, Dataset, Item, scene_item
from walkcut.criteria import best_pruning
from walkcut.lab.criteria import codebooks, stability_at
from walkcut.textures import TEXTURES, tiles
from walkcut.tree import PartitionTree

if TYPE_CHECKING:
    from walkcut.bench.ours import Variant
    from walkcut.segmentation import Segmentation

SEED = 55_000_001  # no training run and no result starts with it
FAMILIES = (
    (scenes.TRAIN_SHAPES, scenes.TRAIN_TEXTURES, 30),
    (scenes.HELD_OUT_SHAPES, scenes.HELD_OUT_TEXTURES, 20),
)
BLANK_SEED, BLANK_SIDE = 55_000_024, 128  # drawn after the rule was fixed


def choosing_scenes(every: int = 1) -> Dataset:
    """Dead leaves to choose by: 30 of the training's families, 20 of unseen ones; `every` keeps one of so many."""
    names = tuple(f"{family}-{i:02d}" for family, (*_, count) in enumerate(FAMILIES) for i in range(count))

    def load(name: str) -> Item:
        family, index = map(int, name.split("-"))
        shapes, textures, _ = FAMILIES[family]
        return scene_item(name, [SEED, family, index], shapes, textures)

    config = {"seed": SEED, "size": SCENE_SIDE, "families": [count for *_, count in FAMILIES]}
    return Dataset("criteria-scenes", "Criteria on dead leaves to choose by", names[::every], load, config)


def white_noise(rng: np.random.Generator) -> np.ndarray:
    """Each pixel for itself."""
    return rng.integers(0, 256, (BLANK_SIDE, BLANK_SIDE, 3), dtype=np.uint8)


def pink_noise(rng: np.random.Generator) -> np.ndarray:
    """Amplitudes fall with frequency f as 1/f, as in photographs; phases are random."""
    y, x = np.meshgrid(*(np.fft.fftfreq(BLANK_SIDE),) * 2, indexing="ij")
    gain = 1 / np.maximum(np.hypot(y, x), 1 / BLANK_SIDE)
    noise = rng.normal(size=(BLANK_SIDE, BLANK_SIDE, 3))
    field = np.fft.ifft2(np.fft.fft2(noise, axes=(0, 1)) * gain[..., None], axes=(0, 1)).real
    return _pixels(128 + 40 * (field - field.mean((0, 1))) / field.std((0, 1)))


def one_texture(rng: np.random.Generator) -> np.ndarray:
    """One of the scenes' textures, in one colour, all over."""
    bank = tiles(str(rng.choice(list(TEXTURES))))
    tile = bank[rng.integers(len(bank)), :BLANK_SIDE, :BLANK_SIDE]
    return _pixels(rng.uniform(60, 195, 3) + 20 * tile[..., None])


def gradient(rng: np.random.Generator) -> np.ndarray:
    """From one colour to another, evenly, in any direction."""
    one, other = rng.uniform(0, 256, (2, 3))
    angle = rng.uniform(0, 2 * np.pi)
    y, x = np.indices((BLANK_SIDE, BLANK_SIDE)) / (BLANK_SIDE - 1) - 0.5
    along = np.cos(angle) * x + np.sin(angle) * y
    along = (along - along.min()) / np.ptp(along)
    return _pixels(one + (other - one) * along[..., None])


def one_colour(rng: np.random.Generator) -> np.ndarray:
    """The same everywhere."""
    return np.tile(rng.integers(0, 256, 3, dtype=np.uint8), (BLANK_SIDE, BLANK_SIDE, 1))


def _pixels(values: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


BLANK: dict[str, Callable[[np.random.Generator], np.ndarray]] = {
    "white noise": white_noise,
    "1/f noise": pink_noise,
    "texture": one_texture,
    "gradient": gradient,
    "colour": one_colour,
}


def blank_pictures(each: int = 200) -> Dataset:
    """Pictures in which there is nothing to find, so many of each kind."""
    names = tuple(f"{kind}-{i:03d}" for kind in BLANK for i in range(each))

    def load(name: str) -> Item:
        kind, _, index = name.rpartition("-")
        image = BLANK[kind](np.random.default_rng([BLANK_SEED, list(BLANK).index(kind), int(index)]))
        return Item(name, image, {"human": (np.zeros(image.shape[:2], np.int32),)})

    config = {"seed": BLANK_SEED, "blank": list(BLANK), "each": each, "size": BLANK_SIDE}
    return Dataset("criteria-blank", "Criteria where there is nothing to find", names, load, config)


# ---------------------------------------------------------------------------------------------------------------------
# What is maximised, over segments and over splits, and among which prunings


def stability(tree: PartitionTree, time: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Stability; at a time below 1 the walk has taken its step with that probability (Delvenne et al. 2010)."""
    return time * tree.association + (1 - time) * tree.volume - tree.volume**2, np.zeros(len(tree))


def map_equation(tree: PartitionTree, time: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """The map equation when a step is taken with probability `time` only (Schaub, Lambiotte & Barahona 2012)."""
    segment, index = codebooks(tree, time * np.maximum(tree.volume - tree.association, 0))
    return -segment, -index


def majority(tree: PartitionTree) -> tuple[np.ndarray, np.ndarray]:
    """The sum over segments of Pr(a walker stays for a step) - 1/2: segments are kept more often than left.

    Each is then a community in the weak sense of Radicchi et al. 2004, on average.
    """
    return tree.association / np.maximum(tree.volume, 1e-300) - 0.5, np.zeros(len(tree))


def best(found: Segmentation, segment: np.ndarray, split: np.ndarray) -> np.ndarray:
    """The best of all prunings, see `walkcut.criteria.best_pruning`."""
    return best_pruning(found.tree, segment, split)[0]


def best_threshold(found: Segmentation, segment: np.ndarray, split: np.ndarray) -> np.ndarray:
    """The same, but only among the prunings by a threshold: the leaves."""
    tree, height = found.tree, found.tree.split_height()
    places = [0.0, *np.unique(height[np.isfinite(height)])]
    scores = np.array([segment[tree.leaves(place)].sum() + split[height <= place].sum() for place in places])
    return tree.leaves(places[int(np.argmax(scores > scores.max() - 1e-12))])


def later(found: Segmentation, time: int) -> np.ndarray:
    """Stability after several steps."""
    assert found.walk is not None, "the benchmark keeps it"
    return stability_at(found.tree, found.walk, time).leaves


def otsu(found: Segmentation) -> np.ndarray:
    """The threshold that parts the tree's values best in two groups (Otsu 1979)."""
    values = np.sort(found.tree.ncut[np.isfinite(found.tree.ncut)])
    if len(values) < 2:
        return found.tree.leaves(values[0] if len(values) else 0.0)
    n, low = len(values), np.cumsum(values)[:-1]
    k = np.arange(1, n)
    between = k * (n - k) * (low / k - (values.sum() - low) / (n - k)) ** 2
    return found.tree.leaves(float(values[np.argmax(between)]))


VARIANTS: dict[str, Variant] = {
    "stability by threshold": lambda found: best_threshold(found, *stability(found.tree)),
    "stability at 1/2": lambda found: best(found, *stability(found.tree, 0.5)),
    "stability at 2": lambda found: later(found, 2),
    "stability at 4": lambda found: later(found, 4),
    "map-equation by threshold": lambda found: best_threshold(found, *map_equation(found.tree)),
    "map-equation at 1/2": lambda found: best(found, *map_equation(found.tree, 0.5)),
    "map-equation at 3/4": lambda found: best(found, *map_equation(found.tree, 0.75)),
    "majority": lambda found: best(found, *majority(found.tree)),
    "Otsu": otsu,
}

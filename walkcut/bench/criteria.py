"""What was tried to stop without a number from the user, on pictures set aside for choosing among it.

Not on the pictures of the results page: other photographs (BSDS500 train), scenes of other seeds, and pictures in which
there is nothing to find.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from walkcut import scenes
from walkcut.bench.datasets import SCENE_SIDE, Dataset, Item, scene_item
from walkcut.criteria import best_pruning
from walkcut.lab.criteria import codebooks, stability_at
from walkcut.tree import PartitionTree

if TYPE_CHECKING:
    from walkcut.bench.ours import Variant
    from walkcut.segmentation import Segmentation

SEED = 55_000_001  # no training run and no result starts with it
FAMILIES = (
    (scenes.TRAIN_SHAPES, scenes.TRAIN_TEXTURES, 30),
    (scenes.HELD_OUT_SHAPES, scenes.HELD_OUT_TEXTURES, 20),
)
COLOURS = ((0, 0, 0), (128, 128, 128), (30, 90, 200), (255, 255, 255), (220, 40, 40))
SHAPES = ((128, 128), (96, 144))


def choosing_scenes(every: int = 1) -> Dataset:
    """Dead leaves to choose by: 30 of the training's families, 20 of unseen ones; `every` keeps one of so many."""
    names = tuple(f"{family}-{i:02d}" for family, (*_, count) in enumerate(FAMILIES) for i in range(count))

    def load(name: str) -> Item:
        family, index = map(int, name.split("-"))
        shapes, textures, _ = FAMILIES[family]
        return scene_item(name, [SEED, family, index], shapes, textures)

    config = {"seed": SEED, "size": SCENE_SIDE, "families": [count for *_, count in FAMILIES]}
    return Dataset("criteria-scenes", "Criteria on dead leaves to choose by", names[::every], load, config)


def blank_pictures(noise: int = 100) -> Dataset:
    """Pictures in which there is nothing to find: white noise, and constant pictures of several colours and shapes."""
    blank = {f"{i}": (colour, shape) for i, (colour, shape) in enumerate((c, s) for c in COLOURS for s in SHAPES)}
    names = (*(f"noise-{i:03d}" for i in range(noise)), *(f"constant-{i}" for i in blank))

    def load(name: str) -> Item:
        kind, _, index = name.partition("-")
        if kind == "noise":
            image = np.random.default_rng([SEED, int(index)]).integers(0, 256, (128, 128, 3), dtype=np.uint8)
        else:
            colour, shape = blank[index]
            image = np.broadcast_to(np.array(colour, np.uint8), (*shape, 3)).copy()
        return Item(name, image, {"human": (np.zeros(image.shape[:2], np.int32),)})

    config = {"seed": SEED, "noise": noise, "colours": [list(c) for c in COLOURS], "shapes": [list(s) for s in SHAPES]}
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

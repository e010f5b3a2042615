"""What was tried to stop without a number from the user, on pictures set aside for choosing among it.

Not on the pictures of the results page: other photographs (BSDS500 train), scenes of other seeds, and pictures in which
there is nothing to find.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from walkcut import scenes
from walkcut.bench.datasets import SCENE_SIDE, Dataset, Item, scene_item
from walkcut.bench.ours import Variant
from walkcut.textures import TEXTURES, tiles

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


def document(rng: np.random.Generator) -> np.ndarray:
    """A page of words: no things, but something to see."""
    page = Image.new("L", (BLANK_SIDE, BLANK_SIDE), 250)
    size, draw = int(rng.integers(7, 15)), ImageDraw.Draw(page)
    for top in range(size, BLANK_SIDE - 2 * size, round(1.4 * size)):
        letters = rng.choice(list("etaoinshrdlu     "), 2 * BLANK_SIDE // size)
        draw.text((size, top), "".join(letters), int(rng.integers(0, 60)), ImageFont.load_default(size))
    page.paste(250, (BLANK_SIDE - size, 0, BLANK_SIDE, BLANK_SIDE))
    return np.repeat(np.asarray(page)[..., None], 3, 2)


def blank_pictures(each: int = 200, kinds: Sequence[str] = ()) -> Dataset:
    """Pictures in which there is nothing to find, so many of each kind; or those of another kind, "document"."""
    kinds = kinds or list(BLANK)
    names = tuple(f"{kind}-{i:03d}" for kind in kinds for i in range(each))

    def load(name: str) -> Item:
        kind, _, index = name.rpartition("-")
        drawn = BLANK | {"document": document}
        image = drawn[kind](np.random.default_rng([BLANK_SEED, list(drawn).index(kind), int(index)]))
        return Item(name, image, {"human": (np.zeros(image.shape[:2], np.int32),)})

    config = {"seed": BLANK_SEED, "blank": list(kinds), "each": each, "size": BLANK_SIDE}
    return Dataset("criteria-blank", "Criteria where there is nothing to find", names, load, config)


def documents(each: int = 200) -> Dataset:
    """Pages of words, which need not stay whole: how many do is told beside blank pictures."""
    title = "Criteria on pages of words"
    return replace(blank_pictures(each, ["document"]), name="criteria-documents", title=title)


# ---------------------------------------------------------------------------------------------------------------------
# Further ways to stop, each from a `Segmentation` to the leaves of a pruning


def most_of_null(share: float) -> Variant:
    """The rule of `walkcut.criteria.spatial_null` with another share."""
    return lambda found: found.tree.frontier(found.prices.walk < share * found.prices.null)


SHARES = (0.6, 0.65, 0.7, 0.8, 0.85)
VARIANTS: dict[str, Variant] = {f"null at {share}": most_of_null(share) for share in SHARES}

"""Pictures with their true segmentations, read one at a time: dead leaves and BSDS500."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.io import loadmat
from scipy.io.matlab import MatReadError

from walkcut import scenes
from walkcut.errors import InputError

BSDS_HOME = "https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/resources.html"
BSDS_PICTURES = {"train": 200, "val": 100, "test": 200}
BSDS_WHERE = f"BSDS500 comes from {BSDS_HOME}; name the folder that holds data/images and data/groundTruth."
# Training draws from seeds (seed, step, index) with a small first number; no training run starts with this one.
SCENE_SEED = 90_210_001
SCENE_SIDE = 128  # pixels
SCENE_SUITES = {
    "seeds": ("unseen seeds, the training's own families", scenes.TRAIN_SHAPES, scenes.TRAIN_TEXTURES, 200),
    "families": ("unseen families of shapes and textures", scenes.HELD_OUT_SHAPES, scenes.HELD_OUT_TEXTURES, 100),
}


@dataclass(frozen=True)
class Item:
    """One picture and its truth.

    Attributes
    ----------
    name : str
        Unique in the data set.
    image : uint8 (H, W, 3)
    truths : dict of tuple of integer (H, W)
        Per kind of truth ("human", or "instances" and "materials") one or several segmentations, not negative. Where
        the data set has named classes, only "classes": one square int32 map, perhaps of another side than the image,
        with -1 where nothing is labelled.
    """

    name: str
    image: np.ndarray
    truths: dict[str, tuple[np.ndarray, ...]]


@dataclass(frozen=True)
class Dataset:
    """Names of pictures, how to read one, and what the pictures depend on; names of the classes, if they have any.

    With `borders`, boundary F is scored where there are humans. It takes a third of the time of an ablation.
    """

    name: str
    title: str
    names: tuple[str, ...]
    load: Callable[[str], Item] = field(repr=False)
    config: dict = field(default_factory=dict)
    classes: tuple[str, ...] = ()
    borders: bool = True


class Entry(NamedTuple):
    """The files of one picture: the picture itself and its truth."""

    name: str
    image: Path
    truth: Path


def visible(folder: Path, pattern: str) -> list[Path]:
    """Sorted files below a folder that match, without the hidden ones that some systems leave beside real files."""
    return sorted(path for path in folder.glob(pattern) if not path.name.startswith("."))


def check_sizes(entry: Entry, image: np.ndarray, truth: np.ndarray) -> None:
    """InputError, naming both files, if a picture and its truth differ in height or width."""
    if image.shape[:2] != truth.shape:
        (high, wide), (height, width) = image.shape[:2], truth.shape
        raise InputError(
            f"{entry.image} has {high}x{wide} pixels but its truth {entry.truth} has {height}x{width}: "
            "unpack both archives again."
        )


def scene_item(name: str, seed: Sequence[int], shapes: Sequence[str], textures: Sequence[str]) -> Item:
    """A dead-leaves scene and its two truths."""
    scene = scenes.make_scene(seed, SCENE_SIDE, shapes, textures)
    return Item(name, scene.image, {"instances": (scene.instances,), "materials": (scene.materials,)})


def held_out_scenes(suite: str) -> Dataset:
    """Dead-leaves scenes that no training has seen.

    Parameters
    ----------
    suite : str
        "seeds": 200 new scenes of the families that training uses; "families": 100 scenes made only of shapes and
        textures that training never uses.
    """
    title, shapes, textures, count = SCENE_SUITES[suite]
    prefix = list(SCENE_SUITES).index(suite)

    def load(name: str) -> Item:
        return scene_item(name, [SCENE_SEED, prefix, int(name)], shapes, textures)

    config = {"seed": [SCENE_SEED, prefix], "size": SCENE_SIDE, "shapes": list(shapes), "textures": list(textures)}
    return Dataset(f"scenes-{suite}", f"Dead leaves, {title}", tuple(f"{i:04d}" for i in range(count)), load, config)


def read_bsds_truth(path: Path) -> tuple[np.ndarray, ...]:
    """The human segmentations in one BSDS500 file, each int32 (H, W) from 0.

    Raises
    ------
    InputError
        If the file cannot be read or does not hold human segmentations.
    """
    damage = (OSError, ValueError, TypeError, KeyError, IndexError, NotImplementedError, MatReadError, zlib.error)
    try:
        cells = loadmat(path)["groundTruth"].ravel()
        truths = tuple(cell["Segmentation"][0, 0].astype(np.int32) - 1 for cell in cells)
        odd = [truth for truth in truths if truth.ndim != 2 or truth.shape != truths[0].shape or truth.min() < 0]
        if odd or not truths:
            raise ValueError("no segments numbered from 1, of one size for all people")
    except damage as error:
        raise InputError(
            f"{path} holds no BSDS500 human segmentations ({error}): unpack the archive again, see {BSDS_HOME}."
        ) from error
    return truths


def bsds_entries(root: str | Path, split: str) -> list[Entry]:
    """The pictures of a split of BSDS500, whose truth may be missing; see `bsds500`."""
    root = Path(root)
    data = root if (root / "images").is_dir() else root / "data"
    images, truths = data / "images" / split, data / "groundTruth" / split
    for folder in (images, truths):
        if not folder.is_dir():
            raise InputError(f"{folder} does not exist. {BSDS_WHERE}")
    entries = [Entry(path.stem, path, truths / f"{path.stem}.mat") for path in visible(images, "*.jpg")]
    if not entries:
        raise InputError(f"{images} holds no JPEG picture. {BSDS_WHERE}")
    return entries


def bsds500(root: str | Path, split: str = "val", every: int = 1) -> Dataset:
    """The Berkeley Segmentation Data Set 500, in its original layout.

    Parameters
    ----------
    root : path
        The folder that holds `data/images/SPLIT/*.jpg` and `data/groundTruth/SPLIT/*.mat`, or its `data` itself.
    split : str
        "train", "val" or "test".
    every : int
        Keep one picture of `every`, in the order of names.

    Raises
    ------
    InputError
        If files are missing: which ones, and where to get them.
    """
    entries = bsds_entries(root, split)
    lost = [entry.truth for entry in entries if not entry.truth.is_file()]
    if lost:
        raise InputError(
            f"{lost[0].parent} lacks {len(lost)} of {len(entries)} files, first {lost[0].name}. {BSDS_WHERE}"
        )
    known = {entry.name: entry for entry in entries}

    def load(name: str) -> Item:
        from walkcut.reading import read_image

        image, truths = read_image(known[name].image), read_bsds_truth(known[name].truth)
        check_sizes(known[name], image, truths[0])
        return Item(name, image, {"human": truths})

    return thin(Dataset(f"bsds500-{split}", f"BSDS500 {split}", tuple(known), load, {"split": split}), every)


def thin(dataset: Dataset, every: int) -> Dataset:
    """Keep one picture of `every`, in order, from the first."""
    return replace(dataset, names=dataset.names[::every])

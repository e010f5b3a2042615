"""Pictures with their true segmentations, read one at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from scipy.io import loadmat
from scipy.io.matlab import MatReadError

from walkcut import scenes
from walkcut.errors import InputError

BSDS_HOME = "https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/resources.html"
BSDS_SPLITS = ("train", "val", "test")
# Training draws from seeds (seed, step, index) with a small first number; no training run starts with this one.
SCENE_SEED = 90_210_001
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
    truths : dict of tuple of non-negative integer (H, W)
        Per kind of truth ("human", or "instances" and "materials") one or several segmentations.
    """

    name: str
    image: np.ndarray
    truths: dict[str, tuple[np.ndarray, ...]]


@dataclass(frozen=True)
class Dataset:
    """Names of pictures, how to read one, and what the pictures depend on."""

    name: str
    title: str
    names: tuple[str, ...]
    load: Callable[[str], Item] = field(repr=False)
    config: dict = field(default_factory=dict)


def held_out_scenes(suite: str, count: int | None = None, size: int = 128) -> Dataset:
    """Dead-leaves scenes that no training has seen.

    Parameters
    ----------
    suite : str
        "seeds": 200 new scenes of the families that training uses; "families": 100 scenes made only of shapes and
        textures that training never uses.
    count : int, optional
        Take the first `count` instead.
    size : int
        Side in pixels, 16 to 1024.

    Raises
    ------
    InputError
        For an unknown suite or a count below 1.
    """
    if suite not in SCENE_SUITES:
        raise InputError(f"There is no suite of scenes {suite!r}: choose from {', '.join(SCENE_SUITES)}.")
    title, shapes, textures, usual = SCENE_SUITES[suite]
    count = usual if count is None else count
    if count < 1:
        raise InputError(f"{count} scenes cannot be scored: choose at least 1.")
    prefix = list(SCENE_SUITES).index(suite)

    def load(name: str) -> Item:
        scene = scenes.make_scene([SCENE_SEED, prefix, int(name)], size, shapes, textures)
        return Item(name, scene.image, {"instances": (scene.instances,), "materials": (scene.materials,)})

    config = {"seed": [SCENE_SEED, prefix], "size": size, "shapes": list(shapes), "textures": list(textures)}
    return Dataset(f"scenes-{suite}", f"Dead leaves, {title}", tuple(f"{i:04d}" for i in range(count)), load, config)


def read_bsds_truth(path: Path) -> tuple[np.ndarray, ...]:
    """The human segmentations in one BSDS500 file, each int32 (H, W) from 0.

    Raises
    ------
    InputError
        If the file cannot be read or does not hold human segmentations.
    """
    try:
        cells = loadmat(path)["groundTruth"].ravel()
        return tuple(cell["Segmentation"][0, 0].astype(np.int32) - 1 for cell in cells)
    except (OSError, ValueError, TypeError, KeyError, IndexError, NotImplementedError, MatReadError) as error:
        raise InputError(
            f"{path} holds no BSDS500 human segmentations ({error}): unpack the archive again, see {BSDS_HOME}."
        ) from error


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
        If the split is unknown, `every` is below 1, or files are missing: which ones, and where to get them.
    """
    if split not in BSDS_SPLITS:
        raise InputError(f"BSDS500 has no split {split!r}: choose from {', '.join(BSDS_SPLITS)}.")
    if every < 1:
        raise InputError(f"One picture of {every} cannot be taken: choose 1 or more.")
    root = Path(root)
    data = root if (root / "images").is_dir() else root / "data"
    images, truths = data / "images" / split, data / "groundTruth" / split
    where = f"BSDS500 comes from {BSDS_HOME}; name the folder that holds data/images and data/groundTruth."
    for folder in (images, truths):
        if not folder.is_dir():
            raise InputError(f"{folder} does not exist. {where}")
    names = sorted(path.stem for path in images.glob("*.jpg"))
    if not names:
        raise InputError(f"{images} holds no JPEG picture. {where}")
    lost = [name for name in names if not (truths / f"{name}.mat").is_file()]
    if lost:
        raise InputError(f"{truths} lacks {len(lost)} of {len(names)} files, first {lost[0]}.mat. {where}")

    def load(name: str) -> Item:
        from walkcut.images import read_image

        return Item(name, read_image(images / f"{name}.jpg"), {"human": read_bsds_truth(truths / f"{name}.mat")})

    return Dataset(f"bsds500-{split}", f"BSDS500 {split}", tuple(names[::every]), load, {"split": split})

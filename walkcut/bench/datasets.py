"""Pictures with their true segmentations, read one at a time: dead leaves and BSDS500."""

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
        the data set has named classes, only "classes": one int32 map, perhaps of another size than the image, with -1
        where nothing is labelled.
    """

    name: str
    image: np.ndarray
    truths: dict[str, tuple[np.ndarray, ...]]


@dataclass(frozen=True)
class Dataset:
    """Names of pictures, how to read one, and what the pictures depend on; names of the classes, if they have any.

    With `borders`, boundary F is scored where there are humans. It takes a third of the time of an ablation. `files`
    are those that a picture is read from.
    """

    name: str
    title: str
    names: tuple[str, ...]
    load: Callable[[str], Item] = field(repr=False)
    config: dict = field(default_factory=dict)
    classes: tuple[str, ...] = ()
    borders: bool = True
    files: Callable[[str], Sequence[Path]] = field(default=lambda name: (), repr=False)


NOT_LABELLED, UNKNOWN = -1, -2


@dataclass(frozen=True)
class Layout:
    """Where the files of a data set lie, and what the values in its label files mean.

    Attributes
    ----------
    name, title : str
    pictures : int
        How many there are; 0 if any number will do.
    images, truths : tuple of str
        Folders relative to the root, any one of which will do.
    endings : (str or tuple of str, str)
        What follows the name of a picture in the names of its two files.
    where : str
        Where the files are obtained and how they must lie.
    classes : tuple of str
    table : int32 (256,)
        Class of each value; -1 where it stands for nothing labelled, -2 where no file may hold it.
    listed : tuple of str
        Names of the pictures; empty if all that lie in the folder, or in folders inside it, count.
    square : bool
        Whether a protocol's square is cut out of each picture; else the whole of it counts.
    """

    name: str
    title: str
    pictures: int
    images: tuple[str, ...]
    truths: tuple[str, ...]
    endings: tuple[str | tuple[str, ...], str]
    where: str
    classes: tuple[str, ...] = ()
    table: np.ndarray = field(default_factory=lambda: np.full(256, UNKNOWN, np.int32), repr=False, compare=False)
    listed: tuple[str, ...] = field(default=(), repr=False)
    square: bool = True


class Entry(NamedTuple):
    """The files of one picture: the picture itself and its truth."""

    name: str
    image: Path
    truth: Path


def _folder(root: Path, choices: tuple[str, ...], where: str) -> Path:
    for choice in choices:
        if (root / choice).is_dir():
            return root / choice
    raise InputError(f"{root} does not hold {' or '.join(choices)}. {where}")


def find(kind: Layout, root: str | Path) -> list[Entry]:
    """All pictures that count, in the order of names; files of some may be missing.

    Raises
    ------
    InputError
        If a folder is missing, or holds no picture at all.
    """
    root = Path(root)
    images, truths = _folder(root, kind.images, kind.where), _folder(root, kind.truths, kind.where)
    of_image, of_truth = kind.endings
    ends = (of_image,) if isinstance(of_image, str) else of_image
    paths = [images / f"{name}{ends[0]}" for name in kind.listed]
    if not paths:  # hidden files are what some systems leave beside real ones
        found = sorted(path for path in images.rglob("*") if not path.name.startswith("."))
        paths = [path for path in found if path.name.endswith(ends) or path.suffix.lower() in ends]
    if not any(path.is_file() for path in paths):
        raise InputError(f"{images} holds no picture of {kind.title}. {kind.where}")

    def entry(path: Path) -> Entry:
        name = path.name.removesuffix(ends[0]) if len(ends) == 1 else path.stem
        return Entry(name, path, truths / path.parent.relative_to(images) / f"{name}{of_truth}")

    return [entry(path) for path in paths]


def whole(kind: Layout, root: str | Path, partial: bool = False) -> dict[str, Entry]:
    """The pictures that are there, by name.

    Raises
    ------
    InputError
        If that is not all of them (unless `partial`), or a truth is missing; and as `find`.
    """
    entries = find(kind, root)
    have = [entry for entry in entries if entry.image.is_file()]
    if len(have) != kind.pictures and kind.pictures and not partial:
        lacking = next((f", first lacking {entry.image}" for entry in entries if not entry.image.is_file()), "")
        told = f"{len(have):,} pictures were found where {kind.title} has {kind.pictures:,}"
        raise InputError(f"{told}{lacking}. {kind.where}")
    lost = [entry.truth for entry in have if not entry.truth.is_file()]
    if lost:
        raise InputError(f"The labels of {len(lost):,} pictures are missing, first {lost[0]}. {kind.where}")
    known = {entry.name: entry for entry in have}
    for entry in have:
        if known[entry.name] != entry:
            raise InputError(f"{entry.image} and {known[entry.name].image} have one name: rename one, and its labels.")
    return known


def check_sizes(entry: Entry, image: np.ndarray, truth: np.ndarray) -> None:
    """InputError, naming both files, if a picture and its truth differ in height or width."""
    if image.shape[:2] != truth.shape:
        shown, drawn = (f"{height}x{width}" for height, width in (image.shape[:2], truth.shape))
        told = f"{entry.image} has {shown} pixels but its truth {entry.truth} has {drawn}"
        raise InputError(f"{told}: unpack both archives again.")


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


def read_humans(entry: Entry) -> Item:
    """A photograph of BSDS500 and its human segmentations; InputError if a file is damaged, or sizes differ."""
    from walkcut.reading import read_image

    image, truths = read_image(entry.image), read_bsds_truth(entry.truth)
    check_sizes(entry, image, truths[0])
    return Item(entry.name, image, {"human": truths})


def bsds_layout(split: str) -> Layout:
    """Where the files of "train", "val" or "test" lie, below the folder that holds `data` or below `data` itself."""
    images, truths = ((f"{part}/{split}", f"data/{part}/{split}") for part in ("images", "groundTruth"))
    ends = (".jpg", ".mat")
    return Layout(f"bsds500-{split}", f"BSDS500 {split}", BSDS_PICTURES[split], images, truths, ends, BSDS_WHERE)


BSDS = {f"bsds500-{split}": bsds_layout(split) for split in BSDS_PICTURES}


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
    kind = BSDS[f"bsds500-{split}"]
    known = whole(kind, root, partial=True)
    found = Dataset(kind.name, kind.title, tuple(known), lambda name: read_humans(known[name]), {"split": split})
    return thin(replace(found, files=lambda name: known[name][1:]), every)


def thin(dataset: Dataset, every: int) -> Dataset:
    """Keep one picture of `every`, in order, from the first."""
    return replace(dataset, names=dataset.names[::every])

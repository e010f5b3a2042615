"""Toy data sets and methods for the benchmark's tests: no model, no files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from scipy.io import savemat

from walkcut.bench import ours
from walkcut.bench.datasets import Dataset, Item
from walkcut.bench.method import Method, Result
from walkcut.errors import InputError
from walkcut.graph import Graph
from walkcut.null import SplitPrices
from walkcut.recipe import Recipe
from walkcut.segmentation import Segmentation
from walkcut.tree import PartitionTree

SETTINGS = 1 + len(ours.OTHERS) + 3  # of `fake_method`: criteria and three thresholds
HALVES = np.repeat([[0, 0, 1, 1]], 4, axis=0)
CLASSES = ("sky", "sea", "sand")


def toy(count: int = 3) -> Dataset:
    """Pictures p0, p1, ... with two humans: one sees halves, one sees nothing; "broken" cannot be read."""

    def load(name: str) -> Item:
        if name == "broken":
            raise InputError("This picture is broken.")
        return Item(name, np.zeros((4, 4, 3), np.uint8), {"human": (HALVES, np.zeros_like(HALVES))})

    return Dataset("toy", "Toy", tuple(f"p{i}" for i in range(count)), load)


def toy_classes(count: int = 3) -> Dataset:
    """Pictures whose left half is sky and right half sea; the lowest row is not labelled, sand occurs nowhere."""
    truth = HALVES.astype(np.int32).copy()
    truth[-1] = -1

    def load(name: str) -> Item:
        return Item(name, np.zeros((8, 8, 3), np.uint8), {"classes": (truth,)})

    return Dataset("coco-stuff-27", "Toy classes", tuple(f"p{i}" for i in range(count)), load, {}, CLASSES)


def halves_tree() -> PartitionTree:
    """16 patches, cut into halves at 0.5."""
    sides = np.arange(16).reshape(4, 4)
    order = np.r_[sides[:, :2].ravel(), sides[:, 2:].ravel()]
    nodes = np.array([0, 0, 8]), np.array([16, 8, 16]), np.array([1, -1, -1]), np.array([2, -1, -1])
    shares = np.array([1.0, 0.5, 0.5])
    return PartitionTree((4, 4), order, *nodes, np.array([0.5, np.inf, np.inf]), shares, shares)


def fake_segmentation() -> Segmentation:
    """The halves as they were found and from 0.5 on, nothing below; by prices one segment."""
    image, labels = np.zeros((4, 4, 3), np.uint8), HALVES.astype(np.int32)
    membership = torch.from_numpy(np.stack([1 - labels, labels], 2).reshape(16, 2)).float()  # nobody leaves a half
    graph, dear = Graph(torch.eye(16, dtype=torch.float64)), np.array([0.9, np.inf, np.inf])
    return Segmentation(
        *(image, labels, labels, halves_tree(), Recipe(), None, "constant", SplitPrices(dear, dear), membership, {}),
        graph=graph,
    )


def fake_method(log: list | None = None, **config: object) -> Method:
    """Our method with a stand-in for the model; `log` grows by one for each picture that it sees."""

    def segmenter(image: np.ndarray) -> Segmentation:
        if log is not None:
            log.append(image.shape)
        return fake_segmentation()

    return ours.tree_method("walkcut", segmenter, (0.2, 0.6, 0.8), config=dict(config), tree_scores=False)


def one_segment(name: str = "Felzenszwalb") -> Method:
    """A peer that finds nothing."""

    def segment(item: Item) -> Iterator[Result]:
        yield Result("only", np.zeros(item.image.shape[:2], int))

    return Method(name, ("only",), {}, segment)


def make_bsds(root: Path, split: str = "val") -> Path:
    """BSDS500 in its real layout, with three pictures and two humans each."""
    shades = np.linspace(0, 255, 20 * 30).reshape(20, 30).astype(np.uint8)
    for name in ("100", "200", "300"):
        for part in ("images", "groundTruth"):
            (root / "data" / part / split).mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.stack([shades] * 3, 2)).save(root / "data/images" / split / f"{name}.jpg")
        cells = np.empty((1, 2), object)
        for human in range(2):
            labels = np.ones((20, 30), np.uint16)
            labels[:, 15:] = 2
            labels[10:, 15:] += human
            cells[0, human] = {"Segmentation": labels, "Boundaries": np.zeros((20, 30), np.uint8)}
        savemat(root / "data/groundTruth" / split / f"{name}.mat", {"groundTruth": cells}, do_compression=True)
    return root

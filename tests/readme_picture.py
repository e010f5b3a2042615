"""The pictures of the README, two eyes and the method: `python tests/readme_picture.py` draws them anew."""

from __future__ import annotations

from pathlib import Path

from matplotlib import pyplot as plt
from matplotlib.colors import CenteredNorm
from matplotlib.figure import Figure

import walkcut
from walkcut import plots
from walkcut.ncut import second_eigenvector
from walkcut_book import eyes

STATIC = Path(__file__).resolve().parent.parent / "book" / "_static"
SHOWN = ("fig", "dogs", "coffee", "dahlia", "dandelions", "astronaut")
PLACE = (0.72, 0.72)  # of a patch of the bowl
ACROSS = 10  # inches


def both_eyes() -> Figure:
    """Photographs, and their segments by the eye of dead leaves and by the recorded one."""
    return eyes.gallery({name: eyes.both(name) for name in SHOWN})


def method() -> Figure:
    """Photograph, a step of the walk, the second eigenvector, segments."""
    photo = walkcut.sample("fig")
    found = walkcut.segment(photo, device="cpu", keep_walk=True)
    (height, width), (h, w) = photo.shape[:2], found.walk.grid
    row, column = int(PLACE[0] * h), int(PLACE[1] * w)
    step = found.walk.P[row * w + column].view(h, w).numpy()
    y = second_eigenvector(found.graph).y.view(h, w).numpy()
    figure, axes = plt.subplots(1, 4, figsize=(10, 1.95), layout="constrained")
    whole = {"extent": (-0.5, width - 0.5, height - 0.5, -0.5)}
    axes[0].imshow(photo)
    axes[1].imshow(step, cmap="viridis", vmin=0, vmax=float(step.max()) / 2, **whole)
    axes[2].imshow(y, cmap="RdBu_r", norm=CenteredNorm(), **whole)
    plots.segments(photo, found.labels, axes[3])
    for axis in axes[:2]:
        axis.plot((column + 0.5) * width / w, (row + 0.5) * height / h, "o", ms=8, mfc="none", mec="white", mew=1.5)
    titles = (
        "a photograph",
        "walk: one step from the ring",
        "cut: the slowest pattern",
        f"recurse: {found.count} segments",
    )
    for axis, title in zip(axes, titles, strict=True):
        axis.set_title(title, fontsize=10)
        axis.set_axis_off()
    return figure


PICTURES = {"eyes.jpg": both_eyes, "method.png": method}


def save(folder: Path) -> None:
    """Write them all."""
    for name, draw in PICTURES.items():
        figure = draw()
        figure.set_size_inches(figure.get_size_inches() * ACROSS / figure.get_figwidth())
        figure.savefig(folder / name, dpi=110)


if __name__ == "__main__":
    save(STATIC)

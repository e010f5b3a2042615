"""The picture of the README, the method from left to right: `python tests/readme_picture.py` draws it anew."""

from __future__ import annotations

from pathlib import Path

from matplotlib import pyplot as plt
from matplotlib.colors import CenteredNorm
from matplotlib.figure import Figure

import walkcut
from walkcut import plots
from walkcut.ncut import second_eigenvector

PATH = Path(__file__).resolve().parent.parent / "book" / "_static" / "method.png"
PLACE = (0.72, 0.72)  # of a patch of the bowl


def draw() -> Figure:
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


def save(path: Path) -> None:
    """Write it as a PNG."""
    draw().savefig(path, dpi=110)


if __name__ == "__main__":
    save(PATH)

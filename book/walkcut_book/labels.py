"""Label maps that are made up, to try matchings on."""

import numpy as np


def label_maps(
    rng: np.random.Generator, clusters: int, classes: int = 27, side: int = 24
) -> tuple[np.ndarray, np.ndarray]:
    """A made-up picture for trying matchings: its classes and its clusters, both int (side, side).

    Clusters are the cells round random centres that crowd in a corner: few are large, many small. Each belongs to one
    of two to four classes, of which some are more frequent than others.
    """
    y, x = np.mgrid[:side, :side][..., None]
    row, column = side * rng.random((2, clusters)) ** 3
    cell = ((y - row) ** 2 + (x - column) ** 2).argmin(-1)
    often = np.arange(1, classes + 1) ** 2.0
    own = rng.choice(classes, rng.integers(2, 5), replace=False, p=often / often.sum())
    return own[rng.integers(0, len(own), clusters)][cell], cell

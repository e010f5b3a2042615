"""One page about one picture: attention, cut and tree to explore, in a file that needs nothing else."""

import html
from pathlib import Path
from string import Template

import numpy as np

from walkcut.backbone import Backbone
from walkcut.capture import MeanAttention, capture
from walkcut.memory import enough_memory
from walkcut.recipe import resolve
from walkcut.segmentation import WalkRecord, cut
from walkcut.widgets.explorers import attention_explorer, cut_explorer, tree_explorer

MAX_GRID = 32  # patches along the longer side: attention between 32 x 32 of them fills 1.4 MB of the page
HIGHEST = 0.9  # threshold of the slider

PAGE = Path(__file__).with_suffix(".html")  # a template


def explore(image: np.ndarray, name: str, backbone: Backbone, grid: int = MAX_GRID, seed: int = 0) -> str:
    """The page, as one string of HTML.

    Parameters
    ----------
    image : uint8 (H, W, 3)
    name : str
        Of the picture; any characters.
    backbone : Backbone
    grid : int
        Patches along the picture's longer side, at most `MAX_GRID`.
    seed : int
        Of the noise.

    Raises
    ------
    InputError
        As `walkcut.segment`.
    """
    recipe = resolve("walkcut", backbone.eye, {"grid": grid, "seed": seed})
    with enough_memory(backbone.grid(image, grid), grid, backbone.device):
        ((attention,),) = capture(backbone, [image], recipe, MeanAttention())
        record = WalkRecord.prepared(image, attention, recipe)
        found = cut(record)
    threshold = min(HIGHEST, _threshold_for(found.tree.split_height(), len(np.unique(found.patch_labels))))
    h, w = record.walk.grid
    figures = {
        "Attention: where a walker goes": attention_explorer(image, attention),
        "Cut: where the walk rarely crosses": cut_explorer(image, (h, w), record.graph()),
        "Tree: each part cut again": tree_explorer(image, found.tree, threshold, HIGHEST),
    }
    shown = {"name": name, "model": backbone.name, "criterion": found.criterion}
    # a file's name may hold bytes that are no text
    safe = {key: html.escape(value.encode("utf-8", "replace").decode()) for key, value in shown.items()}
    parts = "\n".join(f"<h2>{title}</h2>\n{figure.data}" for title, figure in figures.items())
    page = Template(PAGE.read_text(encoding="utf-8"))
    return page.substitute(h=h, w=w, count=found.count, parts=parts, **safe)


def _threshold_for(heights: np.ndarray, count: int) -> float:
    """A threshold that splits a tree into at least `count` segments, or into all that it has: the lowest level that
    does, and half-way to the next, so that the slider's rounding decides nothing."""
    levels = np.r_[0.0, np.sort(heights[np.isfinite(heights)])]
    level = levels[min(count, len(levels)) - 1]
    above = min(levels[levels > level], default=max(level, HIGHEST))
    return float((level + above) / 2)

"""The door: from a picture, a model's name and settings to one recipe, and with it through the core."""

import os
from dataclasses import replace
from typing import Any

import numpy as np
from PIL import Image

from walkcut.backbone import Backbone
from walkcut.eyes.loading import load_backbone
from walkcut.images import check_image
from walkcut.memory import enough_memory
from walkcut.reading import from_pillow, read_image
from walkcut.recipe import Preset, resolve
from walkcut.segmentation import Segmentation, cut, extract_walks, timed


def segment(
    image: Any,
    model: str | Backbone = "dead-leaves",
    *,
    preset: str | Preset = "walkcut",
    device: str = "auto",
    keep_walk: bool = False,
    **settings: Any,
) -> Segmentation:
    """Segment a picture by cutting the random walk that a denoiser's attention takes over it.

    Parameters
    ----------
    image : uint8 (H, W, 3)
        Other arrays and tensors are converted, see `walkcut.images.check_image`; so are Pillow's pictures. A file, or
        the name of one, is read, see `walkcut.reading.read_image`.
    model : str or Backbone
        A short name, a local folder of one, or a backbone that is already loaded.
    preset : str or Preset
        "walkcut", or a reconstruction of the paper's, see `walkcut.recipe.PRESETS`.
    device : str
        For a model given by name.
    keep_walk : bool
        Keep the walk and the graph that were cut: 64 MB each for 64 x 64 patches. `Segmentation.at("eigengap")` needs
        them.
    **settings
        Fields of `walkcut.recipe.Recipe` that are to differ from the preset's and the model's: threshold, grid, steps,
        timesteps, noise, seed, spatial_prior, pixels and others.

    Returns
    -------
    Segmentation

    Raises
    ------
    InputError
        For a picture or a setting out of range, or a grid that there is no memory for, told in one sentence.
    """
    if isinstance(image, str | os.PathLike) or hasattr(image, "read"):
        image = read_image(image)
    elif isinstance(image, Image.Image):
        image = np.asarray(from_pillow(image))
    image = check_image(image).copy()  # ours: the caller may fill the array anew
    timings: dict[str, float] = {}
    with timed(timings, "model"):
        backbone = model if isinstance(model, Backbone) else load_backbone(model, device)
    recipe = resolve(preset, backbone.eye, settings)
    with enough_memory(backbone.grid(image, recipe.grid), recipe.grid, backbone.device):
        (record,) = extract_walks([image], backbone, recipe)
        return cut(replace(record, timings=timings | record.timings), keep_walk)

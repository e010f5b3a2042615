"""Eyes by name: from a model's name, path or folder to a `walkcut.backbone.Backbone`. Nothing is downloaded."""

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import cache, partial
from typing import Any

import numpy as np
import torch

from walkcut.backbone import Backbone
from walkcut.capture import MeanAttention, capture
from walkcut.errors import InputError, ModelError, shown
from walkcut.eyes.models import AGAIN, READOUT, find_eye
from walkcut.eyes.networks import compile_layers
from walkcut.memory import short_of_memory
from walkcut.recipe import Recipe, checked, resolve, text
from walkcut.registry import EYES
from walkcut.threads import undisturbed


def find_device(device: str = "auto") -> torch.device:
    """A torch device that is really there; "auto" takes a GPU if there is one."""
    if isinstance(device, str) and device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(device)
        torch.zeros(1, device=found).item()
    except (RuntimeError, AssertionError, NotImplementedError, TypeError, ValueError):
        raise InputError(f"The device {shown(device)} is not available here: choose cpu or auto.") from None
    return found


def _named(name: str, value: Any) -> str:
    if not isinstance(value, str | os.PathLike):
        raise InputError(f"A model is a name, a folder, or what load_backbone returns, not {shown(value)}.")
    return os.fspath(value)


@undisturbed()
@checked(model=_named, prompt=text)
def load_backbone(
    model: str = "dead-leaves",
    device: str = "auto",
    dtype: str = "auto",
    prompt: str = "",
    offload: bool = False,
    compiled: bool = False,
) -> Backbone:
    """Load a denoiser or a vision transformer by short name, hub path or local folder. Nothing is downloaded.

    Parameters
    ----------
    model : str
        A name of `walkcut.eyes.models.MODELS`; a hub path such as "CompVis/stable-diffusion-v1-4" whose files are in
        the hub's cache; or a folder that `save_pretrained` of a pipeline, or of a vision
        transformer, wrote. Pickled weights are refused.
    device : str
        "auto", "cpu", "cuda", "cuda:1", "mps".
    dtype : str
        Of the denoiser: "float32", "float16" or "bfloat16"; "auto" is float32 for the embedded one and beside
        no GPU, else float16. The VAE computes in float32 in any case: in half precision some overflow.
    prompt : str
        What the denoiser is told to see; the embedded one takes words of its vocabulary.
    offload : bool
        Keep a Stable Diffusion's weights in main memory and bring each layer to the device when its turn comes: for a
        GPU that is too small, at the price of time.
    compiled : bool
        Let torch.compile translate the denoiser's blocks: the first pictures take long, the others less.

    Raises
    ------
    InputError
        For an unknown model, unreadable weights or too many of them, a device that is not there, or a word that the
        model does not know.
    """
    where = find_device(device)
    eye = find_eye(model, str(where), dtype, prompt)
    # its readout is judged before its weights; every schedule has this timestep, the last
    few = resolve("walkcut", eye, {} if eye.family == "vision" else {"noise": "forward", "timesteps": (999,)})
    blamed = partial(_blamed, model, where, eye.latent and not offload)
    with blamed():
        found = EYES[eye.family](eye, where, offload)
        if compiled:
            compile_layers(found.networks.first or found.denoiser)
        else:  # which would be compiled for these few patches alone
            _try(found, few)
    if not (eye.folder / READOUT).exists():
        _tell_untuned(eye.name)
    # of the embedded one, a part is read when it is asked for
    found.networks.load = partial(_loaded, blamed, found.networks.load)
    return found


@cache
def _tell_untuned(name: str) -> None:
    """Once in a process: where nobody is listening, Python writes the sentence to the standard error."""
    about = "all heads are read alike until `walkcut calibrate %s` has chosen among them, without labels"
    logging.getLogger("walkcut").warning(f"walkcut: %s has no readout yet: {about}.", name, name)


def _loaded(blamed: Callable[[], AbstractContextManager[None]], load: Callable[[], Any]) -> Any:
    with blamed():
        return load()


def _try(backbone: Backbone, recipe: Recipe) -> None:
    """A look at very few patches, for what would else be found out on the first picture, and blamed on it."""
    few = replace(recipe, grid=max(backbone.shrinks[-1] // backbone.shrinks[0], 2))
    try:
        capture(backbone, [np.full((2, 2, 3), 128, np.uint8)], few, MeanAttention())
    except InputError as error:
        odd = [name for name, value in _weights(backbone) if not value.isfinite().all()]
        reason = f"{odd[0]} is not finite" if odd else str(error).removesuffix(".")
        remedy = f"mend or remove its {READOUT}, or {AGAIN}" if backbone.eye.readout and not odd else AGAIN
        raise ModelError(f"The model {backbone.name!r} cannot be used ({reason}): {remedy}.") from error


def _weights(backbone: Backbone) -> Iterator[tuple[str, torch.Tensor]]:
    for network in filter(None, (backbone.networks.first or backbone.denoiser, getattr(backbone, "vae", None))):
        yield from network.named_parameters()


@contextmanager
def _blamed(model: str, where: torch.device, offloadable: bool) -> Iterator[None]:
    """What goes wrong inside is the model's fault, and told as such."""
    try:
        yield
    except (InputError, ModuleNotFoundError):  # of a word that it does not know, or told already
        raise
    except Exception as error:  # whatever damaged weights make three libraries raise
        cause: BaseException | None = error
        while cause:
            if isinstance(cause, ModuleNotFoundError):  # which diffusers tells as another error
                raise cause from None
            cause = cause.__cause__
        if short_of_memory(error):
            gpu = "keep its weights in main memory with --offload" if offloadable else "choose --device cpu"
            remedy = "choose a smaller model" if where.type == "cpu" else gpu
            raise ModelError(f"The model {model!r} does not fit into the memory of {where}: {remedy}.") from error
        reason = " ".join(str(error).split()).partition(". ")[0].removesuffix(".") or type(error).__name__
        reason = f"{error.args[0]} is missing" if isinstance(error, KeyError) and error.args else reason
        raise ModelError(f"The model {model!r} cannot be read ({reason}): {AGAIN}.") from error

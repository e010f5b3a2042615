"""Eyes by name: from a model's name, path or folder to a `walkcut.backbone.Backbone`. Nothing is downloaded."""

from __future__ import annotations

import os
from typing import Any

import torch
from safetensors import SafetensorError

from walkcut.backbone import Backbone
from walkcut.errors import InputError, shown
from walkcut.eyes.models import find_eye
from walkcut.memory import short_of_memory
from walkcut.recipe import checked, text
from walkcut.registry import EYES
from walkcut.threads import undisturbed

# what loading damaged weights raises, and too many
DAMAGED = (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError, SafetensorError, MemoryError)


def find_device(device: str = "auto") -> torch.device:
    """A torch device that is really there; "auto" takes a GPU if there is one."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(device)
        torch.zeros(1, device=found).item()
    except (RuntimeError, AssertionError, NotImplementedError, TypeError):
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
    """Load a denoiser by short name, hub path or local folder in diffusers format. Nothing is downloaded.

    Parameters
    ----------
    model : str
        A name of `walkcut.eyes.models.MODELS`; a hub path such as "CompVis/stable-diffusion-v1-4" whose files are in
        the hub's cache; or a folder that `save_pretrained` of a pipeline wrote. Pickled weights are refused.
    device : str
        "auto", "cpu", "cuda", "cuda:1", "mps".
    dtype : str
        Of the denoiser: "float32", "float16" or "bfloat16"; "auto" is float16 for a Stable Diffusion on a GPU, float32
        elsewhere. The VAE computes in float32 in any case: in half precision some overflow.
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
    try:
        return EYES[eye.family](eye, where, offload, compiled)
    except InputError:  # of a word that it does not know
        raise
    except DAMAGED as error:
        raise _refusal(error, model, where, eye.latent and not offload) from error


def _refusal(error: Exception, model: str, where: torch.device, offloadable: bool) -> InputError:
    """What to say of weights that could not be loaded."""
    if short_of_memory(error):
        gpu = "keep its weights in main memory with --offload" if offloadable else "choose --device cpu"
        remedy = "choose a smaller model" if where.type == "cpu" else gpu
        return InputError(f"The model {model!r} does not fit into the memory of {where}: {remedy}.")
    reason = " ".join(str(error).split()) or type(error).__name__
    reason = f"{error.args[0]} is missing" if isinstance(error, KeyError) and error.args else reason
    return InputError(f"The weights of {model!r} cannot be read ({reason}): fetch or copy them again.")

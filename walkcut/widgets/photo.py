"""Bring a picture of your own: the whole method in JavaScript, for a page that has no kernel, no server and no network.

The page holds the figure (`photo.js`) alone. What computes is one script, `encoder_script`, that the page loads when a
reader asks for it: the modules of the folder `photo`, one behind the other, for a worker; the embedded denoiser's
encoder as far as attention is read, in half precision; and the sample pictures. Nothing of it is kept in the
repository.
"""

import base64
import hashlib
import json
import re
from functools import cache
from typing import Any

import numpy as np
import torch

from walkcut.backbone import Backbone
from walkcut.eyes.loading import load_backbone
from walkcut.recipe import Recipe, resolve
from walkcut.samples import sample, sample_credits, sample_names, sample_path
from walkcut.widgets.encode import photo
from walkcut.widgets.inline import Figure, inline_module, source_of

GRID = 32  # patches along the longer side: some seconds of plain JavaScript
SEED = 0  # of the noise, as `walkcut.segment` has it
THUMBNAIL = 96  # pixels
# In the order of the method.
PARTS = ("resize", "noise", "linear", "encoder", "walk", "cut", "tree", "pixels", "worker")
SCRIPT = "walkcut-encoder.js"
GLOBAL = "walkcutEncoder"  # what the script leaves behind
# Cross-attention, its norm, and what tells the time: they add the same numbers everywhere, which go into biases.
FOLDED = re.compile(r"\.attn2\.|\.transformer_blocks\.\d+\.norm2\.|\.time_emb_proj\.")


def photo_explorer(script: str = SCRIPT) -> Figure:
    """Choose a picture, have it segmented in the page, prune its tree.

    Parameters
    ----------
    script : str
        Where the page finds `encoder_script`, relative to itself.
    """
    state = {
        "script": f"{script}?{version()}",  # a browser may have kept an older one
        "grid": GRID,
        "samples": [_thumbnail(name) for name in sample_names()],
    }
    return inline_module("photo", state, "This figure needs JavaScript: it segments a picture of your own.")


@cache
def encoder_script() -> str:
    """The script that the page loads on demand: about 7 MB of plain text."""
    backbone = load_backbone("dead-leaves", "cpu")
    samples = {name: base64.b64encode(sample_path(name).read_bytes()).decode() for name in sample_names()}
    worker = '"use strict";\n' + source_of(*(f"photo/{part}" for part in PARTS))  # what runs beside the page
    found = {"encoder": encoder(backbone), "samples": samples, "worker": worker}
    return f"globalThis.{GLOBAL} = {json.dumps(found)};\n"


def version() -> str:
    """Changes when the script does."""
    return hashlib.sha256(encoder_script().encode()).hexdigest()[:12]


def encoder(backbone: Backbone) -> dict[str, object]:
    """The encoder up to the last layer that is read, its weights in base64, and what the walk needs of the model."""
    tensors, data = [], bytearray()
    recipe = resolve("walkcut", backbone.eye, {"grid": GRID, "seed": SEED})
    for name, array in _weights(backbone, recipe).items():
        kind = "f2" if array.dtype == np.float16 else "f4"
        data += bytes(-len(data) % 4)
        tensors.append([name, kind, len(data), array.size])
        data += array.astype(f"<{kind}").tobytes()
    (timestep,) = recipe.timesteps
    alphas: Any = backbone.alphas  # a denoiser's, no flow's
    keep = float(alphas[timestep])
    return {
        "levels": _levels(backbone, recipe),
        "groups": backbone.denoiser.config.norm_num_groups,
        "noise": [keep**0.5, (1 - keep) ** 0.5],
        "seed": SEED,
        "spatialPrior": recipe.spatial_prior,
        "inflation": recipe.inflation,
        "tensors": tensors,
        "base64": base64.b64encode(data).decode(),
    }


def _levels(backbone: Backbone, recipe: Recipe) -> list[dict[str, object]]:
    """For each level: its channels, those that enter it, its heads, and the weights of each layer's heads."""
    found, channels = [], backbone.denoiser.config.block_out_channels
    for place, block in enumerate(backbone.denoiser.down_blocks):
        layers = block.attentions[0].transformer_blocks
        names = [f"down_blocks.{place}.attentions.0.transformer_blocks.{i}.attn1" for i in range(len(layers))]
        heads = layers[0].attn1.heads
        read = [list(recipe.heads.get(name, [0.0] * heads)) for name in names]
        enters = channels[max(place - 1, 0)]
        found.append({"channels": channels[place], "enters": enters, "heads": heads, "read": read})
    while len(found[-1]["read"]) > 1 and not any(found[-1]["read"][-1]):
        found[-1]["read"].pop()  # layers behind the last that is read
    return found


@torch.inference_mode()
def _weights(backbone: Backbone, recipe: Recipe) -> dict[str, np.ndarray]:
    """Weights by diffusers' names: float16 as they are kept, float32 where something was folded in.

    The timestep's part of a residual block goes into the bias of its first convolution. The empty prompt is one token
    of zeros: every patch takes its whole value, zero, so that cross-attention adds its last bias alone; it goes into
    that of self-attention before it. Convolutions have their channels last.
    """
    unet, found = backbone.denoiser, {}
    steps, unread = torch.tensor(recipe.timesteps), _unread(unet, recipe)
    time = torch.nn.functional.silu(unet.time_embedding(unet.time_proj(steps).to(unet.dtype)))[0]
    state = {name: tensor.float() for name, tensor in unet.state_dict().items()}
    for name, tensor in state.items():
        if not name.startswith(("conv_in.", "down_blocks.")) or name.startswith(unread) or FOLDED.search(name):
            continue
        if name.endswith(".conv1.bias"):
            block = unet.get_submodule(name.removesuffix(".conv1.bias"))
            found[name] = (tensor + block.time_emb_proj(time)).numpy()
        elif name.endswith(".attn1.to_out.0.bias"):
            found[name] = (tensor + state[name.replace("attn1", "attn2")]).numpy()
        else:
            kept = tensor.permute(0, 2, 3, 1) if tensor.ndim == 4 else tensor
            found[name] = kept.contiguous().half().numpy()
    return found


def _unread(unet: torch.nn.Module, recipe: Recipe) -> tuple[str, ...]:
    """How the names of weights begin that nothing reads: of the last layer that is read, how it looks is enough."""
    last = list(recipe.heads)[-1].removesuffix(".attn1")  # named in the order of the forward pass
    layers, _, number = last.rpartition(".")
    behind = [f"{last}.{part}." for part in ("attn1.to_v", "attn1.to_out", "norm3", "ff")]
    blocks: Any = unet.get_submodule(layers)
    behind += [f"{layers}.{later}." for later in range(int(number) + 1, len(blocks))]
    return (*behind, layers.replace("transformer_blocks", "proj_out."))


def _thumbnail(name: str) -> dict[str, object]:
    image, credit = sample(name), sample_credits()[name]
    scale = THUMBNAIL / max(image.shape[:2])
    small = photo(image, max(1, round(scale * image.shape[1])))
    return {"name": name, "title": credit["title"], "thumbnail": small["photo"], "size": small["size"]}

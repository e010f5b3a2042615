"""Reads a vision transformer: a folder of `transformers` whose network sees pictures, not noise.

Its patches attend to one another, to a class token and, in some, to registers (Darcet et al. 2024). Positions are the
model's own, interpolated where a picture has another shape than those it was trained on.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from typing import Any, NamedTuple

import torch
from torch.nn import Module

from walkcut.backbone import Backbone, Networks
from walkcut.capture import ADAPTERS, Adapter
from walkcut.errors import InputError
from walkcut.eyes.models import VISION
from walkcut.eyes.networks import quiet, settled
from walkcut.recipe import Eye


class Kind(NamedTuple):
    """One kind of vision transformer. DINO is a ViT; of MAE the encoder, which is a ViT's, without its masking.

    Attributes
    ----------
    network : str
        Its class in `transformers`.
    interpolate : bool
        Whether it has to be told to interpolate its positions.
    mean, deviation : sequence of float
        Of the pixels that it was trained on, where no `preprocessor_config.json` tells; by default those of ImageNet.
    """

    network: str
    interpolate: bool = False
    mean: Sequence[float] = (0.485, 0.456, 0.406)
    deviation: Sequence[float] = (0.229, 0.224, 0.225)


KINDS = {name: Kind(**row) for name, row in VISION.items()}


def _project(attn: Any, hidden: torch.Tensor, options: Mapping[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
    """Queries and keys of a layer; DINOv3 turns them by their places (Su et al. 2021)."""
    query, key = (
        part(hidden).unflatten(-1, (-1, attn.head_dim)).transpose(1, 2) for part in (attn.q_proj, attn.k_proj)
    )
    if turns := options.get("position_embeddings"):
        query, key = import_module(type(attn).__module__).apply_rotary_pos_emb(query, key, *turns)
    return query, key


def _heads(attn: Any) -> int:
    return attn.q_proj.out_features // attn.head_dim


ADAPTERS["vision"] = Adapter((".attention", ".self_attn"), (), (), _project, "q_proj", _heads)


@dataclass(frozen=True, eq=False, kw_only=True)
class VisionBackbone(Backbone):
    """An eye that sees the picture itself, without noise, and predicts nothing that is used here.

    Attributes
    ----------
    colours : (Tensor (3, 1, 1), Tensor (3, 1, 1))
        Mean and standard deviation of the pixels that it was trained on, in 0 to 1.
    options : dict
        What else it is told.
    """

    colours: tuple[torch.Tensor, torch.Tensor] = field(repr=False)
    options: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def patch(self) -> int:
        """Side in pixels of a patch."""
        return self.shrinks[0]

    def latent(self, pixels: torch.Tensor) -> torch.Tensor:
        """The pixels from -1 to 1 (b, 3, H, W), in the colours that it was trained on."""
        mean, deviation = self.colours
        return (((pixels + 1) / 2 - mean) / deviation).to(self.dtype)

    def run(self, network: Module, latent: torch.Tensor, timestep: float) -> Any:
        """One pass, which is not told how noisy anything is."""
        return network(latent, **self.options)


def read(eye: Eye, device: torch.device, offload: bool = False) -> Backbone:
    """A vision transformer; damage raises whatever it raises."""
    if offload:
        raise InputError(f"{eye.name} is small enough for any GPU: leave out --offload.")
    import transformers

    settings = json.loads((eye.folder / "config.json").read_text(encoding="utf-8"))
    kind = KINDS[settings["model_type"]]
    given: dict[str, Any] = {"add_pooling_layer": False} if kind.network == "ViTModel" else {}
    with quiet():
        network, told = getattr(transformers, kind.network).from_pretrained(
            eye.folder,
            dtype=getattr(torch, eye.dtype),
            use_safetensors=True,
            local_files_only=True,
            output_loading_info=True,
            **given,
        )
    if missing := sorted(told["missing_keys"]):
        raise ValueError(f"{missing[0]} is missing")
    network = settled(network, device)
    path = eye.folder / "preprocessor_config.json"
    told = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    colours = told.get("image_mean") or kind.mean, told.get("image_std") or kind.deviation
    mean, deviation = (torch.tensor(colour, device=device).view(3, 1, 1) for colour in colours)
    return VisionBackbone(
        eye=eye,
        kind="vision",
        networks=Networks(partial(tuple, (network, None))),  # which can be copied
        alphas=None,
        context=torch.zeros(1, 0, 0, device=device, dtype=network.dtype),
        colours=(mean, deviation),
        others=1 + getattr(network.config, "num_register_tokens", 0),
        options={"interpolate_pos_encoding": True} if kind.interpolate else {},
    )

"""Names for segments: which word of the prompt does each patch look at?

In cross-attention the queries of n patches meet the keys of the prompt's tokens. Row i of softmax(Q K^T) says how much
patch i takes from each of them (Tang et al., "What the DAAM: interpreting Stable Diffusion using cross attention", ACL
2023). From Stable Diffusion 3 on patches and words share one softmax; there the block of patches to words is taken, and
renormalised.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from diffusers.models.attention_processor import Attention
from torch.nn import functional

from walkcut.attention import Grid, by_head, replaced
from walkcut.backbone import Backbone
from walkcut.errors import InputError
from walkcut.noise import views
from walkcut.walk import shares


@dataclass(frozen=True)
class WordMaps:
    """How much each patch takes from each word of the prompt.

    Attributes
    ----------
    values : float32 Tensor (h*w, words)
        Shares of a patch's cross-attention; a word of several tokens has their sum.
    grid : (h, w)
    words : tuple of str
    """

    values: torch.Tensor
    grid: Grid
    words: tuple[str, ...]


class _Reader:
    """A processor that notes which words patches look at, then lets the layer's own processor compute as ever."""

    def __init__(self, sums: dict[int, torch.Tensor], inner: object) -> None:
        self.sums, self.inner = sums, inner

    def __call__(
        self,
        attn: Attention,
        hidden_states: torch.Tensor,
        encoder_hidden_states: torch.Tensor | None = None,
        *args: object,
        **kwargs: object,
    ) -> torch.Tensor:
        found = _looks(attn, hidden_states, encoder_hidden_states)
        n = len(found)
        self.sums[n] = self.sums.get(n, 0) + found
        return self.inner(attn, hidden_states, encoder_hidden_states, *args, **kwargs)


def _looks(attn: Attention, patches: torch.Tensor, words: torch.Tensor) -> torch.Tensor:
    """Mean over heads of softmax(Q K^T) from patches (1, n, d) to tokens (1, tokens, d'): float32 (n, tokens)."""
    joint = attn.add_k_proj is not None
    query = by_head(attn, attn.to_q(patches), attn.norm_q)
    if joint:
        key = by_head(attn, attn.add_k_proj(words), attn.norm_added_k)
    else:
        key = by_head(attn, attn.to_k(words), attn.norm_k)
    return torch.softmax(query.float() @ key.float().transpose(1, 2) * attn.scale, 2).mean(0)


def cross_attention_layers(backbone: Backbone) -> dict[str, Attention]:
    """Modules in which patches attend to words, by name: "attn2" in a UNet, a flow's joint "attn"."""
    ending = ".attn" if backbone.flow else ".attn2"
    named = backbone.denoiser.named_modules()
    return {name: module for name, module in named if isinstance(module, Attention) and name.endswith(ending)}


@torch.inference_mode()
def attend_words(
    backbone: Backbone,
    image: np.ndarray,
    grid: int = 64,
    timesteps: Sequence[int] | None = None,
    seed: int = 0,
    noise: str = "forward",
) -> WordMaps:
    """Show the denoiser a picture and its prompt, and record which words each patch looks at.

    The mean over heads and layers, on the finest grid; coarser ones are brought there bilinearly and weighed by their
    number of patches. Parameters as in `walkcut.attention.attend`; words become small at low noise, where the picture
    says it all.

    Raises
    ------
    InputError
        If the backbone was not told any words.
    """
    if not backbone.spans:
        raise InputError("There are no words to look for: load the model with a prompt, or use Backbone.prompted.")
    seen = views(backbone, latent := backbone.encode(image, grid), timesteps, seed, noise)
    layers = cross_attention_layers(backbone)
    sums: dict[int, torch.Tensor] = {}
    with replaced({layer: _Reader(sums, layer.processor) for layer in layers.values()}):
        for noisy, timestep in seen:
            backbone.denoise(noisy, timestep)
    return _gathered(backbone, sums, backbone.grids(latent))


def _gathered(backbone: Backbone, sums: dict[int, torch.Tensor], grids: dict[int, Grid]) -> WordMaps:
    maps = {grids[n]: total / total.sum(1, keepdim=True) for n, total in sums.items()}
    fine = max(maps, key=lambda grid: grid[0] * grid[1])
    tokens = next(iter(maps.values())).shape[1]
    whole = torch.zeros(fine[0] * fine[1], tokens, device=backbone.device)
    for grid, share in shares(maps, None).items():
        picture = maps[grid].T.reshape(1, tokens, *grid)
        lifted = functional.interpolate(picture, size=fine, mode="bilinear")[0]
        whole.add_(lifted.flatten(1).T, alpha=share)
    values = torch.stack([whole[:, list(places)].sum(1) for places in backbone.spans.values()], 1)
    return WordMaps(values, fine, tuple(backbone.spans))


def name_segments(patch_labels: np.ndarray, maps: WordMaps) -> list[list[tuple[str, float]]]:
    """Words for each segment, the most telling first.

    Equation `eq-pixels-lead` of the book.

    A word tells of a segment what it says there more than elsewhere: the lead is its mean share inside, divided by its
    mean share over the picture. So a word that every patch looks at names nothing.

    Parameters
    ----------
    patch_labels : int (h', w')
        Segments 0..n-1 on any grid, as `Segmentation.patch_labels`.
    maps : WordMaps

    Returns
    -------
    list of n lists of (word, lead)
    """
    values = maps.values.T.reshape(1, -1, *maps.grid)
    resized = functional.interpolate(values, size=patch_labels.shape, mode="bilinear")[0].flatten(1).cpu().numpy()
    everywhere = resized.mean(1)
    named = []
    for label in range(int(patch_labels.max()) + 1):
        leads = resized[:, patch_labels.ravel() == label].mean(1) / np.maximum(everywhere, 1e-12)
        order = np.argsort(-leads, kind="stable")
        named.append([(maps.words[i], float(leads[i])) for i in order])
    return named

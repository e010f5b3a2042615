"""Names for segments: which word of the prompt does each patch look at?

In cross-attention the queries of n patches meet the keys of the prompt's tokens. Row i of softmax(Q K^T) says how much
patch i takes from each of them (Tang et al., "What the DAAM: interpreting Stable Diffusion using cross attention", ACL
2023). From Stable Diffusion 3 on patches and words share one softmax; there the block of patches to words is taken, and
renormalised.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from walkcut.backbone import Backbone
from walkcut.capture import Scene, attention_layers, by_head, capture
from walkcut.errors import InputError
from walkcut.lab.recorders import Features
from walkcut.recipe import resolve
from walkcut.walk import shares


@dataclass(frozen=True)
class WordMaps(Features):
    """How much each patch takes from each word of the prompt.

    Attributes
    ----------
    values : float32 Tensor (h*w, words)
        Shares of a patch's cross-attention; a word of several tokens has their sum.
    grid : (h, w)
    words : tuple of str
    """

    words: tuple[str, ...]


class WordAttention:
    """Which words patches look at, a recorder of `walkcut.capture.capture`: `WordMaps` for each picture.

    The mean over heads and layers, on the finest grid; coarser ones are brought there bilinearly and weighed by their
    number of patches.
    """

    output = False

    def begin(self, scene: Scene) -> Sequence[str]:
        if scene.backbone.kind == "vision":
            raise InputError(f"{scene.backbone.name} reads no words: choose a denoiser.")
        if not scene.backbone.spans:
            raise InputError("There are no words to look for: load the model with a prompt, or use Backbone.prompted.")
        self.scene = scene
        self.sums: dict[int, torch.Tensor] = {}  # number of patches -> (pictures, n, tokens)
        return list(attention_layers(scene.backbone, words=True))

    def record(self, name: str, layer: Any, hidden: torch.Tensor, options: Mapping[str, Any]) -> None:
        n = hidden.shape[1]
        self.sums[n] = self.sums.get(n, 0) + _looks(layer, hidden, options["encoder_hidden_states"])

    def results(self) -> Sequence[WordMaps]:
        spans, grids = self.scene.backbone.spans, self.scene.grids
        found, fine = [], grids[max(self.sums)]
        for picture in range(self.scene.pictures):
            sums = {grids[n]: total[picture] for n, total in self.sums.items()}
            maps = {grid: Features(total / total.sum(1, keepdim=True), grid) for grid, total in sums.items()}
            parts = [share * maps[grid].resized(fine).values for grid, share in shares(maps, None).items()]
            whole = torch.stack(parts).sum(0)
            values = torch.stack([whole[:, list(places)].sum(1) for places in spans.values()], 1)
            found.append(WordMaps(values, fine, tuple(spans)))
        return found


def _looks(attn: Any, patches: torch.Tensor, words: torch.Tensor) -> torch.Tensor:
    """Mean over heads of how patches (b, n, d) look at tokens (b, tokens, d'): float32 (b, n, tokens)."""
    joint = getattr(attn, "add_k_proj", None) is not None
    to_key, norm = (attn.add_k_proj, attn.norm_added_k) if joint else (attn.to_k, attn.norm_k)
    query, key = by_head(attn, attn.to_q(patches), attn.norm_q), by_head(attn, to_key(words), norm)
    return torch.softmax(query.float() @ key.float().mT * attn.scale, -1).mean(1)


def attend_words(backbone: Backbone, image: np.ndarray, **settings: Any) -> WordMaps:
    """Show the denoiser a picture and its prompt, and record which words each patch looks at.

    Words become small at low noise, where the picture says it all.

    Parameters
    ----------
    backbone : Backbone
        Told some words: loaded with a prompt, or `Backbone.prompted`.
    image : uint8 (H, W, 3)
    **settings
        Fields of `walkcut.recipe.Recipe`: grid, timesteps, seed, noise.
    """
    return capture(backbone, [image], resolve("walkcut", backbone.eye, settings), WordAttention())[0][0]


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
    values = maps.resized(patch_labels.shape).values.cpu().numpy()
    everywhere = np.maximum(values.mean(0), 1e-12)
    named = []
    for label in range(int(patch_labels.max()) + 1):
        leads = values[patch_labels.ravel() == label].mean(0) / everywhere
        order = np.argsort(-leads, kind="stable")
        named.append([(maps.words[i], float(leads[i])) for i in order])
    return named

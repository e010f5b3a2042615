"""Names of segments judged against chance, on scenes whose materials have true words."""

from collections.abc import Sequence

import numpy as np

from walkcut.backbone import Backbone
from walkcut.lab.words import WordMaps, attend_words, name_segments
from walkcut.scenes import Scene


def scene_words(scene: Scene) -> list[str]:
    """Every word that is true of some material of a scene, sorted."""
    return sorted({word for material in scene.words for word in material})


def right_and_by_chance(backbone: Backbone, scene: Scene, grid: int = 32) -> np.ndarray:
    """For each material of at least 1% of the picture: was the leading word one of its own, and how likely by chance.

    The backbone is told the scene's own words; chance draws one of them. float64 (materials, 2).
    """
    words = scene_words(scene)
    named = name_segments(scene.materials, attend_words(backbone.prompted(words), scene.image, grid=grid))
    large = [c for c in range(len(scene.words)) if (scene.materials == c).mean() >= 0.01]
    return np.array([(named[c][0][0] in scene.words[c], len(scene.words[c]) / len(words)) for c in large], float)


def leading(labels: np.ndarray, maps: WordMaps, count: int = 3) -> list[str]:
    """For each segment the words that lead most in it, with their leads, as one string."""
    return [", ".join(f"{word} {lead:.2f}" for word, lead in words[:count]) for words in name_segments(labels, maps)]


def word_panels(title: str, image: np.ndarray, maps: WordMaps, words: Sequence[str]) -> dict[str, np.ndarray]:
    """A picture, and for each word the share (h, w) that patches take from it, above the smallest of them."""
    shares = {word: maps.values[:, maps.words.index(word)].view(maps.grid).cpu().numpy() for word in words}
    return {title: image} | {f"{title}: {word}": share - share.min() for word, share in shares.items()}

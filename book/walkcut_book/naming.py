"""Where a denoiser looks for words, as panels and as lines."""

from collections.abc import Sequence

import numpy as np

from walkcut.lab.words import WordMaps, name_segments


def leading(labels: np.ndarray, maps: WordMaps, count: int = 3) -> list[str]:
    """For each segment the words that lead most in it, with their leads, as one string."""
    return [", ".join(f"{word} {lead:.2f}" for word, lead in words[:count]) for words in name_segments(labels, maps)]


def word_panels(title: str, image: np.ndarray, maps: WordMaps, words: Sequence[str]) -> dict[str, np.ndarray]:
    """A picture, and for each word the share (h, w) that patches take from it, above the smallest of them."""
    shares = {word: maps.values[:, maps.words.index(word)].view(maps.grid).cpu().numpy() for word in words}
    return {title: image} | {f"{title}: {word}": share - share.min() for word, share in shares.items()}

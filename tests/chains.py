"""Walks that several tests take."""

from __future__ import annotations

import numpy as np
import torch

from walkcut.walk import Walk


def random_walk(n: int, seed: int = 0, density: float = 1.0, dtype: torch.dtype = torch.float64) -> Walk:
    """A walk without symmetry; where it is sparse, a directed ring keeps it in one piece."""
    rng = np.random.default_rng(seed)
    P = rng.gamma(0.5, size=(n, n)) * (rng.uniform(size=(n, n)) < density)
    P[np.arange(n), (np.arange(n) + 1) % n] += 0.1
    return Walk(torch.tensor(P / P.sum(1, keepdims=True), dtype=dtype), (1, n))


def leaking(n: int, a: float, b: float, dtype: torch.dtype = torch.float64) -> Walk:
    """Two halves of random steps; a walker leaves the first with probability a, the second with b."""
    rng = np.random.default_rng(0)
    halves = rng.gamma(0.5, size=(2, 2, n, n))
    (first, out), (back, second) = halves / halves.sum(-1, keepdims=True)
    return Walk(torch.tensor(np.block([[(1 - a) * first, a * out], [b * back, (1 - b) * second]]), dtype=dtype), (2, n))

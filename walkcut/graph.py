"""Weighted graphs over patches, behind one face: what a cut asks of them, and no more."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
import torch
from scipy.linalg import blas

from walkcut.errors import InputError, brief, shown

FAINTEST = 1e-290  # of a graph's largest weight: shares of smaller ones have too few digits
CHUNK = 64  # so many float32 numbers are summed as such, the sums of chunks as float64
BLOCK = 2**18  # numbers gathered together, so that they stay in the processor's cache
WIDE = 2**24  # the same for a GPU, which is kept waiting by many small calls
FEW = 256  # columns that are summed as float64 straight away
HALF = {"f": blas.ssymv, "d": blas.dsymv}  # products that read one half of a symmetric matrix


class Affinity(Protocol):
    """What every graph answers: dense, low-rank or never written down.

    Weights w_ij >= 0; the diagonal counts once in a degree. Nodes without edges and several components are legal.

    A graph that is not symmetric brings two things more, which `walkcut.ncut` asks for where they are there:
    `indegrees`, (n,) float64, sum_j w_ji, and its own `second_eigenvector(tolerance, seed, twins) -> Eigenpair`. See
    `walkcut.lab.directed`.
    """

    def __len__(self) -> int: ...

    @property
    def degrees(self) -> torch.Tensor:
        """(n,) float64: d_i = sum_j w_ij."""

    def matvec(self, v: torch.Tensor) -> torch.Tensor:
        """W v, for v (n,) or (n, c)."""

    def subgraph(self, index: torch.Tensor) -> Affinity:
        """The graph among the nodes `index` (m,) alone: what leads out of them is forgotten."""

    def association_gains(self, order: torch.Tensor) -> torch.Tensor:
        """(n,) float64: what each node of `order` adds to the weight sum_ij w_ij inside it and those before it."""


@dataclass(frozen=True, eq=False)
class Graph:
    """A symmetric, non-negative affinity between n nodes, written down.

    Attributes
    ----------
    W : Tensor (n, n), float32 or float64
        `W[i, j]` is the weight of the edge between i and j; the diagonal counts once in a degree.

    Raises
    ------
    InputError
        If W is not square, not symmetric, negative, or not finite.
    """

    W: torch.Tensor

    def __post_init__(self) -> None:
        W = real("affinity of a graph", self.W)
        object.__setattr__(self, "W", W)
        if W.ndim != 2 or W.shape[0] != W.shape[1] or W.shape[0] < 1:
            raise InputError(f"The affinity of a graph must be square, not {tuple(W.shape)}.")
        low, high = (float(bound) for bound in self.W.aminmax())
        if not np.isfinite(high - low):
            raise InputError("The affinity of a graph must be finite; it holds NaN or infinity.")
        if low < 0:
            raise InputError(f"The affinity of a graph must not be negative; it holds {low:.3g}.")
        if high > torch.finfo(self.W.dtype).max / len(W):
            raise InputError(f"Weights up to {high:.3g} have sums beyond all numbers: divide them by their largest.")
        if 0 < high < max(torch.finfo(self.W.dtype).tiny, FAINTEST):
            raise InputError(f"Weights of at most {high:.3g} are lost in rounding: divide them by their largest.")
        self._check_symmetry(high)

    def _check_symmetry(self, high: float) -> None:
        if (self.W - self.W.T).abs().max() > 1e-5 * max(high, 1e-300):
            raise InputError("The affinity of a graph must be symmetric: use (W + W.T) / 2, or a walk's reversible().")

    @classmethod
    def _trusted(cls, W: torch.Tensor) -> Graph:
        """A graph known to be valid, such as a part of a valid one: no second look at n^2 numbers."""
        return unpacked(cls, {"W": W})

    __repr__ = brief

    def __reduce__(self) -> tuple:
        return packed(self)

    def __len__(self) -> int:
        return self.W.shape[0]

    @cached_property
    def degrees(self) -> torch.Tensor:
        """(n,) float64: row sums of W."""
        return row_sums(self.W)

    def matvec(self, v: torch.Tensor) -> torch.Tensor:
        """W v, for v (n,) or (n, c)."""
        if self.W.is_cuda:
            return self.W @ v.to(self.W)
        W, x = self.W.numpy(), v.to(self.W.dtype).numpy()
        half = HALF.get(W.dtype.char) if x.ndim == 1 else None
        return torch.from_numpy(half(1.0, W.T, x) if half else W @ x)

    def subgraph(self, index: torch.Tensor) -> Graph:
        """The graph among the nodes `index` (m,) alone: what leads out of them is forgotten.

        Equation `eq-tree-restrict` of the book.
        """
        if self.W.is_cuda:
            index = index.to(self.W.device)
            return self._trusted(self.W.index_select(0, index).index_select(1, index))
        W, nodes, size = self.W.numpy(), index.numpy(), max(BLOCK // len(self), 1)
        part = np.empty((len(nodes), len(nodes)), W.dtype)  # in large pages, unlike torch's own
        for at in range(0, len(nodes), size):  # "wrap": rows were looked up, so no node is out of range
            W[nodes[at : at + size]].take(nodes, axis=1, out=part[at : at + size], mode="wrap")
        return self._trusted(torch.from_numpy(part))

    def association_gains(self, order: torch.Tensor) -> torch.Tensor:
        """Adding node i to S turns its edges to S from cut into inside: w_ii + 2 sum over j before i of w_ij.

        Equation `eq-ncut-sweep` of the book.
        """
        order = order.to(self.W.device)
        return (2 * weight_before(self.W[None], order[None])[0] - self.W.diagonal())[order]


def weight_before(W: torch.Tensor, order: torch.Tensor) -> torch.Tensor:
    """(b, m) float64: the weight that leads from each node of W (b, m, m) to those up to it in `order` (b, m)."""
    place = torch.empty_like(order, dtype=torch.float32)
    place.scatter_(1, order, torch.arange(order.shape[1], dtype=torch.float32, device=order.device).expand(order.shape))
    size, sums = max(block_of(W) // place.numel(), 1), []
    for rows, at in zip(W.split(size, 1), place.split(size, 1), strict=True):
        if W.is_cuda:
            sums.append((rows * (place[:, None] <= at[..., None])).sum(2, dtype=torch.float64))
        else:  # a fraction of torch's time
            earlier = rows.numpy() * (place.numpy()[:, None] <= at.numpy()[..., None])
            sums.append(torch.from_numpy(last_sums(earlier)))
    return torch.cat(sums, 1)


def block_of(W: torch.Tensor) -> int:
    """Numbers of W that are gathered together."""
    return WIDE if W.is_cuda else BLOCK


def real(name: str, values: Any) -> torch.Tensor:
    """Numbers in any form, sparse ones too, as a dense tensor: float32 or float64, without gradients.

    A tensor of these is not copied; an array is, for whoever passed it may fill it anew.
    """
    try:
        if not isinstance(values, torch.Tensor):
            array = np.asanyarray(values.toarray() if hasattr(values, "toarray") else values)  # of SciPy's sparse ones
            if array.dtype.kind not in "biufO" or np.ma.is_masked(array):
                raise TypeError("no numbers, or hidden ones")
            single = array.dtype.kind == "f" and array.dtype.itemsize == 4
            values = torch.from_numpy(np.array(array, np.float32 if single else np.float64, order="C"))
        if values.is_complex() or values.is_meta:
            raise TypeError("complex numbers, or none")
        dense = (values if values.layout == torch.strided else values.to_dense()).detach().contiguous()
        return dense if dense.dtype in (torch.float32, torch.float64) else dense.double()
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise InputError(f"The {name} must be real numbers, not {shown(values)}.") from error


def row_sums(A: torch.Tensor) -> torch.Tensor:
    """Row sums of A (m, n) as float64 (m,)."""
    return A.sum(1, dtype=torch.float64) if A.is_cuda else torch.from_numpy(last_sums(A.numpy()))


def last_sums(A: np.ndarray) -> np.ndarray:
    """Sums along the last axis as float64; of many float32 numbers, within chunks of 64 as such, between them float64.

    As exact as summing float64 copies where it matters, and as fast as reading A.
    """
    if A.shape[-1] <= FEW:
        return A.sum(-1, dtype=np.float64)
    whole = A.shape[-1] // CHUNK * CHUNK
    chunks = np.einsum("...c->...", A[..., :whole].reshape(*A.shape[:-1], -1, CHUNK))  # half the time of its sum
    return chunks.sum(-1, dtype=np.float64) + A[..., whole:].sum(-1, dtype=np.float64)


# ---------------------------------------------------------------------------------------------------------------------
# On the way to another process


def packed(record: Any) -> tuple[Callable[..., Any], tuple[type, dict[str, Any], dict[str, np.ndarray]]]:
    """What `__reduce__` of a frozen dataclass returns: its tensors as arrays in main memory, whatever device has them.

    From a GPU they go into pages that stay there, which is many times as fast.
    """
    values = {field.name: getattr(record, field.name) for field in fields(record)}
    tensors = {name: fetched(value) for name, value in values.items() if isinstance(value, torch.Tensor)}
    return unpacked, (type(record), {name: value for name, value in values.items() if name not in tensors}, tensors)


def unpacked(kind: type, values: Mapping[str, Any], tensors: Mapping[str, np.ndarray] = MappingProxyType({})) -> Any:
    """The record again; what was valid is not looked at again."""
    record: Any = object.__new__(kind)
    for name, value in {**values, **{name: torch.from_numpy(array) for name, array in tensors.items()}}.items():
        object.__setattr__(record, name, value)
    return record


def fetched(value: torch.Tensor) -> np.ndarray:
    """A tensor's numbers in main memory, as an array."""
    if value.is_cuda:
        value = torch.empty(value.shape, dtype=value.dtype, pin_memory=True).copy_(value)
    return value.cpu().numpy()

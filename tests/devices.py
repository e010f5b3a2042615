"""A device that is not here: tensors in main memory that say they lie on a GPU, and count what is fetched from it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch

fetched: list[int] = []  # bytes of each tensor that was brought here, one after another


class Elsewhere(torch.Tensor):
    """A tensor that says it lies on a GPU, and asks to be brought here, in so many words, as those do."""

    is_cuda = True

    @classmethod
    def __torch_function__(cls, function: Callable, types: tuple, given: tuple = (), named: Any = None) -> Any:
        found = super().__torch_function__(function, types, given, named or {})
        if function is torch.Tensor.copy_ and type(given[0]) is torch.Tensor:  # into memory of this side
            fetched.append(given[0].nbytes)
            return found.as_subclass(torch.Tensor)
        return found

    def cpu(self) -> torch.Tensor:
        fetched.append(self.nbytes)
        return self.as_subclass(torch.Tensor)

    def numpy(self) -> np.ndarray:
        raise TypeError("can't convert cuda:0 device type tensor to numpy.")

    def __array__(self, *_: object) -> np.ndarray:
        raise TypeError("can't convert cuda:0 device type tensor to numpy.")


def there(values: torch.Tensor) -> torch.Tensor:
    """The same numbers, on the device that is not here."""
    return values.detach().clone().as_subclass(Elsewhere)


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Bytes of each tensor that is fetched from now on; memory that stays in place is there beside a GPU alone."""

    def without_pins(empty: Callable, *given: Any, pin_memory: bool = False, **named: Any) -> torch.Tensor:
        return empty(*given, **named)

    monkeypatch.setattr(torch, "empty", partial(without_pins, torch.empty))
    fetched.clear()
    return fetched

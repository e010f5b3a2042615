"""What all readers of weights do with a network."""

import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch


def compile_layers(denoiser: Any) -> None:
    """Let torch translate a denoiser of diffusers, block by block, when it is first used."""
    # else torch overlooks hooks that come later, and `walkcut.capture` records the first picture alone
    torch._dynamo.config.skip_nnmodule_hook_guards = False
    getattr(denoiser, "compile_repeated_blocks", denoiser.compile)()


def settled(module: Any, device: torch.device) -> Any:
    """A module on its device, for use alone; one whose file lacks a weight is refused."""
    missing = [name for name, parameter in module.named_parameters() if parameter.is_meta]
    if missing:
        raise ValueError(f"{missing[0]} is missing")
    return module.to(device).eval().requires_grad_(False)


@contextmanager
def quiet() -> Iterator[None]:
    """No progress bars and remarks of other libraries in the block: in a notebook they would stand on the page."""
    from diffusers.utils import logging as of_diffusers
    from transformers.utils import logging as of_transformers

    with ExitStack() as afterwards, warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        for of in (of_diffusers, of_transformers):
            afterwards.callback(of.set_verbosity, of.get_verbosity())
            afterwards.callback(of.enable_progress_bar if of.is_progress_bar_enabled() else of.disable_progress_bar)
            of.set_verbosity(of.CRITICAL)  # an error is raised as well, and told once
            of.disable_progress_bar()
        yield

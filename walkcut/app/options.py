"""Options of the command: how a word becomes a checked value, and what several commands offer alike.

Nothing here takes long to import.
"""

import argparse
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

from walkcut.errors import InputError
from walkcut.eyes.models import DTYPES
from walkcut.recipe import Check, whole

ENGINES = ("local", "ray")  # see walkcut.app.stages
LABELS = ("palette", "gray16", "npy")  # how labels are written, see walkcut.app.outputs
_MODEL = "one of `walkcut models` (default: dead-leaves), a hub path, or a model's folder"
# By an option's name, what `add_option` is told of it.
OPTIONS: dict[str, dict[str, Any]] = {
    "model": {"default": "dead-leaves", "metavar": "NAME", "help": _MODEL},
    "device": {"default": "auto", "help": "auto (default), cpu, cuda or mps"},
    "dtype": {"default": "auto", "choices": ("auto", *DTYPES), "help": "of the denoiser; default: auto"},
    "seed": {"default": 0, "check": whole(0), "help": "default: 0"},
    "offload": {"action": "store_true", "help": "keep the weights in main memory, for a small GPU; slower"},
    "compile": {"action": "store_true", "dest": "compiled", "help": "compile the denoiser first, for many pictures"},
    "engine": {"default": "local", "choices": ENGINES, "help": "default: local; ray spreads over a cluster"},
}


def read(name: str, check: Check, text: str) -> Any:
    """What a setting makes of a word, or of what it stands for in JSON: a number, a list of numbers, true, null."""
    value: Any = text
    for parse in (float, json.loads):  # the former reads .5, too; the latter has the last word, as on whole numbers
        with suppress(ValueError):
            value = parse(text)
    try:
        return check(name, value)
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def list_of(kind: type, good: Callable[[Any], bool], wanted: str, once: bool = True) -> Callable[[str], tuple]:
    """A parser of lists with commas, whose parts are all good, and none is named twice unless that has a meaning."""

    def parse(text: str) -> tuple:
        try:
            values = tuple(kind(word) for word in text.split(","))
        except ValueError:
            values = ()
        if not values or not all(map(good, values)) or (once and len(set(values)) < len(values)):
            raise argparse.ArgumentTypeError(f"{text} will not do: list {wanted}{', each once' * once}.")
        return values

    return parse


def add_option(
    parser: Any, name: str, check: Check | None = None, listed: Callable[[str], tuple] | None = None, **words: Any
) -> None:
    """Add an option to a parser, or a group of one: `words` are argparse's; `check` lets a value through, `listed`
    reads several.
    """
    if check:
        words = {"type": partial(read, name, check), "metavar": "N"} | words
    elif listed:
        words = {"type": listed, "metavar": "LIST"} | words
    parser.add_argument(f"--{name.replace('_', '-')}", **words)


def add_options(words: Mapping[str, Mapping[str, Any]], parser: Any, *names: str) -> None:
    """Add options by their names, of which `words` hold what `add_option` is told, as in `OPTIONS`."""
    for name in names:
        add_option(parser, name, **words[name])

"""The one error that a user should ever see, and how a value stands in its sentence."""

from dataclasses import fields
from typing import Any

LONGEST = 200  # characters of a value in a sentence


class InputError(ValueError):
    """Bad input, told in one sentence that names the value and the remedy."""


class ModelError(InputError):
    """The model is to blame, whatever the picture: no other picture is tried."""


def brief(record: Any) -> str:
    """`__repr__` of a record in one line: of an array, or a tensor, its type and shape alone."""

    def told(value: Any) -> str:
        if isinstance(value, dict):
            return f"{{{', '.join(f'{key!r}: {told(one)}' for key, one in value.items())}}}"
        return f"{value.dtype} {tuple(value.shape)}" if getattr(value, "shape", ()) else repr(value)

    told_of = [f"{one.name}={told(getattr(record, one.name))}" for one in fields(record) if one.repr]
    return f"{type(record).__name__}({', '.join(told_of)})"


def shown(value: Any) -> str:
    """A value as a sentence names it: on one line, and shortened where it is long."""
    try:
        text = " ".join(repr(value).split())
    except Exception as error:  # of any kind, from an object of the caller's; of a whole number of 4,300 digits, too
        return f"a {type(value).__name__} that cannot be written out ({type(error).__name__})"
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."

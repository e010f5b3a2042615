"""What a process does when it is told to end: what is half done is put away on the way out."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from typing import NoReturn


def when_told_to_end(then: Callable[[int, object], object]) -> None:
    """By SIGTERM, or because its terminal was closed; but nohup's wish that it stay is respected."""
    for name in ("SIGTERM", "SIGHUP"):
        if (number := getattr(signal, name, None)) and signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, then)


def leave(number: int, _: object) -> NoReturn:
    """Once: whoever ends a process may say so twice."""
    when_told_to_end(lambda *_: None)
    sys.exit(128 + number)

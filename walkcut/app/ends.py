"""What a process does when it is told to end: what is half done is put away on the way out."""

import signal
import sys
from collections.abc import Callable
from typing import NoReturn


def when_told_to_end(then: Callable[[int, object], object] | signal.Handlers) -> None:
    """By SIGTERM, or because its terminal was closed; but nohup's wish that it stay is respected."""
    for name in ("SIGTERM", "SIGHUP"):
        if (number := getattr(signal, name, None)) and signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, then)


def leave(number: int, _: object) -> NoReturn:
    """Once: whoever ends a process may say so twice."""
    for then in (lambda *_: None, signal.SIG_IGN):  # what has come already, which Python would complain about; the rest
        when_told_to_end(then)
    sys.exit(128 + number)

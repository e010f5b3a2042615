"""How far a long run is: a bar on a terminal, elsewhere lines."""

import io
import sys
from contextlib import suppress
from typing import Any

from tqdm import tqdm


class _Lines(tqdm):
    """A line at the beginning, one a minute and one at the end: a log holds no bar that is drawn over and over."""

    def __init__(self, *given: Any, **named: Any) -> None:
        line = "{desc}: {n_fmt}/{total_fmt} [{elapsed}<{remaining}, {rate_fmt}{postfix}]"
        super().__init__(*given, **named, file=io.StringIO(), mininterval=60, bar_format=line)

    def display(self, *_: Any, **__: Any) -> None:
        with suppress(OSError):  # as of a full disk, which is no reason to stop
            print(self, file=sys.stderr, flush=True)


def progress(*given: Any, **named: Any) -> tqdm:
    """As tqdm, on standard error."""
    return (tqdm if sys.stderr.isatty() else _Lines)(*given, **named)

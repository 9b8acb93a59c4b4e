"""Standard output for people: nothing in a text drives the terminal, and a pipe gets UTF-8."""

from __future__ import annotations

import io
import os
import sys

from rich.console import Console

from actors.errors import EngineError, ErrorCode
from actors.printable import printable

__all__ = ["Screen", "write_text"]


def write_text(text: str) -> None:
    """Write to standard output at once: as UTF-8, whatever the locale, unless a terminal wants another.

    Raises:
        BrokenPipeError: nobody reads any more.
        EngineError: `PERSISTENCE_FAILED` when it cannot be written.
    """
    encoding = sys.stdout.encoding if sys.stdout.isatty() else "utf-8"
    left = memoryview(text.encode(encoding, "replace"))
    try:
        # Past Python's buffer: what stayed in it would fail once more, and loudly, when the program ends.
        while left:
            left = left[os.write(sys.stdout.fileno(), left) :]
    except BrokenPipeError:
        raise
    except OSError as error:
        raise EngineError(
            ErrorCode.PERSISTENCE_FAILED, f"cannot write to standard output: {error.strerror}"
        ) from None


class Screen:
    """Writes printable text, in styles where standard output is a terminal that has them."""

    def __init__(self) -> None:
        # It makes the styles; what it has made is written by us.
        self._console = Console(file=io.StringIO(), force_terminal=self.is_terminal or None)

    @property
    def is_terminal(self) -> bool:
        return sys.stdout.isatty()

    def write(self, text: str, style: str = "") -> None:
        """Write at once. Lines are left to the terminal to wrap, so that they can be copied whole."""
        text = printable(text)
        if style:
            with self._console.capture() as captured:
                self._console.out(text, style=style, end="", highlight=False)
            text = captured.get()
        write_text(text)

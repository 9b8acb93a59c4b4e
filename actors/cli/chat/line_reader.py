"""Reads what the user types, or what a pipe brings."""

from __future__ import annotations

import contextlib
import functools
import io
import sys
from collections.abc import Callable
from typing import cast

from actors.cli.chat.voice import Voice
from actors.cli.interrupts import Interrupts
from actors.errors import EngineError, ErrorCode
from actors.printable import printable

_insert_text: Callable[[str], None] | None = None
_set_startup_hook: Callable[[Callable[[], None] | None], None] | None = None
with contextlib.suppress(ImportError):  # some builds of Python lack it
    import readline  # gives input() line editing and history

    _insert_text, _set_startup_hook = readline.insert_text, readline.set_startup_hook

__all__ = ["LineReader"]


class LineReader:
    """Lines from the main thread, where signals arrive."""

    def __init__(self, interrupts: Interrupts, voice: Voice) -> None:
        """
        Raises:
            EngineError: `INVALID_ARGUMENT` when standard input is closed.
        """
        self._interrupts = interrupts
        self._voice = voice
        _use_lenient_input()

    def read(self, prompt: str, text: str = "") -> str | None:
        """The next line, without its end; None at the end of the input and after Ctrl-C.

        In a terminal `text` stands there already, to be changed, where the terminal can edit lines.
        """
        try:
            return self.read_or_interrupt(prompt, text)
        except KeyboardInterrupt:
            return None

    def read_or_interrupt(self, prompt: str, text: str = "") -> str | None:
        """As `read`, for who tells the end of the input from Ctrl-C.

        Raises:
            KeyboardInterrupt: Ctrl-C was pressed.
        """
        try:
            with self._interrupts.raising():
                if self._voice.is_interactive:
                    return _typed(prompt, printable(text))
                line = sys.stdin.readline()
        except EOFError:
            self._end_line()
            return None
        except KeyboardInterrupt:
            self._end_line()
            raise
        return line.removesuffix("\n") if line else None

    def _end_line(self) -> None:
        if self._voice.is_interactive:
            self._voice.screen.write("\n")


def _typed(prompt: str, text: str) -> str:
    if not text or _insert_text is None or _set_startup_hook is None:
        return input(prompt)
    _set_startup_hook(functools.partial(_insert_text, text))
    try:
        return input(prompt)
    finally:
        _set_startup_hook(None)


def _use_lenient_input() -> None:
    """Read UTF-8 from a pipe whatever the locale; what is no text becomes a replacement character."""
    stdin = cast("io.TextIOWrapper[io.BufferedReader] | None", sys.stdin)
    if stdin is None:
        raise EngineError(
            ErrorCode.INVALID_ARGUMENT, "standard input is closed: there is nobody to talk to"
        )
    stdin.reconfigure(encoding=None if stdin.isatty() else "utf-8", errors="replace")

"""What Ctrl-C does, by what the program is doing."""

from __future__ import annotations

import signal
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType

__all__ = ["Interrupts"]


class Interrupts:
    """Takes SIGINT over, from the main thread and for the rest of the process.

    Outside of the blocks below Ctrl-C is only remembered, in `seen`. So it cannot break what lies between
    them, such as the orderly end, and an impatient second one does not disturb the interpreter's exit.
    """

    def __init__(self) -> None:
        self.seen = False
        self._receiver: Callable[[], None] = _do_nothing
        if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:  # a background job of a shell stays one
            signal.signal(signal.SIGINT, self._handle)

    @contextmanager
    def raising(self) -> Generator[None]:
        """Ctrl-C raises `KeyboardInterrupt` in this block: for waiting with nothing to lose."""
        with self.told_to(_raise):
            yield

    @contextmanager
    def told_to(self, receiver: Callable[[], None]) -> Generator[None]:
        """Ctrl-C calls `receiver` in this block. It may run between any two steps of the main thread."""
        self._receiver = receiver
        try:
            yield
        finally:
            self._receiver = _do_nothing

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        self.seen = True
        self._receiver()


def _do_nothing() -> None:
    pass


def _raise() -> None:
    raise KeyboardInterrupt

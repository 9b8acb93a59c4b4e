"""What Ctrl-C does, by what the program is doing."""

from __future__ import annotations

import signal
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType

__all__ = ["Interrupts"]

_TICK_SECONDS = 0.1


class Interrupts:
    """Takes SIGINT and SIGALRM over, from the main thread and for the rest of the process.

    Outside of the blocks below Ctrl-C is only remembered, in `seen`. So it cannot break what lies between
    them, such as the orderly end, and an impatient second one does not disturb the interpreter's exit.
    """

    def __init__(self) -> None:
        self.seen = False
        self._receiver: Callable[[], None] = _do_nothing
        if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:  # a background job of a shell stays one
            signal.signal(signal.SIGINT, self._handle)
        signal.signal(signal.SIGALRM, lambda _number, _frame: None)

    @contextmanager
    def raising(self) -> Generator[None]:
        """Ctrl-C raises `KeyboardInterrupt` in this block, once: for waiting with nothing to lose."""
        with self.told_to(self._raise):
            yield

    @contextmanager
    def told_to(self, receiver: Callable[[], None]) -> Generator[None]:
        """Ctrl-C calls `receiver` in this block. It may run between any two steps of the main thread."""
        self._receiver = receiver
        try:
            # Python looks for signals between two steps and when a system call was interrupted, so that one
            # which comes right before the main thread begins to wait (for a key, a lock) would be noticed
            # when the wait is over. The tick interrupts the wait.
            signal.setitimer(signal.ITIMER_REAL, _TICK_SECONDS, _TICK_SECONDS)
            yield
        finally:
            self._receiver = _do_nothing
            signal.setitimer(signal.ITIMER_REAL, 0)

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        self.seen = True
        self._receiver()

    def _raise(self) -> None:
        self._receiver = _do_nothing  # it may come when the block is being left, and a second one with it
        raise KeyboardInterrupt


def _do_nothing() -> None:
    pass

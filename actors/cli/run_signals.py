"""What Ctrl-C and SIGTERM do to a run."""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import FrameType

import trio

__all__ = ["RunSignals"]


class RunSignals:
    """Takes SIGINT and SIGTERM over, for the rest of the process, from the main thread.

    Each one that comes while trio runs is told to the present receiver, on trio's thread and in its own
    time. One that comes later is only remembered, so that an impatient one does not disturb the end.
    """

    def __init__(self) -> None:
        self.status = 0
        """128 and the number of the last signal, as shells have it; 0 before the first."""
        self._receiver: Callable[[], object] | None = None
        self._token: trio.lowlevel.TrioToken | None = None
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._handle)

    def tell(self, receiver: Callable[[], object] | None) -> None:
        """From now on, call `receiver` for each signal; None calls nobody. For trio's thread."""
        self._receiver = receiver
        if self._token is None:
            self._token = trio.lowlevel.current_trio_token()
            if self.status:  # it came before trio ran
                self._pass_on()

    def ignore(self) -> None:
        """From now on they do nothing, not even while the interpreter takes itself down."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        self.status = 128 + number
        if self._token is not None:
            try:
                self._token.run_sync_soon(self._pass_on)
            except trio.RunFinishedError:
                self._token = None

    def _pass_on(self) -> None:
        if self._receiver is not None:
            self._receiver()

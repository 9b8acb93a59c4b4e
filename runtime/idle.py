"""The idle timeout: an actor learns that no message has come for a while, and nobody scans for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import trio

if TYPE_CHECKING:
    from runtime.cell import Cell
    from runtime.dispatch import Handler
    from runtime.timers import Alarm

__all__ = ["IdleTimeout", "IdleWatch"]


class IdleTimeout(NamedTuple):
    """No message has come for so many seconds. Comes again after as many more."""

    seconds: float


class IdleWatch:
    """Notes when the actor last handled a message, and looks at that note once a period."""

    def __init__(self, cell: Cell, seconds: float) -> None:
        self._cell = cell
        self._seconds = seconds
        self._last_message = trio.current_time()
        self._alarm = self._set_alarm(seconds)

    def __call__(self, handler: Handler, actor: Any, message: Any) -> Any:
        self._last_message = trio.current_time()
        return handler(actor, message)

    def cancel(self) -> None:
        self._alarm.cancel()

    def _set_alarm(self, seconds: float) -> Alarm:
        assert self._cell.scheduler is not None
        return self._cell.scheduler.alarms.set(seconds, self._look)

    def _look(self) -> None:
        left = self._last_message + self._seconds - trio.current_time()
        if self._cell.scheduled or self._cell.mail:  # it has something to do, or is suspended
            left = self._seconds
        elif left <= 0:
            self._cell.deliver(IdleTimeout(self._seconds))
            left = self._seconds
        self._alarm = self._set_alarm(left)

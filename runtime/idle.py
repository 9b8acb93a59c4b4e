"""The idle timeout: an actor learns that no message has come for a while, and nobody scans for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import trio

from runtime.dispatch import DELIVERIES

if TYPE_CHECKING:
    from runtime.cell import Cell
    from runtime.dispatch import Handler
    from runtime.timers import Alarm

__all__ = ["IdleNotice", "IdleTimeout", "IdleWatch"]


class IdleTimeout(NamedTuple):
    """No message has come for so many seconds. Comes again after as many more."""

    seconds: float


class IdleWatch:
    """Notes when the actor last handled a message, and looks at that note once a period."""

    def __init__(self, cell: Cell, seconds: float) -> None:
        self._cell = cell
        self._seconds = seconds
        self._last_message = trio.current_time()
        self._cancelled = False
        self._alarm = self._set_alarm(seconds)

    def __call__(self, handler: Handler, actor: Any, message: Any) -> Any:
        self._last_message = trio.current_time()
        return handler(actor, message)

    def cancel(self) -> None:
        """From now on no timeout of it is delivered, not even one that is in the mail. Idempotent."""
        self._cancelled = True
        self._alarm.cancel()

    def deliver(self, actor: Any) -> Any:
        """Call the handler of the timeout, whose turn in the mail has come, unless it was cancelled."""
        if self._cancelled:
            return None
        self._cell.handling = message = IdleTimeout(self._seconds)
        return self._cell.handlers[IdleTimeout](actor, message)

    def _set_alarm(self, seconds: float) -> Alarm:
        assert self._cell.scheduler is not None
        return self._cell.scheduler.alarms.set(seconds, self._look)

    def _look(self) -> None:
        left = self._last_message + self._seconds - trio.current_time()
        if self._cell.scheduled or self._cell.mail:  # it has something to do, or is suspended
            left = self._seconds
        elif left <= 0:
            self._cell.deliver(IdleNotice(self))
            left = self._seconds
        self._alarm = self._set_alarm(left)


class IdleNotice:
    """The item in the mail that brings an `IdleTimeout`."""

    __slots__ = ("watch",)

    def __init__(self, watch: IdleWatch) -> None:
        self.watch = watch


def _deliver_idle(actor: Any, notice: IdleNotice) -> Any:
    return notice.watch.deliver(actor)


DELIVERIES[IdleNotice] = _deliver_idle

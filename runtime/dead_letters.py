"""Dead letters: messages that nobody handled are counted, published, and logged within limits."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from runtime.events import DeadLetter
from runtime.reporting import report
from runtime.telemetry import get_logger

if TYPE_CHECKING:
    from runtime.events import EventStream
    from runtime.ref import ActorRef

__all__ = ["DeadLetters", "LogThrottle"]

_log = get_logger("runtime")


class LogThrottle:
    """Lets a number of lines through in each window, and then says how many it held back."""

    def __init__(self, *, lines: int, window_seconds: float, clock: Callable[[], float]) -> None:
        self._lines = lines
        self._window_seconds = window_seconds
        self._clock = clock
        self._window_ends = clock() + window_seconds
        self._used = 0

    def admit(self) -> int | None:
        """None when the line is held back; else how many were, since the last one that was not."""
        now = self._clock()
        held_back = 0
        if now >= self._window_ends:
            held_back = max(0, self._used - self._lines)
            self._window_ends = now + self._window_seconds
            self._used = 0
        self._used += 1
        return held_back if self._used <= self._lines else None


class DeadLetters:
    """The dead letters of one system. Any thread may bring one."""

    def __init__(self, events: EventStream) -> None:
        self._events = events
        self._lock = threading.RLock()  # a finalizer may bring one while another is being counted
        self._count = 0
        self._throttle = LogThrottle(lines=10, window_seconds=60.0, clock=time.monotonic)

    @property
    def count(self) -> int:
        return self._count

    def add(self, recipient: ActorRef[Any] | None, message: object, reason: str) -> None:
        """Count and publish it, and log its type: never its content, which is the users' own."""
        with self._lock:
            self._count += 1
            held_back = self._throttle.admit()
        if held_back is not None:
            report(
                _log.info,
                "dead letter",
                actor=str(recipient),
                message_type=type(message).__name__,
                reason=reason,
                not_logged_before=held_back,
            )
        # A dead letter about a dead letter would go round for ever. By type: a message may lie about its
        # class.
        if not issubclass(type(message), DeadLetter):
            self._events.publish(DeadLetter(recipient, message, reason))

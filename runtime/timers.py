"""Timers: messages that an actor sends to itself later. One task per system serves them all."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Hashable, Iterator
from typing import TYPE_CHECKING, Any

import trio

if TYPE_CHECKING:
    from runtime.cell import Cell

__all__ = ["Alarm", "Alarms", "Tick", "Timers"]


class Alarm:
    """A call that is due at some time, unless it is cancelled before."""

    __slots__ = ("_alarms", "function", "when")

    def __init__(self, alarms: Alarms, when: float, function: Callable[[], object]) -> None:
        self._alarms = alarms
        self.when = when
        self.function: Callable[[], object] | None = function

    def cancel(self) -> None:
        """From now on it does not ring. Idempotent, also when it already has."""
        if self.function is not None:
            self.function = None
            self._alarms.forget_one()


class Alarms:
    """What is due when, in one system, by trio's clock. For the scheduler's thread only."""

    def __init__(self, tie_breaks: Iterator[int]) -> None:
        self._heap: list[tuple[float, int, Alarm]] = []
        self._tie_breaks = tie_breaks
        self._cancelled = 0
        self._nap: trio.CancelScope | None = None

    def __len__(self) -> int:
        return len(self._heap) - self._cancelled

    def set(self, seconds: float, function: Callable[[], object]) -> Alarm:
        """Call `function()` in so many seconds. It must be quick, and must not raise.

        Raises:
            ValueError: `seconds` is NaN, for which there is no place in the order of what is due.
        """
        if math.isnan(seconds):
            raise ValueError("an alarm takes a number of seconds, not NaN")
        alarm = Alarm(self, trio.current_time() + seconds, function)
        heapq.heappush(self._heap, (alarm.when, next(self._tie_breaks), alarm))
        if self._nap is not None and alarm.when < self._nap.deadline:
            self._nap.deadline = alarm.when
        return alarm

    def forget_one(self) -> None:
        """One more of the heap is cancelled; when half of them are, they are thrown away."""
        self._cancelled += 1
        if self._cancelled > 64 and 2 * self._cancelled > len(self._heap):
            self._heap = [entry for entry in self._heap if entry[2].function is not None]
            heapq.heapify(self._heap)
            self._cancelled = 0

    @trio.lowlevel.enable_ki_protection
    async def run(self) -> None:
        """Ring until cancelled."""
        while True:
            self._ring()
            with trio.CancelScope(deadline=self._heap[0][0] if self._heap else math.inf) as nap:
                self._nap = nap
                await trio.sleep_forever()
            self._nap = None

    def _ring(self) -> None:
        now = trio.current_time()
        while self._heap and self._heap[0][0] <= now:
            alarm = heapq.heappop(self._heap)[2]
            function, alarm.function = alarm.function, None
            if function is None:
                self._cancelled -= 1
            else:
                function()


class Timers:
    """The timers of one actor: each has a key, and sends the actor one message, once or again and again.

    The message travels in the user lane, behind what is there already, and takes no place of a bounded
    mailbox. Starting a timer under a key that is in use replaces it. After `cancel` or a replacement its
    message is not delivered any more, even if it was already in the mail. All timers end with the actor's
    incarnation: a restarted actor has none.

    For the actor's own handlers, hooks and tasks. Time is trio's, in seconds.
    """

    __slots__ = ("_cell", "_timers")

    def __init__(self, cell: Cell) -> None:
        self._cell = cell
        self._timers: dict[Hashable, Tick] = {}

    def start(self, key: Hashable, seconds: float, message: Any) -> None:
        """Send the message once, in so many seconds."""
        self._start(key, message, _valid(seconds), None)

    def start_periodic(self, key: Hashable, seconds: float, message: Any) -> None:
        """Send the message every so many seconds.

        A period begins when the last one ended, not when its message was handled, so that the rate holds.
        At most one message of a timer waits in the mail; periods that went by meanwhile are left out.

        Raises:
            ValueError: `seconds` is not more than 0.
        """
        if not seconds > 0:
            raise ValueError(f"a period must be more than 0 seconds, not {seconds}")
        self._start(key, message, _valid(seconds), seconds)

    def cancel(self, key: Hashable) -> bool:
        """Stop a timer; whether there was one. Its message will not be delivered after this."""
        tick = self._timers.pop(key, None)
        if tick is None:
            return False
        tick.alarm.cancel()
        return True

    def cancel_all(self) -> None:
        # By their ticks: the keys are the users' own, and hashing one may raise.
        for tick in self._timers.values():
            tick.alarm.cancel()
        self._timers.clear()

    @property
    def keys(self) -> tuple[Hashable, ...]:
        """Of the timers whose message is still to be delivered."""
        return tuple(self._timers)

    def is_active(self, key: Hashable) -> bool:
        """Whether a message of this timer is still to be delivered."""
        return key in self._timers

    def _start(self, key: Hashable, message: Any, seconds: float, period_seconds: float | None) -> None:
        hash(key)  # one that is not hashable must not leave an alarm behind
        self.cancel(key)
        self._timers[key] = Tick(self, self._cell, key, message, seconds, period_seconds)

    def ring(self, tick: Tick) -> None:
        """A tick is due."""
        self._cell.deliver(tick)

    def holds(self, tick: Tick) -> bool:
        return self._timers.get(tick.key) is tick

    def drop(self, tick: Tick) -> None:
        del self._timers[tick.key]


class Tick:
    """One generation of a timer, and the item in the mail that brings its message."""

    __slots__ = ("_cell", "_due", "_period_seconds", "_timers", "alarm", "key", "message")

    def __init__(
        self,
        timers: Timers,
        cell: Cell,
        key: Hashable,
        message: Any,
        seconds: float,
        period_seconds: float | None,
    ) -> None:
        self.key = key
        self.message = message
        self._timers = timers
        self._cell = cell
        self._period_seconds = period_seconds
        self._due = trio.current_time() + seconds
        self.alarm = self._set_alarm(seconds)

    def _set_alarm(self, seconds: float) -> Alarm:
        assert self._cell.scheduler is not None
        return self._cell.scheduler.alarms.set(seconds, self._ring)

    def _ring(self) -> None:
        self._timers.ring(self)

    def take(self) -> bool:
        """Whether the message counts, now that its turn has come; if so, the next period begins."""
        if not self._timers.holds(self):
            return False
        if self._period_seconds is None:
            self._timers.drop(self)
        else:
            now = trio.current_time()
            missed = max(0, math.floor((now - self._due) / self._period_seconds))
            self._due += (missed + 1) * self._period_seconds
            self.alarm = self._set_alarm(self._due - now)
        return True


def _valid(seconds: float) -> float:
    if not 0 <= seconds < math.inf:
        raise ValueError(f"a timer takes a number of seconds from 0 on, not {seconds}")
    return seconds

"""A clock in the test's hand, after the ManualTime of Akka's test kit."""

from __future__ import annotations

import trio
from trio.testing import wait_all_tasks_blocked

__all__ = ["ManualClock"]


class ManualClock(trio.abc.Clock):
    """Trio's clock, which stands still until the test advances it.

    Everything in the runtime that waits follows it: timers, the backoff of supervisors, idle timeouts,
    shutdown times, the waits of a `Probe`. Give it to `trio.run(main, clock=clock)`, to `run_seeded`, or
    return it from a fixture under pytest-trio.
    """

    def __init__(self) -> None:
        self._now = 0.0

    def start_clock(self) -> None:
        pass

    def current_time(self) -> float:
        return self._now

    def deadline_to_sleep_time(self, deadline: float) -> float:
        # Trio asks before it waits for I/O: only `advance` brings a deadline that is not due now.
        return 0.0 if deadline <= self._now else 24.0 * 60 * 60

    async def advance(self, seconds: float) -> None:
        """Let so many seconds pass, and return when nothing is runnable any more.

        The clock stops at every deadline on the way, until what it sets off has settled, so that a periodic
        timer sends each of its messages and a restart that fails is tried again. On return everything that
        was due has been done, except what waits for a thread or a socket.

        Cancelled, it leaves the clock where it is.

        Raises:
            ValueError: time does not go back.
        """
        if not seconds >= 0:
            raise ValueError(f"a clock is advanced by 0 or more seconds, not by {seconds}")
        target = self._now + seconds
        await wait_all_tasks_blocked()
        while True:
            due = self._now + trio.lowlevel.current_statistics().seconds_to_next_deadline
            if due > target:
                break
            self._now = max(self._now, due)
            await wait_all_tasks_blocked()
        self._now = max(self._now, target)
        await wait_all_tasks_blocked()

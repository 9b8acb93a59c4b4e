"""How fast a connection may be called after it was throttled. Pure."""

from __future__ import annotations

import math

from actors.errors import ErrorInfo
from actors.governor.retrying import RetryPolicy, retry_after_of

__all__ = ["CATCH_UP_SECONDS", "FORGET_SECONDS", "LONGEST_CLOSED_SECONDS", "START_RATE", "Pace"]

START_RATE = 10.0
"""Calls a second with which a connection is taken up again."""

LEAST_RATE = 0.5
MOST_RATE = 10_000.0

CUT = 0.7
"""What is left of a rate that was too much; CUBIC's factor (RFC 9438, 4.6)."""

LATER_GROWTH = 0.1
"""What each success adds to the rate once the endpoint has shown where its limit is; before that 1."""

FORGET_SECONDS = 60.0
"""So long after the last throttling there is no limit any more."""

LONGEST_CLOSED_SECONDS = 3600.0
"""After this it is seen whether the endpoint still wants to be left alone: its owner may have paid more."""

CATCH_UP_SECONDS = 0.05
"""Of a timer that rings late so much is made good."""


class Pace:
    """A cooldown, and then a rate that starts small and grows with the calls that the endpoint lets in.

    As TCP's slow start and congestion avoidance (RFC 5681), with a rate in place of the window, since what
    endpoints limit is calls a minute and not calls under way: each success adds one call a second, so that
    the rate grows as fast as it is, until the endpoint refuses a call again. That cuts it, and from there
    it grows by a tenth each second. Without this everybody would come back at the same moment.

    A call that had begun before the last cut says nothing of the rate since. `closed_until` is what the
    endpoint asked for when that was more than anybody waits for, and at most an hour.
    """

    __slots__ = (
        "_cut_at",
        "_growth",
        "_next_at",
        "_policy",
        "_streak",
        "closed_until",
        "cooling_until",
        "last_error",
        "rate",
    )

    def __init__(self, policy: RetryPolicy) -> None:
        self._policy = policy
        self.rate: float | None = None
        self.cooling_until = -math.inf
        self.closed_until = -math.inf
        self.last_error: ErrorInfo | None = None
        self._growth = 1.0
        self._next_at = -math.inf
        self._cut_at = -math.inf
        self._streak = 0  # of cuts without a success between them

    def throttled(self, error: ErrorInfo, began_at: float, now: float, chance: float) -> None:
        """The endpoint refused a call that began then, since it is asked too much."""
        self.last_error = error
        asked = retry_after_of(error)
        if asked is not None and asked > self._policy.max_retry_after_seconds:
            asked = min(asked, max(LONGEST_CLOSED_SECONDS, self._policy.max_retry_after_seconds))
            self.closed_until = max(self.closed_until, now + asked)
        if began_at <= self._cut_at:
            # One of the same herd: the time it was told counts, but nothing is to be learned from it.
            if asked is not None:
                self.cooling_until = max(self.cooling_until, now + asked)
            return
        self._streak += 1
        pause = self._policy.pause_seconds(self._streak, chance, asked)
        self.cooling_until = max(self.cooling_until, now + pause)
        if self.rate is None:
            self.slow_down(now)
        else:
            self.rate = max(self.rate * CUT, LEAST_RATE)
            self._growth = LATER_GROWTH
            self._cut_at = now

    def answered(self, began_at: float) -> None:
        """The endpoint let a call in that began then."""
        if self.rate is None or began_at <= self._cut_at:
            return
        self._streak = 0
        self.rate = min(self.rate + self._growth, MOST_RATE)

    def slow_down(self, now: float) -> None:
        """Begin anew, small: everybody has waited for the endpoint."""
        self.rate, self._growth = START_RATE, 1.0
        self._cut_at = now

    def ready_at(self, now: float) -> float:
        """When the next call may begin; not later than now: at once."""
        if self.rate is not None and now >= max(self.cooling_until, self._cut_at) + FORGET_SECONDS:
            self.rate, self._streak = None, 0
        return self.cooling_until if self.rate is None else max(self.cooling_until, self._next_at)

    def began(self, now: float) -> None:
        """A call begins."""
        if self.rate is not None:
            self._next_at = max(self._next_at, now - CATCH_UP_SECONDS, self.cooling_until) + 1 / self.rate

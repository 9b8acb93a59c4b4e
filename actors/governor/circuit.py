"""The circuit breaker of a connection: an endpoint that is down is not asked by everybody in turn. Pure."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from actors.errors import ErrorInfo
from actors.governor.retrying import require

__all__ = ["Circuit", "CircuitPolicy", "CircuitStatus"]


class CircuitStatus(StrEnum):
    CLOSED = "closed"
    """Calls go through."""
    OPEN = "open"
    """Calls are refused with the last error."""
    HALF_OPEN = "half_open"
    """One call is let through to see, the others wait for what comes of it."""


class CircuitPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """When an endpoint counts as down: `failures` calls in a row, over at least `failing_seconds`.

    The time keeps a thousand calls that break at the same moment from being that many proofs. It is down
    for `open_seconds`, and up to half as long again by chance, before one call is let through to see.

    Raises:
        EngineError: `INVALID_ARGUMENT`, naming the field that is out of range.
    """

    failures: int = 5
    failing_seconds: float = 10.0
    open_seconds: float = 15.0

    def __post_init__(self) -> None:
        require("failures", self.failures, 1)
        require("failing_seconds", self.failing_seconds, 0)
        require("open_seconds", self.open_seconds, 0)


class Circuit:
    """The three states of Nygard's "Release It!".

    `probe` is the call that was let through; it is None unless the circuit is half open. `last_error` is
    there whenever it is not closed.
    """

    __slots__ = ("_failing_since", "_failures", "_policy", "last_error", "open_until", "probe", "status")

    def __init__(self, policy: CircuitPolicy) -> None:
        self._policy = policy
        self._failures = 0
        self._failing_since = 0.0
        self.status = CircuitStatus.CLOSED
        self.open_until = 0.0
        self.probe: int | None = None
        self.last_error: ErrorInfo | None = None

    def look(self, now: float) -> CircuitStatus:
        """The status now: an open one half opens when its time is over."""
        if self.status is CircuitStatus.OPEN and now >= self.open_until:
            self.status = CircuitStatus.HALF_OPEN
        return self.status

    def failed(self, call_id: int, error: ErrorInfo, now: float, chance: float) -> None:
        """The connection failed this call."""
        self.last_error = error
        if self._failures == 0:
            self._failing_since = now
        self._failures += 1
        match self.look(now):
            case CircuitStatus.CLOSED:
                proven = now - self._failing_since >= self._policy.failing_seconds
                if self._failures >= self._policy.failures and proven:
                    self._open(now, chance)
            case CircuitStatus.HALF_OPEN:
                if call_id == self.probe:
                    self._open(now, chance)
            case CircuitStatus.OPEN:
                pass

    def answered(self) -> bool:
        """The endpoint answers, be it with a refusal. Whether it was thought to be down."""
        was_down = self.status is not CircuitStatus.CLOSED
        self.status = CircuitStatus.CLOSED
        self._failures = 0
        self.probe = None
        return was_down

    def forget(self, call_id: int) -> None:
        """The call ended without a word of the endpoint: another one may be the probe."""
        if self.probe == call_id:
            self.probe = None

    def _open(self, now: float, chance: float) -> None:
        self.status = CircuitStatus.OPEN
        self.open_until = now + self._policy.open_seconds * (1 + chance / 2)
        self.probe = None

"""Which failures of a model call are worth another try, and after which pause. Pure."""

from __future__ import annotations

import math
from enum import Enum

import msgspec

from actors.errors import EngineError, ErrorCode, ErrorInfo

__all__ = ["Blame", "RetryPolicy", "blame_of", "require", "retry_after_of"]

_OVERLOADED_STATUS = 529  # Anthropic's "overloaded"; no RFC has it
_DOUBLINGS = 32  # more are beyond every limit, and would overflow in the end


class Blame(Enum):
    """What a call that failed before its first part says of its connection."""

    THROTTLED = "throttled"
    """The endpoint lives and wants less: all its callers have to hold back."""
    FAILING = "failing"
    """It cannot be reached, says nothing, or is broken."""
    CALL = "call"
    """It has judged this call, and will judge it alike again."""


def blame_of(error: ErrorInfo) -> Blame:
    status = error.details.get("http_status")
    if error.code is ErrorCode.QUOTA_EXCEEDED or status == _OVERLOADED_STATUS:
        return Blame.THROTTLED
    if error.code in (ErrorCode.NETWORK_ERROR, ErrorCode.TIMEOUT):
        return Blame.FAILING
    if error.code is ErrorCode.EXECUTION_FAILED and isinstance(status, int) and status >= 500:
        # RFC 9110, 15.6.4: a 503 with Retry-After knows when it will be better.
        return Blame.FAILING if retry_after_of(error) is None else Blame.THROTTLED
    return Blame.CALL


def retry_after_of(error: ErrorInfo) -> float | None:
    """The seconds that the endpoint asked for (RFC 9110, 10.2.3), None if it did not."""
    seconds = error.details.get("retry_after_seconds")
    if isinstance(seconds, str) or seconds is None or not math.isfinite(seconds):
        return None
    return max(float(seconds), 0.0)


class RetryPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """How often, and after which pauses, a model call is tried again that failed before its first part.

    - `max_attempts`: calls in all; 1 never tries again.
    - `base_seconds`: the first pause, which doubles with each failure up to `max_seconds`. Chance adds up
      to as much again.
    - `max_elapsed_seconds`: no pause begins that would end later than this after the first attempt; what a
      call waited for a permit does not count.
    - `max_retry_after_seconds`: an endpoint that asks for more patience than this is not waited for.

    Raises:
        EngineError: `INVALID_ARGUMENT`, naming the field that is out of range.
    """

    max_attempts: int = 4
    base_seconds: float = 0.5
    max_seconds: float = 30.0
    max_elapsed_seconds: float = 120.0
    max_retry_after_seconds: float = 60.0

    def __post_init__(self) -> None:
        require("max_attempts", self.max_attempts, 1)
        for name in ("base_seconds", "max_seconds", "max_elapsed_seconds", "max_retry_after_seconds"):
            require(name, getattr(self, name), 0)

    def pause_seconds(self, failures: int, chance: float, at_least: float | None = None) -> float:
        """The pause after so many failures in a row; `chance` is from 0 to 1.

        Never shorter than `at_least`, which is what the endpoint asked for: jitter is only added, so that
        those who were told the same time neither come early nor together ("Exponential Backoff And Jitter",
        AWS Architecture Blog).
        """
        step = min(self.max_seconds, self.base_seconds * 2.0 ** min(failures - 1, _DOUBLINGS))
        return (step if at_least is None else at_least) + chance * step


def require(name: str, value: float, least: float) -> None:
    """
    Raises:
        EngineError: `INVALID_ARGUMENT`: the value is below `least`, or no number.
    """
    if not isinstance(value, int | float) or not value >= least:  # pyright: ignore[reportUnnecessaryIsInstance] - a caller's mistake
        raise EngineError(ErrorCode.INVALID_ARGUMENT, f"{name} must be at least {least}, not {value!r}")

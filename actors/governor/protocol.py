"""What a governor understands, and what it answers."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from actors.errors import ErrorInfo
from actors.governor.circuit import CircuitStatus

__all__ = [
    "AcquirePermit",
    "CallAnswered",
    "CallFailed",
    "ComeAgain",
    "ConnectionStatus",
    "GetConnectionStatus",
    "GovernorMessage",
    "ReturnPermit",
    "Ruling",
    "Wake",
]


class AcquirePermit(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag=True):
    """Ask for leave to call the model; answered with None when it is given, which may be much later.

    While the endpoint cools it is answered with `ComeAgain` at once. Refused with the last error of the
    connection while that is not to be called. Larger `priority` first; inside one the smaller `call_id`, so
    that a call that tries again has the place that it had. `max_concurrent` is what the connection allows
    now, None: everything. `endpoint` is a larger number when the connection leads elsewhere than before, or
    with another key: what was learned until then does not count any more, nor what older calls will tell.
    """

    call_id: int
    priority: int = 0
    max_concurrent: int | None = None
    endpoint: int = 0


class ComeAgain(msgspec.Struct, frozen=True, tag=True):
    """Nobody gets a permit for so many seconds, because of this; ask again then."""

    retry_after_seconds: float
    error: ErrorInfo


class CallAnswered(msgspec.Struct, frozen=True, tag=True):
    """The endpoint has sent the first part of an answer: it lives, and lets calls in."""

    call_id: int
    endpoint: int = 0


class CallFailed(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag=True):
    """A call failed before its first part, and gives its permit back. Answered with a `Ruling`.

    `attempt` counts from 1. `spent_seconds` is how long its attempts and pauses took so far.
    """

    call_id: int
    error: ErrorInfo
    attempt: int
    spent_seconds: float = 0.0
    endpoint: int = 0


class Ruling(msgspec.Struct, frozen=True, tag=True):
    """Try again after so many seconds, or, if None, not at all."""

    retry_after_seconds: float | None


class ReturnPermit(msgspec.Struct, frozen=True, tag=True):
    """The call is over, or its request for a permit is taken back. Idempotent."""

    call_id: int


class GetConnectionStatus(msgspec.Struct, frozen=True, tag=True):
    """Answered with a `ConnectionStatus`."""


class Wake(msgspec.Struct, frozen=True, tag=True):
    """The time has come that somebody waits for; from its own timer."""


GovernorMessage: TypeAlias = AcquirePermit | CallAnswered | CallFailed | ReturnPermit | Wake
"""What changes a governor's state."""


class ConnectionStatus(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a connection is doing.

    `running` calls have a permit, `waiting` ones ask for it. For `cooling_seconds` more nobody gets one,
    since the endpoint was asked too much; after that so many a second as `calls_per_second` says, which
    grows with each success (None: no limit). While the `circuit` is open, for `open_seconds` more, calls
    are refused with `last_error`, which is also what it was throttled with last.
    """

    connection: str
    running: int
    waiting: int
    max_concurrent: int | None = None
    cooling_seconds: float = 0.0
    calls_per_second: float | None = None
    circuit: CircuitStatus = CircuitStatus.CLOSED
    open_seconds: float = 0.0
    last_error: ErrorInfo | None = None

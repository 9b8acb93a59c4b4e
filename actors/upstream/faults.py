"""The faults that the endpoint can commit, and which request gets which."""

from __future__ import annotations

import hashlib
import math
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum

from actors.errors import EngineError, ErrorCode
from actors.upstream.beat import LAST_CHUNK, Beat, chunk, event_chunk

__all__ = [
    "FAULT_HEADER",
    "FAULT_MODEL_PREFIX",
    "Fault",
    "FaultPlan",
    "break_body",
    "break_stream",
    "fault_named",
]

FAULT_HEADER = "x-greenroom-fault"
FAULT_MODEL_PREFIX = "fault-"

_EVENTS_BEFORE_FAULT = 4
_REMEMBERED_REQUESTS = 65_536


class Fault(StrEnum):
    """What can go wrong on purpose. The first three refuse the request, the others spoil its answer."""

    RATE_LIMIT = "429"
    SERVER_ERROR = "500"
    UNAUTHORIZED = "401"
    DISCONNECT = "disconnect"
    """The connection is closed in the middle of the answer."""
    RESET = "reset"
    """The connection is reset (TCP RST) in the middle of the answer."""
    STALL = "stall"
    """Silence in the middle of the answer, until the client goes away."""
    MALFORMED = "malformed"
    """One event is cut-off JSON; the answer goes on after it."""


def fault_named(name: str) -> Fault:
    """The fault that users call `name`.

    Raises:
        EngineError: INVALID_ARGUMENT, with the names that exist.
    """
    try:
        return Fault(name)
    except ValueError:
        known = ", ".join(Fault)
        raise EngineError(
            ErrorCode.INVALID_ARGUMENT, f"unknown fault {name!r}; known are {known}", fault=name
        ) from None


class FaultPlan:
    """Draws faults at given rates, repeatably.

    The draw depends on the request's digest and on how often that request came before, never on what
    other requests do, so that a retry may succeed and a run can be repeated. The counts of the
    most recent 65,536 different requests are kept.
    """

    def __init__(self, rates: Mapping[Fault, float]) -> None:
        self._rates = tuple(rates.items())
        self._attempts: OrderedDict[bytes, int] = OrderedDict()

    def draw(self, digest: bytes) -> Fault | None:
        """The fault for one more attempt at the request with this digest, or `None`."""
        if not self._rates:
            return None
        attempt = self._attempts.pop(digest, 0) + 1
        self._attempts[digest] = attempt
        if len(self._attempts) > _REMEMBERED_REQUESTS:
            self._attempts.popitem(last=False)
        drawn = hashlib.blake2b(digest, digest_size=8, salt=attempt.to_bytes(8, "big")).digest()
        point = int.from_bytes(drawn, "big") / 2**64
        for fault, rate in self._rates:
            if point < rate:
                return fault
            point -= rate
        return None


def break_stream(beats: Iterable[Beat], fault: Fault) -> Iterator[Beat]:
    """`beats` with `fault` in the middle: after four events, or before `[DONE]` of a shorter answer.

    After a disconnect or reset the beats end without the last chunk; whoever sends them closes the
    connection.
    """
    remaining = _EVENTS_BEFORE_FAULT
    beats = iter(beats)
    for pause, events, wire in beats:
        if remaining == 0 or events == 0:
            if fault is Fault.STALL:
                yield math.inf, 0, b""
            elif fault is Fault.MALFORMED:
                yield pause, 1, event_chunk(b'{"id":"chatcmpl-malformed","object":"chat.completion.ch')
                yield 0.0, events, wire
                yield from beats
            return
        remaining -= events
        yield pause, events, wire


def break_body(delay_seconds: float, body: bytes, fault: Fault) -> Iterator[Beat]:
    """A plain answer with `fault` in it: half of `body`, and then what the fault says."""
    yield delay_seconds, 0, chunk(body[: len(body) // 2])
    if fault is Fault.STALL:
        yield math.inf, 0, b""
    elif fault is Fault.MALFORMED:
        yield 0.0, 0, LAST_CHUNK

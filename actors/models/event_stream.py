"""Pumps the server-sent events of a response through a wire's parser, one `emit` per network read."""

from __future__ import annotations

import math
import types
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from typing import Protocol, TypeVar

import httpx
import msgspec
import trio

from actors.conversation import Part
from actors.errors import EngineError, ErrorCode
from actors.models.base import Emit
from actors.models.server_sent_events import EventDecoder, ServerSentEvent
from actors.models.silence import SilenceLimit
from actors.models.traffic import Traffic

__all__ = ["EventParser", "pump"]

T = TypeVar("T")

_END_GRACE_SECONDS = 1.0
_MOST_EVENT_BYTES = 32 * 1024 * 1024
_MOST_ANSWER_BYTES = 256 * 1024 * 1024


class EventParser(Protocol):
    """Turns the events of one answer into parts. Pure: no I/O, no clock."""

    @property
    def done(self) -> bool:
        """Whether the provider has said that no event follows."""
        ...

    def feed(self, data: str, event: str = "") -> list[Part]:
        """The parts of one event.

        Raises:
            EngineError: the event reports an error or is malformed.
        """
        ...

    def end(self) -> list[Part]:
        """The last parts, after the stream's end.

        Raises:
            EngineError: the answer is not complete.
        """
        ...


class _AnswerSize:
    """How many bytes an answer has so far, and an event in it that has not ended."""

    __slots__ = ("_all", "_unfinished")

    def __init__(self) -> None:
        self._all = 0
        self._unfinished = 0

    def grow(self, received_bytes: int, *, ends_event: bool) -> EngineError | None:
        """Why the rest is not read, if it is too large now."""
        self._all += received_bytes
        self._unfinished = 0 if ends_event else self._unfinished + received_bytes
        if self._unfinished > _MOST_EVENT_BYTES:
            what, most = "event", _MOST_EVENT_BYTES
        elif self._all > _MOST_ANSWER_BYTES:
            what, most = "answer", _MOST_ANSWER_BYTES
        else:
            return None
        return EngineError(
            ErrorCode.EXECUTION_FAILED,
            f"the provider sent too much: its {what} is larger than {most} bytes",
        )


async def pump(
    response: httpx.Response,
    parser: EventParser,
    emit: Emit,
    traffic: Traffic,
    *,
    silence_seconds: float = math.inf,
) -> None:
    """Read `response` to its end and emit what `parser` makes of it.

    Parts are held back only while more bytes are at hand without waiting, so that a busy process makes few
    large batches. What was parsed before an error is emitted before the error is raised. A server that
    keeps the connection open after the parser is done is left after a second, one that floods as soon as an
    event has 32 MiB, or the whole answer 256 MiB.

    Raises:
        EngineError: of the parser, or the answer is too large.
        Exception: of the network, as httpx raises it; `HttpPool.post` translates it.
    """
    parts: list[Part] = []

    def flush() -> None:
        if parts:
            said = tuple(parts)
            parts.clear()
            emit(said)

    decoder = EventDecoder()
    chunks = _chunks(response)
    size = _AnswerSize()
    failure: Exception | None = None
    # Cancelling the read unwinds the generators of httpx underneath; leaving the loop would not.
    reading = trio.CancelScope()

    def flush_in_read() -> None:
        nonlocal failure
        try:
            flush()
        except Exception as error:  # noqa: BLE001 - raised below, when the read has been unwound
            failure = failure or error
            reading.cancel()

    try:
        with reading:
            silence = SilenceLimit(reading, silence_seconds)
            while (chunk := await _before_waiting(anext(chunks, None), flush_in_read)) is not None:
                if failure is not None:
                    continue
                silence.heard()
                traffic.body_bytes += len(chunk)
                events = decoder.feed(chunk)
                failure = _take(parser, events, parts, traffic) or size.grow(
                    len(chunk), ends_event=bool(events)
                )
                if failure is not None:
                    reading.cancel()
                elif parser.done:
                    reading.deadline = min(reading.deadline, trio.current_time() + _END_GRACE_SECONDS)
            if failure is None:
                failure = _take(parser, decoder.end(), parts, traffic, at_end=True)
        if failure is not None:
            raise failure
        if reading.cancelled_caught and not parser.done:
            raise httpx.ReadTimeout("nothing came in time")
        parts += parser.end()
    finally:
        flush()


def _take(
    parser: EventParser,
    events: list[ServerSentEvent],
    parts: list[Part],
    traffic: Traffic,
    *,
    at_end: bool = False,
) -> EngineError | None:
    """Parse events up to the first that is a failure."""
    for data, name in events:
        traffic.events += 1
        try:
            parts.extend(parser.feed(data, name))
        except EngineError as error:
            # An event that only the end of the stream completed was cut off; it is not malformed.
            return None if at_end and _is_cut_off(data) else error
    return None


def _chunks(response: httpx.Response) -> AsyncIterator[bytes]:
    """The bytes of the body, as they come."""
    if "content-encoding" in response.headers or not isinstance(response.stream, httpx.AsyncByteStream):
        return response.aiter_bytes()
    # Without what httpx would add for every chunk: decoding, counting, joining.
    return aiter(response.stream)


@types.coroutine
def _before_waiting(awaitable: Awaitable[T], flush: Callable[[], None]) -> Generator[object, object, T]:
    """Await `awaitable`, calling `flush` first if the task has to give way to the scheduler.

    A network read always does, the pieces of one read that the HTTP parser still holds do not: this is what
    tells them apart, at any depth of generators. Steps the awaitable by hand as PEP 492 defines it.
    """
    steps = awaitable.__await__()
    try:
        trap = next(steps)
    except StopIteration as stop:
        return stop.value
    flush()
    while True:
        try:
            try:
                answer = yield trap
            except BaseException as error:  # noqa: BLE001 - handed down, where it belongs
                trap = steps.throw(error)
            else:
                trap = steps.send(answer)
        except StopIteration as stop:
            return stop.value


def _is_cut_off(data: str) -> bool:
    try:
        msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError):
        return True
    return False

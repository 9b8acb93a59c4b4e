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
from actors.errors import EngineError
from actors.models.base import Emit
from actors.models.server_sent_events import EventDecoder, ServerSentEvent
from actors.models.silence import SilenceLimit
from actors.models.traffic import Traffic

__all__ = ["EventParser", "pump"]

T = TypeVar("T")

_END_GRACE_SECONDS = 1.0


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
    keeps the connection open after the parser is done is left after a second.

    Raises:
        EngineError: of the parser.
        Exception: of the network, as httpx raises it; `HttpPool.post` translates it.
    """
    parts: list[Part] = []

    def flush() -> None:
        if parts:
            emit(tuple(parts))
            parts.clear()

    def take(events: list[ServerSentEvent], *, at_end: bool = False) -> EngineError | None:
        """Parse events up to the first that is a failure."""
        for data, name in events:
            traffic.events += 1
            try:
                parts.extend(parser.feed(data, name))
            except EngineError as error:
                # An event that only the end of the stream completed was cut off; it is not malformed.
                return None if at_end and _is_cut_off(data) else error
        return None

    decoder = EventDecoder()
    chunks = _chunks(response)
    failure: EngineError | None = None
    try:
        # Cancelling the read unwinds the generators of httpx underneath; leaving the loop would not.
        with trio.CancelScope() as reading:
            silence = SilenceLimit(reading, silence_seconds)
            while (chunk := await _before_waiting(anext(chunks, None), flush)) is not None:
                if failure is not None:
                    continue
                silence.heard()
                traffic.body_bytes += len(chunk)
                failure = take(decoder.feed(chunk))
                if failure is not None:
                    reading.cancel()
                elif parser.done:
                    reading.deadline = min(reading.deadline, trio.current_time() + _END_GRACE_SECONDS)
            if failure is None:
                failure = take(decoder.end(), at_end=True)
        if failure is not None:
            raise failure
        if reading.cancelled_caught and not parser.done:
            raise httpx.ReadTimeout("nothing came in time")
        parts += parser.end()
    finally:
        flush()


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
    except msgspec.DecodeError:
        return True
    return False

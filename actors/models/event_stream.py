"""Pumps the server-sent events of a response through a wire's parser, one `emit` per network read."""

from __future__ import annotations

import re
import types
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from typing import Protocol, TypeVar

import httpx
import msgspec
import trio
from httpx_sse import EventSource

from actors.conversation import Part
from actors.errors import EngineError
from actors.models.base import Emit
from actors.models.traffic import Traffic

__all__ = ["EventParser", "pump"]

T = TypeVar("T")

_END_GRACE_SECONDS = 1.0
# The one encoding that the standard allows for event streams, and the byte order mark that it lets precede.
_EVENT_STREAM = {"content-type": "text/event-stream; charset=utf-8-sig"}


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


async def pump(response: httpx.Response, parser: EventParser, emit: Emit, traffic: Traffic) -> None:
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

    body = _Body(response, flush, traffic)
    events = EventSource(httpx.Response(200, headers=_EVENT_STREAM, stream=body)).aiter_sse()
    failure: EngineError | None = None
    try:
        # Cancelling the read unwinds the generators of httpx underneath; leaving the loop would not.
        with trio.CancelScope() as reading:
            async for event in events:
                if failure is not None:
                    continue
                traffic.events += 1
                try:
                    parts += parser.feed(event.data, event.event)
                except EngineError as error:
                    # An event that only the end of the stream completed was cut off; it is not malformed.
                    if not (body.at_end and _is_cut_off(event.data)):
                        failure = error
                        reading.cancel()
                if parser.done:
                    reading.deadline = min(reading.deadline, trio.current_time() + _END_GRACE_SECONDS)
        if failure is not None:
            raise failure
        parts += parser.end()
    finally:
        flush()


class _Body(httpx.AsyncByteStream):
    """The bytes of a response, made fit for httpx-sse.

    Calls `flush` whenever the next bytes have to be waited for. Ends an event that the server left open at
    the end of the stream.
    """

    def __init__(self, response: httpx.Response, flush: Callable[[], None], traffic: Traffic) -> None:
        self._response = response
        self._flush = flush
        self._traffic = traffic
        self.at_end = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        chunks = self._response.aiter_bytes()
        fields = ErrorField()
        while (chunk := await _before_waiting(anext(chunks, None), self._flush)) is not None:
            self._traffic.body_bytes += len(chunk)
            yield fields.rewrite(chunk)
        self.at_end = True
        yield fields.rest() + b"\n\n"


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


class ErrorField:
    """Makes `error: x` lines, which servers of the llama.cpp family send, an event of the name `error`.

    The standard has no such field, so that httpx-sse would drop it.
    """

    _FIELD = re.compile(rb"(?<![^\r\n])error:")
    _BEGUN = re.compile(rb"(?<![^\r\n])(?:e|er|err|erro|error)\Z")

    __slots__ = ("_begun", "_in_line")

    def __init__(self) -> None:
        self._begun = b""
        self._in_line = False

    def rewrite(self, chunk: bytes) -> bytes:
        """The chunk with such lines replaced. Keeps back the beginning of a field name that was cut."""
        if not self._begun and b"error:" not in chunk and chunk.endswith((b"\n", b"\r")):
            self._in_line = False
            return chunk
        # Any byte but a line end stands for the line that an earlier chunk began.
        before = b"-" if self._in_line else b""
        text = before + self._begun + chunk
        begun = self._BEGUN.search(text)
        self._begun = begun.group() if begun else b""
        text = text[: len(text) - len(self._begun)]
        self._in_line = bool(text) and not text.endswith((b"\n", b"\r"))
        return self._FIELD.sub(b"event: error\ndata:", text)[len(before) :]

    def rest(self) -> bytes:
        """What was kept back, when no more bytes follow."""
        return self._begun


def _is_cut_off(data: str) -> bool:
    try:
        msgspec.json.decode(data)
    except msgspec.DecodeError:
        return True
    return False

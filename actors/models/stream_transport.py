"""The transport of one HTTP/1.1 stream at a time, made for many small pieces."""

from __future__ import annotations

import math
import select
import socket
import ssl
from collections.abc import AsyncIterator, Mapping
from typing import Protocol

import h11
import httpx
import trio

from actors.models.chunked_body import ChunkedBody, MalformedBodyError

__all__ = ["StreamTransport"]

_RECEIVE_BYTES = 16 * 1024
_NO_BODY = frozenset({204, 304})
_MOST_INTERIM_ANSWERS = 100


class StreamTransport(httpx.AsyncBaseTransport):
    """Sends one request after the other to one origin, over one connection as long as that is sound.

    httpx's own transport costs 50 us for every piece of an answer, two thirds of what reading it takes:
    six layers of generators, and a timeout that is a context manager of its own. This one reads the socket
    itself. h11 writes requests and reads heads and plain bodies; chunked bodies, which streams are, are
    read by `ChunkedBody`. No proxies, no HTTP/2. Raises what httpx's own transport raises.

    A request begins when the response before it was closed.
    """

    def __init__(self, ssl_context: ssl.SSLContext, *, keep_alive_seconds: float) -> None:
        self._ssl_context = ssl_context
        self._keep_alive_seconds = keep_alive_seconds
        self._idle: _Wire | None = None
        self._idle_since = -math.inf

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        limits: Mapping[str, float | None] = request.extensions.get("timeout", {})
        wire = await self._connected(request.url, _seconds(limits, "connect"))
        try:
            return await self._exchange(wire, request, limits)
        except BaseException:
            await wire.close()
            raise

    async def aclose(self) -> None:
        wire, self._idle = self._idle, None
        if wire is not None:
            await wire.close()

    async def _connected(self, url: httpx.URL, seconds: float) -> _Wire:
        wire, self._idle = self._idle, None
        if wire is not None:
            if trio.current_time() - self._idle_since < self._keep_alive_seconds and not wire.has_news():
                return wire
            await wire.close()
        try:
            with trio.fail_after(seconds):
                return await _connect(url, self._ssl_context)
        except trio.TooSlowError as error:
            raise httpx.ConnectTimeout("no connection in time") from error
        except (OSError, trio.BrokenResourceError) as error:
            raise httpx.ConnectError(str(error)) from error

    async def _exchange(
        self, wire: _Wire, request: httpx.Request, limits: Mapping[str, float | None]
    ) -> httpx.Response:
        body = await request.aread()
        connection = h11.Connection(h11.CLIENT)
        try:
            head = connection.send(
                h11.Request(method=request.method, target=request.url.raw_path, headers=request.headers.raw)
            )
            content = connection.send(h11.Data(data=body))
            connection.send(h11.EndOfMessage())
        except h11.LocalProtocolError as error:
            raise httpx.LocalProtocolError(str(error)) from error
        await _send(wire, (head or b"") + (content or b""), _seconds(limits, "write"))
        silence = _seconds(limits, "read")
        response = await _read_head(connection, wire, silence)
        chunked = (b"transfer-encoding", b"chunked") in response.headers
        if chunked and response.status_code not in _NO_BODY and request.method != "HEAD":
            stream: _Body = _StreamedBody(self, wire, connection)
        else:
            stream = _PlainBody(self, wire, connection, silence)
        return httpx.Response(
            response.status_code,
            headers=response.headers.raw_items(),
            stream=stream,
            extensions={"http_version": b"HTTP/" + response.http_version, "reason_phrase": response.reason},
        )

    def keep(self, wire: _Wire) -> None:
        """Take a connection back for the next request."""
        self._idle = wire
        self._idle_since = trio.current_time()


class _Body(httpx.AsyncByteStream):
    """The body of one response. Closed before its end it takes its connection with it."""

    def __init__(self, transport: StreamTransport, wire: _Wire, connection: h11.Connection) -> None:
        self._transport = transport
        self._wire: _Wire | None = wire
        self._connection: h11.Connection | None = connection

    def _complete(self, *, reusable: bool) -> None:
        assert self._wire is not None
        if reusable:
            self._transport.keep(self._wire)
            self._wire = None

    async def aclose(self) -> None:
        wire, self._wire = self._wire, None
        if wire is not None:
            await wire.close()


class _StreamedBody(_Body):
    """A chunked body, whose pieces are handed on as they are received."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        connection, self._connection = self._connection, None
        assert connection is not None
        assert self._wire is not None
        keep_alive = connection.our_state is h11.DONE
        data, _ = connection.trailing_data  # what came together with the head
        del connection
        body = ChunkedBody()
        while True:
            try:
                payload = body.feed(data)
            except MalformedBodyError as error:
                raise httpx.RemoteProtocolError(str(error)) from error
            if payload:
                yield payload
            if body.complete:
                break
            try:
                data = await self._wire.receive()
            except (OSError, trio.BrokenResourceError, trio.ClosedResourceError) as error:
                raise httpx.ReadError(str(error)) from error
            if not data:
                raise httpx.RemoteProtocolError("the connection was closed in the middle of the answer")
        self._complete(reusable=keep_alive and not body.surplus)


class _PlainBody(_Body):
    """A body of known length, or one that ends with its connection, as h11 reads it."""

    def __init__(
        self, transport: StreamTransport, wire: _Wire, connection: h11.Connection, silence: float
    ) -> None:
        super().__init__(transport, wire, connection)
        self._silence = silence

    async def __aiter__(self) -> AsyncIterator[bytes]:
        connection, self._connection = self._connection, None
        assert connection is not None
        assert self._wire is not None
        while True:
            event = await _next_event(connection, self._wire, self._silence)
            if isinstance(event, h11.Data):
                yield bytes(event.data)
            else:
                break
        is_done = connection.our_state is h11.DONE and connection.their_state is h11.DONE
        self._complete(reusable=is_done and not connection.trailing_data[0])


# --- reading and writing ----------------------------------------------------------------------------


class _Wire(Protocol):
    """Bytes to and from one server."""

    async def receive(self) -> bytes:
        """Some bytes, or none when the server has closed its side."""
        ...

    async def send(self, data: bytes) -> None: ...

    def has_news(self) -> bool:
        """Whether it can be read from, which an idle one can only when it is broken or closed."""
        ...

    async def close(self) -> None:
        """At once, without farewell."""
        ...


class _PlainWire:
    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    async def receive(self) -> bytes:
        while True:
            await trio.lowlevel.wait_readable(self._sock)
            try:
                return self._sock.recv(_RECEIVE_BYTES)
            except BlockingIOError:
                continue

    async def send(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            await trio.lowlevel.wait_writable(self._sock)
            try:
                view = view[self._sock.send(view) :]
            except BlockingIOError:
                continue

    def has_news(self) -> bool:
        return _is_readable(self._sock.fileno())

    async def close(self) -> None:
        trio.lowlevel.notify_closing(self._sock)
        self._sock.close()


class _SecureWire:
    def __init__(self, stream: trio.SSLStream[trio.SocketStream]) -> None:
        self._stream = stream

    async def receive(self) -> bytes:
        return bytes(await self._stream.receive_some(_RECEIVE_BYTES))

    async def send(self, data: bytes) -> None:
        await self._stream.send_all(data)

    def has_news(self) -> bool:
        return _is_readable(self._stream.transport_stream.socket.fileno())

    async def close(self) -> None:
        await trio.aclose_forcefully(self._stream)


async def _connect(url: httpx.URL, ssl_context: ssl.SSLContext) -> _Wire:
    host = url.raw_host.decode("ascii")
    secure = url.scheme == "https"
    stream = await trio.open_tcp_stream(host, url.port or (443 if secure else 80))
    if not secure:
        return _PlainWire(socket.socket(fileno=stream.socket.detach()))
    over_tls = trio.SSLStream(stream, ssl_context, server_hostname=host, https_compatible=True)
    try:
        await over_tls.do_handshake()
    except BaseException:
        await trio.aclose_forcefully(over_tls)
        raise
    return _SecureWire(over_tls)


def _is_readable(descriptor: int) -> bool:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))


async def _read_head(connection: h11.Connection, wire: _Wire, silence: float) -> h11.Response:
    for _ in range(_MOST_INTERIM_ANSWERS):
        event = await _next_event(connection, wire, silence)
        if isinstance(event, h11.Response):
            return event
        if isinstance(event, h11.ConnectionClosed):
            raise httpx.RemoteProtocolError("the connection was closed before an answer came")
    raise httpx.RemoteProtocolError("interim answers came without end, and no final one")


async def _next_event(connection: h11.Connection, wire: _Wire, silence: float) -> object:
    try:
        while True:
            event = connection.next_event()
            if event is not h11.NEED_DATA:
                return event
            data = await _receive(wire, silence)
            if not data and connection.their_state is h11.SEND_RESPONSE:
                raise httpx.RemoteProtocolError("the connection was closed before an answer came")
            connection.receive_data(data)
    except h11.RemoteProtocolError as error:
        raise httpx.RemoteProtocolError(str(error)) from error


async def _receive(wire: _Wire, silence: float) -> bytes:
    # Not `fail_after`: two generators more for every piece.
    scope = trio.CancelScope(deadline=trio.current_time() + silence)
    try:
        with scope:
            return await wire.receive()
    except (OSError, trio.BrokenResourceError, trio.ClosedResourceError) as error:
        raise httpx.ReadError(str(error)) from error
    raise httpx.ReadTimeout("nothing came in time")


async def _send(wire: _Wire, data: bytes, seconds: float) -> None:
    try:
        with trio.fail_after(seconds):
            await wire.send(data)
    except trio.TooSlowError as error:
        raise httpx.WriteTimeout("nothing could be sent in time") from error
    except (OSError, trio.BrokenResourceError, trio.ClosedResourceError) as error:
        raise httpx.WriteError(str(error)) from error


def _seconds(limits: Mapping[str, float | None], name: str) -> float:
    seconds = limits.get(name)
    return math.inf if seconds is None else seconds

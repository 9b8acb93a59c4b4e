"""One HTTP/1.1 connection: h11 reads and keeps the state of both sides, the bytes of answers are ours."""

from __future__ import annotations

import socket
import struct
from http import HTTPStatus

import h11
import msgspec
import trio

from actors.upstream.faults import Fault
from actors.upstream.pacer import PacedStream, Pacer
from actors.upstream.reply import JsonReply, PacedReply
from actors.upstream.wire import ApiError

__all__ = ["MAX_BODY_BYTES", "HttpConnection", "HttpRequest"]

MAX_BODY_BYTES = 16 * 1024 * 1024
_MAX_HEAD_BYTES = 65_536
_MAX_PIPELINED_BYTES = 65_536
_RECEIVE_BYTES = 65_536
_LINGER_SECONDS = 1.0
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class HttpRequest(msgspec.Struct, frozen=True):
    """A request with its whole body. Header names are in lower case, `path` comes without the query."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class HttpConnection:
    """Requests from a connected, non-blocking socket, and the replies to them, one after the other.

    Every method that waits raises `OSError` when the connection breaks.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._h11 = h11.Connection(h11.SERVER, max_incomplete_event_size=_MAX_HEAD_BYTES)
        # The reply to a HEAD request has no body, whatever its headers say.
        self._bodiless = False

    async def read_request(self) -> HttpRequest | None:
        """The next request, or `None` if the client has closed its side.

        Raises:
            ApiError: not HTTP, or too large. The rest of it is unread: answer with `refuse`.
        """
        try:
            head = await self._next_event()
            if not isinstance(head, h11.Request):
                return None
            self._bodiless = head.method == b"HEAD"
            if head.http_version < b"1.1":
                raise ApiError(505, "this endpoint speaks HTTP/1.1")
            headers = {name.decode("ascii"): value.decode("latin-1") for name, value in head.headers}
            if int(headers.get("content-length", 0)) > MAX_BODY_BYTES:
                raise _too_large()
            body = bytearray()
            while isinstance(event := await self._next_event(), h11.Data):
                body += event.data
                if len(body) > MAX_BODY_BYTES:
                    raise _too_large()
        except h11.RemoteProtocolError as error:
            raise ApiError(error.error_status_hint, str(error)) from error
        path = head.target.decode("latin-1").partition("?")[0]
        return HttpRequest(head.method.decode("ascii"), path, headers, bytes(body))

    async def send_json(self, reply: JsonReply) -> bool:
        """Send `reply`; says whether the connection can take another request."""
        await self._send_document(reply)
        return self._next_cycle()

    async def refuse(self, reply: JsonReply) -> None:
        """Send `reply` to a request that was not read to its end, after which the connection is of no use.

        Closing a socket that holds unread bytes resets the connection, and the reset can overtake the
        reply; so what the client still sends is thrown away for up to a second (RFC 9112, section 9.6).
        """
        await self._send_document(
            msgspec.structs.replace(reply, headers=(*reply.headers, ("connection", "close")))
        )
        self._sock.shutdown(socket.SHUT_WR)
        with trio.move_on_after(_LINGER_SECONDS):
            while await self._receive():
                pass

    async def send_paced(self, reply: PacedReply, pacer: Pacer) -> bool:
        """Have `pacer` send `reply`; says whether the connection can take another request.

        Returns as soon as the answer is sent or the client has gone, whichever is first.
        """
        await self._send(
            self._head(
                200,
                ("content-type", reply.content_type),
                ("cache-control", "no-cache"),
                ("transfer-encoding", "chunked"),
            )
        )
        stream = PacedStream(self._sock, reply.beats)
        pacer.add(stream)
        try:
            with stream.over:
                await self._watch_client()
        finally:
            pacer.discard(stream)
        if reply.fault is Fault.RESET:
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        if not stream.completed or reply.fault in (Fault.DISCONNECT, Fault.RESET):
            return False
        # The beats held the last chunk; h11 only needs to know.
        self._h11.send(h11.EndOfMessage())
        return self._next_cycle()

    def close(self) -> None:
        """Close the socket and free every task that waits on it."""
        trio.lowlevel.notify_closing(self._sock)
        self._sock.close()

    async def _next_event(self) -> object:
        while True:
            event = self._h11.next_event()
            if event is not h11.NEED_DATA:
                return event
            if self._h11.they_are_waiting_for_100_continue:
                go_ahead = self._h11.send(h11.InformationalResponse(status_code=100, headers=[]))
                await self._send(go_ahead or b"")
            self._h11.receive_data(await self._receive())

    async def _watch_client(self) -> None:
        """Return when the client goes away. What it sends meanwhile belongs to its next request."""
        pipelined_bytes = 0
        while pipelined_bytes < _MAX_PIPELINED_BYTES and (data := await self._receive()):
            self._h11.receive_data(data)
            pipelined_bytes += len(data)

    async def _send_document(self, reply: JsonReply) -> None:
        head = self._head(
            reply.status,
            ("content-type", "application/json"),
            ("content-length", str(len(reply.body))),
            *reply.headers,
        )
        body = b"" if self._bodiless else self._h11.send(h11.Data(data=reply.body))
        await self._send(head + (body or b""))
        self._h11.send(h11.EndOfMessage())

    def _head(self, status: int, *headers: tuple[str, str]) -> bytes:
        response = h11.Response(status_code=status, headers=list(headers), reason=HTTPStatus(status).phrase)
        head = self._h11.send(response)
        assert head is not None
        return head

    def _next_cycle(self) -> bool:
        if self._h11.our_state is not h11.DONE:
            return False
        self._h11.start_next_cycle()
        return True

    async def _receive(self) -> bytes:
        """What the client sent, or `b""` if it has closed its side."""
        while True:
            await trio.lowlevel.wait_readable(self._sock)
            try:
                return self._sock.recv(_RECEIVE_BYTES)
            except BlockingIOError:
                continue

    async def _send(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            try:
                view = view[self._sock.send(view) :]
            except BlockingIOError:
                await trio.lowlevel.wait_writable(self._sock)


def _too_large() -> ApiError:
    return ApiError(413, f"the request body is larger than {MAX_BODY_BYTES} bytes")

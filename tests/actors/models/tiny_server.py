"""An HTTP server of a few lines on 127.0.0.1, for what only real sockets show."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeAlias

import trio

Answering: TypeAlias = Callable[[trio.SocketStream, bytes], Awaitable[None]]
"""Writes the answer to one request; closing the stream ends the connection."""

EVENT_STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"


class TinyServer:
    """`requests` are head and body as they came, `connections` counts the clients that connected."""

    def __init__(self, answer: Answering) -> None:
        self._answer = answer
        self.base_url = ""
        self.requests: list[bytes] = []
        self.connections = 0
        self.closed_by_client = trio.Event()

    async def serve(self, stream: trio.SocketStream) -> None:
        self.connections += 1
        try:
            while (request := await _read_request(stream)) is not None:
                self.requests.append(request)
                await self._answer(stream, request)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        self.closed_by_client.set()


@asynccontextmanager
async def tiny_server(answer: Answering) -> AsyncGenerator[TinyServer, None]:
    server = TinyServer(answer)
    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        port = listeners[0].socket.getsockname()[1]
        server.base_url = f"http://127.0.0.1:{port}/v1"
        nursery.start_soon(trio.serve_listeners, server.serve, listeners)
        yield server
        nursery.cancel_scope.cancel()


def http_chunk(content: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(content), content)


async def _read_request(stream: trio.SocketStream) -> bytes | None:
    received = b""
    while b"\r\n\r\n" not in received:
        more = await stream.receive_some()
        if not more:
            return None
        received += more
    head, _, body = received.partition(b"\r\n\r\n")
    fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
    length = int(fields.get(b"content-length", b"0"))
    while len(body) < length:
        body += await stream.receive_some()
    return head + b"\r\n\r\n" + body

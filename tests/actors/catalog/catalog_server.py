"""A server that keeps a catalog as `HttpAgentService` expects it: HTTP, and a WebSocket for changes."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import unquote

import h11
import trio
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, CloseConnection, Ping, Request, TextMessage
from wsproto.utilities import RemoteProtocolError

__all__ = ["CatalogServer", "open_catalog_server"]

IDS = {"agents": "agent_id", "connections": "connection_id", "mcp-servers": "server_id"}


class CatalogServer:
    """What it keeps, what it was asked, and who hears of changes."""

    def __init__(self) -> None:
        self.kept: dict[str, dict[str, Any]] = {kind: {} for kind in IDS}
        self.requests: list[tuple[str, str, Any]] = []
        self.refusal: tuple[int, str] | None = None
        self.base_url = ""
        self._feeds: dict[trio.SocketStream, WSConnection] = {}
        self._joined = trio.Condition()

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, Any]:
        """The status and the JSON of the answer; None is no body."""
        entry: Any = json.loads(body) if body else None
        self.requests.append((method, path, entry))
        if self.refusal is not None:
            return self.refusal
        _, api, kind, *rest = path.split("/")
        if api != "api" or kind not in IDS:
            return 404, "no such place"
        entries = self.kept[kind]
        match method, rest:
            case "GET", []:
                return 200, list(entries.values())
            case "POST", []:
                entries[entry[IDS[kind]]] = entry
                return 201, entry
            case "GET", [key] if kind != "mcp-servers":
                found = entries.get(unquote(key))
                return (404, "not here") if found is None else (200, found)
            case "DELETE", [key]:
                return (204, None) if entries.pop(unquote(key), None) is not None else (404, "not here")
            case _:
                return 405, "not like this"

    async def announce(self) -> None:
        """Tell all who listen that something has changed."""
        for stream, connection in list(self._feeds.items()):
            await stream.send_all(connection.send(TextMessage(data='{"type": "changed"}')))

    async def hang_up(self) -> None:
        """Lose all who listen, without a word."""
        feeds, self._feeds = self._feeds, {}
        for stream in feeds:
            await stream.aclose()

    async def until_heard(self) -> None:
        """Until somebody listens."""
        async with self._joined:
            while not self._feeds:
                await self._joined.wait()

    async def serve(self, stream: trio.SocketStream) -> None:
        connection = h11.Connection(h11.SERVER)
        body = b""
        request: h11.Request | None = None
        while True:
            event = connection.next_event()
            if event is h11.NEED_DATA:
                data = await stream.receive_some()
                connection.receive_data(data)
            elif isinstance(event, h11.Request):
                request = event
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage | h11.PAUSED):
                break
            else:
                return
        assert request is not None
        path = request.target.decode()
        if path == "/api/ws":
            await self._feed(stream, request)
            return
        status, said = self.answer(request.method.decode(), path, body)
        if request.method != b"GET" and status < 300:
            await self.announce()
        content = b"" if said is None else json.dumps(said).encode()
        headers = [("content-length", str(len(content))), ("connection", "close")]
        for part in (
            h11.Response(status_code=status, headers=headers),
            h11.Data(content),
            h11.EndOfMessage(),
        ):
            await stream.send_all(connection.send(part) or b"")
        await stream.aclose()

    async def _feed(self, stream: trio.SocketStream, request: h11.Request) -> None:
        connection = WSConnection(ConnectionType.SERVER)
        headers = [(name, value) for name, value in request.headers if name != b"sec-websocket-extensions"]
        connection.initiate_upgrade_connection(headers, "/api/ws")
        try:
            while True:
                for event in connection.events():
                    match event:
                        case Request():
                            await stream.send_all(connection.send(AcceptConnection()))
                            async with self._joined:
                                self._feeds[stream] = connection
                                self._joined.notify_all()
                        case Ping():
                            await stream.send_all(connection.send(event.response()))
                        case CloseConnection():
                            await stream.send_all(connection.send(event.response()))
                            return
                        case _:
                            pass
                data = await stream.receive_some()
                if not data:
                    return
                connection.receive_data(data)
        finally:
            self._feeds.pop(stream, None)


@asynccontextmanager
async def open_catalog_server() -> AsyncGenerator[CatalogServer]:
    server = CatalogServer()

    async def serve(stream: trio.SocketStream) -> None:
        try:
            await server.serve(stream)
        except (trio.BrokenResourceError, trio.ClosedResourceError, RemoteProtocolError):
            pass  # the other side is gone
        finally:
            await trio.aclose_forcefully(stream)

    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    server.base_url = f"http://127.0.0.1:{listener.socket.getsockname()[1]}"
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, serve, [listener])
        yield server
        nursery.cancel_scope.cancel()

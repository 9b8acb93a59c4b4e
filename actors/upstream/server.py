"""The endpoint on its socket."""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import socket
from pathlib import Path

import trio

from actors.errors import EngineError, ErrorCode
from actors.upstream.connection import HttpConnection
from actors.upstream.endpoint import Endpoint
from actors.upstream.pacer import Pacer
from actors.upstream.replay import load_recordings
from actors.upstream.reply import JsonReply
from actors.upstream.settings import UpstreamSettings
from actors.upstream.traffic import Traffic, UpstreamStatistics
from actors.upstream.wire import ApiError

__all__ = ["Upstream"]

_BACKLOG = 4096
_ACCEPTS_PER_TURN = 64
_IDLE_SECONDS = 120.0
_OUT_OF_FILES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_OUT_OF_FILES_SECONDS = 0.1


class Upstream:
    """A simulated model endpoint.

    It is bound and its recordings are loaded on construction, so clients may connect at once; they are
    answered once `serve` runs.

    Raises:
        EngineError: INVALID_ARGUMENT, when the address cannot be had or a recording cannot be used.
    """

    def __init__(self, settings: UpstreamSettings) -> None:
        recordings = load_recordings(Path(settings.replay_dir)) if settings.replay_dir is not None else ()
        self._traffic = Traffic()
        self._endpoint = Endpoint(settings, recordings, self._traffic)
        self._pacer = Pacer(self._traffic)
        self._listener = _bind(settings.host, settings.port)
        self._host = f"[{settings.host}]" if ":" in settings.host else settings.host

    @property
    def port(self) -> int:
        port: int = self._listener.getsockname()[1]
        return port

    @property
    def base_url(self) -> str:
        """What OpenAI clients call the base URL: `http://127.0.0.1:PORT/v1`."""
        return f"http://{self._host}:{self.port}/v1"

    def statistics(self) -> UpstreamStatistics:
        return self._traffic.statistics()

    async def serve(self) -> None:
        """Answer until cancelled; then every connection and the listening socket are closed."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._pacer.run)
                while True:
                    await trio.lowlevel.wait_readable(self._listener)
                    # Not one per turn of the loop: under load a turn takes a millisecond.
                    for _ in range(_ACCEPTS_PER_TURN):
                        if (sock := await self._accept()) is None:
                            break
                        nursery.start_soon(self._serve_connection, sock)
        finally:
            trio.lowlevel.notify_closing(self._listener)
            self._listener.close()

    async def _accept(self) -> socket.socket | None:
        """The next client that waits, or `None` if none does."""
        try:
            sock, _ = self._listener.accept()
        except OSError as error:
            # Out of file descriptors: the client stays in the backlog until others have left.
            if error.errno in _OUT_OF_FILES:
                await trio.sleep(_OUT_OF_FILES_SECONDS)
            # Whatever else accept() says is about a client that has gone again.
            return None
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    async def _serve_connection(self, sock: socket.socket) -> None:
        connection = HttpConnection(sock)
        self._traffic.connections += 1
        try:
            # A client may break its connection at any moment; that is nobody's error.
            with contextlib.suppress(OSError):
                while await self._serve_request(connection):
                    pass
        finally:
            self._traffic.connections -= 1
            connection.close()

    async def _serve_request(self, connection: HttpConnection) -> bool:
        """Serve one request; says whether there may be another."""
        request = None
        try:
            with trio.move_on_after(_IDLE_SECONDS):
                request = await connection.read_request()
        except ApiError as error:
            await connection.refuse(error.reply())
            return False
        if request is None:
            return False
        reply = self._endpoint.reply(request, trio.current_time())
        if isinstance(reply, JsonReply):
            return await connection.send_json(reply)
        return await connection.send_paced(reply, self._pacer)


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ipaddress.ip_address(host).version == 6 else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            message = f"port {port} of {host} is in use; choose another one, or 0 for any that is free"
        else:
            message = f"cannot listen on port {port} of {host}: {error.strerror}"
        raise EngineError(ErrorCode.INVALID_ARGUMENT, message, port=port) from error
    listener.setblocking(False)
    return listener

"""What carries the SDK's messages: the streams of a program, or HTTP."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager, suppress
from http import HTTPStatus
from types import TracebackType

import anyio
import httpx2
import trio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._stream_protocols import ReadStream, WriteStream
from mcp.shared.message import SessionMessage
from mcp_types import jsonrpc_message_adapter

from actors.connections import McpServer
from actors.mcp.program import Program, open_program
from actors.mcp.wording import Redactor

__all__ = ["HttpTransport", "ProgramTransport", "Streams", "Transport"]

Streams = tuple[ReadStream[SessionMessage | Exception], WriteStream[SessionMessage]]

_MESSAGES_AHEAD = 1024
"""So many messages may wait to be written: a program that does not read holds up nobody who gives up."""

_CONNECT_SECONDS = 30.0
_GOODBYE_SECONDS = 1.0
_SESSION_HEADER = "mcp-session-id"


class Transport:
    """A context manager of streams, as the SDK wants it, that can tell what became of it. Used once."""

    def __init__(self, server: McpServer, redact: Redactor) -> None:
        self._server = server
        self._redact = redact
        self._context: AbstractAsyncContextManager[Streams] | None = None
        self.ended = trio.Event()
        """Nothing more comes, and calls that wait are lost."""

    def ending(self) -> str:
        """What is known of why it failed, for people; "" if nothing."""
        raise NotImplementedError

    def _open(self) -> AbstractAsyncContextManager[Streams]:
        raise NotImplementedError

    async def __aenter__(self) -> Streams:
        self._context = self._open()
        return await self._context.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        assert self._context is not None
        return await self._context.__aexit__(kind, error, traceback)


class ProgramTransport(Transport):
    """A message a line, on the standard streams of a program."""

    def __init__(self, server: McpServer, environment: Mapping[str, str], redact: Redactor) -> None:
        super().__init__(server, redact)
        self._environment = environment
        self._program: Program | None = None

    def ending(self) -> str:
        return "" if self._program is None or not self.ended.is_set() else self._program.ending()

    @asynccontextmanager
    async def _open(self) -> AsyncGenerator[Streams, None]:
        to_sdk, arriving = anyio.create_memory_object_stream[SessionMessage | Exception](0)
        leaving, from_sdk = anyio.create_memory_object_stream[SessionMessage](_MESSAGES_AHEAD)
        async with (
            to_sdk,
            arriving,
            leaving,
            from_sdk,
            open_program(self._server, self._environment, self._redact) as program,
            trio.open_nursery() as nursery,
        ):
            self._program = program
            nursery.start_soon(self._read, program, to_sdk)
            nursery.start_soon(self._write, program, from_sdk)
            nursery.start_soon(self._end, program, to_sdk)
            try:
                yield arriving, leaving
            finally:
                nursery.cancel_scope.cancel()

    async def _read(
        self, program: Program, to_sdk: MemoryObjectSendStream[SessionMessage | Exception]
    ) -> None:
        try:
            async with aclosing(program.lines()) as lines:
                async for line in lines:
                    try:
                        message = jsonrpc_message_adapter.validate_json(line, by_name=False)
                    except ValueError:
                        program.told_garbage(line)
                    else:
                        await to_sdk.send(SessionMessage(message))
        except (anyio.ClosedResourceError, anyio.BrokenResourceError, trio.BrokenResourceError):
            pass
        await program.wait_for_last_words()
        program.ended.set()

    async def _write(self, program: Program, from_sdk: MemoryObjectReceiveStream[SessionMessage]) -> None:
        try:
            async for message in from_sdk:
                text = message.message.model_dump_json(by_alias=True, exclude_unset=True)
                await program.send_line(text.encode())
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            await program.wait_for_last_words()
            program.ended.set()

    async def _end(
        self, program: Program, to_sdk: MemoryObjectSendStream[SessionMessage | Exception]
    ) -> None:
        await program.ended.wait()
        self.ended.set()
        await to_sdk.aclose()  # the SDK lets go of everybody who waits for an answer


class HttpTransport(Transport):
    """Streamable HTTP."""

    def __init__(
        self, server: McpServer, redact: Redactor, network: httpx2.AsyncBaseTransport | None
    ) -> None:
        super().__init__(server, redact)
        self._network = network
        self._refused = 0
        self._session = ""

    def ending(self) -> str:
        if not self._refused:
            return ""
        what = f"HTTP {self._refused} {_phrase(self._refused)}".rstrip()
        if self._refused in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            return f"{what}: look at the key in the headers of its definition"
        if self._refused in (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED):
            return f"{what}: look at the path of its url"
        return what

    @asynccontextmanager
    async def _open(self) -> AsyncGenerator[Streams, None]:
        # How long an answer may take is the business of the call.
        timeout = httpx2.Timeout(_CONNECT_SECONDS, read=None)
        async with (
            httpx2.AsyncClient(
                headers=self._server.headers,
                timeout=timeout,
                transport=self._network,
                event_hooks={"response": [self._note]},
            ) as client,
            streamable_http_client(
                self._server.url, http_client=client, terminate_on_close=False
            ) as streams,
        ):
            try:
                yield streams
            finally:
                if self._session:
                    with trio.move_on_after(_GOODBYE_SECONDS, shield=True):
                        await self._say_goodbye(client)

    async def _say_goodbye(self, client: httpx2.AsyncClient) -> None:
        """The SDK's own way is cut by a cancellation, and the server would keep our session for long."""
        with suppress(httpx2.HTTPError):
            await client.delete(self._server.url, headers={_SESSION_HEADER: self._session})

    async def _note(self, response: httpx2.Response) -> None:
        self._session = response.headers.get(_SESSION_HEADER, self._session)
        # The stream of a GET is optional: many servers refuse it.
        if response.request.method == "POST":
            self._refused = response.status_code if response.is_error else 0


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""

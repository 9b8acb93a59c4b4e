"""A link through the official SDK. Imported only where that is installed."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager, suppress

import httpx2
import mcp_types as sdk
import pydantic
import trio
from mcp.client.client import Client
from mcp.client.session import IncomingMessage
from mcp.client.subscriptions import ListenNotSupportedError, SubscriptionLost
from mcp.shared.exceptions import MCPError
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from actors import __version__
from actors.connections import McpServer
from actors.errors import EngineError, ErrorCode
from actors.mcp.link import Link, lost_during_call
from actors.mcp.remote_tool import Listing, RemoteTool
from actors.mcp.results import result_text
from actors.mcp.transports import HttpTransport, ProgramTransport, Transport
from actors.mcp.wording import Redactor, leaves_of
from runtime import get_logger

__all__ = ["open_sdk_link"]

_log = get_logger("mcp")

_MOST_PAGES = 100
_MOST_TOOLS = 1000
_PROBE_SECONDS = 10.0
_LISTEN_AGAIN_SECONDS = 5.0
_SESSION_GONE = "Session terminated"
"""What the SDK says for an HTTP server that does not know our session any more."""


@asynccontextmanager
async def open_sdk_link(
    server: McpServer, environment: Mapping[str, str], network: httpx2.AsyncBaseTransport | None
) -> AsyncGenerator[Link, None]:
    """Connect and shake hands, in whichever version of the protocol both know."""
    redact = Redactor(server)
    transport = (
        ProgramTransport(server, environment, redact)
        if server.command
        else HttpTransport(server, redact, network)
    )
    look, looks = trio.open_memory_channel[None](1)

    def look_again() -> None:
        with suppress(trio.WouldBlock):  # it will look anyway
            look.send_nowait(None)

    async def on_message(message: IncomingMessage) -> None:
        if isinstance(message, sdk.ToolListChangedNotification):
            look_again()

    async def on_log(params: sdk.LoggingMessageNotificationParams) -> None:
        line = redact(str(params.data), longest=500)
        _log.debug("MCP server logs", server=server.server_id, severity=params.level, line=line)

    try:
        async with Client(
            transport,
            client_info=sdk.Implementation(name="greenroom", version=__version__),
            message_handler=on_message,
            logging_callback=on_log,
            cache=None,
        ) as client:
            yield _SdkLink(server, client, transport, redact, look_again, looks)
    except BaseExceptionGroup as group:
        cancelled, _ = group.split(trio.Cancelled)
        if cancelled is not None:
            raise cancelled from None
        raise _translated(group, transport, redact) from None
    except EngineError:
        raise
    except Exception as error:  # noqa: BLE001 - translation edge: a stranger's program and library
        raise _translated(error, transport, redact) from None


class _SdkLink:
    def __init__(
        self,
        server: McpServer,
        client: Client,
        transport: Transport,
        redact: Redactor,
        look_again: Callable[[], None],
        looks: trio.MemoryReceiveChannel[None],
    ) -> None:
        self._server = server
        self._client = client
        self._transport = transport
        self._redact = redact
        self._look_again = look_again
        self._looks = looks

    async def list_tools(self) -> Listing:
        try:
            return await self._list_tools()
        except (MCPError, pydantic.ValidationError) as error:
            raise _translated(error, self._transport, self._redact) from None

    async def _list_tools(self) -> Listing:
        capabilities = self._client.server_capabilities
        if capabilities.tools is None:
            return Listing(remarks=("it offers no tools",))
        tools: list[sdk.Tool] = []
        cursor: str | None = None
        seen: set[str] = set()
        for _ in range(_MOST_PAGES):
            page = await self._client.list_tools(cursor=cursor)
            tools += page.tools
            cursor = page.next_cursor
            if cursor is None or cursor in seen or len(tools) > _MOST_TOOLS:
                break
            seen.add(cursor)
        cut = cursor is not None or len(tools) > _MOST_TOOLS
        remark = f"it lists tools without an end: the first {min(len(tools), _MOST_TOOLS)} are taken"
        return Listing(tuple(map(_remote_tool, tools[:_MOST_TOOLS])), (remark,) if cut else ())

    async def call(self, name: str, arguments: Mapping[str, object], show: Callable[[str], None]) -> str:
        async def on_progress(progress: float, total: float | None, message: str | None) -> None:
            share = f"{progress:g}" if total is None else f"{progress:g}/{total:g}"
            show(f"{message} ({share})\n" if message else f"{share}\n")

        server_id, seconds = self._server.server_id, self._server.timeout_seconds
        try:
            with trio.fail_after(seconds):
                result = await self._client.call_tool(name, dict(arguments), progress_callback=on_progress)
        except trio.TooSlowError:
            what = f"did not answer within {seconds:g} seconds; the call was cancelled"
            raise EngineError(ErrorCode.TIMEOUT, f"The MCP server {server_id} {what}.") from None
        except MCPError as error:
            if _is_lost(error):
                self._look_again()
                why = self._redact(self._transport.ending() or "the connection was closed")
                raise lost_during_call(server_id, why) from None
            raise _failed(self._redact(f"The MCP server {server_id} refused the call: {error}")) from None
        except (pydantic.ValidationError, RuntimeError, ValueError) as error:
            what = self._redact(_first_line(error))
            raise _failed(f"The MCP server {server_id} answered what it may not: {what}") from None
        text = result_text(result)
        if result.is_error:
            raise _failed(text or "The tool failed, and does not say why.")
        return text

    async def watch(self, on_listing: Callable[[Listing], None]) -> str:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._listen)
            nursery.start_soon(self._look_at_end)
            async for _ in self._looks:
                lost = await self._look(on_listing)
                if lost:
                    nursery.cancel_scope.cancel()
                    return lost
        raise AssertionError("its sender is open as long as the link")

    async def _look_at_end(self) -> None:
        await self._transport.ended.wait()
        self._look_again()

    async def _look(self, on_listing: Callable[[Listing], None]) -> str:
        """List the tools again: whether there are others, and whether anybody answers at all."""
        if self._transport.ended.is_set():
            return self._redact(self._transport.ending())
        try:
            with trio.fail_after(_PROBE_SECONDS):
                on_listing(await self._list_tools())
        except trio.TooSlowError:
            return f"it did not answer within {_PROBE_SECONDS:g} seconds"
        except MCPError as error:
            if _is_lost(error):
                return self._redact(self._transport.ending() or str(error))
            _log.warning(
                "tools not listed again", server=self._server.server_id, reason=self._redact(str(error))
            )
        except pydantic.ValidationError as error:
            reason = self._redact(_first_line(error))
            _log.warning("tools not listed again", server=self._server.server_id, reason=reason)
        return ""

    async def _listen(self) -> None:
        """In the newer versions of the protocol, changes are told only to those who ask for them."""
        tools = self._client.server_capabilities.tools
        if self._client.protocol_version not in MODERN_PROTOCOL_VERSIONS or not (
            tools and tools.list_changed
        ):
            return
        while True:
            try:
                async with self._client.listen(tools_list_changed=True) as changes:
                    self._look_again()  # what changed before anybody listened
                    async for _ in changes:
                        self._look_again()
            except ListenNotSupportedError:
                return
            except MCPError as error:
                if not _is_lost(error):
                    return
            except SubscriptionLost:
                pass
            self._look_again()  # what was missed meanwhile; and is it there still?
            await trio.sleep(_LISTEN_AGAIN_SECONDS)


def _remote_tool(tool: sdk.Tool) -> RemoteTool:
    hints = tool.annotations or sdk.ToolAnnotations()
    return RemoteTool(
        name=tool.name,
        description=tool.description or tool.title or hints.title or "",
        parameters=tool.input_schema,
        # Whoever says that it does harm too is not believed.
        read_only=hints.read_only_hint is True and hints.destructive_hint is not True,
    )


def _failed(text: str) -> EngineError:
    return EngineError(ErrorCode.EXECUTION_FAILED, text)


def _is_lost(error: MCPError) -> bool:
    return error.code in (sdk.CONNECTION_CLOSED, sdk.REQUEST_TIMEOUT) or error.message == _SESSION_GONE


def _translated(error: BaseException, transport: Transport, redact: Redactor) -> EngineError:
    first: BaseException = error
    for leaf in leaves_of(error):
        if isinstance(leaf, EngineError):
            return leaf
        first = leaf
    why = transport.ending() or _why(first)
    return EngineError(ErrorCode.NETWORK_ERROR, redact(why))


def _why(error: BaseException) -> str:
    if isinstance(error, httpx2.ConnectError):
        return f"nobody answers at its url: {_first_line(error)}"
    if isinstance(error, pydantic.ValidationError):
        return f"it answered what the protocol does not allow: {_first_line(error)}"
    return _first_line(error)


def _first_line(error: BaseException) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__

"""Opens links through the official SDK, which is an extra and is imported when the first one is opened."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib import import_module
from typing import TYPE_CHECKING

import trio

from actors.connections import McpServer
from actors.errors import EngineError, ErrorCode
from actors.mcp.link import Link, OpenLink

if TYPE_CHECKING:
    import httpx2

__all__ = ["sdk_links"]


def sdk_links(
    environment: Mapping[str, str], *, network: httpx2.AsyncBaseTransport | None = None
) -> OpenLink:
    """Links to programs and URLs. Programs get `environment` and what their definition adds to it.

    `network` replaces the real one for those that are reached by HTTP.
    """

    def open_link(server: McpServer) -> AbstractAsyncContextManager[Link]:
        return _open_link(server, environment, network)

    return open_link


@asynccontextmanager
async def _open_link(
    server: McpServer, environment: Mapping[str, str], network: httpx2.AsyncBaseTransport | None
) -> AsyncGenerator[Link, None]:
    if bool(server.command) == bool(server.url):
        raise EngineError(ErrorCode.INVALID_ARGUMENT, "it needs a command or a url, and not both")
    if server.url and not server.url.startswith(("http://", "https://")):
        raise EngineError(ErrorCode.INVALID_ARGUMENT, "its url begins neither with http:// nor https://")
    if not server.timeout_seconds > 0:
        what = f"its timeout_seconds must be more than 0, not {server.timeout_seconds:g}"
        raise EngineError(ErrorCode.INVALID_ARGUMENT, what)
    try:
        # In a thread: it takes most of a second, once.
        await trio.to_thread.run_sync(import_module, "mcp.client.client")
    except ImportError as error:
        raise EngineError(
            ErrorCode.INVALID_ARGUMENT,
            f"MCP servers need the MCP SDK (pip install 'greenroom[mcp]'): {error}",
        ) from None
    from actors.mcp.sdk_link import open_sdk_link  # noqa: PLC0415 - not without the extra

    async with open_sdk_link(server, environment, network) as link:
        yield link

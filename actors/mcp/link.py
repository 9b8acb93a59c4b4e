"""What an actor of a server needs of a connection to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Protocol, TypeAlias

from actors.connections import McpServer
from actors.errors import EngineError, ErrorCode
from actors.mcp.remote_tool import Listing

__all__ = ["Link", "OpenLink", "lost_during_call"]


class Link(Protocol):
    """An open connection. It may be used by many tasks at once."""

    async def list_tools(self) -> Listing:
        """All tools of the server.

        Raises:
            EngineError: it does not answer, or not well.
        """
        ...

    async def call(self, name: str, arguments: Mapping[str, object], show: Callable[[str], None]) -> str:
        """The text of the result; a call that is cancelled is cancelled at the server too.

        Raises:
            EngineError: the call has failed, or the connection broke; its message is for the model.
        """
        ...

    async def watch(self, on_listing: Callable[[Listing], None]) -> str:
        """Report each change of the tools; returns when the connection is lost, and says why."""
        ...


OpenLink: TypeAlias = Callable[[McpServer], AbstractAsyncContextManager[Link]]
"""Connects to a server for the time of an `async with` block; nothing is left behind after it.

Raises, also at the end of the block:
    EngineError: it cannot be reached, with a message for people; `INVALID_ARGUMENT` if trying again cannot
        help.
"""


def lost_during_call(server_id: str, why: str) -> EngineError:
    """What a call comes to whose server is gone before it has answered."""
    return EngineError(
        ErrorCode.NETWORK_ERROR,
        f"The MCP server {server_id} was lost during the call: {why.rstrip('.')}."
        " Whether the call was carried out is not known.",
    )

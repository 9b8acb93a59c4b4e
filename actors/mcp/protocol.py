"""What the actors of MCP servers understand, and what they say."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import TypeAlias

import msgspec

from actors.connections import McpServer

__all__ = [
    "CheckTools",
    "GetHealth",
    "McpCommand",
    "McpHealth",
    "McpState",
    "McpToolInfo",
    "RegisterServer",
    "ServersChanged",
    "UnregisterServer",
]


class McpState(StrEnum):
    """Where a server stands."""

    DISCONNECTED = "disconnected"
    """Nobody has tried yet."""
    CONNECTING = "connecting"
    READY = "ready"
    WAITING = "waiting"
    """It was lost or not reached, and is tried again."""
    BROKEN = "broken"
    """It cannot work as it is defined, and is not tried again."""


class McpToolInfo(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A tool of a server: `name` is what models call it, `remote_name` what the server does."""

    name: str
    remote_name: str
    description: str = ""
    read_only: bool = False


class McpHealth(msgspec.Struct, frozen=True, kw_only=True):
    """How a server is.

    - `since`: when it came into its state.
    - `tools`: those that it has named last; they are `offered` to models while it is ready, and for a
      while after it was lost.
    - `last_error`: why it was lost or not reached the last time; "" if that never happened.
    - `retry_in_seconds`: while it waits, when it is tried again; None otherwise.
    - `calls` and `failures`: how many calls have ended so far, and how many of them not well.
    - `remarks`: what is odd about its tools: those that got another name, or were left out.
    """

    server_id: str
    name: str
    state: McpState
    since: datetime
    tools: tuple[McpToolInfo, ...] = ()
    offered: bool = False
    last_error: str = ""
    retry_in_seconds: float | None = None
    calls: int = 0
    failures: int = 0
    remarks: tuple[str, ...] = ()

    @property
    def healthy(self) -> bool:
        return self.state is McpState.READY


class ServersChanged(msgspec.Struct, frozen=True, tag=True):
    """These are the servers of the catalog now: new ones are started, missing or disabled ones ended.

    One whose definition is another than before is ended and started anew. The rest goes on undisturbed, and
    so do those that were registered.
    """

    servers: tuple[McpServer, ...]


class RegisterServer(msgspec.Struct, frozen=True, tag=True):
    """Ask to start one server more, or anew by another definition.

    Answered with its `McpHealth` as soon as it is ready, or could not be reached for the first time.
    """

    server: McpServer


class UnregisterServer(msgspec.Struct, frozen=True, tag=True):
    """Ask to end a server; its tools are not offered any more when this is answered. Unknown: nothing."""

    server_id: str


class GetHealth(msgspec.Struct, frozen=True, omit_defaults=True, tag=True):
    """Ask how the servers are: a tuple of `McpHealth` by id; of one server's actor, its own.

    With `settled` the answer waits until each has been reached, or not, for the first time.
    """

    settled: bool = False


class CheckTools(msgspec.Struct, frozen=True, tag=True):
    """Ask which tools can be called now, of all tools of the engine: a `ToolHealthReport`."""


McpCommand: TypeAlias = ServersChanged | RegisterServer | UnregisterServer | GetHealth | CheckTools

"""The MCP servers of an engine: how they are started, and what callers may ask of them and of tools."""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import trio

from actors.access import LOCAL, AccessRequest
from actors.catalog.actor import CatalogActor
from actors.catalog.listener import CatalogListener
from actors.catalog.protocol import CatalogChanged, SubscribeCatalog
from actors.catalog.view import CatalogView
from actors.connections import McpServer
from actors.engine.asker import Asker, checked
from actors.mcp.link import OpenLink
from actors.mcp.protocol import (
    CheckTools,
    GetHealth,
    McpHealth,
    RegisterServer,
    ServersChanged,
    UnregisterServer,
)
from actors.mcp.roster import Roster
from actors.mcp.servers import SERVERS_NAME, McpServersActor
from actors.tools import ToolHealthReport, ToolRegistry
from runtime import ActorRef, ActorSystem
from runtime.supervision import ChildSpec, FindChild, Intensity, Supervisor

__all__ = ["McpCommands", "open_mcp_servers"]

_RESTARTS_BORNE = Intensity(max_restarts=5, period_seconds=10.0)
_LISTENER_NAME = "mcp-catalog"
_END_SECONDS = 8.0
"""A program that does not want to end takes about four."""


@asynccontextmanager
async def open_mcp_servers(
    system: ActorSystem,
    given: Iterable[McpServer],
    *,
    catalog: ActorRef[CatalogActor],
    view: CatalogView,
    tools: ToolRegistry,
    open_link: OpenLink,
    now: Callable[[], datetime],
) -> AsyncGenerator[ActorRef[McpServersActor], None]:
    """The actor of all servers, those given and those of the catalog, for the time of the block.

    It begins to connect, and nobody waits for that. None of the servers' processes is left after the block.
    """
    roster = Roster(given)
    roster.replace_list(view.current.mcp_servers.values())
    chance = random.Random().random  # noqa: S311 - spreads reconnections

    def make_actor() -> McpServersActor:
        return McpServersActor(roster, tools=tools, open_link=open_link, now=now, chance=chance)

    spec = ChildSpec(SERVERS_NAME, make_actor, registered_name=SERVERS_NAME, shutdown=_END_SECONDS)
    supervisor = system.spawn(Supervisor, [spec], intensity=_RESTARTS_BORNE)
    try:
        servers: ActorRef[McpServersActor] = await supervisor.ask(FindChild(SERVERS_NAME), block=False)

        def on_change(changed: CatalogChanged) -> None:
            if changed.mcp_servers:
                servers.tell(ServersChanged(tuple(view.current.mcp_servers.values())))

        listener = system.spawn_named(_LISTENER_NAME, CatalogListener, on_change)
        try:
            await catalog.ask(SubscribeCatalog(_LISTENER_NAME), block=False)
            # What was changed since the roster was made was told to nobody.
            servers.tell(ServersChanged(tuple(view.current.mcp_servers.values())))
            yield servers
        finally:
            with trio.CancelScope(shield=True):
                await listener.stop(block=False, drain=False)
    finally:
        with trio.move_on_after(2 * _END_SECONDS, shield=True):
            await supervisor.stop(block=False)


class McpCommands(Asker):
    """The part of an engine that has to do with MCP servers, and with tools."""

    _mcp: ActorRef[Any]

    async def register_mcp_server(self, server: McpServer, *, principal: str = LOCAL) -> McpHealth:
        """Start a server more, or anew if there is one of this id; returns when it was tried.

        It is there until the engine closes, and goes before one of this id in the catalog; to keep one,
        `save_mcp_server`.

        Whether it could be reached is what its health says: one that could not is tried again, and its
        tools are offered as soon as it is there. `INVALID_ARGUMENT` for one that is disabled.
        """
        command = RegisterServer(checked(server))
        self._require(AccessRequest(principal=principal, action=RegisterServer.__name__))
        health: McpHealth = await self._ask(self._mcp, command)
        return health

    async def unregister_mcp_server(self, server_id: str, *, principal: str = LOCAL) -> None:
        """End a server; its tools are offered to no turn any more when this returns.

        One of the catalog stays there, and is back when the servers of the catalog change.
        """
        self._require(AccessRequest(principal=principal, action=UnregisterServer.__name__))
        await self._ask(self._mcp, checked(UnregisterServer(server_id)))

    async def mcp_health(self, *, settled: bool = False) -> tuple[McpHealth, ...]:
        """How the servers are, by id; with `settled`, once each was tried for the first time."""
        healths: tuple[McpHealth, ...] = await self._ask(self._mcp, GetHealth(settled))
        return healths

    async def tool_health(self, *, principal: str = LOCAL) -> ToolHealthReport:
        """Which tools can be called now, why the others cannot, and which MCP servers are not there."""
        self._require(AccessRequest(principal=principal, action=CheckTools.__name__))
        report: ToolHealthReport = await self._ask(self._mcp, CheckTools())
        return report

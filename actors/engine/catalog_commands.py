"""What callers ask of the catalog: a typed method for each command of its protocol."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from actors.access import LOCAL, AccessRequest
from actors.agents import AgentDefinition
from actors.catalog.catalog import Catalog
from actors.catalog.listener import CatalogListener
from actors.catalog.protocol import (
    CatalogChanged,
    CatalogCommand,
    DeleteAgent,
    DeleteConnection,
    DeleteMcpServer,
    GetCatalog,
    SaveAgent,
    SaveConnection,
    SaveMcpServer,
    SubscribeCatalog,
)
from actors.connections import Connection, McpServer
from actors.engine.asker import Asker, checked, closed_error
from runtime import ActorRef, ActorSystem, SystemClosedError

__all__ = ["CatalogCommands"]


class CatalogCommands(Asker):
    """Who answers, over which connections, with the tools of which servers.

    What is saved counts for the next turn; a turn that is running keeps the agent that it began with.
    `principal` is who asks; `FORBIDDEN` if that may not.
    """

    _catalog: ActorRef[Any]
    _system: ActorSystem

    async def get_agents(self, *, principal: str = LOCAL) -> tuple[AgentDefinition, ...]:
        return tuple((await self._get_catalog(principal)).agents.values())

    async def get_agent_config(self, agent_id: str, *, principal: str = LOCAL) -> AgentDefinition | None:
        known = await self.get_agents(principal=principal)
        return next((one for one in known if one.agent_id == agent_id), None)

    async def save_agent(self, agent: AgentDefinition, *, principal: str = LOCAL) -> None:
        """Keep an agent, in the place of the one with its id; it is kept when this returns."""
        await self._ask_catalog(SaveAgent(agent), principal)

    async def delete_agent(self, agent_id: str, *, principal: str = LOCAL) -> None:
        """Remove an agent; one that is not there is fine. Its running tasks go on to their end."""
        await self._ask_catalog(DeleteAgent(agent_id), principal)

    async def get_connections(self, *, principal: str = LOCAL) -> tuple[Connection, ...]:
        """Those that were saved; the known providers are connections besides. Keys are in them."""
        return tuple((await self._get_catalog(principal)).connections.values())

    async def get_connection(self, connection_id: str, *, principal: str = LOCAL) -> Connection | None:
        known = await self.get_connections(principal=principal)
        return next((one for one in known if one.connection_id == connection_id), None)

    async def save_connection(self, connection: Connection, *, principal: str = LOCAL) -> None:
        """Keep a connection, in the place of the one with its id, or of the known provider of that name.

        `INVALID_ARGUMENT`, and nothing is changed, if no model could be asked over it.
        """
        await self._ask_catalog(SaveConnection(connection), principal)

    async def delete_connection(self, connection_id: str, *, principal: str = LOCAL) -> None:
        """Remove a connection; one that is not there is fine. Calls that are under way go on."""
        await self._ask_catalog(DeleteConnection(connection_id), principal)

    async def get_mcp_servers(self, *, principal: str = LOCAL) -> tuple[McpServer, ...]:
        return tuple((await self._get_catalog(principal)).mcp_servers.values())

    async def save_mcp_server(self, server: McpServer, *, principal: str = LOCAL) -> None:
        """Keep an MCP server, in the place of the one with its id; it starts now, and with the next engine.

        For one that is not to be kept there is `register_mcp_server`.
        """
        await self._ask_catalog(SaveMcpServer(server), principal)

    async def delete_mcp_server(self, server_id: str, *, principal: str = LOCAL) -> None:
        """Remove an MCP server; one that is not there is fine. Its tools are offered to no new turn."""
        await self._ask_catalog(DeleteMcpServer(server_id), principal)

    async def on_catalog_change(
        self, callback: Callable[[CatalogChanged], object], *, principal: str = LOCAL
    ) -> Callable[[], None]:
        """Call `callback` with each change from now on, whoever makes it; the way to end that.

        It is called in the engine's thread, and must not block; what it raises is logged.
        """
        self._require(AccessRequest(principal=principal, action=SubscribeCatalog.__name__))
        is_wanted = True

        def call(changed: CatalogChanged) -> None:
            if is_wanted:  # else it was on its way when this ended
                callback(changed)

        name = f"catalog-listener/{uuid.uuid4()}"
        try:
            listener = self._system.spawn_named(name, CatalogListener, call)
        except SystemClosedError:
            raise closed_error() from None

        def stop() -> None:
            nonlocal is_wanted
            is_wanted = False
            listener.stop(block=False)

        try:
            await self._ask(self._catalog, SubscribeCatalog(name))
        except BaseException:
            stop()
            raise
        return stop

    async def _get_catalog(self, principal: str) -> Catalog:
        catalog: Catalog = await self._ask_catalog(GetCatalog(), principal)
        return catalog

    async def _ask_catalog(self, message: CatalogCommand, principal: str) -> Any:
        message = checked(message)
        self._require(AccessRequest(principal=principal, action=type(message).__name__))
        return await self._ask(self._catalog, message)

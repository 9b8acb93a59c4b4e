"""A catalog that is kept in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from actors.agents import AgentDefinition
from actors.catalog.catalog import Catalog, Entry
from actors.catalog.service import ChangeListeners
from actors.connections import Connection, McpServer

__all__ = ["MemoryAgentService"]


class MemoryAgentService:
    """An `AgentService` that forgets everything at the end of the process."""

    def __init__(
        self,
        agents: Iterable[AgentDefinition] = (),
        connections: Iterable[Connection] = (),
        mcp_servers: Iterable[McpServer] = (),
    ) -> None:
        self._catalog = Catalog.of(agents, connections, mcp_servers)
        self._listeners = ChangeListeners()

    async def init(self) -> None:
        pass

    async def listen(self) -> None:
        pass

    def on_change(self, callback: Callable[[], None]) -> Callable[[], None]:
        return self._listeners.add(callback)

    async def get_agents(self) -> tuple[AgentDefinition, ...]:
        return tuple(self._catalog.agents.values())

    async def get_agent_config(self, agent_id: str) -> AgentDefinition | None:
        return self._catalog.agents.get(agent_id)

    async def save_agent(self, agent: AgentDefinition) -> None:
        self._save(agent)

    async def delete_agent(self, agent_id: str) -> None:
        self._delete(AgentDefinition, agent_id)

    async def get_connections(self) -> tuple[Connection, ...]:
        return tuple(self._catalog.connections.values())

    async def get_connection(self, connection_id: str) -> Connection | None:
        return self._catalog.connections.get(connection_id)

    async def save_connection(self, connection: Connection) -> None:
        self._save(connection)

    async def delete_connection(self, connection_id: str) -> None:
        self._delete(Connection, connection_id)

    async def get_mcp_servers(self) -> tuple[McpServer, ...]:
        return tuple(self._catalog.mcp_servers.values())

    async def save_mcp_server(self, server: McpServer) -> None:
        self._save(server)

    async def delete_mcp_server(self, server_id: str) -> None:
        self._delete(McpServer, server_id)

    def _save(self, entry: Entry) -> None:
        self._catalog = self._catalog.saved(entry)
        self._listeners.call()

    def _delete(self, kind: type[Entry], key: str) -> None:
        self._catalog = self._catalog.deleted(kind, key)
        self._listeners.call()

"""What keeps agents, connections and MCP servers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from actors.agents import AgentDefinition
from actors.connections import Connection, McpServer

__all__ = ["AgentService", "ChangeListeners"]


class AgentService(Protocol):
    """A place for agents, connections and MCP servers; each is known by its id.

    To save under an id replaces what was there; to delete what is not there is fine. The methods wait for
    disks and networks, and raise `EngineError`, whose message may be shown. The catalog actor uses a
    service from one task at a time, `listen` aside.
    """

    async def init(self) -> None:
        """Get ready. Called once, before anything else."""
        ...

    async def listen(self) -> None:
        """Hear of changes that others make, for as long as that is possible; cancelled at the end.

        Runs in a task of its own after `init`. Returns at once where there is nothing to listen to.
        """
        ...

    def on_change(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call `callback` once for each save and delete, from now on; the way to end that, twice is once.

        Called in the thread of the service's user, and it neither blocks nor raises. Somebody else's
        changes call it, too, as far as `listen` hears of them.
        """
        ...

    async def get_agents(self) -> tuple[AgentDefinition, ...]: ...

    async def get_agent_config(self, agent_id: str) -> AgentDefinition | None: ...

    async def save_agent(self, agent: AgentDefinition) -> None: ...

    async def delete_agent(self, agent_id: str) -> None: ...

    async def get_connections(self) -> tuple[Connection, ...]:
        """All of them; a service may keep their keys to itself, or not keep them at all."""
        ...

    async def get_connection(self, connection_id: str) -> Connection | None: ...

    async def save_connection(self, connection: Connection) -> None: ...

    async def delete_connection(self, connection_id: str) -> None: ...

    async def get_mcp_servers(self) -> tuple[McpServer, ...]: ...

    async def save_mcp_server(self, server: McpServer) -> None: ...

    async def delete_mcp_server(self, server_id: str) -> None: ...


class ChangeListeners:
    """Who wants to hear of changes of a service."""

    def __init__(self) -> None:
        self._callbacks: dict[object, Callable[[], None]] = {}

    def add(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call it at each change; the way to end that."""
        key = object()  # the same function may listen twice
        self._callbacks[key] = callback

        def remove() -> None:
            self._callbacks.pop(key, None)

        return remove

    def call(self) -> None:
        for callback in tuple(self._callbacks.values()):
            callback()

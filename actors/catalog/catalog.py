"""What the catalog holds, as a value. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import TypeAlias, TypeVar

import msgspec

from actors.agents import AgentDefinition
from actors.catalog.protocol import CatalogChanged
from actors.connections import Connection, McpServer

__all__ = ["Catalog", "Entry", "changes", "with_kept_keys"]

Entry: TypeAlias = AgentDefinition | Connection | McpServer

T = TypeVar("T", AgentDefinition, Connection, McpServer)


class Catalog(msgspec.Struct, frozen=True, kw_only=True):
    """Agents, connections and MCP servers, by their ids. Cannot be changed, only replaced."""

    agents: Mapping[str, AgentDefinition] = MappingProxyType({})
    connections: Mapping[str, Connection] = MappingProxyType({})
    mcp_servers: Mapping[str, McpServer] = MappingProxyType({})

    @classmethod
    def of(
        cls,
        agents: Iterable[AgentDefinition] = (),
        connections: Iterable[Connection] = (),
        mcp_servers: Iterable[McpServer] = (),
    ) -> Catalog:
        """Of two with one id the later one counts."""
        return cls(
            agents=MappingProxyType({agent.agent_id: agent for agent in agents}),
            connections=MappingProxyType({one.connection_id: one for one in connections}),
            mcp_servers=MappingProxyType({server.server_id: server for server in mcp_servers}),
        )

    def entries(self) -> tuple[Entry, ...]:
        return (*self.agents.values(), *self.connections.values(), *self.mcp_servers.values())

    def saved(self, entry: Entry) -> Catalog:
        """With this entry, in the place of the one with its id."""
        match entry:
            case AgentDefinition(agent_id=key):
                return msgspec.structs.replace(self, agents=_with(self.agents, key, entry))
            case Connection(connection_id=key):
                return msgspec.structs.replace(self, connections=_with(self.connections, key, entry))
            case McpServer(server_id=key):
                return msgspec.structs.replace(self, mcp_servers=_with(self.mcp_servers, key, entry))

    def deleted(self, kind: type[Entry], key: str) -> Catalog:
        """Without the entry of this kind with this id."""
        if kind is AgentDefinition:
            return msgspec.structs.replace(self, agents=_without(self.agents, key))
        if kind is Connection:
            return msgspec.structs.replace(self, connections=_without(self.connections, key))
        return msgspec.structs.replace(self, mcp_servers=_without(self.mcp_servers, key))


def changes(old: Catalog, new: Catalog) -> CatalogChanged:
    """The ids of everything that is not in both alike."""
    return CatalogChanged(
        agents=_changed(old.agents, new.agents),
        connections=_changed(old.connections, new.connections),
        mcp_servers=_changed(old.mcp_servers, new.mcp_servers),
    )


def with_kept_keys(old: Mapping[str, Connection], connections: Iterable[Connection]) -> list[Connection]:
    """The connections, each with the key it had if it comes without one and leads where it did.

    Services do not have to give keys away. A key never goes to another place than it was meant for.
    """
    kept: list[Connection] = []
    for connection in connections:
        before = old.get(connection.connection_id)
        if before is not None and not connection.api_key and _place(before) == _place(connection):
            kept.append(msgspec.structs.replace(connection, api_key=before.api_key))
        else:
            kept.append(connection)
    return kept


def _place(connection: Connection) -> tuple[str, str, str]:
    return connection.provider, connection.base_url, connection.key_variable


def _with(entries: Mapping[str, T], key: str, entry: T) -> Mapping[str, T]:
    return MappingProxyType({**entries, key: entry})


def _without(entries: Mapping[str, T], key: str) -> Mapping[str, T]:
    return MappingProxyType({name: entry for name, entry in entries.items() if name != key})


def _changed(old: Mapping[str, T], new: Mapping[str, T]) -> tuple[str, ...]:
    return tuple(key for key in {**old, **new} if old.get(key) != new.get(key))

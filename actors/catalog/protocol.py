"""What the catalog understands, and what it says."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from actors.agents import AgentDefinition
from actors.connections import Connection, McpServer

__all__ = [
    "CATALOG_NAME",
    "CatalogChanged",
    "CatalogCommand",
    "DeleteAgent",
    "DeleteConnection",
    "DeleteMcpServer",
    "GetCatalog",
    "SaveAgent",
    "SaveConnection",
    "SaveMcpServer",
    "SubscribeCatalog",
]

CATALOG_NAME = "catalog"
"""The name under which the catalog is found."""


class _Message(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """All of them are frozen, and tagged with their names."""


class GetCatalog(_Message, frozen=True):
    """Answered with the `Catalog`, once there is one; with the error if it cannot be read at the start."""


class SaveAgent(_Message, frozen=True):
    """Answered when it is kept, and the next question finds it."""

    agent: AgentDefinition


class DeleteAgent(_Message, frozen=True):
    """Tasks of this agent go on to their end. One that is not there is fine."""

    agent_id: str


class SaveConnection(_Message, frozen=True):
    """Refused, and nothing is changed, if no model could be asked over it. Its key is never shown."""

    connection: Connection


class DeleteConnection(_Message, frozen=True):
    connection_id: str


class SaveMcpServer(_Message, frozen=True):
    server: McpServer


class DeleteMcpServer(_Message, frozen=True):
    server_id: str


class SubscribeCatalog(_Message, frozen=True):
    """Tell the actor of this name of each change from now on, until it ends.

    Whoever reads the catalog after this is answered misses nothing.
    """

    subscriber: str


class CatalogChanged(_Message, frozen=True):
    """Said to subscribers when the change can be read: the ids of what came, changed or went."""

    agents: tuple[str, ...] = ()
    connections: tuple[str, ...] = ()
    mcp_servers: tuple[str, ...] = ()


CatalogCommand: TypeAlias = (
    GetCatalog
    | SaveAgent
    | DeleteAgent
    | SaveConnection
    | DeleteConnection
    | SaveMcpServer
    | DeleteMcpServer
    | SubscribeCatalog
)

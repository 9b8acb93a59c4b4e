"""Agents, connections and MCP servers: the services that keep them, and the actor that owns one.

`actors.catalog.http_service` is not among these: it needs the extra `http-catalog`.
"""

from actors.catalog.catalog import Catalog
from actors.catalog.file_service import FileAgentService
from actors.catalog.memory_service import MemoryAgentService
from actors.catalog.protocol import CatalogChanged
from actors.catalog.service import AgentService

__all__ = ["AgentService", "Catalog", "CatalogChanged", "FileAgentService", "MemoryAgentService"]

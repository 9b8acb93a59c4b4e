"""A catalog that is kept in a JSON file."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import msgspec
import trio

from actors.agents import AgentDefinition
from actors.catalog.catalog import Catalog, Entry
from actors.catalog.service import ChangeListeners
from actors.connections import Connection, McpServer
from actors.errors import EngineError, ErrorCode
from actors.stores.atomic_file import create_file, file_errors, read_file, replace_file

__all__ = ["FileAgentService"]

_VERSION = 1
_OWNER_ONLY = 0o600
"""MCP servers may have secrets in their environment, and connections in their headers."""


class _Document(msgspec.Struct, kw_only=True):
    """The file."""

    version: int = _VERSION
    agents: tuple[AgentDefinition, ...] = ()
    connections: tuple[Connection, ...] = ()
    mcp_servers: tuple[McpServer, ...] = ()


class FileAgentService:
    """An `AgentService` on a JSON file, which is made when something is saved, for its owner to read.

    Each change is durable when it is done, and made to the file as it is then: what somebody has edited in
    it meanwhile stays. Such edits are read by the next `get_...`; nobody is told of them. Keys of
    connections are not written, and a file with one in it is refused: name the variable that holds it.

    Raises:
        EngineError: from every method but `on_change`: `PERSISTENCE_FAILED`, naming the file.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        self._listeners = ChangeListeners()
        # A limiter of its own: one call at a time, and no other thread's work holds it up.
        self._limiter = trio.CapacityLimiter(1)

    async def init(self) -> None:
        await self._read()

    async def listen(self) -> None:
        pass

    def on_change(self, callback: Callable[[], None]) -> Callable[[], None]:
        return self._listeners.add(callback)

    async def get_agents(self) -> tuple[AgentDefinition, ...]:
        return tuple((await self._read()).agents.values())

    async def get_agent_config(self, agent_id: str) -> AgentDefinition | None:
        return (await self._read()).agents.get(agent_id)

    async def save_agent(self, agent: AgentDefinition) -> None:
        await self._save(agent)

    async def delete_agent(self, agent_id: str) -> None:
        await self._delete(AgentDefinition, agent_id)

    async def get_connections(self) -> tuple[Connection, ...]:
        return tuple((await self._read()).connections.values())

    async def get_connection(self, connection_id: str) -> Connection | None:
        return (await self._read()).connections.get(connection_id)

    async def save_connection(self, connection: Connection) -> None:
        await self._save(connection)

    async def delete_connection(self, connection_id: str) -> None:
        await self._delete(Connection, connection_id)

    async def get_mcp_servers(self) -> tuple[McpServer, ...]:
        return tuple((await self._read()).mcp_servers.values())

    async def save_mcp_server(self, server: McpServer) -> None:
        await self._save(server)

    async def delete_mcp_server(self, server_id: str) -> None:
        await self._delete(McpServer, server_id)

    async def _read(self) -> Catalog:
        return await trio.to_thread.run_sync(self._read_file, limiter=self._limiter)

    async def _save(self, entry: Entry) -> None:
        await self._change(lambda catalog: catalog.saved(entry))

    async def _delete(self, kind: type[Entry], key: str) -> None:
        await self._change(lambda catalog: catalog.deleted(kind, key))

    async def _change(self, change: Callable[[Catalog], Catalog]) -> None:
        await trio.to_thread.run_sync(self._change_alone, change, limiter=self._limiter)
        self._listeners.call()

    def _read_file(self) -> Catalog:
        with file_errors(self._path):
            try:
                data, _ = read_file(self._path)
            except FileNotFoundError:
                return Catalog()
        if not data:  # it is just being made, or whoever made it was killed
            return Catalog()
        try:
            document = msgspec.json.decode(data, type=_Document)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise self._unusable(
                f"is no catalog that can be read: {error}; mend it, or move it away"
            ) from None
        if document.version != _VERSION:
            raise self._unusable(f"has version {document.version}, and this program knows {_VERSION}")
        for connection in document.connections:
            if connection.api_key:  # the next save would take it away
                raise self._unusable(
                    f"holds the key of connection {connection.connection_id!r}: put the key into an "
                    f"environment variable, and name that as its key_variable"
                )
        return Catalog.of(document.agents, document.connections, document.mcp_servers)

    def _change_alone(self, change: Callable[[Catalog], Catalog]) -> None:
        """Change the file while no other engine does, which would take the change away again."""
        with ExitStack() as stack:
            with file_errors(self._path):
                # Of the folder: the file is another one after each change.
                folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                stack.callback(os.close, folder)
                fcntl.flock(folder, fcntl.LOCK_EX)
            self._change_file(change)

    def _change_file(self, change: Callable[[Catalog], Catalog]) -> None:
        old = self._read_file()
        new = change(old)
        if new == old:
            return
        document = _Document(
            agents=tuple(new.agents.values()),
            connections=tuple(msgspec.structs.replace(one, api_key="") for one in new.connections.values()),
            mcp_servers=tuple(new.mcp_servers.values()),
        )
        data = msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"
        with file_errors(self._path):
            try:
                replace_file(self._path, data)
            except FileNotFoundError:
                create_file(self._path, data, mode=_OWNER_ONLY)

    def _unusable(self, why: str) -> EngineError:
        return EngineError(ErrorCode.PERSISTENCE_FAILED, f"{self._path} {why}", path=str(self._path))

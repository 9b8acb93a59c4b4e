"""A catalog that a server keeps: needs the extra `http-catalog`."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import quote

import httpx
import msgspec
import trio
from httpx_ws import aconnect_ws

from actors.agents import AgentDefinition
from actors.catalog.service import ChangeListeners
from actors.connections import Connection, McpServer
from actors.errors import EngineError, ErrorCode
from runtime import get_logger

__all__ = ["HttpAgentService"]

_log = get_logger("catalog")

_AGENTS = "/api/agents"
_CONNECTIONS = "/api/connections"
_MCP_SERVERS = "/api/mcp-servers"
_CHANGES = "/api/ws"

_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 30.0
_NO_PAUSE_AFTER_SECONDS = 10.0
"""A feed that was open for so long was a good one: the next try comes soon again."""

_NOT_FOUND = 404
_ERROR_TEXT = 200

T = TypeVar("T")


class HttpAgentService:
    """An `AgentService` that asks a server, which may serve others as well.

    `client` says where it is, by its `base_url`, and how to sign in; whoever made it closes it, after the
    engine. Lists are JSON arrays, entries JSON objects with the names of our fields. The server gets a
    connection with its key, and may keep that to itself: the engine remembers it as long as it runs.

    Each message on the WebSocket `/api/ws` says that something has changed, and so does a feed that is back
    after it was lost, since nobody knows what it missed. It is opened again and again, after pauses that
    grow to half a minute.

    Raises:
        EngineError: from every method but `on_change` and `listen`: `NETWORK_ERROR`, `TIMEOUT`,
            `FORBIDDEN`, `INVALID_ARGUMENT` for another refusal, `EXECUTION_FAILED` for a server that fails.
    """

    def __init__(self, client: httpx.AsyncClient, *, jitter: Callable[[], float] = random.random) -> None:
        self._client = client
        self._jitter = jitter
        self._listeners = ChangeListeners()

    async def init(self) -> None:
        pass

    def on_change(self, callback: Callable[[], None]) -> Callable[[], None]:
        return self._listeners.add(callback)

    async def get_agents(self) -> tuple[AgentDefinition, ...]:
        return _decoded(await self._sent("GET", _AGENTS), tuple[AgentDefinition, ...])

    async def get_agent_config(self, agent_id: str) -> AgentDefinition | None:
        return await self._found(_AGENTS, agent_id, AgentDefinition)

    async def save_agent(self, agent: AgentDefinition) -> None:
        await self._sent("POST", _AGENTS, agent)

    async def delete_agent(self, agent_id: str) -> None:
        await self._sent("DELETE", _path(_AGENTS, agent_id))

    async def get_connections(self) -> tuple[Connection, ...]:
        return _decoded(await self._sent("GET", _CONNECTIONS), tuple[Connection, ...])

    async def get_connection(self, connection_id: str) -> Connection | None:
        return await self._found(_CONNECTIONS, connection_id, Connection)

    async def save_connection(self, connection: Connection) -> None:
        await self._sent("POST", _CONNECTIONS, connection)

    async def delete_connection(self, connection_id: str) -> None:
        await self._sent("DELETE", _path(_CONNECTIONS, connection_id))

    async def get_mcp_servers(self) -> tuple[McpServer, ...]:
        return _decoded(await self._sent("GET", _MCP_SERVERS), tuple[McpServer, ...])

    async def save_mcp_server(self, server: McpServer) -> None:
        await self._sent("POST", _MCP_SERVERS, server)

    async def delete_mcp_server(self, server_id: str) -> None:
        await self._sent("DELETE", _path(_MCP_SERVERS, server_id))

    async def listen(self) -> None:
        pause_seconds = _FIRST_PAUSE_SECONDS
        was_lost = False
        while True:
            opened = trio.current_time()
            try:
                await self._hear(was_lost=was_lost)
            except* Exception as lost:  # noqa: BLE001 - translation edge: a lost feed is opened again
                _log.warning("the change feed of the catalog is lost", reason=_reason(lost))
            if trio.current_time() - opened > _NO_PAUSE_AFTER_SECONDS:
                pause_seconds = _FIRST_PAUSE_SECONDS
            was_lost = True
            # Never less than half: many engines that lose one server do not come back at once.
            await trio.sleep(pause_seconds * (1 + self._jitter()) / 2)
            pause_seconds = min(2 * pause_seconds, _LONGEST_PAUSE_SECONDS)

    async def _hear(self, *, was_lost: bool) -> None:
        async with aconnect_ws(_CHANGES, self._client) as feed:
            _log.info("the change feed of the catalog is open")
            if was_lost:
                self._listeners.call()
            while True:
                await feed.receive()
                self._listeners.call()

    async def _found(self, place: str, key: str, kind: type[T]) -> T | None:
        response = await self._sent("GET", _path(place, key))
        return None if response.status_code == _NOT_FOUND else _decoded(response, kind)

    async def _sent(self, method: str, path: str, entry: msgspec.Struct | None = None) -> httpx.Response:
        """The response, which is a good one, or says that the entry is not there."""
        content = None if entry is None else msgspec.json.encode(entry)
        headers = {"accept": "application/json"} | (
            {} if entry is None else {"content-type": "application/json"}
        )
        what = f"{method} {path} of the catalog's server"
        try:
            response = await self._client.request(method, path, content=content, headers=headers)
        except httpx.TimeoutException:
            raise EngineError(ErrorCode.TIMEOUT, f"{what} took too long") from None
        except httpx.HTTPError as error:
            raise EngineError(ErrorCode.NETWORK_ERROR, f"{what} failed: {type(error).__name__}") from error
        status = response.status_code
        if response.is_success or (status == _NOT_FOUND and path.count("/") > _AGENTS.count("/")):
            return response
        said = response.text
        for secret in _secrets_of(entry):  # some servers repeat what they do not like
            said = said.replace(secret, "***")
        message = f"{what} was answered with {status}: {said[:_ERROR_TEXT]}"
        raise EngineError(_code_of(status), message, http_status=status)


def _secrets_of(entry: object) -> tuple[str, ...]:
    match entry:
        case Connection():
            secrets = (entry.api_key, *entry.headers.values())
        case McpServer():
            secrets = (*entry.environment.values(), *entry.headers.values())
        case _:
            secrets = ()
    return tuple(secret for secret in secrets if secret)


def _path(place: str, key: str) -> str:
    return f"{place}/{quote(key, safe='')}"


def _decoded(response: httpx.Response, kind: Any) -> Any:
    try:
        return msgspec.json.decode(response.content, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        request = response.request
        raise EngineError(
            ErrorCode.EXECUTION_FAILED,
            f"{request.method} {request.url.path} of the catalog's server gave something else: {error}",
        ) from None


def _code_of(status: int) -> ErrorCode:
    if status in {401, 403}:
        return ErrorCode.FORBIDDEN
    if status == 429:
        return ErrorCode.QUOTA_EXCEEDED
    return ErrorCode.INVALID_ARGUMENT if 400 <= status < 500 else ErrorCode.EXECUTION_FAILED


def _reason(group: BaseExceptionGroup[Exception]) -> str:
    first: BaseException = group
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    return type(first).__name__

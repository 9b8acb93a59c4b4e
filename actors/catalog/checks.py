"""What can be kept in a catalog, and found again. Pure."""

from __future__ import annotations

import math

from actors.agents import DEFAULT_EXECUTOR, AgentDefinition
from actors.connections import Connection, McpServer
from actors.errors import EngineError, ErrorCode
from actors.records import LONGEST_SESSION_ID, is_session_id

__all__ = ["check_entry"]


def check_entry(entry: AgentDefinition | Connection | McpServer) -> None:
    """
    Raises:
        EngineError: `INVALID_ARGUMENT`, naming what is wrong. What its provider takes of a connection is
            for the provider registry to say.
    """
    match entry:
        case AgentDefinition():
            _check_agent(entry)
        case Connection(connection_id=connection_id):
            _check_id("a connection", connection_id)
        case McpServer():
            _check_server(entry)


def _check_agent(agent: AgentDefinition) -> None:
    _check_id("an agent", agent.agent_id)
    if agent.agent_id == DEFAULT_EXECUTOR:
        raise _unusable(f"{DEFAULT_EXECUTOR!r} is a session's own model: give the agent another id")
    problem = agent.settings.problem()
    if problem:
        raise _unusable(f"agent {agent.agent_id!r}: {problem}")


def _check_server(server: McpServer) -> None:
    _check_id("an MCP server", server.server_id)
    name = f"MCP server {server.server_id!r}"
    if bool(server.command) is bool(server.url):
        raise _unusable(f"{name} needs either a command or a URL")
    if server.url and not server.url.startswith(("http://", "https://")):
        raise _unusable(f"the URL of {name} has to begin with http:// or https://")
    if not 0 < server.timeout_seconds < math.inf:
        raise _unusable(f"{name} needs a timeout above 0 seconds, not {server.timeout_seconds}")


def _check_id(what: str, key: str) -> None:
    if not is_session_id(key):  # what every store can keep and every terminal can show
        raise _unusable(
            f"the id of {what} has 1 to {LONGEST_SESSION_ID} printable characters: not {key[:40]!a}"
        )


def _unusable(message: str) -> EngineError:
    return EngineError(ErrorCode.INVALID_ARGUMENT, message)

"""`greenroom mcp`: the servers of a configuration, their tools, and whether they work."""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import trio

from actors.cli.arguments import Subparsers, add_logging_options
from actors.cli.logs import configure_logging
from actors.cli.screen import Screen, write_text
from actors.cli.status import ExitStatus
from actors.connections import McpServer
from actors.errors import EngineError, ErrorCode
from actors.mcp.config import read_mcp_config
from actors.mcp.environment import program_environment
from actors.mcp.links import sdk_links
from actors.mcp.protocol import GetHealth, McpHealth
from actors.mcp.roster import Roster
from actors.mcp.servers import McpServersActor
from actors.printable import one_line
from actors.settings import process_environment
from actors.tools import ToolRegistry
from runtime import open_system

__all__ = ["add_parser", "run"]

_DEFAULT_CONFIG = "mcp.json"
_DESCRIPTION_LENGTH = 70


def add_parser(subparsers: Subparsers) -> None:
    """Add the command `mcp` to `greenroom`."""
    parser = subparsers.add_parser(
        "mcp",
        help="list MCP servers, their tools and their health",
        description="Connect to the MCP servers of a configuration and list their tools. The exit status"
        " is 1 if one of them cannot be used.",
    )
    parser.add_argument("server", nargs="?", metavar="SERVER", help="only this one, by its id")
    parser.add_argument(
        "--config",
        default=_DEFAULT_CONFIG,
        metavar="FILE",
        help='JSON of the form {"mcpServers": {ID: {"command": ...} or {"url": ...}}} (%(default)s)',
    )
    parser.add_argument(
        "--timeout",
        type=_seconds,
        default=30.0,
        metavar="SECONDS",
        help="give up a server that is not ready by then (%(default)g)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON array")
    add_logging_options(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the servers; the exit status."""
    configure_logging(verbosity=arguments.verbose, log_format=arguments.log_format)
    servers = _chosen(Path(arguments.config), arguments.server, arguments.timeout)
    enabled = [server for server in servers if server.enabled]
    healths = {health.server_id: health for health in trio.run(_look_at, enabled)} if enabled else {}
    if arguments.json:
        write_text(msgspec.json.encode([_as_json(server, healths) for server in servers]).decode() + "\n")
    elif servers:
        screen = Screen()
        for server in servers:
            _write(screen, server, healths.get(server.server_id))
    else:
        write_text(f"{arguments.config} names no MCP servers\n")
    well = all(health.healthy for health in healths.values())
    return ExitStatus.OK if well else ExitStatus.FAILED


def _chosen(path: Path, server_id: str | None, timeout_seconds: float) -> list[McpServer]:
    servers = read_mcp_config(path, process_environment())
    if server_id is not None:
        known = ", ".join(server.server_id for server in servers) or "none"
        servers = tuple(server for server in servers if server.server_id == server_id)
        if not servers:
            raise EngineError(
                ErrorCode.INVALID_ARGUMENT, f"{path} has no MCP server {server_id!r}; it has: {known}"
            )
    return [
        msgspec.structs.replace(server, timeout_seconds=min(server.timeout_seconds, timeout_seconds))
        for server in servers
    ]


async def _look_at(servers: Sequence[McpServer]) -> tuple[McpHealth, ...]:
    async with open_system() as system:
        actor = system.spawn(
            McpServersActor,
            Roster(servers),
            tools=ToolRegistry(),
            open_link=sdk_links(program_environment(process_environment())),
            now=lambda: datetime.now(UTC),
            chance=random.random,
        )
        healths: tuple[McpHealth, ...] = await actor.ask(GetHealth(settled=True), block=False)
        return healths


def _as_json(server: McpServer, healths: dict[str, McpHealth]) -> object:
    health = healths.get(server.server_id)
    if health is None:
        return {"server_id": server.server_id, "name": server.name or server.server_id, "state": "disabled"}
    return health


def _write(screen: Screen, server: McpServer, health: McpHealth | None) -> None:
    named = one_line(
        server.server_id if server.name in ("", server.server_id) else f"{server.server_id} ({server.name})"
    )
    if health is None:
        screen.write(f"{named}: disabled\n")
        return
    if not health.healthy:
        screen.write(f"{named}: broken: {one_line(health.last_error)}\n")
        return
    screen.write(f"{named}: ready, {len(health.tools)} tool{'' if len(health.tools) == 1 else 's'}\n")
    width = max((len(tool.name) for tool in health.tools), default=0)
    for tool in health.tools:
        described = one_line(tool.description)
        if len(described) > _DESCRIPTION_LENGTH:
            described = described[: _DESCRIPTION_LENGTH - 1] + "…"
        mark = "read-only" if tool.read_only else "asks     "
        screen.write(f"  {tool.name:<{width}}  {mark}  {described}".rstrip() + "\n")
    for remark in health.remarks:
        screen.write(f"  note: {one_line(remark)}\n")


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 86400:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0")
    return value

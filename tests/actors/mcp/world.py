"""A system with MCP servers, for the length of a block."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import trio

from actors.connections import McpServer
from actors.mcp.environment import program_environment
from actors.mcp.link import OpenLink
from actors.mcp.links import sdk_links
from actors.mcp.protocol import GetHealth, McpHealth, RegisterServer, ServersChanged, UnregisterServer
from actors.mcp.roster import Roster
from actors.mcp.servers import McpServersActor
from actors.tools import Tool, ToolContext, ToolRegistry
from runtime import ActorRef, open_system

__all__ = [
    "McpWorld",
    "crooked",
    "free_port",
    "honest",
    "is_running",
    "open_world",
    "run",
    "running_web_server",
]

HERE = Path(__file__).parent
LIMIT_SECONDS = 60.0
"""Where a test gives up."""


def crooked(
    way: str, file: Path | None = None, *, server_id: str = "s", seconds: float = 10.0
) -> McpServer:
    arguments = (str(HERE / "crooked_server.py"), way, *([str(file)] if file else []))
    return McpServer(
        server_id=server_id, command=sys.executable, arguments=arguments, timeout_seconds=seconds
    )


def honest(server_id: str = "s") -> McpServer:
    return McpServer(
        server_id=server_id, command=sys.executable, arguments=(str(HERE / "honest_server.py"),)
    )


async def run(
    tool: Tool, arguments: Mapping[str, object] | None = None, show: Callable[[str], None] = lambda _: None
) -> str:
    """Call a tool as a session would."""
    context = ToolContext(session_id="s", task_id="t", call_id="c", directory="", show=show)
    result = tool.function(arguments or {}, context)
    assert not isinstance(result, str)
    return await result


class McpWorld:
    def __init__(self, actor: ActorRef[McpServersActor], tools: ToolRegistry) -> None:
        self.actor = actor
        self.tools = tools

    async def healths(self, *, settled: bool = True) -> tuple[McpHealth, ...]:
        healths: tuple[McpHealth, ...] = await self.actor.ask(GetHealth(settled), block=False)
        return healths

    async def health(self, server_id: str = "s", *, settled: bool = True) -> McpHealth:
        healths = await self.healths(settled=settled)
        return next(health for health in healths if health.server_id == server_id)

    async def register(self, server: McpServer) -> McpHealth:
        health: McpHealth = await self.actor.ask(RegisterServer(server), block=False)
        return health

    async def unregister(self, server_id: str) -> None:
        await self.actor.ask(UnregisterServer(server_id), block=False)

    def change(self, *servers: McpServer) -> None:
        self.actor.tell(ServersChanged(servers))

    def tool(self, name: str) -> Tool:
        tool = self.tools.get_tool(name)
        assert tool is not None, f"{name} is not among {[tool.name for tool in self.tools]}"
        return tool

    async def call(
        self,
        name: str,
        arguments: Mapping[str, object] | None = None,
        show: Callable[[str], None] = lambda _: None,
    ) -> str:
        return await run(self.tool(name), arguments, show)

    async def until(self, condition: Callable[[McpHealth], bool], server_id: str = "s") -> McpHealth:
        """The health as soon as it is like that. It is asked again and again: nobody announces it."""
        while True:
            health = await self.health(server_id, settled=False)
            if condition(health):
                return health
            await trio.sleep(0.01)


@asynccontextmanager
async def open_world(
    servers: Iterable[McpServer] = (),
    *,
    open_link: OpenLink | None = None,
    reconnects: bool = True,
    limit_seconds: float = LIMIT_SECONDS,
    environment: Mapping[str, str] = os.environ,
) -> AsyncGenerator[McpWorld, None]:
    """Without `reconnects` a server that was lost is not tried again for longer than any test lasts."""
    tools = ToolRegistry()
    with trio.fail_after(limit_seconds):
        async with open_system() as system:
            actor = system.spawn(
                McpServersActor,
                Roster(servers),
                tools=tools,
                open_link=open_link or sdk_links(program_environment(environment)),
                now=lambda: datetime.now(UTC),
                chance=lambda: 0.0 if reconnects else 1e6,
            )
            yield McpWorld(actor, tools)


async def until_noted(file: Path, word: str, times: int = 1) -> None:
    """Wait until another process has written that: nothing but the file tells of it."""
    while not file.exists() or file.read_text().count(word) < times:  # noqa: ASYNC110 - see above
        await trio.sleep(0.01)


def is_running(pid: int) -> bool:
    """A zombie has ended: whoever adopted it has only not looked yet."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return False
    return status.rpartition(")")[2].split()[0] not in ("Z", "X")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@asynccontextmanager
async def running_web_server(port: int) -> AsyncGenerator[subprocess.Popen[bytes], None]:
    """The honest server over HTTP, once it listens."""
    process = subprocess.Popen(  # noqa: ASYNC220 - it returns at once
        [sys.executable, str(HERE / "honest_server.py"), str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        with trio.fail_after(LIMIT_SECONDS):
            while True:
                try:
                    stream = await trio.open_tcp_stream("127.0.0.1", port)
                except OSError:
                    await trio.sleep(0.02)
                else:
                    await stream.aclose()
                    break
        yield process
    finally:
        process.kill()
        process.wait()

"""The actor of all servers: starts and ends their actors as servers come and go."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import msgspec
import pykka
import trio

from actors.connections import McpServer
from actors.errors import EngineError, ErrorCode
from actors.mcp.actor import McpActor
from actors.mcp.link import OpenLink
from actors.mcp.protocol import (
    CheckTools,
    GetHealth,
    McpHealth,
    RegisterServer,
    ServersChanged,
    UnregisterServer,
)
from actors.mcp.roster import Change, Roster
from actors.tools.health import ToolHealthReport, ToolProblem
from actors.tools.registry import ToolRegistry
from runtime import ActorRef, Terminated, TrioActor, get_logger, handles

__all__ = ["SERVERS_NAME", "McpServersActor"]

_log = get_logger("mcp")

SERVERS_NAME = "mcp"
"""Under which the system finds it."""

_REVIVAL_SECONDS = 5.0


class _Revive(msgspec.Struct, frozen=True):
    server_id: str


class McpServersActor(TrioActor):
    """Keeps one `McpActor` for each server of the roster. What becomes of one concerns no other.

    It answers with what the servers' actors say, and is itself never held up by one of them.
    """

    expected_errors = (EngineError,)

    def __init__(
        self,
        roster: Roster,
        *,
        tools: ToolRegistry,
        open_link: OpenLink,
        now: Callable[[], datetime],
        chance: Callable[[], float],
    ) -> None:
        super().__init__()
        self._roster = roster
        self._registry = tools
        self._open_link = open_link
        self._wall_clock = now
        self._chance = chance
        self._actors: dict[str, ActorRef[McpActor]] = {}

    def on_start(self) -> None:
        for server in self._roster:
            self._start(server)

    @handles(ServersChanged)
    def change(self, message: ServersChanged) -> None:
        self._carry_out(self._roster.replace_list(message.servers))

    @handles(RegisterServer)
    def register(self, message: RegisterServer) -> None:
        """
        Raises:
            EngineError: `INVALID_ARGUMENT` for one that is disabled.
        """
        server = message.server
        if not server.server_id:
            raise EngineError(ErrorCode.INVALID_ARGUMENT, "an MCP server needs a server_id")
        if not server.enabled:
            what = f"the MCP server {server.server_id} is disabled: enable it to register it"
            raise EngineError(ErrorCode.INVALID_ARGUMENT, what)
        self._carry_out(self._roster.put(server))
        self.forward(self._actors.get(server.server_id), GetHealth(settled=True))

    @handles(UnregisterServer)
    def unregister(self, message: UnregisterServer) -> None:
        self._carry_out(self._roster.remove(message.server_id))

    @handles(GetHealth)
    def health(self, message: GetHealth) -> None:
        reply = self.defer()
        if reply is not None:
            self.spawn(_answer_health, tuple(self._actors.values()), message, reply)

    @handles(CheckTools)
    def check_tools(self, _: CheckTools) -> None:
        reply = self.defer()
        if reply is not None:
            self.spawn(_answer_check, tuple(self._actors.values()), self._registry, reply)

    @handles(_Revive)
    def revive(self, message: _Revive) -> None:
        for server in self._roster:
            if server.server_id == message.server_id and server.server_id not in self._actors:
                self._start(server)

    @handles(Terminated)
    def terminated(self, message: Terminated) -> None:
        for server_id, ref in self._actors.items():
            if ref == message.ref:  # ended by itself, by a mistake of ours: we end them only off the list
                _log.error("the actor of an MCP server failed", server=server_id)
                del self._actors[server_id]
                self.timers.start(server_id, _REVIVAL_SECONDS, _Revive(server_id))
                return

    def _carry_out(self, change: Change) -> None:
        for server_id in change.ended:
            self._end(server_id)
        for server in change.started:
            self._start(server)

    def _start(self, server: McpServer) -> None:
        ref = self.spawn_actor(
            McpActor,
            server,
            tools=self._registry,
            open_link=self._open_link,
            now=self._wall_clock,
            chance=self._chance,
        )
        self._actors[server.server_id] = ref
        self.watch(ref)

    def _end(self, server_id: str) -> None:
        # Its tools go at once: the next turn is not to have them. That its program ends may take seconds.
        for tool in self._registry:
            if tool.origin == server_id:
                self._registry.unregister_tool(tool.name)
        ref = self._actors.pop(server_id, None)
        if ref is not None:
            ref.stop(block=False, drain=False)


async def _answer_health(
    refs: tuple[ActorRef[McpActor], ...], message: GetHealth, reply: pykka.Future[tuple[McpHealth, ...]]
) -> None:
    reply.set(await _gather(refs, message))


async def _answer_check(
    refs: tuple[ActorRef[McpActor], ...], tools: ToolRegistry, reply: pykka.Future[ToolHealthReport]
) -> None:
    healths = await _gather(refs, GetHealth())
    lost = tuple(
        ToolProblem(health.server_id, health.last_error or f"it is {health.state.value}")
        for health in healths
        if not health.healthy
    )
    for tool in tools:
        if tool.check is None:
            _ = tool.schema  # made once, in milliseconds: thousands of them must hold up nobody
            await trio.lowlevel.checkpoint()
    reply.set(msgspec.structs.replace(tools.check_tool_health(), servers=lost))


async def _gather(refs: tuple[ActorRef[McpActor], ...], message: GetHealth) -> tuple[McpHealth, ...]:
    healths: list[McpHealth] = []

    async def ask(ref: ActorRef[Any]) -> None:
        try:
            healths.append(await ref.ask(message, block=False))
        except pykka.ActorDeadError:
            return  # ended meanwhile

    async with trio.open_nursery() as nursery:
        for ref in refs:
            nursery.start_soon(ask, ref)
    return tuple(sorted(healths, key=lambda health: health.server_id))

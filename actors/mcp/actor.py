"""The actor of one server: holds the connection that all sessions share, and offers its tools."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, assert_never

import msgspec
import pykka
import trio

from actors.connections import McpServer
from actors.errors import EngineError, ErrorCode, ErrorInfo
from actors.mcp.link import Link, OpenLink, lost_during_call
from actors.mcp.naming import name_tools
from actors.mcp.protocol import GetHealth
from actors.mcp.remote_tool import Listing, RemoteTool
from actors.mcp.state import (
    Connect,
    Effect,
    Now,
    Offer,
    RetryAfter,
    ServerState,
    Settled,
    Withdraw,
    WithdrawAfter,
)
from actors.tools.registry import ToolRegistry
from actors.tools.tool import Tool, ToolContext, ToolFunction
from runtime import ActorRef, ChildTask, TrioActor, get_logger, handles

__all__ = ["McpActor"]

_log = get_logger("mcp")

_SECONDS_TO_SAY_SO = 5.0
"""The link ends a call that takes too long, and says whose it was; the tool's own limit comes after it."""


class _Connected(msgspec.Struct, frozen=True):
    attempt: int
    link: Link
    listing: Listing


class _Listed(msgspec.Struct, frozen=True):
    attempt: int
    listing: Listing


class _Lost(msgspec.Struct, frozen=True):
    attempt: int
    error: str
    hopeless: bool = False


class _RetryDue(msgspec.Struct, frozen=True):
    pass


class _GraceOver(msgspec.Struct, frozen=True):
    pass


class _Call(msgspec.Struct, frozen=True, eq=False):
    """Ask for the result of a call. It stands for itself: no two are equal."""

    remote_name: str
    arguments: Mapping[str, object]
    show: Callable[[str], None]


class _CancelCall(msgspec.Struct, frozen=True):
    call: _Call


class _CallEnded(msgspec.Struct, frozen=True):
    call: _Call
    result: str | ErrorInfo


class _Running(msgspec.Struct, frozen=True):
    task: ChildTask
    reply: pykka.Future[str] | None


class McpActor(TrioActor):
    """One server, for all sessions: a program is started once, a URL has one connection.

    It is reached as soon as the actor starts, and again after a growing delay whenever it was not, or was
    lost. A call is answered with its text, or an `EngineError` whose message is for the model: when the
    server's time limit is over at the latest, and at once when it is lost or not there.
    """

    expected_errors = (EngineError,)

    def __init__(
        self,
        server: McpServer,
        *,
        tools: ToolRegistry,
        open_link: OpenLink,
        now: Callable[[], datetime],
        chance: Callable[[], float],
    ) -> None:
        super().__init__()
        self._server = server
        self._registry = tools
        self._open_link = open_link
        self._wall_clock = now
        self._state = ServerState(server, self._now(), chance)
        self._link: Link | None = None
        self._listing = Listing()
        self._offered: dict[str, Tool] = {}
        self._running: dict[_Call, _Running] = {}
        self._waiting: list[pykka.Future[Any]] = []

    def on_start(self) -> None:
        self._perform(self._state.decide_connect(self._now()))

    def on_stop(self) -> None:
        self._withdraw()

    def on_failure(self, *_: object, **__: object) -> None:
        self._withdraw()

    @handles(GetHealth)
    def health(self, message: GetHealth) -> object:
        if message.settled and not self._state.settled:
            reply = self.defer()
            if reply is not None:
                self._waiting.append(reply)
            return None
        return self._state.health(trio.current_time())

    @handles(_Connected)
    def connected(self, message: _Connected) -> None:
        if self._state.is_current(message.attempt):
            self._link = message.link
        self._perform(self._state.decide_connected(message.attempt, message.listing, self._now()))

    @handles(_Listed)
    def listed(self, message: _Listed) -> None:
        self._perform(self._state.decide_listed(message.attempt, message.listing))

    @handles(_Lost)
    def lost(self, message: _Lost) -> None:
        if self._state.is_current(message.attempt):
            self._link = None
            level = _log.error if message.hopeless else _log.warning
            level("MCP server lost", server=self._server.server_id, reason=message.error)
            self._fail_calls(message.error)
        self._perform(
            self._state.decide_lost(message.attempt, message.error, self._now(), hopeless=message.hopeless)
        )

    @handles(_RetryDue)
    def retry(self, _: _RetryDue) -> None:
        self._perform(self._state.decide_connect(self._now()))

    @handles(_GraceOver)
    def grace_over(self, _: _GraceOver) -> None:
        self._perform(self._state.decide_grace_over())

    @handles(_Call)
    def call(self, message: _Call) -> None:
        link = self._link
        if link is None:
            self._state.count_call(failed=True)
            raise EngineError(ErrorCode.NETWORK_ERROR, self._state.problem(trio.current_time()))
        reply = self.defer()
        self._running[message] = _Running(self.spawn(self._run_call, link, message), reply)

    @handles(_CancelCall)
    def cancel_call(self, message: _CancelCall) -> None:
        running = self._running.pop(message.call, None)
        if running is not None:
            running.task.cancel()
            self._answer(running, "")  # nobody waits for it any more

    @handles(_CallEnded)
    def call_ended(self, message: _CallEnded) -> None:
        running = self._running.pop(message.call, None)
        if running is not None:  # else it was cancelled, or failed with the connection
            self._answer(running, message.result)

    def _perform(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            match effect:
                case Connect(attempt):
                    self.spawn(self._hold, attempt)
                case Offer(listing):
                    self.timers.cancel(_GraceOver)
                    self._offer(listing)
                case RetryAfter(seconds):
                    self.timers.start(_RetryDue, seconds, _RetryDue())
                case WithdrawAfter(seconds):
                    if not self.timers.is_active(_GraceOver):  # it counts from the first loss
                        self.timers.start(_GraceOver, seconds, _GraceOver())
                case Withdraw():
                    self._withdraw()
                case Settled():
                    waiting, self._waiting = self._waiting, []
                    for reply in waiting:
                        reply.set(self._state.health(trio.current_time()))
                case _:
                    assert_never(effect)

    async def _hold(self, attempt: int) -> None:
        """Connect, and hold the connection until it is lost."""

        def on_listing(listing: Listing) -> None:
            self.send(self.actor_ref, _Listed(attempt, listing))

        # A package runner may have to fetch the program first; but a server that hangs is given up.
        limit = max(0.0, self._server.timeout_seconds)
        error, hopeless = f"it was not ready within {limit:g} seconds", False
        try:
            with trio.move_on_after(limit) as connecting:
                async with self._open_link(self._server) as link:
                    listing = await link.list_tools()
                    connecting.deadline = float("inf")
                    self.send(self.actor_ref, _Connected(attempt, link, listing))
                    error = await link.watch(on_listing)
                    # Before the link is closed, which may take a while: nobody is to wait for that.
                    self.send(self.actor_ref, _Lost(attempt, error))
        except EngineError as failure:
            error, hopeless = failure.message, failure.code is ErrorCode.INVALID_ARGUMENT
        self.send(self.actor_ref, _Lost(attempt, error, hopeless))

    async def _run_call(self, link: Link, call: _Call) -> None:
        try:
            result = await link.call(call.remote_name, call.arguments, call.show)
        except EngineError as error:
            result = error.info
        self.send(self.actor_ref, _CallEnded(call, result))

    def _fail_calls(self, error: str) -> None:
        running, self._running = self._running, {}
        failure = lost_during_call(self._server.server_id, error)
        for one in running.values():
            one.task.cancel()
            self._answer(one, failure.info)

    def _answer(self, running: _Running, result: str | ErrorInfo) -> None:
        failed = isinstance(result, ErrorInfo)
        self._state.count_call(failed=failed)
        if running.reply is None:
            return
        if isinstance(result, ErrorInfo):
            running.reply.set_exception((EngineError, result.to_exception(), None))
        else:
            running.reply.set(result)

    def _offer(self, listing: Listing) -> None:
        if self._offered and listing == self._listing:
            return  # it is listed again after each notice, whatever that was for
        self._listing = listing
        naming = name_tools(self._server.server_id, listing.tools, self._is_taken)
        self._withdraw()
        for name, remote in naming.tools.items():
            known = self._registry.get_tool(name)
            if known is not None:  # of the actor before this one, which is about to end
                self._registry.unregister_tool(name)
            tool = self._tool(name, remote)
            self._registry.register_tool(tool)
            self._offered[name] = tool
        self._state.offered(naming, listing.remarks)
        for remark in naming.remarks:
            _log.warning("MCP tool renamed or left out", server=self._server.server_id, reason=remark)
        _log.info("MCP tools offered", server=self._server.server_id, tools=len(self._offered))

    def _withdraw(self) -> None:
        for name, tool in self._offered.items():
            if self._registry.get_tool(name) is tool:
                self._registry.unregister_tool(name)
        self._offered = {}
        self._state.withdrawn()

    def _is_taken(self, name: str) -> bool:
        tool = self._registry.get_tool(name)
        return tool is not None and tool.origin != self._server.server_id

    def _tool(self, name: str, remote: RemoteTool) -> Tool:
        return Tool(
            name=name,
            description=remote.description or remote.name,
            function=_function(self.actor_ref, self._server.server_id, remote.name),
            parameters=remote.parameters,
            # Whatever may change something waits for a person: hints of strangers are no promise.
            needs_confirmation=not remote.read_only,
            read_only=remote.read_only,
            timeout_seconds=self._server.timeout_seconds + _SECONDS_TO_SAY_SO,
            origin=self._server.server_id,
            find_problem=lambda: self._state.problem(trio.current_time()),
        )

    def _now(self) -> Now:
        return Now(self._wall_clock(), trio.current_time())


def _function(ref: ActorRef[Any], server_id: str, remote_name: str) -> ToolFunction:
    """What a session runs. The actor makes the call: that to cancel one takes time holds up no session."""

    async def call_server(arguments: Mapping[str, object], context: ToolContext) -> str:
        call = _Call(remote_name, arguments, context.show)
        try:
            text: str = await ref.ask(call, block=False)
        except trio.Cancelled:
            if ref.is_alive():
                ref.tell(_CancelCall(call))
            raise
        except pykka.ActorDeadError:
            what = f"The MCP server {server_id} was ended."
            raise EngineError(ErrorCode.EXECUTION_FAILED, what) from None
        return text

    return call_server

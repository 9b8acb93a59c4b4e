"""The life of a server, by a link that a test plays and a clock that jumps."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import cast

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from actors.connections import McpServer
from actors.errors import EngineError, ErrorCode
from actors.mcp.link import Link
from actors.mcp.protocol import McpState
from actors.mcp.remote_tool import Listing, RemoteTool
from actors.tools import Tool
from tests.actors.mcp.world import open_world, run

SERVER = McpServer(server_id="s", command="x", timeout_seconds=10.0)


class PlayedServer:
    """Opens links that do what a test says."""

    def __init__(self) -> None:
        self.attempts: list[float] = []
        self.open_links = 0
        self.answers = True
        self.refusal: EngineError | None = None
        self.tools: tuple[str, ...] = ("a", "b")
        self.lost = trio.Event()
        self.cancelled = 0
        self.report: Callable[[Listing], None] = lambda _: None

    def lose(self) -> None:
        self.lost.set()
        self.lost = trio.Event()

    def listing(self) -> Listing:
        return Listing(tuple(RemoteTool(name=name) for name in self.tools))

    @asynccontextmanager
    async def open_link(self, _: McpServer) -> AsyncGenerator[Link, None]:
        self.attempts.append(trio.current_time())
        if not self.answers:
            await trio.sleep_forever()
        if self.refusal is not None:
            raise self.refusal
        self.open_links += 1
        try:
            yield self
        finally:
            self.open_links -= 1

    async def list_tools(self) -> Listing:
        await trio.lowlevel.checkpoint()
        return self.listing()

    async def call(self, name: str, arguments: Mapping[str, object], show: Callable[[str], None]) -> str:
        try:
            if arguments.get("hang"):
                await trio.sleep_forever()
            await trio.lowlevel.checkpoint()
        except trio.Cancelled:
            self.cancelled += 1
            raise
        show("on it")
        return f"{name} done"

    async def watch(self, on_listing: Callable[[Listing], None]) -> str:
        self.report = on_listing
        await self.lost.wait()
        return "it went away"


async def test_a_server_that_is_not_there_is_tried_after_delays_that_grow_to_a_minute(
    autojump_clock: object,  # noqa: ARG001 - makes time jump
) -> None:
    played = PlayedServer()
    played.refusal = EngineError(ErrorCode.NETWORK_ERROR, "nobody home")
    async with open_world([SERVER], open_link=played.open_link, limit_seconds=1000) as world:
        health = await world.health()
        assert (health.state, health.last_error) == (McpState.WAITING, "nobody home")
        assert health.retry_in_seconds == pytest.approx(0.5)
        await trio.sleep(400)
    delays = [
        round(after - before, 1)
        for before, after in zip(played.attempts, played.attempts[1:], strict=False)
    ]
    assert delays[:9] == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]


async def test_one_that_was_steady_is_tried_soon_again_and_one_that_flaps_is_not(
    autojump_clock: object,  # noqa: ARG001 - makes time jump
) -> None:
    played = PlayedServer()
    async with open_world([SERVER], open_link=played.open_link, limit_seconds=1000) as world:
        await world.healths()
        for expected in (0.5, 1.0, 2.0):  # it is lost as soon as it is there
            await wait_all_tasks_blocked()
            played.lose()
            await wait_all_tasks_blocked()
            assert (await world.health()).retry_in_seconds == pytest.approx(expected)
            await trio.sleep(expected + 0.1)
        await trio.sleep(100)
        played.lose()
        await wait_all_tasks_blocked()
        assert (await world.health()).retry_in_seconds == pytest.approx(0.5)
        assert played.open_links == 0
    assert played.open_links == 0


async def test_tools_are_withdrawn_a_minute_after_the_loss_and_offered_again_with_the_server(
    autojump_clock: object,  # noqa: ARG001 - makes time jump
) -> None:
    played = PlayedServer()
    async with open_world([SERVER], open_link=played.open_link, limit_seconds=1000) as world:
        await world.healths()
        await wait_all_tasks_blocked()
        played.refusal = EngineError(ErrorCode.NETWORK_ERROR, "nobody home")
        played.lose()
        await trio.sleep(59)
        assert [tool.name for tool in world.tools] == ["s_a", "s_b"]
        assert (await world.health()).offered
        with pytest.raises(
            EngineError, match=r"not connected \(last error: nobody home\); tries again in \d+ s"
        ):
            await world.call("s_a")
        await trio.sleep(2)
        assert list(world.tools) == []
        assert not (await world.health()).offered
        played.refusal = None
        await trio.sleep(100)
        assert [tool.name for tool in world.tools] == ["s_a", "s_b"]
        assert await world.call("s_a") == "a done"


async def test_a_server_that_does_not_answer_is_given_up_in_time(
    autojump_clock: object,  # noqa: ARG001 - makes time jump
) -> None:
    played = PlayedServer()
    played.answers = False
    async with open_world([SERVER], open_link=played.open_link, limit_seconds=1000) as world:
        health = await world.health()
        assert health.last_error == "it was not ready within 10 seconds"


async def test_one_that_cannot_work_is_not_tried_again(
    autojump_clock: object,  # noqa: ARG001 - makes time jump
) -> None:
    played = PlayedServer()
    played.refusal = EngineError(ErrorCode.INVALID_ARGUMENT, "install it")
    async with open_world([SERVER], open_link=played.open_link, limit_seconds=1000) as world:
        health = await world.health()
        assert (health.state, health.last_error, health.retry_in_seconds) == (
            McpState.BROKEN,
            "install it",
            None,
        )
        await trio.sleep(500)
    assert len(played.attempts) == 1


async def test_calls_under_way_fail_at_once_when_the_server_is_lost() -> None:
    played = PlayedServer()
    errors: list[str] = []
    async with open_world([SERVER], open_link=played.open_link) as world:
        await world.healths()

        async def call() -> None:
            with pytest.raises(EngineError) as info:
                await world.call("s_a", {"hang": True})
            errors.append(info.value.message)

        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(call)
            await wait_all_tasks_blocked()
            played.lose()
        said = "The MCP server s was lost during the call: it went away."
        assert errors == 3 * [f"{said} Whether the call was carried out is not known."]
        health = await world.health()
        assert (health.calls, health.failures) == (3, 3)
        assert played.cancelled == 3


async def test_a_caller_that_gives_up_takes_its_call_with_it() -> None:
    played = PlayedServer()
    async with open_world([SERVER], open_link=played.open_link) as world:
        await world.healths()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(world.call, "s_a", {"hang": True})
            await wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
        await wait_all_tasks_blocked()
        assert played.cancelled == 1
        assert await world.call("s_a") == "a done"


async def test_other_tools_replace_those_before_and_one_of_ours_keeps_its_name() -> None:
    played = PlayedServer()

    async def ours(_: object, __: object) -> str:
        return "ours"

    async with open_world(open_link=played.open_link) as world:
        world.tools.register_tool(Tool(name="s_b", description="", function=ours))
        health = await world.register(SERVER)
        (renamed,) = [tool.name for tool in health.tools if tool.remote_name == "b"]
        assert renamed.startswith("s_b_")
        assert health.remarks == (f"the tool 'b' is offered as {renamed}: s_b is taken",)
        assert (await run(world.tool("s_b")), await run(world.tool(renamed))) == ("ours", "b done")
        played.tools = ("c",)
        played.report(played.listing())
        await wait_all_tasks_blocked()
        assert {tool.name for tool in world.tools} == {"s_b", "s_c"}
        await world.unregister("s")
        assert [tool.name for tool in world.tools] == ["s_b"]


async def test_a_server_that_is_defined_anew_is_started_anew_under_the_same_names() -> None:
    played = PlayedServer()
    async with open_world([SERVER], open_link=played.open_link) as world:
        await world.healths()
        await world.register(McpServer(server_id="s", command="y"))
        await wait_all_tasks_blocked()
        assert played.open_links == 1
        assert [tool.name for tool in world.tools] == ["s_a", "s_b"]
        assert await world.call("s_b") == "b done"


async def test_an_actor_that_fails_is_brought_back(
    autojump_clock: object,  # noqa: ARG001 - makes time jump
) -> None:
    played = PlayedServer()
    async with open_world([SERVER], open_link=played.open_link, limit_seconds=1000) as world:
        await world.healths()
        await wait_all_tasks_blocked()
        played.report(cast("Listing", None))  # a mistake of ours
        await wait_all_tasks_blocked()
        assert list(world.tools) == []
        await trio.sleep(6)
        await wait_all_tasks_blocked()
        health = await world.health()
        assert health.healthy
        assert played.open_links == 1


async def test_one_without_an_id_or_disabled_is_refused() -> None:
    async with open_world(open_link=PlayedServer().open_link) as world:
        for server in (McpServer(server_id="", command="x"), McpServer(server_id="s", enabled=False)):
            with pytest.raises(EngineError) as info:
                await world.register(server)
            assert info.value.code is ErrorCode.INVALID_ARGUMENT
        assert (await world.register(SERVER)).healthy

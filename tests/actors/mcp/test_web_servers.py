"""Servers that are reached over streamable HTTP: real sockets, and a network that is none."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx2
import pytest
import trio

from actors.connections import McpServer
from actors.errors import EngineError
from actors.mcp.links import sdk_links
from actors.mcp.protocol import McpState
from tests.actors.mcp.world import crooked, free_port, honest, open_world, run, running_web_server

URL = "http://127.0.0.1:1/mcp"


def _network(answer: Callable[[httpx2.Request, dict[str, Any]], httpx2.Response]) -> httpx2.MockTransport:
    def handle(request: httpx2.Request) -> httpx2.Response:
        if request.method != "POST":
            return httpx2.Response(405)
        return answer(request, json.loads(request.content))

    return httpx2.MockTransport(handle)


def _fake(request: httpx2.Request, message: dict[str, Any]) -> httpx2.Response:
    """A server of the older protocol, with one tool."""
    if "id" not in message:
        return httpx2.Response(202)
    results: dict[str, dict[str, Any]] = {
        "initialize": {
            "protocolVersion": "2025-06-18",
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "fake", "version": "1"},
        },
        "tools/list": {"tools": [{"name": "key", "inputSchema": {"type": "object"}}]},
        "tools/call": {
            "content": [],
            "structuredContent": {"key": request.headers.get("authorization", "none")},
        },
    }
    body: dict[str, Any] = {"jsonrpc": "2.0", "id": message["id"]}
    if message["method"] in results:
        body["result"] = results[message["method"]]
    else:
        body["error"] = {"code": -32601, "message": "Method not found"}
    return httpx2.Response(200, json=body)


async def test_a_registered_server_adds_its_tools_and_a_failing_one_breaks_no_other() -> None:
    async with open_world(open_link=sdk_links({}, network=_network(_fake))) as world:
        broken = await world.register(McpServer(server_id="broken", command="no-such-program"))
        web = await world.register(
            McpServer(server_id="web", url=URL, headers={"Authorization": "Bearer k3y-of-ours"})
        )
        assert (broken.state, web.state) == (McpState.WAITING, McpState.READY)
        assert [tool.name for tool in world.tools] == ["web_key"]
        # Structured content stands where there is no text.
        assert await world.call("web_key") == '{"key": "Bearer k3y-of-ours"}'
        assert [health.server_id for health in await world.healths()] == ["broken", "web"]


async def test_an_ended_server_offers_nothing_any_more() -> None:
    async with open_world(
        [McpServer(server_id="web", url=URL)], open_link=sdk_links({}, network=_network(_fake))
    ) as world:
        await world.healths()
        tool = world.tool("web_key")
        await world.unregister("web")
        assert list(world.tools) == []
        assert await world.healths() == ()
        with pytest.raises(EngineError, match="The MCP server web was ended"):
            await run(tool)


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (401, "HTTP 401 Unauthorized: look at the key in the headers of its definition"),
        (404, "HTTP 404 Not Found: look at the path of its url"),
        (503, "HTTP 503 Service Unavailable"),
    ],
)
async def test_a_refusal_is_said_by_its_status(status: int, said: str) -> None:
    network = _network(lambda request, _: httpx2.Response(status, text=str(request.headers)))
    server = McpServer(server_id="web", url=URL, headers={"Authorization": "Bearer k3y-of-ours"})
    async with open_world([server], open_link=sdk_links({}, network=network)) as world:
        health = await world.health("web")
        assert (health.state, health.last_error) == (McpState.WAITING, said)


async def test_the_session_at_a_server_is_ended_with_the_link() -> None:
    ended: list[str] = []

    def handle(request: httpx2.Request) -> httpx2.Response:
        if request.method == "DELETE":
            ended.append(request.headers["mcp-session-id"])
            return httpx2.Response(204)
        if request.method == "GET":
            return httpx2.Response(405)
        response = _fake(request, json.loads(request.content))
        response.headers["mcp-session-id"] = "our session"
        return response

    network = httpx2.MockTransport(handle)
    async with open_world(
        [McpServer(server_id="web", url=URL)], open_link=sdk_links({}, network=network)
    ) as world:
        assert (await world.health("web")).healthy
        assert ended == []
    assert ended == ["our session"]


async def test_a_session_that_the_server_has_forgotten_is_begun_anew() -> None:
    forgotten = False

    def answer(request: httpx2.Request, message: dict[str, Any]) -> httpx2.Response:
        nonlocal forgotten
        if message["method"] == "initialize":
            forgotten = False
        elif forgotten:
            return httpx2.Response(404)
        response = _fake(request, message)
        response.headers["mcp-session-id"] = "our session"
        return response

    link = sdk_links({}, network=_network(answer))
    async with open_world([McpServer(server_id="web", url=URL)], open_link=link) as world:
        assert (await world.health("web")).healthy
        forgotten = True
        with pytest.raises(EngineError, match="The MCP server web was lost during the call"):
            await world.call("web_key")
        await world.until(lambda health: health.healthy and bool(health.last_error), "web")
        assert "none" in await world.call("web_key")


async def test_what_is_no_answer_of_the_protocol_is_a_failure() -> None:
    network = _network(
        lambda _, message: httpx2.Response(
            200, json={"jsonrpc": "2.0", "id": message.get("id"), "result": {}}
        )
    )
    async with open_world(
        [McpServer(server_id="web", url=URL)], open_link=sdk_links({}, network=network)
    ) as world:
        health = await world.health("web")
        assert health.state is McpState.WAITING
        assert health.last_error.startswith("it answered what the protocol does not allow")


@pytest.mark.parametrize(
    "server",
    [
        McpServer(server_id="web", url="ftp://x/mcp"),
        McpServer(server_id="web", url="127.0.0.1:80"),
        McpServer(server_id="web", url=URL, timeout_seconds=-1.0),
    ],
)
async def test_what_cannot_be_is_not_tried_again(server: McpServer) -> None:
    async with open_world([server]) as world:
        health = await world.health("web")
        assert health.state is McpState.BROKEN


async def test_a_real_server_is_used_by_many_at_once_and_found_again_after_it_was_killed() -> None:
    port = free_port()
    server = McpServer(server_id="web", url=f"http://127.0.0.1:{port}/mcp")
    async with open_world([server]) as world:
        assert (await world.health("web")).state is McpState.WAITING  # it is not there yet
        async with running_web_server(port) as process:
            await world.until(lambda health: health.healthy, "web")
            sums: set[str] = set()

            async def session(number: int) -> None:
                sums.add(await world.call("web_add", {"a": number, "b": number}))

            async with trio.open_nursery() as nursery:
                for number in range(50):
                    nursery.start_soon(session, number)
            assert sums == {str(2 * number) for number in range(50)}
            process.kill()
            await world.until(lambda health: not health.healthy, "web")  # it listens for changes
            with pytest.raises(EngineError, match="MCP server web"):
                await world.call("web_add", {"a": 1, "b": 1})
        async with running_web_server(port):
            await world.until(lambda health: health.healthy, "web")
            assert await world.call("web_add", {"a": 1, "b": 1}) == "2"


async def test_only_what_changed_is_started_anew() -> None:
    async with open_world() as world:
        world.change(honest("kept"), crooked("well", server_id="goes"))
        await world.healths()
        before = await world.call("kept_pid")
        world.change(honest("kept"), crooked("well", server_id="comes"))
        await world.register(crooked("well", server_id="given"))
        assert [health.server_id for health in await world.healths()] == ["comes", "given", "kept"]
        assert await world.call("kept_pid") == before
        assert {tool.origin for tool in world.tools} == {"comes", "given", "kept"}
        world.change()
        assert [health.server_id for health in await world.healths()] == ["given"]
        assert {tool.origin for tool in world.tools} == {"given"}

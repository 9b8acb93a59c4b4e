"""The catalog on a server: what is sent, what is made of the answers, and a feed that comes back."""

from __future__ import annotations

import itertools
import json
from typing import Any

import httpx
import msgspec
import pytest
import trio

from actors.agents import AgentDefinition
from actors.catalog.http_service import HttpAgentService
from actors.connections import Connection, McpServer
from actors.errors import EngineError, ErrorCode
from tests.actors.catalog.catalog_server import open_catalog_server
from tests.actors.catalog.changes import Changes

AGENT = AgentDefinition(agent_id="a", system_prompt="You are a.")
CONNECTION = Connection(connection_id="c", provider="openai", key_variable="C_KEY")
SERVER = McpServer(server_id="s", url="https://example.org/mcp")


class Recorder:
    """A server that answers each request with the same."""

    def __init__(self, status: int = 200, answer: Any = None, error: Exception | None = None) -> None:
        self.requests: list[tuple[str, str, Any]] = []
        self._answer = status, answer
        self._error = error

    def service(self) -> HttpAgentService:
        transport = httpx.MockTransport(self._respond)
        return HttpAgentService(httpx.AsyncClient(transport=transport, base_url="http://catalog"))

    def _respond(self, request: httpx.Request) -> httpx.Response:
        if self._error is not None:
            raise self._error
        body = json.loads(request.content) if request.content else None
        self.requests.append((request.method, request.url.raw_path.decode(), body))
        status, answer = self._answer
        return httpx.Response(status, json=answer)


async def test_each_call_is_one_request_with_its_method_path_and_body() -> None:
    listed, found, done = Recorder(answer=[]), Recorder(status=404), Recorder(status=204)

    await listed.service().get_agents()
    await listed.service().get_connections()
    await listed.service().get_mcp_servers()
    await found.service().get_agent_config("a")
    await found.service().get_connection("c/1 ä")
    await done.service().save_agent(AGENT)
    await done.service().save_connection(CONNECTION)
    await done.service().save_mcp_server(SERVER)
    await done.service().delete_agent("a")
    await done.service().delete_connection("c")
    await done.service().delete_mcp_server("s")

    assert listed.requests == [
        ("GET", "/api/agents", None),
        ("GET", "/api/connections", None),
        ("GET", "/api/mcp-servers", None),
    ]
    assert found.requests == [
        ("GET", "/api/agents/a", None),
        ("GET", "/api/connections/c%2F1%20%C3%A4", None),
    ]
    assert done.requests == [
        ("POST", "/api/agents", {"agent_id": "a", "system_prompt": "You are a."}),
        (
            "POST",
            "/api/connections",
            {"connection_id": "c", "provider": "openai", "key_variable": "C_KEY"},
        ),
        ("POST", "/api/mcp-servers", {"server_id": "s", "url": "https://example.org/mcp"}),
        ("DELETE", "/api/agents/a", None),
        ("DELETE", "/api/connections/c", None),
        ("DELETE", "/api/mcp-servers/s", None),
    ]


async def test_deleting_what_the_server_does_not_know_is_fine() -> None:
    await Recorder(status=404).service().delete_agent("a")


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, ErrorCode.INVALID_ARGUMENT),
        (401, ErrorCode.FORBIDDEN),
        (403, ErrorCode.FORBIDDEN),
        (404, ErrorCode.INVALID_ARGUMENT),
        (429, ErrorCode.QUOTA_EXCEEDED),
        (302, ErrorCode.EXECUTION_FAILED),
        (500, ErrorCode.EXECUTION_FAILED),
    ],
)
async def test_a_refusal_says_what_the_server_said(status: int, code: ErrorCode) -> None:
    with pytest.raises(EngineError) as caught:
        await Recorder(status, "because of the moon").service().get_agents()

    assert caught.value.code is code
    assert "GET /api/agents" in str(caught.value)
    assert "because of the moon" in str(caught.value)


async def test_a_server_that_repeats_a_key_does_not_make_us_show_it() -> None:
    connection = msgspec.structs.replace(CONNECTION, api_key="sk-secret")
    with pytest.raises(EngineError) as caught:
        await Recorder(400, "bad key sk-secret").service().save_connection(connection)

    assert "sk-secret" not in str(caught.value)
    assert "bad key ***" in str(caught.value)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (httpx.ConnectError("no"), ErrorCode.NETWORK_ERROR),
        (httpx.ReadTimeout("slow"), ErrorCode.TIMEOUT),
    ],
)
async def test_a_server_that_is_not_there_is_told(error: Exception, code: ErrorCode) -> None:
    with pytest.raises(EngineError) as caught:
        await Recorder(error=error).service().save_agent(AGENT)

    assert caught.value.code is code
    assert caught.value.retryable


@pytest.mark.parametrize("answer", [None, {}, [{"name": "without an id"}], ["a"], "text"])
async def test_an_answer_that_is_no_list_of_entries_is_told(answer: Any) -> None:
    with pytest.raises(EngineError) as caught:
        await Recorder(answer=answer).service().get_agents()

    assert caught.value.code is ErrorCode.EXECUTION_FAILED
    assert "gave something else" in str(caught.value)


async def test_a_feed_that_is_lost_is_opened_again_and_says_that_something_may_have_changed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    changes = Changes()
    async with (
        open_catalog_server() as server,
        httpx.AsyncClient(base_url=server.base_url, trust_env=False) as client,
        trio.open_nursery() as nursery,
    ):
        service = HttpAgentService(client, jitter=lambda: -1.0)  # which makes every pause none
        service.on_change(changes)
        nursery.start_soon(service.listen)
        await server.until_heard()
        await server.announce()
        assert await changes.reached(1) == 1

        for count in (2, 3):
            await server.hang_up()
            await server.until_heard()
            assert await changes.reached(count) == count

        await server.announce()
        assert await changes.reached(4) == 4
        nursery.cancel_scope.cancel()

    lost = "the change feed of the catalog is lost"
    assert [record.getMessage() for record in caplog.records].count(lost) == 2


async def test_pauses_between_tries_grow_to_half_a_minute(
    autojump_clock: object,  # noqa: ARG001 - makes time jump
) -> None:
    tried: list[float] = []

    def respond(_: httpx.Request) -> httpx.Response:
        tried.append(trio.current_time())
        return httpx.Response(503)

    client = httpx.AsyncClient(transport=httpx.MockTransport(respond), base_url="http://catalog")
    with trio.move_on_after(200):
        await HttpAgentService(client, jitter=lambda: 1.0).listen()

    pauses = [round(after - before, 3) for before, after in itertools.pairwise(tried)]
    assert pauses[:8] == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]

"""Turns over connections to servers: how many at once, and what is asked again."""

from __future__ import annotations

import pytest
import trio

from actors.catalog import MemoryAgentService
from actors.connections import Connection
from actors.engine import open_engine
from actors.errors import ErrorCode
from actors.governor import RetryPolicy
from actors.records import SessionStatus
from actors.session.protocol import NewSession
from actors.settings import EngineSettings
from actors.upstream.server import Upstream
from actors.upstream.settings import UpstreamSettings
from tests.actors.models.tiny_server import tiny_server

TURNS = 12
LIMITS = {"narrow": 2, "wide": 5}


async def test_no_connection_has_more_requests_under_way_than_it_allows(nursery: trio.Nursery) -> None:
    answering = UpstreamSettings(ttft_seconds=0.01, tokens_per_second=0, tokens=(2, 2))
    servers = {name: Upstream(answering) for name in LIMITS}
    for server in servers.values():
        nursery.start_soon(server.serve)
    connections = [
        Connection(connection_id=name, base_url=servers[name].base_url, max_concurrent=most)
        for name, most in LIMITS.items()
    ]
    everybody = len(LIMITS) * TURNS
    settings = EngineSettings(max_concurrent=everybody, max_loaded=everybody)
    statuses: list[SessionStatus] = []
    async with open_engine(settings, catalog=MemoryAgentService(connections=connections)) as engine:

        async def ask(session_id: str, model: str) -> None:
            await engine.create_session(NewSession(model=model), session_id=session_id)
            statuses.append((await engine.run_turn(session_id, "Hi")).status)

        async with trio.open_nursery() as sessions:
            for number in range(TURNS):
                for name in LIMITS:
                    sessions.start_soon(ask, f"{name}-{number}", f"{name}:m")
        found = {status.connection: status for status in await engine.connection_status()}

    assert statuses == [SessionStatus.COMPLETED] * everybody
    for name, most in LIMITS.items():
        counted = servers[name].statistics()
        assert counted.requests == TURNS
        assert 1 < counted.streams_peak <= most
        assert (found[name].max_concurrent, found[name].running, found[name].waiting) == (most, 0, 0)
    nursery.cancel_scope.cancel()


NO_MONEY = '{"error": {"message": "You exceeded your current quota", "code": "insufficient_quota"}}'
TOO_LONG = '{"error": {"message": "prompt is too long: 9 > 8", "type": "invalid_request_error"}}'
WRONG = '{"error": {"message": "temperature: too hot", "type": "invalid_request_error"}}'
WRONG_KEY = '{"error": {"message": "invalid x-api-key", "type": "authentication_error"}}'
TOO_MANY = '{"error": {"message": "slow down", "type": "rate_limit_error"}}'
DOWN = '{"error": {"message": "oh no", "type": "api_error"}}'


@pytest.mark.parametrize("wire", ["openai-chat", "openai-responses", "anthropic-messages"])
@pytest.mark.parametrize(
    ("status", "body", "code", "attempts"),
    [
        (429, NO_MONEY, ErrorCode.FORBIDDEN, 1),
        (400, TOO_LONG, ErrorCode.CONTEXT_LIMIT, 1),
        (400, WRONG, ErrorCode.INVALID_ARGUMENT, 1),
        (401, WRONG_KEY, ErrorCode.FORBIDDEN, 1),
        (429, TOO_MANY, ErrorCode.QUOTA_EXCEEDED, 3),
        (500, DOWN, ErrorCode.EXECUTION_FAILED, 3),
    ],
)
async def test_only_what_may_go_better_is_asked_again(
    wire: str, status: int, body: str, code: ErrorCode, attempts: int
) -> None:
    answer = (
        f"HTTP/1.1 {status} No\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\n\r\n{body}"
    ).encode()

    async def refuse(stream: trio.SocketStream, _: bytes) -> None:
        await stream.send_all(answer)

    settings = EngineSettings(retry=RetryPolicy(max_attempts=3, base_seconds=0))
    async with tiny_server(refuse) as server:
        connection = Connection(connection_id="mine", base_url=server.base_url, wire=wire)
        async with open_engine(settings, catalog=MemoryAgentService(connections=[connection])) as engine:
            await engine.create_session(NewSession(model="mine:m"), session_id="s")
            outcome = await engine.run_turn("s", "Hi")

        assert len(server.requests) == attempts
    assert outcome.error is not None
    assert outcome.error.code is code
    assert outcome.error.details.get("attempts", 1) == attempts

"""A connection to an endpoint that counts what reaches it."""

from __future__ import annotations

import trio

from actors.connections import Connection
from actors.conversation import Part
from actors.engine import open_engine
from actors.errors import ErrorInfo
from actors.governor import Governors
from actors.models.base import ModelRequest
from actors.models.http import HttpPool
from actors.models.openai_chat import OpenAIChatModel
from actors.records import SessionStatus
from actors.settings import EngineSettings
from actors.upstream.faults import Fault
from actors.upstream.server import Upstream
from actors.upstream.settings import UpstreamSettings
from runtime import open_system

SESSIONS = 1000
MOST_AT_ONCE = 20


async def test_a_thousand_sessions_that_meet_a_429_come_back_and_none_is_lost(
    nursery: trio.Nursery,
) -> None:
    upstream = Upstream(
        UpstreamSettings(
            ttft_seconds=0, tokens_per_second=0, tokens=(2, 2), requests_per_second=SESSIONS // 2
        )
    )
    nursery.start_soon(upstream.serve)
    settings = EngineSettings(max_concurrent=SESSIONS, max_loaded=SESSIONS)
    statuses: list[SessionStatus] = []
    async with HttpPool() as http:
        model = OpenAIChatModel("sim:m", "m", base_url=upstream.base_url, http=http)
        async with open_engine(settings, model_for=lambda _: model) as engine:
            for number in range(SESSIONS):
                await engine.create_session(session_id=f"s{number}")

            async def ask(session_id: str) -> None:
                statuses.append((await engine.run_turn(session_id, "Hi")).status)

            async with trio.open_nursery() as sessions:
                for number in range(SESSIONS):
                    sessions.start_soon(ask, f"s{number}")
            (status,) = await engine.connection_status()

    assert statuses == [SessionStatus.COMPLETED] * SESSIONS
    counted = upstream.statistics()
    refused = counted.faults.get(Fault.RATE_LIMIT, 0)
    assert counted.requests == SESSIONS + refused
    assert refused <= SESSIONS, "most were refused once, and nobody again and again"
    assert (status.running, status.waiting) == (0, 0)
    nursery.cancel_scope.cancel()


async def test_no_more_requests_are_under_way_than_the_connection_allows(nursery: trio.Nursery) -> None:
    upstream = Upstream(UpstreamSettings(ttft_seconds=0.01, tokens_per_second=0, tokens=(2, 2)))
    nursery.start_soon(upstream.serve)
    limited = Connection(connection_id="sim", max_concurrent=MOST_AT_ONCE)
    async with HttpPool() as http, open_system() as system:
        model = OpenAIChatModel("sim:m", "m", base_url=upstream.base_url, http=http)
        governors = Governors(system, connection_of=lambda _: limited)

        async def call() -> None:
            await model.stream(ModelRequest(messages=(), system_prompt="Hi"), heard)

        async with trio.open_nursery() as calls:
            for _ in range(10 * MOST_AT_ONCE):
                calls.start_soon(governors.admission("sim:m").run, call, delayed)

    counted = upstream.statistics()
    assert counted.requests == 10 * MOST_AT_ONCE
    assert 1 < counted.streams_peak <= MOST_AT_ONCE
    nursery.cancel_scope.cancel()


def heard(parts: tuple[Part, ...]) -> None:
    """What is said does not matter here."""


def delayed(attempt: int, error: ErrorInfo, seconds: float) -> None:
    raise AssertionError(f"attempt {attempt} failed, next in {seconds} s: {error}")

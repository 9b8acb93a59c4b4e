"""Turns whose model calls wait for their connection, and try again."""

from __future__ import annotations

import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from actors.access import AccessRequest
from actors.conversation import FinishPart, FinishReason, TextPart
from actors.engine import open_engine
from actors.errors import ErrorCode
from actors.events import Event, ModelCallDelayed, TaskFinished
from actors.governor import CircuitPolicy, CircuitStatus, RetryPolicy
from actors.models.base import Emit, ModelRequest
from actors.models.scripted import Fail, Hang, Say, ScriptedModel, say
from actors.records import SessionStatus
from actors.settings import EngineSettings
from tests.actors.governor.errors import DOWN, throttled
from tests.actors.session.stage import code_of

BROKEN = Fail(DOWN.to_exception())
LIMITED = Fail(throttled(2).to_exception())


async def test_a_turn_outlives_failures_before_its_first_part_and_asks_its_question_once(
    autojump_clock: MockClock,  # noqa: ARG001 - pauses take no time
) -> None:
    model = ScriptedModel([(BROKEN,), (LIMITED,), say("hello")])
    async with open_engine(model_for=lambda _: model) as engine:
        await engine.create_session(session_id="s")
        async with engine.events("s") as subscription:
            outcome = await engine.run_turn("s", "Hi")
            delays: list[ModelCallDelayed] = []
            async for event in subscription:
                assert isinstance(event, Event)
                if isinstance(event.body, ModelCallDelayed):
                    assert event.task_id == outcome.task_id
                    delays.append(event.body)
                if isinstance(event.body, TaskFinished):
                    break
        snapshot = await engine.snapshot("s")

    assert (outcome.status, outcome.answer) == (SessionStatus.COMPLETED, "hello")
    assert [message.role.value for message in snapshot.messages] == ["user", "assistant"]
    assert [(delay.attempt, delay.error.code) for delay in delays] == [
        (1, ErrorCode.NETWORK_ERROR),
        (2, ErrorCode.QUOTA_EXCEEDED),
    ]
    assert delays[1].retry_after_seconds >= 2


async def test_a_turn_whose_attempts_are_used_up_fails_and_may_be_resumed(
    autojump_clock: MockClock,  # noqa: ARG001 - pauses take no time
) -> None:
    model = ScriptedModel([(BROKEN,)] * 4)
    async with open_engine(model_for=lambda _: model) as engine:
        await engine.create_session(session_id="s")
        outcome = await engine.run_turn("s", "Hi")
        assert outcome.error is not None
        assert outcome.error.retryable
        assert outcome.error.details["attempts"] == 4
        resumed = await engine.wait_turn("s", await engine.resume_turn("s"))
    assert resumed.answer == "You said: Hi"


async def test_after_the_first_part_the_partial_answer_is_kept_and_nothing_is_tried_again() -> None:
    model = ScriptedModel([(Say((TextPart("half"),)), BROKEN), say("never")])
    async with open_engine(model_for=lambda _: model) as engine:
        await engine.create_session(session_id="s")
        outcome = await engine.run_turn("s", "Hi")
    assert (outcome.status, outcome.answer) == (SessionStatus.FAILED, "half")
    assert outcome.error == DOWN


async def test_a_turn_that_is_stopped_in_its_pause_ends_at_once() -> None:
    model = ScriptedModel([(Fail(throttled(30).to_exception()),), say("never")])
    async with open_engine(model_for=lambda _: model) as engine:
        await engine.create_session(session_id="s")
        async with engine.events("s") as subscription:
            task_id = await engine.submit_turn("s", "Hi")
            async for event in subscription:
                if isinstance(event, Event) and isinstance(event.body, ModelCallDelayed):
                    break
        assert await engine.abort_turn("s", task_id)
        outcome = await engine.wait_turn("s", task_id)
        (status,) = await engine.connection_status()
    assert outcome.status is SessionStatus.ABORTED
    assert (status.running, status.waiting) == (0, 0)


async def test_the_status_of_a_connection_counts_who_runs_and_says_what_went_wrong() -> None:
    model = ScriptedModel([(Hang(),), (BROKEN,)])
    settings = EngineSettings(
        retry=RetryPolicy(max_attempts=1), circuit=CircuitPolicy(failures=1, failing_seconds=0)
    )
    async with open_engine(settings, model_for=lambda _: model) as engine:
        assert await engine.connection_status() == ()
        for session_id in ("hangs", "fails", "refused"):
            await engine.create_session(session_id=session_id)
        await engine.submit_turn("hangs", "Hi")
        await wait_all_tasks_blocked()
        failed = await engine.run_turn("fails", "Hi")
        refused = await engine.run_turn("refused", "Hi")
        (status,) = await engine.connection_status()
    assert failed.error == DOWN
    assert refused.error is not None
    assert refused.error.code is ErrorCode.NETWORK_ERROR
    assert refused.error.details["circuit"] == "open"
    assert (status.connection, status.running, status.circuit) == ("scripted", 1, CircuitStatus.OPEN)
    assert status.last_error == DOWN


async def test_who_may_not_ask_is_not_told_how_connections_are_doing() -> None:
    def authorize(request: AccessRequest) -> bool:
        return request.action != "GetConnectionStatus"

    async with open_engine(authorize=authorize) as engine:
        assert await code_of(engine.connection_status()) is ErrorCode.FORBIDDEN


class Busy:
    """Takes two calls at once, and says so to the others."""

    name = "sim:busy"

    def __init__(self) -> None:
        self.running = 0
        self.refusals = 0

    async def stream(self, request: ModelRequest, emit: Emit) -> None:  # noqa: ARG002 - the contract
        if self.running == 2:
            self.refusals += 1
            raise throttled(1).to_exception()
        self.running += 1
        try:
            await trio.sleep(0.2)
            emit((TextPart("done"), FinishPart(FinishReason.STOP)))
        finally:
            self.running -= 1


async def test_sessions_that_meet_a_429_together_are_all_answered(
    autojump_clock: MockClock,  # noqa: ARG001 - pauses take no time
) -> None:
    model = Busy()
    settings = EngineSettings(max_concurrent=50, max_queue_size=50, max_loaded=50)
    answers: list[str] = []
    async with open_engine(settings, model_for=lambda _: model) as engine, trio.open_nursery() as nursery:

        async def ask(session_id: str) -> None:
            await engine.create_session(session_id=session_id)
            answers.append((await engine.run_turn(session_id, "Hi")).answer)

        for number in range(50):
            nursery.start_soon(ask, f"s{number}")
    assert answers == ["done"] * 50
    assert model.refusals > 0

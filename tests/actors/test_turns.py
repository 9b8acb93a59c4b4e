"""Turns through the whole engine: asked, queued, answered, resumed, and what subscribers see of it."""

from __future__ import annotations

from collections.abc import Awaitable

import msgspec
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from actors.conversation import MessageState, Role, Text
from actors.engine import Engine
from actors.errors import EngineError, ErrorCode
from actors.events import (
    AnswerStreamed,
    ContextUpdated,
    Event,
    Lagged,
    MessageAdded,
    MessageChanged,
    SessionStatusChanged,
    TaskFinished,
)
from actors.records import SessionStatus
from actors.settings import EngineSettings
from actors.stores import MemoryStore
from tests.actors.persistence.difficult_stores import GatedStore
from tests.actors.session.stage import Stage, bodies_until, code_of, open_stage


async def test_a_turn_is_answered_and_stays_in_the_session() -> None:
    async with open_stage() as stage:
        await stage.create("s")

        outcome = await stage.engine.run_turn("s", "hello")

        assert outcome.status is SessionStatus.COMPLETED
        assert (outcome.prompt, outcome.answer) == ("hello", "You said: hello")
        snapshot = await stage.engine.snapshot("s")
        assert [message.content for message in snapshot.messages] == [
            Text("hello"),
            Text("You said: hello"),
        ]
        assert snapshot.record.title == "hello"
        assert await stage.engine.wait_turn("s", outcome.task_id) == outcome


async def test_events_go_on_where_the_snapshot_ends_without_a_gap() -> None:
    async with open_stage() as stage:
        await stage.create("s")
        await stage.engine.run_turn("s", "before")
        async with stage.engine.events("s") as subscription:
            outcome = await stage.engine.run_turn("s", "hello")
            events: list[Event] = []
            async for event in subscription:
                assert isinstance(event, Event)
                events.append(event)
                if isinstance(event.body, TaskFinished):
                    break

        assert subscription.snapshot is not None
        first = subscription.snapshot.seq + 1
        assert [event.seq for event in events] == list(range(first, first + len(events)))
        assert {event.epoch for event in events} == {subscription.snapshot.epoch}
        kinds = [type(event.body) for event in events]
        streamed = kinds.count(AnswerStreamed)
        assert kinds == [
            MessageAdded,
            ContextUpdated,
            SessionStatusChanged,
            MessageAdded,
            *([AnswerStreamed] * streamed),
            MessageChanged,
            ContextUpdated,
            SessionStatusChanged,
            TaskFinished,
        ]
        assert events[-1].body == TaskFinished(outcome)


async def test_a_subscriber_in_the_middle_of_an_answer_gets_the_text_so_far_and_the_rest() -> None:
    async with open_stage() as stage:
        await stage.create("s")
        await stage.ask("s", "begin")
        async with stage.engine.events("s") as subscription:
            assert subscription.snapshot is not None
            growing = subscription.snapshot.messages[-1]
            assert (growing.content, growing.state) == (Text("begun"), MessageState.STREAMING)
            await stage.engine.abort_turn("s")
            changed, *_ = await bodies_until(subscription, TaskFinished)

    assert isinstance(changed, MessageChanged)
    assert changed.message.message_id == growing.message_id
    assert (changed.message.content, changed.message.state) == (Text("begun"), MessageState.ABORTED)


async def test_a_subscriber_that_never_reads_holds_nobody_up_and_is_told_what_it_missed() -> None:
    async with open_stage() as stage:
        await stage.create("s")
        async with stage.engine.events("s") as subscription:
            for _ in range(3):
                await stage.engine.run_turn("s", "word " * 400)
            items = [await anext(subscription) for _ in range(1_001)]
            assert subscription.snapshot is not None
            first = subscription.snapshot.seq + 1
            now = (await stage.engine.snapshot("s")).seq

    assert [item.seq for item in items[:-1] if isinstance(item, Event)] == list(range(first, first + 1_000))
    assert items[-1] == Lagged(now - (first + 999))


async def test_a_cancelled_wait_for_an_event_loses_none() -> None:
    async with open_stage() as stage:
        await stage.create("s")
        async with stage.engine.events("s") as subscription:
            for _ in range(3):
                with trio.CancelScope() as scope:
                    scope.cancel()
                    await anext(subscription)
            await stage.engine.run_turn("s", "hello")
            first = await anext(subscription)

    assert isinstance(first, Event)
    assert subscription.snapshot is not None
    assert first.seq == subscription.snapshot.seq + 1


async def test_the_events_go_on_when_the_session_is_unloaded_and_end_when_it_is_deleted() -> None:
    async with open_stage() as stage:
        await stage.create("s")
        async with stage.engine.events("s") as subscription:
            await stage.engine.run_turn("s", "hello")
            await stage.engine.release_session("s")
            assert (await stage.engine.pool_status()).loaded == 0, "a subscription keeps nothing loaded"
            await stage.engine.run_turn("s", "still there?")
            await stage.engine.delete_session("s")
            with trio.fail_after(1):
                events = [item async for item in subscription if isinstance(item, Event)]

        assert subscription.snapshot is not None
        first = subscription.snapshot.seq + 1
        assert [event.seq for event in events] == list(range(first, first + len(events)))
        assert {event.epoch for event in events} == {1, 2}
        assert len([event for event in events if isinstance(event.body, TaskFinished)]) == 2


async def test_leaving_the_events_of_an_unloaded_session_loads_nothing() -> None:
    async with open_stage() as stage:
        await stage.create("s")
        async with stage.engine.events("s"):
            await stage.engine.release_session("s")
        await wait_all_tasks_blocked()

        assert (await stage.engine.pool_status()).loaded == 0


async def test_a_session_forgets_a_subscriber_that_has_left() -> None:
    async with open_stage() as stage:
        await stage.create("s")
        async with stage.engine.events("s"):
            pass
        await wait_all_tasks_blocked()
        buried = stage.engine._system.dead_letters  # pyright: ignore[reportPrivateUsage] - what it would cost

        await stage.engine.run_turn("s", "hello")

        assert stage.engine._system.dead_letters == buried  # pyright: ignore[reportPrivateUsage]


async def test_of_fifty_questions_at_once_one_is_taken_and_the_others_find_the_session_busy() -> None:
    taken: list[str] = []
    refused: list[ErrorCode] = []

    async def ask(engine: Engine, number: int) -> None:
        try:
            taken.append(await engine.submit_turn("s", f"question {number}"))
        except EngineError as error:
            refused.append(error.code)

    async with open_stage() as stage:
        await stage.create("s")
        async with trio.open_nursery() as nursery:
            for number in range(50):
                nursery.start_soon(ask, stage.engine, number)
        await stage.engine.wait_turn("s", taken[0])
        messages = (await stage.engine.snapshot("s")).messages

    assert len(taken) == 1
    assert refused == [ErrorCode.SESSION_BUSY] * 49
    assert [message.role for message in messages] == [Role.USER, Role.ASSISTANT]


async def test_the_fourteenth_turn_of_three_and_ten_is_refused_and_leaves_no_trace() -> None:
    store = MemoryStore()
    settings = EngineSettings(max_loaded=14)  # what is unloaded writes that it is
    async with open_stage(store=store, settings=settings) as stage:
        for number in range(14):
            await stage.create(f"s{number}")
        for number in range(13):
            await stage.ask(f"s{number}", "hang")
        before = store.read("s13")

        code = await code_of(stage.engine.submit_turn("s13", "hello"))

        assert code is ErrorCode.QUEUE_FULL
        assert store.read("s13") == before
        assert stage.model.running == 3
        status = await stage.engine.pool_status()
        assert (status.running, status.queued, status.queue_available) == (3, 10, 0)
        await stage.engine.abort_turn("s0")
        await stage.engine.submit_turn("s13", "hello")


async def test_waiting_turns_start_by_priority_and_then_in_order_of_arrival() -> None:
    started: list[str] = []

    async def follow(stage: Stage, session_id: str, priority: int) -> None:
        task_id = await stage.engine.submit_turn(session_id, session_id, priority=priority)
        await stage.engine.wait_turn(session_id, task_id)

    async with open_stage(settings=EngineSettings(max_concurrent=1)) as stage:
        await stage.create("first", "low", "middle one", "middle two", "high")
        await stage.ask("first", "hang")
        async with trio.open_nursery() as nursery:
            for session_id, priority in [("low", -1), ("middle one", 0), ("middle two", 0), ("high", 5)]:
                nursery.start_soon(follow, stage, session_id, priority)
                await wait_all_tasks_blocked()
            await stage.engine.abort_turn("first")
        for request in stage.model.requests[1:]:
            content = request.messages[-1].content
            assert isinstance(content, Text)
            started.append(content.text)

    assert started == ["high", "middle one", "middle two", "low"]


async def test_the_limit_of_running_turns_changes_while_they_run() -> None:
    async with open_stage(settings=EngineSettings(max_concurrent=1)) as stage:
        sessions = ["a", "b", "c"]
        await stage.create(*sessions)
        for session_id in sessions:
            await stage.ask(session_id, "hang")
        assert stage.model.running == 1

        await stage.engine.set_max_concurrent(3)
        await wait_all_tasks_blocked()
        assert stage.model.running == 3

        await stage.engine.set_max_concurrent(1)
        await stage.create("d")
        await stage.ask("d", "hang")
        assert stage.model.running == 3
        for session_id in sessions:
            await stage.engine.abort_turn(session_id)
            await wait_all_tasks_blocked()
        assert stage.model.running == 1

        assert await code_of(stage.engine.set_max_concurrent(0)) is ErrorCode.INVALID_ARGUMENT
        assert (await stage.engine.pool_status()).max_concurrent == 1


async def test_no_operation_on_an_unknown_session_loads_anything() -> None:
    async with open_stage() as stage:
        engine = stage.engine
        async with trio.open_nursery() as nursery:

            async def check(call: Awaitable[object]) -> None:
                assert await code_of(call) is ErrorCode.SESSION_NOT_FOUND

            for call in (
                engine.submit_turn("nobody", "hello"),
                engine.resume_turn("nobody"),
                engine.wait_turn("nobody", "t"),
                engine.abort_turn("nobody"),
                engine.snapshot("nobody"),
                engine.run_turn("nobody", "hello"),
                engine.read_session("nobody"),
                engine.events("nobody").__aenter__(),
            ):
                nursery.start_soon(check, call)
        await engine.release_session("nobody")
        await wait_all_tasks_blocked()

        assert (await engine.pool_status()).loaded == 0
        assert await engine.list_sessions() == ()


@pytest.mark.parametrize("loaded", [True, False])
async def test_an_id_that_is_taken_is_not_given_twice(loaded: bool) -> None:
    async with open_stage() as stage:
        await stage.create("s")
        outcome = await stage.engine.run_turn("s", "hello")
        if not loaded:
            await stage.engine.release_session("s")

        assert await code_of(stage.engine.create_session(session_id="s")) is ErrorCode.CONFLICT

        assert (await stage.engine.wait_turn("s", outcome.task_id)).answer == "You said: hello"
        await stage.engine.run_turn("s", "still there?")
        assert len((await stage.engine.snapshot("s")).messages) == 4


async def test_a_creation_that_is_refused_takes_no_other_command_with_it() -> None:
    async with open_stage() as stage:
        await stage.create("s")
        await stage.engine.release_session("s")
        answers: list[str] = []

        async def ask() -> None:
            answers.append((await stage.engine.run_turn("s", "hello")).answer)

        async with trio.open_nursery() as nursery:
            for _ in range(2):
                nursery.start_soon(code_of, stage.engine.create_session(session_id="s"))
            nursery.start_soon(ask)

        assert answers == ["You said: hello"]


async def test_a_session_with_an_unknown_model_takes_no_question() -> None:
    async with open_stage() as stage:
        await stage.engine.create_session(session_id="s", model="nobody:knows")

        assert await code_of(stage.engine.submit_turn("s", "hello")) is ErrorCode.EXECUTOR_NOT_FOUND

        assert (await stage.engine.snapshot("s")).messages == ()
        assert (await stage.engine.pool_status()).running == 0


async def test_a_released_session_comes_back_with_everything_it_had() -> None:
    async with open_stage() as stage:
        await stage.create("s")
        outcome = await stage.engine.run_turn("s", "hello")
        before = await stage.engine.snapshot("s")

        await stage.engine.release_session("s")
        assert (await stage.engine.pool_status()).loaded == 0
        after = await stage.engine.snapshot("s")

        written = before.record  # what the record says of its own unloading is not the conversation
        record = msgspec.structs.replace(after.record, event_seq=written.event_seq, at_rest=written.at_rest)
        assert (record, after.messages) == (before.record, before.messages)
        assert after.epoch == before.epoch + 1
        stored = await stage.engine.wait_turn("s", outcome.task_id)
        assert (stored.status, stored.answer, stored.usage) == (
            outcome.status,
            outcome.answer,
            outcome.usage,
        )
        assert await code_of(stage.engine.wait_turn("s", "nobody's")) is ErrorCode.INVALID_ARGUMENT


async def test_a_release_stops_the_turn_and_keeps_what_it_said() -> None:
    async with open_stage() as stage:
        await stage.create("s")
        task_id = await stage.ask("s", "begin")

        await stage.engine.release_session("s")

        assert stage.model.running == 0
        assert (await stage.engine.pool_status()).running == 0
        stored = await stage.engine.read_session("s")
        assert stored.messages[-1].state is MessageState.ABORTED
        outcome = await stage.engine.wait_turn("s", task_id)
        assert (outcome.status, outcome.answer) == (SessionStatus.ABORTED, "begun")


async def test_a_question_without_an_answer_is_resumed_and_not_asked_twice() -> None:
    async with open_stage() as stage:
        await stage.create("s")
        await stage.ask("s", "hang")
        await stage.engine.abort_turn("s")
        await wait_all_tasks_blocked()

        task_id = await stage.engine.resume_turn("s")
        await wait_all_tasks_blocked()
        assert [message.role for message in stage.model.requests[-1].messages] == [Role.USER]
        await stage.engine.abort_turn("s", task_id)
        outcome = await stage.engine.wait_turn("s", task_id)

        assert outcome.prompt == "hang"
        roles = [message.role for message in (await stage.engine.read_session("s")).messages]
        assert roles.count(Role.USER) == 1


async def test_a_complete_answer_is_not_resumed() -> None:
    async with open_stage() as stage:
        await stage.create("s")
        await stage.engine.run_turn("s", "hello")

        assert await code_of(stage.engine.resume_turn("s")) is ErrorCode.INVALID_ARGUMENT


async def test_a_session_that_was_not_there_a_moment_ago_can_be_made() -> None:
    async with open_stage(store=GatedStore()) as stage:
        for number in range(100):
            assert await code_of(stage.engine.snapshot(f"s{number}")) is ErrorCode.SESSION_NOT_FOUND
            await stage.create(f"s{number}")

"""When a model, a session, the store or an actor breaks: who is told, who is not harmed, what is kept."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from actors.conversation import MessageState, Text
from actors.engine import open_engine
from actors.errors import EngineError, ErrorCode
from actors.events import Event, Lagged, TaskFinished
from actors.models.scripted import ScriptedModel
from actors.records import SessionStatus
from actors.settings import EngineSettings
from actors.stores import MemoryStore
from tests.actors.persistence.difficult_stores import FailingStore, GatedStore
from tests.actors.session.stage import Stage, code_of, open_stage, play


@asynccontextmanager
async def stage_with_a_bystander() -> AsyncGenerator[Stage]:
    """Another session runs a turn all the time, and must not notice anything."""
    async with open_stage() as stage:
        await stage.create("bystander")
        task_id = await stage.ask("bystander", "begin")
        yield stage
        assert stage.model.running == 1
        assert (await stage.engine.pool_status()).running == 1
        await stage.engine.abort_turn("bystander")
        assert (await stage.engine.wait_turn("bystander", task_id)).answer == "begun"


@pytest.mark.parametrize(
    ("question", "code"), [("fail", ErrorCode.QUOTA_EXCEEDED), ("break", ErrorCode.EXECUTION_FAILED)]
)
async def test_a_model_that_fails_ends_its_turn_and_keeps_what_it_said(
    question: str, code: ErrorCode
) -> None:
    async with stage_with_a_bystander() as stage:
        await stage.create("s")

        outcome = await stage.engine.run_turn("s", question)

        assert outcome.status is SessionStatus.FAILED
        assert outcome.answer == "half"
        assert outcome.error is not None
        assert outcome.error.code is code
        snapshot = await stage.engine.snapshot("s")
        assert snapshot.record.error == outcome.error
        assert snapshot.messages[-1].state is MessageState.FAILED
        assert (await stage.engine.run_turn("s", "hello")).status is SessionStatus.COMPLETED
        assert (await stage.engine.snapshot("s")).record.error is None


async def test_a_model_that_raises_system_exit_fails_its_session_only() -> None:
    async with stage_with_a_bystander() as stage:
        await stage.engine.create_session(session_id="s", model="scripted:exit")

        assert await code_of(stage.engine.run_turn("s", "hello")) is ErrorCode.EXECUTION_FAILED
        await wait_all_tasks_blocked()

        snapshot = await stage.engine.snapshot("s")
        assert snapshot.epoch == 2
        assert snapshot.record.status is SessionStatus.FAILED
        assert snapshot.record.error is not None
        assert snapshot.record.error.code is ErrorCode.EXECUTION_FAILED
        assert [message.content for message in snapshot.messages] == [Text("hello"), Text("half")]
        assert snapshot.messages[-1].state is MessageState.FAILED


async def test_subscribers_of_a_session_that_crashes_are_told_what_is_lost_and_how_it_ended() -> None:
    async with stage_with_a_bystander() as stage:
        await stage.engine.create_session(session_id="s", model="scripted:exit")
        async with stage.engine.events("s") as subscription:
            task_id = await stage.engine.submit_turn("s", "hello")
            items: list[Event | Lagged] = []
            with trio.fail_after(1):
                async for item in subscription:
                    items.append(item)
                    if isinstance(item, Event) and isinstance(item.body, TaskFinished):
                        break

            lost = items.index(Lagged())
            assert {item.epoch for item in items[:lost] if isinstance(item, Event)} == {1}
            assert {item.epoch for item in items[lost + 1 :] if isinstance(item, Event)} == {2}
            outcome = await stage.engine.wait_turn("s", task_id)
            assert outcome.status is SessionStatus.FAILED
            last = items[-1]
            assert isinstance(last, Event)
            assert last.body == TaskFinished(outcome)


async def test_sessions_that_crash_again_and_again_cost_no_slot() -> None:
    async with stage_with_a_bystander() as stage:
        for number in range(20):
            await stage.engine.create_session(session_id=f"s{number}", model="scripted:exit")
        async with trio.open_nursery() as nursery:
            for number in range(12):
                nursery.start_soon(code_of, stage.engine.run_turn(f"s{number}", "hello"))
        await wait_all_tasks_blocked()

        status = await stage.engine.pool_status()
        assert (status.running, status.queued) == (1, 0)


async def test_text_that_the_store_refuses_makes_no_session_and_harms_no_other() -> None:
    async with stage_with_a_bystander() as stage:
        code = await code_of(stage.engine.create_session(session_id="s", title="half a pair: \ud83d"))

        assert code is ErrorCode.INVALID_ARGUMENT
        assert await code_of(stage.engine.snapshot("s")) is ErrorCode.SESSION_NOT_FOUND


async def test_a_store_that_fails_for_a_while_is_tried_again_and_nobody_notices(
    autojump_clock: trio.testing.MockClock,
) -> None:
    store = FailingStore()
    async with open_stage(store=store) as stage:
        await stage.create("s")
        store.fill_disk()

        async with trio.open_nursery() as nursery:

            @nursery.start_soon
            async def _() -> None:
                await trio.sleep(1)
                store.repair()

            outcome = await stage.engine.run_turn("s", "hello")

        assert outcome.status is SessionStatus.COMPLETED
        assert store.attempts > 3
        assert store.read("s").messages[0].content == Text("hello")
    assert autojump_clock.current_time() > 1


@pytest.mark.parametrize("error", ["engine error", "anything else"])
async def test_a_store_that_fails_for_good_is_said_to_callers_and_the_engine_still_closes(
    autojump_clock: trio.testing.MockClock, error: str
) -> None:
    store = FailingStore()
    started = autojump_clock.current_time()
    async with open_stage(store=store) as stage:
        await stage.create("s", "t")
        running = await stage.ask("t", "begin")
        if error == "engine error":
            store.fill_disk()
        else:
            store.failure = lambda: RuntimeError("a bug in a store")

        codes: list[ErrorCode] = []

        async def note_code(call: Awaitable[object]) -> None:
            codes.append(await code_of(call))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(note_code, stage.engine.submit_turn("s", "hello"))
            nursery.start_soon(note_code, stage.engine.create_session(session_id="u"))
            nursery.start_soon(note_code, stage.engine.wait_turn("t", running))
        assert codes == [ErrorCode.PERSISTENCE_FAILED] * 3
        assert store.read("s").messages == (), "nothing was acknowledged, nothing is stored"
        await wait_all_tasks_blocked()
        assert stage.model.running == 0
        assert (await stage.engine.pool_status()).running == 0

        store.repair()
        assert (await stage.engine.run_turn("s", "hello")).status is SessionStatus.COMPLETED
        await stage.ask("s", "begin")
        store.fill_disk()
    assert store.closed
    assert autojump_clock.current_time() - started < 60


async def test_a_release_that_cannot_be_saved_is_not_called_a_success(
    autojump_clock: trio.testing.MockClock,
) -> None:
    store = FailingStore()
    async with open_stage(store=store) as stage:
        await stage.create("s")
        await stage.ask("s", "begin")
        store.fill_disk()

        assert await code_of(stage.engine.release_session("s")) is ErrorCode.PERSISTENCE_FAILED

        store.repair()
        await stage.engine.snapshot("s")
    assert autojump_clock.current_time() > 1


async def test_when_the_persistence_actor_is_lost_everybody_is_told_and_the_engine_closes() -> None:
    store = FailingStore()
    async with open_stage(store=store) as stage:
        await stage.create("s", "t")
        running = await stage.ask("s", "begin")
        store.failure = SystemExit

        async with trio.open_nursery() as nursery:

            @nursery.start_soon
            async def _() -> None:
                assert await code_of(stage.engine.submit_turn("t", "hello")) is ErrorCode.PERSISTENCE_FAILED

            assert await code_of(stage.engine.wait_turn("s", running)) is ErrorCode.PERSISTENCE_FAILED
        assert stage.model.running == 0
        assert await code_of(stage.engine.snapshot("s")) is ErrorCode.PERSISTENCE_FAILED
        assert await code_of(stage.engine.list_sessions()) is ErrorCode.EXECUTION_FAILED
    assert store.closed


async def test_commands_for_a_session_that_is_leaving_are_answered_by_the_next_one_in_order() -> None:
    store = GatedStore()
    answers: list[str] = []
    async with open_stage(store=store) as stage:
        await stage.create("s")
        task_id = await stage.ask("s", "begin")

        async def release() -> None:
            await stage.engine.release_session("s")
            answers.append("released")

        async def wait() -> None:
            answers.append((await stage.engine.wait_turn("s", task_id)).status)

        async def run() -> None:
            answers.append((await stage.engine.run_turn("s", "hello")).answer)

        store.hold()
        async with trio.open_nursery() as nursery:
            for call in (release, wait, run):
                nursery.start_soon(call)
                await wait_all_tasks_blocked()
            assert answers == []
            store.let_go()

        assert answers == ["released", "aborted", "You said: hello"]


async def test_what_a_crashed_session_had_told_the_store_is_there_when_it_is_loaded_again() -> None:
    store = GatedStore()
    async with open_stage(store=store) as stage:
        await stage.engine.create_session(session_id="s", model="scripted:exit")
        assert await code_of(stage.engine.run_turn("s", "hello")) is ErrorCode.EXECUTION_FAILED

        # At once: the throttled text has not been written yet, and is not to be lost or to come too late.
        snapshot = await stage.engine.snapshot("s")

        assert snapshot.messages[-1].content == Text("half")
        assert snapshot.messages[-1].state is MessageState.FAILED


async def test_closing_stops_what_runs_keeps_it_and_may_be_done_twice() -> None:
    store = MemoryStore()
    async with open_stage(store=store) as stage:
        for number in range(5):
            await stage.create(f"s{number}")
            await stage.ask(f"s{number}", "begin")

        await stage.engine.close()
        await stage.engine.close()

        assert stage.model.running == 0
        assert await code_of(stage.engine.snapshot("s0")) is ErrorCode.SESSION_INVALID
        assert await code_of(stage.engine.create_session()) is ErrorCode.SESSION_INVALID
    for number in range(5):
        stored = store.read(f"s{number}")
        assert stored.record.status is SessionStatus.ABORTED
        assert stored.messages[-1].state is MessageState.ABORTED
        assert stored.messages[-1].content == Text("begun" if number < 3 else "")


async def test_an_engine_that_is_closed_answers_no_more_and_hangs_nobody() -> None:
    async with open_stage() as stage:
        await stage.create("s")

    with trio.fail_after(1):
        assert await code_of(stage.engine.snapshot("s")) is ErrorCode.SESSION_INVALID
        assert await code_of(stage.engine.events("s").__aenter__()) is ErrorCode.SESSION_INVALID


async def test_a_host_that_is_cancelled_loses_nothing_that_was_said() -> None:
    store = MemoryStore()
    with trio.CancelScope() as host:
        async with open_stage(store=store) as stage:
            await stage.create("s")
            await stage.ask("s", "begin")
            host.cancel()
            await trio.lowlevel.checkpoint()

    assert host.cancelled_caught
    stored = store.read("s")
    assert stored.record.status is SessionStatus.ABORTED
    assert stored.messages[-1].content == Text("begun")


async def test_a_wrong_setting_starts_nothing() -> None:
    with pytest.raises(EngineError) as refusal:
        async with open_stage(settings=EngineSettings(max_concurrent=0)):
            raise AssertionError("not reached")

    assert refusal.value.code is ErrorCode.INVALID_ARGUMENT


async def test_two_engines_in_one_process_do_not_know_each_other() -> None:
    async with open_stage() as one, open_stage() as two:
        await one.create("s")

        assert await code_of(two.engine.snapshot("s")) is ErrorCode.SESSION_NOT_FOUND
        await two.create("s")
        assert (await two.engine.run_turn("s", "hello")).status is SessionStatus.COMPLETED
        assert (await one.engine.snapshot("s")).messages == ()


async def test_a_reload_after_a_crash_of_the_engine_ends_the_turn_that_was_cut() -> None:
    store = FailingStore()
    model = ScriptedModel(otherwise=play)
    async with open_engine(
        EngineSettings(persist_throttle_seconds=0.0), store=store, model_for=lambda _: model
    ) as engine:
        await engine.create_session(session_id="s")
        task_id = await engine.submit_turn("s", "begin")
        await wait_all_tasks_blocked()
        store.failure = SystemExit  # from here on nothing reaches the store: what a crash leaves
    assert store.read("s").messages[-1].state is MessageState.STREAMING

    store.repair()
    async with open_stage(store=store) as stage:
        outcome = await stage.engine.wait_turn("s", task_id)
        assert (outcome.status, outcome.answer) == (SessionStatus.ABORTED, "begun")
        assert store.read("s").messages[-1].state is MessageState.ABORTED

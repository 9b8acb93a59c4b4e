"""A session's life from outside: made, running, unloaded, loaded again, with other sessions around it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from actors.conversation import Text
from actors.errors import ErrorCode
from actors.events import (
    AnswerStreamed,
    Event,
    GlobalEvent,
    MessageAdded,
    PersistenceFailed,
    SessionFailed,
    SessionStatusChanged,
    TaskFinished,
)
from actors.records import SessionStatus
from actors.settings import EngineSettings
from actors.stores import MemoryStore, SqliteStore, Store
from tests.actors.persistence.difficult_stores import FailingStore, GatedStore
from tests.actors.session.stage import Stage, bodies_until, code_of, open_stage

LITTLE_ROOM = EngineSettings(max_loaded=1)


def in_memory(_: Path) -> Store:
    return MemoryStore()


def on_disk(folder: Path) -> Store:
    return SqliteStore.open(folder / "chats.db")


async def status_of(stage: Stage, session_id: str) -> SessionStatus:
    runtime = await stage.engine.runtime(session_id)
    assert runtime is not None
    return runtime.status


@pytest.mark.parametrize("open_store", [in_memory, on_disk])
async def test_a_session_is_made_runs_streams_leaves_and_comes_back(
    open_store: Callable[[Path], Store], tmp_path: Path
) -> None:
    async with open_stage(store=open_store(tmp_path), settings=LITTLE_ROOM) as stage:
        await stage.create("s", "other")
        async with stage.engine.events("s") as subscription:
            outcome = await stage.engine.run_turn("s", "hello")
            bodies = await bodies_until(subscription, TaskFinished)
            streamed = [body for body in bodies if isinstance(body, AnswerStreamed)]
            assert len(streamed) > 1
            before = await stage.engine.snapshot("s")

            await stage.engine.run_turn("other", "make room")
            runtime = await stage.engine.runtime("s")
            assert runtime is not None
            assert not runtime.is_loaded

            after = await stage.engine.snapshot("s")
            assert after.epoch > before.epoch
            assert after.messages == before.messages
            assert (await stage.engine.wait_turn("s", outcome.task_id)).answer == "You said: hello"
            await stage.engine.run_turn("s", "and now?")
            items: list[Event] = []
            async for item in subscription:
                assert isinstance(item, Event)
                items.append(item)
                if isinstance(item.body, TaskFinished):
                    break
        assert [item.seq for item in items] == list(range(before.seq + 1, before.seq + 1 + len(items)))


async def test_three_sessions_run_and_the_fourth_waits() -> None:
    async with open_stage() as stage:
        await stage.create("a", "b", "c", "d")
        async with stage.engine.events("d") as subscription:
            for session_id in ("a", "b", "c", "d"):
                await stage.ask(session_id, "hang")

            statuses = [await status_of(stage, session_id) for session_id in ("a", "b", "c", "d")]
            assert statuses == [SessionStatus.RUNNING] * 3 + [SessionStatus.QUEUED]
            assert await stage.engine.abort_turn("a")
            await wait_all_tasks_blocked()
            assert await status_of(stage, "d") is SessionStatus.RUNNING
            await stage.engine.abort_turn("d")
            bodies = await bodies_until(subscription, TaskFinished)
        told = [body.status for body in bodies if isinstance(body, SessionStatusChanged)]
        assert told == [SessionStatus.QUEUED, SessionStatus.RUNNING, SessionStatus.ABORTED]


async def test_of_thirteen_questions_at_once_three_are_answered_at_a_time() -> None:
    names = [f"s{number}" for number in range(13)]
    async with open_stage() as stage:
        await stage.create(*names)
        async with trio.open_nursery() as nursery:
            for name in names:
                nursery.start_soon(stage.engine.run_turn, name, "hello")

        assert stage.model.calls == 13
        assert stage.model.highest_running == 3


async def test_thirteen_sessions_with_a_turn_are_all_loaded_and_ten_stay_when_they_rest() -> None:
    names = [f"s{number}" for number in range(13)]
    async with open_stage() as stage:
        await stage.create(*names)
        tasks = {name: await stage.ask(name, "hang") for name in names}
        status = await stage.engine.pool_status()
        assert (status.running, status.queued, status.loaded) == (3, 10, 13)
        assert (await stage.engine.registry_statistics()).over_cap == 3

        for name in names:
            await stage.engine.abort_turn(name)
        outcomes = [await stage.engine.wait_turn(name, tasks[name]) for name in names]
        await wait_all_tasks_blocked()

        assert {outcome.status for outcome in outcomes} == {SessionStatus.ABORTED}
        assert (await stage.engine.pool_status()).loaded == 10


@pytest.mark.parametrize(
    ("question", "ended"),
    [
        ("hello", SessionStatus.COMPLETED),
        ("fail", SessionStatus.FAILED),
        ("begin", SessionStatus.ABORTED),
    ],
)
async def test_a_session_takes_the_next_question_however_the_last_turn_ended(
    question: str, ended: SessionStatus
) -> None:
    async with open_stage() as stage:
        await stage.create("s")
        assert await status_of(stage, "s") is SessionStatus.IDLE
        task_id = await stage.ask("s", question)
        if question == "begin":
            runtime = await stage.engine.runtime("s")
            assert runtime is not None
            assert (runtime.status, runtime.task_id) == (SessionStatus.RUNNING, task_id)
            await stage.engine.abort_turn("s")

        assert (await stage.engine.wait_turn("s", task_id)).status is ended
        runtime = await stage.engine.runtime("s")
        assert runtime is not None
        assert (runtime.status, runtime.task_id) == (ended, None)
        assert (runtime.error is not None) is (ended is SessionStatus.FAILED)
        assert (await stage.engine.run_turn("s", "again")).status is SessionStatus.COMPLETED
        assert await status_of(stage, "s") is SessionStatus.COMPLETED


async def test_a_session_with_a_turn_is_never_the_one_that_leaves() -> None:
    async with open_stage(settings=LITTLE_ROOM) as stage:
        await stage.create("running")
        task_id = await stage.ask("running", "begin")
        await stage.create("a", "b")
        await stage.engine.run_turn("a", "hello")
        await wait_all_tasks_blocked()

        runtime = await stage.engine.runtime("running")
        assert runtime is not None
        assert (runtime.is_loaded, runtime.status) == (True, SessionStatus.RUNNING)
        await stage.engine.abort_turn("running")
        assert (await stage.engine.wait_turn("running", task_id)).answer == "begun"


async def test_a_question_that_comes_while_its_session_leaves_is_answered_once() -> None:
    store = GatedStore()
    answers: list[str] = []
    async with open_stage(store=store, settings=LITTLE_ROOM) as stage:
        await stage.create("s")
        await stage.engine.run_turn("s", "first")
        store.hold()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stage.create, "other")  # for which the first one has to go
            await wait_all_tasks_blocked()

            async def ask() -> None:
                answers.append((await stage.engine.run_turn("s", "second")).answer)

            nursery.start_soon(ask)
            await wait_all_tasks_blocked()
            assert answers == []
            store.let_go()

        assert answers == ["You said: second"]
        messages = (await stage.engine.snapshot("s")).messages
        assert [message.content for message in messages] == [
            Text("first"),
            Text("You said: first"),
            Text("second"),
            Text("You said: second"),
        ]


async def test_a_session_that_cannot_be_saved_is_reported_and_loaded_again_when_it_can(
    autojump_clock: trio.testing.MockClock,
) -> None:
    store = FailingStore()
    async with open_stage(store=store) as stage:
        await stage.create("s")
        await stage.ask("s", "begin")
        store.fill_disk()
        async with stage.engine.global_events() as everything:
            assert await code_of(stage.engine.release_session("s")) is ErrorCode.PERSISTENCE_FAILED
            async for item in everything:
                assert isinstance(item, GlobalEvent)
                if isinstance(item.body, SessionFailed | PersistenceFailed):
                    assert item.body.error.code is ErrorCode.PERSISTENCE_FAILED
                    break
        store.repair()
        assert (await stage.engine.snapshot("s")).record.session_id == "s"
    assert autojump_clock.current_time() > 1


async def test_looking_at_lists_pages_and_reports_keeps_no_session_loaded() -> None:
    async with open_stage(settings=EngineSettings(max_loaded=2)) as stage:
        await stage.create("old", "young")
        for _ in range(100):
            await stage.engine.runtime("old")
            await stage.engine.runtimes()
            await stage.engine.pool_status()
            await stage.engine.debug_report()
            await stage.engine.list_sessions()
            await stage.engine.page("old")

        await stage.create("third")
        await wait_all_tasks_blocked()

        loaded = {runtime.session_id for runtime in await stage.engine.runtimes() if runtime.is_loaded}
        assert loaded == {"young", "third"}


async def test_a_reader_of_events_finds_in_the_session_what_it_was_told() -> None:
    async with open_stage() as stage:
        await stage.create("s")
        async with stage.engine.events("s") as subscription:
            task_id = await stage.engine.submit_turn("s", "hello")
            async for item in subscription:
                assert isinstance(item, Event)
                snapshot = await stage.engine.snapshot("s")
                stored = await stage.engine.read_session("s")
                assert snapshot.seq >= item.seq
                match item.body:
                    case MessageAdded(message):
                        assert message.message_id in {known.message_id for known in snapshot.messages}
                    case TaskFinished(outcome):
                        assert outcome.task_id == task_id
                        assert stored.record.status is outcome.status
                        assert stored.record.task is None
                        break
                    case _:
                        pass


async def test_the_events_of_an_ended_turn_need_not_have_been_heard_to_know_its_outcome() -> None:
    async with open_stage() as stage:
        await stage.create("s")
        task_id = await stage.ask("s", "hello")

        async with stage.engine.events("s") as subscription:
            with trio.fail_after(1):
                outcome = await stage.engine.wait_turn("s", task_id)

        assert outcome.answer == "You said: hello"
        assert subscription.snapshot is not None
        assert subscription.snapshot.branch[-1].content == Text("You said: hello")

"""What the registry knows and tells of sessions: registered, active, in the background, unread, idle."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from actors.conversation import Attachment, Image
from actors.engine import Engine
from actors.errors import ErrorCode
from actors.events import (
    GlobalBody,
    GlobalEvent,
    PoolStatusChanged,
    SessionRegistered,
    SessionStatusChanged,
    SessionUnreadUpdated,
    SessionUnregistered,
    TaskFinished,
)
from actors.records import SessionRuntime, SessionStatus
from actors.settings import EngineSettings
from actors.subscription import GlobalSubscription
from tests.actors.session.stage import bodies_until, code_of, open_stage

HALF_AN_HOUR = 1800.0


async def runtime_of(engine: Engine, session_id: str) -> SessionRuntime:
    runtime = await engine.runtime(session_id)
    assert runtime is not None
    return runtime


class Heard:
    """What has been told of each session."""

    def __init__(self) -> None:
        self._bodies: defaultdict[str | None, list[GlobalBody]] = defaultdict(list)

    async def of(self, session_id: str) -> list[GlobalBody]:
        """So far, when everything has happened that can."""
        await wait_all_tasks_blocked()
        return self._bodies[session_id]

    async def listen(self, everything: GlobalSubscription) -> None:
        async for item in everything:
            assert isinstance(item, GlobalEvent)
            self._bodies[item.session_id].append(item.body)


@asynccontextmanager
async def listening(engine: Engine) -> AsyncGenerator[Heard, None]:
    heard = Heard()
    async with engine.global_events() as everything, trio.open_nursery() as nursery:
        nursery.start_soon(heard.listen, everything)
        yield heard
        nursery.cancel_scope.cancel()


async def test_registering_twice_is_once() -> None:
    async with open_stage() as stage:
        await stage.create("s")
        await stage.engine.release_session("s")
        async with listening(stage.engine) as heard:
            first = await stage.engine.register_session("s")
            second = await stage.engine.register_session("s")

            assert first == second
            assert (first.status, first.is_loaded) == (SessionStatus.IDLE, True)
            assert (await heard.of("s")).count(SessionRegistered()) <= 1
        assert [runtime.session_id for runtime in await stage.engine.runtimes()] == ["s"]


async def test_unregistering_forgets_an_idle_session_and_refuses_a_running_one() -> None:
    async with open_stage() as stage:
        await stage.create("s", "t")
        await stage.engine.register_session("s")
        await stage.engine.unregister_session("s")
        assert await stage.engine.runtime("s") is None
        assert await code_of(stage.engine.unregister_session("s")) is ErrorCode.SESSION_NOT_FOUND

        await stage.engine.register_session("t")
        task_id = await stage.ask("t", "begin")
        assert await code_of(stage.engine.unregister_session("t")) is ErrorCode.SESSION_BUSY
        assert stage.model.running == 1
        await stage.engine.unregister_session("t", force=True)

        assert await stage.engine.runtime("t") is None
        assert stage.model.running == 0
        assert (await stage.engine.pool_status()).running == 0
        assert (await stage.engine.wait_turn("t", task_id)).status is SessionStatus.ABORTED
        assert {summary.session_id for summary in await stage.engine.list_sessions()} == {"s", "t"}


async def test_a_session_in_the_background_goes_on_and_is_unread_when_it_has_ended() -> None:
    async with open_stage() as stage:
        await stage.create("s")
        await stage.engine.register_session("s")
        await stage.engine.set_active_session("s")
        async with listening(stage.engine) as heard:
            task_id = await stage.engine.submit_turn("s", "hello")
            await stage.engine.unregister_session("s", keep_in_background=True)
            assert (await stage.engine.wait_turn("s", task_id)).status is SessionStatus.COMPLETED

            bodies = await heard.of("s")
        assert SessionStatusChanged(SessionStatus.COMPLETED) in bodies
        assert SessionUnreadUpdated(1) in bodies
        assert SessionUnregistered() not in bodies
        runtime = await runtime_of(stage.engine, "s")
        assert runtime.unread_count == 1

        await stage.engine.set_active_session("s")
        assert (await runtime_of(stage.engine, "s")).unread_count == 0
        await stage.engine.set_active_session(None)
        await stage.engine.release_session("s")
        assert await stage.engine.runtime("s") is None, "nothing keeps it any more"


async def test_an_unloaded_session_that_is_looked_at_may_go_to_the_background() -> None:
    async with open_stage() as stage:
        await stage.create("s")
        await stage.engine.set_active_session("s")
        await stage.engine.release_session("s")
        assert not (await runtime_of(stage.engine, "s")).is_loaded

        await stage.engine.unregister_session("s", keep_in_background=True)

        assert await stage.engine.runtime("s") is None
        assert await stage.engine.active_session() is None


async def test_the_active_session_is_the_last_one_set_and_none_when_it_is_deleted() -> None:
    async with open_stage() as stage:
        await stage.create("a", "b")
        for session_id in ("a", "b", None, "a"):
            await stage.engine.set_active_session(session_id)
            assert await stage.engine.active_session() == session_id

        await stage.engine.delete_session("a")

        assert await stage.engine.active_session() is None
        assert await code_of(stage.engine.set_active_session("a")) is ErrorCode.SESSION_NOT_FOUND


async def test_answers_are_unread_while_nobody_looks_and_stopped_ones_never() -> None:
    counts: list[int] = []
    async with open_stage() as stage:
        await stage.create("s")
        async with listening(stage.engine) as heard:
            await stage.engine.set_active_session("s")
            await stage.engine.run_turn("s", "seen")
            counts.append((await runtime_of(stage.engine, "s")).unread_count)
            await stage.engine.set_active_session(None)
            await stage.engine.run_turn("s", "unseen")
            counts.append((await runtime_of(stage.engine, "s")).unread_count)
            await stage.ask("s", "begin")
            await stage.engine.abort_turn("s")
            await wait_all_tasks_blocked()
            counts.append((await runtime_of(stage.engine, "s")).unread_count)
            await stage.engine.set_active_session("s")
            counts.append((await runtime_of(stage.engine, "s")).unread_count)
            bodies = await heard.of("s")

        assert counts == [0, 1, 1, 0]
        unread = [body for body in bodies if isinstance(body, SessionUnreadUpdated)]
        assert unread == [SessionUnreadUpdated(1), SessionUnreadUpdated(0)]


async def test_unread_answers_are_remembered_by_the_store() -> None:
    async with open_stage() as stage:
        await stage.create("s")
        await stage.engine.run_turn("s", "hello")
        await stage.engine.release_session("s")

        assert (await stage.engine.snapshot("s")).record.unread_count == 1
        await stage.engine.mark_read("s")
        await stage.engine.release_session("s")
        assert (await stage.engine.snapshot("s")).record.unread_count == 0


async def test_a_turn_goes_on_when_the_last_reader_has_gone() -> None:
    async with open_stage() as stage:
        await stage.create("s")
        async with stage.engine.events("s"):
            task_id = await stage.engine.submit_turn("s", "hello")

        assert (await stage.engine.wait_turn("s", task_id)).status is SessionStatus.COMPLETED
        assert (await runtime_of(stage.engine, "s")).unread_count == 1


async def test_lists_show_who_runs_who_failed_and_who_is_unread() -> None:
    async with open_stage() as stage:
        await stage.create("ok", "failed", "running", "idle")
        await stage.engine.run_turn("ok", "hello")
        await stage.engine.run_turn("failed", "fail")
        await stage.ask("running", "hang")

        runtimes = {runtime.session_id: runtime for runtime in await stage.engine.runtimes()}

        assert {name: runtime.status for name, runtime in runtimes.items()} == {
            "ok": SessionStatus.COMPLETED,
            "failed": SessionStatus.FAILED,
            "running": SessionStatus.RUNNING,
            "idle": SessionStatus.IDLE,
        }
        assert {name for name, runtime in runtimes.items() if runtime.unread_count} == {"ok", "failed"}
        error = runtimes["failed"].error
        assert error is not None
        assert error.code is ErrorCode.QUOTA_EXCEEDED
        await stage.engine.run_turn("failed", "again")
        assert (await runtime_of(stage.engine, "failed")).error is None


async def test_a_reader_of_one_session_hears_nothing_of_another() -> None:
    async with open_stage() as stage:
        await stage.create("a", "b")
        async with stage.engine.events("a") as subscription, listening(stage.engine) as heard:
            await stage.engine.run_turn("b", "hello")
            await stage.engine.run_turn("a", "hello")
            bodies = await bodies_until(subscription, TaskFinished)
            assert len([body for body in bodies if isinstance(body, TaskFinished)]) == 1
            assert SessionStatusChanged(SessionStatus.COMPLETED) in await heard.of("b")


async def test_a_changed_limit_is_told_and_starts_who_waits() -> None:
    async with open_stage(settings=EngineSettings(max_concurrent=1)) as stage:
        await stage.create("a", "b", "c")
        for session_id in ("a", "b", "c"):
            await stage.ask(session_id, "hang")
        async with stage.engine.global_events() as everything:
            await stage.engine.set_max_concurrent(3)
            async for item in everything:
                assert isinstance(item, GlobalEvent)
                if isinstance(item.body, PoolStatusChanged) and item.body.status.running == 3:
                    assert item.body.status.max_concurrent == 3
                    assert item.body.status.available == 0
                    break
        await stage.engine.set_max_concurrent(1)
        status = await stage.engine.pool_status()
        assert (status.running, status.available) == (3, 0)


async def test_idle_sessions_are_forgotten_and_those_in_use_are_not(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_stage() as stage:
        await stage.create("idle", "active", "running")
        await stage.engine.register_session("idle")
        await stage.engine.set_active_session("active")
        await stage.ask("running", "hang")
        await trio.sleep(HALF_AN_HOUR - 60)
        assert await stage.engine.clean_up_idle() == 0
        await trio.sleep(120)

        assert await stage.engine.clean_up_idle() == 1

        await wait_all_tasks_blocked()
        assert {runtime.session_id for runtime in await stage.engine.runtimes()} == {"active", "running"}
    assert autojump_clock.current_time() >= HALF_AN_HOUR


async def test_the_automatic_cleanup_runs_until_it_is_stopped(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_stage() as stage:
        await stage.create("first")
        await stage.engine.start_auto_cleanup(interval_seconds=300, max_idle_seconds=600)
        await trio.sleep(1000)
        assert await stage.engine.runtime("first") is None

        await stage.engine.stop_auto_cleanup()
        await stage.create("second")
        await trio.sleep(10_000)
        assert await stage.engine.runtime("second") is not None
    assert autojump_clock.current_time() >= 11_000


async def test_the_memory_estimate_counts_and_grows_with_what_is_said() -> None:
    async with open_stage() as stage:
        await stage.create("a", "b")
        before = await stage.engine.memory_estimate()
        await stage.engine.run_turn("a", "word " * 1000)
        after = await stage.engine.memory_estimate()

        assert (before.sessions, before.messages) == (2, 0)
        assert (after.sessions, after.messages) == (2, 2)
        assert after.estimated_mb >= before.estimated_mb + 0.01


async def test_the_memory_estimate_counts_files_and_images() -> None:
    image, file = Image("image/png", b"x" * 100_000), Attachment("a.txt", "x" * 50_000)
    async with open_stage() as stage:
        await stage.create("a")
        await stage.engine.run_turn("a", "See", images=(image,), attachments=(file,))
        estimate = await stage.engine.memory_estimate()

        assert estimate.estimated_mb >= 0.15


@pytest.mark.parametrize("question", ["hang", "begin"])
async def test_a_deleted_session_leaves_its_slot_or_place_to_others(question: str) -> None:
    async with open_stage(settings=EngineSettings(max_concurrent=1)) as stage:
        await stage.create("running", "first", "second")
        await stage.ask("running", question)
        await stage.ask("first", "hang")
        await stage.ask("second", "hang")

        await stage.engine.delete_session("first")
        status = await stage.engine.pool_status()
        assert (status.running, status.queued) == (1, 1)
        await stage.engine.delete_session("running")
        await wait_all_tasks_blocked()

        assert (await runtime_of(stage.engine, "second")).status is SessionStatus.RUNNING
        assert await code_of(stage.engine.snapshot("first")) is ErrorCode.SESSION_NOT_FOUND
        assert {summary.session_id for summary in await stage.engine.list_sessions()} == {"second"}

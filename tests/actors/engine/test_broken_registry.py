"""The registry fails in the middle of everything, and sessions crash again and again."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import trio
from trio.testing import wait_all_tasks_blocked

from actors.conversation import Role
from actors.engine import Engine
from actors.errors import EngineError, ErrorCode
from actors.events import ActorRestarted, Event, GlobalEvent, SessionFailed, TaskFinished
from actors.records import SessionStatus
from actors.registry.protocol import REGISTRY_NAME
from actors.session.protocol import Cursor
from actors.settings import EngineSettings
from actors.stores import MemoryStore
from actors.subscription import Subscription
from runtime import ActorSystem, open_system
from tests.actors.session.stage import Stage, bodies_until, code_of, open_stage, refusal_of


@asynccontextmanager
async def open_fragile_stage(
    *, store: MemoryStore | None = None, settings: EngineSettings | None = None
) -> AsyncGenerator[tuple[Stage, ActorSystem], None]:
    async with open_system() as system, open_stage(store=store, settings=settings, system=system) as stage:
        yield stage, system


async def kill_registry(system: ActorSystem) -> None:
    ref = system.find(REGISTRY_NAME)
    assert ref is not None
    ref.kill()
    await wait_all_tasks_blocked()


async def test_a_registry_that_is_killed_in_the_middle_of_turns_goes_on_with_them() -> None:
    store = MemoryStore()
    settings = EngineSettings(max_concurrent=1)
    async with open_fragile_stage(store=store, settings=settings) as (stage, system):
        await stage.create("running", "first", "second", "idle")
        async with (
            stage.engine.events("running") as subscription,
            stage.engine.global_events() as everything,
        ):
            tasks = {name: await stage.ask(name, "begin") for name in ("running", "first", "second")}
            before = await stage.engine.pool_status()

            await kill_registry(system)

            assert await stage.engine.pool_status() == before
            assert {runtime.session_id for runtime in await stage.engine.runtimes()} >= set(tasks)
            async for item in everything:
                if isinstance(item, GlobalEvent) and item.body == ActorRestarted(REGISTRY_NAME):
                    assert item.seq == 1
                    break
            for name in ("running", "first", "second"):
                assert await stage.engine.abort_turn(name)
                outcome = await stage.engine.wait_turn(name, tasks[name])
                assert (outcome.status, outcome.answer) == (SessionStatus.ABORTED, "begun")
                await wait_all_tasks_blocked()
            bodies = await bodies_until(subscription, TaskFinished)
            assert len([body for body in bodies if isinstance(body, TaskFinished)]) == 1
        assert stage.model.calls == 3
        assert (await stage.engine.run_turn("idle", "hello")).status is SessionStatus.COMPLETED
        status = await stage.engine.pool_status()
        assert (status.running, status.queued) == (0, 0)
    for name in tasks:
        roles = [message.role for message in store.read(name).messages]
        assert roles == [Role.USER, Role.ASSISTANT]


async def test_a_killed_registry_leaves_nobody_waiting_for_ever() -> None:
    ended: list[str] = []

    async def ask(engine: Engine, name: str) -> None:
        try:
            await engine.run_turn(name, "hello")
            ended.append("answered")
        except EngineError as error:
            assert error.code is ErrorCode.EXECUTION_FAILED  # noqa: PT017 - or it is answered
            ended.append("told")

    async with open_fragile_stage() as (stage, system):
        names = [f"s{number}" for number in range(10)]
        await stage.create(*names)
        with trio.fail_after(5):
            async with trio.open_nursery() as nursery:
                for name in names:
                    nursery.start_soon(ask, stage.engine, name)
                for _ in range(3):
                    await trio.lowlevel.checkpoint()
                await kill_registry(system)

        assert len(ended) == len(names)
        await wait_all_tasks_blocked()
        status = await stage.engine.pool_status()
        assert (status.running, status.queued, status.available) == (0, 0, 3)
        for name in names:
            messages = (await stage.engine.snapshot(name)).messages
            assert [message.role for message in messages].count(Role.USER) <= 1


async def test_what_the_registry_knew_of_active_and_unread_sessions_it_knows_again() -> None:
    async with open_fragile_stage() as (stage, system):
        await stage.create("a", "b")
        await stage.engine.register_session("a")
        await stage.engine.run_turn("a", "hello")
        await stage.engine.set_active_session("b")
        await stage.engine.set_max_concurrent(7)

        await kill_registry(system)

        assert await stage.engine.active_session() == "b"
        runtime = await stage.engine.runtime("a")
        assert runtime is not None
        assert runtime.unread_count == 1
        assert (await stage.engine.pool_status()).max_concurrent == 7


async def test_a_registry_that_fails_again_and_again_ends_the_engine_and_not_the_host() -> None:
    async with open_fragile_stage() as (stage, system):
        await stage.create("s")
        for _ in range(7):
            if system.find(REGISTRY_NAME) is not None:
                await kill_registry(system)

        with trio.fail_after(5):
            assert await code_of(stage.engine.run_turn("s", "hello")) is ErrorCode.EXECUTION_FAILED


async def test_a_session_that_crashes_again_and_again_is_not_loaded_for_a_while(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_stage() as stage:
        await stage.engine.create_session(session_id="s", model="scripted:exit")
        async with stage.engine.global_events() as everything:
            for _ in range(3):
                task_id = await stage.engine.submit_turn("s", "hello")
                while task_id:
                    item = await anext(everything)
                    assert isinstance(item, GlobalEvent)
                    if isinstance(item.body, SessionFailed):
                        assert item.session_id == "s"
                        break

        refusal = await refusal_of(stage.engine.snapshot("s"))
        assert refusal.code is ErrorCode.SESSION_INVALID
        assert (await stage.engine.pool_status()).running == 0
        runtime = await stage.engine.runtime("s")
        assert runtime is not None
        assert (runtime.status, runtime.is_loaded) == (SessionStatus.FAILED, False)
        seconds = refusal.details["retry_after_seconds"]
        assert isinstance(seconds, float)
        assert len((await stage.engine.read_session("s")).messages) >= 3
        await trio.sleep(seconds + 1)
        snapshot = await stage.engine.snapshot("s")
        assert snapshot.record.status is SessionStatus.FAILED
    assert autojump_clock.current_time() > 1


async def test_a_reader_that_comes_back_with_its_cursor_misses_nothing_over_unloading_and_restart() -> None:
    store = MemoryStore()
    async with open_stage(store=store) as stage:
        await stage.create("s")
        async with stage.engine.events("s") as subscription:
            await stage.engine.run_turn("s", "one")
            events = [event async for event in _until_the_end_of_a_turn(subscription)]
        cursor = _behind(events[-1])
        await stage.engine.run_turn("s", "two")
        await stage.engine.release_session("s")
        async with stage.engine.events("s", cursor) as subscription:
            following = [event async for event in _until_the_end_of_a_turn(subscription)]
            assert subscription.snapshot is None
        assert [event.seq for event in following] == list(
            range(cursor.seq + 1, cursor.seq + 1 + len(following))
        )
        last = (await stage.engine.snapshot("s")).seq

    async with open_stage(store=store) as stage:
        snapshot = await stage.engine.snapshot("s")
        assert snapshot.seq > last, "numbers go on after a restart"
        assert snapshot.epoch > following[-1].epoch


async def _until_the_end_of_a_turn(subscription: Subscription) -> AsyncGenerator[Event, None]:
    async for item in subscription:
        assert isinstance(item, Event)
        yield item
        if isinstance(item.body, TaskFinished):
            return


def _behind(event: Event) -> Cursor:
    return Cursor(event.epoch, event.seq)

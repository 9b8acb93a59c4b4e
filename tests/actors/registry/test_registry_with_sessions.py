"""The registry and real sessions together."""

from __future__ import annotations

import trio
from trio.testing import wait_all_tasks_blocked

from actors.engine import Engine
from actors.events import ActorRestarted, Event, GlobalEvent, TaskFinished
from actors.records import SessionStatus
from actors.registry.protocol import REGISTRY_NAME
from actors.settings import EngineSettings
from tests.actors.session.stage import open_stage


async def test_events_go_on_without_a_gap_over_eviction_and_reload() -> None:
    async with open_stage(settings=EngineSettings(max_loaded=2)) as stage:
        await stage.create("s", "a", "b", "c")
        async with stage.engine.events("s") as subscription:
            await stage.engine.run_turn("s", "first")
            for other in ("a", "b", "c"):
                await stage.engine.run_turn(other, "?")
            await wait_all_tasks_blocked()
            evicted = await stage.engine.runtime("s")
            assert evicted is not None
            assert not evicted.is_loaded
            assert evicted.unread_count == 1

            await stage.engine.run_turn("s", "second")

            assert subscription.snapshot is not None
            seq, ends = subscription.snapshot.seq, 0
            async for event in subscription:
                assert isinstance(event, Event), "some events are lost"
                assert event.seq == seq + 1
                seq = event.seq
                ends += isinstance(event.body, TaskFinished)
                if ends == 2:
                    break


async def test_forty_sessions_that_were_used_are_ten_when_nothing_happens_any_more() -> None:
    async with open_stage(settings=EngineSettings(max_queue_size=40)) as stage:
        await stage.create(*(f"s{number}" for number in range(40)))
        async with trio.open_nursery() as nursery:
            for number in range(40):
                nursery.start_soon(stage.engine.run_turn, f"s{number}", "hello")
        await wait_all_tasks_blocked()

        status = await stage.engine.pool_status()
        assert (status.running, status.queued, status.loaded) == (0, 0, 10)
        assert (await stage.engine.registry_statistics()).crashes == 0


async def test_turns_go_on_when_the_registry_is_killed_in_the_midst_of_them() -> None:
    async with (
        open_stage(settings=EngineSettings(max_queue_size=40, max_loaded=40)) as stage,
        stage.engine.global_events() as events,
    ):
        names = [f"s{number}" for number in range(20)]
        await stage.create(*names)
        tasks = {name: await stage.engine.submit_turn(name, "hang") for name in names}
        await wait_all_tasks_blocked()
        before = await stage.engine.pool_status()

        _kill_registry(stage.engine)
        await wait_all_tasks_blocked()

        assert before.running == 3
        assert await stage.engine.pool_status() == before
        for name, task_id in tasks.items():
            assert await stage.engine.abort_turn(name)
            outcome = await stage.engine.wait_turn(name, task_id)
            assert outcome.status is SessionStatus.ABORTED
        assert (await stage.engine.pool_status()).running == 0
        async for event in events:
            assert isinstance(event, GlobalEvent)
            if isinstance(event.body, ActorRestarted):
                assert event.seq == 1
                break


def _kill_registry(engine: Engine) -> None:
    registry = engine._system.find(REGISTRY_NAME)  # pyright: ignore[reportPrivateUsage] - no caller may do this
    assert registry is not None
    registry.kill()

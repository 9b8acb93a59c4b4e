"""The numbers of a system are right, and there for every thread."""

from __future__ import annotations

import logging
from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from runtime import ActorSystem, Statistics, SystemThread, TrioActor, open_system
from runtime.supervision import ChildSpec, FindChild, Supervisor
from tests.runtime.samples import Echo, Obedient, run_in_threads

NOTHING = Statistics(
    actors=0,
    ready=0,
    async_handlers=0,
    tasks=0,
    timers=0,
    spawned=0,
    messages_handled=0,
    dead_letters=0,
    failures=0,
    restarts=0,
)


class Busy(TrioActor):
    """Has one of everything."""

    def on_start(self) -> None:
        self.spawn_actor(Echo)
        self.task = self.spawn(trio.sleep_forever)
        self.timers.start("tick", 1000, "tick")

    async def on_receive(self, message: Any) -> Any:
        await trio.sleep_forever()
        return message


async def test_a_new_system_has_nothing(system: ActorSystem) -> None:
    assert system.statistics() == NOTHING


async def test_the_numbers_follow_what_actors_do() -> None:
    async with open_system(shutdown_budget_seconds=0) as system:
        ref = system.spawn(Busy)
        ref.tell("hang")
        ref.tell("wait")
        await wait_all_tasks_blocked()

        busy = system.statistics()
        ref.kill()
        await wait_all_tasks_blocked()
        at_rest = system.statistics()

    assert (busy.actors, busy.spawned) == (2, 2)
    assert (busy.async_handlers, busy.tasks, busy.timers, busy.messages_handled) == (1, 1, 1, 1)
    assert (at_rest.actors, at_rest.spawned) == (0, 2)
    assert (at_rest.async_handlers, at_rest.tasks, at_rest.timers, at_rest.ready) == (0, 0, 0, 0)
    assert at_rest.failures == 0  # to be killed is none


async def test_the_messages_of_users_are_counted_exactly(system: ActorSystem) -> None:
    ref = system.spawn(Echo)
    for number in range(1000):
        ref.tell(number)
    await ref.ask("asked", block=False)
    await wait_all_tasks_blocked()

    assert system.statistics().messages_handled == 1001


async def test_actors_that_wait_for_their_turn_are_counted(system: ActorSystem) -> None:
    for _ in range(3):
        system.spawn(Echo)

    assert system.statistics().ready == 3


async def test_failures_and_dead_letters_are_counted(
    system: ActorSystem, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, logger="pykka")
    ref = system.spawn(Obedient)
    ref.tell("fails")
    ref.tell("never handled")
    await wait_all_tasks_blocked()

    seen = system.statistics()

    assert (seen.failures, seen.dead_letters, seen.actors) == (1, system.dead_letters, 0)


async def test_restarts_are_counted(system: ActorSystem, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, logger="pykka")
    supervisor = system.spawn(Supervisor, [ChildSpec("child", Obedient)])
    child = await supervisor.ask(FindChild("child"), block=False)
    child.tell("fails")
    await wait_all_tasks_blocked()

    seen = system.statistics()

    assert (seen.restarts, seen.failures, seen.actors, seen.spawned) == (1, 1, 2, 2)


@pytest.mark.usefixtures("eager_thread_switches")
async def test_spawns_of_many_threads_are_all_counted(system: ActorSystem) -> None:
    def live(_: int) -> None:
        for _ in range(50):
            system.spawn(Echo).stop(block=False)
            assert system.statistics().actors >= 0

    await run_in_threads(8, live)
    await wait_all_tasks_blocked()

    seen = system.statistics()
    assert (seen.spawned, seen.actors) == (400, 0)


def test_a_thread_may_ask_also_after_the_end(system_thread: SystemThread) -> None:
    system = system_thread.system
    ref = system.spawn(Echo)
    assert ref.ask("anything") == "anything"
    assert system.statistics().actors == 1

    system_thread.stop()

    assert (system.statistics().actors, system.statistics().spawned) == (0, 1)

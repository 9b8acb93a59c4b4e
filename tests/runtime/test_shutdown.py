"""How a system ends: in order, within its budget, and with nothing left."""

from __future__ import annotations

import gc
import math
import threading
from typing import Any

import pykka
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from runtime import ActorSystem, SystemClosedError, SystemFailedError, TrioActor, open_system
from tests.runtime.samples import Echo, Obedient, Recorder


class Ending(TrioActor):
    """Notes its end. `slowly`: its hook awaits something; `for_ever`: it never ends."""

    def __init__(self, notes: list[str], name: str, pace: str = "at once") -> None:
        super().__init__()
        self.notes = notes
        self.name = name
        self.pace = pace

    def on_receive(self, message: Any) -> Any:
        if message == "child":
            self.spawn(self.child)
        elif message == "hang":
            return self.hang()
        return None

    async def hang(self) -> None:
        await trio.sleep_forever()

    async def child(self) -> None:
        try:
            await trio.sleep_forever()
        finally:
            self.notes.append(f"child of {self.name} ended")

    def on_stop(self) -> Any:
        if self.pace == "at once":
            self.notes.append(f"{self.name} stopped")
            return None
        return self.stop_slowly()

    async def stop_slowly(self) -> None:
        await trio.sleep(1 if self.pace == "slowly" else math.inf)
        self.notes.append(f"{self.name} stopped")


async def test_actors_stop_youngest_first(autojump_clock: MockClock) -> None:
    notes: list[str] = []
    async with open_system() as system:
        for name in ("first", "second", "third"):
            system.spawn(Ending, notes, name, "slowly")

    assert notes == ["third stopped", "second stopped", "first stopped"]
    assert autojump_clock.current_time() == 3


async def test_a_cancelled_host_stops_its_actors_in_order(autojump_clock: MockClock) -> None:
    notes: list[str] = []
    with trio.move_on_after(1) as host:
        async with open_system() as system:
            system.spawn(Ending, notes, "old")
            system.spawn(Ending, notes, "young", "slowly").tell("child")
            await trio.sleep_forever()

    assert host.cancelled_caught
    assert notes == ["child of young ended", "young stopped", "old stopped"]
    assert autojump_clock.current_time() == 2


@pytest.mark.parametrize("hanging", ["hook", "handler"])
async def test_an_actor_that_hangs_is_cut_off_and_the_older_ones_stop_in_order(
    hanging: str, autojump_clock: MockClock
) -> None:
    notes: list[str] = []
    async with open_system(shutdown_budget_seconds=10) as system:
        system.spawn(Ending, notes, "old", "slowly")
        pace, message = ("for ever", "child") if hanging == "hook" else ("at once", "hang")
        young = [system.spawn(Ending, notes, "young", pace) for _ in range(2)]
        for ref in young:
            ref.tell(message)
    asked = young[0].ask("too late", block=False)

    assert notes[-1] == "old stopped"
    assert autojump_clock.current_time() == 10
    with pytest.raises(pykka.ActorDeadError):
        await asked


async def test_the_asker_of_a_handler_that_is_cut_off_gets_actor_dead_error(
    autojump_clock: MockClock,
) -> None:
    async def hang_in_nursery(_: Obedient) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)

    async with open_system(shutdown_budget_seconds=1) as system:
        ref = system.spawn(Obedient)
        reply = ref.ask(hang_in_nursery, block=False)
        stopped = ref.stop(block=False)

    with pytest.raises(pykka.ActorDeadError):
        await reply
    assert await stopped is True
    assert autojump_clock.current_time() == 1


async def test_what_fails_while_it_is_cut_off_does_not_fail_the_system(
    autojump_clock: MockClock,
) -> None:
    async def fail_when_cancelled() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise ValueError

    async def fail_in_nursery(_: Obedient) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fail_when_cancelled)
            nursery.start_soon(trio.sleep_forever)

    async with open_system(shutdown_budget_seconds=1) as system:
        system.spawn(Obedient).tell(fail_in_nursery)

    assert autojump_clock.current_time() == 1


async def test_the_exception_of_the_block_passes_unchanged() -> None:
    error = ValueError("the host's")

    with pytest.raises(ValueError, match="the host's") as caught:  # noqa: PT012 - the block is the subject
        async with open_system() as system:
            system.spawn(Echo)
            raise error

    assert caught.value is error


async def test_nothing_outlives_the_block() -> None:
    gc.collect()
    tasks, threads = trio.lowlevel.current_statistics().tasks_living, threading.active_count()
    notes: list[str] = []

    async with open_system() as system:
        refs = [system.spawn(Ending, notes, str(n)) for n in range(10)]
        for ref in refs:
            ref.tell("child")
        await wait_all_tasks_blocked()

    assert trio.lowlevel.current_statistics().tasks_living == tasks
    assert threading.active_count() == threads
    assert not any(ref.is_alive() for ref in refs)


async def test_a_system_that_has_ended_says_so() -> None:
    async with open_system() as system:
        ref = system.spawn(Echo)

    with pytest.raises(SystemClosedError):
        system.spawn(Echo)
    with pytest.raises(pykka.ActorDeadError):
        ref.tell(1)
    with pytest.raises(pykka.ActorDeadError):
        await ref.ask(1, block=False)
    assert await ref.stop(block=False) is False
    await system.stop()


async def test_an_actor_may_stop_the_system_it_lives_in(autojump_clock: MockClock) -> None:
    async def stop_from_handler(actor: Obedient) -> str:
        await actor.system.stop()
        return "handler"

    def stop_from_child(actor: Obedient) -> None:
        actor.spawn(actor.system.stop)

    for message in (stop_from_handler, stop_from_child):
        async with open_system() as system:
            ref = system.spawn(Obedient)
            await ref.ask(message, block=False)
            await system.stop()
            assert not ref.is_alive()
    assert autojump_clock.current_time() == 0


async def test_stopping_twice_at_once_is_stopping_once() -> None:
    notes: list[str] = []
    async with open_system() as system:
        system.spawn(Ending, notes, "one", "at once")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(system.stop)
            nursery.start_soon(system.stop)

    assert notes == ["one stopped"]


async def test_a_defect_of_the_runtime_is_reported_to_the_host() -> None:
    class NotACell:
        system = None

    refs: list[pykka.ActorRef[Any]] = []
    with pytest.raises(SystemFailedError) as caught:  # noqa: PT012 - the block is the subject
        async with open_system() as system:
            refs.append(system.spawn(Echo))
            broken: Any = NotACell()
            system.scheduler.enqueue(broken)
            await trio.sleep_forever()

    assert caught.value.__cause__ is not None
    assert not refs[0].is_alive()


async def test_two_systems_in_one_trio_run_are_independent() -> None:
    notes: list[Any] = []
    async with open_system() as outer:
        survivor = outer.spawn(Recorder, notes)
        async with open_system() as inner:
            inner.spawn_named("same", Echo)
            outer.spawn_named("same", Echo)
            assert inner.find("same") is not outer.find("same")
        survivor.tell("after the other one's end")
        await survivor.stop(block=False)

    assert notes == ["after the other one's end"]


@pytest.mark.usefixtures("eager_thread_switches")
async def test_an_actor_spawned_while_the_system_ends_is_refused_or_dead() -> None:
    refs: list[pykka.ActorRef[Any]] = []

    def spawn_until_closed(system: ActorSystem) -> None:
        try:
            while True:
                refs.append(system.spawn(Echo))
        except SystemClosedError:
            pass

    async with trio.open_nursery() as nursery, open_system() as system:
        for _ in range(4):
            nursery.start_soon(trio.to_thread.run_sync, spawn_until_closed, system)
        while not refs:
            await trio.lowlevel.checkpoint()

    assert not any(ref.is_alive() for ref in refs)

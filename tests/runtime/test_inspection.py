"""Looking into actors while they run, halting them, and listening to them."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from typing import Any

import pykka
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from runtime import (
    ActorKilledError,
    ActorSystem,
    IdleTimeout,
    Life,
    SystemThread,
    Terminated,
    TraceEntry,
    TrioActor,
    inspect,
    open_system,
    resume,
    suspend,
    trace,
)
from runtime.supervision import ChildSpec, FindChild, Supervisor
from tests.runtime.samples import Echo, Obedient, Recorder, run_in_threads


class Watching(Obedient):
    """Lives on when what it watches has ended."""

    def on_receive(self, message: Any) -> Any:
        return None if isinstance(message, Terminated) else super().on_receive(message)


class Busy(TrioActor):
    """Has one of everything."""

    def __init__(self) -> None:
        super().__init__()
        self.counts = {"a": 1}

    def on_start(self) -> None:
        self.child = self.spawn_actor(Echo)
        self.spawn(trio.sleep_forever)
        self.timers.start("tick", 1000, "tick")

    async def on_receive(self, message: Any) -> Any:
        await trio.sleep_forever()
        return message


@pytest.fixture
async def busy_system() -> AsyncGenerator[ActorSystem, None]:
    """Whose actors would not end by themselves."""
    async with open_system(shutdown_budget_seconds=0) as system:
        yield system


async def test_an_inspection_says_what_an_actor_is_and_has(busy_system: ActorSystem) -> None:
    ref = busy_system.spawn_named("busy", Busy)
    watcher = busy_system.spawn(Recorder, [])
    await wait_all_tasks_blocked()
    busy_system.watch(watcher.cell, ref.cell)
    ref.tell("hang")
    ref.tell("wait")
    asked = ref.ask("wait, too", block=False)
    await wait_all_tasks_blocked()

    seen = await inspect(ref)

    assert (seen.actor_class, seen.name, seen.urn) == (Busy, "busy", ref.actor_urn)
    assert (seen.life, seen.suspended) == (Life.RUNNING, False)
    assert (seen.mailbox_length, seen.handling, seen.async_running) == (2, str, True)
    assert (seen.tasks, seen.child_actors, seen.timers) == (1, (seen.state["child"],), ("tick",))
    assert seen.watchers == (watcher,)
    assert seen.slices is None
    assert not asked.done


async def test_the_state_in_an_inspection_is_a_shallow_copy(system: ActorSystem) -> None:
    notes: list[Any] = []
    ref = system.spawn(Recorder, notes)

    seen = await inspect(ref)
    seen.state["notes"] = None

    assert (await inspect(ref)).state == {"notes": notes}
    assert (await inspect(ref)).state["notes"] is notes


async def test_an_actor_at_rest_handles_nothing(system: ActorSystem) -> None:
    ref = system.spawn(Echo)
    await ref.ask("something", block=False)

    seen = await inspect(ref)

    assert (seen.mailbox_length, seen.handling, seen.async_running) == (0, None, False)
    assert (seen.tasks, seen.child_actors, seen.timers, seen.watchers) == (0, (), (), ())


@pytest.mark.parametrize("end", ["stopped", "killed", "failed"])
async def test_a_dead_actor_can_be_inspected(system: ActorSystem, end: str) -> None:
    ref = system.spawn(Obedient)
    if end == "stopped":
        ref.stop(block=False)
    elif end == "killed":
        ref.kill()
    else:
        ref.tell("not a function")
    await wait_all_tasks_blocked()

    seen = await inspect(ref)

    assert (seen.life, seen.state, seen.async_running) == (Life.DEAD, {}, False)


async def test_an_actor_can_be_inspected_after_its_system() -> None:
    async with open_system() as system:
        ref = system.spawn(Echo)

    assert (await inspect(ref)).life is Life.DEAD


def test_a_thread_may_inspect(system_thread: SystemThread) -> None:
    ref = system_thread.system.spawn(Recorder, [])

    assert inspect(ref).get(timeout=30).state == {"notes": []}


@pytest.mark.usefixtures("eager_thread_switches")
async def test_whatever_becomes_of_the_actor_every_inspection_is_answered(system: ActorSystem) -> None:
    for end in ("stop", "kill"):
        refs = [system.spawn(Echo) for _ in range(20)]

        def look(number: int, refs: list[Any] = refs, end: str = end) -> None:
            ref = refs[number]
            before = [inspect(ref) for _ in range(5)]
            ref.kill() if end == "kill" else ref.stop(block=False)
            after = [inspect(ref) for _ in range(5)]
            assert {reply.get(timeout=30).actor_class for reply in before + after} == {Echo}

        await run_in_threads(20, look)


# --- suspend and resume -----------------------------------------------------------------------------


async def test_a_suspended_actor_handles_no_mail_until_it_is_resumed(system: ActorSystem) -> None:
    notes: list[Any] = []
    ref = system.spawn(Recorder, notes)
    ref.tell("before")
    await wait_all_tasks_blocked()

    await suspend(ref)
    await suspend(ref)
    ref.tell("meanwhile")
    await wait_all_tasks_blocked()

    assert notes == ["before"]
    assert (await inspect(ref)).suspended
    assert (await inspect(ref)).mailbox_length == 1
    await resume(ref)
    await wait_all_tasks_blocked()
    assert notes == ["before", "meanwhile"]
    assert not (await inspect(ref)).suspended


async def test_a_running_handler_goes_on_when_its_actor_is_suspended(system: ActorSystem) -> None:
    gate = trio.Event()

    async def wait(_: Obedient) -> str:
        await gate.wait()
        return "done"

    ref = system.spawn(Obedient)
    running = ref.ask(wait, block=False)
    behind = ref.ask(lambda _: "behind", block=False)  # pyright: ignore[reportUnknownLambdaType] - any function
    await wait_all_tasks_blocked()

    await suspend(ref)
    gate.set()

    assert await running == "done"
    await wait_all_tasks_blocked()
    assert not behind.done
    await resume(ref)
    assert await behind == "behind"


async def test_a_handler_may_suspend_its_own_actor(system: ActorSystem) -> None:
    notes: list[str] = []

    def halt(actor: Obedient) -> None:
        notes.append("halted")
        suspend(actor.actor_ref)

    ref = system.spawn(Obedient)
    ref.tell(halt)
    ref.tell(lambda _: notes.append("went on"))  # pyright: ignore[reportUnknownLambdaType] - any function
    await wait_all_tasks_blocked()

    assert notes == ["halted"]
    await resume(ref)
    await wait_all_tasks_blocked()
    assert notes == ["halted", "went on"]


async def test_an_actor_suspended_before_its_start_starts_and_then_waits(system: ActorSystem) -> None:
    notes: list[Any] = []
    ref = system.spawn(Recorder, notes)
    suspended = suspend(ref)
    ref.tell("something")
    await wait_all_tasks_blocked()

    assert suspended.done
    assert ((await inspect(ref)).life, notes) == (Life.RUNNING, [])


async def test_kill_and_a_stop_at_once_end_a_suspended_actor(system: ActorSystem) -> None:
    killed, stopped = system.spawn(Echo), system.spawn(Echo)
    watched: list[Any] = []
    watcher = system.spawn(Recorder, watched)
    for ref in (killed, stopped):
        await suspend(ref)
        system.watch(watcher.cell, ref.cell)
    asked = stopped.ask("never handled", block=False)

    killed.kill()
    await stopped.stop(block=False, drain=False)

    with pytest.raises(pykka.ActorDeadError):
        await asked
    await wait_all_tasks_blocked()
    assert {(notice.ref, type(notice.reason)) for notice in watched} == {
        (killed, ActorKilledError),
        (stopped, type(None)),
    }


async def test_a_restart_is_no_end_to_being_suspended(
    system: ActorSystem, caplog: pytest.LogCaptureFixture
) -> None:
    gate = trio.Event()

    async def fail() -> None:
        await gate.wait()
        raise ValueError

    def spawn(actor: Obedient) -> None:
        actor.spawn(fail)

    caplog.set_level(logging.CRITICAL, logger="pykka")
    supervisor = system.spawn(Supervisor, [ChildSpec("child", Obedient)])
    child = await supervisor.ask(FindChild("child"), block=False)
    await child.ask(spawn, block=False)
    await suspend(child)
    gate.set()
    waiting = child.ask(lambda _: "handled", block=False)  # pyright: ignore[reportUnknownLambdaType] - any function
    await wait_all_tasks_blocked()

    assert system.statistics().restarts == 1
    assert not waiting.done
    await resume(child)
    assert await waiting == "handled"


async def test_an_orderly_stop_waits_for_a_suspended_actor_to_be_resumed(system: ActorSystem) -> None:
    notes: list[Any] = []
    ref = system.spawn(Recorder, notes)
    await suspend(ref)
    ref.tell("something")
    stopped = ref.stop(block=False)
    await wait_all_tasks_blocked()

    assert not stopped.done
    await resume(ref)
    assert await stopped is True
    assert notes == ["something"]


async def test_a_system_stops_without_the_mail_of_its_suspended_actors(autojump_clock: MockClock) -> None:
    notes: list[Any] = []
    async with open_system(shutdown_budget_seconds=100) as system:
        ref = system.spawn(Recorder, notes)
        await suspend(ref)
        ref.tell("never handled")

    assert (notes, system.dead_letters) == ([], 1)
    assert autojump_clock.current_time() == 0


async def test_the_idle_timeouts_of_a_suspended_actor_do_not_pile_up(
    system: ActorSystem, autojump_clock: MockClock
) -> None:
    class Patient(Recorder):
        def on_start(self) -> None:
            self.set_idle_timeout(1)

    notes: list[Any] = []
    ref = system.spawn(Patient, notes)
    await suspend(ref)
    await trio.sleep(99.5)
    await resume(ref)
    await wait_all_tasks_blocked()

    assert notes == [IdleTimeout(1)]
    assert autojump_clock.current_time() < 100


async def test_a_dead_actor_cannot_be_suspended_or_resumed(system: ActorSystem) -> None:
    ref = system.spawn(Echo)
    await ref.stop(block=False)

    with pytest.raises(pykka.ActorDeadError):
        await suspend(ref)
    with pytest.raises(pykka.ActorDeadError):
        await resume(ref)


async def test_resuming_an_actor_that_is_not_suspended_does_nothing(system: ActorSystem) -> None:
    ref = system.spawn(Echo)

    await resume(ref)

    assert await ref.ask("still there", block=False) == "still there"
    assert not (await inspect(ref)).suspended


@pytest.mark.usefixtures("eager_thread_switches")
async def test_threads_that_suspend_and_resume_lose_no_mail(system: ActorSystem) -> None:
    notes: list[Any] = []
    ref = system.spawn(Recorder, notes)

    def disturb(number: int) -> None:
        for _ in range(50):
            suspend(ref)
            ref.tell(number)
            resume(ref)

    await run_in_threads(4, disturb)
    await resume(ref)
    await ref.stop(block=False)

    assert sorted(notes) == sorted([0, 1, 2, 3] * 50)


# --- tracing ----------------------------------------------------------------------------------------


class Sample(TrioActor):
    """Takes as long, and ends, as it is told."""

    async def wait(self, seconds: float) -> str:
        await trio.sleep(seconds)
        return "slept"

    def on_receive(self, message: Any) -> Any:
        match message:
            case int():
                return self.wait(message)
            case Exception():
                raise message
            case _:
                return message


async def test_a_trace_tells_of_each_message_how_long_it_took_and_how_it_ended(
    system: ActorSystem, autojump_clock: MockClock
) -> None:
    ref = system.spawn(Sample)
    entries: list[TraceEntry] = []
    error = ValueError("x")
    trace(ref, entries.append)

    ref.tell("told")
    await ref.ask("asked", block=False)
    assert await ref.ask(5, block=False) == "slept"
    with pytest.raises(ValueError, match="x"):
        await ref.ask(error, block=False)

    assert entries == [
        TraceEntry(ref, "told", 0.0, None),
        TraceEntry(ref, "asked", 0.0, None),
        TraceEntry(ref, 5, 5.0, None),
        TraceEntry(ref, error, 0.0, error),
    ]
    assert autojump_clock.current_time() == 5


async def test_a_trace_shows_a_handler_that_was_cancelled(system: ActorSystem) -> None:
    ref = system.spawn(Sample)
    entries: list[TraceEntry] = []
    trace(ref, entries.append)
    ref.tell(1000)
    await wait_all_tasks_blocked()

    ref.kill()
    await wait_all_tasks_blocked()

    (entry,) = entries
    assert (entry.message, type(entry.error)) == (1000, trio.Cancelled)


async def test_a_trace_shows_death_notices_and_timers(
    system: ActorSystem, autojump_clock: MockClock
) -> None:
    ref = system.spawn(Watching)
    other = system.spawn(Echo)
    entries: list[TraceEntry] = []

    def answer(_: Obedient) -> None:
        pass

    def prepare(actor: Obedient) -> None:
        actor.timers.start("key", 1, answer)
        actor.watch(other)

    await ref.ask(prepare, block=False)
    trace(ref, entries.append)
    await other.stop(block=False)
    await trio.sleep(2)

    assert [entry.message for entry in entries] == [Terminated(other, None), answer]
    assert autojump_clock.current_time() == 2


async def test_a_trace_ends_when_it_is_stopped(system: ActorSystem) -> None:
    ref = system.spawn(Echo)
    entries: list[TraceEntry] = []
    started = trace(ref, entries.append)
    await ref.ask("traced", block=False)

    started.stop()
    started.stop()
    await ref.ask("not traced", block=False)

    assert [entry.message for entry in entries] == ["traced"]
    assert ref.cell.handlers is Echo.handlers_by_type  # the same path as before the trace


async def test_several_traces_listen_independently(system: ActorSystem) -> None:
    ref = system.spawn(Echo)
    first: list[TraceEntry] = []
    second: list[TraceEntry] = []
    stopped, _ = trace(ref, first.append), trace(ref, second.append)
    await ref.ask(1, block=False)
    stopped.stop()
    await ref.ask(2, block=False)

    assert ([entry.message for entry in first], [entry.message for entry in second]) == ([1], [1, 2])


async def test_a_listener_that_fails_harms_nobody_and_does_not_flood_the_log(
    system: ActorSystem, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_: TraceEntry) -> None:
        raise SystemExit

    ref = system.spawn(Sample)
    trace(ref, fail)

    with caplog.at_level(logging.ERROR):
        assert [await ref.ask(message, block=False) for message in ("a", 0)] == ["a", "slept"]
        for number in range(50):
            assert await ref.ask(str(number), block=False) == str(number)
    assert [record.getMessage() for record in caplog.records] == ["a listener of a trace failed"] * 10


async def test_an_actor_may_be_the_listener(system: ActorSystem) -> None:
    notes: list[Any] = []
    ref, listener = system.spawn(Echo), system.spawn(Recorder, notes)
    trace(ref, listener.tell)

    await ref.ask("something", block=False)
    await wait_all_tasks_blocked()

    assert [entry.message for entry in notes] == ["something"]


async def test_a_trace_of_a_dead_actor_hears_nothing(system: ActorSystem) -> None:
    ref = system.spawn(Echo)
    await ref.stop(block=False)
    entries: list[TraceEntry] = []

    trace(ref, entries.append).stop()

    assert not entries


def test_a_thread_may_trace(system_thread: SystemThread) -> None:
    ref = system_thread.system.spawn(Echo)
    entries: list[TraceEntry] = []
    started = trace(ref, entries.append)
    ref.ask("traced")
    started.stop()
    ref.ask("not traced")

    assert [entry.message for entry in entries] == ["traced"]


async def test_a_traced_actor_shows_its_slices(system: ActorSystem) -> None:
    ref = system.spawn(Echo)
    trace(ref, list[TraceEntry]().append)
    for number in range(3):
        ref.tell(number)
    await wait_all_tasks_blocked()  # one slice for all that waits
    await ref.ask("one more", block=False)

    slices = (await inspect(ref)).slices

    assert slices is not None
    assert slices.count == 2
    assert slices.longest_seconds >= slices.last_seconds >= 0

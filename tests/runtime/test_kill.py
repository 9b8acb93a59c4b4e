"""`kill()` and `stop(drain=False)`: ending an actor now, whatever it is doing."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import pykka
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from runtime import (
    ActorKilledError,
    ActorRef,
    ActorSystem,
    Mailbox,
    SystemThread,
    Terminated,
    TrioActor,
    open_system,
)
from tests.runtime.samples import Echo, Obedient, Recorder, run_in_threads


class Witness(Recorder):
    """Watches an actor, and notes how that ended."""

    def __init__(self, notes: list[Any], ref: ActorRef[Any]) -> None:
        super().__init__(notes)
        self.ref = ref

    def on_start(self) -> None:
        self.watch(self.ref)


async def witness(system: ActorSystem, ref: ActorRef[Any]) -> list[Any]:
    """The list in which the end of the actor will be noted."""
    notes: list[Any] = []
    system.spawn(Witness, notes, ref)
    await wait_all_tasks_blocked()
    return notes


def was_killed(notes: list[Any], ref: ActorRef[Any]) -> bool:
    [notice] = notes
    assert isinstance(notice, Terminated)
    return notice.ref is ref and isinstance(notice.reason, ActorKilledError)


class Hanging(Recorder):
    """Hangs where it is told to, and notes its hooks."""

    def __init__(self, notes: list[Any], hang_in: str) -> None:
        super().__init__(notes)
        self.hang_in = hang_in

    async def pass_by(self, where: str) -> None:
        self.notes.append(where)
        if where == self.hang_in:
            await trio.sleep_forever()

    async def on_start(self) -> None:
        await self.pass_by("on_start")

    async def on_receive(self, message: Any) -> None:
        await self.pass_by("handler")
        if message == "fail":
            raise ValueError(message)

    async def on_stop(self) -> None:
        await self.pass_by("on_stop")

    async def on_failure(self, *_: Any) -> None:  # pyright: ignore[reportIncompatibleMethodOverride] - takes them all
        await self.pass_by("on_failure")


async def hang(_: TrioActor) -> None:
    await trio.sleep_forever()


@pytest.mark.parametrize(
    ("hang_in", "message", "expected"),
    [
        ("on_start", "go", ["on_start"]),
        ("handler", "go", ["on_start", "handler"]),
        ("on_stop", "go", ["on_start", "handler", "on_stop"]),
        ("on_failure", "fail", ["on_start", "handler", "on_failure"]),
    ],
)
async def test_a_kill_cancels_whatever_the_actor_waits_for(
    system: ActorSystem, hang_in: str, message: str, expected: list[str]
) -> None:
    notes: list[Any] = []
    ref = system.spawn(Hanging, notes, hang_in)
    ref.tell(message)
    stopped = ref.stop(block=False)
    await wait_all_tasks_blocked()
    assert not stopped.done

    ref.kill()
    await stopped

    assert notes == expected
    assert not ref.is_alive()


async def test_a_killed_actor_calls_no_hook_and_its_watchers_learn_why(system: ActorSystem) -> None:
    notes: list[Any] = []
    ref = system.spawn(Hanging, notes, "handler")
    ends = await witness(system, ref)
    ref.tell("go")
    await wait_all_tasks_blocked()

    ref.kill()
    await wait_all_tasks_blocked()

    assert notes == ["on_start", "handler"]
    assert was_killed(ends, ref)


async def test_an_idle_actor_is_killed_without_its_hooks(system: ActorSystem) -> None:
    notes: list[Any] = []
    ref = system.spawn(Hanging, notes, "nowhere")
    ends = await witness(system, ref)

    ref.kill()
    assert ref.is_alive()
    await wait_all_tasks_blocked()

    assert notes == ["on_start"]
    assert was_killed(ends, ref)


@pytest.mark.parametrize("hang_in", ["on_start", "nowhere"])
async def test_an_actor_killed_before_its_start_is_never_started(system: ActorSystem, hang_in: str) -> None:
    notes: list[Any] = []
    ref = system.spawn(Hanging, notes, hang_in)
    answer = ref.ask("go", block=False)

    ref.kill()
    ends = await witness(system, ref)

    assert notes == []
    assert was_killed(ends, ref)
    with pytest.raises(pykka.ActorDeadError):
        await answer


async def test_a_kill_overtakes_the_mail_which_is_answered_and_buried(system: ActorSystem) -> None:
    notes: list[Any] = []
    ref = system.spawn(Recorder, notes)
    await wait_all_tasks_blocked()
    for number in range(10):
        ref.tell(number)
    answer, stopped = ref.ask("late", block=False), ref.stop(block=False)

    ref.kill()
    await wait_all_tasks_blocked()

    assert notes == []
    assert system.dead_letters == 10
    with pytest.raises(pykka.ActorDeadError):
        await answer
    assert await stopped is True


async def test_a_kill_overtakes_a_stop_at_once(system: ActorSystem) -> None:
    notes: list[Any] = []
    ref = system.spawn(Hanging, notes, "on_stop")
    await wait_all_tasks_blocked()

    stopped = ref.stop(block=False, drain=False)
    ref.kill()
    await stopped

    assert notes == ["on_start"]


async def test_a_kill_overtakes_the_failure_of_a_task(system: ActorSystem) -> None:
    notes: list[Any] = []
    gate = trio.Event()

    class Doomed(Hanging):
        def on_receive(self, message: Any) -> Any:
            self.notes.append(message)
            self.spawn(self.fail)

        async def fail(self) -> None:
            await gate.wait()
            self.actor_ref.kill()
            raise ValueError

    ref = system.spawn(Doomed, notes, "on_failure")
    ref.tell("go")
    ends = await witness(system, ref)
    gate.set()
    await wait_all_tasks_blocked()

    assert notes == ["on_start", "go"]
    assert was_killed(ends, ref)


async def test_an_actor_that_kills_itself_in_a_handler_finishes_that_handler(system: ActorSystem) -> None:
    notes: list[Any] = []

    class Suicidal(Recorder):
        def on_receive(self, message: Any) -> Any:
            self.actor_ref.kill()
            self.notes.append(message)
            return message

    ref = system.spawn(Suicidal, notes)
    answer = ref.ask("first", block=False)
    ref.tell("second")

    assert await answer == "first"
    await wait_all_tasks_blocked()
    assert notes == ["first"]
    assert not ref.is_alive()


async def test_an_actor_that_kills_itself_and_then_waits_is_cancelled(system: ActorSystem) -> None:
    def kill_and_hang(actor: Obedient) -> Any:
        actor.actor_ref.kill()
        return hang(actor)

    async def kill_and_hang_slowly(actor: Obedient) -> None:
        actor.actor_ref.kill()
        await trio.sleep_forever()

    for function in (kill_and_hang, kill_and_hang_slowly):
        ref = system.spawn(Obedient)
        with pytest.raises(pykka.ActorDeadError):
            await ref.ask(function, block=False)
        await wait_all_tasks_blocked()
        assert not ref.is_alive()


async def test_an_actor_that_kills_itself_in_on_start_is_cancelled(system: ActorSystem) -> None:
    class Stillborn(Recorder):
        def on_start(self) -> Any:
            self.actor_ref.kill()
            return hang(self)

    ref = system.spawn(Stillborn, [])
    await wait_all_tasks_blocked()

    assert not ref.is_alive()


async def test_an_actor_that_kills_itself_in_on_stop_is_cancelled(system: ActorSystem) -> None:
    class Suicidal(Recorder):
        def on_stop(self) -> Any:
            self.actor_ref.kill()
            return hang(self)

    ref = system.spawn(Suicidal, [])

    assert await ref.stop(block=False) is True


async def test_the_asker_of_the_cancelled_handler_learns_that_the_actor_died(system: ActorSystem) -> None:
    ref = system.spawn(Obedient)
    answer = ref.ask(hang, block=False)
    await wait_all_tasks_blocked()

    ref.kill()

    with pytest.raises(pykka.ActorDeadError):
        await answer


async def test_a_deferred_reply_of_a_killed_actor_is_answered(system: ActorSystem) -> None:
    def defer(actor: Obedient) -> None:
        actor.defer()

    ref = system.spawn(Obedient)
    answer = ref.ask(defer, block=False)
    await wait_all_tasks_blocked()
    assert not answer.done

    ref.kill()

    with pytest.raises(pykka.ActorDeadError):
        await answer


async def test_a_handler_that_swallows_the_cancellation_once_still_answers_and_then_is_dead(
    system: ActorSystem,
) -> None:
    async def swallow(_: Obedient) -> str:
        with contextlib.suppress(trio.Cancelled):
            await trio.sleep_forever()
        return "swallowed"

    ref = system.spawn(Obedient)
    ends = await witness(system, ref)
    answer = ref.ask(swallow, block=False)
    await wait_all_tasks_blocked()

    ref.kill()

    assert await answer == "swallowed"
    await wait_all_tasks_blocked()
    assert was_killed(ends, ref)


async def test_a_handler_that_raises_when_it_is_cancelled_was_killed_all_the_same(
    system: ActorSystem,
) -> None:
    notes: list[Any] = []

    class Stubborn(Hanging):
        async def on_receive(self, message: Any) -> None:
            try:
                await trio.sleep_forever()
            except trio.Cancelled:
                raise ValueError(message) from None

    ref = system.spawn(Stubborn, notes, "nowhere")
    ends = await witness(system, ref)
    answer = ref.ask("asked", block=False)
    await wait_all_tasks_blocked()

    ref.kill()
    await wait_all_tasks_blocked()

    assert notes == ["on_start"]
    assert was_killed(ends, ref)
    with pytest.raises((pykka.ActorDeadError, ValueError)):
        await answer


async def test_an_on_start_that_swallows_the_cancellation_does_not_save_its_actor(
    system: ActorSystem,
) -> None:
    class Stubborn(Recorder):
        async def on_start(self) -> None:
            try:
                await trio.sleep_forever()
            except trio.Cancelled:
                self.notes.append("swallowed")

    notes: list[Any] = []
    ref = system.spawn(Stubborn, notes)
    ref.tell("never")
    ends = await witness(system, ref)

    ref.kill()
    await wait_all_tasks_blocked()

    assert notes == ["swallowed"]
    assert was_killed(ends, ref)


async def test_a_killed_actor_waits_for_the_cleanup_of_its_handler(
    system: ActorSystem, mock_clock: MockClock
) -> None:
    async def clean_up(_: Obedient) -> None:
        try:
            await trio.sleep_forever()
        finally:
            with trio.move_on_after(3, shield=True):
                await trio.sleep_forever()

    ref = system.spawn(Obedient)
    ref.tell(clean_up)
    ends = await witness(system, ref)

    ref.kill()
    await wait_all_tasks_blocked()
    assert ref.is_alive()
    mock_clock.jump(3)
    await wait_all_tasks_blocked()

    assert was_killed(ends, ref)


async def test_a_kill_ends_the_tasks_before_the_actor(system: ActorSystem) -> None:
    notes: list[Any] = []

    def start_task(actor: Obedient) -> None:
        actor.spawn(work)

    async def work() -> None:
        try:
            await trio.sleep_forever()
        finally:
            notes.append("task ended")

    ref = system.spawn(Obedient)
    ends = await witness(system, ref)
    for _ in range(3):
        ref.tell(start_task)
    await wait_all_tasks_blocked()

    ref.kill()
    await wait_all_tasks_blocked()

    assert notes == ["task ended"] * 3
    assert was_killed(ends, ref)


async def test_a_task_that_fails_while_it_is_killed_changes_nothing(system: ActorSystem) -> None:
    def start_task(actor: Obedient) -> None:
        actor.spawn(work)

    async def work() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise ValueError

    ref = system.spawn(Obedient)
    ref.tell(start_task)
    ends = await witness(system, ref)

    ref.kill()
    await wait_all_tasks_blocked()

    assert was_killed(ends, ref)


async def test_a_kill_kills_the_child_actors_too(system: ActorSystem) -> None:
    notes: list[Any] = []
    children: list[ActorRef[Any]] = []

    class Parent(Hanging):
        async def on_start(self) -> None:
            for _ in range(3):
                child = self.spawn_actor(Hanging, self.notes, "handler")
                child.tell("go")
                children.append(child)
            await super().on_start()

    ref = system.spawn(Parent, notes, "nowhere")
    await wait_all_tasks_blocked()
    child_ends = [await witness(system, child) for child in children]
    notes.clear()

    ref.kill()
    await wait_all_tasks_blocked()

    assert notes == []
    assert not ref.is_alive()
    assert all(was_killed(ends, child) for ends, child in zip(child_ends, children, strict=True))


async def test_a_kill_reaches_an_actor_that_waits_for_its_child_actors(
    system: ActorSystem, autojump_clock: MockClock
) -> None:
    class Parent(Obedient):
        shutdown_seconds = None

        def on_start(self) -> None:
            self.spawn_actor(Patient).tell(hang)

    class Patient(Obedient):
        shutdown_seconds = None

    ref = system.spawn(Parent)
    await wait_all_tasks_blocked()
    stopped = ref.stop(block=False)
    await trio.sleep(1000)
    assert not stopped.done
    before = autojump_clock.current_time()

    ref.kill()
    await stopped

    assert autojump_clock.current_time() == before


async def test_killing_twice_is_killing_once_and_the_dead_do_not_mind(system: ActorSystem) -> None:
    ref = system.spawn(Obedient)
    ends = await witness(system, ref)
    ref.tell(hang)
    await wait_all_tasks_blocked()

    ref.kill()
    ref.kill()
    await wait_all_tasks_blocked()
    ref.kill()
    await wait_all_tasks_blocked()

    assert was_killed(ends, ref)


async def test_killing_an_actor_that_has_stopped_leaves_its_reason_alone(system: ActorSystem) -> None:
    ref = system.spawn(Echo)
    await ref.stop(block=False)

    ref.kill()
    ends = await witness(system, ref)

    assert ends == [Terminated(ref, None)]


def test_a_thread_kills_an_actor(system_thread: SystemThread) -> None:
    ref = system_thread.system.spawn(Obedient)
    answer = ref.ask(hang, block=False)

    ref.kill()

    with pytest.raises(pykka.ActorDeadError):
        answer.get(timeout=10)
    assert ref.stop(timeout=10) is False


def test_killing_after_the_end_of_the_system_is_nothing(system_thread: SystemThread) -> None:
    ref = system_thread.system.spawn(Echo)
    system_thread.stop()

    ref.kill()
    assert ref.stop(drain=False) is False


@pytest.mark.usefixtures("eager_thread_switches")
async def test_threads_kill_and_stop_actors_at_any_moment_of_their_life(system: ActorSystem) -> None:
    """Whatever the moment, the actor dies, and everybody who asked is answered."""
    replies: list[Any] = []
    refs: list[ActorRef[Any]] = []

    def spawn_and_end(number: int) -> None:
        for turn in range(20):
            ref = system.spawn(Hanging, [], ("on_start", "handler", "on_stop", "nowhere")[turn % 4])
            refs.append(ref)
            replies.append(ref.ask("asked", block=False))
            if number % 2:
                replies.append(ref.stop(block=False, drain=turn % 3 == 0))
            ref.kill()
            replies.append(ref.stop(block=False))

    await run_in_threads(4, spawn_and_end)
    with trio.fail_after(20):
        for reply in replies:
            await reply.settled()
    await wait_all_tasks_blocked()

    assert not any(ref.is_alive() for ref in refs)


async def test_other_actors_are_not_touched_by_a_cancelled_worker(system: ActorSystem) -> None:
    """The task that ran the handler of a killed actor runs no other one's."""
    gate = trio.Event()

    async def wait(_: Obedient) -> str:
        await gate.wait()
        return "untouched"

    victims = [system.spawn(Obedient) for _ in range(20)]
    bystanders = [system.spawn(Obedient) for _ in range(20)]
    for victim in victims:
        victim.tell(hang)
    answers = [bystander.ask(wait, block=False) for bystander in bystanders]
    await wait_all_tasks_blocked()

    for victim in victims:
        victim.kill()
    await wait_all_tasks_blocked()
    answers += [system.spawn(Obedient).ask(wait, block=False) for _ in range(40)]
    await wait_all_tasks_blocked()
    gate.set()

    assert [await answer for answer in answers] == ["untouched"] * 60


async def test_kills_leave_no_tasks_and_no_cancellation_behind(autojump_clock: MockClock) -> None:
    before = trio.lowlevel.current_statistics().tasks_living
    async with open_system() as system:
        for hang_in in ("on_start", "handler", "on_stop", "on_failure"):
            ref = system.spawn(Hanging, [], hang_in)
            ref.tell("fail" if hang_in == "on_failure" else "go")
            ref.stop(block=False)
            await wait_all_tasks_blocked()
            ref.kill()
            await wait_all_tasks_blocked()
        await trio.sleep(1)
        assert await system.spawn(Echo).ask("alive", block=False) == "alive"
    assert trio.lowlevel.current_statistics().tasks_living == before
    assert autojump_clock.current_time() < 100


async def test_a_killed_actor_gives_its_name_back(system: ActorSystem) -> None:
    ref = system.spawn_named("fragile", Obedient)
    ref.tell(hang)
    await wait_all_tasks_blocked()

    ref.kill()
    await wait_all_tasks_blocked()

    assert system.find("fragile") is None
    system.spawn_named("fragile", Echo)


async def test_the_timers_of_a_killed_actor_ring_no_more(
    system: ActorSystem, autojump_clock: MockClock
) -> None:
    def start_timers(actor: Obedient) -> None:
        actor.timers.start("once", 5, ring)
        actor.timers.start_periodic("often", 1, ring)

    def ring(_: Obedient) -> None:
        rung.append(autojump_clock.current_time())

    rung: list[float] = []
    ref = system.spawn(Obedient)
    await ref.ask(start_timers, block=False)

    ref.kill()
    await trio.sleep(10)

    assert rung == []
    assert system.dead_letters == 0


# --- stop(drain=False) --------------------------------------------------------------------------------


async def test_a_stop_without_drain_leaves_the_mail_and_calls_on_stop(system: ActorSystem) -> None:
    notes: list[Any] = []

    class Polite(Recorder):
        def on_stop(self) -> None:
            self.notes.append("on_stop")

    ref = system.spawn(Polite, notes)
    await wait_all_tasks_blocked()
    ref.tell("never")
    answer = ref.ask("never", block=False)

    assert await ref.stop(block=False, drain=False) is True

    assert notes == ["on_stop"]
    assert system.dead_letters == 1
    with pytest.raises(pykka.ActorDeadError):
        await answer


async def test_a_stop_without_drain_lets_the_running_handler_finish(system: ActorSystem) -> None:
    gate = trio.Event()

    async def wait(_: Obedient) -> str:
        await gate.wait()
        return "finished"

    ref = system.spawn(Obedient)
    answer, second = ref.ask(wait, block=False), ref.ask(wait, block=False)
    await wait_all_tasks_blocked()
    stopped = ref.stop(block=False, drain=False)
    await wait_all_tasks_blocked()
    assert not stopped.done
    gate.set()

    assert await answer == "finished"
    assert await stopped is True
    with pytest.raises(pykka.ActorDeadError):
        await second


async def test_stops_of_every_kind_are_answered(system: ActorSystem) -> None:
    orders: list[Callable[[ActorRef[Any]], Any]] = [
        lambda ref: ref.stop(block=False),
        lambda ref: ref.stop(block=False, drain=False),
    ]
    for first in orders:
        for second in orders:
            ref = system.spawn(Hanging, [], "nowhere")
            replies = [first(ref), second(ref)]
            assert [await reply for reply in replies].count(True) >= 1
            assert await ref.stop(block=False, drain=False) is False


async def test_a_stop_without_drain_is_answered_by_an_actor_that_ends_already(system: ActorSystem) -> None:
    gate = trio.Event()

    class Slow(TrioActor):
        async def on_stop(self) -> None:
            await gate.wait()

    ref = system.spawn(Slow)
    first = ref.stop(block=False)
    await wait_all_tasks_blocked()
    second = ref.stop(block=False, drain=False)
    await wait_all_tasks_blocked()
    gate.set()

    assert await first is True
    with trio.fail_after(5):
        await second.settled()


async def test_a_full_mailbox_does_not_keep_from_stopping_or_killing(system: ActorSystem) -> None:
    class Small(Obedient):
        mailbox = Mailbox(1)

    for end in ("stop", "halt", "kill"):
        ref = system.spawn(Small)
        ref.tell(hang)
        await wait_all_tasks_blocked()
        ref.tell(hang)
        stopped = ref.stop(block=False, drain=end == "stop")
        await wait_all_tasks_blocked()
        ref.kill()
        await stopped.settled()
        assert not ref.is_alive()


def test_a_thread_stops_without_drain(system_thread: SystemThread) -> None:
    notes: list[Any] = []
    ref = system_thread.system.spawn(Recorder, notes)

    assert ref.stop(drain=False, timeout=10) is True
    assert ref.stop(drain=False, timeout=10) is False

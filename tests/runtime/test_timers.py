"""Timers: messages that an actor sends to itself later."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from runtime import ActorSystem, Mailbox, Timers, TrioActor, open_system
from runtime.supervision import ChildSpec, Supervisor
from tests.runtime.samples import Echo, Obedient


class Ticking(TrioActor):
    """Does with its timers what it is told, and notes when their messages come."""

    def __init__(self, notes: list[tuple[float, Any]]) -> None:
        super().__init__()
        self.notes = notes

    def on_receive(self, message: Any) -> Any:
        if callable(message):
            return message(self.timers)
        self.notes.append((trio.current_time(), message))
        return None


async def order(ref: Any, function: Callable[[Timers], Any]) -> Any:
    """Have an actor call the function with its timers, and return the result."""
    return await ref.ask(function, block=False)


async def test_a_timer_sends_its_message_once(system: ActorSystem, autojump_clock: MockClock) -> None:
    notes: list[Any] = []
    ref = system.spawn(Ticking, notes)

    await order(ref, lambda timers: timers.start("key", 5, "tick"))
    assert await order(ref, lambda timers: timers.is_active("key")) is True
    await trio.sleep(20)

    assert notes == [(5, "tick")]
    assert await order(ref, lambda timers: timers.is_active("key")) is False
    assert autojump_clock.current_time() == 20


async def test_a_periodic_timer_keeps_its_rate(system: ActorSystem, autojump_clock: MockClock) -> None:
    notes: list[Any] = []
    ref = system.spawn(Ticking, notes)

    await order(ref, lambda timers: timers.start_periodic("key", 2, "tick"))
    await trio.sleep(7)
    assert await order(ref, lambda timers: timers.cancel("key")) is True
    await trio.sleep(10)

    assert notes == [(2, "tick"), (4, "tick"), (6, "tick")]
    assert autojump_clock.current_time() == 17


async def test_a_slow_handler_gets_one_message_at_a_time_and_the_rate_holds(
    system: ActorSystem, autojump_clock: MockClock
) -> None:
    notes: list[float] = []

    class Slow(TrioActor):
        def on_start(self) -> None:
            self.timers.start_periodic("key", 1, "tick")

        async def on_receive(self, message: Any) -> None:  # noqa: ARG002 - pykka's signature
            notes.append(trio.current_time())
            if len(notes) == 1:
                await trio.sleep(4.5)

    system.spawn(Slow)
    await trio.sleep(8.25)

    # What became due while it slept comes once, and afterwards the timer is in step again.
    assert notes == [1, 5.5, 6, 7, 8]
    assert autojump_clock.current_time() == 8.25


async def test_starting_a_timer_again_replaces_it(system: ActorSystem, autojump_clock: MockClock) -> None:
    notes: list[Any] = []
    ref = system.spawn(Ticking, notes)

    def start_all(timers: Timers) -> None:
        timers.start("key", 1, "never")
        timers.start_periodic("key", 1, "never")
        timers.start("key", 3, "tick")
        timers.start("other", 2, "tock")

    await order(ref, start_all)
    await trio.sleep(10)

    assert notes == [(2, "tock"), (3, "tick")]
    assert autojump_clock.current_time() == 10


@pytest.mark.parametrize("kind", ["once", "periodic"])
@pytest.mark.parametrize("change", ["cancel", "replace"])
async def test_a_message_in_the_mail_is_not_delivered_after_its_timer_was_cancelled_or_replaced(
    system: ActorSystem, autojump_clock: MockClock, kind: str, change: str
) -> None:
    notes: list[Any] = []

    class Holding(TrioActor):
        async def on_receive(self, message: Any) -> None:
            if message != "begin":
                notes.append((trio.current_time(), message))
                return
            if kind == "once":
                self.timers.start("key", 1, "stale")
            else:
                self.timers.start_periodic("key", 1, "stale")
            await trio.sleep(5)  # its message lies in the mail by now
            if change == "cancel":
                assert self.timers.cancel("key") is True
                assert self.timers.cancel("key") is False
            else:
                self.timers.start("key", 2, "fresh")

    system.spawn(Holding).tell("begin")
    await trio.sleep(20)

    assert notes == ([] if change == "cancel" else [(7, "fresh")])
    assert system.dead_letters == 0
    assert autojump_clock.current_time() == 20


async def test_timers_due_at_the_same_moment_ring_in_the_order_they_were_started(
    system: ActorSystem, autojump_clock: MockClock
) -> None:
    notes: list[Any] = []
    ref = system.spawn(Ticking, notes)

    def start_all(timers: Timers) -> None:
        for number in (3, 1, 2):
            timers.start(number, 1, number)
        timers.start("at once", 0, "at once")

    await order(ref, start_all)
    await trio.sleep(2)

    assert notes == [(0, "at once"), (1, 3), (1, 1), (1, 2)]
    assert autojump_clock.current_time() == 2


async def test_a_timer_started_in_on_start_rings(system: ActorSystem, autojump_clock: MockClock) -> None:
    class Starting(Ticking):
        async def on_start(self) -> None:
            self.timers.start("key", 1, "tick")
            await trio.sleep(3)

    notes: list[Any] = []
    system.spawn(Starting, notes)
    await trio.sleep(5)

    assert notes == [(3, "tick")]
    assert autojump_clock.current_time() == 5


@pytest.mark.parametrize("end", ["stop", "kill", "fail"])
async def test_timers_end_with_their_actor(
    system: ActorSystem, autojump_clock: MockClock, end: str
) -> None:
    class Ending(Ticking):
        def on_stop(self) -> None:
            self.timers.start("late", 1, "late")
            self.timers.start_periodic("later", 1, "late")

        def on_failure(self, *_: Any) -> None:  # pyright: ignore[reportIncompatibleMethodOverride] - takes them all
            self.on_stop()

    def fail(_: Timers) -> None:
        raise SystemExit

    notes: list[Any] = []
    ref = system.spawn(Ending, notes)
    await order(ref, lambda timers: timers.start_periodic("key", 1, "tick"))

    match end:
        case "stop":
            await ref.stop(block=False)
        case "kill":
            ref.kill()
        case _:
            ref.tell(fail)
    await trio.sleep(10)

    assert not ref.is_alive()
    assert notes == []
    assert system.dead_letters == (1 if end == "fail" else 0)
    assert len(system.scheduler.alarms) == 0
    assert autojump_clock.current_time() == 10


async def test_a_restarted_actor_has_no_timer_of_its_former_life(
    system: ActorSystem, autojump_clock: MockClock
) -> None:
    notes: list[Any] = []

    class Restarting(Ticking):
        def on_start(self) -> None:
            self.notes.append((trio.current_time(), "started"))

        def on_receive(self, message: Any) -> Any:
            if message == "fail":
                self.timers.start_periodic("early", 1, "of the handler")
                self.set_idle_timeout(1)
                raise ValueError
            return super().on_receive(message)

        def on_failure(self, *_: Any) -> None:  # pyright: ignore[reportIncompatibleMethodOverride] - takes them all
            self.timers.start_periodic("late", 1, "of the last hook")
            self.set_idle_timeout(1)

    def make() -> Restarting:
        return Restarting(notes)

    supervisor = system.spawn(Supervisor, [ChildSpec("child", make)])
    await wait_all_tasks_blocked()
    [child] = [cell.ref for cell in supervisor.cell.belongings.child_actors or ()]
    assert child is not None
    child.tell("fail")
    await trio.sleep(10)

    assert notes == [(0, "started"), (0, "started")]
    assert autojump_clock.current_time() == 10


async def test_a_timer_takes_no_place_in_a_bounded_mailbox(
    system: ActorSystem, mock_clock: MockClock
) -> None:
    notes: list[Any] = []
    gate = trio.Event()

    class Small(TrioActor):
        mailbox = Mailbox(1)

        def on_start(self) -> None:
            for number in range(5):
                self.timers.start(number, 1, number)

        async def on_receive(self, message: Any) -> None:
            await gate.wait()
            notes.append(message)

    ref = system.spawn(Small)
    ref.tell("in hand")
    await wait_all_tasks_blocked()
    mock_clock.jump(1)
    await wait_all_tasks_blocked()
    ref.tell("in the mail")
    gate.set()
    await ref.stop(block=False)

    assert notes == ["in hand", *range(5), "in the mail"]


@pytest.mark.parametrize("seconds", [-1, -0.001, math.nan, math.inf, -math.inf])
async def test_a_timer_takes_no_impossible_time(system: ActorSystem, seconds: float) -> None:
    ref = system.spawn(Ticking, [])

    starts: list[Callable[[Timers], Any]] = [
        lambda timers: timers.start("key", seconds, "tick"),
        lambda timers: timers.start_periodic("key", seconds, "tick"),
    ]
    for start in starts:
        with pytest.raises(ValueError, match="seconds"):
            await order(ref, start)
    with pytest.raises(ValueError, match="more than 0"):
        await order(ref, lambda timers: timers.start_periodic("key", 0, "tick"))

    assert await order(ref, lambda timers: timers.is_active("key")) is False
    assert len(system.scheduler.alarms) == 0


async def test_a_failed_start_leaves_the_timer_that_was_there(
    system: ActorSystem, autojump_clock: MockClock
) -> None:
    notes: list[Any] = []
    ref = system.spawn(Ticking, notes)
    await order(ref, lambda timers: timers.start("key", 1, "tick"))

    with pytest.raises(ValueError, match="seconds"):
        await order(ref, lambda timers: timers.start("key", -1, "never"))
    await trio.sleep(5)

    assert notes == [(1, "tick")]
    assert autojump_clock.current_time() == 5


async def test_an_unhashable_key_starts_nothing(system: ActorSystem, autojump_clock: MockClock) -> None:
    notes: list[Any] = []
    ref = system.spawn(Ticking, notes)

    key: Any = []
    starts: list[Callable[[Timers], Any]] = [
        lambda timers: timers.start(key, 1, "never"),
        lambda timers: timers.start_periodic(key, 1, "never"),
    ]
    for start in starts:
        with pytest.raises(TypeError):
            await order(ref, start)
    await trio.sleep(5)

    assert ref.is_alive()
    assert notes == []
    assert len(system.scheduler.alarms) == 0
    assert autojump_clock.current_time() == 5


async def test_thousands_of_cancelled_timers_leave_nothing_behind(
    system: ActorSystem, autojump_clock: MockClock
) -> None:
    notes: list[Any] = []
    ref = system.spawn(Ticking, notes)

    def start_and_cancel(timers: Timers) -> None:
        timers.start("kept", 10, "tick")
        for number in range(20_000):
            timers.start("replaced", 1_000 + number, "never")
            timers.start(number, 1_000 + number, "never")
            timers.cancel(number)
        timers.cancel("replaced")

    await order(ref, start_and_cancel)

    assert len(system.scheduler.alarms) == 1
    assert len(system.scheduler.alarms._heap) < 200  # pyright: ignore[reportPrivateUsage] - no public way
    await trio.sleep(10_000)
    assert notes == [(10, "tick")]
    assert autojump_clock.current_time() == 10_000


async def test_an_earlier_timer_rings_before_one_that_was_set_before(
    system: ActorSystem, autojump_clock: MockClock
) -> None:
    notes: list[Any] = []
    first, second = system.spawn(Ticking, notes), system.spawn(Ticking, notes)
    await order(first, lambda timers: timers.start("key", 100, "late"))
    await wait_all_tasks_blocked()
    await order(second, lambda timers: timers.start("key", 1, "early"))

    await trio.sleep(200)

    assert notes == [(1, "early"), (100, "late")]
    assert autojump_clock.current_time() == 200


async def test_thousands_of_actors_with_timers_need_no_task_of_their_own(
    system: ActorSystem, autojump_clock: MockClock
) -> None:
    notes: list[Any] = []
    before = trio.lowlevel.current_statistics().tasks_living
    refs = [system.spawn(Ticking, notes) for _ in range(2_000)]

    def start_timer(timers: Timers) -> None:
        timers.start("key", 1 + len(seconds) % 7, "tick")
        seconds.append(1 + len(seconds) % 7)

    seconds: list[int] = []
    for ref in refs:
        ref.tell(start_timer)
    await wait_all_tasks_blocked()

    assert trio.lowlevel.current_statistics().tasks_living == before
    await trio.sleep(10)
    assert [when for when, _ in notes] == sorted(seconds)
    assert len(notes) == 2_000
    assert autojump_clock.current_time() == 10


async def test_a_child_task_may_start_the_timers_of_its_actor(
    system: ActorSystem, autojump_clock: MockClock
) -> None:
    def start_later(actor: Obedient) -> None:
        async def work() -> None:
            await trio.sleep(1)
            actor.timers.start("key", 1, note)

        actor.spawn(work)

    def note(_: Obedient) -> None:
        notes.append(trio.current_time())

    notes: list[float] = []
    system.spawn(Obedient).tell(start_later)
    await trio.sleep(5)

    assert notes == [2]
    assert autojump_clock.current_time() == 5


async def test_a_system_with_timers_stops_without_waiting_for_them(autojump_clock: MockClock) -> None:
    async with open_system() as system:
        ref = system.spawn(Ticking, [])
        await order(ref, lambda timers: timers.start_periodic("key", 60, "tick"))
        assert await system.spawn(Echo).ask("alive", block=False) == "alive"

    assert autojump_clock.current_time() == 0


class Fickle:
    """A key that refuses to be hashed once it is in use."""

    def __init__(self) -> None:
        self.hashable = True

    def __hash__(self) -> int:
        if not self.hashable:
            raise RuntimeError("no longer")
        return 1


async def test_an_actor_ends_with_a_timer_whose_key_cannot_be_hashed_any_more(
    system: ActorSystem, autojump_clock: MockClock
) -> None:
    notes: list[Any] = []
    ref = system.spawn(Ticking, notes)
    key = Fickle()
    await order(ref, lambda timers: timers.start(key, 5, "tick"))

    key.hashable = False
    await ref.stop(block=False)
    await trio.sleep(10)

    assert notes == []
    assert len(system.scheduler.alarms) == 0
    assert autojump_clock.current_time() == 10


async def test_no_alarm_is_set_at_a_time_that_is_no_number(system: ActorSystem) -> None:
    with pytest.raises(ValueError, match="not NaN"):
        system.scheduler.alarms.set(math.nan, lambda: None)

    assert len(system.scheduler.alarms) == 0

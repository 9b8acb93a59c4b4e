"""Whoever holds the scheduler's thread is named, while it holds it."""

from __future__ import annotations

import concurrent.futures
import logging
import signal
import threading
from collections.abc import Callable, Generator
from typing import Any, TypeVar

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from runtime import ActorSystem, SchedulerHeld, TrioActor, handles, open_system, start_system
from runtime.watchdog import Activity, Hold, Holds, Watchdog
from tests.runtime.samples import Echo

T = TypeVar("T")

LIMIT_SECONDS = 0.01
SAFETY_SECONDS = 30


class Reports(logging.Handler):
    """The watchdog's lines in the log. Code that holds the thread can wait for one."""

    def __init__(self) -> None:
        super().__init__()
        self.fields: list[dict[str, Any]] = []
        self.reported = threading.Event()
        self.awaited = 1

    def emit(self, record: logging.LogRecord) -> None:
        # On a loaded machine anything may hold the thread for a moment.
        if "hold_until_reported" in record.__dict__.get("stack", ""):
            self.fields.append({"text": record.getMessage(), **record.__dict__})
            if len(self.fields) >= self.awaited:
                self.reported.set()

    def hold_until_reported(self) -> bool:
        """Hold the thread; False if nobody reported it."""
        return self.reported.wait(SAFETY_SECONDS)


@pytest.fixture
def reports() -> Generator[Reports, None, None]:
    log = logging.getLogger("greenroom.runtime")
    reports = Reports()
    log.addHandler(reports)
    yield reports
    log.removeHandler(reports)


def watchdogs() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "greenroom-watchdog"]


class Order:
    """A message of a type of its own."""

    def __init__(self, function: Callable[[], object]) -> None:
        self.function = function


class Worker(TrioActor):
    """Executes an order where the test wants it."""

    @handles(Order)
    def execute(self, order: Order) -> object:
        return order.function()

    @handles(tuple)
    async def execute_elsewhere(self, message: tuple[str, Order]) -> object:
        where, order = message
        if where == "async":
            await trio.lowlevel.checkpoint()
            return order.function()
        done = trio.Event()
        results: list[object] = []

        async def execute() -> None:
            await trio.lowlevel.checkpoint()
            results.append(order.function())
            done.set()

        async def open_nursery() -> None:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(execute)

        self.spawn(execute if where == "child task" else open_nursery)
        await done.wait()
        return results[0]


async def test_a_handler_is_named_while_it_holds_the_thread(reports: Reports) -> None:
    async with open_system(handler_limit_seconds=LIMIT_SECONDS) as system:
        ref = system.spawn_named("worker", Worker)

        assert await ref.ask(Order(reports.hold_until_reported), block=False) is True

    report = reports.fields[0]
    assert report["text"] == "worker, handling Order, holds the scheduler's thread"
    assert (report["actor"], report["message_type"]) == ("worker", "Order")
    assert "hold_until_reported" in report["stack"]
    assert "_run_slice" not in report["stack"]


@pytest.mark.parametrize("where", ["async", "child task", "nursery"])
async def test_the_actor_of_an_async_handler_or_task_is_named(reports: Reports, where: str) -> None:
    async with open_system(handler_limit_seconds=LIMIT_SECONDS) as system:
        ref = system.spawn(Worker)

        assert await ref.ask((where, Order(reports.hold_until_reported)), block=False) is True

        report = reports.fields[0]
        assert (report["actor"], report["message_type"]) == (f"Worker ({ref.actor_urn})", "tuple")


async def test_a_hook_is_named_without_a_message(reports: Reports) -> None:
    class Slow(TrioActor):
        def on_start(self) -> None:
            reports.hold_until_reported()

    async with open_system(handler_limit_seconds=LIMIT_SECONDS) as system:
        await system.spawn_named("slow", Slow).stop(block=False)

    report = reports.fields[0]
    assert (report["actor"], report["message_type"]) == ("slow", None)


async def test_a_task_of_the_host_that_blocks_is_reported_as_such(reports: Reports) -> None:
    async def block() -> None:
        assert reports.hold_until_reported()

    async with open_system(handler_limit_seconds=LIMIT_SECONDS) as system:
        held = await next_hold(system, lambda nursery: nursery.start_soon(block, name="the host's"))

    report = reports.fields[0]
    assert report["text"] == "code outside of actors, in the host's, holds the scheduler's thread"
    assert (report["actor"], report["task_name"]) == (None, "the host's")
    assert (held.ref, held.message_type, held.task_name) == (None, None, "the host's")


async def next_hold(system: ActorSystem, cause: Callable[[trio.Nursery], object]) -> SchedulerHeld:
    """The next event of the watchdog; `cause` has the thread held."""
    send, receive = trio.open_memory_channel[SchedulerHeld](10)

    def on_event(event: SchedulerHeld) -> None:
        if "hold_until_reported" in event.stack:
            send.send_nowait(event)

    system.events.subscribe(on_event, SchedulerHeld)
    with trio.fail_after(SAFETY_SECONDS):
        async with trio.open_nursery() as nursery:
            cause(nursery)
            return await receive.receive()


async def test_an_event_follows_when_the_thread_is_free_again(reports: Reports) -> None:
    async with open_system(handler_limit_seconds=LIMIT_SECONDS) as system:
        ref = system.spawn(Worker)

        held = await next_hold(system, lambda _: ref.tell(Order(reports.hold_until_reported)))

    assert (held.ref, held.message_type) == (ref, Order)
    assert held.seconds >= LIMIT_SECONDS
    assert "hold_until_reported" in held.stack


async def test_a_hold_is_logged_again_when_its_time_has_doubled(reports: Reports) -> None:
    reports.awaited = 3
    async with open_system(handler_limit_seconds=LIMIT_SECONDS) as system:
        await system.spawn(Worker).ask(Order(reports.hold_until_reported), block=False)

    first, second, third = (report["seconds"] for report in reports.fields[:3])
    assert third > second > first


async def test_a_handler_in_another_system_on_the_thread_is_for_its_own_watchdog() -> None:
    async with open_system(handler_limit_seconds=None) as system, open_system() as other:
        watchdog = Watchdog(system.scheduler, limit_seconds=SAFETY_SECONDS)

        def see() -> Activity | None:
            return run_in_thread(watchdog.see)

        seen = await system.spawn_named("mine", Worker).ask(Order(see), block=False)
        seen_elsewhere = await other.spawn_named("theirs", Worker).ask(Order(see), block=False)
        watchdog.stop()

    assert seen.actor == "mine"
    assert seen_elsewhere is None


def run_in_thread(function: Callable[[], T]) -> T:
    with concurrent.futures.ThreadPoolExecutor() as executor:
        return executor.submit(function).result()


def test_a_system_in_a_thread_is_watched_as_well(reports: Reports) -> None:
    with start_system(handler_limit_seconds=LIMIT_SECONDS) as thread:
        ref = thread.system.spawn(Worker)

        assert ref.ask(Order(reports.hold_until_reported), timeout=SAFETY_SECONDS) is True


# --- the thread -------------------------------------------------------------------------------------


async def test_the_watchdog_ends_with_its_system() -> None:
    async with open_system():
        assert len(watchdogs()) == 1

    assert not watchdogs()


async def test_the_watchdog_ends_when_the_host_is_cancelled() -> None:
    with trio.CancelScope() as scope:
        async with open_system() as system:
            system.spawn(Echo)
            scope.cancel()
            await trio.lowlevel.checkpoint()

    assert not watchdogs()


def test_the_watchdog_ends_after_a_ctrl_c() -> None:
    async def main() -> None:
        async with open_system():
            signal.raise_signal(signal.SIGINT)
            await trio.sleep(SAFETY_SECONDS)

    with pytest.raises(KeyboardInterrupt):
        trio.run(main)
    assert not watchdogs()


async def test_the_watchdog_ends_while_it_is_about_to_report() -> None:
    for _ in range(20):
        async with open_system(handler_limit_seconds=0.0001) as system:
            await system.spawn(Echo).ask("anything", block=False)

    assert not watchdogs()


async def test_without_a_limit_there_is_no_watchdog() -> None:
    async with open_system(handler_limit_seconds=None):
        assert not watchdogs()


async def test_a_limit_must_be_more_than_zero() -> None:
    with pytest.raises(ValueError, match="not more than 0"):
        async with open_system(handler_limit_seconds=0):
            pass


# --- beside trio's own instruments ------------------------------------------------------------------


async def test_heartbeats_leave_a_mock_clock_alone(autojump_clock: MockClock, reports: Reports) -> None:
    async with open_system(handler_limit_seconds=0.002) as system:
        ref = system.spawn(Worker)
        assert await ref.ask(Order(reports.hold_until_reported), block=False) is True  # hearts do beat
        assert autojump_clock.current_time() == 0

        for _ in range(500):
            await trio.sleep(1)
            await wait_all_tasks_blocked()

        assert autojump_clock.current_time() == 500


# --- what is a hold ---------------------------------------------------------------------------------


def activity(key: object) -> Activity:
    return Activity((key,), "actor", None, None, "runtime.dispatcher", "")


def test_a_hold_is_reported_at_the_limit_and_each_time_it_has_doubled() -> None:
    holds = Holds(1.0)
    holds.begin(100.0)

    reported = [
        now for now in (100.25 + step / 4 for step in range(40)) if holds.look(now, activity("a"))[0]
    ]

    assert reported == [101.0, 102.0, 104.0, 108.0]
    assert holds.end(110.25) == Hold(activity("a"), 10.25)


def test_what_ends_before_the_limit_is_no_hold_also_when_the_heartbeat_is_late() -> None:
    holds = Holds(1.0)
    holds.begin(0.0)

    seen = [holds.look(step / 4, activity(step // 3)) for step in range(1, 40)]

    assert seen == [(None, None)] * 39
    assert holds.end(10.0) is None


def test_a_hold_that_another_follows_has_ended() -> None:
    holds = Holds(1.0)
    holds.begin(0.0)
    for step in range(1, 5):
        holds.look(step / 4, activity("a"))

    assert holds.look(1.25, activity("b")) == (None, Hold(activity("a"), 1.0))
    assert holds.look(1.75, activity("b")) == (None, None)
    assert holds.look(2.0, activity("b")) == (Hold(activity("b"), 1.0), None)


def test_time_in_which_nobody_could_look_does_not_count() -> None:
    holds = Holds(1.0)
    holds.begin(0.0)
    holds.look(0.25, activity("a"))

    assert holds.look(60.25, activity("a")) == (None, None)
    assert holds.look(60.75, activity("a")) == (Hold(activity("a"), 1.0), None)


def test_a_thread_that_does_nothing_holds_nobody_up() -> None:
    holds = Holds(1.0)
    holds.begin(0.0)

    assert [holds.look(step / 4, None) for step in range(1, 40)] == [(None, None)] * 39

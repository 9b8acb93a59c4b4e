"""The idle timeout: an actor learns that nobody has needed it for a while."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from runtime import ActorRef, ActorSystem, IdleTimeout, TrioActor, handles, resume, suspend
from runtime.supervision import ChildSpec, FindChild, Supervisor
from tests.runtime.samples import Echo


class Dozing(TrioActor):
    """Notes its idle timeouts, and does what else it is told."""

    def __init__(self, notes: list[float], seconds: float | None = 10) -> None:
        super().__init__()
        self.notes = notes
        self.seconds = seconds

    def on_start(self) -> None:
        self.set_idle_timeout(self.seconds)

    @handles(IdleTimeout)
    def doze(self, timeout: IdleTimeout) -> None:
        assert timeout.seconds > 0
        self.notes.append(trio.current_time())

    def on_receive(self, message: Any) -> Any:
        return message(self) if callable(message) else message


async def set_timeout(ref: ActorRef[Any], seconds: float | None) -> None:
    """Have an actor set its idle timeout."""

    def obey(actor: Dozing) -> None:
        actor.set_idle_timeout(seconds)

    await ref.ask(obey, block=False)


async def test_an_actor_that_gets_no_message_is_told_again_and_again(
    system: ActorSystem, autojump_clock: MockClock
) -> None:
    notes: list[float] = []
    system.spawn(Dozing, notes)

    await trio.sleep(35)

    assert notes == [10, 20, 30]
    assert autojump_clock.current_time() == 35


@pytest.mark.parametrize("kind", ["tell", "ask", "proxy", "send"])
async def test_every_message_begins_the_time_anew(
    system: ActorSystem, autojump_clock: MockClock, kind: str
) -> None:
    notes: list[float] = []
    ref = system.spawn(Dozing, notes)

    for _ in range(4):
        await trio.sleep(6)
        match kind:
            case "tell":
                ref.tell("message")
            case "ask":
                await ref.ask("message", block=False)
            case "proxy":
                ref.proxy().on_receive("message")
            case _:
                await ref.send("message")
    await trio.sleep(11)

    assert notes == [34]
    assert autojump_clock.current_time() == 35


async def test_messages_of_timers_count(system: ActorSystem, autojump_clock: MockClock) -> None:
    def start_timer(actor: Dozing) -> None:
        actor.timers.start_periodic("key", 6, "tick")

    notes: list[float] = []
    system.spawn(Dozing, notes).tell(start_timer)
    await trio.sleep(50)

    assert notes == []
    assert autojump_clock.current_time() == 50


async def test_an_async_handler_at_work_is_not_idle(system: ActorSystem, autojump_clock: MockClock) -> None:
    async def work(_: Dozing) -> None:
        await trio.sleep(25)

    notes: list[float] = []
    ref = system.spawn(Dozing, notes)
    ref.tell(work)
    await trio.sleep(24)
    assert notes == []

    await trio.sleep(15)
    assert len(notes) == 1
    assert notes[0] >= 25
    assert autojump_clock.current_time() == 39


async def test_the_timeout_is_changed_and_ended_at_any_time(
    system: ActorSystem, autojump_clock: MockClock
) -> None:
    notes: list[float] = []
    ref = system.spawn(Dozing, notes)

    await trio.sleep(5)
    await set_timeout(ref, 2)
    await trio.sleep(5)
    await set_timeout(ref, None)
    await set_timeout(ref, None)
    await trio.sleep(50)

    assert notes == [7, 9]
    assert len(system.scheduler.alarms) == 0
    assert autojump_clock.current_time() == 60


@pytest.mark.parametrize("seconds", [0, -1, math.nan])
async def test_an_impossible_timeout_is_refused_and_the_old_one_stays(
    system: ActorSystem, autojump_clock: MockClock, seconds: float
) -> None:
    notes: list[float] = []
    ref = system.spawn(Dozing, notes)

    with pytest.raises(ValueError, match="more than 0"):
        await set_timeout(ref, seconds)
    await trio.sleep(15)

    assert notes == [10]
    assert autojump_clock.current_time() == 15


async def test_an_actor_may_stop_itself_when_it_is_idle(
    system: ActorSystem, autojump_clock: MockClock
) -> None:
    class Temporary(Dozing):
        @handles(IdleTimeout)
        def doze(self, timeout: IdleTimeout) -> None:
            super().doze(timeout)
            self.stop()

    notes: list[float] = []
    refs = [system.spawn(Temporary, notes) for _ in range(100)]
    await trio.sleep(5)
    refs[0].tell("stay")
    await trio.sleep(6)

    assert [ref.is_alive() for ref in refs] == [True] + [False] * 99
    await trio.sleep(10)
    assert not refs[0].is_alive()
    assert notes == [10] * 99 + [15]
    assert len(system.scheduler.alarms) == 0
    assert autojump_clock.current_time() == 21


@pytest.mark.parametrize("end", ["stop", "kill"])
async def test_the_timeout_ends_with_the_actor(
    system: ActorSystem, autojump_clock: MockClock, end: str
) -> None:
    class Restless(Dozing):
        def on_stop(self) -> None:
            self.set_idle_timeout(1)

    notes: list[float] = []
    ref = system.spawn(Restless, notes)
    await wait_all_tasks_blocked()
    if end == "stop":
        await ref.stop(block=False)
    else:
        ref.kill()
    await trio.sleep(50)

    assert notes == []
    assert system.dead_letters == 0
    assert len(system.scheduler.alarms) == 0
    assert autojump_clock.current_time() == 50


async def test_an_actor_without_a_handler_of_its_own_gets_the_timeout_in_on_receive(
    system: ActorSystem, autojump_clock: MockClock
) -> None:
    notes: list[Any] = []

    class Plain(TrioActor):
        def on_start(self) -> None:
            self.set_idle_timeout(3)

        def on_receive(self, message: Any) -> None:
            notes.append(message)

    system.spawn(Plain)
    await trio.sleep(4)

    assert notes == [IdleTimeout(3)]
    assert autojump_clock.current_time() == 4


async def test_an_actor_that_never_asked_for_it_is_never_told(
    system: ActorSystem, autojump_clock: MockClock
) -> None:
    ref = system.spawn(Echo)
    await trio.sleep(1_000)

    assert await ref.ask("alive", block=False) == "alive"
    assert len(system.scheduler.alarms) == 0
    assert autojump_clock.current_time() == 1_000


def end_timeout(actor: Dozing) -> None:
    actor.set_idle_timeout(None)


def begin_anew(actor: Dozing) -> None:
    actor.set_idle_timeout(10)


@pytest.mark.parametrize("change", [end_timeout, begin_anew])
async def test_a_timeout_in_the_mail_is_not_delivered_after_a_change(
    system: ActorSystem, autojump_clock: MockClock, change: Callable[[Dozing], None]
) -> None:
    async def change_later(actor: Dozing) -> None:
        await trio.sleep(15)
        change(actor)

    def begin(actor: Dozing) -> None:
        actor.spawn(change_later, actor)

    notes: list[float] = []
    ref = system.spawn(Dozing, notes)
    await ref.ask(begin, block=False)
    await suspend(ref)
    await trio.sleep(16)
    await resume(ref)
    await trio.sleep(3)

    assert notes == []
    assert autojump_clock.current_time() == 19


async def test_a_timeout_of_a_former_life_is_not_delivered(
    system: ActorSystem, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail_later() -> None:
        await trio.sleep(15)
        raise ValueError

    def begin(actor: Dozing) -> None:
        actor.spawn(fail_later)

    caplog.set_level(logging.CRITICAL, logger="pykka")
    notes: list[float] = []
    supervisor = system.spawn(Supervisor, [ChildSpec("child", partial(Dozing, notes))])
    ref = await supervisor.ask(FindChild("child"), block=False)
    await ref.ask(begin, block=False)
    await suspend(ref)
    await trio.sleep(20)
    await resume(ref)
    await trio.sleep(4)
    assert notes == []

    await trio.sleep(10)
    assert len(notes) == 1
    assert system.statistics().restarts == 1
    assert autojump_clock.current_time() == 34


async def test_a_timeout_that_nobody_handles_any_more_is_no_dead_letter(
    system: ActorSystem, autojump_clock: MockClock
) -> None:
    ref = system.spawn(Dozing, [])
    await suspend(ref)
    await trio.sleep(11)

    ref.kill()
    await trio.sleep(1)

    assert not ref.is_alive()
    assert system.dead_letters == 0
    assert autojump_clock.current_time() == 12

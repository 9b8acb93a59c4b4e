"""The probe, and the clock in the test's hand."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pykka
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from runtime import ActorSystem, IdleTimeout, SystemThread, Terminated, TrioActor, open_system
from runtime.supervision import Backoff, ChildSpec, FindChild, Supervisor
from runtime.testing import ManualClock, Probe
from tests.runtime.samples import Echo, Obedient, Recorder


@pytest.fixture
def manual_clock() -> ManualClock:
    return ManualClock()


# --- the probe ----------------------------------------------------------------------------------------


async def test_a_probe_takes_messages_by_value_and_by_type_in_their_order(system: ActorSystem) -> None:
    probe = Probe(system)

    for message in ("one", 2, None, 3.0):
        probe.ref.tell(message)

    assert await probe.expect("one") == "one"
    assert await probe.expect(int) == 2
    assert await probe.expect(None) is None
    assert await probe.expect(3.0) == 3.0
    assert probe.received == ("one", 2, None, 3.0)


async def test_a_probe_waits_for_what_is_still_to_come(
    system: ActorSystem, autojump_clock: MockClock
) -> None:
    probe = Probe(system)

    async def tell_later(actor: Obedient) -> None:
        await trio.sleep(2)
        actor.send(probe.ref, "late")

    system.spawn(Obedient).tell(tell_later)

    assert await probe.expect("late") == "late"
    assert autojump_clock.current_time() == 2


async def test_a_probe_says_what_it_expected_and_that_nothing_came(
    system: ActorSystem, autojump_clock: MockClock
) -> None:
    probe = Probe(system)
    probe.ref.tell("before")
    await probe.expect(str)

    with pytest.raises(
        AssertionError, match=r"^expected an instance of int within 5 s, nothing came; before .*'before'"
    ):
        await probe.expect(int, within=5)

    assert autojump_clock.current_time() == 5


async def test_a_probe_says_what_it_expected_and_what_came(system: ActorSystem) -> None:
    probe = Probe(system)
    probe.ref.tell("something else")

    with pytest.raises(AssertionError, match=r"^expected 42, got 'something else'$"):
        await probe.expect(42)
    probe.ref.tell(42)
    await probe.expect(42)


async def test_a_probe_sees_that_nothing_comes(system: ActorSystem, autojump_clock: MockClock) -> None:
    probe = Probe(system)

    await probe.expect_no_message(for_seconds=7)
    assert autojump_clock.current_time() == 7

    probe.ref.tell("surprise")
    with pytest.raises(AssertionError, match="expected no message for 7 s, got 'surprise'"):
        await probe.expect_no_message(for_seconds=7)


def is_three(message: object) -> bool:
    return message == 3


@pytest.mark.parametrize("wanted", [int, is_three], ids=["type", "condition"])
async def test_a_probe_fishes_for_a_message(
    system: ActorSystem, wanted: type[Any] | Callable[[Any], bool]
) -> None:
    probe = Probe(system)
    for message in ("one", "two", 3, "four"):
        probe.ref.tell(message)

    assert await probe.fish_for(wanted) == 3
    assert await probe.expect(str) == "four"


async def test_a_probe_that_catches_nothing_says_what_it_threw_back(
    system: ActorSystem, autojump_clock: MockClock
) -> None:
    probe = Probe(system)

    async def drip(actor: Obedient) -> None:
        for number in range(4):
            actor.send(probe.ref, number)
            await trio.sleep(1)

    system.spawn(Obedient).tell(drip)

    with pytest.raises(AssertionError, match=r"fished for an instance of str for 2.5 s, got \[0, 1, 2\]"):
        await probe.fish_for(str, within=2.5)
    assert autojump_clock.current_time() == 2.5


async def test_a_probe_answers_what_it_was_asked(system: ActorSystem) -> None:
    probe = Probe(system)
    first, second = probe.ref.ask("first", block=False), probe.ref.ask("second", block=False)

    await probe.expect("first")
    probe.reply(1)
    await probe.expect("second")
    probe.reply_error(ValueError("no"))

    assert await first == 1
    with pytest.raises(ValueError, match="no"):
        await second


async def test_a_probe_has_nobody_to_answer_who_told_it_or_was_answered(system: ActorSystem) -> None:
    probe = Probe(system)
    probe.ref.tell("told")
    await probe.expect("told")

    with pytest.raises(AssertionError, match="waits for no answer"):
        probe.reply(1)


async def test_whoever_asked_a_probe_in_vain_learns_of_its_end(system: ActorSystem) -> None:
    probe = Probe(system)
    reply = probe.ref.ask("well?", block=False)
    await probe.expect("well?")

    await probe.ref.stop(block=False)

    with pytest.raises(pykka.ActorDeadError):
        await reply


async def test_a_probe_watches(system: ActorSystem) -> None:
    probe, ref, other = Probe(system), system.spawn(Echo), system.spawn(Echo)
    probe.watch(ref)
    probe.watch(other)
    probe.unwatch(other)

    other.stop(block=False)
    ref.stop(block=False)

    assert await probe.expect_terminated(ref) == Terminated(ref, None)
    await wait_all_tasks_blocked()
    assert len(probe.received) == 1


async def test_a_probe_says_whose_end_it_saw_instead(system: ActorSystem) -> None:
    probe, ref, other = Probe(system), system.spawn(Echo), system.spawn(Echo)
    probe.watch(other)
    other.stop(block=False)

    with pytest.raises(AssertionError, match=r"expected Terminated of Echo .*, got Terminated"):
        await probe.expect_terminated(ref)


async def test_a_probe_may_have_a_name(system: ActorSystem) -> None:
    probe = Probe(system, name="registry")

    assert system.find("registry") is probe.ref


async def test_a_probe_belongs_into_the_run_of_its_system(system_thread: SystemThread) -> None:
    with pytest.raises(RuntimeError, match="another one"):
        Probe(system_thread.system)


# --- the clock ----------------------------------------------------------------------------------------


class Ticking(TrioActor):
    def __init__(self, notes: list[tuple[str, float]]) -> None:
        super().__init__()
        self.notes = notes

    def on_start(self) -> None:
        self.timers.start_periodic("tick", 1.0, "tick")
        self.timers.start("once", 2.5, "once")
        self.set_idle_timeout(10.0)

    def on_receive(self, message: Any) -> None:
        self.notes.append((message, trio.current_time()))
        if len(self.notes) == 4:
            self.timers.cancel("tick")


async def test_timers_and_idle_timeouts_follow_the_clock(manual_clock: ManualClock) -> None:
    notes: list[tuple[Any, float]] = []
    async with open_system() as system:
        system.spawn(Ticking, notes)

        await manual_clock.advance(0.9)
        assert notes == []
        await manual_clock.advance(2.2)
        assert notes == [("tick", 1.0), ("tick", 2.0), ("once", 2.5), ("tick", 3.0)]
        await manual_clock.advance(100)

    assert notes[4] == (IdleTimeout(10.0), 13.0)


async def test_the_backoff_of_a_supervisor_follows_the_clock(manual_clock: ManualClock) -> None:
    starts: list[float] = []

    class Fragile(Obedient):
        def on_start(self) -> None:
            starts.append(trio.current_time())

    async with open_system() as system:
        spec = ChildSpec("fragile", Fragile)
        supervisor = system.spawn(Supervisor, [spec], backoff=Backoff(30.0))
        fragile = await supervisor.ask(FindChild("fragile"), block=False)
        fragile.tell(None)  # nothing that can be called

        await manual_clock.advance(29)
        assert starts == [0.0]
        await manual_clock.advance(1)
        assert starts == [0.0, 30.0]


async def test_an_advance_returns_when_all_that_it_set_off_is_done(manual_clock: ManualClock) -> None:
    notes: list[Any] = []

    async def chain(actor: Obedient) -> None:
        await trio.sleep(1)
        for number in range(100):
            await trio.lowlevel.checkpoint()
            actor.send(recorder, number)

    async with open_system() as system:
        recorder = system.spawn(Recorder, notes)
        system.spawn(Obedient).tell(chain)
        await manual_clock.advance(1)

        assert notes == list(range(100))


async def hang(_: Obedient) -> None:
    await trio.sleep_forever()


async def test_the_shutdown_budget_follows_the_clock(manual_clock: ManualClock) -> None:
    async with trio.open_nursery() as nursery:

        async def host() -> None:
            async with open_system(shutdown_budget_seconds=8) as system:
                system.spawn(Obedient).tell(hang)

        nursery.start_soon(host)
        await wait_all_tasks_blocked()
        await manual_clock.advance(7.9)
        assert nursery.child_tasks
        await manual_clock.advance(0.2)
        assert not nursery.child_tasks


async def test_time_does_not_go_back(manual_clock: ManualClock) -> None:
    await manual_clock.advance(0)

    with pytest.raises(ValueError, match="0 or more seconds"):
        await manual_clock.advance(-1)


def test_the_example_of_the_readme_passes() -> None:
    readme = (Path(__file__).parents[2] / "runtime" / "faults" / "README.md").read_text(encoding="utf-8")
    example = re.search(r"^```python test_greeter.py\n(.*?)^```$", readme, flags=re.DOTALL | re.MULTILINE)
    assert example is not None
    names: dict[str, Any] = {"__name__": "test_greeter"}

    exec(example[1], names)  # noqa: S102 - our own example

    tests = [names[name] for name in names if name.startswith("test_")]
    assert len(tests) == 2
    for test in tests:
        test()

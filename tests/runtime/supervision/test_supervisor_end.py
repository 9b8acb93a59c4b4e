"""How children are ended, and how a supervisor ends: in order, in time, and with nothing left."""

from __future__ import annotations

import gc
import logging
import weakref
from collections.abc import Callable
from typing import Any, ClassVar

import pykka
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from runtime import ActorKilledError, ActorRef, ActorSystem, Reply, TrioActor, open_system
from runtime.supervision import (
    AutoShutdown,
    Backoff,
    ChildSpec,
    ChildStartError,
    FindChild,
    Intensity,
    Restart,
    RestartChild,
    Shutdown,
    StartChild,
    Strategy,
    Supervisor,
    TerminateChild,
)
from tests.runtime.supervision.family import (
    PATIENT,
    Child,
    Diary,
    Family,
    child_of,
    fail,
    hang,
    order,
    pass_time,
)


@pytest.fixture
def diary() -> Diary:
    return Diary()


# --- in which time ------------------------------------------------------------------------------------


async def clean_up_for_two_seconds(_: Child) -> None:
    try:
        await trio.sleep_forever()
    finally:
        with trio.CancelScope(shield=True):
            await trio.sleep(2)


def hang_in_a_handler(_: Diary, ref: ActorRef[Any]) -> None:
    ref.tell(hang)


def hang_in_on_stop(diary: Diary, _: ActorRef[Any]) -> None:
    diary.plan("b", "on_stop", hang)


def hang_in_a_task(_: Diary, ref: ActorRef[Any]) -> None:
    order(ref, lambda child: child.spawn(clean_up_for_two_seconds, child))


def hang_nowhere(_: Diary, ref: ActorRef[Any]) -> None:
    ref.tell("hello")


async def terminate(family: Family) -> None:
    await family.ask(TerminateChild("b"))


async def restart_all(family: Family) -> None:
    family.children["a"].tell(fail)


async def stop_the_supervisor(family: Family) -> None:
    assert await family.supervisor.stop(block=False) is True


async def escalate(family: Family) -> None:
    family.children["z"].tell(fail)


ENDS = [terminate, restart_all, stop_the_supervisor, escalate]


@pytest.mark.parametrize("end", ENDS, ids=lambda end: end.__name__)
@pytest.mark.parametrize(
    ("shutdown", "hang_somewhere", "seconds", "note"),
    [
        (3.0, hang_in_a_handler, 3, ""),
        (3.0, hang_in_on_stop, 3, "b stops"),
        (3.0, hang_in_a_task, 2, "b stops"),
        (1.0, hang_in_a_task, 2, ""),
        (3.0, hang_nowhere, 0, "b stops"),
        (0, hang_in_a_handler, 0, ""),
        (0, hang_nowhere, 0, ""),
        (Shutdown.KILL, hang_in_a_handler, 0, ""),
        (Shutdown.KILL, hang_in_a_task, 2, ""),
        (Shutdown.KILL, hang_nowhere, 0, ""),
        (Shutdown.NO_LIMIT, hang_in_a_task, 2, "b stops"),
        (Shutdown.NO_LIMIT, hang_nowhere, 0, "b stops"),
    ],
)
async def test_a_child_ends_in_the_time_that_its_spec_allows(
    autojump_clock: MockClock,
    system: ActorSystem,
    diary: Diary,
    shutdown: float | Shutdown,
    hang_somewhere: Callable[[Diary, ActorRef[Any]], None],
    seconds: int,
    note: str,
    end: Any,
) -> None:
    family = await Family.start(
        system,
        diary,
        diary.spec("a"),
        diary.spec("b", Restart.TEMPORARY, shutdown=shutdown),
        diary.spec("z"),
        strategy=Strategy.ONE_FOR_ALL,
        intensity=Intensity(0 if end is escalate else 1),
    )
    b = family.children["b"]
    hang_somewhere(diary, b)
    await wait_all_tasks_blocked()
    began = autojump_clock.current_time()
    ended: list[float] = []

    async def wait_for_the_end() -> None:
        while b.is_alive():
            await pass_time(autojump_clock, 0.125)
        ended.append(autojump_clock.current_time() - began)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait_for_the_end)
        await end(family)

    assert ended[0] == pytest.approx(seconds, abs=0.25)
    assert [text for text in diary.read().split(", ") if text.startswith("b")] == ([note] if note else [])
    killed = note == "" or hang_somewhere is hang_in_on_stop
    assert isinstance(family.reason_of_end(b), ActorKilledError if killed else type(None))
    assert family.supervisor.is_alive() is (end in (terminate, restart_all))


async def test_no_limit_waits_as_long_as_it_takes(
    autojump_clock: MockClock, system: ActorSystem, diary: Diary
) -> None:
    gate = trio.Event()
    family = await Family.start(system, diary, diary.spec("a"), diary.spec("b", shutdown=Shutdown.NO_LIMIT))
    order(family.children["b"], lambda _: gate.wait())
    stopped = family.supervisor.stop(block=False)

    await pass_time(autojump_clock, 100_000)
    assert diary.read() == ""
    gate.set()

    assert await stopped is True
    assert diary.read() == "b stops, a stops"


class Hurried(Child):
    shutdown_seconds: ClassVar[float | None] = 1.0


async def test_a_child_without_a_limit_of_its_own_ends_in_the_time_that_its_class_allows(
    autojump_clock: MockClock, system: ActorSystem, diary: Diary
) -> None:
    hurried = ChildSpec("b", lambda: Hurried(diary, "b"), Restart.TEMPORARY)
    family = await Family.start(system, diary, diary.spec("a"), hurried)
    order(family.children["b"], hang)
    await wait_all_tasks_blocked()
    began = autojump_clock.current_time()

    await family.ask(TerminateChild("b"))

    assert autojump_clock.current_time() == began + 1.0
    assert isinstance(family.reason_of_end(family.children["b"]), ActorKilledError)


async def test_a_nested_supervisor_has_as_long_to_end_as_its_children_take(
    autojump_clock: MockClock, system: ActorSystem, diary: Diary
) -> None:
    gate = trio.Event()
    deep = diary.spec("deep", shutdown=Shutdown.NO_LIMIT)
    family = await Family.start(system, diary, ChildSpec("inner", lambda: Supervisor([deep])))
    child = await child_of(family.children["inner"], "deep")
    assert child is not None
    order(child, lambda _: gate.wait())
    stopped = family.supervisor.stop(block=False)

    await pass_time(autojump_clock, 100_000)
    assert diary.read() == ""
    gate.set()

    assert await stopped is True
    assert diary.read() == "deep stops"
    assert family.reason_of_end(family.children["inner"]) is None


async def test_a_killed_supervisor_kills_its_children_and_their_children(
    autojump_clock: MockClock, system: ActorSystem, diary: Diary
) -> None:
    inner = ChildSpec("inner", lambda: Supervisor([diary.spec("deep", shutdown=Shutdown.NO_LIMIT)]))
    family = await Family.start(system, diary, diary.spec("a"), diary.spec("b"), inner)
    supervisor = family.children["inner"]
    deep = await child_of(supervisor, "deep")
    assert deep is not None
    family.mourn(deep)
    for ref in (deep, family.children["b"]):
        ref.tell(hang)
    await wait_all_tasks_blocked()
    began = autojump_clock.current_time()

    family.supervisor.kill()
    await wait_all_tasks_blocked()

    assert autojump_clock.current_time() == began
    assert diary.read() == ""
    assert len(family.ends) == 5
    assert all(isinstance(end.reason, ActorKilledError) for end in family.ends)
    assert [end.ref for end in family.ends][-1] is family.supervisor


# --- in which order -----------------------------------------------------------------------------------


async def test_a_child_started_anew_keeps_its_place_in_the_order_of_stopping(
    system: ActorSystem, diary: Diary
) -> None:
    specs = [diary.spec(name, Restart.TRANSIENT) for name in "abcd"]
    family = await Family.start(system, diary, *specs)
    await family.children["b"].stop(block=False)
    assert await family.ask(RestartChild("b")) is not family.children["b"]
    await family.children["a"].stop(block=False)
    diary.read()

    await family.supervisor.stop(block=False)

    assert diary.read() == "d stops, c stops, b stops"


async def test_children_end_before_their_supervisor_and_the_last_hook_comes_last(
    system: ActorSystem, diary: Diary
) -> None:
    class Noting(Supervisor):
        def on_stop(self) -> None:
            diary.notes.append("the supervisor stops")

    supervisor = system.spawn(Noting, [diary.spec("a"), diary.spec("b")])
    await wait_all_tasks_blocked()
    diary.read()

    assert await supervisor.stop(block=False) is True

    assert diary.read() == "b stops, a stops, the supervisor stops"


# --- at which moment ----------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["stop", "stop at once", "kill", "system"])
@pytest.mark.parametrize("moment", ["starting", "restarting", "halting a group", "backoff", "adding"])
async def test_a_supervisor_may_be_ended_at_any_moment(
    autojump_clock: MockClock, diary: Diary, moment: str, how: str
) -> None:
    async with open_system() as system:
        if moment == "starting":
            diary.plan("b", "on_start", hang)
        specs = [diary.spec(name, shutdown=3.0) for name in "abc"]
        supervisor = system.spawn(
            Supervisor,
            specs,
            strategy=Strategy.ONE_FOR_ALL,
            intensity=PATIENT,
            backoff=Backoff(first_seconds=30 if moment == "backoff" else 0),
        )
        mourned = Family(system, diary, supervisor)
        mourned.mourn(supervisor)
        await wait_all_tasks_blocked()
        refs = [ref for name in "abc" if (ref := await child_of(supervisor, name)) is not None]
        for ref in refs:
            mourned.mourn(ref)
        waiting: list[Reply[Any]] = []
        match moment:
            case "restarting":
                diary.plan("b", "on_start", hang)
                refs[2].tell(fail)
            case "halting a group":
                refs[0].tell(hang)
                refs[2].tell(fail)
            case "backoff":
                refs[1].tell(fail)
            case "adding":
                diary.plan("z", "on_start", hang)
                waiting.append(supervisor.ask(StartChild(diary.spec("z", shutdown=3.0)), block=False))
                await wait_all_tasks_blocked()
                refs.append(await supervisor.ask(FindChild("z"), block=False))
                mourned.mourn(refs[-1])
            case _:
                pass
        waiting += [ref.ask("waiting", block=False) for ref in refs]
        await wait_all_tasks_blocked()
        diary.read()

        began = autojump_clock.current_time()
        match how:
            case "stop":
                assert await supervisor.stop(block=False) is True
            case "stop at once":
                assert await supervisor.stop(block=False, drain=False) is True
            case "kill":
                supervisor.kill()
            case _:
                await system.stop()
        if how != "system":
            await wait_all_tasks_blocked()
            assert len(mourned.ends) == len(refs) + 1
            assert [end.ref for end in mourned.ends][-1] is supervisor
            assert [end.ref for end in mourned.ends][:-1] == refs[::-1]
        assert autojump_clock.current_time() - began < 3.5
        assert not supervisor.is_alive()
        assert not any(ref.is_alive() for ref in refs)
        for reply in waiting:
            await reply.settled()
        notes = diary.read()
        assert "starts" not in notes
        if how == "kill":
            assert notes == ""


@pytest.mark.parametrize("how", ["stop", "kill"])
async def test_a_child_may_end_its_supervisor(system: ActorSystem, diary: Diary, how: str) -> None:
    family = await Family.start(system, diary, *[diary.spec(name) for name in "abc"])

    def end_the_supervisor(_: Child) -> None:
        if how == "kill":
            family.supervisor.kill()
        else:
            family.supervisor.stop(block=False)

    family.children["b"].tell(end_the_supervisor)

    assert await family.settled() == ("" if how == "kill" else "c stops, b stops, a stops")
    assert len(family.ends) == 4


async def test_the_end_of_a_system_restarts_nobody_and_ends_a_deep_tree_youngest_first(
    diary: Diary,
) -> None:
    def level(depth: int) -> ChildSpec:
        def make() -> TrioActor:
            below = [level(depth - 1)] if depth else []
            return Supervisor([diary.spec(f"a{depth}"), *below, diary.spec(f"z{depth}")])

        return ChildSpec(f"level {depth}", make, shutdown=Shutdown.NO_LIMIT)

    async with open_system() as system:
        system.spawn(Supervisor, [level(40)])
        await wait_all_tasks_blocked()
        assert len(diary.notes) == 82
        diary.read()
        await system.stop()

    expected = [f"z{depth} stops" for depth in range(40, -1, -1)] + [
        f"a{depth} stops" for depth in range(41)
    ]
    assert diary.read() == ", ".join(expected)


async def test_a_system_whose_supervisor_hangs_is_cut_off_and_nobody_comes_back(
    autojump_clock: MockClock, diary: Diary
) -> None:
    async with open_system(shutdown_budget_seconds=4.0) as system:
        supervisor = system.spawn(
            Supervisor, [diary.spec("a"), diary.spec("b", shutdown=Shutdown.NO_LIMIT)], intensity=PATIENT
        )
        await wait_all_tasks_blocked()
        b = await child_of(supervisor, "b")
        assert b is not None
        asked = b.ask(hang, block=False)
        waiting = b.ask("waiting", block=False)
        await wait_all_tasks_blocked()
        diary.read()
        began = autojump_clock.current_time()
        await system.stop()

    assert autojump_clock.current_time() - began == pytest.approx(4)
    assert "starts" not in diary.read()
    for reply in (asked, waiting):
        with pytest.raises(pykka.ActorDeadError):
            await reply


# --- the end that children bring about ----------------------------------------------------------------


async def test_significant_children_end_their_supervisor_in_order(
    system: ActorSystem, diary: Diary
) -> None:
    def inner() -> Supervisor:
        significant = diary.spec("b", Restart.TRANSIENT, significant=True)
        return Supervisor(
            [diary.spec("a"), significant, diary.spec("c")], auto_shutdown=AutoShutdown.ANY_SIGNIFICANT
        )

    nested = ChildSpec("inner", inner, Restart.TRANSIENT)
    family = await Family.start(system, diary, nested, diary.spec("z"))
    supervisor = family.children["inner"]
    b = await child_of(supervisor, "b")
    assert b is not None

    b.tell(fail)
    assert await family.settled() == "b fails, b starts"
    assert await b.stop(block=False) is True

    assert await family.settled() == "b stops, c stops, a stops"
    assert family.reason_of_end(supervisor) is None
    assert await child_of(family.supervisor, "inner") is None
    assert family.children["z"].is_alive()


async def test_an_automatic_shutdown_waits_for_all_significant_children(
    system: ActorSystem, diary: Diary
) -> None:
    specs = [diary.spec(name, Restart.TEMPORARY, significant=name != "c") for name in "abc"]
    family = await Family.start(system, diary, *specs, auto_shutdown=AutoShutdown.ALL_SIGNIFICANT)

    family.children["a"].tell(fail)
    assert await family.settled() == "a fails"
    await family.children["b"].stop(block=False)

    assert await family.settled() == "b stops, c stops"
    assert family.reason_of_end(family.supervisor) is None


async def test_a_supervisor_that_fails_in_its_start_tells_its_own_supervisor_why(
    system: ActorSystem, diary: Diary
) -> None:
    diary.plan("deep", "on_start", fail, None)
    inner = ChildSpec("inner", lambda: Supervisor([diary.spec("deep")]), Restart.TRANSIENT)
    family = await Family.start(system, diary, diary.spec("a"))

    with pytest.raises(ChildStartError) as raised:
        await family.ask(StartChild(inner))

    assert isinstance(raised.value.__cause__, ChildStartError)
    assert await family.ask(StartChild(inner)) is await child_of(family.supervisor, "inner")


# --- and nothing is left ------------------------------------------------------------------------------


async def test_ten_thousand_restarts_leave_nothing_behind(
    system: ActorSystem, diary: Diary, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, logger="pykka")  # records would keep the traceback, and it the actor
    lives: weakref.WeakSet[Any] = weakref.WeakSet()

    class Mortal(TrioActor):
        def __init__(self) -> None:
            super().__init__()
            lives.add(self)

        def on_receive(self, message: Any) -> Any:
            if message == "fail":
                self.timers.start("key", 1000, "never")
                raise ValueError
            return message

    family = await Family.start(
        system,
        diary,
        ChildSpec("a", Mortal),
        ChildSpec("b", Mortal),
        strategy=Strategy.ONE_FOR_ALL,
        intensity=Intensity(1_000_000, 1e-9),
    )

    async def restart(times: int) -> None:
        for _ in range(times):
            for ref in family.children.values():
                ref.tell("fail")
        for ref in family.children.values():
            assert await ref.ask("up", block=False) == "up"

    async def come_and_go(times: int) -> None:
        for _ in range(times):
            await family.ask(StartChild(ChildSpec("z", Mortal, Restart.TEMPORARY)))
            await family.ask(TerminateChild("z"))

    async def objects_left_by(times: int) -> int:
        await restart(5 * times)
        await come_and_go(times)
        gc.collect()
        return len(gc.get_objects())

    before = await objects_left_by(20)
    after = await objects_left_by(1_000)

    assert len(lives) == 2
    assert after - before < 1_000
    assert len(system.scheduler.alarms) == 0

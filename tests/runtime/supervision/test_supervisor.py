"""Supervision on real actors: who comes back, as whom, with which mail, and who hears of it."""

from __future__ import annotations

import contextvars
from collections.abc import Awaitable, Callable
from typing import Any

import pykka
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from runtime import (
    ActorKilledError,
    ActorRef,
    ActorSystem,
    IdleTimeout,
    Mailbox,
    MailboxFullError,
    Overflow,
    Terminated,
    TrioActor,
)
from runtime.events import ActorFailed, ActorRestarted, DeadLetter
from runtime.supervision import (
    Backoff,
    ChildSpec,
    ChildStartError,
    CountChildren,
    FindChild,
    Intensity,
    Restart,
    RestartIntensityError,
    Strategy,
    Supervisor,
    WhichChildren,
)
from tests.runtime.samples import Echo, run_in_threads
from tests.runtime.supervision.effort import count_lines
from tests.runtime.supervision.family import (
    PATIENT,
    Child,
    Diary,
    Family,
    child_of,
    fail,
    fail_slowly,
    hang,
    leave_a_scope_open,
    order,
    pass_time,
)
from tests.runtime.supervision.play import BoomError


@pytest.fixture
def diary() -> Diary:
    return Diary()


def exit_process(_: Child) -> None:
    raise SystemExit("by a tool")


# --- the matrix: restart type x strategy x how it ended -----------------------------------------------


async def an_exception_when_told(_: Diary, ref: ActorRef[Any]) -> None:
    ref.tell(fail)


async def an_exception_when_asked(_: Diary, ref: ActorRef[Any]) -> None:
    with pytest.raises(BoomError):
        await ref.ask(fail, block=False)


async def an_exception_in_an_async_handler(_: Diary, ref: ActorRef[Any]) -> None:
    ref.tell(fail_slowly)


async def a_base_exception_when_told(_: Diary, ref: ActorRef[Any]) -> None:
    ref.tell(exit_process)


async def a_base_exception_when_asked(_: Diary, ref: ActorRef[Any]) -> None:
    with pytest.raises(pykka.ActorDeadError) as raised:
        await ref.ask(exit_process, block=False)
    assert isinstance(raised.value.__cause__, SystemExit)


async def an_exception_at_a_message_of_a_timer(_: Diary, ref: ActorRef[Any]) -> None:
    order(ref, lambda child: child.timers.start("key", 0, fail))


async def an_exception_in_a_task(_: Diary, ref: ActorRef[Any]) -> None:
    order(ref, lambda child: child.spawn(fail_slowly, child))


async def a_scope_left_open(_: Diary, ref: ActorRef[Any]) -> None:
    ref.tell(leave_a_scope_open)


async def an_exception_and_a_scope_left_open(_: Diary, ref: ActorRef[Any]) -> None:
    def do_both(child: Child) -> None:
        leave_a_scope_open(child)
        fail(child)

    ref.tell(do_both)


async def an_exception_in_on_failure_too(diary: Diary, ref: ActorRef[Any]) -> None:
    diary.plan("b", "on_failure", fail_slowly)
    ref.tell(fail)


async def an_exception_in_on_stop(diary: Diary, ref: ActorRef[Any]) -> None:
    diary.plan("b", "on_stop", fail)
    assert await ref.stop(block=False) is True


async def an_exception_in_an_async_on_stop(diary: Diary, ref: ActorRef[Any]) -> None:
    diary.plan("b", "on_stop", fail_slowly)
    assert await ref.stop(block=False) is True


async def a_kill(_: Diary, ref: ActorRef[Any]) -> None:
    ref.kill()


async def a_kill_in_an_async_handler(_: Diary, ref: ActorRef[Any]) -> None:
    ref.tell(hang)
    await wait_all_tasks_blocked()
    ref.kill()


async def a_stop(_: Diary, ref: ActorRef[Any]) -> None:
    assert await ref.stop(block=False) is True


async def a_stop_at_once(_: Diary, ref: ActorRef[Any]) -> None:
    assert await ref.stop(block=False, drain=False) is True


async def a_stop_by_itself(_: Diary, ref: ActorRef[Any]) -> None:
    order(ref, lambda child: child.stop())


End = Callable[[Diary, ActorRef[Any]], Awaitable[None]]

ENDS: dict[End, tuple[type[BaseException] | None, str]] = {
    an_exception_when_told: (BoomError, "b fails"),
    an_exception_when_asked: (BoomError, "b fails"),
    an_exception_in_an_async_handler: (BoomError, "b fails"),
    a_base_exception_when_told: (SystemExit, "b fails"),
    a_base_exception_when_asked: (SystemExit, "b fails"),
    an_exception_at_a_message_of_a_timer: (BoomError, "b fails"),
    an_exception_in_a_task: (BoomError, "b fails"),
    a_scope_left_open: (RuntimeError, "b fails"),
    an_exception_and_a_scope_left_open: (BoomError, "b fails"),
    an_exception_in_on_failure_too: (BoomError, "b fails"),
    an_exception_in_on_stop: (BoomError, "b stops"),
    an_exception_in_an_async_on_stop: (BoomError, "b stops"),
    a_kill: (ActorKilledError, ""),
    a_kill_in_an_async_handler: (ActorKilledError, ""),
    a_stop: (None, "b stops"),
    a_stop_at_once: (None, "b stops"),
    a_stop_by_itself: (None, "b stops"),
}
"""Ways in which `b` ends, why it did then, and which hook of it was called."""

RESTART_OF_B = {
    Strategy.ONE_FOR_ONE: "b starts",
    Strategy.ONE_FOR_ALL: "c stops, a stops, a starts, b starts, c starts",
    Strategy.REST_FOR_ONE: "c stops, b starts, c starts",
}

SECOND_LIVES = {
    Strategy.ONE_FOR_ONE: "b",
    Strategy.ONE_FOR_ALL: "abc",
    Strategy.REST_FOR_ONE: "bc",
}


def comes_back(restart: Restart, reason: type[BaseException] | None) -> bool:
    return restart is Restart.PERMANENT or (restart is Restart.TRANSIENT and reason is not None)


@pytest.mark.parametrize("end", ENDS, ids=lambda end: end.__name__)
@pytest.mark.parametrize("strategy", Strategy)
@pytest.mark.parametrize("restart", Restart)
async def test_what_follows_from_the_end_of_a_child(
    system: ActorSystem, diary: Diary, restart: Restart, strategy: Strategy, end: End
) -> None:
    specs = diary.spec("a"), diary.spec("b", restart), diary.spec("c")
    family = await Family.start(system, diary, *specs, strategy=strategy)
    b = family.children["b"]
    reason, hook = ENDS[end]

    await end(diary, b)
    noted = await family.settled()

    if comes_back(restart, reason):
        assert noted == ", ".join(filter(None, [hook, RESTART_OF_B[strategy]]))
        assert family.ends == []
        for name, ref in family.children.items():
            assert await child_of(family.supervisor, name) is ref
            life = 2 if name in SECOND_LIVES[strategy] else 1
            assert await ref.ask("hello", block=False) == (life, "hello")
    else:
        assert noted == hook
        assert await family.ask(FindChild("b")) is None
        told = family.reason_of_end(b)
        assert told is None if reason is None else isinstance(told, reason)
        assert not b.is_alive()
        assert [await family.children[name].ask("hi", block=False) for name in "ac"] == [(1, "hi")] * 2


# --- the start ----------------------------------------------------------------------------------------


async def test_children_start_one_after_the_other(system: ActorSystem, diary: Diary) -> None:
    gate = trio.Event()
    diary.plan("a", "on_start", lambda _: gate.wait())
    system.spawn(Supervisor, [diary.spec("a"), diary.spec("b")])

    await wait_all_tasks_blocked()
    assert diary.read() == "a starts"
    gate.set()
    await wait_all_tasks_blocked()
    assert diary.read() == "b starts"


async def kill_yourself(child: Child) -> None:
    child.actor_ref.kill()
    await trio.sleep_forever()


@pytest.mark.parametrize(
    ("where", "trouble", "cause"),
    [
        ("init", fail, BoomError),
        ("init", exit_process, SystemExit),
        ("on_start", fail, BoomError),
        ("on_start", fail_slowly, BoomError),
        ("on_start", exit_process, SystemExit),
        ("on_start", kill_yourself, ActorKilledError),
    ],
)
async def test_a_child_that_cannot_start_fails_the_supervisor_and_the_elder_end(
    system: ActorSystem, diary: Diary, where: str, trouble: Any, cause: type[BaseException]
) -> None:
    diary.plan("b", where, trouble)
    family = Family(system, diary, system.spawn(Supervisor, [diary.spec(name) for name in "abc"]))
    family.mourn(family.supervisor)

    noted = await family.settled()

    if where == "init":
        assert noted == "a starts, a stops"
    else:
        assert noted == "a starts, b starts, a stops"
    reason = family.reason_of_end(family.supervisor)
    assert isinstance(reason, ChildStartError)
    assert isinstance(reason.__cause__, cause)
    assert diary.lives["c"] == 0
    assert await system.spawn(Echo).ask("still there", block=False) == "still there"


async def test_a_factory_that_gives_no_new_actor_cannot_start_a_child(system: ActorSystem) -> None:
    running = Echo()
    system.adopt(running._cell)  # pyright: ignore[reportPrivateUsage] - as spawn does with its own

    def boom() -> TrioActor:
        raise BoomError

    for factory, cause, says in (
        (lambda: None, TypeError, "None, not a new TrioActor"),
        (lambda: running.actor_ref, TypeError, "not a new TrioActor"),
        (lambda: running, TypeError, "runs already"),
        (boom, BoomError, ""),
    ):
        diary = Diary()
        spec = ChildSpec("odd", factory)  # pyright: ignore[reportArgumentType] - that is the point
        family = Family(system, diary, system.spawn(Supervisor, [diary.spec("a"), spec]))
        family.mourn(family.supervisor)
        assert await family.settled() == "a starts, a stops"
        reason = family.reason_of_end(family.supervisor)
        assert reason is not None
        assert isinstance(reason.__cause__, cause)
        assert says in str(reason.__cause__)


async def test_a_nested_supervisor_has_started_when_its_children_have(
    system: ActorSystem, diary: Diary
) -> None:
    gate = trio.Event()
    diary.plan("inner", "on_start", lambda _: gate.wait())
    inner = ChildSpec("supervisor", lambda: Supervisor([diary.spec("inner")]))
    system.spawn(Supervisor, [inner, diary.spec("after")])

    await wait_all_tasks_blocked()
    assert diary.read() == "inner starts"
    gate.set()
    await wait_all_tasks_blocked()
    assert diary.read() == "after starts"


async def test_a_nested_supervisor_has_started_although_a_child_has_failed_again_already(
    system: ActorSystem, diary: Diary
) -> None:
    gate = trio.Event()
    diary.plan("a", "on_start", None, hang)
    diary.plan("b", "on_start", lambda _: gate.wait())
    inner = ChildSpec("inner", lambda: Supervisor([diary.spec("a"), diary.spec("b")]))
    family = Family(system, diary, system.spawn(Supervisor, [inner, diary.spec("after")]))
    await wait_all_tasks_blocked()
    supervisor = await child_of(family.supervisor, "inner")
    assert supervisor is not None
    a = await child_of(supervisor, "a")
    assert a is not None

    a.kill()
    gate.set()

    assert await family.settled() == "a starts, b starts, a starts, after starts"
    a.kill()  # it hangs


async def lines_to_start(children: int, system: ActorSystem) -> int:
    with count_lines() as effort:
        supervisor = system.spawn(Supervisor, [ChildSpec(str(number), Echo) for number in range(children)])
        await wait_all_tasks_blocked()
    assert (await supervisor.ask(CountChildren(), block=False)).active == children
    return effort.lines


async def test_the_effort_of_a_start_grows_with_the_number_of_children_only(system: ActorSystem) -> None:
    assert await lines_to_start(600, system) < 5 * await lines_to_start(150, system)


async def test_a_supervisor_without_children_starts_at_once(system: ActorSystem, diary: Diary) -> None:
    family = await Family.start(system, diary, ChildSpec("empty", Supervisor), diary.spec("after"))

    assert [info.name for info in await family.ask(WhichChildren())] == ["empty", "after"]


async def test_a_nested_supervisor_that_cannot_start_its_children_escalates_to_the_top(
    system: ActorSystem, diary: Diary
) -> None:
    diary.plan("deep", "on_start", fail)
    inner = ChildSpec("inner", lambda: Supervisor([diary.spec("deep")]))
    family = Family(system, diary, system.spawn(Supervisor, [diary.spec("a"), inner]))
    family.mourn(family.supervisor)

    assert await family.settled() == "a starts, deep starts, a stops"
    reason = family.reason_of_end(family.supervisor)
    assert isinstance(reason, ChildStartError)
    assert isinstance(reason.__cause__, ChildStartError)
    assert isinstance(reason.__cause__.__cause__, BoomError)


async def test_a_scope_left_open_in_the_start_fails_a_child_that_has_started(
    system: ActorSystem, diary: Diary
) -> None:
    diary.plan("a", "on_start", leave_a_scope_open)
    family = Family(system, diary, system.spawn(Supervisor, [diary.spec("a")], intensity=PATIENT))
    await wait_all_tasks_blocked()
    a = await family.meet("a")
    assert await a.ask("hello", block=False) == (2, "hello")
    diary.plan("a", "init", None, leave_a_scope_open)

    a.tell(fail)
    await wait_all_tasks_blocked()
    a.tell(fail)
    await wait_all_tasks_blocked()

    assert await a.ask("hello", block=False) == (5, "hello")
    assert family.ends == []


# --- a restart that fails -----------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", Strategy)
@pytest.mark.parametrize(
    ("where", "trouble"),
    [
        ("init", fail),
        ("init", exit_process),
        ("on_start", fail),
        ("on_start", fail_slowly),
        ("on_start", exit_process),
        ("on_start", kill_yourself),
    ],
)
async def test_a_restart_that_fails_is_tried_again_and_the_mail_waits(
    system: ActorSystem, diary: Diary, strategy: Strategy, where: str, trouble: Any
) -> None:
    specs = [diary.spec(name) for name in "abc"]
    family = await Family.start(system, diary, *specs, strategy=strategy)
    b = family.children["b"]
    diary.plan("b", where, trouble, trouble)

    b.tell(fail)
    b.tell("told")
    asked = b.ask("asked", block=False)

    assert await asked == (4, "asked")
    assert diary.heard == [("b", 4, "told"), ("b", 4, "asked")]
    await wait_all_tasks_blocked()
    assert family.ends == []
    assert (await family.ask(CountChildren())).active == 3


async def test_failed_restarts_count_until_they_escalate(system: ActorSystem, diary: Diary) -> None:
    specs = diary.spec("a"), diary.spec("b")
    family = await Family.start(system, diary, *specs, intensity=Intensity(3, 5.0))
    diary.plan("b", "on_start", fail, fail, fail, fail)

    family.children["b"].tell(fail)
    waiting = family.children["b"].ask("never handled", block=False)

    assert await family.settled() == "b fails, b starts, b starts, b starts, a stops"
    assert isinstance(family.reason_of_end(family.supervisor), RestartIntensityError)
    assert isinstance(family.reason_of_end(family.children["b"]), BoomError)
    with pytest.raises(pykka.ActorDeadError):
        await waiting


class OtherChild(Child):
    pass


async def test_a_factory_that_makes_no_new_actor_of_the_class_fails_the_restart(
    system: ActorSystem, diary: Diary
) -> None:
    first = Child(diary, "b")

    def boom() -> TrioActor:
        raise BoomError("in the factory")

    def make() -> TrioActor:
        return makes.pop(0)()

    makes: list[Callable[[], Any]] = [
        lambda: first,
        lambda: first,
        lambda: OtherChild(diary, "b"),
        lambda: None,
        boom,
        lambda: family.children["b"],
        lambda: [Child(diary, "b"), Child(diary, "b")][1],
        lambda: Child(diary, "b"),
    ]
    errors: list[BaseException] = []
    system.events.subscribe(lambda event: errors.append(event.error), ActorFailed)
    family = await Family.start(system, diary, ChildSpec("b", make), diary.spec("a"))
    b = family.children["b"]

    b.tell(fail)

    assert await b.ask("hello", block=False) == (diary.lives["b"], "hello")
    assert [type(error) for error in errors] == [BoomError, *[TypeError] * 3, BoomError, *[TypeError] * 2]
    assert makes == []
    assert b.actor_class is Child
    assert family.ends == []


# --- what a restart keeps, and what it does not -------------------------------------------------------


async def test_a_restarted_child_keeps_its_mail_in_order_and_never_gets_what_it_failed_at(
    system: ActorSystem, diary: Diary
) -> None:
    family = await Family.start(system, diary, diary.spec("b"))
    b = family.children["b"]
    letters: list[DeadLetter] = []
    system.events.subscribe(letters.append, DeadLetter)

    b.tell(1)
    b.tell(fail)
    b.tell(2)
    asked = b.ask(3, block=False)
    failing = b.ask(fail_slowly, block=False)
    b.tell(4)
    b.tell(hang)
    b.tell(5)
    hanging = b.ask(hang, block=False)
    last = b.ask(6, block=False)
    await wait_all_tasks_blocked()
    b.kill()
    await wait_all_tasks_blocked()
    b.kill()

    assert await asked == (2, 3)
    assert await last == (5, 6)
    assert [message for _, _, message in diary.heard] == [1, 2, 3, 4, 5, 6]
    assert [life for _, life, _ in diary.heard] == [1, 2, 2, 3, 4, 5]
    with pytest.raises(BoomError):
        await failing
    with pytest.raises(pykka.ActorDeadError):
        await hanging
    assert [(letter.recipient, letter.message) for letter in letters] == [(b, fail), (b, hang)]


async def test_the_mail_of_those_restarted_for_a_sibling_is_kept_too(
    system: ActorSystem, diary: Diary
) -> None:
    gates = {"a": trio.Event(), "c": trio.Event()}
    specs = [diary.spec(name) for name in "abc"]
    family = await Family.start(system, diary, *specs, strategy=Strategy.ONE_FOR_ALL)
    a, b, c = family.children.values()

    for ref in (a, c):
        order(ref, lambda child: gates[child.name].wait())
    a.tell("a1")
    stopped = c.stop(block=False)
    c.tell("c1")
    b.tell(fail)
    b.tell("b1")
    for name in "ca":
        await wait_all_tasks_blocked()
        assert diary.heard == []
        gates[name].set()

    assert await stopped is True
    await wait_all_tasks_blocked()
    # The stop is mail as well: it ends the second life of c, and all of them begin another one.
    assert sorted(diary.heard) == [("a", 2, "a1"), ("b", 2, "b1"), ("c", 3, "c1")]
    assert family.ends == []


async def test_deferred_replies_of_the_last_life_are_answered_with_its_end(
    system: ActorSystem, diary: Diary
) -> None:
    family = await Family.start(system, diary, diary.spec("b"))
    b = family.children["b"]
    letters: list[DeadLetter] = []
    system.events.subscribe(letters.append, DeadLetter)

    def defer(child: Child) -> None:
        child.defer()

    def defer_and_fail(child: Child) -> None:
        child.defer()
        fail(child)

    replies = [b.ask(defer, block=False), b.ask(defer_and_fail, block=False)]

    for reply in replies:
        with pytest.raises(pykka.ActorDeadError):
            await reply
    assert await b.ask("again", block=False) == (2, "again")
    assert letters == []


async def test_timers_of_the_last_life_are_silent_and_death_notices_arrive(
    autojump_clock: MockClock, system: ActorSystem, diary: Diary
) -> None:
    gate = trio.Event()
    other = system.spawn(Echo)
    family = await Family.start(system, diary, diary.spec("b"))
    b = family.children["b"]

    def prepare(child: Child) -> None:
        child.watch(other)
        child.timers.start("in the mail", 1, "of a timer")
        child.timers.start("later", 5, "of a timer")
        child.timers.start_periodic("periodic", 1, "of a timer")
        child.set_idle_timeout(5)

    async def fail_later(child: Child) -> None:
        await gate.wait()
        fail(child)

    b.tell(prepare)
    b.tell(fail_later)
    b.tell("before")
    await pass_time(autojump_clock, 3)
    await other.stop(block=False)
    b.tell("after")
    gate.set()
    await pass_time(autojump_clock, 30)

    assert diary.heard == [("b", 2, "before"), ("b", 2, Terminated(other, None)), ("b", 2, "after")]


async def test_a_restarted_child_may_have_timers_and_an_idle_timeout_again(
    autojump_clock: MockClock, system: ActorSystem, diary: Diary
) -> None:
    def prepare(child: Child) -> None:
        child.timers.start("key", 1, "tick")
        child.set_idle_timeout(10)

    diary.plan("b", "on_start", prepare, prepare)
    family = await Family.start(system, diary, diary.spec("b"))

    family.children["b"].tell(fail)
    await pass_time(autojump_clock, 12)

    assert diary.heard == [("b", 2, "tick"), ("b", 2, IdleTimeout(10))]


colour = contextvars.ContextVar("colour", default="none")


async def test_a_restarted_child_has_a_new_state_and_a_new_context(
    system: ActorSystem, diary: Diary
) -> None:
    def paint(child: Child) -> None:
        colour.set(f"painted {child.name}")

    def look(child: Child) -> Any:
        return colour.get(), child.heard

    diary.plan("a", "init", paint)
    family = await Family.start(system, diary, diary.spec("a"), diary.spec("b"))
    a, b = family.children.values()
    assert await a.ask(look, block=False) == ("painted a", [])
    assert await b.ask(look, block=False) == ("none", [])
    b.tell(paint)
    b.tell("remembered")
    assert await b.ask(look, block=False) == ("painted b", ["remembered"])

    a.tell(fail)
    b.tell(fail)

    assert await a.ask(look, block=False) == ("none", [])
    assert await b.ask(look, block=False) == ("none", [])
    assert colour.get() == "none"


class Small(Child):
    mailbox = Mailbox(limit=2, overflow=Overflow.REJECT)


async def test_the_places_of_a_bounded_mailbox_outlive_a_restart(
    autojump_clock: MockClock, system: ActorSystem, diary: Diary
) -> None:
    family = await Family.start(
        system, diary, ChildSpec("b", lambda: Small(diary, "b")), backoff=Backoff(first_seconds=10)
    )
    b = family.children["b"]

    for life in (1, 2, 3):
        b.tell(fail)
        await wait_all_tasks_blocked()
        b.tell(f"first of {life}")  # it is down, and waits for its backoff
        b.tell(f"second of {life}")
        with pytest.raises(MailboxFullError):
            b.tell("no room")
        with pytest.raises(MailboxFullError):
            await b.ask("no room", block=False)
        assert diary.heard == []
        await pass_time(autojump_clock, 50)
        assert diary.heard == [("b", life + 1, f"first of {life}"), ("b", life + 1, f"second of {life}")]
        diary.heard.clear()


async def test_a_sender_that_waits_for_room_gets_it_after_the_restart(
    autojump_clock: MockClock, system: ActorSystem, diary: Diary
) -> None:
    class Patient(Child):
        mailbox = Mailbox(limit=1, overflow=Overflow.WAIT)

    family = await Family.start(
        system, diary, ChildSpec("b", lambda: Patient(diary, "b")), backoff=Backoff(first_seconds=10)
    )
    b = family.children["b"]
    b.tell(fail)
    await wait_all_tasks_blocked()

    async with trio.open_nursery() as nursery:
        for number in range(5):
            nursery.start_soon(b.send, number)
        await wait_all_tasks_blocked()
        assert nursery.child_tasks
        await pass_time(autojump_clock, 10)
    await wait_all_tasks_blocked()

    assert sorted(message for _, _, message in diary.heard) == [0, 1, 2, 3, 4]


async def test_watchers_hear_of_the_final_end_only_and_once(system: ActorSystem, diary: Diary) -> None:
    family = await Family.start(system, diary, diary.spec("b"), intensity=Intensity(2, 5.0))
    b = family.children["b"]

    for _ in range(2):
        b.tell(fail)
        await wait_all_tasks_blocked()
        assert family.ends == []
    b.tell(fail)
    await wait_all_tasks_blocked()

    assert isinstance(family.reason_of_end(b), BoomError)
    assert isinstance(family.reason_of_end(family.supervisor), RestartIntensityError)
    assert len(family.ends) == 2


@pytest.mark.parametrize("strategy", Strategy)
async def test_children_that_fail_together_come_back_and_stay(
    autojump_clock: MockClock, system: ActorSystem, diary: Diary, strategy: Strategy
) -> None:
    specs = [diary.spec(name) for name in "abc"]
    family = await Family.start(system, diary, *specs, strategy=strategy)

    for ref in family.children.values():
        ref.tell(fail)
    await pass_time(autojump_clock, 100)

    assert family.ends == []
    assert dict(diary.lives) == {"a": 2, "b": 2, "c": 2}


async def test_events_tell_of_failures_and_of_restarts(system: ActorSystem, diary: Diary) -> None:
    events: list[Any] = []
    system.events.subscribe(events.append, ActorFailed, ActorRestarted)
    specs = [diary.spec(name) for name in "ab"]
    family = await Family.start(system, diary, *specs, strategy=Strategy.ONE_FOR_ALL)
    a, b = family.children.values()
    diary.plan("a", "on_start", fail)

    b.tell(fail)
    await wait_all_tasks_blocked()

    assert [(event.__class__, event.ref) for event in events] == [
        (ActorFailed, b),
        (ActorFailed, a),  # at its restart
        (ActorRestarted, a),
        (ActorRestarted, b),
    ]


# --- mail for those who are down ----------------------------------------------------------------------


async def family_with_b_down(system: ActorSystem, diary: Diary) -> tuple[Family, ActorRef[Any]]:
    """A family whose child `b` is down, for ten seconds to come."""
    family = await Family.start(system, diary, diary.spec("b"), backoff=Backoff(first_seconds=10))
    family.children["b"].tell(fail)
    await wait_all_tasks_blocked()
    diary.read()
    return family, family.children["b"]


async def test_mail_waits_during_a_backoff_and_is_handled_after_it(
    autojump_clock: MockClock, system: ActorSystem, diary: Diary
) -> None:
    _, b = await family_with_b_down(system, diary)
    began = autojump_clock.current_time()

    assert b.is_alive()
    b.tell("told")
    assert await b.ask("asked", block=False) == (2, "asked")

    assert autojump_clock.current_time() - began == pytest.approx(10)
    assert diary.heard == [("b", 2, "told"), ("b", 2, "asked")]


async def test_a_stop_waits_with_the_mail_of_a_child_that_is_down(
    autojump_clock: MockClock, system: ActorSystem, diary: Diary
) -> None:
    _, b = await family_with_b_down(system, diary)
    began = autojump_clock.current_time()

    b.tell("before")
    assert await b.stop(block=False) is True

    assert autojump_clock.current_time() - began == pytest.approx(10)
    assert diary.heard == [("b", 2, "before")]
    assert await b.ask("after", block=False) == (3, "after")


async def test_a_kill_or_a_stop_at_once_finds_nothing_to_end_in_a_child_that_is_down(
    autojump_clock: MockClock, system: ActorSystem, diary: Diary
) -> None:
    family, b = await family_with_b_down(system, diary)

    b.kill()
    assert await b.stop(block=False, drain=False) is True
    b.kill()
    await pass_time(autojump_clock, 30)

    assert await family.settled() == "b starts"


async def test_a_kill_that_meets_the_revival_is_for_the_life_that_is_over(
    system: ActorSystem, diary: Diary
) -> None:
    family = await Family.start(system, diary, diary.spec("b"))
    b = family.children["b"]

    # In one slice: the supervisor learns of the end before the child looks at its control lane again.
    diary.plan("b", "on_failure", lambda child: child.actor_ref.kill())
    b.tell(fail)

    assert await family.settled() == "b fails, b starts"


async def test_threads_may_talk_to_a_child_that_goes_down_and_up(system: ActorSystem, diary: Diary) -> None:
    family = await Family.start(system, diary, diary.spec("b"), intensity=Intensity(10_000, 5.0))
    b = family.children["b"]
    answers: list[Any] = []

    def talk(number: int) -> None:
        for turn in range(50):
            b.tell((number, turn))
            if turn % 5 == number % 5:
                b.tell(fail)
            if turn % 10 == 0:
                b.kill()
            if turn % 25 == 0:
                assert b.stop() is True
        answers.append(b.ask("last", block=False).get(timeout=60)[1])

    await run_in_threads(4, talk)

    assert answers == ["last"] * 4
    told = [message for _, _, message in diary.heard if message != "last"]
    for number in range(4):
        assert [turn for sender, turn in told if sender == number] == list(range(50))


# --- intensity, escalation, backoff -------------------------------------------------------------------


async def test_restarts_are_bearable_up_to_the_intensity_and_not_beyond(
    mock_clock: MockClock, system: ActorSystem, diary: Diary
) -> None:
    family = await Family.start(
        system, diary, diary.spec("a"), diary.spec("b"), intensity=Intensity(2, period_seconds=5.0)
    )
    a, b = family.children.values()
    for seconds, ref in ((0, a), (4, b), (2, a), (4, b)):
        mock_clock.jump(seconds)
        ref.tell(fail)
        await wait_all_tasks_blocked()
        assert family.ends == []
    diary.read()

    mock_clock.jump(0.5)
    b.tell(fail)

    assert await family.settled() == "b fails, a stops"
    reason = family.reason_of_end(family.supervisor)
    assert isinstance(reason, RestartIntensityError)
    assert isinstance(reason.__cause__, BoomError)


async def test_an_escalation_restarts_the_inner_supervisor_with_fresh_children(
    system: ActorSystem, diary: Diary
) -> None:
    def inner() -> Supervisor:
        return Supervisor([diary.spec("a"), diary.spec("b")], intensity=Intensity(0))

    family = await Family.start(system, diary, ChildSpec("inner", inner), diary.spec("z"))
    supervisor = family.children["inner"]
    a = await child_of(supervisor, "a")
    b = await child_of(supervisor, "b")
    assert a is not None
    assert b is not None
    family.mourn(a)
    family.mourn(b)
    asked = supervisor.ask(CountChildren(), block=False)

    b.tell(fail)
    lost = b.ask("lost", block=False)

    assert await family.settled() == "b fails, a stops, a starts, b starts"
    assert (await asked).specs == 2
    with pytest.raises(pykka.ActorDeadError):
        await lost
    assert isinstance(family.reason_of_end(b), BoomError)
    assert family.reason_of_end(a) is None
    assert await child_of(family.supervisor, "inner") is supervisor
    fresh = await child_of(supervisor, "b")
    assert fresh is not None
    assert fresh is not b
    assert await fresh.ask("hello", block=False) == (2, "hello")
    assert len(family.ends) == 2


async def test_an_escalation_makes_no_dead_letter_of_what_it_came_with(
    autojump_clock: MockClock, system: ActorSystem, diary: Diary
) -> None:
    letters: list[DeadLetter] = []
    system.events.subscribe(letters.append, DeadLetter)
    family = await Family.start(
        system,
        diary,
        diary.spec("a", Restart.TRANSIENT),
        diary.spec("b"),
        strategy=Strategy.ONE_FOR_ALL,
        intensity=Intensity(1),
        backoff=Backoff(first_seconds=1),
    )
    await family.children["a"].stop(block=False)
    diary.plan("a", "init", fail)  # when the backoff of b is over

    family.children["b"].tell(fail)
    await pass_time(autojump_clock, 2)

    assert isinstance(family.reason_of_end(family.supervisor), RestartIntensityError)
    assert [letter.message for letter in letters] == [fail]


async def test_an_escalation_to_the_top_leaves_the_system_usable(system: ActorSystem, diary: Diary) -> None:
    def level(name: str, *below: ChildSpec) -> ChildSpec:
        return ChildSpec(
            name, lambda: Supervisor([diary.spec(f"beside {name}"), *below], intensity=Intensity(0))
        )

    specs = [level("outer", level("middle", level("inner", diary.spec("leaf"))))]
    family = await Family.start(system, diary, *specs, intensity=Intensity(0))
    supervisor = family.supervisor
    for name in ("outer", "middle", "inner"):
        found = await child_of(supervisor, name)
        assert found is not None
        supervisor = found
    leaf = await child_of(supervisor, "leaf")
    assert leaf is not None

    leaf.tell(fail)

    assert await family.settled() == (
        "leaf fails, beside inner stops, beside middle stops, beside outer stops"
    )
    reason = family.reason_of_end(family.supervisor)
    for _ in range(4):
        assert isinstance(reason, RestartIntensityError)
        reason = reason.__cause__
    assert isinstance(reason, BoomError)
    assert await system.spawn(Echo).ask("still there", block=False) == "still there"
    again = await Family.start(system, diary, diary.spec("leaf"))
    assert await again.children["leaf"].ask("hello", block=False) == (2, "hello")


async def test_backoff_grows_and_its_jitter_is_drawn_by_chance(
    autojump_clock: MockClock, system: ActorSystem, diary: Diary
) -> None:
    starts: list[float] = []
    drawn = iter([0.0, 1.0, 0.5, 0.0, 0.0])

    def note(_: Child) -> None:
        starts.append(autojump_clock.current_time())

    diary.plan("b", "on_start", *[note] * 6)
    family = await Family.start(
        system,
        diary,
        diary.spec("b"),
        intensity=Intensity(100, 60.0),
        backoff=Backoff(first_seconds=1, factor=2, limit_seconds=10, jitter=0.5),
        chance=lambda: next(drawn),
    )

    for _ in range(5):
        family.children["b"].tell(fail)
        await pass_time(autojump_clock, 20)

    delays = [starts[n + 1] - (starts[0] + 20 * n) for n in range(5)]
    assert delays == pytest.approx([1, 1, 3, 8, 10])


async def test_a_group_that_waits_for_its_backoff_keeps_all_its_mail(
    autojump_clock: MockClock, system: ActorSystem, diary: Diary
) -> None:
    specs = [diary.spec(name) for name in "abc"]
    family = await Family.start(
        system, diary, *specs, strategy=Strategy.ONE_FOR_ALL, backoff=Backoff(first_seconds=3)
    )
    family.children["b"].tell(fail)
    assert await family.settled() == "b fails, c stops, a stops"

    replies = [ref.ask("hello", block=False) for ref in family.children.values()]

    await pass_time(autojump_clock, 2)
    assert not any(reply.done for reply in replies)
    assert [await reply for reply in replies] == [(2, "hello")] * 3
    assert await family.settled() == "a starts, b starts, c starts"


async def test_a_supervisor_that_fails_by_itself_is_restarted_with_all_that_is_below_it(
    system: ActorSystem, diary: Diary
) -> None:
    class Busy(Supervisor):
        def on_receive(self, message: Any) -> Any:
            self.spawn_actor(Child, diary, message)
            raise BoomError

    family = await Family.start(system, diary, ChildSpec("busy", lambda: Busy([diary.spec("a")])))

    family.children["busy"].tell("b")

    assert await family.settled() == "b starts, b stops, a stops, a starts"
    assert family.ends == []

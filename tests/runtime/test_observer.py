"""An observer sees what happens in a system, harms nobody, and costs nothing where there is none."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Callable
from contextvars import ContextVar, Token
from typing import Any, NamedTuple

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from runtime import (
    ActorKilledError,
    ActorRef,
    ActorSystem,
    Observer,
    TrioActor,
    handles,
    open_system,
    start_system,
)
from runtime.cell import NO_BELONGINGS
from runtime.supervision import ChildSpec, FindChild, Supervisor
from tests.runtime.samples import Echo, Obedient


class Notes(Observer):
    """Notes everything."""

    def __init__(self) -> None:
        self.seen: list[tuple[Any, ...]] = []

    def actor_started(self, ref: ActorRef[Any], /) -> None:
        self.seen.append(("started", ref))

    def actor_failed(self, ref: ActorRef[Any], error: BaseException, /) -> None:
        self.seen.append(("failed", ref, type(error)))

    def actor_restarted(self, ref: ActorRef[Any], /) -> None:
        self.seen.append(("restarted", ref))

    def actor_ended(self, ref: ActorRef[Any], reason: BaseException | None, /) -> None:
        self.seen.append(("ended", ref, type(reason)))

    def message_handled(
        self, ref: ActorRef[Any], message_type: type, seconds: float, error: BaseException | None, /
    ) -> None:
        self.seen.append(("handled", ref, message_type, seconds, type(error)))

    def dead_letter(self, recipient: ActorRef[Any] | None, message_type: type, reason: str, /) -> None:
        self.seen.append(("dead letter", recipient, message_type, reason))

    def about(self, ref: ActorRef[Any]) -> list[tuple[Any, ...]]:
        return [(what, *rest) for what, who, *rest in self.seen if who is ref]


NONE = type(None)


@pytest.fixture
def notes() -> Notes:
    return Notes()


@pytest.fixture
async def observed(notes: Notes, caplog: pytest.LogCaptureFixture) -> AsyncGenerator[ActorSystem, None]:
    """A system with `notes` as its observer."""
    caplog.set_level(logging.CRITICAL, logger="pykka")
    async with open_system(observer=notes) as system:
        yield system


async def sleep(_: Obedient) -> None:
    await trio.sleep(3)


async def fail_asleep(_: Obedient) -> None:
    await trio.sleep(3)
    raise KeyError


async def test_an_observer_sees_a_life(
    observed: ActorSystem, notes: Notes, autojump_clock: MockClock
) -> None:
    ref = observed.spawn(Obedient)
    ref.tell(len_of_urn)
    await ref.ask(sleep, block=False)
    with pytest.raises(KeyError):
        await ref.ask(fail_asleep, block=False)
    await ref.stop(block=False)

    assert notes.about(ref) == [
        ("started",),
        ("handled", type(sleep), 0.0, NONE),
        ("handled", type(sleep), 3.0, NONE),
        ("handled", type(sleep), 3.0, KeyError),
        ("ended", NONE),
    ]
    assert autojump_clock.current_time() == 6


def len_of_urn(actor: Obedient) -> int:
    return len(actor.actor_urn)


async def test_an_observer_sees_a_failure_and_its_dead_letters(
    observed: ActorSystem, notes: Notes, autojump_clock: MockClock
) -> None:
    ref = observed.spawn(Obedient)
    ref.tell("fails")
    ref.tell(b"never handled")
    await wait_all_tasks_blocked()

    assert sorted(notes.about(ref), key=str) == sorted(
        [
            ("started",),
            ("handled", str, 0.0, TypeError),
            ("dead letter", str, "its handler failed"),
            ("failed", TypeError),
            ("dead letter", bytes, "the actor is dead"),
            ("ended", TypeError),
        ],
        key=str,
    )
    assert autojump_clock.current_time() == 0


async def test_an_observer_sees_a_handler_that_is_killed(
    observed: ActorSystem, notes: Notes, autojump_clock: MockClock
) -> None:
    ref = observed.spawn(Obedient)
    ref.tell(sleep)
    await trio.sleep(1)
    ref.kill()
    await wait_all_tasks_blocked()

    assert ("handled", type(sleep), 1.0, trio.Cancelled) in notes.about(ref)
    assert ("ended", ActorKilledError) in notes.about(ref)
    assert autojump_clock.current_time() == 1


async def test_an_observer_sees_restarts(observed: ActorSystem, notes: Notes) -> None:
    supervisor = observed.spawn(Supervisor, [ChildSpec("child", Obedient)])
    child = await supervisor.ask(FindChild("child"), block=False)
    child.tell("fails")
    await wait_all_tasks_blocked()

    assert [what for what, *_ in notes.about(child) if what in {"started", "restarted"}] in (
        ["started", "started", "restarted"],
        ["started", "restarted", "started"],
    )
    assert ("failed", TypeError) in notes.about(child)


async def test_an_observer_sees_child_actors(observed: ActorSystem, notes: Notes) -> None:
    class Parent(TrioActor):
        def on_start(self) -> None:
            self.child = self.spawn_actor(Echo)

        @handles(str)
        def tell_of_child(self, _: str) -> ActorRef[Echo]:
            return self.child

    ref = observed.spawn(Parent)
    child = await ref.ask("child", block=False)
    await ref.stop(block=False)

    assert notes.about(child) == [("started",), ("ended", NONE)]


class Failing(Observer):
    """Raises whatever happens, and what no handler may raise."""

    def fail(self, *_: Any) -> None:
        raise SystemExit

    actor_started = actor_failed = actor_restarted = actor_ended = message_handled = dead_letter = fail


async def test_an_observer_that_raises_harms_nobody_and_does_not_flood_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with open_system(observer=Failing()) as system:
        ref = system.spawn(Obedient)
        for _ in range(50):
            assert await ref.ask(len_of_urn, block=False) == len(ref.actor_urn)
        failing = system.spawn(Obedient)
        failing.tell("fails")
        await wait_all_tasks_blocked()
        assert not failing.is_alive()

    lines = [record for record in caplog.records if record.getMessage() == "an observer failed"]
    assert len(lines) == 10


async def test_without_an_observer_actors_take_the_same_path_as_ever(system: ActorSystem) -> None:
    ref = system.spawn(Echo)

    assert ref.cell.handlers is Echo.handlers_by_type
    assert ref.cell.belongings is NO_BELONGINGS
    assert system.scheduler.observation is None


async def test_an_observer_without_interest_in_messages_costs_none_of_them_anything() -> None:
    class Births(Observer):
        def __init__(self) -> None:
            self.refs: list[ActorRef[Any]] = []

        def actor_started(self, ref: ActorRef[Any], /) -> None:
            self.refs.append(ref)

    births = Births()
    async with open_system(observer=births) as system:
        ref = system.spawn(Echo)
        await ref.ask("anything", block=False)
        assert ref.cell.handlers is Echo.handlers_by_type

    assert births.refs == [ref]


def test_a_system_in_a_thread_is_observed_as_well(notes: Notes) -> None:
    with start_system(observer=notes) as thread:
        ref = thread.system.spawn(Echo)
        ref.ask("anything")

    assert [what for what, *_ in notes.about(ref)] == ["started", "handled", "ended"]


class Order(NamedTuple):
    """A message that carries the span of its sender."""

    function: Callable[[Obedient], Any]
    parent: str | None = None


span: ContextVar[str | None] = ContextVar("span", default=None)


class Tracing(Observer):
    """Opens a span around each handler: a child of the one that the message carries."""

    def __init__(self) -> None:
        self.open: dict[ActorRef[Any], Token[str | None]] = {}
        self.closed: list[str | None] = []

    def message_started(self, ref: ActorRef[Any], message: Any, /) -> None:
        name = message.function.__name__
        self.open[ref] = span.set(name if message.parent is None else f"{message.parent}/{name}")

    def message_handled(
        self,
        ref: ActorRef[Any],
        message_type: type[Any],  # noqa: ARG002 - the signature is the observer's
        seconds: float,  # noqa: ARG002
        error: BaseException | None,  # noqa: ARG002
        /,
    ) -> None:
        self.closed.append(span.get())
        span.reset(self.open.pop(ref))


class Traced(Obedient):
    """Takes orders."""

    def on_receive(self, message: Any) -> Any:
        return message.function(self)


async def test_a_span_goes_around_each_handler_and_on_to_whom_it_tells(autojump_clock: MockClock) -> None:
    seen: list[str | None] = []

    def leaf(_: Obedient) -> None:
        seen.append(span.get())

    async def branch(_: Obedient) -> None:
        await trio.sleep(3)
        seen.append(span.get())
        second.tell(Order(leaf, span.get()))

    async def work() -> None:
        seen.append(span.get())

    def root(actor: Obedient) -> None:
        actor.spawn(work)
        third.tell(Order(branch, span.get()))

    def between(_: Obedient) -> None:
        raise KeyError(span.get())

    tracing = Tracing()
    async with open_system(observer=tracing) as system:
        first, second, third = (system.spawn(Traced) for _ in range(3))
        first.tell(Order(root))
        await trio.sleep(1)
        with pytest.raises(KeyError, match="between"):
            await second.ask(Order(between), block=False)
        await trio.sleep(3)
        first.tell(Order(leaf))
        await wait_all_tasks_blocked()

    assert seen == ["root", "root/branch", "root/branch/leaf", "leaf"]
    assert tracing.closed == ["root", "between", "root/branch", "root/branch/leaf", "leaf"]
    assert tracing.open == {}
    assert autojump_clock.current_time() == 4


async def test_an_observer_that_fails_before_a_handler_does_not_keep_it_from_running(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Clumsy(Observer):
        def message_started(self, ref: ActorRef[Any], message: Any, /) -> None:
            raise SystemExit(f"{ref} {message}")

    async with open_system(observer=Clumsy()) as system:
        assert await system.spawn(Echo).ask("handled", block=False) == "handled"

    assert [record.getMessage() for record in caplog.records] == ["an observer failed"]

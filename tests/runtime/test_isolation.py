"""What one actor does to itself touches no other, and not the host."""

from __future__ import annotations

import asyncio
import contextvars
import gc
from typing import Any

import pykka
import pytest
import structlog
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from runtime import ActorSystem, TrioActor, open_system
from tests.runtime.samples import Echo, Obedient

BASE_EXCEPTIONS = [SystemExit, KeyboardInterrupt, GeneratorExit, asyncio.CancelledError]


class Fragile(TrioActor):
    """Raises what it is given, where it is told to."""

    def __init__(self, where: str, error: BaseException) -> None:
        super().__init__()
        self.where = where
        self.error = error

    def raise_in(self, where: str) -> None:
        if self.where == where:
            raise self.error

    def on_start(self) -> None:
        self.raise_in("on_start")

    def on_receive(self, message: Any) -> Any:  # noqa: ARG002 - pykka's signature
        if self.where == "async handler":
            return self.handle_slowly()
        if self.where == "child task":
            self.spawn(self.handle_slowly)
        self.raise_in("handler")
        if self.where == "on_failure":
            raise ValueError
        return None

    async def handle_slowly(self) -> None:
        await trio.lowlevel.checkpoint()
        raise self.error

    def on_stop(self) -> None:
        self.raise_in("on_stop")

    def on_failure(self, *_: Any) -> None:  # pyright: ignore[reportIncompatibleMethodOverride] - takes them all
        self.raise_in("on_failure")


@pytest.mark.parametrize("error_class", [ValueError, BaseExceptionGroup, *BASE_EXCEPTIONS])
@pytest.mark.parametrize(
    "where", ["on_start", "handler", "async handler", "child task", "on_stop", "on_failure"]
)
async def test_an_exception_fails_one_actor_only(
    system: ActorSystem, where: str, error_class: type[BaseException]
) -> None:
    error = BaseExceptionGroup("", [SystemExit()]) if error_class is BaseExceptionGroup else error_class()
    bystander = system.spawn(Echo)
    ref = system.spawn(Fragile, where, error)

    ref._cell.post("go")  # pyright: ignore[reportPrivateUsage] - a tell that does not mind the dead
    await wait_all_tasks_blocked()
    await ref.stop(block=False)

    assert not ref.is_alive()
    assert await bystander.ask("alive", block=False) == "alive"


@pytest.mark.parametrize("error_class", BASE_EXCEPTIONS)
async def test_an_asker_never_gets_a_base_exception_raised_in_itself(
    system: ActorSystem, error_class: type[BaseException]
) -> None:
    error = error_class()
    ref = system.spawn(Fragile, "handler", error)

    with pytest.raises(pykka.ActorDeadError) as caught:
        await ref.ask("go", block=False)

    assert caught.value.__cause__ is error


class OddError(Exception):
    """Does what it can to break whoever reports it."""

    __hash__ = None  # type: ignore[assignment] - that is the point

    @property
    def __traceback__(self) -> Any:  # pyright: ignore[reportIncompatibleVariableOverride, reportIncompatibleMethodOverride] - the point
        raise RuntimeError("asked for its traceback")

    @property
    def __class__(self) -> Any:  # pyright: ignore[reportIncompatibleVariableOverride, reportIncompatibleMethodOverride] - the point
        raise RuntimeError("asked for its class")


@pytest.mark.parametrize("where", ["handler", "on_start", "on_stop"])
async def test_an_impossible_exception_fails_one_actor_only(system: ActorSystem, where: str) -> None:
    ref = system.spawn(Fragile, where, OddError())
    bystander = system.spawn(Echo)

    ref.tell("go")
    await wait_all_tasks_blocked()
    await ref.stop(block=False)

    assert await bystander.ask("alive", block=False) == "alive"


async def test_awaiting_another_loops_future_fails_one_actor_only(system: ActorSystem) -> None:
    class Foreign:
        def __await__(self) -> Any:
            yield "what trio does not know"

    async def wait(_: Obedient) -> None:
        await Foreign()

    with pytest.raises(TypeError, match="unrecognized yield"):
        await system.spawn(Obedient).ask(wait, block=False)
    assert await system.spawn(Echo).ask("alive", block=False) == "alive"


# What trio lets a handler do to the task that runs it: also the canaries for the private names of trio in
# runtime/containment.py.


def open_scope(_: Obedient) -> None:
    trio.CancelScope().__enter__()


def open_cancelled_scopes(_: Obedient) -> None:
    for _number in range(3):
        scope = trio.CancelScope()
        scope.__enter__()
        scope.cancel()


def open_scope_with_deadline(_: Obedient) -> None:
    trio.CancelScope(deadline=trio.current_time() + 1).__enter__()


def open_nursery(_: Obedient) -> None:
    coroutine: Any = trio.open_nursery().__aenter__()
    try:
        coroutine.send(None)
    except StopIteration as stop:
        stop.value.start_soon(trio.sleep_forever)


def open_scope_and_return_coroutine(actor: Obedient) -> Any:
    open_scope(actor)
    return sleep_a_second()


async def sleep_a_second() -> None:
    await trio.sleep(1)


def open_scope_and_fail(actor: Obedient) -> None:
    open_scope(actor)
    raise ValueError


async def open_scope_async(actor: Obedient) -> None:
    await trio.lowlevel.checkpoint()
    open_scope(actor)


async def open_cancelled_scope_async(actor: Obedient) -> None:
    open_cancelled_scopes(actor)
    await trio.sleep_forever()


async def open_nursery_async(_: Obedient) -> None:
    nursery = await trio.open_nursery().__aenter__()
    nursery.start_soon(trio.sleep_forever)


async def open_scopes_and_nurseries_async(actor: Obedient) -> None:
    open_scope(actor)
    await open_nursery_async(actor)
    open_scope(actor)
    await open_nursery_async(actor)
    open_cancelled_scopes(actor)


OPENERS = [
    open_scope,
    open_cancelled_scopes,
    open_scope_with_deadline,
    open_nursery,
    open_scope_and_return_coroutine,
    open_scope_and_fail,
    open_scope_async,
    open_cancelled_scope_async,
    open_nursery_async,
    open_scopes_and_nurseries_async,
]


async def use_scopes(_: Obedient) -> str:
    with trio.move_on_after(1):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep, 0.5)
            nursery.start_soon(trio.sleep_forever)
    await trio.sleep(5)
    return "untouched"


@pytest.mark.parametrize("opener", OPENERS)
async def test_a_scope_or_nursery_left_open_by_a_handler_fails_that_actor_only(
    opener: Any, autojump_clock: MockClock
) -> None:
    tasks_before = count_tasks()
    async with open_system() as system:
        bystander = system.spawn(Obedient)
        running = bystander.ask(use_scopes, block=False)
        for _ in range(3):
            ref = system.spawn(Obedient)
            ref.tell(opener)
            await wait_all_tasks_blocked()
            await ref.stop(block=False)
            assert not ref.is_alive()
        for _ in range(3):
            assert await bystander.ask(use_scopes, block=False) == "untouched"
        assert await running == "untouched"
    assert count_tasks() == tasks_before
    assert autojump_clock.current_time() < 100


@pytest.mark.parametrize("opener", OPENERS)
async def test_a_scope_or_nursery_left_open_by_a_child_task_fails_that_actor_only(
    system: ActorSystem, opener: Any, autojump_clock: MockClock
) -> None:
    async def misbehave(actor: Obedient) -> None:
        returned = opener(actor)
        if returned is not None:
            await returned

    def spawn(actor: Obedient) -> None:
        actor.spawn(misbehave, actor)

    bystander, ref = system.spawn(Obedient), system.spawn(Obedient)
    ref.tell(spawn)
    await trio.sleep(2)

    assert not ref.is_alive()
    assert await bystander.ask(use_scopes, block=False) == "untouched"
    assert autojump_clock.current_time() < 100


async def test_a_scope_left_open_by_a_hook_touches_no_other(
    system: ActorSystem, autojump_clock: MockClock
) -> None:
    class Careless(TrioActor):
        def on_failure(self, *_: Any) -> None:  # pyright: ignore[reportIncompatibleMethodOverride] - takes them all
            trio.CancelScope().__enter__()

        on_stop = on_failure

        def on_receive(self, message: Any) -> Any:
            return self.fail() if message == "async" else self.stop()

        async def fail(self) -> None:
            raise ValueError

    for message in ("async", "stop"):
        ref = system.spawn(Careless)
        ref.tell(message)
        await ref.stop(block=False)

    assert await system.spawn(Obedient).ask(use_scopes, block=False) == "untouched"
    assert autojump_clock.current_time() < 100


async def test_an_old_cancellation_raised_again_fails_that_actor_only(system: ActorSystem) -> None:
    async def raise_again(_: Obedient) -> None:
        caught: BaseException | None = None
        with trio.CancelScope() as scope:
            scope.cancel()
            try:
                await trio.lowlevel.checkpoint()
            except trio.Cancelled as cancelled:
                caught = cancelled
                raise
        assert caught is not None
        raise caught

    def in_child(actor: Obedient) -> None:
        actor.spawn(raise_again, actor)

    for message in (raise_again, in_child):
        ref = system.spawn(Obedient)
        ref.tell(message)
        await wait_all_tasks_blocked()
        assert not ref.is_alive()
    assert await system.spawn(Echo).ask("alive", block=False) == "alive"


def count_tasks() -> int:
    gc.collect()
    return trio.lowlevel.current_statistics().tasks_living


mark: contextvars.ContextVar[str] = contextvars.ContextVar("mark", default="unset")


def bind(_: Obedient) -> None:
    mark.set("bound")
    structlog.contextvars.bind_contextvars(actor="bound")


async def bind_slowly(actor: Obedient) -> None:
    await trio.lowlevel.checkpoint()
    bind(actor)
    await trio.lowlevel.checkpoint()


def read(_: Obedient) -> tuple[str, dict[str, Any]]:
    return mark.get(), structlog.contextvars.get_contextvars()


async def read_slowly(actor: Obedient) -> tuple[str, dict[str, Any]]:
    await trio.lowlevel.checkpoint()
    return read(actor)


@pytest.mark.parametrize("binder", [bind, bind_slowly])
async def test_what_one_actor_binds_stays_with_it_and_shows_nowhere_else(
    system: ActorSystem, binder: Any
) -> None:
    first, second = system.spawn(Obedient), system.spawn(Obedient)
    await first.ask(binder, block=False)

    def spawn_child(actor: Obedient) -> None:
        async def child() -> None:
            assert reply is not None
            reply.set(read(actor))

        reply = actor.defer()
        actor.spawn(child)

    bound = ("bound", {"actor": "bound"})
    unbound: tuple[str, dict[str, Any]] = ("unset", {})
    for reader in (read, read_slowly, spawn_child):
        assert await first.ask(reader, block=False) == bound
        assert await second.ask(reader, block=False) == unbound
    assert (mark.get(), structlog.contextvars.get_contextvars()) == unbound


async def test_hooks_run_in_the_context_of_their_actor(system: ActorSystem) -> None:
    seen: list[str] = []

    class Hooked(TrioActor):
        def on_start(self) -> None:
            mark.set("mine")

        def on_receive(self, message: Any) -> Any:  # noqa: ARG002 - pykka's signature
            trio.CancelScope().__enter__()

        def on_failure(self, *_: Any) -> None:  # pyright: ignore[reportIncompatibleMethodOverride] - takes them all
            seen.append(mark.get())
            mark.set("left behind")

    ref = system.spawn(Hooked)
    ref.tell("fail")
    await wait_all_tasks_blocked()
    await ref.stop(block=False)

    assert seen == ["mine"]
    assert await system.spawn(Obedient).ask(read, block=False) == ("unset", {})

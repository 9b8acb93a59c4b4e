"""What is odd about one actor, its messages or its errors stays that actor's: the runtime goes on."""

from __future__ import annotations

import contextlib
import gc
import logging
import queue
import random
import signal
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import pykka
import pytest
import trio
from pykka._envelope import Envelope
from trio.testing import MockClock, wait_all_tasks_blocked

from runtime import (
    ActorRef,
    ActorSystem,
    Reply,
    TrioActor,
    WrongPlaceError,
    open_system,
    start_system,
    suspend,
)
from runtime.cell import cell_of
from runtime.supervision import ChildSpec, FindChild, Intensity, Supervisor
from tests.runtime.samples import Echo, Obedient, Recorder


class UntrueError(Exception):
    def __bool__(self) -> bool:
        raise RuntimeError("neither true nor false")


class EmptyError(Exception):
    def __len__(self) -> int:
        return 0


class FailsTwice(TrioActor):
    """Fails at what it is told, and in its last hook."""

    def on_receive(self, message: Exception) -> None:
        raise message

    def on_failure(self, *_: Any, **__: Any) -> None:
        raise ValueError("in the hook as well")


class UnhashableType(type):
    __hash__ = None  # type: ignore[assignment] - that is the point


class Odd(metaclass=UnhashableType):
    pass


async def still_works(system: ActorSystem) -> bool:
    return bool(await system.spawn(Echo).ask("works", block=False) == "works")


@pytest.mark.parametrize("error", [UntrueError(), EmptyError()], ids=["untrue", "empty"])
async def test_an_error_of_no_truth_is_the_reason_all_the_same(
    system: ActorSystem, error: Exception
) -> None:
    notes: list[Any] = []
    ref = system.spawn(FailsTwice)

    class Watcher(Recorder):
        def on_start(self) -> None:
            self.watch(ref)

    watcher = system.spawn(Watcher, notes)
    await wait_all_tasks_blocked()
    ref.tell(error)
    await wait_all_tasks_blocked()
    await watcher.stop(block=False)

    assert [notice.reason for notice in notes] == [error]
    assert await still_works(system)


async def test_messages_of_a_type_that_has_no_hash_fail_their_actor_only(system: ActorSystem) -> None:
    ref = system.spawn(Echo)

    ref.tell(Odd())
    ref.tell(Odd())
    await wait_all_tasks_blocked()

    assert not ref.is_alive()
    assert system.dead_letters == 2
    assert await still_works(system)


async def test_a_callback_that_exits_ends_nobody(system: ActorSystem) -> None:
    def leave(_: Reply[Any]) -> None:
        raise SystemExit

    reply = system.spawn(Echo).ask("answered", block=False)
    reply.subscribe(leave)

    assert await reply == "answered"
    assert await still_works(system)


class BrokenHandler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        raise RuntimeError(f"the log is full: {record.name}")


@contextmanager
def broken_logging(name: str) -> Generator[None, None, None]:
    logger, handler = logging.getLogger(name), BrokenHandler()
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


async def test_broken_logging_of_the_host_harms_nobody(system: ActorSystem) -> None:
    def fail(_: Reply[Any]) -> None:
        raise ValueError("in the callback")

    with broken_logging("greenroom.runtime"), broken_logging("pykka"):
        reply = system.spawn(Echo).ask("answered", block=False)
        reply.subscribe(fail)
        failing = system.spawn(FailsTwice)
        failing.tell(ValueError("told"))
        assert await reply == "answered"
        assert await still_works(system)

    assert not failing.is_alive()


async def test_a_timeout_that_is_no_time_is_refused_before_anything_is_sent(system: ActorSystem) -> None:
    notes: list[Any] = []
    ref = system.spawn(Recorder, notes)

    for timeout in (float("nan"), -1.0):
        with pytest.raises(ValueError, match="a timeout is a number of seconds from 0 on"):
            ref.ask("never sent", block=False, timeout=timeout)
    await ref.stop(block=False)

    assert notes == []


async def test_what_belongs_to_the_actors_thread_says_so_elsewhere(system: ActorSystem) -> None:
    refused: list[str] = []

    def try_all(actor: Obedient) -> None:
        for attempt in (
            lambda: actor.spawn(trio.sleep, 0),
            lambda: actor.spawn_actor(Echo),
            lambda: actor.watch(actor.actor_ref),
            lambda: actor.timers,
            lambda: actor.set_idle_timeout(1),
        ):
            with pytest.raises(WrongPlaceError, match="tell the actor"):
                attempt()
            refused.append("refused")

    def start(actor: Obedient) -> None:
        actor.pipe(trio.to_thread.run_sync, try_all, actor, as_message=lambda _: note_the_end)

    def note_the_end(_: Obedient) -> None:
        ended.set()

    ended = trio.Event()
    ref = system.spawn(Obedient)
    await ref.ask(start, block=False)
    await ended.wait()

    assert len(refused) == 5
    assert await ref.stop(block=False)
    assert system.statistics().tasks == 0


def test_what_belongs_to_a_running_actor_says_so_in_its_init() -> None:
    class Hasty(TrioActor):
        def __init__(self) -> None:
            super().__init__()
            self.timers.start("soon", 1, "tick")

    with pytest.raises(WrongPlaceError, match="use on_start, not __init__"):
        Hasty()


class Paired(TrioActor):
    def __init__(self, peer: Any = None) -> None:
        super().__init__()
        self.peer = peer

    def on_receive(self, message: Exception | str) -> Any:
        if isinstance(message, Exception):
            raise message
        return message


async def test_a_factory_may_start_another_actor_of_the_same_class(autojump_clock: MockClock) -> None:
    async with open_system() as system:
        supervisor = system.spawn(
            Supervisor,
            [ChildSpec("paired", lambda: Paired(system.spawn(Paired)))],
            intensity=Intensity(3, 5.0),
        )
        ref = await supervisor.ask(FindChild("paired"), block=False)
        ref.tell(ValueError("restart"))

        assert await ref.ask("again", block=False) == "again"
        assert system.statistics().actors == 4  # the supervisor, its child, and two peers

    assert autojump_clock.current_time() == 0, "the end waited for nobody"


def test_an_actor_cannot_be_started_twice() -> None:
    class Starter(TrioActor):
        def on_receive(self, message: Echo) -> None:
            self.system.adopt(cell_of(message))

    async def main() -> None:
        async with open_system() as system:
            echo = Echo()
            starter = system.spawn(Starter)
            await starter.ask(echo, block=False)
            with pytest.raises(RuntimeError, match="has been started already"):
                await starter.ask(echo, block=False)

    trio.run(main)


def test_a_signal_handler_may_settle_the_reply_that_is_being_subscribed_to() -> None:
    current: list[Reply[int]] = [Reply()]

    def settle(*_: object) -> None:
        with contextlib.suppress(queue.Full):  # by the signal before
            current[0].set(1)

    before = signal.signal(signal.SIGALRM, settle)
    signal.setitimer(signal.ITIMER_REAL, 0.0001, 0.0001)
    try:
        for _ in range(200_000):
            current[0] = reply = Reply[int]()
            reply.subscribe(id)
            reply.unsubscribe(id)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


async def test_a_stop_is_answered_by_whether_there_was_somebody_to_stop(system: ActorSystem) -> None:
    ref = system.spawn(Echo)

    first, second = ref.stop(block=False), ref.stop(block=False)

    assert [await first, await second] == [True, True]
    assert await ref.stop(block=False) is False
    assert await ref.stop(block=False, drain=False) is False
    with pytest.raises(pykka.ActorDeadError):
        await ref.ask("anybody?", block=False)


async def test_a_deferred_reply_that_only_a_callback_waits_for_is_answered(system: ActorSystem) -> None:
    def forget(actor: Obedient) -> None:
        actor.defer()

    answered: list[bool] = []
    ref = system.spawn(Obedient)
    ref.ask(forget, block=False).subscribe(lambda reply: answered.append(reply.done))
    await wait_all_tasks_blocked()
    gc.collect()

    await ref.stop(block=False)

    assert answered == [True]


async def test_a_kill_that_comes_late_touches_no_other_actor(system: ActorSystem) -> None:
    async def wait_a_little(_: Obedient) -> None:
        await trio.lowlevel.checkpoint()

    for _ in range(100):
        killed, innocent = system.spawn(Obedient), system.spawn(Obedient)
        killed.tell(wait_a_little)
        await trio.lowlevel.checkpoint()

        def flood(ref: Any = killed) -> None:
            for _ in range(100):
                system.scheduler.run_soon(id, None)
            ref.kill()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.to_thread.run_sync, flood)
            for _ in range(5):
                await innocent.ask(wait_a_little, block=False)

    assert await still_works(system)
    assert system.statistics().async_handlers == 0


async def test_a_future_of_another_kind_may_be_deferred_and_forwarded(system: ActorSystem) -> None:
    echo = system.spawn(Echo)

    def pass_on(actor: Obedient) -> None:
        actor.forward(echo, "answered by another", actor.defer())

    future = pykka.ThreadingFuture[Any]()
    ref = system.spawn(Obedient)
    ref.actor_inbox.put(Envelope(pass_on, reply_to=future))
    await ref.stop(block=False)

    assert await trio.to_thread.run_sync(lambda: future.get(timeout=5)) == "answered by another"


async def test_an_actor_suspended_while_its_system_stops_does_not_hold_it_up() -> None:
    going_on = trio.Event()

    async def stay(_: Obedient) -> None:
        await going_on.wait()

    async with open_system(shutdown_budget_seconds=1_000) as system:
        ref = system.spawn(Obedient)
        ref.tell(stay)

        async def suspend_then_go_on() -> None:
            await wait_all_tasks_blocked()
            await suspend(ref)
            going_on.set()

        trio.lowlevel.spawn_system_task(suspend_then_go_on)

    assert not ref.is_alive()


def test_an_interrupted_tell_of_a_thread_leaves_the_system_awake() -> None:
    armed = [False]

    def interrupt(*_: object) -> None:
        if armed[0]:
            armed[0] = False
            raise KeyboardInterrupt

    def tell_until_interrupted(ref: ActorRef[Echo], seconds: float) -> None:
        armed[0] = True
        signal.setitimer(signal.ITIMER_REAL, seconds)
        for _ in range(20_000):  # longer than any of these times
            ref.tell("interrupted")

    before = signal.signal(signal.SIGALRM, interrupt)
    rng = random.Random(1)
    # Python loses a KeyboardInterrupt that comes in a finalizer, as in trio's of a nursery of another test.
    gc.collect()
    gc.disable()
    try:
        with start_system(shutdown_budget_seconds=0.5) as host:
            echo = host.system.spawn(Echo)
            for _ in range(200):
                with contextlib.suppress(KeyboardInterrupt):
                    tell_until_interrupted(echo, 20e-6 + rng.random() * 100e-6)
                assert echo.ask("awake", timeout=30) == "awake"
    finally:
        gc.enable()
        signal.signal(signal.SIGALRM, before)

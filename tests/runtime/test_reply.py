"""`Reply`: one future for every kind of caller."""

from __future__ import annotations

import asyncio
import queue
import threading
from typing import Any

import pykka
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from runtime import ActorSystem, Reply, TrioActor
from tests.runtime.samples import Echo


def test_getting_with_a_timeout_raises_and_the_reply_can_still_be_settled() -> None:
    reply: Reply[int] = Reply()

    with pytest.raises(pykka.Timeout):
        reply.get(timeout=0.01)

    reply.set(1)
    assert reply.get(timeout=0) == 1


async def test_cancelling_a_wait_leaves_the_reply_alone(autojump_clock: MockClock) -> None:
    reply: Reply[int] = Reply()

    with trio.move_on_after(1) as scope:
        await reply

    assert scope.cancelled_caught
    assert autojump_clock.current_time() == 1
    reply.set(1)
    assert await reply == 1


async def test_a_cancelled_wait_whose_answer_comes_at_the_same_time_is_not_woken_twice() -> None:
    reply: Reply[int] = Reply()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(reply.settled)
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
        thread = threading.Thread(target=reply.set, args=[1])
        thread.start()
        thread.join()

    assert await reply == 1


async def test_many_tasks_wait_for_one_reply() -> None:
    reply: Reply[int] = Reply()
    got: list[int] = []

    async def wait() -> None:
        got.append(await reply)

    async with trio.open_nursery() as nursery:
        for _ in range(10):
            nursery.start_soon(wait)
        await wait_all_tasks_blocked()
        await trio.to_thread.run_sync(reply.set, 7)

    assert got == [7] * 10


def test_a_cancelled_asyncio_wait_leaves_the_reply_alone() -> None:
    reply: Reply[int] = Reply()

    async def main() -> int:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(_value_of(reply), 0.01)
        reply.set(1)
        return await reply

    assert asyncio.run(main()) == 1


async def _value_of(reply: Reply[int]) -> int:
    return await reply


def test_a_reply_settled_after_its_asyncio_loop_has_closed_is_settled() -> None:
    reply: Reply[int] = Reply()

    async def abandon() -> None:
        waiter = asyncio.ensure_future(_value_of(reply))
        await asyncio.sleep(0)
        waiter.cancel()

    asyncio.run(abandon())
    reply.set(1)

    assert reply.get() == 1


def test_a_reply_is_set_once() -> None:
    reply: Reply[int] = Reply()
    reply.set(1)

    with pytest.raises(queue.Full):
        reply.set(2)
    with pytest.raises(queue.Full):
        reply.set_exception((ValueError, ValueError(), None))
    assert reply.get() == 1


async def test_pending_replies_compose_and_are_awaited_in_trio() -> None:
    numbers: Reply[Any] = Reply()
    one: Reply[int] = Reply()

    doubled = numbers.map(lambda ns: [2 * n for n in ns])
    even = numbers.filter(lambda n: n % 2 == 0)
    total = numbers.reduce(lambda a, b: a + b, 100)
    joined = one.join(total)
    composed = (doubled, even, total, joined)
    assert not any(reply.done for reply in composed)

    got: list[Any] = []

    async def wait() -> None:
        got.extend([await reply for reply in composed])

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        await wait_all_tasks_blocked()
        numbers.set([1, 2, 3])
        one.set(1)

    assert got == [[2, 4, 6], [2], 106, [1, 106]]


async def test_a_composed_reply_is_done_when_its_sources_are() -> None:
    one: Reply[int] = Reply()
    mapped = one.map(lambda n: n + 1)

    one.set(1)

    assert mapped.done
    assert mapped.get() == 2


async def test_recover_answers_for_a_failure() -> None:
    reply: Reply[Any] = Reply()
    recovered = reply.recover(lambda error: f"instead of {error}")
    reply.set_exception((ValueError, ValueError("it"), None))

    assert await recovered == "instead of it"


async def test_a_composed_reply_fails_with_its_source_or_its_function() -> None:
    failed: Reply[int] = Reply()
    failed.set_exception((KeyError, KeyError("source"), None))
    done: Reply[int] = Reply()
    done.set(0)

    with pytest.raises(KeyError):
        await failed.map(lambda n: n + 1)
    with pytest.raises(ZeroDivisionError):
        await done.map(lambda n: 1 // n)


async def test_a_trio_reply_joins_a_threading_future(system: ActorSystem) -> None:
    foreign: pykka.ThreadingFuture[int] = pykka.ThreadingFuture()
    joined = system.spawn(Echo).ask(1, block=False).join(foreign)
    threading.Timer(0, foreign.set, [2]).start()

    assert await joined == [1, 2]


async def test_a_callback_that_raises_does_not_keep_the_others_waiting(system: ActorSystem) -> None:
    def raise_error(_: Reply[Any]) -> None:
        raise ValueError

    called: list[Reply[Any]] = []
    ref = system.spawn(Echo)
    reply = ref.ask(1, block=False)
    reply.subscribe(raise_error)
    reply.subscribe(called.append)

    assert await reply == 1
    assert called == [reply]
    assert await ref.ask("alive", block=False) == "alive"


@pytest.mark.usefixtures("eager_thread_switches")
async def test_a_reply_set_from_any_thread_wakes_its_waiter() -> None:
    for _ in range(200):
        reply: Reply[int] = Reply()
        thread = threading.Thread(target=reply.set, args=[1])
        thread.start()
        assert await reply == 1
        thread.join()


def test_a_derived_reply_calls_back_when_its_last_source_is_settled() -> None:
    first: Reply[int] = Reply()
    second: Reply[int] = Reply()
    both = first.join(second)
    settled: list[Reply[Any]] = []

    assert both.subscribe(settled.append)
    first.set(1)
    assert settled == []
    second.set(2)

    assert settled == [both]
    assert list(both.get(timeout=0)) == [1, 2]


def test_a_derived_reply_of_settled_ones_says_so_instead_of_calling_back() -> None:
    source: Reply[int] = Reply()
    source.set(1)
    called: list[Reply[Any]] = []

    assert not source.map(str).subscribe(called.append)
    assert called == []


def test_a_reply_made_of_other_futures_cannot_be_subscribed_to() -> None:
    source: Reply[int] = Reply()
    mixed = source.join(pykka.ThreadingFuture())

    with pytest.raises(TypeError, match="only be waited for"):
        mixed.subscribe(print)


async def test_an_ask_with_a_timeout_is_settled_when_the_time_is_over(
    system: ActorSystem, autojump_clock: MockClock
) -> None:
    slow = system.spawn(Sleeper, 10)

    late = slow.ask("late", block=False, timeout=3)
    with pytest.raises(pykka.Timeout, match="3 seconds"):
        await late

    assert autojump_clock.current_time() == 3
    assert slow.is_alive()
    assert await slow.ask("in time", block=False, timeout=20) == "in time"
    assert len(system.scheduler.alarms) == 0


class Sleeper(TrioActor):
    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds

    async def on_receive(self, message: Any) -> Any:
        await trio.sleep(self.seconds)
        return message

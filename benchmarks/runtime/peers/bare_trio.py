"""trio without a runtime: a task per actor, which reads an unbounded memory channel in a loop.

What trio's users write by hand. There is no supervision, no isolation of errors, no ask, no names, and a
`tell` is `send_nowait`, which is cheaper than an `await send()`.
"""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Awaitable, Callable
from typing import Any, cast

import trio
import trio.testing

from benchmarks.runtime.peer import Outcome, PythonPeer, Request, freeze_gc, rss_bytes, serve, thaw_gc
from benchmarks.runtime.savina import NEXT, WORKLOADS, Adder, Behaviour, Idle, Ref, Sink

PEER = PythonPeer(
    "trio",
    "benchmarks.runtime.peers.bare_trio",
    needs="trio",
    distribution="trio",
    scaled={
        "PingPong": {"pings": 20_000},
        "Counting": {"messages": 200_000},
        "Big": {"pings": 1_000},
        "BndBuffer, no work": {"items": 250},
        "SleepingBarber": {"haircuts": 1_200},
        "Banking": {"transactions": 20_000},
    },
    left_out={"memory 1 M": "a task takes kilobytes: 100 k tell enough"},
)


class ChannelActor:
    """A behaviour's mailbox and loop."""

    def __init__(self) -> None:
        self._channel, self._mail = trio.open_memory_channel[Any](math.inf)
        self.tell = self._channel.send_nowait
        self.actor_ref = self
        self._stopping = False

    def on_receive(self, message: Any) -> object:
        raise NotImplementedError

    def stop(self) -> None:
        self._stopping = True

    def close(self) -> None:
        """End after the mail that is there."""
        self._channel.close()

    async def run(self) -> None:
        async for message in self._mail:
            self.on_receive(message)
            if self._stopping:
                break


@functools.cache
def actor_class(behaviour: type[Behaviour]) -> type[ChannelActor]:
    return cast("type[ChannelActor]", type(behaviour.__name__, (behaviour, ChannelActor), {}))


class AskedAdder(Adder):
    """Answers into a channel that the asker made for this."""

    def on_receive(self, message: Any) -> Any:
        number, reply = message
        reply.send_nowait(super().on_receive(number))


class Host:
    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        self._finished = trio.Event()
        self._result: tuple[float, ...] = ()

    def spawn(self, behaviour: type[Behaviour], *args: Any) -> ChannelActor:
        actor = actor_class(behaviour)(*args)
        self._nursery.start_soon(actor.run)
        return actor

    def finish(self, *result: float) -> None:
        self._result = result
        self._finished.set()

    async def result(self) -> list[int | float]:
        await self._finished.wait()
        return list(self._result)


async def savina(workload: str, **parameters: int) -> Outcome:
    async with trio.open_nursery() as nursery:
        host = Host(nursery)
        began = time.perf_counter()
        WORKLOADS[workload](host, **parameters)
        result = await host.result()
        outcome = Outcome(time.perf_counter() - began, result)
        nursery.cancel_scope.cancel()
    return outcome


async def greet(nursery: trio.Nursery, actors: list[ChannelActor]) -> list[int | float]:
    """One message to each, and how many answered."""
    host = Host(nursery)
    sink: Ref = host.spawn(Sink, host, len(actors))
    for actor in actors:
        actor.tell(sink)
    return await host.result()


async def greet_by_turns(nursery: trio.Nursery, actors: list[ChannelActor]) -> list[int | float]:
    """`greet`, a thousand at a time."""
    answered = [
        await greet(nursery, actors[first : first + 1_000]) for first in range(0, len(actors), 1_000)
    ]
    return [sum(count for counts in answered for count in counts)]


async def spawn(actors: int) -> Outcome:
    async with trio.open_nursery() as nursery:
        host = Host(nursery)
        freeze_gc()
        began = time.perf_counter()
        spawned = [host.spawn(Idle) for _ in range(actors)]
        host.spawn(Sink, host, 1).tell(NEXT)
        await host.result()  # trio shuffles tasks, but runs every new one before this
        seconds = time.perf_counter() - began
        thaw_gc()
        outcome = Outcome(seconds, await greet(nursery, spawned))
        nursery.cancel_scope.cancel()
    return outcome


async def stop(actors: int) -> Outcome:
    async with trio.open_nursery() as sinks, trio.open_nursery() as nursery:
        spawned = [Host(nursery).spawn(Idle) for _ in range(actors)]
        await greet(sinks, spawned)
        began = time.perf_counter()
        for actor in spawned:
            actor.close()
        while nursery.child_tasks:
            await trio.lowlevel.checkpoint()
        seconds = time.perf_counter() - began
        sinks.cancel_scope.cancel()
    return Outcome(seconds, [len(spawned) - len(nursery.child_tasks)])


async def close(actors: int) -> Outcome:
    began = 0.0
    spawned = 0
    async with trio.open_nursery() as nursery:
        await greet(nursery, [Host(nursery).spawn(Idle) for _ in range(actors)])
        spawned = len(nursery.child_tasks) - 1
        began = time.perf_counter()
        nursery.cancel_scope.cancel()
    return Outcome(time.perf_counter() - began, [spawned - len(nursery.child_tasks)])


async def ask(asks: int) -> Outcome:
    async with trio.open_nursery() as nursery:
        adder = Host(nursery).spawn(AskedAdder)
        total = 0
        began = time.perf_counter()
        for number in range(asks):
            reply, answer = trio.open_memory_channel[int](1)
            adder.tell((number, reply))
            total += await answer.receive()
        outcome = Outcome(time.perf_counter() - began, [total])
        nursery.cancel_scope.cancel()
    return outcome


async def memory(actors: int) -> Outcome:
    async with trio.open_nursery() as nursery:
        host = Host(nursery)
        await greet(nursery, [host.spawn(Idle)])
        freeze_gc()
        before = rss_bytes()
        began = time.perf_counter()
        refs = [host.spawn(Idle) for _ in range(actors)]
        await trio.testing.wait_all_tasks_blocked()
        spawned = rss_bytes()
        answered = await greet_by_turns(nursery, refs)
        outcome = Outcome(time.perf_counter() - began, [*answered, spawned - before, rss_bytes() - before])
        nursery.cancel_scope.cancel()
    return outcome


OTHERS: dict[str, Callable[..., Awaitable[Outcome]]] = {
    "spawn": spawn,
    "stop": stop,
    "close": close,
    "ask": ask,
    "memory": memory,
}


def run(request: Request) -> Outcome:
    workload = OTHERS.get(request.workload) or functools.partial(savina, request.workload)
    return trio.run(functools.partial(workload, **request.parameters))


if __name__ == "__main__":
    serve(run)

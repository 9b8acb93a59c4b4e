"""This project: `TrioActor`s through `system.spawn`, `ActorRef.tell` and `ask`, every guarantee on."""

from __future__ import annotations

import functools
import time
from collections.abc import Awaitable, Callable
from typing import Any, cast

import trio

from benchmarks.runtime.peer import Outcome, PythonPeer, Request, freeze_gc, rss_bytes, serve, thaw_gc
from benchmarks.runtime.savina import WORKLOADS, Adder, Behaviour, Idle, Ref, Sink
from runtime import ActorRef, ActorSystem, TrioActor, open_system

PEER = PythonPeer(
    "greenroom", "benchmarks.runtime.peers.greenroom", needs="runtime", distribution="greenroom"
)

_SHUTDOWN_SECONDS = 120.0
"""Long, so that `close` measures the end of every actor, and not the budget."""


@functools.cache
def actor_class(behaviour: type[Behaviour]) -> type[TrioActor]:
    return cast("type[TrioActor]", type(behaviour.__name__, (behaviour, TrioActor), {}))


class Host:
    def __init__(self, system: ActorSystem) -> None:
        self._system = system
        self._finished = trio.Event()
        self._result: tuple[float, ...] = ()

    def spawn(self, behaviour: type[Behaviour], *args: Any) -> ActorRef[TrioActor]:
        return self._system.spawn(actor_class(behaviour), *args)

    def finish(self, *result: float) -> None:
        self._result = result
        self._finished.set()

    async def result(self) -> list[int | float]:
        await self._finished.wait()
        return list(self._result)


async def savina(workload: str, **parameters: int) -> Outcome:
    async with open_system() as system:
        host = Host(system)
        began = time.perf_counter()
        WORKLOADS[workload](host, **parameters)
        result = await host.result()
        return Outcome(time.perf_counter() - began, result)


async def greet(system: ActorSystem, refs: list[ActorRef[TrioActor]]) -> list[int | float]:
    """One message to each, and how many answered."""
    host = Host(system)
    sink: Ref = host.spawn(Sink, host, len(refs))
    for ref in refs:
        ref.tell(sink)
    return await host.result()


async def greet_by_turns(system: ActorSystem, refs: list[ActorRef[TrioActor]]) -> list[int | float]:
    """`greet`, a thousand at a time: mail that waits for its turn is not what an actor at rest takes."""
    answered = [await greet(system, refs[first : first + 1_000]) for first in range(0, len(refs), 1_000)]
    return [sum(count for counts in answered for count in counts)]


async def spawn(actors: int) -> Outcome:
    async with open_system(shutdown_budget_seconds=_SHUTDOWN_SECONDS) as system:
        idle = actor_class(Idle)
        adder = actor_class(Adder)
        freeze_gc()
        began = time.perf_counter()
        refs = [system.spawn(idle) for _ in range(actors)]
        await system.spawn(adder).ask(0, block=False)  # it starts after all the others have
        seconds = time.perf_counter() - began
        thaw_gc()
        return Outcome(seconds, await greet(system, refs))


async def stop(actors: int) -> Outcome:
    async with open_system() as system:
        refs = [system.spawn(actor_class(Idle)) for _ in range(actors)]
        await greet(system, refs)
        began = time.perf_counter()
        stopped = 0
        for reply in [ref.stop(block=False) for ref in refs]:
            stopped += await reply
        return Outcome(time.perf_counter() - began, [stopped])


async def close(actors: int) -> Outcome:
    async with open_system(shutdown_budget_seconds=_SHUTDOWN_SECONDS) as system:
        refs = [system.spawn(actor_class(Idle)) for _ in range(actors)]
        await greet(system, refs)
        began = time.perf_counter()
    seconds = time.perf_counter() - began
    return Outcome(seconds, [sum(not ref.is_alive() for ref in refs)])


async def ask(asks: int) -> Outcome:
    async with open_system() as system:
        adder = system.spawn(actor_class(Adder))
        total = 0
        began = time.perf_counter()
        for number in range(asks):
            total += await adder.ask(number, block=False)
        return Outcome(time.perf_counter() - began, [total])


async def memory(actors: int) -> Outcome:
    async with open_system(shutdown_budget_seconds=0.0) as system:
        await greet(system, [system.spawn(actor_class(Idle))])
        freeze_gc()
        before = rss_bytes()
        began = time.perf_counter()
        refs = [system.spawn(actor_class(Idle)) for _ in range(actors)]
        await system.spawn(actor_class(Adder)).ask(0, block=False)
        spawned = rss_bytes()
        answered = await greet_by_turns(system, refs)
        return Outcome(time.perf_counter() - began, [*answered, spawned - before, rss_bytes() - before])


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

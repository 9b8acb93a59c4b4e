"""pykka's `ThreadingActor`, a thread and a `queue.Queue` per actor: what users of pykka have today."""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable
from typing import Any, cast

import pykka

from benchmarks.runtime.peer import Outcome, PythonPeer, Request, freeze_gc, rss_bytes, serve, thaw_gc
from benchmarks.runtime.savina import WORKLOADS, Adder, Behaviour, Idle, Ref, Sink

PEER = PythonPeer(
    "pykka",
    "benchmarks.runtime.peers.pykka_threads",
    needs="pykka",
    distribution="pykka",
    scaled={
        "PingPong": {"pings": 4_000},
        "Counting": {"messages": 100_000},
        "FJCreate": {"workers": 4_000},
        "ThreadRing": {"hops": 20_000},
        "Big": {"pings": 200},
        "BndBuffer": {"items": 25},
        "BndBuffer, no work": {"items": 100},
        "SleepingBarber": {"haircuts": 1_200},
        "Banking": {"transactions": 5_000},
        "spawn": {"actors": 2_000},
        "stop 10 k": {"actors": 1_000},
        "close 10 k": {"actors": 1_000},
        "ask": {"asks": 20_000},
    },
    left_out=dict.fromkeys(
        ("stop 100 k", "close 100 k", "memory 100 k", "memory 1 M"),
        "an actor is an operating system thread",
    ),
)


@functools.cache
def actor_class(behaviour: type[Behaviour]) -> type[pykka.ThreadingActor]:
    members = {"use_daemon_thread": True}
    return cast(
        "type[pykka.ThreadingActor]", type(behaviour.__name__, (behaviour, pykka.ThreadingActor), members)
    )


class Host:
    def __init__(self) -> None:
        self._finished = threading.Event()
        self._result: tuple[float, ...] = ()

    def spawn(self, behaviour: type[Behaviour], *args: Any) -> pykka.ActorRef[pykka.ThreadingActor]:
        return actor_class(behaviour).start(*args)

    def finish(self, *result: float) -> None:
        self._result = result
        self._finished.set()

    def result(self) -> list[int | float]:
        self._finished.wait()
        return list(self._result)


def savina(workload: str, **parameters: int) -> Outcome:
    host = Host()
    began = time.perf_counter()
    WORKLOADS[workload](host, **parameters)
    result = host.result()
    return Outcome(time.perf_counter() - began, result)


def greet(refs: list[pykka.ActorRef[pykka.ThreadingActor]]) -> list[int | float]:
    """One message to each, and how many answered."""
    host = Host()
    sink: Ref = host.spawn(Sink, host, len(refs))
    for ref in refs:
        ref.tell(sink)
    return host.result()


def spawn(actors: int) -> Outcome:
    idle = actor_class(Idle)
    adder = actor_class(Adder)
    freeze_gc()
    began = time.perf_counter()
    refs = [idle.start() for _ in range(actors)]
    adder.start().ask(0)
    seconds = time.perf_counter() - began
    thaw_gc()
    return Outcome(seconds, greet(refs))


def stop(actors: int) -> Outcome:
    refs = [actor_class(Idle).start() for _ in range(actors)]
    greet(refs)
    began = time.perf_counter()
    stopped = sum(reply.get() for reply in [ref.stop(block=False) for ref in refs])
    return Outcome(time.perf_counter() - began, [stopped])


def close(actors: int) -> Outcome:
    refs = [actor_class(Idle).start() for _ in range(actors)]
    greet(refs)
    began = time.perf_counter()
    pykka.ActorRegistry.stop_all()
    return Outcome(time.perf_counter() - began, [sum(not ref.is_alive() for ref in refs)])


def ask(asks: int) -> Outcome:
    adder = actor_class(Adder).start()
    total = 0
    began = time.perf_counter()
    for number in range(asks):
        total += adder.ask(number, block=True)
    return Outcome(time.perf_counter() - began, [total])


def memory(actors: int) -> Outcome:
    greet([actor_class(Idle).start()])
    freeze_gc()
    before = rss_bytes()
    began = time.perf_counter()
    refs = [actor_class(Idle).start() for _ in range(actors)]
    actor_class(Adder).start().ask(0)
    spawned = rss_bytes()
    answered = greet(refs)
    return Outcome(time.perf_counter() - began, [*answered, spawned - before, rss_bytes() - before])


OTHERS: dict[str, Callable[..., Outcome]] = {
    "spawn": spawn,
    "stop": stop,
    "close": close,
    "ask": ask,
    "memory": memory,
}


def run(request: Request) -> Outcome:
    workload = OTHERS.get(request.workload) or functools.partial(savina, request.workload)
    try:
        return workload(**request.parameters)
    finally:
        pykka.ActorRegistry.stop_all()


if __name__ == "__main__":
    serve(run)

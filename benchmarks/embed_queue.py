"""What does an event cost on its way from the actors' thread to an asyncio host?

A thread hands events to an asyncio loop in another thread, as an actor system in a `SystemThread` does
to its host. In the same run and in turns:

- `one by one`: `loop.call_soon_threadsafe(list.append, event)`, one wake-up an event, as asyncio documents;
- `asyncio.Queue`: `loop.call_soon_threadsafe(queue.put_nowait, event)`, and a task that takes each;
- `HostQueue`: `queue.put(event)`, and a task that takes batches.

The quantity is the producer's time per event, which is the scheduler's time when an actor puts, and the
time until the last event has arrived. The ratio is to `HostQueue`. Events come at once, or in bursts
with a pause until each burst has arrived, which is the least that a batch can be. Each way runs ROUNDS
times; the median counts.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import statistics
import sys
import threading
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from time import perf_counter
from typing import Protocol, TypeAlias

import msgspec

from runtime.embed import HostQueue

ROUNDS = 5
EVENTS = 200_000
BURSTS = (1, 10, 100, EVENTS)
BIAS = (
    "for HostQueue: the consumer does nothing with its events, so batches depend on the producer alone",
    "against HostQueue: with bursts of 1 nothing can be coalesced, and its lock and batch are extra",
    "against all: two threads share the interpreter's lock, so the producer also pays for the consumer",
)


class Row(msgspec.Struct, frozen=True):
    """One way, with events in bursts. Times are microseconds per event, medians."""

    burst: int
    way: str
    put_us: float
    arrived_us: float
    put_ratio: float
    arrived_ratio: float


class Report(msgspec.Struct, frozen=True):
    question: str
    python: str
    machine: str
    cores: int
    versions: dict[str, str]
    bias: tuple[str, ...]
    events: int
    rounds: int
    rows: list[Row]


class Arrivals:
    """Counts events in the loop, and tells the producer when a burst has arrived."""

    def __init__(self, burst: int) -> None:
        self.burst = burst
        self.count = 0
        self.arrived = threading.Semaphore(0)

    def add(self, count: int) -> None:
        before = self.count // self.burst
        self.count += count
        for _ in range(self.count // self.burst - before):
            self.arrived.release()


class Way(Protocol):
    """How events get into the loop. `consume` runs in the loop, the others in the producer's thread."""

    def put(self, event: int, /) -> object: ...

    def close(self) -> object: ...

    async def consume(self) -> None: ...


class OneByOne:
    def __init__(self, arrivals: Arrivals) -> None:
        self._loop = asyncio.get_running_loop()
        self._arrivals = arrivals
        self._closed = asyncio.Event()

    def put(self, event: int, /) -> None:
        self._loop.call_soon_threadsafe(self._take, event)

    def _take(self, _: int) -> None:
        self._arrivals.add(1)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._closed.set)

    async def consume(self) -> None:
        await self._closed.wait()


class AsyncioQueue:
    def __init__(self, arrivals: Arrivals) -> None:
        self._loop = asyncio.get_running_loop()
        self._arrivals = arrivals
        self._queue: asyncio.Queue[int | None] = asyncio.Queue()

    def put(self, event: int, /) -> None:
        self._loop.call_soon_threadsafe(self._queue.put_nowait, event)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._queue.put_nowait, None)

    async def consume(self) -> None:
        while await self._queue.get() is not None:
            self._arrivals.add(1)


class Coalesced:
    def __init__(self, arrivals: Arrivals) -> None:
        self._arrivals = arrivals
        self._queue: HostQueue[int] = HostQueue(limit=EVENTS)
        self.put = self._queue.put
        self.close = self._queue.close

    async def consume(self) -> None:
        async for batch in self._queue:
            self._arrivals.add(len(batch))


Make: TypeAlias = Callable[[Arrivals], Way]
WAYS: dict[str, Make] = {"one by one": OneByOne, "asyncio.Queue": AsyncioQueue, "HostQueue": Coalesced}


async def run(make: Make, events: int, burst: int) -> tuple[float, float]:
    """Seconds that the producer spent in putting, and seconds until the last event had arrived."""
    arrivals = Arrivals(burst)
    way = make(arrivals)
    consuming: Awaitable[None] = asyncio.create_task(way.consume())
    await asyncio.sleep(0)

    def produce() -> tuple[float, float]:
        put = way.put
        putting = 0.0
        began = perf_counter()
        for first in range(0, events, burst):
            start = perf_counter()
            for event in range(first, first + burst):
                put(event)
            putting += perf_counter() - start
            arrivals.arrived.acquire()
        return putting, perf_counter() - began

    seconds = await asyncio.to_thread(produce)
    way.close()
    await consuming
    return seconds


def measure(rounds: int, events: int) -> Report:
    rows: list[Row] = []
    for burst in (min(burst, events) for burst in BURSTS):
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in WAYS}
        # A burst of 1 is a turn of two threads each: fewer of them take as long.
        count = events if burst > 1 else events // 10
        for number in range(rounds):
            print(f"bursts of {burst:,}: round {number + 1} of {rounds}", file=sys.stderr)
            for name, make in WAYS.items():
                times[name].append(asyncio.run(run(make, count, burst)))
        medians = {
            name: tuple(statistics.median(column) / count * 1e6 for column in zip(*rows_of, strict=True))
            for name, rows_of in times.items()
        }
        put, arrived = medians["HostQueue"]
        rows += [
            Row(
                burst=burst,
                way=name,
                put_us=values[0],
                arrived_us=values[1],
                put_ratio=values[0] / put,
                arrived_ratio=values[1] / arrived,
            )
            for name, values in medians.items()
        ]
    assert __doc__ is not None
    return Report(
        question=__doc__.splitlines()[0],
        python=f"{platform.python_implementation()} {platform.python_version()}",
        machine=platform.platform(),
        cores=os.cpu_count() or 1,
        versions={"greenroom": version("greenroom")},
        bias=BIAS,
        events=events,
        rounds=rounds,
        rows=rows,
    )


def show(report: Report) -> None:
    print(report.question)
    print(f"{report.python}; {report.machine}, {report.cores} cores; median of {report.rounds}")
    for line in report.bias:
        print(f"bias {line}")
    print(f"{'burst':>10}  {'way':<16}{'put us':>10}{'ratio':>10}{'arrived us':>14}{'ratio':>10}")
    for row in report.rows:
        print(
            f"{row.burst:>10,}  {row.way:<16}{row.put_us:>10.2f}{row.put_ratio:>8.1f} x"
            f"{row.arrived_us:>14.2f}{row.arrived_ratio:>8.1f} x"
        )


def main() -> None:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one short round, to see that it works")
    parser.add_argument("--json", action="store_true", help="print the report as one JSON object")
    arguments = parser.parse_args()
    report = measure(1, 2_000) if arguments.quick else measure(ROUNDS, EVENTS)
    if arguments.json:
        print(msgspec.json.encode(report).decode())
    else:
        show(report)


if __name__ == "__main__":
    main()

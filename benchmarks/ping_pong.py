"""How fast do two actors pass a message back and forth?

Two actors hold each other's refs; a counter goes from one to the other until it is zero. One message is one
`tell` and one call of the handler. The same exchange, in the same run and in turns:

- `runtime`: two `TrioActor`s through `ActorRef.tell`, every guarantee on;
- `pykka`: two `ThreadingActor`s through `pykka.ActorRef.tell`, as users of pykka have it today;
- `trio`: two trio tasks and two memory channels of capacity 1, the bare means that trio offers.

The ratio is the quantity; absolute rates depend on the machine. Each peer runs ROUNDS times, peers take
turns so that a slow phase of the machine meets all of them, and the median counts.

Bias. For `runtime`: one message is under way at a time, so a dispatcher never has to choose, and its queue
never grows. Against it: nothing can be batched, every message is a turn of its own. Against `pykka`: the
exchange is nothing but thread switches, its worst case. Against `trio`: a task switch per message, where an
application might pass batches. The process is pinned to one core where the system allows it.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
import threading
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import msgspec
import pykka
import trio

from runtime import ActorRef, TrioActor, open_system

TARGET_MESSAGES_PER_SECOND = 1_500_000
TARGET_RATIO_TO_PYKKA = 30.0
ROUNDS = 5


class Row(msgspec.Struct, frozen=True):
    """One peer. Rates are messages per second, `ratio` is the runtime's rate over this one's."""

    peer: str
    messages: int
    median_rate: float
    best_rate: float
    ratio: float


class Report(msgspec.Struct, frozen=True):
    python: str
    machine: str
    cores: int
    versions: dict[str, str]
    rounds: int
    target_rate: int
    target_ratio_to_pykka: float
    rows: list[Row]


class Player(TrioActor):
    def __init__(self, done: trio.Event) -> None:
        super().__init__()
        self.done = done
        self.other: ActorRef[Player] | None = None

    def on_receive(self, message: Any) -> None:
        if self.other is None:
            self.other = message
        elif message:
            self.other.tell(message - 1)
        else:
            self.done.set()


async def _play_runtime(messages: int) -> float:
    async with open_system() as system:
        done = trio.Event()
        ping, pong = system.spawn(Player, done), system.spawn(Player, done)
        ping.tell(pong)
        await pong.ask(ping, block=False)
        began = time.perf_counter()
        ping.tell(messages - 1)
        await done.wait()
        return time.perf_counter() - began


class ThreadingPlayer(pykka.ThreadingActor):
    use_daemon_thread = True

    def __init__(self, done: threading.Event) -> None:
        super().__init__()
        self.done = done
        self.other: pykka.ActorRef[ThreadingPlayer] | None = None

    def on_receive(self, message: Any) -> None:
        if self.other is None:
            self.other = message
        elif message:
            self.other.tell(message - 1)
        else:
            self.done.set()


def _play_pykka(messages: int) -> float:
    done = threading.Event()
    ping, pong = ThreadingPlayer.start(done), ThreadingPlayer.start(done)
    try:
        ping.tell(pong)
        pong.ask(ping)
        began = time.perf_counter()
        ping.tell(messages - 1)
        done.wait()
        return time.perf_counter() - began
    finally:
        ping.stop()
        pong.stop()


async def _play_trio(messages: int) -> float:
    to_pong, from_ping = trio.open_memory_channel[int](1)
    to_ping, from_pong = trio.open_memory_channel[int](1)

    async def play(mine: trio.MemoryReceiveChannel[int], other: trio.MemorySendChannel[int]) -> None:
        async with other:
            async for message in mine:
                if not message:
                    return
                await other.send(message - 1)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(play, from_pong, to_pong)
        nursery.start_soon(play, from_ping, to_ping)
        began = time.perf_counter()
        await to_ping.send(messages - 1)
    return time.perf_counter() - began


def play_runtime(messages: int) -> float:
    return trio.run(_play_runtime, messages)


def play_trio(messages: int) -> float:
    return trio.run(_play_trio, messages)


# Messages per round, so that each peer plays about as long.
PEERS: dict[str, tuple[Callable[[int], float], int]] = {
    "runtime": (play_runtime, 1_000_000),
    "pykka": (_play_pykka, 30_000),
    "trio": (play_trio, 200_000),
}


def measure(rounds: int, share: float) -> Report:
    """Let every peer play `rounds` times, with `share` of its messages."""
    rates: dict[str, list[float]] = {peer: [] for peer in PEERS}
    for number in range(rounds):
        for peer, (play, messages) in PEERS.items():
            print(f"round {number + 1} of {rounds}: {peer}", file=sys.stderr)
            count = round(messages * share)
            rates[peer].append(count / play(count))
    ours = statistics.median(rates["runtime"])
    return Report(
        python=f"{platform.python_implementation()} {platform.python_version()}",
        machine=platform.platform(),
        cores=os.cpu_count() or 1,
        versions={name: version(name) for name in ("pykka", "trio")},
        rounds=rounds,
        target_rate=TARGET_MESSAGES_PER_SECOND,
        target_ratio_to_pykka=TARGET_RATIO_TO_PYKKA,
        rows=[
            Row(
                peer=peer,
                messages=round(messages * share),
                median_rate=statistics.median(rates[peer]),
                best_rate=max(rates[peer]),
                ratio=ours / statistics.median(rates[peer]),
            )
            for peer, (_, messages) in PEERS.items()
        ],
    )


def show(report: Report) -> None:
    versions = ", ".join(f"{name} {number}" for name, number in report.versions.items())
    print(f"{report.python}, {versions}; {report.machine}, {report.cores} cores, pinned to one")
    print(f"{'peer':<10}{'messages':>12}{'median msg/s':>16}{'best msg/s':>14}{'runtime is':>12}")
    for row in report.rows:
        print(
            f"{row.peer:<10}{row.messages:>12,}{row.median_rate:>16,.0f}{row.best_rate:>14,.0f}"
            f"{row.ratio:>10.1f} x"
        )
    ours, threads = report.rows[0].median_rate, report.rows[1].ratio
    print(f"target {report.target_rate:,} msg/s: {'met' if ours >= report.target_rate else 'not met'}")
    met = "met" if threads >= report.target_ratio_to_pykka else "not met"
    print(f"target {report.target_ratio_to_pykka:.0f} x pykka: {met}")


def main() -> None:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one short round, to see that it works")
    parser.add_argument("--json", action="store_true", help="print the report as one JSON object")
    arguments = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    report = measure(1, 0.05) if arguments.quick else measure(ROUNDS, 1.0)
    if arguments.json:
        print(msgspec.json.encode(report).decode())
    else:
        show(report)


if __name__ == "__main__":
    main()

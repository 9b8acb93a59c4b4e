"""How fast are actors here, beside pykka's threads, bare trio tasks and Erlang's processes?

The Savina suite's PingPong, Counting, FJCreate, ThreadRing, Big, BndBuffer, SleepingBarber and Banking; the
round trip of an `ask`; spawning; stopping each actor, and closing the system with all of them; and the
memory of an actor that rests, new and after one message.

Every peer exchanges the same messages, and every run checks its result. A run is a process of its own,
pinned to the same core. Peers take turns, round by round, and the medians count. A rate is what was handled
over the wall time from before the first actor is made to the last result. Memory is the growth of the
process's resident set over that number of actors, after a collection, in a process for each number.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from benchmarks.runtime.catalogue import BENCHMARKS, MEMORY, SPEED, Benchmark
from benchmarks.runtime.peer import OURS, Peer, PeerFailedError, find_peers
from benchmarks.runtime.plot import PlotUnavailableError, plot, require_matplotlib
from benchmarks.runtime.report import MemoryRow, Report, SpeedRow, targets, text_of

ROUNDS = 3
BIAS = (
    "for all but erlang: the garbage collector is frozen and off for spawn and memory, not for FJCreate",
    "for greenroom: PingPong and ThreadRing have one message under way, so that its queue never grows",
    "against greenroom: with one message under way, every message is a turn of its own",
    "against pykka: its actors are threads on one core, and one message under way is nothing but switches",
    "for pykka and trio: `*` marks smaller sizes, so shorter queues and fewer threads; rates are per unit",
    "for trio: a task and an unbounded channel, without supervision, isolation, names or replies",
    "for erlang: compiled code, and tuples instead of objects",
    "against erlang: its runs are so short that the first growth of its heaps counts",
    "for erlang in Banking: it picks the message it waits for, where the rest stash what comes before it",
    "for erlang and pykka in SleepingBarber: they preempt, so that fewer customers find the room full",
    "for nobody: BndBuffer is 5,000 logarithms an item, so that it compares interpreters",
)


def measure(benchmarks: Sequence[Benchmark], peers: Sequence[Peer], rounds: int, *, quick: bool) -> Report:
    speed: list[SpeedRow] = []
    memory: list[MemoryRow] = []
    left_out: list[str] = []
    for benchmark in benchmarks:
        present = [peer for peer in peers if quick or benchmark.name not in peer.left_out]
        left_out += [
            f"{peer.name}, {benchmark.name}: {peer.left_out[benchmark.name]}"
            for peer in peers
            if peer not in present
        ]
        if benchmark in MEMORY:
            memory += [_memory_row(benchmark, peer, quick=quick) for peer in present]
        else:
            speed += _speed_rows(benchmark, present, rounds, quick=quick)
    return Report(
        question=(__doc__ or "").splitlines()[0],
        python=f"{platform.python_implementation()} {platform.python_version()}",
        machine=platform.platform(),
        cores=os.cpu_count() or 1,
        versions={peer.name: peer.version() for peer in peers},
        bias=BIAS,
        quick=quick,
        left_out=left_out,
        speed=speed,
        memory=memory,
        targets=[] if quick else targets(speed, memory),
    )


def _speed_rows(benchmark: Benchmark, peers: Sequence[Peer], rounds: int, *, quick: bool) -> list[SpeedRow]:
    rates: dict[str, list[float]] = {peer.name: [] for peer in peers}
    counts: dict[str, int] = {}
    for number in range(rounds):
        for peer in peers:
            _progress(f"{benchmark.name}, round {number + 1} of {rounds}: {peer.name}")
            parameters = benchmark.parameters_for(peer, quick=quick)
            for outcome in benchmark.run(peer, quick=quick):
                counts[peer.name] = benchmark.count(parameters, outcome.result)
                rates[peer.name].append(counts[peer.name] / outcome.seconds)
    ours = statistics.median(rates[OURS]) if OURS in rates else None
    return [
        SpeedRow(
            benchmark=benchmark.name,
            peer=peer.name,
            unit=benchmark.unit,
            parameters=benchmark.parameters_for(peer, quick=quick),
            scaled=not quick and benchmark.name in peer.scaled,
            count=counts[peer.name],
            rounds=rounds,
            median_rate=statistics.median(rates[peer.name]),
            low_rate=min(rates[peer.name]),
            high_rate=max(rates[peer.name]),
            ratio=ours / statistics.median(rates[peer.name]) if ours is not None else None,
        )
        for peer in peers
    ]


def _memory_row(benchmark: Benchmark, peer: Peer, *, quick: bool) -> MemoryRow:
    _progress(f"{benchmark.name}: {peer.name}")
    [outcome] = benchmark.run(peer, quick=quick)
    actors, spawned, used = (round(number) for number in outcome.result)
    return MemoryRow(peer.name, actors, spawned // actors, used // actors)


def _progress(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _arguments(peers: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.runtime",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="tiny sizes, one round: shows that it works")
    parser.add_argument(
        "--only", nargs="+", choices=BENCHMARKS, metavar="NAME", help=f"of: {', '.join(BENCHMARKS)}"
    )
    parser.add_argument("--peers", nargs="+", choices=peers, metavar="PEER", help=f"of: {', '.join(peers)}")
    parser.add_argument(
        "--rounds", type=int, default=ROUNDS, help="how often each peer has its turn (%(default)s)"
    )
    parser.add_argument("--json", action="store_true", help="print the report as one JSON object")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw it too (.svg, .png)")
    arguments = parser.parse_args()
    if arguments.rounds < 1:
        parser.error("--rounds must be at least 1")
    return arguments


def main() -> int:
    known = find_peers()
    arguments = _arguments(list(known))
    chosen = [known[name] for name in arguments.peers or known]
    missing = [line for peer in chosen if (line := peer.missing())]
    peers = [peer for peer in chosen if not peer.missing()]
    benchmarks = [BENCHMARKS[name] for name in arguments.only] if arguments.only else [*SPEED, *MEMORY]
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    try:
        if arguments.plot:
            require_matplotlib()
        report = measure(
            benchmarks, peers, 1 if arguments.quick else arguments.rounds, quick=arguments.quick
        )
    except (PeerFailedError, PlotUnavailableError) as error:
        print(error, file=sys.stderr)
        return 1
    report = msgspec.structs.replace(report, left_out=[*missing, *report.left_out])
    print(msgspec.json.encode(report).decode() if arguments.json else text_of(report))
    if arguments.plot:
        plot(report, arguments.plot)
    return 0


if __name__ == "__main__":
    sys.exit(main())

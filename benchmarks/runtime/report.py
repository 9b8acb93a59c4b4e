"""What a comparison found, as data and as text."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from benchmarks.runtime.peer import OURS


class SpeedRow(msgspec.Struct, frozen=True):
    """One peer in one benchmark. Rates are units per second; `ratio` is our median over this one's."""

    benchmark: str
    peer: str
    unit: str
    parameters: dict[str, int]
    scaled: bool
    """Run with less than the full parameters."""
    count: int
    rounds: int
    median_rate: float
    low_rate: float
    high_rate: float
    ratio: float | None


class MemoryRow(msgspec.Struct, frozen=True):
    """Bytes per actor, with its ref: when it has been spawned, and when it has handled one message."""

    peer: str
    actors: int
    spawned_bytes: int
    used_bytes: int


class Target(msgspec.Struct, frozen=True):
    what: str
    wanted: str
    found: str
    met: bool


class Report(msgspec.Struct, frozen=True):
    question: str
    python: str
    machine: str
    cores: int
    versions: dict[str, str]
    bias: tuple[str, ...]
    quick: bool
    left_out: list[str]
    speed: list[SpeedRow]
    memory: list[MemoryRow]
    targets: list[Target]


def targets(speed: Sequence[SpeedRow], memory: Sequence[MemoryRow]) -> list[Target]:
    """Those that this run can tell of."""
    rates = {(row.benchmark, row.peer): row.median_rate for row in speed}
    found: list[Target] = []

    def at_least(benchmark: str, wanted: float, unit: str) -> None:
        rate = rates.get((benchmark, OURS))
        if rate is not None:
            found.append(Target(benchmark, f">= {wanted:,.0f} {unit}", f"{rate:,.0f}", rate >= wanted))

    def at_least_times(benchmark: str, wanted: float, peer: str) -> None:
        ours, theirs = rates.get((benchmark, OURS)), rates.get((benchmark, peer))
        if ours is not None and theirs is not None:
            times = ours / theirs
            found.append(Target(benchmark, f">= {wanted:g} x {peer}", f"{times:.2f} x", times >= wanted))

    def linear(how: str) -> None:
        few, many = rates.get((f"{how} 10 k", OURS)), rates.get((f"{how} 100 k", OURS))
        if few is not None and many is not None:
            times = few / many
            found.append(
                Target(
                    f"{how} 100 k actors",
                    f"linear: each <= {LINEAR:g} x its cost at 10 k",
                    f"{times:.2f} x",
                    times <= LINEAR,
                )
            )

    at_least("PingPong", 1_500_000, "messages/s")
    at_least_times("PingPong", 0.5, "erlang")
    at_least_times("PingPong", 30, "pykka")
    at_least("Counting", 2_000_000, "messages/s")
    at_least("spawn", 300_000, "actors/s")
    at_least("ask", 100_000, "round trips/s")
    linear("stop")
    linear("close")
    for row in memory:
        if row.peer == OURS and row.actors == MEMORY_TARGET_ACTORS:
            for state, size in (
                ("idle", row.spawned_bytes),
                ("idle again, after a message", row.used_bytes),
            ):
                found.append(
                    Target(
                        f"memory of an actor, {state}",
                        f"<= {MEMORY_TARGET_BYTES / 1e3:g} kB at 1 M",
                        f"{size / 1e3:.2f} kB",
                        size <= MEMORY_TARGET_BYTES,
                    )
                )
    return found


LINEAR = 1.5
"""Among ten times as many, an actor may cost this much more: caches and page faults have their part."""

MEMORY_TARGET_ACTORS = 1_000_000
MEMORY_TARGET_BYTES = 800


def text_of(report: Report) -> str:
    lines = [report.question, ""]
    lines.append(
        f"{report.python} on {report.machine}, {report.cores} cores, every peer pinned to the same one"
    )
    lines.append(", ".join(f"{name} {number}" for name, number in report.versions.items()))
    lines += [f"bias {line}" for line in report.bias]
    lines += [f"left out: {line}" for line in report.left_out]
    if report.speed:
        lines += ["", *_speed_table(report.speed)]
    if report.memory:
        lines += ["", *_memory_table(report.memory)]
    if report.targets:
        lines += ["", f"{'target':<49}{'wanted':<38}{'found':>12}"]
        for target in report.targets:
            met = "met" if target.met else "NOT MET"
            lines.append(f"{target.what:<49}{target.wanted:<38}{target.found:>12}  {met}")
    if report.quick:
        lines += ["", "quick: the sizes are too small for any of these figures to mean something"]
    return "\n".join(lines)


def _speed_table(rows: Sequence[SpeedRow]) -> list[str]:
    peers = list(dict.fromkeys(row.peer for row in rows))
    by_place = {(row.benchmark, row.peer): row for row in rows}
    header = f"{'per second (medians)':<22}{'unit':<13}" + "".join(f"{peer:>13}" for peer in peers)
    header += "".join(f"{'/ ' + peer:>11}" for peer in peers if peer != OURS)
    lines = [header]
    for name in dict.fromkeys(row.benchmark for row in rows):
        present = {peer: by_place[name, peer] for peer in peers if (name, peer) in by_place}
        line = f"{name:<22}{next(iter(present.values())).unit:<13}"
        for peer in peers:
            row = present.get(peer)
            line += f"{row.median_rate:>12,.0f}{'*' if row.scaled else ' '}" if row else f"{'-':>12} "
        for peer in peers:
            if peer != OURS:
                row = present.get(peer)
                line += f"{row.ratio:>9.2f} x" if row and row.ratio is not None else f"{'-':>11}"
        lines.append(line)
    for peer in peers:
        sizes = [
            f"{row.benchmark} {', '.join(f'{number:,} {name}' for name, number in row.parameters.items())}"
            for row in rows
            if row.scaled and row.peer == peer
        ]
        if sizes:
            lines.append(f"* {peer}: {'; '.join(sizes)}")
    return lines


def _memory_table(rows: Sequence[MemoryRow]) -> list[str]:
    lines = [f"{'kB per actor':<22}{'actors':>12}{'spawned':>13}{'after one':>13}"]
    lines += [
        f"{row.peer:<22}{row.actors:>12,}{row.spawned_bytes / 1e3:>13.2f}{row.used_bytes / 1e3:>13.2f}"
        for row in rows
    ]
    return lines

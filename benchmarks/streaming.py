"""How late is an event with 5,000 sessions streaming in one process, two events a second each?

The endpoint sends a token of every session each half second, without jitter, so that an answer's schedule
is known but for its beginning; the event of an answer that came earliest against it tells that. Whatever
an event comes later is its delay. Sessions begin one after the other, and what arrives is looked at for
some seconds, from when all of them stream.

In turns, each in a process of its own on the same core, from the same endpoint on the other one:

- `bare`: the httpx loop of `clients`, where an event has arrived when it is decoded;
- `engine`: with a SQLite store, and a subscriber for every twentieth session: an event has arrived when
  the subscriber has it, behind session, event and subscription;
- `all followed`: the same, with a subscriber for every session.

The quantity is the added delay: the engine's percentile less that of the bare loop at its size. The CPU
time that a process took, over the time that passed, says how full its core was, and `denied` how much of it
others had while the process wanted it: where the two are nearly one together, delays are those of a queue,
whatever reads from it. Where the bare loop falls behind there is nothing to take off, and the whole delay
counts.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
import trio

from actors.cli.limits import raise_open_files_limit, tune_process
from actors.upstream.settings import UpstreamSettings
from benchmarks.clients import VARIANTS, Load, Tally, all_streaming
from benchmarks.setting import (
    Setting,
    Spread,
    cpu_seconds,
    open_endpoint,
    options_of,
    pin_to_client_core,
    run_child,
    setting,
    show_setting,
    spread_of,
    spread_text,
)

TARGET_ADDED_SECONDS = 0.050
EVENTS_PER_SECOND = 2.0
SETTLE_SECONDS = 3.0
"""From when all sessions stream to the window: what waited because of the last beginnings is worked off."""

BIAS = (
    "for both: a delay that all events of a session have alike is not seen; `first_event` sees it",
    "for the engine: `engine` follows every twentieth session; `all followed` is the other end",
    "for the bare loop: it keeps nothing, publishes nothing, cannot be stopped and handles no error",
    "for neither: the endpoint's own lateness is in both, and so not in the difference",
)
_READERS = {"bare": ("bare", 0), "engine": ("engine", 20), "all followed": ("engine", 1)}


class Size(msgspec.Struct, frozen=True):
    """How many sessions, begun at which pace, and for how long they are looked at."""

    sessions: int
    starts_per_second: float
    window_seconds: float
    readers: tuple[str, ...]


SIZES = (
    Size(1_000, 400, 6, ("bare", "engine", "all followed")),
    Size(2_500, 400, 6, ("bare", "engine")),
    Size(5_000, 250, 6, ("bare", "engine")),
)
QUICK = (Size(20, 100, 1.2, tuple(_READERS)),)


class Delays(msgspec.Struct, frozen=True):
    """What one process saw in its window. `core` is its CPU time over the time that passed.

    `denied` is for which part of that time it could have run and something else had the core.
    """

    delay: Spread
    events: int
    core: float
    denied: float


class Row(msgspec.Struct, frozen=True):
    """`added_*` are seconds over the bare loop at this size. `events` were received in the window.

    All are None where the reader fell behind before all sessions streamed. Where the bare loop did,
    `added_*` is the whole delay.
    """

    sessions: int
    reader: str
    delay: Spread | None = None
    events: int | None = None
    core: float | None = None
    denied: float | None = None
    added_p50: float | None = None
    added_p99: float | None = None


class Report(Setting, frozen=True, kw_only=True):
    events_per_second: float
    target_added_seconds: float
    rows: list[Row]


# --- in a process of its own ------------------------------------------------------------------------


async def measure_reader(variant: str, load: Load, window_seconds: float) -> Delays | None:
    """Run the variant until all of its sessions stream, and for the window; None if they never do."""
    arrivals: dict[int, list[tuple[int, float]]] = {}
    pieces: dict[int, int] = {}

    def arrived(session: int, count: int) -> None:
        now = time.monotonic()
        number = pieces.get(session, 0)
        pieces[session] = number + count
        arrivals.setdefault(session, []).extend((number + later, now) for later in range(count))

    tally = Tally(arrived)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(VARIANTS[variant], load, tally)
        if not await all_streaming(load, tally):
            nursery.cancel_scope.cancel()
            return None
        await trio.sleep(SETTLE_SECONDS)
        denied_before = _denied_seconds()
        began, cpu_before, before = time.monotonic(), cpu_seconds(), tally.traffic().events
        await trio.sleep(window_seconds)
        ended, cpu_after, after = time.monotonic(), cpu_seconds(), tally.traffic().events
        denied = _denied_seconds() - denied_before
        nursery.cancel_scope.cancel()
    delays = [delay for seen in arrivals.values() for came, delay in _delays(seen) if began <= came < ended]
    passed = ended - began
    return Delays(spread_of(delays), after - before, (cpu_after - cpu_before) / passed, denied / passed)


def _denied_seconds() -> float:
    """For how long the main thread has waited for a core so far; 0 where the system does not say."""
    try:
        return int(Path("/proc/self/schedstat").read_text().split()[1]) / 1e9
    except OSError:
        return 0.0


def _delays(seen: Sequence[tuple[int, float]]) -> list[tuple[float, float]]:
    """When each piece of an answer came, and how late. The first is left out: its wait is another one."""
    beginning = min(came - number / EVENTS_PER_SECOND for number, came in seen)
    return [(came, came - number / EVENTS_PER_SECOND - beginning) for number, came in seen if number]


# --- the comparison ---------------------------------------------------------------------------------


async def measure(sizes: Sequence[Size]) -> list[Row]:
    return [row for size in sizes for row in await _measure_size(size)]


async def _measure_size(size: Size) -> list[Row]:
    seconds = size.sessions / size.starts_per_second + size.window_seconds
    tokens = round((3 * seconds + 30) * EVENTS_PER_SECOND)
    settings = UpstreamSettings(
        ttft_seconds=0.2, tokens_per_second=EVENTS_PER_SECOND, tokens=(tokens, tokens)
    )
    found: dict[str, Delays | None] = {}
    async with open_endpoint(settings) as endpoint:
        for reader in size.readers:
            print(f"{size.sessions:,} sessions: {reader}", file=sys.stderr)
            variant, followed_every = _READERS[reader]
            load = Load(
                endpoint.base_url,
                size.sessions,
                turns=1,
                starts_per_second=size.starts_per_second,
                followed_every=followed_every,
            )
            output = await run_child(
                "benchmarks.streaming",
                f"--variant={variant}",
                f"--window={size.window_seconds}",
                f"--load={msgspec.json.encode(load).decode()}",
            )
            found[reader] = msgspec.json.decode(output, type=Delays | None)
    bare = found["bare"]
    p50, p99 = (0.0, 0.0) if bare is None else (bare.delay.p50, bare.delay.p99)
    return [
        Row(size.sessions, reader)
        if its is None
        else Row(
            size.sessions,
            reader,
            its.delay,
            its.events,
            its.core,
            its.denied,
            added_p50=its.delay.p50 - p50,
            added_p99=its.delay.p99 - p99,
        )
        for reader, its in found.items()
    ]


def _show(report: Report) -> None:
    show_setting(report)
    print(f"\n{'sessions':>8} {'reader':<13}{'events/s':>9}{'core':>6}{'denied':>8}", end="")
    print(f"{'p50 ms':>9}{'p99':>9}{'max':>9}{'added p50':>11}{'p99':>9}")
    for row in report.rows:
        rate = row.sessions * report.events_per_second
        print(f"{row.sessions:>8,} {row.reader:<13}{rate:>9,.0f}", end="")
        if row.delay is None or row.added_p50 is None or row.added_p99 is None:
            print("   fell behind before all sessions streamed")
            continue
        print(f"{row.core:>6.2f}{row.denied:>8.2f}{spread_text(row.delay)}", end="")
        print(f"{row.added_p50 * 1e3:>11.2f}{row.added_p99 * 1e3:>9.2f}")
    print(f"\nwanted: at most {report.target_added_seconds * 1e3:g} ms added at p99, with 5,000 sessions")


def main() -> None:
    parser = options_of(__doc__)
    parser.add_argument("--variant", choices=VARIANTS, help=argparse.SUPPRESS)
    parser.add_argument("--window", type=float, help=argparse.SUPPRESS)
    parser.add_argument("--load", help=argparse.SUPPRESS)
    options = parser.parse_args()
    raise_open_files_limit()
    if options.variant:
        pin_to_client_core()
        tune_process()
        load = msgspec.json.decode(options.load, type=Load)
        delays = trio.run(measure_reader, options.variant, load, options.window)
        print(msgspec.json.encode(delays).decode())
        return
    where = setting(__doc__, BIAS)
    report = Report(
        **msgspec.structs.asdict(where),
        events_per_second=EVENTS_PER_SECOND,
        target_added_seconds=TARGET_ADDED_SECONDS,
        rows=trio.run(measure, QUICK if options.quick else SIZES),
    )
    if options.json:
        print(msgspec.json.encode(report).decode())
    else:
        _show(report)


if __name__ == "__main__":
    main()

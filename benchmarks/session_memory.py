"""How much memory does a session take, while it streams and while it rests?

Streaming: every session of a variant of `clients` holds one open stream, and every one has received
some events. What the engine needs per session over the bare loop is the price of the actor, its turn and
its durable answer; `wire` tells how much of it is the HTTP pool's.

Idle: sessions of an engine that had one turn answered each, a few at a time, and are still loaded.

Measured: the resident set of a process of its own, after a collection, at two numbers of sessions; the
difference is divided by the number of sessions more, so that what a process needs anyway is left out.
"""

from __future__ import annotations

import argparse
import sys

import msgspec
import trio

from actors.cli.limits import raise_open_files_limit, tune_process
from actors.records import SessionStatus
from actors.upstream.settings import UpstreamSettings
from benchmarks.clients import VARIANTS, Load, Tally, open_bench_engine, question
from benchmarks.setting import (
    Setting,
    open_endpoint,
    options_of,
    pin_to_client_core,
    resident_bytes,
    run_child,
    setting,
    show_setting,
)

TARGET_STREAMING_BYTES = 20_000
TARGET_IDLE_BYTES = 6_000
STREAMING_VARIANTS = ("bare", "wire", "engine")
IDLE_WORKERS = 20
BIAS = (
    "against both: memory comes from the system a megabyte at a time, which is 2 kB a session at 500",
    "against both: what was freed and not given back counts, as it does for users",
    "for the engine: answers are short, and nobody subscribes",
    "for idle sessions: they shared a few connections, and their texts are short",
)
_STREAM_SECONDS = 120.0


class Sizes(msgspec.Struct, frozen=True):
    """Numbers of sessions; growth counts from `base`. A stream is looked at after `events` events."""

    base: int
    streaming: tuple[int, ...]
    idle: tuple[int, ...]
    events: int
    tokens_per_second: float


FULL = Sizes(base=100, streaming=(500, 2_000), idle=(500, 2_000), events=8, tokens_per_second=2)
QUICK = Sizes(base=10, streaming=(40,), idle=(40,), events=5, tokens_per_second=10)


class StreamingRow(msgspec.Struct, frozen=True):
    sessions: int
    variant: str
    bytes_per_session: int
    over_bare_bytes: int


class IdleRow(msgspec.Struct, frozen=True):
    sessions: int
    bytes_per_session: int


class Report(Setting, frozen=True, kw_only=True):
    target_streaming_bytes: int
    target_idle_bytes: int
    streaming: list[StreamingRow]
    idle: list[IdleRow]


# --- in a process of its own ------------------------------------------------------------------------


async def rss_while_streaming(variant: str, load: Load, events: int) -> int:
    """The resident bytes when every session streams and `events` times as many events have come."""
    tally = Tally()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(VARIANTS[variant], load, tally)
        with trio.fail_after(_STREAM_SECONDS):
            while True:
                traffic = tally.traffic()
                if traffic.running == load.sessions and traffic.events >= events * load.sessions:
                    break
                await trio.sleep(0.05)
        rss = resident_bytes()
        nursery.cancel_scope.cancel()
    return rss


async def rss_when_idle(load: Load) -> int:
    """The resident bytes when every session had its turn and none has been unloaded."""
    numbers = iter(range(load.sessions))
    async with open_bench_engine(
        load.base_url, max_loaded=load.sessions, max_concurrent=IDLE_WORKERS
    ) as engine:

        async def work() -> None:
            for number in numbers:
                session_id = f"session-{number}"
                await engine.create_session(session_id=session_id)
                outcome = await engine.run_turn(session_id, question(number, 0))
                assert outcome.status is SessionStatus.COMPLETED, outcome.error

        async with trio.open_nursery() as nursery:
            for _ in range(IDLE_WORKERS):
                nursery.start_soon(work)
        await engine.flush()
        return resident_bytes()


# --- the comparison ---------------------------------------------------------------------------------


async def measure_streaming(sizes: Sizes) -> list[StreamingRow]:
    tokens = round(_STREAM_SECONDS * sizes.tokens_per_second)
    settings = UpstreamSettings(
        ttft_seconds=0.3,
        tokens_per_second=sizes.tokens_per_second,
        tokens=(tokens, tokens),
        jitter=0.5,
    )
    rows: list[StreamingRow] = []
    async with open_endpoint(settings) as endpoint:

        async def rss(variant: str, sessions: int) -> int:
            load = Load(endpoint.base_url, sessions, turns=1)
            return await _child("--streaming", variant, "--events", str(sizes.events), load=load)

        before = {variant: await rss(variant, sizes.base) for variant in STREAMING_VARIANTS}
        for sessions in sizes.streaming:
            grown = {
                variant: (await rss(variant, sessions) - before[variant]) // (sessions - sizes.base)
                for variant in STREAMING_VARIANTS
            }
            rows += [
                StreamingRow(sessions, variant, grown[variant], grown[variant] - grown["bare"])
                for variant in STREAMING_VARIANTS
            ]
    return rows


async def measure_idle(sizes: Sizes) -> list[IdleRow]:
    async with open_endpoint(
        UpstreamSettings(ttft_seconds=0, tokens_per_second=0, tokens=(50, 50))
    ) as endpoint:

        async def rss(sessions: int) -> int:
            return await _child("--idle", load=Load(endpoint.base_url, sessions, turns=1))

        before = await rss(sizes.base)
        return [
            IdleRow(sessions, (await rss(sessions) - before) // (sessions - sizes.base))
            for sessions in sizes.idle
        ]


async def _child(*arguments: str, load: Load) -> int:
    print(f"{load.sessions:,} sessions: {' '.join(arguments)}", file=sys.stderr)
    return int(
        await run_child(
            "benchmarks.session_memory", *arguments, "--load", msgspec.json.encode(load).decode()
        )
    )


def _show(report: Report) -> None:
    show_setting(report)
    print(f"\n{'sessions':>8} {'streaming':<10}{'kB/session':>12}{'over bare':>11}")
    for row in report.streaming:
        print(f"{row.sessions:>8,} {row.variant:<10}{row.bytes_per_session / 1e3:>12.1f}", end="")
        print(f"{row.over_bare_bytes / 1e3:>11.1f}")
    print(f"wanted: the engine at most {report.target_streaming_bytes / 1e3:g} kB over bare")
    print(f"\n{'sessions':>8} {'idle':<10}{'kB/session':>12}")
    for row in report.idle:
        print(f"{row.sessions:>8,} {'engine':<10}{row.bytes_per_session / 1e3:>12.1f}")
    print(f"wanted: at most {report.target_idle_bytes / 1e3:g} kB")


def main() -> None:
    parser = options_of(__doc__)
    parser.add_argument("--streaming", choices=STREAMING_VARIANTS, help=argparse.SUPPRESS)
    parser.add_argument("--idle", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--events", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--load", help=argparse.SUPPRESS)
    options = parser.parse_args()
    raise_open_files_limit()
    if options.load:
        pin_to_client_core()
        tune_process()
        load = msgspec.json.decode(options.load, type=Load)
        if options.streaming:
            print(trio.run(rss_while_streaming, options.streaming, load, options.events))
        else:
            print(trio.run(rss_when_idle, load))
        return
    sizes = QUICK if options.quick else FULL
    where = setting(__doc__, BIAS)
    report = Report(
        **msgspec.structs.asdict(where),
        target_streaming_bytes=TARGET_STREAMING_BYTES,
        target_idle_bytes=TARGET_IDLE_BYTES,
        streaming=trio.run(measure_streaming, sizes),
        idle=trio.run(measure_idle, sizes),
    )
    if options.json:
        print(msgspec.json.encode(report).decode())
    else:
        _show(report)


if __name__ == "__main__":
    main()

"""How fast are 10,000 sessions opened, evicted and loaded again, and does anything stay behind?

Each session is made and holds one question with its answer; then, round by round, all of them are unloaded
and all are loaded again, by a hundred tasks that each wait for their answer. The store is in memory, or a
SQLite file.

Whether anything stays behind: after each round in which everything is unloaded again, the resident set of
the process after a collection, and how many objects the collector knows. The first round may add to what
the registry knows of every session; what a later one adds is a leak.
"""

from __future__ import annotations

import argparse
import gc
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import trio

from actors.cli.limits import tune_process
from actors.engine import Engine, open_engine
from actors.records import SessionStatus
from actors.settings import EngineSettings
from benchmarks.clients import question
from benchmarks.setting import (
    Setting,
    Spread,
    options_of,
    pin_to_client_core,
    resident_bytes,
    run_child,
    setting,
    show_setting,
    spread_of,
    spread_text,
)

TASKS = 100
BIAS = (
    "for SQLite: a hundred commands at a time share its commits, and the operating system caches the file",
    "for neither: short conversations; the model answers in the process, without a network",
    "against both: the asking tasks share the core with the engine",
)
STORES = ("memory", "sqlite")


class Sizes(msgspec.Struct, frozen=True):
    sessions: int
    rounds: int


FULL = Sizes(sessions=10_000, rounds=2)
QUICK = Sizes(sessions=100, rounds=2)


class Step(msgspec.Struct, frozen=True):
    """Something done with every session. `latency` is of one command, in seconds."""

    store: str
    step: str
    sessions_per_second: float
    latency: Spread


class Rest(msgspec.Struct, frozen=True):
    """What the process holds when everything is unloaded."""

    store: str
    round: int
    loaded: int
    resident_bytes: int
    objects: int


class Found(msgspec.Struct, frozen=True):
    steps: list[Step]
    rests: list[Rest]


class Report(Setting, frozen=True, kw_only=True):
    sessions: int
    steps: list[Step]
    rests: list[Rest]


# --- in a process of its own ------------------------------------------------------------------------


async def measure_store(store: str, sizes: Sizes) -> Found:
    with TemporaryDirectory() as folder:
        settings = EngineSettings(
            store=str(Path(folder, "greenroom.db")) if store == "sqlite" else None,
            max_concurrent=TASKS,
            max_loaded=sizes.sessions,
        )
        async with open_engine(settings) as engine:
            return await _measure(engine, store, sizes)


async def _measure(engine: Engine, store: str, sizes: Sizes) -> Found:
    found = Found([], [])

    async def create(session_id: str) -> None:
        await engine.create_session(session_id=session_id)

    async def ask(session_id: str) -> None:
        outcome = await engine.run_turn(session_id, question(0, 0))
        assert outcome.status is SessionStatus.COMPLETED, outcome.error

    async def load(session_id: str) -> None:
        snapshot = await engine.snapshot(session_id)
        assert len(snapshot.messages) == 2, "the question and its answer"

    async def run(name: str, step: Callable[[str], Awaitable[object]]) -> None:
        found.steps.append(await _with_all(store, name, step, sizes.sessions))

    async def rest(number: int) -> None:
        await engine.flush()
        loaded = (await engine.pool_status()).loaded
        found.rests.append(Rest(store, number, loaded, resident_bytes(), len(gc.get_objects())))

    await run("create", create)
    await run("ask and answer", ask)
    await run("evict", engine.release_session)
    await rest(0)
    for number in range(1, sizes.rounds + 1):
        await run("load", load)
        await run("evict", engine.release_session)
        await rest(number)
    return found


async def _with_all(store: str, name: str, step: Callable[[str], Awaitable[object]], sessions: int) -> Step:
    latencies: list[float] = []
    session_ids = (f"session-{number}" for number in range(sessions))

    async def work() -> None:
        for session_id in session_ids:
            began = time.perf_counter()
            await step(session_id)
            latencies.append(time.perf_counter() - began)

    began = time.perf_counter()
    async with trio.open_nursery() as nursery:
        for _ in range(TASKS):
            nursery.start_soon(work)
    return Step(store, name, sessions / (time.perf_counter() - began), spread_of(latencies))


# --- the report -------------------------------------------------------------------------------------


async def measure(sizes: Sizes) -> Found:
    found = Found([], [])
    for store in STORES:
        print(store, file=sys.stderr)
        output = await run_child(
            "benchmarks.reloading",
            f"--store={store}",
            f"--sizes={msgspec.json.encode(sizes).decode()}",
        )
        its = msgspec.json.decode(output, type=Found)
        found.steps.extend(its.steps)
        found.rests.extend(its.rests)
    return found


def _show(report: Report) -> None:
    show_setting(report)
    print(f"\n{report.sessions:,} sessions, {TASKS} tasks")
    print(f"{'store':<8}{'step':<16}{'sessions/s':>11}{'p50 ms':>9}{'p99':>9}{'max':>9}")
    for step in report.steps:
        print(
            f"{step.store:<8}{step.step:<16}{step.sessions_per_second:>11,.0f}{spread_text(step.latency)}"
        )
    print(f"\n{'store':<8}{'round':<8}{'loaded':>7}{'resident MB':>13}{'objects':>11}")
    for rest in report.rests:
        print(f"{rest.store:<8}{rest.round:<8}{rest.loaded:>7}", end="")
        print(f"{rest.resident_bytes / 1e6:>13.1f}{rest.objects:>11,}")


def main() -> None:
    parser = options_of(__doc__)
    parser.add_argument("--store", choices=STORES, help=argparse.SUPPRESS)
    parser.add_argument("--sizes", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.store:
        pin_to_client_core()
        tune_process()
        its_sizes = msgspec.json.decode(options.sizes, type=Sizes)
        print(msgspec.json.encode(trio.run(measure_store, options.store, its_sizes)).decode())
        return
    sizes = QUICK if options.quick else FULL
    where = setting(__doc__, BIAS)
    found = trio.run(measure, sizes)
    report = Report(
        **msgspec.structs.asdict(where), sessions=sizes.sessions, steps=found.steps, rests=found.rests
    )
    if options.json:
        print(msgspec.json.encode(report).decode())
    else:
        _show(report)


if __name__ == "__main__":
    main()

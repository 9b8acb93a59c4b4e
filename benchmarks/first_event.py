"""How long is it from a question to the first piece of its answer, beside a direct call of the model?

In one process and in turns, so that whatever else the machine does meets all alike:

- `direct`: the model's `stream`, until its first text is handed over;
- `memory`, `sqlite`: `Engine.submit_turn` with that store, until a subscriber of the session has the first
  text; `accepted` is when `submit_turn` has returned, the question being durable by then.

The endpoint answers without delay. The engine's time holds the admission, a commit of the question, the
same model call, the session's event and the subscription. The overhead is the engine's time less that of
the direct call next to it. The second half is the same with 500 other sessions of the SQLite engine
streaming two events a second each.
"""

from __future__ import annotations

import sys
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import trio

from actors.cli.limits import raise_open_files_limit, tune_process
from actors.conversation import Message, Part, Role, Text, TextPart
from actors.engine import Engine, open_engine
from actors.events import AnswerStreamed, Event, TaskFinished
from actors.models.base import ModelRequest
from actors.models.http import HttpPool
from actors.models.openai_chat import OpenAIChatModel
from actors.settings import EngineSettings
from actors.upstream.settings import UpstreamSettings
from benchmarks.clients import MODEL, question
from benchmarks.setting import (
    Setting,
    Spread,
    open_endpoint,
    options_of,
    pin_to_client_core,
    setting,
    show_setting,
    spread_of,
    spread_text,
)

BIAS = (
    "for the engine: one question at a time, so that none waits for another one's commit",
    "against the engine: one question at a time, so that each pays for disk writes of its own",
    "for the direct call: its first text is handed to a function, not to another task",
    "for neither: loopback, one question and an answer of five tokens a session, connections kept",
)
_AT_ONCE = UpstreamSettings(ttft_seconds=0, tokens_per_second=0, tokens=(5, 5))
_STEADY = UpstreamSettings(ttft_seconds=0.2, tokens_per_second=2, tokens=(10_000, 10_000), jitter=0.5)


class Sizes(msgspec.Struct, frozen=True):
    """How many questions for each row, and how many other sessions stream meanwhile."""

    questions: int
    others: tuple[int, ...]


FULL = Sizes(questions=200, others=(0, 500))
QUICK = Sizes(questions=10, others=(0, 5))


class Row(msgspec.Struct, frozen=True):
    """Seconds to the first text. `accepted` and `overhead` are None for the direct call."""

    others: int
    way: str
    first: Spread
    accepted: Spread | None
    overhead: Spread | None


class Report(Setting, frozen=True, kw_only=True):
    rows: list[Row]


class _Times:
    """Of one way, in the order of the questions."""

    def __init__(self) -> None:
        self.first: list[float] = []
        self.accepted: list[float] = []


async def measure(sizes: Sizes) -> list[Row]:
    async with open_endpoint(_AT_ONCE) as at_once, open_endpoint(_STEADY) as steady, HttpPool() as http:
        models = {
            "sim:at-once": OpenAIChatModel("sim:at-once", MODEL, base_url=at_once.base_url, http=http),
            "sim:steady": OpenAIChatModel("sim:steady", MODEL, base_url=steady.base_url, http=http),
        }
        return [row for others in sizes.others for row in await _measure(models, sizes.questions, others)]


async def _measure(models: dict[str, OpenAIChatModel], questions: int, others: int) -> list[Row]:
    print(f"beside {others} sessions", file=sys.stderr)
    times = {way: _Times() for way in ("direct", "memory", "sqlite")}
    with TemporaryDirectory() as folder:
        async with (
            _open_engine(None, models) as in_memory,
            _open_engine(Path(folder, "greenroom.db"), models) as on_disk,
        ):
            for number in range(others):
                await on_disk.create_session(session_id=f"other-{number}", model="sim:steady")
                await on_disk.submit_turn(f"other-{number}", question(number, 0))
            for number in range(questions):
                times["direct"].first.append(await _ask_directly(models["sim:at-once"], number))
                await _ask_engine(in_memory, number, times["memory"])
                await _ask_engine(on_disk, number, times["sqlite"])
    direct = times["direct"].first
    return [
        Row(
            others,
            way,
            spread_of(its.first),
            spread_of(its.accepted) if its.accepted else None,
            spread_of([its - other for its, other in zip(its.first, direct, strict=True)])
            if its.accepted
            else None,
        )
        for way, its in times.items()
    ]


@asynccontextmanager
async def _open_engine(store: Path | None, models: dict[str, OpenAIChatModel]) -> AsyncGenerator[Engine]:
    settings = EngineSettings(
        store=None if store is None else str(store),
        model="sim:at-once",
        max_concurrent=10_000,
        max_loaded=10_000,
    )
    async with open_engine(settings, model_for=models.__getitem__) as engine:
        yield engine


async def _ask_directly(model: OpenAIChatModel, number: int) -> float:
    first: list[float] = []

    def emit(parts: tuple[Part, ...]) -> None:
        if not first and any(isinstance(part, TextPart) for part in parts):
            first.append(time.perf_counter())

    message = Message(
        message_id="",
        parent_id=None,
        role=Role.USER,
        content=Text(question(number, 0)),
        created_at=datetime.now(UTC),
    )
    began = time.perf_counter()
    await model.stream(ModelRequest(messages=(message,)), emit)
    return first[0] - began


async def _ask_engine(engine: Engine, number: int, times: _Times) -> None:
    """Ask in a session of its own, which is unloaded after it."""
    session_id = f"session-{number}"
    await engine.create_session(session_id=session_id)
    async with engine.events(session_id) as events, trio.open_nursery() as nursery:
        began = time.perf_counter()

        async def submit() -> None:
            await engine.submit_turn(session_id, question(number, 0))
            times.accepted.append(time.perf_counter() - began)

        nursery.start_soon(submit)
        first = None
        async for event in events:
            assert isinstance(event, Event), "the reader keeps up"
            if isinstance(event.body, AnswerStreamed):
                first = first or time.perf_counter()
            if isinstance(event.body, TaskFinished):
                assert first is not None, event.body.outcome.error
                times.first.append(first - began)
                break
    await engine.release_session(session_id)


def _show(report: Report) -> None:
    show_setting(report)
    print(f"\n{'others':>8} {'way':<8}", end="")
    for name in ("first", "accepted", "overhead"):
        print(f"{name + ' p50':>14}{'p99':>9}{'max':>9}", end="")
    print("   ms")
    for row in report.rows:
        print(f"{row.others:>8} {row.way:<8}", end="")
        for spread in (row.first, row.accepted, row.overhead):
            print(" " * 32 if spread is None else " " * 5 + spread_text(spread), end="")
        print()


def main() -> None:
    parser = options_of(__doc__, quick="few questions, to see that it works")
    options = parser.parse_args()
    raise_open_files_limit()
    where = setting(__doc__, BIAS)
    pin_to_client_core()
    tune_process()
    rows = trio.run(measure, QUICK if options.quick else FULL)
    report = Report(**msgspec.structs.asdict(where), rows=rows)
    if options.json:
        print(msgspec.json.encode(report).decode())
    else:
        _show(report)


if __name__ == "__main__":
    main()

"""What do sessions that meet a rate limit together cost the endpoint, with a governor and without one?

All sessions ask at the same moment an endpoint that takes so many requests a second, and answers the others
with a 429 and `Retry-After: 1`:

- `each for itself`: the same model in a loop, without an engine: each session waits as long as its error
  says, and asks again;
- `governed`: the engine as it is by default, whose governor holds all sessions of the connection back.

`refused` are requests that the endpoint answered with a 429, `an answer` how many requests it got for each.
`ideal` is the time that the endpoint needs at its rate. `busiest` is the most requests in a tenth of a
second, without the first herd. The bars are requests in each half second, as the sessions send them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TypeAlias

import httpx
import msgspec
import trio

from actors.cli.limits import raise_open_files_limit, tune_process
from actors.conversation import Message, Role, Text
from actors.engine import open_engine
from actors.errors import EngineError, ErrorCode
from actors.models.base import Emit, LanguageModel, ModelRequest
from actors.models.http import HttpPool
from actors.models.openai_chat import OpenAIChatModel
from actors.records import SessionStatus
from actors.settings import EngineSettings
from actors.upstream.faults import Fault
from actors.upstream.settings import UpstreamSettings
from actors.upstream.traffic import UpstreamStatistics
from benchmarks.clients import MODEL, question
from benchmarks.setting import (
    Setting,
    open_endpoint,
    options_of,
    pin_to_client_core,
    setting,
    show_setting,
)

BIAS = (
    "for each for itself: it tries as often as it takes, the engine four times",
    "for each for itself: no conversation, no events, no store",
    "for neither: one model, one question a session, loopback, a store in memory",
)
_BAR_SECONDS = 0.5
_BAR_WIDTH = 60


class Sizes(msgspec.Struct, frozen=True):
    """How many sessions, and how many requests a second the endpoint takes."""

    sessions: int
    requests_per_second: int


FULL = Sizes(sessions=1000, requests_per_second=100)
QUICK = Sizes(sessions=40, requests_per_second=20)


class Row(msgspec.Struct, frozen=True):
    """`busiest` is a number of requests in a tenth of a second, `bars` in each half second."""

    way: str
    answered: int
    requests: int
    refused: int
    requests_per_answer: float
    seconds: float
    busiest: int
    bars: tuple[int, ...]


class Report(Setting, frozen=True, kw_only=True):
    sessions: int
    requests_per_second: int
    ideal_seconds: float
    rows: list[Row]
    refused_ratio: float


class _Watched:
    """A model that notes when it is called."""

    def __init__(self, model: LanguageModel) -> None:
        self._model = model
        self.called_at: list[float] = []

    @property
    def name(self) -> str:
        return self._model.name

    async def stream(self, request: ModelRequest, emit: Emit) -> None:
        self.called_at.append(trio.current_time())
        await self._model.stream(request, emit)


Ask: TypeAlias = Callable[[int], Awaitable[bool]]
"""Asks the question of a session, and says whether it was answered."""


@asynccontextmanager
async def _each_for_itself(model: LanguageModel, _: int) -> AsyncGenerator[Ask]:
    async def ask(number: int) -> bool:
        message = Message(
            message_id="",
            parent_id=None,
            role=Role.USER,
            content=Text(question(number, 0)),
            created_at=datetime.now(UTC),
        )
        while True:
            try:
                await model.stream(ModelRequest(messages=(message,)), lambda _: None)
            except EngineError as error:
                if error.code is not ErrorCode.QUOTA_EXCEEDED:
                    return False
                await trio.sleep(float(error.details["retry_after_seconds"]))
            else:
                return True

    yield ask


@asynccontextmanager
async def _governed(model: LanguageModel, sessions: int) -> AsyncGenerator[Ask]:
    settings = EngineSettings(model=model.name, max_concurrent=sessions, max_loaded=sessions)
    async with open_engine(settings, model_for=lambda _: model) as engine:
        for number in range(sessions):
            await engine.create_session(session_id=f"s-{number}")

        async def ask(number: int) -> bool:
            outcome = await engine.run_turn(f"s-{number}", question(number, 0))
            return outcome.status is SessionStatus.COMPLETED

        yield ask


_WAYS = {"each for itself": _each_for_itself, "governed": _governed}


async def measure(sizes: Sizes) -> list[Row]:
    return [await _measure(sizes, way) for way in _WAYS]


async def _measure(sizes: Sizes, way: str) -> Row:
    upstream = UpstreamSettings(
        ttft_seconds=0.1,
        tokens_per_second=0,
        tokens=(5, 5),
        requests_per_second=sizes.requests_per_second,
    )
    answered = 0
    async with open_endpoint(upstream) as endpoint, HttpPool() as http:
        model = _Watched(OpenAIChatModel("sim:limited", MODEL, base_url=endpoint.base_url, http=http))
        async with _WAYS[way](model, sizes.sessions) as ask:

            async def run(number: int) -> None:
                nonlocal answered
                if await ask(number):
                    answered += 1

            began = trio.current_time()
            async with trio.open_nursery() as nursery:
                for number in range(sizes.sessions):
                    nursery.start_soon(run, number)
            seconds = trio.current_time() - began
        statistics = await _statistics_of(endpoint.base_url)
    offsets = [at - model.called_at[0] for at in model.called_at]
    tenths = Counter(int(offset * 10) for offset in offsets[sizes.sessions :])
    bars = Counter(int(offset / _BAR_SECONDS) for offset in offsets)
    return Row(
        way=way,
        answered=answered,
        requests=statistics.requests,
        refused=statistics.faults.get(Fault.RATE_LIMIT, 0),
        requests_per_answer=statistics.requests / max(answered, 1),
        seconds=seconds,
        busiest=max(tenths.values(), default=0),
        bars=tuple(bars[number] for number in range(max(bars) + 1)),
    )


async def _statistics_of(base_url: str) -> UpstreamStatistics:
    """What the endpoint has counted, but for this request."""
    async with httpx.AsyncClient() as client:
        response = await client.get(base_url.removesuffix("/v1") + "/statistics")
    statistics = msgspec.json.decode(response.content, type=UpstreamStatistics)
    return msgspec.structs.replace(statistics, requests=statistics.requests - 1)


def _show(report: Report) -> None:
    show_setting(report)
    print(
        f"\n{report.sessions:,} sessions, {report.requests_per_second} requests/s are taken, "
        f"ideal {report.ideal_seconds:.1f} s"
    )
    print(f"{'way':<16}{'answered':>9}{'requests':>9}{'refused':>9}{'an answer':>10}{'s':>7}{'busiest':>9}")
    for row in report.rows:
        print(
            f"{row.way:<16}{row.answered:>9,}{row.requests:>9,}{row.refused:>9,}"
            f"{row.requests_per_answer:>10.2f}{row.seconds:>7.1f}{row.busiest:>9,}"
        )
    print(f"refused each for itself, over governed: {report.refused_ratio:.1f}")
    for row in report.rows:
        print(f"\n{row.way}")
        scale = max(row.bars)
        for number, count in enumerate(row.bars):
            print(f"{number * _BAR_SECONDS:>6.1f} s {count:>6,} {'#' * round(count / scale * _BAR_WIDTH)}")


def main() -> None:
    options = options_of(__doc__).parse_args()
    raise_open_files_limit()
    where = setting(__doc__, BIAS)
    pin_to_client_core()
    tune_process()
    sizes = QUICK if options.quick else FULL
    rows = trio.run(measure, sizes)
    alone, governed = rows
    report = Report(
        **msgspec.structs.asdict(where),
        sessions=sizes.sessions,
        requests_per_second=sizes.requests_per_second,
        ideal_seconds=sizes.sessions / sizes.requests_per_second - 1,
        rows=rows,
        refused_ratio=alone.refused / max(governed.refused, 1),
    )
    if options.json:
        print(msgspec.json.encode(report).decode())
    else:
        _show(report)


if __name__ == "__main__":
    main()

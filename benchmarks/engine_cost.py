"""What does the engine cost per streamed event, over a bare httpx loop that reads the same streams?

Every variant reads the same answers from the same simulated endpoint, in a process of its own:

- `bare`: trio, httpx, httpx-sse and msgspec in a loop, as an expert would write it: a client per session,
  so that httpx's pool, which walks all of its connections on every open and close, has only one to walk;
- `naive`: the same loop over one client for all sessions, without limits, as most people would write it;
- `wire`: the engine's HTTP pool and model, without actors: what of the difference is the wire's;
- `engine`: `open_engine` with a SQLite store on disk: sessions, events, durable answers.

Each is measured side by side with `bare`: both at once, on the same core, so that whatever else the machine
does meets both alike. One after the other, their costs differ more by that than by what they do.

Measured: user and system time of the whole process, all threads, from before the first session to after the
last answer is kept and everything is closed, over the events received. Imports are left out. The ratio is
the quantity; absolute times depend on the machine.
"""

from __future__ import annotations

import argparse
import functools
import os
import platform
import resource
import ssl
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import httpx
import msgspec
import trio
from httpx_sse import EventSource

from actors.answer import AnswerBuilder
from actors.cli.limits import raise_open_files_limit, tune_process
from actors.conversation import Message, Role, Text
from actors.engine import open_engine
from actors.models.base import ModelRequest
from actors.models.http import HttpPool
from actors.models.openai_chat import OpenAIChatModel
from actors.models.traffic import Traffic, TrafficStatistics
from actors.records import SessionStatus
from actors.settings import EngineSettings
from actors.upstream.process import UpstreamProcess, open_upstream_process
from actors.upstream.settings import UpstreamSettings
from actors.upstream.traffic import UpstreamStatistics

TARGET_RATIO = 1.25
TURNS = 2
MODEL = "greenroom-sim"
BIAS = (
    "for the bare loop: it keeps nothing, publishes nothing, cannot be stopped and handles no error",
    "for the engine: nobody subscribes to its sessions; bursts reach its actors and its store in batches",
    "against the engine: answers are short, so that an event bears a large share of its turn's commits",
    "for the bare loop: where the core is full, it reads several events at once, which is cheaper",
    "for the slower of two: when the other has ended, it has the core to itself",
    "for neither: all on loopback, interpreters tuned alike, the endpoint on another core if there is one",
)
_CORES = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
CORES = len(_CORES) or os.cpu_count() or 1
_TIMEOUT_SECONDS = 60.0


# --- what a variant is given, and what it gives back ------------------------------------------------


class Load(msgspec.Struct, frozen=True):
    """What every variant has to do: ask `sessions` sessions `turns` questions each, all at once."""

    base_url: str
    sessions: int
    turns: int = TURNS


class Tally:
    """What came of it. `characters` are those of the complete answers.

    `traffic` counts what was received, also while it runs; its events include `[DONE]`.
    """

    def __init__(self) -> None:
        self.traffic: Callable[[], TrafficStatistics] = Traffic().statistics
        self.answers = 0
        self.characters = 0

    def add(self, answer: str) -> None:
        self.answers += 1
        self.characters += len(answer)


Variant = Callable[[Load, Tally], Awaitable[None]]


def question(session: int, turn: int) -> str:
    return f"question {turn} of session {session}"


# --- the bare loops ---------------------------------------------------------------------------------


class _Delta(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    delta: _Delta
    finish_reason: str | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int
    completion_tokens: int


class _Chunk(msgspec.Struct):
    choices: list[_Choice]
    usage: _Usage | None = None


_chunk_decoder = msgspec.json.Decoder(_Chunk)


def _client(keep_alive: int | None) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        verify=_ssl_context(),
        timeout=_TIMEOUT_SECONDS,
        limits=httpx.Limits(max_connections=None, max_keepalive_connections=keep_alive),
        trust_env=False,
    )


@functools.cache
def _ssl_context() -> ssl.SSLContext:
    return httpx.create_ssl_context()


async def bare(load: Load, tally: Tally) -> None:
    traffic = Traffic()
    tally.traffic = traffic.statistics

    async def session(number: int) -> None:
        async with _client(1) as client:
            await _converse(client, load, number, tally, traffic)

    async with trio.open_nursery() as nursery:
        for number in range(load.sessions):
            nursery.start_soon(session, number)


async def naive(load: Load, tally: Tally) -> None:
    traffic = Traffic()
    tally.traffic = traffic.statistics
    async with _client(None) as client, trio.open_nursery() as nursery:
        for number in range(load.sessions):
            nursery.start_soon(_converse, client, load, number, tally, traffic)


async def _converse(
    client: httpx.AsyncClient, load: Load, number: int, tally: Tally, traffic: Traffic
) -> None:
    messages: list[dict[str, str]] = []
    for turn in range(load.turns):
        messages.append({"role": "user", "content": question(number, turn)})
        body = {
            "model": MODEL,
            "messages": messages,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        async with client.stream(
            "POST",
            load.base_url + "/chat/completions",
            content=msgspec.json.encode(body),
            headers={"content-type": "application/json", "accept-encoding": "identity"},
        ) as response:
            response.raise_for_status()
            traffic.running += 1
            answer = await _read(response, traffic)
            traffic.running -= 1
        tally.add(answer)
        messages.append({"role": "assistant", "content": answer})


async def _read(response: httpx.Response, traffic: Traffic) -> str:
    pieces: list[str] = []
    async for event in EventSource(response).aiter_sse():
        traffic.events += 1
        if event.data == "[DONE]":
            continue
        choices = _chunk_decoder.decode(event.data).choices
        pieces += [choice.delta.content for choice in choices if choice.delta.content]
    return "".join(pieces)


# --- ours -------------------------------------------------------------------------------------------


async def wire(load: Load, tally: Tally) -> None:
    async with HttpPool() as http:
        tally.traffic = http.statistics
        model = OpenAIChatModel(MODEL, MODEL, base_url=load.base_url, http=http)

        async def session(number: int) -> None:
            messages: list[Message] = []
            for turn in range(load.turns):
                messages.append(_message(messages, Role.USER, question(number, turn)))
                builder = AnswerBuilder()
                await model.stream(ModelRequest(messages=tuple(messages)), builder.add)
                answer = builder.build().text
                tally.add(answer)
                messages.append(_message(messages, Role.ASSISTANT, answer))

        async with trio.open_nursery() as nursery:
            for number in range(load.sessions):
                nursery.start_soon(session, number)


def _message(before: list[Message], role: Role, text: str) -> Message:
    return Message(
        message_id=str(len(before)),
        parent_id=before[-1].message_id if before else None,
        role=role,
        content=Text(text),
        created_at=datetime.now(UTC),
    )


async def engine(load: Load, tally: Tally) -> None:
    with tempfile.TemporaryDirectory() as folder:
        settings = EngineSettings(
            store=str(Path(folder, "greenroom.db")),
            model=f"openai:{MODEL}",
            base_url=load.base_url,
            max_concurrent=load.sessions,
        )
        async with open_engine(settings) as opened:
            tally.traffic = opened.traffic

            async def session(number: int) -> None:
                session_id = f"session-{number}"
                await opened.create_session(session_id=session_id)
                for turn in range(load.turns):
                    outcome = await opened.run_turn(session_id, question(number, turn))
                    if outcome.status is SessionStatus.COMPLETED:
                        tally.add(outcome.answer)

            async with trio.open_nursery() as nursery:
                for number in range(load.sessions):
                    nursery.start_soon(session, number)


VARIANTS: dict[str, Variant] = {"bare": bare, "naive": naive, "wire": wire, "engine": engine}


# --- a process that runs one variant ----------------------------------------------------------------


class Cost(msgspec.Struct, frozen=True):
    """One run of one variant."""

    variant: str
    events: int
    answers: int
    characters: int
    cpu_seconds: float
    wall_seconds: float

    @property
    def cpu_us(self) -> float:
        """Per event."""
        return self.cpu_seconds / self.events * 1e6


def run_variant(name: str, load: Load) -> Cost:
    """Run a variant in this process, which is to do nothing else."""
    tally = Tally()
    tune_process()
    cpu_before, began = _cpu_seconds(), time.perf_counter()
    trio.run(VARIANTS[name], load, tally)
    return Cost(
        variant=name,
        events=tally.traffic().events,
        answers=tally.answers,
        characters=tally.characters,
        cpu_seconds=_cpu_seconds() - cpu_before,
        wall_seconds=time.perf_counter() - began,
    )


def _cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


async def run_child(module: str, *arguments: str) -> bytes:
    """Run a module of this folder in a process of its own, and give what it prints."""
    done = await trio.run_process(
        [sys.executable, "-m", module, *arguments], capture_stdout=True, cwd=Path(__file__).parent.parent
    )
    return done.stdout


def pin_to_client_core() -> None:
    if len(_CORES) > 1:
        os.sched_setaffinity(0, {_CORES[-1]})


@asynccontextmanager
async def open_endpoint(settings: UpstreamSettings) -> AsyncGenerator[UpstreamProcess, None]:
    """The simulated endpoint on another core than the clients."""
    async with open_upstream_process(settings) as endpoint:
        if len(_CORES) > 1:
            os.sched_setaffinity(endpoint.pid, {_CORES[0]})
        yield endpoint


# --- the comparison ---------------------------------------------------------------------------------


class Size(msgspec.Struct, frozen=True):
    """How many sessions, at what pace, and which variants how often, each time beside `bare`.

    The pace is to keep the core busy by about half, with both at work: a full one hides in larger reads
    what the single event costs.
    """

    sessions: int
    tokens: int
    tokens_per_second: float
    rounds: int
    variants: tuple[str, ...] = ("wire", "engine")

    @property
    def endpoint(self) -> UpstreamSettings:
        return UpstreamSettings(
            ttft_seconds=0.3,
            tokens_per_second=self.tokens_per_second,
            tokens=(self.tokens, self.tokens),
            jitter=0.5,
        )

    @property
    def ideal_seconds(self) -> float:
        return TURNS * self.endpoint.pace.total_seconds(self.tokens + 1)


SIZES = (
    Size(sessions=100, tokens=80, tokens_per_second=20, rounds=2),
    Size(sessions=500, tokens=36, tokens_per_second=6, rounds=2),
    Size(sessions=500, tokens=20, tokens_per_second=6, rounds=1, variants=("naive",)),
    Size(sessions=2_000, tokens=20, tokens_per_second=2, rounds=1),
)
QUICK = (
    Size(sessions=20, tokens=20, tokens_per_second=50, rounds=1, variants=("naive", "wire", "engine")),
)


class Row(msgspec.Struct, frozen=True):
    """One variant at one size, beside `bare`: the medians of its runs.

    Costs are CPU microseconds per event. `ratio` is over the bare loop at its side, with the lowest and the
    highest of the rounds.
    """

    sessions: int
    variant: str
    rounds: int
    events: int
    cpu_us: float
    bare_us: float
    ratio: float
    ratio_low: float
    ratio_high: float
    endpoint_us: float
    wall_seconds: float
    bare_wall_seconds: float
    ideal_seconds: float


class Report(msgspec.Struct, frozen=True):
    question: str
    python: str
    machine: str
    cores: int
    versions: dict[str, str]
    bias: tuple[str, ...]
    turns: int
    target_ratio: float
    rows: list[Row]


class Pair(msgspec.Struct, frozen=True):
    """Two variants that ran side by side, and the endpoint's CPU seconds for both."""

    bare: Cost
    other: Cost
    endpoint_seconds: float

    @property
    def ratio(self) -> float:
        return self.other.cpu_us / self.bare.cpu_us

    @property
    def endpoint_us(self) -> float:
        return self.endpoint_seconds / (self.bare.events + self.other.events) * 1e6


async def measure(sizes: tuple[Size, ...]) -> list[Row]:
    return [row for size in sizes for row in await _measure_size(size)]


async def _measure_size(size: Size) -> list[Row]:
    pairs: dict[str, list[Pair]] = {name: [] for name in size.variants}
    async with open_endpoint(size.endpoint) as endpoint:
        load = Load(endpoint.base_url, size.sessions)
        for number in range(size.rounds):
            for name in size.variants:
                progress = f"{size.sessions:,} sessions, round {number + 1} of {size.rounds}: {name}"
                print(progress, file=sys.stderr)
                pairs[name].append(await _run_pair(name, load, size, endpoint))
    return [_row(size, name, pairs[name]) for name in size.variants]


async def _run_pair(name: str, load: Load, size: Size, endpoint: UpstreamProcess) -> Pair:
    """Run a variant beside the bare loop, and see to it that both received everything."""
    costs: dict[str, Cost] = {}

    async def run(variant: str) -> None:
        output = await run_child(
            "benchmarks.engine_cost", "--variant", variant, "--load", msgspec.json.encode(load).decode()
        )
        costs[variant] = msgspec.json.decode(output, type=Cost)

    before = await _statistics(endpoint)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run, "bare")
        nursery.start_soon(run, name)
    after = await _statistics(endpoint)
    bare_cost, other = costs["bare"], costs[name]
    answers = load.sessions * load.turns
    due = answers * (size.tokens + 4)  # role, finish, usage, `[DONE]`
    sent = after.events - before.events + 2 * answers  # the endpoint does not count `[DONE]`
    complete = bare_cost.answers == other.answers == answers and bare_cost.characters == other.characters
    if not complete or not bare_cost.events == other.events == due or sent != 2 * due:
        raise SystemExit(f"{bare_cost} and {other} of {due} events, {sent} sent: the measurement is void")
    return Pair(bare_cost, other, after.cpu_seconds - before.cpu_seconds)


async def _statistics(endpoint: UpstreamProcess) -> UpstreamStatistics:
    async with _client(0) as client:
        reply = await client.get(endpoint.base_url.removesuffix("/v1") + "/statistics")
    return msgspec.json.decode(reply.content, type=UpstreamStatistics)


def _row(size: Size, name: str, pairs: list[Pair]) -> Row:
    ratios = [pair.ratio for pair in pairs]
    return Row(
        sessions=size.sessions,
        variant=name,
        rounds=len(pairs),
        events=pairs[0].other.events,
        cpu_us=statistics.median(pair.other.cpu_us for pair in pairs),
        bare_us=statistics.median(pair.bare.cpu_us for pair in pairs),
        ratio=statistics.median(ratios),
        ratio_low=min(ratios),
        ratio_high=max(ratios),
        endpoint_us=statistics.median(pair.endpoint_us for pair in pairs),
        wall_seconds=statistics.median(pair.other.wall_seconds for pair in pairs),
        bare_wall_seconds=statistics.median(pair.bare.wall_seconds for pair in pairs),
        ideal_seconds=size.ideal_seconds,
    )


def versions() -> dict[str, str]:
    return {name: version(name) for name in ("h11", "httpcore", "httpx", "httpx-sse", "msgspec", "trio")}


def show_setting(bias: tuple[str, ...]) -> None:
    """The machine, the versions and the bias, as every report begins."""
    print(f"{platform.python_implementation()} {platform.python_version()}", end="; ")
    print(", ".join(f"{name} {number}" for name, number in versions().items()))
    print(f"{platform.platform()}, {CORES} cores")
    for sentence in bias:
        print(f"bias {sentence}")


def _show(report: Report) -> None:
    print(report.question)
    show_setting(report.bias)
    print(f"\n{'sessions':>8} {'variant':<8}{'events':>9}{'us/event':>10}{'bare':>7}{'ratio':>7}", end="")
    print(f"{'low-high':>12}{'endpoint':>10}{'wall s':>8}{'bare':>7}{'ideal':>7}")
    for row in report.rows:
        spread = f"{row.ratio_low:.2f}-{row.ratio_high:.2f}"
        print(f"{row.sessions:>8,} {row.variant:<8}{row.events:>9,}{row.cpu_us:>10.1f}", end="")
        print(f"{row.bare_us:>7.1f}{row.ratio:>7.2f}{spread:>12}{row.endpoint_us:>10.1f}", end="")
        print(f"{row.wall_seconds:>8.1f}{row.bare_wall_seconds:>7.1f}{row.ideal_seconds:>7.1f}")
    print(
        f"\nwanted: at most {report.target_ratio:g} for the engine; each row ran beside a bare loop, ",
        end="",
    )
    print("both in CPU microseconds per event, the endpoint's too")


def main() -> None:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="one small round, to see that it works")
    parser.add_argument("--json", action="store_true", help="print the report as one JSON object")
    parser.add_argument("--variant", choices=VARIANTS, help=argparse.SUPPRESS)
    parser.add_argument("--load", help=argparse.SUPPRESS)
    options = parser.parse_args()
    raise_open_files_limit()
    if options.variant:
        pin_to_client_core()
        load = msgspec.json.decode(options.load, type=Load)
        print(msgspec.json.encode(run_variant(options.variant, load)).decode())
        return
    report = Report(
        question=__doc__.splitlines()[0],
        python=platform.python_version(),
        machine=platform.platform(),
        cores=CORES,
        versions=versions(),
        bias=BIAS,
        turns=TURNS,
        target_ratio=TARGET_RATIO,
        rows=trio.run(measure, QUICK if options.quick else SIZES),
    )
    if options.json:
        print(msgspec.json.encode(report).decode())
    else:
        _show(report)


if __name__ == "__main__":
    main()

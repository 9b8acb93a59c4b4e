"""What does the engine cost per streamed event, over a bare httpx loop that reads the same streams?

Every variant of `benchmarks.clients` reads the same answers from one simulated endpoint, in a process of
its own: `bare`, an httpx loop as an expert would write it; `naive`, as most people would; `wire`, the
engine's HTTP pool and model, without actors; `engine`, with a SQLite store on disk.

Each is measured side by side with `bare`: both at once, on the same core, so that whatever else the machine
does meets both alike. One after the other, their costs differ more by that than by what they do.

Measured: user and system time of the whole process, all threads, from before the first session to after the
last answer is kept and everything is closed, over the events received. Imports are left out. The ratio is
the quantity; absolute times depend on the machine.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time

import httpx
import msgspec
import trio

from actors.cli.limits import raise_open_files_limit, tune_process
from actors.upstream.process import UpstreamProcess
from actors.upstream.settings import UpstreamSettings
from actors.upstream.traffic import UpstreamStatistics
from benchmarks.clients import TURNS, VARIANTS, Load, Tally
from benchmarks.setting import (
    Setting,
    cpu_seconds,
    open_endpoint,
    options_of,
    pin_to_client_core,
    run_child,
    setting,
    show_setting,
)

TARGET_RATIO = 1.25
BIAS = (
    "for the bare loop: it keeps nothing, publishes nothing, cannot be stopped and handles no error",
    "for the engine: nobody subscribes to its sessions; bursts reach its actors and its store in batches",
    "against the engine: answers are short, so that an event bears a large share of its turn's commits",
    "for the bare loop: where the core is full, it reads several events at once, which is cheaper",
    "for the slower of two: when the other has ended, it has the core to itself",
    "for neither: all on loopback, interpreters tuned alike, the endpoint on another core if there is one",
)

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
    cpu_before, began = cpu_seconds(), time.perf_counter()
    trio.run(VARIANTS[name], load, tally)
    return Cost(
        variant=name,
        events=tally.traffic().events,
        answers=tally.answers,
        characters=tally.characters,
        cpu_seconds=cpu_seconds() - cpu_before,
        wall_seconds=time.perf_counter() - began,
    )


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
    Size(sessions=100, tokens=80, tokens_per_second=20, rounds=3),
    Size(sessions=500, tokens=36, tokens_per_second=6, rounds=2),
    Size(sessions=100, tokens=40, tokens_per_second=20, rounds=1, variants=("naive",)),
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


class Report(Setting, frozen=True, kw_only=True):
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
    async with httpx.AsyncClient(trust_env=False) as client:
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


def _show(report: Report) -> None:
    show_setting(report)
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
    parser = options_of(__doc__, quick="one small round, to see that it works")
    parser.add_argument("--variant", choices=VARIANTS, help=argparse.SUPPRESS)
    parser.add_argument("--load", help=argparse.SUPPRESS)
    options = parser.parse_args()
    raise_open_files_limit()
    if options.variant:
        pin_to_client_core()
        load = msgspec.json.decode(options.load, type=Load)
        print(msgspec.json.encode(run_variant(options.variant, load)).decode())
        return
    where = setting(__doc__, BIAS)
    report = Report(
        **msgspec.structs.asdict(where),
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

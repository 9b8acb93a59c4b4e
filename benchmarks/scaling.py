"""Does an event cost more when more sessions stream?

From 100 to 5,000 sessions, all of them streaming, at the same number of events per second in all: what an
event costs more with more sessions is what the number of sessions costs. `bare` and `engine` of `clients`
run at the same time on the same core, and what they take is counted for some seconds, from when all
sessions of both stream; beginning and ending a turn is not in it. The engine keeps its answers in SQLite.

Measured: user and system time of each process, all threads, over the events that it received meanwhile.
`--plot FILE` draws it; that needs matplotlib, the extra `bench`.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import trio

from actors.cli.limits import raise_open_files_limit, tune_process
from actors.upstream.settings import UpstreamSettings
from benchmarks.clients import VARIANTS, Load, Tally, all_streaming
from benchmarks.runtime.plot import PlotUnavailableError, require_matplotlib
from benchmarks.setting import (
    CHECKOUT,
    Setting,
    cpu_seconds,
    open_endpoint,
    options_of,
    pin_to_client_core,
    setting,
    show_setting,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

READERS = ("bare", "engine")
TARGET_GROWTH = 1.2
BIAS = (
    "for few sessions: their streams stay in the processor's cache",
    "for the bare loop: it keeps nothing, publishes nothing, cannot be stopped and handles no error",
    "for the engine: nobody subscribes, and turns neither begin nor end meanwhile",
    "for neither: all on loopback, interpreters tuned alike, the endpoint on another core if there is one",
)


class Sizes(msgspec.Struct, frozen=True):
    """`events_per_second` are those of all sessions of one reader together."""

    sessions: tuple[int, ...]
    events_per_second: float
    starts_per_second: float
    window_seconds: float


FULL = Sizes((100, 500, 2_000, 5_000), 1_500, 250, 8)
QUICK = Sizes((10, 40), 200, 100, 1)


class Cost(msgspec.Struct, frozen=True):
    """What one process took in the window."""

    events: int
    cpu_seconds: float

    @property
    def cpu_us(self) -> float:
        return self.cpu_seconds / self.events * 1e6


class Row(msgspec.Struct, frozen=True):
    """CPU microseconds per event; `growth` is `ratio` over that of the fewest sessions."""

    sessions: int
    bare_us: float
    engine_us: float
    ratio: float
    growth: float


class Report(Setting, frozen=True, kw_only=True):
    events_per_second: float
    target_growth: float
    rows: list[Row]


# --- in a process of its own ------------------------------------------------------------------------


async def measure_reader(variant: str, load: Load, window_seconds: float) -> Cost:
    """Say when all sessions stream, and measure for so long when a line comes on standard input."""
    tally = Tally()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(VARIANTS[variant], load, tally)
        if not await all_streaming(load, tally):
            raise SystemExit(f"{variant} never had {load.sessions} sessions streaming: it fell behind")
        print("streaming", flush=True)
        await trio.to_thread.run_sync(sys.stdin.readline)
        cpu_before, before = cpu_seconds(), tally.traffic().events
        await trio.sleep(window_seconds)
        cost = Cost(tally.traffic().events - before, cpu_seconds() - cpu_before)
        nursery.cancel_scope.cancel()
    return cost


# --- the comparison ---------------------------------------------------------------------------------


class _Reader:
    """A process that reads, from here."""

    def __init__(self, process: trio.Process) -> None:
        self._process = process
        self._lines = b""

    async def line(self) -> bytes:
        assert self._process.stdout is not None
        while b"\n" not in self._lines:
            received = await self._process.stdout.receive_some()
            if not received:
                raise SystemExit("a reader ended before it had measured anything")
            self._lines += received
        line, _, self._lines = self._lines.partition(b"\n")
        return line

    async def go(self) -> None:
        assert self._process.stdin is not None
        await self._process.stdin.send_all(b"go\n")

    async def wait(self) -> None:
        await self._process.wait()


async def measure(sizes: Sizes) -> list[Row]:
    costs = [await _measure_size(sessions, sizes) for sessions in sizes.sessions]
    first = costs[0]["engine"].cpu_us / costs[0]["bare"].cpu_us
    rows: list[Row] = []
    for sessions, its in zip(sizes.sessions, costs, strict=True):
        bare, engine = its["bare"].cpu_us, its["engine"].cpu_us
        rows.append(Row(sessions, bare, engine, engine / bare, engine / bare / first))
    return rows


async def _measure_size(sessions: int, sizes: Sizes) -> dict[str, Cost]:
    print(f"{sessions:,} sessions", file=sys.stderr)
    rate = sizes.events_per_second / sessions
    seconds = 4 * sessions / sizes.starts_per_second + sizes.window_seconds + 30
    tokens = round(seconds * rate) + 20
    settings = UpstreamSettings(
        ttft_seconds=0.2, tokens_per_second=rate, tokens=(tokens, tokens), jitter=0.5
    )
    async with open_endpoint(settings) as endpoint:
        load = Load(endpoint.base_url, sessions, turns=1, starts_per_second=sizes.starts_per_second)
        readers = {name: await _start(name, load, sizes.window_seconds) for name in READERS}
        for reader in readers.values():
            await reader.line()
        for reader in readers.values():
            await reader.go()
        costs = {
            name: msgspec.json.decode(await reader.line(), type=Cost) for name, reader in readers.items()
        }
        for reader in readers.values():
            await reader.wait()
        return costs


async def _start(variant: str, load: Load, window_seconds: float) -> _Reader:
    command = [
        *(sys.executable, "-m", "benchmarks.scaling", f"--variant={variant}"),
        *(f"--window={window_seconds}", f"--load={msgspec.json.encode(load).decode()}"),
    ]
    process = await trio.lowlevel.open_process(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=CHECKOUT
    )
    return _Reader(process)


def plot(report: Report, path: Path) -> None:
    """Draw the costs, and their ratio, into `path`; its suffix names the format."""
    require_matplotlib()
    from matplotlib import pyplot as plt  # noqa: PLC0415 - an optional dependency, of this option only

    figure, axes = plt.subplots(1, 2, figsize=(11, 4.5), layout="constrained")  # pyright: ignore[reportUnknownMemberType] - keyword arguments untyped
    costs, ratio = axes
    sessions = [row.sessions for row in report.rows]
    _line(costs, sessions, [row.bare_us for row in report.rows], "bare httpx loop")
    _line(costs, sessions, [row.engine_us for row in report.rows], "engine")
    costs.set_ylabel("CPU microseconds per event")
    _line(ratio, sessions, [row.ratio for row in report.rows], "engine over bare")
    figure.suptitle(  # pyright: ignore[reportUnknownMemberType] - as above
        f"{report.events_per_second:,.0f} events/s in all; {report.python}, {report.machine}", fontsize=8
    )
    figure.savefig(path)  # pyright: ignore[reportUnknownMemberType] - as above


def _line(axes: Axes, sessions: Sequence[int], values: Sequence[float], label: str) -> None:
    axes.plot(sessions, values, marker="o", label=label)  # pyright: ignore[reportUnknownMemberType] - as above
    axes.set_xscale("log")  # pyright: ignore[reportUnknownMemberType] - as above
    axes.set_xticks(sessions, [f"{count:,}" for count in sessions])  # pyright: ignore[reportUnknownMemberType] - as above
    axes.set_xlabel("sessions, logarithmic")  # pyright: ignore[reportUnknownMemberType] - as above
    axes.set_ylim(bottom=0)
    axes.grid(visible=True, alpha=0.3)  # pyright: ignore[reportUnknownMemberType] - as above
    axes.legend()  # pyright: ignore[reportUnknownMemberType] - as above


def _show(report: Report) -> None:
    show_setting(report)
    print(f"\n{report.events_per_second:,.0f} events/s in all, CPU microseconds per event")
    print(f"{'sessions':>8}{'bare':>8}{'engine':>8}{'ratio':>8}{'growth':>8}")
    for row in report.rows:
        print(f"{row.sessions:>8,}{row.bare_us:>8.1f}{row.engine_us:>8.1f}", end="")
        print(f"{row.ratio:>8.2f}{row.growth:>8.2f}")
    print(f"\nwanted: flat, a growth of at most {report.target_growth:g}")


def main() -> None:
    parser = options_of(__doc__)
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw it, too, as .svg, .png or .pdf")
    parser.add_argument("--variant", choices=READERS, help=argparse.SUPPRESS)
    parser.add_argument("--window", type=float, help=argparse.SUPPRESS)
    parser.add_argument("--load", help=argparse.SUPPRESS)
    options = parser.parse_args()
    raise_open_files_limit()
    if options.variant:
        pin_to_client_core()
        tune_process()
        load = msgspec.json.decode(options.load, type=Load)
        cost = trio.run(measure_reader, options.variant, load, options.window)
        print(msgspec.json.encode(cost).decode())
        return
    if options.plot is not None:
        try:
            require_matplotlib()
        except PlotUnavailableError as error:
            parser.error(str(error))
    sizes = QUICK if options.quick else FULL
    where = setting(__doc__, BIAS)
    report = Report(
        **msgspec.structs.asdict(where),
        events_per_second=sizes.events_per_second,
        target_growth=TARGET_GROWTH,
        rows=trio.run(measure, sizes),
    )
    if options.plot is not None:
        plot(report, options.plot)
    if options.json:
        print(msgspec.json.encode(report).decode())
    else:
        _show(report)


if __name__ == "__main__":
    main()

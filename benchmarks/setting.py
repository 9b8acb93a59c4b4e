"""Where the benchmarks of the session engine run: the machine, its cores, their processes, the endpoint."""

from __future__ import annotations

import gc
import os
import platform
import resource
import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path

import msgspec
import trio

from actors.upstream.process import UpstreamProcess, open_upstream_process
from actors.upstream.settings import UpstreamSettings

__all__ = [
    "CHECKOUT",
    "CORES",
    "Setting",
    "Spread",
    "cpu_seconds",
    "open_endpoint",
    "options_of",
    "pin_to_client_core",
    "resident_bytes",
    "run_child",
    "setting",
    "show_setting",
    "spread_of",
    "spread_text",
    "versions",
]

_CORES = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
CHECKOUT = Path(__file__).parent.parent
"""Where modules of this folder are started."""

CORES = len(_CORES) or os.cpu_count() or 1


class Setting(msgspec.Struct, frozen=True):
    """What every report begins with. `load` is how many processes wanted a core in the minute before."""

    question: str
    python: str
    machine: str
    cores: int
    load: float
    versions: dict[str, str]
    bias: tuple[str, ...]


def setting(documentation: str | None, bias: tuple[str, ...]) -> Setting:
    """The setting of the benchmark whose module is documented so: its first line is the question."""
    assert documentation is not None
    return Setting(
        question=documentation.splitlines()[0],
        python=f"{platform.python_implementation()} {platform.python_version()}",
        machine=platform.platform(),
        cores=CORES,
        load=round(os.getloadavg()[0], 2),
        versions=versions(),
        bias=bias,
    )


def options_of(
    documentation: str | None, *, quick: str = "few sessions, to see that it works"
) -> ArgumentParser:
    """The options that all of them take; what a benchmark starts itself with is its own."""
    parser = ArgumentParser(description=documentation, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help=quick)
    parser.add_argument("--json", action="store_true", help="print the report as one JSON object")
    return parser


def versions() -> dict[str, str]:
    return {name: version(name) for name in ("h11", "httpcore", "httpx", "httpx-sse", "msgspec", "trio")}


def show_setting(where: Setting) -> None:
    """The question, the machine, the versions and the bias, as every report begins."""
    print(where.question)
    print(where.python, ", ".join(f"{name} {number}" for name, number in where.versions.items()), sep="; ")
    print(f"{where.machine}, {where.cores} cores, load {where.load:g} before")
    for sentence in where.bias:
        print(f"bias {sentence}")


# --- processes --------------------------------------------------------------------------------------


async def run_child(module: str, *arguments: str) -> bytes:
    """Run a module of this folder in a process of its own, and give what it prints."""
    done = await trio.run_process(
        [sys.executable, "-m", module, *arguments], capture_stdout=True, cwd=CHECKOUT
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


def cpu_seconds() -> float:
    """User and system time of this process so far, all threads."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def resident_bytes() -> int:
    """The resident set after a collection."""
    gc.collect()
    resident_pages = int(Path("/proc/self/statm").read_text().split()[1])
    return resident_pages * resource.getpagesize()


# --- many measurements of one thing -----------------------------------------------------------------


class Spread(msgspec.Struct, frozen=True):
    """How many durations are spread, in seconds."""

    count: int
    p50: float
    p99: float
    most: float


def spread_of(durations: Sequence[float]) -> Spread:
    """Of at least one duration, by nearest rank."""
    ranked = sorted(durations)
    return Spread(len(ranked), ranked[len(ranked) // 2], ranked[(len(ranked) * 99 - 1) // 100], ranked[-1])


def spread_text(spread: Spread) -> str:
    """p50, p99 and the largest, in milliseconds, nine columns each."""
    return "".join(f"{seconds * 1e3:>9.2f}" for seconds in (spread.p50, spread.p99, spread.most))

"""How fast is a large tree searched, beside a plain walk with Python's `re`?

A tree of source-like files is made, with ignored and binary ones among them. Each question is asked of the
`search` tool over every program that can answer (ripgrep where it is installed, and our own), and of a
naive loop in this process: `os.walk`, read, `re.search` line by line. They take turns within each round,
medians count, and all must find equally many lines.

`held up` is the longest time that another task of the event loop waited for its turn, which the naive loop,
called as a tool that forgets itself would call it, holds up for as long as it runs.
"""

from __future__ import annotations

import os
import random
import re
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import cast

import msgspec
import trio

from actors.tools import ToolContext
from actors.workspace import Backend, PythonBackend, find_backend, workspace_tools
from benchmarks.setting import Setting, options_of, setting, show_setting

BIAS = (
    "files are in the page cache: a cold disk makes all ways alike",
    "the naive loop reads no .gitignore: it is told which folder to leave out",
)
QUESTIONS = {
    "rare text": {"pattern": "needle_in_the_hay", "literal": True},
    "rare regex": {"pattern": r"needle_\w+_hay\b"},
    "frequent": {"pattern": r"def \w+_7\("},
    "nothing": {"pattern": r"no\d+thing[xyz]{3}"},
}
MOST = 100
WORDS = ("value", "result", "index", "session", "message", "actor", "return", "await", "import", "config")


class Size(msgspec.Struct, frozen=True):
    files: int
    lines: int
    rounds: int


class Row(msgspec.Struct, frozen=True):
    """Medians, in seconds. `ratio` is how often the naive loop's time holds this one."""

    question: str
    way: str
    matches: int
    seconds: float
    held_up_seconds: float
    ratio: float


class Report(Setting, frozen=True, kw_only=True):
    files: int
    megabytes: float
    rounds: int
    rows: tuple[Row, ...]


FULL = Size(files=20_000, lines=220, rounds=3)
QUICK = Size(files=300, lines=50, rounds=1)

Ask = Callable[[Mapping[str, object]], Awaitable[str]]


def grow(root: Path, size: Size) -> int:
    """Make the tree; returns its bytes."""
    chance = random.Random(1)
    (root / ".gitignore").write_text("ignored/\n*.log\n")
    total = 0
    for number in range(size.files):
        folder = root / f"package_{number % 40}" / f"module_{number % 7}"
        if number % 20 == 0:
            folder = root / "ignored" / folder.name
        folder.mkdir(parents=True, exist_ok=True)
        lines = [f"    {' '.join(chance.choices(WORDS, k=6))}" for _ in range(size.lines)]
        lines[0] = f"def function_{number}():"
        if number % 100 == 7:
            lines[-1] = f"def made_{number}_7():"
        if number == size.files // 2 + 1:
            lines[size.lines // 2] = "    needle_in_the_hay = 1"
        data = "\n".join(lines).encode()
        if number % 50 == 3:
            data = b"\0" + data
        (folder / f"file_{number}.py").write_bytes(data)
        total += len(data)
    return total


def naive(root: Path, arguments: Mapping[str, object]) -> str:
    """What a first attempt does; returns the count as the tool tells it."""
    pattern = str(arguments["pattern"])
    search = re.compile(re.escape(pattern) if arguments.get("literal") else pattern).search
    found: list[tuple[str, int, str]] = []
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if name != "ignored")
        for name in sorted(names):
            path = Path(folder, name)
            data = path.read_bytes()
            if name.startswith(".") or b"\0" in data:
                continue
            for number, line in enumerate(data.decode(errors="replace").split("\n"), 1):
                if search(line):
                    found.append((str(path), number, line))
    return f"{len(found)} match"


async def measure(ask: Ask, arguments: Mapping[str, object]) -> tuple[float, float, int]:
    """Seconds, the longest wait of another task, and how many lines were found."""
    longest = 0.0
    async with trio.open_nursery() as nursery:

        async def beat() -> None:
            nonlocal longest
            while True:
                before = time.perf_counter()
                await trio.sleep(0.001)
                longest = max(longest, time.perf_counter() - before - 0.001)

        nursery.start_soon(beat)
        await trio.sleep(0.005)
        started = time.perf_counter()
        answer = await ask(arguments)
        seconds = time.perf_counter() - started
        await trio.lowlevel.checkpoint()
        await trio.sleep(0.002)
        nursery.cancel_scope.cancel()
    first = answer.split(maxsplit=1)[0]
    return seconds, longest, int(first) if first.isdigit() else 0


def tool(root: Path, backend: Backend) -> Ask:
    tools = workspace_tools([str(root)], backend=backend, timeout_seconds=600)
    search = next(one.function for one in tools if one.name == "search")
    function = cast("Callable[[Mapping[str, object], ToolContext], Awaitable[str]]", search)
    context = ToolContext(session_id="s", task_id="t", call_id="c", directory="", show=lambda _: None)
    return lambda arguments: function({**arguments, "max_results": MOST}, context)


async def run(size: Size, where: Setting) -> Report:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        megabytes = grow(root, size) / 1e6

        async def naively(arguments: Mapping[str, object]) -> str:
            return naive(root, arguments)

        ways: dict[str, Ask] = {"naive": naively, "python": tool(root, PythonBackend())}
        found = find_backend()
        if not isinstance(found, PythonBackend):
            ways[found.name] = tool(root, found)
        rows: list[Row] = []
        for question, arguments in QUESTIONS.items():
            taken: dict[str, list[tuple[float, float, int]]] = {way: [] for way in ways}
            for _ in range(size.rounds):
                for way, ask in ways.items():
                    taken[way].append(await measure(ask, arguments))
            rows += rows_of(question, taken)
        return Report(
            **msgspec.structs.asdict(where),
            files=size.files,
            megabytes=round(megabytes, 1),
            rounds=size.rounds,
            rows=tuple(rows),
        )


def rows_of(question: str, taken: Mapping[str, list[tuple[float, float, int]]]) -> list[Row]:
    seconds = {way: statistics.median(one[0] for one in runs) for way, runs in taken.items()}
    counts = {way: min(one[2] for one in runs) for way, runs in taken.items()}
    assert len({min(count, MOST) for count in counts.values()}) == 1, f"{question}: {counts}"
    return [
        Row(
            question=question,
            way=way,
            matches=counts[way],
            seconds=round(seconds[way], 4),
            held_up_seconds=round(statistics.median(one[1] for one in runs), 4),
            ratio=round(seconds["naive"] / seconds[way], 1),
        )
        for way, runs in taken.items()
    ]


def show(report: Report) -> None:
    show_setting(report)
    print(f"{report.files:,} files, {report.megabytes:,.0f} MB, medians of {report.rounds} rounds")
    print(f"{'question':<12}{'way':<10}{'matches':>8}{'ms':>10}{'held up ms':>12}{'faster':>10}")
    for row in report.rows:
        print(
            f"{row.question:<12}{row.way:<10}{row.matches:>8}{row.seconds * 1e3:>10.0f}"
            f"{row.held_up_seconds * 1e3:>12.1f}{row.ratio:>8.1f} x"
        )


def main() -> None:
    parser = options_of(__doc__, quick="a small tree, to see that it works")
    options = parser.parse_args()
    report = trio.run(run, QUICK if options.quick else FULL, setting(__doc__, BIAS))
    if options.json:
        print(msgspec.json.encode(report).decode())
    else:
        show(report)


if __name__ == "__main__":
    main()

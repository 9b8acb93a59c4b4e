"""A program that floods, hangs, complains, or is cancelled."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
import trio

from actors.workspace.backends import Command
from actors.workspace.program import Ended, run_program

FLOOD = "import sys\nwhile True: sys.stdout.buffer.write(b'x' * 65536)"
LINES = "import sys\nwhile True: sys.stdout.buffer.write(b'line\\n' * 10000)"
HANG = "import sys, time\nprint('ready', flush=True)\ntime.sleep(3600)"
FAMILY = """
import subprocess, sys
child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(3600)'])
print(child.pid, flush=True)
child.wait()
"""


def python(program: str, given: bytes = b"") -> Command:
    return Command((sys.executable, "-S", "-c", program), "/", given, os.environ)


async def run(
    command: Command, most: int = 10_000, timeout_seconds: float = 60.0
) -> tuple[list[bytes], Ended]:
    records: list[bytes] = []

    def take(record: bytes) -> bool:
        records.append(record)
        return len(records) == most

    ended = await run_program(command, take, separator=b"\n", timeout_seconds=timeout_seconds)
    return records, ended


async def test_records_are_taken_whole_however_they_arrive() -> None:
    program = "import sys\nfor piece in sys.stdin.read().split('|'): print(piece, end='', flush=True)"

    records, ended = await run(python(program, b"a|b\nc|\n\n|d|\nrest"))

    assert records == [b"ab", b"c", b"d"]
    assert ended == Ended(exit_code=0)


async def test_a_program_that_says_enough_is_ended() -> None:
    records, ended = await run(python(LINES), most=3)

    assert records == [b"line"] * 3
    assert ended == Ended(enough=True)


async def test_a_record_without_an_end_is_not_kept_and_the_program_stopped_when_its_time_is_up() -> None:
    records, ended = await run(python(FLOOD), timeout_seconds=0.5)

    assert records == []
    assert ended == Ended(late=True)


async def test_a_record_that_is_too_long_is_passed_over() -> None:
    program = "import sys\nsys.stdout.write('a\\n' + 'x' * 17_000_000 + '\\nb\\n')"

    records, ended = await run(python(program))

    assert records == [b"a", b"b"]
    assert ended == Ended(exit_code=0)


async def test_the_beginning_of_a_complaint_is_kept() -> None:
    program = "import sys\nsys.stderr.write('why' + ' ' * 100_000 + 'x' * 100_000)\nsys.exit(2)"

    _, ended = await run(python(program, b"never read" * 100_000))

    assert ended == Ended(exit_code=2, complaint="why")


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks for the process in /proc")
async def test_a_program_and_its_children_are_gone_when_it_is_cancelled() -> None:
    child_pid = 0

    async with trio.open_nursery() as nursery:

        def take(record: bytes) -> bool:
            nonlocal child_pid
            child_pid = int(record)
            nursery.cancel_scope.cancel()
            return False

        await run_program(python(FAMILY), take, separator=b"\n", timeout_seconds=60)

    with trio.fail_after(60):
        while runs(child_pid):  # noqa: ASYNC110 - nobody tells us; an orphan is reaped by whoever adopts it
            await trio.sleep(0.01)


def runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


async def test_a_program_that_is_not_there_is_an_error() -> None:
    with pytest.raises(FileNotFoundError):
        await run(Command(("/nowhere/program",), "/", b"", os.environ))

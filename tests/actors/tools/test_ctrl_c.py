"""A Ctrl-C ends the program, and is no tool's to swallow."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import trio

CHECKOUT = Path(__file__).parents[3]
LIMIT_SECONDS = 120
"""Where the test gives up."""


async def test_a_ctrl_c_ends_a_program_whose_tools_hang_and_nothing_of_them_is_left(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with trio.fail_after(LIMIT_SECONDS):
        program = await trio.lowlevel.open_process(
            [sys.executable, "-m", "tests.actors.tools.ctrl_c_program", str(pipe)],
            cwd=CHECKOUT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert program.stdout is not None
        assert program.stderr is not None
        async with await trio.open_file(pipe, "rb", buffering=0) as stream, program.stdout, program.stderr:
            assert await stream.read(1) == b"!"  # the child of the process tool runs
            assert await program.stdout.receive_some() == b"all hang\n"

            program.send_signal(signal.SIGINT)

            assert await stream.read(1) == b""  # and is gone
            errors = b"".join([chunk async for chunk in program.stderr]).decode()
            assert await program.wait() == -signal.SIGINT, errors

    assert errors.rstrip().endswith("KeyboardInterrupt")
    assert "tool failed" not in errors

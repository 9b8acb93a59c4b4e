"""A real Ctrl-C reaches the host, every time, and never an actor."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.runtime.ctrl_c_program import LOADS, ROUNDS

PROJECT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT to a child process")


@contextmanager
def started(mode: str) -> Generator[subprocess.Popen[str], None, None]:
    command = [sys.executable, "-m", "tests.runtime.ctrl_c_program", mode]
    with subprocess.Popen(
        command, cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def next_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


@pytest.mark.parametrize("load", LOADS)
def test_ctrl_c_reaches_the_host_under_load(load: str) -> None:
    with started(load) as process:
        for number in range(ROUNDS):
            assert next_line(process) == "ready"
            time.sleep(number / 1000)  # not to hit the host while it is still busy with saying so
            process.send_signal(signal.SIGINT)
            assert next_line(process) == "caught"
        assert next_line(process) == "all actors live"
        _, errors = process.communicate(timeout=30)

    assert (process.returncode, errors) == (0, "")


def test_a_second_ctrl_c_ends_the_shutdown_budget() -> None:
    with started("hang") as process:
        assert next_line(process) == "ready"
        process.send_signal(signal.SIGINT)
        assert next_line(process) == "stopping"
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)

    assert errors.rstrip().endswith("KeyboardInterrupt")
    assert process.returncode != 0

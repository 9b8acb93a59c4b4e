"""The endpoint as a process of its own, for those who want to load it from this one."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager

import msgspec
import trio

from actors.errors import EngineError, ErrorCode
from actors.upstream.settings import UpstreamSettings

__all__ = ["COMMAND", "UpstreamProcess", "command_arguments", "open_upstream_process"]

# -P: not what the current folder happens to have under the name of our package.
COMMAND = (sys.executable, "-P", "-m", "actors.cli", "upstream")
"""Starts an endpoint; options follow."""

_START_SECONDS = 30.0
_END_SECONDS = 5.0


class UpstreamProcess(msgspec.Struct, frozen=True):
    """Where a running endpoint process is. Its ready line, with `--json`, is this as JSON."""

    base_url: str
    port: int
    pid: int


@asynccontextmanager
async def open_upstream_process(settings: UpstreamSettings) -> AsyncGenerator[UpstreamProcess, None]:
    """Run an endpoint in a process of its own for the length of the block.

    It is ended on every way out of the block, within five seconds even if it does not listen, and ends by
    itself when this process is gone. It is not in this process's terminal group: Ctrl-C reaches
    the caller alone.

    Raises:
        EngineError: EXECUTION_FAILED, with what the process had to say, when it does not start.
    """
    process = await trio.lowlevel.open_process(
        [*COMMAND, *command_arguments(settings), "--json", "--exit-with-parent"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        yield await _ready(process)
    finally:
        with trio.CancelScope(shield=True):
            await _end(process)


def command_arguments(settings: UpstreamSettings) -> Iterator[str]:
    """The options of `greenroom upstream` that amount to `settings`."""
    low, high = settings.tokens
    yield f"--host={settings.host}"
    yield f"--port={settings.port}"
    yield f"--ttft={settings.ttft_seconds!r}"
    yield f"--tokens-per-second={settings.tokens_per_second!r}"
    yield f"--tokens={low}-{high}"
    yield f"--jitter={settings.jitter!r}"
    yield f"--seed={settings.seed}"
    if settings.replay_dir is not None:
        yield f"--replay={settings.replay_dir}"
    yield f"--requests-per-second={settings.requests_per_second}"
    for fault, rate in settings.faults.items():
        yield f"--fault={fault}={rate!r}"


async def _ready(process: trio.Process) -> UpstreamProcess:
    assert process.stdout is not None
    assert process.stderr is not None
    line = b""
    with trio.move_on_after(_START_SECONDS):
        while not line.endswith(b"\n"):
            received = await process.stdout.receive_some()
            if not received:
                break
            line += received
    try:
        return msgspec.json.decode(line, type=UpstreamProcess)
    except msgspec.DecodeError as error:
        process.kill()
        complaint = b"".join([part async for part in process.stderr]).decode(errors="replace").strip()
        raise EngineError(
            ErrorCode.EXECUTION_FAILED,
            complaint or f"the endpoint was not ready within {_START_SECONDS:g} seconds",
        ) from error


async def _end(process: trio.Process) -> None:
    process.terminate()
    with trio.move_on_after(_END_SECONDS):
        await process.wait()
    process.kill()
    await process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        assert pipe is not None
        await pipe.aclose()

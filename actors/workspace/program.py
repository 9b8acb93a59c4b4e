"""Runs a program and takes what it prints, record by record."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from contextlib import suppress

import msgspec
import trio

from actors.workspace.backends import Command

__all__ = ["Ended", "run_program"]

_LONGEST_RECORD_BYTES = 16_000_000
_LONGEST_COMPLAINT_BYTES = 4_000


class Ended(msgspec.Struct, frozen=True):
    """How a program ended. `exit_code` is None if it was stopped: it had said enough, or it was late."""

    exit_code: int | None = None
    complaint: str = ""
    enough: bool = False
    late: bool = False


async def run_program(
    command: Command, take: Callable[[bytes], bool], *, separator: bytes, timeout_seconds: float
) -> Ended:
    """Give each record to `take` until that says enough, the program ends, or its time is up.

    What was not taken is not kept, however much it prints; a record of more than 16 MB is passed over. The
    program and what it started are gone on every way out, also if this is cancelled.

    Raises:
        OSError: it cannot be started.
    """
    process = await trio.lowlevel.open_process(
        command.arguments,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=command.folder,
        env=command.environment,
        start_new_session=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    complaint = bytearray()
    enough = False
    try:
        with trio.move_on_after(timeout_seconds) as limit:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_give, process.stdin, command.given)
                nursery.start_soon(_keep_beginning, process.stderr, complaint)
                enough = await _take_records(process.stdout, separator, take)
                if enough:
                    nursery.cancel_scope.cancel()
            if not enough:
                code = await process.wait()
                return Ended(code, complaint.decode(errors="replace").strip())
        return Ended(enough=enough, late=limit.cancelled_caught)
    finally:
        with trio.CancelScope(shield=True):
            await _end(process)


async def _end(process: trio.Process) -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        assert pipe is not None
        await pipe.aclose()


async def _give(pipe: trio.abc.SendStream, data: bytes) -> None:
    with suppress(trio.BrokenResourceError):  # it ended without reading; its exit code says why
        await pipe.send_all(data)
    await pipe.aclose()


async def _keep_beginning(pipe: trio.abc.ReceiveStream, kept: bytearray) -> None:
    while received := await pipe.receive_some():
        kept += received[: _LONGEST_COMPLAINT_BYTES - len(kept)]


async def _take_records(
    pipe: trio.abc.ReceiveStream, separator: bytes, take: Callable[[bytes], bool]
) -> bool:
    rest = bytearray()
    is_too_long = False
    while received := await pipe.receive_some(65_536):
        *records, last = bytes(received).split(separator)
        for record in records:
            whole = bytes(rest) + record
            rest.clear()
            if not is_too_long and whole and take(whole):
                return True
            is_too_long = False
        if is_too_long or len(rest) + len(last) > _LONGEST_RECORD_BYTES:
            is_too_long = True
            rest.clear()
        else:
            rest += last
    return False

"""A server that is a program: started in a process group of its own, and ended with all of that."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager

import trio

from actors.connections import McpServer
from actors.errors import EngineError, ErrorCode
from actors.mcp.wording import Redactor
from runtime import get_logger

__all__ = ["Program", "open_program"]

_log = get_logger("mcp")

_LONGEST_LINE_BYTES = 16 * 1024 * 1024
"""A message is one line; who sends a longer one is taken for lost."""

_POLITE_SECONDS = 2.0
"""So long a program may take to end after its standard input was closed, as the protocol asks."""
_TERMINATED_SECONDS = 1.0
"""And so long after SIGTERM."""
_KILLED_SECONDS = 0.5
"""And those that it has started, to be gone after SIGKILL. Where nobody reaps orphans they never are."""
_POLL_SECONDS = 0.005
_DRAIN_SECONDS = 0.5
"""What a program said before it ended is read for so long: children that live on may hold its pipe open."""

_STDERR_LINES_LOGGED = 200
_STDERR_LINE_LENGTH = 500


class Program:
    """A running program: lines from it and to it."""

    def __init__(self, process: trio.Process, server: McpServer, redact: Redactor) -> None:
        self._process = process
        self._server = server
        self._redact = redact
        self._last_line = ""
        self._lines_logged = 0
        self._fault = ""
        self._stderr_read = trio.Event()
        self.ended = trio.Event()
        """It has ended, or closed its output: nothing more will come."""

    @property
    def pid(self) -> int:
        return self._process.pid

    def ending(self) -> str:
        """Why nothing more comes, for people."""
        if self._fault:
            return self._fault
        status = self._process.returncode
        if status is None:
            what = "the program has closed its output"
        elif status < 0:
            what = f"the program was ended by {signal.Signals(-status).name}"
        else:
            what = f"the program ended with status {status}"
        # Of a traceback it is the last line that says what went wrong.
        return f"{what}: {self._last_line}" if self._last_line else what

    async def send_line(self, line: bytes) -> None:
        """
        Raises:
            trio.BrokenResourceError, trio.ClosedResourceError: it does not listen any more.
        """
        assert self._process.stdin is not None
        await self._process.stdin.send_all(line + b"\n")

    async def lines(self) -> AsyncGenerator[bytes, None]:
        """Its messages, until there will be no more."""
        assert self._process.stdout is not None
        rest = bytearray()
        async for chunk in self._process.stdout:
            rest += chunk
            if b"\n" in chunk:
                *lines, last = rest.split(b"\n")
                rest = bytearray(last)
                for line in lines:
                    if line.strip():
                        yield bytes(line)
            if len(rest) > _LONGEST_LINE_BYTES:
                self._fault = f"the program sent a line of more than {_LONGEST_LINE_BYTES} bytes"
                return

    def told_garbage(self, line: bytes) -> None:
        """It wrote what is no message on its standard output, as programs do that greet."""
        self._log_line("stdout", line.decode(errors="replace"))

    async def read_stderr(self) -> None:
        """Into the log, to its end: a full pipe would stop the program."""
        assert self._process.stderr is not None
        rest = b""
        async for chunk in self._process.stderr:
            *lines, rest = (rest + chunk).split(b"\n")
            rest = rest[-_STDERR_LINE_LENGTH:]
            for line in lines:
                self._note(line)
        self._note(rest)
        self._stderr_read.set()

    async def wait_for_last_words(self) -> None:
        """Give it a moment to end and to say why, so that `ending` can tell."""
        with trio.move_on_after(_DRAIN_SECONDS):
            await self._process.wait()
            await self._stderr_read.wait()

    def _note(self, line: bytes) -> None:
        text = self._redact(
            line[:_LONGEST_LINE_BYTES].decode(errors="replace"), longest=_STDERR_LINE_LENGTH
        )
        if text:
            self._last_line = text
            self._log_line("stderr", text)

    def _log_line(self, stream: str, text: str) -> None:
        self._lines_logged += 1
        if self._lines_logged <= _STDERR_LINES_LOGGED:
            line = self._redact(text, longest=_STDERR_LINE_LENGTH)
            _log.info("MCP server says", server=self._server.server_id, stream=stream, line=line)
        elif self._lines_logged == _STDERR_LINES_LOGGED + 1:
            _log.info("MCP server says more than is logged", server=self._server.server_id)

    async def watch(self) -> None:
        """Set `ended` when the program is gone, even if children of it hold its output open."""
        await self._process.wait()
        await trio.sleep(_DRAIN_SECONDS)
        self.ended.set()

    async def close(self) -> None:
        """End it and everything that it has started; takes a few seconds at most if it does not want to."""
        process = self._process
        assert process.stdin is not None
        await process.stdin.aclose()
        with trio.move_on_after(_POLITE_SECONDS):
            await process.wait()
        if process.returncode is None:
            _signal_group(process.pid, signal.SIGTERM)
            with trio.move_on_after(_TERMINATED_SECONDS):
                await process.wait()
        # The group has the number of its first process until the last of it is gone.
        _signal_group(process.pid, signal.SIGKILL)
        await process.wait()
        with trio.move_on_after(_KILLED_SECONDS):
            while _signal_group(process.pid, 0):  # noqa: ASYNC110 - not our children: nobody tells us
                await trio.sleep(_POLL_SECONDS)


@asynccontextmanager
async def open_program(
    server: McpServer, environment: Mapping[str, str], redact: Redactor
) -> AsyncGenerator[Program, None]:
    """Start the program of a server for the time of the block; nothing of it is left after that.

    It is in a session of its own: Ctrl-C reaches the caller alone. Of the environment it gets `environment`
    and what its definition says, nothing else.

    Raises:
        EngineError: `EXECUTION_FAILED` if it cannot be started.
    """
    try:
        process = await trio.lowlevel.open_process(
            [server.command, *server.arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=server.directory or None,
            env={**environment, **server.environment},
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        raise EngineError(ErrorCode.EXECUTION_FAILED, redact(_cannot_start(server, error))) from None
    program = Program(process, server, redact)
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(program.read_stderr)
            nursery.start_soon(program.watch)
            try:
                yield program
            finally:
                with trio.CancelScope(shield=True):
                    await program.close()
                nursery.cancel_scope.cancel()
    finally:
        with trio.CancelScope(shield=True):
            await process.stdout.aclose()
            await process.stderr.aclose()


def _signal_group(group: int, which: int) -> bool:
    """Whether there is anybody in it."""
    try:
        os.killpg(group, which)
    except (ProcessLookupError, PermissionError):  # all gone; or there is nobody left but zombies (macOS)
        return False
    return True


def _cannot_start(server: McpServer, error: OSError | ValueError) -> str:
    if isinstance(error, FileNotFoundError):
        if server.directory and not os.path.isdir(server.directory):  # noqa: PTH112 - one call
            return f"there is no directory {server.directory} to start {server.command} in"
        return f"there is no program {server.command}: install it, or name it by its whole path"
    if isinstance(error, PermissionError):
        return f"the program {server.command} may not be executed"
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return f"the program {server.command} cannot be started: {reason}"

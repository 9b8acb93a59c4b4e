"""The command in a terminal: a real one as far as it can tell, with job control and signals."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from tests.actors.cli.program import CHECKOUT, COMMAND, LIMIT_SECONDS, environment

__all__ = ["CTRL_C", "CTRL_D", "Terminal", "terminal"]

CTRL_C = "\x03"
CTRL_D = "\x04"


class Terminal:
    """What a user sees and types. `seen` is everything so far."""

    def __init__(self, process: subprocess.Popen[bytes], descriptor: int) -> None:
        self.process = process
        self._descriptor = descriptor
        self._raw = b""
        self._looked_at = 0

    @property
    def seen(self) -> str:
        return self._raw.decode(errors="replace").replace("\r\n", "\n")

    def type(self, text: str) -> None:
        """Press these keys. The terminal makes a signal of Ctrl-C."""
        os.write(self._descriptor, text.encode())

    def wait_for(self, text: str) -> str:
        """Wait until `text` is shown behind what was waited for before; what is between the two."""
        deadline = time.monotonic() + LIMIT_SECONDS
        while (found := self.seen.find(text, self._looked_at)) < 0:
            assert self._read(deadline), f"{text!r} did not come; shown is {self.seen!r}"
        between = self.seen[self._looked_at : found]
        self._looked_at = found + len(text)
        return between

    def wait_for_end(self) -> int:
        """Wait until the command has ended; its exit status."""
        deadline = time.monotonic() + LIMIT_SECONDS
        while self._read(deadline):
            pass
        return self.process.wait(max(0, deadline - time.monotonic()))

    def _read(self, deadline: float) -> bool:
        """Take in more; False at the end, and when it does not come in time."""
        ready, _, _ = select.select([self._descriptor], [], [], max(0, deadline - time.monotonic()))
        if not ready:
            return False
        try:
            more = os.read(self._descriptor, 65_536)
        except OSError:  # how Linux says that nobody has the terminal open any more
            more = b""
        self._raw += more
        return bool(more)


@contextmanager
def terminal(
    *arguments: str | Path, columns: int = 100, cwd: Path | None = None, term: str = "dumb"
) -> Generator[Terminal]:
    """Run the command in a terminal of its own; it is killed if it has not ended with the block."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    process = subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=cwd or CHECKOUT,
        env=environment(TERM=term),
        start_new_session=True,
        # Without a controlling terminal Ctrl-C would be a character like others.
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 - this program has no locks to inherit
    )
    os.close(theirs)
    try:
        yield Terminal(process, ours)
    finally:
        process.kill()
        process.wait()
        os.close(ours)

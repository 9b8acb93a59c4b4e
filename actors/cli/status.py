"""Exit statuses of the commands."""

from __future__ import annotations

from enum import IntEnum

__all__ = ["ExitStatus"]


class ExitStatus(IntEnum):
    """What a command tells the shell."""

    OK = 0
    FAILED = 1  # it ran, and something of it failed
    USAGE = 2  # it could not begin: an argument, a file, a port; nothing was written
    INTERRUPTED = 130  # Ctrl-C, by the shells' convention 128 + SIGINT

"""What the chat itself says, apart from the conversation."""

from __future__ import annotations

import sys

from actors.cli.screen import Screen
from actors.errors import ErrorCode, ErrorInfo
from actors.printable import one_line, printable

__all__ = ["Voice"]


class Voice:
    """In a terminal all is on the screen; beside a pipe, standard output has only what was asked for."""

    def __init__(self) -> None:
        self.screen = Screen()
        self.is_interactive = sys.stdin.isatty() and self.screen.is_terminal

    def say(self, text: str, style: str = "dim") -> None:
        """Say what nobody asked for; beside a pipe it stays out of the answers."""
        if self.is_interactive:
            self.screen.write(f"{text}\n", style)
        else:
            sys.stderr.write(f"{printable(text)}\n")
            sys.stderr.flush()

    def show(self, text: str) -> None:
        """Write what a command was asked for."""
        self.screen.write(f"{text}\n")

    def fail(self, error: ErrorInfo) -> None:
        """Say in one line what went wrong, and whether trying again may help."""
        self.say(_failure(error), "red")


def _failure(error: ErrorInfo) -> str:
    if error.code is ErrorCode.SESSION_BUSY:
        return "this session is still answering: /wait shows the answer, /stop stops it"
    wait_seconds = error.details.get("retry_after_seconds")
    if not error.retryable:
        advice = "a retry would fail again"
    elif wait_seconds is None:
        advice = "worth a retry: /retry"
    else:
        advice = f"worth a retry in {wait_seconds} seconds: /retry"
    return f"failed: {error.code}: {one_line(error.message)} ({advice})"

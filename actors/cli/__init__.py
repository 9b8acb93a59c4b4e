"""The command `greenroom`."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn

from actors import __version__
from actors.cli.status import ExitStatus
from actors.errors import EngineError

__all__ = ["main"]

_COMMANDS = ("run", "chat", "sessions", "show", "upstream")


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(ExitStatus.USAGE, f"{self.prog}: {message} ({self.prog} --help shows the usage)\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status. What the user can mend is one line on standard error."""
    parser = _Parser(prog="greenroom", description="Many LLM chat sessions at once, each one an actor.")
    parser.add_argument("--version", action="version", version=f"greenroom {__version__}")
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in _COMMANDS:
        import_module(f"actors.cli.{command}").add_parser(subparsers)
    parsed = parser.parse_args(arguments)
    try:
        return int(parsed.run(parsed))
    except EngineError as error:
        sys.stderr.write(f"{parser.prog}: {error.message}\n")
        return ExitStatus.USAGE
    except BrokenPipeError:  # the reader of our output has left, as `head` does
        sys.stderr.close()
        return 128 + signal.SIGPIPE
    except KeyboardInterrupt:
        return ExitStatus.INTERRUPTED

"""The command `greenroom`."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn

from actors import __version__
from actors.cli.status import ExitStatus
from actors.errors import EngineError
from actors.printable import one_line

__all__ = ["main"]

_COMMANDS = ("run", "chat", "sessions", "show", "models", "mcp", "upstream")


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(
            ExitStatus.USAGE, f"{self.prog}: {one_line(message)} ({self.prog} --help shows the usage)\n"
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status. What the user can mend is one line on standard error."""
    _open_closed_streams()
    parser = _Parser(prog="greenroom", description="Many LLM chat sessions at once, each one an actor.")
    parser.add_argument("--version", action="version", version=f"greenroom {__version__}")
    try:
        subparsers = parser.add_subparsers(required=True, metavar="COMMAND", dest="command")
        for command in _COMMANDS:
            import_module(f"actors.cli.{command}").add_parser(subparsers)
        if not (sys.argv[1:] if arguments is None else arguments):
            parser.print_help(sys.stderr)
            return ExitStatus.USAGE
        parsed, unknown = parser.parse_known_args(arguments)
        if unknown:  # told by the command, whose help has what was meant
            subparsers.choices[parsed.command].error(f"unrecognized arguments: {' '.join(unknown)}")
        return int(parsed.run(parsed))
    except EngineError as error:
        sys.stderr.write(f"{parser.prog}: {one_line(error.message)}\n")
        return ExitStatus.USAGE
    except BrokenPipeError:  # the reader of our output has left, as `head` does
        # The interpreter would write once more what is left, and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except KeyboardInterrupt:
        return ExitStatus.INTERRUPTED


def _open_closed_streams() -> None:
    """A program may be started without its standard streams (`>&-`): then nobody wants what goes there."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115, PTH123 - kept to the end

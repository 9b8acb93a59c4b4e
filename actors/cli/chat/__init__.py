"""`greenroom chat`: conversations in the terminal."""

from __future__ import annotations

from actors.cli.chat.command import add_parser, run

__all__ = ["add_parser", "run"]

"""`greenroom models`: the providers that are known, and whether their keys are there."""

from __future__ import annotations

import argparse

import msgspec

from actors.cli.arguments import Subparsers
from actors.cli.screen import write_text
from actors.cli.status import ExitStatus
from actors.models import PROVIDERS
from actors.settings import process_environment

__all__ = ["add_parser", "run"]


class _Known(msgspec.Struct, frozen=True, kw_only=True):
    """A provider. `key_is_set` is null for one that needs no key."""

    provider: str
    base_url: str
    wire: str
    key_variable: str
    key_is_set: bool | None


def add_parser(subparsers: Subparsers) -> None:
    """Add the command `models` to `greenroom`."""
    parser = subparsers.add_parser(
        "models",
        help="list the providers of models",
        description="List the providers that --model PROVIDER:MODEL may name, the environment variables of "
        "their keys, and whether these are set. Nobody is asked over the network.",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON array")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the providers; the exit status."""
    environment = process_environment()
    known = [
        _Known(
            provider=name,
            base_url=provider.base_url,
            wire=provider.wire,
            key_variable=provider.key_variable,
            key_is_set=bool(environment.get(provider.key_variable)) if provider.key_variable else None,
        )
        for name, provider in sorted(PROVIDERS.items())
    ]
    if arguments.json:
        write_text(msgspec.json.encode(known).decode() + "\n")
        return ExitStatus.OK
    rows = [("PROVIDER", "KEY", "WIRE", "BASE URL")]
    rows += [(one.provider, _key(one), one.wire, one.base_url) for one in known]
    rows.append(("scripted", "needs none", "-", "in this process: scripted:echo repeats what you say"))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        line = "  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True))
        write_text(f"{line.rstrip()}\n")
    return ExitStatus.OK


def _key(known: _Known) -> str:
    match known.key_is_set:
        case None:
            return "needs none"
        case True:
            return f"{known.key_variable} is set"
        case False:
            return f"{known.key_variable} is not set"

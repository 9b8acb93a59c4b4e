"""The options that several commands share, and what they mean."""

from __future__ import annotations

import argparse
from typing import Protocol

from actors.cli.logs import configure_logging
from actors.governor import RetryPolicy
from actors.models import WIRES
from actors.settings import EngineSettings

__all__ = [
    "DEFAULT_STORE",
    "Subparsers",
    "add_logging_options",
    "add_model_options",
    "add_store_option",
    "engine_settings",
    "positive",
]

DEFAULT_STORE = "greenroom.db"


class Subparsers(Protocol):
    """What `argparse.ArgumentParser.add_subparsers` gives."""

    def add_parser(self, name: str, *, help: str, description: str) -> argparse.ArgumentParser: ...  # noqa: A002 - argparse's


def add_store_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--store",
        default=DEFAULT_STORE,
        metavar="PATH",
        help="the SQLite file of all conversations (%(default)s)",
    )


def add_model_options(parser: argparse.ArgumentParser, *, without: str) -> None:
    """`without` says which model it is when none is named."""
    parser.add_argument(
        "--model",
        type=_model,
        metavar="PROVIDER:MODEL",
        help=f"for example openai:gpt-5-mini, ollama:qwen3:8b, scripted:echo ({without})",
    )
    parser.add_argument(
        "--base-url", default="", metavar="URL", help="of the endpoint, in place of the provider's"
    )
    parser.add_argument(
        "--attempts",
        type=positive,
        default=RetryPolicy().max_attempts,
        metavar="N",
        help="at a model call that fails before its answer begins (%(default)s)",
    )
    parser.add_argument("--wire", default="", help=f"wire format of the endpoint ({', '.join(WIRES)})")


def positive(text: str) -> int:
    """An argument that counts something."""
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return value


def _model(text: str) -> str:
    if ":" not in text:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not of the form PROVIDER:MODEL, such as ollama:qwen3:8b"
        )
    return text


def add_logging_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-v", "--verbose", action="count", default=0, help="log to standard error; twice for more"
    )
    parser.add_argument(
        "--log-format", choices=("console", "json"), default="console", help="of the log (%(default)s)"
    )


def engine_settings(
    arguments: argparse.Namespace, *, store: str | None, default_model: str, max_concurrent: int = 3
) -> EngineSettings:
    """Switch the log on as asked, and make settings of the shared options."""
    configure_logging(verbosity=arguments.verbose, log_format=arguments.log_format)
    return EngineSettings(
        store=store,
        model=arguments.model or default_model,
        base_url=arguments.base_url,
        wire=arguments.wire,
        retry=RetryPolicy(max_attempts=arguments.attempts),
        max_concurrent=max_concurrent,
    )

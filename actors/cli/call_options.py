"""The options that say how a model is to be asked, for `chat` and `run`."""

from __future__ import annotations

import argparse
from typing import Any

import msgspec

from actors.errors import EngineError, ErrorCode
from actors.model_settings import ModelSettings
from actors.models import PROVIDERS
from actors.models.wire_options import checked_settings
from actors.settings import EngineSettings

__all__ = ["add_call_options", "call_settings"]


_FLAGS = {
    "temperature": "--temperature",
    "max_tokens": "--max-tokens",
    "max_output_tokens": "--max-tokens",
    "max_completion_tokens": "--max-tokens",
}
"""Options of a request that have a flag of their own."""


def add_call_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--temperature", type=float, metavar="T", help="of the answers, 0 to 2 (the provider's own)"
    )
    parser.add_argument(
        "--max-tokens", type=int, metavar="N", help="of one answer, at most (the provider's own limit)"
    )
    parser.add_argument(
        "--option",
        type=_option,
        action="append",
        default=[],
        metavar="NAME=JSON",
        help="a field of the provider's own request, such as reasoning_effort='\"low\"'; may be repeated",
    )


def call_settings(arguments: argparse.Namespace, settings: EngineSettings, model: str) -> ModelSettings:
    """What the arguments say, checked as far as the wire of this model is known.

    Raises:
        EngineError: `INVALID_ARGUMENT`, naming the option.
    """
    options: dict[str, Any] = {}
    for name, value in arguments.option:
        if name in options:
            raise EngineError(
                ErrorCode.INVALID_ARGUMENT, f"--option {name} is given twice: leave one of them out"
            )
        options[name] = value
    if arguments.max_tokens is not None and arguments.max_tokens < 1:
        raise EngineError(
            ErrorCode.INVALID_ARGUMENT, f"--max-tokens is at least 1, not {arguments.max_tokens}"
        )
    for name, flag in _FLAGS.items():
        if name in options:
            raise EngineError(ErrorCode.INVALID_ARGUMENT, f"--option {name}: say {flag} instead")
    asked = ModelSettings(
        temperature=arguments.temperature, max_output_tokens=arguments.max_tokens, options=options
    )
    provider = PROVIDERS.get(model.partition(settings.separator)[0])
    wire = "" if provider is None else settings.wire or provider.wire
    checked_settings(asked, wire)  # what it unpacks is unpacked again with each request
    return asked


def _option(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=JSON, such as top_p=0.9")
    try:
        return name.strip(), msgspec.json.decode(value)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise argparse.ArgumentTypeError(
            f"{value!r}, the value of {name}, is not JSON; a text has double quotes: {name}='\"{value}\"'"
        ) from None

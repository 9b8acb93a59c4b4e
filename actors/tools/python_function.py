"""A Python function as the function of a tool."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import cast

import msgspec

from actors.errors import EngineError, ErrorCode
from actors.tools.signature import Signature
from actors.tools.tool import ToolContext

__all__ = ["PythonFunction"]


class PythonFunction:
    """Typed arguments go in, and text comes out."""

    __slots__ = ("function", "signature")

    def __init__(self, function: Callable[..., object], signature: Signature) -> None:
        self.function = function
        self.signature = signature

    def call(self, arguments: Mapping[str, object], context: ToolContext) -> str:
        return _text_of(self.function(**self.signature.bind(arguments, context)))

    async def call_async(self, arguments: Mapping[str, object], context: ToolContext) -> str:
        result = cast("Awaitable[object]", self.function(**self.signature.bind(arguments, context)))
        return _text_of(await result)


def _text_of(result: object) -> str:
    """A result as the model reads it.

    Raises:
        EngineError: it has no form in JSON.
    """
    if isinstance(result, str):
        return result
    if result is None:
        return "done"
    try:
        return msgspec.json.encode(result, enc_hook=_encoded).decode()
    except Exception as error:  # whatever foreign values raise while they are read
        kind = type(result).__name__
        raise EngineError(
            ErrorCode.EXECUTION_FAILED,
            f"The tool returned {kind!r}, which is neither text nor JSON: {error}",
        ) from error


def _encoded(value: object) -> object:
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"no JSON for {type(value).__name__}")

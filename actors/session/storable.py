"""What foreign code says, made fit for stores and wires: `?` for each half of a surrogate pair.

No store and no wire can take such a half: a write with one in it is refused, and ends its session.
"""

from __future__ import annotations

import math
from typing import assert_never

import msgspec

from actors.conversation import (
    FinishPart,
    Part,
    ProviderItemPart,
    TextPart,
    ThoughtPart,
    ToolCallPart,
    UsagePart,
)
from actors.errors import EngineError, ErrorCode, ErrorInfo

__all__ = ["MOST_TOOL_CALLS", "storable_error", "storable_parts", "storable_text"]

MOST_TOOL_CALLS = 1000
"""So many tool calls may be in one answer."""

_MOST_INTEGER = 2**63


def storable_text(text: str) -> str:
    return text if text.isascii() else text.encode(errors="replace").decode()


def storable_parts(parts: tuple[Part, ...]) -> tuple[Part, ...]:
    """
    Raises:
        EngineError: `EXECUTION_FAILED`, the answer has too many tool calls.
        AttributeError, TypeError: these are no parts of an answer.
    """
    for part in parts:
        if type(part) is not TextPart or not part.text.isascii():
            return tuple([_storable_part(part) for part in parts])
    return parts  # as nearly all that come, and they come all the time


def _storable_part(part: Part) -> Part:
    match part:
        case TextPart(text):
            return part if text.isascii() else TextPart(storable_text(text))
        case ThoughtPart(text):
            return part if text.isascii() else ThoughtPart(storable_text(text))
        case ToolCallPart(index, call_id, name, arguments):
            if not 0 <= index < MOST_TOOL_CALLS:
                raise EngineError(
                    ErrorCode.EXECUTION_FAILED,
                    f"the model asked for too many tools at once: {MOST_TOOL_CALLS} calls are the most",
                )
            return ToolCallPart(index, *map(storable_text, (call_id, name, arguments)))
        case ProviderItemPart(wire, data):
            return ProviderItemPart(storable_text(wire), storable_text(data))
        case UsagePart() | FinishPart():
            return part
        case _:
            assert_never(part)


def storable_error(error: ErrorInfo) -> ErrorInfo:
    """An error with plain JSON values in its details, whatever its code or its maker put there."""
    details = {
        storable_text(name): value if _is_storable_number(value) else storable_text(str(value))
        for name, value in error.details.items()
    }
    return msgspec.structs.replace(error, message=storable_text(error.message), details=details)


def _is_storable_number(value: object) -> bool:
    """Stores write an infinite number as null, which no detail may be when it is read again."""
    if type(value) is float:
        return math.isfinite(value)
    return type(value) is int and -_MOST_INTEGER <= value < _MOST_INTEGER

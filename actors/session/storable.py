"""What foreign code says, made fit for stores and wires: `?` for each half of a surrogate pair.

No store and no wire can take such a half: a write with one in it is refused, and ends its session.
"""

from __future__ import annotations

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
from actors.errors import ErrorInfo

__all__ = ["MOST_TOOL_CALLS", "storable_error", "storable_parts", "storable_text"]

MOST_TOOL_CALLS = 1000
"""So many tool calls may be in one answer."""


def storable_text(text: str) -> str:
    return text if text.isascii() else text.encode(errors="replace").decode()


def storable_parts(parts: tuple[Part, ...]) -> tuple[Part, ...]:
    """
    Raises:
        AttributeError, TypeError, ValueError: these are no parts of an answer.
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
                raise ValueError(f"an answer has tool calls 0 to {MOST_TOOL_CALLS - 1}, not {index}")
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
        storable_text(name): value if type(value) in (int, float) else storable_text(str(value))
        for name, value in error.details.items()
    }
    return msgspec.structs.replace(error, message=storable_text(error.message), details=details)

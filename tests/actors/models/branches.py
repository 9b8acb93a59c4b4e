"""Conversations of a few messages, as requests of every wire write them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from actors.answer import Answer
from actors.conversation import (
    Attachment,
    Content,
    FileReference,
    Image,
    Message,
    MessageState,
    ProviderItem,
    Role,
    Text,
    ToolCall,
    ToolCallRequest,
    ToolResult,
    ToolStatus,
)
from tests.actors.models.stream_samples import message

__all__ = ["FILES", "NAME", "WORDS", "asked", "called", "kept", "result", "said", "said_and_called"]

NAME = "provider:model"
"""The model that the request goes to."""

_READ_AT = datetime(2030, 1, 1, tzinfo=UTC)

WORDS = Text(
    "Compare.",
    attachments=(Attachment("notes.txt", "a note"),),
    images=(Image("image/png", b"\x89PNG"), Image("image/png", b"", "scan.png", "read in it")),
    references=(
        FileReference("a.py", _READ_AT, "x = 1", 3, 9),
        FileReference('odd "name".py', _READ_AT, "y = 2"),
        FileReference("b.py", _READ_AT, "z = 3", 7, 7),
    ),
)
FILES = (
    '<file name="scan.png">\nread in it\n</file>\n\n'
    '<file name="a.py" lines="3-9">\nx = 1\n</file>\n\n'
    '<file name="odd &quot;name&quot;.py">\ny = 2\n</file>\n\n'
    '<file name="b.py" lines="7">\nz = 3\n</file>\n\n'
    "Compare.\n\n"
    '<file name="notes.txt">\na note\n</file>'
)
"""`WORDS` as every wire puts them, behind the picture that is to be looked at."""


def asked(content: str | Content) -> Message:
    return message(Role.USER, Text(content) if isinstance(content, str) else content)


def said(
    text: str,
    *items: ProviderItem,
    thought: str = "",
    model: str = NAME,
    state: MessageState = MessageState.COMPLETE,
) -> Message:
    return msgspec.structs.replace(
        message(Role.ASSISTANT, Text(text, thought), state), model=model, provider_items=items
    )


def called(*calls: ToolCall, items: Iterable[ProviderItem] = (), model: str = NAME) -> Message:
    return msgspec.structs.replace(
        message(Role.ASSISTANT, ToolCallRequest(calls)), model=model, provider_items=tuple(items)
    )


def result(call_id: str, output: str, status: ToolStatus = ToolStatus.SUCCEEDED) -> Message:
    return message(Role.TOOL, ToolResult(call_id, "f", status, output))


def kept(wire: str, item: Mapping[str, Any], offset: int = 0) -> ProviderItem:
    return ProviderItem(wire, msgspec.json.encode(dict(item)).decode(), offset)


def said_and_called(answer: Answer) -> list[Message]:
    """An answer as the conversation keeps it."""
    text = said(answer.text, *answer.provider_items, thought=answer.thought)
    return [text, called(*answer.tool_calls)] if answer.tool_calls else [text]

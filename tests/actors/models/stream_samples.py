"""Small answers of our own in the OpenAI Chat Completions format, and an independent way to read them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from actors.answer import Answer, AnswerBuilder
from actors.conversation import Content, Message, MessageState, Part, Role, Text
from actors.models.base import ModelRequest

WHEN = datetime(2030, 1, 1, tzinfo=UTC)


def message(role: Role, content: Content, state: MessageState = MessageState.COMPLETE) -> Message:
    return Message(message_id="m", parent_id=None, role=role, content=content, created_at=WHEN, state=state)


def question(text: str = "hello", **settings: Any) -> ModelRequest:
    return ModelRequest(messages=(message(Role.USER, Text(text)),), **settings)


def chunk(delta: dict[str, Any] | None = None, finish: str | None = None, **fields: Any) -> str:
    """One event's JSON text."""
    choice = {"index": 0, "delta": delta or {}, "finish_reason": finish}
    event = {"object": "chat.completion.chunk", "choices": [choice], **fields}
    return json.dumps(event, ensure_ascii=False)


def said(text: str, finish: str | None = None) -> str:
    return chunk({"content": text}, finish)


def tool_delta(
    *, call_id: str | None = None, index: int | None = None, name: str | None = None, arguments: Any = None
) -> dict[str, Any]:
    """One entry of `tool_calls`, with only the fields that are given."""
    function = {
        key: value for key, value in (("name", name), ("arguments", arguments)) if value is not None
    }
    fields = (("id", call_id), ("index", index), ("function", function))
    return {key: value for key, value in fields if value is not None}


def tools(*entries: dict[str, Any]) -> str:
    return chunk({"tool_calls": list(entries)})


def sse(events: Iterable[str], line_end: str = "\n") -> bytes:
    """The events as a server writes them."""
    return "".join(f"data: {event}{line_end}{line_end}" for event in events).encode()


def answer_of(parts: Iterable[Part]) -> Answer:
    builder = AnswerBuilder()
    builder.add(parts)
    return builder.build()

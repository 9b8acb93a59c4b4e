"""Folds the parts of a streamed answer into the answer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import assert_never

import msgspec

from actors.conversation import (
    FinishPart,
    FinishReason,
    Part,
    ProviderItem,
    ProviderItemPart,
    TextPart,
    ThoughtPart,
    ToolCall,
    ToolCallPart,
    Usage,
    UsagePart,
)

__all__ = ["Answer", "AnswerBuilder"]


class Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a model said in one call."""

    text: str = ""
    thought: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    finish_reason: FinishReason | None = None
    usage: Usage | None = None
    provider_items: tuple[ProviderItem, ...] = ()


class _OpenCall:
    __slots__ = ("arguments", "call_id", "name")

    def __init__(self) -> None:
        self.call_id = ""
        self.name = ""
        self.arguments: list[str] = []


class AnswerBuilder:
    """Collects parts in linear time; `build` may be called at any moment, also for a partial answer."""

    __slots__ = ("_calls", "_finish_reason", "_items", "_length", "_text", "_thought", "_usage")

    def __init__(self) -> None:
        self._text: list[str] = []
        self._length = 0
        self._items: list[ProviderItem] = []
        self._thought: list[str] = []
        self._calls: list[_OpenCall] = []
        self._finish_reason: FinishReason | None = None
        self._usage: Usage | None = None

    def add(self, parts: Iterable[Part]) -> None:
        for part in parts:
            match part:
                case TextPart(text):
                    self._text.append(text)
                    self._length += len(text)
                case ThoughtPart(text):
                    self._thought.append(text)
                case ToolCallPart():
                    self._add_call(part)
                case ProviderItemPart(wire, data):
                    self._items.append(ProviderItem(wire, data, self._length))
                case UsagePart(usage):
                    self._usage = usage
                case FinishPart(reason):
                    self._finish_reason = reason
                case _:
                    assert_never(part)

    def _add_call(self, part: ToolCallPart) -> None:
        while len(self._calls) <= part.index:
            self._calls.append(_OpenCall())
        call = self._calls[part.index]
        call.call_id = call.call_id or part.call_id
        call.name = call.name or part.name
        if part.arguments:
            call.arguments.append(part.arguments)

    def build(self) -> Answer:
        return Answer(
            text="".join(self._text),
            thought="".join(self._thought),
            tool_calls=tuple(
                ToolCall(call.call_id, call.name, "".join(call.arguments)) for call in self._calls
            ),
            finish_reason=self._finish_reason,
            usage=self._usage,
            provider_items=tuple(self._items),
        )

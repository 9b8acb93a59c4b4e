"""Writes a `ModelRequest` as the body of an OpenAI Chat Completions request."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, TypeAlias, assert_never

import msgspec

from actors.conversation import Message, Role, Text, ToolCallRequest, ToolResult
from actors.models.base import ModelRequest

__all__ = ["MaxTokensField", "encode_request"]

MaxTokensField: TypeAlias = Literal["max_tokens", "max_completion_tokens"]
"""How a server calls the limit; OpenAI's reasoning models and Mistral each refuse the other name."""


class _Function(msgspec.Struct):
    name: str
    arguments: str


class _ToolCall(msgspec.Struct):
    id: str
    function: _Function
    type: str = "function"


class _Message(msgspec.Struct, omit_defaults=True):
    role: str
    content: str | msgspec.UnsetType | None = msgspec.UNSET
    tool_calls: list[_ToolCall] | None = None
    tool_call_id: str | None = None


class _StreamOptions(msgspec.Struct):
    include_usage: bool = True


class _Body(msgspec.Struct, omit_defaults=True):
    model: str
    messages: list[_Message]
    stream: bool | msgspec.UnsetType = msgspec.UNSET
    stream_options: _StreamOptions | None = None
    temperature: float | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None


_encoder = msgspec.json.Encoder()


def encode_request(
    model: str, request: ModelRequest, *, ask_for_usage: bool, max_tokens_field: MaxTokensField
) -> bytes:
    """The JSON body. Thoughts are not sent back; an assistant's empty text is left out."""
    body = _Body(
        model=model,
        messages=_messages(request),
        stream=True,
        stream_options=_StreamOptions() if ask_for_usage else None,
        temperature=request.temperature,
    )
    if max_tokens_field == "max_tokens":
        body.max_tokens = request.max_output_tokens
    else:
        body.max_completion_tokens = request.max_output_tokens
    return _encoder.encode(body)


def _messages(request: ModelRequest) -> list[_Message]:
    messages = [_Message("system", request.system_prompt)] if request.system_prompt else []
    messages += _conversation(request.messages)
    return messages


def _conversation(branch: Iterable[Message]) -> list[_Message]:
    written: list[_Message] = []
    said: _Message | None = None  # the assistant's text that calls directly after it belong to
    for message in branch:
        match message.content:
            case Text(text):
                entry = _Message(message.role.value, text)
                if message.role is not Role.ASSISTANT:
                    said = None
                elif text:
                    said = entry
                else:
                    continue
                written.append(entry)
            case ToolCallRequest(calls):
                if said is None:
                    said = _Message("assistant", None)
                    written.append(said)
                said.tool_calls = [_tool_call(call.call_id, call.name, call.arguments) for call in calls]
                said = None
            case ToolResult():
                said = None
                written.append(
                    _Message("tool", message.content.output, tool_call_id=message.content.call_id)
                )
            case _:
                assert_never(message.content)
    return written


def _tool_call(call_id: str, name: str, arguments: str) -> _ToolCall:
    # Models write nothing for a call without arguments; servers that parse history refuse that.
    return _ToolCall(call_id, _Function(name, arguments or "{}"))

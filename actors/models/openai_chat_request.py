"""Writes a `ModelRequest` as the body of an OpenAI Chat Completions request."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, TypeAlias, assert_never

import msgspec

from actors.conversation import (
    FileReference,
    Image,
    Message,
    Processing,
    Role,
    SystemControl,
    Text,
    ToolCallRequest,
    ToolResult,
)
from actors.model_settings import ModelSettings
from actors.models.base import ModelRequest, ToolDefinition
from actors.models.request_body import encode_body
from actors.models.spoken import data_url, is_plain, said

__all__ = ["MaxTokensField", "encode_request"]

MaxTokensField: TypeAlias = Literal["max_tokens", "max_completion_tokens"]
"""How a server calls the limit; OpenAI's reasoning models and Mistral each refuse the other name."""

_LONGEST_KEY = 64


class _Function(msgspec.Struct):
    name: str
    arguments: str


class _ToolCall(msgspec.Struct):
    id: str
    function: _Function
    type: str = "function"


class _ImageUrl(msgspec.Struct):
    url: str


class _ImagePart(msgspec.Struct):
    image_url: _ImageUrl
    type: str = "image_url"


class _TextPart(msgspec.Struct):
    text: str
    type: str = "text"


_Content: TypeAlias = str | list[_TextPart | _ImagePart]


class _Message(msgspec.Struct, omit_defaults=True):
    role: str
    content: _Content | msgspec.UnsetType | None = msgspec.UNSET
    reasoning_content: str | None = None
    tool_calls: list[_ToolCall] | None = None
    tool_call_id: str | None = None


class _DescribedFunction(msgspec.Struct):
    name: str
    description: str
    parameters: msgspec.Raw


class _Tool(msgspec.Struct):
    function: _DescribedFunction
    type: str = "function"


class _StreamOptions(msgspec.Struct):
    include_usage: bool = True


class _Body(msgspec.Struct, omit_defaults=True):
    model: str
    messages: list[_Message]
    stream: bool | msgspec.UnsetType = msgspec.UNSET
    stream_options: _StreamOptions | None = None
    tools: list[_Tool] | None = None
    temperature: float | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    prompt_cache_key: str | None = None


def encode_request(
    model: str,
    request: ModelRequest,
    settings: ModelSettings,
    *,
    name: str,
    ask_for_usage: bool,
    max_tokens_field: MaxTokensField,
    cache_by_conversation: bool,
    return_thoughts: bool,
) -> bytes:
    """The JSON body; an assistant's empty text is left out.

    With `return_thoughts`, thoughts of the model called `name` go back with the tool calls that they led
    to, and no others.
    """
    messages = [_Message("system", request.system_prompt)] if request.system_prompt else []
    messages += _conversation(request.messages, name if return_thoughts else None)
    body = _Body(
        model=model,
        messages=messages,
        stream=True,
        stream_options=_StreamOptions() if ask_for_usage else None,
        tools=[_tool(tool) for tool in request.tools] or None,
        temperature=settings.temperature,
        prompt_cache_key=(request.conversation_id[:_LONGEST_KEY] or None)
        if cache_by_conversation
        else None,
    )
    if max_tokens_field == "max_tokens":
        body.max_tokens = settings.max_output_tokens
    else:
        body.max_completion_tokens = settings.max_output_tokens
    return encode_body(body, settings.options)


def _conversation(branch: Iterable[Message], thinker: str | None) -> list[_Message]:
    written: list[_Message] = []
    entry: _Message | None = None  # the assistant's text that calls directly after it belong to
    thought = ""
    for message in branch:
        content = message.content
        match content:
            case Text(text) if message.role is Role.ASSISTANT:
                thought = content.thought if thinker is not None and message.model == thinker else ""
                if text:
                    entry = _Message("assistant", _content(content))
                    written.append(entry)
            case ToolCallRequest(calls):
                if entry is None:
                    entry = _Message("assistant", None)
                    written.append(entry)
                entry.tool_calls = [_tool_call(call.call_id, call.name, call.arguments) for call in calls]
                entry.reasoning_content = thought or None
                entry, thought = None, ""
            case ToolResult():
                entry, thought = None, ""
                written.append(_Message("tool", content.output, tool_call_id=content.call_id))
            case Text():
                entry, thought = None, ""
                written.append(_Message(message.role.value, _content(content)))
            case Image() | FileReference():
                entry, thought = None, ""
                written.append(_Message("user", _content(content)))
            case SystemControl() | Processing():
                pass
            case _:
                assert_never(content)
    return written


def _content(content: Text | Image | FileReference) -> _Content:
    if isinstance(content, Text) and is_plain(content):
        return content.text
    pieces = said(content)
    match pieces:
        case []:
            return ""
        case [str(text)]:
            return text
        case _:
            return [
                _TextPart(piece) if isinstance(piece, str) else _ImagePart(_ImageUrl(data_url(piece)))
                for piece in pieces
            ]


def _tool(tool: ToolDefinition) -> _Tool:
    return _Tool(_DescribedFunction(tool.name, tool.description, tool.parameters))


def _tool_call(call_id: str, name: str, arguments: str) -> _ToolCall:
    # Models write nothing for a call without arguments; servers that parse history refuse that.
    return _ToolCall(call_id, _Function(name, arguments or "{}"))

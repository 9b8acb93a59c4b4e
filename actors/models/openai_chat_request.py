"""Writes a `ModelRequest` as the body of an OpenAI Chat Completions request."""

from __future__ import annotations

import base64
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
from actors.models.base import ModelRequest, ToolDefinition

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


class _ImageUrl(msgspec.Struct):
    url: str


class _ImagePart(msgspec.Struct):
    image_url: _ImageUrl
    type: str = "image_url"


class _Message(msgspec.Struct, omit_defaults=True):
    role: str
    content: str | list[_ImagePart] | msgspec.UnsetType | None = msgspec.UNSET
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
        tools=[_tool(tool) for tool in request.tools] or None,
        temperature=request.settings.temperature,
    )
    if max_tokens_field == "max_tokens":
        body.max_tokens = request.settings.max_output_tokens
    else:
        body.max_completion_tokens = request.settings.max_output_tokens
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
            case Text(text, _, attachments):
                files = [_file(attachment.file_name, attachment.content) for attachment in attachments]
                entry = _Message(message.role.value, "\n\n".join([text, *files]) if files else text)
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
            case Image():
                said = None
                written.append(_image(message.content))
            case FileReference(path, _, content):
                said = None
                written.append(_Message("user", _file(path, content)))
            case SystemControl() | Processing():
                pass
            case _:
                assert_never(message.content)
    return written


def _image(image: Image) -> _Message:
    if image.text:
        return _Message("user", _file(image.file_name or "image", image.text))
    data = base64.b64encode(image.data).decode()
    return _Message("user", [_ImagePart(_ImageUrl(f"data:{image.media_type};base64,{data}"))])


def _file(name: str, content: str) -> str:
    return f'<file name="{name}">\n{content}\n</file>'


def _tool(tool: ToolDefinition) -> _Tool:
    return _Tool(_DescribedFunction(tool.name, tool.description, tool.parameters))


def _tool_call(call_id: str, name: str, arguments: str) -> _ToolCall:
    # Models write nothing for a call without arguments; servers that parse history refuse that.
    return _ToolCall(call_id, _Function(name, arguments or "{}"))

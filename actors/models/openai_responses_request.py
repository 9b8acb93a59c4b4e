"""Writes a `ModelRequest` as the body of an OpenAI Responses request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias, assert_never

import msgspec

from actors.conversation import (
    FileReference,
    Image,
    Message,
    Processing,
    Role,
    SystemControl,
    Text,
    ToolCall,
    ToolCallRequest,
    ToolResult,
)
from actors.model_settings import ModelSettings
from actors.models.base import ModelRequest, ToolDefinition
from actors.models.kept_items import KeptItem, kept_items
from actors.models.openai_responses_parser import WIRE
from actors.models.request_body import encode_body, fitting_name
from actors.models.spoken import data_url, is_plain, said

__all__ = ["encode_request"]

_LONGEST_ID = 64
_CUSTOM_CALL = "custom_tool_call"
_OUR_CALLS = frozenset({"function_call", _CUSTOM_CALL})
# Calls of tools that come with options, which the provider runs itself, or whoever asks; nobody here does.
_ANSWERED_BY_SOMEBODY = frozenset({"apply_patch_call", "computer_call", "local_shell_call", "shell_call"})


class _TextPart(msgspec.Struct, tag="input_text"):
    text: str


class _ImagePart(msgspec.Struct, tag="input_image"):
    image_url: str


_Content: TypeAlias = str | list[_TextPart | _ImagePart]


class _Message(msgspec.Struct, omit_defaults=True, tag="message"):
    role: str
    content: _Content
    phase: str | None = None


class _Call(msgspec.Struct, tag="function_call"):
    call_id: str
    name: str
    arguments: str


class _Output(msgspec.Struct, tag="function_call_output"):
    call_id: str
    output: str


class _CustomOutput(msgspec.Struct, tag="custom_tool_call_output"):
    call_id: str
    output: str


_Item: TypeAlias = _Message | _Call | _Output | _CustomOutput | msgspec.Raw


class _Tool(msgspec.Struct, tag="function"):
    name: str
    description: str
    parameters: msgspec.Raw
    # Left out, it would be true, and refuse schemas with optional arguments.
    strict: bool = False


class _Body(msgspec.Struct, omit_defaults=True):
    model: str
    input: list[_Item]
    stream: bool | msgspec.UnsetType = msgspec.UNSET
    store: bool | msgspec.UnsetType = msgspec.UNSET
    include: list[str] | None = None
    instructions: str | None = None
    tools: list[_Tool] | None = None
    temperature: float | None = None
    max_output_tokens: int | None = None
    prompt_cache_key: str | None = None


def encode_request(
    model: str,
    request: ModelRequest,
    settings: ModelSettings,
    *,
    name: str,
    cache_by_conversation: bool,
    encrypted_reasoning: bool,
) -> bytes:
    """The JSON body. The provider stores nothing: what it has to know again goes back to it.

    Among that is what only OpenAI understands of the answers of the model called `name`, such as its
    encrypted reasoning, which is asked for with `encrypted_reasoning`.
    """
    is_stored = settings.options.get("store") is True
    body = _Body(
        model=model,
        input=_conversation(request.messages, name, is_stored=is_stored),
        stream=True,
        store=False,
        include=["reasoning.encrypted_content"] if encrypted_reasoning and not is_stored else None,
        instructions=request.system_prompt or None,
        tools=[_tool(tool) for tool in request.tools] or None,
        temperature=settings.temperature,
        max_output_tokens=settings.max_output_tokens,
        prompt_cache_key=(request.conversation_id[:_LONGEST_ID] or None) if cache_by_conversation else None,
    )
    return encode_body(body, settings.options)


def _conversation(branch: Sequence[Message], name: str, *, is_stored: bool) -> list[_Item]:
    written: list[_Item] = []
    placed: set[str] = set()  # calls that are written already, in the place that their items say
    custom: set[str] = set()
    for position, message in enumerate(branch):
        content = message.content
        match content:
            case Text() if message.role is Role.ASSISTANT:
                following = branch[position + 1].content if position + 1 < len(branch) else None
                calls = following.calls if isinstance(following, ToolCallRequest) else ()
                items = _sendable_items(message, calls, name, is_stored=is_stored)
                placed = _call_ids(items)
                custom |= _call_ids(items, _CUSTOM_CALL)
                written += _with_items(content.text, items)
            case ToolCallRequest(calls):
                items = _sendable_items(message, calls, name, is_stored=is_stored)
                placed |= _call_ids(items)
                custom |= _call_ids(items, _CUSTOM_CALL)
                written += _with_items("", items)
                written += [_call(call) for call in calls if call.call_id not in placed]
                placed = set()
            case ToolResult(call_id, _, _, output):
                output_type = _CustomOutput if call_id in custom else _Output
                written.append(output_type(fitting_name(call_id, _LONGEST_ID), output))
            case Text() | Image() | FileReference():
                written.append(_Message(message.role.value, _content(content)))
            case SystemControl() | Processing():
                pass
            case _:
                assert_never(content)
    return written


def _sendable_items(
    message: Message, calls: Sequence[ToolCall], name: str, *, is_stored: bool
) -> list[KeptItem]:
    """The items of an answer, without those that the provider would refuse.

    Refused are calls without an output, reasoning that it can neither decrypt nor find, and reasoning
    without the item that it led to.
    """
    call_ids = {call.call_id for call in calls}
    items = kept_items(message, WIRE, name)
    answered = {
        fields.get("call_id") for _, _, fields in items if str(fields.get("type")).endswith("_output")
    }
    end = len(message.content.text) if isinstance(message.content, Text) else 0
    led_to_something = bool(calls)
    kept: list[KeptItem] = []
    for item in reversed(items):
        offset, _, fields = item
        kind = fields.get("type")
        is_sendable = True
        if kind in _OUR_CALLS:
            is_sendable = led_to_something = fields.get("call_id") in call_ids
        elif kind in _ANSWERED_BY_SOMEBODY:
            is_sendable = led_to_something = fields.get("call_id") in answered
        else:
            led_to_something = led_to_something or offset < end
            if kind == "reasoning":
                is_sendable = led_to_something and (is_stored or bool(fields.get("encrypted_content")))
            elif kind != "message":
                led_to_something = True
        if is_sendable:
            kept.append(item)
        end = offset
    return kept[::-1]


def _call_ids(items: list[KeptItem], *kinds: str) -> set[str]:
    wanted = kinds or _OUR_CALLS
    return {str(fields.get("call_id")) for _, _, fields in items if fields.get("type") in wanted}


def _with_items(text: str, items: list[KeptItem]) -> list[_Item]:
    """The text as messages, cut where an item stands in it."""
    written: list[_Item] = []
    begin = 0
    phase: str | None = None

    def write(piece: str) -> None:
        nonlocal phase
        if piece:
            written.append(_Message("assistant", piece, phase))
            phase = None

    for offset, data, fields in items:
        write(text[begin:offset])
        begin = max(begin, offset)
        if fields.get("type") == "message":
            phase = _phase(fields)
        else:
            written.append(msgspec.Raw(data.encode()))
    write(text[begin:])
    return written


def _phase(message: dict[str, Any]) -> str | None:
    phase = message.get("phase")
    return phase if isinstance(phase, str) else None


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
                _TextPart(piece) if isinstance(piece, str) else _ImagePart(data_url(piece))
                for piece in pieces
            ]


def _tool(tool: ToolDefinition) -> _Tool:
    return _Tool(tool.name, tool.description, tool.parameters)


def _call(call: ToolCall) -> _Call:
    return _Call(
        fitting_name(call.call_id, _LONGEST_ID),
        fitting_name(call.name, _LONGEST_ID),
        call.arguments or "{}",
    )

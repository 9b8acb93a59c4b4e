"""Writes a `ModelRequest` as the body of an Anthropic Messages request."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias, assert_never, cast

import msgspec

from actors.conversation import (
    FileReference,
    Image,
    Message,
    MessageState,
    Processing,
    Role,
    SystemControl,
    Text,
    ToolCall,
    ToolCallRequest,
    ToolResult,
    ToolStatus,
)
from actors.model_settings import ModelSettings
from actors.models.anthropic_messages_parser import WIRE
from actors.models.base import ModelRequest, ToolDefinition
from actors.models.kept_items import KeptItem, decoded, kept_items
from actors.models.request_body import encode_body, fitting_name
from actors.models.spoken import said

__all__ = ["encode_request"]

_ROOM_FOR_AN_ANSWER = 8_192
_LARGE_MODELS = re.compile(r"claude-[a-z]+-(?:[4-9]|\d\d)")  # since Claude 4, each may write this much
_LARGE_ANSWER = 32_000

_LONGEST_NAME = 128
_THOUGHTS = frozenset({"thinking", "redacted_thinking"})
_BEGINNING = "(The conversation begins with the assistant.)"


class _CacheControl(msgspec.Struct):
    type: str = "ephemeral"


class _TextBlock(msgspec.Struct, omit_defaults=True, tag="text"):
    text: str
    cache_control: _CacheControl | None = None


class _Source(msgspec.Struct, tag="base64"):
    media_type: str
    data: str


class _ImageBlock(msgspec.Struct, omit_defaults=True, tag="image"):
    source: _Source
    cache_control: _CacheControl | None = None


class _ToolUse(msgspec.Struct, tag="tool_use"):
    id: str
    name: str
    input: msgspec.Raw | dict[str, str]


class _ToolResult(msgspec.Struct, omit_defaults=True, tag="tool_result"):
    tool_use_id: str
    content: str = ""
    is_error: bool = False
    cache_control: _CacheControl | None = None


class _Kept(msgspec.Struct):
    """An item on its way back. Replaced by its JSON text before it is written."""

    kind: str
    data: str


_Block: TypeAlias = _TextBlock | _ImageBlock | _ToolUse | _ToolResult | _Kept


class _Message(msgspec.Struct):
    role: str
    content: list[_Block | msgspec.Raw]


class _Tool(msgspec.Struct, omit_defaults=True):
    name: str
    input_schema: msgspec.Raw
    description: str = ""
    cache_control: _CacheControl | None = None


class _Body(msgspec.Struct, omit_defaults=True):
    model: str
    max_tokens: int
    messages: list[_Message]
    stream: bool | msgspec.UnsetType = msgspec.UNSET
    system: list[_TextBlock] | None = None
    tools: list[_Tool] | None = None
    temperature: float | None = None


def encode_request(
    model: str, request: ModelRequest, settings: ModelSettings, *, name: str, cache_prompts: bool
) -> bytes:
    """The JSON body. What the model called `name` said goes back with all that only Anthropic understands.

    With `cache_prompts` the tools, the system prompt and the last two messages of the user's are marked as
    ends of what is worth caching; the next request then finds what this one left.
    """
    messages = _conversation(request.messages, name)
    system = [_TextBlock(request.system_prompt)] if request.system_prompt.strip() else []
    tools = [_tool(tool) for tool in request.tools]
    if cache_prompts:
        _mark(messages, system, tools)
    body = _Body(
        model=model,
        max_tokens=settings.max_output_tokens or _default_max_tokens(model, settings.options),
        messages=messages,
        stream=True,
        system=system or None,
        tools=tools or None,
        temperature=settings.temperature,
    )
    return encode_body(body, settings.options)


def _default_max_tokens(model: str, options: Mapping[str, Any]) -> int:
    """The wire wants a limit where nobody has one; thinking counts as a part of the answer."""
    room = _LARGE_ANSWER if _LARGE_MODELS.search(model) else _ROOM_FOR_AN_ANSWER
    thinking = options.get("thinking")
    budget = cast("dict[str, object]", thinking).get("budget_tokens") if isinstance(thinking, dict) else 0
    return max(room, budget + _ROOM_FOR_AN_ANSWER) if isinstance(budget, int) else room


def _mark(messages: Sequence[_Message], system: list[_TextBlock], tools: list[_Tool]) -> None:
    """At most four marks are allowed, and these are four."""
    ends: list[_Tool | _Block | msgspec.Raw] = [*tools[-1:], *system[-1:]]
    ends += [message.content[-1] for message in messages if message.role == "user"][-2:]
    for end in ends:
        if isinstance(end, _Tool | _TextBlock | _ImageBlock | _ToolResult):
            end.cache_control = _CacheControl()


def _conversation(branch: Sequence[Message], name: str) -> list[_Message]:
    """Users and assistant in turns, as the wire wants it: what stands side by side becomes one message."""
    turns: list[tuple[str, list[_Block]]] = []

    def add(role: str, blocks: list[_Block]) -> None:
        if turns and turns[-1][0] == role:
            turns[-1][1].extend(blocks)
        elif blocks:
            turns.append((role, blocks))

    placed: set[str] = set()
    for position, message in enumerate(branch):
        content = message.content
        match content:
            case Text() if message.role is Role.ASSISTANT:
                following = branch[position + 1].content if position + 1 < len(branch) else None
                calls = following.calls if isinstance(following, ToolCallRequest) else ()
                items = _sendable_items(message, calls, name)
                placed = _call_ids(items)
                add("assistant", _with_items(content.text, items))
            case ToolCallRequest(calls):
                items = _sendable_items(message, calls, name)
                placed |= _call_ids(items)
                own = [_tool_use(call) for call in calls if call.call_id not in placed]
                add("assistant", [*_with_items("", items), *own])
                placed = set()
            case ToolResult():
                add("user", [_tool_result(content)])
            case Text() if message.role is Role.SYSTEM:
                add("user", [_TextBlock(f"<system>\n{content.text}\n</system>")] if content.text else [])
            case Text() | Image() | FileReference():
                add("user", _user_blocks(content))
            case SystemControl() | Processing():
                pass
            case _:
                assert_never(content)
    return _written(turns)


def _written(turns: list[tuple[str, list[_Block]]]) -> list[_Message]:
    messages: list[_Message] = []
    for role, blocks in turns:
        # A thought that led to nothing, since it was stopped, may not stand at the end.
        while role == "assistant" and blocks and _is_thought(blocks[-1]):
            blocks.pop()
        if not blocks:
            continue
        raw: list[_Block | msgspec.Raw] = [
            msgspec.Raw(block.data.encode()) if isinstance(block, _Kept) else block for block in blocks
        ]
        if messages and messages[-1].role == role:
            messages[-1].content += raw
        else:
            messages.append(_Message(role, raw))
    if messages and messages[0].role == "assistant":
        messages.insert(0, _Message("user", [_TextBlock(_BEGINNING)]))
    last = messages[-1] if messages else None
    if last is not None and last.role == "assistant" and isinstance(last.content[-1], _TextBlock):
        # An answer to go on with; the wire refuses white space at its end.
        last.content[-1].text = last.content[-1].text.rstrip()
    return messages


def _is_thought(block: _Block) -> bool:
    return isinstance(block, _Kept) and block.kind in _THOUGHTS


def _sendable_items(message: Message, calls: Sequence[ToolCall], name: str) -> list[KeptItem]:
    """The items of an answer, without calls that the conversation has not, and tools that were cut off."""
    call_ids = {call.call_id for call in calls}
    items = kept_items(message, WIRE, name)
    answered = {fields.get("tool_use_id") for _, _, fields in items}

    def is_sendable(fields: dict[str, Any]) -> bool:
        kind, item_id = str(fields.get("type")), fields.get("id")
        if kind == "tool_use":
            return item_id in call_ids
        if message.state is not MessageState.COMPLETE and kind.endswith("tool_use"):
            return item_id in answered
        return True

    return [item for item in items if is_sendable(item[2])]


def _call_ids(items: list[KeptItem]) -> set[str]:
    return {str(fields.get("id")) for _, _, fields in items if fields.get("type") == "tool_use"}


def _with_items(text: str, items: list[KeptItem]) -> list[_Block]:
    """The text as blocks, cut where an item stands in it. Blank blocks are refused, and left out."""
    blocks: list[_Block] = []
    begin = 0
    for offset, data, fields in items:
        blocks += _texts([text[begin:offset]])
        blocks.append(_Kept(str(fields.get("type")), data))
        begin = max(begin, offset)
    return [*blocks, *_texts([text[begin:]])]


def _texts(texts: list[str]) -> list[_Block]:
    return [_TextBlock(text) for text in texts if text.strip()]


def _user_blocks(content: Text | Image | FileReference) -> list[_Block]:
    blocks: list[_Block] = []
    for piece in said(content):
        if isinstance(piece, str):
            blocks += _texts([piece])
        else:
            blocks.append(_ImageBlock(_Source(piece.media_type, base64.b64encode(piece.data).decode())))
    return blocks


def _tool(tool: ToolDefinition) -> _Tool:
    return _Tool(tool.name, tool.parameters, tool.description)


def _tool_use(call: ToolCall) -> _ToolUse:
    arguments = call.arguments or "{}"
    # The wire takes objects only; what the model wrote instead is shown to it as it was.
    given = msgspec.Raw(arguments.encode()) if decoded(arguments) is not None else {"arguments": arguments}
    return _ToolUse(_id(call.call_id), fitting_name(call.name, _LONGEST_NAME), given)


def _tool_result(result: ToolResult) -> _ToolResult:
    return _ToolResult(
        _id(result.call_id), result.output, is_error=result.status is not ToolStatus.SUCCEEDED
    )


def _id(call_id: str) -> str:
    return fitting_name(call_id, _LONGEST_NAME)

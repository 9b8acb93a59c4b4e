"""Turns the events of an Anthropic Messages answer into parts."""

from __future__ import annotations

from typing import Any, cast

import msgspec

from actors.conversation import (
    FinishPart,
    FinishReason,
    Part,
    TextPart,
    ThoughtPart,
    Usage,
    UsagePart,
)
from actors.models.begun_calls import BegunCall, BegunCalls
from actors.models.http_errors import reported_error
from actors.models.kept_items import KeptItems, decoded, raw_fields
from actors.models.wire_parser import WireParser

__all__ = ["WIRE", "AnthropicMessagesParser"]

WIRE = "anthropic-messages"

_STOP_REASONS = {
    "end_turn": FinishReason.STOP,
    "stop_sequence": FinishReason.STOP,
    "max_tokens": FinishReason.LENGTH,
    "model_context_window_exceeded": FinishReason.LENGTH,
    "tool_use": FinishReason.TOOL_CALLS,
    "refusal": FinishReason.REFUSAL,
}
_EVENTS = frozenset(
    {
        "message_start",
        "message_delta",
        "message_stop",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message",
    }
)
_OWN_FIELDS = frozenset({"type", "id", "name", "input"})


class _OutputDetails(msgspec.Struct):
    thinking_tokens: float | None = None


class _Usage(msgspec.Struct):
    input_tokens: float | None = None
    output_tokens: float | None = None
    cache_read_input_tokens: float | None = None
    cache_creation_input_tokens: float | None = None
    output_tokens_details: _OutputDetails | None = None


class _Message(msgspec.Struct):
    content: list[msgspec.Raw] | None = None
    stop_reason: str | None = None
    usage: _Usage | None = None


class _Delta(msgspec.Struct):
    type: str = ""
    text: str | None = None
    thinking: str | None = None
    partial_json: str | None = None
    stop_reason: str | None = None


class _Event(msgspec.Struct):
    type: str = ""
    index: int | None = None
    delta: _Delta | None = None
    content_block: msgspec.Raw = msgspec.Raw()
    message: msgspec.Raw = msgspec.Raw()
    usage: _Usage | None = None
    error: object = None


class _BlockStart(msgspec.Struct):
    type: str = ""
    id: str | None = None
    name: str | None = None
    text: str | None = None
    thinking: str | None = None
    input: msgspec.Raw = msgspec.Raw()


class _Block:
    """A block that is not over yet: `texts` are appended to its fields, `others` put in their place."""

    __slots__ = ("call", "json", "others", "start", "texts", "type")

    def __init__(self, kind: str, start: bytes, call: BegunCall | None = None) -> None:
        self.type = kind
        self.start = start
        self.call = call
        self.json: list[str] = []
        self.texts: dict[str, list[str]] = {}
        self.others: dict[str, Any] = {}

    def add(self, delta: dict[str, Any]) -> None:
        for name, value in delta.items():
            if name == "citation":  # one of `citations`
                self.others["citations"] = [*self.others.get("citations", ()), value]
            elif isinstance(value, str) and name != "type":
                self.texts.setdefault(name, []).append(value)
            elif name != "type":
                self.others[name] = value

    def whole(self) -> bytes:
        """The block as if it had come in one piece."""
        started = decoded(self.start) or {}
        changes: list[tuple[str, object]] = [*self.others.items()]
        for name, pieces in self.texts.items():
            before = started.get(name)
            changes.append((name, "".join([before if isinstance(before, str) else "", *pieces])))
        written = "".join(self.json)
        if decoded(written) is not None:
            changes.append(("input", msgspec.Raw(written.encode())))
        return raw_fields(self.start, changes) if changes else self.start


_event_decoder = msgspec.json.Decoder(_Event)
_message_decoder = msgspec.json.Decoder(_Message)
_block_decoder = msgspec.json.Decoder(_BlockStart)


class AnthropicMessagesParser(WireParser):
    """The parser of one answer; an `AnswerParser`.

    Thinking, and all blocks but text and the calls of our tools, are also kept as provider items. Where
    several messages come in one stream they are one answer.
    """

    __slots__ = (
        "_blocks",
        "_calls",
        "_counted",
        "_items",
        "_usage_before",
    )

    def __init__(self) -> None:
        super().__init__()
        self._calls = BegunCalls()
        self._items = KeptItems(WIRE)
        self._blocks: dict[int | None, _Block] = {}
        self._counted = _Usage()
        self._usage_before = Usage()  # of the messages before this one

    def _read(self, data: str | bytes, event: str) -> list[Part]:
        read = _event_decoder.decode(data)
        # `message` is also what an event without a name is called.
        return self._take(read, data, read.type or (event if event != "message" else ""))

    def _is_unknown(self, data: str | bytes) -> bool:
        kind = (decoded(data) or {}).get("type")
        return isinstance(kind, str) and kind not in _EVENTS

    def _take(self, read: _Event, data: str | bytes, kind: str) -> list[Part]:
        parts: list[Part] = []
        match kind:
            case "content_block_delta":
                if read.delta is not None:
                    self._add_delta(read.index, read.delta, data, parts)
            case "content_block_start":
                self._begin_block(read.index, read.content_block, parts)
            case "content_block_stop":
                self._end_block(read.index, parts)
            case "message_start":
                self._begin_message(_message_decoder.decode(read.message or b"{}"), parts)
            case "message_delta":
                self._add_usage(read.usage, parts)
                if read.delta is not None and read.delta.stop_reason:
                    self._finish(read.delta.stop_reason, parts)
            case "message_stop":
                self._finish("", parts)
                self._done = True
            case "message":  # an answer that was not streamed
                whole = _message_decoder.decode(data)
                self._begin_message(whole, parts)
                self._finish(whole.stop_reason or "", parts)
            case _ if read.error or kind == "error" or kind.endswith("_error"):
                raise reported_error(data)
            case _:
                pass
        return parts

    def _begin_message(self, message: _Message, parts: list[Part]) -> None:
        self._finish_reason = None
        self._done = False
        self._blocks.clear()
        self._usage_before = self._usage or Usage()
        self._counted = _Usage()
        self._add_usage(message.usage, parts)
        # What a message holds at its beginning is whole already.
        for block in message.content or ():
            self._begin_block(None, block, parts)
            self._end_block(None, parts)
        if message.stop_reason:
            self._finish(message.stop_reason, parts)

    def _begin_block(self, index: int | None, raw: msgspec.Raw, parts: list[Part]) -> None:
        start = _block_decoder.decode(raw)
        match start.type:
            case "tool_use":
                given = bytes(start.input)
                arguments = "" if given in {b"", b"null"} or not decoded(given) else given.decode()
                call, part = self._calls.begin(start.id or "", start.name or "", arguments)
                parts.append(part)
                self._blocks[index] = _Block("tool_use", bytes(raw), call)
            case kind:
                self._blocks[index] = _Block(kind, bytes(raw))
                if start.text and kind == "text":
                    parts.append(TextPart(start.text))
                if start.thinking and kind == "thinking":
                    parts.append(ThoughtPart(start.thinking))

    def _add_delta(self, index: int | None, delta: _Delta, data: str | bytes, parts: list[Part]) -> None:
        block = self._blocks.get(index)
        match delta.type:
            case "text_delta":
                if delta.text and (block is None or block.type == "text"):
                    parts.append(TextPart(delta.text))
                    return
            case "thinking_delta":
                if delta.thinking:
                    parts.append(ThoughtPart(delta.thinking))
                    if block is None:
                        block = self._blocks[index] = _Block("thinking", b'{"type":"thinking"}')
                    block.texts.setdefault("thinking", []).append(delta.thinking)
                    return
            case "input_json_delta":
                if block is not None and delta.partial_json:
                    block.json.append(delta.partial_json)
                    if block.call is not None:
                        part = self._calls.add(block.call, delta.partial_json)
                        parts += [part] if part else []
                return
            case _:
                pass
        if block is not None and block.type != "text":
            block.add((decoded(data) or {}).get("delta") or {})

    def _end_block(self, index: int | None, parts: list[Part]) -> None:
        block = self._blocks.pop(index, None)
        if block is None or block.type == "text":
            return
        if block.call is None:
            parts += self._items.keep(block.whole())
            return
        parts += self._calls.end(block.call)
        is_special = _holds_more(block.start)
        whole = raw_fields(block.whole(), [("id", block.call.call_id)])
        parts += self._items.pass_call(whole, is_special=is_special)

    def _add_usage(self, news: _Usage | None, parts: list[Part]) -> None:
        if news is None:
            return
        # Counts grow; what a later event leaves out, or calls 0, is as it was.
        counted = self._counted = _Usage(
            **{name: getattr(news, name) or getattr(self._counted, name) for name in news.__struct_fields__}
        )
        cached, written = counted.cache_read_input_tokens or 0, counted.cache_creation_input_tokens or 0
        details = counted.output_tokens_details or _OutputDetails()
        usage = self._usage_before + Usage(
            input_tokens=int((counted.input_tokens or 0) + cached + written),
            output_tokens=int(counted.output_tokens or 0),
            cached_input_tokens=int(cached),
            reasoning_tokens=int(details.thinking_tokens or 0),
            cache_write_tokens=int(written),
        )
        if usage != self._usage:
            self._usage = usage
            parts.append(UsagePart(usage))

    def _finish(self, stop_reason: str, parts: list[Part]) -> None:
        if self._finish_reason is not None:
            return
        for index in list(self._blocks):
            self._end_block(index, parts)
        parts += self._calls.finish()
        if stop_reason:
            reason = _STOP_REASONS.get(stop_reason, FinishReason.OTHER)
        else:
            reason = FinishReason.TOOL_CALLS if self._calls else FinishReason.STOP
        self._finish_reason = reason
        parts.append(FinishPart(reason))


def _holds_more(call: bytes) -> bool:
    """Whether a call is more than a name and arguments: one that a program of the provider's makes."""
    fields = decoded(call) or {}
    caller = fields.get("caller")
    is_direct = isinstance(caller, dict) and cast("dict[str, object]", caller).get("type") == "direct"
    return not fields.keys() <= (_OWN_FIELDS | {"caller"} if is_direct else _OWN_FIELDS)

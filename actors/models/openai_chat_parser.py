"""Turns the events of an OpenAI Chat Completions answer into parts."""

from __future__ import annotations

import msgspec

from actors.conversation import (
    FinishPart,
    FinishReason,
    Part,
    TextPart,
    ThoughtPart,
    ToolCallPart,
    Usage,
    UsagePart,
)
from actors.models.http_errors import reported_error
from actors.models.tool_call_pieces import ToolCallPieces
from actors.models.wire_parser import WireParser

__all__ = ["OpenAIChatParser"]

_FINISH_REASONS = {
    "stop": FinishReason.STOP,
    "length": FinishReason.LENGTH,
    "tool_calls": FinishReason.TOOL_CALLS,
    "function_call": FinishReason.TOOL_CALLS,
    "content_filter": FinishReason.CONTENT_FILTER,
    "refusal": FinishReason.REFUSAL,
}
_THOUGHT_TYPES = frozenset({"thinking", "reasoning"})


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: msgspec.Raw = msgspec.Raw()


class _ToolCall(msgspec.Struct):
    id: str | None = None
    index: int | None = None
    function: _Function | None = None


class _Piece(msgspec.Struct):
    """A typed piece of content, as Mistral sends it."""

    type: str = ""
    text: str | None = None
    thinking: str | list[_Piece] | None = None


class _Delta(msgspec.Struct):
    content: str | list[_Piece] | None = None
    refusal: str | None = None
    # Two names for one thing; some servers send both. Beyond text, nobody agrees on their shape.
    reasoning_content: object = None
    reasoning: object = None
    tool_calls: list[_ToolCall] | None = None


class _InputDetails(msgspec.Struct):
    cached_tokens: float | None = None
    cache_write_tokens: float | None = None  # OpenRouter
    cache_creation_tokens: float | None = None  # LiteLLM


class _OutputDetails(msgspec.Struct):
    reasoning_tokens: float | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: float | None = None
    completion_tokens: float | None = None
    prompt_tokens_details: _InputDetails | None = None
    completion_tokens_details: _OutputDetails | None = None
    # DeepSeek, Moonshot, and those who put Anthropic's models behind this wire.
    prompt_cache_hit_tokens: float | None = None
    cached_tokens: float | None = None
    cache_read_input_tokens: float | None = None
    cache_creation_input_tokens: float | None = None

    def usage(self) -> Usage:
        details = self.prompt_tokens_details or _InputDetails()
        cached = (
            details.cached_tokens
            or self.prompt_cache_hit_tokens
            or self.cached_tokens
            or self.cache_read_input_tokens
        )
        written = (
            details.cache_write_tokens or details.cache_creation_tokens or self.cache_creation_input_tokens
        )
        reasoning = self.completion_tokens_details and self.completion_tokens_details.reasoning_tokens
        return Usage(
            input_tokens=int(self.prompt_tokens or 0),
            output_tokens=int(self.completion_tokens or 0),
            cached_input_tokens=int(cached or 0),
            reasoning_tokens=int(reasoning or 0),
            cache_write_tokens=int(written or 0),
        )


class _Choice(msgspec.Struct):
    index: int | None = None
    delta: _Delta | None = None
    message: _Delta | None = None  # where a server answers all at once
    finish_reason: str | None = None
    usage: _Usage | None = None  # where Moonshot puts it


class _Chunk(msgspec.Struct):
    choices: list[_Choice] | None = None
    usage: _Usage | None = None
    error: object = None
    kind: object = msgspec.field(name="object", default=None)


_chunk_decoder = msgspec.json.Decoder(_Chunk)
_text_decoder = msgspec.json.Decoder(str)


class OpenAIChatParser(WireParser):
    """The parser of one answer; an `EventParser`.

    Takes what the servers that claim this format send, and the body of an answer that was not streamed as
    if it were one event. Only the first choice counts.
    """

    __slots__ = ("_calls",)

    def __init__(self) -> None:
        super().__init__()
        self._calls = ToolCallPieces()

    def _read(self, data: str | bytes, event: str) -> list[Part]:  # noqa: ARG002 - its events have no names
        return self._take(_chunk_decoder.decode(data), data)

    def _end_by_mark(self) -> None:
        self._done = True

    def _last_parts(self) -> list[Part]:
        return [*self._calls.finish()]

    def _take(self, chunk: _Chunk, data: str | bytes) -> list[Part]:
        if chunk.error or chunk.kind == "error":
            raise reported_error(data)
        parts: list[Part] = []
        finished = ""
        for choice in chunk.choices or ():
            if choice.index:
                continue
            delta = choice.delta or choice.message
            if delta is not None:
                self._add_delta(delta, parts)
            finished = choice.finish_reason or finished
            if choice.usage is not None:
                self._add_usage(choice.usage, parts)
        if chunk.usage is not None:
            self._add_usage(chunk.usage, parts)
        if finished and self._finish_reason is None:
            self._finish_reason = _FINISH_REASONS.get(finished, FinishReason.OTHER)
            parts += self._calls.finish()
            parts.append(FinishPart(self._finish_reason))
        return parts

    def _add_delta(self, delta: _Delta, parts: list[Part]) -> None:
        thought = delta.reasoning_content or delta.reasoning
        if thought and isinstance(thought, str):
            parts.append(ThoughtPart(thought))
        content = delta.content
        if content:
            if isinstance(content, str):
                parts.append(TextPart(content))
            else:
                _add_pieces(content, parts)
        if delta.refusal:
            parts.append(TextPart(delta.refusal))
        for call in delta.tool_calls or ():
            part = self._add_call(call)
            if part is not None:
                parts.append(part)

    def _add_call(self, call: _ToolCall) -> ToolCallPart | None:
        function = call.function
        name = (function and function.name) or ""
        arguments = _arguments(function.arguments) if function is not None else ""
        return self._calls.add(call.id or "", call.index, name, arguments)

    def _add_usage(self, counted: _Usage, parts: list[Part]) -> None:
        usage = counted.usage()
        # Some servers count anew with every token; only news is worth a part.
        if usage != self._usage:
            self._usage = usage
            parts.append(UsagePart(usage))


def _add_pieces(pieces: list[_Piece], parts: list[Part]) -> None:
    for piece in pieces:
        if piece.thinking:
            parts.append(ThoughtPart(_plain(piece.thinking)))
        if piece.text:
            parts.append(ThoughtPart(piece.text) if piece.type in _THOUGHT_TYPES else TextPart(piece.text))


def _plain(thinking: str | list[_Piece]) -> str:
    return thinking if isinstance(thinking, str) else "".join(piece.text or "" for piece in thinking)


def _arguments(raw: msgspec.Raw) -> str:
    """The JSON text of the arguments: the content of a string, or the object itself as it was written."""
    written = bytes(raw)
    if written in {b"", b"null"}:
        return ""
    return _text_decoder.decode(written) if written.startswith(b'"') else written.decode()

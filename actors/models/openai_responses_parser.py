"""Turns the events of an OpenAI Responses answer into parts."""

from __future__ import annotations

from typing import cast

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
from actors.errors import EngineError, ErrorCode
from actors.models.begun_calls import BegunCall, BegunCalls
from actors.models.http_errors import reported_error
from actors.models.kept_items import KeptItems, decoded
from actors.models.openai_responses_events import (
    Incomplete,
    ItemContent,
    OutputItem,
    Response,
    ResponseEvent,
    event_decoder,
    item_decoder,
    response_decoder,
)
from actors.models.wire_parser import WireParser

__all__ = ["WIRE", "OpenAIResponsesParser"]

WIRE = "openai-responses"

_INCOMPLETE = {
    "": FinishReason.LENGTH,  # some do not say why; the others would not leave it out
    "max_output_tokens": FinishReason.LENGTH,
    "max_tokens": FinishReason.LENGTH,
    "content_filter": FinishReason.CONTENT_FILTER,
}
_TEXT = "output_text"
_REFUSAL = "refusal"
_SUMMARY = "summary_text"
_REASONING = "reasoning_text"
_DELTAS = {
    "response.output_text.delta": _TEXT,
    "response.refusal.delta": _REFUSAL,
    "response.reasoning_summary_text.delta": _SUMMARY,
    "response.reasoning_text.delta": _REASONING,
}
_WHOLE = {
    "response.output_text.done": _TEXT,
    "response.refusal.done": _REFUSAL,
    "response.reasoning_summary_text.done": _SUMMARY,
    "response.reasoning_text.done": _REASONING,
}
_OWN_FIELDS = frozenset({"type", "id", "status", "call_id", "name", "arguments"})


_Place = tuple[int | None, str, int]
"""Of a piece of text: its item, its type, its number among those of its type."""


class OpenAIResponsesParser(WireParser):
    """The parser of one answer; an `AnswerParser`.

    Items that are neither words nor calls of our tools are kept as provider items, thoughts too. What
    belongs together is told by `output_index`, since some servers give an item a new id in each event.
    Where several responses come in one stream they are one answer.
    """

    __slots__ = (
        "_begun",
        "_by_id",
        "_calls",
        "_calls_before",
        "_ended",
        "_has_refused",
        "_items",
        "_place",
        "_spoken",
        "_usage_before",
    )

    def __init__(self) -> None:
        super().__init__()
        self._calls = BegunCalls()
        self._items = KeptItems(WIRE)
        self._usage_before = Usage()  # of the responses before this one
        self._begin_response()

    def _begin_response(self) -> None:
        self._begun: dict[int | None, BegunCall] = {}
        self._by_id: dict[str, BegunCall] = {}
        self._ended: set[int | None] = set()
        self._spoken: set[_Place] = set()
        self._place: _Place | None = None  # that of the latest delta
        self._has_refused = False
        self._calls_before = len(self._calls)

    def _read(self, data: str | bytes, event: str) -> list[Part]:
        read = event_decoder.decode(data)
        kind = read.type or event
        text_type = _DELTAS.get(kind)
        if text_type is None:
            return self._take(read, data, kind)
        return self._say_delta(read, text_type)

    def _is_unknown(self, data: str | bytes) -> bool:
        kind = cast("object", (decoded(data) or {}).get("type"))
        return isinstance(kind, str) and not (
            kind in _DELTAS
            or kind in _WHOLE
            or kind.startswith(("response.output_item.", "response.function_call_arguments."))
            or kind in {"response.completed", "response.done", "response.incomplete", "response.failed"}
        )

    def _take(self, read: ResponseEvent, data: str | bytes, kind: str) -> list[Part]:
        parts: list[Part] = []
        if read.kind == "response" and not read.response:  # an answer that was not streamed
            self._end_response(response_decoder.decode(data), kind, parts)
            return parts
        match kind:
            case "response.output_item.added":
                self._begin_item(read.output_index, item_decoder.decode(read.item), parts)
            case "response.output_item.done":
                self._end_item(read.output_index, read.item, parts)
            case "response.function_call_arguments.delta" | "response.function_call_arguments.done":
                self._add_arguments(read, parts)
            case "response.created":
                if self._done:
                    self._usage_before = self._usage or Usage()
                    self._begin_response()
                    self._done, self._finish_reason = False, None
            case "response.completed" | "response.done" | "response.incomplete" | "response.failed":
                self._end_response(response_decoder.decode(read.response), kind, parts)
            case "response.cancelled":
                raise _cancelled()
            case _ if kind in _WHOLE:
                whole = read.refusal if kind == "response.refusal.done" else read.text
                self._say_once(_place(read, _WHOLE[kind]), whole if isinstance(whole, str) else "", parts)
            case _ if kind == "error" or kind.endswith("_error") or read.error:
                raise reported_error(data)
            case _:
                pass
        return parts

    # --- words ------------------------------------------------------------------------------------

    def _say_delta(self, read: ResponseEvent, text_type: str) -> list[Part]:
        place = _place(read, text_type)
        if place != self._place:
            self._place = place
            self._spoken.add(place)
        said = read.delta
        return [self._part(text_type, said)] if said and isinstance(said, str) else []

    def _say_once(self, place: _Place, text: str, parts: list[Part]) -> None:
        """What a server says as a whole, unless its pieces were there."""
        if place not in self._spoken:
            self._spoken.add(place)
            if text:
                parts.append(self._part(place[1], text))

    def _part(self, text_type: str, text: str) -> TextPart | ThoughtPart:
        if text_type == _TEXT:
            return TextPart(text)
        if text_type == _REFUSAL:
            self._has_refused = True
            return TextPart(text)
        return ThoughtPart(text)

    # --- items ------------------------------------------------------------------------------------

    def _begin_item(self, index: int | None, item: OutputItem, parts: list[Part]) -> None:
        if item.type == "function_call":
            call, part = self._calls.begin(item.call_id or "", item.name or "", item.arguments or "")
            parts.append(part)
            self._begun[index] = call
            if item.id:
                self._by_id[item.id] = call
        elif item.type == "message" and item.phase:
            # Says which message the words belong to; they themselves are in the conversation.
            phase = {"type": "message", "phase": item.phase}
            parts += self._items.keep(msgspec.json.encode(phase))

    def _end_item(self, index: int | None, raw: msgspec.Raw, parts: list[Part]) -> None:
        self._ended.add(index)
        item = item_decoder.decode(raw)
        match item.type:
            case "message":
                self._say_contents(index, item.content, parts)
            case "function_call":
                self._end_call(index, item, bytes(raw), parts)
            case "custom_tool_call":
                # Its input is any text, where the conversation has JSON.
                arguments = msgspec.json.encode({"input": item.input}).decode()
                call, part = self._calls.begin(item.call_id or "", item.name or "", arguments)
                parts += [part, *self._calls.end(call), *self._items.pass_call(bytes(raw), is_special=True)]
            case "reasoning":
                for number, piece in enumerate(item.summary or ()):
                    self._say_once((index, _SUMMARY, number), piece.text or "", parts)
                self._say_contents(index, item.content, parts)
                parts += self._items.keep(bytes(raw))
            case _:
                parts += self._items.keep(bytes(raw))

    def _add_arguments(self, read: ResponseEvent, parts: list[Part]) -> None:
        call = (
            self._by_id.get(read.item_id or "") or self._begun.get(read.output_index) or self._calls.latest
        )
        if call is None:
            return
        if isinstance(read.delta, str):
            part = self._calls.add(call, read.delta)
            parts += [part] if part else []
        elif isinstance(read.arguments, str) and call.call_id and call.name:
            parts += self._calls.end(call, arguments=read.arguments)

    def _say_contents(
        self, index: int | None, contents: list[ItemContent] | str | None, parts: list[Part]
    ) -> None:
        if isinstance(contents, str):
            contents = [ItemContent(_TEXT, contents)]
        for number, content in enumerate(contents or ()):
            said = content.refusal if content.type == _REFUSAL else content.text
            if said and content.type in {_TEXT, _REFUSAL, _REASONING}:
                self._say_once((index, content.type, number), said, parts)

    def _end_call(self, index: int | None, item: OutputItem, raw: bytes, parts: list[Part]) -> None:
        call = self._by_id.get(item.id or "") or self._begun.get(index)
        if call is None:
            call, part = self._calls.begin(item.call_id or "", item.name or "")
            parts.append(part)
        parts += self._calls.end(
            call, arguments=item.arguments or "", call_id=item.call_id or "", name=item.name or ""
        )
        fields = decoded(raw) or {}
        is_special = call.call_id == item.call_id and not fields.keys() <= _OWN_FIELDS
        parts += self._items.pass_call(raw, is_special=is_special)

    # --- the end ----------------------------------------------------------------------------------

    def _end_response(self, response: Response, kind: str, parts: list[Part]) -> None:
        status = response.status or ("completed" if kind != "response.incomplete" else "incomplete")
        if kind == "response.failed" or status == "failed":
            raise reported_error(bytes(response.error) or b"{}")
        if status == "cancelled":
            raise _cancelled()
        if not self._ended and not self._spoken and not self._begun:
            for index, item in enumerate(response.output or ()):
                self._begin_item(index, item_decoder.decode(item), parts)
                self._end_item(index, item, parts)
        if response.usage is not None:
            usage = self._usage_before + response.usage.usage()
            if usage != self._usage:
                self._usage = usage
                parts.append(UsagePart(usage))
        if self._finish_reason is None:
            parts += self._calls.finish()
            self._finish_reason = self._reason(response, status)
            parts.append(FinishPart(self._finish_reason))
        self._done = True

    def _reason(self, response: Response, status: str) -> FinishReason:
        if status == "incomplete":
            why = (response.incomplete_details or Incomplete()).reason or ""
            return _INCOMPLETE.get(why, FinishReason.OTHER)
        if self._has_refused:
            return FinishReason.REFUSAL
        return FinishReason.TOOL_CALLS if len(self._calls) > self._calls_before else FinishReason.STOP


def _cancelled() -> EngineError:
    return EngineError(ErrorCode.EXECUTION_FAILED, "the provider cancelled the answer")


def _place(read: ResponseEvent, kind: str) -> _Place:
    number = read.summary_index if kind == _SUMMARY else read.content_index
    return (read.output_index, kind, number or 0)

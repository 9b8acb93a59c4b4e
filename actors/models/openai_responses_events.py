"""The events of an OpenAI Responses answer, and what they hold, as far as somebody here reads it."""

from __future__ import annotations

import msgspec

from actors.conversation import Usage

__all__ = [
    "Incomplete",
    "ItemContent",
    "OutputItem",
    "Response",
    "ResponseEvent",
    "event_decoder",
    "item_decoder",
    "response_decoder",
]


class InputDetails(msgspec.Struct):
    cached_tokens: float | None = None
    cache_write_tokens: float | None = None


class OutputDetails(msgspec.Struct):
    reasoning_tokens: float | None = None


class CountedUsage(msgspec.Struct):
    input_tokens: float | None = None
    output_tokens: float | None = None
    input_tokens_details: InputDetails | None = None
    output_tokens_details: OutputDetails | None = None

    def usage(self) -> Usage:
        read = self.input_tokens_details or InputDetails()
        written = self.output_tokens_details or OutputDetails()
        return Usage(
            input_tokens=int(self.input_tokens or 0),
            output_tokens=int(self.output_tokens or 0),
            cached_input_tokens=int(read.cached_tokens or 0),
            reasoning_tokens=int(written.reasoning_tokens or 0),
            cache_write_tokens=int(read.cache_write_tokens or 0),
        )


class Incomplete(msgspec.Struct):
    reason: str | None = None


class Response(msgspec.Struct):
    status: str | None = None
    output: list[msgspec.Raw] | None = None
    usage: CountedUsage | None = None
    incomplete_details: Incomplete | None = None
    error: msgspec.Raw = msgspec.Raw()


class ResponseEvent(msgspec.Struct):
    type: str = ""
    kind: object = msgspec.field(name="object", default=None)
    output_index: int | None = None
    content_index: int | None = None
    summary_index: int | None = None
    item_id: str | None = None
    # Texts, but for tools of the provider, which nobody reads here.
    delta: object = None
    text: object = None
    refusal: object = None
    arguments: object = None
    item: msgspec.Raw = msgspec.Raw()
    response: msgspec.Raw = msgspec.Raw()
    error: object = None


class ItemContent(msgspec.Struct):
    type: str = ""
    text: str | None = None
    refusal: str | None = None


class OutputItem(msgspec.Struct):
    type: str = ""
    id: str | None = None
    call_id: str | None = None
    name: str | None = None
    arguments: str | None = None
    input: object = None
    phase: str | None = None
    content: list[ItemContent] | str | None = None
    summary: list[ItemContent] | None = None


event_decoder = msgspec.json.Decoder(ResponseEvent)
response_decoder = msgspec.json.Decoder(Response)
item_decoder = msgspec.json.Decoder(OutputItem)

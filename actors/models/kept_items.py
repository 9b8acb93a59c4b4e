"""What of an answer only its provider understands, on its way into the answer and back to the provider."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeAlias, cast

import msgspec

from actors.conversation import Message, ProviderItemPart

__all__ = ["KeptItem", "KeptItems", "decoded", "kept_items", "raw_fields"]

KeptItem: TypeAlias = tuple[int, str, dict[str, Any]]
"""Where in the text it stands, its JSON text, and the same decoded."""

_fields_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])
_encoder = msgspec.json.Encoder()


class KeptItems:
    """Makes items of what one answer holds, in their order.

    A tool call needs none: the conversation has it. But where an item stands behind a call, or the call
    itself holds more than the conversation knows, the call is kept too, so that it is written back as it
    was and where it was.
    """

    __slots__ = ("_calls", "_wire")

    def __init__(self, wire: str) -> None:
        self._wire = wire
        self._calls: list[bytes] = []

    def keep(self, item: bytes) -> list[ProviderItemPart]:
        """The item, and before it the calls that it stands behind."""
        items = [*self._calls, item]
        self._calls.clear()
        return [ProviderItemPart(self._wire, each.decode()) for each in items]

    def pass_call(self, call: bytes, *, is_special: bool) -> list[ProviderItemPart]:
        """Note a call, which is kept now if it is special, and else once something follows it."""
        if is_special:
            return self.keep(call)
        self._calls.append(call)
        return []


def kept_items(message: Message, wire: str, model_name: str) -> list[KeptItem]:
    """The items of a message that may go back: on the wire, and to the model, that they came from."""
    if not message.provider_items or message.model != model_name:
        return []
    return [
        (item.offset, item.data, fields)
        for item in message.provider_items
        if item.wire == wire and (fields := decoded(item.data)) is not None
    ]


def decoded(data: str | bytes) -> dict[str, Any] | None:
    """An item as an object; None if it is none, as after a store was edited by hand."""
    try:
        found: object = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return cast("dict[str, Any]", found) if isinstance(found, dict) else None


def raw_fields(item: bytes | msgspec.Raw, changes: Iterable[tuple[str, object]] = ()) -> bytes:
    """The JSON object `item` with some of its fields changed, and the others exactly as they were."""
    fields: dict[str, object] = dict(_fields_decoder.decode(item))
    fields.update(changes)
    return _encoder.encode(fields)

"""How much memory the content of a message takes."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from actors.conversation import FileReference, Image, Message, Text, ToolCallRequest, ToolResult

__all__ = ["content_bytes"]


def content_bytes(message: Message) -> int:
    """Of what people, models and tools said, and the files and images that go with it."""
    return sum(map(sys.getsizeof, _weighed(message)))


def _weighed(message: Message) -> Iterable[str | bytes]:
    match message.content:
        case Text(text, thought, attachments, images, references):
            yield from (text, thought)
            for attachment in attachments:
                yield attachment.content
            for image in images:
                yield from (image.data, image.text)
            for reference in references:
                yield reference.content
        case Image(data=data, text=text):
            yield from (data, text)
        case FileReference(content=text) | ToolResult(output=text):
            yield text
        case ToolCallRequest(calls):
            for call in calls:
                yield call.arguments
        case _:
            pass  # a few words of ours
    for item in message.provider_items:
        yield item.data

"""A message that grows: pieces are appended at once and joined when somebody reads."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from actors.conversation import Message, Part, Text, TextPart, ThoughtPart

__all__ = ["GrowingText"]


class GrowingText:
    """The message with this text so far, and what was streamed since."""

    __slots__ = ("_text", "_thought", "_whole")

    def __init__(self, message: Message) -> None:
        assert isinstance(message.content, Text)
        self._whole = message
        self._text = [message.content.text]
        self._thought = [message.content.thought]

    def add(self, parts: Iterable[Part]) -> None:
        for part in parts:
            if isinstance(part, TextPart):
                self._text.append(part.text)
            elif isinstance(part, ThoughtPart):
                self._thought.append(part.text)

    def message(self) -> Message:
        """The message as far as it has come. A second call without new pieces joins nothing."""
        if len(self._text) > 1 or len(self._thought) > 1:
            self._text = ["".join(self._text)]
            self._thought = ["".join(self._thought)]
            content = msgspec.structs.replace(
                self._whole.content, text=self._text[0], thought=self._thought[0]
            )
            self._whole = msgspec.structs.replace(self._whole, content=content)
        return self._whole

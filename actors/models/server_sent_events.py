"""Splits the bytes of an event stream into its events."""

from __future__ import annotations

import codecs
from typing import TypeAlias

__all__ = ["EventDecoder", "ServerSentEvent"]

ServerSentEvent: TypeAlias = tuple[str, str]
"""The data and the name of one event. A plain tuple, since one is made for every token."""


class EventDecoder:
    """Reads `text/event-stream` as the HTML standard says (section 9.2.6), in pieces of any size.

    Comments, ids and pauses are left out. Beyond the standard, a line `error: x`, which servers of the
    llama.cpp family send, is data of an event named `error`.
    """

    __slots__ = ("_data", "_line", "_name", "_text", "_untouched")

    def __init__(self) -> None:
        # What is not UTF-8 becomes replacement characters, and a byte order mark at the beginning is
        # left out, as the standard says.
        self._text: codecs.IncrementalDecoder | None = None
        self._line: list[str] = []
        self._data: list[str] = []
        self._name = ""
        self._untouched = True

    def feed(self, chunk: bytes) -> list[ServerSentEvent]:
        """The events that are complete with these bytes."""
        # The usual chunk by far, whole events of one line of data each, costs a third of the usual way.
        if self._untouched and chunk.startswith(b"data: ") and chunk.endswith(b"\n\n"):
            events = _plain_events(chunk)
            if events is not None:
                return events
        if self._text is None:
            self._text = codecs.getincrementaldecoder("utf-8-sig")("replace")
        events = self._read(self._text.decode(chunk))
        self._untouched = chunk.endswith(b"\n\n")
        return events

    def end(self) -> list[ServerSentEvent]:
        """The event that the stream ended in."""
        rest = "" if self._text is None else self._text.decode(b"", final=True)
        return self._read(rest + "\n\n")

    def _read(self, text: str) -> list[ServerSentEvent]:
        if "\n" not in text and "\r" not in text and not self._ends_in_return():
            self._line.append(text)
            return []
        text = "".join(self._line) + text
        # Whether the end of a line is one or two characters is seen by the next one.
        held = "\r" if text.endswith("\r") else ""
        lines = text[: len(text) - len(held)].replace("\r\n", "\n").replace("\r", "\n").split("\n")
        self._line = [lines.pop() + held]
        events: list[ServerSentEvent] = []
        for line in lines:
            if line:
                self._take(line)
            elif self._data or self._name:
                events.append(("\n".join(self._data), self._name))
                self._data, self._name = [], ""
        return events

    def _ends_in_return(self) -> bool:
        return bool(self._line) and self._line[-1].endswith("\r")

    def _take(self, line: str) -> None:
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "data":
            self._data.append(value)
        elif field == "event":
            self._name = value
        elif field == "error":
            self._name = "error"
            self._data.append(value)


def _plain_events(chunk: bytes) -> list[ServerSentEvent] | None:
    """The events of a chunk that begins and ends with one, or None if there is more in it than data."""
    try:
        text = chunk[6:-2].decode()
    except UnicodeDecodeError:
        return None
    if "\n" not in text and "\r" not in text:
        return [(text, "")]
    blocks = text.split("\n\ndata: ")
    if any("\n" in block or "\r" in block for block in blocks):
        return None
    return [(block, "") for block in blocks]

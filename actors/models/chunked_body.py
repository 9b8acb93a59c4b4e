"""Takes the payload out of a chunked HTTP body (RFC 9112, section 7.1)."""

from __future__ import annotations

import re

__all__ = ["ChunkedBody", "MalformedBodyError"]

_SIZE_LINE = re.compile(rb"([0-9a-fA-F]{1,16})[ \t]*(?:;.*)?")
_LINE_END = b"\r\n"
_LONGEST_LINE_BYTES = 64 * 1024


class MalformedBodyError(Exception):
    """What came is no chunked body."""


class ChunkedBody:
    """Reads the bytes of a body as they come, in pieces of any size.

    `complete` says that its last chunk and its trailer have come, `surplus` that something came after it,
    which nobody asked for.
    """

    __slots__ = ("_in_trailer", "_left", "_line", "complete", "surplus")

    def __init__(self) -> None:
        self._line = b""
        # What is still to come of the present chunk, the line end behind its payload included.
        self._left = 0
        self._in_trailer = False
        self.complete = False
        self.surplus = False

    def feed(self, data: bytes) -> bytes:
        """The payload in these bytes.

        Raises:
            MalformedBodyError: this is no chunked body.
        """
        if self._line:
            data, self._line = self._line + data, b""
        payload: list[bytes] = []
        place = 0
        while place < len(data) and not self.complete:
            place = self._chunk(data, place, payload) if self._left else self._size_line(data, place)
        self.surplus = self.surplus or place < len(data)
        return payload[0] if len(payload) == 1 else b"".join(payload)

    def _chunk(self, data: bytes, place: int, payload: list[bytes]) -> int:
        """Take what is there of the present chunk, or of the line end behind it; where that ends."""
        if self._left > len(_LINE_END):
            piece = data[place : place + self._left - len(_LINE_END)]
            payload.append(piece)
        else:
            piece = data[place : place + self._left]
            if not _LINE_END[-self._left :].startswith(piece):
                raise MalformedBodyError("a chunk is longer than it was said to be")
        self._left -= len(piece)
        return place + len(piece)

    def _size_line(self, data: bytes, place: int) -> int:
        """Read the line before a chunk, or one of the trailer; where it ends."""
        end = data.find(_LINE_END, place)
        if end < 0:
            self._line = data[place:]
            if len(self._line) > _LONGEST_LINE_BYTES:
                raise MalformedBodyError("a line without end stands where a chunk should begin")
            return len(data)
        line = data[place:end]
        if self._in_trailer:
            self.complete = not line
        else:
            size = _SIZE_LINE.fullmatch(line)
            if size is None:
                raise MalformedBodyError("something else stands where a chunk should begin")
            length = int(size[1], 16)
            self._in_trailer = length == 0
            self._left = length + len(_LINE_END) if length else 0
        return end + len(_LINE_END)

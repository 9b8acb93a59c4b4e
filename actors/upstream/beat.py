"""The unit of an answer in time: wait this long, then send these bytes."""

from __future__ import annotations

from typing import TypeAlias

__all__ = ["DONE", "LAST_CHUNK", "Beat", "chunk", "event_chunk"]

Beat: TypeAlias = tuple[float, int, bytes]
"""Seconds to wait after the beat before, how many events `wire` holds, and `wire`, framed for HTTP.

An infinite wait is silence until the client goes away. A plain tuple, since one is made per event.
"""

LAST_CHUNK = b"0\r\n\r\n"
"""Ends a chunked body (RFC 9112, section 7.1)."""


def chunk(data: bytes) -> bytes:
    """`data`, not empty, as one chunk of a chunked HTTP body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def event_chunk(data: bytes) -> bytes:
    """One server-sent event as an HTTP chunk of its own, as servers that flush every event send it."""
    return b"%x\r\ndata: %b\n\n\r\n" % (len(data) + 8, data)


DONE = event_chunk(b"[DONE]") + LAST_CHUNK
"""What ends every complete stream. It is not counted as an event."""

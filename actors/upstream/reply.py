"""What the endpoint answers to a request."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

import msgspec

from actors.upstream.beat import Beat
from actors.upstream.faults import Fault

__all__ = ["JsonReply", "PacedReply", "Reply"]


class JsonReply(msgspec.Struct, frozen=True):
    """A JSON document, sent at once. `headers` come on top of content type and length."""

    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()


class PacedReply(msgspec.Struct, frozen=True):
    """A 200 whose chunked body comes beat by beat. `fault` is the one that the beats already contain."""

    content_type: str
    beats: Iterator[Beat]
    fault: Fault | None = None


Reply: TypeAlias = JsonReply | PacedReply

"""The text in a file's bytes, line by line."""

from __future__ import annotations

__all__ = ["binary_reason", "cut_around", "lines_of"]

_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_CUT = "[...]"


def binary_reason(data: bytes) -> str:
    """Why these bytes are no text, and what to do; "" if they are."""
    if b"\0" in data and not data.startswith(_UTF_16):
        return "this is a binary file, not text; choose another file"
    return ""


def lines_of(data: bytes) -> list[str]:
    """The lines, counted as editors do: each is ended by a line feed, with or without a carriage return.

    UTF-8, or UTF-16 where the first bytes say so; what is wrong in it becomes U+FFFD.
    """
    encoding = "utf-16" if data.startswith(_UTF_16) else "utf-8-sig"
    lines = data.decode(encoding, "replace").split("\n")
    if not lines[-1]:
        lines.pop()
    return [line.removesuffix("\r") for line in lines]


def cut_around(line: str, most: int, start: int = 0) -> str:
    """At most so many characters of a line, among them the one at `start`, with marks for the rest."""
    if len(line) <= most:
        return line
    first = max(0, min(start - most // 4, len(line) - most))
    return f"{_CUT if first else ''}{line[first : first + most]}{_CUT if first + most < len(line) else ''}"

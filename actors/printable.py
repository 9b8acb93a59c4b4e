"""Texts of strangers, made harmless for a terminal."""

from __future__ import annotations

__all__ = ["one_line", "printable"]

# C0, DEL and C1, among them ESC and the one-byte CSI; a line end and a tab do no harm.
_CONTROLS = dict.fromkeys({*range(0x20), *range(0x7F, 0xA0)} - {ord("\n"), ord("\t")})


def printable(text: str) -> str:
    """The text without the control characters with which it could drive a terminal."""
    return text.translate(_CONTROLS)


def one_line(text: str) -> str:
    """As `printable`, and each run of whitespace is one space."""
    return printable(" ".join(text.split()))

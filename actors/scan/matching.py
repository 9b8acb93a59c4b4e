"""The lines of a file that match."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from typing import NamedTuple

__all__ = ["FoundLine", "compile_pattern", "matching_lines", "text_of"]

_GROUPS = re.compile(r"\(\?(?:[=!>(]|<[=!]|P=)")


class FoundLine(NamedTuple):
    """A line, numbered from 1, and the characters in it that match first; a line of context has none."""

    number: int
    text: str
    span: tuple[int, int] | None


def compile_pattern(pattern: str, *, literal: bool, ignore_case: bool) -> re.Pattern[str]:
    """A pattern for single lines: what both Python and ripgrep take for a regular expression.

    Raises:
        ValueError: it is none, and why.
    """
    if not literal:
        _check_common(pattern)
    try:
        return re.compile(re.escape(pattern) if literal else pattern, re.IGNORECASE if ignore_case else 0)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"regex parse error: {pattern}: {error}") from None


def _check_common(pattern: str) -> None:
    plain = re.sub(r"\\[^1-9n]", "", pattern)
    wrong = ""
    if _GROUPS.search(plain):
        wrong = "look-around is not supported"
    elif re.search(r"\\[1-9]", plain):
        wrong = "back-references are not supported"
    elif r"\n" in plain or "\n" in pattern:
        wrong = r"a line break is not allowed: lines are searched one by one"
    elif "[[:" in plain:
        wrong = "classes such as [[:alpha:]] are not supported; write [a-zA-Z]"
    if wrong:
        raise ValueError(f"regex parse error: {pattern}: {wrong}")


def text_of(path: str, largest_bytes: int) -> str | None:
    """The text of a file, its lines ended by a line feed; None for what is too large or binary."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:  # noqa: PTH123 - it is a descriptor
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode) or status.st_size > largest_bytes:
                return None
            data = file.read(largest_bytes)
    except OSError:
        return None  # gone, or not ours to read
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        text = data.decode("utf-16", "replace")
    elif b"\0" in data:
        return None
    else:
        text = data.decode("utf-8-sig", "replace")
    return text.replace("\r\n", "\n")


def matching_lines(text: str, pattern: re.Pattern[str], *, context: int, most: int) -> Iterator[FoundLine]:
    """The first `most` lines that match, with so many lines around each, in their order."""
    lines = text.split("\n")
    if not lines[-1]:
        lines.pop()
    search = pattern.search
    shown = 0
    until = 0
    for index, line in enumerate(lines):
        match = search(line)
        if match is not None:
            for before in range(max(shown, index - context), index):
                yield FoundLine(before + 1, lines[before], None)
            yield FoundLine(index + 1, line, match.span())
            shown = index + 1
            until = shown + context
            most -= 1
            if not most:
                break
        elif index < until:
            yield FoundLine(index + 1, line, None)
            shown = index + 1
    for after in range(shown, min(until, len(lines))):
        yield FoundLine(after + 1, lines[after], None)

"""What the workspace tools answer, as a model reads it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from actors.workspace.query import FileMatches, Found, Matches
from actors.workspace.text import cut_around

__all__ = ["MOST_BYTES", "MOST_LINES", "tell_found", "tell_lines", "tell_matches"]

MOST_LINES = 2_000
"""Lines that `read` gives at once."""

MOST_BYTES = 60_000
"""Bytes of an answer, below what the limit of a tool's output cuts."""

_LONGEST_LINE = 2_000
_LATE = "The time was up: there may be more. Look in a smaller folder, or for something rarer."


def tell_matches(matches: Matches, shown: Callable[[str], str]) -> str:
    """The lines by file: `12:` is one that matches, `12-` one around it. `shown` is how a path is told."""
    blocks: list[str] = []
    count = files = size = 0
    for file in matches.files:
        block = _block(file, shown)
        size += len(block.encode())
        if size > MOST_BYTES and blocks:
            break
        blocks.append(block if size <= MOST_BYTES else _beginning(block))
        files += 1
        count += sum(line.matches for line in file.lines)
    if not blocks:
        return _LATE if matches.late else "No matches."
    is_cut = files < len(matches.files) or size > MOST_BYTES
    notes: list[str] = []
    if matches.more or is_cut:
        notes.append("There are more matches: narrow the pattern, the glob or the path.")
    if matches.late:
        notes.append(_LATE)
    headline = f"{_counted(count, 'match', 'matches')} in {_counted(files, 'file', 'files')}."
    return "\n\n".join([headline, *blocks, *notes])


def tell_found(found: Found, shown: Callable[[str], str]) -> str:
    """One path a line; that of a folder ends with a slash."""
    if not found.paths:
        return _LATE if found.late else "Nothing fits."
    lines: list[str] = []
    size = 0
    for path in found.paths:
        line = shown(path)
        size += len(line.encode()) + 1
        if size > MOST_BYTES:
            break
        lines.append(line)
    if found.more or len(lines) < len(found.paths):
        lines.append(f"\n[only the first {len(lines)} are listed: narrow the glob or the path]")
    if found.late:
        lines.append(f"\n{_LATE}")
    return "\n".join(lines)


def tell_lines(path: str, lines: Sequence[str], first_line: int, last_line: int | None) -> str:
    """The lines of a file with their numbers, and how to get at those that are left out."""
    count = len(lines)
    if not count:
        return f"{path}: the file is empty."
    if first_line > count:
        return f"{path}: the file has only {_counted(count, 'line', 'lines')}."
    wanted = count if last_line is None else min(count, last_line)
    told: list[str] = []
    size = 0
    for number in range(first_line, min(wanted, first_line + MOST_LINES - 1) + 1):
        line = f"{number:>6}\t{cut_around(lines[number - 1], _LONGEST_LINE)}"
        size += len(line.encode()) + 1
        if size > MOST_BYTES:
            break
        told.append(line)
    last_told = first_line + len(told) - 1
    headline = f"{path}: lines {first_line} to {last_told} of {count}."
    if last_told < wanted:
        told.append(
            f"\n[lines {last_told + 1} to {wanted} are left out: go on with first_line={last_told + 1}]"
        )
    return "\n".join([headline, *told])


def _block(file: FileMatches, shown: Callable[[str], str]) -> str:
    lines = [shown(file.path)]
    before = 0
    for line in file.lines:
        if before and line.number > before + 1:
            lines.append("--")
        lines.append(f"{line.number}{':' if line.matches else '-'}{line.text}")
        before = line.number
    return "\n".join(lines)


def _beginning(block: str) -> str:
    return block.encode()[:MOST_BYTES].decode(errors="ignore").rpartition("\n")[0]


def _counted(count: int, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}"

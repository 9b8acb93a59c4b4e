"""Takes what a search prints, piece by piece, until it is enough."""

from __future__ import annotations

import base64
from collections.abc import Callable

import msgspec

from actors.scan.globs import compile_glob
from actors.workspace.query import FileMatches, FindQuery, Line, SearchQuery
from actors.workspace.text import cut_around

__all__ = ["MatchCollector", "PathCollector", "path_order"]

_LONGEST_LINE = 400


def path_order(path: str) -> list[bytes]:
    """Sorts paths as a walk meets them that takes the entries of each folder by their names."""
    return [name.encode() for name in path.split("/")]


class _Data(msgspec.Struct, frozen=True):
    """Text, or bytes in base 64 where it is not UTF-8."""

    text: str | None = None
    bytes: str | None = None

    def decoded(self) -> str:
        if self.text is not None:
            return self.text
        return base64.b64decode(self.bytes or "").decode(errors="replace")

    def before(self, offset: int) -> int:
        """How many characters there are before a byte."""
        if self.text is not None:
            return len(self.text.encode()[:offset].decode(errors="ignore"))
        return len(base64.b64decode(self.bytes or "")[:offset].decode(errors="replace"))


class _Span(msgspec.Struct, frozen=True):
    start: int


class _LineEvent(msgspec.Struct, frozen=True):
    path: _Data
    lines: _Data
    line_number: int
    submatches: tuple[_Span, ...] = ()


class _EndEvent(msgspec.Struct, frozen=True):
    path: _Data
    binary_offset: int | None = None


class _Event(msgspec.Struct, frozen=True):
    type: str
    data: msgspec.Raw


_event = msgspec.json.Decoder(_Event).decode
_line_event = msgspec.json.Decoder(_LineEvent).decode
_end_event = msgspec.json.Decoder(_EndEvent).decode


class MatchCollector:
    """The lines of the JSON events that `rg --json` prints."""

    def __init__(self, query: SearchQuery) -> None:
        self._query = query
        self._fits = _below(query.scope.folder, query.glob)
        self._lines: dict[str, list[Line]] = {}
        self._count = 0

    def take(self, record: bytes) -> bool:
        """Whether one line more matches than were asked for."""
        event = _event(record)
        if event.type in ("match", "context"):
            self._take_line(_line_event(event.data), matches=event.type == "match")
        elif event.type == "end":
            end = _end_event(event.data)
            if end.binary_offset is not None:
                dropped = self._lines.pop(end.path.decoded().removeprefix("./"), [])
                self._count -= sum(line.matches for line in dropped)
        return self._count > self._query.most

    def _take_line(self, event: _LineEvent, *, matches: bool) -> None:
        path = event.path.decoded().removeprefix("./")
        if event.path.text is None or not self._fits(path):
            return  # nobody could ask for a path that is not UTF-8
        start = event.lines.before(event.submatches[0].start) if event.submatches else 0
        text = event.lines.decoded().removesuffix("\n").removesuffix("\r").removeprefix("\ufeff")
        line = Line(event.line_number, cut_around(text, _LONGEST_LINE, start), matches)
        self._lines.setdefault(path, []).append(line)
        self._count += matches

    def files(self) -> tuple[FileMatches, ...]:
        """What was asked for and no more, in the order of the paths."""
        files: list[FileMatches] = []
        left = self._query.most
        for path in sorted(self._lines, key=path_order):
            kept: list[Line] = []
            last = 0
            for line in self._lines[path]:
                if line.matches:
                    if not left:
                        break
                    left -= 1
                    last = line.number
                kept.append(line)
            if last:
                until = last if not left else last + self._query.context
                files.append(
                    FileMatches(path, tuple(line for line in kept if line.number <= max(until, last)))
                )
            if not left:
                break
        return tuple(files)


class PathCollector:
    """The paths that `rg --files --null` prints."""

    def __init__(self, query: FindQuery) -> None:
        self._query = query
        self._fits = _below(query.scope.folder, query.glob)
        self._paths: list[str] = []

    def take(self, record: bytes) -> bool:
        """Whether there is one more than were asked for."""
        try:
            path = record.decode().removeprefix("./")
        except UnicodeDecodeError:
            return False  # nobody could ask for it
        if self._fits(path.removesuffix("/")):
            self._paths.append(path)
        return len(self._paths) > self._query.most

    def paths(self) -> tuple[str, ...]:
        ordered = sorted(self._paths, key=lambda path: path_order(path.removesuffix("/")))
        return tuple(ordered[: self._query.most])


def _below(folder: str, glob: str) -> Callable[[str], bool]:
    """Whether a path, relative to the root, fits a glob that is relative to a folder, and is not hidden.

    ripgrep shows what is hidden where a rule of a `.gitignore` says that it is not ignored.
    """
    expression = compile_glob(glob) if glob else None
    prefix = f"{folder}/" if folder else ""

    def fits(path: str) -> bool:
        relative = path.removeprefix(prefix)
        if path != folder and (relative.startswith(".") or "/." in relative):
            return False
        return expression is None or expression.fullmatch(relative) is not None

    return fits

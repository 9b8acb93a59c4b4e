"""What is looked for in a folder, and what is found."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

__all__ = ["FileMatches", "FindQuery", "Found", "Line", "Matches", "Scope", "SearchQuery", "Wanted"]

Wanted: TypeAlias = Literal["file", "folder", "any"]


class Scope(msgspec.Struct, frozen=True):
    """Where to look: a folder, relative to its root; "" is the root itself.

    `rules` are lines of `.gitignore` files above the folder, as they would stand in the root's.
    """

    root: str
    folder: str = ""
    rules: tuple[str, ...] = ()


class SearchQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Lines to look for. `glob` is which files, "" for all of them; `most` is how many lines that match."""

    scope: Scope
    pattern: str
    literal: bool = False
    ignore_case: bool = False
    glob: str = ""
    context: int = 0
    most: int = 100


class FindQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Paths to look for."""

    scope: Scope
    glob: str
    wanted: Wanted = "file"
    most: int = 200


class Line(msgspec.Struct, frozen=True):
    """A line of a file, numbered from 1, cut if it is long."""

    number: int
    text: str
    matches: bool


class FileMatches(msgspec.Struct, frozen=True):
    """The lines of a file that match, and those around them. The path is relative to the root."""

    path: str
    lines: tuple[Line, ...]


class Matches(msgspec.Struct, frozen=True):
    """What a search found, in the order of the paths. `more`: there is more; `late`: the time was up."""

    files: tuple[FileMatches, ...]
    more: bool = False
    late: bool = False


class Found(msgspec.Struct, frozen=True):
    """The paths that fit, relative to the root and in order; a folder's ends with a slash."""

    paths: tuple[str, ...]
    more: bool = False
    late: bool = False

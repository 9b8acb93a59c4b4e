"""Folders that bound what may be touched: everything else is outside."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from actors.errors import EngineError, ErrorCode

__all__ = ["Roots", "canonical_path"]


def canonical_path(path: str) -> str:
    """One name for one file: absolute, without links, `.` and `..`. Looks at the disk.

    Raises:
        EngineError: `INVALID_ARGUMENT` for what cannot be a path.
    """
    try:
        canonical = os.path.realpath(path)
        canonical.encode()  # messages and errors carry it as text
    except (OSError, ValueError) as error:
        raise EngineError(
            ErrorCode.INVALID_ARGUMENT, f"{path!r} cannot be a path: {error}; choose another one"
        ) from None
    return canonical


class Roots:
    """Which places are inside one of some folders, after all links are followed. As text, their paths."""

    def __init__(self, roots: Sequence[str]) -> None:
        self._roots = tuple(Path(canonical_path(root)) for root in roots)

    def __bool__(self) -> bool:
        return bool(self._roots)

    def __iter__(self) -> Iterator[Path]:
        return iter(self._roots)

    def __str__(self) -> str:
        return ", ".join(str(root) for root in self._roots)

    def root_of(self, place: Path) -> Path | None:
        """The first folder that a canonical path is in, or is."""
        return next((root for root in self._roots if place.is_relative_to(root)), None)

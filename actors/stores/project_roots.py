"""The folders in which chat files may be."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NoReturn

from actors.errors import EngineError, ErrorCode
from actors.roots import Roots, canonical_path
from actors.stores.atomic_file import Stamp
from actors.stores.chat_naming import CHAT_SUFFIX

__all__ = ["ProjectRoots"]

_SEARCH_LIMIT = 10_000


class ProjectRoots:
    """Which places are inside a project folder, after all links are followed."""

    def __init__(self, roots: Sequence[str]) -> None:
        self._roots = Roots(roots)

    def __bool__(self) -> bool:
        return bool(self._roots)

    def chat(self, path: str) -> Path:
        """The canonical path of a chat file, which need not be there.

        Raises:
            EngineError: `INVALID_ARGUMENT`: no chat file's name, or outside.
        """
        place = self._inside(path)
        if not place.name.endswith(CHAT_SUFFIX) or place.name == CHAT_SUFFIX:
            _refuse(place, f"a chat file is called NAME{CHAT_SUFFIX}; rename it, or choose another one")
        return place

    def folder(self, directory: str) -> Path:
        """The canonical path of a folder.

        Raises:
            EngineError: `INVALID_ARGUMENT`: no folder, or outside.
        """
        place = self._inside(directory)
        if not place.is_dir():
            _refuse(place, "there is no such folder; create it, or choose another one")
        return place

    def _inside(self, path: str) -> Path:
        if not self._roots:
            _refuse(path, "no project folder is configured; name one or more in `project_roots`")
        place = Path(canonical_path(path))
        if self._roots.root_of(place) is None:
            _refuse(
                place,
                f"this is outside the project folders ({self._roots}); choose a path inside one of them, "
                "or add a folder to `project_roots`",
            )
        return place

    def find(self, stamp: Stamp, near: Path) -> Path | None:
        """Where the chat file went that was at `near`: nearby, or in its project folder.

        Looks at thousands of files at most, and then gives up.
        """
        root = self._roots.root_of(near)
        folders = [near.parent] if root is None else [near.parent, root]
        for path, inode in _chat_files(folders):
            if inode == stamp.inode and path.stat().st_dev == stamp.device:
                return path
        return None


def _chat_files(folders: Sequence[Path]) -> Iterator[tuple[Path, int]]:
    """Chat files in and below `folders`, the nearest first, with their inodes."""
    waiting = deque(folders)
    seen = 0
    while waiting:
        try:
            entries = list(os.scandir(waiting.popleft()))
        except OSError:
            continue  # a folder that is gone, or not ours to read, holds nothing for us
        for entry in entries:
            seen += 1
            if seen > _SEARCH_LIMIT:
                return
            if entry.is_dir(follow_symlinks=False):
                waiting.append(Path(entry.path))
            elif entry.name.endswith(CHAT_SUFFIX) and entry.is_file(follow_symlinks=False):
                yield Path(entry.path), entry.inode()


def _refuse(place: Path | str, reason: str) -> NoReturn:
    raise EngineError(ErrorCode.INVALID_ARGUMENT, f"{place}: {reason}", path=str(place))

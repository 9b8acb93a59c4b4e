"""The folders in which tools and file references may read, and nothing outside of them."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import msgspec

from actors.errors import EngineError, ErrorCode
from actors.roots import Roots, canonical_path
from actors.workspace.text import binary_reason, lines_of

__all__ = ["Place", "Workspace"]

_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW
_LARGEST_BYTES = 10_000_000


class Place(msgspec.Struct, frozen=True):
    """A file or folder inside a root, after all links were followed. It may have changed since."""

    root: Path
    path: Path


class Workspace:
    """Resolves paths and reads files; refuses what is outside, also if it gets there by a link.

    Every method looks at the disk: call them in a thread.

    Raises:
        EngineError: `INVALID_ARGUMENT`: there is no root, or one is no folder.
    """

    def __init__(self, roots: Sequence[str], *, largest_bytes: int = _LARGEST_BYTES) -> None:
        self.largest_bytes = largest_bytes
        self._roots = Roots(roots)
        if not self._roots:
            _refuse("a workspace needs a folder: name one or more roots")
        for root in self._roots:
            if not root.is_dir():
                _refuse(f"{root}: there is no such folder; create it, or name another root")

    def base(self, directory: str) -> Place:
        """Where relative paths start: `directory`, if it is a folder inside a root, else the first root."""
        first = next(iter(self._roots))
        if directory:
            try:
                path = Path(canonical_path(directory))
            except EngineError:
                return Place(first, first)
            root = self._roots.root_of(path)
            if root is not None and path.is_dir():
                return Place(root, path)
        return Place(first, first)

    def resolve(self, path: str, base: Place) -> Place:
        """The place that a path means, which need not be there.

        Raises:
            EngineError: `INVALID_ARGUMENT`: it is outside of every root, or cannot be a path.
        """
        place = Path(canonical_path(os.path.join(base.path, path)))  # noqa: PTH118 - Path would follow nothing
        root = self._roots.root_of(place)
        if root is None:
            _refuse(
                f"{path}: this leads outside the workspace ({self._roots}); choose a path inside it",
                path=path,
            )
        return Place(root, place)

    def shown(self, place: Path, base: Place) -> str:
        """How a path is told so that it can be asked for again: relative to the base, or absolute."""
        return str(place.relative_to(base.path) if place.is_relative_to(base.path) else place)

    def folder(self, path: str, base: Place) -> Place:
        """The folder that a path means.

        Raises:
            EngineError: `INVALID_ARGUMENT`: there is none, or it is outside.
        """
        place = self.resolve(path, base)
        if not os.path.exists(place.path):  # noqa: PTH110 - Path would raise for a name that is too long
            _refuse(f"{path}: there is no such folder; look for it with another path", path=path)
        if not place.path.is_dir():
            _refuse(f"{path}: this is no folder; name the one that it is in", path=path)
        return place

    def folder_or_file(self, path: str, base: Place) -> Place:
        """The folder or the file that a path means.

        Raises:
            EngineError: `INVALID_ARGUMENT`: there is neither, or it is outside.
        """
        place = self.resolve(path, base)
        return place if os.path.isfile(place.path) else self.folder(path, base)  # noqa: PTH113 - as there

    def has(self, path: str, base: Place) -> bool:
        """Whether there is something inside that a path means."""
        try:
            return self.resolve(path, base).path.exists()
        except (EngineError, OSError):
            return False

    def read_lines(self, path: str, base: Place) -> list[str]:
        """The lines of a text file, without their ends.

        Raises:
            EngineError: `INVALID_ARGUMENT`: it is outside, not there, no file, too large, or no text.
        """
        data = self.read_bytes(self.resolve(path, base), path)
        reason = binary_reason(data)
        if reason:
            _refuse(f"{path}: {reason}", path=path)
        return lines_of(data)

    def read_bytes(self, place: Place, path: str) -> bytes:
        """What is in the file at a place; `path` is what it is called in an error.

        Goes from the root through every folder by itself and follows no link, so that nobody who puts one
        there after `resolve` leads it out. Never waits for the other end of a pipe.

        Raises:
            EngineError: `INVALID_ARGUMENT`: it is not there, no file, or too large.
        """
        try:
            descriptor = _open_below(place)
        except FileNotFoundError:
            _refuse(f"{path}: there is no such file; look for it by its name", path=path)
        except IsADirectoryError:
            _refuse(f"{path}: this is a folder; name a file in it", path=path)
        except _NotAFileError:
            _refuse(f"{path}: this is a pipe, a socket or a device; only files can be read", path=path)
        except OSError as error:
            _refuse(f"{path}: this cannot be read: {error.strerror}; choose another file", path=path)
        with os.fdopen(descriptor, "rb") as file:
            data = file.read(self.largest_bytes + 1)
        if len(data) > self.largest_bytes:
            _refuse(
                f"{path}: this is larger than {self.largest_bytes:,} bytes; choose another file",
                path=path,
            )
        return data


class _NotAFileError(Exception):
    """A pipe, a socket or a device."""


def _open_below(place: Place) -> int:
    """A descriptor of the file at a place, opened name by name from its root.

    Raises:
        OSError: it is not there, or not as it was when it was resolved.
        _NotAFileError: reading it might wait, or do something.
    """
    *folders, name = place.path.relative_to(place.root).parts or (".",)
    parent = os.open(place.root, _READ | os.O_DIRECTORY)
    try:
        for folder in folders:
            child = os.open(folder, _READ | os.O_DIRECTORY, dir_fd=parent)
            os.close(parent)
            parent = child
        _check_file(
            os.stat(name, dir_fd=parent, follow_symlinks=False)
        )  # to open a device may do something
        descriptor = os.open(name, _READ | os.O_NONBLOCK | os.O_NOCTTY, dir_fd=parent)
    finally:
        os.close(parent)
    try:
        _check_file(os.fstat(descriptor))
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _check_file(status: os.stat_result) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError
    if stat.S_ISLNK(status.st_mode):
        raise OSError(0, "it has become a link while it was opened")
    if not stat.S_ISREG(status.st_mode):
        raise _NotAFileError


def _refuse(reason: str, **details: str) -> NoReturn:
    raise EngineError(ErrorCode.INVALID_ARGUMENT, reason, **details)

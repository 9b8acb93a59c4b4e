"""The lock that makes one process the owner of a file."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from actors.errors import EngineError, ErrorCode

__all__ = ["OwnerLock"]


class OwnerLock:
    """Held from `acquire` to `release`, and dropped by the kernel if the process dies.

    It is an advisory `flock` on a side file, not on the file itself: SQLite holds POSIX locks there, and
    a process loses all of those as soon as it closes any descriptor of its own on the file (sqlite.org,
    "How To Corrupt An SQLite Database File", 2.2). Nor is it one of SQLite's locks: those that keep out
    writers for a lifetime keep out readers as well. The side file names the owner for people.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._descriptor = descriptor

    @classmethod
    def acquire(cls, owned: Path) -> OwnerLock:
        """Own `owned`, without waiting.

        Raises:
            EngineError: `PERSISTENCE_FAILED`, somebody owns it, in this process or in another.
            OSError: the side file cannot be made.
        """
        path = owned.with_name(owned.name + "-lock")
        while True:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if _is_still(path, descriptor):
                    os.ftruncate(descriptor, 0)
                    os.write(descriptor, str(os.getpid()).encode())
                    return cls(path, descriptor)
            except BlockingIOError:
                owner = os.read(descriptor, 32).decode(errors="replace") or "unknown"
                os.close(descriptor)
                raise EngineError(
                    ErrorCode.PERSISTENCE_FAILED,
                    f"{owned}: open for writing in process {owner}; stop that process or use another path",
                    path=str(owned),
                ) from None
            except BaseException:
                os.close(descriptor)
                raise
            # The owner left and took the side file along between our open and our lock: what we locked
            # is no longer what the next one will find under this name.
            os.close(descriptor)

    def release(self) -> None:
        """Stop owning; the side file goes first, while nobody else can hold it. Once only."""
        try:
            self._path.unlink(missing_ok=True)
        finally:
            os.close(self._descriptor)


def _is_still(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False

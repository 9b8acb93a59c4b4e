"""A chat file that is open, and what became of it."""

from __future__ import annotations

from pathlib import Path

from actors.errors import ErrorCode, ErrorInfo
from actors.records import FileStatus
from actors.stores.atomic_file import Stamp
from actors.stores.kept_session import KeptSession

__all__ = ["OpenChat"]


class OpenChat:
    """The session is as the file had it when the store saw it last, which was at `stamp`.

    `attempted` is the digest of what was to be written last: a write that failed may be in the file
    nevertheless. `links` are inodes that the file had while it had other names too.
    """

    __slots__ = ("attempted", "conflict_copy", "links", "path", "session", "stamp", "status")

    def __init__(self, path: Path, session: KeptSession, stamp: Stamp) -> None:
        self.path = path
        self.session = session
        self.stamp = stamp
        self.attempted = stamp.digest
        self.links: set[tuple[int, int]] = set()
        self.conflict_copy: Path | None = None
        self.status = FileStatus.SAVED

    def explain(self, reason: str, **details: str) -> ErrorInfo:
        """The verdict on a write that the file's status forbids."""
        return ErrorInfo(
            ErrorCode.CONFLICT,
            f"{self.path}: {reason}",
            {
                "session_id": self.session.session_id,
                "path": str(self.path),
                "file_status": self.status,
                **details,
            },
        )

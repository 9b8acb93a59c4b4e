"""A chat file that is open, and what became of it."""

from __future__ import annotations

from pathlib import Path

from actors.errors import ErrorCode, ErrorInfo
from actors.records import FileStatus, SessionSummary
from actors.stores.atomic_file import Stamp
from actors.stores.kept_session import KeptSession

__all__ = ["OpenChat"]


class OpenChat:
    """The session is as the file had it when the store saw it last, which was at `stamp`.

    One that was unloaded in order is in the file alone: `session` is None until somebody loads it, so that
    the memory of a store is that of the sessions in use.

    `attempted` is the digest of what was to be written last: a write that failed may be in the file
    nevertheless. `links` are inodes that the file had while it had other names too.
    """

    __slots__ = (
        "_summary",
        "attempted",
        "conflict_copy",
        "head",
        "links",
        "path",
        "session",
        "session_id",
        "stamp",
        "status",
    )

    def __init__(self, path: Path, session: KeptSession, stamp: Stamp) -> None:
        self.path = path
        self.session_id = session.session_id
        self.stamp = stamp
        self._summary: SessionSummary | None = None
        self.keep(session)
        self.attempted = stamp.digest
        self.links: set[tuple[int, int]] = set()
        self.conflict_copy: Path | None = None
        self.status = FileStatus.SAVED

    def keep(self, session: KeptSession) -> None:
        """The file has this now."""
        self.session: KeptSession | None = None if session.at_rest else session
        self.head = session.head
        self._summary = session.summary() if session.at_rest else None

    def hold(self, session: KeptSession) -> None:
        """The same, of a session that is in use."""
        self.session = session
        self.head = session.head

    def summary(self) -> SessionSummary:
        if self.session is not None:
            return self.session.summary()
        assert self._summary is not None
        return self._summary

    def explain(self, reason: str, **details: str) -> ErrorInfo:
        """The verdict on a write that the file's status forbids."""
        return ErrorInfo(
            ErrorCode.CONFLICT,
            f"{self.path}: {reason}",
            {
                "session_id": self.session_id,
                "path": str(self.path),
                "file_status": self.status,
                **details,
            },
        )

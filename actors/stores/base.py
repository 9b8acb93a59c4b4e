"""The contracts of stores. `tests/actors/stores/` holds the suite that each one passes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from actors.errors import ErrorInfo
from actors.records import FileStatus, RunRecord, SessionRecord, SessionSummary, SessionWrite, StoredSession

__all__ = ["ChatFiles", "Sessions", "Store"]


class Sessions(Protocol):
    """Keeps sessions. Synchronous; used by one thread at a time, not always the same one.

    Every method raises `EngineError` with `PERSISTENCE_FAILED` when the medium fails, and then nothing of
    the call has taken effect.
    """

    @property
    def blocking(self) -> bool:
        """Whether calls may wait for a disk and so must not run on the scheduler's thread."""
        ...

    def commit(self, writes: Sequence[SessionWrite]) -> tuple[ErrorInfo | None, ...]:
        """Apply `writes` in order, in one atomic and durable transaction; one verdict for each.

        `None`: stored, or stored before (its revision is not above the session's). A write with epoch 1
        and revision 1 whose first op puts the record creates the session. Refused, without harm to the
        others: `CONFLICT` for an epoch that is not the session's current one or a revision that leaves a
        gap, `SESSION_NOT_FOUND` for an unknown session, `SESSION_INVALID` for text that is appended to a
        message that is missing or final, or that is not Unicode; `PERSISTENCE_FAILED` if this session's
        own medium failed, which a retry may mend; `CONFLICT` with a `file_status` if somebody else moved,
        removed or changed its file. The epoch is judged before the revision:
        a former owner is never told that a write of its own was kept when its successor used the number.
        """
        ...

    def load(self, session_id: str) -> StoredSession:
        """Claim a session: its epoch is raised durably and returned, older epochs can no longer write.

        Raises:
            EngineError: `SESSION_NOT_FOUND`; `CONFLICT` with a `file_status` if its file is not where it
                was; `SESSION_INVALID` if somebody else has broken that.
        """
        ...

    def read(self, session_id: str) -> StoredSession:
        """A session as it is stored now, without claiming it. Raises as `load` does."""
        ...

    def delete(self, session_id: str) -> None:
        """Remove a session, durably. Until the store is closed, no write of any epoch brings it back:
        the verdict on a late one is `SESSION_NOT_FOUND`.

        Raises:
            EngineError: `SESSION_NOT_FOUND`, also for one that was deleted before.
        """
        ...

    def list_sessions(self) -> tuple[SessionSummary, ...]:
        """All sessions, the oldest first. Reads no message texts."""
        ...

    def close(self) -> None:
        """Release the medium. Idempotent; other calls after it are errors of the caller."""
        ...


class Store(Sessions, Protocol):
    """Keeps sessions, and what belongs to none: the runs."""

    def put_run(self, run: RunRecord) -> None:
        """Remember a run, durably, as the newest."""
        ...

    def latest_run(self) -> RunRecord | None:
        """The run that was put last."""
        ...


class ChatFiles(Protocol):
    """Sessions that live in files of their users. Synchronous, as `Sessions` is.

    Every method raises `EngineError`: `INVALID_ARGUMENT` for a path that is no chat file's or outside the
    project folders, and then nothing was written; `PERSISTENCE_FAILED` when the medium fails.
    """

    def create(self, directory: str, record: SessionRecord, *, new_task: bool = False) -> str:
        """Make a chat file with this session in it, durably, and keep it open; its canonical path.

        The file gets the next free number in `directory`, or with `new_task` in a new folder there. The
        session is at epoch 1 and revision 0.
        """
        ...

    def open(self, path: str) -> str:
        """Keep a chat file open; the id of its session. Twice is once, by whatever links.

        A session whose file was moved is found again by opening its new path.

        Raises:
            EngineError: `SESSION_NOT_FOUND` if there is no file, `SESSION_INVALID` if it is no chat (its
                bytes stay as they are), `CONFLICT` if it is a copy of one that is open.
        """
        ...

    def file_status(self, session_id: str) -> FileStatus:
        """How the session's file was at its last write.

        Raises:
            EngineError: `SESSION_NOT_FOUND` for a session without an open file.
        """
        ...

    def fork(self, path: str) -> str:
        """Make the copy of a chat file a session of its own, durably, and keep it open; the new id.

        Raises:
            EngineError: as `open` does; `INVALID_ARGUMENT` for a file that is open itself, not its copy.
        """
        ...

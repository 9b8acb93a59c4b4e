"""The contract of every store. `tests/actors/stores/` holds the suite that each one passes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from actors.errors import ErrorInfo
from actors.records import RunRecord, SessionSummary, SessionWrite, StoredSession

__all__ = ["Store"]


class Store(Protocol):
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
        message that is missing or final, or that is not Unicode. The epoch is judged before the revision:
        a former owner is never told that a write of its own was kept when its successor used the number.
        """
        ...

    def load(self, session_id: str) -> StoredSession:
        """Claim a session: its epoch is raised durably and returned, older epochs can no longer write.

        Raises:
            EngineError: `SESSION_NOT_FOUND`.
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

    def put_run(self, run: RunRecord) -> None:
        """Remember a run, durably, as the newest."""
        ...

    def latest_run(self) -> RunRecord | None:
        """The run that was put last."""
        ...

    def close(self) -> None:
        """Release the medium. Idempotent; other calls after it are errors of the caller."""
        ...

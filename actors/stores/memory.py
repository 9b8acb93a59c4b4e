"""A store that forgets: for tests, and for sessions that nobody wants to keep."""

from __future__ import annotations

from collections.abc import Sequence

from actors.errors import ErrorInfo
from actors.records import PutSession, RunRecord, SessionSummary, SessionWrite, StoredSession
from actors.stores.kept_session import KeptSession
from actors.stores.tombstones import Tombstones
from actors.stores.verdict import Head, judge, no_such_session, refuse_deleted

__all__ = ["MemoryStore"]


class MemoryStore:
    """Keeps sessions for the life of the process.

    Calls do not block, so they may run on the scheduler's thread. What goes in and what comes out shares
    nothing mutable with the store.
    """

    def __init__(self) -> None:
        self._sessions: dict[str, KeptSession] = {}
        self._deleted = Tombstones()
        self._latest_run: RunRecord | None = None

    @property
    def blocking(self) -> bool:
        return False

    def commit(self, writes: Sequence[SessionWrite]) -> tuple[ErrorInfo | None, ...]:
        return tuple(self._apply(write) for write in writes)

    def _apply(self, write: SessionWrite) -> ErrorInfo | None:
        if write.session_id in self._deleted:
            return refuse_deleted(write)
        session = self._sessions.get(write.session_id)
        if session is not None:
            return session.take(write)
        verdict = judge(write, None, lambda _: False)
        if isinstance(verdict, ErrorInfo):
            return verdict
        creation = write.ops[0]
        assert isinstance(creation, PutSession)
        session = KeptSession(creation.record, (), Head(epoch=1, revision=0))
        self._sessions[write.session_id] = session
        return session.take(write)

    def load(self, session_id: str) -> StoredSession:
        session = self._find(session_id)
        session.head = Head(session.head.epoch + 1, session.head.revision)
        return session.stored()

    def read(self, session_id: str) -> StoredSession:
        return self._find(session_id).stored()

    def delete(self, session_id: str) -> None:
        self._find(session_id)
        del self._sessions[session_id]
        self._deleted.add(session_id)

    def _find(self, session_id: str) -> KeptSession:
        session = self._sessions.get(session_id)
        if session is None:
            raise no_such_session(session_id)
        return session

    def list_sessions(self) -> tuple[SessionSummary, ...]:
        summaries = [session.summary() for session in self._sessions.values()]
        summaries.sort(key=lambda summary: summary.created_at)
        return tuple(summaries)

    def put_run(self, run: RunRecord) -> None:
        self._latest_run = run

    def latest_run(self) -> RunRecord | None:
        return self._latest_run

    def close(self) -> None:
        pass

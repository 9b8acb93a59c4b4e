"""Stores that make trouble, behind the `Store` protocol: they fail, or take as long as the test says."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from actors.errors import EngineError, ErrorCode, ErrorInfo
from actors.records import RunRecord, SessionSummary, SessionWrite, StoredSession
from actors.stores import MemoryStore

__all__ = ["FailingFiles", "FailingStore", "GatedStore"]


class FailingStore(MemoryStore):
    """Its commits raise what `failure` makes, while it is set."""

    def __init__(self) -> None:
        super().__init__()
        self.failure: Callable[[], BaseException] | None = None
        self.attempts = 0
        self.closed = False

    def fill_disk(self) -> None:
        self.failure = lambda: EngineError(ErrorCode.PERSISTENCE_FAILED, "disk full")

    def repair(self) -> None:
        self.failure = None

    def commit(self, writes: Sequence[SessionWrite]) -> tuple[ErrorInfo | None, ...]:
        self.attempts += 1
        if self.failure is not None:
            raise self.failure()
        return super().commit(writes)

    def close(self) -> None:
        self.closed = True


class FailingFiles(MemoryStore):
    """Its sessions live on media of their own; those of the `failing` ones take no write."""

    def __init__(self) -> None:
        super().__init__()
        self.failing: set[str] = set()

    def commit(self, writes: Sequence[SessionWrite]) -> tuple[ErrorInfo | None, ...]:
        return tuple(
            ErrorInfo(ErrorCode.PERSISTENCE_FAILED, "disk full")
            if write.session_id in self.failing
            else super(FailingFiles, self).commit([write])[0]
            for write in writes
        )


class GatedStore:
    """Works in a thread, as a disk does, and commits only while its gate is open."""

    def __init__(self) -> None:
        self._store = MemoryStore()
        self.commits = 0
        self._gate = threading.Event()
        self._gate.set()

    def hold(self) -> None:
        self._gate.clear()

    def let_go(self) -> None:
        self._gate.set()

    @property
    def blocking(self) -> bool:
        return True

    def commit(self, writes: Sequence[SessionWrite]) -> tuple[ErrorInfo | None, ...]:
        self._gate.wait()
        self.commits += 1
        return self._store.commit(writes)

    def load(self, session_id: str) -> StoredSession:
        self._gate.wait()
        return self._store.load(session_id)

    def read(self, session_id: str) -> StoredSession:
        return self._store.read(session_id)

    def delete(self, session_id: str) -> None:
        self._gate.wait()
        self._store.delete(session_id)

    def list_sessions(self) -> tuple[SessionSummary, ...]:
        return self._store.list_sessions()

    def put_run(self, run: RunRecord) -> None:
        self._store.put_run(run)

    def latest_run(self) -> RunRecord | None:
        return self._store.latest_run()

    def close(self) -> None:
        self._store.close()

"""Two stores as one: chat files for the sessions that have one, a main store for all others."""

from __future__ import annotations

from collections.abc import Sequence

from actors.errors import EngineError, ErrorInfo
from actors.records import FileStatus, RunRecord, SessionRecord, SessionSummary, SessionWrite, StoredSession
from actors.stores.base import Sessions, Store
from actors.stores.chat_file import ChatFileStore

__all__ = ["FileFirstStore"]


class FileFirstStore:
    """Keeps the rules of `Store` and `ChatFiles`.

    A session belongs to the store that it was created in or opened from. When one of the two fails, the
    writes of the other are stored nevertheless: those that are not have `PERSISTENCE_FAILED` for a verdict.
    """

    def __init__(self, main: Store, files: ChatFileStore) -> None:
        self._main = main
        self._files = files

    @property
    def blocking(self) -> bool:
        return self._main.blocking or self._files.blocking

    def commit(self, writes: Sequence[SessionWrite]) -> tuple[ErrorInfo | None, ...]:
        of_files = [write for write in writes if self._files.holds(write.session_id)]
        if not of_files:
            return self._main.commit(writes)
        of_main = [write for write in writes if not self._files.holds(write.session_id)]
        main_verdicts = iter(self._commit_to_main(of_main))
        file_verdicts = iter(self._files.commit(of_files))
        return tuple(
            next(file_verdicts if self._files.holds(write.session_id) else main_verdicts)
            for write in writes
        )

    def _commit_to_main(self, writes: list[SessionWrite]) -> tuple[ErrorInfo | None, ...]:
        if not writes:
            return ()
        try:
            return self._main.commit(writes)
        except EngineError as error:
            return (error.info,) * len(writes)

    def load(self, session_id: str) -> StoredSession:
        return self._home(session_id).load(session_id)

    def read(self, session_id: str) -> StoredSession:
        return self._home(session_id).read(session_id)

    def delete(self, session_id: str) -> None:
        self._home(session_id).delete(session_id)

    def _home(self, session_id: str) -> Sessions:
        return self._files if self._files.holds(session_id) else self._main

    def list_sessions(self) -> tuple[SessionSummary, ...]:
        summaries = [*self._main.list_sessions(), *self._files.list_sessions()]
        summaries.sort(key=lambda summary: summary.created_at)
        return tuple(summaries)

    def put_run(self, run: RunRecord) -> None:
        self._main.put_run(run)

    def latest_run(self) -> RunRecord | None:
        return self._main.latest_run()

    def create(self, directory: str, record: SessionRecord, *, new_task: bool = False) -> str:
        return self._files.create(directory, record, new_task=new_task)

    def open(self, path: str) -> str:
        return self._files.open(path)

    def file_status(self, session_id: str) -> FileStatus:
        return self._files.file_status(session_id)

    def fork(self, path: str) -> str:
        return self._files.fork(path)

    def close(self) -> None:
        try:
            self._files.close()
        finally:
            self._main.close()

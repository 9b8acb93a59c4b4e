"""The embedded default store: one SQLite file, one owner, any number of readers."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Literal

import msgspec

from actors.conversation import Message
from actors.errors import EngineError, ErrorCode, ErrorInfo
from actors.records import (
    RunRecord,
    SessionRecord,
    SessionStatus,
    SessionSummary,
    SessionWrite,
    StoredSession,
)
from actors.stores.kept_session import with_text
from actors.stores.owner_lock import OwnerLock
from actors.stores.sqlite_commit import SqliteCommit, utc_text
from actors.stores.sqlite_errors import medium_errors
from actors.stores.sqlite_file import open_for_reading, open_for_writing
from actors.stores.sqlite_log import decode_message, trim_log
from actors.stores.tombstones import Tombstones
from actors.stores.verdict import no_such_session, refuse_deleted

__all__ = ["SqliteStore"]

_record_decoder = msgspec.json.Decoder(SessionRecord)


class SqliteStore:
    """Keeps sessions in a SQLite file. A commit that has returned survives `kill -9` and power loss.

    One process owns the file for writing, from `open` to `close`; any number of others may read it
    meanwhile, and neither waits for the other. Should two owners come to be nevertheless (a file system
    without locks), the epochs still keep a session's history whole.

    Calls block, for a disk write in `commit`, `load` and `put_run`. Use it from one thread at a time, any
    thread. Not across `fork`.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection, lock: OwnerLock | None) -> None:
        self._path = path
        self._connection = connection
        self._lock = lock  # None: opened for reading
        self._deleted = Tombstones()

    @classmethod
    def open(cls, path: Path, *, read_only: bool = False, create: bool = True) -> SqliteStore:
        """Open the store at `path`, as its owner unless `read_only`.

        A missing file is made if `create` says so, for an owner only. An open that is refused leaves the
        folder as it was. One for reading adds -wal and -shm files while it lasts, where it may write; the
        last to leave removes them.

        Raises:
            EngineError: `INVALID_ARGUMENT` for a path that cannot hold a store as things are: no folder,
                no permission, a folder, a foreign file, a newer format, nothing to read.
                `PERSISTENCE_FAILED` for a store that somebody else owns or has locked, and when the
                medium fails. The message says what to do.
        """
        path = _resolved(path)
        if read_only:
            return cls(path, open_for_reading(path), None)
        return cls(path, *open_for_writing(path, create=create))

    @property
    def blocking(self) -> bool:
        return True

    def commit(self, writes: Sequence[SessionWrite]) -> tuple[ErrorInfo | None, ...]:
        with self._writing():
            commit = SqliteCommit(self._connection, writes)
            verdicts = tuple(
                refuse_deleted(write) if write.session_id in self._deleted else commit.apply(write)
                for write in writes
            )
            commit.finish()
        return verdicts

    def load(self, session_id: str) -> StoredSession:
        with self._writing():
            self._connection.execute(
                """
                UPDATE heads SET epoch = epoch + 1
                WHERE session = (SELECT number FROM sessions WHERE session_id = ?)
                """,
                (session_id,),
            )
            return self._stored(session_id)

    def read(self, session_id: str) -> StoredSession:
        with self._transaction("DEFERRED"):
            return self._stored(session_id)

    def delete(self, session_id: str) -> None:
        with self._writing():
            number: tuple[int] | None = self._connection.execute(
                "SELECT number FROM sessions WHERE session_id = ?", (session_id,)
            ).fetchone()
            if number is None:
                raise no_such_session(session_id)
            self._connection.execute("DELETE FROM messages WHERE session = ?", number)
            self._connection.execute("DELETE FROM heads WHERE session = ?", number)
            self._connection.execute("DELETE FROM sessions WHERE number = ?", number)
            trim_log(self._connection)
        self._deleted.add(session_id)

    def list_sessions(self) -> tuple[SessionSummary, ...]:
        with medium_errors(self._path):
            rows = self._connection.execute(
                """
                SELECT session_id, title, model, status, turns, messages, created_at, updated_at,
                    owner_id, project_id
                FROM sessions ORDER BY created_at, number
                """
            ).fetchall()
        return tuple(
            SessionSummary(
                session_id=session_id,
                title=title,
                model=model,
                status=SessionStatus(status),
                turns=turns,
                messages=messages,
                created_at=datetime.fromisoformat(created_at),
                updated_at=datetime.fromisoformat(updated_at),
                owner_id=owner_id,
                project_id=project_id,
            )
            for (
                session_id,
                title,
                model,
                status,
                turns,
                messages,
                created_at,
                updated_at,
                owner_id,
                project_id,
            ) in rows
        )

    def put_run(self, run: RunRecord) -> None:
        with self._writing():
            self._connection.execute(
                "DELETE FROM run_sessions WHERE run IN (SELECT number FROM runs WHERE run_id = ?)",
                (run.run_id,),
            )
            self._connection.execute("DELETE FROM runs WHERE run_id = ?", (run.run_id,))
            number = self._connection.execute(
                "INSERT INTO runs (run_id, prompts_digest, model, created_at) VALUES (?, ?, ?, ?)",
                (run.run_id, run.prompts_digest, run.model, utc_text(run.created_at)),
            ).lastrowid
            self._connection.executemany(
                "INSERT INTO run_sessions (run, record, session_id) VALUES (?, ?, ?)",
                [(number, record, session_id) for record, session_id in enumerate(run.session_ids)],
            )

    def latest_run(self) -> RunRecord | None:
        with self._transaction("DEFERRED"):
            run: tuple[int, str, str, str, str] | None = self._connection.execute(
                """
                SELECT number, run_id, prompts_digest, model, created_at
                FROM runs ORDER BY number DESC LIMIT 1
                """
            ).fetchone()
            if run is None:
                return None
            number, run_id, prompts_digest, model, created_at = run
            session_ids = self._connection.execute(
                "SELECT session_id FROM run_sessions WHERE run = ? ORDER BY record", (number,)
            ).fetchall()
        return RunRecord(
            run_id=run_id,
            prompts_digest=prompts_digest,
            model=model,
            created_at=datetime.fromisoformat(created_at),
            session_ids=tuple(session_id for (session_id,) in session_ids),
        )

    def close(self) -> None:
        # The connection goes first: as the last one it moves the -wal file into the main file, and until
        # that is done nobody else may own it.
        with medium_errors(self._path):
            try:
                self._connection.close()
            finally:
                if self._lock is not None:
                    self._lock.release()
                    self._lock = None

    @contextmanager
    def _writing(self) -> Generator[None]:
        if self._lock is None:
            raise EngineError(
                ErrorCode.INVALID_ARGUMENT, f"{self._path} is open for reading only", path=str(self._path)
            )
        with self._transaction("IMMEDIATE"):
            yield

    @contextmanager
    def _transaction(self, kind: Literal["DEFERRED", "IMMEDIATE"]) -> Generator[None]:
        with medium_errors(self._path):
            self._connection.execute(f"BEGIN {kind}")
            try:
                yield
                self._connection.execute("COMMIT")
            finally:
                # Some errors of SQLite end the transaction by themselves.
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")

    def _stored(self, session_id: str) -> StoredSession:
        found: tuple[int, str, int, int] | None = self._connection.execute(
            """
            SELECT number, record, epoch, revision
            FROM sessions JOIN heads ON heads.session = sessions.number WHERE session_id = ?
            """,
            (session_id,),
        ).fetchone()
        if found is None:
            raise no_such_session(session_id)
        number, record, epoch, revision = found
        try:
            return StoredSession(
                record=_record_decoder.decode(record),
                messages=self._messages(number),
                epoch=epoch,
                revision=revision,
            )
        except msgspec.DecodeError as error:
            raise EngineError(
                ErrorCode.PERSISTENCE_FAILED,
                f"{self._path}: session {session_id} is damaged: {error}; restore a copy of the file",
                session_id=session_id,
            ) from error

    def _messages(self, session: int) -> tuple[Message, ...]:
        rows: list[tuple[int, int | None, str]] = self._connection.execute(
            "SELECT sequence, log_start, body FROM messages WHERE session = ? ORDER BY sequence", (session,)
        ).fetchall()
        return tuple(self._message(sequence, log_start, body) for sequence, log_start, body in rows)

    def _message(self, sequence: int, log_start: int | None, body: str) -> Message:
        message = decode_message(body)
        if log_start is None:
            return message
        pieces = self._connection.execute(
            "SELECT text, thought FROM appended WHERE position >= ? AND message = ? ORDER BY position",
            (log_start, sequence),
        ).fetchall()
        return with_text(message, pieces)


def _resolved(path: Path) -> Path:
    """The path itself: a store has one lock, by whatever links it is reached."""
    try:
        return path.resolve()
    except (OSError, RuntimeError) as error:  # RuntimeError: links that lead in a circle
        raise EngineError(
            ErrorCode.INVALID_ARGUMENT, f"{path}: {error}; choose another path", path=str(path)
        ) from None

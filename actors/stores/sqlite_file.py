"""The file of a SQLite store: how it is recognised, made, owned and opened."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import NoReturn

from actors.errors import EngineError, ErrorCode
from actors.stores.owner_lock import OwnerLock
from actors.stores.sqlite_errors import medium_errors
from actors.stores.sqlite_schema import APPLICATION_ID, FORMAT, migrate

__all__ = ["BUSY_TIMEOUT_SECONDS", "open_for_reading", "open_for_writing"]

BUSY_TIMEOUT_SECONDS = 1.0
"""How long a call waits for a lock of SQLite's. Owner and readers never wait for each other; a foreign
program that has the file open may be worth a moment."""


def open_for_writing(path: Path, *, create: bool) -> tuple[sqlite3.Connection, OwnerLock]:
    """Own and open the store at `path`, an absolute path without symlinks. Makes it if `create` says so.

    Raises:
        EngineError: as `SqliteStore.open` says; then the folder is as it was.
    """
    exists = _check_place(path)
    if not exists and not create:
        _refuse(path, "there is no such file")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        _refuse(path, "its folder may not be written; change the permissions or choose another path")
    if exists:
        if not os.access(path, os.R_OK | os.W_OK):
            _refuse(path, "the file may not be written; change its permissions or open it for reading")
        if path.stat().st_size:  # an empty file is SQLite's own idea of a new database
            _check_main_file(path)
    with medium_errors(path):
        lock = OwnerLock.acquire(path)
        try:
            connection = _connect(path, "mode=rwc")
            try:
                _prepare_for_writing(connection, path)
            except BaseException:
                connection.close()
                if not exists:
                    path.unlink(missing_ok=True)
                raise
        except BaseException:
            lock.release()
            raise
    return connection, lock


def open_for_reading(path: Path) -> sqlite3.Connection:
    """Open the store at `path` beside its owner, if it has one. Raises as `open_for_writing` does."""
    if not _check_place(path):
        _refuse(path, "there is no such file")
    if not os.access(path, os.R_OK):
        _refuse(path, "the file may not be read; change its permissions")
    _check_main_file(path)
    with medium_errors(path):
        connection = _connect(path, _reading_mode(path))
        try:
            connection.execute("PRAGMA query_only = ON")
            _check_header(connection, path)
        except BaseException:
            connection.close()
            raise
    return connection


def _reading_mode(path: Path) -> str:
    """How SQLite is to open the file, so that reading leaves nothing behind.

    Readers of a WAL database share its -shm file, and only a connection that may write removes -wal and
    -shm when it is the last to leave; hence "rw" with `query_only` wherever we may. In a folder that we
    may not write those files cannot be made. Without a -wal file no process has the database open, and
    `immutable` reads the main file alone; that stays true as long as nobody with more rights than ours
    starts to write while we read. With a -wal file the main file alone would lack what was committed
    last, so the reader joins the files that are there, or fails.
    """
    if os.access(path, os.W_OK) and os.access(path.parent, os.W_OK | os.X_OK):
        return "mode=rw"
    if path.with_name(path.name + "-wal").exists():
        return "mode=ro"
    return "mode=ro&immutable=1"


def _check_place(path: Path) -> bool:
    """Refuse what can never be a store; else, whether there is a file."""
    try:
        return _is_there(path)
    except OSError as error:  # a name that is too long, a folder that may not be entered
        _refuse(path, f"{error.strerror or error}; choose another path")


def _is_there(path: Path) -> bool:
    if not path.parent.is_dir():
        _refuse(path, f"there is no folder {path.parent}; create it or choose another path")
    if path.is_dir():
        _refuse(path, "this is a folder; name a file in it")
    if path.exists() and not path.is_file():
        _refuse(path, "this is not a regular file; choose another path")
    return path.exists()


def _check_main_file(path: Path) -> None:
    """Refuse a foreign file without touching it or anything beside it.

    `immutable` keeps SQLite from taking locks, from recovering a foreign -wal or -journal and from
    tidying up at the end. The file is not read with `open`, because closing it would drop the locks
    that a connection of this process may hold on it (see `OwnerLock`).
    """
    with medium_errors(path):
        connection = _connect(path, "mode=ro&immutable=1")
        try:
            _check_header(connection, path)
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_NOTADB:
                _refuse(path, "this is not a SQLite file; choose another path")
            # Between the pages of a checkpoint the main file looks damaged to those who ignore the -wal.
            if error.sqlite_errorcode != sqlite3.SQLITE_CORRUPT:
                raise
        finally:
            connection.close()


def _check_header(connection: sqlite3.Connection, path: Path) -> None:
    (application_id,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if application_id != APPLICATION_ID:
        _refuse(path, "this file does not belong to Greenroom; choose another path")
    if version > FORMAT:
        _refuse(
            path,
            f"a newer Greenroom wrote this file (format {version}, this one knows {FORMAT}); "
            "upgrade Greenroom or choose another path",
        )


def _prepare_for_writing(connection: sqlite3.Connection, path: Path) -> None:
    # The log of streamed text has no index on its messages, so that adding to it stays cheap; to enforce
    # its foreign key, SQLite would read all of it for every message that is deleted.
    connection.execute("PRAGMA foreign_keys = OFF")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA fullfsync = ON")  # on macOS a plain fsync stops at the drive's cache
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    if pages:
        _check_header(connection, path)
    # The tables are made in the rollback journal that a new database has, and only then WAL is switched
    # on, so that the main file says from its first page on whose it is, -wal or not.
    connection.execute("BEGIN IMMEDIATE")
    migrate(connection)
    connection.execute("COMMIT")
    connection.execute("PRAGMA journal_mode = WAL")


def _connect(path: Path, query: str) -> sqlite3.Connection:
    return sqlite3.connect(
        f"{path.as_uri()}?{query}",
        uri=True,
        timeout=BUSY_TIMEOUT_SECONDS,
        isolation_level=None,  # transactions begin and end where the code says so
        check_same_thread=False,  # the contract: one thread at a time, not always the same one
    )


def _refuse(path: Path, reason: str) -> NoReturn:
    raise EngineError(ErrorCode.INVALID_ARGUMENT, f"{path}: {reason}", path=str(path)) from None

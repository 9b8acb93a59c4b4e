"""The edge at which errors of SQLite and the operating system become the engine's."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from actors.errors import EngineError, ErrorCode

__all__ = ["medium_errors"]

_WHAT_TO_DO = {
    sqlite3.SQLITE_FULL: "the disk is full; free some space",
    sqlite3.SQLITE_READONLY: "the file or its folder may not be written; check the permissions",
    sqlite3.SQLITE_IOERR: "the disk reported an error; check its space and its health",
    sqlite3.SQLITE_BUSY: "another program keeps the file locked; close that program",
    sqlite3.SQLITE_CORRUPT: "the file is damaged; restore a copy",
    sqlite3.SQLITE_NOTADB: "the file is not a SQLite file any more; restore a copy",
    sqlite3.SQLITE_CANTOPEN: "the file, or the -wal and -shm files beside it, cannot be opened",
}


@contextmanager
def medium_errors(path: Path) -> Generator[None]:
    """Raise what the medium of the store at `path` does wrong as `PERSISTENCE_FAILED`.

    Errors that only a wrong program causes (a broken constraint, a closed connection) pass unchanged.
    """
    try:
        yield
    except (sqlite3.IntegrityError, sqlite3.InterfaceError, sqlite3.ProgrammingError):
        raise
    except sqlite3.Error as error:
        raise EngineError(
            ErrorCode.PERSISTENCE_FAILED, f"{path}: {_explain(error)}", path=str(path), sqlite=_name(error)
        ) from error
    except OSError as error:
        raise EngineError(
            ErrorCode.PERSISTENCE_FAILED, f"{path}: {error.strerror or error}", path=str(path)
        ) from error


def _explain(error: sqlite3.Error) -> str:
    if not _has_code(error):
        return str(error)
    # The low byte is the kind of error, the rest its place.
    what_to_do = _WHAT_TO_DO.get(error.sqlite_errorcode & 0xFF)
    return (
        f"{what_to_do} ({error.sqlite_errorname})" if what_to_do else f"{error} ({error.sqlite_errorname})"
    )


def _name(error: sqlite3.Error) -> str:
    return error.sqlite_errorname if _has_code(error) else type(error).__name__


def _has_code(error: sqlite3.Error) -> bool:
    # Errors that Python's module finds itself, such as a column that is not UTF-8, carry no code.
    return hasattr(error, "sqlite_errorcode")

"""Finds what a user means by SESSION in a store."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

from actors.cli.arguments import DEFAULT_STORE
from actors.errors import EngineError, ErrorCode
from actors.records import StoredSession
from actors.stores import SqliteStore

__all__ = ["reading_store", "resolve_session", "stored_session"]

_CANDIDATES_SHOWN = 5


@contextmanager
def reading_store(path: str) -> Generator[SqliteStore]:
    """The store at `path`, beside its owner if it has one.

    Raises:
        EngineError: as `SqliteStore.open` does; nothing has been made then.
    """
    store = SqliteStore.open(Path(path), read_only=True)
    try:
        yield store
    finally:
        store.close()


def stored_session(path: str, reference: str) -> StoredSession:
    """The session whose id is `reference`, or else the only one whose id begins with it.

    Raises:
        EngineError: `SESSION_NOT_FOUND`, `INVALID_ARGUMENT` for an ambiguous beginning, and the store's.
    """
    with reading_store(path) as store:
        ids = [summary.session_id for summary in store.list_sessions()]
        return store.read(resolve_session(reference, ids, path))


def resolve_session(reference: str, ids: Sequence[str], path: str) -> str:
    """The id among `ids` that is `reference`, or else the only one that begins with it.

    Raises:
        EngineError: `SESSION_NOT_FOUND`, `INVALID_ARGUMENT` for an ambiguous beginning; `path` is named.
    """
    if reference in ids:
        return reference
    candidates = [session_id for session_id in ids if reference and session_id.startswith(reference)]
    match candidates:
        case [session_id]:
            return session_id
        case []:
            option = "" if path == DEFAULT_STORE else f" --store {path}"
            raise EngineError(
                ErrorCode.SESSION_NOT_FOUND,
                f"there is no session {reference!r} in {path}; `greenroom sessions{option}` lists them",
            )
        case _:
            shown = ", ".join(candidates[:_CANDIDATES_SHOWN])
            more = len(candidates) - _CANDIDATES_SHOWN
            raise EngineError(
                ErrorCode.INVALID_ARGUMENT,
                f"{reference!r} is the beginning of {len(candidates)} ids; write more of it: {shown}"
                + (f" and {more} more" if more > 0 else ""),
            )

"""The tables of a SQLite store, and how a file comes to have them."""

from __future__ import annotations

import sqlite3

__all__ = ["APPLICATION_ID", "FORMAT", "migrate"]

APPLICATION_ID = int.from_bytes(b"GrnR", "big")
"""Marks a SQLite file as a store of ours, in its header (`PRAGMA application_id`)."""

_MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        # `record` comes last: a listing reads only what stands before it. `turns` and `messages` are
        # counted when they change, so that it reads no messages either.
        """
        CREATE TABLE sessions (
            number INTEGER PRIMARY KEY,
            session_id TEXT NOT NULL UNIQUE,
            project_id TEXT NOT NULL,
            owner_id TEXT NOT NULL,
            title TEXT NOT NULL,
            model TEXT NOT NULL,
            status TEXT NOT NULL,
            created_at TEXT NOT NULL,
            updated_at TEXT NOT NULL,
            turns INTEGER NOT NULL DEFAULT 0,
            messages INTEGER NOT NULL DEFAULT 0,
            record TEXT NOT NULL
        )
        """,
        # Apart from `sessions` because every write changes it: hundreds of these rows share a page, and
        # a page is what a commit writes.
        """
        CREATE TABLE heads (
            session INTEGER PRIMARY KEY REFERENCES sessions (number),
            epoch INTEGER NOT NULL,
            revision INTEGER NOT NULL
        )
        """,
        # `sequence` is the order of the first put. `log_start` is set while the message takes text: what
        # `appended` holds for it from this position on belongs behind the text in `body`.
        """
        CREATE TABLE messages (
            sequence INTEGER PRIMARY KEY,
            session INTEGER NOT NULL REFERENCES sessions (number),
            message_id TEXT NOT NULL,
            parent_id TEXT,
            role TEXT NOT NULL,
            kind TEXT NOT NULL,
            state TEXT NOT NULL,
            created_at TEXT NOT NULL,
            log_start INTEGER,
            body TEXT NOT NULL,
            UNIQUE (session, message_id)
        )
        """,
        "CREATE INDEX messages_taking_text ON messages (log_start) WHERE log_start IS NOT NULL",
        # A log in commit order, without a further index: rows are added at its end and removed at its
        # beginning, so that a commit writes its last page and nothing else, whoever is streaming.
        """
        CREATE TABLE appended (
            position INTEGER PRIMARY KEY,
            message INTEGER NOT NULL REFERENCES messages (sequence),
            text TEXT NOT NULL,
            thought TEXT NOT NULL
        )
        """,
        """
        CREATE TABLE runs (
            number INTEGER PRIMARY KEY,
            run_id TEXT NOT NULL UNIQUE,
            prompts_digest TEXT NOT NULL,
            model TEXT NOT NULL,
            created_at TEXT NOT NULL
        )
        """,
        """
        CREATE TABLE run_sessions (
            run INTEGER NOT NULL REFERENCES runs (number) ON DELETE CASCADE,
            record INTEGER NOT NULL,
            session_id TEXT NOT NULL,
            PRIMARY KEY (run, record)
        ) WITHOUT ROWID
        """,
    ),
)

FORMAT = len(_MIGRATIONS)
"""The version of the tables that this code reads and writes (`PRAGMA user_version`)."""


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the tables from the file's version to `FORMAT`. Call it inside a transaction."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version == FORMAT:
        return
    for statements in _MIGRATIONS[version:]:
        for statement in statements:
            connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {FORMAT}")

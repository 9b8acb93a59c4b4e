"""The log of streamed text in a SQLite store, and how it is kept short."""

from __future__ import annotations

import sqlite3

import msgspec

from actors.conversation import Message
from actors.stores.kept_session import with_text

__all__ = ["LOG_LIMIT", "decode_message", "limit_log", "trim_log"]

LOG_LIMIT = 50_000
"""How many rows the log of streamed text may span before its older half moves into the messages' rows.

It takes one answer that is never finished, because its session crashed and nobody came back, to keep the
log from being trimmed.
"""

_encoder = msgspec.json.Encoder()
_message_decoder = msgspec.json.Decoder(Message)


def decode_message(body: str) -> Message:
    return _message_decoder.decode(body)


def trim_log(connection: sqlite3.Connection) -> None:
    """Remove the beginning of the log, up to the oldest answer that still grows.

    Removing a finished answer's rows at once would rewrite every page that it shares with others.
    From the front, whole pages fall free, and free pages are not written. A message that comes to have the
    number of a deleted one starts behind all rows that are there, and so finds none of its text.
    """
    connection.execute(
        """
        DELETE FROM appended WHERE position < coalesce(
            (SELECT min(log_start) FROM messages WHERE log_start IS NOT NULL),
            (SELECT 1 + max(position) FROM appended)
        )
        """
    )


def limit_log(connection: sqlite3.Connection) -> None:
    """Move the older half of a log that spans more than `LOG_LIMIT` rows into the messages' rows."""
    first: int
    last: int
    first, last = connection.execute(
        "SELECT (SELECT min(position) FROM appended), (SELECT max(position) FROM appended)"
    ).fetchone()
    if last - first >= LOG_LIMIT:
        _move_into_messages(connection, before=(first + last) // 2)


def _move_into_messages(connection: sqlite3.Connection, before: int) -> None:
    pieces: dict[int, list[tuple[str, str]]] = {}
    for message, text, thought in connection.execute(
        """
        SELECT message, text, thought FROM appended JOIN messages ON sequence = message
        WHERE position < ? AND position >= log_start ORDER BY position
        """,
        (before,),
    ):
        pieces.setdefault(message, []).append((text, thought))
    growing = connection.execute(
        "SELECT sequence, body FROM messages WHERE log_start < ?", (before,)
    ).fetchall()
    connection.executemany(
        "UPDATE messages SET log_start = ?, body = ? WHERE sequence = ?",
        [
            (
                before,
                _encoder.encode(with_text(decode_message(body), pieces.get(sequence, []))).decode(),
                sequence,
            )
            for sequence, body in growing
        ],
    )
    connection.execute("DELETE FROM appended WHERE position < ?", (before,))

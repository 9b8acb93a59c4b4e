"""What one commit does to the tables of a SQLite store."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime

import msgspec

from actors.conversation import Message, Role, Text
from actors.errors import ErrorInfo
from actors.records import AppendText, PutMessage, PutSession, SessionRecord, SessionWrite
from actors.stores.verdict import Head, Verdict, judge, takes_text

__all__ = ["LOG_LIMIT", "SqliteCommit", "decode_message", "grow", "utc_text"]

LOG_LIMIT = 50_000
"""How many rows the log of streamed text may span before its older half moves into the messages' rows.

It takes one answer that is never finished, because its session crashed and nobody came back, to keep the
log from being trimmed.
"""

_encoder = msgspec.json.Encoder()
_message_decoder = msgspec.json.Decoder(Message)


class SqliteCommit:
    """The changes of one transaction; its owner begins and ends the transaction.

    Streamed text is collected, so that a message gets one row in the log however many pieces and writes
    it comes in; `finish` writes those rows. Nothing outlives the transaction: a commit that fails leaves
    no state to repair.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        # Larger than any position that a row has or a message refers to. The log may be empty while a
        # message takes text, so its own largest position is not enough.
        self._log_end: int = connection.execute(
            """
            SELECT 1 + max(
                coalesce((SELECT max(position) FROM appended), 0),
                coalesce((SELECT max(log_start) FROM messages WHERE log_start IS NOT NULL), 0)
            )
            """
        ).fetchone()[0]
        self._appended: dict[int, list[AppendText]] = {}
        self._rows_taking_text: dict[tuple[int, str], int | None] = {}
        self._stopped_taking_text = False

    def apply(self, write: SessionWrite) -> ErrorInfo | None:
        """Apply one write, or say why it is refused, as `Store.commit` does."""
        found: tuple[int, int, int] | None = self._connection.execute(
            """
            SELECT number, epoch, revision FROM sessions JOIN heads ON heads.session = sessions.number
            WHERE session_id = ?
            """,
            (write.session_id,),
        ).fetchone()
        if found is None:
            verdict = judge(write, None, lambda _: False)
        else:
            number, epoch, revision = found
            verdict = judge(
                write,
                Head(epoch, revision),
                lambda message_id: self._taking_text(number, message_id) is not None,
            )
        if isinstance(verdict, ErrorInfo):
            return verdict
        if verdict is Verdict.APPLY:
            self._apply_ops(write, self._create_session(write) if found is None else found[0])
        return None

    def finish(self) -> None:
        """Write what was collected. Call it once, after the last write."""
        self._connection.executemany(
            "INSERT INTO appended (position, message, text, thought) VALUES (?, ?, ?, ?)",
            [
                (
                    position,
                    message,
                    "".join(piece.text for piece in pieces),
                    "".join(piece.thought for piece in pieces),
                )
                for position, (message, pieces) in enumerate(self._appended.items(), self._log_end)
            ],
        )
        if self._stopped_taking_text:
            self._trim_log()
        if self._appended:
            self._limit_log()

    def _create_session(self, write: SessionWrite) -> int:
        creation = write.ops[0]
        assert isinstance(creation, PutSession)
        number = self._connection.execute(
            """
            INSERT INTO sessions
                (session_id, project_id, owner_id, title, model, status, created_at, updated_at, record)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
            """,
            (write.session_id, *_session_columns(creation.record)),
        ).lastrowid
        assert number is not None
        self._connection.execute("INSERT INTO heads (session, epoch, revision) VALUES (?, 1, 0)", (number,))
        return number

    def _apply_ops(self, write: SessionWrite, session: int) -> None:
        new_messages = new_turns = 0
        for op in write.ops:
            match op:
                case PutSession(record=record):
                    self._put_session(session, record)
                case PutMessage(message=message):
                    messages, turns = self._put_message(session, message)
                    new_messages += messages
                    new_turns += turns
                case AppendText(message_id=message_id):
                    message = self._taking_text(session, message_id)
                    assert message is not None  # `judge` asked
                    self._appended.setdefault(message, []).append(op)
        if new_messages or new_turns:
            self._connection.execute(
                "UPDATE sessions SET messages = messages + ?, turns = turns + ? WHERE number = ?",
                (new_messages, new_turns, session),
            )
        self._connection.execute(
            "UPDATE heads SET revision = ? WHERE session = ?", (write.revision, session)
        )

    def _put_session(self, session: int, record: SessionRecord) -> None:
        self._connection.execute(
            """
            UPDATE sessions SET project_id = ?, owner_id = ?, title = ?, model = ?, status = ?,
                created_at = ?, updated_at = ?, record = ?
            WHERE number = ?
            """,
            (*_session_columns(record), session),
        )

    def _put_message(self, session: int, message: Message) -> tuple[int, int]:
        """Insert or replace a message's row; how many messages and turns the session has more."""
        log_start = self._log_end if takes_text(message) else None
        columns = (
            message.parent_id,
            message.role,
            message.content.__struct_config__.tag,
            message.state,
            utc_text(message.created_at),
            log_start,
            _encoder.encode(message).decode(),
        )
        turn = message.role is Role.USER
        self._rows_taking_text.pop((session, message.message_id), None)
        before: tuple[int, str, int | None] | None = self._connection.execute(
            "SELECT sequence, role, log_start FROM messages WHERE session = ? AND message_id = ?",
            (session, message.message_id),
        ).fetchone()
        if before is None:
            self._connection.execute(
                """
                INSERT INTO messages
                    (parent_id, role, kind, state, created_at, log_start, body, session, message_id)
                VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
                """,
                (*columns, session, message.message_id),
            )
            return 1, int(turn)
        sequence, role, previous_log_start = before
        self._appended.pop(sequence, None)
        self._stopped_taking_text |= previous_log_start is not None
        self._connection.execute(
            """
            UPDATE messages SET parent_id = ?, role = ?, kind = ?, state = ?, created_at = ?, log_start = ?,
                body = ?
            WHERE sequence = ?
            """,
            (*columns, sequence),
        )
        return 0, turn - (role == Role.USER)

    def _taking_text(self, session: int, message_id: str) -> int | None:
        """The row of a message that takes text. Remembered, as pieces of one answer come in crowds."""
        key = (session, message_id)
        if key not in self._rows_taking_text:
            found: tuple[int] | None = self._connection.execute(
                """
                SELECT sequence FROM messages
                WHERE session = ? AND message_id = ? AND log_start IS NOT NULL
                """,
                key,
            ).fetchone()
            self._rows_taking_text[key] = found[0] if found else None
        return self._rows_taking_text[key]

    def _trim_log(self) -> None:
        """Remove the beginning of the log, up to the oldest answer that still grows.

        Removing a finished answer's rows at once would rewrite every page that it shares with others.
        From the front, whole pages fall free, and free pages are not written.
        """
        self._connection.execute(
            """
            DELETE FROM appended WHERE position < coalesce(
                (SELECT min(log_start) FROM messages WHERE log_start IS NOT NULL), ?
            )
            """,
            (self._log_end,),
        )

    def _limit_log(self) -> None:
        first: int
        last: int
        first, last = self._connection.execute(
            "SELECT (SELECT min(position) FROM appended), (SELECT max(position) FROM appended)"
        ).fetchone()
        if last - first >= LOG_LIMIT:
            self._move_log_into_messages(before=(first + last) // 2)

    def _move_log_into_messages(self, before: int) -> None:
        pieces: dict[int, list[tuple[str, str]]] = {}
        for message, text, thought in self._connection.execute(
            """
            SELECT message, text, thought FROM appended JOIN messages ON sequence = message
            WHERE position < ? AND position >= log_start ORDER BY position
            """,
            (before,),
        ):
            pieces.setdefault(message, []).append((text, thought))
        growing = self._connection.execute(
            "SELECT sequence, body FROM messages WHERE log_start < ?", (before,)
        ).fetchall()
        self._connection.executemany(
            "UPDATE messages SET log_start = ?, body = ? WHERE sequence = ?",
            [
                (
                    before,
                    _encoder.encode(grow(decode_message(body), pieces.get(sequence, []))).decode(),
                    sequence,
                )
                for sequence, body in growing
            ],
        )
        self._connection.execute("DELETE FROM appended WHERE position < ?", (before,))


def decode_message(body: str) -> Message:
    return _message_decoder.decode(body)


def grow(message: Message, pieces: list[tuple[str, str]]) -> Message:
    """`message` with the texts and thoughts of `pieces` behind its own."""
    content = message.content
    assert isinstance(content, Text)
    grown = Text(
        text=content.text + "".join(text for text, _ in pieces),
        thought=content.thought + "".join(thought for _, thought in pieces),
    )
    return msgspec.structs.replace(message, content=grown)


def utc_text(moment: datetime) -> str:
    """ISO 8601 in UTC, always of one length, so that it sorts as text."""
    assert moment.tzinfo is not None
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def _session_columns(record: SessionRecord) -> tuple[str, ...]:
    return (
        record.project_id,
        record.owner_id,
        record.title,
        record.model,
        record.status,
        utc_text(record.created_at),
        utc_text(record.updated_at),
        _encoder.encode(record).decode(),
    )

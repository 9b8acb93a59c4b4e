"""What one commit does to the tables of a SQLite store."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import NamedTuple, TypeVar, assert_never

import msgspec

from actors.conversation import Message, Role
from actors.errors import ErrorInfo
from actors.records import (
    AppendText,
    DeleteMessages,
    PutMessage,
    PutSession,
    SessionRecord,
    SessionWrite,
)
from actors.stores.sqlite_log import limit_log, trim_log
from actors.stores.verdict import Head, Verdict, judge, takes_text

__all__ = ["SqliteCommit", "utc_text"]

T = TypeVar("T")

_ROWS_PER_STATEMENT = 500

_encoder = msgspec.json.Encoder()


class _StoredSession:
    """A session's row, as this transaction sees it."""

    __slots__ = ("epoch", "new_messages", "new_turns", "number", "revision")

    def __init__(self, number: int, epoch: int, revision: int) -> None:
        self.number = number
        self.epoch = epoch
        self.revision = revision
        self.new_messages = 0
        self.new_turns = 0


class _StoredMessage(NamedTuple):
    """A message's row, as this transaction sees it."""

    sequence: int
    is_turn: bool
    takes_text: bool


class SqliteCommit:
    """The changes of one transaction; its owner begins and ends the transaction.

    Python lets go of its lock around every step of a statement, and where another thread computes it may be
    milliseconds until a writer has it back. So what all writes have in common is one statement for all of
    them: the look-ups are made at the beginning, and `finish` writes what was collected. Nothing outlives
    the transaction: a commit that fails leaves no state to repair.
    """

    def __init__(self, connection: sqlite3.Connection, writes: Sequence[SessionWrite]) -> None:
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
        self._sessions = self._find_sessions(writes)
        self._messages = self._find_messages(writes)
        self._changed: dict[int, _StoredSession] = {}
        self._appended: dict[int, list[AppendText]] = {}
        self._stopped_taking_text = False

    def apply(self, write: SessionWrite) -> ErrorInfo | None:
        """Apply one of the writes that were announced, or say why it is refused, as `Store.commit` does."""
        session = self._sessions.get(write.session_id)
        if session is None:
            verdict = judge(write, None, lambda _: False)
        else:
            number = session.number
            verdict = judge(
                write,
                Head(session.epoch, session.revision),
                lambda message_id: self._taking_text(number, message_id) is not None,
            )
        if isinstance(verdict, ErrorInfo):
            return verdict
        if verdict is Verdict.APPLY:
            self._apply_ops(write, session or self._create_session(write))
        return None

    def finish(self) -> None:
        """Write what was collected. Call it once, after the last write."""
        self._connection.execute(
            """
            UPDATE heads SET revision = json_extract(changed.value, '$[1]') FROM json_each(?) AS changed
            WHERE session = json_extract(changed.value, '$[0]')
            """,
            (json.dumps([(session.number, session.revision) for session in self._changed.values()]),),
        )
        self._connection.executemany(
            "UPDATE sessions SET messages = messages + ?, turns = turns + ? WHERE number = ?",
            [
                (session.new_messages, session.new_turns, session.number)
                for session in self._changed.values()
                if session.new_messages or session.new_turns
            ],
        )
        rows = [
            (
                position,
                message,
                "".join(piece.text for piece in pieces),
                "".join(piece.thought for piece in pieces),
            )
            for position, (message, pieces) in enumerate(self._appended.items(), self._log_end)
        ]
        for some in _in_chunks(rows):
            self._connection.execute(
                f"INSERT INTO appended (position, message, text, thought) {_values(some)}",
                [value for row in some for value in row],
            )
        if self._stopped_taking_text:
            trim_log(self._connection)
        if self._appended:
            limit_log(self._connection)

    def _find_sessions(self, writes: Sequence[SessionWrite]) -> dict[str, _StoredSession]:
        wanted = list(dict.fromkeys(write.session_id for write in writes))
        found: dict[str, _StoredSession] = {}
        for some in _in_chunks(wanted):
            rows = self._ask_once(
                f"""
                WITH wanted (place, session_id) AS ({_values(some, places=True)})
                SELECT json_group_array(json_array(place, number, epoch, revision))
                FROM wanted CROSS JOIN sessions USING (session_id) JOIN heads ON session = number
                """,  # noqa: S608 - only question marks and numbers are put in
                some,
            )
            for place, number, epoch, revision in rows:
                found[some[place]] = _StoredSession(number, epoch, revision)
        return found

    def _find_messages(self, writes: Sequence[SessionWrite]) -> dict[tuple[int, str], _StoredMessage]:
        wanted: dict[tuple[int, str], None] = {}
        for write in writes:
            session = self._sessions.get(write.session_id)
            if session is None:
                continue
            for op in write.ops:
                if isinstance(op, PutMessage):
                    wanted[session.number, op.message.message_id] = None
                elif isinstance(op, AppendText):
                    wanted[session.number, op.message_id] = None
                elif isinstance(op, DeleteMessages):
                    wanted.update(((session.number, message_id), None) for message_id in op.message_ids)
        found: dict[tuple[int, str], _StoredMessage] = {}
        for some in _in_chunks(list(wanted)):
            rows = self._ask_once(
                f"""
                WITH wanted (place, session, message_id) AS ({_values(some, places=True)})
                SELECT json_group_array(json_array(place, sequence, role = ?, log_start IS NOT NULL))
                FROM wanted CROSS JOIN messages USING (session, message_id)
                """,  # noqa: S608 - only question marks and numbers are put in
                [*(value for key in some for value in key), Role.USER],
            )
            for place, sequence, is_turn, takes in rows:
                found[some[place]] = _StoredMessage(sequence, bool(is_turn), bool(takes))
        return found

    def _ask_once(self, query: str, values: Sequence[object]) -> list[tuple[int, ...]]:
        """The rows of whole numbers that a query gives as one JSON text, in one step."""
        (rows,) = self._connection.execute(query, values).fetchone()
        return json.loads(rows)

    def _create_session(self, write: SessionWrite) -> _StoredSession:
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
        session = self._sessions[write.session_id] = _StoredSession(number, 1, 0)
        return session

    def _apply_ops(self, write: SessionWrite, session: _StoredSession) -> None:
        for op in write.ops:
            match op:
                case PutSession(record=record):
                    self._put_session(session.number, record)
                case PutMessage(message=message):
                    self._put_message(session, message)
                case AppendText(message_id=message_id):
                    message = self._taking_text(session.number, message_id)
                    assert message is not None  # `judge` asked
                    self._appended.setdefault(message, []).append(op)
                case DeleteMessages(message_ids=message_ids):
                    self._delete_messages(session, message_ids)
                case _:
                    assert_never(op)
        session.revision = write.revision
        self._changed[session.number] = session

    def _put_session(self, session: int, record: SessionRecord) -> None:
        self._connection.execute(
            """
            UPDATE sessions SET project_id = ?, owner_id = ?, title = ?, model = ?, status = ?,
                created_at = ?, updated_at = ?, record = ?
            WHERE number = ?
            """,
            (*_session_columns(record), session),
        )

    def _put_message(self, session: _StoredSession, message: Message) -> None:
        """Insert or replace a message's row."""
        takes = takes_text(message)
        columns = (
            message.parent_id,
            message.role,
            message.content.__struct_config__.tag,
            message.state,
            utc_text(message.created_at),
            self._log_end if takes else None,
            _encoder.encode(message).decode(),
        )
        is_turn = message.role is Role.USER
        key = (session.number, message.message_id)
        before = self._messages.get(key)
        if before is None:
            sequence = self._connection.execute(
                """
                INSERT INTO messages
                    (parent_id, role, kind, state, created_at, log_start, body, session, message_id)
                VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
                """,
                (*columns, *key),
            ).lastrowid
            assert sequence is not None
            session.new_messages += 1
            session.new_turns += is_turn
        else:
            sequence = before.sequence
            self._appended.pop(sequence, None)
            self._stopped_taking_text |= before.takes_text
            self._connection.execute(
                """
                UPDATE messages SET parent_id = ?, role = ?, kind = ?, state = ?, created_at = ?,
                    log_start = ?, body = ?
                WHERE sequence = ?
                """,
                (*columns, sequence),
            )
            session.new_turns += is_turn - before.is_turn
        self._messages[key] = _StoredMessage(sequence, is_turn, takes)

    def _delete_messages(self, session: _StoredSession, message_ids: Sequence[str]) -> None:
        gone: list[tuple[int]] = []
        for message_id in message_ids:
            message = self._messages.pop((session.number, message_id), None)
            if message is None:
                continue
            gone.append((message.sequence,))
            self._appended.pop(message.sequence, None)
            self._stopped_taking_text |= message.takes_text
            session.new_messages -= 1
            session.new_turns -= message.is_turn
        self._connection.executemany("DELETE FROM messages WHERE sequence = ?", gone)

    def _taking_text(self, session: int, message_id: str) -> int | None:
        """The row of a message, if that takes text."""
        message = self._messages.get((session, message_id))
        return message.sequence if message is not None and message.takes_text else None


def _values(rows: Sequence[Sequence[object] | str], *, places: bool = False) -> str:
    """A VALUES clause with a parameter for each value; with `places`, each row begins with its number."""
    width = 1 if isinstance(rows[0], str) else len(rows[0])
    parameters = ", ".join("?" * width)
    return "VALUES " + ", ".join(
        f"({place}, {parameters})" if places else f"({parameters})" for place in range(len(rows))
    )


def _in_chunks(rows: list[T]) -> Iterator[list[T]]:
    """Few enough rows at a time for the parameters that SQLite takes in one statement."""
    for start in range(0, len(rows), _ROWS_PER_STATEMENT):
        yield rows[start : start + _ROWS_PER_STATEMENT]


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

"""A store that forgets: for tests, and for sessions that nobody wants to keep."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from actors.conversation import Message, Role, Text
from actors.errors import EngineError, ErrorCode, ErrorInfo
from actors.records import (
    AppendText,
    PutMessage,
    PutSession,
    RunRecord,
    SessionRecord,
    SessionSummary,
    SessionWrite,
    StoredSession,
)
from actors.stores.verdict import Head, Verdict, judge, takes_text

__all__ = ["MemoryStore"]


class MemoryStore:
    """Keeps sessions for the life of the process.

    Calls do not block, so they may run on the scheduler's thread. What goes in and what comes out shares
    nothing mutable with the store.
    """

    def __init__(self) -> None:
        self._sessions: dict[str, _Session] = {}
        self._latest_run: RunRecord | None = None

    @property
    def blocking(self) -> bool:
        return False

    def commit(self, writes: Sequence[SessionWrite]) -> tuple[ErrorInfo | None, ...]:
        return tuple(self._apply(write) for write in writes)

    def _apply(self, write: SessionWrite) -> ErrorInfo | None:
        session = self._sessions.get(write.session_id)
        if session is None:
            verdict = judge(write, None, lambda _: False)
        else:
            verdict = judge(write, session.head, session.takes_text)
        if isinstance(verdict, ErrorInfo):
            return verdict
        if verdict is Verdict.REPEAT:
            return None
        if session is None:
            creation = write.ops[0]
            assert isinstance(creation, PutSession)
            session = self._sessions[write.session_id] = _Session(creation.record)
        session.apply(write)
        return None

    def load(self, session_id: str) -> StoredSession:
        session = self._find(session_id)
        session.head = Head(session.head.epoch + 1, session.head.revision)
        return session.stored()

    def read(self, session_id: str) -> StoredSession:
        return self._find(session_id).stored()

    def _find(self, session_id: str) -> _Session:
        session = self._sessions.get(session_id)
        if session is None:
            raise EngineError(
                ErrorCode.SESSION_NOT_FOUND, f"there is no session {session_id}", session_id=session_id
            )
        return session

    def list_sessions(self) -> tuple[SessionSummary, ...]:
        summaries = [session.summary() for session in self._sessions.values()]
        summaries.sort(key=lambda summary: summary.created_at)
        return tuple(summaries)

    def put_run(self, run: RunRecord) -> None:
        self._latest_run = run

    def latest_run(self) -> RunRecord | None:
        return self._latest_run

    def close(self) -> None:
        pass


class _Session:
    """One session. `grown` holds the pieces that were appended since their message was last put."""

    def __init__(self, record: SessionRecord) -> None:
        self.record = record
        self.head = Head(epoch=1, revision=0)
        self.messages: dict[str, Message] = {}
        self.grown: dict[str, list[AppendText]] = {}

    def takes_text(self, message_id: str) -> bool:
        message = self.messages.get(message_id)
        return message is not None and takes_text(message)

    def apply(self, write: SessionWrite) -> None:
        for op in write.ops:
            match op:
                case PutSession(record=record):
                    self.record = _own_record(record)
                case PutMessage(message=message):
                    self.messages[message.message_id] = _own_message(message)
                    self.grown.pop(message.message_id, None)
                case AppendText(message_id=message_id):
                    self.grown.setdefault(message_id, []).append(op)
        self.head = Head(write.epoch, write.revision)

    def stored(self) -> StoredSession:
        return StoredSession(
            record=_own_record(self.record),
            messages=tuple(self._whole(message) for message in self.messages.values()),
            epoch=self.head.epoch,
            revision=self.head.revision,
        )

    def _whole(self, message: Message) -> Message:
        pieces = self.grown.get(message.message_id)
        if pieces is None:
            return _own_message(message)
        content = message.content
        assert isinstance(content, Text)
        grown = Text(
            text=content.text + "".join(piece.text for piece in pieces),
            thought=content.thought + "".join(piece.thought for piece in pieces),
        )
        return _own_message(msgspec.structs.replace(message, content=grown))

    def summary(self) -> SessionSummary:
        return SessionSummary(
            session_id=self.record.session_id,
            title=self.record.title,
            model=self.record.model,
            status=self.record.status,
            turns=sum(message.role is Role.USER for message in self.messages.values()),
            messages=len(self.messages),
            created_at=self.record.created_at,
            updated_at=self.record.updated_at,
        )


# Messages and records are frozen; the one thing in them that can be changed is an error's `details`.


def _own_message(message: Message) -> Message:
    if message.error is None:
        return message
    return msgspec.structs.replace(message, error=_own_error(message.error))


def _own_record(record: SessionRecord) -> SessionRecord:
    if record.error is None:
        return record
    return msgspec.structs.replace(record, error=_own_error(record.error))


def _own_error(error: ErrorInfo) -> ErrorInfo:
    return msgspec.structs.replace(error, details=dict(error.details))

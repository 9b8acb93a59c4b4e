"""Sessions and writes as the tests of the stores use them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from actors.conversation import Message, MessageState, Role, Text
from actors.errors import ErrorInfo
from actors.records import AppendText, PutMessage, PutSession, SessionRecord, SessionWrite, WriteOp
from actors.stores import Store

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def record(
    session_id: str, *, minute: int = 0, title: str = "", error: ErrorInfo | None = None
) -> SessionRecord:
    moment = NOON + timedelta(minutes=minute)
    return SessionRecord(
        session_id=session_id,
        created_at=moment,
        updated_at=moment,
        title=title,
        model="scripted:echo",
        error=error,
    )


def question(message_id: str, text: str = "Why?") -> PutMessage:
    return PutMessage(
        Message(message_id=message_id, parent_id=None, role=Role.USER, content=Text(text), created_at=NOON)
    )


def answer(
    message_id: str,
    text: str = "",
    *,
    thought: str = "",
    state: MessageState = MessageState.STREAMING,
    error: ErrorInfo | None = None,
) -> PutMessage:
    return PutMessage(
        Message(
            message_id=message_id,
            parent_id=None,
            role=Role.ASSISTANT,
            content=Text(text, thought),
            created_at=NOON,
            state=state,
            error=error,
        )
    )


def piece(message_id: str, text: str = "", thought: str = "") -> AppendText:
    return AppendText(message_id, text, thought)


def creation(session_id: str, *ops: WriteOp, minute: int = 0, title: str = "") -> SessionWrite:
    return SessionWrite(
        session_id, 1, 1, (PutSession(record(session_id, minute=minute, title=title)), *ops)
    )


def text_of(store: Store, session_id: str, message_id: str) -> Text:
    """A message's text, with everything that was appended to it."""
    (content,) = (
        message.content for message in store.read(session_id).messages if message.message_id == message_id
    )
    assert isinstance(content, Text)
    return content

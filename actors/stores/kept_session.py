"""One session in memory, as the writes that were applied to it leave it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import assert_never

import msgspec

from actors.conversation import Message, Role, Text
from actors.errors import ErrorInfo
from actors.records import (
    AppendText,
    DeleteMessages,
    PutMessage,
    PutSession,
    SessionRecord,
    SessionSummary,
    SessionWrite,
    StoredSession,
)
from actors.stores.verdict import Head, Verdict, judge, takes_text

__all__ = ["KeptSession", "with_text"]


class KeptSession:
    """One session. `grown` holds the pieces that were appended since their message was last put.

    What goes in and what comes out shares nothing mutable with it.
    """

    __slots__ = ("_grown", "_messages", "_record", "head")

    def __init__(self, record: SessionRecord, messages: Iterable[Message], head: Head) -> None:
        self._record = _own_record(record)
        self._messages = {message.message_id: _own_message(message) for message in messages}
        self._grown: dict[str, list[AppendText]] = {}
        self.head = head

    @classmethod
    def of(cls, stored: StoredSession) -> KeptSession:
        return cls(stored.record, stored.messages, Head(stored.epoch, stored.revision))

    @property
    def session_id(self) -> str:
        return self._record.session_id

    @property
    def at_rest(self) -> bool:
        return self._record.at_rest

    def copy(self) -> KeptSession:
        return KeptSession.of(self.stored())

    def take(self, write: SessionWrite) -> ErrorInfo | None:
        """Judge a write, and apply it unless it is a repeat or refused."""
        verdict = judge(write, self.head, self._takes_text)
        if isinstance(verdict, ErrorInfo):
            return verdict
        if verdict is Verdict.APPLY:
            self._apply(write)
        return None

    def _takes_text(self, message_id: str) -> bool:
        message = self._messages.get(message_id)
        return message is not None and takes_text(message)

    def _apply(self, write: SessionWrite) -> None:
        for op in write.ops:
            match op:
                case PutSession(record=record):
                    self._record = _own_record(record)
                case PutMessage(message=message):
                    self._messages[message.message_id] = _own_message(message)
                    self._grown.pop(message.message_id, None)
                case AppendText(message_id=message_id):
                    self._grown.setdefault(message_id, []).append(op)
                case DeleteMessages(message_ids=message_ids):
                    for message_id in message_ids:
                        self._messages.pop(message_id, None)
                        self._grown.pop(message_id, None)
                case _:
                    assert_never(op)
        self.head = Head(write.epoch, write.revision)

    def stored(self) -> StoredSession:
        return StoredSession(
            record=_own_record(self._record),
            messages=tuple(self._whole(message) for message in self._messages.values()),
            epoch=self.head.epoch,
            revision=self.head.revision,
        )

    def _whole(self, message: Message) -> Message:
        pieces = self._grown.get(message.message_id)
        if pieces is None:
            return _own_message(message)
        return _own_message(with_text(message, ((piece.text, piece.thought) for piece in pieces)))

    def summary(self) -> SessionSummary:
        record = self._record
        return SessionSummary(
            session_id=record.session_id,
            title=record.title,
            model=record.model,
            status=record.status,
            turns=sum(message.role is Role.USER for message in self._messages.values()),
            messages=len(self._messages),
            created_at=record.created_at,
            updated_at=record.updated_at,
            owner_id=record.owner_id,
            project_id=record.project_id,
        )


def with_text(message: Message, pieces: Iterable[tuple[str, str]]) -> Message:
    """`message` with the texts and thoughts of `pieces` behind its own."""
    content = message.content
    assert isinstance(content, Text)
    texts, thoughts = [content.text], [content.thought]
    for text, thought in pieces:
        texts.append(text)
        thoughts.append(thought)
    grown = msgspec.structs.replace(content, text="".join(texts), thought="".join(thoughts))
    return msgspec.structs.replace(message, content=grown)


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

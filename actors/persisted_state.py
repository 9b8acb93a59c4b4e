"""What of a session can be taken up again after a crash."""

from __future__ import annotations

from datetime import datetime

import msgspec

from actors.conversation import Text
from actors.records import SessionStatus, StoredSession

__all__ = ["PersistedSessionState", "persisted_state"]


class PersistedSessionState(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """A turn that was admitted and did not end. `path` is the chat file of a session that has one."""

    session_id: str
    task_id: str
    status: SessionStatus
    updated_at: datetime
    pending_input: str
    path: str | None = None


def persisted_state(stored: StoredSession, path: str | None = None) -> PersistedSessionState | None:
    """The unfinished turn of a session as a store has it; None if its last one ended."""
    record = stored.record
    task = record.task
    if task is None:
        return None
    question = next(
        (message for message in stored.messages if message.message_id == task.question_id), None
    )
    said = "" if question is None or not isinstance(question.content, Text) else question.content.text
    return PersistedSessionState(
        session_id=record.session_id,
        task_id=task.task_id,
        status=record.status,
        updated_at=record.updated_at,
        pending_input=said,
        path=path,
    )

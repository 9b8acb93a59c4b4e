"""What a store keeps: sessions, their writes, and runs. Plain data, the same for every store."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import TypeAlias

import msgspec

from actors.conversation import Message
from actors.errors import ErrorInfo

__all__ = [
    "AppendText",
    "PutMessage",
    "PutSession",
    "RunRecord",
    "SessionRecord",
    "SessionStatus",
    "SessionSummary",
    "SessionWrite",
    "StoredSession",
    "TaskRecord",
    "WriteOp",
]


class SessionStatus(StrEnum):
    """Where a session stands. It is ready for a turn in all but the first three."""

    QUEUED = "queued"
    RUNNING = "running"
    WAITING_CONFIRMATION = "waiting_confirmation"
    IDLE = "idle"
    COMPLETED = "completed"
    FAILED = "failed"
    ABORTED = "aborted"
    MAX_TURNS_REACHED = "max_turns_reached"


class TaskRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """An admitted turn that has not ended: what a restart needs to queue or resume it.

    `number` orders admissions of one priority, smaller first.
    """

    task_id: str
    question_id: str
    priority: int = 0
    number: int = 0


class SessionRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A session without its messages.

    `model` is `provider:model`. `active_leaf_id` is the last message of the visible branch. `error` is
    set only while `status` is failed.
    """

    session_id: str
    created_at: datetime
    updated_at: datetime
    title: str = ""
    model: str = ""
    system_prompt: str = ""
    owner_id: str = "local"
    project_id: str = "default"
    status: SessionStatus = SessionStatus.IDLE
    active_leaf_id: str | None = None
    task: TaskRecord | None = None
    error: ErrorInfo | None = None


class PutSession(msgspec.Struct, frozen=True, tag="put_session"):
    """Insert or replace the session's record."""

    record: SessionRecord


class PutMessage(msgspec.Struct, frozen=True, tag="put_message"):
    """Insert or replace one message, with all text that was appended to it before."""

    message: Message


class AppendText(msgspec.Struct, frozen=True, omit_defaults=True, tag="append_text"):
    """Append streamed text to a message that was put in state `streaming`."""

    message_id: str
    text: str = ""
    thought: str = ""


WriteOp: TypeAlias = PutSession | PutMessage | AppendText


class SessionWrite(msgspec.Struct, frozen=True):
    """One step of one session's durable history.

    `epoch` is the fencing token from the load, `revision` counts the writes of a session from 1 without a
    gap, over all epochs. A write whose revision the store already has is a repeat and changes nothing.
    """

    session_id: str
    epoch: int
    revision: int
    ops: tuple[WriteOp, ...]


class StoredSession(msgspec.Struct, frozen=True):
    """A session as a store gives it back; `messages` in the order in which they were first put."""

    record: SessionRecord
    messages: tuple[Message, ...]
    epoch: int
    revision: int


class SessionSummary(msgspec.Struct, frozen=True):
    """One row of a listing. `turns` counts the user messages of all branches."""

    session_id: str
    title: str
    model: str
    status: SessionStatus
    turns: int
    messages: int
    created_at: datetime
    updated_at: datetime


class RunRecord(msgspec.Struct, frozen=True):
    """A `greenroom run` as the store remembers it.

    Record number i of the prompts, counted over the repeats, is the session `session_ids[i]`.
    """

    run_id: str
    prompts_digest: str
    model: str
    created_at: datetime
    session_ids: tuple[str, ...]

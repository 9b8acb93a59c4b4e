"""What a session tells its subscribers."""

from __future__ import annotations

from datetime import datetime
from typing import TypeAlias

import msgspec

from actors.conversation import FinishReason, Message, Part, ToolCall, Usage
from actors.errors import ErrorInfo
from actors.records import SessionStatus

__all__ = [
    "AnswerStreamed",
    "Event",
    "EventBody",
    "Lagged",
    "MessageAdded",
    "SessionStatusChanged",
    "TaskFinished",
    "TaskOutcome",
]


class TaskOutcome(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a turn ended. `status` is completed, failed or aborted; `answer` may be partial then.

    Durations are in seconds from the moment the model was called; `time_to_first_part_seconds` is None
    when nothing arrived. `parts` counts the streamed parts.
    """

    session_id: str
    task_id: str
    status: SessionStatus
    prompt: str
    answer: str = ""
    thought: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    finish_reason: FinishReason | None = None
    usage: Usage | None = None
    error: ErrorInfo | None = None
    parts: int = 0
    time_to_first_part_seconds: float | None = None
    duration_seconds: float | None = None


class SessionStatusChanged(msgspec.Struct, frozen=True, tag="session_status_changed"):
    status: SessionStatus


class MessageAdded(msgspec.Struct, frozen=True, tag="message_added"):
    """A message is durable: a user's question when it was accepted, the answer's when it is final."""

    message: Message


class AnswerStreamed(msgspec.Struct, frozen=True, tag="answer_streamed"):
    """Parts of the running answer, in order."""

    parts: tuple[Part, ...]


class TaskFinished(msgspec.Struct, frozen=True, tag="task_finished"):
    """The turn has ended, and its end is durable. The last event of a task."""

    outcome: TaskOutcome


EventBody: TypeAlias = SessionStatusChanged | MessageAdded | AnswerStreamed | TaskFinished


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One event of one session.

    `seq` counts the events of an `epoch` (one loading of the session) from 1 without a gap.
    """

    session_id: str
    epoch: int
    seq: int
    task_id: str | None
    at: datetime
    body: EventBody
    format_version: int = 1


class Lagged(msgspec.Struct, frozen=True, tag="lagged"):
    """To a subscriber that did not keep up: so many events were left out here. Take a snapshot."""

    missed: int

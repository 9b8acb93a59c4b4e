"""What a session tells its subscribers, and the registry tells everybody."""

from __future__ import annotations

from datetime import datetime
from typing import TypeAlias

import msgspec

from actors.conversation import FinishReason, Message, Part, ToolCall, Usage
from actors.errors import ErrorInfo
from actors.records import CallRecord, PoolStatus, SessionRecord, SessionStatus

__all__ = [
    "ActorRestarted",
    "AnswerStreamed",
    "ContextUpdated",
    "Event",
    "EventBody",
    "GlobalBody",
    "GlobalEvent",
    "Lagged",
    "MessageAdded",
    "MessageChanged",
    "MessageEdited",
    "MessagesDeleted",
    "ModelCallDelayed",
    "PersistenceFailed",
    "PoolStatusChanged",
    "SessionFailed",
    "SessionRegistered",
    "SessionStatusChanged",
    "SessionUnreadUpdated",
    "SessionUnregistered",
    "TaskFinished",
    "TaskOutcome",
    "ToolCallsCompleted",
    "ToolCallsUpdated",
    "ToolOutput",
]


class TaskOutcome(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a turn ended, or, with status `waiting_confirmation`, where it stands.

    `status` is completed, failed, aborted, max_turns_reached or waiting_confirmation; `answer` is the last
    text of the turn, and may be partial when it was cut. `pending_calls` wait for a person. Durations are
    in seconds from the moment the model was first called; `time_to_first_part_seconds` is None when
    nothing arrived. `parts` counts the streamed parts.
    """

    session_id: str
    task_id: str
    status: SessionStatus
    prompt: str
    answer: str = ""
    thought: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    pending_calls: tuple[CallRecord, ...] = ()
    finish_reason: FinishReason | None = None
    usage: Usage | None = None
    error: ErrorInfo | None = None
    parts: int = 0
    time_to_first_part_seconds: float | None = None
    duration_seconds: float | None = None


# --- of one session ---------------------------------------------------------------------------------


class SessionStatusChanged(msgspec.Struct, frozen=True, omit_defaults=True, tag="session_status_changed"):
    """The status is another one than before."""

    status: SessionStatus
    error: ErrorInfo | None = None


class MessageAdded(msgspec.Struct, frozen=True, tag="message_added"):
    """A new message in the tree. It is durable, unless its state is `streaming`: then it begins to grow."""

    message: Message


class MessageChanged(msgspec.Struct, frozen=True, tag="message_changed"):
    """A message is another one now, durably: an answer is final, or a message has another parent."""

    message: Message


class MessageEdited(msgspec.Struct, frozen=True, tag="message_edited"):
    """A user wrote a message anew, in its place."""

    message: Message


class MessagesDeleted(msgspec.Struct, frozen=True, tag="messages_deleted"):
    """These are gone, durably. What hung on them hangs elsewhere: a `MessageChanged` before said so."""

    message_ids: tuple[str, ...]


class AnswerStreamed(msgspec.Struct, frozen=True, omit_defaults=True, tag="answer_streamed"):
    """Parts of the running answer, in order; its text grows the message with this id.

    The id is empty as long as there is neither text nor thought.
    """

    parts: tuple[Part, ...]
    message_id: str = ""


class ModelCallDelayed(msgspec.Struct, frozen=True, tag="model_call_delayed"):
    """A model call has to wait before its first part, because of this error; not stored.

    It was made `attempt` times so far, 0 if others of its connection met the error, and is made again in so
    many seconds, or later while the connection is busy.
    """

    attempt: int
    error: ErrorInfo
    retry_after_seconds: float


class ToolCallsUpdated(msgspec.Struct, frozen=True, tag="tool_calls_updated"):
    """Where the tool calls that the message asks for stand now, all of them, in the model's order."""

    message_id: str
    calls: tuple[CallRecord, ...]


class ToolCallsCompleted(msgspec.Struct, frozen=True, tag="tool_calls_completed"):
    """All calls of the request in `message_id` are over, in the model's order; it is asked on with that."""

    message_id: str
    calls: tuple[CallRecord, ...]


class ToolOutput(msgspec.Struct, frozen=True, tag="tool_output"):
    """A piece of what a running tool says; not stored, its result is."""

    call_id: str
    text: str


class ContextUpdated(msgspec.Struct, frozen=True, tag="context_updated"):
    """The session's record is this one now, durably: status, title, visible branch, unread, version."""

    record: SessionRecord


class TaskFinished(msgspec.Struct, frozen=True, tag="task_finished"):
    """The turn has ended, and its end is durable. The last event of a task."""

    outcome: TaskOutcome


EventBody: TypeAlias = (
    SessionStatusChanged
    | MessageAdded
    | MessageChanged
    | MessageEdited
    | MessagesDeleted
    | AnswerStreamed
    | ModelCallDelayed
    | ToolCallsUpdated
    | ToolCallsCompleted
    | ToolOutput
    | ContextUpdated
    | TaskFinished
)


class Event(msgspec.Struct, frozen=True, kw_only=True, tag="event"):
    """One event of one session.

    `seq` counts the session's events from 1 without a gap and goes on when it is unloaded and loaded
    again; `epoch` is the loading. After a crash `seq` goes on from what was durable, in a higher epoch.
    """

    session_id: str
    epoch: int
    seq: int
    task_id: str | None
    at: datetime
    body: EventBody
    format_version: int = 1


class Lagged(msgspec.Struct, frozen=True, omit_defaults=True, tag="lagged"):
    """To a subscriber that missed events here: so many, or None when nobody can say. Take a snapshot."""

    missed: int | None = None


# --- of all sessions --------------------------------------------------------------------------------


class SessionRegistered(msgspec.Struct, frozen=True, tag="session_registered"):
    """The registry knows the session from now on."""


class SessionUnregistered(msgspec.Struct, frozen=True, tag="session_unregistered"):
    """The registry has forgotten the session, or it was deleted. The last event about it."""


class SessionUnreadUpdated(msgspec.Struct, frozen=True, tag="session_unread_updated"):
    count: int


class SessionFailed(msgspec.Struct, frozen=True, tag="session_failed"):
    """The session's actor crashed, or its store gave up. The next command loads it again."""

    error: ErrorInfo


class PoolStatusChanged(msgspec.Struct, frozen=True, tag="pool_status_changed"):
    status: PoolStatus


class PersistenceFailed(msgspec.Struct, frozen=True, tag="persistence_failed"):
    error: ErrorInfo


class ActorRestarted(msgspec.Struct, frozen=True, tag="actor_restarted"):
    """An actor that serves all sessions failed and is back."""

    name: str


GlobalBody: TypeAlias = (
    SessionRegistered
    | SessionUnregistered
    | SessionStatusChanged
    | SessionUnreadUpdated
    | SessionFailed
    | PoolStatusChanged
    | PersistenceFailed
    | ActorRestarted
)


class GlobalEvent(msgspec.Struct, frozen=True, kw_only=True, tag="global_event"):
    """One event of the registry; `seq` counts them from 1 without a gap, while it lives.

    `session_id` is None for what is about no session.
    """

    seq: int
    at: datetime
    session_id: str | None
    body: GlobalBody
    format_version: int = 1

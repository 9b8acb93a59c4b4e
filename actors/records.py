"""What a store keeps: sessions, their writes, and runs. Plain data, the same for every store."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import TypeAlias

import msgspec

from actors.conversation import Approval, Attachment, FileReference, Image, Message, ToolCall
from actors.errors import ErrorInfo
from actors.model_settings import ModelSettings

__all__ = [
    "LONGEST_SESSION_ID",
    "AppendText",
    "ApprovalMode",
    "CallRecord",
    "CallState",
    "ChatMode",
    "ConfirmationOutcome",
    "DeleteMessages",
    "FileStatus",
    "ImageMode",
    "PoolStatus",
    "PutMessage",
    "PutSession",
    "Question",
    "QueuedQuestion",
    "RequestRecord",
    "RunRecord",
    "SessionRecord",
    "SessionRuntime",
    "SessionStatus",
    "SessionSummary",
    "SessionWrite",
    "StoredSession",
    "TaskRecord",
    "WorkMode",
    "WriteOp",
    "is_session_id",
]

LONGEST_SESSION_ID = 200


def is_session_id(session_id: str) -> bool:
    """Whether every store can keep this id, and every terminal show it."""
    return 0 < len(session_id) <= LONGEST_SESSION_ID and session_id.isprintable()


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


class ChatMode(StrEnum):
    """`CHAT` is conversation; `AGENT` runs the tools that the model asks for, and goes on with them."""

    CHAT = "chat"
    AGENT = "agent"


class WorkMode(StrEnum):
    """`PLAN` offers the model only tools that change nothing, and asks it for a plan; `ACT` offers all."""

    PLAN = "plan"
    ACT = "act"


class ImageMode(StrEnum):
    """How a model gets images: as they are, or as the text that was read in them."""

    VISION = "vision"
    OCR = "ocr"


class ApprovalMode(StrEnum):
    """Which tool calls wait for a person: those of tools marked so, none, all; or none runs at all."""

    DEFAULT = "default"
    AUTO = "auto"
    ALWAYS_ASK = "always_ask"
    DENY = "deny"


class ConfirmationOutcome(StrEnum):
    """What a person says to a tool call that waits for them.

    The third and the fourth let it run, and also all later calls of this tool, or of any, in this session.
    """

    APPROVED = "approved"
    DENIED = "denied"
    ALWAYS_TOOL = "always_tool"
    ALWAYS_SESSION = "always_session"


class CallState(StrEnum):
    """Where a tool call of the running turn stands. The last three are final."""

    AWAITING_APPROVAL = "awaiting_approval"
    SCHEDULED = "scheduled"
    EXECUTING = "executing"
    SUCCESS = "success"
    ERROR = "error"
    CANCELLED = "cancelled"


class CallRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A tool call of the running turn. `output` is its result, or what went wrong, once it is final.

    `digest` is of the tool's name and the arguments: what a person approves is the call with this digest,
    and no other one is run for it.
    """

    call: ToolCall
    state: CallState
    approval: Approval = Approval.NOT_NEEDED
    digest: str = ""
    output: str = ""
    started_at: datetime | None = None
    ended_at: datetime | None = None


class Question(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a user says, before it is a message."""

    text: str
    attachments: tuple[Attachment, ...] = ()
    images: tuple[Image, ...] = ()
    references: tuple[FileReference, ...] = ()


class TaskRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """An admitted turn that has not ended: what a restart needs to queue or resume it.

    `number` orders admissions of one priority, smaller first. `model_calls` counts those that have begun
    since the last question, `calls` are the tool calls of the last one. `replay` holds the texts that a
    rerun has still to ask, `steering` what was said to the running turn and is not in the tree yet.
    `system_prompt` replaces the session's for this task.
    """

    task_id: str
    question_id: str
    priority: int = 0
    number: int = 0
    executor_id: str = "default"
    model_calls: int = 0
    calls: tuple[CallRecord, ...] = ()
    replay: tuple[Question, ...] = ()
    steering: tuple[Question, ...] = ()
    system_prompt: str | None = None


class QueuedQuestion(msgspec.Struct, frozen=True, omit_defaults=True):
    """A question that was taken while another turn was unfinished, and is asked after it, or `aborted`."""

    task_id: str
    question: Question
    priority: int = 0
    executor_id: str = "default"
    aborted: bool = False


class RequestRecord(msgspec.Struct, frozen=True):
    """Which task a caller's request began, so that the same request said twice is one."""

    request_id: str
    task_id: str


class SessionRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A session without its messages.

    `model` is `provider:model`. `active_leaf_id` is the last message of the visible branch. `error` is
    set only while `status` is failed. `version` counts the changes of this record, `event_seq` is the
    number of the session's last event when it was written. `unread_count` counts the answers that came
    while nobody looked. `tool_modes` are approval modes of single tools, by name; `all_approved`: a person
    has approved whatever tool the session may want. `max_parallel_calls` is how many tools it runs at once,
    `directory` where they work, if they ask.
    `requests` are the latest that began a task. `at_rest`: the session was unloaded in
    order, and its events up to `event_seq` have told everything.
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
    mode: ChatMode = ChatMode.CHAT
    work_mode: WorkMode = WorkMode.ACT
    approval_mode: ApprovalMode = ApprovalMode.DEFAULT
    tool_modes: dict[str, ApprovalMode] = {}
    all_approved: bool = False
    max_parallel_calls: int = 10
    directory: str = ""
    settings: ModelSettings = ModelSettings()
    knowledge: tuple[str, ...] = ()
    max_turns: int = 20
    completed_at: datetime | None = None
    version: int = 0
    unread_count: int = 0
    event_seq: int = 0
    queued: tuple[QueuedQuestion, ...] = ()
    requests: tuple[RequestRecord, ...] = ()
    at_rest: bool = False


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


class DeleteMessages(msgspec.Struct, frozen=True, tag="delete_messages"):
    """Remove messages. None of those that stay has a removed one for its parent when the write is over."""

    message_ids: tuple[str, ...]


WriteOp: TypeAlias = PutSession | PutMessage | AppendText | DeleteMessages


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
    owner_id: str = "local"
    project_id: str = "default"


class SessionRuntime(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A session as the registry knows it, loaded or not.

    `path` is the chat file of a session that has one. `messages` counts those of all branches, `text_bytes`
    is what their texts, files and images take. `error` is set only while `status` is failed. `is_loaded` is
    filled in by the registry when it is asked.
    """

    session_id: str
    status: SessionStatus
    last_active_at: datetime
    title: str = ""
    path: str | None = None
    task_id: str | None = None
    unread_count: int = 0
    messages: int = 0
    text_bytes: int = 0
    error: ErrorInfo | None = None
    owner_id: str = "local"
    project_id: str = "default"
    is_loaded: bool = False


class PoolStatus(msgspec.Struct, frozen=True):
    """`available` counts free run slots, `queue_available` free places in the queue.

    `waiting` counts the turns that wait for a person and hold no slot.
    """

    running: int
    queued: int
    waiting: int
    loaded: int
    max_concurrent: int
    available: int
    queue_available: int


class FileStatus(StrEnum):
    """How a session's file was at its last write.

    `DIRTY`: the write failed. `MISSING`: nothing of the session is at its path. `MOVED`: it was found
    elsewhere. `CONFLICT`: somebody else has changed it.
    """

    SAVED = "saved"
    DIRTY = "dirty"
    MISSING = "missing"
    MOVED = "moved"
    CONFLICT = "conflict"


class RunRecord(msgspec.Struct, frozen=True):
    """A `greenroom run` as the store remembers it.

    Record number i of the prompts, counted over the repeats, is the session `session_ids[i]`.
    """

    run_id: str
    prompts_digest: str
    model: str
    created_at: datetime
    session_ids: tuple[str, ...]

"""What a session actor understands, and what it says."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import TypeAlias

import msgspec

from actors.conversation import Attachment, FileReference, Image, Message, Part, ToolStatus
from actors.errors import ErrorInfo
from actors.events import Event, GlobalEvent, Lagged
from actors.model_settings import ModelSettings
from actors.persistence.protocol import LoadFailed, Saved, SaveFailed, SessionLoaded, StoreLost
from actors.records import (
    ApprovalMode,
    ChatMode,
    ConfirmationOutcome,
    SessionRecord,
    SessionRuntime,
    WorkMode,
)
from actors.tree import visible_branch

__all__ = [
    "AbortTurn",
    "AdmissionReport",
    "CallDelayed",
    "CallsStopped",
    "CancelToolCalls",
    "ConfirmToolCall",
    "CreateSession",
    "Cursor",
    "DeleteMessage",
    "EditMessage",
    "EncodedEvent",
    "EventPublished",
    "EventsLost",
    "GetPage",
    "GetSnapshot",
    "Handover",
    "ImagesRead",
    "Inheritance",
    "MarkRead",
    "MessagePage",
    "NewSession",
    "OnBusy",
    "OutputArrived",
    "PartsArrived",
    "PrepareRelease",
    "ReportAdmission",
    "Rerun",
    "ResumeTurn",
    "RetryAnswer",
    "SessionChanges",
    "SessionCommand",
    "SessionMessage",
    "SessionSnapshot",
    "SetActive",
    "SlotGranted",
    "SlotNotice",
    "SlotQueued",
    "SlotRefused",
    "SubmitTurn",
    "Subscribe",
    "SubscriberEnded",
    "SubscriptionEnded",
    "SubscriptionStarted",
    "SwitchBranch",
    "ToolEnded",
    "ToolStopped",
    "TurnEnded",
    "UpdateSession",
    "WaitTurn",
    "encoded_subscriber_name",
    "session_name",
    "wants_encoded",
]


def session_name(session_id: str) -> str:
    """The actor name under which a loaded session is found."""
    return f"session/{session_id}"


_ENCODED = "encoded/"


def encoded_subscriber_name(unique: str) -> str:
    """A name for a subscriber that is told each event as an `EncodedEvent`."""
    return _ENCODED + unique


def wants_encoded(subscriber: str) -> bool:
    return subscriber.startswith(_ENCODED)


class NewSession(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a new session starts with. `model` is `provider:model`."""

    title: str = ""
    model: str = ""
    system_prompt: str = ""
    owner_id: str = "local"
    project_id: str = "default"
    mode: ChatMode = ChatMode.CHAT
    work_mode: WorkMode = WorkMode.ACT
    approval_mode: ApprovalMode = ApprovalMode.DEFAULT
    tool_modes: dict[str, ApprovalMode] = {}
    max_parallel_calls: int = 10
    directory: str = ""
    settings: ModelSettings = ModelSettings()
    knowledge: tuple[str, ...] = ()
    max_turns: int = 20

    def record(self, session_id: str, now: datetime, *, default_model: str = "") -> SessionRecord:
        """The record of the session as it begins."""
        return SessionRecord(
            session_id=session_id,
            created_at=now,
            updated_at=now,
            title=self.title,
            model=self.model or default_model,
            system_prompt=self.system_prompt,
            owner_id=self.owner_id,
            project_id=self.project_id,
            mode=self.mode,
            work_mode=self.work_mode,
            approval_mode=self.approval_mode,
            tool_modes=self.tool_modes,
            max_parallel_calls=self.max_parallel_calls,
            directory=self.directory,
            settings=self.settings,
            knowledge=self.knowledge,
            max_turns=self.max_turns,
        )


class SessionChanges(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What of a session is to be another one; None stays as it is."""

    title: str | None = None
    model: str | None = None
    system_prompt: str | None = None
    mode: ChatMode | None = None
    work_mode: WorkMode | None = None
    approval_mode: ApprovalMode | None = None
    tool_modes: dict[str, ApprovalMode] | None = None
    max_parallel_calls: int | None = None
    directory: str | None = None
    settings: ModelSettings | None = None
    knowledge: tuple[str, ...] | None = None
    max_turns: int | None = None


class SessionSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """A session at one moment, after the event `seq` of `epoch`.

    `messages` are those of all branches, in the order in which they were made; a running answer is as far
    as it was streamed. It is the session as it is in memory: the last step may still be on its way to the
    store.
    """

    record: SessionRecord
    messages: tuple[Message, ...]
    epoch: int
    seq: int

    @property
    def branch(self) -> tuple[Message, ...]:
        """The visible branch, the running answer at its end."""
        return visible_branch(self.messages, self.record.active_leaf_id)


class MessagePage(msgspec.Struct, frozen=True, kw_only=True):
    """Some messages of the visible branch; `total` is how many it has."""

    messages: tuple[Message, ...]
    skip: int
    total: int


class Cursor(msgspec.Struct, frozen=True):
    """A place in a session's events: behind the event `seq` of `epoch`."""

    epoch: int
    seq: int


class SubscriptionStarted(msgspec.Struct, frozen=True, kw_only=True):
    """From here the events follow.

    After `snapshot`, if there is one; else after the cursor, and `missed` are those that came since then.
    """

    snapshot: SessionSnapshot | None
    missed: tuple[Event, ...] = ()


class OnBusy(StrEnum):
    """What a question does that finds another turn unfinished.

    `REJECT`: it is refused with `SESSION_BUSY`. `QUEUE`: it is asked when the others are done.
    `INTERRUPT`: it stops the running turn, whose partial answer is kept, and is asked next. `STEER`: it
    joins the running turn at its next model call.
    """

    REJECT = "reject"
    QUEUE = "queue"
    INTERRUPT = "interrupt"
    STEER = "steer"


# --- commands, each an ask; refused with an EngineError ---------------------------------------------
#
# `principal` is who asks. A `request_id` makes a command that begins a turn idempotent: said again, it is
# answered with the task that it began the first time. `expected_version` refuses a change with `CONFLICT`
# when the session's record has another `version`.


class CreateSession(msgspec.Struct, frozen=True, omit_defaults=True, tag=True):
    """Make the session; `CONFLICT` if there is one. Answered with its snapshot when it is durable."""

    new: NewSession
    principal: str = "local"


class SubmitTurn(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag=True):
    """Ask a question. Answered with the task id when the question is durable, not when it is answered."""

    text: str
    attachments: tuple[Attachment, ...] = ()
    images: tuple[Image, ...] = ()
    references: tuple[FileReference, ...] = ()
    priority: int = 0
    executor_id: str = "default"
    on_busy: OnBusy = OnBusy.REJECT
    request_id: str | None = None
    principal: str = "local"


class ResumeTurn(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag=True):
    """Answer the last question of the visible branch, which has no complete answer; as `SubmitTurn`."""

    priority: int = 0
    request_id: str | None = None
    principal: str = "local"


class RetryAnswer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag=True):
    """Have a question answered once more, beside the answer `message_id`; as `SubmitTurn`."""

    message_id: str
    priority: int = 0
    executor_id: str = "default"
    request_id: str | None = None
    principal: str = "local"


class EditMessage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag=True):
    """Put another text in a user's message, in its place; answered with None when it is durable.

    With `rerun` the message stays, and the text is asked beside it; as `SubmitTurn`.
    """

    message_id: str
    text: str
    rerun: bool = False
    priority: int = 0
    request_id: str | None = None
    expected_version: int | None = None
    principal: str = "local"


class Rerun(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag=True):
    """Ask all questions of the visible branch again, one after the other, on a new branch.

    `input_data` replaces `{{name}}` in the system prompt, which must find all its names, and in the
    questions, where unknown names stay as they are. As `SubmitTurn`: it is one task, which ends with the
    last answer, or with the first that fails.
    """

    input_data: dict[str, str] = {}
    priority: int = 0
    request_id: str | None = None
    principal: str = "local"


class ConfirmToolCall(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag=True):
    """Let a tool call run that waits for it, or not; answered with the task id when that is durable.

    The first answer counts; the same one again is answered alike, another one is refused (`CONFLICT`). So
    is a `digest` that is not the call's: what the person saw is not what would be run.
    """

    call_id: str
    outcome: ConfirmationOutcome
    digest: str | None = None
    principal: str = "local"


class CancelToolCalls(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag=True):
    """Stop unfinished tool calls of the turn, those of `call_ids` or all; the turn goes on with that.

    Answered at once with the ids of those that were stopped.
    """

    call_ids: tuple[str, ...] | None = None
    principal: str = "local"


class WaitTurn(msgspec.Struct, frozen=True, tag=True):
    """Answered with the `TaskOutcome` when the task has ended or waits for a person.

    Also if it ended long ago.
    """

    task_id: str
    principal: str = "local"


class AbortTurn(msgspec.Struct, frozen=True, omit_defaults=True, tag=True):
    """Stop the turn, in whatever phase it is. Answered at once: True if there was one to stop.

    Without a task id the questions that are queued behind it are not asked any more either.
    """

    task_id: str | None = None
    principal: str = "local"


class DeleteMessage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag=True):
    """Remove a question with all its answers, or an answer with its tool calls.

    What followed it moves up. Answered with the ids that are gone, when that is durable.
    """

    message_id: str
    expected_version: int | None = None
    principal: str = "local"


class SwitchBranch(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag=True):
    """Make the branch visible that goes through this message, to its newest end; answered when durable."""

    message_id: str
    principal: str = "local"


class UpdateSession(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag=True):
    """Change the session itself; answered with its snapshot when that is durable."""

    changes: SessionChanges
    expected_version: int | None = None
    principal: str = "local"


class MarkRead(msgspec.Struct, frozen=True, omit_defaults=True, tag=True):
    """Nothing is unread any more; answered when that is durable."""

    principal: str = "local"


class GetSnapshot(msgspec.Struct, frozen=True, omit_defaults=True, tag=True):
    """Answered with a `SessionSnapshot`."""

    principal: str = "local"


class GetPage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag=True):
    """Answered with a `MessagePage` of at most `take` messages."""

    skip: int = 0
    take: int = 50
    principal: str = "local"


class Subscribe(msgspec.Struct, frozen=True, omit_defaults=True, tag=True):
    """From now on tell each event to the actor named `subscriber`, until that actor ends.

    Answered with a `SubscriptionStarted`, without a gap between it and the events: with a snapshot, unless
    the events since `cursor` are still there.
    """

    subscriber: str
    cursor: Cursor | None = None
    principal: str = "local"


SessionCommand: TypeAlias = (
    CreateSession
    | SubmitTurn
    | ResumeTurn
    | RetryAnswer
    | EditMessage
    | Rerun
    | ConfirmToolCall
    | CancelToolCalls
    | WaitTurn
    | AbortTurn
    | DeleteMessage
    | SwitchBranch
    | UpdateSession
    | MarkRead
    | GetSnapshot
    | GetPage
    | Subscribe
)


# --- from the registry ------------------------------------------------------------------------------


class Handover(msgspec.Struct, frozen=True):
    """What the events of the next incarnation go on from: the last number, and the latest of them."""

    epoch: int
    seq: int
    events: tuple[Event, ...] = ()


class Inheritance(msgspec.Struct, frozen=True, kw_only=True):
    """What a session is loaded with: who listens to it, where its file is, whether somebody looks at it.

    Without a `handover` the events since the last durable one are lost, and subscribers are told so.
    `failure` is why the last incarnation ended, if it did not end in order: an unfinished turn has failed
    with it.
    """

    subscribers: tuple[str, ...] = ()
    path: str | None = None
    handover: Handover | None = None
    active: bool = False
    failure: ErrorInfo | None = None


class SlotGranted(msgspec.Struct, frozen=True, tag=True):
    task_id: str


class SlotQueued(msgspec.Struct, frozen=True, tag=True):
    """No slot is free; one will be granted. `number` orders the admissions."""

    task_id: str
    number: int


class SlotRefused(msgspec.Struct, frozen=True, tag=True):
    task_id: str
    error: ErrorInfo


SlotNotice: TypeAlias = SlotGranted | SlotQueued | SlotRefused


class PrepareRelease(msgspec.Struct, frozen=True, omit_defaults=True, tag=True):
    """Settle, flush, then say `Passivate`. No command follows this until then.

    With `abort` an unfinished turn is stopped; else the session says `StaysLoaded` when there is one.
    """

    abort: bool = True


class SetActive(msgspec.Struct, frozen=True, tag=True):
    """Whether somebody looks at the session: what comes meanwhile is not unread."""

    active: bool


class ReportAdmission(msgspec.Struct, frozen=True, tag=True):
    """Say where you stand, to a registry that has forgotten; answered with `AdmissionReport`."""


class SubscriberEnded(msgspec.Struct, frozen=True, tag=True):
    subscriber: str


# --- from its own turn ------------------------------------------------------------------------------


class PartsArrived(msgspec.Struct, frozen=True, tag=True):
    task_id: str
    parts: tuple[Part, ...]


class CallDelayed(msgspec.Struct, frozen=True, tag=True):
    """The model call has to wait, and is made in so many seconds at the earliest, for one time more."""

    task_id: str
    attempt: int
    error: ErrorInfo
    retry_after_seconds: float


class TurnEnded(msgspec.Struct, frozen=True, tag=True):
    """The model call is over; `error` is None if it went to its end."""

    task_id: str
    error: ErrorInfo | None


class OutputArrived(msgspec.Struct, frozen=True, tag=True):
    """A running tool says something."""

    task_id: str
    call_id: str
    text: str


class ToolEnded(msgspec.Struct, frozen=True, tag=True):
    """A tool has ended; `output` is its result, or what went wrong."""

    task_id: str
    call_id: str
    status: ToolStatus
    output: str


class ToolStopped(msgspec.Struct, frozen=True, tag=True):
    """A tool call that was stopped, and is over by now, has ended."""

    task_id: str
    call_id: str


class ImagesRead(msgspec.Struct, frozen=True, tag=True):
    """What was read in the images of messages, by message id and in their order; or why it was not."""

    task_id: str
    texts: tuple[tuple[str, tuple[str, ...]], ...]
    error: ErrorInfo | None = None


class CallsStopped(msgspec.Struct, frozen=True, tag=True):
    """What the stop of this number was said to has ended."""

    number: int


SessionMessage: TypeAlias = (
    SessionCommand
    | SlotNotice
    | PrepareRelease
    | SetActive
    | ReportAdmission
    | SubscriberEnded
    | PartsArrived
    | CallDelayed
    | TurnEnded
    | OutputArrived
    | ToolEnded
    | ToolStopped
    | ImagesRead
    | CallsStopped
    | SessionLoaded
    | LoadFailed
    | Saved
    | SaveFailed
    | StoreLost
)


# --- to subscribers ---------------------------------------------------------------------------------


class EventPublished(msgspec.Struct, frozen=True, tag=True):
    event: Event | GlobalEvent


class EncodedEvent(msgspec.Struct, frozen=True, tag=True):
    """The event `seq` of `epoch` as JSON, the same bytes for all who asked for them by their name."""

    epoch: int
    seq: int
    data: bytes


class EventsLost(msgspec.Struct, frozen=True, tag=True):
    """The session was loaded again after a crash: some events are lost."""

    lagged: Lagged


class SubscriptionEnded(msgspec.Struct, frozen=True, omit_defaults=True, tag=True):
    """This was the last event: the session was deleted or unregistered, the engine closes, or `error`."""

    error: ErrorInfo | None = None


# --- to the registry, about itself ------------------------------------------------------------------


class AdmissionReport(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Where a session stands, and its task that has a slot or a place in the queue, or waits for either."""

    runtime: SessionRuntime
    task_id: str | None
    priority: int
    number: int
    has_slot: bool
    subscribers: tuple[str, ...]

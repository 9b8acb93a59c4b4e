"""What a session actor understands, and what it says."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from actors.conversation import Message, Part
from actors.errors import ErrorInfo
from actors.events import Event
from actors.persistence.protocol import LoadFailed, Saved, SaveFailed, SessionLoaded, StoreLost
from actors.records import SessionRecord

__all__ = [
    "AbortTurn",
    "CreateSession",
    "EventPublished",
    "GetSnapshot",
    "NewSession",
    "PartsArrived",
    "PrepareRelease",
    "ResumeTurn",
    "SessionCommand",
    "SessionMessage",
    "SessionSnapshot",
    "SlotGranted",
    "SlotNotice",
    "SlotQueued",
    "SlotRefused",
    "SubmitTurn",
    "Subscribe",
    "SubscriberEnded",
    "SubscriptionEnded",
    "TurnEnded",
    "WaitTurn",
    "session_name",
]


def session_name(session_id: str) -> str:
    """The actor name under which a loaded session is found."""
    return f"session/{session_id}"


class NewSession(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a new session starts with. `model` is `provider:model`."""

    title: str = ""
    model: str = ""
    system_prompt: str = ""
    owner_id: str = "local"
    project_id: str = "default"


class SessionSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """A session at one moment, after the event `seq` of `epoch`.

    `messages` is the visible branch; behind it stands the running answer, as far as it was streamed. It is
    the session as it is in memory: the last step may still be on its way to the store.
    """

    record: SessionRecord
    messages: tuple[Message, ...]
    epoch: int
    seq: int


# --- commands, each an ask; refused with an EngineError ---------------------------------------------


class CreateSession(msgspec.Struct, frozen=True, omit_defaults=True, tag=True):
    """Make the session; `CONFLICT` if there is one. Answered with its snapshot when it is durable."""

    new: NewSession
    principal: str = "local"


class SubmitTurn(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag=True):
    """Ask a question. Answered with the task id when the question is durable, not when it is answered."""

    text: str
    priority: int = 0
    principal: str = "local"


class ResumeTurn(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag=True):
    """Answer the last question of the visible branch, which has no complete answer; as `SubmitTurn`."""

    priority: int = 0
    principal: str = "local"


class WaitTurn(msgspec.Struct, frozen=True, tag=True):
    """Answered with the `TaskOutcome` when the task has ended, also if it ended long ago."""

    task_id: str
    principal: str = "local"


class AbortTurn(msgspec.Struct, frozen=True, omit_defaults=True, tag=True):
    """Stop the turn, in whatever phase it is. Answered at once: True if there was one to stop."""

    task_id: str | None = None
    principal: str = "local"


class GetSnapshot(msgspec.Struct, frozen=True, omit_defaults=True, tag=True):
    """Answered with a `SessionSnapshot`."""

    principal: str = "local"


class Subscribe(msgspec.Struct, frozen=True, omit_defaults=True, tag=True):
    """From now on tell each event to the actor named `subscriber`, until that actor ends.

    Answered with the `SessionSnapshot` after which the events follow, without a gap between the two.
    """

    subscriber: str
    principal: str = "local"


SessionCommand: TypeAlias = (
    CreateSession | SubmitTurn | ResumeTurn | WaitTurn | AbortTurn | GetSnapshot | Subscribe
)


# --- from the registry ------------------------------------------------------------------------------


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


class PrepareRelease(msgspec.Struct, frozen=True, tag=True):
    """Settle (an unfinished turn is aborted), flush, then say `Passivate`. No command follows this."""


# --- from its own turn ------------------------------------------------------------------------------


class PartsArrived(msgspec.Struct, frozen=True, tag=True):
    task_id: str
    parts: tuple[Part, ...]


class TurnEnded(msgspec.Struct, frozen=True, tag=True):
    """The model call is over; `error` is None if it went to its end."""

    task_id: str
    error: ErrorInfo | None


# --- from the runtime -------------------------------------------------------------------------------


class SubscriberEnded(msgspec.Struct, frozen=True, tag=True):
    subscriber: str


SessionMessage: TypeAlias = (
    SessionCommand
    | SlotNotice
    | PrepareRelease
    | PartsArrived
    | TurnEnded
    | SubscriberEnded
    | SessionLoaded
    | LoadFailed
    | Saved
    | SaveFailed
    | StoreLost
)


# --- to subscribers ---------------------------------------------------------------------------------


class EventPublished(msgspec.Struct, frozen=True, tag=True):
    event: Event


class SubscriptionEnded(msgspec.Struct, frozen=True, tag=True):
    """The session was unloaded, or it failed: this was the last that it says."""

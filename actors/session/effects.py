"""What a session wants done: the outcome of `decide`, performed by its actor."""

from __future__ import annotations

from datetime import datetime
from typing import TypeAlias

import msgspec

from actors.conversation import Image, ToolCall
from actors.errors import ErrorInfo
from actors.events import Event, Lagged
from actors.models.base import ModelRequest
from actors.records import SessionWrite
from actors.registry.protocol import (
    Passivate,
    RequestSlot,
    ReturnSlot,
    SessionNotice,
    StaysLoaded,
    SubscriberRefused,
)
from actors.session.protocol import AdmissionReport

__all__ = [
    "Answered",
    "CallModel",
    "CancelTask",
    "CancelTools",
    "Effect",
    "Load",
    "Now",
    "Persist",
    "Publish",
    "ReadImages",
    "RefuseAll",
    "Refused",
    "RunTool",
    "TellLost",
    "TellRegistry",
]


class Now(msgspec.Struct, frozen=True):
    """The time, twice: `at` for people and records, `seconds` of a clock that never jumps for durations."""

    at: datetime
    seconds: float


class Load(msgspec.Struct, frozen=True):
    """Claim the session from the store."""

    session_id: str


class Persist(msgspec.Struct, frozen=True):
    write: SessionWrite
    immediate: bool


class TellRegistry(msgspec.Struct, frozen=True):
    message: (
        RequestSlot
        | ReturnSlot
        | Passivate
        | StaysLoaded
        | SessionNotice
        | SubscriberRefused
        | AdmissionReport
    )


class CallModel(msgspec.Struct, frozen=True):
    task_id: str
    model: str
    request: ModelRequest
    priority: int = 0


class RunTool(msgspec.Struct, frozen=True):
    task_id: str
    call: ToolCall


class ReadImages(msgspec.Struct, frozen=True):
    """Read the text in the images of these messages, by message id."""

    task_id: str
    images: tuple[tuple[str, tuple[Image, ...]], ...]


class CancelTools(msgspec.Struct, frozen=True):
    """Stop these tool calls; nothing of them is wanted any more.

    `ToolStopped` says of each when it has ended.
    """

    task_id: str
    call_ids: tuple[str, ...]


class CancelTask(msgspec.Struct, frozen=True):
    """Stop the running model call and all tools; nothing of them is wanted any more.

    When all of them have ended, `CallsStopped(number)` says so.
    """

    number: int


class Answered(msgspec.Struct, frozen=True):
    """Answer the asker with this number."""

    request: int
    value: object


class Refused(msgspec.Struct, frozen=True):
    request: int
    error: ErrorInfo


class RefuseAll(msgspec.Struct, frozen=True):
    """Refuse everybody who still waits for an answer."""

    error: ErrorInfo


class Publish(msgspec.Struct, frozen=True):
    event: Event
    subscribers: tuple[str, ...]


class TellLost(msgspec.Struct, frozen=True):
    lagged: Lagged
    subscribers: tuple[str, ...]


Effect: TypeAlias = (
    Load
    | Persist
    | TellRegistry
    | CallModel
    | RunTool
    | ReadImages
    | CancelTools
    | CancelTask
    | Answered
    | Refused
    | RefuseAll
    | Publish
    | TellLost
)

"""What a session wants done: the outcome of `decide`, performed by its actor."""

from __future__ import annotations

from datetime import datetime
from typing import TypeAlias

import msgspec

from actors.conversation import ToolCall
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
    "Effect",
    "Load",
    "Now",
    "Persist",
    "Publish",
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


class RunTool(msgspec.Struct, frozen=True):
    task_id: str
    call: ToolCall


class CancelTask(msgspec.Struct, frozen=True):
    """Stop the running model call and all tools; nothing of them is wanted any more."""


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
    | CancelTask
    | Answered
    | Refused
    | RefuseAll
    | Publish
    | TellLost
)

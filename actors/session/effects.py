"""What a session wants done: the outcome of `decide`, performed by its actor."""

from __future__ import annotations

from datetime import datetime
from typing import TypeAlias

import msgspec

from actors.errors import ErrorInfo
from actors.events import Event
from actors.models.base import ModelRequest
from actors.records import SessionWrite
from actors.registry.protocol import Passivate, RequestSlot, ReturnSlot

__all__ = [
    "Answered",
    "CallModel",
    "CancelCall",
    "Effect",
    "Load",
    "Now",
    "Persist",
    "Publish",
    "Refused",
    "TellRegistry",
    "WatchSubscriber",
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
    message: RequestSlot | ReturnSlot | Passivate


class CallModel(msgspec.Struct, frozen=True):
    task_id: str
    model: str
    request: ModelRequest


class CancelCall(msgspec.Struct, frozen=True):
    """Stop the running model call; nothing of it is wanted any more."""


class Answered(msgspec.Struct, frozen=True):
    """Answer the asker with this number."""

    request: int
    value: object


class Refused(msgspec.Struct, frozen=True):
    request: int
    error: ErrorInfo


class Publish(msgspec.Struct, frozen=True):
    event: Event
    subscribers: tuple[str, ...]


class WatchSubscriber(msgspec.Struct, frozen=True):
    """Say `SubscriberEnded` when the actor with this name has ended; at once if there is none."""

    subscriber: str


Effect: TypeAlias = (
    Load | Persist | TellRegistry | CallModel | CancelCall | Answered | Refused | Publish | WatchSubscriber
)

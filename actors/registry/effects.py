"""What the registry wants done: the outcome of a decision, performed by its actor."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from actors.errors import ErrorInfo
from actors.persistence.protocol import OpenChatFile, RemoveSession, StoreLost
from actors.session.protocol import (
    EventPublished,
    Inheritance,
    PrepareRelease,
    ReportAdmission,
    SessionCommand,
    SetActive,
    SlotNotice,
    SubscriberEnded,
    SubscriptionEnded,
)

__all__ = [
    "Answered",
    "Effect",
    "Forward",
    "Refused",
    "SetCleanup",
    "Spawn",
    "StopSession",
    "TellPersistence",
    "TellSession",
    "TellSubscribers",
    "WatchSubscriber",
]


class Spawn(msgspec.Struct, frozen=True):
    """Start the actor of a session, and watch it."""

    session_id: str
    inheritance: Inheritance


class StopSession(msgspec.Struct, frozen=True):
    session_id: str


class TellSession(msgspec.Struct, frozen=True):
    session_id: str
    message: PrepareRelease | ReportAdmission | SetActive | SlotNotice | StoreLost | SubscriberEnded


class Forward(msgspec.Struct, frozen=True):
    """Give a command to a session, with the right to answer the asker with this number; 0 is nobody."""

    session_id: str
    command: SessionCommand
    request: int


class TellPersistence(msgspec.Struct, frozen=True):
    message: OpenChatFile | RemoveSession


class TellSubscribers(msgspec.Struct, frozen=True):
    subscribers: tuple[str, ...]
    message: EventPublished | SubscriptionEnded


class WatchSubscriber(msgspec.Struct, frozen=True):
    """Notice when the subscriber ends, also if it already has."""

    name: str


class SetCleanup(msgspec.Struct, frozen=True):
    """Clean up every so often from now on; never with None."""

    interval_seconds: float | None


class Answered(msgspec.Struct, frozen=True):
    """Answer the asker with this number."""

    request: int
    value: object = None


class Refused(msgspec.Struct, frozen=True):
    request: int
    error: ErrorInfo


Effect: TypeAlias = (
    Spawn
    | StopSession
    | TellSession
    | Forward
    | TellPersistence
    | TellSubscribers
    | WatchSubscriber
    | SetCleanup
    | Answered
    | Refused
)

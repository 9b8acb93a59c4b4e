"""What the registry actor understands."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from actors.errors import ErrorInfo
from actors.session.protocol import SessionCommand

__all__ = [
    "REGISTRY_NAME",
    "CloseAll",
    "Deliver",
    "GetPoolStatus",
    "Passivate",
    "PoolStatus",
    "RegistryCommand",
    "ReleaseSession",
    "RequestSlot",
    "ReturnSlot",
    "SetMaxConcurrent",
]

REGISTRY_NAME = "registry"


class Deliver(msgspec.Struct, frozen=True, tag=True):
    """Hand a command to a session, which is loaded first if need be; the session answers."""

    session_id: str
    command: SessionCommand


class ReleaseSession(msgspec.Struct, frozen=True, tag=True):
    """Unload a session, aborting its unfinished turn; it stays in the store.

    Answered when everything is durable and it is gone.

    Refused with the session's error if it ended without that.
    """

    session_id: str


class CloseAll(msgspec.Struct, frozen=True, tag=True):
    """Abort what runs, unload all sessions, take no more commands. Answered when the last one is gone."""


class SetMaxConcurrent(msgspec.Struct, frozen=True, tag=True):
    """Change the number of run slots, at least 1. Running turns are never stopped by this."""

    value: int


class GetPoolStatus(msgspec.Struct, frozen=True, tag=True):
    """Answered with `PoolStatus`."""


class PoolStatus(msgspec.Struct, frozen=True):
    """`available` counts free run slots, `queue_available` free places in the queue."""

    running: int
    queued: int
    loaded: int
    max_concurrent: int
    available: int
    queue_available: int


# --- from sessions ----------------------------------------------------------------------------------


class RequestSlot(msgspec.Struct, frozen=True, tag=True):
    """Answered with a `SlotNotice`, and with `SlotGranted` later if that said `SlotQueued`."""

    session_id: str
    task_id: str
    priority: int


class ReturnSlot(msgspec.Struct, frozen=True, tag=True):
    """The task needs its slot, or its place in the queue, no longer. Twice is once."""

    session_id: str
    task_id: str


class Passivate(msgspec.Struct, frozen=True, omit_defaults=True, tag=True):
    """The session has nothing left to do, or with `error` cannot go on: hold its mail and stop it.

    The handshake of Akka's cluster sharding: a session that stopped by itself would take the commands
    along that are on their way to it.
    """

    session_id: str
    error: ErrorInfo | None = None


RegistryCommand: TypeAlias = (
    Deliver
    | ReleaseSession
    | CloseAll
    | SetMaxConcurrent
    | GetPoolStatus
    | RequestSlot
    | ReturnSlot
    | Passivate
)

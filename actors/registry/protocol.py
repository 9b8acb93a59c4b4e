"""What the registry actor understands."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from actors.errors import ErrorInfo
from actors.persistence.protocol import ChatOpened, ChatRefused, SessionDeleted
from actors.records import SessionRuntime
from actors.session.protocol import AdmissionReport, Handover, SessionCommand

__all__ = [
    "REGISTRY_NAME",
    "CleanUpIdle",
    "CloseAll",
    "DeleteSession",
    "Deliver",
    "GetActive",
    "GetPoolStatus",
    "GetRuntime",
    "GetStatistics",
    "ListRuntimes",
    "OpenChat",
    "Passivate",
    "RegisterSession",
    "RegistryCommand",
    "RegistryStatistics",
    "ReleaseSession",
    "RequestSlot",
    "ReturnSlot",
    "SessionNotice",
    "SetActiveSession",
    "SetMaxConcurrent",
    "StartAutoCleanup",
    "StaysLoaded",
    "StopAutoCleanup",
    "SubscribeAll",
    "SubscriberRefused",
    "UnregisterSession",
    "global_subscriber_name",
]

REGISTRY_NAME = "registry"


def global_subscriber_name(unique: str) -> str:
    """The actor name under which a restarted registry finds who listens to all sessions."""
    return f"global-subscriber/{unique}"


class Deliver(msgspec.Struct, frozen=True, omit_defaults=True, tag=True):
    """Hand a command to a session, which is loaded first if need be; the session answers.

    Unless `touch` is False the session counts as used now.
    """

    session_id: str
    command: SessionCommand
    touch: bool = True


class OpenChat(msgspec.Struct, frozen=True, omit_defaults=True, tag=True):
    """Find the session of a chat file; answered with its id.

    `path` is canonical: absolute, without links. Refused with `SESSION_MISMATCH`, naming both, when it is
    not the session `expected_id`. Reads the file only if it is not open yet.
    """

    path: str
    expected_id: str | None = None
    principal: str = "local"


class RegisterSession(msgspec.Struct, frozen=True, omit_defaults=True, tag=True):
    """Load a session and keep it known until it is unregistered; answered with its `SessionRuntime`.

    Twice is once.
    """

    session_id: str
    principal: str = "local"


class UnregisterSession(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag=True):
    """Unload and forget a session; it stays in the store. Answered when it is gone.

    An unfinished turn refuses it with `SESSION_BUSY`, unless it is to be stopped (`force`), or to go on
    (`keep_in_background`): then the session is unloaded when it ends, and stays known while it has unread
    answers. `SESSION_NOT_FOUND` for one that is not known.
    """

    session_id: str
    force: bool = False
    keep_in_background: bool = False
    principal: str = "local"


class DeleteSession(msgspec.Struct, frozen=True, omit_defaults=True, tag=True):
    """Stop a session's turn, unload it, remove it from the store; answered when that is durable."""

    session_id: str
    principal: str = "local"


class ReleaseSession(msgspec.Struct, frozen=True, omit_defaults=True, tag=True):
    """Unload a session, aborting its unfinished turn; it stays in the store.

    Answered when everything is durable and it is gone.

    Refused with the session's error if it ended without that.
    """

    session_id: str
    principal: str = "local"


class CloseAll(msgspec.Struct, frozen=True, omit_defaults=True, tag=True):
    """Abort what runs, unload all sessions, take no more commands. Answered when the last one is gone."""

    principal: str = "local"


class SetMaxConcurrent(msgspec.Struct, frozen=True, omit_defaults=True, tag=True):
    """Change the number of run slots, at least 1. Running turns are never stopped by this."""

    value: int
    principal: str = "local"


class GetPoolStatus(msgspec.Struct, frozen=True, omit_defaults=True, tag=True):
    """Answered with `PoolStatus`."""

    principal: str = "local"


class SetActiveSession(msgspec.Struct, frozen=True, omit_defaults=True, tag=True):
    """Somebody looks at this session now, or at none; nothing of it is unread. Answered when that holds.

    It must be known, else `SESSION_NOT_FOUND`.
    """

    session_id: str | None
    principal: str = "local"


class GetActive(msgspec.Struct, frozen=True, omit_defaults=True, tag=True):
    """Answered with the id of the active session, or None."""

    principal: str = "local"


class GetRuntime(msgspec.Struct, frozen=True, omit_defaults=True, tag=True):
    """Answered with the `SessionRuntime` of a session that is known, else None. Loads nothing."""

    session_id: str
    principal: str = "local"


class ListRuntimes(msgspec.Struct, frozen=True, omit_defaults=True, tag=True):
    """Answered with the `SessionRuntime` of every known session that the principal may see.

    In the order in which they became known.
    """

    principal: str = "local"


class StartAutoCleanup(msgspec.Struct, frozen=True, omit_defaults=True, tag=True):
    """Clean up every so often, in place of what was started before."""

    interval_seconds: float
    max_idle_seconds: float
    principal: str = "local"


class StopAutoCleanup(msgspec.Struct, frozen=True, omit_defaults=True, tag=True):
    """Clean up by itself no more."""

    principal: str = "local"


class CleanUpIdle(msgspec.Struct, frozen=True, omit_defaults=True, tag=True):
    """Unload and forget the sessions that nobody used for so long; answered with how many these are.

    Those with an unfinished turn, and the active one, are none of them.
    """

    max_idle_seconds: float
    principal: str = "local"


class SubscribeAll(msgspec.Struct, frozen=True, omit_defaults=True, tag=True):
    """Tell each `GlobalEvent` to the actor named `subscriber`, until that ends.

    Answered with the number of the last event before them. One whose name `global_subscriber_name` gave is
    found again by a registry that was restarted: its first event is number 1, `ActorRestarted`.
    """

    subscriber: str
    principal: str = "local"


class GetStatistics(msgspec.Struct, frozen=True, omit_defaults=True, tag=True):
    """Answered with `RegistryStatistics`."""

    principal: str = "local"


class RegistryStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """Counts since the registry began: sessions loaded, evicted, crashed; and now: known ones, events.

    `over_cap` counts the sessions that are loaded beyond the cap because all others were in use.
    """

    known: int
    loaded: int
    over_cap: int
    loads: int
    evictions: int
    crashes: int
    global_events: int


# --- from sessions ----------------------------------------------------------------------------------


class RequestSlot(msgspec.Struct, frozen=True, omit_defaults=True, tag=True):
    """Answered with a `SlotNotice`, and with `SlotGranted` later if that said `SlotQueued`.

    One that was `admitted` before always gets a place in the queue; as `first` it is the next to run.
    """

    session_id: str
    task_id: str
    priority: int
    admitted: bool = False
    first: bool = False


class ReturnSlot(msgspec.Struct, frozen=True, omit_defaults=True, tag=True):
    """The task needs its slot, or its place in the queue, no longer. Twice is once.

    `waiting`: it waits for a person, and will ask for a slot again.
    """

    session_id: str
    task_id: str
    waiting: bool = False


class Passivate(msgspec.Struct, frozen=True, omit_defaults=True, tag=True):
    """The session has nothing left to do, or with `error` cannot go on: hold its mail and stop it.

    The handshake of Akka's cluster sharding: a session that stopped by itself would take the commands
    along that are on their way to it.
    """

    session_id: str
    handover: Handover | None = None
    error: ErrorInfo | None = None


class StaysLoaded(msgspec.Struct, frozen=True, omit_defaults=True, tag=True):
    """The session was to be unloaded, and has something to do: a turn, or with `error` writes that fail."""

    session_id: str
    error: ErrorInfo | None = None


class SessionNotice(msgspec.Struct, frozen=True, tag=True):
    """Something that a session's `SessionRuntime` shows has changed."""

    runtime: SessionRuntime


class SubscriberRefused(msgspec.Struct, frozen=True, tag=True):
    """The session tells this subscriber nothing, nor is its next incarnation to."""

    session_id: str
    subscriber: str


RegistryCommand: TypeAlias = (
    Deliver
    | OpenChat
    | RegisterSession
    | UnregisterSession
    | DeleteSession
    | ReleaseSession
    | CloseAll
    | SetMaxConcurrent
    | GetPoolStatus
    | SetActiveSession
    | GetActive
    | GetRuntime
    | ListRuntimes
    | StartAutoCleanup
    | StopAutoCleanup
    | CleanUpIdle
    | SubscribeAll
    | GetStatistics
    | RequestSlot
    | ReturnSlot
    | Passivate
    | StaysLoaded
    | SessionNotice
    | SubscriberRefused
    | AdmissionReport
    | ChatOpened
    | ChatRefused
    | SessionDeleted
)

"""What the registry's listeners are told: `{"type": ..., "payload": {...}}`."""

from __future__ import annotations

from datetime import datetime
from typing import TypeAlias, assert_never

import msgspec

from actors import events
from actors.events import GlobalEvent
from actors.projections.orchestrator_events import ErrorDocument
from actors.projections.statuses import VIEW_STATUS
from actors.records import PoolStatus, SessionRuntime, SessionStatus

__all__ = [
    "PoolPayload",
    "PoolStatusChanged",
    "RegistryEvent",
    "RegistryProjection",
    "RuntimeDocument",
    "SessionPayload",
    "SessionRegistered",
    "SessionStatusChanged",
    "SessionUnreadUpdated",
    "SessionUnregistered",
    "StatusPayload",
    "UnreadPayload",
]


class SessionPayload(msgspec.Struct, frozen=True, rename="camel"):
    session_id: str


class SessionRegistered(msgspec.Struct, frozen=True, tag="session_registered", tag_field="type"):
    payload: SessionPayload


class SessionUnregistered(msgspec.Struct, frozen=True, tag="session_unregistered", tag_field="type"):
    payload: SessionPayload


class StatusPayload(msgspec.Struct, frozen=True, rename="camel"):
    session_id: str
    status: SessionStatus


class SessionStatusChanged(msgspec.Struct, frozen=True, tag="session_status_changed", tag_field="type"):
    """One of the six statuses that views know, and another one than before."""

    payload: StatusPayload


class UnreadPayload(msgspec.Struct, frozen=True, rename="camel"):
    session_id: str
    count: int


class SessionUnreadUpdated(msgspec.Struct, frozen=True, tag="session_unread_updated", tag_field="type"):
    payload: UnreadPayload


class PoolPayload(msgspec.Struct, frozen=True, rename="camel"):
    """`available` is how many more turns could run at once."""

    running: int
    queued: int
    max_concurrent: int
    available: int

    @classmethod
    def of(cls, status: PoolStatus) -> PoolPayload:
        available = max(0, status.max_concurrent - status.running)
        return cls(status.running, status.queued, status.max_concurrent, available)


class PoolStatusChanged(msgspec.Struct, frozen=True, tag="pool_status_changed", tag_field="type"):
    payload: PoolPayload


RegistryEvent: TypeAlias = (
    SessionRegistered
    | SessionUnregistered
    | SessionStatusChanged
    | SessionUnreadUpdated
    | PoolStatusChanged
)


class RuntimeDocument(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """A session as the registry lists it. `node_id` is its chat file, or without one its own id."""

    session_id: str
    node_id: str
    status: SessionStatus
    last_active_time: datetime
    unread_count: int
    current_task_id: str | None = None
    error: ErrorDocument | None = None

    @classmethod
    def of(cls, runtime: SessionRuntime) -> RuntimeDocument:
        return cls(
            session_id=runtime.session_id,
            node_id=runtime.path or runtime.session_id,
            status=VIEW_STATUS[runtime.status],
            last_active_time=runtime.last_active_at,
            unread_count=runtime.unread_count,
            current_task_id=runtime.task_id,
            error=None if runtime.error is None else ErrorDocument.of(runtime.error),
        )


class RegistryProjection:
    """Follows the registry. Two statuses that are one to its listeners are told once."""

    def __init__(self) -> None:
        self._told: dict[str, SessionStatus] = {}

    def apply(self, event: GlobalEvent) -> tuple[RegistryEvent, ...]:
        """What the listeners are told of this event, in order."""
        body = event.body
        if isinstance(body, events.PoolStatusChanged):
            return (PoolStatusChanged(PoolPayload.of(body.status)),)
        if event.session_id is None:
            return ()
        match body:
            case events.SessionRegistered():
                return (SessionRegistered(SessionPayload(event.session_id)),)
            case events.SessionUnregistered():
                self._told.pop(event.session_id, None)
                return (SessionUnregistered(SessionPayload(event.session_id)),)
            case events.SessionStatusChanged(status):
                return self._stands(event.session_id, VIEW_STATUS[status])
            case events.SessionFailed():
                return self._stands(event.session_id, SessionStatus.FAILED)
            case events.SessionUnreadUpdated(count):
                return (SessionUnreadUpdated(UnreadPayload(event.session_id, count)),)
            case events.PersistenceFailed() | events.ActorRestarted():
                return ()
            case _:
                assert_never(body)

    def _stands(self, session_id: str, status: SessionStatus) -> tuple[RegistryEvent, ...]:
        if self._told.get(session_id) is status:
            return ()
        self._told[session_id] = status
        return (SessionStatusChanged(StatusPayload(session_id, status)),)

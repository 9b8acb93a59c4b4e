"""All known sessions as a list shows them: a fold of the registry's runtimes and the events after it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import assert_never

import msgspec

from actors.events import (
    ActorRestarted,
    GlobalEvent,
    PersistenceFailed,
    PoolStatusChanged,
    SessionFailed,
    SessionRegistered,
    SessionStatusChanged,
    SessionUnreadUpdated,
    SessionUnregistered,
)
from actors.records import PoolStatus, SessionRuntime, SessionStatus

__all__ = ["RegistryViewModel"]

_NO_POOL = PoolStatus(
    running=0, queued=0, waiting=0, loaded=0, max_concurrent=3, available=3, queue_available=10
)


class RegistryViewModel:
    """The sessions in the order in which they became known, and the pool.

    Events carry what they announce and no more: of a session that was registered after the list was taken
    the title, path and counts are missing until `refresh` is given the list again. Not for several threads
    at once.
    """

    def __init__(
        self,
        runtimes: Iterable[SessionRuntime] = (),
        pool_status: PoolStatus = _NO_POOL,
        *,
        seq: int = 0,
        active_session_id: str | None = None,
    ) -> None:
        """`seq` is the number of the last event that the list has already."""
        self.active_session_id = active_session_id
        self._pool_status = pool_status
        self._seq = seq
        self.refresh(runtimes)

    def refresh(self, runtimes: Iterable[SessionRuntime]) -> None:
        """Take the registry's list as it is now; events that it has already repeat it."""
        self._sessions = {runtime.session_id: runtime for runtime in runtimes}

    @property
    def pool_status(self) -> PoolStatus:
        return self._pool_status

    @property
    def sessions(self) -> tuple[SessionRuntime, ...]:
        return tuple(self._sessions.values())

    @property
    def running_sessions(self) -> tuple[SessionRuntime, ...]:
        return self._of_status(SessionStatus.RUNNING)

    @property
    def failed_sessions(self) -> tuple[SessionRuntime, ...]:
        return self._of_status(SessionStatus.FAILED)

    @property
    def unread_sessions(self) -> tuple[SessionRuntime, ...]:
        return tuple(runtime for runtime in self._sessions.values() if runtime.unread_count)

    def apply(self, event: GlobalEvent) -> None:
        """Take the next event. One that the list has already changes nothing.

        A registry that failed and is back counts from 1 again, and tells again what has changed meanwhile.
        """
        if event.seq <= self._seq and not isinstance(event.body, ActorRestarted):
            return
        self._seq = event.seq
        if isinstance(event.body, PoolStatusChanged):
            self._pool_status = event.body.status
            return
        session_id = event.session_id
        if session_id is None:
            return
        match event.body:
            case SessionRegistered():
                if session_id not in self._sessions:
                    self._sessions[session_id] = SessionRuntime(
                        session_id=session_id, status=SessionStatus.IDLE, last_active_at=event.at
                    )
            case SessionUnregistered():
                self._sessions.pop(session_id, None)
                if self.active_session_id == session_id:
                    self.active_session_id = None
            case SessionStatusChanged(status, error):
                self._change(session_id, status=status, error=error, last_active_at=event.at)
            case SessionFailed(error):
                self._change(session_id, status=SessionStatus.FAILED, error=error, task_id=None)
            case SessionUnreadUpdated(count):
                self._change(session_id, unread_count=count)
            case PersistenceFailed() | ActorRestarted():
                pass
            case _:
                assert_never(event.body)

    def _of_status(self, status: SessionStatus) -> tuple[SessionRuntime, ...]:
        return tuple(runtime for runtime in self._sessions.values() if runtime.status is status)

    def _change(self, session_id: str, **changes: object) -> None:
        runtime = self._sessions.get(session_id)
        if runtime is not None:
            self._sessions[session_id] = msgspec.structs.replace(runtime, **changes)

"""What happens in all sessions, said in one line."""

from __future__ import annotations

from collections.abc import Iterable

from actors.events import GlobalEvent, SessionStatusChanged
from actors.records import PoolStatus, SessionRuntime, SessionStatus

__all__ = ["finished_notice", "status_line"]

_ID_SHOWN = 8


def status_line(pool: PoolStatus, sessions: Iterable[SessionRuntime]) -> str:
    """Running and queued turns, the ids of those that run, and how many answers nobody has seen."""
    sessions = tuple(sessions)
    pieces = [f"{pool.running}/{pool.max_concurrent} running", f"{pool.queued} queued"]
    running = [
        f"{runtime.session_id[:_ID_SHOWN]}..."
        for runtime in sessions
        if runtime.status is SessionStatus.RUNNING
    ]
    if running:
        pieces.append(f"Running: {' '.join(running)}")
    unread = sum(runtime.unread_count for runtime in sessions)
    if unread:
        pieces.append(f"{unread} unread")
    return " | ".join(pieces)


def finished_notice(event: GlobalEvent, active_session_id: str | None) -> str | None:
    """What to say of a turn that came to its end in a session at which nobody looks; else None."""
    if (
        isinstance(event.body, SessionStatusChanged)
        and event.body.status in (SessionStatus.COMPLETED, SessionStatus.MAX_TURNS_REACHED)
        and event.session_id is not None
        and event.session_id != active_session_id
    ):
        return f"Session {event.session_id[:_ID_SHOWN]} finished"
    return None

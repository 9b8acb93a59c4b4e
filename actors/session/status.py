"""The status table of a session."""

from __future__ import annotations

from actors.errors import EngineError, ErrorCode
from actors.records import SessionStatus

__all__ = ["BUSY", "TRANSITIONS", "check_transition"]

# The last two: a question that was taken while another turn was unfinished, and could not be asked.
_READY_STEPS = frozenset(
    {SessionStatus.QUEUED, SessionStatus.RUNNING, SessionStatus.ABORTED, SessionStatus.FAILED}
)

BUSY = frozenset({SessionStatus.QUEUED, SessionStatus.RUNNING, SessionStatus.WAITING_CONFIRMATION})
"""A session in one of these has an unfinished turn and takes no other."""

TRANSITIONS: dict[SessionStatus, frozenset[SessionStatus]] = {
    SessionStatus.IDLE: _READY_STEPS,
    SessionStatus.QUEUED: frozenset(
        {SessionStatus.RUNNING, SessionStatus.ABORTED, SessionStatus.FAILED},
    ),
    SessionStatus.RUNNING: frozenset(
        {
            SessionStatus.WAITING_CONFIRMATION,
            SessionStatus.COMPLETED,
            SessionStatus.FAILED,
            SessionStatus.ABORTED,
            SessionStatus.MAX_TURNS_REACHED,
        }
    ),
    SessionStatus.WAITING_CONFIRMATION: frozenset(
        {SessionStatus.QUEUED, SessionStatus.RUNNING, SessionStatus.ABORTED, SessionStatus.FAILED}
    ),
    SessionStatus.COMPLETED: _READY_STEPS,
    SessionStatus.FAILED: _READY_STEPS,
    SessionStatus.ABORTED: _READY_STEPS,
    SessionStatus.MAX_TURNS_REACHED: _READY_STEPS,
}


def check_transition(current: SessionStatus, following: SessionStatus) -> None:
    """Refuse a step that the table does not have.

    Raises:
        EngineError: `SESSION_INVALID`, naming both.
    """
    if following not in TRANSITIONS[current]:
        raise EngineError(
            ErrorCode.SESSION_INVALID, f"a session cannot go from {current.value} to {following.value}"
        )

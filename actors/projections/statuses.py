"""What a session, a tool call and an answer are called by those who have fewer words for it.

Each table is total: `tests/actors/projections/test_statuses.py`.
"""

from __future__ import annotations

from actors.conversation import MessageState, ToolStatus
from actors.groups import NodeStatus
from actors.records import CallState, SessionStatus

__all__ = [
    "CHAT_STATUS",
    "NODE_STATUS_OF_CALL",
    "NODE_STATUS_OF_MESSAGE",
    "NODE_STATUS_OF_RESULT",
    "NODE_STATUS_OF_TASK",
    "VIEW_STATUS",
    "WIRE_STATE",
    "is_generating",
]

VIEW_STATUS: dict[SessionStatus, SessionStatus] = {
    SessionStatus.IDLE: SessionStatus.IDLE,
    SessionStatus.QUEUED: SessionStatus.QUEUED,
    SessionStatus.RUNNING: SessionStatus.RUNNING,
    SessionStatus.WAITING_CONFIRMATION: SessionStatus.RUNNING,
    SessionStatus.COMPLETED: SessionStatus.COMPLETED,
    SessionStatus.MAX_TURNS_REACHED: SessionStatus.COMPLETED,
    SessionStatus.FAILED: SessionStatus.FAILED,
    SessionStatus.ABORTED: SessionStatus.ABORTED,
}
"""The six that views and the registry's listeners know."""

WIRE_STATE: dict[SessionStatus, str] = {
    SessionStatus.IDLE: "IDLE",
    SessionStatus.QUEUED: "QUEUED",
    SessionStatus.RUNNING: "RUNNING",
    SessionStatus.WAITING_CONFIRMATION: "RUNNING",
    SessionStatus.COMPLETED: "COMPLETED",
    SessionStatus.MAX_TURNS_REACHED: "COMPLETED",
    SessionStatus.FAILED: "FAILED",
    SessionStatus.ABORTED: "CANCELLED",
}
"""The states of a session in the service's documents."""

CHAT_STATUS: dict[SessionStatus, str] = {
    SessionStatus.IDLE: "idle",
    SessionStatus.QUEUED: "processing",
    SessionStatus.RUNNING: "processing",
    SessionStatus.WAITING_CONFIRMATION: "waiting_confirmation",
    SessionStatus.COMPLETED: "idle",
    SessionStatus.MAX_TURNS_REACHED: "max_turns_reached",
    SessionStatus.FAILED: "idle",
    SessionStatus.ABORTED: "idle",
}
"""The four of a chat file's session."""

NODE_STATUS_OF_CALL: dict[CallState, NodeStatus] = {
    CallState.AWAITING_APPROVAL: NodeStatus.PENDING,
    CallState.SCHEDULED: NodeStatus.PENDING,
    CallState.EXECUTING: NodeStatus.RUNNING,
    CallState.SUCCESS: NodeStatus.SUCCESS,
    CallState.ERROR: NodeStatus.FAILED,
    CallState.CANCELLED: NodeStatus.CANCELLED,
}
"""A tool call of a running turn; one that was denied is cancelled."""

NODE_STATUS_OF_RESULT: dict[ToolStatus, NodeStatus] = {
    ToolStatus.SUCCEEDED: NodeStatus.SUCCESS,
    ToolStatus.FAILED: NodeStatus.FAILED,
    ToolStatus.CANCELLED: NodeStatus.CANCELLED,
    ToolStatus.UNKNOWN: NodeStatus.FAILED,
}
"""A tool call that has its result. Of one whose end nobody saw, nobody may rely on the effect."""

NODE_STATUS_OF_MESSAGE: dict[MessageState, NodeStatus] = {
    MessageState.STREAMING: NodeStatus.RUNNING,
    MessageState.COMPLETE: NodeStatus.SUCCESS,
    MessageState.FAILED: NodeStatus.FAILED,
    MessageState.ABORTED: NodeStatus.CANCELLED,
}
"""An answer, by the state of its last message."""

NODE_STATUS_OF_TASK: dict[SessionStatus, NodeStatus] = {
    SessionStatus.IDLE: NodeStatus.PENDING,
    SessionStatus.QUEUED: NodeStatus.PENDING,
    SessionStatus.RUNNING: NodeStatus.RUNNING,
    SessionStatus.WAITING_CONFIRMATION: NodeStatus.RUNNING,
    SessionStatus.COMPLETED: NodeStatus.SUCCESS,
    SessionStatus.MAX_TURNS_REACHED: NodeStatus.SUCCESS,
    SessionStatus.FAILED: NodeStatus.FAILED,
    SessionStatus.ABORTED: NodeStatus.CANCELLED,
}
"""An answer, by what became of its turn."""

_GENERATING = frozenset({SessionStatus.QUEUED, SessionStatus.RUNNING})


def is_generating(status: SessionStatus) -> bool:
    """Whether a view offers Stop rather than Send: an answer is on its way, and waits for nobody."""
    return status in _GENERATING

"""What a view of one session is told, as the orchestrator says it: `{"type": ..., "payload": {...}}`."""

from __future__ import annotations

from enum import StrEnum
from typing import TypeAlias

import msgspec

from actors.errors import ErrorCode, ErrorInfo
from actors.groups import ExecutionNode, MessageGroup, NodeStatus

__all__ = [
    "ErrorDocument",
    "Failed",
    "FailedPayload",
    "Finished",
    "FinishedPayload",
    "MessageRewritten",
    "MessageRewrittenPayload",
    "MessagesRemoved",
    "MessagesRemovedPayload",
    "NodeField",
    "NodeStart",
    "NodeStartPayload",
    "NodeStatusChanged",
    "NodeStatusPayload",
    "NodeUpdate",
    "NodeUpdatePayload",
    "OrchestratorEvent",
    "SessionStart",
]


class NodeField(StrEnum):
    """Which text of a node a chunk is appended to."""

    THOUGHT = "thought"
    OUTPUT = "output"


class SessionStart(msgspec.Struct, frozen=True, tag="session_start", tag_field="type"):
    """A group follows the others. An answer begins empty and pending; its text comes in chunks."""

    payload: MessageGroup


class NodeStartPayload(msgspec.Struct, frozen=True):
    node: ExecutionNode


class NodeStart(msgspec.Struct, frozen=True, tag="node_start", tag_field="type"):
    """A step below an answer begins, pending."""

    payload: NodeStartPayload


class NodeUpdatePayload(msgspec.Struct, frozen=True, rename="camel"):
    node_id: str
    chunk: str = ""
    field: NodeField = NodeField.OUTPUT


class NodeUpdate(msgspec.Struct, frozen=True, tag="node_update", tag_field="type"):
    """The chunk is appended to the field; all chunks together are what is stored."""

    payload: NodeUpdatePayload


class NodeStatusPayload(msgspec.Struct, frozen=True, rename="camel"):
    node_id: str
    status: NodeStatus


class NodeStatusChanged(msgspec.Struct, frozen=True, tag="node_status", tag_field="type"):
    """Pending, running, and one that is final, in this order; what is cancelled may not have run."""

    payload: NodeStatusPayload


class FinishedPayload(msgspec.Struct, frozen=True, rename="camel"):
    session_id: str
    task_id: str = ""


class Finished(msgspec.Struct, frozen=True, tag="finished", tag_field="type"):
    """The turn went to its end. Its last event."""

    payload: FinishedPayload


class ErrorDocument(msgspec.Struct, frozen=True, omit_defaults=True):
    """An error for programs that do not know which codes are worth a retry."""

    code: ErrorCode
    message: str
    retryable: bool
    details: dict[str, str | int | float] = {}

    @classmethod
    def of(cls, error: ErrorInfo) -> ErrorDocument:
        return cls(error.code, error.message, error.retryable, error.details)


class FailedPayload(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    message: str
    error: ErrorDocument | None = None
    task_id: str = ""


class Failed(msgspec.Struct, frozen=True, tag="error", tag_field="type"):
    """The turn failed. Its last event."""

    payload: FailedPayload


class MessagesRemovedPayload(msgspec.Struct, frozen=True, rename="camel"):
    deleted_ids: tuple[str, ...]


class MessagesRemoved(msgspec.Struct, frozen=True, tag="messages_deleted", tag_field="type"):
    """All messages that are gone; a group goes with its first one."""

    payload: MessagesRemovedPayload


class MessageRewrittenPayload(msgspec.Struct, frozen=True, rename="camel"):
    session_id: str
    new_content: str
    message_id: str = ""


class MessageRewritten(msgspec.Struct, frozen=True, tag="message_edited", tag_field="type"):
    """A question has another text."""

    payload: MessageRewrittenPayload


OrchestratorEvent: TypeAlias = (
    SessionStart
    | NodeStart
    | NodeUpdate
    | NodeStatusChanged
    | Finished
    | Failed
    | MessagesRemoved
    | MessageRewritten
)

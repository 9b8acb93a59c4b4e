"""What the listeners of a chat file's session are told: `{"kind": ..., "chatId": ..., ...}`."""

from __future__ import annotations

from enum import StrEnum
from functools import partial
from typing import TypeAlias, assert_never

import msgspec

from actors.conversation import Message, TextPart, ThoughtPart
from actors.errors import ErrorInfo
from actors.events import (
    AnswerStreamed,
    ContextUpdated,
    Event,
    MessageAdded,
    MessageChanged,
    MessageEdited,
    MessagesDeleted,
    ModelCallDelayed,
    SessionStatusChanged,
    TaskFinished,
    ToolCallsCompleted,
    ToolCallsUpdated,
    ToolOutput,
)
from actors.projections.statuses import CHAT_STATUS
from actors.records import CallRecord

__all__ = ["ChatEvent", "ChatUpdatedEvent", "ToolCallsUpdate", "UpdateType", "chat_events"]


class UpdateType(StrEnum):
    MESSAGE_ADDED = "MESSAGE_ADDED"
    MESSAGE_CHANGED = "MESSAGE_CHANGED"
    MESSAGE_EDITED = "MESSAGE_EDITED"
    MESSAGES_DELETED = "MESSAGES_DELETED"
    MESSAGE_STREAMED = "MESSAGE_STREAMED"
    TOOL_OUTPUT = "TOOL_OUTPUT"
    STATUS_CHANGED = "STATUS_CHANGED"
    CHAT_CHANGED = "CHAT_CHANGED"
    TURN_FINISHED = "TURN_FINISHED"


class ChatUpdatedEvent(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    rename="camel",
    tag="ChatUpdatedEvent",
    tag_field="kind",
):
    """The chat is another one; `update_type` says in what.

    `text` and `thought` are to be appended to the message, or for `TOOL_OUTPUT` to what the call's tool
    said. `message` is as it is stored, `status` one of the four of a chat.
    """

    session_id: str = msgspec.field(name="chatId")
    update_type: UpdateType
    task_id: str | None = None
    message_id: str | None = None
    message_ids: tuple[str, ...] = ()
    message: Message | None = None
    call_id: str | None = None
    text: str = ""
    thought: str = ""
    status: str | None = None
    title: str | None = None
    error: ErrorInfo | None = None


class ToolCallsUpdate(
    msgspec.Struct, frozen=True, kw_only=True, rename="camel", tag="TOOL_CALLS_UPDATE", tag_field="kind"
):
    """Where the tool calls of a message stand now, all of them, in the model's order."""

    message_id: str
    session_id: str = msgspec.field(name="chatId")
    calls: tuple[CallRecord, ...]


ChatEvent: TypeAlias = ChatUpdatedEvent | ToolCallsUpdate


def chat_events(event: Event) -> tuple[ChatEvent, ...]:
    """What the listeners are told of this event."""
    update = partial(ChatUpdatedEvent, session_id=event.session_id, task_id=event.task_id)
    match event.body:
        case MessageAdded(message):
            kind = UpdateType.MESSAGE_ADDED
            return (update(update_type=kind, message_id=message.message_id, message=message),)
        case MessageChanged(message):
            kind = UpdateType.MESSAGE_CHANGED
            return (update(update_type=kind, message_id=message.message_id, message=message),)
        case MessageEdited(message):
            kind = UpdateType.MESSAGE_EDITED
            return (update(update_type=kind, message_id=message.message_id, message=message),)
        case MessagesDeleted(message_ids):
            return (update(update_type=UpdateType.MESSAGES_DELETED, message_ids=message_ids),)
        case AnswerStreamed(parts, message_id):
            text = "".join([part.text for part in parts if isinstance(part, TextPart)])
            thought = "".join([part.text for part in parts if isinstance(part, ThoughtPart)])
            if not text and not thought:
                return ()
            kind = UpdateType.MESSAGE_STREAMED
            return (update(update_type=kind, message_id=message_id, text=text, thought=thought),)
        case ToolCallsUpdated(message_id, calls):
            return (ToolCallsUpdate(message_id=message_id, session_id=event.session_id, calls=calls),)
        case ToolCallsCompleted() | ModelCallDelayed():
            return ()  # the last update of the calls has said it; a delay changes nothing in the chat
        case ToolOutput(call_id, text):
            return (update(update_type=UpdateType.TOOL_OUTPUT, call_id=call_id, text=text),)
        case SessionStatusChanged(status, error):
            kind = UpdateType.STATUS_CHANGED
            return (update(update_type=kind, status=CHAT_STATUS[status], error=error),)
        case ContextUpdated(record):
            status = CHAT_STATUS[record.status]
            return (update(update_type=UpdateType.CHAT_CHANGED, status=status, title=record.title),)
        case TaskFinished(outcome):
            kind = UpdateType.TURN_FINISHED
            return (update(update_type=kind, status=CHAT_STATUS[outcome.status], error=outcome.error),)
        case _:
            assert_never(event.body)

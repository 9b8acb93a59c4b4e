"""A stored session as one JSON object, for programs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import assert_never

import msgspec

from actors.conversation import (
    Approval,
    Attachment,
    FileReference,
    FinishReason,
    Image,
    Message,
    MessageState,
    Processing,
    Role,
    SystemControl,
    Text,
    ToolCall,
    ToolCallRequest,
    ToolResult,
    ToolStatus,
    Usage,
)
from actors.errors import ErrorInfo
from actors.records import SessionRecord, SessionStatus

__all__ = ["MessageDocument", "SessionDocument", "session_json"]


class MessageDocument(msgspec.Struct, frozen=True, kw_only=True):
    """A message with all its fields on one level. Every `kind` has the same ones, null where it has no use.

    `text` is what was said, a tool's output, or what a picture or a file has to read. `call_id` and what
    begins with `tool_` belong to the kind `tool_result`; `setting`, `before` and `after` to
    `system_control`.
    """

    message_id: str
    parent_id: str | None
    task_id: str | None
    role: Role
    kind: str
    text: str | None = None
    thought: str | None = None
    tool_calls: tuple[ToolCall, ...] | None = None
    call_id: str | None = None
    tool_name: str | None = None
    tool_status: ToolStatus | None = None
    tool_approval: Approval | None = None
    attachments: tuple[Attachment, ...] | None = None
    images: tuple[Image, ...] | None = None
    references: tuple[FileReference, ...] | None = None
    file_name: str | None = None
    media_type: str | None = None
    data: bytes | None = None
    setting: str | None = None
    before: str | None = None
    after: str | None = None
    duration_seconds: float | None = None
    state: MessageState
    finish_reason: FinishReason | None
    usage: Usage | None
    error: ErrorInfo | None
    model: str | None
    created_at: datetime

    @classmethod
    def of(cls, message: Message) -> MessageDocument:
        document = cls(
            message_id=message.message_id,
            parent_id=message.parent_id,
            task_id=message.task_id,
            role=message.role,
            kind=str(message.content.__struct_config__.tag),
            state=message.state,
            finish_reason=message.finish_reason,
            usage=message.usage,
            error=message.error,
            model=message.model,
            created_at=message.created_at,
        )
        match message.content:
            case Text(text, thought, attachments, images, references):
                return msgspec.structs.replace(
                    document,
                    text=text,
                    thought=thought,
                    attachments=attachments or None,
                    images=images or None,
                    references=references or None,
                )
            case ToolCallRequest(calls):
                return msgspec.structs.replace(document, tool_calls=calls)
            case ToolResult(call_id, name, status, output, approval):
                return msgspec.structs.replace(
                    document,
                    text=output,
                    call_id=call_id,
                    tool_name=name,
                    tool_status=status,
                    tool_approval=approval,
                )
            case Image(media_type, data, file_name, text):
                return msgspec.structs.replace(
                    document, text=text, media_type=media_type, data=data, file_name=file_name
                )
            case FileReference(path, _, content):
                return msgspec.structs.replace(document, text=content, file_name=path)
            case SystemControl(setting, before, after):
                return msgspec.structs.replace(document, setting=setting, before=before, after=after)
            case Processing(step, duration_seconds, outcome):
                return msgspec.structs.replace(
                    document, setting=step, text=outcome, duration_seconds=duration_seconds
                )
            case _:
                assert_never(message.content)


class SessionDocument(msgspec.Struct, frozen=True, kw_only=True):
    """A session and its messages, in the order in which they are given."""

    session_id: str
    title: str
    model: str
    system_prompt: str
    status: SessionStatus
    error: ErrorInfo | None
    created_at: datetime
    updated_at: datetime
    active_leaf_id: str | None
    messages: tuple[MessageDocument, ...]


def session_json(record: SessionRecord, messages: Sequence[Message]) -> str:
    """One line of JSON, a `SessionDocument`."""
    document = SessionDocument(
        session_id=record.session_id,
        title=record.title,
        model=record.model,
        system_prompt=record.system_prompt,
        status=record.status,
        error=record.error,
        created_at=record.created_at,
        updated_at=record.updated_at,
        active_leaf_id=record.active_leaf_id,
        messages=tuple(map(MessageDocument.of, messages)),
    )
    return msgspec.json.encode(document).decode() + "\n"
